/* SPDX-License-Identifier: MIT */
/*
 * The statistics of load compare, on samples with known answers, worked out by
 * hand from the definitions of the rank test.
 */
#include "test.h"

#include <math.h>

#include "../../client/load/judge/compare.h"

#define MOST 64

static struct comparison compare(const double *old, size_t m, const double *new,
				 size_t n)
{
	double a[MOST], b[MOST];
	struct series x = { a, m, NULL }, y = { b, n, NULL };
	struct comparison c;

	memcpy(a, old, m * sizeof(*a));
	memcpy(b, new, n * sizeof(*b));
	ck_assert_int_eq(compare_series(&c, &x, &y, true, 0.05), 0);
	return c;
}

/* 1 to 10 in an uncorrelated order, times scale plus offset. */
static void mixed(double *to, double offset, double scale)
{
	static const double order[] = { 1, 10, 2, 9, 3, 8, 4, 7, 5, 6 };

	for (size_t i = 0; i < 10; i++)
		to[i] = offset + scale * order[i];
}

START_TEST(samples_that_do_not_overlap_are_told_apart)
{
	double old[10], new[10];
	struct comparison c;

	mixed(old, 0, 1);
	mixed(new, 10, 1);
	c = compare(old, 10, new, 10);
	/* U = 100, its mean 50, its deviation sqrt(100 * 21 / 12) */
	ck_assert_double_eq_tol(c.p, erfc(50 / sqrt(175) / sqrt(2)), 1e-12);
	/* All differences are 10 + t, of which there are 10 - |t|. */
	ck_assert_double_eq_tol(c.shift, 10 / 5.5, 1e-12);
	ck_assert_double_eq_tol(c.low, 7 / 5.5, 1e-12);
	ck_assert_double_eq_tol(c.high, 13 / 5.5, 1e-12);
	ck_assert_int_eq(c.word, COMPARE_WORSE);
	c = compare(new, 10, old, 10);
	ck_assert_int_eq(c.word, COMPARE_BETTER);
	ck_assert_double_eq_tol(c.shift, -10 / 15.5, 1e-12);
}
END_TEST

START_TEST(more_is_better_where_it_is)
{
	double old[10], new[10];
	struct series x = { old, 10, NULL }, y = { new, 10, NULL };
	struct comparison c;

	mixed(old, 0, 1);
	mixed(new, 10, 1);
	ck_assert_int_eq(compare_series(&c, &x, &y, false, 0.05), 0);
	ck_assert_int_eq(c.word, COMPARE_BETTER);
}
END_TEST

START_TEST(the_same_twice_is_no_difference_or_noise)
{
	double steady[10], wild[10];
	struct comparison c;

	mixed(steady, 1000, 1);
	c = compare(steady, 10, steady, 10);
	ck_assert_int_eq(c.word, COMPARE_SAME);
	ck_assert_double_eq_tol(c.p, 1, 1e-12);
	ck_assert_double_eq_tol(c.shift, 0, 1e-12);
	mixed(wild, 0, 1);
	ck_assert_int_eq(compare(wild, 10, wild, 10).word, COMPARE_NOISY);
}
END_TEST

START_TEST(equal_values_are_no_trouble)
{
	double ones[10], mostly[10] = { 1, 2, 1, 1, 1, 1, 1, 1, 1, 1 };
	struct comparison c;

	for (size_t i = 0; i < 10; i++)
		ones[i] = 1;
	c = compare(ones, 10, ones, 10);
	ck_assert_int_eq(c.word, COMPARE_SAME);
	ck_assert_double_eq_tol(c.p, 1, 1e-12);
	/* U = 55; one group of 19 ties takes 6840 / (20 * 19) from N + 1 */
	c = compare(ones, 10, mostly, 10);
	ck_assert_double_eq_tol(c.p, erfc(5 / sqrt(100.0 / 12 * 3) / sqrt(2)),
				1e-12);
	for (size_t i = 0; i < 10; i++)
		ones[i] = 0;
	ck_assert(isfinite(compare(ones, 10, ones, 10).shift));
}
END_TEST

START_TEST(seconds_that_follow_each_other_count_for_less)
{
	double drift[10], other[10], old[10], new[10];

	mixed(old, 0, 1);
	mixed(new, 4, 1);
	for (size_t i = 0; i < 10; i++) {
		drift[i] = (double)i + 1;
		other[i] = (double)i + 5;
	}
	/* The same values in a more correlated order. */
	ck_assert_double_gt(compare(drift, 10, other, 10).p,
			    2 * compare(old, 10, new, 10).p);
}
END_TEST

START_TEST(few_seconds_say_nothing)
{
	double old[10], new[10];

	mixed(old, 0, 1);
	mixed(new, 100, 1);
	ck_assert_int_eq(compare(old, 7, new, 10).word, COMPARE_SHORT);
	ck_assert_int_eq(compare(old, 10, new, 0).word, COMPARE_SHORT);
	ck_assert_int_eq(compare(old, 7, old, 7).word, COMPARE_SHORT);
	ck_assert_int_eq(compare(old, 8, new, 8).word, COMPARE_WORSE);
}
END_TEST

START_TEST(nothing_falls_by_more_than_all_of_it)
{
	double old[10] = { 100, 1, 100, 1, 100, 1, 100, 1, 1, 1 }, new[10];
	struct comparison c;

	mixed(new, 0, 0.01);
	c = compare(old, 10, new, 10);
	ck_assert_double_eq(c.low, -1);
	ck_assert_double_ge(c.shift, -1);
	ck_assert_double_eq(c.old, 1);
	ck_assert_double_eq_tol(c.new, 0.055, 1e-12);
}
END_TEST

/* Of the first values alone. */
static enum compare_word bounded(size_t in_old, size_t in_new, double added)
{
	double a[10], b[10];
	bool is_old_more[10], is_new_more[10];
	struct series x = { a, 10, is_old_more }, y = { b, 10, is_new_more };
	struct comparison c;

	mixed(a, 1000, 1);
	mixed(b, 1000 + added, 1);
	for (size_t i = 0; i < 10; i++) {
		is_old_more[i] = i < in_old;
		is_new_more[i] = i < in_new;
	}
	ck_assert_int_eq(compare_series(&c, &x, &y, true, 0.05), 0);
	ck_assert_int_eq(c.is_old_more, in_old >= 5);
	ck_assert_int_eq(c.is_new_more, in_new >= 5);
	return c.word;
}

START_TEST(a_lower_bound_is_no_proof_of_less)
{
	ck_assert_int_eq(bounded(0, 2, 0), COMPARE_SAME);
	ck_assert_int_eq(bounded(0, 9, 0), COMPARE_BOUND);
	ck_assert_int_eq(bounded(9, 0, 0), COMPARE_BOUND);
	ck_assert_int_eq(bounded(0, 9, -500), COMPARE_BOUND);
	ck_assert_int_eq(bounded(9, 0, -500), COMPARE_BETTER);
	ck_assert_int_eq(bounded(0, 9, 500), COMPARE_WORSE);
	ck_assert_int_eq(bounded(9, 0, 500), COMPARE_BOUND);
	ck_assert_int_eq(bounded(9, 9, 500), COMPARE_BOUND);
}
END_TEST

START_TEST(long_runs_are_thinned)
{
	struct series x = { .values = calloc(7000, sizeof(double)),
			    .count = 7000 };
	struct series y = { .values = calloc(7000, sizeof(double)),
			    .count = 7000 };
	struct comparison c;

	for (size_t i = 0; i < 7000; i++) {
		x.values[i] = 1000 + (double)(i * 7919 % 101);
		y.values[i] = 1200 + (double)(i * 7919 % 103);
	}
	ck_assert_int_eq(compare_series(&c, &x, &y, true, 0.05), 0);
	ck_assert_int_eq(c.word, COMPARE_WORSE);
	ck_assert_double_eq_tol(c.shift, 201 / 1050.0, 0.01);
	free(x.values);
	free(y.values);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"load_compare", samples_that_do_not_overlap_are_told_apart,
		more_is_better_where_it_is,
		the_same_twice_is_no_difference_or_noise,
		equal_values_are_no_trouble,
		seconds_that_follow_each_other_count_for_less,
		few_seconds_say_nothing, nothing_falls_by_more_than_all_of_it,
		a_lower_bound_is_no_proof_of_less, long_runs_are_thinned);
}
