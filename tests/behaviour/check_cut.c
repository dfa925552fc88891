/* SPDX-License-Identifier: MIT */
/*
 * The deadline of a stop: connections that are not done are cut or refused, and
 * the stop ends, however many there are and however long their last callbacks
 * take.
 */
#include "test.h"

#define CROWD 80

struct nap {
	long ms;
	_Atomic int count;
};

static void nap(weir_conn *c, void *arg)
{
	struct nap *n = arg;

	(void)c;
	usleep((useconds_t)n->ms * 1000);
	atomic_fetch_add(&n->count, 1);
}

static void open_parked(struct server *s, int count)
{
	for (int i = 0; i < count; i++) {
		client_open_and_echo(s, "hello\n");
	}
	UNTIL(stats(s).parked == (uint64_t)count);
}

static int echo_lines_of_any(weir_conn *c, void *arg)
{
	(void)arg;
	return echo_lines(c, NULL);
}

/* Each takes its time, one after another; the stop ends on time. */
START_TEST(many_brief_callbacks_do_not_put_a_deadline_off)
{
	/* All of them take longer than the stop may. */
	struct nap n = { .ms = 15 + 10L * slowness() };
	struct server *s =
		serve_workers(1, WEIR_SERVICE(.readable = echo_lines_of_any,
					      .closed = nap, .arg = &n));
	struct weir_report report;

	open_parked(s, CROWD);
	weir_server_stop(s->weir, 0);
	ck_assert_int_eq(weir_server_join(s->weir, &report, sizeof(report)),
			 -EBUSY);
	expect_stop_on_time(&report, 0);
	expect_balance(&report.ledger);
	ck_assert_uint_eq(report.ledger.cut, CROWD);
	ck_assert_uint_eq(report.ledger.open, 0);
	weir_server_free(s->weir);
	UNTIL(atomic_load(&n.count) == CROWD); /* none is left out */
	server_check_freed(s);
}
END_TEST

/* One runs, five are queued, and three are in the backlog. */
static void queue_meets_deadline(int grace_ms)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve(
		WEIR_CONFIG(.workers = 1, .queue_length = 5,
			    .refusal = "no time\n"),
		WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));
	struct client *held = client_open(s), *c[8];
	struct weir_report report;

	client_wait_at_gate(held, &gate);
	for (int i = 0; i < 8; i++)
		c[i] = client_open_and_send(s, "hello\n");
	UNTIL(stats(s).queued == 5);
	weir_server_stop(s->weir, grace_ms);
	for (int i = 0; i < 8; i++) {
		client_expect_last(c[i], "no time\n");
		client_close(c[i]);
	}
	ck_assert_int_eq(weir_server_join(s->weir, &report, sizeof(report)),
			 -EBUSY);
	gate_open(&gate);
	expect_stop_on_time(&report, grace_ms);
	expect_balance(&report.ledger);
	ck_assert_uint_eq(report.ledger.accepted, 9);
	ck_assert_uint_eq(report.ledger.refused_drain, 8);
	ck_assert_uint_eq(report.ledger.cut, 1);
	ck_assert_uint_eq(report.stuck, 1);
	UNTIL(gate_waiting(&gate) == 0);
	weir_server_free(s->weir);
	server_check_freed(s);
}

START_TEST(a_client_that_is_in_the_queue_at_the_deadline_is_told)
{
	queue_meets_deadline(200);
}
END_TEST

START_TEST(a_client_that_is_in_the_queue_is_told_of_a_stop_without_grace)
{
	queue_meets_deadline(0);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"cut", many_brief_callbacks_do_not_put_a_deadline_off,
		a_client_that_is_in_the_queue_at_the_deadline_is_told,
		a_client_that_is_in_the_queue_is_told_of_a_stop_without_grace);
}
