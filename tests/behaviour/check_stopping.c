/* SPDX-License-Identifier: MIT */
/*
 * A stop with running callbacks, waiting sessions, parked and queued
 * connections; it ends by its deadline whatever they do.
 */
#include "test.h"

static const int long_grace = 60000;

START_TEST(a_running_callback_ends_and_its_answer_arrives)
{
	struct gate gate = GATE_CLOSED;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = echo_lines_at_gate,
					 .arg = &gate));
	struct client *c = client_open(s);
	struct weir_report report;

	client_wait_at_gate(c, &gate);
	ck_assert_int_eq(weir_server_stop(s->weir, long_grace), 0);
	gate_open(&gate);
	client_expect_last(c, "wait\n");
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 1);
	ck_assert_uint_lt(report.drain_ms, long_grace);
}
END_TEST

static int say_goodbye(weir_conn *c, void *arg)
{
	if (weir_conn_why(c) == WEIR_DRAIN)
		return weir_conn_printf(c, "goodbye\n");
	return echo_lines(c, arg);
}

START_TEST(parked_connections_may_say_goodbye)
{
	struct server *s =
		serve_workers(2, WEIR_SERVICE(.readable = say_goodbye));
	struct client *c[50];
	struct weir_report report;

	for (int i = 0; i < 50; i++)
		c[i] = client_open_and_echo(s, "hello\n");
	UNTIL(stats(s).parked == 50);
	weir_server_stop(s->weir, long_grace);
	for (int i = 0; i < 50; i++)
		client_expect_last(c[i], "goodbye\n");
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 50);
}
END_TEST

static int say_and_end(weir_conn *c, void *arg)
{
	(void)arg;
	return weir_conn_printf(c, "goodbye\n");
}

static int note_the_end(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;

	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0)
		weir_conn_write(c, line, (size_t)n);
	weir_conn_printf(c, "%s", error_name(n));
	atomic_store((_Atomic int *)arg, (int)n);
	return (int)n;
}

START_TEST(a_session_that_waits_is_told_of_the_stop)
{
	_Atomic int said = 0;
	struct server *s = serve(
		NULL, WEIR_SERVICE(.session = note_the_end, .arg = &said));
	struct client *c = client_open(s);
	struct weir_report report;

	client_expect_reply(c, "hello\nhalf a li", "hello\n");
	weir_server_stop(s->weir, long_grace);
	client_expect_last(c, "-ESHUTDOWN");
	report = server_join_and_check(s);
	ck_assert_int_eq(atomic_load(&said), -ESHUTDOWN);
	ck_assert_uint_eq(report.ledger.cut, 0);
	ck_assert_uint_lt(report.drain_ms, long_grace);
}
END_TEST

/* Connections in the backlog and the queue are served. */
START_TEST(connections_that_are_queued_are_served)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve(
		WEIR_CONFIG(.workers = 1, .queue_length = 5),
		WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));
	struct client *held = client_open(s), *c[20];
	struct weir_report report;

	client_wait_at_gate(held, &gate);
	for (int i = 0; i < 20; i++)
		c[i] = client_open_and_send(s, "hello\n");
	UNTIL(stats(s).queued == 5);
	weir_server_stop(s->weir, long_grace);
	gate_open(&gate);
	client_expect(held, "wait\n");
	for (int i = 0; i < 20; i++)
		client_expect_last(c[i], "hello\n");
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 21);
}
END_TEST

static bool is_refused(const char *address)
{
	struct client *late = client_new(address, 0);
	int rc = client_connect(late, address);

	client_close(late);
	return rc == -ECONNREFUSED;
}

START_TEST(clients_that_connected_by_a_cookie_are_served_and_drained)
{
	const bool has_cookies = enter_network_of_cookies();
	struct gate gate = GATE_CLOSED;
	struct client *c[20], *holder;
	struct weir_report report;
	struct server *s;
	long before;

	if (!has_cookies)
		return;
	before = network_counter("TcpExt", "SyncookiesRecv");
	s = serve(WEIR_CONFIG(.workers = 1, .queue_length = 5),
		  WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));
	holder = client_open(s);
	client_wait_at_gate(holder, &gate);
	for (int i = 0; i < 20; i++)
		c[i] = client_open_and_send(s, "hello\n");
	ck_assert_int_eq(network_counter("TcpExt", "SyncookiesRecv") - before,
			 21);
	UNTIL(stats(s).queued == 5);
	weir_server_stop(s->weir, long_grace);
	gate_open(&gate);
	client_expect_last(holder, "wait\n");
	for (int i = 0; i < 20; i++)
		client_expect_last(c[i], "hello\n");
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 21);
}
END_TEST

START_TEST(late_clients_are_refused)
{
	struct gate gate = GATE_CLOSED;
	struct server *s =
		serve_held(NULL, WEIR_SERVICE(.readable = echo_lines_at_gate,
					      .arg = &gate));
	struct client *held = client_open(s);

	client_wait_at_gate(held, &gate);
	weir_server_stop(s->weir, long_grace);
	UNTIL(is_refused(s->address));
	gate_open(&gate);
	client_expect_last(held, "wait\n");
	server_join_and_check(s);
}
END_TEST

static bool is_cut_in_time(bool on_worker)
{
	struct server *s = serve_workers(
		2, WEIR_SERVICE(SESSION_ON(on_worker, echo_lines)));
	struct client *c = client_open(s);
	struct weir_report report;
	int rc;

	client_send(c, "half a li");
	UNTIL(session_waits(s));
	weir_server_stop(s->weir, 0);
	client_expect_end(c);
	rc = weir_server_join(s->weir, NULL, 0);
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.cut, 1);
	expect_stop_on_time(&report, 0);
	if (report.stuck == 0)
		ck_assert_int_eq(rc, -ECANCELED);
	return report.stuck == 0;
}

/* A cut callback has 60 ms to return. */
START_TEST(a_stop_without_grace_cuts)
{
	for (int i = 0; i < 2; i++)
		MOSTLY(is_cut_in_time(i));
}
END_TEST

/* Between messages too: a cut is not a drain. */
START_TEST(a_session_that_waits_is_told_of_a_stop_without_grace)
{
	for (int i = 0; i < fewer(200); i++) {
		_Atomic int said = 0;
		struct server *s =
			serve(WEIR_CONFIG(.workers = 2),
			      WEIR_SERVICE(SESSION_ON(i % 2, note_the_end),
					   .arg = &said));
		struct client *c = client_open(s);
		struct weir_report report;

		client_expect_echo(c, "hello\n");
		weir_server_stop(s->weir, 0);
		report = server_join_and_check(s);
		ck_assert_int_eq(atomic_load(&said), -ECANCELED);
		ck_assert_uint_eq(report.ledger.cut, 1);
	}
}
END_TEST

static int write_without_end(weir_conn *c, void *arg)
{
	static const char block[65536];
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc = 0;

	if (n <= 0)
		return (int)n;
	while (rc == 0)
		rc = weir_conn_write(c, block, sizeof(block));
	atomic_store((_Atomic int *)arg, rc);
	return rc;
}

static bool is_write_cut_in_time(bool on_worker)
{
	_Atomic int said = 0;
	struct server *s = serve(
		NULL, WEIR_SERVICE(SESSION_ON(on_worker, write_without_end),
				   .arg = (void *)&said));
	struct client *c = client_open_small(s, 4096);
	struct weir_report report;
	int rc;

	client_send(c, "go\n");
	UNTIL(session_waits(s));
	weir_server_stop(s->weir, 200);
	rc = weir_server_join(s->weir, NULL, 0);
	report = server_join_and_check(s);
	ck_assert_int_eq(atomic_load(&said), -ECANCELED);
	ck_assert_uint_eq(report.ledger.cut, 1);
	ck_assert_uint_ge(report.drain_ms, 150);
	expect_stop_on_time(&report, 200);
	if (report.stuck == 0)
		ck_assert_int_eq(rc, -ECANCELED);
	return report.stuck == 0;
}

START_TEST(output_that_waits_is_cut_at_the_deadline)
{
	for (int i = 0; i < 2; i++)
		MOSTLY(is_write_cut_in_time(i));
}
END_TEST

/* All workers are stuck: the stop ends on time and names the callbacks. */
static struct server *serve_stuck(struct gate *gate, int workers)
{
	struct server *s = serve(
		WEIR_CONFIG(.workers = workers),
		WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = gate));

	for (int i = 0; i < workers; i++)
		client_send(client_open(s), "wait\n");
	UNTIL(gate_waiting(gate) == workers);
	return s;
}

/* Release them after join has returned, and wait for the threads to end. */
static struct weir_report stuck_report(struct server *s, struct gate *gate)
{
	struct weir_report report;

	ck_assert_int_eq(weir_server_join(s->weir, &report, sizeof(report)),
			 -EBUSY);
	expect_balance(&report.ledger);
	ck_assert_uint_eq(report.ledger.open, 0);
	gate_open(gate);
	UNTIL(gate_waiting(gate) == 0);
	weir_server_free(s->weir);
	return report;
}

START_TEST(a_stop_returns_on_time_though_all_callbacks_are_stuck)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_stuck(&gate, 3);
	struct weir_report report;

	weir_server_stop(s->weir, 300);
	report = stuck_report(s, &gate);
	expect_stop_on_time(&report, 300);
	ck_assert_uint_eq(report.stuck, 3);
	ck_assert_uint_eq(report.ledger.cut, 3);
	ck_assert_uint_ge(report.drain_ms, 250);
	server_check_freed(s);
}
END_TEST

START_TEST(stuck_callbacks_are_named_in_the_log)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve(
		WEIR_CONFIG(.workers = 1),
		WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));
	struct client *c = client_open(s);
	char name[32];

	snprintf(name, sizeof(name), "127.0.0.1:%d", client_port(c));
	client_wait_at_gate(c, &gate);
	weir_server_stop(s->weir, 0);
	stuck_report(s, &gate);
	ck_assert_msg(log_says(s, name), "%s is not in the log:\n%s", name,
		      s->log);
	server_check_freed(s);
}
END_TEST

START_TEST(a_second_stop_brings_the_deadline_nearer)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_stuck(&gate, 2);
	struct weir_report report;

	ck_assert_int_eq(weir_server_stop(s->weir, WEIR_NEVER), 0);
	ck_assert_int_eq(weir_server_stop(s->weir, long_grace), 0);
	ck_assert_int_eq(weir_server_stop(s->weir, 100), 0);
	ck_assert_int_eq(weir_server_stop(s->weir, long_grace), 0);
	report = stuck_report(s, &gate);
	expect_stop_on_time(&report, 100);
	server_check_freed(s);
}
END_TEST

/* The length of the stop. */
static uint64_t stop_while_one_lingers(void)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = say_and_end));
	struct client *c = client_open(s);
	struct weir_report report;

	client_expect_reply(c, "hello\n", "goodbye\n");
	client_expect_eof(c);
	weir_server_stop(s->weir, long_grace);
	ck_assert_int_eq(join_fully(s->weir, &report), 0);
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 1);
	return report.drain_ms;
}

static bool is_half_a_second(uint64_t ms)
{
	return ms >= 400 && ms < 1500 * (uint64_t)slowness();
}

/* The peer is silent: it has its answer, and half a second to close. */
START_TEST(a_client_answered_before_the_stop_delays_it_like_any_other)
{
	MOSTLY(is_half_a_second(stop_while_one_lingers()));
}
END_TEST

/* One that never sent anything, and one in mid-message. */
static uint64_t stop_while_two_are_silent(void)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	struct client *silent = client_open(s), *slow = client_open(s);
	struct weir_report report;

	client_send(slow, "half a li");
	UNTIL(stats(s).callbacks > 0 && stats(s).parked == 2);
	weir_server_stop(s->weir, long_grace);
	client_expect_eof(silent);
	client_expect_eof(slow);
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 2);
	return report.drain_ms;
}

START_TEST(a_client_that_does_not_go_on_delays_a_stop_like_any_other)
{
	MOSTLY(stop_while_two_are_silent() < 1500 * (uint64_t)slowness());
}
END_TEST

static int write_a_megabyte(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	return n > 0 ? weir_conn_write(c, arg, 1 << 20) : (int)n;
}

START_TEST(output_that_is_under_way_is_delivered)
{
	char *text = calloc(1, 1 << 20);
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = write_a_megabyte,
					 .arg = text, .outbox_mark = 2 << 20));
	struct client *c[20];

	for (int i = 0; i < 20; i++) {
		c[i] = client_open_small(s, 4096);
		client_send(c[i], "go\nand something that stays unread");
	}
	UNTIL(stats(s).callbacks >= 20 && stats(s).busy == 0);
	weir_server_stop(s->weir, long_grace);
	for (int i = 0; i < 20; i++)
		ck_assert_uint_eq(client_read_to_eof(c[i]), 1 << 20);
	server_join_and_check(s);
	free(text);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"stopping", a_running_callback_ends_and_its_answer_arrives,
		parked_connections_may_say_goodbye,
		a_session_that_waits_is_told_of_the_stop,
		connections_that_are_queued_are_served,
		clients_that_connected_by_a_cookie_are_served_and_drained,
		late_clients_are_refused, a_stop_without_grace_cuts,
		a_session_that_waits_is_told_of_a_stop_without_grace,
		a_client_answered_before_the_stop_delays_it_like_any_other,
		a_client_that_does_not_go_on_delays_a_stop_like_any_other,
		output_that_waits_is_cut_at_the_deadline,
		a_stop_returns_on_time_though_all_callbacks_are_stuck,
		stuck_callbacks_are_named_in_the_log,
		a_second_stop_brings_the_deadline_nearer,
		output_that_is_under_way_is_delivered);
}
