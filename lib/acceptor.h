/* SPDX-License-Identifier: MIT */
/*
 * The acceptor: the one thread that takes connections from the kernel, and
 * that looks after whatever needs the clock: deadlines, lingering closes,
 * pauses after a shortage, the stop.  It waits at its poller alone: not for a
 * connection's lock, which a thread may hold for long, nor in close(2) for a
 * peer.  Of the program it runs the log sink, which must not wait either.
 */
#ifndef WR_ACCEPTOR_H
#define WR_ACCEPTOR_H

#include <pthread.h>

#include "conn.h"
#include "listener.h"
#include "pool.h"
#include "timers.h"

/* What the deadline of a stop may be late for each connection to be cut. */
#define WR_CUT_NS (WR_NS_PER_MS / 10)

/* Key of the i-th listener in the acceptor's poller; see WR_GENERATIONS. */
#define WR_KEY_LISTENER (UINT64_C(1) << 63)

/* A listener, what its connections get, and whether it is being polled. */
struct wr_endpoint {
	struct wr_listener listener;
	struct wr_service service;
	struct wr_share share; /* what its connections take up */
	int id;		       /* its index */
	bool is_armed;
	bool is_broken;
	bool may_have_more; /* clients wait there, as far as we know */
	bool is_due;	    /* they do, and there is room for one */

	/* Of a stop; see drain.c. */
	bool is_fenced;	       /* no new connection can begin */
	size_t owed;	       /* connections that may have waited before it */
	int64_t calm_since;    /* none has come since; 0: not calm */
	int64_t first_calm_at; /* when that was so first; 0: not yet */

	char where[512]; /* its address; a path may be full of escapes */
};

struct wr_acceptor {
	struct wr_core *core;
	struct wr_pool *pool;
	struct wr_endpoint **endpoints;
	int endpoint_count;
	int first_endpoint; /* where the next round begins, modulo
			       endpoint_count */
	struct wr_context ctx;
	int poller;
	int reserve; /* a descriptor to give up in a shortage; -1: none */
	struct wr_thread thread;

	/* All below: the thread itself only. */
	struct wr_timers timers;
	int64_t pause_ns;  /* of the present shortage; 0: none */
	int64_t resume_at; /* nothing is accepted before; 0: now */
	struct wr_log_limit shortage_limit;
	size_t lingering;		   /* connections in the linger set */
	struct weir_conn *oldest, *latest; /* of them */
	int64_t watch_at;   /* the watchdog's next look at the workers */
	int64_t starved_at; /* the same, whether all of them are held up */
	int64_t tick_at;    /* the overseer's; 0: nobody need be overseen */
	int processors;
	int quiet_ticks;
	int alone_ticks; /* in turn, that the workers did not get on */

	bool is_stopping, are_listeners_closed, is_cutting;
	int64_t quiet_ns;    /* stop: how long no connection may come */
	int64_t hopeless_at; /* stop: nobody can be accepted; 0: not so */
	int64_t sweep_at;    /* stop: next reminder to the parked */
	int64_t give_up_at;  /* stop: callbacks had their time */
	int64_t latest_at;   /* stop: that is not put off any further */
	size_t open_before;  /* stop: when that was last put off */
	uint64_t cut_before; /* stop: cut by others until the deadline */
};

int wr_acceptor_init(struct wr_acceptor *a, struct wr_core *core,
		     struct wr_pool *p); /* 0 or -errno */
void wr_acceptor_fini(struct wr_acceptor *a);

/* Takes the listener over on success.  Its id or -errno. */
int wr_acceptor_add_listener(struct wr_acceptor *a,
			     struct wr_endpoint *endpoint);

int wr_acceptor_start(struct wr_acceptor *a); /* 0 or -errno */

/* -------------------------------------------- parts of the same thread */

/* acceptor.c: what others have handed over or asked for. */
void wr_acceptor_take_inbox(struct wr_acceptor *a);

/* accept.c: see which listeners are due, as room, pauses and the stop allow. */
void wr_accept_adjust(struct wr_acceptor *a);
/* Accept from those; or a budget's worth from this one. */
void wr_accept_run(struct wr_acceptor *a);
void wr_accept_from(struct wr_acceptor *a, struct wr_endpoint *endpoint);
void wr_accept_close_listener(struct wr_acceptor *a,
			      struct wr_endpoint *endpoint);
void wr_accept_close_listeners(struct wr_acceptor *a);
/*
 * Say no to all the kernel has completed.  False: there is no descriptor for
 * it until something ends.
 */
bool wr_accept_refuse_rest(struct wr_acceptor *a);

/* deadlines.c: deadlines of connections, lingering ones included. */
/* Room for the slots there are and for one more slab.  0 or -ENOMEM. */
int wr_deadlines_reserve(struct wr_acceptor *a);
void wr_deadlines_expect(struct wr_acceptor *a, struct weir_conn *c);
void wr_deadlines_run(struct wr_acceptor *a);

/* Lingering connections. */
void wr_linger_begin(struct wr_acceptor *a, struct weir_conn *c);
void wr_linger_input(struct wr_acceptor *a, struct weir_conn *c);
void wr_linger_check(struct wr_acceptor *a, struct weir_conn *c);
void wr_linger_shorten(struct wr_acceptor *a); /* the stop goes a step on */
void wr_linger_end(struct wr_acceptor *a, struct weir_conn *c);

/* overseer.c: whether the workers get on with what there is. */
void wr_overseer_run(struct wr_acceptor *a);

/* watch.c: name callbacks that run for very long. */
void wr_watchdog_run(struct wr_acceptor *a);
/* Tell when no worker has been free for very long. */
void wr_starvation_run(struct wr_acceptor *a);

/* drain.c: a step of the stop; true: it has ended. */
bool wr_drain_run(struct wr_acceptor *a);
int64_t wr_drain_next_at(const struct wr_acceptor *a);

#endif
