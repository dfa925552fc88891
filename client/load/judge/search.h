/* SPDX-License-Identifier: MIT */
/*
 * The search for the highest rate that passes: the next rate follows from the
 * outcomes so far.  find.c does the runs.
 *
 * A bracket of the highest rate that passed and the lowest that failed is
 * found by doubling upwards, or by dividing by four downwards.  It is halved
 * on a logarithmic scale until it is as narrow as the resolution.  A failure
 * may be noise, so a rate is tried again and fails the second time.  The rate
 * that is found is confirmed in a longer run; if this fails, the search goes
 * on below.
 */
#ifndef LOAD_SEARCH_H
#define LOAD_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "gates.h"

enum search_state {
	SEARCH_ON,
	SEARCH_FOUND,	  /* confirmed */
	SEARCH_NONE,	  /* even the lowest rate failed */
	SEARCH_UNSETTLED, /* passed once, but could not be confirmed */
};

#define SEARCH_HELD_MAX	 32
#define SEARCH_LASTS_MAX 4

struct search {
	double lowest, highest;
	double resolution; /* 0.05: 5 % */
	/* Rates that passed, ascending. */
	double passed[SEARCH_HELD_MAX];
	int passed_count;
	double failed; /* the lowest that failed twice; above highest: none */
	double next;
	bool is_again; /* next has failed once */
	bool is_last;  /* next is to be confirmed */
	int tries, tries_most;
	int lasts; /* of these, confirmations */
	enum search_state state;
};

/* 0 < lowest <= highest, 0 < resolution. */
void search_init(struct search *s, double lowest, double highest,
		 double resolution);

/* Did s->next pass?  Sets s->next or s->state. */
void search_note(struct search *s, bool has_held);

/* The run of s->next said nothing: it is repeated, unless it was the last. */
void search_repeat(struct search *s);

/* The highest rate that passed; 0: none. */
double search_held(const struct search *s);

/* A rate fails if less of what was planned is answered, in percent. */
#define FIND_ANSWERED 98.0

struct find_step {
	double rate;
	bool is_again, is_last; /* as in struct search */
	bool has_held;
	bool is_empty; /* no message fell into it by chance: it says nothing */
	bool is_client_limited;
	bool is_incomplete; /* as in struct result */
	double answered;    /* of planned, % */
	int64_t elapsed;    /* measured, ns */
	struct gates gates; /* judged */
	char reason[128];   /* the first reason of the verdict */
};

struct find {
	const struct plan *plan; /* its rate is not used */
	const struct gates *gates;
	struct search search;
	double closed; /* replies a second of a closed loop; 0: not tried */
	struct find_step *steps;
	int step_count;
	bool is_cut;
};

/* Judge a step, whose gates are set, by the result of its run. */
void find_judge(struct find_step *step, const struct result *r);

/* The last run of the lowest rate that failed, or NULL. */
const struct find_step *find_failed(const struct find *f);

#endif
