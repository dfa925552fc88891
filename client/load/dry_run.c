/* SPDX-License-Identifier: MIT */
/*
 * A plan in words.
 */
#include "dry_run.h"

#include <stdio.h>

#include "../../cli/cli.h"
#include "../../cli/stream.h"
#include "engine/limits.h"
#include "engine/misfits.h"
#include "measure/units.h"

static void print_load(const struct plan *p)
{
	char text[4][UNITS_TEXT], rate[UNITS_TEXT];

	stream_print("%s  %s\n", p->address, plan_mode_text(p));
	stream_print("%s connections, depth %d, %d thread%s",
		     units_count((uint64_t)p->connections, text[0]), p->depth,
		     p->threads, p->threads > 1 ? "s" : "");
	if (p->idle > 0)
		stream_print(", %s silent ones beside",
			     units_count((uint64_t)p->idle, text[1]));
	if (misfits_count(p) > 0)
		stream_print(", %s misbehaving ones",
			     units_count((uint64_t)misfits_count(p), text[2]));
	stream_print("\nmessages of %zu", p->size_min);
	if (p->size_max > p->size_min)
		stream_print(" to %zu", p->size_max);
	stream_print(" bytes");
	if (p->rate > 0)
		stream_print(", %s a second", units_number(p->rate, rate));
	if (p->count > 0)
		stream_print(", %s in all", units_count(p->count, text[3]));
	stream_print("\n");
}

static void print_times(const struct plan *p)
{
	char text[3][UNITS_TEXT];

	if (p->warmup_ns > 0)
		stream_print("warm-up %s, ", units_time(p->warmup_ns, text[0]));
	if (p->duration_ns < INT64_MAX)
		stream_print("measured for %s, ",
			     units_time(p->duration_ns, text[1]));
	else
		stream_print("until all are sent, ");
	if (p->timeout_ns < INT64_MAX)
		stream_print("replies awaited for %s\n",
			     units_time(p->timeout_ns, text[2]));
	else
		stream_print("replies awaited for ever\n");
}

static void print_needs(const struct plan *p)
{
	struct limits l;
	char text[3][UNITS_TEXT];

	limits_find(&l, p);
	stream_print("descriptors %s of %s allowed\n",
		     units_count(l.descriptors, text[0]),
		     units_count(l.descriptors_allowed, text[1]));
	if (l.ports > 0)
		stream_print(
			"ports       %s for each of %zu source address%s\n",
			units_count(l.ports, text[2]),
			p->source_count ? p->source_count : 1,
			p->source_count > 1 ? "es" : "");
}

int dry_run(const struct plan *plan)
{
	int status = limits_prepare(plan);

	print_load(plan);
	print_times(plan);
	print_needs(plan);
	return status != CLI_DONE ? status : cli_flush();
}
