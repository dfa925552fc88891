/* SPDX-License-Identifier: MIT */
/*
 * Deadlines of connections, and the connections that linger.  The acceptor's
 * thread only.
 */
#ifndef WR_DEADLINES_H
#define WR_DEADLINES_H

#include "conn.h"
#include "timers.h"

struct wr_deadlines {
	struct wr_core *core;
	struct wr_context *ctx; /* of the acceptor's thread */
	int poller;		/* tells of input of lingering connections */
	struct wr_timers timers;
	size_t lingering;
	struct weir_conn *oldest, *latest; /* that linger */
	int64_t quiet_ns; /* a peer that is silent for it has finished */
};

void wr_deadlines_init(struct wr_deadlines *d, struct wr_core *core,
		       struct wr_context *ctx, int poller);
void wr_deadlines_fini(struct wr_deadlines *d);

/* Room for the slots there are and for one more slab.  0 or -ENOMEM. */
int wr_deadlines_reserve(struct wr_deadlines *d);

/* Have the connection checked at its deadline. */
void wr_deadlines_expect(struct wr_deadlines *d, struct weir_conn *c);

/* Handle what wr_conn_notify_acceptor() has put into the inbox. */
void wr_deadlines_take_inbox(struct wr_deadlines *d);

/* Do the checks whose time has come. */
void wr_deadlines_run(struct wr_deadlines *d);
int64_t wr_deadlines_next_at(const struct wr_deadlines *d);

/* An event of the poller, for the connection with this key. */
void wr_linger_event(struct wr_deadlines *d, uint64_t key);

/* A stop has got further: a shorter silence ends a lingering connection. */
void wr_linger_shorten(struct wr_deadlines *d, int64_t quiet_ns);

/* Close all lingering connections, those in the inbox too. */
void wr_linger_end_all(struct wr_deadlines *d);

#endif
