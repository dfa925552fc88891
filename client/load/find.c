/* SPDX-License-Identifier: MIT */
/*
 * The command load find.  Its options are those of load, except for those that
 * the search sets or that need a single run, and the bounds of the search.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "load.h"

#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../cli/cli.h"
#include "../../cli/stream.h"
#include "../options.h"
#include "engine/target.h"
#include "judge/search.h"
#include "measure/units.h"
#include "options.h"
#include "report/json.h"
#include "report/live.h"
#include "report/output.h"
#include "report/report.h"
#include "run.h"

#define ROWS_MAX 96

struct find_options {
	struct load_options load;
	double lowest, highest; /* 0: not given */
	double resolution;
};

enum { KEY_MIN = 1024, KEY_MAX, KEY_RESOLUTION };

static const struct cli_option own[] = {
	{ "min", KEY_MIN, "N", "the lowest rate to try" },
	{ "max", KEY_MAX, "N",
	  "the highest rate to try (default: what a\n"
	  "closed loop reaches)" },
	{ "resolution", KEY_RESOLUTION, "PERCENT",
	  "precision of the answer (default 5%)" },
};

static const char *const without[] = {
	"rate",	  "count",   "upload",	 "download", "with",	 "hlog",
	"html",	  "junit",   "markdown", "metrics",  "progress", "percentiles",
	"strict", "dry-run", "show",	 "start-at", "think",	 "stop-early",
};

static struct cli_option find_table[ROWS_MAX];

static bool has_load_option(const char *name)
{
	for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++)
		if (strcmp(name, without[i]) == 0)
			return false;
	return true;
}

static const char *help_of(const struct cli_option *row)
{
	if (strcmp(row->name, "poisson") == 0)
		return "Poisson arrivals (default: evenly spaced)";
	if (strcmp(row->name, "churn") == 0)
		return "connect, send one message, close";
	if (strcmp(row->name, "duration") == 0)
		return "how long to measure each step (default 5s)";
	if (strcmp(row->name, "warmup") == 0)
		return "load before measuring a step (default 1s)";
	if (strcmp(row->name, "json") == 0)
		return "write the steps; - is standard output" JSON_NOTE;
	if (strcmp(row->name, "quiet") == 0)
		return "print the answer only";
	return row->help;
}

static void make_table(void)
{
	size_t used = sizeof(own) / sizeof(own[0]);

	memcpy(find_table, own, sizeof(own));
	for (const struct cli_option *row = load_option_table; row->name; row++)
		if (has_load_option(row->name) && used < ROWS_MAX - 1) {
			find_table[used] = *row;
			find_table[used++].help = help_of(row);
		}
	find_table[used] = (struct cli_option){ .name = NULL };
}

static bool find_take_resolution(double *ret)
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

static bool find_take_option(void *to, int key)
{
	struct find_options *o = to;

	switch (key) {
	case KEY_MIN:
		return value_rate("min", &o->lowest);
	case KEY_MAX:
		return value_rate("max", &o->highest);
	case KEY_RESOLUTION:
		return find_take_resolution(&o->resolution);
	default:
		return load_options_take(&o->load, key);
	}
}

static const struct options_operand find_operands[] = {
	{ "ADDRESS", "the address", "127.0.0.1:1234 --gate 'p99<5ms'" },
	{ .name = NULL },
};

static const struct options_syntax find_syntax = {
	.command = "load find",
	.about = "Search for the highest rate that passes all gates.  "
		 "Each step is a run of\n"
		 "--duration after a --warmup.\n",
	.operands = find_operands,
	.table = find_table,
	.examples = "  weir-client load find 127.0.0.1:7007 -c 100 -d 1s "
		    "--gate 'p99<5ms'\n",
	.take = find_take_option,
	.has_no_fd = true,
};

/*
 * Ten samples above the percentile, and a quarter more to be safe.  Of arrivals
 * by chance that is too few if there are not many: five standard deviations.
 */
static double find_samples(const struct plan *p, double percent)
{
	double needed = 10 / (1 - percent / 100);
	double chance = p->schedule == PLAN_POISSON ? 5 * sqrt(needed) : 0;

	return needed + fmax(needed / 4, chance);
}

static double find_lowest(const struct find_options *o)
{
	const struct plan *p = &o->load.plan;
	double most = 0;

	if (o->lowest > 0)
		return o->lowest;
	for (size_t i = 0; i < o->load.gates.count; i++)
		most = fmax(most, metric_percent(o->load.gates.list[i].metric));
	return fmax(1, most > 0 ? find_samples(p, most) * 1e9 /
					  (double)p->duration_ns
				: 1);
}

static const char *find_contradiction(const struct find_options *o)
{
	const struct plan *p = &o->load.plan;

	if (o->load.gates.count == 0)
		return "a --gate is needed, such as --gate 'p99<5ms'";
	if (p->duration_ns == INT64_MAX)
		return "with --duration never the first step would not end";
	if (o->highest > 0 && find_lowest(o) > o->highest)
		return o->lowest > 0
			       ? "--min is above --max"
			       : "at --max a run has too few messages for the "
				 "percentiles of the gates; use a longer "
				 "--duration or "
				 "give --min";
	return NULL;
}

static int find_options_parse(struct find_options *ret, int argc, char **argv)
{
	struct plan *p = &ret->load.plan;
	const char *wrong;
	int status;

	*ret = (struct find_options){ .resolution = 0.05 };
	make_table();
	load_options_init(&ret->load);
	p->warmup_ns = 1 * SECOND;
	p->rate = 1; /* an open loop; set for each step */
	status = options_parse(&find_syntax, ret, argc, argv);
	if (status >= 0)
		return status;
	if (p->duration_ns == 0)
		p->duration_ns = 5 * SECOND;
	wrong = find_contradiction(ret);
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
	return outputs_check(&(struct output){ .option = "json",
					       .path = ret->load.json },
			     1)
		       ? -1
		       : CLI_USAGE;
}

/* The closed loop may vary by this much. */
#define ABOVE_CLOSED 1.1

struct find_command {
	const struct find_options *options;
	struct target target;
	struct find found;
	FILE *to;
};

static int run_shown(const struct find_command *c, struct result *ret,
		     const struct plan *plan)
{
	struct live live;
	int status;

	live_init(&live, plan);
	status = run(ret, plan, &c->target, live_watch, &live);
	live_end(&live);
	return status;
}

static int find_probe(struct find_command *c)
{
	struct find *f = &c->found;
	struct plan plan = c->options->load.plan;
	struct result r;
	int status;

	plan.schedule = PLAN_CLOSED;
	plan.rate = 0;
	plan.warmup_ns = 0;
	if (plan.duration_ns > 2 * SECOND)
		plan.duration_ns = 2 * SECOND;
	status = run_shown(c, &r, &plan);
	if (status != CLI_DONE)
		return status;
	f->closed = result_rate(&r);
	f->is_cut = r.is_cut;
	if (!f->is_cut && (f->closed == 0 || result_has_ended_early(&r))) {
		cli_error("%s: %s", r.target,
			  f->closed > 0 ? r.reasons[0]
			  : result_error_count(&r, ERROR_CONNECT, ERROR_CONNECT,
					       -1) > 0
				  ? "no connection could be made"
				  : "nothing was answered");
		status = CLI_FAILED;
	}
	result_free(&r);
	return status;
}

static int find_try_next(struct find_command *c)
{
	struct find *f = &c->found;
	struct find_step *step = &f->steps[f->step_count];
	const struct search *s = &f->search;
	struct plan plan = c->options->load.plan;
	struct result r;
	int status;

	plan.rate = s->next;
	/* Else the arrivals of a run that is tried again would be the same. */
	plan.seed += (uint64_t)f->step_count;
	if (s->is_last)
		plan.duration_ns *= 2;
	status = run_shown(c, &r, &plan);
	if (status != CLI_DONE)
		return status;
	f->is_cut = r.is_cut;
	if (!f->is_cut) {
		*step = (struct find_step){ .rate = s->next,
					    .is_again = s->is_again,
					    .is_last = s->is_last,
					    .gates = c->options->load.gates };
		find_judge(step, &r);
		f->step_count++;
		if (step->is_empty)
			search_repeat(&f->search);
		else
			search_note(&f->search, step->has_held);
		if (!c->options->load.is_quiet)
			find_print_step(step, c->to);
	}
	result_free(&r);
	return CLI_DONE;
}

static int find_search(struct find_command *c)
{
	struct find *f = &c->found;
	const struct find_options *o = c->options;
	double lowest = find_lowest(o), highest = o->highest;
	char text[UNITS_TEXT];
	int status = CLI_DONE;

	if (highest == 0)
		status = find_probe(c);
	if (status != CLI_DONE || f->is_cut)
		return status;
	if (highest == 0)
		highest = f->closed * ABOVE_CLOSED;
	if (lowest > highest) {
		cli_error("a closed loop reaches %s a second, too few for %s; "
			  "use a longer --duration or more --connections",
			  units_rate(f->closed, text),
			  o->lowest > 0 ? "--min"
					: "the percentiles of the gates");
		return CLI_FAILED;
	}
	search_init(&f->search, lowest, highest, o->resolution);
	f->steps = calloc((size_t)f->search.tries_most, sizeof(*f->steps));
	if (!f->steps) {
		cli_error("out of memory");
		return CLI_FAILED;
	}
	if (!o->load.is_quiet)
		find_print_plan(f, c->to);
	while (status == CLI_DONE && !f->is_cut && f->search.state == SEARCH_ON)
		status = find_try_next(c);
	return status;
}

static int find_status(const struct find *f)
{
	if (f->is_cut || f->search.state == SEARCH_UNSETTLED)
		return CLI_FAILED;
	return f->search.state == SEARCH_NONE ? LOAD_GATE_FAILED : CLI_DONE;
}

static int find_finish(const struct find_command *c)
{
	int status = find_status(&c->found), written = CLI_DONE, flushed;

	find_print_answer(&c->found, c->to);
	if (c->options->load.json)
		written = json_write_find(c->options->load.json, &c->found);
	flushed = cli_flush();
	if (status == CLI_DONE)
		status = written != CLI_DONE ? written : flushed;
	return status;
}

int load_find(int argc, char **argv)
{
	static struct find_options options; /* too large for a small stack */
	const struct plan *plan = &options.load.plan;
	struct find_command c = { .options = &options };
	int status = find_options_parse(&options, argc, argv);

	if (status < 0) {
		c.found.plan = plan;
		c.found.gates = &options.load.gates;
		c.found.search.resolution = options.resolution;
		/* Standard output may be taken by the JSON. */
		c.to = output_is_standard(options.load.json) ? stream_err()
							     : stream_out();
		status = target_resolve(&c.target, plan);
		if (status == CLI_DONE)
			status = limits_prepare(plan, c.target.to_count);
		if (status == CLI_DONE) {
			run_catch_signals();
			status = find_search(&c);
		}
		if (status == CLI_DONE)
			status = find_finish(&c);
		target_fini(&c.target);
		free(c.found.steps);
	}
	load_options_fini(&options.load);
	return status;
}
