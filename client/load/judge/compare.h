/* SPDX-License-Identifier: MIT */
/*
 * weir-client load compare: is the second run better or worse than the first,
 * or can nobody say?
 */
#ifndef LOAD_COMPARE_H
#define LOAD_COMPARE_H

#include <stdbool.h>
#include <stddef.h>

/* Below so many seconds of each nothing is said. */
#define COMPARE_SECONDS 8

/* An interval wider than this, of the old value, to each side says nothing. */
#define COMPARE_NOISE 0.10

enum compare_word {
	COMPARE_BETTER,
	COMPARE_WORSE,
	COMPARE_SAME,  /* no difference shown */
	COMPARE_NOISY, /* too noisy to say */
};

extern const char *const compare_words[];

struct series {
	double *values;
	size_t count;
};

struct comparison {
	enum compare_word word;
	double shift;	  /* of the values, as a share of the old median */
	double low, high; /* its 95 % interval */
	double p;	  /* of the rank test, two-sided */
};

/*
 * The rank test of Mann and Whitney, and the shift that Hodges and Lehmann
 * make of it.  margin is the least shift that counts.  Neighbouring seconds
 * are alike, so what they say is worth less than their number: the spread is
 * widened by their correlation.  Returns 0 or -ENOMEM.
 */
int compare_series(struct comparison *ret, const struct series *old,
		   const struct series *new, bool is_less_better,
		   double margin);

#endif
