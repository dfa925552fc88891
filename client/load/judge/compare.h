/* SPDX-License-Identifier: MIT */
/* Statistics of two runs: is the second better or worse than the first? */
#ifndef LOAD_COMPARE_H
#define LOAD_COMPARE_H

#include <stdbool.h>
#include <stddef.h>

/* Shorter series are not judged. */
#define COMPARE_SECONDS 8

/* An interval wider than this, relative to the old value, is too noisy. */
#define COMPARE_NOISE 0.10

enum compare_word {
	COMPARE_BETTER,
	COMPARE_WORSE,
	COMPARE_SAME,
	COMPARE_NOISY,
};

extern const char *const compare_words[];

struct series {
	double *values;
	size_t count;
};

struct comparison {
	enum compare_word word;
	double shift;	  /* relative to the old median */
	double low, high; /* 95 % interval of shift */
	double p;	  /* of the rank test, two-sided */
};

/*
 * The rank test of Mann and Whitney, and the Hodges-Lehmann estimate of the
 * shift.  Shifts below margin do not count.  Neighbouring seconds are similar,
 * so the intervals are widened by their correlation.  Returns 0 or -ENOMEM.
 */
int compare_series(struct comparison *ret, const struct series *old,
		   const struct series *new, bool is_less_better,
		   double margin);

#endif
