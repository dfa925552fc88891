/* SPDX-License-Identifier: MIT */
/*
 * Invariants: heap[i]->place == i + 1; no timer is due before its parent, at (i
 * - 1) / 2.
 */
#include "timers.h"

#include <errno.h>

#include "sys.h"

#define SMALLEST 16

int wr_timers_reserve(struct wr_timers *ts, size_t count)
{
	size_t cap = ts->cap ? ts->cap : SMALLEST;
	struct wr_timer **heap;

	if (count <= ts->cap)
		return 0;
	if (count > SIZE_MAX / 2 / sizeof(*heap))
		return -ENOMEM;
	while (cap < count)
		cap *= 2;
	heap = wr_sys_realloc(ts->heap, cap * sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	ts->heap = heap;
	ts->cap = cap;
	return 0;
}

static void put(struct wr_timers *ts, size_t i, struct wr_timer *t)
{
	ts->heap[i] = t;
	t->place = i + 1;
}

/* Place t between i and the root. */
static void rise(struct wr_timers *ts, size_t i, struct wr_timer *t)
{
	while (i > 0 && t->at < ts->heap[(i - 1) / 2]->at) {
		put(ts, i, ts->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put(ts, i, t);
}

/* Place t between i and the leaves. */
static void sink(struct wr_timers *ts, size_t i, struct wr_timer *t)
{
	size_t child;

	while ((child = 2 * i + 1) < ts->len) {
		if (child + 1 < ts->len &&
		    ts->heap[child + 1]->at < ts->heap[child]->at)
			child++;
		if (t->at <= ts->heap[child]->at)
			break;
		put(ts, i, ts->heap[child]);
		i = child;
	}
	put(ts, i, t);
}

/* Place t, from i in either direction. */
static void settle(struct wr_timers *ts, size_t i, struct wr_timer *t)
{
	if (i > 0 && t->at < ts->heap[(i - 1) / 2]->at)
		rise(ts, i, t);
	else
		sink(ts, i, t);
}

void wr_timers_arm(struct wr_timers *ts, struct wr_timer *t, int64_t at)
{
	t->at = at;
	if (wr_timer_is_armed(t)) {
		settle(ts, t->place - 1, t);
		return;
	}
	wr_assert(ts->len < ts->cap);
	rise(ts, ts->len++, t);
}

void wr_timers_disarm(struct wr_timers *ts, struct wr_timer *t)
{
	struct wr_timer *last;
	size_t i;

	if (!wr_timer_is_armed(t))
		return;
	i = t->place - 1;
	wr_assert(i < ts->len && ts->heap[i] == t);
	t->place = 0;
	last = ts->heap[--ts->len];
	if (last != t)
		settle(ts, i, last);
}

int64_t wr_timers_next_at(const struct wr_timers *ts)
{
	return ts->len > 0 ? ts->heap[0]->at : INT64_MAX;
}

struct wr_timer *wr_timers_pop(struct wr_timers *ts, int64_t now)
{
	struct wr_timer *first;

	if (ts->len == 0 || ts->heap[0]->at > now)
		return NULL;
	first = ts->heap[0];
	wr_timers_disarm(ts, first);
	return first;
}

void wr_timers_fini(struct wr_timers *ts)
{
	wr_sys_free(ts->heap);
	*ts = (struct wr_timers){ 0 };
}
