/* SPDX-License-Identifier: MIT */
/*
 * Dialling: each address a name has, one after the other, until the deadline.
 * What comes out is a connection without a server: it has a context of its
 * own, its reads wait in the caller's thread, and nobody else knows of it.
 */
#include "dial.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "address.h"
#include "conn.h"
#include "lookup.h"
#include "sys.h"

#define DEFAULT_TIMEOUT_MS 30000
#define LONGEST_FAREWELL   (1000 * WR_NS_PER_MS)

struct dialled {
	struct weir_conn conn;
	struct wr_context ctx;
	struct wr_lane lane;
};

static const struct wr_service dialled_service = {
	.set = { .line_max = (size_t)1 << 20, .outbox_max = (size_t)1 << 18 },
	.timeout_ms = { WEIR_NEVER, WEIR_NEVER, WEIR_NEVER, WEIR_NEVER,
			WEIR_NEVER },
};

/* Wait until a connect that is under way has succeeded. */
static int wait_connected(int fd, int64_t deadline_at)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	int error = 0, rc;
	socklen_t len = sizeof(error);

	do {
		rc = wr_sys_poll(&pfd, 1,
				 wr_ms_until(deadline_at, wr_now_ns()));
	} while (rc == -EINTR);
	if (rc == 0)
		return -ETIMEDOUT;
	if (rc > 0)
		rc = wr_sys_getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	return rc < 0 ? rc : -error;
}

/*
 * Where nobody listens, the kernel may give a socket the very port that it
 * connects to: its SYN comes back to it, and TCP connects it with itself.
 * The address that was asked for may stand for all of this machine, so it is
 * the peer's that is compared; but only if the ports, which stand at the same
 * place in both families, are the same.
 */
static bool has_met_itself(int fd, const struct sockaddr *to)
{
	struct sockaddr_storage own = { 0 }, peer = { 0 };
	socklen_t own_len = sizeof(own), peer_len = sizeof(peer);
	struct sockaddr *name = (struct sockaddr *)&own;

	return wr_sys_getsockname(fd, name, &own_len) == 0 &&
	       memcmp(name->sa_data, to->sa_data, sizeof(in_port_t)) == 0 &&
	       wr_sys_getpeername(fd, (struct sockaddr *)&peer, &peer_len) ==
		       0 &&
	       memcmp(&own, &peer, sizeof(own)) == 0;
}

static int connect_tcp(int fd, const struct sockaddr *addr, socklen_t len,
		       int64_t deadline_at)
{
	const struct linger reset = { .l_onoff = 1 };
	int on = 1, rc = wr_sys_connect(fd, addr, len);

	if (rc == -EINPROGRESS)
		rc = wait_connected(fd, deadline_at);
	if (rc == 0 && has_met_itself(fd, addr)) {
		/* TIME_WAIT would keep the port from who wants to listen. */
		(void)wr_sys_setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset,
					sizeof(reset));
		rc = -ECONNREFUSED;
	}
	if (rc == 0)
		(void)wr_sys_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
					sizeof(on));
	return rc;
}

/*
 * A Unix socket whose backlog is full has nothing to poll for; only a connect
 * that blocks is woken when there is room.
 */
static int connect_unix(int fd, const struct sockaddr *addr, socklen_t len,
			int64_t deadline_at)
{
	int rc;

	do {
		int ms = wr_ms_until(deadline_at, wr_now_ns());
		struct timeval limit = { .tv_sec = ms / 1000,
					 .tv_usec = ms % 1000 * 1000L };

		if (ms == 0)
			return -ETIMEDOUT;
		if (ms < 0)
			limit = (struct timeval){ 0 }; /* none */
		rc = wr_sys_setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit,
				       sizeof(limit));
		if (rc == 0)
			rc = wr_sys_connect(fd, addr, len);
	} while (rc == -EINTR);
	if (rc == 0)
		rc = wr_sys_fcntl(fd, F_GETFL, 0);
	if (rc >= 0)
		rc = wr_sys_fcntl(fd, F_SETFL, rc | O_NONBLOCK);
	return rc == -EAGAIN ? -ETIMEDOUT : rc;
}

/* A connected, non-blocking descriptor or -errno. */
static int connect_to(const struct sockaddr *addr, socklen_t len,
		      int64_t deadline_at)
{
	bool is_unix = addr->sa_family == AF_UNIX;
	int type = SOCK_STREAM | SOCK_CLOEXEC | (is_unix ? 0 : SOCK_NONBLOCK);
	int fd = wr_sys_socket(addr->sa_family, type, 0), rc;

	if (fd < 0)
		return fd;
	rc = is_unix ? connect_unix(fd, addr, len, deadline_at)
		     : connect_tcp(fd, addr, len, deadline_at);
	if (rc < 0) {
		wr_sys_close(fd);
		return rc;
	}
	return fd;
}

static int connect_name(const struct wr_address *where, int64_t deadline_at)
{
	struct addrinfo *list;
	int fd = wr_lookup_host(&list, where->host, where->port, deadline_at);

	if (fd < 0)
		return fd;
	fd = -ENOENT;
	for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
		fd = connect_to(a->ai_addr, a->ai_addrlen, deadline_at);
		/* The kernel may have given this one up before. */
		if (fd == -ETIMEDOUT && wr_now_ns() >= deadline_at)
			break;
	}
	freeaddrinfo(list);
	return fd;
}

/* The caller's descriptor: only taken over when all is well. */
static int take_over(int fd)
{
	int type = 0, rc;
	socklen_t len = sizeof(type);
	struct sockaddr_storage peer;

	rc = wr_sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
	if (rc == 0 && type != SOCK_STREAM)
		rc = -ENOTSOCK;
	len = sizeof(peer);
	if (rc == 0)
		rc = wr_sys_getpeername(fd, (struct sockaddr *)&peer, &len);
	if (rc == 0)
		rc = wr_sys_fcntl(fd, F_GETFL, 0);
	if (rc >= 0)
		rc = wr_sys_fcntl(fd, F_SETFL, rc | O_NONBLOCK);
	if (rc >= 0)
		rc = wr_sys_fcntl(fd, F_SETFD, FD_CLOEXEC);
	return rc < 0 ? rc : fd;
}

static int new_conn(weir_conn **ret, int fd, bool is_tcp)
{
	struct dialled *d = wr_sys_alloc_lines(sizeof(*d));
	int rc = d ? wr_lock_init(&d->conn.lock) : -ENOMEM;

	if (rc < 0) {
		wr_sys_free(d);
		return rc;
	}
	d->ctx.lane = &d->lane;
	d->ctx.now = wr_now_ns();
	d->ctx.bell = -1;
	wr_turn_begin(&d->conn.turn, 0);
	wr_conn_begin(&d->conn, &dialled_service, fd, d->ctx.now);
	d->conn.is_tcp = is_tcp;
	d->conn.ctx = &d->ctx;
	*ret = &d->conn;
	return 0;
}

int weir_dial(weir_conn **ret, const char *where, int timeout_ms)
{
	int64_t deadline_at = wr_deadline_at(
		wr_now_ns(), timeout_ms ? timeout_ms : DEFAULT_TIMEOUT_MS);
	struct wr_address addr;
	int rc, fd;

	if (ret == NULL || where == NULL || timeout_ms < WEIR_NEVER)
		return -EINVAL;
	rc = wr_address_parse(&addr, where);
	if (rc < 0)
		return rc;
	if (addr.kind == WR_ADDRESS_TCP)
		fd = connect_name(&addr, deadline_at);
	else if (addr.kind == WR_ADDRESS_UNIX)
		fd = connect_to((struct sockaddr *)&addr.un, addr.un_len,
				deadline_at);
	else
		fd = take_over(addr.fd);
	if (fd < 0)
		return fd;
	rc = new_conn(ret, fd, addr.kind == WR_ADDRESS_TCP);
	if (rc < 0 && addr.kind != WR_ADDRESS_FD)
		wr_sys_close(fd);
	return rc;
}

/*
 * A close with unread input makes our kernel reset the connection, and the
 * peer's forget what it has not read (see conn_close.c).  So throw input away
 * until the peer has all we sent, for a short while at most.
 */
static void say_farewell(struct weir_conn *c)
{
	int64_t at = wr_now_ns() + LONGEST_FAREWELL;
	struct pollfd pfd = { .fd = c->fd, .events = POLLIN };
	uint64_t late = 0;

	(void)wr_sys_shutdown(c->fd, SHUT_WR);
	while (!wr_conn_discard(c, (size_t)1 << 20, &late) && late > 0 &&
	       wr_sys_unsent(c->fd) > 0 && wr_now_ns() < at)
		(void)wr_sys_poll(&pfd, 1, 10);
}

/* Send what is left, within the write deadline, and close. */
void wr_dial_free(struct weir_conn *c)
{
	struct dialled *d = wr_container_of(c, struct dialled, conn);

	int rc;

	do {
		rc = wr_conn_flush(c);
		if (rc == WR_STALLED)
			rc = wr_conn_wait_output(c) < 0 ? -EPIPE : WR_STALLED;
	} while (rc > 0);
	if (rc == WR_FLUSHED)
		say_farewell(c);
	if (c->drop)
		c->drop(c->data);
	wr_sys_close(c->fd);
	wr_outbox_clear(&c->out);
	wr_buffer_release(&c->in);
	wr_context_fini(&d->ctx);
	wr_lock_fini(&c->lock);
	wr_sys_free(d);
}
