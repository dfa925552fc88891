/* SPDX-License-Identifier: MIT */
/* A snapshot of the stats: sums, and its bounds while the stats change. */
#include <string.h>

#include "core.h"
#include "test.h"

START_TEST(a_snapshot_is_the_sum_of_the_threads)
{
	static struct wr_stats stats[3];
	struct weir_stats now;

	atomic_store(&stats[1].accepted, 7);
	atomic_store(&stats[2].accepted, 2);
	atomic_store(&stats[0].outcome[WR_OUTCOME_COMPLETED], 5);
	atomic_store(&stats[1].outcome[WR_OUTCOME_COMPLETED], 1);
	atomic_store(&stats[0].parked, 4);
	atomic_store(&stats[1].parked, (uint64_t)-1);
	wr_stats_sum(&now, stats, 3);
	ck_assert_uint_eq(now.ledger.accepted, 9);
	ck_assert_uint_eq(now.ledger.completed, 6);
	ck_assert_uint_eq(now.parked, 3);
}
END_TEST

/* A connection came and went during the snapshot: only its end was seen. */
START_TEST(a_gauge_of_which_half_was_seen_is_not_below_zero)
{
	static struct wr_stats stats[2];
	struct weir_stats now;

	atomic_store(&stats[1].parked, (uint64_t)-1);
	atomic_store(&stats[1].queued, (uint64_t)-2);
	atomic_store(&stats[1].lingering, (uint64_t)-1);
	wr_stats_sum(&now, stats, 2);
	ck_assert_uint_eq(now.parked, 0);
	ck_assert_uint_eq(now.queued, 0);
	ck_assert_uint_eq(now.lingering, 0);
}
END_TEST

START_TEST(a_snapshot_has_totals_and_sums)
{
	static struct wr_stats stats[2];
	struct weir_stats now;

	atomic_store(&stats[0].accepted, 10);
	atomic_store(&stats[0].outcome[WR_OUTCOME_COMPLETED], 1);
	atomic_store(&stats[1].outcome[WR_OUTCOME_REFUSED_AGE], 2);
	atomic_store(&stats[0].outcome[WR_OUTCOME_REFUSED_DRAIN], 3);
	atomic_store(&stats[0].outcome[WR_OUTCOME_CUT], 1);
	wr_count_duration(&stats[0].queue_wait, 1500);
	wr_count_duration(&stats[1].queue_wait, 2500);
	wr_count_duration(&stats[1].queue_wait, -1);
	wr_stats_sum(&now, stats, 2);
	ck_assert_uint_eq(now.ledger.refused, 5);
	ck_assert_uint_eq(now.ledger.closed, 7);
	ck_assert_uint_eq(now.queue_wait_us, 4);
	ck_assert_uint_eq(now.queue_wait[0], 1);
	ck_assert_uint_eq(now.queue_wait[1], 1);
	ck_assert_uint_eq(now.queue_wait[2], 1);
}
END_TEST

START_TEST(the_text_of_a_ledger_leaves_out_what_is_zero)
{
	const struct weir_ledger some = {
		.accepted = 9, .completed = 6, .refused_drain = 2, .cut = 1
	};
	struct weir_ledger most;
	char text[WR_LEDGER_TEXT];

	wr_ledger_text(text, &some);
	ck_assert_str_eq(text,
			 "9 accepted, 6 completed, 2 refused_drain, 1 cut");
	memset(&most, 0xff, sizeof(most));
	wr_ledger_text(text, &most);
	ck_assert_uint_lt(strlen(text), sizeof(text));
}
END_TEST

/* Two threads ask at once, and the first one to read the clock comes last. */
START_TEST(no_part_of_a_stop_takes_less_than_no_time)
{
	static struct wr_core core;
	struct weir_report r = { .drain_ms = 0 };
	int64_t now = wr_now_ns();

	atomic_store(&core.asked_at, now);
	atomic_store(&core.lame_till, now - 1000 * WR_NS_PER_MS);
	wr_core_time_stop(&core, &r);
	ck_assert_uint_eq(r.lame_duck_ms, 0);
}
END_TEST

int main(void)
{
	return RUN_TESTS("stats", a_snapshot_is_the_sum_of_the_threads,
			 a_snapshot_has_totals_and_sums,
			 a_gauge_of_which_half_was_seen_is_not_below_zero,
			 the_text_of_a_ledger_leaves_out_what_is_zero,
			 no_part_of_a_stop_takes_less_than_no_time);
}
