/* SPDX-License-Identifier: MIT */
/*
 * Peers that read a little at a time.  The write deadline is for one that reads
 * nothing; the lifetime is for all.  The other times do not count while the
 * server keeps a peer waiting.
 */
#include "test.h"

#include <sys/ioctl.h>

#define MUCH ((size_t)1 << 20)

static char much[MUCH];

/* More than the sockets hold. */
static int say_much(weir_conn *c, void *arg)
{
	const int size = 200000; /* room is reported when a third is free */
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	if (n <= 0)
		return (int)n;
	setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return weir_conn_write(c, much, MUCH);
}

static int greet_with_much(weir_conn *c, void *arg)
{
	const int size = 200000;

	(void)arg;
	setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return weir_conn_write(c, much, MUCH) < 0 ? WEIR_CLOSE : WEIR_AGAIN;
}

/* It may be sent at once, if the peer is quick. */
static int say_much_again(weir_conn *c, void *arg)
{
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	return n > 0 ? greet_with_much(c, arg) : (int)n;
}

/* A piece at intervals, until that moment or the end; returns how much. */
static size_t take_little(struct client *c, int every_ms, int64_t until)
{
	int64_t next_at = now_ms();
	char buf[4096];
	size_t have = 0;
	ssize_t n;

	while (next_at < until && (n = client_read(c, buf, sizeof(buf))) > 0) {
		have += (size_t)n;
		next_at += every_ms;
		while (now_ms() < next_at)
			poll_sleep();
	}
	return have;
}

START_TEST(a_peer_that_takes_little_after_the_last_callback_gets_everything)
{
	const int write_ms = 800 * slowness();
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = say_much,
						    .write_ms = write_ms,
						    .outbox_mark = 2 * MUCH));
	struct client *c = client_open_small(s, 4096);
	struct weir_report report;
	size_t have;

	client_send(c, "go\n");
	have = take_little(c, write_ms / 8, now_ms() + write_ms * 3 / 2);
	have += client_read_to_eof(c);
	ck_assert_uint_eq(have, MUCH);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 1);
}
END_TEST

START_TEST(a_peer_that_takes_less_than_the_write_rate_is_ended)
{
	const int write_ms = 400 * slowness();
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = say_much,
						    .write_ms = write_ms,
						    .write_rate = MUCH,
						    .outbox_mark = 2 * MUCH));
	struct client *c = client_open_small(s, 4096);
	size_t have = 0;

	client_send(c, "go\n");
	while (stats(s).ledger.timed_out == 0) {
		have += take_little(c, write_ms / 8, now_ms() + 1);
		ck_assert_uint_lt(have, MUCH);
	}
	server_stop_and_check(s);
}
END_TEST

/* Each stall has its own time, however much the peer took in the last one. */
START_TEST(the_write_rate_counts_from_the_beginning_of_a_stall)
{
	const int write_ms = 1000 * slowness();
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = say_much_again,
						    .write_ms = write_ms,
						    .write_rate = 64 * MUCH,
						    .outbox_mark = 4 * MUCH));
	struct client *c = client_open_small(s, 4096);
	int64_t until;

	for (int i = 0; i < 2; i++) {
		client_send(c, "go\n");
		client_expect_bytes(c, much, MUCH);
		UNTIL(stats(s).parked == 1);
		until = now_ms() + write_ms * 3 / 2;
		UNTIL(now_ms() > until);
	}
	client_half_close(c);
	client_expect_eof(c);
	ck_assert_uint_eq(server_stop_and_check(s).ledger.completed, 1);
}
END_TEST

/* ---- what does not count while output is unsent */

#define PATIENCE_MS 150

struct end {
	bool is_session;
	_Atomic int64_t at; /* ms */
	_Atomic int why;
};

static void note_end(weir_conn *c, void *arg)
{
	struct end *e = arg;
	struct weir_summary s;

	weir_conn_summary(c, &s, sizeof(s));
	atomic_store(&e->why, (int)s.end);
	atomic_store(&e->at, now_ms());
}

static int say_much_and_go_on(weir_conn *c, void *arg)
{
	int rc = say_much(c, NULL);

	if (rc == 0 && ((struct end *)arg)->is_session)
		return say_much(c, NULL);
	return rc == 0 ? WEIR_AGAIN : rc;
}

/* It takes nothing for longer than its patience, and then everything. */
static void expect_patience(struct server *s, struct end *e, const char *text,
			    int why)
{
	struct client *c = client_open_small(s, 4096);
	int64_t since = now_ms();

	if (text)
		client_send(c, text);
	UNTIL(stats(s).unsent > 0 || session_waits(s));
	UNTIL(now_ms() > since + 2 * PATIENCE_MS);
	since = now_ms();
	ck_assert_uint_eq(client_read_to_eof(c), MUCH);
	UNTIL(atomic_load(&e->at) != 0);
	ck_assert_int_eq(atomic_load(&e->why), why);
	ck_assert_int_ge(atomic_load(&e->at) + 1, since + PATIENCE_MS);
	server_stop_and_check(s);
}

START_TEST(idle_time_begins_when_all_is_sent)
{
	for (int i = 0; i < 2; i++) {
		struct end e = { .is_session = i };
		struct server *s = serve(
			NULL, WEIR_SERVICE(HANDLE_AS(i, say_much_and_go_on),
					   .closed = note_end, .arg = &e,
					   .outbox_mark = 4 * MUCH,
					   .idle_ms = PATIENCE_MS));

		expect_patience(s, &e, "go\n", WEIR_END_IDLE);
	}
}
END_TEST

/* The write itself sends the last byte. */
static int greet_in_session(weir_conn *c, void *arg)
{
	return greet_with_much(c, NULL) == WEIR_AGAIN ? echo_lines(c, arg)
						      : WEIR_CLOSE;
}

START_TEST(the_time_for_a_first_byte_begins_when_the_greeting_is_sent)
{
	struct weir_service set[] = {
		*WEIR_SERVICE(.readable = echo_lines, .opened = greet_with_much,
			      .outbox_mark = 4 * MUCH),
		*WEIR_SERVICE(.session = greet_in_session, .speaks_first = true,
			      .outbox_mark = 1),
	};

	for (size_t i = 0; i < sizeof(set) / sizeof(set[0]); i++) {
		struct end e = { .at = 0 };
		struct weir_service sv = set[i];

		sv.closed = note_end;
		sv.arg = &e;
		sv.first_byte_ms = PATIENCE_MS;
		expect_patience(serve(NULL, &sv), &e, NULL,
				WEIR_END_FIRST_BYTE);
	}
}
END_TEST

/* After the first half of a line: much.  After the second: the line. */
static int say_much_inside_a_line(weir_conn *c, void *arg)
{
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc;

	(void)arg;
	if (n > 0)
		return weir_conn_write(c, line, (size_t)n);
	if (n != -EAGAIN || weir_conn_data(c) != NULL)
		return (int)n;
	weir_conn_set_data(c, much, NULL);
	rc = greet_with_much(c, NULL);
	return rc == WEIR_AGAIN ? WEIR_WAIT : rc;
}

static int write_much_inside_a_line(weir_conn *c, void *arg)
{
	const void *data;
	char line[32];
	ssize_t n;

	(void)arg;
	if (weir_conn_peek(c, &data, 1) <= 0)
		return WEIR_CLOSE;
	weir_conn_set_timer(c, 1);
	n = weir_conn_read_line(c, line, sizeof(line));
	if (n == -EINTR && greet_with_much(c, NULL) == WEIR_AGAIN)
		n = weir_conn_read_line(c, line, sizeof(line));
	return n > 0 ? weir_conn_write(c, line, (size_t)n) : (int)n;
}

/*
 * Its output holds the input for longer than a message may take.  A session
 * waits for room in its write, or if the mark is higher, in its next read.
 */
#define WAYS 5
static struct server *serve_halves(int way, struct end *e)
{
	struct weir_service ways[WAYS] = {
		*WEIR_SERVICE(.readable = say_much_inside_a_line,
			      .outbox_mark = MUCH / 2),
		*WEIR_SERVICE(SESSION_ON(false, write_much_inside_a_line),
			      .outbox_mark = 1),
		*WEIR_SERVICE(SESSION_ON(false, write_much_inside_a_line),
			      .outbox_mark = MUCH),
		*WEIR_SERVICE(SESSION_ON(true, write_much_inside_a_line),
			      .outbox_mark = 1),
		*WEIR_SERVICE(SESSION_ON(true, write_much_inside_a_line),
			      .outbox_mark = MUCH),
	};

	ways[way].closed = note_end;
	ways[way].arg = e;
	ways[way].read_ms = PATIENCE_MS;
	return serve(NULL, &ways[way]);
}

static struct client *say_half_a_line(struct server *s)
{
	struct client *c = client_open_small(s, 4096);

	client_send(c, "half ");
	UNTIL(client_has_input(c)); /* and takes none of it */
	return c;
}

static void finish_a_held_line(int way)
{
	struct end e = { .at = 0 };
	struct server *s = serve_halves(way, &e);
	struct client *c = say_half_a_line(s);
	int64_t since = now_ms();

	client_send(c, "a line\n");
	UNTIL(connections_with_input(s->address) == 1);
	UNTIL(now_ms() > since + 3 * PATIENCE_MS);
	client_expect_bytes(c, much, MUCH);
	client_expect_last(c, "half a line\n");
	ck_assert_uint_eq(server_stop_and_check(s).ledger.completed, 1);
}

START_TEST(a_message_that_is_held_is_not_late)
{
	for (int way = 0; way < WAYS; way++)
		finish_a_held_line(way);
}
END_TEST

static void finish_no_held_line(int way)
{
	struct end e = { .at = 0 };
	struct server *s = serve_halves(way, &e);
	struct client *c = say_half_a_line(s);
	int64_t since = now_ms();

	UNTIL(now_ms() > since + 3 * PATIENCE_MS);
	since = now_ms();
	client_expect_end(c);
	UNTIL(atomic_load(&e.at) != 0);
	ck_assert_int_eq(atomic_load(&e.why), WEIR_END_READ);
	ck_assert_msg(atomic_load(&e.at) + 1 >= since + PATIENCE_MS,
		      "way %d: after %d ms", way,
		      (int)(atomic_load(&e.at) - since));
	server_stop_and_check(s);
}

START_TEST(the_time_for_a_message_begins_again_when_input_is_read)
{
	for (int way = 0; way < WAYS; way++)
		finish_no_held_line(way);
}
END_TEST

/* ---- while the process was stopped */

#define MANY 20

static int has_come(const struct client *c)
{
	int n = 0;

	ck_assert_int_eq(ioctl(c->fd, FIONREAD, &n), 0);
	return n;
}

/* The sockets are full: nothing more has come for a while. */
static void all_stand_still(struct client **c)
{
	int64_t since = now_ms();
	int before[MANY] = { 0 };

	while (now_ms() < since + 100) {
		for (int i = 0; i < MANY; i++) {
			int now = has_come(c[i]);

			if (now != before[i])
				since = now_ms();
			before[i] = now;
		}
		poll_sleep();
	}
}

static size_t take_what_has_come(struct client *c)
{
	char buf[65536];
	size_t have = 0;

	while (has_come(c) > 0) {
		ssize_t n = client_read(c, buf, sizeof(buf));

		ck_assert_int_gt(n, 0);
		have += (size_t)n;
	}
	return have;
}

START_TEST(what_is_taken_while_the_process_is_stopped_counts)
{
	const int write_ms = 1000 + 300 * slowness();
	struct forked_server e = forked_server_start(
		WEIR_SERVICE(.readable = say_much, .write_ms = write_ms,
			     .outbox_mark = 2 * MUCH));
	struct client *c[MANY];
	size_t have[MANY] = { 0 };
	int64_t stopped_at;

	for (int i = 0; i < MANY; i++) {
		c[i] = client_open_at(e.address);
		client_send(c[i], "go\n");
	}
	all_stand_still(c);
	forked_server_freeze(&e);
	stopped_at = now_ms();
	while (now_ms() < stopped_at + write_ms + 300) {
		for (int i = 0; i < MANY; i++)
			have[i] += take_what_has_come(c[i]);
		poll_sleep();
	}
	forked_server_resume(&e);
	for (int i = 0; i < MANY; i++) {
		have[i] += client_read_to_eof(c[i]);
		ck_assert_uint_eq(have[i], MUCH);
	}
	forked_server_stop_and_check(&e);
}
END_TEST

/* Returns how long it took after all are connected. */
static int64_t freeze_inside_lines(struct forked_server *e,
				   struct client *c[MANY])
{
	int64_t began_at;

	for (int i = 0; i < MANY; i++)
		c[i] = client_open_at(e->address);
	began_at = now_ms();
	for (int i = 0; i < MANY; i++)
		client_send(c[i], "half ");
	for (int i = 0; i < MANY; i++)
		UNTIL(has_come(c[i]) > 0);
	all_stand_still(c);
	forked_server_freeze(e);
	return now_ms() - began_at;
}

/* Unsent output is no reason not to look at the input. */
START_TEST(the_rest_of_a_line_that_came_in_time_is_read_beside_unsent_output)
{
	struct forked_server e;
	struct client *c[MANY];
	int read_ms = 500 + 200 * slowness();
	int64_t stopped_at;

	for (;; read_ms *= 2) {
		e = forked_server_start(
			WEIR_SERVICE(.readable = say_much_inside_a_line,
				     .outbox_mark = 4 * MUCH,
				     .read_ms = read_ms));
		if (freeze_inside_lines(&e, c) < read_ms)
			break;
		forked_server_resume(&e); /* some may be late already */
		forked_server_stop_and_check(&e);
	}
	stopped_at = now_ms();
	for (int i = 0; i < MANY; i++)
		client_send(c[i], "a line\n");
	UNTIL(connections_with_input(e.address) == MANY);
	UNTIL(now_ms() > stopped_at + read_ms + 300);
	forked_server_resume(&e);
	for (int i = 0; i < MANY; i++) {
		client_expect_bytes(c[i], much, MUCH);
		client_expect_last(c[i], "half a line\n");
	}
	forked_server_stop_and_check(&e);
}
END_TEST

/* ---- the lifetime */

static int note_how_its_write_ends(weir_conn *c, void *arg)
{
	int rc = say_much(c, NULL);

	atomic_store((_Atomic int *)arg, rc);
	return rc;
}

START_TEST(the_lifetime_ends_a_write_that_waits_for_a_slow_peer)
{
	const int lifetime_ms = 300 * slowness();
	_Atomic int said = 1;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.session = note_how_its_write_ends,
					 .arg = (void *)&said,
					 .outbox_mark = MUCH / 16,
					 .write_ms = WEIR_NEVER,
					 .lifetime_ms = lifetime_ms));
	struct client *c = client_open_small(s, 4096);
	struct weir_report report;

	client_send(c, "go\n");
	take_little(c, lifetime_ms / 20, now_ms() + lifetime_ms);
	UNTIL(atomic_load(&said) != 1);
	ck_assert_int_eq(said, -ETIMEDOUT);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.timed_out, 1);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"slow_peers",
		a_peer_that_takes_little_after_the_last_callback_gets_everything,
		a_peer_that_takes_less_than_the_write_rate_is_ended,
		the_write_rate_counts_from_the_beginning_of_a_stall,
		idle_time_begins_when_all_is_sent,
		the_time_for_a_first_byte_begins_when_the_greeting_is_sent,
		a_message_that_is_held_is_not_late,
		the_time_for_a_message_begins_again_when_input_is_read,
		what_is_taken_while_the_process_is_stopped_counts,
		the_rest_of_a_line_that_came_in_time_is_read_beside_unsent_output,
		the_lifetime_ends_a_write_that_waits_for_a_slow_peer);
}
