/* SPDX-License-Identifier: MIT */
/*
 * Each handshake that has begun is counted once, by its result, for the server
 * and for the listener; so is an end without close_notify.
 */
#include <openssl/err.h>
#include <unistd.h>

#include "tlskit.h"

static uint64_t count(struct server *s, int result)
{
	return stats(s).handshakes[result];
}

static uint64_t all_handshakes(struct server *s)
{
	struct weir_stats now = stats(s);
	uint64_t sum = 0;

	for (int i = 0; i < 16; i++)
		sum += now.handshakes[i];
	return sum;
}

static struct server *serve_echo(void)
{
	return tls_serve(NULL, WEIR_SERVICE(.readable = echo));
}

/* Nothing else is counted. */
static void expect_alone(struct server *s, int result, uint64_t n)
{
	UNTIL(stats(s).ledger.open == 0);
	ck_assert_uint_eq(count(s, result), n);
	ck_assert_uint_eq(all_handshakes(s), n);
	(void)server_stop_and_check(s);
}

static SSL_SESSION *visit(struct server *s, SSL_SESSION *session)
{
	struct tls_client c = tls_connect(s, NULL);
	SSL_SESSION *ret;

	if (session)
		SSL_set_session(c.ssl, session);
	ck_assert_int_eq(tls_shake(&c), 1);
	tls_expect_echo(&c, "hello");
	ret = SSL_get1_session(c.ssl);
	tls_close(&c);
	return ret;
}

START_TEST(full_and_resumed_handshakes_are_told_apart)
{
	struct server *s = serve_echo();
	SSL_SESSION *one = visit(s, NULL), *two = visit(s, one);
	struct weir_stats now;
	uint64_t timed = 0;

	SSL_SESSION_free(one);
	SSL_SESSION_free(two);
	UNTIL(stats(s).ledger.open == 0);
	now = stats(s);
	ck_assert_uint_eq(now.handshakes[WEIR_HANDSHAKE_FULL], 1);
	ck_assert_uint_eq(now.handshakes[WEIR_HANDSHAKE_RESUMED], 1);
	ck_assert_uint_eq(all_handshakes(s), 2);
	for (int i = 0; i < WEIR_BUCKETS; i++)
		timed += now.handshake_time[i];
	ck_assert_uint_eq(timed, 2);
	ck_assert_uint_gt(now.handshake_us, 0);
	ck_assert_uint_eq(now.truncated, 0);
	(void)server_stop_and_check(s);
}
END_TEST

START_TEST(text_in_clear_is_no_tls)
{
	struct server *s = serve_echo();
	struct client *c = client_open(s);

	client_send(c, "GET / HTTP/1.0\r\n\r\n");
	ck_assert_uint_eq(client_expect_end(c), 0);
	expect_alone(s, WEIR_HANDSHAKE_NOT_TLS, 1);
}
END_TEST

static void expect_failure_with(SSL_CTX *ctx, int result)
{
	struct server *s = serve_echo();
	struct tls_client c = tls_connect(s, ctx);

	ck_assert_int_lt(tls_shake(&c), 0);
	tls_abandon(&c);
	SSL_CTX_free(ctx);
	expect_alone(s, result, 1);
}

START_TEST(nothing_in_common_is_a_failure_of_the_protocol)
{
	SSL_CTX *ctx = client_context();

	ck_assert_int_eq(SSL_CTX_set1_groups_list(ctx, "ffdhe8192"), 1);
	expect_failure_with(ctx, WEIR_HANDSHAKE_PROTOCOL);
	ctx = client_context();
	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0");
	SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
	expect_failure_with(ctx, WEIR_HANDSHAKE_PROTOCOL);
}
END_TEST

START_TEST(a_certificate_that_a_client_refuses_is_counted)
{
	const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	for (int i = 0; i < 2; i++) {
		SSL_CTX *ctx = client_context();

		SSL_CTX_set_max_proto_version(ctx, versions[i]);
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
		expect_failure_with(ctx, WEIR_HANDSHAKE_CERTIFICATE);
	}
}
END_TEST

START_TEST(a_client_without_a_certificate_is_counted)
{
	struct weir_service service = *WEIR_SERVICE(.readable = echo);
	weir_tls *tls;
	struct server *s;
	struct tls_client c;
	char byte;

	ck_assert_int_eq(
		weir_tls_new(&tls,
			     WEIR_TLS(.certificate = tls_file("a.pem"),
				      .key = tls_file("a.key"),
				      .ca = tls_file("ca.pem"),
				      .client = WEIR_TLS_REQUIRE_CLIENT),
			     NULL, 0),
		0);
	ck_assert_int_eq(weir_tls_use(&service, tls), 0);
	s = serve(NULL, &service);
	weir_tls_unref(tls);
	c = tls_connect(s, NULL);
	if (tls_shake(&c) == 1)
		ck_assert_int_le(SSL_read(c.ssl, &byte, 1), 0);
	tls_abandon(&c);
	expect_alone(s, WEIR_HANDSHAKE_CERTIFICATE, 1);
}
END_TEST

/* A whole hello, and nothing after it. */
static void send_hello(struct client *c)
{
	SSL_CTX *ctx = client_context();
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	SSL *ssl = SSL_new(ctx);
	char *hello;
	long len;

	SSL_set_bio(ssl, in, out);
	ck_assert_int_lt(SSL_connect(ssl), 0);
	len = BIO_get_mem_data(out, &hello);
	client_send_bytes(c, hello, (size_t)len);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
}

/* False: the server had too little time to begin a handshake. */
static bool is_timed_out(int ms)
{
	struct server *s = tls_serve(
		NULL, WEIR_SERVICE(.readable = echo, .handshake_ms = ms));
	struct client *silent = client_open(s), *c = client_open(s);
	bool has_begun;

	send_hello(c);
	has_begun = client_expect_end(c) > 0;
	ck_assert_uint_eq(client_expect_end(silent), 0);
	UNTIL(stats(s).timed_out[WEIR_TIMEOUT_HANDSHAKE] == 2);
	if (has_begun)
		expect_alone(s, WEIR_HANDSHAKE_TIMED_OUT, 1);
	else
		(void)server_stop_and_check(s);
	return has_begun;
}

/* A client that has sent nothing has begun none. */
START_TEST(a_handshake_out_of_time_is_counted)
{
	int ms = 200;

	while (!is_timed_out(ms)) {
		ms *= 4;
		ck_assert_int_lt(ms, 100000);
	}
}
END_TEST

START_TEST(a_client_that_leaves_its_handshake_is_counted)
{
	struct server *s = serve_echo();
	struct client *c;

	client_close(client_open(s));
	c = client_open(s);
	client_send_bytes(c, "\x16\x03\x01\x02\x00\x01", 6);
	client_close(c);
	UNTIL(stats(s).ledger.failed == 2);
	expect_alone(s, WEIR_HANDSHAKE_LOST, 1);
}
END_TEST

/* A hello of 8,192 bytes, each in a record of its own. */
START_TEST(a_flood_of_records_is_a_failure_of_the_protocol)
{
	const char head[] = { 1, 0, 32, 0 };
	struct server *s = serve_echo();
	struct client *c = client_open(s);

	for (size_t i = 0; i < 8192 && stats(s).ledger.failed == 0; i++) {
		const char record[] = { 22, 3, 1,
					0,  1, i < sizeof(head) ? head[i] : 0 };

		(void)send(c->fd, record, sizeof(record), MSG_NOSIGNAL);
	}
	UNTIL(stats(s).ledger.failed == 1);
	client_close(c);
	expect_alone(s, WEIR_HANDSHAKE_PROTOCOL, 1);
}
END_TEST

START_TEST(a_handshake_that_a_stop_ends_is_counted)
{
	struct server *s = serve_echo();
	struct client *c = client_open(s);
	char byte;

	send_hello(c);
	ck_assert_int_eq(client_read(c, &byte, 1), 1);
	weir_server_stop(s->weir, 10000);
	(void)client_read_to_eof(c);
	UNTIL(stats(s).ledger.open == 0);
	ck_assert_uint_eq(count(s, WEIR_HANDSHAKE_CUT), 1);
	ck_assert_uint_eq(all_handshakes(s), 1);
	(void)server_join_and_check(s);
}
END_TEST

/* An end between two records, and one inside a record. */
START_TEST(an_end_without_close_notify_is_counted)
{
	struct server *s = serve_echo();
	struct tls_client c = tls_open(s, NULL);
	const char part[] = "\x17\x03\x03\x00\x20half";

	tls_expect_echo(&c, "hello");
	tls_close(&c);
	UNTIL(stats(s).ledger.completed == 1);
	ck_assert_uint_eq(stats(s).truncated, 0);
	c = tls_open(s, NULL);
	tls_expect_echo(&c, "hello");
	tls_abandon(&c);
	UNTIL(stats(s).ledger.completed == 2);
	ck_assert_uint_eq(stats(s).truncated, 1);
	c = tls_open(s, NULL);
	tls_expect_echo(&c, "hello");
	ck_assert_int_eq(write(c.fd, part, sizeof(part) - 1), sizeof(part) - 1);
	tls_abandon(&c);
	UNTIL(stats(s).ledger.failed == 1);
	ck_assert_uint_eq(stats(s).truncated, 2);
	expect_alone(s, WEIR_HANDSHAKE_FULL, 3);
}
END_TEST

static weir_tls *late_tls;

static int start_tls(weir_conn *c, void *arg)
{
	char line[16];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc;

	(void)arg;
	if (n <= 0)
		return (int)n;
	rc = weir_conn_start_tls(c, late_tls, NULL);
	return rc < 0 ? rc : WEIR_AGAIN;
}

START_TEST(a_handshake_in_mid_connection_is_counted)
{
	late_tls = tls_server("a");
	for (int in_session = 0; in_session < 2; in_session++) {
		struct weir_service service = { .size = sizeof(service) };
		struct tls_client good;
		struct client *bad;
		struct server *s;

		weir_service_init(&service, sizeof(service));
		service.readable = in_session ? NULL : start_tls;
		service.session = in_session ? start_tls : NULL;
		s = serve(NULL, &service);
		good = tls_connect(s, NULL);
		ck_assert_int_eq(write(good.fd, "go\n", 3), 3);
		ck_assert_int_eq(tls_shake(&good), 1);
		UNTIL(count(s, WEIR_HANDSHAKE_FULL) == 1);
		tls_close(&good);
		bad = client_open(s);
		client_send(bad, "go\nGET / HTTP/1.0\r\n\r\n");
		ck_assert_uint_eq(client_expect_end(bad), 0);
		UNTIL(stats(s).ledger.open == 0);
		ck_assert_uint_eq(count(s, WEIR_HANDSHAKE_NOT_TLS), 1);
		ck_assert_uint_eq(all_handshakes(s), 2);
		(void)server_stop_and_check(s);
	}
	weir_tls_unref(late_tls);
}
END_TEST

static int ask(weir_conn *c, void *arg)
{
	(void)arg;
	return weir_conn_write(c, "hello", 5) < 0 ? WEIR_CLOSE : WEIR_AGAIN;
}

static int close_at_answer(weir_conn *c, void *arg)
{
	char buf[16];
	ssize_t n = weir_conn_read(c, buf, sizeof(buf));

	(void)arg;
	return n <= 0 ? (int)n : WEIR_CLOSE;
}

/* Both ends are connections of the server; one is of its listener. */
START_TEST(a_dialled_connection_counts_for_the_server_alone)
{
	weir_tls *good = tls_client("a.example"),
		 *bad = tls_client("b.example");
	struct weir_service service =
		*WEIR_SERVICE(.opened = ask, .readable = close_at_answer);
	struct server *s = serve_echo();

	ck_assert_int_eq(weir_tls_use(&service, good), 0);
	ck_assert_int_eq(
		weir_server_dial(s->weir, NULL, s->address, 0, &service), 0);
	UNTIL(stats(s).ledger.completed == 2);
	ck_assert_int_eq(weir_tls_use(&service, bad), 0);
	ck_assert_int_eq(
		weir_server_dial(s->weir, NULL, s->address, 0, &service), 0);
	UNTIL(stats(s).ledger.failed == 2);
	weir_tls_unref(good);
	weir_tls_unref(bad);
	ck_assert_uint_eq(count(s, WEIR_HANDSHAKE_FULL), 2);
	ck_assert_uint_eq(count(s, WEIR_HANDSHAKE_CERTIFICATE), 2);
	ck_assert_uint_eq(listener_stats(s, 0).handshakes[WEIR_HANDSHAKE_FULL],
			  1);
	ck_assert_uint_eq(
		listener_stats(s, 0).handshakes[WEIR_HANDSHAKE_CERTIFICATE], 1);
	(void)server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS("tls_counts",
			 full_and_resumed_handshakes_are_told_apart,
			 text_in_clear_is_no_tls,
			 nothing_in_common_is_a_failure_of_the_protocol,
			 a_certificate_that_a_client_refuses_is_counted,
			 a_client_without_a_certificate_is_counted,
			 a_handshake_out_of_time_is_counted,
			 a_client_that_leaves_its_handshake_is_counted,
			 a_flood_of_records_is_a_failure_of_the_protocol,
			 a_handshake_that_a_stop_ends_is_counted,
			 an_end_without_close_notify_is_counted,
			 a_handshake_in_mid_connection_is_counted,
			 a_dialled_connection_counts_for_the_server_alone);
}
