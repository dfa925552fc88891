/* SPDX-License-Identifier: MIT */
/*
 * A gauge may be below zero in one thread; the sum is right modulo 2^64.  A
 * snapshot made during changes may see a departure and miss its entry: such a
 * negative sum is shown as 0.
 */
#include "stats.h"

#include <stdio.h>
#include <string.h>

/* Acquire: counters are read in the order of the program. */
static uint64_t value(const wr_counter *c)
{
	return atomic_load_explicit(c, memory_order_acquire);
}

const char *wr_refusal_reason(int outcome)
{
	static const char *const reasons[] = {
#define REASON(name, column, refusal) [WR_OUTCOME_##name] = (refusal),
		WR_OUTCOMES(REASON)
#undef REASON
	};

	return reasons[outcome];
}

static void add_layers(uint64_t *handshakes, uint64_t *truncated,
		       const struct wr_layer_counts *from)
{
	for (int i = 0; i < WR_HANDSHAKE_COUNT; i++)
		handshakes[i] += value(&from->handshakes[i]);
	*truncated += value(&from->truncated);
}

/* In functions that sum `from` up in `ret`. */
#define ADD(name)	  ret->name += value(&from->name);
#define ADD_TRAFFIC(name) ret->name += value(&from->traffic.name);
#define ADD_OUTCOME(name, column, refusal)                                     \
	ret->ledger.column += value(&from->outcome[WR_OUTCOME_##name]);

static void add_stats(struct weir_stats *ret, const struct wr_stats *from)
{
	WR_OUTCOMES(ADD_OUTCOME)
	WR_TRAFFIC(ADD_TRAFFIC)
	WR_COUNTERS(ADD)
	WR_GAUGES(ADD)
	for (int i = 0; i < WR_TMO_COUNT; i++)
		ret->timed_out[i + WEIR_TIMEOUT_FIRST_BYTE] +=
			value(&from->timed_out[i]);
	/* ns: the caller divides the sum */
	ret->queue_wait_us += value(&from->queue_wait.sum_ns);
	ret->callback_us += value(&from->callback_time.sum_ns);
	ret->handshake_us += value(&from->handshake_time.sum_ns);
	for (int i = 0; i < WEIR_BUCKETS; i++) {
		ret->queue_wait[i] += value(&from->queue_wait.bucket[i]);
		ret->callback_time[i] += value(&from->callback_time.bucket[i]);
		ret->handshake_time[i] +=
			value(&from->handshake_time.bucket[i]);
	}
	add_layers(ret->handshakes, &ret->truncated, &from->layers);
}

static void add_totals(struct weir_ledger *l)
{
#define ADD_REASON(name, column, refusal)                                      \
	if (wr_is_refusal(WR_OUTCOME_##name))                                  \
		l->refused += l->column;
	WR_OUTCOMES(ADD_REASON)
#undef ADD_REASON
	l->closed = l->completed + l->failed + l->timed_out + l->refused +
		    l->probed + l->cut;
}

static void not_below_zero(uint64_t *gauge)
{
	if (*gauge > INT64_MAX)
		*gauge = 0;
}

/* Beginnings last: no snapshot shows more ended connections than begun ones. */
void wr_stats_sum(struct weir_stats *ret, const struct wr_stats *stats,
		  int count)
{
	memset(ret, 0, sizeof(*ret));
	for (int i = 0; i < count; i++)
		add_stats(ret, &stats[i]);
	for (int i = 0; i < count; i++) {
		ret->ledger.accepted += value(&stats[i].accepted);
		ret->ledger.dialled += value(&stats[i].dialled);
		ret->ledger.spawned += value(&stats[i].spawned);
	}
	add_totals(&ret->ledger);
	ret->queue_wait_us /= 1000;
	ret->callback_us /= 1000;
	ret->handshake_us /= 1000;
#define CHECK_GAUGE(name) not_below_zero(&ret->name);
	WR_GAUGES(CHECK_GAUGE)
#undef CHECK_GAUGE
}

static void add_listener(struct weir_listener_stats *ret,
			 const struct wr_listener_counts *from)
{
	WR_OUTCOMES(ADD_OUTCOME)
	WR_TRAFFIC(ADD_TRAFFIC)
	for (int i = 0; i < WR_TMO_COUNT; i++)
		ret->timed_out[i + WEIR_TIMEOUT_FIRST_BYTE] +=
			value(&from->timed_out[i]);
	/* ns: the caller divides the sum */
	ret->queue_wait_us += value(&from->queue_wait_ns);
	ret->callback_us += value(&from->callback_ns);
	ret->connection_us += value(&from->connection_ns);
}

void wr_stats_add_traffic(struct weir_stats *ret,
			  const struct wr_listener_counts *counts, int count)
{
	for (int i = 0; i < count; i++) {
		const struct wr_listener_counts *from = &counts[i];

		WR_TRAFFIC(ADD_TRAFFIC)
	}
}

#undef ADD_OUTCOME
#undef ADD_TRAFFIC
#undef ADD

/* Beginnings last, as above: the number of open ones is not below zero. */
void wr_listener_stats_sum(struct weir_listener_stats *ret,
			   const struct wr_listener_counts *counts, int count,
			   const struct wr_layer_counts *layers)
{
	memset(ret, 0, sizeof(*ret));
	add_layers(ret->handshakes, &ret->truncated, layers);
	for (int i = 0; i < count; i++)
		add_listener(ret, &counts[i]);
	for (int i = 0; i < count; i++)
		ret->ledger.accepted += value(&counts[i].accepted);
	add_totals(&ret->ledger);
	ret->ledger.open = ret->ledger.accepted - ret->ledger.closed;
	ret->queue_wait_us /= 1000;
	ret->callback_us /= 1000;
	ret->connection_us /= 1000;
}

static void add_column(char *buf, int *len, uint64_t n, const char *name)
{
	if (n > 0 && *len < WR_LEDGER_TEXT)
		*len += snprintf(buf + *len, (size_t)(WR_LEDGER_TEXT - *len),
				 ", %llu %s", (unsigned long long)n, name);
}

void wr_ledger_text(char buf[static WR_LEDGER_TEXT],
		    const struct weir_ledger *l)
{
	int len = snprintf(buf, WR_LEDGER_TEXT, "%llu accepted",
			   (unsigned long long)l->accepted);

	add_column(buf, &len, l->dialled, "dialled");
	add_column(buf, &len, l->spawned, "spawned");
#define ADD_COLUMN(name, column, refusal)                                      \
	add_column(buf, &len, l->column, #column);
	WR_OUTCOMES(ADD_COLUMN)
#undef ADD_COLUMN
}
