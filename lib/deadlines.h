/* SPDX-License-Identifier: MIT */
/* Deadlines, and lingering connections.  The acceptor's thread only. */
#ifndef WR_DEADLINES_H
#define WR_DEADLINES_H

#include "conn.h"
#include "poller.h"
#include "timers.h"

struct wr_deadlines {
	struct wr_core *core;
	struct wr_context *ctx;
	struct wr_poller *poller;
	struct wr_timers timers;
	size_t lingering;
	struct weir_conn *oldest, *latest;
	int64_t quiet_ns; /* silence that ends lingering */
};

void wr_deadlines_init(struct wr_deadlines *d, struct wr_core *core,
		       struct wr_context *ctx, struct wr_poller *poller);
void wr_deadlines_fini(struct wr_deadlines *d);

/* Plan a check at the connection's deadline. */
void wr_deadlines_expect(struct wr_deadlines *d, struct weir_conn *c);

/* Handle requests of wr_conn_notify_acceptor(). */
void wr_deadlines_take_inbox(struct wr_deadlines *d);

void wr_deadlines_run(struct wr_deadlines *d);
int64_t wr_deadlines_next_at(const struct wr_deadlines *d);

void wr_linger_event(struct wr_deadlines *d, uint64_t key);

void wr_linger_shorten(struct wr_deadlines *d, int64_t quiet_ns);

/* Close all lingering connections, also in the inbox. */
void wr_linger_end_all(struct wr_deadlines *d);

#endif
