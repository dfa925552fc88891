/* SPDX-License-Identifier: MIT */
/* Connections without a server, each used by one thread or session only. */
#include <errno.h>

#include "address.h"
#include "bounds.h"
#include "conn.h"
#include "connect.h"
#include "sys.h"

static const struct wr_limits dialled_limits = {
	.timeout_ms = { WEIR_NEVER, WEIR_NEVER, WEIR_NEVER, WEIR_NEVER,
			WEIR_NEVER, WEIR_NEVER, WR_DIAL_MS },
	.line_max = (size_t)1 << 20,
	.outbox_mark = (size_t)1 << 18,
};

static const struct wr_service dialled_service = {
	.limits = &dialled_limits,
};

/*
 * "No reply is lost by a close" (conn.c) for the caller's thread: if input has
 * come, discard it until the peer has all that we sent.
 */
static void drain_before_close(struct weir_conn *c)
{
	int64_t at = wr_now_ns() + WR_DIAL_LINGER_NS;
	uint64_t late = 0;
	int rc = 0;

	(void)wr_sys_shutdown(c->fd, SHUT_WR);
	while (rc >= 0 && !wr_conn_discard(c, (size_t)1 << 20, &late) &&
	       late > 0 && wr_sys_unsent(c->fd) > 0 && wr_now_ns() < at) {
		c->ctx->now = wr_now_ns();
		rc = wr_conn_poll(c, POLLIN, c->ctx->now + WR_DIAL_LOOK_NS,
				  true);
	}
}

static void send_the_rest(struct weir_conn *c)
{
	int rc;

	if (wr_conn_timeout(c, WR_TMO_WRITE) == WEIR_NEVER)
		c->timeout_ms[WR_TMO_WRITE] = WR_DIAL_WRITE_MS;
	while ((rc = wr_conn_flush(c)) > 0) {
		rc = wr_conn_wait_flush(c, rc);
		if (rc < 0)
			break;
	}
	if (rc == WR_FLUSH_DONE)
		drain_before_close(c);
	else
		wr_conn_hang_up(c);
}

static int new_conn(weir_conn **ret, int fd, bool is_tcp)
{
	struct wr_own_conn *d = wr_sys_alloc_lines(sizeof(*d));

	if (d == NULL)
		return -ENOMEM;
	d->ctx.stats = &d->stats;
	d->ctx.now = wr_now_ns();
	d->ctx.wake_fd = -1;
	wr_owner_begin(&d->conn.owner, 0);
	wr_conn_begin(&d->conn, &dialled_service, fd, d->ctx.now);
	d->conn.is_tcp = is_tcp;
	d->conn.ctx = &d->ctx;
	*ret = &d->conn;
	return 0;
}

/* wr_connect(), while the session is parked. */
static int connect_beside(struct weir_conn *session,
			  const struct wr_address *where, int64_t deadline_at)
{
	struct wr_other o = { .quiet_at = WR_NEVER_AT };
	struct wr_connect r;
	int rc = wr_connect_prepare(&r, where, deadline_at);

	if (rc < 0)
		return rc;
	r.poller = &session->core->poller;
	r.key = wr_conn_key(session) | WR_KEY_OTHER;
	r.notify = wr_conn_post_answer;
	r.arg = session;
	while ((rc = wr_connect_step(&r, wr_now_ns())) == -EINPROGRESS) {
		o.at = wr_connect_next_at(&r);
		rc = wr_conn_wait_other(session, &o, NULL, 0);
		if (rc < 0)
			break;
	}
	wr_connect_end(&r);
	return rc;
}

static int connect_to(const struct wr_address *where, int64_t deadline_at)
{
	struct weir_conn *session = wr_conn_session();

	return session && session->coro
		       ? connect_beside(session, where, deadline_at)
		       : wr_connect(where, deadline_at);
}

int weir_dial(weir_conn **ret, const char *where, int timeout_ms)
{
	WR_NO_CANCEL_IF(wr_coro_current() == NULL);
	int64_t deadline_at = wr_deadline_at(
		wr_now_ns(), timeout_ms ? timeout_ms : WR_DIAL_MS);
	struct wr_address addr;
	bool is_tcp;
	int rc, fd;

	if (ret == NULL || where == NULL || timeout_ms < WEIR_NEVER)
		return -EINVAL;
	rc = wr_address_parse(&addr, where);
	if (rc < 0)
		return rc;
	if (addr.kind == WR_ADDRESS_FD) {
		fd = addr.fd;
		rc = wr_connect_take_over(fd);
		is_tcp = rc > 0;
	} else {
		rc = fd = connect_to(&addr, deadline_at);
		is_tcp = addr.kind == WR_ADDRESS_TCP;
	}
	if (rc < 0)
		return rc;
	rc = new_conn(ret, fd, is_tcp);
	if (rc < 0 && addr.kind != WR_ADDRESS_FD)
		wr_sys_close(fd);
	return rc;
}

void weir_conn_free(weir_conn *c)
{
	WR_NO_CANCEL_IF(wr_coro_current() == NULL);
	int fd;

	if (c == NULL)
		return;
	if (c->table) {
		wr_logf(&c->core->logger, WEIR_LOG_ERROR,
			"weir_conn_free() of a connection of a server: "
			"a bug in the program");
		return;
	}
	if (c->layered)
		(void)weir_conn_shutdown(c, SHUT_WR);
	if (c->fd >= 0) /* else: detached */
		send_the_rest(c);
	wr_layer_free(c);
	wr_conn_drop_data(c);
	fd = wr_conn_detach(c);
	wr_conn_unwatch(c, fd);
	if (fd >= 0)
		wr_sys_close(fd);
	wr_context_fini(c->ctx);
	wr_conn_drop_slot(c);
}
