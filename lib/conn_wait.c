/* SPDX-License-Identifier: MIT */
/*
 * Waiting inside a callback: a session for input, any callback for room in a
 * congested outbox, a dialled connection for both.  The only places where a
 * worker sleeps on behalf of one connection.
 *
 * "Why no bell is lost": the waiter says where it can be rung, then takes the
 * reports; a reporter raises its report, then reads where to ring.  All are
 * sequentially consistent, so the waiter takes the report or is rung.  A bell
 * stays audible until it is cleared, which comes before the reports are
 * taken.
 */
#include <errno.h>

#include "conn.h"
#include "sys.h"

static bool is_draining(const struct weir_conn *c)
{
	return c->core && wr_core_phase(c->core) >= WR_PHASE_DRAINING;
}

/* 0: nothing happened within the time; > 0: what did (poll's bits). */
static int poll_once(struct weir_conn *c, short events, int64_t at)
{
	struct pollfd fds[2] = {
		{ .fd = c->fd, .events = events },
		{ .fd = c->ctx->wake_fd, .events = POLLIN },
	};
	int rc;

	/* For the watchdog: it is the peer that takes so long. */
	atomic_store_explicit(&c->ctx->waited_at, WR_NEVER_AT,
			      memory_order_relaxed);
	rc = wr_sys_poll(fds, c->ctx->wake_fd >= 0 ? 2 : 1,
			 wr_ms_until(at, c->ctx->now));
	c->ctx->now = wr_now_ns();
	atomic_store_explicit(&c->ctx->waited_at, c->ctx->now,
			      memory_order_relaxed);
	if (rc < 0)
		return rc == -EINTR ? 0 : rc;
	if (fds[1].revents)
		wr_sys_eventfd_clear(c->ctx->wake_fd);
	return fds[0].revents;
}

/* How long a wait for input may last in a drain; see docs/STOPPING.md. */
static int64_t drain_quiet_at(const struct weir_conn *c, bool is_mid)
{
	int64_t since = atomic_load(&c->core->drain_began_at);

	if (!is_mid && c->got_input)
		return 0;
	if (c->input_at > since)
		since = c->input_at;
	return since + WR_DRAIN_QUIET_NS;
}

/* What was reported since the wait began; -errno ends it. */
static int heed_reports(struct weir_conn *c)
{
	uint32_t reports = wr_owner_fetch(&c->owner);

	if (atomic_load(&c->is_cut))
		return -ECANCELED;
	c->events |= reports & WR_EV_CLOSE;
	if (c->events & WR_EV_CLOSE)
		return -ESHUTDOWN;
	return reports & WR_EV_WAKE ? -EINTR : 0;
}

static int wait_input(struct weir_conn *c)
{
	bool is_mid = c->message_at != 0;

	for (;;) {
		int rc = heed_reports(c), got;
		int64_t at = wr_conn_due_at(c);
		bool has_output = wr_conn_has_output(c);

		if (rc < 0)
			return rc;
		if (is_draining(c))
			at = wr_min_at(at, drain_quiet_at(c, is_mid));
		got = poll_once(c, has_output ? POLLIN | POLLOUT : POLLIN, at);
		if (got < 0)
			return got;
		if (has_output || wr_conn_has_output(c)) {
			rc = wr_conn_flush(c);
			if (rc < 0)
				return rc;
		}
		if (got & ~POLLOUT)
			return 0;
		if (c->ctx->now >= wr_conn_due_at(c))
			return -ETIMEDOUT;
		if (is_draining(c) && c->ctx->now >= drain_quiet_at(c, is_mid))
			return -ESHUTDOWN;
	}
}

int wr_conn_wait_input(struct weir_conn *c, bool is_mid)
{
	int rc = wr_conn_flush(c);

	if (rc < 0)
		return rc;
	c->ctx->now = c->active_at = wr_now_ns();
	if (is_mid && c->message_at == 0)
		c->message_at = c->ctx->now;
	atomic_store(&c->waiter_fd, c->ctx->wake_fd);
	rc = wait_input(c);
	atomic_store(&c->waiter_fd, -1);
	c->would_block = false;
	return rc;
}

/*
 * The kernel is full, as a flush has just seen.  That must be seen once more
 * when the time is up: the peer may have taken less than the kernel tells of.
 */
int wr_conn_wait_output(struct weir_conn *c)
{
	int64_t dies_at =
		wr_deadline_at(c->born_at, c->timeout_ms[WR_TMO_LIFETIME]);
	int64_t at;
	int rc;

	wr_lock(&c->lock);
	at = wr_deadline_at(c->stalled_at, c->timeout_ms[WR_TMO_WRITE]);
	wr_unlock(&c->lock);
	at = wr_min_at(at, dies_at);
	c->ctx->now = wr_now_ns();
	if (c->ctx->now >= at) {
		c->timed_out = c->ctx->now >= dies_at ? WEIR_END_LIFETIME
						      : WEIR_END_WRITE;
		return -ETIMEDOUT;
	}
	do {
		if (atomic_load(&c->is_cut))
			return -ECANCELED;
		rc = poll_once(c, POLLOUT, at);
	} while (rc == 0 && c->ctx->now < at);
	return rc < 0 ? rc : 0;
}
