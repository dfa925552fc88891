/* SPDX-License-Identifier: MIT */
/*
 * Where workers sleep that are not needed for the moment.  Unlike at the
 * poller, no event wakes them: somebody calls one.
 */
#ifndef WR_STANDBY_H
#define WR_STANDBY_H

#include <stdatomic.h>

#include "lock.h"

struct wr_standby {
	struct wr_lock lock;
	struct wr_cond called;
	_Atomic int waiting; /* a: written under the lock */
	int calls;	     /* l: not answered yet; at most `waiting` */
	bool is_over;	     /* l: nobody waits any more */
};

int wr_standby_init(struct wr_standby *s); /* 0 or -errno */
void wr_standby_fini(struct wr_standby *s);

/*
 * Sleep until called; returns at once if, seen after the caller counts as
 * waiting, *others is 0.
 */
void wr_standby_wait(struct wr_standby *s, const _Atomic int *others);

/* Wake one who waits and has not been called; no-op if there is none. */
void wr_standby_call(struct wr_standby *s);

/* Wake all, for good. */
void wr_standby_end(struct wr_standby *s);

/* Sequentially consistent: see "the poller is not left alone" in lead.c. */
static inline int wr_standby_waiting(const struct wr_standby *s)
{
	return atomic_load(&s->waiting);
}

#endif
