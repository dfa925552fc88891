/* SPDX-License-Identifier: MIT */
/*
 * The acceptor: the thread that accepts connections and handles everything
 * timed: deadlines, lingering closes, pauses after a shortage, the stop.  It
 * waits only at its poller, and at most WR_ROUND_TRIPS_NS for a connection's
 * lock (fence.c).  It calls the log sink, which must not block.
 */
#ifndef WR_ACCEPTOR_H
#define WR_ACCEPTOR_H

#include "stop.h"

struct wr_acceptor {
	struct wr_core *core;
	struct wr_pool *pool;
	struct wr_context ctx;
	struct wr_poller poller;
	struct wr_thread thread;
	struct wr_deadlines deadlines;
	struct wr_accept accept;
	struct wr_watch watch;
	struct wr_stop stop;

	int64_t tick_at; /* of the scheduler */
};

int wr_acceptor_init(struct wr_acceptor *a, struct wr_core *core,
		     struct wr_pool *p);
void wr_acceptor_fini(struct wr_acceptor *a);

int wr_acceptor_start(struct wr_acceptor *a);

#endif
