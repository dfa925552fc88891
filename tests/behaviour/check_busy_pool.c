/* SPDX-License-Identifier: MIT */
/*
 * What holds while no worker is free, and what is done as soon as one is.  (The
 * age of queued connections is in check_overload, the end of a stop in
 * check_stuck.)
 */
#include "test.h"

/* One worker, at a gate. */
struct busy {
	struct gate gate;
	struct server *s;
	struct client *held;
	weir_ref *_Atomic first; /* the connection of the first line */
};

static int echo_and_show(weir_conn *c, void *arg)
{
	struct busy *b = arg;

	if (atomic_load(&b->first) == NULL)
		atomic_store(&b->first, weir_conn_ref(c));
	return echo_lines_at_gate(c, &b->gate);
}

static void serve_one_worker(struct busy *b, const struct weir_service *service)
{
	*b = (struct busy){ .gate = GATE_CLOSED };
	b->s = serve(WEIR_CONFIG(.workers = 1, .queue_age_ms = WEIR_NEVER),
		     service);
}

static void occupy(struct busy *b)
{
	b->held = client_open(b->s);
	client_wait_at_gate(b->held, &b->gate);
}

static struct weir_report let_go_and_check(struct busy *b)
{
	ck_assert_int_eq(gate_waiting(&b->gate), 1);
	gate_open(&b->gate);
	client_expect(b->held, "wait\n");
	if (b->first)
		weir_ref_unref(b->first);
	return server_stop_and_check(b->s);
}

START_TEST(the_peer_of_a_cancelled_connection_sees_the_end_at_once)
{
	struct busy b;
	struct client *c;

	serve_one_worker(&b,
			 WEIR_SERVICE(.readable = echo_and_show, .arg = &b));
	c = client_open_and_echo(b.s, "hello\n");
	occupy(&b);
	ck_assert_int_eq(weir_ref_cancel(b.first), 0);
	client_expect_end(c);
	ck_assert_uint_eq(let_go_and_check(&b).ledger.cut, 1);
}
END_TEST

START_TEST(what_other_threads_send_arrives_at_once)
{
	struct busy b;
	struct client *c;

	serve_one_worker(&b,
			 WEIR_SERVICE(.readable = echo_and_show, .arg = &b));
	c = client_open_and_echo(b.s, "hello\n");
	occupy(&b);
	ck_assert_int_eq(weir_ref_send(b.first, "news\n", 5), 0);
	client_expect(c, "news\n");
	let_go_and_check(&b);
}
END_TEST

#define IDLE_MS 100

/* It is parked, and its deadline has not passed before the worker is busy. */
static struct client *open_idle_and_occupy(struct busy *b)
{
	int64_t since = now_ms();
	struct client *idle = client_open_and_echo(b->s, "hello\n");

	occupy(b);
	while (client_has_input(idle)) { /* this machine stood still */
		ck_assert_int_ge(now_ms() + 1, since + IDLE_MS);
		gate_let_in(&b->gate, 1);
		client_expect(b->held, "wait\n");
		since = now_ms();
		idle = client_open_and_echo(b->s, "hello\n");
		occupy(b);
	}
	return idle;
}

/* Of a parked connection and of a queued one. */
START_TEST(a_deadline_that_has_passed_ends_its_connection_once_a_worker_is_free)
{
	struct busy b;
	struct client *idle, *silent;
	char where[64];
	uint64_t before;
	int64_t began_at;
	int id;

	serve_one_worker(&b, WEIR_SERVICE(.readable = echo_and_show, .arg = &b,
					  .idle_ms = IDLE_MS,
					  .first_byte_ms = WEIR_NEVER));
	id = server_listen(b.s, "127.0.0.1:0",
			   WEIR_SERVICE(.readable = echo_and_show, .arg = &b,
					.first_byte_ms = 100));
	server_address(b.s, id, where, sizeof(where));
	idle = open_idle_and_occupy(&b);
	before = stats(b.s).ledger.timed_out;
	silent = client_open_at(where);
	UNTIL(stats(b.s).queued == 1);
	began_at = now_ms();
	UNTIL(now_ms() > began_at + 200);
	ck_assert_uint_eq(stats(b.s).ledger.timed_out, before);
	gate_let_in(&b.gate, 1);
	client_expect_eof(idle);
	client_expect_eof(silent);
	UNTIL(stats(b.s).timed_out[WEIR_TIMEOUT_FIRST_BYTE] == 1);
	UNTIL(stats(b.s).timed_out[WEIR_TIMEOUT_IDLE] >= 1);
	weir_ref_unref(b.first);
	server_stop_and_check(b.s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"busy_pool",
		the_peer_of_a_cancelled_connection_sees_the_end_at_once,
		what_other_threads_send_arrives_at_once,
		a_deadline_that_has_passed_ends_its_connection_once_a_worker_is_free);
}
