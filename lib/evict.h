/* SPDX-License-Identifier: MIT */
/* Ending idle connections for clients that wait.  The acceptor's thread. */
#ifndef WR_EVICT_H
#define WR_EVICT_H

#include "bounds.h"
#include "conn_table.h"

struct wr_idle {
	int64_t since;
	uint64_t key; /* of a connection */
};

struct wr_evict {
	struct wr_core *core;
	struct wr_context *ctx;
	const struct wr_service *service; /* of the client that waits */
	size_t kept; /* places that are not for this client */
	struct wr_idle idle[WR_EVICT_KEPT]; /* the longest idle last */
	size_t count;
	struct wr_idle asked; /* last; since 0: no answer is awaited */
	int64_t asked_at;
	int64_t since;	      /* of the last one asked: a look begins there */
	int64_t since_before; /* the same before the last one was asked */
	size_t next_slot;     /* the next look begins behind it */
	int64_t look_at;      /* the first of the listeners' */
	int64_t wait_at;      /* until then, one is expected to end */
};

/*
 * Ask the connection that has been idle longest to end, if one is due.  kept:
 * so many places of max_connections are not for clients of this service.
 */
void wr_evict_one(struct wr_evict *e, const struct wr_service *service,
		  size_t kept);

/* True: one was asked to end, and may do so soon. */
static inline bool wr_evict_is_pending(const struct wr_evict *e)
{
	return e->ctx->now < e->wait_at;
}

/* When to look or to ask again, if a client may wait. */
static inline int64_t wr_evict_next_at(const struct wr_evict *e)
{
	int64_t at = e->wait_at > e->look_at ? e->wait_at : e->look_at;

	return at > e->ctx->now ? at : WR_NEVER_AT;
}

#endif
