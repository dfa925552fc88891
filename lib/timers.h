/* SPDX-License-Identifier: MIT */
/* A binary heap.  One thread at a time, but for wr_timers_reserve(). */
#ifndef WR_TIMERS_H
#define WR_TIMERS_H

#include <stdatomic.h>

#include "base.h"

struct wr_timer {
	int64_t at;   /* while armed */
	size_t place; /* 1 + index; 0: not armed */
};

struct wr_timer_room;

struct wr_timers {
	struct wr_timer **heap;
	size_t len, cap;
	struct wr_timer_room *room;		/* holds the heap */
	_Atomic(struct wr_timer_room *) larger; /* not used yet */
	size_t reserved;			/* for threads that reserve */
};

static inline bool wr_timer_is_armed(const struct wr_timer *t)
{
	return t->place != 0;
}

/* Any thread, one at a time: room for count armed timers. */
int wr_timers_reserve(struct wr_timers *ts, size_t count);

/* Arm or move t.  Cannot fail within the reserved room. */
void wr_timers_arm(struct wr_timers *ts, struct wr_timer *t, int64_t at);

void wr_timers_disarm(struct wr_timers *ts, struct wr_timer *t);

/* WR_NEVER_AT (INT64_MAX): none is armed. */
int64_t wr_timers_next_at(const struct wr_timers *ts);

struct wr_timer *wr_timers_pop(struct wr_timers *ts, int64_t now);

void wr_timers_fini(struct wr_timers *ts);

#endif
