/* SPDX-License-Identifier: MIT */
/*
 * The command load: plan, run, report.
 */
#include "load.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "../../cli/cli.h"
#include "../../cli/stream.h"
#include "../command.h"
#include "compare.h"
#include "dry_run.h"
#include "find.h"
#include "html.h"
#include "json.h"
#include "limits.h"
#include "live.h"
#include "merge.h"
#include "output.h"
#include "record.h"
#include "report.h"
#include "run.h"

static void catch_signals(void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler,
				    .sa_flags = SA_RESTART };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* The third one finds its default action. */
static void interrupt(int signo)
{
	static volatile sig_atomic_t count;

	(void)signo;
	if (++count == 2)
		catch_signals(SIG_DFL);
	run_interrupt();
}

static int judge(const struct load_options *o, struct gates *gates,
		 const struct result *r)
{
	bool have_passed = gates_judge(gates, r);

	if (r->is_cut ||
	    r->books.answered + r->books.bytes_in + r->books.bytes_out == 0)
		return CLI_FAILED;
	if (!have_passed || (o->is_strict && r->verdict == VERDICT_NOT))
		return LOAD_GATE_FAILED;
	return CLI_DONE;
}

/* The worse of two; a gate that failed tells more than a file. */
static int worse(int a, int b)
{
	return a > b ? a : b;
}

static bool check_outputs(const struct load_options *o)
{
	if ((o->json || o->html) && !json_is_available()) {
		cli_error("--%s: %s", o->json ? "json" : "html",
			  JSON_UNAVAILABLE);
		return false;
	}
	return (!o->json || output_check("json", o->json)) &&
	       (!o->html || output_check("html", o->html));
}

/* The report goes aside when standard output is taken. */
static int show(struct load_options *o, const struct result *r)
{
	bool is_taken = o->json && strcmp(o->json, "-") == 0;
	int status = judge(o, &o->gates, r);
	struct report report;
	size_t saved = 0;

	report_init(&report, is_taken ? stream_err() : stream_out());
	report.is_short = o->is_quiet;
	report.gates = &o->gates;
	if (o->json) {
		status = worse(status, json_write(o->json, r, &o->gates));
		report.saved[saved++] = o->json;
	}
	if (is_taken)
		saved--;
	if (o->html) {
		status = worse(status, html_write(o->html, r, &o->gates));
		report.saved[saved++] = o->html;
	}
	if (o->hlog)
		report.saved[saved++] = o->hlog;
	report.saved[saved] = NULL;
	report_print(&report, r);
	return worse(status, cli_flush());
}

/* Those who watch a run. */
struct watchers {
	struct live live;
	struct record record;
};

static void watch(void *arg, const struct progress *p)
{
	struct watchers *w = arg;

	live_watch(&w->live, p);
	record_watch(&w->record, p);
}

static int load_run(struct load_options *o)
{
	struct result result;
	struct watchers w;
	int status = CLI_USAGE, recorded;

	if (check_outputs(o))
		status = limits_prepare(&o->plan);
	if (status != CLI_DONE)
		return status;
	if (!record_open(&w.record, &o->plan, o->hlog))
		return CLI_USAGE;
	live_init(&w.live, &o->plan);
	status = run(&result, &o->plan, watch, &w);
	live_end(&w.live);
	recorded = record_close(&w.record);
	if (status != CLI_DONE)
		return status;
	status = worse(show(o, &result), recorded);
	result_free(&result);
	return status;
}

int load(int argc, char **argv)
{
	struct load_options options;
	int status;

	if (argc > 1 && strcmp(argv[1], "compare") == 0)
		return load_compare(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "merge") == 0)
		return load_merge(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "find") == 0) {
		catch_signals(interrupt);
		return load_find(argc - 1, argv + 1);
	}
	status = load_options_parse(&options, argc, argv);
	if (status < 0 && options.is_dry_run) {
		status = dry_run(&options.plan);
	} else if (status < 0) {
		catch_signals(interrupt);
		status = load_run(&options);
	}
	load_options_fini(&options);
	return status;
}
