/* SPDX-License-Identifier: MIT */
/*
 * Waits of sessions and of connections of weir_dial().  A session on a stack of
 * its own pauses; for the others wr_conn_poll() is the only place where a
 * thread sleeps for one connection.
 */
#include <errno.h>

#include "bounds.h"
#include "conn.h"
#include "sys.h"

/*
 * With RLIMIT_NOFILE 1 poll(2) refuses two descriptors: then wait for one,
 * briefly, as the caller checks for events after each wait.
 */
static int poll_both(struct pollfd fds[2], int timeout_ms)
{
	int rc = wr_sys_poll(fds, 2, timeout_ms);

	if (rc != -EINVAL)
		return rc;
	if (timeout_ms < 0 || timeout_ms > WR_SESSION_LOOK_MS)
		timeout_ms = WR_SESSION_LOOK_MS;
	return wr_sys_poll(fds, 1, timeout_ms);
}

int wr_conn_poll(struct weir_conn *c, short events, int64_t at)
{
	struct pollfd fds[2] = {
		{ .fd = c->fd, .events = events },
		{ .fd = c->ctx->wake_fd, .events = POLLIN },
	};
	int timeout_ms = wr_ms_until(at, c->ctx->now), rc;

	/* The watchdog does not count waits. */
	atomic_store_explicit(&c->ctx->waited_at, WR_NEVER_AT,
			      memory_order_relaxed);
	rc = c->ctx->wake_fd >= 0 ? poll_both(fds, timeout_ms)
				  : wr_sys_poll(fds, 1, timeout_ms);
	c->ctx->now = wr_now_ns();
	atomic_store_explicit(&c->ctx->waited_at, c->ctx->now,
			      memory_order_relaxed);
	if (rc < 0)
		return rc == -EINTR ? 0 : rc;
	if (fds[1].revents)
		wr_sys_eventfd_clear(c->ctx->wake_fd);
	return fds[0].revents;
}

int wr_conn_park(struct weir_conn *c, enum wr_wait what)
{
	atomic_store_explicit(&c->wait_for, what, memory_order_relaxed);
	wr_coro_pause(c->coro);
	return c->wait_rc;
}

void wr_conn_note_wait(struct weir_conn *c, bool is_mid)
{
	/* A timer does not restart the idle time. */
	if (!c->call.has_ticked || c->in.last_at > c->active_at)
		c->active_at = c->ctx->now;
	c->call.has_ticked = false;
	if (is_mid && c->in.message_at == 0)
		c->in.message_at = c->ctx->now;
}

int wr_conn_end_wait(struct weir_conn *c)
{
	c->call.has_ticked = wr_conn_take_timer(c);
	return c->call.has_ticked ? -EINTR : -ETIMEDOUT;
}

static int64_t dies_at(const struct weir_conn *c)
{
	return wr_deadline_at(c->born_at, wr_conn_timeout(c, WR_TMO_LIFETIME));
}

int64_t wr_conn_room_at(struct weir_conn *c)
{
	return wr_min_at(wr_conn_stall_at(c), dies_at(c));
}

/*
 * The caller flushes when it returns, which shows what the peer has taken: the
 * poller does not report each byte.
 */
static int wait_output(struct weir_conn *c)
{
	int64_t at;
	int rc;

	c->ctx->now = wr_now_ns();
	at = wr_conn_room_at(c);
	if (c->ctx->now >= at) {
		c->call.timed_out = c->ctx->now >= dies_at(c)
					    ? WEIR_END_LIFETIME
					    : WEIR_END_WRITE;
		return -ETIMEDOUT;
	}
	if (atomic_load(&c->is_cut))
		return -ECANCELED;
	rc = c->coro ? wr_conn_park(c, WR_WAIT_OUTPUT)
		     : wr_conn_poll(c, POLLOUT, at);
	return rc < 0 ? rc : 0;
}

int wr_conn_wait_output(struct weir_conn *c)
{
	int rc;

	if (c->coro)
		return wait_output(c);
	/* First: a deadline that changes from here on ends the wait. */
	atomic_store(&c->waiter_fd, c->ctx->wake_fd);
	rc = wait_output(c);
	atomic_store(&c->waiter_fd, -1);
	return rc;
}
