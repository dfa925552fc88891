/* SPDX-License-Identifier: MIT */
/*
 * The listeners of a server, and accepting from them.
 *
 * The list of listeners only grows, at its end, until the server is freed: any
 * thread may add one and walk the list.  All else is for the acceptor's thread;
 * before the start, and after a start that has failed, for the program's.
 */
#ifndef WR_ACCEPT_H
#define WR_ACCEPT_H

#include "deadlines.h"
#include "evict.h"
#include "listener.h"

struct wr_endpoint {
	struct wr_endpoint *_Atomic next;
	struct wr_listener listener;
	struct wr_service service;
	struct wr_share share;		   /* places taken by its connections */
	struct wr_listener_counts *counts; /* one for each thread */
	struct wr_layer_counts layer_counts;
	int id;
	bool is_armed;
	bool is_unwatched; /* the poller refuses it: accept(2) is tried */
	bool is_broken;
	bool may_have_more; /* clients wait, as far as we know */
	bool is_due;	    /* they do, and there is room */
	int64_t empty_at;   /* accept(2) found none then, or later */

	struct {
		int64_t began_at;     /* 0: not yet */
		int64_t handshake_ns; /* allowed for one handshake */
		bool is_fenced;
		size_t owed;	       /* connections that waited before it */
		int64_t calm_since;    /* quiet since; 0: not quiet */
		int64_t first_calm_at; /* first quiet time; 0: not yet */
	} fence;

	/*
	 * To be fenced and closed.  Not beside the flags above: one load of the
	 * acceptor may read several of them.
	 */
	_Atomic bool is_unwanted;
	char where[512]; /* as text; escapes make it long */
};

struct wr_accept {
	struct wr_core *core;
	struct wr_context *ctx;
	struct wr_deadlines *deadlines;
	struct wr_poller *poller;
	struct wr_endpoint *_Atomic first;
	struct wr_endpoint *last;   /* l (core.lock) */
	bool is_sealed;		    /* l: no listener is added */
	_Atomic size_t listening;   /* listeners that are not closed */
	struct wr_endpoint *latest; /* has accepted last; NULL: none */
	struct wr_evict evict;
	int reserve;	   /* spare descriptor; -1: none */
	int64_t pause_ns;  /* of this shortage; 0: none */
	int64_t resume_at; /* no accept before; 0: now */
	int64_t looked_at; /* the poller was last asked then, or later */
	struct wr_log_limit shortage_limit;
};

/* With counters for this many threads.  NULL: no memory. */
struct wr_endpoint *wr_endpoint_new(int threads);
void wr_endpoint_free(struct wr_endpoint *e); /* its listener is closed */

/* >= 0 or -errno; needs wr_accept_fini() in either case. */
int wr_accept_init(struct wr_accept *a, struct wr_deadlines *deadlines);
void wr_accept_fini(struct wr_accept *a);

/* Takes the listener on success; the caller notifies the acceptor.  Its id. */
int wr_accept_add_listener(struct wr_accept *a, struct wr_endpoint *endpoint);

/* The one after e, the first (e NULL), or NULL. */
static inline struct wr_endpoint *wr_accept_next(const struct wr_accept *a,
						 const struct wr_endpoint *e)
{
	return atomic_load(e ? &e->next : &a->first);
}

struct wr_endpoint *wr_accept_find(const struct wr_accept *a, int id);

void wr_accept_refuse_too_old(struct wr_accept *a);

/* Find the listeners that are due: clients wait, and there is room. */
void wr_accept_adjust(struct wr_accept *a);
int64_t wr_accept_next_at(const struct wr_accept *a);

/* Accept, at most a budget from each: from all that are due, or from one. */
void wr_accept_run(struct wr_accept *a);
void wr_accept_from(struct wr_accept *a, struct wr_endpoint *endpoint);

/* False: not an event of a listener. */
bool wr_accept_event(uint64_t key);

/* Unread events may be lost: ask each polled listener. */
void wr_accept_expect_clients(struct wr_accept *a);

void wr_accept_close_listener(struct wr_accept *a,
			      struct wr_endpoint *endpoint);
void wr_accept_close_listeners(struct wr_accept *a);

static inline bool wr_accept_has_listener(const struct wr_accept *a)
{
	return atomic_load(&a->listening) > 0;
}

/* False: no descriptor is left for a client, until a connection ends. */
bool wr_accept_refuse_rest(struct wr_accept *a);

#endif
