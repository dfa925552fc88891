/* SPDX-License-Identifier: MIT */
/*
 * The search for the highest rate that holds: which rate to try next, by what
 * became of those before.  It knows no network; find.c runs what it asks for.
 *
 * A bracket, the highest rate that held and the lowest that failed, is found
 * by doubling twice, or downwards by a quarter of it, and then halved on a
 * scale of ratios until it is as narrow as the resolution.  One failure is
 * noise: the rate is tried again, and a second one counts.  The rate that is
 * left is tried a last time, for longer; if that fails, it counts as failed,
 * and what is below it is searched in the same way.
 */
#ifndef LOAD_SEARCH_H
#define LOAD_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "gates.h"

enum search_state {
	SEARCH_ON,
	SEARCH_FOUND,	  /* held has been confirmed */
	SEARCH_NONE,	  /* even the lowest rate failed */
	SEARCH_UNSETTLED, /* held once, but then it did not: too noisy */
};

#define SEARCH_HELD_MAX	 32
#define SEARCH_LASTS_MAX 4

struct search {
	double lowest, highest; /* the rates to search between */
	double resolution;	/* 0.05: 5 % */
	/* Those that held once, upwards. */
	double passed[SEARCH_HELD_MAX];
	int passed_count;
	double failed; /* the lowest that failed; above highest: none */
	double next;   /* to be tried */
	bool is_again; /* next has failed once */
	bool is_last;  /* next is to be confirmed */
	int tries, tries_most;
	int lasts; /* of these, with is_last */
	enum search_state state;
};

/* lowest <= highest, both above 0; resolution above 0. */
void search_init(struct search *s, double lowest, double highest,
		 double resolution);

/* Did s->next hold?  Sets s->next, or s->state. */
void search_note(struct search *s, bool has_held);

/* The highest rate that held; 0: none. */
double search_held(const struct search *s);

/* ------------------------------------------------------------------- steps */

/* A rate is not held if less of what was planned is answered, in percent. */
#define FIND_ANSWERED 98.0

/* One run of the search. */
struct find_step {
	double rate;
	bool is_again, is_last; /* as in struct search */
	bool has_held;
	bool is_client_limited; /* this client was the limit */
	double answered;	/* of what was planned, % */
	int64_t elapsed;	/* ns, measured */
	struct gates gates;	/* judged */
	char reason[128];	/* the first of the verdict */
};

/* A search and its runs so far. */
struct find {
	const struct plan *plan; /* without a rate */
	const struct gates *gates;
	struct search search;
	double closed; /* replies a second of the closed loop; 0: not tried */
	struct find_step *steps;
	int step_count;
	bool is_cut;
};

/* Did the step, whose gates are set, hold, and if not, whose fault is it? */
void find_judge(struct find_step *step, const struct result *r);

/* The lowest rate that failed, the last run of it; NULL: none. */
const struct find_step *find_failed(const struct find *f);

#endif
