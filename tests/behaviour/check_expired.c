/* SPDX-License-Identifier: MIT */
/*
 * The last word when a deadline has passed: each deadline, what the handler
 * may say, and verdicts that keep the connection.
 */
#include "test.h"

#define SHORT_MS 200

struct place {
	int verdicts[3]; /* of the calls of `expired`, in their order */
	bool does_pause; /* when it has opened */
	_Atomic int calls, end, sessions;
};

static int give_last_word(weir_conn *c, void *arg)
{
	struct place *p = arg;
	struct weir_summary summary;
	int i = atomic_fetch_add(&p->calls, 1);

	ck_assert_int_eq(weir_conn_why(c), WEIR_EXPIRED);
	ck_assert_int_eq(weir_conn_summary(c, &summary, sizeof(summary)), 0);
	ck_assert_int_eq(weir_conn_printf(c, "421 %d\n", (int)summary.end), 0);
	return p->verdicts[i];
}

static void note_end(weir_conn *c, void *arg)
{
	struct weir_summary summary;

	weir_conn_summary(c, &summary, sizeof(summary));
	atomic_store(&((struct place *)arg)->end, (int)summary.end);
}

static int begin(weir_conn *c, void *arg)
{
	(void)c;
	return ((struct place *)arg)->does_pause ? WEIR_PAUSE : WEIR_AGAIN;
}

static int read_lines(weir_conn *c, void *arg)
{
	(void)arg;
	return echo_lines(c, NULL);
}

/* A service in which one deadline is short. */
static struct server *serve_short(struct place *p, int kind, bool is_session)
{
	struct weir_service service = {
		.size = sizeof(service),
		HANDLE_AS(is_session, read_lines),
		.opened = begin,
		.expired = give_last_word,
		.closed = note_end,
		.arg = p,
		.first_byte_ms = WEIR_NEVER,
		.read_ms = WEIR_NEVER,
		.idle_ms = WEIR_NEVER,
	};
	int *const deadlines[] = {
		[WEIR_TIMEOUT_FIRST_BYTE] = &service.first_byte_ms,
		[WEIR_TIMEOUT_READ] = &service.read_ms,
		[WEIR_TIMEOUT_WRITE] = NULL,
		[WEIR_TIMEOUT_IDLE] = &service.idle_ms,
		[WEIR_TIMEOUT_LIFETIME] = &service.lifetime_ms,
		[WEIR_TIMEOUT_PAUSE] = &service.pause_ms,
	};

	*deadlines[kind] = SHORT_MS;
	p->does_pause = kind == WEIR_TIMEOUT_PAUSE;
	p->end = -1;
	return serve_workers(2, &service);
}

static struct client *open_for(struct server *s, int kind)
{
	struct client *c = client_open(s);

	if (kind == WEIR_TIMEOUT_READ)
		client_send(c, "half a li");
	if (kind == WEIR_TIMEOUT_IDLE)
		client_expect_echo(c, "hello\n");
	return c;
}

static int end_of(int kind)
{
	return WEIR_END_FIRST_BYTE + kind - WEIR_TIMEOUT_FIRST_BYTE;
}

static void expect_word(struct client *c, int kind)
{
	char text[32];

	snprintf(text, sizeof(text), "421 %d\n", end_of(kind));
	client_expect(c, text);
}

static void finish(struct server *s, struct place *p, int kind, int calls)
{
	UNTIL(atomic_load(&p->end) >= 0);
	ck_assert_int_eq(p->end, end_of(kind));
	ck_assert_int_eq(p->calls, calls);
	clients_close();
	UNTIL(is_at_rest(s));
	for (int k = 1; k <= WEIR_TIMEOUT_PAUSE; k++)
		ck_assert_uint_eq(stats(s).timed_out[k], k == kind);
	ck_assert_uint_eq(server_stop_and_check(s).ledger.timed_out, 1);
}

static const int kinds[] = { WEIR_TIMEOUT_FIRST_BYTE, WEIR_TIMEOUT_READ,
			     WEIR_TIMEOUT_IDLE, WEIR_TIMEOUT_LIFETIME,
			     WEIR_TIMEOUT_PAUSE };
#define KINDS (int)(sizeof(kinds) / sizeof(kinds[0]))

START_TEST(each_deadline_leaves_time_for_a_last_word)
{
	for (int i = 0; i < KINDS; i++) {
		struct place p = { .verdicts = { WEIR_CLOSE } };
		struct server *s = serve_short(&p, kinds[i], false);
		struct client *c = open_for(s, kinds[i]);

		expect_word(c, kinds[i]);
		client_expect_eof(c);
		finish(s, &p, kinds[i], 1);
	}
}
END_TEST

/* The lifetime ends in any case. */
START_TEST(a_verdict_that_keeps_restarts_the_deadline)
{
	static const int verdicts[] = { WEIR_AGAIN, WEIR_WAIT, WEIR_KEEP };

	for (int i = 0; i < KINDS * 3; i++) {
		int kind = kinds[i / 3], verdict = verdicts[i % 3];
		bool is_last = kind == WEIR_TIMEOUT_LIFETIME;
		struct place p = { .verdicts = { verdict, WEIR_CLOSE } };
		struct server *s;
		struct client *c;
		int64_t began_at = now_ms();

		if (kind == WEIR_TIMEOUT_PAUSE)
			p.verdicts[0] = WEIR_PAUSE;
		s = serve_short(&p, kind, false);
		c = open_for(s, kind);
		expect_word(c, kind);
		if (!is_last)
			expect_word(c, kind);
		client_expect_eof(c);
		ck_assert_int_ge(now_ms() - began_at,
				 (is_last ? 1 : 2) * SHORT_MS - 40);
		finish(s, &p, kind, is_last ? 1 : 2);
	}
}
END_TEST

START_TEST(a_session_that_has_not_begun_has_a_last_word)
{
	struct place p = { .verdicts = { WEIR_CLOSE } };
	struct server *s = serve_short(&p, WEIR_TIMEOUT_FIRST_BYTE, true);
	struct client *c = client_open(s);

	expect_word(c, WEIR_TIMEOUT_FIRST_BYTE);
	client_expect_eof(c);
	finish(s, &p, WEIR_TIMEOUT_FIRST_BYTE, 1);
}
END_TEST

START_TEST(an_error_after_a_deadline_is_an_error)
{
	struct place p = { .verdicts = { -EIO } };
	struct server *s = serve_short(&p, WEIR_TIMEOUT_IDLE, false);
	struct client *c = open_for(s, WEIR_TIMEOUT_IDLE);

	client_expect_end(c);
	UNTIL(atomic_load(&p.end) >= 0);
	ck_assert_int_eq(p.end, WEIR_END_ERROR);
	ck_assert_uint_eq(server_stop_and_check(s).ledger.failed, 1);
}
END_TEST

static int write_much(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int fd;

	(void)arg;
	if (n <= 0)
		return (int)n;
	fd = make_file((size_t)8 << 20);
	ck_assert_int_eq(weir_conn_sendfile(c, fd, 0, 8 << 20), 0);
	close(fd);
	return WEIR_AGAIN;
}

START_TEST(a_peer_that_takes_nothing_gets_no_last_word)
{
	struct place p = { .end = -1 };
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.readable = write_much,
				.expired = give_last_word, .closed = note_end,
				.arg = &p, .write_ms = SHORT_MS));
	struct client *c = client_open_small(s, 4096);

	client_send(c, "go\n");
	finish(s, &p, WEIR_TIMEOUT_WRITE, 0);
}
END_TEST

/* Reads lines; stays after the end. */
static int stay(weir_conn *c, void *arg)
{
	int rc = echo_lines(c, arg);

	return rc == 0 ? WEIR_KEEP : rc;
}

static int pause_at_once(weir_conn *c, void *arg)
{
	struct place *p = arg;

	(void)c;
	atomic_fetch_add(&p->sessions, 1);
	return WEIR_PAUSE;
}

static const int keeping[] = { WEIR_AGAIN, WEIR_WAIT, -EAGAIN, WEIR_KEEP,
			       WEIR_PAUSE };
#define KEEPING (sizeof(keeping) / sizeof(keeping[0]))

START_TEST(the_deadline_restarts_after_the_end_of_input_too)
{
	for (size_t i = 0; i < KEEPING; i++) {
		struct place p = { .verdicts = { keeping[i], keeping[i],
						 WEIR_CLOSE },
				   .end = -1 };
		struct server *s =
			serve(NULL, WEIR_SERVICE(.readable = stay,
						 .expired = give_last_word,
						 .closed = note_end, .arg = &p,
						 .pause_ms = SHORT_MS / 2));
		struct client *c = client_open(s);

		client_half_close(c);
		for (int k = 0; k < 3; k++)
			expect_word(c, WEIR_TIMEOUT_PAUSE);
		client_expect_eof(c);
		finish(s, &p, WEIR_TIMEOUT_PAUSE, 3);
	}
}
END_TEST

START_TEST(a_paused_session_is_not_called_again_after_a_deadline)
{
	for (size_t i = 0; i < KEEPING; i++) {
		struct place p = { .verdicts = { keeping[i], keeping[i],
						 WEIR_CLOSE },
				   .end = -1 };
		struct server *s =
			serve(NULL, WEIR_SERVICE(.session = pause_at_once,
						 .expired = give_last_word,
						 .closed = note_end, .arg = &p,
						 .pause_ms = SHORT_MS / 2));
		struct client *c = client_open(s);

		client_send(c, "not read\n");
		for (int k = 0; k < 3; k++) {
			expect_word(c, WEIR_TIMEOUT_PAUSE);
			client_send(c, "not read\n");
		}
		client_expect_eof(c);
		finish(s, &p, WEIR_TIMEOUT_PAUSE, 3);
		ck_assert_int_eq(p.sessions, 1);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS("expired", each_deadline_leaves_time_for_a_last_word,
			 a_verdict_that_keeps_restarts_the_deadline,
			 a_session_that_has_not_begun_has_a_last_word,
			 an_error_after_a_deadline_is_an_error,
			 a_peer_that_takes_nothing_gets_no_last_word,
			 the_deadline_restarts_after_the_end_of_input_too,
			 a_paused_session_is_not_called_again_after_a_deadline);
}
