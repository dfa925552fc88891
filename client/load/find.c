/* SPDX-License-Identifier: MIT */
/*
 * Runs, one for each step of the search.
 */
#include "find.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../cli/cli.h"
#include "engine/limits.h"
#include "judge/verdict.h"
#include "measure/units.h"
#include "report/live.h"
#include "run.h"

#define SECOND INT64_C(1000000000)

/* An open loop has no more than the closed one, but for what it varies. */
#define ABOVE_CLOSED 1.1

static int run_shown(const struct find *f, struct result *ret,
		     const struct plan *plan)
{
	struct live live;
	int status;

	live_init(&live, plan);
	status = run(ret, plan, &f->target, live_watch, &live);
	live_end(&live);
	return status;
}

/* What a closed loop reaches, for a short while. */
static int probe(struct find *f)
{
	struct plan plan = f->options->load.plan;
	struct result r;
	int status;

	plan.schedule = PLAN_CLOSED;
	plan.rate = 0;
	plan.warmup_ns = 0;
	if (plan.duration_ns > 2 * SECOND)
		plan.duration_ns = 2 * SECOND;
	status = run_shown(f, &r, &plan);
	if (status != CLI_DONE)
		return status;
	f->closed = result_rate(&r);
	f->is_cut = r.is_cut;
	if (!f->is_cut && f->closed == 0) {
		cli_error("%s: %s", r.target,
			  result_error_count(&r, ERROR_CONNECT, ERROR_CONNECT,
					     -1) > 0
				  ? "no connection could be made"
				  : "nothing was answered");
		status = CLI_FAILED;
	}
	result_free(&r);
	return status;
}

void find_judge(struct find_step *step, const struct result *r)
{
	bool have_passed = gates_judge(&step->gates, r);

	step->elapsed = r->elapsed;
	if (r->books.planned > 0)
		step->answered = 100 * (double)r->books.answered /
				 (double)r->books.planned;
	step->has_held = have_passed && step->answered >= FIND_ANSWERED;
	step->is_ours = !step->has_held && verdict_is_our_limit(r);
	snprintf(step->reason, sizeof(step->reason), "%s", r->reasons[0]);
}

static int try_next(struct find *f)
{
	struct find_step *step = &f->steps[f->step_count];
	const struct search *s = &f->search;
	struct plan plan = f->options->load.plan;
	struct result r;
	int status;

	plan.rate = s->next;
	if (s->is_last)
		plan.duration_ns *= 2;
	status = run_shown(f, &r, &plan);
	if (status != CLI_DONE)
		return status;
	f->is_cut = r.is_cut;
	if (!f->is_cut) {
		*step = (struct find_step){ .rate = s->next,
					    .is_again = s->is_again,
					    .is_last = s->is_last,
					    .gates = f->options->load.gates };
		find_judge(step, &r);
		f->step_count++;
		search_note(&f->search, step->has_held);
		find_print_step(f, step);
	}
	result_free(&r);
	return CLI_DONE;
}

const struct find_step *find_failed(const struct find *f)
{
	for (int i = f->step_count - 1; i >= 0; i--)
		if (!f->steps[i].has_held &&
		    f->steps[i].rate == f->search.failed)
			return &f->steps[i];
	return NULL;
}

static int search(struct find *f)
{
	const struct find_options *o = f->options;
	double lowest = find_lowest(o), highest = o->highest;
	char text[UNITS_TEXT];
	int status = CLI_DONE;

	if (highest == 0)
		status = probe(f);
	if (status != CLI_DONE || f->is_cut)
		return status;
	if (highest == 0)
		highest = f->closed * ABOVE_CLOSED;
	if (lowest > highest) {
		cli_error("a closed loop reaches %s a second, too few for "
			  "%s; take a longer --duration or more --connections",
			  units_rate(f->closed, text),
			  o->lowest > 0 ? "--min"
					: "the percentiles of the gates");
		return CLI_FAILED;
	}
	search_init(&f->search, lowest, highest, o->resolution);
	f->steps = calloc((size_t)f->search.tries_most, sizeof(*f->steps));
	if (!f->steps) {
		cli_error("no memory for so many steps");
		return CLI_FAILED;
	}
	find_print_plan(f);
	while (status == CLI_DONE && !f->is_cut && f->search.state == SEARCH_ON)
		status = try_next(f);
	return status;
}

static int outcome(const struct find *f)
{
	if (f->is_cut || f->search.state == SEARCH_UNSETTLED)
		return CLI_FAILED;
	return f->search.state == SEARCH_NONE ? LOAD_GATE_FAILED : CLI_DONE;
}

static int finish(const struct find *f)
{
	int status = outcome(f), written = CLI_DONE, flushed;

	find_print_answer(f);
	if (f->options->load.json)
		written = find_write_json(f);
	flushed = cli_flush();
	if (status == CLI_DONE)
		status = written != CLI_DONE ? written : flushed;
	return status;
}

int load_find(int argc, char **argv)
{
	static struct find_options options; /* too large for a small stack */
	struct find f = { .options = &options };
	int status = find_options_parse(&options, argc, argv);

	if (status < 0) {
		status = limits_prepare(&options.load.plan);
		if (status == CLI_DONE)
			status = target_resolve(&f.target, &options.load.plan);
		if (status == CLI_DONE) {
			load_catch_signals();
			status = search(&f);
		}
		if (status == CLI_DONE)
			status = finish(&f);
		target_fini(&f.target);
		free(f.steps);
	}
	load_options_fini(&options.load);
	return status;
}
