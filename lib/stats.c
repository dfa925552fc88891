/* SPDX-License-Identifier: MIT */
/*
 * Summing the lanes into what weir_server_stats() shows.  Gauges are kept as
 * entries minus departures, which may be below zero in one lane and are right
 * in the sum, modulo 2^64.  A sum that is made while they change may catch a
 * departure without its entry, and would be huge: that is shown as 0.
 */
#include "stats.h"

#include <string.h>

static uint64_t value(const wr_counter *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

static void add_lane(struct weir_stats *ret, const struct wr_lane *lane)
{
	struct weir_ledger *l = &ret->ledger;

	l->completed += value(&lane->outcome[WR_COMPLETED]);
	l->failed += value(&lane->outcome[WR_FAILED]);
	l->timed_out += value(&lane->outcome[WR_TIMED_OUT]);
	l->refused_full += value(&lane->outcome[WR_REFUSED_FULL]);
	l->refused_age += value(&lane->outcome[WR_REFUSED_AGE]);
	l->refused_limit += value(&lane->outcome[WR_REFUSED_LIMIT]);
	l->refused_drain += value(&lane->outcome[WR_REFUSED_DRAIN]);
	l->cut += value(&lane->outcome[WR_CUT]);
	for (int i = 0; i < WR_TIMEOUTS; i++)
		ret->timed_out[i + WEIR_TIMEOUT_FIRST_BYTE] +=
			value(&lane->timed_out[i]);
	ret->bytes_in += value(&lane->bytes_in);
	ret->bytes_out += value(&lane->bytes_out);
	ret->callbacks += value(&lane->callbacks);
	ret->dead_on_arrival += value(&lane->dead_on_arrival);
	ret->accept_errors += value(&lane->accept_errors);
	ret->shortages += value(&lane->shortages);
	ret->late_bytes += value(&lane->late_bytes);
	ret->parked += value(&lane->parked);
	ret->queued += value(&lane->queued);
	ret->lingering += value(&lane->lingering);
	for (int i = 0; i < WEIR_BUCKETS; i++) {
		ret->queue_wait[i] += value(&lane->queue_wait[i]);
		ret->callback_time[i] += value(&lane->callback_time[i]);
	}
}

static void not_below_zero(uint64_t *gauge)
{
	if (*gauge > INT64_MAX)
		*gauge = 0;
}

/* Who is accepted is counted last: nobody has ended who has not begun. */
void wr_lanes_sum(struct weir_stats *ret, const struct wr_lane *lanes,
		  int count)
{
	memset(ret, 0, sizeof(*ret));
	for (int i = 0; i < count; i++)
		add_lane(ret, &lanes[i]);
	for (int i = 0; i < count; i++)
		ret->ledger.accepted += value(&lanes[i].accepted);
	not_below_zero(&ret->parked);
	not_below_zero(&ret->queued);
	not_below_zero(&ret->lingering);
}
