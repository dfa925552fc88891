/* SPDX-License-Identifier: MIT */
/*
 * More clients than the queue or the server may have.  Each ends in the right
 * column of the ledger, and a refused client can read why.
 */
#include "test.h"

#define REFUSAL "no room\n"

/* A client that keeps the only worker at the gate. */
static struct client *occupy(struct server *s, struct gate *gate)
{
	struct client *c = client_open(s);

	client_wait_at_gate(c, gate);
	return c;
}

/*
 * The same where a client may be too old for the queue: a busy machine can let
 * the first ones wait for age_ms.  The number of those.
 */
static uint64_t occupy_in_time(struct server *s, struct gate *gate, int age_ms,
			       struct client **ret)
{
	uint64_t late = 0;

	for (;; late++) {
		int64_t since = now_ms();

		*ret = client_open_and_send(s, "wait\n");
		UNTIL(gate_waiting(gate) == 1 ||
		      stats(s).ledger.refused_age > late);
		if (gate_waiting(gate) == 1)
			return late;
		ck_assert_int_ge(now_ms() + 1, since + age_ms);
		client_expect_last(*ret, REFUSAL);
	}
}

static struct server *serve_one_worker(const struct weir_config *config,
				       struct gate *gate)
{
	return serve(config,
		     WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = gate));
}

static void client_is_served(struct client *c)
{
	client_expect_echo(c, "hello\n");
	client_half_close(c);
	client_expect_eof(c);
}

/* Every client that has connected. */
static bool is_accepted(struct server *s)
{
	return stats(s).ledger.accepted ==
	       (uint64_t)(clients_connected() - s->connected_before);
}

static void client_is_refused(struct client *c)
{
	client_expect_last(c, REFUSAL);
}

START_TEST(a_full_queue_holds_the_rest_in_the_kernel)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_one_worker(
		WEIR_CONFIG(.workers = 1, .queue_length = 3), &gate);
	struct client *held = occupy(s, &gate), *c[20];
	struct weir_report report;

	for (int i = 0; i < 20; i++)
		c[i] = client_open(s);
	UNTIL(stats(s).queued == 3);
	/* At most one more is accepted and waits for a place. */
	ck_assert_uint_le(stats(s).ledger.accepted, 5);
	gate_open(&gate);
	client_expect(held, "wait\n");
	for (int i = 0; i < 20; i++)
		client_is_served(c[i]);
	client_close(held);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 21);
}
END_TEST

static int say_goodbye_or_wait(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n <= 0)
		return (int)n;
	if (strcmp(line, "wait\n") == 0)
		gate_wait(arg);
	return weir_conn_printf(c, "goodbye\n");
}

/* The queue is full, but lingering connections end as ever. */
START_TEST(a_full_queue_keeps_the_acceptor_from_nothing_else)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve(
		WEIR_CONFIG(.workers = 1, .queue_length = 1),
		WEIR_SERVICE(.readable = say_goodbye_or_wait, .arg = &gate));
	struct client *lingers = client_open(s), *c[5];
	struct weir_report report;

	client_expect_reply(lingers, "hello\n", "goodbye\n");
	UNTIL(stats(s).lingering == 1);
	occupy(s, &gate);
	for (int i = 0; i < 5; i++)
		c[i] = client_open(s);
	UNTIL(stats(s).queued == 1);
	client_close(lingers);
	UNTIL(stats(s).ledger.completed == 1);
	ck_assert_uint_eq(stats(s).queued, 1);
	gate_open(&gate);
	for (int i = 0; i < 5; i++)
		client_expect_reply(c[i], "hello\n", "goodbye\n");
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 7);
}
END_TEST

START_TEST(a_full_queue_refuses_the_rest)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_one_worker(
		WEIR_CONFIG(.workers = 1, .queue_length = 3,
			    .overload = WEIR_REFUSE, .refusal = REFUSAL),
		&gate);
	struct client *held = occupy(s, &gate), *c[20];
	struct weir_report report;

	for (int i = 0; i < 20; i++)
		c[i] = client_open(s);
	for (int i = 3; i < 20; i++)
		client_is_refused(c[i]);
	ck_assert(log_says(s, "refused: the queue is full"));
	/* A refused one was in that number a moment before. */
	UNTIL(stats(s).queued == 3);
	gate_open(&gate);
	client_expect(held, "wait\n");
	for (int i = 0; i < 3; i++)
		client_is_served(c[i]);
	client_close(held);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.refused_full, 17);
	ck_assert_uint_eq(report.ledger.completed, 4);
}
END_TEST

static void start_at_gate(int index, void *arg)
{
	(void)index;
	gate_wait(arg);
}

/* All come at once, more than the server may have. */
START_TEST(a_client_that_was_refused_for_the_queue_takes_no_place)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = server_new(
		WEIR_CONFIG(.workers = 1, .queue_length = 3,
			    .max_connections = 10, .overload = WEIR_REFUSE,
			    .refusal = REFUSAL, .worker_start = start_at_gate,
			    .worker_arg = &gate));
	struct client *c[20];
	struct weir_report report;

	server_listen(s, "127.0.0.1:0", WEIR_SERVICE(.readable = echo_lines));
	for (int i = 0; i < 20; i++)
		c[i] = client_open(s);
	server_start(s);
	for (int i = 3; i < 20; i++)
		client_is_refused(c[i]);
	/* A refused one was in that number a moment before. */
	UNTIL(stats(s).queued == 3);
	gate_open(&gate);
	for (int i = 0; i < 3; i++)
		client_is_served(c[i]);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.refused_full, 17);
	ck_assert_uint_eq(report.ledger.completed, 3);
}
END_TEST

/* The worker is at the gate all the time. */
START_TEST(a_client_that_waited_too_long_is_refused_without_a_worker)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_one_worker(
		WEIR_CONFIG(.workers = 1, .queue_length = 10,
			    .queue_age_ms = 200, .refusal = REFUSAL),
		&gate);
	struct client *held, *c[10];
	struct weir_report report;
	uint64_t late = occupy_in_time(s, &gate, 200, &held);

	for (int i = 0; i < 10; i++)
		c[i] = client_open(s);
	for (int i = 0; i < 10; i++)
		client_is_refused(c[i]);
	ck_assert_int_eq(gate_waiting(&gate), 1);
	ck_assert(log_says(s, "refused: it has waited too long in the queue"));
	UNTIL(stats(s).ledger.refused_age == late + 10);
	ck_assert_uint_eq(stats(s).queued, 0);
	gate_open(&gate);
	client_expect(held, "wait\n");
	client_close(held);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.refused_age, late + 10);
	ck_assert_uint_eq(report.ledger.completed, 1);
}
END_TEST

START_TEST(a_place_in_the_queue_becomes_free_by_age)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_one_worker(
		WEIR_CONFIG(.workers = 1, .queue_length = 1, .queue_age_ms = 50,
			    .refusal = REFUSAL),
		&gate);
	struct client *held, *c[5];
	struct weir_report report;
	uint64_t late = occupy_in_time(s, &gate, 50, &held);

	for (int i = 0; i < 5; i++)
		c[i] = client_open(s);
	for (int i = 0; i < 5; i++)
		client_is_refused(c[i]);
	ck_assert_int_eq(gate_waiting(&gate), 1);
	gate_open(&gate);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.refused_age, late + 5);
}
END_TEST

START_TEST(a_client_that_is_gone_when_it_is_too_old_counts_as_failed)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_one_worker(
		WEIR_CONFIG(.workers = 1, .queue_age_ms = 200), &gate);
	struct client *held;
	uint64_t late = occupy_in_time(s, &gate, 200, &held);

	client_reset(client_open(s));
	UNTIL(stats(s).dead_on_arrival == 1);
	ck_assert_int_eq(gate_waiting(&gate), 1);
	gate_open(&gate);
	ck_assert_uint_eq(server_stop_and_check(s).ledger.refused_age, late);
}
END_TEST

START_TEST(the_age_holds_in_a_drain_that_waits_for_a_callback)
{
	struct gate gate = GATE_CLOSED;
	struct server *s =
		serve_one_worker(WEIR_CONFIG(.workers = 1, .queue_age_ms = 300,
					     .refusal = REFUSAL),
				 &gate);
	struct client *held, *c[5];
	struct weir_report report;
	uint64_t late = occupy_in_time(s, &gate, 300, &held);

	for (int i = 0; i < 5; i++)
		c[i] = client_open(s);
	UNTIL(is_accepted(s));
	weir_server_stop(s->weir, WEIR_NEVER);
	for (int i = 0; i < 5; i++)
		client_is_refused(c[i]);
	ck_assert_int_eq(gate_waiting(&gate), 1);
	gate_open(&gate);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.refused_age, late + 5);
}
END_TEST

static int take_a_moment(weir_conn *c, void *arg)
{
	usleep(1000);
	return echo_lines(c, arg);
}

/*
 * Workers and the acceptor take from the same queue, and a stop with a short
 * grace ends it.
 */
START_TEST(each_is_served_or_refused_and_never_both)
{
	for (int round = 0; round < fewer(10); round++) {
		struct server *s =
			serve(WEIR_CONFIG(.workers = 2, .queue_age_ms = 2),
			      WEIR_SERVICE(.readable = take_a_moment));
		const int count = 100;

		for (int i = 0; i < count; i++)
			client_open_and_send(s, "hello\n");
		if (round % 2 == 0)
			UNTIL(is_accepted(s));
		weir_server_stop(s->weir, round % 2 ? 3 : WEIR_NEVER);
		server_stop_and_check(s);
	}
}
END_TEST

START_TEST(one_too_many_is_refused_until_another_leaves)
{
	struct server *s =
		serve(WEIR_CONFIG(.workers = 2, .max_connections = 3,
				  .overload = WEIR_REFUSE, .refusal = REFUSAL),
		      WEIR_SERVICE(.readable = echo_lines));
	struct client *c[3];
	struct weir_report report;

	for (int i = 0; i < 3; i++)
		c[i] = client_open(s);
	UNTIL(stats(s).parked == 3);
	for (int i = 0; i < 5; i++)
		client_is_refused(client_open(s));
	client_is_served(c[0]);
	client_close(c[0]);
	UNTIL(stats(s).ledger.open == 2);
	client_is_served(client_open(s));
	clients_close();
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.refused_limit, 5);
	ck_assert_uint_eq(report.ledger.completed, 4);
}
END_TEST

/* It lingers for two seconds, since its peer does not close. */
START_TEST(a_client_that_was_refused_takes_no_place)
{
	struct server *s =
		serve(WEIR_CONFIG(.workers = 2, .max_connections = 3,
				  .overload = WEIR_REFUSE, .refusal = REFUSAL),
		      WEIR_SERVICE(.readable = echo_lines));
	struct client *c[3];

	for (int i = 0; i < 3; i++)
		c[i] = client_open(s);
	UNTIL(stats(s).parked == 3);
	client_is_refused(client_open(s));
	client_is_served(c[0]);
	client_close(c[0]);
	UNTIL(stats(s).ledger.completed == 1 && stats(s).ledger.open <= 3);
	client_is_served(client_open(s));
	server_stop_and_check(s);
}
END_TEST

START_TEST(one_too_many_waits_until_another_leaves)
{
	struct server *s =
		serve(WEIR_CONFIG(.workers = 2, .max_connections = 3),
		      WEIR_SERVICE(.readable = echo_lines));
	struct client *c[9];
	struct weir_report report;

	for (int i = 0; i < 9; i++)
		c[i] = client_open_and_send(s, "hello\n");
	for (int i = 0; i < 9; i++) {
		client_expect(c[i], "hello\n");
		ck_assert_uint_le(stats(s).ledger.open, 3);
		client_close(c[i]);
	}
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 9);
}
END_TEST

static int count_calls(weir_conn *c, void *arg)
{
	atomic_fetch_add((_Atomic int *)arg, 1);
	return echo_lines(c, NULL);
}

/* Two services on one pool: the first occupies it, the second counts. */
START_TEST(a_client_that_is_gone_before_its_turn_is_never_served)
{
	struct gate gate = GATE_CLOSED;
	_Atomic int calls = 0;
	struct server *s = server_new(WEIR_CONFIG(.workers = 1));
	struct client *held, *c[30];
	struct weir_stats now;
	char address[128];

	server_listen(
		s, "127.0.0.1:0",
		WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));
	server_listen(s, "127.0.0.1:0",
		      WEIR_SERVICE(.readable = count_calls,
				   .opened = count_calls, .arg = &calls));
	server_address(s, 1, address, sizeof(address));
	server_start(s);
	held = occupy(s, &gate);
	for (int i = 0; i < 30; i++) {
		c[i] = client_open_at(address);
		client_send(c[i], "hello\n");
	}
	UNTIL(stats(s).queued == 30);
	for (int i = 0; i < 30; i++)
		client_reset(c[i]);
	gate_open(&gate);
	client_expect(held, "wait\n");
	client_close(held);
	UNTIL(is_at_rest(s));
	now = stats(s);
	ck_assert_int_eq(atomic_load(&calls), 0);
	ck_assert_uint_eq(now.dead_on_arrival, 30);
	ck_assert_uint_eq(now.ledger.failed, 30);
	server_stop_and_check(s);
}
END_TEST

/* The refusal must survive what the client has sent before it reads. */
static void send_much_and_read(struct client *c)
{
	static const char much[65536];

	client_try_send(c, much, sizeof(much));
	client_is_refused(c);
}

START_TEST(a_client_that_is_refused_can_read_why_after_sending_64_KB)
{
	struct server *s =
		serve(WEIR_CONFIG(.workers = 1, .max_connections = 1,
				  .overload = WEIR_REFUSE, .refusal = REFUSAL),
		      WEIR_SERVICE(.readable = echo_lines));
	struct client *first = client_open(s);
	struct weir_report report;
	const int count = fewer(500);

	UNTIL(stats(s).parked == 1);
	for (int i = 0; i < count; i++) {
		struct client *c = client_open(s);

		send_much_and_read(c);
		client_close(c);
	}
	client_is_served(first);
	client_close(first);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.refused_limit, (uint64_t)count);
}
END_TEST

START_TEST(a_client_that_is_too_old_can_read_why_after_sending_64_KB)
{
	struct gate gate = GATE_CLOSED;
	struct server *s =
		serve_one_worker(WEIR_CONFIG(.workers = 1, .queue_age_ms = 50,
					     .refusal = REFUSAL),
				 &gate);
	struct client *held, *c[20];
	static const char much[65536];
	struct weir_report report;
	uint64_t late = occupy_in_time(s, &gate, 50, &held);

	for (int i = 0; i < 20; i++) {
		c[i] = client_open(s);
		client_send_bytes(c[i], much, sizeof(much));
	}
	for (int i = 0; i < 20; i++)
		client_is_refused(c[i]);
	gate_open(&gate);
	client_expect(held, "wait\n");
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.refused_age, late + 20);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"overload", a_full_queue_holds_the_rest_in_the_kernel,
		a_full_queue_keeps_the_acceptor_from_nothing_else,
		a_full_queue_refuses_the_rest,
		a_client_that_was_refused_for_the_queue_takes_no_place,
		a_client_that_waited_too_long_is_refused_without_a_worker,
		a_place_in_the_queue_becomes_free_by_age,
		a_client_that_is_gone_when_it_is_too_old_counts_as_failed,
		the_age_holds_in_a_drain_that_waits_for_a_callback,
		each_is_served_or_refused_and_never_both,
		one_too_many_is_refused_until_another_leaves,
		a_client_that_was_refused_takes_no_place,
		one_too_many_waits_until_another_leaves,
		a_client_that_is_gone_before_its_turn_is_never_served,
		a_client_that_is_refused_can_read_why_after_sending_64_KB,
		a_client_that_is_too_old_can_read_why_after_sending_64_KB);
}
