/* SPDX-License-Identifier: MIT */
/*
 * The fence that a stop puts up before TCP listeners, and what is left of a
 * listener that could not be opened: nothing.
 */
#include "test.h"

#include <poll.h>

#include "listening.h"

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

/* What a forked child has of it. */
START_TEST(a_copy_of_a_fenced_listener_does_not_listen_on)
{
	struct wr_listener l;
	int copy, late, error;
	uint16_t port;

	open_at(&l, "127.0.0.1:0");
	port = port_of(l.fd);
	copy = dup(l.fd);
	wr_listener_fence(&l);
	wr_listener_close(&l);
	late = client_of_family(AF_INET, port, SOCK_NONBLOCK, &error);
	ck_assert_int_eq(error, EINPROGRESS);
	UNTIL(is_refused(late));
	close(late);
	close(copy);
}
END_TEST

/* The stop of one of those who have it is nothing to the others. */
START_TEST(an_inherited_listener_is_closed_and_nothing_else)
{
	struct wr_listener l, other;
	char where[32];
	int copy, early;

	open_at(&other, "127.0.0.1:0");
	copy = dup(other.fd);
	snprintf(where, sizeof(where), "fd:%d", copy);
	open_at(&l, where);
	early = client_at(port_of(other.fd));
	wr_listener_fence(&l);
	wr_listener_close(&l);
	ck_assert_int_ge(accepted(&other), 0);
	close(early);
	close(client_at(port_of(other.fd)));
	wr_listener_close(&other);
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
	return RUN_TESTS("listener_fence", a_fence_lets_in_only_who_was_there,
			 a_fence_stands_before_both_families,
			 a_fence_that_cannot_be_had_stops_nobody,
			 a_copy_of_a_fenced_listener_does_not_listen_on,
			 an_inherited_listener_is_closed_and_nothing_else,
			 a_failure_anywhere_leaves_nothing_behind);
}
