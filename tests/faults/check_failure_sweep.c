/* SPDX-License-Identifier: MIT */
/*
 * A part of the failure sweep, the same each time: every STEP-th run of each
 * scenario.  tests/long/failure_sweep does all of them.
 */
#include "test.h"

#include "../sweep/sweep.h"

#define STEP 32 /* one run of that many */

START_TEST(one_failure_costs_no_more_than_one_connection)
{
	struct sweep_counts counts = { 0 };
	int scenarios = 0;

	for (const struct sweep_scenario *s = sweep_scenarios; s->name; s++)
		sweep_run(s, scenarios++ % 3, STEP * slowness(), &counts);
	ck_assert_int_eq(counts.failed, 0);
	ck_assert_int_gt(counts.runs, counts.idle * 2);
}
END_TEST

int main(void)
{
	return RUN_TESTS("failure_sweep",
			 one_failure_costs_no_more_than_one_connection);
}
