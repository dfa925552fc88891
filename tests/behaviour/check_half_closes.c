/* SPDX-License-Identifier: MIT */
/*
 * A server that has half-closed, and a peer that does so too: the input before
 * is read, and the connection ends without a reset.
 */
#include "test.h"

struct place {
	struct gate gate;
	bool finishes; /* after its answer */
	_Atomic int heard;
};

/* "more" is counted.  "end" and "wait" wait at the gate; "end" is answered. */
static int may_finish(weir_conn *c, void *arg)
{
	struct place *p = arg;
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n <= 0)
		return (int)n;
	if (strcmp(line, "more\n") == 0) {
		atomic_fetch_add(&p->heard, 1);
		return WEIR_AGAIN;
	}
	gate_wait(&p->gate);
	if (strcmp(line, "end\n") == 0) {
		weir_conn_write(c, line, (size_t)n);
		if (p->finishes)
			weir_conn_shutdown(c, SHUT_WR);
	}
	return WEIR_AGAIN;
}

/*
 * A connection is answered and parked, and the only worker is at the gate with
 * another one, which came from the poller.  So events that are posted to the
 * first one are handled before the worker looks at the poller again.
 */
static struct client *answered_and_left(struct server *s, struct place *p)
{
	struct client *c = client_open(s), *other = client_open(s);

	UNTIL(stats(s).parked == 2);
	client_send(c, "end\n");
	UNTIL(gate_waiting(&p->gate) == 1);
	client_send(other, "wait\n");
	gate_let_in(&p->gate, 1);
	client_expect(c, "end\n");
	if (p->finishes)
		client_expect_eof(c);
	UNTIL(gate_waiting(&p->gate) == 1);
	return c;
}

static void say_more_and_finish(struct client *c)
{
	client_send(c, "more\n");
	client_half_close(c);
}

START_TEST(what_came_before_both_ends_is_heard_in_a_stop)
{
	for (int finishes = 0; finishes < 2; finishes++) {
		struct place p = { .gate = GATE_CLOSED, .finishes = finishes };
		struct server *s = serve_workers(
			1, WEIR_SERVICE(.readable = may_finish, .arg = &p));
		struct client *c = answered_and_left(s, &p);
		struct weir_report report;

		say_more_and_finish(c);
		weir_server_stop(s->weir, 60000 * slowness());
		UNTIL(stats(s).parked == 0); /* reminded */
		gate_open(&p.gate);
		report = server_join_and_check(s);
		ck_assert_int_eq(p.heard, 1);
		ck_assert_uint_eq(report.ledger.completed, 2);
	}
}
END_TEST

START_TEST(what_came_before_both_ends_is_heard_after_a_deadline)
{
	for (int finishes = 0; finishes < 2; finishes++) {
		struct place p = { .gate = GATE_CLOSED, .finishes = finishes };
		struct server *s = serve_workers(
			1, WEIR_SERVICE(.readable = may_finish, .arg = &p,
					.idle_ms = 300 * slowness()));
		struct client *c = answered_and_left(s, &p);
		struct weir_report report;

		say_more_and_finish(c);
		UNTIL(stats(s).parked == 0); /* its time is up */
		gate_open(&p.gate);
		UNTIL(atomic_load(&p.heard) == 1);
		report = server_stop_and_check(s);
		ck_assert_uint_eq(report.ledger.completed, 2);
	}
}
END_TEST

START_TEST(a_peer_that_resets_after_our_end_is_gone)
{
	struct place p = { .gate = GATE_CLOSED, .finishes = true };
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.readable = may_finish, .arg = &p));
	struct client *c = answered_and_left(s, &p);
	struct weir_report report;

	client_send(c, "more\n");
	client_reset(c);
	weir_server_stop(s->weir, 60000 * slowness());
	UNTIL(stats(s).parked == 0);
	gate_open(&p.gate);
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.failed, 1);
}
END_TEST

static int drop_input(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;

	if (weir_conn_why(c) == WEIR_WAKE) {
		ck_assert_int_eq(weir_conn_shutdown(c, SHUT_RD), 0);
		return WEIR_KEEP;
	}
	n = weir_conn_read_line(c, line, sizeof(line));
	if (n == -EAGAIN)
		atomic_store((weir_ref * _Atomic *)arg, weir_conn_ref(c));
	return (int)n;
}

/* It only sends from then on; half a line is no message any more. */
START_TEST(input_that_was_dropped_has_no_deadline)
{
	const int read_ms = 300 * slowness();
	weir_ref *_Atomic ref = NULL;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = drop_input, .arg = &ref,
					 .read_ms = read_ms));
	struct client *c = client_open_and_send(s, "half");
	int64_t since;

	UNTIL(atomic_load(&ref));
	ck_assert_int_eq(weir_ref_wake(ref), 0);
	since = now_ms();
	UNTIL(now_ms() > since + 2 * read_ms);
	ck_assert_int_eq(weir_ref_send(ref, "news\n", 5), 0);
	client_expect(c, "news\n");
	weir_ref_unref(ref);
	ck_assert_uint_eq(server_stop_and_check(s).ledger.completed, 1);
}
END_TEST

int main(void)
{
	return RUN_TESTS("half_closes",
			 what_came_before_both_ends_is_heard_in_a_stop,
			 what_came_before_both_ends_is_heard_after_a_deadline,
			 a_peer_that_resets_after_our_end_is_gone,
			 input_that_was_dropped_has_no_deadline);
}
