/* SPDX-License-Identifier: MIT */
#include "compare.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define Z95 1.959963984540054

/* The test needs products of the lengths. */
#define VALUES_MAX 1000

#define CORRELATION_MAX 0.9

/* A median is a lower bound if its lower bounds could raise it by more. */
#define BOUND 1.05

const char *const compare_words[] = {
	[COMPARE_BETTER] = "better",
	[COMPARE_WORSE] = "worse",
	[COMPARE_SAME] = "no difference shown",
	[COMPARE_NOISY] = "too noisy to say",
	[COMPARE_SHORT] = "too few seconds",
	[COMPARE_BOUND] = "a lower bound",
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const double *sorted, size_t count)
{
	return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

/* Of neighbours; at least 0. */
static double correlation(const struct series *s)
{
	double mean = 0, squares = 0, products = 0, r;

	for (size_t i = 0; i < s->count; i++)
		mean += s->values[i];
	mean /= (double)s->count;
	for (size_t i = 0; i < s->count; i++) {
		double d = s->values[i] - mean;

		squares += d * d;
		if (i > 0)
			products += d * (s->values[i - 1] - mean);
	}
	/* Equal values leave rounding errors. */
	r = squares > 1e-18 * mean * mean ? products / squares : 0;
	if (r < 0)
		return 0;
	return r < CORRELATION_MAX ? r : CORRELATION_MAX;
}

static double widening(const struct series *old, const struct series *new)
{
	double r = (correlation(old) + correlation(new)) / 2;

	return sqrt((1 + r) / (1 - r));
}

/* The sum of t^3 - t over groups of t equal values. */
static double ties(const double *sorted, size_t count)
{
	double sum = 0;

	for (size_t i = 0, j; i < count; i = j) {
		for (j = i + 1; j < count && sorted[j] == sorted[i];)
			j++;
		sum += pow((double)(j - i), 3) - (double)(j - i);
	}
	return sum;
}

/* Two-sided; U counts differences above 0, and those of 0 as a half. */
static double rank_test(const double *differences, size_t m, size_t n,
			const double *all, double wider)
{
	double mn = (double)m * (double)n, N = (double)(m + n), u = 0, sigma;

	for (size_t i = 0; i < m * n; i++)
		u += differences[i] > 0 ? 1 : differences[i] == 0 ? 0.5 : 0;
	sigma = sqrt(mn / 12 * (N + 1 - ties(all, m + n) / (N * (N - 1)))) *
		wider;
	if (!(sigma > 0))
		return 1;
	return erfc(fabs(u - mn / 2) / sigma / sqrt(2));
}

static void judge_shift(struct comparison *c, bool is_less_better,
			double margin)
{
	bool is_real = c->low > 0 || c->high < 0;

	if (is_real && fabs(c->shift) >= margin)
		c->word = (c->shift < 0) == is_less_better ? COMPARE_BETTER
							   : COMPARE_WORSE;
	else if (c->high - c->low > 2 * fmax(COMPARE_NOISE, margin))
		c->word = COMPARE_NOISY;
	else
		c->word = COMPARE_SAME;
}

/* The differences are sorted. */
static void find_shift(struct comparison *c, const double *differences,
		       size_t m, size_t n, double scale, double wider)
{
	double mn = (double)m * (double)n;
	double off = Z95 * sqrt(mn * (double)(m + n + 1) / 12) * wider;
	double rank = floor(mn / 2 - off);
	size_t low = rank > 0 ? (size_t)rank : 0;

	c->shift = median(differences, m * n) / scale;
	/* Nothing falls by more than all of it. */
	c->low = fmax(differences[low] / scale, -1);
	c->high = differences[m * n - 1 - low] / scale;
}

static int compare_values(struct comparison *ret, const struct series *old,
			  const struct series *new)
{
	size_t m = old->count, n = new->count;
	double wider = widening(old, new), scale;
	double *all = calloc(m + n + 1, sizeof(*all));
	double *differences = calloc(m * n + 1, sizeof(*differences));
	int rc = all && differences ? 0 : -ENOMEM;

	if (rc == 0) {
		for (size_t i = 0; i < m * n; i++)
			differences[i] =
				new->values[i % n] - old->values[i / n];
		memcpy(all, old->values, m * sizeof(*all));
		qsort(all, m, sizeof(*all), by_value);
		scale = median(all, m);
		memcpy(all, old->values, m * sizeof(*all));
		memcpy(all + m, new->values, n * sizeof(*all));
		qsort(all, m + n, sizeof(*all), by_value);
		qsort(differences, m * n, sizeof(*differences), by_value);
		find_shift(ret, differences, m, n, scale > 0 ? scale : 1,
			   wider);
		ret->p = rank_test(differences, m, n, all, wider);
	}
	free(all);
	free(differences);
	return rc;
}

static struct series thinned(const struct series *s)
{
	size_t step = (s->count + VALUES_MAX - 1) / VALUES_MAX;
	struct series ret = *s;

	if (step <= 1)
		return ret;
	ret.count = s->count / step;
	for (size_t i = 0; i < ret.count; i++) {
		ret.values[i] = s->values[i * step];
		if (s->is_more)
			ret.is_more[i] = s->is_more[i * step];
	}
	return ret;
}

static int series_median(double *ret, bool *is_more, const struct series *s)
{
	double *sorted = calloc(s->count + 1, sizeof(*sorted));

	if (!sorted)
		return -ENOMEM;
	*ret = NAN;
	*is_more = false;
	for (int pass = 0; pass < 2 && s->count > 0; pass++) {
		for (size_t i = 0; i < s->count; i++)
			sorted[i] = pass == 1 && s->is_more && s->is_more[i]
					    ? INFINITY
					    : s->values[i];
		qsort(sorted, s->count, sizeof(*sorted), by_value);
		if (pass == 0)
			*ret = median(sorted, s->count);
		else
			*is_more = median(sorted, s->count) > BOUND * *ret;
	}
	free(sorted);
	return 0;
}

int compare_series(struct comparison *ret, const struct series *old,
		   const struct series *new, bool is_less_better, double margin)
{
	struct series a = thinned(old), b = thinned(new);
	int rc;

	*ret = (struct comparison){ .word = COMPARE_SHORT, .p = 1 };
	rc = series_median(&ret->old, &ret->is_old_more, &a);
	if (rc == 0)
		rc = series_median(&ret->new, &ret->is_new_more, &b);
	if (rc < 0 || a.count < COMPARE_SECONDS || b.count < COMPARE_SECONDS)
		return rc;
	rc = compare_values(ret, &a, &b);
	if (rc == 0)
		judge_shift(ret, is_less_better, margin);
	/* The true values are above. */
	if ((ret->is_new_more && ret->word != COMPARE_WORSE) ||
	    (ret->is_old_more && ret->word != COMPARE_BETTER))
		ret->word = COMPARE_BOUND;
	return rc;
}
