/* SPDX-License-Identifier: MIT */
/*
 * The input calls.  Each handler sends back what a call returned; each dialogue
 * runs as session and as readable, with the input whole, one and three bytes at
 * a time.
 */
#include "test.h"

struct dialogue {
	weir_handler_fn *handler;
	const char *says; /* then the end of input */
	const char *expects;
};

static void hold(const struct dialogue *d, bool is_session, size_t piece)
{
	struct weir_service service = { .size = sizeof(service),
					.line_max = 64 };
	struct server *s;
	struct client *c;

	if (is_session)
		service.session = d->handler;
	else
		service.readable = d->handler;
	s = serve_workers(2, &service);
	c = client_open(s);
	client_send_in_pieces(c, d->says, piece);
	client_half_close(c);
	client_expect_last(c, d->expects);
	server_stop_and_check(s);
}

static void hold_in_all_ways(weir_handler_fn *handler, const char *says,
			     const char *expects)
{
	static const size_t pieces[] = { 0, 1, 3 };
	const struct dialogue d = { handler, says, expects };

	for (int i = 0; i < 3; i++) {
		hold(&d, false, pieces[i]);
		hold(&d, true, pieces[i]);
	}
}

/* Send the result of a call; returns what the handler does next. */
static int tell(weir_conn *c, ssize_t n, const char *data)
{
	int rc;

	if (n == -EAGAIN)
		return -EAGAIN;
	if (n > 0)
		rc = weir_conn_printf(c, "%zd<%.*s>", n, (int)n, data);
	else
		rc = weir_conn_printf(c, "%s.", error_name(n));
	return rc < 0 ? rc : n > 0;
}

static int tell_lines(weir_conn *c, void *arg)
{
	char line[32];
	int rc;

	(void)arg;
	do
		rc = tell(c, weir_conn_read_line(c, line, sizeof(line)), line);
	while (rc > 0);
	return rc;
}

START_TEST(read_line_gives_lines_and_the_rest)
{
	hold_in_all_ways(tell_lines, "one\ntwo\n\nthe rest",
			 "4<one\n>4<two\n>1<\n>8<the rest>0.");
	hold_in_all_ways(tell_lines, "one\n", "4<one\n>0.");
	hold_in_all_ways(tell_lines, "", "0.");
}
END_TEST

START_TEST(a_line_just_fits_with_its_nul)
{
	hold_in_all_ways(tell_lines, "123456789012345678901234567890\n",
			 "31<123456789012345678901234567890\n>0.");
	hold_in_all_ways(tell_lines, "ok\n1234567890123456789012345678901\n",
			 "3<ok\n>-EMSGSIZE.");
	/* The last one has none, but needs the room. */
	hold_in_all_ways(tell_lines, "123456789012345678901234567890",
			 "30<123456789012345678901234567890>0.");
	hold_in_all_ways(tell_lines, "1234567890123456789012345678901",
			 "-EMSGSIZE.");
}
END_TEST

static int tell_wide_lines(weir_conn *c, void *arg)
{
	char line[256];
	int rc;

	(void)arg;
	do
		rc = tell(c, weir_conn_read_line(c, line, sizeof(line)), line);
	while (rc > 0);
	return rc;
}

START_TEST(a_line_longer_than_the_service_allows_is_not_buffered)
{
	hold_in_all_ways(tell_wide_lines,
			 "0123456789012345678901234567890123456789"
			 "01234567890123456789012345678901234567890123456789",
			 "-EMSGSIZE.");
}
END_TEST

static int tell_fours(weir_conn *c, void *arg)
{
	char four[4];
	int rc;

	(void)arg;
	do
		rc = tell(c, weir_conn_read_exact(c, four, 4), four);
	while (rc > 0);
	return rc;
}

START_TEST(read_exact_gives_exactly_that_much)
{
	hold_in_all_ways(tell_fours, "onetwothree4", "4<onet>4<woth>4<ree4>0.");
}
END_TEST

START_TEST(an_end_inside_an_exact_read_is_a_bad_message)
{
	hold_in_all_ways(tell_fours, "onetwo", "4<onet>-EBADMSG.");
}
END_TEST

static int tell_blocks(weir_conn *c, void *arg)
{
	char block[40];
	int rc;

	(void)arg;
	do
		rc = tell(c,
			  weir_conn_read_until(c, block, sizeof(block),
					       "\r\n\r\n", 4),
			  block);
	while (rc > 0);
	return rc;
}

START_TEST(read_until_finds_a_delimiter_of_several_bytes)
{
	hold_in_all_ways(tell_blocks, "a: 1\r\nb: 2\r\n\r\n\r\n\r\n",
			 "14<a: 1\r\nb: 2\r\n\r\n>4<\r\n\r\n>0.");
	hold_in_all_ways(tell_blocks, "nearly\r\n\r\r\n\r\n",
			 "13<nearly\r\n\r\r\n\r\n>0.");
}
END_TEST

START_TEST(an_end_before_the_delimiter_is_a_bad_message)
{
	hold_in_all_ways(tell_blocks, "a\r\n\r\nb\r\n\r",
			 "5<a\r\n\r\n>-EBADMSG.");
}
END_TEST

START_TEST(a_block_longer_than_the_buffer_is_too_long)
{
	hold_in_all_ways(tell_blocks,
			 "0123456789012345678901234567890123456789\r\n\r\n",
			 "-EMSGSIZE.");
}
END_TEST

/* Frames: a digit, and that many bytes. */
static int tell_frames(weir_conn *c, void *arg)
{
	const void *data;
	const char *frame;
	ssize_t n;
	size_t len;
	int rc;

	(void)arg;
	for (;;) {
		n = weir_conn_peek(c, &data, 1);
		if (n <= 0)
			return tell(c, n, NULL);
		len = (size_t)(*(const char *)data - '0');
		n = weir_conn_peek(c, &data, 1 + len);
		if (n <= 0)
			return tell(c, n, NULL);
		frame = data;
		rc = tell(c, (ssize_t)len, frame + 1);
		if (rc < 0)
			return rc;
		if (weir_conn_consume(c, (size_t)n + 1) != -EINVAL)
			return -EPROTO;
		rc = weir_conn_consume(c, 1 + len);
		if (rc < 0)
			return rc;
	}
}

START_TEST(peek_and_consume_frame_messages)
{
	hold_in_all_ways(tell_frames, "3abc5fghij1k", "3<abc>5<fghij>1<k>0.");
}
END_TEST

/* Send what a call has shown, after it was taken. */
static int tell_shown(weir_conn *c, ssize_t n, const char *data)
{
	if (n > 0 && weir_conn_consume(c, (size_t)n) < 0)
		return -EPROTO;
	return tell(c, n, data);
}

static int tell_shown_lines(weir_conn *c, void *arg)
{
	const char *first, *line = NULL;
	ssize_t n, again;
	int rc;

	(void)arg;
	do {
		n = again = weir_conn_peek_line(c, &first);
		if (n > 0)
			again = weir_conn_peek_line(c, &line);
		if (again == -EAGAIN)
			return -EAGAIN; /* its turn may be over */
		if (again != n)
			return -EPROTO; /* it stays */
		rc = tell_shown(c, n, line);
	} while (rc > 0);
	return rc;
}

START_TEST(peek_line_shows_lines_and_the_rest)
{
	hold_in_all_ways(tell_shown_lines, "one\ntwo\n\nthe rest",
			 "4<one\n>4<two\n>1<\n>8<the rest>0.");
	hold_in_all_ways(tell_shown_lines, "one\n", "4<one\n>0.");
	hold_in_all_ways(tell_shown_lines, "", "0.");
}
END_TEST

#define SIXTY "012345678901234567890123456789012345678901234567890123456789"

START_TEST(a_line_that_is_shown_is_as_long_as_the_service_allows)
{
	hold_in_all_ways(tell_shown_lines, SIXTY "abc\n",
			 "64<" SIXTY "abc\n>0.");
	hold_in_all_ways(tell_shown_lines, SIXTY "abc", "63<" SIXTY "abc>0.");
	hold_in_all_ways(tell_shown_lines, "ok\n" SIXTY "abcd\n",
			 "3<ok\n>-EMSGSIZE.");
	hold_in_all_ways(tell_shown_lines, SIXTY "abcd", "-EMSGSIZE.");
}
END_TEST

static int tell_shown_blocks(weir_conn *c, void *arg)
{
	const void *data = NULL;
	ssize_t n;
	int rc;

	(void)arg;
	do {
		n = weir_conn_peek_until(c, &data, "\r\n\r\n", 4);
		rc = tell_shown(c, n, data);
	} while (rc > 0);
	return rc;
}

START_TEST(peek_until_shows_blocks)
{
	hold_in_all_ways(tell_shown_blocks, "a: 1\r\nb: 2\r\n\r\n\r\n\r\n",
			 "14<a: 1\r\nb: 2\r\n\r\n>4<\r\n\r\n>0.");
	hold_in_all_ways(tell_shown_blocks, "a\r\n\r\nb\r\n\r",
			 "5<a\r\n\r\n>-EBADMSG.");
	hold_in_all_ways(tell_shown_blocks, SIXTY "\r\n\r\n",
			 "64<" SIXTY "\r\n\r\n>0.");
	hold_in_all_ways(tell_shown_blocks, SIXTY "1\r\n\r\n", "-EMSGSIZE.");
}
END_TEST

START_TEST(an_end_inside_a_peek_is_a_bad_message)
{
	hold_in_all_ways(tell_frames, "3abc5fgh", "3<abc>-EBADMSG.");
}
END_TEST

/* A line with a count, then that many bytes, then a block. */
static int tell_a_mixture(weir_conn *c, void *arg)
{
	int *step = weir_conn_data(c);
	char buf[32];
	int rc = 1;

	(void)arg;
	if (!step) {
		step = calloc(1, sizeof(*step));
		weir_conn_set_data(c, step, free);
	}
	while (rc > 0) {
		if (*step % 3 == 0)
			rc = tell(c, weir_conn_read_line(c, buf, sizeof(buf)),
				  buf);
		else if (*step % 3 == 1)
			rc = tell(c, weir_conn_read_exact(c, buf, 5), buf);
		else
			rc = tell(c,
				  weir_conn_read_until(c, buf, sizeof(buf),
						       "--", 2),
				  buf);
		*step += rc > 0;
	}
	return rc;
}

START_TEST(the_calls_follow_each_other_in_one_stream)
{
	hold_in_all_ways(tell_a_mixture, "line\nexactblock--next\nfiver---",
			 "5<line\n>5<exact>7<block-->5<next\n>5<fiver>2<-->"
			 "1<->0.");
}
END_TEST

static int read_a_byte(weir_conn *c, void *arg)
{
	char byte;
	int rc;

	(void)arg;
	rc = tell(c, weir_conn_read(c, &byte, 1), &byte);
	return rc > 0 ? WEIR_AGAIN : rc;
}

static void hold_as_readable(weir_handler_fn *handler, const char *says,
			     const char *expects)
{
	const struct dialogue d = { handler, says, expects };

	hold(&d, false, 0);
	hold(&d, false, 1);
}

/* Buffered bytes raise no event: the library must not wait for one. */
START_TEST(nothing_is_parked_with_bytes_left)
{
	hold_as_readable(read_a_byte, "abc", "1<a>1<b>1<c>0.");
}
END_TEST

static int read_a_line_again(weir_conn *c, void *arg)
{
	char line[32];
	int rc;

	(void)arg;
	rc = tell(c, weir_conn_read_line(c, line, sizeof(line)), line);
	return rc > 0 ? WEIR_AGAIN : rc;
}

START_TEST(pipelined_messages_are_served_one_call_each)
{
	hold_as_readable(read_a_line_again, "a\nb\nc\nd\ne",
			 "2<a\n>2<b\n>2<c\n>2<d\n>1<e>0.");
}
END_TEST

/* The same without further input, not even its end. */
START_TEST(the_last_message_of_a_segment_needs_no_more_input)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = read_a_line_again));
	struct client *c = client_open(s);

	client_expect_reply(c, "a\nb\nc\nd\n", "2<a\n>2<b\n>2<c\n>2<d\n>");
	server_stop_and_check(s);
}
END_TEST

/* The bytes of an earlier peek are there, and more are needed. */
static int peek_for_six(weir_conn *c, void *arg)
{
	const void *data = "";
	ssize_t n;

	(void)arg;
	n = weir_conn_peek(c, &data, 1);
	if (n > 0)
		n = weir_conn_peek(c, &data, 6);
	if (n > 0)
		weir_conn_consume(c, (size_t)n);
	return tell(c, n, data);
}

START_TEST(a_handler_that_wants_more_is_called_when_more_has_come)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = peek_for_six));
	struct client *c = client_open_and_send(s, "abc");

	UNTIL(stats(s).parked == 1 && stats(s).callbacks > 0);
	client_expect_reply(c, "def", "6<abcdef>");
	server_stop_and_check(s);
}
END_TEST

static int answer_the_end(weir_conn *c, void *arg)
{
	char buf[64];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read(c, buf, sizeof(buf))) > 0)
		;
	return n < 0 ? (int)n : weir_conn_printf(c, "you have ended");
}

START_TEST(a_half_close_still_gets_its_answer)
{
	hold_in_all_ways(answer_the_end, "some input", "you have ended");
	hold_in_all_ways(answer_the_end, "", "you have ended");
}
END_TEST

/* The end of input stays: another call returns it again, however late. */
static int ask_after_the_end(weir_conn *c, void *arg)
{
	int64_t turn_is_over_at = now_ms() + 3;
	char buf[64];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read(c, buf, sizeof(buf))) > 0)
		;
	if (n < 0)
		return (int)n;
	UNTIL(now_ms() >= turn_is_over_at);
	for (int i = 0; i < 3; i++)
		weir_conn_printf(c, "%zd %zd %zd.",
				 weir_conn_read(c, buf, sizeof(buf)),
				 weir_conn_read_exact(c, buf, 4),
				 weir_conn_read_line(c, buf, sizeof(buf)));
	return 0;
}

START_TEST(the_end_of_input_stays_the_end)
{
	hold_in_all_ways(ask_after_the_end, "input", "0 0 0.0 0 0.0 0 0.");
}
END_TEST

int main(void)
{
	return RUN_TESTS("input", read_line_gives_lines_and_the_rest,
			 a_line_just_fits_with_its_nul,
			 a_line_longer_than_the_service_allows_is_not_buffered,
			 read_exact_gives_exactly_that_much,
			 an_end_inside_an_exact_read_is_a_bad_message,
			 read_until_finds_a_delimiter_of_several_bytes,
			 an_end_before_the_delimiter_is_a_bad_message,
			 a_block_longer_than_the_buffer_is_too_long,
			 peek_and_consume_frame_messages,
			 peek_line_shows_lines_and_the_rest,
			 a_line_that_is_shown_is_as_long_as_the_service_allows,
			 peek_until_shows_blocks,
			 an_end_inside_a_peek_is_a_bad_message,
			 the_calls_follow_each_other_in_one_stream,
			 nothing_is_parked_with_bytes_left,
			 pipelined_messages_are_served_one_call_each,
			 the_last_message_of_a_segment_needs_no_more_input,
			 a_handler_that_wants_more_is_called_when_more_has_come,
			 a_half_close_still_gets_its_answer,
			 the_end_of_input_stays_the_end);
}
