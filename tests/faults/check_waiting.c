/* SPDX-License-Identifier: MIT */
/*
 * The system calls of waiting and watching fail: that is logged, ends no
 * connection that could go on, and nothing spins.
 */
#include "test.h"

#include <linux/net_tstamp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "faults.h"

static void one_exchange(struct client *c)
{
	client_expect_echo(c, "hello\n");
}

START_TEST(a_server_that_cannot_wait_for_events_ends)
{
	static const int errors[] = { EBADF, EINVAL, EPERM };

	faults_install();
	for (size_t i = 0; i < wr_array_len(errors); i++) {
		struct server *s =
			serve_workers(2, WEIR_SERVICE(.readable = echo_lines));

		one_exchange(client_open(s));
		fail_calls_from(POLLER_WAITS, 1, -errors[i]);
		/* Wakes the acceptor, unless it has ended already. */
		(void)client_connect(client_new(s->address, 0), s->address);
		ck_assert_int_eq(join_fully(s->weir, NULL), -errors[i]);
		ck_assert_int_lt(faults_made(), 200);
		faults_clear();
		ck_assert(log_says(s, "cannot wait for events"));
		weir_server_free(s->weir);
		clients_close();
		server_check_freed(s);
	}
}
END_TEST

START_TEST(a_look_that_fails_is_no_fault_of_the_peer)
{
	struct server *s;

	if (skip_with_poll(__func__, "the server cannot poll, either"))
		return;
	faults_install();
	s = serve_workers(1, WEIR_SERVICE(.readable = echo_lines));
	fail_calls_from(WR_SYS_poll, 1, -EPERM);
	one_exchange(client_open(s));
	ck_assert_int_gt(faults_made(), 0);
	ck_assert_uint_eq(stats(s).dead_on_arrival, 0);
	faults_clear();
	server_stop_and_check(s);
}
END_TEST

/* poll(2) takes no more descriptors than the limit, whatever is open. */
static struct rlimit limit_descriptors(rlim_t count)
{
	struct rlimit before, low;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = (struct rlimit){ count, before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	return before;
}

static void restore_limit(struct rlimit before)
{
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void expect_exchanges_under_limit(rlim_t count)
{
	struct server *s = serve(WEIR_CONFIG(.workers = 1),
				 WEIR_SERVICE(SESSION_ON(1, echo_lines)));
	struct client *c = client_open(s);
	struct rlimit before;

	one_exchange(c);
	before = limit_descriptors(count);
	for (int i = 0; i < 3; i++)
		one_exchange(c);
	weir_server_stop(s->weir, 60000); /* wakes the session */
	client_expect_eof(c);
	restore_limit(before);
	server_join_and_check(s);
}

START_TEST(a_session_waits_under_a_limit_of_one_descriptor_or_none)
{
	if (skip_with_poll(__func__, "the limit is for its calls, too"))
		return;
	expect_exchanges_under_limit(1);
	expect_exchanges_under_limit(0);
}
END_TEST

START_TEST(a_dialled_connection_waits_under_a_limit_of_no_descriptor)
{
	struct server *s;
	struct rlimit before;
	weir_conn *c;
	char line[64];

	if (skip_with_poll(__func__, "the limit is for its calls, too"))
		return;
	s = serve_workers(1, WEIR_SERVICE(.readable = echo_lines));
	ck_assert_int_eq(weir_dial(&c, s->address, 0), 0);
	UNTIL(stats(s).ledger.accepted == 1);
	before = limit_descriptors(0);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(weir_conn_write(c, "hello\n", 6), 0);
		ck_assert_int_eq(weir_conn_read_line(c, line, sizeof(line)), 6);
		ck_assert_str_eq(line, "hello\n");
	}
	restore_limit(before);
	weir_conn_free(c);
	weir_server_stop(s->weir, 60000);
	ck_assert_uint_eq(server_join_and_check(s).ledger.completed, 1);
}
END_TEST

#define MUCH ((size_t)8 << 20)

static int write_much(weir_conn *c, void *arg)
{
	return weir_conn_write(c, arg, MUCH);
}

/* It looks by itself, which is no activity of the peer. */
START_TEST(deadlines_and_output_go_on_under_a_limit_of_no_descriptor)
{
	char *much;
	struct server *idle, *busy;
	struct client *waits, *reads;
	struct rlimit before;

	if (skip_with_poll(__func__, "the limit is for its calls, too"))
		return;
	much = calloc(1, MUCH);
	ck_assert_ptr_nonnull(much);
	idle = serve(WEIR_CONFIG(.workers = 1),
		     WEIR_SERVICE(SESSION_ON(1, echo_lines), .idle_ms = 200));
	busy = serve(WEIR_CONFIG(.workers = 1),
		     WEIR_SERVICE(SESSION_ON(1, write_much), .arg = much));
	waits = client_open(idle);
	reads = client_open(busy);
	one_exchange(waits);
	client_send(reads, "go");
	UNTIL(stats(busy).bytes_out > 0);
	before = limit_descriptors(0);
	client_expect_eof(waits);
	ck_assert_uint_eq(client_read_to_eof(reads), MUCH);
	restore_limit(before);
	UNTIL(stats(idle).ledger.open == 0);
	ck_assert_uint_eq(stats(idle).timed_out[WEIR_TIMEOUT_IDLE], 1);
	server_stop_and_check(busy);
	server_stop_and_check(idle);
	free(much);
}
END_TEST

/* ---- poll(2) refuses even one descriptor */

enum way { READABLE, SESSION, SESSION_OF_WORKER, WAYS };

static struct server *serve_as(enum way way, const struct weir_service *like)
{
	struct weir_service service = *like;

	if (way != READABLE) {
		service.session = service.readable;
		service.readable = NULL;
		service.session_on_worker = way == SESSION_OF_WORKER;
	}
	return serve(WEIR_CONFIG(.workers = 1), &service);
}

static int read_to_end(weir_conn *c, void *arg)
{
	_Atomic int *last = arg;
	char buf[64];
	ssize_t n;

	do
		n = weir_conn_read(c, buf, sizeof(buf));
	while (n > 0);
	if (n != -EAGAIN)
		atomic_store(last, (int)n);
	return (int)n;
}

START_TEST(a_reset_is_no_end_under_a_limit_of_no_descriptor)
{
	static _Atomic int last;

	if (skip_with_poll(__func__, "the limit is for its calls, too"))
		return;
	for (enum way way = READABLE; way < WAYS; way++) {
		struct server *s =
			serve_as(way, WEIR_SERVICE(.readable = read_to_end,
						   .arg = (void *)&last));
		struct client *c = client_open_and_send(s, "x");
		struct rlimit before;
		int rc;

		UNTIL(stats(s).bytes_in == 1);
		before = limit_descriptors(0);
		client_send(c, "y"); /* the next wait is under the limit */
		UNTIL(stats(s).bytes_in == 2);
		client_reset(c);
		UNTIL(stats(s).ledger.open == 0);
		restore_limit(before);
		rc = atomic_exchange(&last, 0);
		ck_assert_int_eq(rc, -ECONNRESET);
		server_stop_and_check(s);
	}
}
END_TEST

static _Atomic int calls;

static int count_each(enum wr_sys_call call, size_t *len)
{
	(void)call;
	(void)len;
	atomic_fetch_add(&calls, 1);
	return 0;
}

static void expect_time_out(enum way way, bool speaks)
{
	struct server *s = serve_as(
		way, WEIR_SERVICE(.readable = echo_lines, .idle_ms = 200,
				  .first_byte_ms = speaks ? 60000 : 200));
	struct client *c = client_open(s);
	struct rlimit before;

	UNTIL(stats(s).ledger.accepted == 1);
	if (speaks)
		one_exchange(c);
	before = limit_descriptors(0);
	atomic_store(&calls, 0);
	client_expect_eof(c);
	ck_assert_int_lt(atomic_load(&calls), 10000); /* it does not spin */
	restore_limit(before);
	UNTIL(stats(s).ledger.open == 0);
	ck_assert_uint_eq(stats(s).ledger.timed_out, 1);
	server_stop_and_check(s);
}

START_TEST(a_silent_client_times_out_under_a_limit_of_no_descriptor)
{
	if (skip_with_poll(__func__, "the limit is for its calls, too"))
		return;
	wr_sys_fault = count_each;
	for (enum way way = READABLE; way < WAYS; way++) {
		expect_time_out(way, false);
		expect_time_out(way, true);
	}
	wr_sys_fault = NULL;
}
END_TEST

START_TEST(a_stop_is_not_delayed_by_a_limit_of_no_descriptor)
{
	if (skip_with_poll(__func__, "the limit is for its calls, too"))
		return;
	for (enum way way = READABLE; way < WAYS; way++) {
		struct server *s =
			serve_as(way, WEIR_SERVICE(.readable = echo_lines));
		struct client *c = client_open_and_echo(s, "hello\n");
		struct rlimit before = limit_descriptors(0);

		weir_server_stop(s->weir, 60000);
		client_expect_eof(c);
		restore_limit(before);
		server_join_and_check(s);
	}
}
END_TEST

static int pass_line(weir_conn *from, weir_conn *to)
{
	char line[64];
	ssize_t n = weir_conn_read_line(from, line, sizeof(line));

	if (n <= 0)
		return n < 0 ? (int)n : -ENODATA;
	return weir_conn_write(to, line, (size_t)n);
}

static int read_answers(weir_conn *c, weir_conn *up)
{
	int rc;

	do {
		rc = pass_line(c, up);
		rc = rc < 0 ? rc : pass_line(up, c);
	} while (rc >= 0);
	return rc;
}

static int wait_for_lines(weir_conn *c, weir_conn *up)
{
	struct weir_poll both[2] = {
		{ .conn = c, .events = WEIR_POLL_INPUT },
		{ .conn = up, .events = WEIR_POLL_INPUT },
	};
	int rc;

	do {
		rc = weir_conn_wait(both, 2, WEIR_NEVER);
		if (rc > 0 && both[0].ready)
			rc = pass_line(c, up);
		if (rc > 0 && both[1].ready)
			rc = pass_line(up, c);
	} while (rc >= 0);
	return rc;
}

static int relay_both(weir_conn *c, weir_conn *up)
{
	return weir_relay(c, up, NULL);
}

#define LONG_LINE 4096

/* More than its outbox and the kernel take: it waits for room. */
static int write_long_lines(weir_conn *c, weir_conn *up)
{
	char line[LONG_LINE];
	int rc = pass_line(c, up);

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	for (size_t n = 0; n < MUCH && rc >= 0; n += sizeof(line))
		rc = weir_conn_write(up, line, sizeof(line));
	rc = rc < 0 ? rc : pass_line(up, c);
	return rc < 0 ? rc : read_answers(c, up);
}

static int (*const talks[])(weir_conn *c,
			    weir_conn *up) = { read_answers, wait_for_lines,
					       relay_both, write_long_lines };

struct upstream {
	const char *where;
	int (*talk)(weir_conn *c, weir_conn *up);
	_Atomic bool is_there;
};

static int dial_upstream(weir_conn *c, void *arg)
{
	struct upstream *u = arg;
	weir_conn *up;
	int rc = weir_dial(&up, u->where, 0);

	ck_assert_int_eq(rc, 0);
	atomic_store(&u->is_there, true);
	rc = u->talk(c, up);
	weir_conn_free(up);
	return rc;
}

static int echo_short_lines(weir_conn *c, void *arg)
{
	char line[LONG_LINE + 1];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0)
		if (n < LONG_LINE)
			weir_conn_write(c, line, (size_t)n);
	return (int)n;
}

static void expect_answers(enum way way,
			   int (*talk)(weir_conn *c, weir_conn *up))
{
	struct server *up =
		serve_workers(1, WEIR_SERVICE(.readable = echo_short_lines));
	struct upstream u = { .where = up->address, .talk = talk };
	struct server *s =
		serve_as(way, WEIR_SERVICE(.readable = dial_upstream, .arg = &u,
					   .speaks_first = 1));
	struct client *c = client_open(s);
	struct rlimit before;

	UNTIL(u.is_there && stats(up).ledger.accepted == 1);
	before = limit_descriptors(0);
	for (int i = 0; i < 3; i++)
		one_exchange(c);
	client_close(c);
	UNTIL(stats(s).ledger.open == 0);
	restore_limit(before);
	server_stop_and_check(s);
	server_stop_and_check(up);
}

START_TEST(a_session_speaks_upstream_under_a_limit_of_no_descriptor)
{
	if (skip_with_poll(__func__, "the limit is for its calls, too"))
		return;
	for (size_t i = 0; i < wr_array_len(talks); i++) {
		expect_answers(SESSION, talks[i]);
		expect_answers(SESSION_OF_WORKER, talks[i]);
	}
}
END_TEST

static void expect_line_within_limit(struct weir_poll *list, int of,
				     rlim_t count)
{
	struct rlimit before = limit_descriptors(count);
	char line[64];

	ck_assert_int_eq(weir_conn_write(list[of].conn, "hello\n", 6), 0);
	ck_assert_int_eq(weir_conn_wait(list, 2, WEIR_NEVER), 1);
	ck_assert_int_eq(list[of].ready, WEIR_POLL_INPUT);
	ck_assert_int_eq(weir_conn_read_line(list[of].conn, line, 64), 6);
	restore_limit(before);
}

START_TEST(a_thread_waits_for_two_under_a_limit_of_one_descriptor_or_none)
{
	struct weir_poll two[2] = { { .events = WEIR_POLL_INPUT },
				    { .events = WEIR_POLL_INPUT } };
	struct server *s;

	if (skip_with_poll(__func__, "the limit is for its calls, too"))
		return;
	s = serve_workers(1, WEIR_SERVICE(.readable = echo_lines));
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(weir_dial(&two[i].conn, s->address, 0), 0);
	UNTIL(stats(s).ledger.accepted == 2);
	for (int i = 0; i < 2; i++)
		for (rlim_t count = 0; count < 2; count++)
			expect_line_within_limit(two, i, count);
	for (int i = 0; i < 2; i++)
		weir_conn_free(two[i].conn);
	server_stop_and_check(s);
}
END_TEST

START_TEST(connections_that_cannot_be_watched_are_not_all_logged)
{
	enum { CLIENTS = 60 };
	struct server *s;
	int64_t took;

	if (skip_with_poll(__func__, "no call changes the set"))
		return;
	faults_install();
	s = serve_workers(1, WEIR_SERVICE(.readable = echo_lines));
	one_exchange(client_open(s));
	UNTIL(stats(s).parked == 1); /* it is watched, and the listener */
	took = now_ms();
	for (int i = 0; i < CLIENTS; i++) {
		fail_calls_from(WR_SYS_epoll_ctl, 1, -ENOSPC);
		(void)client_expect_end(client_open(s));
	}
	took = now_ms() - took;
	ck_assert(log_says(s, "max_user_watches"));
	ck_assert_int_le(log_lines(s), 10 * (2 + took / 1000));
	faults_clear();
	server_stop_and_check(s);
}
END_TEST

struct refusals {
	_Atomic bool are_known;
	int relay, wait, read_other, read_own, sleep;
};

static int wait_unwatched(weir_conn *c, void *arg)
{
	struct refusals *r = arg;
	struct weir_poll poll = { .events = WEIR_POLL_INPUT };
	char where[32], byte;
	int ends[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	snprintf(where, sizeof(where), "fd:%d", ends[0]);
	ck_assert_int_eq(weir_dial(&poll.conn, where, 0), 0);
	fail_calls_from(WR_SYS_epoll_ctl, 1, -ENOSPC);
	r->relay = weir_relay(c, poll.conn, NULL);
	r->wait = weir_conn_wait(&poll, 1, WEIR_NEVER);
	r->read_other = (int)weir_conn_read(poll.conn, &byte, 1);
	r->read_own = (int)weir_conn_read(c, &byte, 1);
	r->sleep = weir_sleep(WEIR_NEVER);
	faults_clear();
	weir_conn_free(poll.conn);
	close(ends[1]);
	atomic_store(&r->are_known, true);
	return WEIR_CLOSE;
}

START_TEST(a_session_learns_that_its_wait_cannot_be_watched)
{
	struct refusals r = { .are_known = false };
	struct server *s;

	if (skip_with_poll(__func__, "no call changes the set"))
		return;
	faults_install();
	s = serve_workers(1, WEIR_SERVICE(.session = wait_unwatched, .arg = &r,
					  .speaks_first = 1));
	client_expect_eof(client_open(s));
	UNTIL(atomic_load(&r.are_known));
	ck_assert_int_eq(r.relay, -ENOSPC);
	ck_assert_int_eq(r.wait, -ENOSPC);
	ck_assert_int_eq(r.read_other, -ENOSPC);
	ck_assert_int_eq(r.read_own, -ENOSPC);
	ck_assert_int_eq(r.sleep, -ENOSPC);
	server_stop_and_check(s);
}
END_TEST

/* ---- what the acceptor does while nothing happens */

static _Atomic int waits;
static struct gate gate = GATE_CLOSED;

static int count_waits(enum wr_sys_call call, size_t *len)
{
	(void)len;
	if (call == POLLER_WAITS)
		atomic_fetch_add(&waits, 1);
	return 0;
}

/* Scaled to exactly that time. */
static int waits_in(int ms)
{
	int64_t began_at = now_ms();
	int before = atomic_load(&waits), count;

	UNTIL(now_ms() > began_at + ms);
	count = atomic_load(&waits) - before;
	return (int)(count * ms / (now_ms() - began_at));
}

START_TEST(a_connection_that_is_due_beside_a_stuck_one_is_told_once)
{
	struct server *s;
	struct client *due, *stuck;

	wr_sys_fault = count_waits;
	s = serve_workers(1, WEIR_SERVICE(.readable = echo_lines_at_gate,
					  .arg = &gate, .idle_ms = 200));
	due = client_open(s);
	one_exchange(due);
	stuck = client_open(s);
	client_wait_at_gate(stuck, &gate);
	(void)waits_in(400);
	ck_assert_int_le(waits_in(1000), 4);
	gate_open(&gate);
	client_expect(stuck, "wait\n");
	client_expect_eof(due);
	server_stop_and_check(s);
	wr_sys_fault = NULL;
}
END_TEST

static int ask_for_time_stamps(weir_conn *c, void *arg)
{
	const int flags = SOF_TIMESTAMPING_TX_SOFTWARE |
			  SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID;
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	if (n <= 0)
		return (int)n;
	ck_assert_int_eq(setsockopt(weir_conn_fd(c), SOL_SOCKET,
				    SO_TIMESTAMPING, &flags, sizeof(flags)),
			 0);
	weir_conn_write(c, line, (size_t)n);
	return line[0] == 'e' ? 0 : WEIR_AGAIN;
}

START_TEST(an_error_queue_is_neither_an_end_nor_work_without_end)
{
	struct server *s;
	struct client *stays, *ended;
	struct weir_report report;

	wr_sys_fault = count_waits;
	s = serve_workers(1, WEIR_SERVICE(.readable = ask_for_time_stamps));
	stays = client_open_and_echo(s, "stays\n");
	ended = client_open_and_echo(s, "ended\n");
	UNTIL(stats(s).lingering == 1);
	ck_assert_int_lt(waits_in(500), 50);
	client_close(ended);
	weir_server_stop(s->weir, 10000);
	client_expect_eof(stays);
	client_close(stays);
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.failed, 0);
	ck_assert_uint_eq(report.ledger.timed_out, 0);
	ck_assert_uint_eq(report.ledger.completed, 2);
	wr_sys_fault = NULL;
}
END_TEST

static int take_time_stamps(weir_conn *c, void *arg)
{
	char waste[64];

	while (recv(weir_conn_fd(c), waste, sizeof(waste),
		    MSG_ERRQUEUE | MSG_DONTWAIT) >= 0)
		continue;
	return ask_for_time_stamps(c, arg);
}

START_TEST(a_program_may_read_the_error_queue_beside_the_input)
{
	struct server *s =
		serve_workers(1, WEIR_SERVICE(.readable = take_time_stamps));
	struct client *c = client_open(s);

	for (int i = 0; i < 10; i++) {
		client_expect_echo(c, "more\n");
		UNTIL(stats(s).parked == 1);
	}
	server_stop_and_check(s);
}
END_TEST

/* ---- timers */

static _Thread_local bool is_counted;
static _Atomic int system_calls;

static int count_calls(enum wr_sys_call call, size_t *len)
{
	(void)call;
	(void)len;
	if (is_counted)
		atomic_fetch_add(&system_calls, 1);
	return 0;
}

static int move_its_timer(weir_conn *c, void *arg)
{
	is_counted = true;
	for (int i = 1; i <= 1000; i++)
		ck_assert_int_eq(weir_conn_set_timer(c, 60000 + i), 0);
	is_counted = false;
	return echo_lines(c, arg);
}

START_TEST(moving_a_timer_takes_no_system_call_and_no_memory)
{
	struct server *s;

	wr_sys_fault = count_calls;
	s = serve_workers(1, WEIR_SERVICE(.readable = move_its_timer));
	client_open_and_echo(s, "hello\n");
	ck_assert_int_eq(system_calls, 0);
	server_stop_and_check(s);
	wr_sys_fault = NULL;
}
END_TEST

/* ---- late bytes, and clients that come at the same time */

static _Atomic int reads;
static _Atomic int reads_at_accept; /* -1: none was accepted since */
static _Atomic bool is_slow;

static int slow_reads(enum wr_sys_call call, size_t *len)
{
	int none = -1;

	(void)len;
	if (call == WR_SYS_accept4)
		atomic_compare_exchange_strong(&reads_at_accept, &none,
					       atomic_load(&reads));
	if (call == WR_SYS_recv && atomic_load(&is_slow)) {
		atomic_fetch_add(&reads, 1);
		usleep(1000);
	}
	return 0;
}

static int one_line(weir_conn *c, void *arg)
{
	int rc = echo_a_line(c, arg);

	return rc < 0 && rc != -EAGAIN ? rc : 0;
}

static void feed(struct client *c[], int count)
{
	for (int i = 0; i < count; i++)
		(void)client_try_send(c[i], "x", 1);
}

/* A connection lingers for two seconds after the last byte. */
static bool do_all_linger(struct server *s, struct client *c[], int count)
{
	int64_t fed_at = now_ms();

	for (int i = 0; i < count; i++) {
		c[i] = client_open(s);
		one_exchange(c[i]);
		if (now_ms() < fed_at + 300)
			continue;
		feed(c, i + 1);
		fed_at = now_ms();
	}
	feed(c, count);
	fed_at = now_ms();
	while (stats(s).lingering != (uint64_t)count &&
	       now_ms() < fed_at + 1500)
		poll_sleep();
	return stats(s).lingering == (uint64_t)count;
}

/* Again if the machine stands still meanwhile. */
static void open_lingering(struct server *s, struct client *c[], int count)
{
	for (int i = 0; !do_all_linger(s, c, count); i++) {
		ck_assert_int_lt(i, 20);
		clients_close();
		UNTIL(stats(s).ledger.open == 0);
	}
}

START_TEST(late_bytes_keep_no_client_waiting)
{
	enum { LINGERING = 120 };
	struct client *late[LINGERING];
	uint64_t accepted;
	struct server *s;
	int before;

	wr_sys_fault = slow_reads;
	s = serve_workers(1, WEIR_SERVICE(.readable = one_line));
	open_lingering(s, late, LINGERING);
	accepted = stats(s).ledger.accepted;
	atomic_store(&is_slow, true);
	for (int i = 0; i < LINGERING; i++)
		client_send(late[i], "late");
	atomic_store(&reads_at_accept, -1);
	client_open(s);
	before = atomic_load(&reads);
	UNTIL(stats(s).ledger.accepted == accepted + 1);
	ck_assert_int_lt(atomic_load(&reads_at_accept) - before, 24);
	atomic_store(&is_slow, false);
	server_stop_and_check(s);
	wr_sys_fault = NULL;
}
END_TEST

START_TEST(a_session_without_a_stack_is_refused)
{
	struct server *s;
	struct client *c, *held;
	struct weir_report r;

	faults_install();
	s = serve(WEIR_CONFIG(.workers = 1, .max_connections = 1),
		  WEIR_SERVICE(.session = echo_lines));
	c = client_open(s);
	UNTIL(stats(s).ledger.open == 1);
	held = client_open(s);
	fail_calls_from(WR_SYS_mmap, 1, -ENOMEM);
	client_send(c, "hello\n");
	client_expect_last(c, "busy, try later\n");
	UNTIL(log_says(s, ": no stack for its session: "));
	UNTIL(log_says(s, "refused: there is no stack for its session"));
	faults_clear();
	client_expect_echo(held, "hello\n");
	ck_assert_uint_eq(stats(s).lingering, 1); /* and takes no place */
	r = server_stop_and_check(s);
	ck_assert_uint_eq(r.ledger.refused_limit, 1);
}
END_TEST

static int never_run(weir_conn *c, void *arg)
{
	(void)c;
	(void)arg;
	ck_abort_msg("it has no stack");
	return 0;
}

static void count_drop(void *arg)
{
	atomic_fetch_add((_Atomic int *)arg, 1);
}

START_TEST(the_argument_of_a_spawned_session_without_a_stack_is_dropped)
{
	struct server *s;
	_Atomic int drops = 0;

	faults_install();
	s = serve(WEIR_CONFIG(.workers = 1),
		  WEIR_SERVICE(.readable = echo_lines));
	fail_calls_from(WR_SYS_mmap, 1, -ENOMEM);
	ck_assert_int_eq(
		weir_server_spawn(s->weir, NULL, never_run, &drops, count_drop),
		0);
	UNTIL(stats(s).ledger.failed == 1);
	faults_clear();
	ck_assert(log_says(s, ": no stack for its session: "));
	ck_assert_int_eq(drops, 1);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_deadline_without_a_stack_for_the_last_callback_is_one)
{
	struct server *s;
	struct weir_report r;

	faults_install();
	s = serve_workers(1, WEIR_SERVICE(.session = echo_lines,
					  .expired = echo_lines,
					  .first_byte_ms = 100));
	fail_calls_from(WR_SYS_mmap, 1, -ENOMEM);
	client_expect_eof(client_open(s));
	UNTIL(log_says(s, "no stack for its last callback"));
	faults_clear();
	r = server_stop_and_check(s);
	ck_assert_uint_eq(r.ledger.timed_out, 1);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"waiting", a_server_that_cannot_wait_for_events_ends,
		a_look_that_fails_is_no_fault_of_the_peer,
		a_session_waits_under_a_limit_of_one_descriptor_or_none,
		a_dialled_connection_waits_under_a_limit_of_no_descriptor,
		deadlines_and_output_go_on_under_a_limit_of_no_descriptor,
		a_reset_is_no_end_under_a_limit_of_no_descriptor,
		a_silent_client_times_out_under_a_limit_of_no_descriptor,
		a_stop_is_not_delayed_by_a_limit_of_no_descriptor,
		a_session_speaks_upstream_under_a_limit_of_no_descriptor,
		a_thread_waits_for_two_under_a_limit_of_one_descriptor_or_none,
		a_session_without_a_stack_is_refused,
		the_argument_of_a_spawned_session_without_a_stack_is_dropped,
		a_deadline_without_a_stack_for_the_last_callback_is_one,
		connections_that_cannot_be_watched_are_not_all_logged,
		a_session_learns_that_its_wait_cannot_be_watched,
		a_connection_that_is_due_beside_a_stuck_one_is_told_once,
		moving_a_timer_takes_no_system_call_and_no_memory,
		an_error_queue_is_neither_an_end_nor_work_without_end,
		a_program_may_read_the_error_queue_beside_the_input,
		late_bytes_keep_no_client_waiting);
}
