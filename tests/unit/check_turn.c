/* SPDX-License-Identifier: MIT */
/*
 * The word that says whose turn a connection is: one owner at a time, no
 * report lost, and nothing of an earlier connection in the same slot.
 */
#include "test.h"

#include "turn.h"

START_TEST(who_finds_it_free_owns_it_and_nobody_else)
{
	wr_turn t;

	wr_turn_begin(&t, 7);
	ck_assert(!wr_turn_raise(&t, 7, WR_IN)); /* who begins it owns it */
	ck_assert(!wr_turn_claim(&t, 7));
	ck_assert(!wr_turn_yield(&t)); /* a report has come */
	ck_assert_uint_eq(wr_turn_take(&t), WR_IN);
	ck_assert(wr_turn_yield(&t));
	ck_assert(wr_turn_raise(&t, 7, WR_WAKE | WR_OUT));
	ck_assert(!wr_turn_raise(&t, 7, WR_HUP));
	ck_assert_uint_eq(wr_turn_take(&t), WR_WAKE | WR_OUT | WR_HUP);
	ck_assert(wr_turn_yield(&t));
	ck_assert(wr_turn_claim(&t, 7));
	ck_assert(!wr_turn_claim(&t, 7));
	ck_assert_uint_eq(wr_turn_take(&t), 0);
}
END_TEST

START_TEST(what_is_late_is_nothing_to_a_newer_connection)
{
	wr_turn t;

	wr_turn_begin(&t, 8);
	ck_assert(!wr_turn_raise(&t, 7, WR_IN));
	ck_assert(!wr_turn_raise(&t, 9, WR_IN));
	ck_assert_uint_eq(wr_turn_peek(&t), 0);
	ck_assert(wr_turn_yield(&t));
	ck_assert(!wr_turn_raise(&t, 7, WR_HUP));
	ck_assert(!wr_turn_claim(&t, 7));
	ck_assert_uint_eq(wr_turn_peek(&t), 0);
	ck_assert(wr_turn_claim(&t, 8));
	ck_assert_uint_eq(wr_turn_generation(&t), 8);
}
END_TEST

int main(void)
{
	return RUN_TESTS("turn", who_finds_it_free_owns_it_and_nobody_else,
			 what_is_late_is_nothing_to_a_newer_connection);
}
