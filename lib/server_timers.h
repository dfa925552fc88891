/* SPDX-License-Identifier: MIT */
/* Timers of a server: their callbacks run on its workers. */
#ifndef WR_SERVER_TIMERS_H
#define WR_SERVER_TIMERS_H

#include "core.h"
#include "timers.h"

/* Field key: c constant; l under the lock; a atomic. */
struct wr_server_timers {
	struct wr_core *core; /* c */
	weir_server *server;  /* c */
	struct wr_lock lock;
	struct wr_timers armed;	 /* l */
	struct weir_timer *all;	 /* l */
	size_t count;		 /* l: in all */
	int running;		 /* l: calls */
	bool is_closed;		 /* l: no call begins any more */
	bool is_queued;		 /* l: the node is on the ready list */
	struct wr_node node;	 /* stands for all timers that are due */
	_Atomic int64_t look_at; /* a: when the acceptor has to look */
};

int wr_server_timers_init(struct wr_server_timers *ts, struct wr_core *core,
			  weir_server *server);
void wr_server_timers_fini(struct wr_server_timers *ts);

int wr_server_timers_add(struct wr_server_timers *ts, weir_timer **ret, int ms,
			 int every_ms, weir_timer_fn *fn, void *arg);

/* Acceptor: queue the node if a timer is due. */
void wr_server_timers_run(struct wr_server_timers *ts, int64_t now);

static inline int64_t wr_server_timers_next_at(const struct wr_server_timers *t)
{
	return atomic_load(&t->look_at);
}

/* Worker, with the node: call one timer that is due. */
void wr_server_timers_call(struct wr_server_timers *ts, struct wr_context *ctx);

/* No call begins any more.  True: and none runs. */
bool wr_server_timers_close(struct wr_server_timers *ts);

#endif
