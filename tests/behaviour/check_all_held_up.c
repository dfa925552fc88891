/* SPDX-License-Identifier: MIT */
/*
 * When all workers have been in callbacks for seconds and a connection waits,
 * the log says so, and not while none waits.
 */
#include "test.h"

#define TOO_LONG_MS 5000

START_TEST(total_starvation_is_logged_when_a_connection_waits)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve(
		WEIR_CONFIG(.workers = 2),
		WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));
	int64_t began_at = now_ms(), held_at;

	for (int i = 0; i < 2; i++)
		client_send(client_open(s), "wait\n");
	UNTIL(gate_waiting(&gate) == 2);
	held_at = now_ms();
	/* When they have taken too long, no connection waits. */
	UNTIL(now_ms() > held_at + TOO_LONG_MS + 500);
	ck_assert(!log_says(s, "workers"));
	for (int i = 0; i < 3; i++)
		client_send(client_open(s), "hello\n");
	UNTIL(log_says(s, "all 2 workers have been in callbacks"));
	ck_assert(log_says(s, "3 of them queued"));
	ck_assert_int_ge(now_ms() - began_at, 2 * TOO_LONG_MS - 500);
	ck_assert(log_says(s, "0 of them wait for their peers"));
	ck_assert_uint_eq(stats(s).starvations, 1);
	gate_open(&gate);
	server_stop_and_check(s);
}
END_TEST

static int wait_for_its_peer(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0)
		weir_conn_write(c, line, (size_t)n);
	return (int)n;
}

START_TEST(sessions_that_wait_for_their_peers_hold_up_the_others_too)
{
	struct server *s = serve_workers(
		1, WEIR_SERVICE(SESSION_ON(1, wait_for_its_peer)));

	client_open_and_echo(s, "hello\n");
	client_send(client_open(s), "hello\n");
	UNTIL(log_says(s, "all 1 workers have been in callbacks"));
	ck_assert(log_says(s, "1 of them wait for their peers"));
	ck_assert_uint_eq(stats(s).starvations, 1);
	server_stop_and_check(s);
}
END_TEST

static int write_much(weir_conn *c, void *arg)
{
	static const char much[16 << 20];

	(void)arg;
	return weir_conn_write(c, much, sizeof(much));
}

START_TEST(sessions_that_wait_for_room_hold_up_the_others_too)
{
	struct server *s =
		serve_workers(1, WEIR_SERVICE(SESSION_ON(1, write_much)));

	client_send(client_open_small(s, 4096), "hello\n");
	UNTIL(stats(s).busy == 1);
	client_send(client_open(s), "hello\n");
	UNTIL(log_says(s, "1 of them wait for their peers"));
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"all_held_up",
		total_starvation_is_logged_when_a_connection_waits,
		sessions_that_wait_for_their_peers_hold_up_the_others_too,
		sessions_that_wait_for_room_hold_up_the_others_too);
}
