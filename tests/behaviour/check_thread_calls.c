/* SPDX-License-Identifier: MIT */
/*
 * Calls of other threads with a reference to a connection: send, wake, close,
 * cancel, at any time, also after its end.
 */
#include "test.h"

/* The connections that have joined. */
struct members {
	pthread_mutex_t lock;
	weir_ref *conn[64];
	int count;
};

#define MEMBERS_NONE                                                           \
	{                                                                      \
		.lock = PTHREAD_MUTEX_INITIALIZER                              \
	}

static int join_members(weir_conn *c, void *arg)
{
	struct members *m = arg;
	int rc = -EPROTO;

	pthread_mutex_lock(&m->lock);
	if (m->count < 64) {
		m->conn[m->count++] = weir_conn_ref(c);
		rc = WEIR_AGAIN;
	}
	pthread_mutex_unlock(&m->lock);
	return rc;
}

static int member_count(struct members *m)
{
	int count;

	pthread_mutex_lock(&m->lock);
	count = m->count;
	pthread_mutex_unlock(&m->lock);
	return count;
}

static void members_leave(struct members *m)
{
	for (int i = 0; i < m->count; i++)
		weir_ref_unref(m->conn[i]);
	m->count = 0;
}

static int answer_wakes(weir_conn *c, void *arg)
{
	if (weir_conn_why(c) == WEIR_WAKE) {
		weir_conn_printf(c, "woken\n");
		return WEIR_AGAIN;
	}
	return echo_lines(c, arg);
}

static struct server *serve_members(struct members *m)
{
	return serve_workers(2, WEIR_SERVICE(.readable = answer_wakes,
					     .opened = join_members, .arg = m));
}

START_TEST(another_thread_may_send)
{
	struct members m = MEMBERS_NONE;
	struct server *s = serve_members(&m);
	struct client *c = client_open(s);

	UNTIL(member_count(&m) == 1);
	ck_assert_int_eq(weir_ref_send(m.conn[0], "news\n", 5), 0);
	client_expect(c, "news\n");
	client_expect_echo(c, "hello\n");
	members_leave(&m);
	server_stop_and_check(s);
}
END_TEST

START_TEST(another_thread_may_wake)
{
	struct members m = MEMBERS_NONE;
	struct server *s = serve_members(&m);
	struct client *c = client_open(s);

	UNTIL(member_count(&m) == 1);
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(weir_ref_wake(m.conn[0]), 0);
		client_expect(c, "woken\n");
	}
	members_leave(&m);
	server_stop_and_check(s);
}
END_TEST

START_TEST(another_thread_may_close)
{
	struct members m = MEMBERS_NONE;
	struct server *s = serve_members(&m);
	struct client *c = client_open(s);
	struct weir_report report;

	UNTIL(member_count(&m) == 1);
	ck_assert_int_eq(weir_ref_send(m.conn[0], "goodbye\n", 8), 0);
	ck_assert_int_eq(weir_ref_close(m.conn[0]), 0);
	client_expect_last(c, "goodbye\n");
	client_close(c);
	UNTIL(is_at_rest(s));
	ck_assert_int_eq(weir_ref_send(m.conn[0], "x", 1), -EPIPE);
	ck_assert_int_eq(weir_ref_wake(m.conn[0]), -EPIPE);
	ck_assert_int_eq(weir_ref_close(m.conn[0]), -EPIPE);
	ck_assert_int_eq(weir_ref_cancel(m.conn[0]), -EPIPE);
	members_leave(&m);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 1);
}
END_TEST

START_TEST(another_thread_may_cancel)
{
	struct members m = MEMBERS_NONE;
	struct server *s = serve_members(&m);
	struct client *c = client_open(s);
	struct weir_report report;

	UNTIL(member_count(&m) == 1);
	ck_assert_int_eq(weir_ref_cancel(m.conn[0]), 0);
	client_expect_end(c);
	UNTIL(is_at_rest(s));
	ck_assert_int_eq(weir_ref_send(m.conn[0], "x", 1), -EPIPE);
	members_leave(&m);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.cut, 1);
}
END_TEST

START_TEST(calls_after_the_end_of_the_server_are_answered)
{
	const size_t slots = 65536; /* bytes, at least */
	size_t before = heap_in_use();
	struct members m = MEMBERS_NONE;
	struct server *s = serve_members(&m);

	for (int i = 0; i < 10; i++)
		client_open(s);
	UNTIL(member_count(&m) == 10);
	server_stop_and_check(s);
	if (before > 0 && slowness() == 1) /* a sanitizer has its own heap */
		ck_assert_uint_gt(heap_in_use(), before + slots);
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(weir_ref_send(m.conn[i], "x", 1), -EPIPE);
		ck_assert_int_eq(weir_ref_wake(m.conn[i]), -EPIPE);
		ck_assert_int_eq(weir_ref_close(m.conn[i]), -EPIPE);
		ck_assert_int_eq(weir_ref_cancel(m.conn[i]), -EPIPE);
		ck_assert_ptr_eq(weir_ref_dup(m.conn[i]), m.conn[i]);
		weir_ref_unref(m.conn[i]);
	}
	members_leave(&m);
}
END_TEST

/* A reference keeps the handle, not the place of a connection. */
START_TEST(an_old_reference_never_reaches_a_newer_connection)
{
	struct members m = MEMBERS_NONE;
	struct server *s = serve_members(&m);
	struct client *c;

	for (int i = 0; i < 30; i++) {
		c = client_open(s);
		UNTIL(member_count(&m) == i + 1);
		for (int k = 0; k < i; k++)
			ck_assert_int_eq(weir_ref_send(m.conn[k], "old", 3),
					 -EPIPE);
		weir_ref_send(m.conn[i], "new", 3);
		client_half_close(c);
		client_expect_last(c, "new");
		client_close(c);
		UNTIL(is_at_rest(s));
	}
	members_leave(&m);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_send_that_would_pass_the_mark_takes_nothing)
{
	static const char block[4096];
	struct members m = MEMBERS_NONE;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = echo_lines,
					 .opened = join_members, .arg = &m,
					 .outbox_mark = 16384));
	struct client *c = client_open_small(s, 4096);
	size_t taken = 0;
	int rc;

	UNTIL(member_count(&m) == 1);
	do {
		rc = weir_ref_send(m.conn[0], block, sizeof(block));
		taken += rc == 0 ? sizeof(block) : 0;
		ck_assert_uint_lt(taken, (size_t)64 << 20);
	} while (rc == 0);
	ck_assert_int_eq(rc, -ENOBUFS);
	ck_assert_int_eq(weir_ref_close(m.conn[0]), 0);
	ck_assert_uint_eq(client_read_to_eof(c), taken);
	members_leave(&m);
	server_stop_and_check(s);
}
END_TEST

#define MORE_THAN_FITS (16 << 20)

static int write_more_than_fits(weir_conn *c, void *arg)
{
	static const char much[MORE_THAN_FITS];

	join_members(c, arg);
	return weir_conn_write(c, much, sizeof(much));
}

START_TEST(a_send_into_the_middle_of_a_write_takes_nothing)
{
	struct members m = MEMBERS_NONE;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.session = write_more_than_fits,
					 .arg = &m, .speaks_first = 1));
	struct client *c = client_open_small(s, 4096);

	UNTIL(stats(s).bytes_out > 0);
	ck_assert_int_eq(member_count(&m), 1);
	ck_assert_int_eq(weir_ref_send(m.conn[0], "x", 1), -ENOBUFS);
	ck_assert_uint_eq(client_read_to_eof(c), MORE_THAN_FITS);
	members_leave(&m);
	server_stop_and_check(s);
}
END_TEST

static int wait_then_tell_why(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;

	if (weir_conn_why(c) == WEIR_WAKE) {
		weir_conn_printf(c, "woken\n");
		return WEIR_AGAIN;
	}
	n = weir_conn_read_line(c, line, sizeof(line));
	if (n <= 0)
		return (int)n;
	gate_wait(arg);
	weir_conn_write(c, line, (size_t)n);
	return WEIR_AGAIN;
}

struct held_members {
	struct gate gate;
	struct members members;
};

static int held_joins(weir_conn *c, void *arg)
{
	return join_members(c, &((struct held_members *)arg)->members);
}

static int held_waits(weir_conn *c, void *arg)
{
	return wait_then_tell_why(c, &((struct held_members *)arg)->gate);
}

START_TEST(a_wake_during_a_call_is_remembered_and_many_are_one)
{
	struct held_members h = { .gate = GATE_CLOSED,
				  .members = MEMBERS_NONE };
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = held_waits,
					 .opened = held_joins, .arg = &h));
	struct client *c = client_open_and_send(s, "one\n");

	UNTIL(gate_waiting(&h.gate) == 1);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(weir_ref_wake(h.members.conn[0]), 0);
	gate_open(&h.gate);
	client_expect(c, "one\nwoken\n");
	client_expect_echo(c, "two\n");
	members_leave(&h.members);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_close_during_a_call_comes_after_it)
{
	struct held_members h = { .gate = GATE_CLOSED,
				  .members = MEMBERS_NONE };
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = held_waits,
					 .opened = held_joins, .arg = &h));
	struct client *c = client_open_and_send(s, "one\n");

	UNTIL(gate_waiting(&h.gate) == 1);
	ck_assert_int_eq(weir_ref_close(h.members.conn[0]), 0);
	gate_open(&h.gate);
	client_expect_last(c, "one\n");
	members_leave(&h.members);
	server_stop_and_check(s);
}
END_TEST

static int tell_what_ends_its_wait(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;

	(void)arg;
	do {
		n = weir_conn_read_line(c, line, sizeof(line));
		weir_conn_printf(c, "%s\n", error_name(n));
	} while (n > 0 || n == -EINTR);
	return (int)n;
}

static void wake_a_session(int on_worker)
{
	struct members m = MEMBERS_NONE;
	struct server *s = serve(
		NULL,
		WEIR_SERVICE(SESSION_ON(on_worker, tell_what_ends_its_wait),
			     .opened = join_members, .arg = &m));
	struct client *c = client_open(s);

	client_expect_reply(c, "x\n", "2\n");
	UNTIL(session_waits(s));
	ck_assert_int_eq(weir_ref_wake(m.conn[0]), 0);
	client_expect(c, "-EINTR\n");
	client_expect_reply(c, "xy\n", "3\n");
	members_leave(&m);
	server_stop_and_check(s);
}

START_TEST(a_wake_interrupts_the_wait_of_a_session)
{
	wake_a_session(0);
	wake_a_session(1);
}
END_TEST

START_TEST(a_cancel_ends_the_wait_of_a_session)
{
	struct members m = MEMBERS_NONE;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.session = tell_what_ends_its_wait,
					 .opened = join_members, .arg = &m));
	struct client *c = client_open(s);
	struct weir_report report;

	client_expect_reply(c, "x\n", "2\n");
	ck_assert_int_eq(weir_ref_cancel(m.conn[0]), 0);
	client_expect_end(c);
	UNTIL(stats(s).busy == 0);
	members_leave(&m);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.cut, 1);
}
END_TEST

struct listener {
	struct members members;
	bool has_timer;
};

static int note_member(weir_conn *c, void *arg)
{
	return join_members(c, &((struct listener *)arg)->members);
}

/* A message longer than line_max, then what ends the next wait. */
static int read_a_long_message(weir_conn *c, void *arg)
{
	char message[1000];
	ssize_t n;

	if (((struct listener *)arg)->has_timer)
		ck_assert_int_eq(weir_conn_set_timer(c, 1), 0);
	n = weir_conn_read_exact(c, message, sizeof(message));
	if (n < 0)
		return (int)n;
	weir_conn_write(c, message, (size_t)n);
	return tell_what_ends_its_wait(c, NULL);
}

START_TEST(a_wake_or_a_timer_inside_a_long_message_interrupts_the_next_wait)
{
	char message[1000];

	memset(message, 'x', sizeof(message));
	for (int i = 0; i < 2; i++) {
		struct listener l = { MEMBERS_NONE, .has_timer = i };
		struct server *s =
			serve(NULL, WEIR_SERVICE(.session = read_a_long_message,
						 .opened = note_member,
						 .arg = &l, .line_max = 64));
		struct client *c = client_open(s);
		int64_t since = now_ms();

		client_send_bytes(c, message, 100);
		UNTIL(stats(s).bytes_in == 100);
		if (!l.has_timer)
			ck_assert_int_eq(weir_ref_wake(l.members.conn[0]), 0);
		UNTIL(now_ms() > since + 50);
		client_send_bytes(c, message, sizeof(message) - 100);
		client_expect_bytes(c, message, sizeof(message));
		client_expect(c, "-EINTR\n");
		client_expect_reply(c, "xy\n", "3\n");
		members_leave(&l.members);
		server_stop_and_check(s);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"thread_calls", another_thread_may_send,
		another_thread_may_wake, another_thread_may_close,
		another_thread_may_cancel,
		calls_after_the_end_of_the_server_are_answered,
		an_old_reference_never_reaches_a_newer_connection,
		a_send_that_would_pass_the_mark_takes_nothing,
		a_send_into_the_middle_of_a_write_takes_nothing,
		a_wake_during_a_call_is_remembered_and_many_are_one,
		a_close_during_a_call_comes_after_it,
		a_wake_interrupts_the_wait_of_a_session,
		a_cancel_ends_the_wait_of_a_session,
		a_wake_or_a_timer_inside_a_long_message_interrupts_the_next_wait);
}
