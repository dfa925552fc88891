/* SPDX-License-Identifier: MIT */
/*
 * Addresses are tried as in RFC 8305 ("happy eyeballs"): the next attempt
 * starts after a quarter of a second, or at once when one fails, and the first
 * to connect wins.  The families alternate, so a host without IPv6 connectivity
 * costs a quarter of a second.  One poll(2) waits for all attempts.  Any
 * thread.
 */
#include "connect.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "resolve.h"
#include "sys.h"

/* -------------------------------------------------------------------- TCP */

struct race {
	const struct addrinfo *to[WR_CONNECT_ADDRESSES];
	struct pollfd attempts[WR_CONNECT_ADDRESSES];
	size_t count, started, under_way;
	int64_t next_at;
	int rc;
};

static const struct addrinfo *find(const struct addrinfo *a, int family,
				   bool has)
{
	while (a && (a->ai_family == family) != has)
		a = a->ai_next;
	return a;
}

/* Alternate the families, first address first. */
static void line_up(struct race *r, const struct addrinfo *list)
{
	int family = list->ai_family;
	const struct addrinfo *turns[2] = { list, find(list, family, false) };

	for (int i = 0; r->count < WR_CONNECT_ADDRESSES; i = !i) {
		if (!turns[i])
			i = !i;
		if (!turns[i])
			return;
		r->to[r->count++] = turns[i];
		turns[i] = find(turns[i]->ai_next, family, i == 0);
	}
}

/*
 * If nobody listens, the kernel may choose the destination as the local port,
 * and TCP connects the socket to itself.  The ports are compared first; they
 * are at the same offset in both families.  Then the own address with the
 * peer's, as the destination may be a wildcard.
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

static int check(int fd, const struct sockaddr *to)
{
	const struct linger reset = { .l_onoff = 1 };
	int error = 0, rc;
	socklen_t len = sizeof(error);

	rc = wr_sys_getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (rc < 0 || error)
		return rc < 0 ? rc : -error;
	if (has_met_itself(fd, to)) {
		/* reset: TIME_WAIT would block a listener */
		(void)wr_sys_setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset,
					sizeof(reset));
		return -ECONNREFUSED;
	}
	(void)wr_sys_tune_tcp(fd);
	return 0;
}

static void fail(struct race *r, struct pollfd *attempt, int rc)
{
	if (attempt->fd >= 0) {
		wr_sys_close(attempt->fd);
		attempt->fd = -1;
		r->under_way--;
	}
	r->rc = rc;
	r->next_at = 0;
}

static bool is_shortage(int rc)
{
	return rc == -EMFILE || rc == -ENFILE || rc == -ENOBUFS ||
	       rc == -ENOMEM;
}

static void start(struct race *r)
{
	const struct addrinfo *to = r->to[r->started];
	struct pollfd *attempt = &r->attempts[r->started];
	int type = SOCK_STREAM | SOCK_NONBLOCK, rc;

	r->next_at = wr_now_ns() + WR_CONNECT_NEXT_NS;
	*attempt = (struct pollfd){ .events = POLLOUT };
	rc = attempt->fd = wr_sys_socket(to->ai_family, type, 0);
	if (is_shortage(rc) && r->under_way > 0)
		return; /* retry when others have ended */
	r->started++;
	if (rc >= 0) {
		r->under_way++;
		rc = wr_sys_connect(rc, to->ai_addr, to->ai_addrlen);
	}
	if (rc < 0 && rc != -EINPROGRESS)
		fail(r, attempt, rc);
}

/* A connected descriptor, or -EINPROGRESS. */
static int look(struct race *r)
{
	for (size_t i = 0; i < r->started; i++) {
		struct pollfd *attempt = &r->attempts[i];
		int fd = attempt->fd, rc;

		if (fd < 0 || !attempt->revents)
			continue;
		rc = check(fd, r->to[i]->ai_addr);
		if (rc == 0) {
			attempt->fd = -1;
			r->under_way--;
			return fd;
		}
		fail(r, attempt, rc);
	}
	return -EINPROGRESS;
}

/* The same, after a wait. */
static int wait_for_any(struct race *r, int64_t deadline_at)
{
	int64_t at = deadline_at;
	int rc;

	if (r->started < r->count)
		at = wr_min_at(at, r->next_at);
	rc = wr_sys_poll(r->attempts, r->started, wr_ms_until(at, wr_now_ns()));
	if (rc > 0)
		return look(r);
	if (rc == 0 && wr_now_ns() >= deadline_at)
		return -ETIMEDOUT;
	return rc == 0 || rc == -EINTR ? -EINPROGRESS : rc;
}

static int run(struct race *r, int64_t deadline_at)
{
	int rc = -EINPROGRESS;

	do {
		if (r->started < r->count &&
		    (r->under_way == 0 || wr_now_ns() >= r->next_at))
			start(r);
		else if (r->under_way == 0)
			return r->rc;
		else
			rc = wait_for_any(r, deadline_at);
	} while (rc == -EINPROGRESS);
	return rc;
}

static int connect_host(const struct wr_address *where, int64_t deadline_at)
{
	struct race r = { .rc = -ENOENT };
	struct addrinfo *list;
	int rc = wr_lookup_host(&list, where->host, where->port, deadline_at,
				NULL);

	if (rc < 0)
		return rc;
	line_up(&r, list);
	rc = run(&r, deadline_at);
	for (size_t i = 0; i < r.started; i++)
		if (r.attempts[i].fd >= 0)
			wr_sys_close(r.attempts[i].fd);
	freeaddrinfo(list);
	return rc;
}

/* ------------------------------------------------------------------- Unix */

/*
 * A full backlog cannot be polled for; only a blocking connect waits for room.
 */
static int connect_until(int fd, const struct wr_address *where,
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
			rc = wr_sys_connect(fd,
					    (const struct sockaddr *)&where->un,
					    where->un_len);
	} while (rc == -EINTR);
	if (rc == 0)
		rc = wr_sys_fcntl(fd, F_GETFL, 0);
	if (rc >= 0)
		rc = wr_sys_fcntl(fd, F_SETFL, rc | O_NONBLOCK);
	return rc == -EAGAIN ? -ETIMEDOUT : rc;
}

static int connect_unix(const struct wr_address *where, int64_t deadline_at)
{
	int fd = wr_sys_socket(AF_UNIX, SOCK_STREAM, 0), rc;

	if (fd < 0)
		return fd;
	rc = connect_until(fd, where, deadline_at);
	if (rc < 0) {
		wr_sys_close(fd);
		return rc;
	}
	return fd;
}

int wr_connect(const struct wr_address *where, int64_t deadline_at)
{
	return where->kind == WR_ADDRESS_UNIX
		       ? connect_unix(where, deadline_at)
		       : connect_host(where, deadline_at);
}

/* ------------------------------------------------------ connected already */

static int check_connected(int fd)
{
	struct sockaddr_storage peer;
	int type = 0, rc;
	socklen_t len = sizeof(type);

	rc = wr_sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
	if (rc < 0)
		return rc;
	if (type != SOCK_STREAM)
		return -ENOTSOCK;
	len = sizeof(peer);
	return wr_sys_getpeername(fd, (struct sockaddr *)&peer, &len);
}

int wr_connect_take_over(int fd)
{
	int rc = check_connected(fd);

	if (rc >= 0)
		rc = wr_sys_fcntl(fd, F_GETFL, 0);
	if (rc >= 0)
		rc = wr_sys_fcntl(fd, F_SETFL, rc | O_NONBLOCK);
	if (rc >= 0)
		rc = wr_sys_fcntl(fd, F_SETFD, FD_CLOEXEC);
	return rc < 0 ? rc : 0;
}
