/* SPDX-License-Identifier: MIT */
/*
 * The end of a reply is found wherever the input is cut, and what cannot be a
 * reply is refused.
 */
#include "test.h"

#include "../../client/load/engine/framer.h"

#define REPLIES_MAX 8

/* Replies one after the other. */
struct stream {
	const char *form;
	const char *replies[REPLIES_MAX];
};

#define OK "HTTP/1.1 200 OK\r\n"

static const struct stream streams[] = {
	{ "len:3", { "abc", "def", "\r\n\n" } },
	{ "line", { "a\n", "\n", "+PONG\r\n" } },
	{ "lines:3", { "$3\r\nfoo\r\n\n", "\n\n\n" } },
	{ "until:END\\r\\n",
	  { "END\r\n", "VALUE END\rEND\n ENEND\r\n", "E\r\nEENDEND\r\n" } },
	{ "until:aabaa", { "aabaa", "aababbaaabaa", "baaabaa" } },
	{ "until:\\x00", { "", "abc" } },
	{ "prefix:1be",
	  { "\x03"
	    "abc",
	    "\x01"
	    "d" } },
	{ "prefix:2be+1",
	  { "\x01\x02", "\x01"
			"abc" } },
	{ "prefix:2le-258",
	  { "\x03\x01"
	    "a",
	    "\x02\x01",
	    "\x07\x01"
	    "\n\n\n\n\n" } },
	{ "http",
	  { OK "Content-Length: 5\r\n\r\nhello",
	    OK "content-length:\t0 \r\nConnection: close\r\n\r\n",
	    "HTTP/1.0 503 Busy\nServer: x\nContent-Length: 2\n\nno",
	    OK "X-A-Header-That-Is-Longer-Than-What-Is-Kept-Of-A-Line: "
	       "Content-Length: 99\r\nCONTENT-LENGTH: 1\r\n\r\nx" } },
	{ "http",
	  { OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	    OK
	    "Transfer-Encoding: gzip, Chunked\r\nContent-Length: 1\r\n\r\n"
	    "0a "
	    ";name=value\r\n0123456789\r\nF\r\n0\r\n\r\n0\r\n\r\n0\r\n\r\n\r\n"
	    "0\r\nTrailer: x\r\n\r\n",
	    OK "Transfer-Encoding: chunked \t\r\n\r\n1\r\na\r\n0\r\n\r\n" } },
	{ "http",
	  { "HTTP/1.1 204 No Content\r\n\r\n",
	    "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
	    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: "
	    "x\r\n"
	    "\r\n" OK "Content-Length: 1\r\n\r\nx",
	    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: y\r\n\r\n" } },
};

#define EACH(x, list)                                                          \
	for (size_t x = 0; x < sizeof(list) / sizeof((list)[0]); x++)

/* A stream as bytes, and where its replies end. */
struct flat {
	char data[1024];
	size_t len, ends[REPLIES_MAX], count;
};

/* Of these replies the lengths are not those of C strings. */
static size_t reply_len(const struct stream *s, size_t n)
{
	if (strcmp(s->form, "until:\\x00") == 0)
		return strlen(s->replies[n]) + 1;
	if (strcmp(s->form, "prefix:2be+1") == 0)
		return n == 0 ? 2 + 0x102 + 1 : 2 + 0x161 + 1;
	return strlen(s->replies[n]);
}

static struct flat flatten(const struct stream *s)
{
	struct flat f = { .len = 0 };

	for (; f.count < REPLIES_MAX && s->replies[f.count]; f.count++) {
		size_t own = strlen(s->replies[f.count]);
		size_t len = reply_len(s, f.count);

		ck_assert_uint_le(f.len + len, sizeof(f.data));
		memcpy(f.data + f.len, s->replies[f.count],
		       own < len ? own : len);
		f.ends[f.count] = f.len += len;
	}
	return f;
}

/* The replies of the bytes from..to end where they should. */
static void feed(const struct framer *f, struct framing *state,
		 const struct flat *all, size_t from, size_t to, size_t *reply)
{
	while (from < to) {
		size_t used = 0;
		enum framer_result r = framer_take(f, state, all->data + from,
						   to - from, &used);

		ck_assert_int_ne(r, FRAMER_WRONG);
		ck_assert_uint_le(used, to - from);
		from += used;
		if (r == FRAMER_MORE) {
			ck_assert_uint_eq(from, to);
			ck_assert_uint_lt(from, all->ends[*reply]);
			continue;
		}
		ck_assert_uint_eq(from, all->ends[*reply]);
		++*reply;
		*state = (struct framing){ .used = 0 };
	}
}

static void feed_cut(const struct framer *f, const struct flat *all, size_t a,
		     size_t b)
{
	struct framing state = { .used = 0 };
	size_t reply = 0;

	feed(f, &state, all, 0, a, &reply);
	feed(f, &state, all, a, b, &reply);
	feed(f, &state, all, b, all->len, &reply);
	ck_assert_uint_eq(reply, all->count);
}

START_TEST(replies_end_where_they_end_wherever_they_are_cut)
{
	EACH(i, streams)
	{
		struct framer f;
		struct flat all;
		size_t step;

		ck_assert(framer_parse(&f, streams[i].form));
		all = flatten(&streams[i]);
		step = all.len > 300 ? 7 : 1;
		for (size_t a = 0; a <= all.len; a++)
			for (size_t b = a; b <= all.len; b += step)
				feed_cut(&f, &all, a, b);
	}
}
END_TEST

START_TEST(replies_end_where_they_end_byte_by_byte)
{
	EACH(i, streams)
	{
		struct framer f;
		struct framing state = { .used = 0 };
		struct flat all = flatten(&streams[i]);
		size_t reply = 0;

		ck_assert(framer_parse(&f, streams[i].form));
		for (size_t at = 0; at < all.len; at++)
			feed(&f, &state, &all, at, at + 1, &reply);
		ck_assert_uint_eq(reply, all.count);
	}
}
END_TEST

static const struct wrong {
	const char *form, *data;
	size_t len;
} wrongs[] = {
	{ "http", "+PONG\r\n", 7 },
	{ "http", "HTTP/2", 6 },
	{ "http", "HTTP/1.1 OK\r\n", 13 },
	{ "http", "HTTP/1.1 2x0 OK\r\n", 17 },
	{ "http", OK "Content-Length: -1\r\n", 37 },
	{ "http", OK "Content-Length: 1x\r\n", 37 },
	{ "http", OK "Content-Length: 1\r\nContent-Length: 2\r\n", 55 },
	{ "http", OK "Content-Length: 1\0000\r\n", 39 },
	{ "http",
	  OK "Content-Length: 000000000000000000000000000000"
	     "0000000000000000000000000000005\r\n",
	  96 },
	{ "http",
	  OK "Transfer-Encoding: a-coding-with-a-name-that-is-as-long-as-a-"
	     "line, chunked\r\n",
	  93 },
	{ "http", OK "Transfer-Encoding: chunked\r\n\r\nx\r\n", 50 },
	{ "http", OK "Transfer-Encoding: chunked\r\n\r\n0x10\r\n", 53 },
	{ "http", OK "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 56 },
	{ "http", OK "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
	  66 },
	{ "prefix:4be", "\xff\xff\xff\xff", 4 },
	{ "prefix:2be-4", "\x00\x03", 2 },
	{ "prefix:8le", "\x00\x00\x00\x00\x00\x00\x00\x80", 8 },
};

START_TEST(what_is_no_reply_is_refused_wherever_it_is_cut)
{
	EACH(i, wrongs)
	{
		const struct wrong *w = &wrongs[i];
		struct framer f;

		ck_assert(framer_parse(&f, w->form));
		for (size_t cut = 0; cut < w->len; cut++) {
			struct framing state = { .used = 0 };
			size_t used;
			enum framer_result r =
				framer_take(&f, &state, w->data, cut, &used);

			if (r == FRAMER_MORE)
				r = framer_take(&f, &state, w->data + cut,
						w->len - cut, &used);
			ck_assert_msg(r == FRAMER_WRONG, "%s cut at %zu",
				      w->data, cut);
		}
	}
}
END_TEST

START_TEST(a_reply_to_head_has_no_body)
{
	static const char reply[] = OK "Content-Length: 5\r\n\r\n";
	struct framer f;
	struct framing state = { .used = 0 };
	size_t used;

	ck_assert(framer_parse(&f, "http"));
	f.is_head = true;
	ck_assert_int_eq(
		framer_take(&f, &state, reply, sizeof(reply) - 1, &used),
		FRAMER_END);
	ck_assert_uint_eq(used, sizeof(reply) - 1);
	ck_assert_int_eq(state.status, 200);
}
END_TEST

START_TEST(the_end_of_input_ends_a_body_without_a_length_only)
{
	static const char reply[] = OK "\r\nhello";
	struct framer f;
	struct framing state = { .used = 0 };
	size_t used;

	ck_assert(framer_parse(&f, "http"));
	for (size_t i = 0; i < sizeof(reply) - 1; i++) {
		ck_assert(!framer_ends_with_input(&f, &state) ||
			  i >= sizeof(OK "\r\n") - 1);
		ck_assert_int_eq(framer_take(&f, &state, reply + i, 1, &used),
				 FRAMER_MORE);
	}
	ck_assert(framer_ends_with_input(&f, &state));
}
END_TEST

START_TEST(values_that_are_no_form_are_refused)
{
	static const char *const values[] = {
		"",
		"len",
		"len:",
		"len:0",
		"len:x",
		"len:67108865",
		"len:1 ",
		"lines",
		"lines:0",
		"line:1",
		"until",
		"until:",
		"until:\\q",
		"prefix",
		"prefix:",
		"prefix:3be",
		"prefix:4",
		"prefix:4bx",
		"prefix:4be+",
		"prefix:4be*1",
		"prefix:4be+1x",
		"http:",
		"any:",
		"anything",
		"echo",
	};
	struct framer f;

	EACH(i, values)
	ck_assert_msg(!framer_parse(&f, values[i]), "'%s' is taken", values[i]);
}
END_TEST

int main(void)
{
	return RUN_TESTS("framer",
			 replies_end_where_they_end_wherever_they_are_cut,
			 replies_end_where_they_end_byte_by_byte,
			 what_is_no_reply_is_refused_wherever_it_is_cut,
			 a_reply_to_head_has_no_body,
			 the_end_of_input_ends_a_body_without_a_length_only,
			 values_that_are_no_form_are_refused);
}
