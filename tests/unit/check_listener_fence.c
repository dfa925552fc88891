/* SPDX-License-Identifier: MIT */
/*
 * The fence that a stop puts before TCP listeners, and that a failed listen
 * leaves nothing behind.
 */
#include "test.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <poll.h>
#include <sched.h>

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

/* The n-th way to put up a fence, from 0: those before it are refused. */
static bool try_fence(struct wr_listener *l, int way)
{
	int rc;

	fail_next_calls(WR_SYS_setsockopt, -EPERM, way);
	rc = wr_listener_fence(l);
	ck_assert_int_eq(failures_left, 0);
	wr_sys_fault = NULL;
	if (rc == -EPERM && way == 1)
		skip_test("filters on TCP sockets are not for this user "
			  "here");
	else
		ck_assert_int_eq(rc, 0);
	return rc == 0;
}

/* Refused now, or later, when nothing listens. */
static int late_client(int family, uint16_t port)
{
	int error, fd = client_of_family(family, port, SOCK_NONBLOCK, &error);

	ck_assert_int_eq(error, EINPROGRESS);
	return fd;
}

static bool has_answer(const struct wr_listener *l, const int *clients)
{
	int fd = accept_from(l);
	int32_t asked = -1;
	char buf[16];

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(recv(fd, &asked, sizeof(asked), 0), sizeof(asked));
	ck_assert_int_ge(asked, 0);
	ck_assert_int_lt(asked, EARLY);
	/* An accepted connection does not notice the fence. */
	ck_assert_int_eq(send(fd, "answer", 6, 0), 6);
	ck_assert_int_eq(recv(clients[asked], buf, 16, 0), 6);
	close(fd);
	return recv(clients[asked], buf, 16, 0) == 0;
}

static void fence_holds(const char *where, int family, int way)
{
	struct wr_listener l;
	int clients[EARLY], error, late[EARLY], i;

	open_at(&l, where);
	for (i = 0; i < EARLY; i++) {
		clients[i] = client_of_family(family, port_of(l.fd), 0, &error);
		ck_assert_int_eq(error, 0);
		ck_assert_int_eq(send(clients[i], &i, sizeof(i), 0), sizeof(i));
	}
	if (try_fence(&l, way)) {
		for (i = 0; i < EARLY; i++)
			late[i] = late_client(family, port_of(l.fd));
		for (i = 0; i < EARLY; i++)
			ck_assert(has_answer(&l, clients));
		ck_assert_int_eq(wr_sys_accept4(l.fd, NULL, NULL, 0), -EAGAIN);
		wr_listener_close(&l);
		for (i = 0; i < EARLY; i++) {
			UNTIL(is_refused(late[i]));
			close(late[i]);
		}
	}
	wr_listener_close(&l);
	for (i = 0; i < EARLY; i++)
		close(clients[i]);
}

START_TEST(a_fence_lets_in_only_clients_that_were_there)
{
	fence_holds("127.0.0.1:0", AF_INET, 0);
	fence_holds("127.0.0.1:0", AF_INET, 1);
}
END_TEST

START_TEST(a_fence_stands_before_both_families)
{
	if (!has_v6())
		return;
	for (int way = 0; way < 2; way++) {
		fence_holds(":0", AF_INET, way);
		fence_holds(":0", AF_INET6, way);
		fence_holds("[::1]:0", AF_INET6, way);
	}
}
END_TEST

START_TEST(a_fence_refuses_at_once)
{
	struct wr_listener l;
	int late, error;

	open_at(&l, "127.0.0.1:0");
	if (try_fence(&l, 0)) {
		late = client_of_family(AF_INET, port_of(l.fd), 0, &error);
		ck_assert_int_eq(error, ECONNREFUSED);
		close(late);
	}
	wr_listener_close(&l);
}
END_TEST

/* A client that receives nothing: on loopback every TTL is below this. */
static void set_deaf(int fd, int family, bool is_deaf)
{
	const int ttl = is_deaf ? 255 : 0;

	if (family == AF_INET)
		ck_assert_int_eq(setsockopt(fd, IPPROTO_IP, IP_MINTTL, &ttl,
					    sizeof(ttl)),
				 0);
	else
		ck_assert_int_eq(setsockopt(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT,
					    &ttl, sizeof(ttl)),
				 0);
}

/*
 * The handshake of early has begun before the fence and ends behind it, when
 * one of the two kernels repeats itself after a second; then it asks.
 */
static void handshake_of_ends(int early, const char *where, int family, int way)
{
	struct wr_listener l;
	struct sockaddr_storage to;
	socklen_t len = sizeof(to);
	char buf[16];
	int fd;

	open_at(&l, where);
	ck_assert_int_eq(getsockname(l.fd, (struct sockaddr *)&to, &len), 0);
	set_deaf(early, family, true);
	fcntl(early, F_SETFL, O_NONBLOCK);
	ck_assert_int_eq(connect(early, (struct sockaddr *)&to, len), -1);
	ck_assert_int_eq(errno, EINPROGRESS);
	if (try_fence(&l, way)) {
		set_deaf(early, family, false);
		UNTIL(send(early, "question", 8, MSG_NOSIGNAL) == 8);
		fd = accept_from(&l);
		ck_assert_int_ge(fd, 0);
		UNTIL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT) == 8);
		ck_assert_int_eq(send(fd, "answer", 6, 0), 6);
		UNTIL(recv(early, buf, sizeof(buf), 0) == 6);
		close(fd);
	}
	wr_listener_close(&l);
	close(early);
}

static void handshake_ends(const char *where, int family, int way)
{
	handshake_of_ends(socket(family, SOCK_STREAM, 0), where, family, way);
}

START_TEST(a_handshake_under_way_ends_behind_the_fence)
{
	handshake_ends("127.0.0.1:0", AF_INET, 0);
	handshake_ends("127.0.0.1:0", AF_INET, 1);
	if (!has_v6())
		return;
	handshake_ends("[::1]:0", AF_INET6, 0);
	handshake_ends("[::1]:0", AF_INET6, 1);
}
END_TEST

/* -------------------------------------------------------------- SYN cookies */

START_TEST(a_fence_lets_in_clients_that_connected_by_a_cookie)
{
	if (!enter_network_of_cookies())
		return;
	for (int way = 0; way < 2; way++) {
		fence_holds("127.0.0.1:0", AF_INET, way);
		if (has_v6())
			fence_holds("[::1]:0", AF_INET6, way);
	}
	ck_assert_int_ge(network_counter("TcpExt", "SyncookiesRecv"),
			 2 * EARLY);
}
END_TEST

/* Until it has another filter; false: that is not allowed here. */
static bool lose_acks(int fd)
{
	enum { FLAGS_AT = 13, ACK = 0x10 };
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS_AT),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, ACK, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	const struct sock_fprog program = {
		.len = wr_array_len(code),
		.filter = code,
	};

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
		       sizeof(program)) == 0)
		return true;
	ck_assert_int_eq(errno, EPERM);
	skip_test("filters on TCP sockets are not for this user here");
	return false;
}

/* Connected, for its own kernel; what it sends comes behind the fence. */
static void cookie_comes_late(int family, const char *where, int way)
{
	struct wr_listener l;
	int early, error, fd;
	char buf[16];

	open_at(&l, where);
	if (!lose_acks(l.fd)) {
		wr_listener_close(&l);
		return;
	}
	early = client_of_family(family, port_of(l.fd), 0, &error);
	ck_assert_int_eq(error, 0);
	ck_assert_int_eq(wr_sys_accept4(l.fd, NULL, NULL, 0), -EAGAIN);
	ck_assert(try_fence(&l, way)); /* the second replaces the filter */
	if (way == 0)
		setsockopt(l.fd, SOL_SOCKET, SO_DETACH_FILTER, &way,
			   sizeof(way));
	ck_assert_int_eq(send(early, "question", 8, MSG_NOSIGNAL), 8);
	if (way == 0) {
		UNTIL(recv(early, buf, sizeof(buf), MSG_DONTWAIT) < 0 &&
		      errno == ECONNRESET);
		ck_assert_int_eq(wr_sys_accept4(l.fd, NULL, NULL, 0), -EAGAIN);
	} else {
		fd = accept_from(&l);
		ck_assert_int_ge(fd, 0);
		UNTIL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT) == 8);
		close(fd);
	}
	wr_listener_close(&l);
	close(early);
}

START_TEST(a_cookie_that_comes_behind_the_first_fence_is_reset)
{
	if (!enter_network_of_cookies())
		return;
	for (int way = 0; way < 2; way++) {
		cookie_comes_late(AF_INET, "127.0.0.1:0", way);
		if (has_v6())
			cookie_comes_late(AF_INET6, "[::1]:0", way);
	}
}
END_TEST

/* ---------------------------------------------------------- another network */

/*
 * Another network, and a wire between it and ours, on which we have 10.77.0.1
 * and fd77::1.  Returns its descriptor; -1: that is not to be had here.
 */
static int network_next_door(int ours)
{
	char command[512];
	int other, rc;

	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	other = open("/proc/self/ns/net", O_RDONLY);
	ck_assert_int_eq(setns(ours, CLONE_NEWNET), 0);
	snprintf(command, sizeof(command),
		 "exec >/dev/null 2>&1; "
		 "ip link add weir0 type veth peer name weir1 && "
		 "ip link set weir1 netns /proc/self/fd/%d && "
		 "ip addr add 10.77.0.1/24 dev weir0 && "
		 "ip link set weir0 up && "
		 "{ ip addr add fd77::1/64 dev weir0 nodad || :; }",
		 other);
	rc = system(command);
	ck_assert_int_eq(setns(other, CLONE_NEWNET), 0);
	if (rc == 0)
		rc = system("exec >/dev/null 2>&1; "
			    "ip addr add 10.77.0.2/24 dev weir1 && "
			    "ip link set weir1 up && "
			    "{ ip addr add fd77::2/64 dev weir1 nodad || :; }");
	ck_assert_int_eq(setns(ours, CLONE_NEWNET), 0);
	return rc == 0 ? other : -1;
}

/* A socket is of the network in which it was made. */
static int socket_in(int network, int ours, int family)
{
	int fd;

	ck_assert_int_eq(setns(network, CLONE_NEWNET), 0);
	fd = socket(family, SOCK_STREAM, 0);
	ck_assert_int_eq(setns(ours, CLONE_NEWNET), 0);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static void fence_holds_for_others(int other, int ours, const char *where,
				   int family, int way)
{
	struct wr_listener l;
	struct sockaddr_storage to;
	socklen_t len = sizeof(to);
	int early = socket_in(other, ours, family);
	int late = socket_in(other, ours, family), fd;
	char buf[16];

	open_at(&l, where);
	ck_assert_int_eq(getsockname(l.fd, (struct sockaddr *)&to, &len), 0);
	UNTIL(connect(early, (struct sockaddr *)&to, len) == 0);
	ck_assert_int_eq(send(early, "question", 8, 0), 8);
	if (try_fence(&l, way)) {
		fcntl(late, F_SETFL, O_NONBLOCK);
		ck_assert_int_eq(connect(late, (struct sockaddr *)&to, len),
				 -1);
		fd = accept_from(&l);
		ck_assert_int_ge(fd, 0);
		UNTIL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT) == 8);
		ck_assert_int_eq(send(fd, "answer", 6, 0), 6);
		ck_assert_int_eq(recv(early, buf, sizeof(buf), 0), 6);
		ck_assert_int_eq(wr_sys_accept4(l.fd, NULL, NULL, 0), -EAGAIN);
		close(fd);
		wr_listener_close(&l);
		UNTIL(is_refused(late));
	}
	wr_listener_close(&l);
	close(early);
	close(late);
}

START_TEST(a_fence_stands_before_clients_of_another_network)
{
	bool is_own = enter_own_network();
	int ours = open("/proc/self/ns/net", O_RDONLY), other;

	if (!is_own || (other = network_next_door(ours)) < 0) {
		skip_test("no two network namespaces can be joined "
			  "here");
		return;
	}
	for (int way = 0; way < 2; way++) {
		fence_holds_for_others(other, ours, "10.77.0.1:0", AF_INET,
				       way);
		handshake_of_ends(socket_in(other, ours, AF_INET),
				  "10.77.0.1:0", AF_INET, way);
		if (!has_v6())
			continue;
		fence_holds_for_others(other, ours, "[fd77::1]:0", AF_INET6,
				       way);
		handshake_of_ends(socket_in(other, ours, AF_INET6),
				  "[fd77::1]:0", AF_INET6, way);
	}
}
END_TEST

START_TEST(a_fence_that_cannot_be_had_stops_nobody_and_says_so)
{
	struct wr_listener l;

	open_at(&l, "127.0.0.1:0");
	fail_next_calls(WR_SYS_setsockopt, -ENOPROTOOPT, 2);
	ck_assert_int_eq(wr_listener_fence(&l), -ENOPROTOOPT);
	ck_assert_int_eq(failures_left, 0);
	close(client_at(port_of(l.fd)));
	close(client_at(port_of(l.fd)));
	ck_assert_uint_eq(wr_listener_waiting(&l), 2);
	ck_assert_int_ge(accept_from(&l), 0);
	wr_listener_close(&l);
}
END_TEST

/* What a forked child has of it. */
START_TEST(a_copy_of_a_fenced_listener_does_not_listen_on)
{
	struct wr_listener l;
	int copy, late;
	uint16_t port;

	open_at(&l, "127.0.0.1:0");
	port = port_of(l.fd);
	copy = dup(l.fd);
	ck_assert_int_eq(wr_listener_fence(&l), 0);
	wr_listener_close(&l);
	late = late_client(AF_INET, port);
	UNTIL(is_refused(late));
	close(late);
	close(copy);
}
END_TEST

/* A stop of one process that has it does not affect the others. */
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
	ck_assert_int_eq(wr_listener_fence(&l), 0);
	wr_listener_close(&l);
	ck_assert_int_ge(accept_from(&other), 0);
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
	/* The wait for a lock goes on whatever poll() returns. */
	if (call == WR_SYS_pause)
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
		rc = try_open(&l, where);
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
	char where[64];
	uint16_t port;
	int fd = bound_socket(SOCK_STREAM, &port);

	every_failure_is_clean("127.0.0.1:0");
	every_failure_is_clean(":0");
	snprintf(where, sizeof(where), "unix:@weir-test-%d", (int)getpid());
	every_failure_is_clean(where);
	ck_assert_int_eq(listen(fd, 8), 0);
	snprintf(where, sizeof(where), "fd:%d", fd);
	every_failure_is_clean(where);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"listener_fence", a_fence_lets_in_only_clients_that_were_there,
		a_fence_stands_before_both_families, a_fence_refuses_at_once,
		a_handshake_under_way_ends_behind_the_fence,
		a_fence_lets_in_clients_that_connected_by_a_cookie,
		a_cookie_that_comes_behind_the_first_fence_is_reset,
		a_fence_stands_before_clients_of_another_network,
		a_fence_that_cannot_be_had_stops_nobody_and_says_so,
		a_copy_of_a_fenced_listener_does_not_listen_on,
		an_inherited_listener_is_closed_and_nothing_else,
		a_failure_anywhere_leaves_nothing_behind);
}
