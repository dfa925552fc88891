/* SPDX-License-Identifier: MIT */
/*
 * The search for the highest rate that passes, against simulated judges: one
 * that is right, one that errs, one that always or never agrees.
 */
#include "../../client/load/judge/search.h"
#include "test.h"

#include <math.h>

/* Capacities over several orders of magnitude. */
static const double lowests[] = { 1, 250, 10000 };
static const double ratios[] = { 1, 1.01, 1.5, 3.9, 17, 1000, 1e6 };
static const double resolutions[] = { 0.001, 0.01, 0.05, 0.5, 1 };

#define EACH(i, list) for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++)

/* Judge by the capacity, but fail every n-th step; 0: never. */
static struct search searched(double lowest, double highest, double resolution,
			      double capacity, int failing)
{
	struct search s;

	search_init(&s, lowest, highest, resolution);
	while (s.state == SEARCH_ON) {
		bool has_erred = failing && s.tries % failing == 0;

		ck_assert_double_ge(s.next, lowest);
		ck_assert_double_le(s.next, highest);
		search_note(&s, s.next <= capacity && !has_erred);
		ck_assert_int_le(s.tries, s.tries_most);
	}
	return s;
}

static void expect_found(const struct search *s, double capacity)
{
	double held = search_held(s);

	ck_assert_int_eq(s->state, SEARCH_FOUND);
	ck_assert_double_le(held, capacity);
	ck_assert_double_gt(held * (1 + s->resolution) * 1.000001,
			    fmin(capacity, s->highest));
	if (s->failed <= s->highest)
		ck_assert_double_le(s->failed,
				    held * (1 + s->resolution) * 1.000001);
}

START_TEST(it_finds_the_capacity_within_the_resolution)
{
	EACH(i, lowests) EACH(j, ratios) EACH(k, resolutions)
	{
		double low = lowests[i], high = low * ratios[j];

		for (int n = 0; n <= 50; n++) {
			double capacity = low * pow(ratios[j], n / 50.0);
			struct search s = searched(low, high, resolutions[k],
						   capacity * 1.0000001, 0);

			expect_found(&s, capacity * 1.0000001);
		}
	}
}
END_TEST

START_TEST(one_wrong_failure_changes_nothing)
{
	EACH(j, ratios)
	{
		double high = 100 * ratios[j];
		struct search s =
			searched(100, high, 0.05, sqrt(100 * high), 3);

		expect_found(&s, sqrt(100 * high));
	}
}
END_TEST

START_TEST(what_always_holds_is_confirmed_at_the_highest)
{
	struct search s = searched(10, 10000, 0.05, INFINITY, 0);

	ck_assert_int_eq(s.state, SEARCH_FOUND);
	ck_assert_double_eq(search_held(&s), 10000);
	ck_assert(isinf(s.failed));
	ck_assert_int_eq(s.tries, 4);
}
END_TEST

START_TEST(what_never_holds_is_tried_twice_at_the_lowest)
{
	EACH(j, ratios)
	{
		struct search s = searched(10, 10 * ratios[j], 0.05, 0, 0);

		ck_assert_int_eq(s.state, SEARCH_NONE);
		ck_assert_double_eq(search_held(&s), 0);
		ck_assert_double_eq(s.failed, 10);
		ck_assert(s.next == 10 && s.tries % 2 == 0);
	}
}
END_TEST

/* Short runs pass, the long ones at the end fail. */
START_TEST(what_cannot_be_confirmed_is_no_answer)
{
	struct search s;

	search_init(&s, 10, 10000, 0.05);
	while (s.state == SEARCH_ON)
		search_note(&s, !s.is_last);
	ck_assert_int_eq(s.state, SEARCH_UNSETTLED);
	ck_assert_int_le(s.tries, s.tries_most);
	ck_assert_int_eq(s.lasts, SEARCH_LASTS_MAX);
}
END_TEST

/* The highest passed by luck: a rate below it is the answer. */
START_TEST(a_rate_that_is_not_confirmed_gives_way_to_a_lower_one)
{
	struct search s;
	double unlucky = 0;

	search_init(&s, 100, 10000, 0.05);
	while (s.state == SEARCH_ON) {
		bool has_held = s.next <= 3000;

		if (s.is_last && unlucky == 0)
			unlucky = s.next;
		search_note(&s, has_held && s.next != unlucky);
	}
	ck_assert_int_eq(s.state, SEARCH_FOUND);
	ck_assert_double_lt(search_held(&s), unlucky);
	ck_assert_double_eq(s.failed, unlucky);
	ck_assert_double_gt(search_held(&s) * 1.0501, unlucky);
}
END_TEST

/* A third of the steps says nothing: the same is tried again. */
START_TEST(a_step_that_says_nothing_is_repeated)
{
	struct search s;
	double next;

	search_init(&s, 10, 10000, 0.05);
	while (s.state == SEARCH_ON) {
		if (s.tries % 3 == 1) {
			const struct search before = s;

			search_repeat(&s);
			ck_assert_double_eq(s.next, before.next);
			ck_assert_int_eq(s.is_again, before.is_again);
			ck_assert_int_eq(s.is_last, before.is_last);
		} else {
			search_note(&s, s.next <= 3000);
		}
	}
	expect_found(&s, 3000);
	search_init(&s, 10, 10000, 0.05);
	next = s.next;
	while (s.state == SEARCH_ON)
		search_repeat(&s);
	ck_assert_int_eq(s.state, SEARCH_UNSETTLED);
	ck_assert_int_eq(s.tries, s.tries_most);
	ck_assert_double_eq(s.next, next);
}
END_TEST

/* Whatever the judge says, the search ends in time and within its bounds. */
START_TEST(it_ends_whatever_it_is_told)
{
	uint64_t random = 1;

	for (int n = 0; n < 20000; n++) {
		struct search s;
		unsigned bias = (unsigned)n % 8 + 1;

		search_init(&s, 10, 10 * ratios[n % 7], resolutions[n % 5]);
		while (s.state == SEARCH_ON) {
			random = random * 6364136223846793005U + 1;
			search_note(&s, (random >> 33) % 9 < bias);
			ck_assert_int_le(s.tries, s.tries_most);
		}
		if (s.state == SEARCH_FOUND)
			ck_assert_double_gt(search_held(&s), 0);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS("load_search",
			 it_finds_the_capacity_within_the_resolution,
			 one_wrong_failure_changes_nothing,
			 what_always_holds_is_confirmed_at_the_highest,
			 what_never_holds_is_tried_twice_at_the_lowest,
			 what_cannot_be_confirmed_is_no_answer,
			 a_rate_that_is_not_confirmed_gives_way_to_a_lower_one,
			 a_step_that_says_nothing_is_repeated,
			 it_ends_whatever_it_is_told);
}
