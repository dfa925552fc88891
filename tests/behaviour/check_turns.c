/* SPDX-License-Identifier: MIT */
/*
 * The order in which connections are served, and when a handler is called
 * again: input is never left unread, no handler is called in vain, and input
 * that came in time meets its deadline.
 */
#include "test.h"

#include <time.h>

/* ---- input that came in time */

#define MANY 40

/* Returns how long it took after all are connected. */
static int64_t freeze_after_hello(struct forked_server *e,
				  struct client *c[MANY])
{
	int64_t began_at;

	for (int i = 0; i < MANY; i++)
		c[i] = client_open_at(e->address);
	began_at = now_ms();
	for (int i = 0; i < MANY; i++)
		client_send(c[i], "hello\n");
	for (int i = 0; i < MANY; i++)
		client_expect(c[i], "hello\n");
	forked_server_freeze(e);
	return now_ms() - began_at;
}

/* A machine that is slow gets a longer idle time. */
static struct forked_server freeze_before_idle(struct client *c[MANY],
					       int *idle_ms)
{
	for (*idle_ms = 400 + 200 * slowness();; *idle_ms *= 2) {
		struct forked_server e =
			forked_server_start(WEIR_SERVICE(.readable = echo_lines,
							 .idle_ms = *idle_ms));

		if (freeze_after_hello(&e, c) < *idle_ms)
			return e;
		forked_server_resume(&e); /* some may be idle already */
		forked_server_stop_and_check(&e);
	}
}

START_TEST(input_that_came_while_the_process_was_stopped_is_served)
{
	struct client *c[MANY];
	int idle_ms;
	struct forked_server e = freeze_before_idle(c, &idle_ms);
	int64_t stopped_at = now_ms();

	for (int i = 0; i < MANY; i++)
		client_send(c[i], "in time\n");
	UNTIL(connections_with_input(e.address) == MANY);
	UNTIL(now_ms() > stopped_at + idle_ms + 300);
	forked_server_resume(&e);
	for (int i = 0; i < MANY; i++)
		client_expect(c[i], "in time\n");
	forked_server_stop_and_check(&e);
}
END_TEST

START_TEST(a_first_request_that_waited_behind_a_callback_is_served)
{
	const int first_byte_ms = 100;
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));
	struct client *held = client_open(s), *c[10];
	char address[160];
	int64_t sent_at;
	int id = server_listen(s, "127.0.0.1:0",
			       WEIR_SERVICE(.readable = echo_lines,
					    .first_byte_ms = first_byte_ms));

	client_wait_at_gate(held, &gate);
	server_address(s, id, address, sizeof(address));
	for (int i = 0; i < 10; i++) {
		c[i] = client_open_at(address);
		client_send(c[i], "first\n");
	}
	UNTIL(stats(s).queued == 10);
	sent_at = now_ms();
	UNTIL(now_ms() > sent_at + 3 * first_byte_ms);
	gate_open(&gate);
	client_expect(held, "wait\n");
	for (int i = 0; i < 10; i++)
		client_expect(c[i], "first\n");
	server_stop_and_check(s);
}
END_TEST

/* ---- which worker runs what */

static int a_line_at_gate(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc;

	if (n <= 0)
		return (int)n;
	if (strcmp(line, "wait\n") == 0)
		gate_wait(arg);
	rc = weir_conn_write(c, line, (size_t)n);
	return rc < 0 ? rc : WEIR_AGAIN;
}

#define BURST 1000

/*
 * One of four workers is at the gate, which stays closed until the others have
 * answered what came at the same time.  The order of the two is left to chance.
 */
static void come_along(struct client *held)
{
	volatile int spin = rand() % 2000000;

	while (spin > 0)
		spin--;
	client_send(held, "wait\n");
}

static void let_go(struct client *held, struct gate *gate)
{
	gate_let_in(gate, 1);
	client_expect(held, "wait\n");
}

static struct server *serve_four(struct gate *gate, struct client **held)
{
	struct server *s = serve_workers(
		4, WEIR_SERVICE(.readable = a_line_at_gate, .arg = gate));

	srand(1);
	*held = client_open(s);
	return s;
}

static char burst[2 * BURST];

static struct client *pipeliner(struct server *s)
{
	for (size_t i = 0; i < sizeof(burst); i++)
		burst[i] = i % 2 ? '\n' : 'b';
	return client_open(s);
}

START_TEST(a_client_that_pipelines_does_not_wait_behind_a_callback)
{
	struct gate gate = GATE_CLOSED;
	struct client *held, *c;
	struct server *s = serve_four(&gate, &held);

	c = pipeliner(s);
	for (int round = 0; round < fewer(200); round++) {
		client_send_bytes(c, burst, sizeof(burst));
		come_along(held);
		client_expect_bytes(c, burst, sizeof(burst));
		let_go(held, &gate);
	}
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_new_or_parked_connection_does_not_wait_behind_a_callback)
{
	struct gate gate = GATE_CLOSED;
	struct client *held, *parked, *c;
	struct server *s = serve_four(&gate, &held);

	c = pipeliner(s); /* for a worker to be busy */
	parked = client_open(s);
	for (int round = 0; round < fewer(200); round++) {
		struct client *fresh;

		client_send_bytes(c, burst, sizeof(burst));
		fresh = client_open_and_send(s, "fresh\n");
		come_along(held);
		client_send(parked, "parked\n");
		client_expect(fresh, "fresh\n");
		client_expect(parked, "parked\n");
		client_close(fresh);
		client_expect_bytes(c, burst, sizeof(burst));
		let_go(held, &gate);
	}
	server_stop_and_check(s);
}
END_TEST

/* ---- how long a turn is */

static void work_for_us(int us)
{
	struct timespec began, now;
	long passed;

	clock_gettime(CLOCK_MONOTONIC, &began);
	do {
		clock_gettime(CLOCK_MONOTONIC, &now);
		passed = (now.tv_sec - began.tv_sec) * 1000000L +
			 (now.tv_nsec - began.tv_nsec) / 1000;
	} while (passed < us);
}

struct worker {
	int work_us; /* a line */
	_Atomic int calls, lines, most_lines;
};

static int work_on_lines(weir_conn *c, void *arg)
{
	struct worker *w = arg;
	char line[64];
	int lines = 0;
	ssize_t n;

	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0) {
		if (w->work_us > 0)
			work_for_us(w->work_us);
		lines++;
	}
	if (lines > w->most_lines)
		w->most_lines = lines;
	atomic_fetch_add(&w->calls, 1);
	atomic_fetch_add(&w->lines, lines);
	return (int)n;
}

static void serve_burst_of_lines(struct worker *w)
{
	static char newlines[1000];
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.readable = work_on_lines, .arg = w));
	struct client *c = client_open(s);

	memset(newlines, '\n', sizeof(newlines));
	client_send_bytes(c, newlines, sizeof(newlines));
	UNTIL(w->lines == sizeof(newlines));
	server_stop_and_check(s);
}

/* A turn is a millisecond: however slow this machine is, that is 10 lines. */
START_TEST(a_turn_ends_when_its_time_is_over)
{
	struct worker w = { .work_us = 100 };

	serve_burst_of_lines(&w);
	ck_assert_int_le(w.most_lines, 20);
}
END_TEST

START_TEST(lines_that_cost_little_share_a_turn)
{
	struct worker w = { .work_us = 0 };

	serve_burst_of_lines(&w);
	ck_assert_int_ge(w.most_lines, 100 / slowness());
	ck_assert_int_le(w.calls, 100 * slowness());
}
END_TEST

static int work_before_it_takes(weir_conn *c, void *arg)
{
	const void *data;
	char line[6];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_peek(c, &data, sizeof(line))) > 0) {
		work_for_us(3000);
		n = weir_conn_read_exact(c, line, sizeof(line));
		if (n <= 0)
			break;
		n = weir_conn_write(c, line, sizeof(line));
		if (n < 0)
			break;
	}
	return (int)n;
}

START_TEST(a_turn_that_is_over_before_a_message_is_taken_brings_one)
{
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.readable = work_before_it_takes));

	client_open_and_echo(s, "line1\nline2\nline3\n");
	server_stop_and_check(s);
}
END_TEST

/* ---- when a handler is called again */

static int try_exactly_then_a_line(weir_conn *c, void *arg)
{
	char buf[64];
	ssize_t n = weir_conn_read_exact(c, buf, 50);
	int rc;

	(void)arg;
	if (n == -EAGAIN)
		n = weir_conn_read_line(c, buf, sizeof(buf));
	if (n <= 0)
		return (int)n;
	rc = weir_conn_write(c, buf, (size_t)n);
	return rc < 0 ? rc : WEIR_AGAIN;
}

START_TEST(again_after_a_call_that_ran_dry_still_counts_what_is_buffered)
{
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.readable = try_exactly_then_a_line));

	client_open_and_echo(s, "one\ntwo\nthree\n");
	server_stop_and_check(s);
}
END_TEST

static int try_a_line_then_a_comma(weir_conn *c, void *arg)
{
	char buf[64];
	ssize_t n = weir_conn_read_line(c, buf, sizeof(buf));
	int rc;

	(void)arg;
	if (n == -EAGAIN)
		n = weir_conn_read_until(c, buf, sizeof(buf), ",", 1);
	if (n == -EAGAIN)
		n = weir_conn_read_until(c, buf, sizeof(buf), ";;", 2);
	if (n <= 0)
		return (int)n;
	rc = weir_conn_write(c, buf, (size_t)n);
	return rc < 0 ? rc : WEIR_AGAIN;
}

START_TEST(another_delimiter_is_found_in_what_was_searched_already)
{
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.readable = try_a_line_then_a_comma));
	struct client *c = client_open(s);

	client_expect_reply(c, "one,two", "one,");
	client_expect_reply(c, ";;three", "two;;");
	client_expect_reply(c, "\n", "three\n");
	server_stop_and_check(s);
}
END_TEST

/* ---- services that speak first */

static int greet(weir_conn *c, void *arg)
{
	int rc = weir_conn_printf(c, "welcome\n");

	(void)arg;
	return rc < 0 ? rc : WEIR_AGAIN;
}

static int count_calls(weir_conn *c, void *arg)
{
	atomic_fetch_add((_Atomic int *)arg, 1);
	return echo_lines(c, NULL);
}

START_TEST(a_client_that_is_greeted_and_silent_holds_no_worker)
{
	_Atomic int calls = 0;
	struct server *s =
		serve_workers(1, WEIR_SERVICE(.session = count_calls,
					      .opened = greet, .arg = &calls));
	struct client *c = NULL;

	for (int i = 0; i < 5; i++) {
		c = client_open(s);
		client_expect(c, "welcome\n");
	}
	UNTIL(stats(s).parked == 5 && stats(s).busy == 0);
	ck_assert_int_eq(calls, 0);
	client_expect_echo(c, "hello\n");
	ck_assert_int_eq(calls, 1);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_client_that_is_greeted_is_not_read_before_it_speaks)
{
	_Atomic int calls = 0;
	struct server *s =
		serve_workers(1, WEIR_SERVICE(.readable = count_calls,
					      .opened = greet, .arg = &calls));
	struct client *c = client_open(s);

	client_expect(c, "welcome\n");
	UNTIL(stats(s).parked == 1);
	ck_assert_int_eq(calls, 0);
	client_expect_echo(c, "hello\n");
	ck_assert_int_eq(calls, 1);
	server_stop_and_check(s);
}
END_TEST

/* ---- reasons that a handler makes for itself */

struct maker {
	int reasons; /* a bit for each */
	_Atomic int drains;
};

static void make_reasons(weir_conn *c, int reasons)
{
	int64_t since = now_ms();

	if (reasons & 1 << WEIR_WAKE)
		ck_assert_int_eq(weir_ref_wake(weir_conn_self(c)), 0);
	if (reasons & 1 << WEIR_WRITABLE)
		ck_assert_int_eq(weir_conn_want_room(c), 0);
	if (reasons & 1 << WEIR_TIMER) {
		ck_assert_int_eq(weir_conn_set_timer(c, 1), 0);
		UNTIL(now_ms() > since + 1);
	}
}

static int be_busy_with_itself(weir_conn *c, void *arg)
{
	struct maker *m = arg;

	switch (weir_conn_why(c)) {
	case WEIR_INPUT:
		return echo_lines(c, NULL);
	case WEIR_DRAIN:
		atomic_fetch_add(&m->drains, 1);
		return WEIR_CLOSE;
	default:
		make_reasons(c, m->reasons);
		return WEIR_AGAIN;
	}
}

START_TEST(a_handler_that_calls_itself_has_its_input_and_its_drain)
{
	static const int reasons[] = {
		1 << WEIR_WAKE,
		1 << WEIR_TIMER,
		1 << WEIR_WRITABLE,
		1 << WEIR_WAKE | 1 << WEIR_TIMER | 1 << WEIR_WRITABLE,
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		struct maker m = { .reasons = reasons[i] };
		struct server *s = serve_workers(
			1,
			WEIR_SERVICE(.readable = be_busy_with_itself,
				     .opened = be_busy_with_itself, .arg = &m));
		struct client *one = client_open(s), *other = client_open(s);

		for (int k = 0; k < 3; k++) {
			client_expect_echo(one, "one\n");
			client_expect_echo(other, "other\n");
		}
		weir_server_stop(s->weir, 60000 * slowness());
		client_expect_eof(one);
		client_expect_eof(other);
		ck_assert_uint_eq(server_join_and_check(s).ledger.cut, 0);
		ck_assert_int_eq(m.drains, 2);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"turns",
		input_that_came_while_the_process_was_stopped_is_served,
		a_first_request_that_waited_behind_a_callback_is_served,
		a_client_that_pipelines_does_not_wait_behind_a_callback,
		a_new_or_parked_connection_does_not_wait_behind_a_callback,
		a_turn_ends_when_its_time_is_over,
		lines_that_cost_little_share_a_turn,
		a_turn_that_is_over_before_a_message_is_taken_brings_one,
		again_after_a_call_that_ran_dry_still_counts_what_is_buffered,
		another_delimiter_is_found_in_what_was_searched_already,
		a_client_that_is_greeted_and_silent_holds_no_worker,
		a_client_that_is_greeted_is_not_read_before_it_speaks,
		a_handler_that_calls_itself_has_its_input_and_its_drain);
}
