/* SPDX-License-Identifier: MIT */
/*
 * A paused connection: no call for input, input that stays with the peer, and
 * what ends a pause.
 */
#include "test.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

struct place {
	weir_ref *_Atomic conn;
	_Atomic int verdict; /* of calls that are not for input */
	_Atomic bool is_open;
	int pause_ms, lifetime_ms; /* set in the first call; 0: none is */
	_Atomic int calls, drains, end, error;
	_Atomic size_t bytes;
};

static void note_end(weir_conn *c, void *arg)
{
	struct weir_summary summary;

	weir_conn_summary(c, &summary, sizeof(summary));
	atomic_store(&((struct place *)arg)->error, (int)summary.error);
	atomic_store(&((struct place *)arg)->end, (int)summary.end);
}

static int take_all(weir_conn *c, struct place *p)
{
	char buf[16384];
	ssize_t n;

	while ((n = weir_conn_read(c, buf, sizeof(buf))) > 0)
		atomic_fetch_add(&p->bytes, (size_t)n);
	return (int)n;
}

#define SHORT_MS 200

/* Deadlines that begin here, so that no client can be late for its pause. */
static void set_deadlines(weir_conn *c, const struct place *p)
{
	const int ms[][2] = {
		{ WEIR_TIMEOUT_FIRST_BYTE, SHORT_MS },
		{ WEIR_TIMEOUT_READ, SHORT_MS },
		{ WEIR_TIMEOUT_IDLE, SHORT_MS },
		{ WEIR_TIMEOUT_PAUSE, p->pause_ms },
		{ WEIR_TIMEOUT_LIFETIME, p->lifetime_ms },
	};

	for (size_t i = 0; p->pause_ms && i < sizeof(ms) / sizeof(ms[0]); i++)
		ck_assert_int_eq(weir_conn_set_timeout(c, ms[i][0], ms[i][1]),
				 0);
}

/* Pauses until .is_open, then takes all input. */
static int pause_first(weir_conn *c, void *arg)
{
	struct place *p = arg;
	int why = weir_conn_why(c);

	if (atomic_load(&p->conn) == NULL) {
		atomic_store(&p->conn, weir_conn_ref(c));
		set_deadlines(c, p);
	}
	if (why == WEIR_DRAIN)
		atomic_fetch_add(&p->drains, 1);
	atomic_fetch_add(&p->calls, 1);
	if (why == WEIR_INPUT)
		return atomic_load(&p->is_open) ? take_all(c, p) : WEIR_PAUSE;
	return atomic_load(&p->verdict);
}

static struct server *serve_paused(struct place *p,
				   const struct weir_service *limits)
{
	struct weir_service service = *limits;

	*p = (struct place){ .verdict = WEIR_PAUSE, .end = -1 };
	service.readable = pause_first;
	service.closed = note_end;
	service.arg = p;
	return serve_workers(1, &service);
}

static struct client *open_and_pause(struct server *s, struct place *p)
{
	struct client *c = client_open(s);

	client_send(c, "first\n");
	UNTIL(atomic_load(&p->calls) == 1 &&
	      (stats(s).parked == 1 || atomic_load(&p->end) >= 0));
	return c;
}

static void finish(struct server *s, struct place *p, int end)
{
	UNTIL(atomic_load(&p->end) >= 0);
	ck_assert_int_eq(p->end, end);
	weir_ref_unref(p->conn);
	server_stop_and_check(s);
}

static int unsent(const struct client *c)
{
	int n = 0;

	ck_assert_int_eq(ioctl(c->fd, SIOCOUTQ, &n), 0);
	return n;
}

/* Send until nothing has been taken for a while; returns how much was. */
static size_t send_until_full(struct client *c)
{
	static const char block[65536];
	int64_t since = now_ms();
	size_t sent = 0;

	while (now_ms() < since + 300) {
		ssize_t n = send(c->fd, block, sizeof(block), MSG_DONTWAIT);

		if (n > 0) {
			sent += (size_t)n;
			since = now_ms();
		} else {
			poll_sleep();
		}
	}
	return sent;
}

START_TEST(the_peer_of_a_paused_connection_has_to_wait)
{
	struct place p;
	struct server *s = serve_paused(&p, WEIR_SERVICE(.mode = 0));
	struct client *c = open_and_pause(s, &p);
	size_t sent = send_until_full(c);
	int64_t since = now_ms(), used = cpu_ms();

	ck_assert_int_gt(unsent(c), 0);
	UNTIL(now_ms() > since + 500);
	ck_assert_int_lt(cpu_ms() - used, 250);
	ck_assert_int_gt(unsent(c), 0);
	ck_assert_int_eq(p.calls, 1);
	ck_assert_uint_eq(stats(s).bytes_in, 0);

	atomic_store(&p.is_open, true);
	atomic_store(&p.verdict, WEIR_AGAIN);
	ck_assert_int_eq(weir_ref_wake(p.conn), 0);
	UNTIL(atomic_load(&p.bytes) == sent + 6);
	client_half_close(c);
	client_expect_eof(c);
	finish(s, &p, WEIR_END_PEER);
}
END_TEST

START_TEST(each_verdict_of_another_call_ends_a_pause_or_goes_on)
{
	static const int verdicts[] = { WEIR_AGAIN, WEIR_WAIT, WEIR_KEEP,
					WEIR_PAUSE, WEIR_CLOSE };

	for (int i = 0; i < 5; i++) {
		struct place p;
		struct server *s = serve_paused(&p, WEIR_SERVICE(.mode = 0));
		struct client *c = open_and_pause(s, &p);

		atomic_store(&p.is_open, true);
		atomic_store(&p.verdict, verdicts[i]);
		ck_assert_int_eq(weir_ref_wake(p.conn), 0);
		if (i < 3)
			UNTIL(atomic_load(&p.bytes) == 6);
		if (i == 3) {
			UNTIL(atomic_load(&p.calls) == 2 &&
			      stats(s).parked == 1);
			ck_assert_uint_eq(p.bytes, 0);
		}
		if (i < 4)
			ck_assert_int_eq(weir_ref_close(p.conn), 0);
		client_expect_eof(c);
		finish(s, &p, WEIR_END_CLOSED);
	}
}
END_TEST

/* Others do not run: the idle and the first-byte time are shorter. */
START_TEST(a_pause_ends_with_its_deadline_or_the_lifetime)
{
	for (int i = 0; i < 2; i++) {
		const int ms = 600;
		struct place p;
		struct server *s = serve_paused(&p, WEIR_SERVICE(.mode = 0));
		int64_t began_at = now_ms();
		struct client *c;

		p.pause_ms = i ? WEIR_NEVER : ms;
		p.lifetime_ms = i ? ms : WEIR_NEVER;
		c = open_and_pause(s, &p);
		/* Calls that pause again do not make it longer. */
		while (atomic_load(&p.end) < 0) {
			(void)weir_ref_wake(p.conn);
			poll_sleep();
		}
		client_expect_end(c);
		ck_assert_int_ge(now_ms() - began_at, ms - 20);
		UNTIL(is_at_rest(s));
		ck_assert_uint_eq(stats(s).timed_out[WEIR_TIMEOUT_PAUSE],
				  i == 0);
		finish(s, &p, i ? WEIR_END_LIFETIME : WEIR_END_PAUSE);
	}
}
END_TEST

START_TEST(an_end_of_input_is_noticed_after_the_pause)
{
	struct place p;
	struct server *s = serve_paused(&p, WEIR_SERVICE(.mode = 0));
	struct client *c = open_and_pause(s, &p);

	client_half_close(c);
	ck_assert_int_eq(weir_ref_send(p.conn, "reply\n", 6), 0);
	client_expect(c, "reply\n");
	ck_assert_int_eq(p.calls, 1);
	atomic_store(&p.is_open, true);
	atomic_store(&p.verdict, WEIR_AGAIN);
	ck_assert_int_eq(weir_ref_wake(p.conn), 0);
	client_expect_eof(c);
	ck_assert_uint_eq(p.bytes, 6);
	finish(s, &p, WEIR_END_PEER);
}
END_TEST

START_TEST(a_reset_ends_a_pause)
{
	for (int is_half_closed = 0; is_half_closed < 2; is_half_closed++) {
		struct place p;
		struct server *s = serve_paused(&p, WEIR_SERVICE(.mode = 0));
		struct client *c = open_and_pause(s, &p);

		if (is_half_closed)
			client_half_close(c);
		client_reset(c);
		UNTIL(atomic_load(&p.end) >= 0);
		ck_assert_int_eq(p.calls, 1);
		ck_assert_int_eq(p.error, -ECONNRESET);
		finish(s, &p, WEIR_END_LOST);
	}
}
END_TEST

static int pause_at_once(weir_conn *c, void *arg)
{
	struct place *p = arg;

	atomic_store(&p->conn, weir_conn_ref(c));
	atomic_fetch_add(&p->calls, 1);
	return WEIR_PAUSE;
}

/* The time for the first byte begins after the pause. */
START_TEST(a_connection_may_begin_with_a_pause)
{
	const int ms = 400 * slowness();
	struct place p;
	struct server *s = serve_paused(
		&p, WEIR_SERVICE(.opened = pause_at_once, .first_byte_ms = ms));
	struct client *c = client_open(s);
	int64_t until = now_ms() + 2 * ms;

	UNTIL(now_ms() > until);
	ck_assert_int_eq(p.end, -1);
	atomic_store(&p.is_open, true);
	atomic_store(&p.verdict, WEIR_AGAIN);
	until = now_ms();
	ck_assert_int_eq(weir_ref_wake(p.conn), 0);
	client_expect_end(c);
	ck_assert_int_ge(now_ms() - until, ms - 20);
	finish(s, &p, WEIR_END_FIRST_BYTE);
}
END_TEST

START_TEST(a_drain_calls_a_paused_handler_at_once)
{
	struct place p;
	struct server *s = serve_paused(&p, WEIR_SERVICE(.mode = 0));
	struct client *c = open_and_pause(s, &p);
	struct weir_report report;

	client_send(c, "more\n");
	weir_server_drain(s->weir);
	UNTIL(atomic_load(&p.drains) == 1 && stats(s).parked == 1);
	ck_assert_int_eq(p.calls, 2); /* for the drain alone, and it stays */
	atomic_store(&p.verdict, WEIR_CLOSE);
	ck_assert_int_eq(weir_ref_wake(p.conn), 0);
	client_expect_eof(c);
	weir_ref_unref(p.conn);
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 1);
}
END_TEST

START_TEST(a_stop_cuts_a_pause)
{
	for (int grace_ms = 0; grace_ms < 400; grace_ms += 300) {
		struct place p;
		struct server *s = serve_paused(&p, WEIR_SERVICE(.mode = 0));
		struct client *c = open_and_pause(s, &p);
		struct weir_report report;

		weir_server_stop(s->weir, grace_ms);
		client_expect_end(c);
		report = server_join_and_check(s);
		ck_assert_uint_eq(report.ledger.cut, 1);
		ck_assert_int_eq(p.end, WEIR_END_CUT);
		weir_ref_unref(p.conn);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"pause", the_peer_of_a_paused_connection_has_to_wait,
		each_verdict_of_another_call_ends_a_pause_or_goes_on,
		a_pause_ends_with_its_deadline_or_the_lifetime,
		an_end_of_input_is_noticed_after_the_pause,
		a_reset_ends_a_pause, a_connection_may_begin_with_a_pause,
		a_drain_calls_a_paused_handler_at_once, a_stop_cuts_a_pause);
}
