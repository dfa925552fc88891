/* SPDX-License-Identifier: MIT */
/* Heads of requests: what is understood, and what is refused and why. */
#include "test.h"

#include "../../server/status/http.h"

static char head[HTTP_HEAD + 1];

static int parse(struct http_request *r, const char *text)
{
	snprintf(head, sizeof(head), "%s", text);
	return http_parse(r, head, strlen(head));
}

static void expect_status(int status, const char *text)
{
	struct http_request r;
	int said = parse(&r, text);

	ck_assert_msg(said == status, "%d, not %d, for: %s", said, status,
		      printable(text, strlen(text)));
	ck_assert(said == 200 || !r.keeps_alive);
}

START_TEST(a_request_has_a_path_and_a_query)
{
	struct http_request r;

	ck_assert_int_eq(parse(&r, "GET /a/b?c=d HTTP/1.1\r\nHost: h\r\n\r\n"),
			 200);
	ck_assert_str_eq(r.path, "/a/b");
	ck_assert_str_eq(r.query, "c=d");
	ck_assert(!r.is_head && r.keeps_alive && !r.wants_openmetrics);
	ck_assert_int_eq(
		parse(&r, "HEAD http://h:80/x HTTP/1.1\r\nHost: h\r\n\r\n"),
		200);
	ck_assert_str_eq(r.path, "/x");
	ck_assert_str_eq(r.query, "");
	ck_assert(r.is_head);
}
END_TEST

START_TEST(the_version_and_a_field_decide_what_stays_open)
{
	struct http_request r;

	parse(&r, "GET / HTTP/1.0\r\n\r\n");
	ck_assert(!r.keeps_alive);
	parse(&r, "GET / HTTP/1.1\r\nHost: h\r\nConnection: Close\r\n\r\n");
	ck_assert(!r.keeps_alive);
	parse(&r, "GET / HTTP/1.1\r\nHost: h\r\nConnection: x, close\r\n\r\n");
	ck_assert(!r.keeps_alive);
	parse(&r, "GET / HTTP/1.1\r\nHost: h\r\nConnection: closed\r\n\r\n");
	ck_assert(r.keeps_alive);
}
END_TEST

START_TEST(openmetrics_is_asked_for)
{
	struct http_request r;

	parse(&r, "GET / HTTP/1.1\r\nHost: h\r\naccept: text/plain;q=0.1, "
		  "application/openmetrics-text; version=1.0.0\r\n\r\n");
	ck_assert(r.wants_openmetrics);
	parse(&r, "GET / HTTP/1.1\r\nHost: h\r\n"
		  "Accept: application/openmetrics-textual\r\n\r\n");
	ck_assert(!r.wants_openmetrics);
}
END_TEST

START_TEST(what_has_two_meanings_is_refused)
{
	static const char *const heads[] = {
		"\r\n\r\n",
		"GET\r\n\r\n",
		"GET /\r\n\r\n",
		"GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
		"GET / http/1.1\r\nHost: h\r\n\r\n",
		"GET / HTTP/11\r\nHost: h\r\n\r\n",
		"GET x HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET http:/// HTTP/1.1\r\nHost: h\r\n\r\n",
		"G(T / HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n",
		"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\x01\r\n\r\n",
		"GET / HTTP/1.1\r\nHost\r\n\r\n",
		"GET / HTTP/1.1\r\n: h\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\n\r\nmore",
		"GET / HTTP/1.1\r\nHost: h\r\n",
	};

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		expect_status(400, heads[i]);
}
END_TEST

START_TEST(other_refusals_have_their_own_status)
{
	expect_status(405, "POST / HTTP/1.1\r\nHost: h\r\n\r\n");
	expect_status(405, "get / HTTP/1.1\r\nHost: h\r\n\r\n");
	expect_status(505, "GET / HTTP/2.0\r\nHost: h\r\n\r\n");
	expect_status(413, "GET / HTTP/1.1\r\nHost: h\r\n"
			   "Content-Length: 1\r\n\r\n");
	expect_status(413, "GET / HTTP/1.1\r\nHost: h\r\n"
			   "Transfer-Encoding: chunked\r\n\r\n");
	expect_status(200, "GET / HTTP/1.1\r\nHost: h\r\n"
			   "Content-Length: 0\r\n\r\n");
}
END_TEST

START_TEST(a_nul_ends_nothing)
{
	static const char nul[] = "GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n";
	struct http_request r;

	memcpy(head, nul, sizeof(nul));
	ck_assert_int_eq(http_parse(&r, head, sizeof(nul) - 1), 400);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"http", a_request_has_a_path_and_a_query,
		the_version_and_a_field_decide_what_stays_open,
		openmetrics_is_asked_for, what_has_two_meanings_is_refused,
		other_refusals_have_their_own_status, a_nul_ends_nothing);
}
