/* SPDX-License-Identifier: MIT */
/*
 * What the threads of one server share, as far as connections need it: the
 * scheduler, the acceptor's inbox, the phase of the server, the counters.
 */
#ifndef WR_CORE_H
#define WR_CORE_H

#include <stdatomic.h>

#include "buffer.h"
#include "log.h"
#include "outbox.h"
#include "scheduler.h"
#include "settings.h"
#include "stats.h"

struct weir_conn;
struct wr_table;

/* Only ever goes up. */
enum wr_phase {
	WR_PHASE_NEW = WEIR_PHASE_NEW,
	WR_PHASE_SERVING = WEIR_PHASE_SERVING,
	WR_PHASE_DRAINING = WEIR_PHASE_DRAINING,
	WR_PHASE_CUTTING = WEIR_PHASE_CUTTING, /* sockets are shut down */
	WR_PHASE_DONE = WEIR_PHASE_DONE	       /* no connection is left */
};

/* The state of a thread, which the connection that it runs uses. */
struct wr_context {
	struct wr_stats *stats;
	int64_t now;		      /* read when it last mattered */
	struct wr_chunk *spare_chunk; /* or NULL */
	struct wr_buffer spare_in;    /* holds no bytes, and maybe memory */
	int wake_fd;		      /* wakes it from a wait; -1: none */
	_Atomic int64_t busy_since;   /* of the running callback; 0: none */
	_Atomic int64_t waited_at;    /* end of its last wait; never: waits */
	_Atomic(struct weir_conn *) running; /* whose it is */
};

struct wr_core {
	struct wr_config config;
	struct wr_logger logger;
	struct wr_table *table;
	int poller; /* where connections are parked and workers sleep */
	int acceptor_wake_fd; /* eventfd of the acceptor */
	int stop_fd;	      /* eventfd: a stop was asked for */

	/* Connections that no worker has taken yet, and owned ones to run. */
	struct wr_sched sched;
	/* The acceptor waits until a connection ends or leaves the queue. */
	_Atomic bool accept_blocked;
	_Atomic(struct weir_conn *) inbox; /* for the acceptor, latest first */

	_Alignas(WR_CACHE_LINE) _Atomic int phase; /* read by all */
	/* ns; valid from WR_PHASE_DRAINING on */
	_Atomic int64_t drain_began_at;
	_Atomic int64_t asked_at; /* ns; for the first stop; 0: for none */
	_Atomic bool stop_wanted;
	_Atomic int failure;	 /* -errno: why it cannot go on; 0 */
	_Atomic int64_t stop_at; /* ns; deadline of the stop, or never */

	/* Of the end of the stop and of threads; no other is taken under it. */
	struct wr_lock lock;
	struct wr_cond changed;

	struct wr_stats *stats; /* one a worker, the acceptor's, foreign */
	int stats_count;
	struct wr_log_limit handler_limit, deadline_limit, refusal_limit;
	_Atomic uint64_t last_id;
};

static inline int wr_core_phase(const struct wr_core *core)
{
	return atomic_load(&core->phase);
}

static inline struct wr_stats *wr_core_acceptor_stats(struct wr_core *core)
{
	return &core->stats[core->stats_count - 2];
}

/* For threads of the program. */
static inline struct wr_stats *wr_core_foreign_stats(struct wr_core *core)
{
	return &core->stats[core->stats_count - 1];
}

/* Everything but the table and the descriptors' use.  0 or -errno. */
int wr_core_init(struct wr_core *core, const struct weir_config *config);
void wr_core_fini(struct wr_core *core);

/* The sum of all stats; what is not in a stats stays 0. */
void wr_core_sum(const struct wr_core *core, struct weir_stats *ret);

/* A connection ended, or left the queue: the acceptor may be waiting for it. */
void wr_core_notify_capacity(struct wr_core *core);

/*
 * Ask for a stop with that deadline, at the time now; a later deadline than
 * that of an earlier call does nothing.  Any thread, and any signal handler.
 */
void wr_core_stop(struct wr_core *core, int64_t now, int64_t at);

/*
 * Nothing can be waited for any more (a descriptor was closed behind our back,
 * a call is forbidden): say so once, and stop.  Any thread of the server.
 */
void wr_core_fail(struct wr_core *core, int error);

void wr_context_fini(struct wr_context *ctx);

#endif
