/* SPDX-License-Identifier: MIT */
/*
 * What each verdict does while the input is open, after its end, with bytes
 * left before the end, and after a reset: while the server runs and while it
 * drains.
 */
#include "test.h"

#include <sys/socket.h>

enum state { OPEN, ENDED, REST, RESET, STATES };

struct place {
	int verdict;
	bool is_drained; /* the verdict is for the call with WEIR_DRAIN */
	enum state state;
	weir_ref *_Atomic conn;
	_Atomic int calls, drains, end;
};

static struct place *place_new(int verdict, bool is_drained, enum state state)
{
	struct place *p = calloc(1, sizeof(*p));

	*p = (struct place){ .verdict = verdict,
			     .is_drained = is_drained,
			     .state = state,
			     .end = -1 };
	return p;
}

static void note_end(weir_conn *c, void *arg)
{
	struct weir_summary summary;

	weir_conn_summary(c, &summary, sizeof(summary));
	atomic_store(&((struct place *)arg)->end, (int)summary.end);
}

/* Half a message is there: "half".  A reset comes after the first call. */
static int say_the_verdict(weir_conn *c, void *arg)
{
	struct place *p = arg;
	const void *data;
	ssize_t n = 1;
	int calls;

	if (weir_conn_why(c) == WEIR_DRAIN) {
		atomic_fetch_add(&p->drains, 1);
		return p->verdict;
	}
	if (weir_conn_why(c) == WEIR_INPUT)
		n = weir_conn_peek(c, &data, 12);
	if (atomic_load(&p->conn) == NULL)
		atomic_store(&p->conn, weir_conn_ref(c));
	calls = atomic_fetch_add(&p->calls, 1);
	if (p->is_drained || (p->state == RESET && calls == 0))
		return WEIR_KEEP;
	if (p->state == REST && n == -EAGAIN)
		return -EAGAIN; /* the end was not there yet */
	return p->verdict;
}

static bool does_keep(const struct place *p)
{
	return p->verdict == WEIR_KEEP || p->verdict == WEIR_PAUSE;
}

static bool does_stay(const struct place *p)
{
	if (p->state == RESET)
		return false;
	if (does_keep(p))
		return true;
	return p->state == OPEN && !p->is_drained && p->verdict != WEIR_CLOSE;
}

/* Bytes that are left are shown once more, unless it closes or pauses. */
static int least_calls(const struct place *p)
{
	return p->state == REST &&
			       (p->is_drained || (p->verdict != WEIR_CLOSE &&
						  p->verdict != WEIR_PAUSE))
		       ? 2
		       : 1;
}

static void expect_calls(const struct place *p)
{
	int calls = atomic_load(&p->calls);

	ck_assert_int_ge(calls, least_calls(p));
	/* The first call may come before the end does. */
	ck_assert_int_le(calls, p->state == REST ? 3 : 2);
}

static int expected_end(const struct place *p)
{
	if (does_stay(p))
		return WEIR_END_CLOSED;
	if (p->is_drained)
		return does_keep(p) ? WEIR_END_LOST : WEIR_END_DRAIN;
	if (p->state == RESET && p->verdict == WEIR_CLOSE)
		return WEIR_END_CLOSED;
	if (p->state == RESET) /* WEIR_WAIT without -EAGAIN is a bug */
		return p->verdict == WEIR_AGAIN || does_keep(p)
			       ? WEIR_END_LOST
			       : WEIR_END_ERROR;
	return p->state == OPEN ? WEIR_END_CLOSED : WEIR_END_PEER;
}

static struct client *bring_about(struct server *s, struct place *p)
{
	struct client *c = client_open(s);

	if (p->state == ENDED) {
		client_half_close(c);
		return c;
	}
	client_send(c, "half");
	if (p->state == REST)
		client_half_close(c);
	if (p->state == RESET && !p->is_drained) {
		UNTIL(atomic_load(&p->calls) == 1);
		client_reset(c);
	}
	return c;
}

static void drain(struct server *s, struct place *p, struct client *c)
{
	UNTIL(atomic_load(&p->calls) >= least_calls(p) && stats(s).parked == 1);
	weir_server_drain(s->weir);
	UNTIL(atomic_load(&p->drains) == 1);
	if (p->state == RESET && does_keep(p))
		client_reset(c);
}

static void check_verdict(int verdict, bool is_drained, enum state state)
{
	struct place *p = place_new(verdict, is_drained, state);
	struct server *s =
		serve_workers(1, WEIR_SERVICE(.readable = say_the_verdict,
					      .closed = note_end, .arg = p));
	struct client *c = bring_about(s, p);

	if (is_drained)
		drain(s, p, c);
	if (does_stay(p)) {
		UNTIL(atomic_load(&p->calls) >= least_calls(p) &&
		      stats(s).parked == 1);
		ck_assert_int_eq(weir_ref_send(p->conn, "answer\n", 7), 0);
		client_expect(c, "answer\n");
		ck_assert_int_eq(weir_ref_close(p->conn), 0);
	}
	UNTIL(atomic_load(&p->end) >= 0);
	ck_assert_msg(p->end == expected_end(p),
		      "verdict %d, drained %d, state %d: end %d", verdict,
		      is_drained, (int)state, p->end);
	if (state != RESET)
		client_expect_end(c);
	expect_calls(p);
	weir_ref_unref(p->conn);
	if (is_drained)
		server_join_and_check(s);
	else
		server_stop_and_check(s);
	free(p);
}

static void check_verdicts(bool is_drained)
{
	static const int verdicts[] = { WEIR_CLOSE, WEIR_WAIT, -EAGAIN,
					WEIR_AGAIN, WEIR_KEEP, WEIR_PAUSE };

	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
		for (int state = 0; state < STATES; state++)
			check_verdict(verdicts[i], is_drained,
				      (enum state)state);
}

START_TEST(each_verdict_does_what_the_table_says)
{
	check_verdicts(false);
}
END_TEST

START_TEST(each_verdict_does_what_the_table_says_in_a_drain)
{
	check_verdicts(true);
}
END_TEST

/* ---- answers that come after the end of the input */

static void *answer_later(void *arg)
{
	weir_ref *ref = arg;
	int64_t asked_at = now_ms();

	UNTIL(now_ms() >= asked_at + 300);
	ck_assert_int_eq(weir_ref_send(ref, "answer\n", 7), 0);
	ck_assert_int_eq(weir_ref_close(ref), 0);
	weir_ref_unref(ref);
	return NULL;
}

static int ask_a_thread(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n > 0)
		ck_assert_int_eq(pthread_create(arg, NULL, answer_later,
						weir_conn_ref(c)),
				 0);
	return n < 0 ? (int)n : WEIR_KEEP;
}

START_TEST(the_answer_of_a_thread_reaches_a_client_that_has_half_closed)
{
	pthread_t id;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = ask_a_thread, .arg = &id));
	struct client *c = client_open(s);
	struct weir_report report;

	client_send(c, "question\n");
	client_half_close(c);
	client_expect_last(c, "answer\n");
	pthread_join(id, NULL);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 1);
}
END_TEST

/* ---- handlers that do not look */

static int look_away(weir_conn *c, void *arg)
{
	struct place *p = arg;

	if (atomic_load(&p->conn) == NULL)
		atomic_store(&p->conn, weir_conn_ref(c));
	atomic_fetch_add(&p->calls, 1);
	return weir_conn_why(c) == WEIR_WAKE ? WEIR_AGAIN : p->verdict;
}

START_TEST(a_handler_that_does_not_look_at_the_end_is_called_once)
{
	static const int verdicts[] = { WEIR_AGAIN, WEIR_KEEP };

	for (int i = 0; i < 2; i++) {
		struct place *p = place_new(verdicts[i], false, ENDED);
		struct server *s =
			serve(NULL, WEIR_SERVICE(.readable = look_away,
						 .closed = note_end, .arg = p));
		struct client *c = client_open(s);

		client_half_close(c);
		if (verdicts[i] == WEIR_KEEP) {
			UNTIL(stats(s).parked == 1 && p->calls == 1);
			ck_assert_int_eq(weir_ref_wake(p->conn), 0);
		}
		client_expect_eof(c);
		UNTIL(atomic_load(&p->end) >= 0);
		ck_assert_int_eq(p->end, WEIR_END_PEER);
		ck_assert_int_eq(p->calls, i + 1);
		weir_ref_unref(p->conn);
		server_stop_and_check(s);
		free(p);
	}
}
END_TEST

/* ---- bytes before the end that are no message */

/* Asks for 12 bytes, then for three at a time. */
static int take_by_three(weir_conn *c, void *arg)
{
	const void *data;
	char bytes[3];
	ssize_t n = weir_conn_peek(c, &data, 12);

	(void)arg;
	if (n == -EBADMSG)
		n = weir_conn_read(c, bytes, sizeof(bytes));
	if (n <= 0)
		return (int)n;
	weir_conn_write(c, bytes, (size_t)n);
	return WEIR_AGAIN;
}

static int take_after_the_error(weir_conn *c, void *arg)
{
	const void *data;
	char bytes[16];
	ssize_t n;

	if (*(int *)arg == 0) {
		n = weir_conn_peek(c, &data, 12);
		*(int *)arg = n == -EBADMSG;
		return WEIR_AGAIN;
	}
	n = weir_conn_read(c, bytes, sizeof(bytes));
	if (n > 0)
		weir_conn_write(c, bytes, (size_t)n);
	return WEIR_AGAIN;
}

START_TEST(bytes_before_the_end_that_are_no_message_are_given)
{
	int is_told = 0;
	weir_handler_fn *const handlers[] = { take_by_three,
					      take_after_the_error };

	for (int i = 0; i < 2; i++) {
		struct server *s =
			serve(NULL, WEIR_SERVICE(.readable = handlers[i],
						 .arg = &is_told));
		struct client *c = client_open(s);
		struct weir_report report;

		client_send(c, "7 bytes");
		client_half_close(c);
		client_expect_last(c, "7 bytes");
		report = server_stop_and_check(s);
		ck_assert_uint_eq(report.ledger.completed, 1);
	}
}
END_TEST

/* ---- bytes before the end, while output is unsent */

#define MUCH ((size_t)1 << 20)

static char much[MUCH];

struct rest {
	bool does_try; /* an input call, though input is held */
	int calls;     /* that showed the end */
};

/* Takes what is left only after the call in which input is held. */
static int fill_then_take(weir_conn *c, void *arg)
{
	const int narrow = 4096;
	struct rest *r = arg;
	const void *data;
	char bytes[16];
	ssize_t n = weir_conn_peek(c, &data, 12);

	if (n != -EBADMSG)
		return (int)n;
	if (++r->calls == 2) {
		setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &narrow,
			   sizeof(narrow));
		ck_assert_int_eq(weir_conn_write(c, much, MUCH), 0);
		if (r->does_try)
			ck_assert_int_eq(
				weir_conn_read(c, bytes, sizeof(bytes)),
				-EAGAIN);
	}
	if (r->calls < 3)
		return WEIR_KEEP;
	n = weir_conn_read(c, bytes, sizeof(bytes));
	ck_assert_int_eq(n, 7);
	weir_conn_write(c, bytes, (size_t)n);
	return WEIR_CLOSE;
}

START_TEST(unsent_output_does_not_give_up_the_bytes_before_the_end)
{
	for (int does_try = 0; does_try < 2; does_try++) {
		struct rest rest = { .does_try = does_try };
		struct server *s = serve(
			NULL, WEIR_SERVICE(.readable = fill_then_take,
					   .outbox_mark = 65536, .arg = &rest));
		struct client *c = client_open_small(s, 4096);

		client_send(c, "7 bytes");
		client_half_close(c);
		client_expect_bytes(c, much, MUCH);
		client_expect_last(c, "7 bytes");
		ck_assert_uint_eq(server_stop_and_check(s).ledger.completed, 1);
		ck_assert_int_eq(rest.calls, 3);
	}
}
END_TEST

/* ---- both directions have ended */

enum end_of_output { BY_THREAD, BY_THREAD_BEFORE, BY_HANDLER, ENDS };

struct both {
	enum end_of_output how;
	int verdict; /* after the end of the input */
	weir_ref *_Atomic conn;
	_Atomic int calls, end;
};

static void note_end_of_both(weir_conn *c, void *arg)
{
	struct weir_summary summary;

	weir_conn_summary(c, &summary, sizeof(summary));
	atomic_store(&((struct both *)arg)->end, (int)summary.end);
}

/* A line is answered with much. */
static int keep_after_the_end(weir_conn *c, void *arg)
{
	struct both *b = arg;
	char line[16];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n > 0) {
		ck_assert_int_eq(weir_conn_write(c, much, MUCH), 0);
		atomic_store(&b->conn, weir_conn_ref(c));
	}
	if (n == 0 && b->how == BY_HANDLER)
		ck_assert_int_eq(weir_conn_shutdown(c, SHUT_WR), 0);
	atomic_fetch_add(&b->calls, 1);
	return n == 0 ? b->verdict : n < 0 ? (int)n : WEIR_AGAIN;
}

static void check_both_ends(enum end_of_output how, int verdict)
{
	struct both b = { .how = how, .verdict = verdict, .end = -1 };
	struct server *s = serve(
		NULL, WEIR_SERVICE(.readable = keep_after_the_end,
				   .closed = note_end_of_both, .arg = &b));
	struct client *c = client_open_small(s, 4096);

	client_send(c, "go\n");
	UNTIL(atomic_load(&b.conn) != NULL);
	if (how == BY_THREAD_BEFORE)
		ck_assert_int_eq(weir_ref_shutdown(b.conn, SHUT_WR), 0);
	client_half_close(c);
	client_expect_bytes(c, much, MUCH);
	if (how == BY_THREAD) {
		UNTIL(atomic_load(&b.calls) == 2 && stats(s).parked == 1);
		ck_assert_int_eq(atomic_load(&b.end), -1);
		ck_assert_int_eq(weir_ref_shutdown(b.conn, SHUT_WR), 0);
	}
	client_expect_eof(c);
	UNTIL(atomic_load(&b.end) >= 0);
	ck_assert_int_eq(b.end, WEIR_END_PEER);
	weir_ref_unref(b.conn);
	ck_assert_uint_eq(server_stop_and_check(s).ledger.completed, 1);
}

START_TEST(a_connection_whose_directions_have_both_ended_closes)
{
	for (int how = 0; how < ENDS; how++) {
		check_both_ends((enum end_of_output)how, WEIR_KEEP);
		check_both_ends((enum end_of_output)how, WEIR_PAUSE);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"kept", each_verdict_does_what_the_table_says,
		each_verdict_does_what_the_table_says_in_a_drain,
		the_answer_of_a_thread_reaches_a_client_that_has_half_closed,
		a_handler_that_does_not_look_at_the_end_is_called_once,
		bytes_before_the_end_that_are_no_message_are_given,
		unsent_output_does_not_give_up_the_bytes_before_the_end,
		a_connection_whose_directions_have_both_ended_closes);
}
