/* SPDX-License-Identifier: MIT */
/*
 * Counters.  Each thread of the server has a stats of its own, which only it
 * writes; a snapshot sums the stats.  Threads of the program share one more
 * stats, with atomic additions.
 */
#ifndef WR_STATS_H
#define WR_STATS_H

#include <stdatomic.h>

#include "base.h"
#include "settings.h"
#include "weir.h"

/* How a connection ended: the columns of the ledger. */
enum wr_outcome {
	WR_OUTCOME_COMPLETED,
	WR_OUTCOME_FAILED,
	WR_OUTCOME_TIMED_OUT,
	WR_OUTCOME_REFUSED_FULL,
	WR_OUTCOME_REFUSED_AGE,
	WR_OUTCOME_REFUSED_LIMIT,
	WR_OUTCOME_REFUSED_DRAIN,
	WR_OUTCOME_CUT,
	WR_OUTCOME_COUNT
};

static inline bool wr_is_refusal(int outcome)
{
	return outcome >= WR_OUTCOME_REFUSED_FULL &&
	       outcome <= WR_OUTCOME_REFUSED_DRAIN;
}

typedef _Atomic uint64_t wr_counter;

struct wr_stats {
	_Alignas(WR_CACHE_LINE) bool is_shared; /* c */
	wr_counter accepted;
	wr_counter outcome[WR_OUTCOME_COUNT];
	wr_counter timed_out[WR_TMO_COUNT];
	wr_counter bytes_in, bytes_out, callbacks;
	wr_counter dead_on_arrival, accept_errors, shortages, late_bytes;
	wr_counter parked, queued, lingering; /* gauges: entered - left */
	wr_counter queue_wait[WEIR_BUCKETS];
	wr_counter callback_time[WEIR_BUCKETS];
};

/*
 * Relaxed: a counter orders nothing.  In a stats of one writer a load and a
 * store do, which costs no locked instruction.
 */
static inline void wr_count(struct wr_stats *stats, wr_counter *counter,
			    uint64_t n)
{
	if (stats->is_shared) {
		atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
		return;
	}
	atomic_store_explicit(
		counter,
		atomic_load_explicit(counter, memory_order_relaxed) + n,
		memory_order_relaxed);
}

/* Put a duration into a histogram of a stats. */
static inline void wr_count_duration(struct wr_stats *stats,
				     wr_counter *histogram, int64_t ns)
{
	uint64_t us = ns > 0 ? (uint64_t)ns / 1000 : 0;
	int bucket = us ? 64 - __builtin_clzll(us) : 0;

	if (bucket >= WEIR_BUCKETS)
		bucket = WEIR_BUCKETS - 1;
	wr_count(stats, &histogram[bucket], 1);
}

/* A snapshot of what the stats count. */
void wr_stats_sum(struct weir_stats *ret, const struct wr_stats *stats,
		  int count);

#endif
