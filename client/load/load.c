/* SPDX-License-Identifier: MIT */
/*
 * The command load: one run and its reports.
 *
 * engine/ makes the load, measure/ counts and sums up, judge/ says what the
 * figures are worth, report/ writes them.  The files at the top are the
 * commands and what they share.
 */
#include "load.h"

#include <stdio.h>
#include <string.h>

#include "../../cli/cli.h"
#include "../../cli/stream.h"
#include "../command.h"
#include "engine/bad_clients.h"
#include "measure/hlog.h"
#include "measure/units.h"
#include "options.h"
#include "report/ci.h"
#include "report/json.h"
#include "report/live.h"
#include "report/output.h"
#include "report/report.h"
#include "run.h"

/* A failed gate (3) outranks an unwritten file. */
static int worse_status(int a, int b)
{
	return a > b ? a : b;
}

#define OUTPUTS 6

static void list_outputs(const struct load_options *o,
			 struct output ret[OUTPUTS])
{
	const struct output list[OUTPUTS] = {
		{ "json", o->json, json_write },
		{ "html", o->html, html_write },
		{ "junit", o->junit, junit_write },
		{ "markdown", o->markdown, markdown_write },
		{ "hlog", o->hlog, NULL },
		{ "metrics", o->metrics, NULL },
	};

	memcpy(ret, list, sizeof(list));
}

static bool check_outputs(const struct load_options *o)
{
	struct output outputs[OUTPUTS];

	list_outputs(o, outputs);
	if ((o->json || o->html) && !json_is_available()) {
		cli_error("--%s: %s", o->json ? "json" : "html",
			  JSON_UNAVAILABLE);
		return false;
	}
	if (o->hlog && !hlog_is_available()) {
		cli_error("--hlog: %s", HLOG_UNAVAILABLE);
		return false;
	}
	if (output_is_standard(o->metrics)) {
		cli_error("--metrics: a file is replaced each second, which "
			  "standard output cannot be");
		return false;
	}
	return outputs_check(outputs, OUTPUTS);
}

/*
 * If standard output is taken, the report goes to standard error.  recorded:
 * whether the files that are written during the run were.
 */
static int load_report(struct load_options *o, const struct result *r,
		       int recorded)
{
	struct output outputs[OUTPUTS];
	int status = worse_status(gates_status(&o->gates, r), recorded);
	bool is_taken = false;
	size_t saved = 0;
	struct report report;

	list_outputs(o, outputs);
	for (size_t i = 0; i < OUTPUTS; i++)
		is_taken = is_taken || output_is_standard(outputs[i].path);
	report_init(&report, is_taken ? stream_err() : stream_out());
	report.is_short = o->is_quiet;
	report.gates = &o->gates;
	for (size_t i = 0; i < OUTPUTS; i++) {
		const struct output *out = &outputs[i];
		int written = recorded;

		if (!out->path)
			continue;
		if (out->write)
			written = out->write(out->path, r, &o->gates);
		if (written == CLI_DONE && !output_is_standard(out->path))
			report.saved[saved++] = out->path;
		status = worse_status(status, written);
	}
	report_print(&report, r);
	return worse_status(status, cli_flush());
}

struct watchers {
	const struct load_options *options;
	struct live live;
	struct record record;
	struct metrics_file metrics;
};

static void load_watch(void *arg, const struct progress *p)
{
	struct watchers *w = arg;

	live_watch(&w->live, p);
	record_watch(&w->record, p);
	metrics_file_watch(&w->metrics, p);
	if (w->options->stops_early && p->last &&
	    gates_are_lost(&w->options->gates, p->so_far))
		run_stop();
}

static int run_to(struct load_options *o, const struct target *target)
{
	struct watchers w = { .options = o,
			      .metrics = { .plan = &o->plan,
					   .path = o->metrics,
					   .written_at = -1 } };
	struct result result;
	int status, recorded;

	if (!record_open(&w.record, &o->plan, o->hlog))
		return CLI_USAGE;
	run_catch_signals();
	live_init(&w.live, &o->plan);
	w.live.every = o->progress_ns;
	status = run(&result, &o->plan, target, load_watch, &w);
	live_end(&w.live);
	recorded = record_close(&w.record, status == CLI_DONE ? &result : NULL);
	if (w.metrics.has_failed)
		recorded = CLI_FAILED;
	if (status != CLI_DONE)
		return status;
	status = load_report(o, &result, recorded);
	result_free(&result);
	return status;
}

static int load_run(struct load_options *o)
{
	struct target target;
	int status = CLI_USAGE;

	if (check_outputs(o))
		status = target_resolve(&target, &o->plan);
	if (status != CLI_DONE)
		return status;
	status = limits_prepare(&o->plan, target.to_count);
	if (status == CLI_DONE)
		status = run_to(o, &target);
	target_fini(&target);
	return status;
}

static void print_load(const struct plan *p)
{
	char text[4][UNITS_TEXT], rate[UNITS_TEXT];

	stream_print("%s  %s\n", p->address, plan_mode_text(p));
	stream_print("%s connections, depth %d, %d thread%s",
		     units_count((uint64_t)p->connections, text[0]), p->depth,
		     p->threads, p->threads > 1 ? "s" : "");
	if (p->idle > 0)
		stream_print(", %s silent",
			     units_count((uint64_t)p->idle, text[1]));
	if (bad_clients_count(p) > 0)
		stream_print(
			", %s misbehaving",
			units_count((uint64_t)bad_clients_count(p), text[2]));
	stream_print("\n");
	if (p->mode == PLAN_UPLOAD || p->mode == PLAN_DOWNLOAD)
		return;
	stream_print("messages of %zu", p->size_min);
	if (p->size_max > p->size_min)
		stream_print(" to %zu", p->size_max);
	stream_print(" bytes");
	if (p->rate > 0)
		stream_print(", %s a second%s", units_number(p->rate, rate),
			     p->stage_count > 0 ? " on average" : "");
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
		stream_print("reply timeout %s\n",
			     units_time(p->timeout_ns, text[2]));
	else
		stream_print("no reply timeout\n");
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
			"ports       %s for each of %zu source address%s%s\n",
			units_count(l.ports, text[2]),
			p->source_count ? p->source_count : 1,
			p->source_count > 1 ? "es" : "",
			p->is_spread ? ", to each address" : "");
}

static int dry_run(const struct plan *plan)
{
	int status = limits_prepare(plan, plan->is_spread ? 0 : 1);

	print_load(plan);
	print_times(plan);
	print_needs(plan);
	return status != CLI_DONE ? status : cli_flush();
}

int load(int argc, char **argv)
{
	static struct load_options options; /* too large for a small stack */
	int status;

	if (argc > 1 && strcmp(argv[1], "compare") == 0)
		return load_compare(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "merge") == 0)
		return load_merge(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "find") == 0)
		return load_find(argc - 1, argv + 1);
	status = load_options_parse(&options, argc, argv);
	if (status < 0)
		status = options.is_dry_run ? dry_run(&options.plan)
			 : options.is_show  ? load_show(&options.plan)
					    : load_run(&options);
	load_options_fini(&options);
	return status;
}
