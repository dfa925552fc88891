/* SPDX-License-Identifier: MIT */
/*
 * Waits of sessions and of connections of weir_dial().  A session on a stack of
 * its own pauses, also when it waits for another connection, an answer or a
 * time.  In other cases the thread sleeps in poll(2).
 */
#include <errno.h>

#include "bounds.h"
#include "conn.h"
#include "conn_table.h"
#include "poller.h"
#include "sys.h"

/*
 * poll(2) refuses more descriptors than RLIMIT_NOFILE.  Then leave the last one
 * out, and if even one is refused, pause.  Such a wait is short, because only
 * the caller, after it, checks for other events.
 */
int wr_conn_poll_within_limit(struct pollfd *fds, int count, int timeout_ms)
{
	int rc = wr_sys_poll(fds, (nfds_t)count, timeout_ms);

	if (rc != -EINVAL)
		return rc;
	if (timeout_ms < 0 || timeout_ms > WR_SESSION_LOOK_MS)
		timeout_ms = WR_SESSION_LOOK_MS;
	if (count > 1)
		return wr_conn_poll_within_limit(fds, count - 1, timeout_ms);
	rc = wr_sys_pause(timeout_ms);
	return rc < 0 ? rc : -EINVAL;
}

/* Room needs no look: the caller sends after each wait. */
static int look_without_poll(struct weir_conn *c, struct pollfd *of)
{
	int rc = wr_conn_peek(c);

	of->revents = 0;
	if (rc < 0)
		of->revents = POLLERR;
	else if (rc > 0)
		of->revents = of->events & POLLIN;
	return of->revents != 0;
}

int wr_conn_look(struct weir_conn *c, struct pollfd *of)
{
	int rc = wr_sys_poll(of, 1, 0);

	return rc == -EINVAL ? look_without_poll(c, of) : rc;
}

/* fds has room for one more.  -EINVAL: as wr_conn_poll_within_limit(). */
static int sleep_in_poll(struct wr_context *ctx, struct pollfd *fds, int count,
			 int64_t at)
{
	int timeout_ms = wr_ms_until(at, ctx->now), rc;

	fds[count] = (struct pollfd){ .fd = ctx->wake_fd, .events = POLLIN };
	/* watch.c does not count waits */
	atomic_store_explicit(&ctx->waited_at, WR_NEVER_AT,
			      memory_order_relaxed);
	rc = wr_conn_poll_within_limit(fds, count + (ctx->wake_fd >= 0),
				       timeout_ms);
	ctx->now = wr_now_ns();
	atomic_store_explicit(&ctx->waited_at, ctx->now, memory_order_relaxed);
	if (rc < 0)
		return rc == -EINTR ? 0 : rc;
	if (fds[count].revents)
		wr_sys_eventfd_clear(ctx->wake_fd);
	return rc;
}

struct weir_conn *wr_conn_session(void)
{
	struct wr_coro *co = wr_coro_current();
	struct weir_conn *c = co ? co->arg : wr_context_running();

	if (co || c == NULL)
		return c;
	return wr_conn_may_wait(c) ? c : NULL;
}

static int64_t drained_at(const struct weir_conn *c, const struct wr_other *o)
{
	int64_t since = atomic_load(&c->core->drain_began_at);

	if (wr_core_phase(c->core) < WR_PHASE_DRAINING || o->is_firm ||
	    o->quiet_at == WR_NEVER_AT)
		return WR_NEVER_AT;
	if (o->quiet_at == 0)
		return since;
	since += WR_MESSAGE_QUIET_NS;
	return since < o->quiet_at ? o->quiet_at : since;
}

int64_t wr_conn_other_at(const struct weir_conn *c, const struct wr_other *o)
{
	int64_t at = wr_min_at(o->at, drained_at(c, o));

	return c->rare & WR_RARE_TIMER && !o->is_firm
		       ? wr_min_at(at, c->timer_at)
		       : at;
}

int wr_conn_check_other(struct weir_conn *c, const struct wr_other *o)
{
	if (atomic_load(&c->is_cut))
		return -ECANCELED;
	if (o->is_firm)
		return 0;
	if (c->events & WR_EV_CLOSE)
		return -ESHUTDOWN;
	if (c->events & WR_EV_WAKE) {
		c->events &= ~(uint32_t)WR_EV_WAKE;
		return -EINTR;
	}
	if (wr_conn_take_timer(c)) {
		c->call.has_ticked = o->events & WR_EV_IN;
		return -EINTR;
	}
	return c->ctx->now >= drained_at(c, o) ? -ESHUTDOWN : 0;
}

/* Sends output, too; its next call tells an error. */
static int wait_on_worker(struct weir_conn *c, const struct wr_other *o,
			  struct pollfd *fds, int count)
{
	struct pollfd *own = &fds[count];
	int sent = WR_FLUSH_DONE, rc;
	uint32_t posted;
	int64_t at;

	/* "A waiting session is woken" (conn_input.c) */
	atomic_store(&c->waiter_fd, c->ctx->wake_fd);
	if (wr_conn_has_output(c))
		sent = c->ctx->flush(c);
	posted = wr_owner_fetch(&c->owner);
	c->events |= posted & (WR_EV_CLOSE | WR_EV_WAKE);
	c->ctx->now = wr_now_ns();
	at = sent == WR_FLUSH_YIELDED ? c->ctx->now : wr_conn_other_at(c, o);
	*own = (struct pollfd){ .fd = c->fd,
				.events = wr_conn_output_event(c) };
	rc = wr_conn_check_other(c, o);
	if (rc == 0 && !(posted & WR_EV_DEADLINE)) /* else: new limits */
		rc = sleep_in_poll(c->ctx, fds,
				   count + (sent == WR_FLUSH_STALLED), at);
	if (sent == WR_FLUSH_STALLED && own->revents & POLLIN)
		wr_conn_input_came(c);
	atomic_store(&c->waiter_fd, -1);
	return rc < 0 && rc != -EINVAL ? rc : 0; /* the caller looks */
}

int wr_conn_wait_other(struct weir_conn *c, const struct wr_other *o,
		       struct pollfd *fds, int count)
{
	if (c->coro == NULL)
		return wait_on_worker(c, o, fds, count);
	for (int i = 0; i < count; i++)
		wr_poller_expect(
			&c->core->poller, fds[i].fd,
			((fds[i].events & POLLIN) ? WR_POLL_IN : 0U) |
				((fds[i].events & POLLOUT) ? WR_POLL_OUT : 0U));
	c->other = o;
	return wr_conn_park(c, WR_WAIT_OTHER);
}

bool wr_conn_was_drained(const struct weir_conn *c, int rc)
{
	return rc == -ESHUTDOWN && !(c->events & WR_EV_CLOSE);
}

void wr_conn_post_answer(void *session)
{
	struct weir_conn *c = session;

	wr_conn_post(c, wr_core_foreign_stats(c->core),
		     wr_owner_generation(&c->owner), WR_EV_OTHER);
}

static struct wr_own_conn *own_conn(struct weir_conn *c)
{
	return wr_container_of(c, struct wr_own_conn, conn);
}

static bool is_watched_by(const struct wr_own_conn *d,
			  const struct weir_conn *session)
{
	return d->watcher_table == session->table &&
	       d->watcher == wr_conn_key(session);
}

/*
 * It is registered once for a session, edge-triggered.  The session looks at it
 * before each wait, so it misses no edge.  The reference keeps the table, as a
 * key is unique in its table alone.
 */
int wr_conn_watch(struct weir_conn *c, struct weir_conn *session)
{
	const unsigned interest = WR_POLL_IN | WR_POLL_OUT | WR_POLL_EDGE;
	struct wr_own_conn *d = own_conn(c);
	struct wr_poller *poller = &session->core->poller;
	int rc;
	uint64_t key = wr_conn_key(session) | WR_KEY_OTHER;

	if (session->coro == NULL || is_watched_by(d, session))
		return 0;
	rc = wr_poller_add(poller, c->fd, interest, key);
	if (rc < 0)
		return rc;
	wr_table_ref(session->table);
	if (d->watcher_table)
		wr_table_unref(d->watcher_table);
	d->watcher_table = session->table;
	d->watcher = wr_conn_key(session);
	return 0;
}

/* A detached descriptor, or a duplicate, would stay in the poller. */
void wr_conn_unwatch(struct weir_conn *c, int fd)
{
	struct wr_own_conn *d = own_conn(c);
	struct weir_conn *session = wr_conn_session();

	if (session && session->coro && fd >= 0)
		wr_poller_remove(&session->core->poller, fd);
	if (d->watcher_table)
		wr_table_unref(d->watcher_table);
	d->watcher_table = NULL;
}

void wr_conn_flush_waiting(struct weir_conn *session)
{
	if (session->coro == NULL && wr_conn_has_output(session))
		(void)session->ctx->flush(session); /* its next call tells */
}

void wr_conn_note_answer(struct weir_conn *c)
{
	own_conn(c)->answered = c->out.sent + wr_outbox_bytes(&c->out.box);
}

static bool owes_answer(struct weir_conn *c)
{
	uint64_t put = c->out.sent + wr_outbox_bytes(&c->out.box);

	/* After the end of our output all that comes is the answer. */
	return c->out.end != WR_OUT_OPEN || put > own_conn(c)->answered;
}

int64_t wr_conn_quiet_at(struct weir_conn *c, int64_t quiet_ns)
{
	if (c->table == NULL && owes_answer(c))
		return WR_NEVER_AT;
	/* Without a byte it is in the middle of nothing. */
	if (c->in.received == 0)
		quiet_ns = WR_MESSAGE_QUIET_NS;
	return c->in.last_at + quiet_ns;
}

static int poll_beside(struct weir_conn *session, struct weir_conn *c,
		       struct pollfd *fds, int64_t at, bool is_firm)
{
	const struct wr_other o = { .at = at,
				    .quiet_at = wr_conn_quiet_at(
					    c, WR_MESSAGE_QUIET_NS),
				    .is_firm = is_firm };
	int rc = wr_conn_watch(c, session);

	wr_conn_flush_waiting(session);
	while (rc == 0) {
		rc = wr_conn_look(c, fds);
		c->ctx->now = wr_now_ns();
		if (rc == 0 && c->ctx->now >= at)
			break;
		if (rc != 0 && rc != -EINTR)
			break;
		rc = wr_conn_wait_other(session, &o, fds, 1);
		if (wr_conn_was_drained(session, rc) &&
		    wr_conn_look(c, fds) > 0)
			rc = 1;
		if (rc == 0 && fds->events & POLLOUT)
			break; /* the caller sends, and so sees room */
	}
	return rc;
}

int wr_conn_poll(struct weir_conn *c, short events, int64_t at, bool is_firm)
{
	struct weir_conn *session = c->table ? NULL : wr_conn_session();
	struct pollfd fds[3] = { { .fd = c->fd, .events = events } };
	int rc = session ? poll_beside(session, c, fds, at, is_firm)
			 : sleep_in_poll(c->ctx, fds, 1, at);

	if (rc == -EINVAL)
		rc = look_without_poll(c, fds);
	return rc < 0 ? rc : fds[0].revents;
}

int wr_conn_park(struct weir_conn *c, enum wr_wait what)
{
	wr_assert(wr_coro_current() == c->coro);
	c->wait_rc = 0;
	atomic_store_explicit(&c->wait_for, what, memory_order_relaxed);
	wr_coro_pause(c->coro);
	return c->wait_rc;
}

void wr_conn_note_wait(struct weir_conn *c, bool is_mid)
{
	/* A timer does not restart the idle time. */
	if (!c->call.has_ticked || c->in.last_at > c->active_at)
		wr_conn_set_active(c, c->ctx->now);
	c->call.has_ticked = false;
	if (is_mid && c->in.message_at == 0)
		c->in.message_at = c->ctx->now;
}

int wr_conn_end_wait(struct weir_conn *c)
{
	c->call.has_ticked = wr_conn_take_timer(c);
	return c->call.has_ticked ? -EINTR : -ETIMEDOUT;
}

static int64_t lifetime_ends_at(const struct weir_conn *c)
{
	return wr_deadline_at(c->born_at, wr_conn_timeout(c, WR_TMO_LIFETIME));
}

int64_t wr_conn_room_at(struct weir_conn *c)
{
	return wr_min_at(wr_conn_stall_at(c), lifetime_ends_at(c));
}

/*
 * The caller flushes next, which shows what the peer has taken: the poller does
 * not report each byte.
 */
static int wait_output(struct weir_conn *c)
{
	int64_t at;
	int rc;

	c->ctx->now = wr_now_ns();
	at = wr_conn_room_at(c);
	if (c->ctx->now >= at) {
		c->call.timed_out = wr_conn_has_outlived(c) ? WEIR_END_LIFETIME
							    : WEIR_END_WRITE;
		return -ETIMEDOUT;
	}
	if (atomic_load(&c->is_cut))
		return -ECANCELED;
	rc = c->coro ? wr_conn_park(c, WR_WAIT_OUTPUT)
		     : wr_conn_poll(c, wr_conn_output_event(c), at, true);
	if (rc > 0 && rc & POLLIN)
		wr_conn_input_came(c);
	return rc < 0 ? rc : 0;
}

int wr_conn_let_others_run(struct weir_conn *c)
{
	struct weir_conn *session = c->table ? c : wr_conn_session();
	int rc = 0;

	if (session && session->coro)
		rc = wr_conn_park(session, WR_WAIT_TURN);
	/* The session's deadlines are not those of c. */
	return rc == -ETIMEDOUT && session != c ? 0 : rc;
}

int wr_conn_wait_output(struct weir_conn *c)
{
	int rc;

	if (c->coro)
		return wait_output(c);
	/* Before the deadline is read: a later change then ends the wait. */
	atomic_store(&c->waiter_fd, c->ctx->wake_fd);
	rc = wait_output(c);
	atomic_store(&c->waiter_fd, -1);
	return rc;
}

int wr_conn_wait_flush(struct weir_conn *c, int flushed)
{
	return flushed == WR_FLUSH_STALLED ? wr_conn_wait_output(c)
					   : wr_conn_let_others_run(c);
}
