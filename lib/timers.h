/* SPDX-License-Identifier: MIT */
/*
 * Timers in order of time: a binary heap; each is embedded in what it belongs
 * to.  One thread only (the acceptor).  Knows no clock.
 */
#ifndef WR_TIMERS_H
#define WR_TIMERS_H

#include "base.h"

struct wr_timer {
	int64_t at;   /* when it is due; valid while armed */
	size_t place; /* 1 + index in the heap; 0: not armed */
};

struct wr_timers {
	struct wr_timer **heap;
	size_t len, cap;
};

static inline bool wr_timer_is_armed(const struct wr_timer *t)
{
	return t->place != 0;
}

/* Room for count timers to be armed at once.  0 or -ENOMEM. */
int wr_timers_reserve(struct wr_timers *ts, size_t count);

/* Arm t, or move it if it is armed.  Cannot fail within what is reserved. */
void wr_timers_arm(struct wr_timers *ts, struct wr_timer *t, int64_t at);

/* Does nothing if it is not armed. */
void wr_timers_disarm(struct wr_timers *ts, struct wr_timer *t);

/* When the first is due; WR_NEVER_AT (INT64_MAX) if none is armed. */
int64_t wr_timers_next_at(const struct wr_timers *ts);

/* Disarm and return the first that is due at now; NULL if none is. */
struct wr_timer *wr_timers_pop(struct wr_timers *ts, int64_t now);

void wr_timers_fini(struct wr_timers *ts);

#endif
