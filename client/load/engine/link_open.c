/* SPDX-License-Identifier: MIT */
/*
 * The life of a link's connections: made, ready, lost, made again.
 */
#include "engine.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAUSE_MIN (INT64_C(10) * 1000 * 1000)
#define PAUSE_MAX (INT64_C(1000) * 1000 * 1000)
#define TRY_AGAIN (INT64_C(1) * 1000 * 1000)

static void set_state(struct engine *e, struct link *l, enum link_state state)
{
	e->in_state[l->state]--;
	e->in_state[state]++;
	if (state == LINK_OVER && !l->is_silent)
		e->alive--;
	l->state = state;
}

/* For now or for good. */
static void close_link(struct engine *e, struct link *l, bool is_over)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (l->state == LINK_BANNER || l->state == LINK_OPEN)
		atomic_fetch_sub_explicit(&e->opened, 1, memory_order_relaxed);
	if (l->fd >= 0) {
		if (e->plan->close_by_reset)
			(void)setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &reset,
					 sizeof(reset));
		close(l->fd);
	}
	l->fd = -1;
	l->is_blocked = l->is_level = l->is_done = false;
	l->frame = (struct frame){ .used = 0 };
	l->owed = l->owed_before = 0;
	l->head = l->highest = l->out_seq = l->next;
	l->out_from = 0;
	set_state(e, l, is_over ? LINK_OVER : LINK_IDLE);
}

/* In churn a message is planned before its connection is begun. */
static void plan_exchange(struct engine *e, struct link *l, int64_t now)
{
	int64_t planned = now;

	if (engine_is_open_loop(e)) {
		planned = l->due_at;
		schedule_next(e, l);
	} else if (now >= e->measure_at) {
		e->budget--;
	}
	link_message(e, l, l->next)->planned = planned;
	l->room_at = planned;
	l->is_planned = true;
	e->under_way++;
}

void link_drop_exchange(struct engine *e, struct link *l, int64_t now)
{
	int64_t planned = link_message(e, l, l->next)->planned;
	struct interval *i = e->now;

	if (!l->is_planned)
		return;
	l->is_planned = false;
	e->under_way--;
	if (planned < e->measure_at)
		return;
	i->books.planned++;
	i->books.never_sent++;
	interval_censor(i, now - planned, 1);
	histogram_record(i->clocks[CLOCK_FROM_PLAN], now - planned);
}

static bool may_begin_exchange(const struct engine *e, int64_t now)
{
	if (engine_is_open_loop(e))
		return !e->is_ending;
	return engine_is_running(e, now) && !e->is_ending &&
	       (now < e->measure_at || e->budget > 0);
}

/* The backlog of a Unix socket is full: TCP would wait, and so do we. */
static bool is_patient(struct engine *e, struct link *l, int64_t now)
{
	if (l->retry_from == 0) {
		l->retry_from = now;
		e->patient++;
	}
	l->begun_at = l->retry_from;
	l->retry_at = now + TRY_AGAIN;
	return now - l->retry_from < e->plan->connect_timeout_ns;
}

void link_open(struct engine *e, struct link *l, int64_t now)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP |
					       EPOLLET,
				     .data.ptr = l };
	enum error_phase phase;
	int error;

	if (e->plan->mode == PLAN_CHURN && !l->is_silent && !l->is_planned) {
		if (!may_begin_exchange(e, now))
			return;
		plan_exchange(e, l, now);
	}
	if (l->retry_from == 0)
		l->begun_at = now;
	l->fd = target_connect(e->control->target, l->id, &phase, &error);
	if (l->fd < 0 && error == EAGAIN && is_patient(e, l, now))
		return;
	e->patient -= l->retry_from != 0;
	l->retry_from = 0;
	set_state(e, l, LINK_CONNECTING);
	if (l->fd < 0)
		link_fail(e, l, phase, error, now);
	else if (epoll_ctl(e->epoll, EPOLL_CTL_ADD, l->fd, &event) < 0)
		link_fail(e, l, ERROR_SOCKET, errno, now);
	else if (error == 0)
		link_connected(e, l, 0, now);
}

/* Churn before the measured part is not reported. */
static bool is_measured(const struct engine *e, const struct link *l)
{
	return l->is_silent || e->plan->mode != PLAN_CHURN ||
	       l->ring->planned >= e->measure_at;
}

void link_connected(struct engine *e, struct link *l, int error, int64_t now)
{
	if (error != 0) {
		link_fail(e, l, ERROR_CONNECT, error, now);
		return;
	}
	now = now_ns();
	if (is_measured(e, l))
		histogram_record(e->now->clocks[CLOCK_CONNECT],
				 now - l->begun_at);
	e->reopened += l->was_opened && e->plan->mode != PLAN_CHURN;
	l->was_opened = true;
	l->begun_at = l->last_at = e->connected_at = now;
	l->pause = 0;
	atomic_fetch_add_explicit(&e->opened, 1, memory_order_relaxed);
	set_state(e, l, LINK_BANNER);
	if (e->plan->banner == BANNER_NONE || l->is_silent)
		link_ready(e, l, now);
	else
		l->was_asked = true;
}

void link_ready(struct engine *e, struct link *l, int64_t now)
{
	l->frame = (struct frame){ .used = 0 };
	set_state(e, l, LINK_OPEN);
	if (e->plan->mode != PLAN_CHURN)
		l->room_at = now;
	if (!l->is_silent)
		link_writable(e, l, now);
}

/* When it may be made again: churn goes on whatever happened. */
static void pause_before_next(struct engine *e, struct link *l,
			      enum error_phase phase, int64_t now)
{
	if (l->is_silent ||
	    !(e->plan->reconnect || e->plan->mode == PLAN_CHURN))
		return;
	if (e->plan->mode == PLAN_CHURN && engine_is_open_loop(e))
		return;
	if (phase == ERROR_REPLY || phase == ERROR_BETWEEN)
		l->pause = 0;
	l->retry_at = now + l->pause;
	l->pause = l->pause ? 2 * l->pause : PAUSE_MIN;
	if (l->pause > PAUSE_MAX)
		l->pause = PAUSE_MAX;
	if (e->plan->mode == PLAN_CHURN && l->pause > PAUSE_MIN)
		l->pause = PAUSE_MIN;
}

void link_fail(struct engine *e, struct link *l, enum error_phase phase,
	       int error, int64_t now)
{
	struct books *b = &e->now->books;
	bool is_again = (e->plan->reconnect || e->plan->mode == PLAN_CHURN) &&
			!l->is_silent;

	if (is_measured(e, l))
		engine_note_error(e, phase, error, now);
	if (l->state == LINK_OPEN && phase != ERROR_SEND)
		e->ended += error == 0 || error == ECONNRESET;
	link_drop_exchange(e, l, now);
	replies_abandon(e, l,
			error == 0 || error == ETIMEDOUT ? &b->closed_early
							 : &b->reset,
			now);
	pause_before_next(e, l, phase, now);
	close_link(e, l, !is_again);
}

void link_done(struct engine *e, struct link *l, int64_t now)
{
	replies_abandon(e, l, &e->now->books.open, now);
	close_link(e, l, false);
	if (!engine_is_open_loop(e))
		link_open(e, l, now);
}

void link_check_time(struct engine *e, struct link *l, int64_t now)
{
	switch (l->state) {
	case LINK_IDLE:
		if (l->retry_at > 0 && l->retry_at <= now &&
		    (!e->is_ending || l->is_planned)) {
			l->retry_at = 0;
			link_open(e, l, now);
		}
		break;
	case LINK_CONNECTING:
		if (now - l->begun_at > e->plan->connect_timeout_ns)
			link_fail(e, l, ERROR_CONNECT, ETIMEDOUT, now);
		break;
	case LINK_BANNER:
		if (now - l->begun_at > e->plan->timeout_ns)
			link_fail(e, l, ERROR_BANNER, ETIMEDOUT, now);
		break;
	case LINK_OPEN:
		while (l->open > 0 && now - link_message(e, l, l->head)->sent >
					      e->plan->timeout_ns)
			replies_give_up(e, l, now);
		break;
	default:
		break;
	}
}
