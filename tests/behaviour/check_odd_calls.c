/* SPDX-License-Identifier: MIT */
/*
 * Odd calls of a callback that other connections must not notice: it closes its
 * own connection twice and goes on, asks for absurd lengths, leaks a duplicate
 * of the descriptor, cancels its thread.
 */
#include "test.h"

#include <limits.h>
#include <sys/socket.h>

/* ---- a connection that its own callback closes */

struct ends {
	_Atomic int calls, closed;
};

static int close_itself_twice(weir_conn *c, void *arg)
{
	struct ends *e = arg;
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n <= 0)
		return (int)n;
	if (strcmp(line, "close\n") == 0) {
		atomic_fetch_add(&e->calls, 1);
		if (weir_ref_close(weir_conn_self(c)) < 0 ||
		    weir_ref_close(weir_conn_self(c)) < 0)
			return -EPROTO;
	}
	return weir_conn_write(c, line, (size_t)n) < 0 ? -EPIPE : WEIR_AGAIN;
}

static void count_itself(weir_conn *c, void *arg)
{
	struct ends *e = arg;

	(void)c;
	atomic_fetch_add(&e->closed, 1);
}

static size_t numbered(const struct client_group *group, int i, char *buf,
		       size_t cap)
{
	return (size_t)snprintf(buf, cap, "line %d of %d\n", group->round, i);
}

START_TEST(a_connection_that_closes_itself_twice_ends_once_and_alone)
{
	enum { OTHERS = 200, ROUNDS = 20 };
	struct ends e = { .calls = 0 };
	struct server *s = serve_workers(
		3, WEIR_SERVICE(.readable = close_itself_twice,
				.closed = count_itself, .arg = &e));
	struct client_group *others = group_open(s, OTHERS);
	struct weir_report report;

	for (; others->round < ROUNDS; others->round++) {
		struct client *c = client_open(s);

		group_send(others, numbered);
		client_send(c, "close\nclose\n"); /* the first will do */
		client_expect_last(c, "close\n");
		client_close(c);
		group_expect(others, numbered);
	}
	ck_assert_int_eq(e.calls, ROUNDS);
	ck_assert_int_eq(e.closed, ROUNDS);
	group_close(others);
	report = server_stop_and_check(s);
	ck_assert_int_eq(e.closed, OTHERS + ROUNDS);
	ck_assert_uint_eq(report.ledger.completed, OTHERS + ROUNDS);
}
END_TEST

/* ---- calls after the end, and when a deadline has passed */

static int at_the_end[5];

static void call_at_the_end(weir_conn *c, void *arg)
{
	(void)arg;
	at_the_end[0] = weir_conn_detach(c);
	at_the_end[1] = weir_conn_set_timer(c, 1);
	at_the_end[2] = weir_conn_want_room(c);
	at_the_end[3] = weir_conn_write(c, "x", 1);
	at_the_end[4] = weir_ref_wake(weir_conn_self(c));
}

START_TEST(in_closed_nothing_can_be_asked_for_any_more)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines,
						    .closed = call_at_the_end));
	struct client *c = client_open_and_echo(s, "hello\n");

	client_half_close(c);
	client_expect_eof(c);
	ck_assert_uint_eq(server_stop_and_check(s).ledger.completed, 1);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(at_the_end[i], -EPIPE);
}
END_TEST

static ssize_t read_at_the_end[3];

static void read_in_closed(weir_conn *c, void *arg)
{
	char line[8];
	const void *data;

	read_at_the_end[0] = weir_conn_read(c, line, sizeof(line));
	read_at_the_end[1] = weir_conn_read_line(c, line, sizeof(line));
	read_at_the_end[2] = weir_conn_peek(c, &data, 1);
	atomic_fetch_add((_Atomic int *)arg, 1);
}

static int read_one_line(weir_conn *c, void *arg)
{
	char line[8];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	return n < 0 ? (int)n : WEIR_CLOSE;
}

/* The client waits for the server's end. */
START_TEST(no_call_waits_in_closed)
{
	for (int kind = 0; kind < 3; kind++) {
		_Atomic int closed = 0;
		struct weir_service service;
		struct server *s;

		weir_service_init(&service, sizeof(service));
		service.readable = kind == 0 ? read_one_line : NULL;
		service.session = kind == 0 ? NULL : read_one_line;
		service.session_on_worker = kind == 2;
		service.closed = read_in_closed;
		service.arg = (void *)&closed;
		s = serve_workers(1, &service);
		client_expect_end(client_open_and_send(s, "hello\n"));
		UNTIL(atomic_load(&closed) == 1);
		ck_assert_uint_eq(server_stop_and_check(s).ledger.completed, 1);
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(read_at_the_end[i], -EAGAIN);
	}
}
END_TEST

static int hand_over(weir_conn *c, void *arg)
{
	int fd = weir_conn_detach(c);

	(void)arg;
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(weir_conn_detach(c), -EPIPE);
	ck_assert_int_eq(weir_conn_set_timer(c, 1), -EPIPE);
	ck_assert_int_eq(weir_conn_want_room(c), -EPIPE);
	ck_assert_int_eq(send(fd, "taken\n", 6, MSG_NOSIGNAL), 6);
	close(fd);
	return WEIR_AGAIN;
}

START_TEST(a_socket_can_be_taken_when_a_deadline_has_passed)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = echo_lines,
					 .expired = hand_over, .idle_ms = 50));
	struct client *c = client_open_and_echo(s, "hello\n");
	struct weir_ledger l;

	client_expect_last(c, "taken\n");
	l = server_stop_and_check(s).ledger;
	ck_assert_uint_eq(l.completed, 1);
	ck_assert_uint_eq(l.timed_out, 0);
}
END_TEST

/* ---- lengths that cannot be meant */

static const uint64_t absurd[] = { (UINT64_C(1) << 31) - 1,
				   UINT64_C(1) << 31,
				   (UINT64_C(1) << 31) + 1,
				   UINT32_MAX,
				   INT64_MAX,
				   UINT64_C(1) << 63,
				   UINT64_MAX };
#define ABSURD (sizeof(absurd) / sizeof(absurd[0]))

static int ask_for_absurd_lengths(weir_conn *c, void *arg)
{
	const uint64_t largest = INT64_MAX;
	char line[64];
	const void *data = line;
	int wrong = 0;

	for (size_t i = 0; i < ABSURD; i++) {
		size_t len =
			absurd[i] > SIZE_MAX ? SIZE_MAX : (size_t)absurd[i];

		int says = len > SSIZE_MAX ? -EINVAL : -EMSGSIZE;

		wrong += weir_conn_peek(c, &data, len) != says;
		wrong += weir_conn_read_exact(c, line, len) != says;
		wrong += weir_conn_consume(c, len) != -EINVAL;
		/* The length overflows. */
		wrong +=
			weir_conn_sendfile(c, 0, largest, absurd[i]) != -EINVAL;
		wrong += weir_conn_sendfile(c, 0, absurd[i],
					    largest - absurd[i] + 1) != -EINVAL;
	}
	wrong += data != line;
	*(_Atomic int *)arg = wrong;
	return echo_a_line(c, NULL);
}

START_TEST(absurd_lengths_are_refused_and_nothing_is_lost)
{
	_Atomic int wrong = -1;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = ask_for_absurd_lengths,
					 .arg = (void *)&wrong));

	client_open_and_echo(s, "one\ntwo\n");
	ck_assert_int_eq(wrong, 0);
	server_stop_and_check(s);
}
END_TEST

/* ---- a duplicate that outlives its connection */

#define SLOTS 256 /* connections that a server has room for at first */

static int leave_a_duplicate(weir_conn *c, void *arg)
{
	static const char much[1 << 20];
	const int size = 4096;
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc;

	if (n <= 0)
		return (int)n;
	if (strcmp(line, "much\n") != 0)
		return weir_conn_write(c, line, (size_t)n) < 0 ? -EPIPE
							       : WEIR_AGAIN;
	*(_Atomic int *)arg = dup(weir_conn_fd(c));
	weir_conn_set_timeout(c, WEIR_TIMEOUT_WRITE, 50);
	setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	rc = weir_conn_write(c, much, sizeof(much));
	return rc < 0 ? rc : WEIR_AGAIN;
}

/* Its descriptor stays in the poller, with the index of its slot. */
START_TEST(what_comes_for_a_duplicate_reaches_nobody)
{
	_Atomic int copy = -1;
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.readable = leave_a_duplicate,
				.arg = (void *)&copy, .outbox_mark = 4 << 20,
				.write_ms = 60000 * slowness()));
	struct client *old = client_open_small(s, 4096);
	struct client_group *next;
	uint64_t calls;

	client_send(old, "much\n");
	UNTIL(is_at_rest(s));
	ck_assert_uint_eq(stats(s).ledger.timed_out, 1);
	next = group_open(s, SLOTS); /* in its place, too */
	group_send(next, numbered);
	group_expect(next, numbered);
	UNTIL(stats(s).parked == SLOTS);
	calls = stats(s).callbacks;
	for (next->round = 1; next->round < 10; next->round++) {
		client_send(old, "to nobody\n");
		group_send(next, numbered);
		group_expect(next, numbered);
		UNTIL(stats(s).parked == SLOTS);
		calls += SLOTS;
		ck_assert_uint_eq(stats(s).callbacks, calls);
	}
	close(copy);
	group_close(next);
	server_stop_and_check(s);
}
END_TEST

/* ---- a worker that its callback cancels */

static int cancel_its_thread(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	if (n <= 0)
		return (int)n;
	if (strcmp(line, "cancel\n") == 0)
		pthread_cancel(pthread_self());
	return weir_conn_write(c, line, (size_t)n) < 0 ? -EPIPE : WEIR_AGAIN;
}

START_TEST(a_callback_cannot_cancel_its_worker)
{
	for (int i = 0; i < 3; i++) {
		struct server *s = serve_workers(
			1, WEIR_SERVICE(.readable = cancel_its_thread));
		struct client *c = client_open(s), *other = client_open(s);

		client_expect_echo(c, "cancel\n");
		client_expect_echo(other, "hello\n");
		ck_assert_uint_eq(server_stop_and_check(s).ledger.completed, 2);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"odd_calls",
		a_connection_that_closes_itself_twice_ends_once_and_alone,
		in_closed_nothing_can_be_asked_for_any_more,
		no_call_waits_in_closed,
		a_socket_can_be_taken_when_a_deadline_has_passed,
		absurd_lengths_are_refused_and_nothing_is_lost,
		what_comes_for_a_duplicate_reaches_nobody,
		a_callback_cannot_cancel_its_worker);
}
