/* SPDX-License-Identifier: MIT */
/*
 * The planned instants of an open loop.  Each link has its own: of a constant
 * rate every connections / rate seconds, shifted against the other links so
 * that all together are evenly spaced; of Poisson arrivals independent ones,
 * whose sum is Poisson again.  So a link that is held up knows what it missed
 * without a list of it.
 *
 * The heap holds the links that can send when their instant comes.  A link
 * that cannot is out of it, and is looked at when it can again.
 */
#include "engine.h"

#include "random.h"

static void set(struct engine *e, size_t at, struct link *l)
{
	e->heap[at] = l;
	l->heap_at = at;
}

static void move_up(struct engine *e, struct link *l, size_t at)
{
	for (; at > 1 && e->heap[at / 2]->due_at > l->due_at; at /= 2)
		set(e, at, e->heap[at / 2]);
	set(e, at, l);
}

static void move_down(struct engine *e, struct link *l, size_t at)
{
	for (size_t child; (child = 2 * at) <= e->heap_used; at = child) {
		if (child < e->heap_used &&
		    e->heap[child + 1]->due_at < e->heap[child]->due_at)
			child++;
		if (e->heap[child]->due_at >= l->due_at)
			break;
		set(e, at, e->heap[child]);
	}
	set(e, at, l);
}

static void take_out(struct engine *e, struct link *l)
{
	size_t at = l->heap_at;
	struct link *last = e->heap[e->heap_used--];

	l->heap_at = 0;
	if (last == l)
		return;
	move_up(e, last, at);
	move_down(e, last, last->heap_at);
}

static double period(const struct engine *e)
{
	return (double)e->plan->connections * 1e9 / e->plan->rate;
}

/* With --count: how many instants the link has in all. */
static uint64_t link_share(const struct engine *e, const struct link *l)
{
	uint64_t all = (uint64_t)e->plan->connections;

	return l->id < e->plan->count ? (e->plan->count - l->id - 1) / all + 1
				      : 0;
}

/* Of a count, the instant by which all are planned. */
static int64_t count_end(const struct engine *e)
{
	return e->start_at +
	       (int64_t)((double)e->plan->count * 1e9 / e->plan->rate);
}

/*
 * Independent arrivals of which there is to be an exact number lie anywhere in
 * the time that so many take; so the rate is the same to the end.
 */
static int64_t arrival(const struct engine *e, struct link *l)
{
	uint64_t left;

	if (e->plan->count == 0)
		return (int64_t)random_arrival(&l->random, period(e));
	left = link_share(e, l) - l->due_count;
	return (int64_t)random_first(&l->random, (double)left,
				     (double)(count_end(e) - l->due_at));
}

static void set_due(struct engine *e, struct link *l)
{
	double n = (double)l->due_count;

	if (e->plan->count > 0 && l->due_count >= link_share(e, l))
		l->due_at = NEVER;
	else if (e->plan->schedule == PLAN_CONSTANT)
		l->due_at = e->start_at +
			    (int64_t)((double)l->id * 1e9 / e->plan->rate +
				      n * period(e));
	else
		l->due_at += arrival(e, l);
}

void schedule_begin(struct engine *e, struct link *l)
{
	if (l->is_silent)
		return;
	l->due_count = 0;
	l->due_at = e->start_at;
	l->random = random_mix(e->plan->seed + l->id);
	set_due(e, l);
}

void schedule_next(struct engine *e, struct link *l)
{
	l->due_count++;
	set_due(e, l);
}

static bool can_send(const struct engine *e, const struct link *l)
{
	if (l->due_at >= e->end_at)
		return false;
	if (e->plan->mode == PLAN_CHURN)
		return l->state == LINK_IDLE && !l->is_planned;
	return l->state == LINK_OPEN && link_has_room(e, l);
}

void schedule_update(struct engine *e, struct link *l)
{
	if (e->start_at == NEVER || l->is_silent)
		return;
	if (!can_send(e, l)) {
		if (l->heap_at > 0)
			take_out(e, l);
	} else if (l->heap_at == 0) {
		move_up(e, l, ++e->heap_used);
	} else {
		move_up(e, l, l->heap_at);
		move_down(e, l, l->heap_at);
	}
}

int64_t schedule_run(struct engine *e, int64_t now)
{
	while (e->heap_used > 0 && e->heap[1]->due_at <= now) {
		struct link *l = e->heap[1];

		now = now_ns();
		if (now >= e->end_at && l->due_at >= e->end_at)
			break;
		if (e->plan->mode == PLAN_CHURN)
			link_open(e, l, now);
		else
			link_send(e, l, now);
		schedule_update(e, l);
	}
	return e->heap_used > 0 ? e->heap[1]->due_at : NEVER;
}

/*
 * The end that it was to have, though all connections may have been lost
 * before: of a count it is the instant of the last message.
 */
static int64_t planned_end(const struct engine *e)
{
	return e->end_at != NEVER ? e->end_at : count_end(e);
}

/*
 * A message that was not sent is late by at least the time from its instant
 * to the end.
 */
static void note_never_sent(struct engine *e, int64_t planned, int64_t end)
{
	struct interval *i = e->now;
	int64_t age = end > planned ? end - planned : 0;

	i->books.planned++;
	i->books.never_sent++;
	interval_censor(i, age);
	histogram_record(i->clocks[CLOCK_FROM_PLAN], age);
}

void schedule_close_books(struct engine *e)
{
	int64_t now = now_ns();

	if (!engine_is_open_loop(e) || e->start_at == NEVER)
		return;
	if (now < planned_end(e))
		now = planned_end(e);
	for (size_t n = 0; n < e->link_count; n++) {
		struct link *l = &e->links[n];

		for (; !l->is_silent && l->due_at < e->end_at;
		     schedule_next(e, l))
			if (l->due_at >= e->measure_at)
				note_never_sent(e, l->due_at, now);
	}
}
