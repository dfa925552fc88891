/* SPDX-License-Identifier: MIT */
/*
 * Counts for each listener.  server_stop_and_check() adds that those of all
 * listeners make up those of the server.
 */
#include "test.h"

#include <sys/socket.h>

static struct client *open_and_echo_at(struct server *s, int id)
{
	char address[160];
	struct client *c;

	server_address(s, id, address, sizeof(address));
	c = client_open_at(address);
	client_expect_echo(c, "hello\n");
	return c;
}

START_TEST(each_listener_counts_its_own)
{
	struct server *s = server_new(WEIR_CONFIG(.workers = 2));
	struct client *c;

	for (int i = 0; i < 2; i++)
		server_listen(s, "127.0.0.1:0", WEIR_SERVICE(.readable = echo));
	server_start(s);
	c = open_and_echo_at(s, 0);
	(void)open_and_echo_at(s, 1);
	(void)open_and_echo_at(s, 1);
	client_close(c);
	UNTIL(listener_stats(s, 0).ledger.completed == 1);
	UNTIL(listener_stats(s, 1).bytes_out == 12);
	ck_assert_uint_eq(listener_stats(s, 0).ledger.open, 0);
	ck_assert_uint_eq(listener_stats(s, 0).bytes_in, 6);
	ck_assert_uint_eq(listener_stats(s, 0).bytes_out, 6);
	ck_assert_uint_eq(listener_stats(s, 1).ledger.accepted, 2);
	ck_assert_uint_eq(listener_stats(s, 1).ledger.open, 2);
	ck_assert_uint_eq(listener_stats(s, 1).bytes_in, 12);
	server_stop_and_check(s);
}
END_TEST

START_TEST(the_deadline_that_ended_a_connection_is_counted)
{
	struct server *s = server_new(NULL);
	char address[160];

	server_listen(s, "127.0.0.1:0", WEIR_SERVICE(.readable = echo));
	server_listen(s, "127.0.0.1:0",
		      WEIR_SERVICE(.readable = echo, .first_byte_ms = 1));
	server_start(s);
	server_address(s, 1, address, sizeof(address));
	client_expect_end(client_open_at(address));
	UNTIL(listener_stats(s, 1).ledger.timed_out == 1);
	ck_assert_uint_eq(
		listener_stats(s, 1).timed_out[WEIR_TIMEOUT_FIRST_BYTE], 1);
	ck_assert_uint_eq(listener_stats(s, 0).ledger.accepted, 0);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_refused_client_is_counted_where_it_came)
{
	struct gate gate = GATE_CLOSED;
	struct server *s =
		server_new(WEIR_CONFIG(.workers = 1, .queue_length = 1,
				       .overload = WEIR_REFUSE));
	char address[160];

	for (int i = 0; i < 2; i++)
		server_listen(s, "127.0.0.1:0",
			      WEIR_SERVICE(.readable = echo_lines_at_gate,
					   .arg = &gate));
	server_start(s);
	client_wait_at_gate(client_open(s), &gate);
	(void)client_open(s);
	UNTIL(stats(s).queued == 1);
	server_address(s, 0, address, sizeof(address));
	client_expect_last(client_open_at(address), "busy, try later\n");
	UNTIL(listener_stats(s, 0).ledger.refused_full == 1);
	ck_assert_uint_eq(listener_stats(s, 0).ledger.refused, 1);
	ck_assert_uint_eq(listener_stats(s, 1).ledger.refused, 0);
	gate_open(&gate);
	server_stop_and_check(s);
}
END_TEST

static int sleep_and_close(weir_conn *c, void *arg)
{
	(void)c, (void)arg;
	usleep(20000);
	return WEIR_CLOSE;
}

START_TEST(times_are_summed_over_the_connections)
{
	struct server *s = serve(WEIR_CONFIG(.workers = 1),
				 WEIR_SERVICE(.readable = sleep_and_close));
	struct weir_listener_stats l;

	for (int i = 0; i < 2; i++)
		client_expect_end(client_open_and_send(s, "hello\n"));
	UNTIL(listener_stats(s, 0).ledger.completed == 2);
	l = listener_stats(s, 0);
	ck_assert_uint_eq(l.callbacks, 2);
	ck_assert_uint_ge(l.callback_us, 40000);
	ck_assert_uint_le(l.callback_us, stats(s).callback_us);
	ck_assert_uint_ge(l.connection_us, l.callback_us);
	ck_assert_uint_eq(l.queue_wait_us, stats(s).queue_wait_us);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_closed_listener_keeps_its_counts)
{
	struct server *s = server_new(NULL);
	struct client *c;

	for (int i = 0; i < 2; i++)
		server_listen(s, "127.0.0.1:0", WEIR_SERVICE(.readable = echo));
	server_start(s);
	c = open_and_echo_at(s, 1);
	ck_assert_int_eq(weir_server_unlisten(s->weir, 1), 0);
	UNTIL(weir_server_unlisten(s->weir, 1) == -EINVAL);
	client_expect_echo(c, "on\n");
	UNTIL(listener_stats(s, 1).bytes_out == 9);
	client_close(c);
	UNTIL(listener_stats(s, 1).ledger.completed == 1);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_connection_of_the_program_counts_for_the_server_alone)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	char reply[5];
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert_int_eq(weir_server_adopt(s->weir, NULL, pair[0],
					   WEIR_SERVICE(.readable = echo)),
			 0);
	ck_assert_int_eq(write(pair[1], "hello", 5), 5);
	ck_assert_int_eq(recv(pair[1], reply, 5, MSG_WAITALL), 5);
	(void)open_and_echo_at(s, 0);
	UNTIL(stats(s).bytes_out == 11);
	ck_assert_uint_eq(stats(s).bytes_in, 11);
	ck_assert_uint_eq(listener_stats(s, 0).bytes_in, 6);
	ck_assert_uint_eq(listener_stats(s, 0).bytes_out, 6);
	UNTIL(stats(s).callbacks == 2 && stats(s).busy == 0);
	ck_assert_uint_eq(listener_stats(s, 0).callbacks, 1);
	close(pair[1]);
	UNTIL(stats(s).ledger.completed == 1);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"listener_stats", each_listener_counts_its_own,
		the_deadline_that_ended_a_connection_is_counted,
		a_refused_client_is_counted_where_it_came,
		times_are_summed_over_the_connections,
		a_closed_listener_keeps_its_counts,
		a_connection_of_the_program_counts_for_the_server_alone);
}
