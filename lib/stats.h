/* SPDX-License-Identifier: MIT */
/*
 * Counters.  Each server thread writes its own; a snapshot sums them.  Threads
 * of the program share one more, with atomic additions.
 */
#ifndef WR_STATS_H
#define WR_STATS_H

#include <stdatomic.h>

#include "base.h"
#include "settings.h"
#include "weir.h"

/* Outcomes: name, column of the ledger, reason of a refusal. */
/* clang-format off */
#define WR_OUTCOMES(X)                                                         \
	X(COMPLETED, completed, NULL)                                          \
	X(FAILED, failed, NULL)                                                \
	X(TIMED_OUT, timed_out, NULL)                                          \
	X(REFUSED_FULL, refused_full, "the queue is full")                     \
	X(REFUSED_AGE, refused_age, "it has waited too long in the queue")     \
	X(REFUSED_LIMIT, refused_limit, "the server is full")                  \
	X(REFUSED_DRAIN, refused_drain, "the server stops")                    \
	X(REFUSED_ACCESS, refused_access, "the access rules deny it")          \
	X(REFUSED_SOURCE, refused_source, "its address has too many open")     \
	X(REFUSED_RATE, refused_rate, "its address connects too often")        \
	X(REFUSED_EARLY, refused_early, "too many have sent nothing yet")      \
	X(REFUSED_PROXY, refused_proxy, "it is no trusted proxy")              \
	X(REFUSED_HEADER, refused_header, "its PROXY header is wrong")         \
	X(PROBED, probed, NULL)                                                \
	X(CUT, cut, NULL)

/* What each message adds to, shown under the same names. */
#define WR_TRAFFIC(X) X(bytes_in) X(bytes_out) X(callbacks)

#define WR_COUNTERS(X)                                                         \
	X(sends) X(sends_refused) X(timer_calls) X(dead_on_arrival)            \
	X(accept_errors) X(shortages) X(late_bytes) X(starvations)             \
	X(sources_full) X(evictions)

/* Gauges, kept as entries minus departures. */
#define WR_GAUGES(X) X(parked) X(queued) X(lingering)

enum wr_outcome {
#define WR_OUTCOME_ENUM(name, column, refusal) WR_OUTCOME_##name,
	WR_OUTCOMES(WR_OUTCOME_ENUM)
#undef WR_OUTCOME_ENUM
	WR_OUTCOME_COUNT
};
/* clang-format on */

enum { WR_HANDSHAKE_COUNT = WEIR_HANDSHAKE_CUT + 1 };

/* Why a connection of this outcome was refused; NULL: it was not. */
const char *wr_refusal_reason(int outcome);

static inline bool wr_is_refusal(int outcome)
{
	return wr_refusal_reason(outcome) != NULL;
}

typedef _Atomic uint64_t wr_counter;

#define WR_STATS_FIELD(name) wr_counter name;

struct wr_traffic {
	WR_TRAFFIC(WR_STATS_FIELD)
};

struct wr_durations {
	wr_counter sum_ns;
	wr_counter bucket[WEIR_BUCKETS];
};

/* One for each thread; that of a listener is shared: a handshake is rare. */
struct wr_layer_counts {
	wr_counter handshakes[WR_HANDSHAKE_COUNT];
	wr_counter truncated;
};

struct wr_stats {
	_Alignas(WR_CACHE_LINE) bool is_shared; /* c */
	int index;				/* c: of the thread */
	wr_counter accepted;
	wr_counter dialled;
	wr_counter spawned;
	wr_counter outcome[WR_OUTCOME_COUNT];
	wr_counter timed_out[WR_TMO_COUNT];
	struct wr_traffic traffic; /* of connections without a listener */
	WR_COUNTERS(WR_STATS_FIELD)
	WR_GAUGES(WR_STATS_FIELD)
	struct wr_durations queue_wait, callback_time, handshake_time;
	struct wr_layer_counts layers;
};

struct wr_listener_counts {
	_Alignas(WR_CACHE_LINE) wr_counter accepted;
	wr_counter outcome[WR_OUTCOME_COUNT];
	wr_counter timed_out[WR_TMO_COUNT];
	struct wr_traffic traffic;
	wr_counter queue_wait_ns, callback_ns, connection_ns;
};

/*
 * Relaxed: a counter orders nothing.  With one writer, a load and a store avoid
 * a locked instruction.
 */
static inline void wr_count_own(wr_counter *counter, uint64_t n)
{
	atomic_store_explicit(
		counter,
		atomic_load_explicit(counter, memory_order_relaxed) + n,
		memory_order_relaxed);
}

/* The same where the stats may be those that threads of the program share. */
static inline void wr_count(struct wr_stats *stats, wr_counter *counter,
			    uint64_t n)
{
	if (stats->is_shared)
		atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
	else
		wr_count_own(counter, n);
}

/* A server thread.  Returns the duration; one below zero counts as zero. */
static inline uint64_t wr_count_duration(struct wr_durations *durations,
					 int64_t measured_ns)
{
	uint64_t ns = measured_ns > 0 ? (uint64_t)measured_ns : 0;
	uint64_t us = ns / 1000;
	int bucket = us ? 64 - __builtin_clzll(us) : 0;

	if (bucket >= WEIR_BUCKETS)
		bucket = WEIR_BUCKETS - 1;
	wr_count_own(&durations->bucket[bucket], 1);
	wr_count_own(&durations->sum_ns, ns);
	return ns;
}

/* The thread's counts for the listener; NULL: dialled, there is no listener. */
static inline struct wr_listener_counts *
wr_counts_of(const struct wr_service *service, const struct wr_stats *stats)
{
	return service->counts ? &service->counts[stats->index] : NULL;
}

/* Counted once, for the listener if there is one; a snapshot adds it up. */
static inline struct wr_traffic *wr_traffic_of(const struct wr_service *service,
					       struct wr_stats *stats)
{
	struct wr_listener_counts *counts = wr_counts_of(service, stats);

	return counts ? &counts->traffic : &stats->traffic;
}

#define WR_COUNT_LISTENER(service, stats, field, n)                            \
	do {                                                                   \
		struct wr_listener_counts *counts_ =                           \
			wr_counts_of(service, stats);                          \
		if (counts_)                                                   \
			wr_count(stats, &counts_->field, n);                   \
	} while (0)

/* Count for the server and for the listener. */
#define WR_COUNT(service, stats, field, n)                                     \
	do {                                                                   \
		wr_count(stats, &(stats)->field, n);                           \
		WR_COUNT_LISTENER(service, stats, field, n);                   \
	} while (0)

/* Add 1 to a counter of layers, for both; field is evaluated twice. */
#define WR_COUNT_LAYER(service, stats, field)                                  \
	do {                                                                   \
		wr_count(stats, &(stats)->layers.field, 1);                    \
		if ((service)->layer_counts)                                   \
			atomic_fetch_add_explicit(                             \
				&(service)->layer_counts->field, 1,            \
				memory_order_relaxed);                         \
	} while (0)

void wr_stats_sum(struct weir_stats *ret, const struct wr_stats *stats,
		  int count);
void wr_stats_add_traffic(struct weir_stats *ret,
			  const struct wr_listener_counts *counts, int count);
void wr_listener_stats_sum(struct weir_listener_stats *ret,
			   const struct wr_listener_counts *counts, int count,
			   const struct wr_layer_counts *layers);

/* "3 accepted, 2 completed, 1 cut": accepted, and columns not 0. */
#define WR_LEDGER_TEXT 384
void wr_ledger_text(char buf[static WR_LEDGER_TEXT],
		    const struct weir_ledger *l);

#endif
