/* SPDX-License-Identifier: MIT */
/*
 * Waits of a program for several connections, and for a time.  Readiness is
 * looked at before each wait, with one poll(2) for all.
 */
#include <errno.h>

#include "bounds.h"
#include "conn.h"
#include "sys.h"

struct wait {
	struct weir_conn *session; /* NULL: a thread waits */
	struct weir_poll *list;
	int count;
	struct pollfd fds[WEIR_POLL_MOST + 2];
	struct wr_other other;
};

static bool waits_for(const struct weir_poll *p, int what)
{
	return p->events & what;
}

static bool is_valid(const struct weir_poll *p, const struct weir_conn *session)
{
	const int known = WEIR_POLL_INPUT | WEIR_POLL_ROOM;
	struct weir_conn *c = p->conn;

	return c && p->events && !(p->events & ~known) &&
	       (c->table == NULL || c == session);
}

static int prepare(const struct wait *w, const struct weir_poll *p)
{
	struct weir_conn *c = p->conn;

	if (c->table)
		return 0;
	if (c->in.buf.mem && waits_for(p, WEIR_POLL_INPUT) &&
	    wr_buffer_len(&c->in.buf) == 0)
		wr_buffer_release(&c->in.buf);
	return w->session ? wr_conn_watch(c, w->session) : 0;
}

static int begin_wait(const struct wait *w, const struct weir_poll *p)
{
	struct weir_conn *c = p->conn;

	c->ctx->now = wr_now_ns();
	if (waits_for(p, WEIR_POLL_INPUT | WR_POLL_RELAY))
		wr_conn_note_wait(c, false);
	return prepare(w, p);
}

static int64_t idle_at(const struct weir_poll *p)
{
	struct weir_conn *c = p->conn;

	return waits_for(p, WR_POLL_RELAY)
		       ? wr_deadline_at(c->active_at,
					wr_conn_timeout(c, WR_TMO_IDLE))
		       : WR_NEVER_AT;
}

static int64_t due_at(const struct weir_poll *p)
{
	struct weir_conn *c = p->conn;

	if (waits_for(p, WEIR_POLL_INPUT))
		return wr_min_at(wr_conn_due_at(c), idle_at(p));
	return wr_min_at(c->rare & WR_RARE_TIMER
				 ? wr_min_at(wr_conn_room_at(c), c->timer_at)
				 : wr_conn_room_at(c),
			 idle_at(p));
}

/* Input and output are not waited for. */
static bool is_aside(const struct weir_poll *p)
{
	return !waits_for(p, WEIR_POLL_INPUT | WEIR_POLL_ROOM | WR_POLL_SENT);
}

/*
 * poll(2) reports POLLHUP and POLLERR in any case.  Where these do not end the
 * wait, the descriptor is left out: it would report them again and again.
 */
static struct pollfd poll_events_of(const struct weir_poll *p, bool has_hung_up)
{
	struct weir_conn *c = p->conn;
	bool has_output = wr_conn_has_output(c);
	bool is_silent = is_aside(p) && has_hung_up && !has_output;
	short events = 0;

	if (waits_for(p, WEIR_POLL_INPUT))
		events |= POLLIN;
	if (has_output)
		events |= wr_conn_output_event(c);
	return (struct pollfd){ .fd = is_silent ? -1 : (int)c->fd,
				.events = events };
}

/* An event tells of a cut or a later error: no periodic look is needed. */
static bool is_in_sight(const struct wait *w, int i)
{
	const struct weir_conn *session = w->session;
	const int fd = w->list[i].conn->fd;

	if (session == NULL || session->coro == NULL)
		return w->fds[i].fd == fd;
	return !wr_poller_leaves_out(&session->core->poller, fd);
}

static bool has_input(struct weir_conn *c, short found)
{
	return c->layered ? wr_layer_look(c) != WR_LOOK_NOTHING
			  : found & ~POLLOUT;
}

/* True: more can be sent at once.  The flush shows what the peer has taken. */
static bool look_at(struct weir_poll *p, short found)
{
	struct weir_conn *c = p->conn;
	bool has_failed = found & (POLLERR | POLLHUP | POLLNVAL);
	int rc = WR_FLUSH_DONE;

	p->ready = 0;
	if (wr_conn_has_output(c))
		rc = wr_conn_flush(c);
	if (found & ~POLLOUT) {
		c->in.is_ready = true;
		wr_conn_input_came(c);
	}
	if (has_input(c, found) || wr_buffer_len(&c->in.buf) > 0 ||
	    c->in.end != WR_IN_OPEN || rc < 0)
		p->ready |= WEIR_POLL_INPUT;
	if (wr_conn_has_room(c) || has_failed || rc < 0)
		p->ready |= WEIR_POLL_ROOM;
	if (!wr_conn_has_output(c) || rc < 0)
		p->ready |= WR_POLL_SENT;
	if (has_failed && wr_conn_input_probe(c) < 0)
		p->ready |= WR_POLL_LOST;
	if (atomic_load(&c->is_cut))
		p->ready |= WR_POLL_RELAY;
	p->ready &= p->events;
	return rc == WR_FLUSH_YIELDED;
}

/* "poll(2) refuses more descriptors than RLIMIT_NOFILE" (conn_wait.c) */
static int look_one_by_one(struct wait *w)
{
	int rc = 0;

	for (int i = 0; rc >= 0 && i < w->count; i++)
		rc = wr_conn_look(w->list[i].conn, &w->fds[i]);
	return rc;
}

/* How many are ready; 0; -errno.  -EINTR: look again. */
static int look_at_all(struct wait *w)
{
	bool has_yielded = false;
	int rc, ready = 0;

	for (int i = 0; i < w->count; i++)
		w->fds[i] = poll_events_of(&w->list[i], false);
	rc = wr_sys_poll(w->fds, (nfds_t)w->count, 0);
	if (rc == -EINVAL)
		rc = look_one_by_one(w);
	if (rc < 0)
		return rc;
	for (int i = 0; i < w->count; i++) {
		has_yielded |= look_at(&w->list[i], w->fds[i].revents);
		ready += w->list[i].ready != 0;
	}
	return ready == 0 && has_yielded ? -EINTR : ready;
}

static int check_deadline(struct weir_conn *c, int64_t at)
{
	int rc;

	if (c->ctx->now < at)
		return 0;
	rc = wr_conn_end_wait(c);
	if (rc == -ETIMEDOUT)
		c->call.timed_out = wr_conn_due_end(c);
	return rc;
}

/* idle_ms of a relay does not count while output is unsent. */
static bool is_idle_wait(const struct wait *w, const struct weir_poll *p)
{
	if (!waits_for(p, WR_POLL_RELAY))
		return waits_for(p, WEIR_POLL_INPUT);
	for (int i = 0; i < w->count; i++)
		if (wr_conn_has_output(w->list[i].conn))
			return false;
	return true;
}

/* Of a session on a stack of its own: is it to end, to make room? */
static int check_eviction(const struct wait *w, const struct weir_poll *p)
{
	struct weir_conn *c = p->conn;

	if (c != w->session || c->coro == NULL || !wr_conn_was_asked(c) ||
	    !is_idle_wait(w, p) || !wr_conn_evict(c))
		return 0;
	c->call.timed_out = wr_conn_due_end(c);
	return -ETIMEDOUT;
}

/* A drain ends no wait for room, as it ends no write. */
static int64_t drain_ends_at(const struct weir_poll *p)
{
	switch (p->events & ~WR_POLL_RELAY) {
	case 0:
	case WR_POLL_LOST:
		return 0; /* the other connection decides */
	case WEIR_POLL_INPUT:
		return wr_conn_quiet_at(p->conn, waits_for(p, WR_POLL_RELAY)
							 ? WR_RELAY_QUIET_NS
							 : WR_MESSAGE_QUIET_NS);
	default:
		return WR_NEVER_AT;
	}
}

static uint32_t own_events(const struct weir_poll *p)
{
	uint32_t events = WR_EV_HUP;

	if (waits_for(p, WEIR_POLL_INPUT))
		events |= WR_EV_IN;
	if (waits_for(p, WEIR_POLL_ROOM))
		events |= WR_EV_ROOM;
	if (waits_for(p, WR_POLL_SENT))
		events |= WR_EV_OUT;
	return events;
}

/* What to poll for is computed again: the look before may have left output. */
static int plan(struct wait *w, int64_t now, int64_t until)
{
	struct wr_other *o = &w->other;
	int rc = 0;

	*o = (struct wr_other){ .at = until };
	for (int i = 0; i < w->count && rc == 0; i++) {
		struct weir_poll *p = &w->list[i];
		struct weir_conn *c = p->conn;
		int64_t at, quiet;

		c->ctx->now = now;
		w->fds[i] = poll_events_of(p, w->fds[i].revents &
						      (POLLERR | POLLHUP));
		at = due_at(p);
		rc = check_deadline(c, at);
		if (rc == 0)
			rc = check_eviction(w, p);
		if (!is_in_sight(w, i))
			at = wr_min_at(at, now + WR_MS(WR_SESSION_LOOK_MS));
		o->at = wr_min_at(o->at, at);
		quiet = drain_ends_at(p);
		if (quiet > o->quiet_at)
			o->quiet_at = quiet;
		if (c == w->session)
			o->events = own_events(p);
	}
	return rc;
}

/* An error of the flush is told by the next call. */
int wr_conn_check_room(struct weir_conn *c)
{
	if (c->ctx->now < wr_conn_room_at(c) ||
	    (wr_conn_has_output(c) && wr_conn_flush(c) < 0) ||
	    c->ctx->now < wr_conn_room_at(c))
		return 0;
	c->call.timed_out =
		wr_conn_has_outlived(c) ? WEIR_END_LIFETIME : WEIR_END_WRITE;
	return -ETIMEDOUT;
}

/* > 0: as many are ready; 0: look again; -errno. */
static int sleep_once(struct wait *w)
{
	int rc, ready;

	if (w->session) {
		rc = wr_conn_wait_other(w->session, &w->other, w->fds,
					w->count);
		if (!wr_conn_was_drained(w->session, rc))
			return rc;
		ready = look_at_all(w);
		return ready > 0 ? ready : rc;
	}
	rc = wr_conn_poll_within_limit(w->fds, w->count,
				       wr_ms_until(w->other.at, wr_now_ns()));
	return rc < 0 && rc != -EINTR && rc != -EINVAL ? rc : 0;
}

/* Instead of a sleep: more can be sent after others have run. */
static int pass_turn(struct wait *w)
{
	int rc;

	if (w->session == NULL || w->session->coro == NULL)
		return sleep_once(w);
	rc = wr_conn_let_others_run(w->session);
	return rc < 0 ? rc : wr_conn_check_other(w->session, &w->other);
}

static int wait_until(struct wait *w, int64_t until)
{
	int rc;

	for (;;) {
		bool goes_on;
		int64_t now;

		if (w->session && atomic_load(&w->session->is_cut))
			return -ECANCELED;
		rc = look_at_all(w);
		now = wr_now_ns();
		goes_on = rc == -EINTR;
		if (!goes_on && rc != 0)
			return rc;
		if (now >= until)
			return 0;
		rc = plan(w, now, goes_on ? now : until);
		if (rc == 0)
			rc = goes_on ? pass_turn(w) : sleep_once(w);
		if (rc != 0)
			return rc;
	}
}

int wr_conn_wait_ready(struct weir_poll *list, int count, int timeout_ms)
{
	struct wait w = { .session = wr_conn_session(),
			  .list = list,
			  .count = count };
	int rc = 0;

	if (w.session)
		wr_conn_flush_waiting(w.session);
	for (int i = 0; i < count && rc == 0; i++)
		rc = begin_wait(&w, &list[i]);
	return rc < 0 ? rc
		      : wait_until(&w, wr_deadline_at(wr_now_ns(), timeout_ms));
}

/*
 * It looks only when a deadline has passed, or when it is to make room: then
 * input that came in time still ends the wait.  The session's clock is that of
 * its last resume.
 */
int wr_conn_wait_edge(struct weir_poll *list, int count)
{
	struct weir_conn *session = wr_conn_session();
	struct wait w = { .session = session, .list = list, .count = count };
	int rc = 0;

	for (int i = 0; i < count && rc == 0; i++)
		rc = prepare(&w, &list[i]);
	while (rc == 0) {
		if (atomic_load(&session->is_cut))
			return -ECANCELED;
		rc = plan(&w, session->ctx->now, WR_NEVER_AT);
		if (rc == 0)
			rc = sleep_once(&w);
		if (rc != 0)
			return rc;
		if (session->call.other_came ||
		    (session->ctx->now < w.other.at &&
		     !wr_conn_was_asked(session)))
			return session->call.other_came;
		rc = look_at_all(&w);
	}
	return rc == -EINTR ? 1 : rc;
}

int weir_conn_wait(struct weir_poll *list, int count, int timeout_ms)
{
	const struct weir_conn *session = wr_conn_session();
	WR_NO_CANCEL_IF(session == NULL);

	if (list == NULL || count < 1 || count > WEIR_POLL_MOST ||
	    timeout_ms < WEIR_NEVER)
		return -EINVAL;
	for (int i = 0; i < count; i++)
		if (!is_valid(&list[i], session))
			return -EINVAL;
	return wr_conn_wait_ready(list, count, timeout_ms);
}

static void sleep_until(int64_t at)
{
	int64_t now;

	while ((now = wr_now_ns()) < at)
		(void)wr_sys_pause(wr_ms_until(at, now));
}

int weir_sleep(int ms)
{
	const struct wr_other o = { .at = wr_deadline_at(wr_now_ns(), ms) };
	struct weir_conn *session = wr_conn_session();
	WR_NO_CANCEL_IF(session == NULL);
	struct pollfd fds[2];
	int rc = 0;

	if (ms < (session ? WEIR_NEVER : 0))
		return -EINVAL;
	if (session == NULL)
		sleep_until(o.at);
	else
		do {
			rc = wr_conn_wait_other(session, &o, fds, 0);
		} while (rc == 0 && wr_now_ns() < o.at);
	return rc;
}
