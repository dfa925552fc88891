/* SPDX-License-Identifier: MIT */
/*
 * The last call of a handler when its connection is to end, and what it may
 * still do: a session that waits when it is cut or closed, a dialled connection
 * that is cancelled, a handler that answers the last call with "not yet".
 */
#include "test.h"

struct place {
	weir_ref *_Atomic conn;
	weir_conn *dialled;
	_Atomic int drains, said;
};

/* ---- sessions that wait */

static int note_what_ends_its_wait(weir_conn *c, void *arg)
{
	struct place *p = arg;
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n <= 0)
		return (int)n;
	atomic_store(&p->conn, weir_conn_ref(c));
	weir_conn_printf(c, "ready\n"); /* which is sent when it waits */
	n = weir_conn_read_line(c, line, sizeof(line));
	atomic_store(&p->said, (int)n);
	return (int)n;
}

static struct server *serve_waiting(struct place *p)
{
	struct server *s = serve(
		WEIR_CONFIG(.workers = 1),
		WEIR_SERVICE(.session = note_what_ends_its_wait, .arg = p));
	/* The rest of the line lets it wait in a stop. */
	struct client *c = client_open_and_send(s, "\nhalf a li");

	client_expect(c, "ready\n");
	return s;
}

START_TEST(a_session_that_is_cancelled_is_told_so)
{
	for (int round = 0; round < 20; round++) {
		struct place p = { .said = 1 };
		struct server *s = serve_waiting(&p);
		struct weir_report report;
		int rc = weir_ref_cancel(p.conn);

		UNTIL(is_at_rest(s));
		ck_assert_int_eq(p.said, -ECANCELED);
		ck_assert_int_eq(rc, 0);
		weir_ref_unref(p.conn);
		report = server_stop_and_check(s);
		ck_assert_uint_eq(report.ledger.cut, 1);
	}
}
END_TEST

START_TEST(a_session_that_a_stop_cuts_is_told_so)
{
	for (int round = 0; round < 20; round++) {
		struct place p = { .said = 1 };
		struct server *s = serve_waiting(&p);
		struct weir_report report;

		weir_server_stop(s->weir, 0);
		report = server_join_and_check(s);
		ck_assert_int_eq(p.said, -ECANCELED);
		ck_assert_uint_eq(report.ledger.cut, 1);
		weir_ref_unref(p.conn);
	}
}
END_TEST

static void *read_dialled(void *arg)
{
	struct place *p = arg;
	char buf[64];

	weir_conn_printf(p->dialled, "ready\n");
	atomic_store(&p->said,
		     (int)weir_conn_read(p->dialled, buf, sizeof(buf)));
	return NULL;
}

START_TEST(a_dialled_connection_that_is_cancelled_is_told_so)
{
	for (int round = 0; round < 20; round++) {
		struct place p = { .said = 1 };
		char where[16], buf[8];
		weir_conn *c;
		weir_ref *ref;
		pthread_t id;
		int pair[2];

		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC,
					    0, pair),
				 0);
		snprintf(where, sizeof(where), "fd:%d", pair[0]);
		ck_assert_int_eq(weir_dial(&c, where, 20000), 0);
		ref = weir_conn_ref(c);
		p.dialled = c;
		ck_assert_int_eq(pthread_create(&id, NULL, read_dialled, &p),
				 0);
		ck_assert_int_eq(recv(pair[1], buf, sizeof(buf), 0), 6);
		ck_assert_int_eq(weir_ref_cancel(ref), 0);
		pthread_join(id, NULL);
		ck_assert_int_eq(p.said, -ECANCELED);
		weir_ref_unref(ref);
		weir_conn_free(c);
		close(pair[1]);
	}
}
END_TEST

static int wait_three_times(weir_conn *c, void *arg)
{
	struct place *p = arg;
	char line[64];
	ssize_t n;

	atomic_store(&p->conn, weir_conn_ref(c));
	weir_conn_printf(c, "ready\n");
	n = weir_conn_read_line(c, line, sizeof(line));
	for (int i = 0; i < 3; i++) {
		n = weir_conn_read_line(c, line, sizeof(line));
		weir_conn_printf(c, "%s\n", error_name(n));
	}
	return 0;
}

START_TEST(a_close_ends_every_later_wait_of_a_session)
{
	struct place p = { .conn = NULL };
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.session = wait_three_times, .arg = &p));
	struct client *c = client_open(s);
	struct weir_report report;

	client_expect_reply(c, "\n", "ready\n");
	ck_assert_int_eq(weir_ref_close(p.conn), 0);
	client_expect_last(c, "-ESHUTDOWN\n-ESHUTDOWN\n-ESHUTDOWN\n");
	weir_ref_unref(p.conn);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 1);
}
END_TEST

/* ---- the last word, when it is "not yet" */

static int is_answered_elsewhere(weir_conn *c, void *arg)
{
	struct place *p = arg;
	char line[64];
	ssize_t n;

	if (weir_conn_why(c) == WEIR_DRAIN) {
		atomic_fetch_add(&p->drains, 1);
		return WEIR_KEEP;
	}
	n = weir_conn_read_line(c, line, sizeof(line));
	if (n <= 0)
		return (int)n;
	if (strcmp(line, "bye\n") == 0)
		return weir_conn_printf(c, "bye\n");
	if (atomic_load(&p->conn) == NULL)
		atomic_store(&p->conn, weir_conn_ref(c));
	return WEIR_AGAIN;
}

/* A request whose answer is not ready when the stop begins. */
static struct client *serve_elsewhere_answered(struct server **s,
					       struct place *p, int grace_ms)
{
	struct client *c;

	*s = serve_workers(
		1, WEIR_SERVICE(.readable = is_answered_elsewhere, .arg = p));
	c = client_open(*s);
	client_send(c, "request\n");
	UNTIL(atomic_load(&p->conn) != NULL);
	weir_server_stop((*s)->weir, grace_ms);
	UNTIL(atomic_load(&p->drains) > 0);
	return c;
}

START_TEST(a_connection_kept_in_a_stop_gets_its_answer)
{
	const int grace_ms = 60000 * slowness();
	struct place p = { .conn = NULL };
	struct weir_report report;
	struct server *s;
	struct client *c = serve_elsewhere_answered(&s, &p, grace_ms);
	int64_t told_at = now_ms();

	UNTIL(now_ms() > told_at + 200); /* some reminders later */
	ck_assert_int_eq(p.drains, 1);
	ck_assert_int_eq(weir_ref_send(p.conn, "answer\n", 7), 0);
	client_expect(c, "answer\n");
	ck_assert_int_eq(weir_ref_close(p.conn), 0);
	client_expect_eof(c);
	weir_ref_unref(p.conn);
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 1);
	ck_assert_uint_lt(report.drain_ms, (uint64_t)grace_ms);
}
END_TEST

START_TEST(a_connection_kept_in_a_stop_is_served_what_it_sends)
{
	struct place p = { .conn = NULL };
	struct weir_report report;
	struct server *s;
	struct client *c = serve_elsewhere_answered(&s, &p, 60000 * slowness());

	client_send(c, "another\n");
	UNTIL(atomic_load(&p.drains) == 2); /* called again after its input */
	client_expect_echo(c, "bye\n");
	client_expect_eof(c);
	weir_ref_unref(p.conn);
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 1);
}
END_TEST

START_TEST(a_connection_kept_in_a_stop_is_cut_at_the_deadline)
{
	struct place p = { .conn = NULL };
	struct weir_report report;
	struct server *s;
	struct client *c = serve_elsewhere_answered(&s, &p, 60000 * slowness());

	weir_server_stop(s->weir, 300);
	client_expect_end(c);
	weir_ref_unref(p.conn);
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.cut, 1);
	ck_assert_int_eq(p.drains, 1);
}
END_TEST

#define LONG_REPLY ((size_t)8 << 20)
#define READ_MS	   100

/* Its last word is long, and it does not read while that is unsent. */
static int keeps_behind_a_file(weir_conn *c, void *arg)
{
	struct place *p = arg;
	char line[64];
	int fd;

	if (atomic_load(&p->conn) == NULL)
		atomic_store(&p->conn, weir_conn_ref(c));
	if (weir_conn_why(c) != WEIR_DRAIN)
		return (int)weir_conn_read_line(c, line, sizeof(line));
	ck_assert_int_eq(weir_conn_set_timeout(c, WEIR_TIMEOUT_READ, READ_MS),
			 0);
	fd = make_file(LONG_REPLY);
	ck_assert_int_eq(weir_conn_sendfile(c, fd, 0, LONG_REPLY), 0);
	close(fd);
	ck_assert_int_eq(weir_conn_read_line(c, line, sizeof(line)), -EAGAIN);
	atomic_fetch_add(&p->drains, 1);
	return WEIR_KEEP;
}

/* Half a message is not late while the handler is given no input. */
START_TEST(a_connection_kept_with_unsent_output_is_not_late)
{
	struct place p = { .conn = NULL };
	struct weir_report report;
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.readable = keeps_behind_a_file, .arg = &p));
	struct client *c = client_open_small(s, 4096);
	int64_t told_at;

	client_send(c, "half a line");
	UNTIL(atomic_load(&p.conn) != NULL);
	weir_server_stop(s->weir, 60000 * slowness());
	UNTIL(atomic_load(&p.drains) > 0);
	told_at = now_ms();
	UNTIL(now_ms() > told_at + 5 * READ_MS);
	ck_assert_int_eq(weir_ref_close(p.conn), 0);
	ck_assert_uint_eq(client_read_to_eof(c), LONG_REPLY);
	weir_ref_unref(p.conn);
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 1);
}
END_TEST

int main(void)
{
	return RUN_TESTS("last_word", a_session_that_is_cancelled_is_told_so,
			 a_session_that_a_stop_cuts_is_told_so,
			 a_dialled_connection_that_is_cancelled_is_told_so,
			 a_close_ends_every_later_wait_of_a_session,
			 a_connection_kept_in_a_stop_gets_its_answer,
			 a_connection_kept_in_a_stop_is_served_what_it_sends,
			 a_connection_kept_in_a_stop_is_cut_at_the_deadline,
			 a_connection_kept_with_unsent_output_is_not_late);
}
