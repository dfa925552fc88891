/* SPDX-License-Identifier: MIT */
/* The fixed pool of workers. */
#ifndef WR_POOL_H
#define WR_POOL_H

#include <pthread.h>

#include "core.h"

/* A worker's thread or the acceptor's. */
struct wr_thread {
	pthread_t id;
	bool was_started;
	bool has_exited; /* l (core.lock) */
	bool was_joined; /* l: or abandoned */
};

struct wr_worker {
	_Alignas(WR_CACHE_LINE) struct wr_context ctx;
	struct wr_pool *pool;
	int index;
	int64_t named_since; /* busy_since of the callback logged last */
	struct wr_thread thread;
};

struct wr_pool {
	struct wr_core *core;
	struct wr_worker *workers;
	int count;
	struct wr_thread *acceptor;
	/* Called last by each thread. */
	void (*on_exit)(void *arg);
	void *exit_arg;
};

/* Memory and wake fds, no threads yet. */
int wr_pool_init(struct wr_pool *p, struct wr_core *core);
void wr_pool_fini(struct wr_pool *p);

/* 0; -errno: some threads may run, and wr_pool_join() joins them. */
int wr_pool_start(struct wr_pool *p);

/* Interrupt the waits inside sessions, so that they see the phase. */
void wr_pool_wake_waiters(struct wr_pool *p);

/*
 * Wait for the threads and join them.  Time in which the caller cannot run does
 * not count.  Returns how many have not ended.
 */
int wr_pool_join(struct wr_pool *p, int64_t most_ns);

void wr_pool_abandon(struct wr_pool *p);

/* First and last call of a worker, and of the acceptor. */
void wr_pool_enter(const struct wr_pool *p);
void wr_pool_leave(struct wr_pool *p, struct wr_thread *t);

/* The calling thread is one of these, and so must not join. */
bool wr_pool_is_inside(const struct wr_pool *p);

/* Workers in a callback, and the time of the longest one. */
int wr_pool_busy(const struct wr_pool *p, int64_t now, int64_t *longest_ns);

#endif
