/* SPDX-License-Identifier: MIT */
/*
 * What `closed` can ask: why the connection ended, the bytes in each direction,
 * its age.  It is called when all output is sent or given up.
 */
#include "test.h"

struct ending {
	struct weir_summary summary;
	int verdict;	   /* of the handler after a line */
	int said;	   /* by a write in `closed` */
	_Atomic int count; /* of calls of `closed` */
};

static void note_ending(weir_conn *c, void *arg)
{
	struct ending *e = arg;

	weir_conn_summary(c, &e->summary, sizeof(e->summary));
	e->said = weir_conn_write(c, "too late", 8);
	atomic_fetch_add(&e->count, 1);
}

static int echo_once(weir_conn *c, void *arg)
{
	struct ending *e = arg;
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	struct weir_summary so_far;

	if (n <= 0)
		return (int)n;
	weir_conn_summary(c, &so_far, sizeof(so_far));
	ck_assert_int_eq(so_far.end, WEIR_END_NONE);
	weir_conn_write(c, line, (size_t)n);
	return e->verdict;
}

static void expect_end(struct ending *e, int end)
{
	UNTIL(e->count == 1);
	ck_assert_int_eq(e->summary.end, end);
	ck_assert_int_eq(e->said, -EPIPE);
}

/* A service with short deadlines of that kind and no others. */
static struct server *serve_ending(struct ending *e, int verdict, int kind,
				   bool is_session)
{
	struct weir_service service = {
		.size = sizeof(service),
		HANDLE_AS(is_session, echo_once),
		.closed = note_ending,
		.arg = e,
		.first_byte_ms = WEIR_NEVER,
		.read_ms = WEIR_NEVER,
		.write_ms = WEIR_NEVER,
		.idle_ms = WEIR_NEVER,
		.lifetime_ms = WEIR_NEVER,
	};
	int *const deadlines[] = {
		[WEIR_TIMEOUT_FIRST_BYTE] = &service.first_byte_ms,
		[WEIR_TIMEOUT_READ] = &service.read_ms,
		[WEIR_TIMEOUT_WRITE] = &service.write_ms,
		[WEIR_TIMEOUT_IDLE] = &service.idle_ms,
		[WEIR_TIMEOUT_LIFETIME] = &service.lifetime_ms,
	};

	*e = (struct ending){ .verdict = verdict };
	if (kind)
		*deadlines[kind] = 100;
	return serve(WEIR_CONFIG(.workers = 2, .log_level = WEIR_LOG_DEBUG),
		     &service);
}

static struct client *say_hello(struct server *s)
{
	struct client *c = client_open_and_echo(s, "hello\n");

	return c;
}

START_TEST(it_tells_who_has_ended_the_connection)
{
	struct ending e;
	struct server *s = serve_ending(&e, 0, 0, false);

	say_hello(s);
	expect_end(&e, WEIR_END_CLOSED);
	ck_assert_uint_eq(e.summary.bytes_in, 6);
	ck_assert_uint_eq(e.summary.bytes_out, 6);
	ck_assert_int_ge(e.summary.age_ms, 0);
	server_stop_and_check(s);

	s = serve_ending(&e, WEIR_AGAIN, 0, false);
	client_half_close(say_hello(s));
	expect_end(&e, WEIR_END_PEER);
	server_stop_and_check(s);

	s = serve_ending(&e, WEIR_AGAIN, 0, false);
	client_reset(say_hello(s));
	expect_end(&e, WEIR_END_LOST);
	server_stop_and_check(s);

	s = serve_ending(&e, -EIO, 0, false);
	say_hello(s);
	expect_end(&e, WEIR_END_ERROR);
	server_stop_and_check(s);

	s = serve_ending(&e, WEIR_AGAIN, 0, false);
	say_hello(s);
	weir_server_drain(s->weir);
	server_join_and_check(s);
	expect_end(&e, WEIR_END_DRAIN);

	s = serve_ending(&e, WEIR_AGAIN, 0, false);
	say_hello(s);
	weir_server_stop(s->weir, 0);
	server_join_and_check(s);
	expect_end(&e, WEIR_END_CUT);
}
END_TEST

static const char *beginning_of(int kind)
{
	if (kind == WEIR_TIMEOUT_FIRST_BYTE)
		return "";
	return kind == WEIR_TIMEOUT_READ ? "half a li" : "hello\n";
}

/* False: the time was over before the client had sent anything. */
static bool tells_deadline(int kind, bool is_session)
{
	struct ending e;
	struct server *s = serve_ending(&e, WEIR_AGAIN, kind, is_session);
	struct client *c = client_open(s);
	bool has_begun;

	(void)client_try_send(c, beginning_of(kind),
			      strlen(beginning_of(kind)));
	client_expect_end(c);
	UNTIL(is_at_rest(s));
	has_begun = e.count > 0;
	if (has_begun && kind != WEIR_TIMEOUT_FIRST_BYTE)
		expect_end(&e, WEIR_END_FIRST_BYTE + kind -
				       WEIR_TIMEOUT_FIRST_BYTE);
	for (int k = 1; k <= WEIR_TIMEOUT_LIFETIME; k++)
		ck_assert_uint_eq(stats(s).timed_out[k], k == kind);
	ck_assert(log_says(s, "timed out"));
	server_stop_and_check(s);
	return has_begun;
}

START_TEST(it_tells_which_deadline_has_passed)
{
	static const int kinds[] = { WEIR_TIMEOUT_READ, WEIR_TIMEOUT_IDLE,
				     WEIR_TIMEOUT_LIFETIME };

	for (int is_session = 0; is_session < 2; is_session++) {
		/* The library itself ends one that has not begun. */
		(void)tells_deadline(WEIR_TIMEOUT_FIRST_BYTE, is_session);
		for (size_t i = 0; i < 3; i++)
			MOSTLY(tells_deadline(kinds[i], is_session));
	}
}
END_TEST

static int flood(weir_conn *c, void *arg)
{
	static char much[8 << 20];
	struct ending *e = arg;
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)e;
	if (n <= 0)
		return (int)n;
	n = weir_conn_write(c, much, sizeof(much));
	return n < 0 ? (int)n : 0;
}

static struct server *serve_flood(struct ending *e, size_t outbox_mark,
				  int write_ms)
{
	*e = (struct ending){ .verdict = 0 };
	return serve_workers(2, WEIR_SERVICE(.readable = flood,
					     .closed = note_ending, .arg = e,
					     .outbox_mark = outbox_mark,
					     .write_ms = write_ms));
}

/* A reply below outbox_mark, and one above it. */
START_TEST(a_peer_that_takes_nothing_is_the_reason)
{
	for (int i = 0; i < 2; i++) {
		struct ending e;
		struct server *s =
			serve_flood(&e, i == 0 ? 16 << 20 : 65536, 300);
		struct client *c = client_open_small(s, 4096);

		client_send(c, "flood\n");
		expect_end(&e, WEIR_END_WRITE);
		client_close(c);
		UNTIL(is_at_rest(s));
		ck_assert_uint_eq(stats(s).timed_out[WEIR_TIMEOUT_WRITE], 1);
		server_stop_and_check(s);
	}
}
END_TEST

START_TEST(closed_is_not_called_before_all_is_sent)
{
	struct ending e;
	struct server *s = serve_flood(&e, 16 << 20, WEIR_NEVER);
	struct client *c = client_open_small(s, 4096);
	char piece[65536];

	client_send(c, "flood\n");
	UNTIL(stats(s).parked == 1 && stats(s).callbacks == 1);
	ck_assert_int_eq(e.count, 0);
	while (client_read(c, piece, sizeof(piece)) > 0)
		;
	expect_end(&e, WEIR_END_CLOSED);
	ck_assert_uint_eq(e.summary.bytes_out, 8 << 20);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS("summary", it_tells_who_has_ended_the_connection,
			 it_tells_which_deadline_has_passed,
			 a_peer_that_takes_nothing_is_the_reason,
			 closed_is_not_called_before_all_is_sent);
}
