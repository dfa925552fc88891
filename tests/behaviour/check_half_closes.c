/* SPDX-License-Identifier: MIT */
/*
 * A server that has finished sending, and a peer that finishes too: what it
 * said before is heard, whatever is on: that is an end, not a reset.
 */
#include "test.h"

struct place {
	struct gate gate;
	bool finishes; /* after its answer */
	_Atomic int heard;
};

/* "end" is answered, "wait" and "end" wait at the gate, all else is heard. */
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
 * The only worker goes from the answer of one connection, which is parked
 * then, to another, with which it stays at the gate.  That one was parked
 * before: so the next thing it does is what was reported of the first one,
 * and what the poller tells of comes later.
 */
static struct client *answered_and_left(struct server *s, struct place *p)
{
	struct client *c = client_opens(s), *other = client_opens(s);

	UNTIL(stats(s).parked == 2);
	client_sends(c, "end\n");
	UNTIL(gate_waiting(&p->gate) == 1);
	client_sends(other, "wait\n");
	gate_lets_in(&p->gate, 1);
	client_expects(c, "end\n");
	if (p->finishes)
		client_expects_eof(c);
	UNTIL(gate_waiting(&p->gate) == 1 && stats(s).parked == 1);
	return c;
}

static void says_more_and_finishes(struct client *c)
{
	client_sends(c, "more\n");
	client_half_closes(c);
}

START_TEST(what_came_before_both_ends_is_heard_in_a_stop)
{
	for (int finishes = 0; finishes < 2; finishes++) {
		struct place p = { .gate = GATE_CLOSED, .finishes = finishes };
		struct server *s =
			serve(WEIR_CONFIG(.workers = 1),
			      WEIR_SERVICE(.readable = may_finish, .arg = &p));
		struct client *c = answered_and_left(s, &p);
		struct weir_report report;

		says_more_and_finishes(c);
		weir_server_stop(s->weir, 60000 * slowness());
		UNTIL(stats(s).parked == 0); /* reminded */
		gate_open(&p.gate);
		report = server_is_over(s);
		ck_assert_int_eq(p.heard, 1);
		ck_assert_uint_eq(report.ledger.completed, 2);
	}
}
END_TEST

START_TEST(what_came_before_both_ends_is_heard_after_a_deadline)
{
	for (int finishes = 0; finishes < 2; finishes++) {
		struct place p = { .gate = GATE_CLOSED, .finishes = finishes };
		struct server *s =
			serve(WEIR_CONFIG(.workers = 1),
			      WEIR_SERVICE(.readable = may_finish, .arg = &p,
					   .idle_ms = 300 * slowness()));
		struct client *c = answered_and_left(s, &p);
		struct weir_report report;

		says_more_and_finishes(c);
		UNTIL(stats(s).parked == 0); /* its time is up */
		gate_open(&p.gate);
		UNTIL(atomic_load(&p.heard) == 1);
		report = server_ends(s);
		ck_assert_uint_eq(report.ledger.completed, 2);
	}
}
END_TEST

START_TEST(who_resets_after_our_end_is_gone)
{
	struct place p = { .gate = GATE_CLOSED, .finishes = true };
	struct server *s =
		serve(WEIR_CONFIG(.workers = 1),
		      WEIR_SERVICE(.readable = may_finish, .arg = &p));
	struct client *c = answered_and_left(s, &p);
	struct weir_report report;

	client_sends(c, "more\n");
	client_resets(c);
	weir_server_stop(s->weir, 60000 * slowness());
	UNTIL(stats(s).parked == 0);
	gate_open(&p.gate);
	report = server_is_over(s);
	ck_assert_uint_eq(report.ledger.failed, 1);
}
END_TEST

int main(void)
{
	return RUN_TESTS("half_closes",
			 what_came_before_both_ends_is_heard_in_a_stop,
			 what_came_before_both_ends_is_heard_after_a_deadline,
			 who_resets_after_our_end_is_gone);
}
