/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets, from where they are opened to where they are gone: TCP,
 * inherited ones, and the fence that a stop puts up.  The paths of Unix
 * sockets have check_listener_unix.c.
 */
#include "test.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include "listener.h"
#include "sys.h"

static int opens(struct wr_listener *l, const char *where)
{
	struct wr_address addr;

	ck_assert_int_eq(wr_address_parse(&addr, where), 0);
	return wr_listener_open(l, &addr, 128, 0600);
}

static void open_at(struct wr_listener *l, const char *where)
{
	ck_assert_int_eq(opens(l, where), 0);
}

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);

	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	return ntohs(addr.ss_family == AF_INET6
			     ? ((struct sockaddr_in6 *)&addr)->sin6_port
			     : ((struct sockaddr_in *)&addr)->sin_port);
}

static int client_of_family(int family, uint16_t port, int flags, int *error)
{
	struct sockaddr_in in = loopback(port);
	struct sockaddr_in6 in6 = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(port),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};
	int fd = socket(family, SOCK_STREAM | flags, 0);
	int rc;

	ck_assert_int_ge(fd, 0);
	rc = family == AF_INET
		     ? connect(fd, (struct sockaddr *)&in, sizeof(in))
		     : connect(fd, (struct sockaddr *)&in6, sizeof(in6));
	*error = rc < 0 ? errno : 0;
	return fd;
}

static int client_at(uint16_t port)
{
	int error, fd = client_of_family(AF_INET, port, 0, &error);

	ck_assert_int_eq(error, 0);
	return fd;
}

static int accepted(const struct wr_listener *l)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN };

	UNTIL(poll(&p, 1, 0) == 1);
	return wr_sys_accept4(l->fd, NULL, NULL, 0);
}

static bool descriptor_has(int fd, int cmd, int flag)
{
	return (fcntl(fd, cmd) & flag) != 0;
}

static int flag_of(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	ck_assert_int_eq(getsockopt(fd, level, name, &value, &len), 0);
	return value != 0;
}

/* ------------------------------------------------------------------- TCP */

START_TEST(port_0_is_a_real_port_afterwards)
{
	struct wr_listener l;
	char buf[64], want[64];
	int len;

	open_at(&l, "127.0.0.1:0");
	ck_assert_int_ne(port_of(l.fd), 0);
	snprintf(want, sizeof(want), "127.0.0.1:%d", port_of(l.fd));
	len = wr_listener_address(&l, buf, sizeof(buf));
	ck_assert_str_eq(buf, want);
	ck_assert_uint_eq((size_t)len, strlen(want));
	ck_assert_int_eq(wr_listener_address(&l, buf, 5), -ENOSPC);
	close(client_at(port_of(l.fd)));
	wr_listener_close(&l);
	ck_assert_int_eq(l.fd, -1);
	wr_listener_close(&l);
	wr_listener_fence(&l);
}
END_TEST

START_TEST(a_listener_does_not_wait_and_stays_in_this_process)
{
	struct wr_listener l;
	int fd;

	open_at(&l, "127.0.0.1:0");
	ck_assert(descriptor_has(l.fd, F_GETFL, O_NONBLOCK));
	ck_assert(descriptor_has(l.fd, F_GETFD, FD_CLOEXEC));
	ck_assert_int_eq(wr_sys_accept4(l.fd, NULL, NULL, 0), -EAGAIN);
	ck_assert(flag_of(l.fd, SOL_SOCKET, SO_REUSEADDR));
	ck_assert(!flag_of(l.fd, SOL_SOCKET, SO_REUSEPORT));
	fd = client_at(port_of(l.fd));
	ck_assert(flag_of(accepted(&l), IPPROTO_TCP, TCP_NODELAY));
	close(fd);
	wr_listener_close(&l);
}
END_TEST

START_TEST(a_port_in_use_is_refused)
{
	struct wr_listener l, second;
	char where[64];
	int before;

	open_at(&l, "127.0.0.1:0");
	before = wr_sys_dup(0);
	close(before);
	ck_assert_int_gt(wr_listener_address(&l, where, sizeof(where)), 0);
	ck_assert_int_eq(opens(&second, where), -EADDRINUSE);
	ck_assert_int_eq(second.fd, -1);
	ck_assert_int_eq(wr_sys_dup(0), before);
	wr_listener_close(&second);
	wr_listener_close(&l);
	open_at(&second, where);
	wr_listener_close(&second);
}
END_TEST

START_TEST(a_server_just_gone_leaves_its_port_usable)
{
	struct wr_listener l;
	char where[64];
	int client, ours;

	open_at(&l, "127.0.0.1:0");
	ck_assert_int_gt(wr_listener_address(&l, where, sizeof(where)), 0);
	client = client_at(port_of(l.fd));
	ours = accepted(&l);
	/* Our end closes first: it is the one that stays in TIME_WAIT. */
	close(ours);
	wr_listener_close(&l);
	close(client);
	open_at(&l, where);
	wr_listener_close(&l);
}
END_TEST

static bool has_v6(void)
{
	struct wr_listener l;
	bool has = opens(&l, "[::1]:0") == 0;

	wr_listener_close(&l);
	if (!has)
		printf("SKIPPED: this machine has no IPv6\n");
	return has;
}

START_TEST(all_interfaces_means_both_families)
{
	struct wr_listener l;
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	char buf[64];
	int fd, error;

	if (!has_v6())
		return;
	open_at(&l, ":0");
	ck_assert_int_gt(wr_listener_address(&l, buf, sizeof(buf)), 0);
	ck_assert_int_eq(strncmp(buf, "[::]:", 5), 0);
	fd = client_at(port_of(l.fd));
	wr_sys_accept4(l.fd, (struct sockaddr *)&peer, &len, 0);
	ck_assert_int_gt(wr_address_format((struct sockaddr *)&peer, len, buf,
					   sizeof(buf)),
			 0);
	ck_assert_int_eq(strncmp(buf, "127.0.0.1:", 10), 0);
	close(fd);
	fd = client_of_family(AF_INET6, port_of(l.fd), 0, &error);
	ck_assert_int_eq(error, 0);
	ck_assert_int_ge(accepted(&l), 0);
	close(fd);
	wr_listener_close(&l);
}
END_TEST

START_TEST(an_ipv6_address_is_that_alone)
{
	struct wr_listener l;
	int fd, error;

	if (!has_v6())
		return;
	open_at(&l, "[::]:0");
	fd = client_of_family(AF_INET, port_of(l.fd), 0, &error);
	ck_assert_int_eq(error, ECONNREFUSED);
	close(fd);
	fd = client_of_family(AF_INET6, port_of(l.fd), 0, &error);
	ck_assert_int_eq(error, 0);
	close(fd);
	wr_listener_close(&l);
}
END_TEST

static enum wr_sys_call target;
static int target_error;
static int failures_left;

static int fail_a_few(enum wr_sys_call call, size_t *len)
{
	(void)len;
	if (call != target || failures_left == 0)
		return 0;
	failures_left--;
	return target_error;
}

static void arrange_failures(enum wr_sys_call call, int error, int count)
{
	target = call;
	target_error = error;
	failures_left = count;
	wr_sys_fault = fail_a_few;
}

START_TEST(without_ipv6_all_interfaces_are_those_of_ipv4)
{
	struct wr_listener l;
	char buf[64];

	arrange_failures(WR_SYS_socket, -EAFNOSUPPORT, 1);
	open_at(&l, ":0");
	ck_assert_int_gt(wr_listener_address(&l, buf, sizeof(buf)), 0);
	ck_assert_int_eq(strncmp(buf, "0.0.0.0:", 8), 0);
	wr_listener_close(&l);
	arrange_failures(WR_SYS_bind, -EADDRNOTAVAIL, 1);
	open_at(&l, ":0");
	ck_assert_int_gt(wr_listener_address(&l, buf, sizeof(buf)), 0);
	ck_assert_int_eq(strncmp(buf, "0.0.0.0:", 8), 0);
	wr_listener_close(&l);
	/* Any other trouble is not about IPv6. */
	arrange_failures(WR_SYS_bind, -EACCES, 1);
	ck_assert_int_eq(opens(&l, ":0"), -EACCES);
	ck_assert_int_eq(failures_left, 0);
}
END_TEST

/* In place of the system's: the name "twins" has two addresses. */
int getaddrinfo(const char *host, const char *port,
		const struct addrinfo *hints, struct addrinfo **ret)
{
	__typeof__(&getaddrinfo) real;
	int rc;

	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (!host || strcmp(host, "twins") != 0)
		return real(host, port, hints, ret);
	rc = real("127.0.0.1", port, hints, ret);
	return rc ? rc : real("127.0.0.2", port, hints, &(*ret)->ai_next);
}

START_TEST(a_name_stands_for_the_first_address_that_is_ours)
{
	struct wr_listener l, second;
	char where[64];

	open_at(&l, "twins:0");
	ck_assert_int_gt(wr_listener_address(&l, where, sizeof(where)), 0);
	ck_assert_int_eq(strncmp(where, "127.0.0.1:", 10), 0);
	/* In use is an answer, not a reason to try the other one. */
	snprintf(where, sizeof(where), "twins:%d", port_of(l.fd));
	ck_assert_int_eq(opens(&second, where), -EADDRINUSE);
	wr_listener_close(&l);
	arrange_failures(WR_SYS_bind, -EADDRNOTAVAIL, 1);
	open_at(&l, "twins:0");
	ck_assert_int_gt(wr_listener_address(&l, where, sizeof(where)), 0);
	ck_assert_int_eq(strncmp(where, "127.0.0.2:", 10), 0);
	wr_listener_close(&l);
}
END_TEST

START_TEST(a_name_without_an_address_of_ours_is_refused)
{
	struct wr_listener l;

	ck_assert_int_eq(opens(&l, "192.0.2.1:0"), -EADDRNOTAVAIL);
	ck_assert_int_eq(l.fd, -1);
	arrange_failures(WR_SYS_bind, -EADDRNOTAVAIL, 2);
	ck_assert_int_eq(opens(&l, "twins:0"), -EADDRNOTAVAIL);
	ck_assert_int_eq(failures_left, 0);
	arrange_failures(WR_SYS_getaddrinfo, -ENOENT, 1);
	ck_assert_int_eq(opens(&l, "nobody.invalid:0"), -ENOENT);
	wr_sys_fault = NULL;
	open_at(&l, "localhost:0");
	wr_listener_close(&l);
}
END_TEST

/* ------------------------------------------------------ inherited sockets */

static int inherited(struct wr_listener *l, int fd)
{
	struct wr_address addr = { .kind = WR_ADDRESS_FD, .fd = fd };

	return wr_listener_open(l, &addr, 128, 0600);
}

static int bound_socket(int type, uint16_t *port)
{
	struct sockaddr_in in = loopback(0);
	int fd = socket(AF_INET, type, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	*port = port_of(fd);
	return fd;
}

START_TEST(an_inherited_listener_is_taken_over)
{
	struct wr_listener l;
	char buf[64], want[64];
	uint16_t port;
	int fd = bound_socket(SOCK_STREAM, &port);

	ck_assert_int_eq(listen(fd, 8), 0);
	ck_assert_int_eq(inherited(&l, fd), 0);
	ck_assert_int_eq(l.fd, fd);
	ck_assert(l.inherited && l.is_tcp);
	ck_assert(descriptor_has(fd, F_GETFL, O_NONBLOCK));
	ck_assert(descriptor_has(fd, F_GETFD, FD_CLOEXEC));
	snprintf(want, sizeof(want), "127.0.0.1:%d", port);
	ck_assert_int_gt(wr_listener_address(&l, buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf, want);
	close(client_at(port));
	ck_assert(flag_of(accepted(&l), IPPROTO_TCP, TCP_NODELAY));
	/* Others may go on with it: no fence. */
	wr_listener_fence(&l);
	close(client_at(port));
	ck_assert_int_ge(accepted(&l), 0);
	wr_listener_close(&l);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}
END_TEST

START_TEST(what_does_not_listen_is_not_taken)
{
	struct wr_listener l;
	uint16_t port;
	int fds[4], i;

	fds[0] = bound_socket(SOCK_STREAM, &port);
	fds[1] = bound_socket(SOCK_DGRAM, &port);
	fds[2] = open("/dev/null", O_RDONLY);
	fds[3] = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	ck_assert_int_eq(bind(fds[3],
			      &(struct sockaddr){ .sa_family = AF_UNIX },
			      sizeof(sa_family_t)),
			 0);
	ck_assert_int_eq(listen(fds[3], 8), 0);
	for (i = 0; i < 4; i++) {
		ck_assert_int_eq(inherited(&l, fds[i]), -ENOTSOCK);
		ck_assert_int_eq(l.fd, -1);
		wr_listener_close(&l);
		/* It is as it was, and still its owner's. */
		ck_assert_int_eq(fcntl(fds[i], F_GETFD), 0);
		ck_assert(!descriptor_has(fds[i], F_GETFL, O_NONBLOCK));
	}
	close(fds[3]);
	ck_assert_int_eq(inherited(&l, fds[3]), -EBADF);
}
END_TEST

/* ------------------------------------------------------------------ fence */

enum { EARLY = 50 };

static bool is_refused(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int error = 0;
	socklen_t len = sizeof(error);

	if (poll(&p, 1, 0) != 1)
		return false;
	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
	ck_assert_int_eq(error, ECONNREFUSED);
	return true;
}

static void fence_holds(const char *where, int family)
{
	struct wr_listener l;
	struct pollfd p = { .events = POLLOUT };
	int clients[EARLY], error, late, i, fd;
	char buf[16];

	open_at(&l, where);
	for (i = 0; i < EARLY; i++) {
		clients[i] = client_of_family(family, port_of(l.fd), 0, &error);
		ck_assert_int_eq(error, 0);
		ck_assert_int_eq(send(clients[i], &i, sizeof(i), 0), sizeof(i));
	}
	wr_listener_fence(&l);
	late = client_of_family(family, port_of(l.fd), SOCK_NONBLOCK, &error);
	ck_assert_int_eq(error, EINPROGRESS);
	/* That nothing happens can only be seen by looking for a while. */
	p.fd = late;
	ck_assert_int_eq(poll(&p, 1, 100), 0);
	for (i = 0; i < EARLY; i++) {
		int32_t asked = -1;

		fd = accepted(&l);
		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(recv(fd, &asked, sizeof(asked), 0),
				 sizeof(asked));
		ck_assert_int_ge(asked, 0);
		ck_assert_int_lt(asked, EARLY);
		/* The filter goes to the connection as well, unnoticed. */
		ck_assert_int_eq(send(fd, "answer", 6, 0), 6);
		ck_assert_int_eq(recv(clients[asked], buf, 16, 0), 6);
		close(fd);
		ck_assert_int_eq(recv(clients[asked], buf, 16, 0), 0);
	}
	ck_assert_int_eq(wr_sys_accept4(l.fd, NULL, NULL, 0), -EAGAIN);
	wr_listener_close(&l);
	/* Its next attempt finds nobody. */
	UNTIL(is_refused(late));
	for (i = 0; i < EARLY; i++)
		close(clients[i]);
	close(late);
}

START_TEST(a_fence_lets_in_only_who_was_there)
{
	fence_holds("127.0.0.1:0", AF_INET);
}
END_TEST

START_TEST(a_fence_stands_before_both_families)
{
	if (!has_v6())
		return;
	fence_holds(":0", AF_INET);
	fence_holds(":0", AF_INET6);
}
END_TEST

START_TEST(a_fence_that_cannot_be_had_stops_nobody)
{
	struct wr_listener l;

	open_at(&l, "127.0.0.1:0");
	arrange_failures(WR_SYS_setsockopt, -ENOMEM, 1);
	wr_listener_fence(&l);
	ck_assert_int_eq(failures_left, 0);
	close(client_at(port_of(l.fd)));
	ck_assert_int_ge(accepted(&l), 0);
	wr_listener_close(&l);
}
END_TEST

/* --------------------------------------------------------------- failures */

static int calls_until_failure;

static int fail_the_nth(enum wr_sys_call call, size_t *len)
{
	(void)len;
	/* Waiting for a lock goes on whatever poll() says. */
	if (call == WR_SYS_poll)
		return 0;
	return calls_until_failure-- == 0 ? -EXDEV : 0;
}

static int lowest_free(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

/* Fail the first call, the second, ... until it works. */
static void every_failure_is_clean(const char *where)
{
	struct wr_listener l;
	int n, rc, free_before = lowest_free();

	for (n = 0;; n++) {
		calls_until_failure = n;
		wr_sys_fault = fail_the_nth;
		rc = opens(&l, where);
		wr_sys_fault = NULL;
		if (rc == 0)
			break;
		ck_assert_int_eq(rc, -EXDEV);
		ck_assert_int_eq(l.fd, -1);
		ck_assert_int_eq(lowest_free(), free_before);
		ck_assert_int_lt(n, 100);
	}
	ck_assert_int_ge(n, 3);
	wr_listener_close(&l);
}

START_TEST(a_failure_anywhere_leaves_nothing_behind)
{
	char where[32];
	uint16_t port;
	int fd = bound_socket(SOCK_STREAM, &port);

	every_failure_is_clean("127.0.0.1:0");
	every_failure_is_clean(":0");
	every_failure_is_clean("unix:@weir-test-of-failures");
	ck_assert_int_eq(listen(fd, 8), 0);
	snprintf(where, sizeof(where), "fd:%d", fd);
	every_failure_is_clean(where);
}
END_TEST

int main(void)
{
	return RUN_TESTS("listener", port_0_is_a_real_port_afterwards,
			 a_listener_does_not_wait_and_stays_in_this_process,
			 a_port_in_use_is_refused,
			 a_server_just_gone_leaves_its_port_usable,
			 all_interfaces_means_both_families,
			 an_ipv6_address_is_that_alone,
			 without_ipv6_all_interfaces_are_those_of_ipv4,
			 a_name_stands_for_the_first_address_that_is_ours,
			 a_name_without_an_address_of_ours_is_refused,
			 an_inherited_listener_is_taken_over,
			 what_does_not_listen_is_not_taken,
			 a_fence_lets_in_only_who_was_there,
			 a_fence_stands_before_both_families,
			 a_fence_that_cannot_be_had_stops_nobody,
			 a_failure_anywhere_leaves_nothing_behind);
}
