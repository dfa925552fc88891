/* SPDX-License-Identifier: MIT */
/* What the threads of one server share. */
#ifndef WR_CORE_H
#define WR_CORE_H

#include <stdatomic.h>

#include "admission.h"
#include "buffer.h"
#include "clock.h"
#include "log.h"
#include "outbox.h"
#include "scheduler.h"
#include "settings.h"
#include "stacks.h"
#include "stats.h"

struct weir_conn;
struct wr_server_timers;
struct wr_table;

/* Only ever goes up. */
enum wr_phase {
	WR_PHASE_NEW = WEIR_PHASE_NEW,
	WR_PHASE_SERVING = WEIR_PHASE_SERVING,
	WR_PHASE_LAME_DUCK = WEIR_PHASE_LAME_DUCK,
	WR_PHASE_DRAINING = WEIR_PHASE_DRAINING,
	WR_PHASE_CUTTING = WEIR_PHASE_CUTTING, /* sockets are shut down */
	WR_PHASE_DONE = WEIR_PHASE_DONE	       /* no connection is left */
};

/* Connections to flush, each pinned: a reference would keep shared data. */
struct wr_fanout {
	struct weir_conn **conns; /* room for WR_FANOUT_MOST; NULL: not made */
	size_t count;
};

/* The state of a server thread, lent to the connection it runs. */
struct wr_context {
	struct wr_stats *stats;
	int64_t now; /* ns; as of the last reading */
	struct wr_chunk *spare_chunk;
	struct wr_buffer spare_in;    /* empty, with or without memory */
	struct wr_buffer spare_relay; /* the same, of WR_RELAY_ROOM */
	int wake_fd;		      /* ends its wait; -1: none */
	_Atomic int64_t busy_since;   /* start of the callback; 0: none */
	_Atomic int64_t waited_at;    /* end of last wait; NEVER_AT: it waits */
	_Atomic(struct weir_conn *) running; /* its connection; NULL: a timer */
	const struct wr_core *core;	     /* c: of a worker; NULL */
	/* c: the same: wr_conn_flush(), for waits, which are below it */
	int (*flush)(struct weir_conn *c);
	struct wr_fanout fanout;
};

struct wr_core {
	struct wr_config config;
	struct wr_logger logger;
	struct wr_table *table;
	struct wr_server_timers *timers;
	struct wr_poller poller; /* watches parked connections */
	int acceptor_wake_fd;	 /* eventfd */
	int stop_fd;		 /* eventfd: a stop was requested */

	struct wr_admission admission;
	struct wr_sched sched;
	_Atomic bool accept_blocked;
	_Atomic(struct weir_conn *) inbox;

	_Alignas(WR_CACHE_LINE) _Atomic int phase;
	/* ns; set before WR_PHASE_DRAINING */
	_Atomic int64_t drain_began_at;
	_Atomic int64_t asked_at;  /* ns; of the first request; 0: none */
	_Atomic int64_t lame_till; /* ns; from then on the stop drains */
	_Atomic bool stop_wanted;
	_Atomic bool is_closing; /* a stop is behind its lame duck */
	_Atomic int failure;	 /* -errno: why waiting fails; 0 */
	_Atomic int64_t stop_at; /* ns; WR_NEVER_AT: none */

	/*
	 * Guards the list of listeners, the end of the stop and of threads.
	 * Only locks of one word and those of stacks are taken under it.
	 */
	struct wr_lock lock;
	struct wr_cond changed;

	struct wr_stacks *stacks;		  /* l: the list of all sizes */
	_Atomic(struct wr_stacks *) stacks_shown; /* a: the same, to read */
	bool handles_overflow; /* under a lock of overflow.c */
	struct {
		int running;
		struct wr_node *first, *last; /* wait */
	} handshakes;			      /* l: of layers */

	struct wr_stats *stats; /* workers, acceptor, foreign threads */
	int stats_count;
	struct wr_log_limit handler_limit, deadline_limit, refusal_limit,
		layer_limit;
	_Atomic uint64_t last_id;
	/* outbox_total without what the outboxes hold; may be negative */
	_Alignas(WR_CACHE_LINE) _Atomic int64_t outbox_left;
};

static inline int wr_core_phase(const struct wr_core *core)
{
	return atomic_load(&core->phase);
}

static inline struct wr_stats *wr_core_acceptor_stats(struct wr_core *core)
{
	return &core->stats[core->stats_count - 2];
}

static inline struct wr_stats *wr_core_foreign_stats(struct wr_core *core)
{
	return &core->stats[core->stats_count - 1];
}

/* All but the table. */
int wr_core_init(struct wr_core *core, const struct weir_config *config);
void wr_core_fini(struct wr_core *core);

/* Any thread. */
int wr_core_configure(struct wr_core *core, const struct weir_config *config);

/* Give a service with sessions their stacks, if this system can.  -ENOMEM. */
int wr_core_set_stacks(struct wr_core *core, struct wr_service *service);

struct wr_stacks_sum wr_core_count_stacks(const struct wr_core *core);

/* Sum of all threads, without the traffic of listeners; the rest is 0. */
void wr_core_sum(const struct wr_core *core, struct weir_stats *ret);

/* A connection ended or left the queue: wake the acceptor if it is blocked. */
void wr_core_notify_capacity(struct wr_core *core);

/*
 * Any thread or signal handler: drain from lame_till on, by the deadline at.
 * Later times than those of an earlier request have no effect.
 */
void wr_core_stop(struct wr_core *core, int64_t now, int64_t lame_till,
		  int64_t at);

/* Set the durations of a stop that ends now. */
void wr_core_time_stop(const struct wr_core *core, struct weir_report *ret);

/* Waiting fails for good: log it once and stop.  Any thread of the server. */
void wr_core_fail(struct wr_core *core, int error);

/* Around a callback of a connection, or of a timer (c NULL); sets ctx->now. */
static inline void wr_context_enter(struct wr_context *ctx, struct weir_conn *c)
{
	atomic_store_explicit(&ctx->running, c, memory_order_relaxed);
	atomic_store_explicit(&ctx->busy_since, ctx->now, memory_order_release);
}

/* Returns the duration of the callback. */
static inline uint64_t wr_context_leave(struct wr_context *ctx)
{
	int64_t began =
		atomic_load_explicit(&ctx->busy_since, memory_order_relaxed);
	uint64_t ns;

	ctx->now = wr_now_ns();
	ns = wr_count_duration(&ctx->stats->callback_time, ctx->now - began);
	atomic_store_explicit(&ctx->busy_since, 0, memory_order_release);
	return ns;
}

/* First call of a worker. */
void wr_context_begin(struct wr_context *ctx);

/* The connection whose callback runs in the calling worker; NULL. */
struct weir_conn *wr_context_running(void);

/* That of the calling worker, in a callback of core (NULL: of any); or NULL. */
struct wr_context *wr_context_in_callback(const struct wr_core *core);

void wr_context_fini(struct wr_context *ctx);

#endif
