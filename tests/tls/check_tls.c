/* SPDX-License-Identifier: MIT */
/*
 * What TLS promises a handler and a client: the bytes are the plain ones, calls
 * come for input alone, and the end of a connection is told as it is.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include "tlskit.h"

#define BIG ((size_t)2 << 20)

static atomic_int calls; /* of a handler */

static int echo_and_count(weir_conn *c, void *arg)
{
	atomic_fetch_add(&calls, 1);
	return echo(c, arg);
}

enum { READABLE, SESSION, SESSION_ON_WORKER, KINDS };

/* A test that runs once for each kind of handler. */
#define AS_EACH_KIND(name)                                                     \
	static void name##_as(int kind);                                       \
	START_TEST(name)                                                       \
	{                                                                      \
		for (int kind = 0; kind < KINDS; kind++)                       \
			name##_as(kind);                                       \
	}                                                                      \
	END_TEST                                                               \
	static void name##_as(int kind)

static struct weir_service service_as(int kind, weir_handler_fn *fn)
{
	struct weir_service service;

	weir_service_init(&service, sizeof(service));
	service.readable = kind == READABLE ? fn : NULL;
	service.session = kind == READABLE ? NULL : fn;
	service.session_on_worker = kind == SESSION_ON_WORKER;
	return service;
}

static void expect_completed(struct server *s, uint64_t count)
{
	struct weir_report r = server_stop_and_check(s);

	ck_assert_uint_eq(r.ledger.accepted, count);
	ck_assert_uint_eq(r.ledger.completed, count);
}

static char *big_text(void)
{
	char *text = malloc(BIG);

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < BIG; i++)
		text[i] = byte_at(i);
	return text;
}

AS_EACH_KIND(any_handler_serves_by_tls)
{
	struct weir_service service = service_as(kind, echo);
	struct server *s = tls_serve(NULL, &service);
	struct tls_client a = tls_open(s, NULL), b = tls_open(s, NULL);

	for (int i = 0; i < 20; i++) {
		tls_expect_echo(&a, "hello");
		tls_expect_echo(&b, "there");
	}
	tls_half_close(&a);
	tls_expect_end(&a);
	tls_abandon(&a);
	tls_close(&b);
	UNTIL(stats(s).ledger.open == 0);
	expect_completed(s, 2);
}

/* Many records in one segment, and one record in many. */
AS_EACH_KIND(bytes_come_whole_in_any_pieces)
{
	struct weir_service service = service_as(kind, echo_lines);
	char line[4000];
	struct server *s = tls_serve(NULL, &service);
	struct tls_client c = tls_open(s, NULL);
	int big = 1;

	setsockopt(c.fd, IPPROTO_TCP, TCP_CORK, &big, sizeof(big));
	for (int i = 0; i < 200; i++)
		tls_send(&c, "one\n", 4);
	big = 0;
	setsockopt(c.fd, IPPROTO_TCP, TCP_CORK, &big, sizeof(big));
	for (int i = 0; i < 200; i++)
		tls_expect(&c, "one\n", 4);
	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	for (size_t at = 0; at < sizeof(line); at += 400)
		tls_send(&c, line + at, 400);
	tls_expect(&c, line, sizeof(line));
	tls_close(&c);
	expect_completed(s, 1);
}

AS_EACH_KIND(two_megabytes_are_echoed_in_pieces)
{
	struct weir_service service = service_as(kind, echo);
	struct server *s = tls_serve(NULL, &service);
	struct tls_client c = tls_open(s, NULL);
	char *text = big_text();

	for (size_t at = 0; at < BIG; at += 65536) {
		tls_send(&c, text + at, 65536);
		tls_expect(&c, text + at, 65536);
	}
	tls_half_close(&c);
	tls_expect_end(&c);
	tls_abandon(&c);
	free(text);
	expect_completed(s, 1);
}

static int send_two_megabytes(weir_conn *c, void *arg)
{
	char *text = big_text();
	int rc = weir_conn_write(c, text, BIG);

	(void)arg;
	free(text);
	return rc < 0 ? rc : WEIR_CLOSE;
}

static int send_file(weir_conn *c, void *arg)
{
	int fd = *(int *)arg;
	int rc = weir_conn_sendfile(c, fd, 0, BIG);

	if (rc == 0)
		rc = weir_conn_write(c, "end", 3);
	return rc < 0 ? rc : WEIR_CLOSE;
}

AS_EACH_KIND(a_reply_ends_with_close_notify_behind_all_of_it)
{
	struct weir_service service = service_as(kind, send_two_megabytes);
	struct server *s = tls_serve(NULL, &service);
	struct tls_client c = tls_open(s, NULL);
	char *text = big_text();

	tls_send(&c, "x", 1);
	tls_send(&c, "unread", 6);
	tls_expect(&c, text, BIG);
	tls_expect_end(&c);
	tls_abandon(&c);
	free(text);
	expect_completed(s, 1);
}

AS_EACH_KIND(a_file_is_sent_encrypted)
{
	int file = make_file(BIG);
	struct weir_service service = service_as(kind, send_file);
	struct server *s;
	struct tls_client c;
	char *text = big_text();

	service.arg = &file;
	s = tls_serve(NULL, &service);
	c = tls_open(s, NULL);
	tls_send(&c, "x", 1);
	tls_expect(&c, text, BIG);
	tls_expect(&c, "end", 3);
	tls_expect_end(&c);
	tls_abandon(&c);
	free(text);
	expect_completed(s, 1);
	close(file);
}

static int greet(weir_conn *c, void *arg)
{
	(void)arg;
	return weir_conn_write(c, "hello\n", 6) < 0 ? WEIR_CLOSE : WEIR_AGAIN;
}

/* A client may ask for records of at most 512 bytes (RFC 6066). */
AS_EACH_KIND(a_client_with_short_records_gets_all_of_a_reply)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct weir_service service = service_as(kind, send_two_megabytes);
	char *text = big_text();

	for (int i = 0; i < 2; i++) {
		SSL_CTX *ctx = client_context();
		struct server *s = tls_serve(NULL, &service);
		struct tls_client c;

		SSL_CTX_set_max_proto_version(ctx, versions[i]);
		ck_assert_int_eq(SSL_CTX_set_tlsext_max_fragment_length(
					 ctx, TLSEXT_max_fragment_length_512),
				 1);
		c = tls_open(s, ctx);
		tls_send(&c, "x", 1);
		tls_expect(&c, text, BIG);
		tls_expect_end(&c);
		tls_abandon(&c);
		expect_completed(s, 1);
		SSL_CTX_free(ctx);
	}
	free(text);
}

AS_EACH_KIND(a_server_that_speaks_first_does_so_after_the_handshake)
{
	struct weir_service service = service_as(kind, echo);
	struct server *s;
	struct tls_client c;

	service.opened = greet;
	s = tls_serve(NULL, &service);
	c = tls_open(s, NULL);
	tls_expect(&c, "hello\n", 6);
	tls_close(&c);
	expect_completed(s, 1);
}

/* Not for the handshake, a ticket, a key update or the end of the input. */
START_TEST(the_handler_is_called_for_input_alone)
{
	struct weir_service service = service_as(READABLE, echo_and_count);
	struct server *s = tls_serve(NULL, &service);
	struct tls_client c = tls_open(s, NULL);

	atomic_store(&calls, 0);
	tls_expect_echo(&c, "one");
	ck_assert_int_eq(SSL_key_update(c.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
	ck_assert_int_eq(SSL_do_handshake(c.ssl), 1);
	for (int i = 0; i < 3; i++)
		tls_expect_echo(&c, "two");
	ck_assert_int_eq(atomic_load(&calls), 4);
	tls_half_close(&c);
	tls_expect_end(&c);
	tls_abandon(&c);
	expect_completed(s, 1);
	ck_assert_int_eq(atomic_load(&calls), 5);
}
END_TEST

START_TEST(a_flood_of_key_updates_ends_the_connection)
{
	struct weir_service service = service_as(READABLE, echo);
	struct server *s = tls_serve(NULL, &service);
	struct tls_client c = tls_open(s, NULL);
	int i;

	for (i = 0; i < 5000; i++) {
		if (SSL_key_update(c.ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 ||
		    SSL_do_handshake(c.ssl) != 1)
			break;
	}
	UNTIL(stats(s).ledger.failed == 1);
	tls_abandon(&c);
	(void)server_stop_and_check(s);
}
END_TEST

/* ---------------------------------------------------------------- endings */

static atomic_int ends, resets; /* told to the next handler */

static int answer_at_the_end(weir_conn *c, void *arg)
{
	char buf[100];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read(c, buf, sizeof(buf))) > 0)
		;
	atomic_fetch_add(&ends, n == 0);
	atomic_fetch_add(&resets, n == -ECONNRESET);
	if (n == 0)
		(void)weir_conn_write(c, "all of it", 9);
	return (int)n;
}

AS_EACH_KIND(half_a_close_leaves_the_other_half)
{
	struct weir_service service = service_as(kind, answer_at_the_end);
	struct server *s = tls_serve(NULL, &service);
	struct tls_client c = tls_open(s, NULL);

	tls_send(&c, "question", 8);
	tls_half_close(&c);
	tls_expect(&c, "all of it", 9);
	tls_expect_end(&c);
	tls_abandon(&c);
	expect_completed(s, 1);
}

static int shut_and_read(weir_conn *c, void *arg)
{
	char buf[100];
	ssize_t n;

	if (weir_conn_why(c) == WEIR_OPENED || !weir_conn_data(c)) {
		weir_conn_set_data(c, arg, NULL);
		(void)weir_conn_write(c, "bye", 3);
		(void)weir_conn_shutdown(c, SHUT_WR);
	}
	while ((n = weir_conn_read(c, buf, sizeof(buf))) > 0)
		atomic_fetch_add((atomic_int *)arg, (int)n);
	return (int)n;
}

AS_EACH_KIND(a_server_that_ends_its_output_reads_on)
{
	atomic_int got = 0;
	struct weir_service service = service_as(kind, shut_and_read);
	struct server *s;
	struct tls_client c;

	service.arg = &got;
	s = tls_serve(NULL, &service);
	c = tls_open(s, NULL);
	tls_send(&c, "x", 1);
	tls_expect(&c, "bye", 3);
	tls_expect_end(&c);
	/* An answer could not follow close_notify. */
	ck_assert_int_eq(SSL_key_update(c.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
	ck_assert_int_eq(SSL_do_handshake(c.ssl), 1);
	tls_send(&c, "still", 5);
	UNTIL(atomic_load(&got) == 6);
	tls_send(&c, " here", 5);
	UNTIL(atomic_load(&got) == 11);
	tls_close(&c);
	expect_completed(s, 1);
}

/* As attackers on the way can end it, too. */
AS_EACH_KIND(an_end_without_close_notify_is_no_end_of_input)
{
	struct weir_service service = service_as(kind, answer_at_the_end);
	struct server *s = tls_serve(NULL, &service);
	struct tls_client c = tls_open(s, NULL);
	char byte;

	atomic_store(&ends, 0);
	atomic_store(&resets, 0);
	tls_send(&c, "half of a question", 18);
	UNTIL(stats(s).bytes_in == 18);
	shutdown(c.fd, SHUT_WR);
	ck_assert_int_le(SSL_read(c.ssl, &byte, 1), 0);
	tls_abandon(&c);
	UNTIL(atomic_load(&resets) == 1);
	ck_assert_int_eq(atomic_load(&ends), 0);
	(void)server_stop_and_check(s);
}

static struct server *serve_to_the_end_of_tcp(int kind)
{
	struct weir_service service = service_as(kind, answer_at_the_end);
	struct server *s;
	weir_tls *tls;

	atomic_store(&ends, 0);
	atomic_store(&resets, 0);
	ck_assert_int_eq(weir_tls_new(&tls,
				      WEIR_TLS(.certificate = tls_file("a.pem"),
					       .key = tls_file("a.key"),
					       .flags = WEIR_TLS_EOF_IS_END),
				      NULL, 0),
			 0);
	ck_assert_int_eq(weir_tls_use(&service, tls), 0);
	s = serve(NULL, &service);
	weir_tls_unref(tls);
	return s;
}

AS_EACH_KIND(an_end_of_tcp_ends_the_input_if_the_program_says_so)
{
	struct server *s = serve_to_the_end_of_tcp(kind);
	struct tls_client c = tls_open(s, NULL);

	tls_send(&c, "half of a question", 18);
	shutdown(c.fd, SHUT_WR);
	tls_expect(&c, "all of it", 9);
	tls_expect_end(&c);
	tls_abandon(&c);
	expect_completed(s, 1);
	ck_assert_int_eq(atomic_load(&ends), 1);
	ck_assert_int_eq(atomic_load(&resets), 0);
}

static void end_inside_a_record(int kind, long (*part)(long len))
{
	struct server *s = serve_to_the_end_of_tcp(kind);
	struct tls_client c = tls_open(s, NULL);
	BIO *out = BIO_new(BIO_s_mem());
	char *record;
	long len;

	tls_send(&c, "half of a ", 10);
	UNTIL(stats(s).bytes_in == 10);
	SSL_set0_wbio(c.ssl, out);
	tls_send(&c, "question", 8);
	len = BIO_get_mem_data(out, &record);
	ck_assert_int_gt(len, 8);
	ck_assert_int_eq(write(c.fd, record, (size_t)part(len)), part(len));
	shutdown(c.fd, SHUT_WR);
	UNTIL(stats(s).ledger.failed == 1);
	ck_assert_int_eq(atomic_load(&ends), 0);
	ck_assert_int_eq(atomic_load(&resets), 1);
	tls_abandon(&c);
	(void)server_stop_and_check(s);
}

static long all_but_a_byte(long len)
{
	return len - 1;
}

static long its_header(long len)
{
	(void)len;
	return 5;
}

/* Whatever the program says, bytes are missing. */
AS_EACH_KIND(an_end_inside_a_record_is_no_end_of_input)
{
	end_inside_a_record(kind, all_but_a_byte);
	end_inside_a_record(kind, its_header);
}

AS_EACH_KIND(an_end_without_close_notify_fails_inside_a_line_alone)
{
	struct weir_service service = service_as(kind, echo_lines);
	struct server *s = tls_serve(NULL, &service);
	struct tls_client whole = tls_open(s, NULL), half = tls_open(s, NULL);

	tls_expect_echo(&whole, "whole\n");
	tls_abandon(&whole);
	UNTIL(stats(s).ledger.completed == 1);
	tls_send(&half, "no newline", 10);
	UNTIL(stats(s).bytes_in == 16);
	tls_abandon(&half);
	UNTIL(stats(s).ledger.failed == 1);
	(void)server_stop_and_check(s);
}

/* ---------------------------------------------------- what is not accepted */

START_TEST(plain_text_is_refused_at_once)
{
	struct weir_service service = service_as(READABLE, echo_and_count);
	struct server *s = tls_serve(NULL, &service);
	struct client *c = client_open(s);

	atomic_store(&calls, 0);
	client_send(c, "GET / HTTP/1.0\r\n\r\n");
	ck_assert_uint_eq(client_expect_end(c), 0);
	UNTIL(stats(s).ledger.failed == 1);
	ck_assert(log_says(s, "the client does not speak TLS"));
	ck_assert_int_eq(atomic_load(&calls), 0);
	(void)server_stop_and_check(s);
}
END_TEST

/* The groups of a client that would cost most. */
START_TEST(a_client_with_large_groups_alone_is_refused)
{
	struct weir_service service = service_as(READABLE, echo);
	SSL_CTX *ctx = client_context();
	struct server *s = tls_serve(NULL, &service);
	struct tls_client c;

	for (uint64_t i = 0; i < 2; i++) {
		ck_assert_int_eq(SSL_CTX_set1_groups_list(ctx, i ? "P-384"
								 : "ffdhe8192"),
				 1);
		c = tls_connect(s, ctx);
		ck_assert_int_eq(tls_shake(&c), -SSL_ERROR_SSL);
		tls_abandon(&c);
		UNTIL(stats(s).ledger.failed == i + 1);
	}
	(void)server_stop_and_check(s);
	SSL_CTX_free(ctx);
}
END_TEST

static void expect_cipher(struct server *s, int version, const char *name)
{
	SSL_CTX *ctx = client_context();
	struct tls_client c;

	SSL_CTX_set_max_proto_version(ctx, version);
	c = tls_open(s, ctx);
	ck_assert_str_eq(SSL_get_cipher_name(c.ssl), name);
	ck_assert_int_eq((int)SSL_get_negotiated_group(c.ssl), NID_secp384r1);
	tls_close(&c);
	SSL_CTX_free(ctx);
}

START_TEST(a_program_chooses_groups_and_ciphers)
{
	struct weir_service service = service_as(READABLE, echo);
	struct server *s;
	weir_tls *tls;

	ck_assert_int_eq(
		weir_tls_new(&tls,
			     WEIR_TLS(.certificate = tls_file("a.pem"),
				      .key = tls_file("a.key"),
				      .groups = "P-384:P-521",
				      .ciphers = "ECDHE+CHACHA20",
				      .ciphersuites = "TLS_AES_128_GCM_SHA256"),
			     NULL, 0),
		0);
	ck_assert_int_eq(weir_tls_use(&service, tls), 0);
	s = serve(NULL, &service);
	weir_tls_unref(tls);
	expect_cipher(s, TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256");
	expect_cipher(s, TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305");
	UNTIL(stats(s).ledger.open == 0);
	(void)server_stop_and_check(s);
}
END_TEST

START_TEST(old_versions_are_refused)
{
	struct weir_service service = service_as(READABLE, echo);
	SSL_CTX *ctx = client_context();
	struct server *s = tls_serve(NULL, &service);
	struct tls_client c;
	int reason;

	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
	SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0");
	c = tls_connect(s, ctx);
	ck_assert_int_lt(tls_shake(&c), 0);
	/* by the server, unless the client may not use them itself */
	reason = ERR_GET_REASON(ERR_peek_error());
	ck_assert_msg(reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION ||
			      reason == SSL_R_NO_PROTOCOLS_AVAILABLE,
		      "handshake: %s",
		      ERR_reason_error_string(ERR_peek_error()));
	tls_abandon(&c);
	(void)server_stop_and_check(s);
	SSL_CTX_free(ctx);
}
END_TEST

START_TEST(nobody_renegotiates)
{
	struct weir_service service = service_as(READABLE, echo);
	SSL_CTX *ctx = client_context();
	struct server *s = tls_serve(NULL, &service);
	struct tls_client c;

	SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	c = tls_open(s, ctx);
	tls_expect_echo(&c, "hello");
	ck_assert_int_eq(SSL_renegotiate(c.ssl), 1);
	ck_assert_int_le(SSL_do_handshake(c.ssl), 0);
	tls_abandon(&c);
	(void)server_stop_and_check(s);
	SSL_CTX_free(ctx);
}
END_TEST

/* No byte moves the limit. */
START_TEST(a_handshake_has_its_time)
{
	struct weir_service service = service_as(READABLE, echo);
	struct server *s;
	struct client *silent, *slow;

	service.handshake_ms = 300;
	s = tls_serve(NULL, &service);
	silent = client_open(s);
	slow = client_open(s);
	client_send_bytes(slow, "\x16\x03\x01\x02", 4);
	ck_assert_uint_eq(client_expect_end(silent), 0);
	ck_assert_uint_eq(client_expect_end(slow), 0);
	UNTIL(stats(s).timed_out[WEIR_TIMEOUT_HANDSHAKE] == 2);
	(void)server_stop_and_check(s);
}
END_TEST

START_TEST(a_stop_does_not_wait_for_handshakes)
{
	struct weir_service service = service_as(READABLE, echo);
	struct server *s = tls_serve(NULL, &service);
	struct client *half = client_open(s);
	struct tls_client c = tls_open(s, NULL);
	struct weir_report r;

	client_send_bytes(half, "\x16\x03\x01\x02", 4);
	(void)client_open(s);
	tls_expect_echo(&c, "hello");
	UNTIL(stats(s).ledger.accepted == 3);
	weir_server_stop(s->weir, 10000);
	tls_expect_end(&c);
	tls_abandon(&c);
	r = server_join_and_check(s);
	expect_stop_on_time(&r, 1000);
	ck_assert_uint_eq(r.ledger.completed, 3);
}
END_TEST

/* The first has been idle for as long. */
static bool silent_handshake_is_evicted(void)
{
	struct weir_service service = service_as(READABLE, echo);
	struct server *s =
		tls_serve(WEIR_CONFIG(.workers = 2, .max_connections = 2,
				      .overload = WEIR_HOLD, .evict_ms = 50),
			  &service);
	struct client *silent = client_open(s);
	struct tls_client idle, c;
	struct weir_report r;
	int64_t since;
	bool is_one;

	UNTIL(stats(s).ledger.accepted == 1);
	idle = tls_open(s, NULL);
	since = now_ms();
	UNTIL(now_ms() > since + 100);
	c = tls_open(s, NULL);
	tls_expect_echo(&c, "hello");
	is_one = stats(s).evictions == 1;
	if (is_one) {
		ck_assert_uint_eq(client_expect_end(silent), 0);
		tls_expect_echo(&idle, "hello");
	}
	tls_abandon(&c);
	tls_abandon(&idle);
	UNTIL(stats(s).ledger.open == 0);
	r = server_stop_and_check(s);
	if (is_one)
		ck_assert_uint_eq(r.ledger.timed_out, 1);
	return is_one;
}

START_TEST(a_full_server_ends_silent_handshakes_for_a_client_that_waits)
{
	MOSTLY(silent_handshake_is_evicted());
}
END_TEST

/* In clear it would be no TLS. */
START_TEST(a_refused_client_gets_no_text_in_clear)
{
	struct gate gate = GATE_CLOSED;
	struct weir_service service = service_as(READABLE, echo_lines_at_gate);
	struct server *s;
	struct tls_client busy;
	struct client *c;

	service.arg = &gate;
	s = tls_serve(WEIR_CONFIG(.workers = 1, .max_connections = 1,
				  .overload = WEIR_REFUSE),
		      &service);
	busy = tls_open(s, NULL);
	tls_send(&busy, "wait\n", 5);
	UNTIL(gate_waiting(&gate) == 1);
	c = client_open(s);
	ck_assert_uint_eq(client_expect_end(c), 0);
	gate_open(&gate);
	tls_close(&busy);
	(void)server_stop_and_check(s);
}
END_TEST

/* ------------------------------------------------------- other threads */

struct pushed {
	_Atomic(weir_ref *) ref;
};

static int take_ref(weir_conn *c, void *arg)
{
	struct pushed *p = arg;

	atomic_store(&p->ref, weir_conn_ref(c));
	return WEIR_AGAIN;
}

#define PUSHES 2000

static void *push(void *arg)
{
	struct pushed *p = arg;
	int rc;

	for (int i = 0; i < fewer(PUSHES); i++) {
		while ((rc = weir_ref_send(p->ref, "pushed!\n", 8)) == -ENOBUFS)
			poll_sleep();
		ck_assert_int_eq(rc, 0);
	}
	return NULL;
}

/* The owner encrypts what other threads send, while it reads. */
AS_EACH_KIND(other_threads_send_through_the_owner)
{
	struct pushed p = { NULL };
	struct weir_service service = service_as(kind, echo);
	int pushes = 2 * fewer(PUSHES), newlines = 0, echoes = 0, sent = 0;
	pthread_t threads[2];
	struct server *s;
	struct tls_client c;
	char buf[16384];

	service.opened = take_ref;
	service.arg = &p;
	s = tls_serve(WEIR_CONFIG(.workers = 2), &service);
	c = tls_open(s, NULL);
	UNTIL(atomic_load(&p.ref) != NULL);
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, push, &p);
	while (newlines < pushes || echoes < 50 || echoes < sent) {
		int n;

		if (sent < 50) {
			tls_send(&c, ".", 1);
			sent++;
		}
		n = SSL_read(c.ssl, buf, sizeof(buf));
		ck_assert_int_gt(n, 0);
		for (int i = 0; i < n; i++) {
			newlines += buf[i] == '\n';
			echoes += buf[i] == '.';
		}
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(weir_ref_shutdown(p.ref, SHUT_WR), 0);
	while (SSL_read(c.ssl, buf, sizeof(buf)) > 0)
		;
	ck_assert(SSL_get_shutdown(c.ssl) & SSL_RECEIVED_SHUTDOWN);
	weir_ref_unref(p.ref);
	tls_close(&c);
	expect_completed(s, 1);
}

/* A storm of handshakes leaves workers for the others. */
START_TEST(silent_and_half_handshakes_hold_nobody)
{
	struct weir_service service = service_as(READABLE, echo);
	struct server *s = tls_serve(WEIR_CONFIG(.workers = 2), &service);
	struct tls_client c = tls_open(s, NULL);

	for (int i = 0; i < 100; i++) {
		struct client *half = client_open(s);

		if (i % 2)
			client_send_bytes(half, "\x16\x03\x01\x02\x00\x01", 6);
	}
	for (int i = 0; i < 20; i++) {
		struct tls_client one = tls_open(s, NULL);

		tls_expect_echo(&one, "new");
		tls_expect_echo(&c, "old");
		tls_close(&one);
	}
	tls_close(&c);
	(void)server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"tls", any_handler_serves_by_tls,
		bytes_come_whole_in_any_pieces,
		two_megabytes_are_echoed_in_pieces,
		a_reply_ends_with_close_notify_behind_all_of_it,
		a_file_is_sent_encrypted,
		a_client_with_short_records_gets_all_of_a_reply,
		a_server_that_speaks_first_does_so_after_the_handshake,
		the_handler_is_called_for_input_alone,
		a_flood_of_key_updates_ends_the_connection,
		half_a_close_leaves_the_other_half,
		a_server_that_ends_its_output_reads_on,
		an_end_without_close_notify_is_no_end_of_input,
		an_end_of_tcp_ends_the_input_if_the_program_says_so,
		an_end_inside_a_record_is_no_end_of_input,
		an_end_without_close_notify_fails_inside_a_line_alone,
		plain_text_is_refused_at_once,
		a_client_with_large_groups_alone_is_refused,
		a_program_chooses_groups_and_ciphers, old_versions_are_refused,
		nobody_renegotiates, a_handshake_has_its_time,
		a_stop_does_not_wait_for_handshakes,
		a_full_server_ends_silent_handshakes_for_a_client_that_waits,
		a_refused_client_gets_no_text_in_clear,
		other_threads_send_through_the_owner,
		silent_and_half_handshakes_hold_nobody);
}
