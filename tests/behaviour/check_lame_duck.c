/* SPDX-License-Identifier: MIT */
/*
 * Between the request of a drain and its beginning the server serves as before
 * and only says that it drains, so that a load balancer can send clients
 * elsewhere before the listener closes.
 */
#include "test.h"

static int echo_and_say_goodbye(weir_conn *c, void *arg)
{
	if (weir_conn_why(c) == WEIR_DRAIN)
		return weir_conn_printf(c, "bye\n");
	return echo_lines(c, arg);
}

static struct server *serve_with_lame_duck(int ms, int drain_ms)
{
	return serve_held(WEIR_CONFIG(.workers = 2, .lame_duck_ms = ms,
				      .drain_ms = drain_ms),
			  WEIR_SERVICE(.readable = echo_and_say_goodbye));
}

static void expect_refused(struct server *s)
{
	struct client *c = client_new(s->address, 0);

	ck_assert_int_eq(client_connect(c, s->address), -ECONNREFUSED);
	client_close(c);
}

static void drain_and_expect_service(struct server *s)
{
	weir_server_drain(s->weir);
	ck_assert_int_eq(weir_server_is_draining(s->weir), 1);
	UNTIL(stats(s).phase == WEIR_PHASE_LAME_DUCK);
	for (int i = 0; i < 20; i++)
		client_close(client_open_and_echo(s, "hello\n"));
	ck_assert_int_eq(weir_server_join_for(s->weir, NULL, 0, 0), -ETIMEDOUT);
}

START_TEST(clients_are_accepted_in_a_lame_duck)
{
	struct server *s = serve_with_lame_duck(WEIR_NEVER, 60000);
	struct client *early = client_open_and_echo(s, "early\n");

	drain_and_expect_service(s);
	client_expect_echo(early, "still here\n");
	ck_assert_uint_eq(stats(s).phase, WEIR_PHASE_LAME_DUCK);
	weir_server_stop(s->weir, 60000);
	client_expect_last(early, "bye\n");
	UNTIL(stats(s).phase == WEIR_PHASE_DONE);
	expect_refused(s);
	ck_assert_uint_eq(stats(s).ledger.completed, 21);
	server_join_and_check(s);
}
END_TEST

START_TEST(control_without_a_lame_duck_clients_are_refused)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_held(
		WEIR_CONFIG(.workers = 2),
		WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));
	struct client *early = client_open(s);

	client_wait_at_gate(early, &gate);
	weir_server_drain(s->weir);
	UNTIL(log_says(s, "stopping"));
	expect_refused(s);
	gate_open(&gate);
	client_close(early);
	ck_assert_uint_eq(server_join_and_check(s).lame_duck_ms, 0);
}
END_TEST

START_TEST(the_deadline_counts_from_the_end_of_the_lame_duck)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve(
		WEIR_CONFIG(.workers = 2, .lame_duck_ms = 300, .drain_ms = 200),
		WEIR_SERVICE(.session = echo_lines_at_gate, .arg = &gate));
	struct client *c = client_open(s);
	struct weir_report report;

	client_wait_at_gate(c, &gate);
	weir_server_drain(s->weir);
	ck_assert_int_eq(join_fully(s->weir, &report), -EBUSY);
	ck_assert_uint_eq(report.lame_duck_ms, 300);
	ck_assert_uint_ge(report.drain_ms, 200);
	expect_stop_on_time(&report, 200);
	ck_assert_uint_eq(report.ledger.cut, 1);
	gate_open(&gate);
	client_close(c);
	server_join_and_check(s);
}
END_TEST

START_TEST(another_drain_does_not_lengthen_it)
{
	struct server *s = serve_with_lame_duck(100, 60000);

	for (int i = 0; i < 10; i++) {
		weir_server_drain(s->weir);
		poll_sleep();
	}
	ck_assert_uint_le(server_join_and_check(s).lame_duck_ms, 100);
}
END_TEST

START_TEST(a_stop_ends_it_and_keeps_the_nearer_deadline)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve(
		WEIR_CONFIG(.workers = 2, .lame_duck_ms = 60000),
		WEIR_SERVICE(.session = echo_lines_at_gate, .arg = &gate));
	struct client *c = client_open(s);
	struct weir_report report;

	client_wait_at_gate(c, &gate);
	weir_server_drain(s->weir);
	UNTIL(stats(s).phase == WEIR_PHASE_LAME_DUCK);
	weir_server_stop(s->weir, 0);
	ck_assert_int_eq(join_fully(s->weir, &report), -EBUSY);
	ck_assert_uint_lt(report.lame_duck_ms, 60000);
	expect_stop_on_time(&report, 0);
	gate_open(&gate);
	client_close(c);
	server_join_and_check(s);
}
END_TEST

START_TEST(its_length_can_change_before_it_begins)
{
	struct server *s = serve_with_lame_duck(WEIR_NEVER, 60000);

	ck_assert_int_eq(
		weir_server_configure(s->weir, WEIR_CONFIG(.workers = 2)), 0);
	weir_server_drain(s->weir);
	ck_assert_uint_eq(server_join_and_check(s).lame_duck_ms, 0);
}
END_TEST

START_TEST(listeners_come_and_go_in_a_lame_duck)
{
	struct server *s = serve_with_lame_duck(WEIR_NEVER, 60000);
	struct client *c;
	char where[64];
	int id;

	drain_and_expect_service(s);
	id = server_listen(s, "127.0.0.1:0",
			   WEIR_SERVICE(.readable = echo_lines));
	server_address(s, id, where, sizeof(where));
	c = client_open_at(where);
	client_expect_echo(c, "hello\n");
	ck_assert_int_ge(weir_server_listener_fd(s->weir, id), 0);
	ck_assert_int_eq(weir_server_own_listener(s->weir, id), 0);
	ck_assert_int_eq(weir_server_unlisten(s->weir, id), 0);
	UNTIL(weir_server_unlisten(s->weir, id) == -EINVAL);
	client_expect_echo(c, "still here\n");
	ck_assert_uint_eq(stats(s).phase, WEIR_PHASE_LAME_DUCK);
	weir_server_stop(s->weir, 60000);
	ck_assert_int_eq(weir_server_unlisten(s->weir, 0), -ESHUTDOWN);
	client_close(c);
	server_join_and_check(s);
}
END_TEST

START_TEST(a_free_does_not_wait_for_it)
{
	struct server *s = serve_with_lame_duck(WEIR_NEVER, 60000);

	client_close(client_open_and_echo(s, "hello\n"));
	weir_server_drain(s->weir);
	weir_server_free(s->weir);
	server_check_freed(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS("lame duck", clients_are_accepted_in_a_lame_duck,
			 control_without_a_lame_duck_clients_are_refused,
			 the_deadline_counts_from_the_end_of_the_lame_duck,
			 another_drain_does_not_lengthen_it,
			 a_stop_ends_it_and_keeps_the_nearer_deadline,
			 its_length_can_change_before_it_begins,
			 listeners_come_and_go_in_a_lame_duck,
			 a_free_does_not_wait_for_it);
}
