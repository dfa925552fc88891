/* SPDX-License-Identifier: MIT */
/*
 * Each error of accept(2) once: the server counts it, goes on, and serves the
 * client that was waiting and the next one.
 */
#include "test.h"

#include "faults.h"

static void one_exchange(const char *address)
{
	struct client *c = client_open_at(address);

	client_expect_echo(c, "hello\n");
	client_close(c);
}

/* each: how much one adds to accept_errors and to shortages. */
static void answers_are_borne(const int *errors, size_t count,
			      struct weir_stats each)
{
	struct weir_stats before, now;
	struct server *s;

	faults_install();
	s = serve_workers(2, WEIR_SERVICE(.readable = echo_lines));
	for (size_t i = 0; i < count; i++) {
		before = stats(s);
		fail_nth_call(WR_SYS_accept4, 1, -errors[i]);
		one_exchange(s->address);
		ck_assert_int_eq(faults_made(), 1);
		one_exchange(s->address);
		now = stats(s);
		ck_assert_msg(now.accept_errors - before.accept_errors ==
					      each.accept_errors &&
				      now.shortages - before.shortages ==
					      each.shortages,
			      "%s is counted otherwise", errno_name(errors[i]));
	}
	faults_clear();
	server_stop_and_check(s);
}

START_TEST(a_connection_that_failed_is_counted_and_the_next_one_served)
{
	static const int errors[] = { ECONNABORTED, EPROTO,	  EPERM,
				      ENETDOWN,	    ENOPROTOOPT,  EHOSTDOWN,
				      ENONET,	    EHOSTUNREACH, EOPNOTSUPP,
				      ENETUNREACH,  ETIMEDOUT,	  ECONNRESET };

	answers_are_borne(errors, wr_array_len(errors),
			  (struct weir_stats){ .accept_errors = 1 });
}
END_TEST

START_TEST(a_shortage_is_waited_out)
{
	static const int errors[] = { EMFILE, ENFILE, ENOBUFS, ENOMEM };

	answers_are_borne(errors, wr_array_len(errors),
			  (struct weir_stats){ .shortages = 1 });
}
END_TEST

START_TEST(an_answer_that_means_nothing_is_borne)
{
	static const int unknown[] = { EIO, ENOSR, 9999 };
	static const int none[] = { EINTR, EAGAIN };

	answers_are_borne(unknown, wr_array_len(unknown),
			  (struct weir_stats){ .shortages = 1 });
	answers_are_borne(none, wr_array_len(none), (struct weir_stats){ 0 });
}
END_TEST

START_TEST(a_broken_listener_is_reported_and_the_others_go_on)
{
	static const int errors[] = { EBADF, EINVAL, ENOTSOCK };

	faults_install();
	for (size_t i = 0; i < wr_array_len(errors); i++) {
		struct server *s = server_new(WEIR_CONFIG(.workers = 2));
		char other[64];

		server_listen(s, "127.0.0.1:0",
			      WEIR_SERVICE(.readable = echo_lines));
		server_listen(s, "127.0.0.1:0",
			      WEIR_SERVICE(.readable = echo_lines));
		server_address(s, 1, other, sizeof(other));
		server_start(s);
		fail_nth_call(WR_SYS_accept4, 1, -errors[i]);
		client_open(s); /* it has nobody to talk to */
		UNTIL(faults_made() == 1);
		UNTIL(log_says(s, s->address));
		one_exchange(other);
		one_exchange(other);
		server_stop_and_check(s);
	}
}
END_TEST

START_TEST(a_broken_listener_is_asked_no_more)
{
	struct server *s;
	int64_t began_at;

	faults_install();
	s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	fail_calls_from(WR_SYS_accept4, 1, -EBADF);
	client_open(s);
	UNTIL(faults_made() > 0);
	began_at = now_ms();
	UNTIL(now_ms() > began_at + 200);
	ck_assert_int_eq(faults_made(), 1);
	faults_clear();
	server_stop_and_check(s);
}
END_TEST

/* The pause has grown to its longest. */
static bool is_served_at_once_after_a_close(struct server *s)
{
	struct client *open = client_open(s), *waiting;
	uint64_t before;
	int64_t at;

	client_expect_echo(open, "hello\n");
	before = stats(s).shortages;
	fail_calls_from(WR_SYS_accept4, 1, -EMFILE);
	waiting = client_open_and_send(s, "hello\n");
	UNTIL(stats(s).shortages >= before + 8);
	faults_clear();
	at = now_ms();
	client_close(open);
	client_expect(waiting, "hello\n");
	at = now_ms() - at;
	client_close(waiting);
	return at < 50;
}

START_TEST(a_close_of_ours_ends_a_shortage_at_once)
{
	struct server *s;

	faults_install();
	s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	MOSTLY(is_served_at_once_after_a_close(s));
	server_stop_and_check(s);
}
END_TEST

/* An error without end costs neither CPU nor log lines. */
static void lasting_shortage(int overload)
{
	struct server *s;
	struct client *c;
	int64_t began_at;
	int made;

	faults_install();
	s = serve(WEIR_CONFIG(.overload = overload),
		  WEIR_SERVICE(.readable = echo_lines));
	fail_calls_from(WR_SYS_accept4, 1, -EMFILE);
	c = client_open_and_send(s, "hello\n");
	began_at = now_ms();
	UNTIL(now_ms() > began_at + 500);
	made = faults_made();
	faults_clear();
	client_expect(c, "hello\n");
	ck_assert_int_gt(made, 0);
	ck_assert_int_lt(made, 100);
	ck_assert_int_le(log_lines(s), 5);
	server_stop_and_check(s);
}

START_TEST(a_shortage_that_lasts_is_borne_quietly)
{
	lasting_shortage(WEIR_HOLD);
}
END_TEST

/* The descriptor in reserve is no reason to retry more often. */
START_TEST(a_shortage_that_lasts_is_borne_quietly_while_refusing)
{
	lasting_shortage(WEIR_REFUSE);
}
END_TEST

/* Every connection fails, for ever: a pause for each batch. */
START_TEST(failures_that_last_are_borne_quietly)
{
	struct server *s;
	struct client *parked, *late;
	struct weir_report report;
	int64_t began_at, took, cpu;

	faults_install();
	s = serve_workers(2,
			  WEIR_SERVICE(.readable = echo_lines, .idle_ms = 300));
	parked = client_open_and_echo(s, "hello\n");
	fail_calls_from(WR_SYS_accept4, 1, -EPROTO);
	late = client_open(s);
	UNTIL(faults_made() > 0);
	began_at = now_ms();
	cpu = cpu_ms();
	client_expect_eof(parked); /* its deadline is checked */
	UNTIL(now_ms() > began_at + 500);
	cpu = cpu_ms() - cpu;
	took = now_ms() - began_at;
	ck_assert_int_lt(cpu, took / 2);
	ck_assert_int_lt(faults_made(), 64 * (20 + took / 50));
	ck_assert_int_le(log_lines(s), 5 + took / 1000);
	UNTIL(stats(s).accept_errors == (uint64_t)faults_made());
	weir_server_stop(s->weir, 100);
	client_expect_end(late);
	(void)weir_server_join(s->weir, &report, sizeof(report));
	faults_clear();
	expect_stop_on_time(&report, 100);
	ck_assert_uint_eq(report.ledger.timed_out, 1);
	server_join_and_check(s);
}
END_TEST

/* ---- memory for a connection, allocated before it is accepted */

START_TEST(without_memory_for_a_connection_clients_wait)
{
	struct server *s;
	struct client *c;

	faults_install();
	s = serve_workers(1, WEIR_SERVICE(.readable = echo_lines));
	fail_calls_from(WR_SYS_alloc, 1, -ENOMEM);
	c = client_open_and_send(s, "hello\n");
	UNTIL(stats(s).shortages > 2);
	ck_assert(log_says(s, "cannot accept: out of memory"));
	ck_assert_int_le(log_lines(s), 5);
	faults_clear();
	client_expect(c, "hello\n");
	client_close(c);
	ck_assert_uint_eq(server_stop_and_check(s).ledger.accepted, 1);
}
END_TEST

START_TEST(without_memory_for_a_connection_clients_are_told)
{
	enum { SLOTS = 256 }; /* made at once; one is kept for this */
	struct server *s;
	struct client *c;

	faults_install();
	s = serve(WEIR_CONFIG(.workers = 1, .overload = WEIR_REFUSE,
			      .queue_length = SLOTS),
		  WEIR_SERVICE(.readable = echo_lines));
	one_exchange(s->address);
	UNTIL(stats(s).ledger.open == 0);
	fail_calls_from(WR_SYS_alloc, 1, -ENOMEM);
	for (int i = 0; i < SLOTS - 1; i++)
		client_open(s);
	UNTIL(stats(s).parked == SLOTS - 1);
	for (int i = 0; i < 3; i++) {
		c = client_open(s);
		client_expect_last(c, "busy, try later\n");
		client_close(c);
	}
	ck_assert_uint_gt(stats(s).shortages, 0);
	faults_clear();
	clients_close();
	ck_assert_uint_eq(server_stop_and_check(s).ledger.refused_limit, 3);
}
END_TEST

/* The references of a program that keeps one to each connection. */
struct kept {
	weir_ref *ref[9000];
	_Atomic int count;
	_Atomic bool is_enough;
};

static int keep_and_close(weir_conn *c, void *arg)
{
	struct kept *k = arg;
	int i = atomic_load(&k->count);

	if (atomic_load(&k->is_enough))
		return WEIR_CLOSE;
	ck_assert_int_lt(i, (int)wr_array_len(k->ref));
	k->ref[i] = weir_conn_ref(c);
	atomic_store(&k->count, i + 1);
	return WEIR_CLOSE;
}

static bool are_all_kept(struct server *s, const struct kept *k)
{
	struct weir_ledger l = stats(s).ledger;

	return l.accepted - ledger_refused(&l) ==
	       (uint64_t)atomic_load(&k->count);
}

/* Until there is no slot for the next client. */
static void use_up_slots(struct server *s, const struct kept *k)
{
	for (;;) {
		struct client *c = client_open(s);

		if (atomic_load(&k->count) < 8000)
			client_expect_eof(c);
		else
			UNTIL(client_has_input(c) || stats(s).shortages > 0);
		if (stats(s).shortages > 0)
			break;
		client_close(c);
	}
	UNTIL(are_all_kept(s, k));
}

/* By keep_and_close(), without a word. */
static bool is_next_served(struct server *s)
{
	struct client *c = client_open(s);
	char word[32];
	ssize_t n = client_read(c, word, sizeof(word));

	client_close(c);
	return n == 0;
}

START_TEST(while_the_program_keeps_all_slots_clients_wait_or_are_told)
{
	static struct kept k;

	for (int overload = WEIR_HOLD; overload <= WEIR_REFUSE; overload++) {
		struct server *s = serve_at(
			own_unix_address(),
			WEIR_CONFIG(.workers = 1, .overload = overload,
				    .max_connections = 100, .max_dialled = 1),
			WEIR_SERVICE(.readable = echo_lines,
				     .opened = keep_and_close, .arg = &k));
		struct client *c;

		use_up_slots(s, &k);
		atomic_store(&k.is_enough, true);
		c = client_open(s);
		if (overload == WEIR_REFUSE)
			client_expect_last(c, "busy, try later\n");
		else
			UNTIL(stats(s).shortages > 2);
		ck_assert(log_says(s, "the program holds too many references"));
		ck_assert(overload == WEIR_REFUSE || !client_has_input(c));
		for (int i = 0; i < atomic_load(&k.count); i++)
			weir_ref_unref(k.ref[i]);
		if (overload == WEIR_HOLD)
			client_expect_eof(c);
		UNTIL(is_next_served(s)); /* after the pause */
		server_stop_and_check(s);
		atomic_store(&k.count, 0);
		atomic_store(&k.is_enough, false);
	}
}
END_TEST

static _Atomic int watches;

static int count_watches(enum wr_sys_call call, size_t *len)
{
	(void)len;
	if (call == WR_SYS_epoll_ctl)
		atomic_fetch_add(&watches, 1);
	return 0;
}

/* The server is full, and each place that gets free is taken at once. */
START_TEST(listeners_without_clients_cost_an_accept_no_call)
{
	enum { LISTENERS = 64, CLIENTS = 50 };
	struct client *c[CLIENTS];
	struct server *s;
	int before;

	if (skip_with_poll("listeners_without_clients_cost_an_accept_no_call",
			   "it counts nothing"))
		return;
	wr_sys_fault = count_watches;
	s = server_new(WEIR_CONFIG(.workers = 1, .max_connections = 1));
	for (int i = 0; i < LISTENERS; i++)
		ck_assert_int_ge(
			server_listen(s, "127.0.0.1:0",
				      WEIR_SERVICE(.readable = echo_lines)),
			0);
	server_start(s);
	c[0] = client_open_and_echo(s, "hello\n");
	for (int i = 1; i < CLIENTS; i++)
		c[i] = client_open(s);
	UNTIL(stats(s).parked == 1);
	before = atomic_load(&watches);
	for (int i = 1; i < CLIENTS; i++) {
		client_close(c[i - 1]);
		client_expect_echo(c[i], "hello\n");
	}
	ck_assert_int_lt(atomic_load(&watches) - before, 6 * CLIENTS);
	server_stop_and_check(s);
	wr_sys_fault = NULL;
}
END_TEST

/* As in an empty root directory. */
START_TEST(a_server_needs_no_file_of_the_system)
{
	struct server *s;

	faults_install();
	fail_calls_from(WR_SYS_open, 1, -ENOENT);
	s = serve_workers(1, WEIR_SERVICE(.readable = echo_lines));
	one_exchange(s->address);
	fail_nth_call(WR_SYS_accept4, 1, -EMFILE); /* takes the reserve */
	one_exchange(s->address);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"accept_errors",
		a_connection_that_failed_is_counted_and_the_next_one_served,
		a_shortage_is_waited_out, an_answer_that_means_nothing_is_borne,
		a_broken_listener_is_reported_and_the_others_go_on,
		a_broken_listener_is_asked_no_more,
		a_close_of_ours_ends_a_shortage_at_once,
		a_shortage_that_lasts_is_borne_quietly,
		a_shortage_that_lasts_is_borne_quietly_while_refusing,
		failures_that_last_are_borne_quietly,
		without_memory_for_a_connection_clients_wait,
		without_memory_for_a_connection_clients_are_told,
		while_the_program_keeps_all_slots_clients_wait_or_are_told,
		listeners_without_clients_cost_an_accept_no_call,
		a_server_needs_no_file_of_the_system);
}
