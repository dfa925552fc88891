/* SPDX-License-Identifier: MIT */
/*
 * The output calls: everything arrives, in order, in as few segments as
 * possible; files too.  Each handler answers a line with output and closes or
 * goes on, as session and as readable.
 */
#include "test.h"

#define LONG ((size_t)5 * 1000 * 1000)

static struct server *serve_kind(weir_handler_fn *handler, bool is_session,
				 void *arg)
{
	struct weir_service service = { .size = sizeof(service), .arg = arg };

	if (is_session)
		service.session = handler;
	else
		service.readable = handler;
	return serve_workers(2, &service);
}

/* len bytes of byte_at(), then the end of input. */
static void expect_long(struct client *c, size_t len)
{
	char buf[16384];
	size_t have = 0;
	ssize_t n;

	while ((n = client_read(c, buf, sizeof(buf))) > 0) {
		ck_assert_msg(bytes_match(buf, (size_t)n, have),
			      "other bytes than were written near %zu", have);
		have += (size_t)n;
	}
	ck_assert_msg(n == 0, "%s", strerror((int)-n));
	ck_assert_uint_eq(have, len);
}

static int await_a_line(weir_conn *c)
{
	char line[128];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	return n > 0 ? 1 : n < 0 ? (int)n : -EPIPE;
}

/* A line is answered at length, then the connection is closed. */
static void expect_a_long_answer(weir_handler_fn *handler, size_t len,
				 void *arg)
{
	for (int is_session = 0; is_session < 2; is_session++) {
		struct server *s = serve_kind(handler, is_session, arg);
		struct client *c = client_open(s);
		struct weir_report report;

		client_send(c, "go\n");
		expect_long(c, len);
		report = server_stop_and_check(s);
		ck_assert_uint_eq(report.ledger.completed, 1);
	}
}

static char *long_text(void)
{
	char *text = malloc(LONG);

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < LONG; i++)
		text[i] = byte_at(i);
	return text;
}

static int write_it_at_once(weir_conn *c, void *arg)
{
	int rc = await_a_line(c);

	return rc < 0 ? rc : weir_conn_write(c, arg, LONG);
}

static int write_in_growing_pieces(weir_conn *c, void *arg)
{
	const char *text = arg;
	int rc = await_a_line(c);

	for (size_t at = 0, len = 1; rc >= 0 && at < LONG; at += len++) {
		if (len > LONG - at)
			len = LONG - at;
		rc = weir_conn_write(c, text + at, len);
	}
	return rc < 0 ? rc : 0;
}

START_TEST(long_output_arrives_whole)
{
	char *text = long_text();

	expect_a_long_answer(write_it_at_once, LONG, text);
	expect_a_long_answer(write_in_growing_pieces, LONG, text);
	free(text);
}
END_TEST

/* arg is a gate, where it waits after it has written. */
static int write_little_pieces(weir_conn *c, void *arg)
{
	int rc = await_a_line(c);

	for (size_t at = 0; rc >= 0 && at < 5000; at++) {
		char byte = byte_at(at);

		rc = weir_conn_write(c, &byte, 1);
	}
	gate_wait(arg);
	return rc < 0 ? rc : 0;
}

/* Little or much at once: at most the mark is kept, the rest is sent. */
START_TEST(what_is_beyond_the_mark_goes_out_at_once)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_workers(
		2, WEIR_SERVICE(.session = write_little_pieces,
				.outbox_mark = 1000, .arg = &gate));
	struct client *c = client_open(s);
	char got[4000];

	client_send(c, "go\n");
	for (size_t have = 0; have < sizeof(got);) {
		ssize_t n = client_read(c, got + have, sizeof(got) - have);

		ck_assert_int_gt(n, 0);
		have += (size_t)n;
	}
	ck_assert(bytes_match(got, sizeof(got), 0));
	gate_open(&gate);
	client_close(c);
	server_stop_and_check(s);
}
END_TEST

#define PIECES 1024

static int write_a_vector(weir_conn *c, void *arg)
{
	struct iovec iov[PIECES];
	char *text = arg;
	int rc = await_a_line(c);

	if (rc < 0)
		return rc;
	for (int i = 0; i < PIECES; i++) {
		iov[i] = (struct iovec){ text, (size_t)i };
		text += i;
	}
	return weir_conn_writev(c, iov, PIECES);
}

START_TEST(a_vector_of_1024_pieces_arrives_whole)
{
	char *text = long_text();

	/* The pieces are of 0, 1, 2 ... 1,023 bytes. */
	expect_a_long_answer(write_a_vector, (size_t)PIECES * (PIECES - 1) / 2,
			     text);
	free(text);
}
END_TEST

static int print_at_length(weir_conn *c, void *arg)
{
	int rc = await_a_line(c);

	if (rc >= 0)
		rc = weir_conn_printf(c, "%.*s", 100000, (const char *)arg);
	return rc < 0 ? rc : 0;
}

START_TEST(printed_text_may_be_long)
{
	char *text = long_text();

	expect_a_long_answer(print_at_length, 100000, text);
	free(text);
}
END_TEST

static int refuse_bad_calls(weir_conn *c, void *arg)
{
	struct iovec iov[PIECES + 1] = { { 0 } };
	int rc = await_a_line(c);

	(void)arg;
	if (rc < 0)
		return rc;
	weir_conn_printf(c, "%s ",
			 error_name(weir_conn_writev(c, iov, PIECES + 1)));
	weir_conn_printf(c, "%s ", error_name(weir_conn_writev(c, iov, -1)));
	weir_conn_printf(c, "%s ", error_name(weir_conn_shutdown(c, 77)));
	weir_conn_printf(c, "%s", error_name(weir_conn_sendfile(c, -1, 0, 1)));
	return 0;
}

START_TEST(bad_output_calls_are_answered)
{
	struct server *s = serve_kind(refuse_bad_calls, false, NULL);
	struct client *c = client_open(s);

	client_expect_reply(c, "go\n", "-EINVAL -EINVAL -EINVAL -EBADF");
	client_expect_eof(c);
	server_stop_and_check(s);
}
END_TEST

static int write_where_none_goes(weir_conn *c, void *arg)
{
	int rc = await_a_line(c);

	if (rc < 0)
		return rc;
	shutdown(weir_conn_fd(c), SHUT_WR);
	rc = weir_conn_write(c, "x", 1);
	if (rc == 0 && weir_conn_flush(c) == -EPIPE &&
	    weir_conn_write(c, "x", 1) == -EPIPE &&
	    weir_conn_flush(c) == -EPIPE)
		atomic_fetch_add((_Atomic int *)arg, 1);
	return rc;
}

START_TEST(after_a_failure_every_output_call_fails)
{
	_Atomic int proper = 0;
	struct server *s = serve_kind(write_where_none_goes, false, &proper);
	struct client *c = client_open(s);
	struct weir_report report;

	client_send(c, "go\n");
	client_expect_eof(c);
	report = server_stop_and_check(s);
	ck_assert_int_eq(atomic_load(&proper), 1);
	ck_assert_uint_eq(report.ledger.failed, 1);
}
END_TEST

static int send_a_file_inside(weir_conn *c, void *arg)
{
	char head[100], tail[100];
	int rc = await_a_line(c), fd = *(int *)arg;

	for (size_t i = 0; i < 100; i++) {
		head[i] = byte_at(i);
		tail[i] = byte_at(LONG - 100 + i);
	}
	if (rc >= 0)
		rc = weir_conn_write(c, head, 100);
	if (rc >= 0)
		rc = weir_conn_sendfile(c, fd, 100, LONG - 200);
	if (rc >= 0)
		rc = weir_conn_write(c, tail, 100);
	return rc;
}

START_TEST(a_file_goes_out_between_what_is_written)
{
	int fd = make_file(LONG);

	expect_a_long_answer(send_a_file_inside, LONG, &fd);
	close(fd);
}
END_TEST

static int send_its_own_file(weir_conn *c, void *arg)
{
	int rc = await_a_line(c), fd;

	if (rc < 0)
		return rc;
	fd = dup(*(int *)arg);
	rc = weir_conn_sendfile(c, fd, 0, LONG);
	close(fd); /* the library has a duplicate */
	return rc;
}

START_TEST(a_file_may_be_closed_while_it_goes_out)
{
	int fd = make_file(LONG);

	expect_a_long_answer(send_its_own_file, LONG, &fd);
	close(fd);
}
END_TEST

static int half_closes_and_reads_on(weir_conn *c, void *arg)
{
	char line[32];
	ssize_t n;

	(void)arg;
	if (weir_conn_why(c) == WEIR_OPENED)
		return WEIR_AGAIN;
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0) {
		if (strcmp(line, "end\n") == 0) {
			weir_conn_printf(c, "the last word");
			weir_conn_shutdown(c, SHUT_WR);
		} else if (weir_conn_write(c, "x", 1) != -EPIPE) {
			return -EPROTO;
		}
	}
	return (int)n;
}

START_TEST(a_shut_down_direction_leaves_the_other)
{
	for (int is_session = 0; is_session < 2; is_session++) {
		struct server *s =
			serve_kind(half_closes_and_reads_on, is_session, NULL);
		struct client *c = client_open(s);
		struct weir_report report;

		client_expect_reply(c, "end\n", "the last word");
		client_expect_eof(c);
		client_send(c, "more\n");
		client_half_close(c);
		UNTIL(is_at_rest(s));
		report = server_stop_and_check(s);
		ck_assert_uint_eq(report.ledger.completed, 1);
	}
}
END_TEST

static int shut_input_down(weir_conn *c, void *arg)
{
	char line[32];
	int rc = await_a_line(c);

	(void)arg;
	if (rc < 0)
		return rc;
	weir_conn_shutdown(c, SHUT_RD);
	return weir_conn_printf(c, "%zd",
				weir_conn_read_line(c, line, sizeof(line)));
}

START_TEST(input_that_was_shut_down_has_ended)
{
	struct server *s = serve_kind(shut_input_down, false, NULL);
	struct client *c = client_open(s);

	client_expect_reply(c, "one\ntwo\nthree\n", "0");
	client_expect_eof(c);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS("output", long_output_arrives_whole,
			 what_is_beyond_the_mark_goes_out_at_once,
			 a_vector_of_1024_pieces_arrives_whole,
			 printed_text_may_be_long,
			 bad_output_calls_are_answered,
			 after_a_failure_every_output_call_fails,
			 a_file_goes_out_between_what_is_written,
			 a_file_may_be_closed_while_it_goes_out,
			 a_shut_down_direction_leaves_the_other,
			 input_that_was_shut_down_has_ended);
}
