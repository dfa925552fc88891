/* SPDX-License-Identifier: MIT */
/*
 * The command line of find: that of load without what a search decides itself
 * or has no single run for, and with the bounds of the search.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../options.h"
#include "find.h"
#include "report/json.h"
#include "report/output.h"
#include "values.h"

#define SECOND	 INT64_C(1000000000)
#define ROWS_MAX 48

enum { KEY_MIN = 1024, KEY_MAX, KEY_RESOLUTION };

static const struct cli_option own[] = {
	{ "min", KEY_MIN, "N", "the lowest rate to try" },
	{ "max", KEY_MAX, "N",
	  "the highest rate to try (what a closed\nloop reaches)" },
	{ "resolution", KEY_RESOLUTION, "PERCENT",
	  "how exact the answer is to be (5%)" },
};

/* Of load, but not of find. */
static const char *const not_ours[] = { "rate",	    "count",  "upload",
					"download", "with",   "hlog",
					"html",	    "strict", "dry-run" };

static struct cli_option table[ROWS_MAX];

static bool is_ours(const char *name)
{
	for (size_t i = 0; i < sizeof(not_ours) / sizeof(not_ours[0]); i++)
		if (strcmp(name, not_ours[i]) == 0)
			return false;
	return true;
}

/* Where find has another default than load. */
static const char *help_of(const struct cli_option *row)
{
	if (strcmp(row->name, "duration") == 0)
		return "how long to measure each step (default 5s)";
	if (strcmp(row->name, "warmup") == 0)
		return "load before measuring a step (default 1s)";
	if (strcmp(row->name, "json") == 0)
		return "write the steps there; - is standard\n"
		       "output" JSON_NOTE;
	if (strcmp(row->name, "quiet") == 0)
		return "the answer only";
	return row->help;
}

static void make_table(void)
{
	size_t used = sizeof(own) / sizeof(own[0]);

	memcpy(table, own, sizeof(own));
	for (const struct cli_option *row = load_option_table; row->name; row++)
		if (is_ours(row->name) && used < ROWS_MAX - 1) {
			table[used] = *row;
			table[used++].help = help_of(row);
		}
	table[used] = (struct cli_option){ .name = NULL };
}

/* Percent, with its sign or without. */
static bool take_resolution(double *ret)
{
	char *end;
	double percent = strtod(optarg, &end);

	*ret = percent / 100;
	if (*optarg >= '0' && *optarg <= '9' &&
	    (*end == '\0' || strcmp(end, "%") == 0) && percent >= 0.1 &&
	    percent <= 100)
		return true;
	cli_error("--resolution: '%s' is not a percentage from 0.1%% to 100%%",
		  optarg);
	return false;
}

static bool take(void *to, int key)
{
	struct find_options *o = to;

	switch (key) {
	case KEY_MIN:
		return value_rate("min", &o->lowest);
	case KEY_MAX:
		return value_rate("max", &o->highest);
	case KEY_RESOLUTION:
		return take_resolution(&o->resolution);
	default:
		return load_options_take(&o->load, key);
	}
}

static const struct options_operand operands[] = {
	{ "ADDRESS", "the address", "127.0.0.1:1234 --gate 'p99<5ms'" },
	{ .name = NULL },
};

static const struct options_syntax syntax = {
	.command = "load find",
	.about = "Search for the highest rate that holds all gates.  Each step "
		 "is a run of\n--duration after a --warmup.\n",
	.operands = operands,
	.table = table,
	.take = take,
};

double find_lowest(const struct find_options *o)
{
	double most = 0;

	if (o->lowest > 0)
		return o->lowest;
	for (size_t i = 0; i < o->load.gates.count; i++)
		most = fmax(most, metric_percent(o->load.gates.list[i].metric));
	/* Ten samples beyond it, and a quarter more to be sure of them. */
	return fmax(1, most > 0 ? 12.5 / (1 - most / 100) * 1e9 /
					  (double)o->load.plan.duration_ns
				: 1);
}

static const char *contradiction(const struct find_options *o)
{
	const struct plan *p = &o->load.plan;

	if (o->load.gates.count == 0)
		return "what is to hold?  say for instance --gate 'p99<5ms'";
	if (p->duration_ns == INT64_MAX)
		return "--duration never would never come to a second rate";
	if (o->highest > 0 && find_lowest(o) > o->highest)
		return o->lowest > 0
			       ? "--min is above --max"
			       : "at --max a run has too few messages for the "
				 "percentiles of the gates; take a longer "
				 "--duration, or say --min";
	return NULL;
}

int find_options_parse(struct find_options *ret, int argc, char **argv)
{
	struct plan *p = &ret->load.plan;
	const char *wrong;
	int status;

	*ret = (struct find_options){ .resolution = 0.05 };
	make_table();
	load_options_init(&ret->load);
	p->warmup_ns = 1 * SECOND;
	p->rate = 1; /* an open loop; the search decides */
	status = options_parse(&syntax, ret, argc, argv);
	if (status >= 0)
		return status;
	if (p->duration_ns == 0)
		p->duration_ns = 5 * SECOND;
	wrong = contradiction(ret);
	if (wrong) {
		cli_error("%s", wrong);
		return CLI_USAGE;
	}
	status = load_options_check(&ret->load, argv[optind]);
	if (status >= 0)
		return status;
	if (ret->load.json && !json_is_available()) {
		cli_error("--json: %s", JSON_UNAVAILABLE);
		return CLI_USAGE;
	}
	return outputs_check(&(struct output){ "json", ret->load.json }, 1)
		       ? -1
		       : CLI_USAGE;
}
