/* SPDX-License-Identifier: MIT */
/* Listening sockets, TCP and inherited, from their opening to their close. */
#include "test.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "listening.h"

/* ------------------------------------------------------------------- TCP */

/* What a connection inherits from its listener. */
static void expect_tuned(int fd)
{
	int most_unsent = 0;
	socklen_t len = sizeof(most_unsent);

	ck_assert(flag_of(fd, IPPROTO_TCP, TCP_NODELAY));
	ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT,
				    &most_unsent, &len),
			 0);
	ck_assert_int_eq(most_unsent, 128 * 1024);
}

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
	expect_tuned(accept_from(&l));
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
	ck_assert_int_eq(try_open(&second, where), -EADDRINUSE);
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
	ours = accept_from(&l);
	/* The server's end closes first, and stays in TIME_WAIT. */
	close(ours);
	wr_listener_close(&l);
	close(client);
	open_at(&l, where);
	wr_listener_close(&l);
}
END_TEST

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
	ck_assert_int_ge(accept_from(&l), 0);
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

START_TEST(without_ipv6_all_interfaces_are_those_of_ipv4)
{
	struct wr_listener l;
	char buf[64];

	fail_next_calls(WR_SYS_socket, -EAFNOSUPPORT, 1);
	open_at(&l, ":0");
	ck_assert_int_gt(wr_listener_address(&l, buf, sizeof(buf)), 0);
	ck_assert_int_eq(strncmp(buf, "0.0.0.0:", 8), 0);
	wr_listener_close(&l);
	fail_next_calls(WR_SYS_bind, -EADDRNOTAVAIL, 1);
	open_at(&l, ":0");
	ck_assert_int_gt(wr_listener_address(&l, buf, sizeof(buf)), 0);
	ck_assert_int_eq(strncmp(buf, "0.0.0.0:", 8), 0);
	wr_listener_close(&l);
	/* Any other error is not about IPv6. */
	fail_next_calls(WR_SYS_bind, -EACCES, 1);
	ck_assert_int_eq(try_open(&l, ":0"), -EACCES);
	ck_assert_int_eq(failures_left, 0);
}
END_TEST

/* Instead of the system's: the name "twins" has two addresses. */
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
	/* EADDRINUSE is final, no reason to try the other address. */
	snprintf(where, sizeof(where), "twins:%d", port_of(l.fd));
	ck_assert_int_eq(try_open(&second, where), -EADDRINUSE);
	wr_listener_close(&l);
	fail_next_calls(WR_SYS_bind, -EADDRNOTAVAIL, 1);
	open_at(&l, "twins:0");
	ck_assert_int_gt(wr_listener_address(&l, where, sizeof(where)), 0);
	ck_assert_int_eq(strncmp(where, "127.0.0.2:", 10), 0);
	wr_listener_close(&l);
}
END_TEST

START_TEST(a_name_without_an_address_of_ours_is_refused)
{
	struct wr_listener l;

	ck_assert_int_eq(try_open(&l, "192.0.2.1:0"), -EADDRNOTAVAIL);
	ck_assert_int_eq(l.fd, -1);
	fail_next_calls(WR_SYS_bind, -EADDRNOTAVAIL, 2);
	ck_assert_int_eq(try_open(&l, "twins:0"), -EADDRNOTAVAIL);
	ck_assert_int_eq(failures_left, 0);
	fail_next_calls(WR_SYS_getaddrinfo, -ENOENT, 1);
	ck_assert_int_eq(try_open(&l, "nobody.invalid:0"), -ENOENT);
	wr_sys_fault = NULL;
	open_at(&l, "localhost:0");
	wr_listener_close(&l);
}
END_TEST

/* ------------------------------------------------------ inherited sockets */

static int inherited(struct wr_listener *l, int fd)
{
	struct wr_address addr = { .kind = WR_ADDRESS_FD, .fd = fd };

	return wr_listener_open(l, &addr, 128, 0600, NULL);
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
	ck_assert(l.is_shared && l.is_tcp);
	ck_assert(descriptor_has(fd, F_GETFL, O_NONBLOCK));
	ck_assert(descriptor_has(fd, F_GETFD, FD_CLOEXEC));
	snprintf(want, sizeof(want), "127.0.0.1:%d", port);
	ck_assert_int_gt(wr_listener_address(&l, buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf, want);
	close(client_at(port));
	expect_tuned(accept_from(&l));
	/* Other processes may use it: no fence. */
	wr_listener_fence(&l);
	close(client_at(port));
	ck_assert_int_ge(accept_from(&l), 0);
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
		/* It is unchanged and still its owner's. */
		ck_assert_int_eq(fcntl(fds[i], F_GETFD), 0);
		ck_assert(!descriptor_has(fds[i], F_GETFL, O_NONBLOCK));
	}
	close(fds[3]);
	ck_assert_int_eq(inherited(&l, fds[3]), -EBADF);
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
			 what_does_not_listen_is_not_taken);
}
