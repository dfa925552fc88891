/* SPDX-License-Identifier: MIT */
/*
 * The owner word of a connection: one owner at a time, no event lost, nothing
 * left of an earlier connection in the slot.
 */
#include "test.h"

#include "owner.h"

START_TEST(the_thread_that_finds_it_free_owns_it_alone)
{
	wr_owner t;

	wr_owner_begin(&t, 7);
	ck_assert(!wr_owner_post(&t, 7, WR_EV_IN)); /* held since begin */
	ck_assert(!wr_owner_claim(&t, 7));
	ck_assert(!wr_owner_release(&t)); /* an event has come */
	ck_assert_uint_eq(wr_owner_fetch(&t), WR_EV_IN);
	ck_assert(wr_owner_release(&t));
	ck_assert(wr_owner_post(&t, 7, WR_EV_WAKE | WR_EV_OUT));
	ck_assert(!wr_owner_post(&t, 7, WR_EV_HUP));
	ck_assert_uint_eq(wr_owner_fetch(&t),
			  WR_EV_WAKE | WR_EV_OUT | WR_EV_HUP);
	ck_assert(wr_owner_release(&t));
	ck_assert(wr_owner_claim(&t, 7));
	ck_assert(!wr_owner_claim(&t, 7));
	ck_assert_uint_eq(wr_owner_fetch(&t), 0);
}
END_TEST

START_TEST(what_is_late_is_nothing_to_a_newer_connection)
{
	wr_owner t;

	wr_owner_begin(&t, 8);
	ck_assert(!wr_owner_post(&t, 7, WR_EV_IN));
	ck_assert(!wr_owner_post(&t, 9, WR_EV_IN));
	ck_assert_uint_eq(wr_owner_peek(&t), 0);
	ck_assert(wr_owner_release(&t));
	ck_assert(!wr_owner_post(&t, 7, WR_EV_HUP));
	ck_assert(!wr_owner_claim(&t, 7));
	ck_assert_uint_eq(wr_owner_peek(&t), 0);
	ck_assert(wr_owner_claim(&t, 8));
	ck_assert_uint_eq(wr_owner_generation(&t), 8);
}
END_TEST

int main(void)
{
	return RUN_TESTS("owner", the_thread_that_finds_it_free_owns_it_alone,
			 what_is_late_is_nothing_to_a_newer_connection);
}
