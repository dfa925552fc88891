/* SPDX-License-Identifier: MIT */
/*
 * weir-client load find: the highest rate that holds all gates.  find.c runs
 * what search.h asks for; a run is a step, and becomes a line and an entry of
 * the JSON.
 */
#ifndef LOAD_FIND_H
#define LOAD_FIND_H

#include "engine/target.h"
#include "judge/search.h"
#include "load.h"

/* A rate is not held if less of what was planned is answered. */
#define FIND_ANSWERED 98.0

struct find_options {
	struct load_options load;
	double lowest, highest; /* 0: to be found out */
	double resolution;
};

struct find_step {
	double rate;
	bool is_again, is_last; /* as in struct search */
	bool has_held;
	bool is_ours;	    /* this client was the limit */
	double answered;    /* of what was planned, % */
	int64_t elapsed;    /* ns, measured */
	struct gates gates; /* judged */
	char reason[128];   /* the first of the verdict */
};

struct find {
	const struct find_options *options;
	struct target target;
	struct search search;
	double closed; /* replies a second of the closed loop; 0: not tried */
	struct find_step *steps;
	int step_count;
	bool is_cut;
};

/* argv[0] is "find".  Returns the exit status. */
int load_find(int argc, char **argv);

/* find_options.c: -1 to go on, or the exit status. */
int find_options_parse(struct find_options *ret, int argc, char **argv);

/* The rate below which a run has too few messages for the gates. */
double find_lowest(const struct find_options *o);

/* find_report.c */

void find_print_plan(const struct find *f);
void find_print_step(const struct find *f, const struct find_step *step);
/* The last line: what was found. */
void find_print_answer(const struct find *f);

/* find_json.c.  Returns CLI_DONE, or CLI_FAILED after a complaint. */
int find_write_json(const struct find *f);

/* find.c: did the step, whose gates are set, hold, and if not, whose fault? */
void find_judge(struct find_step *step, const struct result *r);

/* The lowest rate that failed, the last run of it; NULL: none. */
const struct find_step *find_failed(const struct find *f);

#endif
