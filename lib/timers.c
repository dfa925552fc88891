/* SPDX-License-Identifier: MIT */
/*
 * Invariants: heap[i]->place == i + 1; no timer is due before its parent,
 * heap[(i - 1) / 2].
 */
#include "timers.h"

#include <errno.h>
#include <string.h>

#include "sys.h"

#define SMALLEST 16

struct wr_timer_room {
	size_t cap;
	struct wr_timer *heap[];
};

int wr_timers_reserve(struct wr_timers *ts, size_t count)
{
	size_t cap = ts->reserved ? ts->reserved : SMALLEST;
	struct wr_timer_room *room;

	if (count <= ts->reserved)
		return 0;
	if (count > SIZE_MAX / 4 / sizeof(room->heap[0]))
		return -ENOMEM;
	while (cap < count)
		cap *= 2;
	room = wr_sys_alloc(sizeof(*room) + cap * sizeof(room->heap[0]));
	if (!room)
		return -ENOMEM;
	room->cap = ts->reserved = cap;
	wr_sys_free(atomic_exchange(&ts->larger, room));
	return 0;
}

/* Move to the room that was reserved. */
static void enlarge(struct wr_timers *ts)
{
	struct wr_timer_room *room = atomic_exchange(&ts->larger, NULL);

	wr_assert(room != NULL && room->cap > ts->len);
	if (ts->len > 0)
		memcpy(room->heap, ts->heap, ts->len * sizeof(ts->heap[0]));
	wr_sys_free(ts->room);
	ts->room = room;
	ts->heap = room->heap;
	ts->cap = room->cap;
}

static void put_at(struct wr_timers *ts, size_t i, struct wr_timer *t)
{
	ts->heap[i] = t;
	t->place = i + 1;
}

static void rise(struct wr_timers *ts, size_t i, struct wr_timer *t)
{
	while (i > 0 && t->at < ts->heap[(i - 1) / 2]->at) {
		put_at(ts, i, ts->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put_at(ts, i, t);
}

static void sink(struct wr_timers *ts, size_t i, struct wr_timer *t)
{
	size_t child;

	while ((child = 2 * i + 1) < ts->len) {
		if (child + 1 < ts->len &&
		    ts->heap[child + 1]->at < ts->heap[child]->at)
			child++;
		if (t->at <= ts->heap[child]->at)
			break;
		put_at(ts, i, ts->heap[child]);
		i = child;
	}
	put_at(ts, i, t);
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
	if (ts->len == ts->cap)
		enlarge(ts);
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
	wr_sys_free(ts->room);
	wr_sys_free(atomic_load(&ts->larger));
	*ts = (struct wr_timers){ 0 };
}
