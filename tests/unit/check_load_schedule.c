/* SPDX-License-Identifier: MIT */
/*
 * The planned instants of an open loop, without a clock or a server: each
 * connection sends at once when a message is due.
 */
#include "test.h"

#include <math.h>

#include "../../client/load/engine/engine.h"

#define INSTANTS 100000
#define CONNS	 50
#define RATE	 1000.0

static int64_t at[INSTANTS];

/* The first instants of all connections, in order. */
static void plan_instants(enum plan_schedule schedule, uint64_t count)
{
	struct plan plan = { .schedule = schedule,
			     .rate = RATE,
			     .count = count,
			     .depth = 1,
			     .connections = CONNS,
			     .seed = 7 };
	struct conn conns[CONNS], *heap[CONNS + 1];
	struct engine e = { .plan = &plan,
			    .end_at = NEVER,
			    .window = 1,
			    .conns = conns,
			    .conn_count = CONNS,
			    .heap = heap };

	for (uint32_t i = 0; i < CONNS; i++) {
		conns[i] = (struct conn){ .id = i, .state = CONN_OPEN };
		schedule_begin(&e, &conns[i]);
		schedule_update(&e, &conns[i]);
	}
	ck_assert_uint_eq(e.heap_used, CONNS);
	for (int i = 0; i < INSTANTS; i++) {
		struct conn *next = e.heap[1];

		at[i] = next->due_at;
		schedule_next(&e, next);
		schedule_update(&e, next);
	}
}

/* Of the gaps: standard deviation / mean, and correlation of neighbours. */
struct gaps {
	double mean, variation, correlation;
};

static struct gaps gaps(void)
{
	double squares = 0, products = 0, before = 0;
	int count = INSTANTS - 1;
	struct gaps g = { .mean = (double)(at[count] - at[0]) / count };

	for (int i = 1; i <= count; i++) {
		double off = (double)(at[i] - at[i - 1]) - g.mean;

		ck_assert_int_ge(at[i], at[i - 1]);
		squares += off * off;
		products += off * before;
		before = off;
	}
	g.variation = sqrt(squares / count) / g.mean;
	g.correlation = products / squares;
	return g;
}

START_TEST(constant_instants_are_evenly_spaced)
{
	plan_instants(PLAN_CONSTANT, 0);
	for (int i = 0; i < INSTANTS; i++)
		ck_assert_int_le(llabs(at[i] - i * INT64_C(1000000)), 1);
}
END_TEST

/*
 * Exponential gaps have a deviation equal to their mean and are independent.
 * Four standard deviations: 1.3 % for the mean, about 0.013 for the variation
 * and the correlation.
 */
START_TEST(poisson_instants_have_the_rate_and_are_independent)
{
	struct gaps g;

	plan_instants(PLAN_POISSON, 0);
	g = gaps();
	ck_assert_double_eq_tol(g.mean, 1e9 / RATE, 0.013 * 1e9 / RATE);
	ck_assert_double_eq_tol(g.variation, 1, 0.02);
	ck_assert_double_eq_tol(g.correlation, 0, 0.013);
}
END_TEST

/*
 * The last messages of a count are not less frequent: a tenth of the time has
 * a tenth of them, within four deviations.
 */
START_TEST(poisson_instants_of_a_count_have_the_rate_to_the_end)
{
	double tenth = INSTANTS / 10.0, in_last = 0;
	int64_t end = (int64_t)(INSTANTS * 1e9 / RATE);

	plan_instants(PLAN_POISSON, INSTANTS);
	for (int i = 0; i < INSTANTS; i++)
		in_last += at[i] >= end - end / 10;
	ck_assert_int_le(at[INSTANTS - 1], end);
	ck_assert_double_eq_tol(in_last, tenth, 4 * sqrt(tenth * 0.9));
	ck_assert_double_eq_tol(gaps().variation, 1, 0.02);
}
END_TEST

static int compare_gaps(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

#define SEEDS 20

/* The first gaps of all connections of all seeds are all different. */
START_TEST(neighbouring_seeds_share_no_arrivals)
{
	static int64_t first[SEEDS * CONNS];
	struct plan plan = { .schedule = PLAN_POISSON,
			     .rate = RATE,
			     .connections = CONNS };
	struct engine e = { .plan = &plan, .end_at = NEVER };

	for (size_t i = 0; i < SEEDS * CONNS; i++) {
		struct conn c = { .id = (uint32_t)(i % CONNS) };

		plan.seed = i / CONNS;
		schedule_begin(&e, &c);
		first[i] = c.due_at;
	}
	qsort(first, SEEDS * CONNS, sizeof(first[0]), compare_gaps);
	for (size_t i = 1; i < SEEDS * CONNS; i++)
		ck_assert_int_ne(first[i], first[i - 1]);
}
END_TEST

/* ---- what is left over at the end */

static struct histogram from_plan;
static struct interval interval;
static struct histogram without_lag, dropped;

/* Send nothing for that many seconds, or until the count is planned. */
static void send_nothing(struct plan *plan, int64_t seconds)
{
	struct conn conns[CONNS], *heap[CONNS + 1];
	struct engine e = { .plan = plan,
			    .now = &interval,
			    .dropped = &dropped,
			    .window = 1,
			    .conns = conns,
			    .conn_count = CONNS,
			    .heap = heap };

	histogram_clear(&from_plan);
	interval = (struct interval){ .censored = { { 0, NEVER } } };
	interval.clocks[CLOCK_FROM_PLAN] = &from_plan;
	interval.without_lag = &without_lag;
	e.start_at = now_ns();
	e.measure_at = e.start_at + plan->warmup_ns;
	e.end_at = seconds > 0 ? e.measure_at + seconds * 1000000000 : NEVER;
	for (uint32_t i = 0; i < CONNS; i++) {
		conns[i] = (struct conn){ .id = i, .state = CONN_OPEN };
		schedule_begin(&e, &conns[i]);
	}
	schedule_count_missed(&e);
	ck_assert_uint_eq(interval.counts.planned, interval.counts.never_sent);
	ck_assert_uint_eq(interval.counts.planned, from_plan.total);
	ck_assert_uint_eq(interval.counts.planned,
			  interval.censored[CLOCK_FROM_PLAN].count);
}

/* As old as if each had been visited. */
static void ages_are_even(double seconds)
{
	for (int percent = 1; percent < 100; percent++)
		ck_assert_double_eq_tol(
			(double)histogram_percentile(&from_plan, percent) / 1e9,
			seconds * percent / 100, seconds / 200);
	ck_assert_double_eq_tol(histogram_mean(&from_plan) / 1e9, seconds / 2,
				seconds / 200);
	ck_assert_double_eq_tol((double)from_plan.max / 1e9, seconds,
				seconds / 200);
	ck_assert_int_le(interval.censored[CLOCK_FROM_PLAN].min,
			 from_plan.max / 200);
}

START_TEST(what_was_never_sent_is_booked_with_its_age)
{
	struct plan plan = { .schedule = PLAN_CONSTANT,
			     .rate = RATE,
			     .connections = CONNS };

	send_nothing(&plan, 20);
	ck_assert_uint_eq(interval.counts.planned, 20 * (uint64_t)RATE);
	ages_are_even(20);
	plan.warmup_ns = 3000000000; /* not counted */
	send_nothing(&plan, 20);
	ck_assert_uint_eq(interval.counts.planned, 20 * (uint64_t)RATE);
	plan.count = 12345;
	send_nothing(&plan, 0);
	ck_assert_uint_eq(interval.counts.planned, 12345);
	ages_are_even(12.345);
	send_nothing(&plan, 5);
	ck_assert_uint_eq(interval.counts.planned, 5 * (uint64_t)RATE);
	plan.schedule = PLAN_POISSON;
	send_nothing(&plan, 0);
	ck_assert_uint_eq(interval.counts.planned, 12345);
	ages_are_even(12.345);
	plan.count = 0;
	send_nothing(&plan, 20);
	ck_assert_double_eq_tol((double)interval.counts.planned, 20 * RATE,
				5 * sqrt(20 * RATE));
	ages_are_even(20);
}
END_TEST

/* Visiting each would take hours. */
START_TEST(no_number_of_unsent_messages_is_too_great_to_be_booked)
{
	struct plan plan = { .schedule = PLAN_CONSTANT,
			     .rate = 1e8,
			     .connections = CONNS };

	send_nothing(&plan, 100 * 3600);
	ck_assert_uint_eq(interval.counts.planned,
			  UINT64_C(100) * 3600 * 100000000);
	plan.count = UINT64_C(1000000000000000);
	send_nothing(&plan, 0);
	ck_assert_uint_eq(interval.counts.planned, plan.count);
	plan.schedule = PLAN_POISSON;
	send_nothing(&plan, 0);
	ck_assert_uint_eq(interval.counts.planned, plan.count);
}
END_TEST

/* ---- stages */

/* It would be the first again at once, for as long as it waits. */
START_TEST(a_connection_that_waits_for_its_last_reply_is_not_due)
{
	struct plan plan = { .schedule = PLAN_CONSTANT,
			     .rate = RATE,
			     .depth = 1,
			     .connections = 1 };
	struct conn c = { .state = CONN_OPEN }, *heap[2];
	struct engine e = { .plan = &plan,
			    .end_at = NEVER,
			    .window = 1,
			    .conns = &c,
			    .conn_count = 1,
			    .heap = heap };

	schedule_begin(&e, &c);
	schedule_update(&e, &c);
	ck_assert_ptr_eq(schedule_first(&e), &c);
	c.is_retiring = true;
	schedule_update(&e, &c);
	ck_assert_ptr_null(schedule_first(&e));
}
END_TEST

START_TEST(stages_are_followed_exactly)
{
	struct plan plan = { .stages = { { 100, 100, 1000000000 },
					 { 100, 300, 1000000000 },
					 { 300, 300, 2000000000 } },
			     .stage_count = 3 };

	ck_assert_int_eq(plan_instant(&plan, 0), 0);
	ck_assert_int_eq(plan_instant(&plan, 50), 500000000);
	ck_assert_int_eq(plan_instant(&plan, 100), 1000000000);
	/* 100 t + 100 t^2 = 75 at half of the second */
	ck_assert_int_eq(plan_instant(&plan, 175), 1500000000);
	ck_assert_int_eq(plan_instant(&plan, 300), 2000000000);
	ck_assert_int_eq(plan_instant(&plan, 600), 3000000000);
	ck_assert_int_eq(plan_instant(&plan, 900), 4000000000);
	/* Behind the end: at the last rate. */
	ck_assert_int_eq(plan_instant(&plan, 1200), 5000000000);
}
END_TEST

/* 100 + 200 + 600 messages, sent or not. */
START_TEST(what_stages_plan_is_counted_if_it_is_never_sent)
{
	for (int poisson = 0; poisson < 2; poisson++) {
		struct plan plan = { .schedule = poisson ? PLAN_POISSON
							 : PLAN_CONSTANT,
				     .connections = CONNS,
				     .seed = 1,
				     .rate = 225,
				     .stages = { { 100, 100, 1000000000 },
						 { 100, 300, 1000000000 },
						 { 300, 300, 2000000000 } },
				     .stage_count = 3 };

		send_nothing(&plan, 4);
		if (!poisson)
			ck_assert_uint_eq(interval.counts.planned, 900);
		/* Five standard deviations. */
		ck_assert_int_le(llabs((int64_t)interval.counts.planned - 900),
				 150);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"load_schedule", stages_are_followed_exactly,
		what_stages_plan_is_counted_if_it_is_never_sent,
		constant_instants_are_evenly_spaced,
		poisson_instants_have_the_rate_and_are_independent,
		neighbouring_seeds_share_no_arrivals,
		poisson_instants_of_a_count_have_the_rate_to_the_end,
		a_connection_that_waits_for_its_last_reply_is_not_due,
		what_was_never_sent_is_booked_with_its_age,
		no_number_of_unsent_messages_is_too_great_to_be_booked);
}
