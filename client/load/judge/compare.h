/* SPDX-License-Identifier: MIT */
/* Statistics of two runs: is the second better or worse than the first? */
#ifndef LOAD_COMPARE_H
#define LOAD_COMPARE_H

#include <stdbool.h>
#include <stddef.h>

/* Shorter series are not judged. */
#define COMPARE_SECONDS 8

/* An interval wider than twice this, and twice the margin, is too noisy. */
#define COMPARE_NOISE 0.10

enum compare_word {
	COMPARE_BETTER,
	COMPARE_WORSE,
	COMPARE_SAME,
	COMPARE_NOISY,
	COMPARE_SHORT,
	COMPARE_BOUND,
};

extern const char *const compare_words[];

struct series {
	double *values;
	size_t count;
	bool *is_more; /* which are lower bounds; NULL: none */
};

struct comparison {
	enum compare_word word;
	double old, new;	       /* the medians; NAN without values */
	bool is_old_more, is_new_more; /* these are lower bounds */
	double shift;		       /* relative to the old median */
	double low, high;	       /* 95 % interval of shift */
	double p;		       /* of the rank test, two-sided */
};

/*
 * The rank test of Mann and Whitney, and the Hodges-Lehmann estimate of the
 * shift.  Shifts below margin do not count.  Neighbouring seconds are similar,
 * so the intervals are widened by their correlation.  A change to the better
 * or worse that rests on a lower bound is not judged.  Values are not negative.
 * Returns 0 or -ENOMEM.
 */
int compare_series(struct comparison *ret, const struct series *old,
		   const struct series *new, bool is_less_better,
		   double margin);

#endif
