/* SPDX-License-Identifier: MIT */
/*
 * Logs callbacks that run for very long, and a pool in which no worker has been
 * free for very long.  The acceptor's thread only.
 */
#ifndef WR_WATCH_H
#define WR_WATCH_H

#include "pool.h"

struct wr_watch {
	struct wr_core *core;
	struct wr_pool *pool;
	int64_t callbacks_at; /* the next look at the callbacks */
	int64_t starved_at;   /* the next look whether all workers are busy */
};

void wr_watch_init(struct wr_watch *w, struct wr_core *core,
		   struct wr_pool *pool);

void wr_watch_run(struct wr_watch *w, int64_t now);
int64_t wr_watch_next_at(const struct wr_watch *w);

/* At the end of a stop: log the callbacks that still run; their number. */
int wr_watch_name_stuck(struct wr_watch *w, int64_t now);

#endif
