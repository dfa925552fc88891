/* SPDX-License-Identifier: MIT */
/*
 * Addresses are tried as in RFC 8305 ("happy eyeballs"): the next attempt
 * starts after a quarter of a second, or at once when one fails, and the first
 * to connect wins.  The families alternate.
 *
 * A Unix socket with a full backlog cannot be polled for: it is tried again
 * after a pause, which grows.  So is a lookup for which there is no thread.
 */
#include "connect.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "poller.h"
#include "resolve.h"
#include "sys.h"

static const struct addrinfo *find_family(const struct addrinfo *a, int family,
					  bool has)
{
	while (a && (a->ai_family == family) != has)
		a = a->ai_next;
	return a;
}

static void line_up(struct wr_connect *r, const struct addrinfo *list)
{
	int family = list->ai_family;
	const struct addrinfo *turns[2] = { list,
					    find_family(list, family, false) };

	for (int i = 0; r->count < WR_CONNECT_ADDRESSES; i = !i) {
		if (!turns[i])
			i = !i;
		if (!turns[i])
			return;
		r->to[r->count++] = turns[i];
		turns[i] = find_family(turns[i]->ai_next, family, i == 0);
	}
}

/*
 * If nobody listens, the kernel may choose the destination as the local port,
 * and TCP connects the socket to itself.  Ports are at the same offset in both
 * families.  The destination may be a wildcard, so the peer's name is compared.
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

static int check_attempt(int fd, const struct sockaddr *to)
{
	const struct linger reset = { .l_onoff = 1 };
	struct sockaddr_storage peer;
	int error = 0, rc;
	socklen_t len = sizeof(error), peer_len = sizeof(peer);

	rc = wr_sys_getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (rc < 0 || error)
		return rc < 0 ? rc : -error;
	rc = wr_sys_getpeername(fd, (struct sockaddr *)&peer, &peer_len);
	if (rc < 0)
		return rc == -ENOTCONN ? -EINPROGRESS : rc;
	if (has_met_itself(fd, to)) {
		/* reset: TIME_WAIT would block a listener */
		(void)wr_sys_setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset,
					sizeof(reset));
		return -ECONNREFUSED;
	}
	(void)wr_sys_tune_tcp(fd);
	return 0;
}

static void close_attempt(struct wr_connect *r, struct pollfd *attempt)
{
	if (attempt->fd < 0)
		return;
	if (r->poller) /* a duplicate would stay there */
		wr_poller_remove(r->poller, attempt->fd);
	wr_sys_close(attempt->fd);
	attempt->fd = -1;
	r->under_way--;
}

static void fail_attempt(struct wr_connect *r, struct pollfd *attempt, int rc)
{
	close_attempt(r, attempt);
	r->rc = rc;
	r->next_at = 0;
}

static int win_attempt(struct wr_connect *r, struct pollfd *attempt,
		       const struct addrinfo *to)
{
	int fd = attempt->fd;

	attempt->fd = -1;
	r->under_way--;
	r->winner = to;
	return fd;
}

static bool is_socket_shortage(int rc)
{
	return rc == -EMFILE || rc == -ENFILE || rc == -ENOBUFS ||
	       rc == -ENOMEM;
}

static void pause_for(struct wr_connect *r, int64_t now)
{
	r->pause_ns = r->pause_ns ? wr_min_at(2 * r->pause_ns,
					      WR_CONNECT_PAUSE_MOST_NS)
				  : WR_CONNECT_PAUSE_NS;
	r->next_at = now + r->pause_ns;
}

/* A connected descriptor, or -EINPROGRESS. */
static int start_attempt(struct wr_connect *r, int64_t now)
{
	const struct addrinfo *to = r->to[r->started];
	struct pollfd *attempt = &r->attempts[r->started];
	int type = SOCK_STREAM | SOCK_NONBLOCK, rc;

	r->next_at = now + WR_CONNECT_NEXT_NS;
	*attempt = (struct pollfd){ .events = POLLOUT };
	rc = attempt->fd = wr_sys_socket(to->ai_family, type, 0);
	if (is_socket_shortage(rc) && r->under_way > 0)
		return -EINPROGRESS; /* retry when others have ended */
	r->started++;
	if (rc >= 0) {
		r->under_way++;
		rc = wr_sys_connect(attempt->fd, to->ai_addr, to->ai_addrlen);
	}
	if (rc == 0 && to->ai_family == AF_UNIX)
		return win_attempt(r, attempt, to);
	if ((rc == 0 || rc == -EINPROGRESS) && r->poller)
		rc = wr_poller_add(r->poller, attempt->fd,
				   WR_POLL_OUT | WR_POLL_EDGE, r->key);
	if (rc < 0 && rc != -EINPROGRESS)
		fail_attempt(r, attempt, rc);
	if (to->ai_family == AF_UNIX && (rc == -EAGAIN || rc == -EINTR)) {
		r->started--;
		pause_for(r, now);
	}
	return -EINPROGRESS;
}

/* No poll(2), which can fail: the event that led here comes once. */
static int look_at_attempts(struct wr_connect *r)
{
	for (size_t i = 0; i < r->started; i++) {
		struct pollfd *attempt = &r->attempts[i];
		int rc = attempt->fd < 0 ? -EINPROGRESS
					 : check_attempt(attempt->fd,
							 r->to[i]->ai_addr);

		if (rc == 0)
			return win_attempt(r, attempt, r->to[i]);
		if (rc != -EINPROGRESS)
			fail_attempt(r, attempt, rc);
	}
	return -EINPROGRESS;
}

void wr_connect_begin(struct wr_connect *r, const struct wr_address *where,
		      struct addrinfo *list, int64_t deadline_at)
{
	*r = (struct wr_connect){
		.where = *where,
		.list = list,
		.deadline_at = deadline_at,
		.poller = NULL,
		.rc = -ENOENT,
	};
	if (list) {
		line_up(r, list);
	} else if (where->kind == WR_ADDRESS_UNIX) {
		r->unix_to = (struct addrinfo){
			.ai_family = AF_UNIX,
			.ai_addr = (struct sockaddr *)&r->where.un,
			.ai_addrlen = where->un_len,
		};
		r->to[r->count++] = &r->unix_to;
	}
}

int wr_connect_prepare(struct wr_connect *r, const struct wr_address *where,
		       int64_t deadline_at)
{
	struct addrinfo *list = NULL;
	int rc = 0;

	if (where->kind == WR_ADDRESS_TCP && where->host[0])
		rc = wr_lookup_number(&list, where->host, where->port);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	wr_connect_begin(r, where, list, deadline_at);
	return 0;
}

static int find_addresses(struct wr_connect *r, int64_t now)
{
	int rc = -EINPROGRESS;

	if (r->count > 0)
		return 0;
	if (r->lookup) {
		rc = wr_lookup_take(r->lookup, &r->list);
		if (rc != -EINPROGRESS)
			r->lookup = NULL;
		if (rc == 0)
			line_up(r, r->list);
	} else if (now >= r->next_at) {
		rc = wr_lookup_begin(&r->lookup, r->where.host, r->where.port,
				     r->notify, r->arg);
		r->next_at = 0;
		if (rc == -EAGAIN)
			pause_for(r, now);
		if (rc == 0 || rc == -EAGAIN)
			rc = -EINPROGRESS;
	}
	return rc;
}

static int try_addresses(struct wr_connect *r, int64_t now)
{
	int rc = r->under_way > 0 ? look_at_attempts(r) : -EINPROGRESS;

	while (rc == -EINPROGRESS && r->started < r->count && now >= r->next_at)
		rc = start_attempt(r, now);
	if (rc == -EINPROGRESS && r->under_way == 0 && r->started == r->count)
		return r->rc;
	return rc;
}

int wr_connect_step(struct wr_connect *r, int64_t now)
{
	int rc = find_addresses(r, now);

	if (rc == 0)
		rc = try_addresses(r, now);
	return rc == -EINPROGRESS && now >= r->deadline_at ? -ETIMEDOUT : rc;
}

int64_t wr_connect_next_at(const struct wr_connect *r)
{
	bool waits = r->lookup || (r->count > 0 && r->started == r->count);

	return waits ? r->deadline_at : wr_min_at(r->next_at, r->deadline_at);
}

void wr_connect_end(struct wr_connect *r)
{
	for (size_t i = 0; i < r->started; i++)
		close_attempt(r, &r->attempts[i]);
	if (r->lookup)
		wr_lookup_leave(r->lookup);
	if (r->list)
		freeaddrinfo(r->list);
}

/* poll(2) refuses more descriptors than RLIMIT_NOFILE: look now and then. */
static void wait_for_attempts(struct wr_connect *r)
{
	int ms = wr_ms_until(wr_connect_next_at(r), wr_now_ns());
	int rc = wr_sys_poll(r->attempts, r->started, ms);

	if (rc < 0 && rc != -EINTR)
		(void)wr_sys_pause(WR_SESSION_LOOK_MS);
}

int wr_connect(const struct wr_address *where, int64_t deadline_at)
{
	struct wr_connect r;
	struct addrinfo *list = NULL;
	int rc = 0;

	if (where->kind == WR_ADDRESS_TCP)
		rc = wr_lookup_host(&list, where->host, where->port,
				    deadline_at, NULL);
	if (rc < 0)
		return rc;
	wr_connect_begin(&r, where, list, deadline_at);
	while ((rc = wr_connect_step(&r, wr_now_ns())) == -EINPROGRESS)
		wait_for_attempts(&r);
	wr_connect_end(&r);
	return rc;
}

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

static bool is_tcp(int fd)
{
	int protocol = 0;
	socklen_t len = sizeof(protocol);

	return wr_sys_getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol,
				 &len) == 0 &&
	       protocol == IPPROTO_TCP;
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
	if (rc < 0 || !is_tcp(fd))
		return rc < 0 ? rc : 0;
	(void)wr_sys_tune_tcp(fd);
	return 1;
}
