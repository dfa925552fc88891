/* SPDX-License-Identifier: MIT */
/*
 * Each byte of a message that comes in small pieces is searched about once,
 * whatever the length of the delimiter; a change of the delimiter in
 * mid-message is noticed.
 */
#include "test.h"

#include <sys/socket.h>

#include "conn.h"
#include "faults.h"

#define MESSAGE 60000
#define PIECE	100

void *__real_memmem(const void *in, size_t in_len, const void *what,
		    size_t what_len);
void *__wrap_memmem(const void *in, size_t in_len, const void *what,
		    size_t what_len);

static size_t searched; /* bytes, by the library */

void *__wrap_memmem(const void *in, size_t in_len, const void *what,
		    size_t what_len)
{
	searched += in_len;
	return __real_memmem(in, in_len, what, what_len);
}

/* Every other time nothing comes. */
static int bring_a_piece(enum wr_sys_call call, size_t *len)
{
	static bool is_empty;

	if (call != WR_SYS_recv)
		return 0;
	*len = wr_min(*len, (size_t)PIECE);
	is_empty = !is_empty;
	return is_empty ? -EAGAIN : 0;
}

static int never_called(weir_conn *c, void *arg)
{
	(void)c, (void)arg;
	return 0;
}

/* As successive callbacks of a `readable` service would. */
static ssize_t read_on_until(weir_conn *c, void *buf, size_t cap,
			     const char *end, size_t len)
{
	static const struct wr_limits limits = {
		.line_max = (size_t)1 << 20,
		.outbox_mark = (size_t)1 << 18,
	};
	static const struct wr_service unwaiting = {
		.set = { .readable = never_called },
		.limits = &limits,
	};
	ssize_t n;

	c->service = &unwaiting;
	c->ctx->busy_since = INT64_MAX;
	while ((n = weir_conn_read_until(c, buf, cap, end, len)) == -EAGAIN) {
		c->call = (struct wr_call){ .why = 0 };
		ck_assert_int_gt(wr_conn_input_find(c), 0);
	}
	return n;
}

static const char delim[] = "--a boundary as long as RFC 2046 allows it to be, "
			    "that is of 70 bytes.\r\n";

static weir_conn *dial_pair(int pair[2])
{
	char where[32];
	weir_conn *c;

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	snprintf(where, sizeof(where), "fd:%d", pair[0]);
	ck_assert_int_eq(weir_dial(&c, where, 1000), 0);
	return c;
}

START_TEST(a_message_in_pieces_is_searched_once_for_a_delimiter_of_any_length)
{
	static char message[MESSAGE], got[MESSAGE];
	const size_t lens[] = { 2, 8, 9, 16, sizeof(delim) - 1 };
	int pair[2];
	weir_conn *c = dial_pair(pair);

	wr_sys_fault = bring_a_piece;
	for (size_t i = 0; i < wr_array_len(lens); i++) {
		size_t len = lens[i];
		const char *end = delim + sizeof(delim) - 1 - len;

		memset(message, '-', sizeof(message));
		memcpy(message + sizeof(message) - len, end, len);
		ck_assert_int_eq(write(pair[1], message, sizeof(message)),
				 sizeof(message));
		searched = 0;
		ck_assert_int_eq(read_on_until(c, got, sizeof(got), end, len),
				 sizeof(message));
		ck_assert_mem_eq(got, message, sizeof(got));
		ck_assert_msg(searched <= 2 * MESSAGE + MESSAGE / PIECE * len,
			      "%zu bytes searched for %zu", searched, len);
	}
	wr_sys_fault = NULL;
	weir_conn_free(c);
	close(pair[1]);
}
END_TEST

/* The first ten bytes are those of the other delimiter. */
static int change_its_mind(weir_conn *c, void *arg)
{
	char got[64];
	ssize_t n =
		weir_conn_read_until(c, got, sizeof(got), "0123456789ab", 12);

	(void)arg;
	if (n == -EAGAIN)
		n = weir_conn_read_until(c, got, sizeof(got), "0123456789cd",
					 12);
	if (n <= 0)
		return (int)n;
	n = weir_conn_write(c, got, (size_t)n);
	return n < 0 ? (int)n : WEIR_AGAIN;
}

START_TEST(another_long_delimiter_is_found_in_what_was_searched)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = change_its_mind));
	struct client *c = client_open_and_echo(s, "x0123456789cd");

	client_expect_echo(c, "y0123456789ab");
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"delimiters",
		a_message_in_pieces_is_searched_once_for_a_delimiter_of_any_length,
		another_long_delimiter_is_found_in_what_was_searched);
}
