/* SPDX-License-Identifier: MIT */
/* The heap of timers alone, and compared with a list that is searched whole. */
#include "test.h"

#include "sys.h"
#include "timers.h"

static void heap_is_in_order(const struct wr_timers *ts)
{
	size_t i;

	for (i = 0; i < ts->len; i++) {
		ck_assert_uint_eq(ts->heap[i]->place, i + 1);
		if (i > 0)
			ck_assert(ts->heap[(i - 1) / 2]->at <= ts->heap[i]->at);
	}
}

START_TEST(nothing_is_due_while_nothing_is_armed)
{
	struct wr_timers ts = { 0 };
	struct wr_timer t = { 0 };

	ck_assert_int_eq(wr_timers_next_at(&ts), INT64_MAX);
	ck_assert_ptr_null(wr_timers_pop(&ts, INT64_MAX));
	ck_assert(!wr_timer_is_armed(&t));
	wr_timers_disarm(&ts, &t);
	wr_timers_fini(&ts);
}
END_TEST

START_TEST(a_timer_is_due_at_its_time_and_not_before)
{
	struct wr_timers ts = { 0 };
	struct wr_timer t = { 0 };

	ck_assert_int_eq(wr_timers_reserve(&ts, 1), 0);
	wr_timers_arm(&ts, &t, 100);
	ck_assert(wr_timer_is_armed(&t));
	ck_assert_int_eq(wr_timers_next_at(&ts), 100);
	ck_assert_ptr_null(wr_timers_pop(&ts, 99));
	ck_assert_ptr_eq(wr_timers_pop(&ts, 100), &t);
	ck_assert(!wr_timer_is_armed(&t));
	ck_assert_ptr_null(wr_timers_pop(&ts, 100));
	wr_timers_arm(&ts, &t, INT64_MAX - 1);
	ck_assert_int_eq(wr_timers_next_at(&ts), INT64_MAX - 1);
	wr_timers_disarm(&ts, &t);
	wr_timers_fini(&ts);
}
END_TEST

START_TEST(the_first_due_comes_first)
{
	enum { COUNT = 1000 };
	static struct wr_timer t[COUNT];
	struct wr_timers ts = { 0 };
	struct wr_timer *first;
	int64_t before = INT64_MIN;
	unsigned int seed = 2;
	int i, count = 0;

	ck_assert_int_eq(wr_timers_reserve(&ts, COUNT), 0);
	/* Few different times, so that many are due at once. */
	for (i = 0; i < COUNT; i++)
		wr_timers_arm(&ts, &t[i], rand_r(&seed) % 200 - 100);
	heap_is_in_order(&ts);
	while ((first = wr_timers_pop(&ts, 1000))) {
		ck_assert(first->at >= before);
		before = first->at;
		count++;
	}
	ck_assert_int_eq(count, COUNT);
	wr_timers_fini(&ts);
}
END_TEST

START_TEST(a_moved_timer_comes_at_its_new_time)
{
	struct wr_timers ts = { 0 };
	struct wr_timer a = { 0 }, b = { 0 }, c = { 0 };

	ck_assert_int_eq(wr_timers_reserve(&ts, 3), 0);
	wr_timers_arm(&ts, &a, 10);
	wr_timers_arm(&ts, &b, 20);
	wr_timers_arm(&ts, &c, 30);
	wr_timers_arm(&ts, &a, 40);
	wr_timers_arm(&ts, &c, 5);
	ck_assert_uint_eq(ts.len, 3);
	ck_assert_ptr_eq(wr_timers_pop(&ts, 100), &c);
	ck_assert_ptr_eq(wr_timers_pop(&ts, 100), &b);
	ck_assert_ptr_eq(wr_timers_pop(&ts, 100), &a);
	wr_timers_fini(&ts);
}
END_TEST

START_TEST(a_disarmed_timer_never_comes)
{
	struct wr_timers ts = { 0 };
	struct wr_timer a = { 0 }, b = { 0 };

	ck_assert_int_eq(wr_timers_reserve(&ts, 2), 0);
	wr_timers_arm(&ts, &a, 10);
	wr_timers_arm(&ts, &b, 20);
	wr_timers_disarm(&ts, &a);
	wr_timers_disarm(&ts, &a);
	ck_assert(!wr_timer_is_armed(&a));
	ck_assert_int_eq(wr_timers_next_at(&ts), 20);
	ck_assert_ptr_eq(wr_timers_pop(&ts, 100), &b);
	ck_assert_ptr_null(wr_timers_pop(&ts, 100));
	wr_timers_fini(&ts);
}
END_TEST

enum { MODEL = 64 };

static struct wr_timer *first_by_search(struct wr_timer *t)
{
	struct wr_timer *first = NULL;
	int i;

	for (i = 0; i < MODEL; i++)
		if (wr_timer_is_armed(&t[i]) && (!first || t[i].at < first->at))
			first = &t[i];
	return first;
}

START_TEST(any_mix_of_calls_keeps_the_order)
{
	static struct wr_timer t[MODEL];
	struct wr_timers ts = { 0 };
	struct wr_timer *first;
	unsigned int seed = 3;
	size_t armed = 0, i;
	int round;

	ck_assert_int_eq(wr_timers_reserve(&ts, MODEL), 0);
	for (round = 0; round < 50000; round++) {
		i = (size_t)rand_r(&seed) % MODEL;
		switch (rand_r(&seed) % 4) {
		case 0:
		case 1:
			armed += !wr_timer_is_armed(&t[i]);
			wr_timers_arm(&ts, &t[i], rand_r(&seed) % 1000);
			break;
		case 2:
			armed -= wr_timer_is_armed(&t[i]);
			wr_timers_disarm(&ts, &t[i]);
			break;
		case 3:
			first = wr_timers_pop(&ts, rand_r(&seed) % 1000);
			if (!first)
				break;
			armed--;
			ck_assert(!first_by_search(t) ||
				  first->at <= first_by_search(t)->at);
		}
		ck_assert_uint_eq(ts.len, armed);
		first = first_by_search(t);
		ck_assert_int_eq(wr_timers_next_at(&ts),
				 first ? first->at : INT64_MAX);
		heap_is_in_order(&ts);
	}
	wr_timers_fini(&ts);
}
END_TEST

static int no_memory(enum wr_sys_call call, size_t *len)
{
	(void)len;
	return call == WR_SYS_alloc ? -ENOMEM : 0;
}

START_TEST(without_memory_what_is_armed_stays_armed)
{
	struct wr_timers ts = { 0 };
	struct wr_timer t = { 0 };

	ck_assert_int_eq(wr_timers_reserve(&ts, 1), 0);
	wr_timers_arm(&ts, &t, 7);
	ck_assert_int_eq(wr_timers_reserve(&ts, SIZE_MAX), -ENOMEM);
	wr_sys_fault = no_memory;
	ck_assert_int_eq(wr_timers_reserve(&ts, 100000), -ENOMEM);
	ck_assert_int_eq(wr_timers_reserve(&ts, 1), 0);
	wr_sys_fault = NULL;
	ck_assert_int_eq(wr_timers_reserve(&ts, 100000), 0);
	ck_assert_uint_ge(ts.reserved, 100000);
	ck_assert_ptr_eq(wr_timers_pop(&ts, 7), &t);
	wr_timers_fini(&ts);
	ck_assert_ptr_null(ts.heap);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"timers", nothing_is_due_while_nothing_is_armed,
		a_timer_is_due_at_its_time_and_not_before,
		the_first_due_comes_first, a_moved_timer_comes_at_its_new_time,
		a_disarmed_timer_never_comes, any_mix_of_calls_keeps_the_order,
		without_memory_what_is_armed_stays_armed);
}
