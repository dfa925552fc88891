/* SPDX-License-Identifier: MIT */
/*
 * A mutex and a condition variable on the monotonic clock.  A failing call is a
 * bug and ends the program.  docs/THREADING.md has the lock order.
 */
#ifndef WR_LOCK_H
#define WR_LOCK_H

#include <errno.h>
#include <pthread.h>
#include <stdint.h>

#include "base.h"

struct wr_lock {
	pthread_mutex_t mutex;
};

struct wr_cond {
	pthread_cond_t cond;
};

/* 0 or -errno. */
int wr_lock_init(struct wr_lock *l);
void wr_lock_fini(struct wr_lock *l);
int wr_cond_init(struct wr_cond *c);
void wr_cond_fini(struct wr_cond *c);

static inline void wr_lock(struct wr_lock *l)
{
	int rc;

	WR_POINT();
	rc = pthread_mutex_lock(&l->mutex);
	wr_assert(rc == 0);
}

/* False: another thread holds it. */
static inline bool wr_trylock(struct wr_lock *l)
{
	int rc;

	WR_POINT();
	rc = pthread_mutex_trylock(&l->mutex);
	wr_assert(rc == 0 || rc == EBUSY);
	return rc == 0;
}

static inline void wr_unlock(struct wr_lock *l)
{
	int rc = pthread_mutex_unlock(&l->mutex);

	wr_assert(rc == 0);
	WR_POINT();
}

void wr_cond_signal(struct wr_cond *c);
void wr_cond_broadcast(struct wr_cond *c);

/* Needs l.  False: the time at has come. */
bool wr_cond_wait_until(struct wr_cond *c, struct wr_lock *l, int64_t at);

#endif
