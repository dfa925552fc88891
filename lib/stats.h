/* SPDX-License-Identifier: MIT */
/*
 * Counters.  Each thread of the server has a lane of its own, which only it
 * writes; a snapshot sums the lanes.  Threads of the program share one more
 * lane, with atomic additions.
 */
#ifndef WR_STATS_H
#define WR_STATS_H

#include <stdatomic.h>

#include "base.h"
#include "settings.h"
#include "weir.h"

/* How a connection ended: the columns of the ledger. */
enum wr_outcome {
	WR_COMPLETED,
	WR_FAILED,
	WR_TIMED_OUT,
	WR_REFUSED_FULL,
	WR_REFUSED_AGE,
	WR_REFUSED_LIMIT,
	WR_REFUSED_DRAIN,
	WR_CUT,
	WR_OUTCOMES
};

static inline bool wr_is_refusal(int outcome)
{
	return outcome >= WR_REFUSED_FULL && outcome <= WR_REFUSED_DRAIN;
}

typedef _Atomic uint64_t wr_counter;

struct wr_lane {
	_Alignas(WR_CACHE_LINE) bool is_shared; /* c */
	wr_counter accepted;
	wr_counter outcome[WR_OUTCOMES];
	wr_counter timed_out[WR_TIMEOUTS];
	wr_counter bytes_in, bytes_out, callbacks;
	wr_counter dead_on_arrival, accept_errors, shortages, late_bytes;
	wr_counter parked, queued, lingering; /* gauges: entered - left */
	wr_counter queue_wait[WEIR_BUCKETS];
	wr_counter callback_time[WEIR_BUCKETS];
};

/*
 * Relaxed: a counter orders nothing.  In a lane of one writer a load and a
 * store do, which costs no locked instruction.
 */
static inline void wr_count(struct wr_lane *lane, wr_counter *counter,
			    uint64_t n)
{
	if (lane->is_shared) {
		atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
		return;
	}
	atomic_store_explicit(
		counter,
		atomic_load_explicit(counter, memory_order_relaxed) + n,
		memory_order_relaxed);
}

/* Put a duration into a histogram of a lane. */
static inline void wr_count_duration(struct wr_lane *lane,
				     wr_counter *histogram, int64_t ns)
{
	uint64_t us = ns > 0 ? (uint64_t)ns / 1000 : 0;
	int bucket = us ? 64 - __builtin_clzll(us) : 0;

	if (bucket >= WEIR_BUCKETS)
		bucket = WEIR_BUCKETS - 1;
	wr_count(lane, &histogram[bucket], 1);
}

/* A snapshot of what the lanes count. */
void wr_lanes_sum(struct weir_stats *ret, const struct wr_lane *lanes,
		  int count);

#endif
