/* SPDX-License-Identifier: MIT */
/*
 * A message that is late because this client sent the one before it late: the
 * lag is passed on as far as it mattered, and no further.
 */
#include "test.h"

#include "../../client/load/engine/engine.h"

#define US    INT64_C(1000)
#define USUAL (50 * US)
#define START INT64_C(1000000000)

static struct plan plan = { .schedule = PLAN_CONSTANT,
			    .mode = PLAN_EXCHANGE,
			    .expect = EXPECT_FRAMED,
			    .expect_given = "line",
			    .expected.framer = { .kind = FRAMER_LINES,
						 .count = 1 },
			    .depth = 1,
			    .connections = 1 };
static struct histogram send_clock, plan_clock, without_lag;
static struct interval interval;
static struct message message;
static struct engine_step step;
static struct conn l;
static struct engine e;
static int64_t now;

/* A message sent with that lag, and its reply that long after it. */
static void exchange(int64_t lag, int64_t took)
{
	message = (struct message){ .planned = now,
				    .sent = now + lag,
				    .lag_us = (uint32_t)(lag / US) };
	l.open = 1;
	e.under_way = 1;
	l.next = l.head + 1;
	now += lag + took;
	e.woke_at = now;
	replies_answer(&e, &l, l.head, now, NULL);
	ck_assert_uint_eq(l.open, 0);
}

static void begin(void)
{
	interval.clocks[CLOCK_FROM_SEND] = &send_clock;
	interval.clocks[CLOCK_FROM_PLAN] = &plan_clock;
	interval.without_lag = &without_lag;
	l = (struct conn){ .ring = &message, .state = CONN_OPEN };
	e = (struct engine){ .plan = &plan,
			     .now = &interval,
			     .window = 1,
			     .loop = { &step, 1 } };
	now = START;
	for (int i = 0; i < 100; i++)
		exchange(0, USUAL);
	ck_assert_int_eq(l.room_at, now);
}

START_TEST(a_lag_before_a_usual_reply_is_handed_on)
{
	begin();
	exchange(216 * US, USUAL);
	ck_assert_int_le(llabs(l.room_at - (now - 216 * US)), USUAL / 8);
	/* For a slightly slow reply, the rest of the lag. */
	exchange(216 * US, USUAL + 100 * US);
	ck_assert_int_le(llabs(l.room_at - (now - 116 * US)), USUAL / 4);
}
END_TEST

START_TEST(a_lag_before_a_stall_of_the_server_is_not)
{
	begin();
	exchange(216 * US, 490000 * US);
	ck_assert_int_eq(l.room_at, now);
	/* One stall does not change the median. */
	exchange(216 * US, 490000 * US);
	ck_assert_int_eq(l.room_at, now);
	exchange(216 * US, USUAL);
	ck_assert_int_le(llabs(l.room_at - (now - 216 * US)), USUAL / 8);
}
END_TEST

/* Replies that were there when this client looked took no time at all. */
START_TEST(what_is_usual_is_found_again_after_replies_at_once)
{
	begin();
	for (int i = 0; i < 300; i++)
		exchange(0, 0);
	/* That is usual now, and one stall does not change it. */
	exchange(0, 490000 * US);
	exchange(216 * US, USUAL);
	ck_assert_int_le(llabs(l.room_at - (now - 216 * US + USUAL)), US);
	for (int i = 0; i < 300; i++)
		exchange(0, USUAL);
	exchange(216 * US, USUAL);
	ck_assert_int_le(llabs(l.room_at - (now - 216 * US)), USUAL / 8);
}
END_TEST

START_TEST(the_figures_without_our_lag_do_not_contain_it)
{
	histogram_clear(&plan_clock);
	histogram_clear(&without_lag);
	begin();
	exchange(216 * US, USUAL);
	ck_assert_int_eq(plan_clock.max, 216 * US + USUAL);
	ck_assert_int_eq(without_lag.max, USUAL);
	ck_assert_uint_eq(without_lag.total, plan_clock.total);
}
END_TEST

int main(void)
{
	return RUN_TESTS("load_lateness",
			 the_figures_without_our_lag_do_not_contain_it,
			 a_lag_before_a_usual_reply_is_handed_on,
			 a_lag_before_a_stall_of_the_server_is_not,
			 what_is_usual_is_found_again_after_replies_at_once);
}
