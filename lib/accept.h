/* SPDX-License-Identifier: MIT */
/*
 * The listeners of a server, and taking connections from them.  Before the
 * start the program's thread adds listeners; afterwards the acceptor's thread
 * only.
 */
#ifndef WR_ACCEPT_H
#define WR_ACCEPT_H

#include "deadlines.h"
#include "listener.h"

/* A listener, its service, and whether it is being polled. */
struct wr_endpoint {
	struct wr_listener listener;
	struct wr_service service;
	struct wr_share share; /* what its connections take up */
	int id;		       /* its index */
	bool is_armed;
	bool is_broken;
	bool may_have_more; /* clients wait there, as far as we know */
	bool is_due;	    /* they do, and there is room for one */

	struct {
		bool is_fenced;	       /* no new connection can begin */
		size_t owed;	       /* may have waited when it began */
		int64_t calm_since;    /* none has come since; 0: not calm */
		int64_t first_calm_at; /* the first such time; 0: not yet */
	} stop;

	char where[512]; /* its address; a path may be full of escapes */
};

struct wr_accept {
	struct wr_core *core;
	struct wr_context *ctx; /* of the acceptor's thread */
	struct wr_deadlines *deadlines;
	int poller;
	struct wr_endpoint **endpoints;
	int endpoint_count;
	int first_endpoint; /* of the next round, modulo endpoint_count */
	int reserve;	   /* a descriptor to give up in a shortage; -1: none */
	int64_t pause_ns;  /* of the present shortage; 0: none */
	int64_t resume_at; /* nothing is accepted before; 0: now */
	struct wr_log_limit shortage_limit;
};

/* 0 or more, or -errno; wr_accept_fini() is right in both cases. */
int wr_accept_init(struct wr_accept *a, struct wr_deadlines *deadlines);
void wr_accept_fini(struct wr_accept *a);

/* Takes the listener over on success.  Its id or -errno. */
int wr_accept_add_listener(struct wr_accept *a, struct wr_endpoint *endpoint);

/* See which listeners are due, as room, pauses and the stop allow. */
void wr_accept_adjust(struct wr_accept *a);
int64_t wr_accept_next_at(const struct wr_accept *a);

/* Accept from those; or a budget's worth from this one. */
void wr_accept_run(struct wr_accept *a);
void wr_accept_from(struct wr_accept *a, struct wr_endpoint *endpoint);

/* An event of the poller.  False: it is not about a listener. */
bool wr_accept_event(struct wr_accept *a, uint64_t key);

/* Events of listeners may not have been read: ask each that is polled. */
void wr_accept_expect_clients(struct wr_accept *a);

void wr_accept_close_listener(struct wr_accept *a,
			      struct wr_endpoint *endpoint);
void wr_accept_close_listeners(struct wr_accept *a);
bool wr_accept_has_listener(const struct wr_accept *a);

/*
 * Refuse all clients whose connection the kernel has completed.  False: there
 * is no descriptor for one until something ends.
 */
bool wr_accept_refuse_rest(struct wr_accept *a);

#endif
