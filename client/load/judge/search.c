/* SPDX-License-Identifier: MIT */
#include "search.h"

#include <math.h>
#include <stdio.h>

#include "verdict.h"

#define STEP_UP	  2.0
#define STEP_DOWN 4.0

double search_held(const struct search *s)
{
	return s->passed_count > 0 ? s->passed[s->passed_count - 1] : 0;
}

static bool search_has_failed(const struct search *s)
{
	return s->failed <= s->highest;
}

static bool is_narrow(const struct search *s, double low, double high)
{
	return high <= low * (1 + s->resolution) * (1 + 1e-9);
}

/* How many halvings make a bracket of that ratio narrow. */
static int halvings(double ratio, double resolution)
{
	double n = log2(log(ratio) / log1p(resolution));

	return n > 0 ? (int)ceil(n - 1e-9) : 0;
}

/*
 * Each rate may be tried twice.  An unconfirmed rate may need the last
 * halvings again.
 */
static int most_tries(const struct search *s)
{
	double ratio = s->highest / s->lowest;
	int down = (int)ceil(log(ratio) / log(STEP_DOWN)) + 1;
	int up = 1 + (int)(log(STEP_DOWN) / log(STEP_UP));
	int halve = halvings(fmin(STEP_DOWN, fmax(ratio, 1)), s->resolution);

	return 2 * ((down > up ? down : up) + halve + 1) + halve + 2;
}

void search_init(struct search *s, double lowest, double highest,
		 double resolution)
{
	*s = (struct search){ .lowest = lowest,
			      .highest = highest,
			      .resolution = resolution,
			      .failed = INFINITY };
	s->next = fmax(highest / STEP_DOWN, lowest);
	s->tries_most = most_tries(s);
}

static void choose(struct search *s)
{
	double held = search_held(s);

	s->is_last = false;
	if (held == 0 && s->failed <= s->lowest) {
		s->state = SEARCH_NONE;
	} else if (held == 0) {
		s->next = fmax(s->failed / STEP_DOWN, s->lowest);
	} else if (search_has_failed(s) ? is_narrow(s, held, s->failed)
					: is_narrow(s, held, s->highest)) {
		s->next = held;
		s->is_last = true;
	} else if (search_has_failed(s)) {
		s->next = sqrt(held * s->failed);
	} else {
		s->next = fmin(held * STEP_UP, s->highest);
	}
}

static void note_held(struct search *s)
{
	if (s->is_last)
		s->state = SEARCH_FOUND;
	else if (s->passed_count < SEARCH_HELD_MAX)
		s->passed[s->passed_count++] = s->next;
	else
		s->passed[SEARCH_HELD_MAX - 1] = s->next;
}

static void note_failed(struct search *s)
{
	s->failed = s->next;
	if (s->is_last)
		s->passed_count--;
}

static void end_in_time(struct search *s)
{
	if (s->state == SEARCH_ON &&
	    (s->tries >= s->tries_most || s->lasts >= SEARCH_LASTS_MAX))
		s->state = SEARCH_UNSETTLED;
}

void search_note(struct search *s, bool has_held)
{
	bool is_second = s->is_again;

	s->tries++;
	s->lasts += s->is_last;
	s->is_again = !has_held && !is_second;
	if (has_held)
		note_held(s);
	else if (is_second)
		note_failed(s);
	if (s->state == SEARCH_ON && !s->is_again)
		choose(s);
	end_in_time(s);
}

void search_repeat(struct search *s)
{
	s->tries++;
	end_in_time(s);
}

/*
 * Poisson arrivals leave a queue at the end of a rate that holds, too: allow
 * five standard deviations.
 */
static bool is_queue_of_chance(const struct result *r)
{
	double drained = (double)r->counts.drained;

	return r->plan->schedule == PLAN_POISSON && r->counts.planned > 0 &&
	       drained * drained <= 25 * (double)r->counts.planned;
}

void find_judge(struct find_step *step, const struct result *r)
{
	bool have_passed = gates_judge(&step->gates, r);

	step->elapsed = r->elapsed;
	if (r->counts.planned > 0)
		step->answered = 100 * (double)result_answered_in_time(r) /
				 (double)r->counts.planned;
	if (is_queue_of_chance(r))
		step->answered = 100 * (double)r->counts.answered /
				 (double)r->counts.planned;
	step->is_empty = r->plan->schedule == PLAN_POISSON &&
			 r->counts.planned == 0 && !result_has_ended_early(r);
	step->is_incomplete = r->is_incomplete;
	step->has_held = have_passed && step->answered >= FIND_ANSWERED &&
			 !r->is_incomplete;
	step->is_client_limited = !step->has_held && verdict_is_our_limit(r);
	snprintf(step->reason, sizeof(step->reason), "%s", r->reasons[0]);
}

const struct find_step *find_failed(const struct find *f)
{
	for (int i = f->step_count - 1; i >= 0; i--)
		if (!f->steps[i].has_held && !f->steps[i].is_empty &&
		    f->steps[i].rate == f->search.failed)
			return &f->steps[i];
	return NULL;
}
