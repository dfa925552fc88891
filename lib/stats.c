/* SPDX-License-Identifier: MIT */
/*
 * Summing the stats into what weir_server_stats() shows.  Gauges are kept as
 * entries minus departures, which may be below zero in one stats and are right
 * in the sum, modulo 2^64.  A sum that is made while they change may catch a
 * departure without its entry, and would be huge: that is shown as 0.
 */
#include "stats.h"

#include <string.h>

static uint64_t value(const wr_counter *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

static void add_stats(struct weir_stats *ret, const struct wr_stats *stats)
{
	struct weir_ledger *l = &ret->ledger;

	l->completed += value(&stats->outcome[WR_OUTCOME_COMPLETED]);
	l->failed += value(&stats->outcome[WR_OUTCOME_FAILED]);
	l->timed_out += value(&stats->outcome[WR_OUTCOME_TIMED_OUT]);
	l->refused_full += value(&stats->outcome[WR_OUTCOME_REFUSED_FULL]);
	l->refused_age += value(&stats->outcome[WR_OUTCOME_REFUSED_AGE]);
	l->refused_limit += value(&stats->outcome[WR_OUTCOME_REFUSED_LIMIT]);
	l->refused_drain += value(&stats->outcome[WR_OUTCOME_REFUSED_DRAIN]);
	l->cut += value(&stats->outcome[WR_OUTCOME_CUT]);
	for (int i = 0; i < WR_TMO_COUNT; i++)
		ret->timed_out[i + WEIR_TIMEOUT_FIRST_BYTE] +=
			value(&stats->timed_out[i]);
	ret->bytes_in += value(&stats->bytes_in);
	ret->bytes_out += value(&stats->bytes_out);
	ret->callbacks += value(&stats->callbacks);
	ret->dead_on_arrival += value(&stats->dead_on_arrival);
	ret->accept_errors += value(&stats->accept_errors);
	ret->shortages += value(&stats->shortages);
	ret->late_bytes += value(&stats->late_bytes);
	ret->parked += value(&stats->parked);
	ret->queued += value(&stats->queued);
	ret->lingering += value(&stats->lingering);
	for (int i = 0; i < WEIR_BUCKETS; i++) {
		ret->queue_wait[i] += value(&stats->queue_wait[i]);
		ret->callback_time[i] += value(&stats->callback_time[i]);
	}
}

static void not_below_zero(uint64_t *gauge)
{
	if (*gauge > INT64_MAX)
		*gauge = 0;
}

/* Who is accepted is counted last: nobody has ended who has not begun. */
void wr_stats_sum(struct weir_stats *ret, const struct wr_stats *stats,
		  int count)
{
	memset(ret, 0, sizeof(*ret));
	for (int i = 0; i < count; i++)
		add_stats(ret, &stats[i]);
	for (int i = 0; i < count; i++)
		ret->ledger.accepted += value(&stats[i].accepted);
	not_below_zero(&ret->parked);
	not_below_zero(&ret->queued);
	not_below_zero(&ret->lingering);
}
