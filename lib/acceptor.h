/* SPDX-License-Identifier: MIT */
/*
 * The acceptor: the one thread that takes connections from the kernel, and
 * that looks after whatever needs the clock: deadlines, lingering closes,
 * pauses after a shortage, the stop.  It waits at its poller alone: not for a
 * connection's lock, which a thread may hold for long, nor in close(2) for a
 * peer.  Of the program it runs the log sink, which must not wait either.
 *
 * Each part of its work has a file and a struct of its own; this one is the
 * thread and its loop.
 */
#ifndef WR_ACCEPTOR_H
#define WR_ACCEPTOR_H

#include "stop.h"

struct wr_acceptor {
	struct wr_core *core;
	struct wr_pool *pool;
	struct wr_context ctx;
	int poller;
	struct wr_thread thread;
	struct wr_deadlines deadlines;
	struct wr_accept accept;
	struct wr_watch watch;
	struct wr_stop stop;

	int64_t tick_at; /* the scheduler's; never: it need not look */
};

int wr_acceptor_init(struct wr_acceptor *a, struct wr_core *core,
		     struct wr_pool *p); /* 0 or -errno */
void wr_acceptor_fini(struct wr_acceptor *a);

int wr_acceptor_start(struct wr_acceptor *a); /* 0 or -errno */

#endif
