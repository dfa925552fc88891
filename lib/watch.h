/* SPDX-License-Identifier: MIT */
/* Logs very long callbacks and starved pools.  The acceptor's thread only. */
#ifndef WR_WATCH_H
#define WR_WATCH_H

#include "accept.h"
#include "pool.h"

struct wr_watch {
	struct wr_core *core;
	struct wr_pool *pool;
	const struct wr_accept *accept;
	int64_t callbacks_at;  /* next check */
	int64_t starved_at;    /* next check */
	int64_t told_until;    /* no line before */
	int64_t starved_since; /* as counted last */
};

void wr_watch_init(struct wr_watch *w, struct wr_core *core,
		   struct wr_pool *pool, const struct wr_accept *accept);

void wr_watch_run(struct wr_watch *w, int64_t now);
int64_t wr_watch_next_at(const struct wr_watch *w);

/* Log each callback that still runs.  How many. */
int wr_watch_name_stuck(struct wr_watch *w, int64_t now);

#endif
