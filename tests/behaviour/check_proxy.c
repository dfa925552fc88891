/* SPDX-License-Identifier: MIT */
/*
 * Connections that begin with a header of the PROXY protocol: whose address
 * they have, when they are refused, and what is left of them in the ledger.
 */
#include "test.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V1	  "PROXY TCP4 203.0.113.9 198.51.100.1 4711 80\r\n"
#define V2                                                                     \
	SIGNATURE "\x21\x11\x00\x0c"                                           \
		  "\xcb\x00\x71\x09\xc6\x33\x64\x01\x12\x67\x00\x50"
#define LOCAL	SIGNATURE "\x20\x00\x00\x00"
#define UNKNOWN "PROXY UNKNOWN\r\n"

#define CLIENT "203.0.113.9:4711"
#define TARGET "198.51.100.1:80"

struct header {
	const char *bytes;
	size_t len;
};

#define HEADER(literal)                                                        \
	{                                                                      \
		(literal), sizeof(literal) - 1                                 \
	}

static const struct header headers[] = { HEADER(V1), HEADER(V2) };

static void put_via(weir_conn *c, char *buf, size_t cap)
{
	int rc = weir_conn_via(c, buf, cap);

	if (rc < 0)
		snprintf(buf, cap, "%s", error_name(rc));
}

/* Lines are sent back, but to "who" come the addresses. */
static int tell(weir_conn *c, void *arg)
{
	char line[256], peer[160], via[160], local[160];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0) {
		if (strcmp(line, "who\n") == 0) {
			weir_conn_peer(c, peer, sizeof(peer));
			weir_conn_local(c, local, sizeof(local));
			put_via(c, via, sizeof(via));
			n = weir_conn_printf(c, "%s via %s to %s\n", peer, via,
					     local);
		} else {
			n = weir_conn_write(c, line, (size_t)n);
		}
		if (n < 0)
			break;
	}
	return (int)n;
}

static struct server *serve_proxies(bool is_session)
{
	return serve(WEIR_CONFIG(.workers = 2, .log_level = WEIR_LOG_DEBUG),
		     WEIR_SERVICE(HANDLE_AS(is_session, tell),
				  .proxy = WEIR_PROXY_REQUIRED,
				  .proxy_trust = "127.0.0.0/8"));
}

static void send_header(struct client *c, const struct header *h)
{
	client_send_bytes(c, h->bytes, h->len);
}

/* In one segment. */
static void send_header_and(struct client *c, const struct header *h,
			    const char *text)
{
	char bytes[512];
	size_t len = strlen(text);

	memcpy(bytes, h->bytes, h->len);
	memcpy(bytes + h->len, text, len);
	client_send_bytes(c, bytes, h->len + len);
}

static void expect_client_of_header(struct client *c)
{
	char text[256];

	snprintf(text, sizeof(text), CLIENT " via 127.0.0.1:%d to " TARGET "\n",
		 client_port(c));
	client_expect(c, text);
}

static void expect_own_address(struct server *s, struct client *c)
{
	char text[400];

	snprintf(text, sizeof(text), "127.0.0.1:%d via -ENODATA to %s\n",
		 client_port(c), s->address);
	client_expect(c, text);
}

static struct weir_ledger stop_after_all(struct server *s)
{
	UNTIL(is_at_rest(s));
	return server_stop_and_check(s).ledger;
}

START_TEST(the_peer_is_the_client_that_the_header_tells)
{
	for (int i = 0; i < 4; i++) {
		struct server *s = serve_proxies(i % 2);
		struct client *c = client_open(s);

		send_header_and(c, &headers[i / 2], "who\n");
		expect_client_of_header(c);
		client_expect_reply(c, "more\n", "more\n");
		client_half_close(c);
		client_expect_eof(c);
		ck_assert_uint_eq(stop_after_all(s).completed, 1);
	}
}
END_TEST

/* The part before the cut is read alone. */
static void send_cut(struct server *s, const struct header *h, size_t at)
{
	struct client *c = client_open(s);

	client_send_bytes(c, h->bytes, at);
	UNTIL(stats(s).parked == 1);
	client_send_bytes(c, h->bytes + at, h->len - at);
	client_send(c, "who\n");
	expect_client_of_header(c);
	client_close(c);
	UNTIL(is_at_rest(s));
}

START_TEST(a_header_may_be_cut_at_every_byte)
{
	struct server *s = serve_proxies(false);

	for (size_t i = 0; i < 2; i++)
		for (size_t at = 1; at < headers[i].len; at++)
			send_cut(s, &headers[i], at);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_header_may_come_byte_by_byte_with_what_follows)
{
	for (size_t i = 0; i < 4; i++) {
		struct server *s = serve_proxies(i % 2);
		struct client *c = client_open(s);
		const struct header *h = &headers[i / 2];

		for (size_t at = 0; at < h->len; at++)
			client_send_bytes(c, h->bytes + at, 1);
		client_send_in_pieces(c, "who\n", 1);
		expect_client_of_header(c);
		server_stop_and_check(s);
	}
}
END_TEST

START_TEST(input_behind_a_header_may_be_incomplete)
{
	for (size_t i = 0; i < 4; i++) {
		struct server *s = serve_proxies(i % 2);
		struct client *c = client_open(s);

		send_header_and(c, &headers[i / 2], "w");
		UNTIL(stats(s).bytes_in == 1);
		client_send(c, "ho\n");
		expect_client_of_header(c);
		server_stop_and_check(s);
	}
}
END_TEST

START_TEST(a_header_is_no_input)
{
	struct server *s = serve_proxies(false);
	struct client *c = client_open(s);

	send_header(c, &headers[0]);
	UNTIL(stats(s).parked == 1);
	client_expect_reply(c, "six..\n", "six..\n");
	ck_assert_uint_eq(stats(s).bytes_in, 6);
	ck_assert_uint_eq(stats(s).callbacks, 1);
	/* a second one is */
	client_expect_reply(c, V1, V1);
	server_stop_and_check(s);
}
END_TEST

START_TEST(without_the_setting_a_header_is_input)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = tell));
	struct client *c = client_open(s);

	client_expect_reply(c, V1, V1);
	client_send(c, "who\n");
	expect_own_address(s, c);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_header_without_an_address_leaves_the_sockets_own)
{
	static const struct header own[] = {
		HEADER(LOCAL),
		HEADER(UNKNOWN),
		HEADER(SIGNATURE "\x20\x11\x00\x03xyz"),
		HEADER(SIGNATURE "\x21\x00\x00\x00"),
	};
	struct server *s = serve_proxies(false);

	for (size_t i = 0; i < 4; i++) {
		struct client *c = client_open(s);

		send_header_and(c, &own[i], "who\n");
		expect_own_address(s, c);
		client_half_close(c);
		client_expect_eof(c);
	}
	ck_assert_uint_eq(stop_after_all(s).completed, 4);
}
END_TEST

START_TEST(from_elsewhere_no_header_is_believed)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = tell,
					 .proxy = WEIR_PROXY_REQUIRED,
					 .proxy_trust = "192.0.2.0/24 ::1",
					 .handshake_ms = WEIR_NEVER));
	struct client *c = client_open(s);
	struct weir_ledger l;

	(void)client_try_send(c, V1, sizeof(V1) - 1);
	ck_assert_uint_eq(client_expect_end(c), 0);
	ck_assert_uint_eq(client_expect_end(client_open(s)), 0);
	UNTIL(log_says(s, "refused: it is no trusted proxy"));
	l = stop_after_all(s);
	ck_assert_uint_eq(l.refused_proxy, 2);
}
END_TEST

START_TEST(a_wrong_header_is_refused)
{
	static const struct header wrong[] = {
		HEADER("hello\n"),
		HEADER("PROXY TCP4 1.2.3.4\r\n"),
		HEADER(SIGNATURE "\x31"),
		HEADER("PROXY UNKNOWN "
		       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		       "x"),
		HEADER(SIGNATURE "\x21\x11\x00\x13"
				 "\1\2\3\4\5\6\7\x08\0\x09\0\x0a"
				 "\x03\x00\x04wxyz"),
	};
	struct server *s = serve_proxies(false);
	struct weir_ledger l;

	for (size_t i = 0; i < 5; i++) {
		struct client *c = client_open(s);

		send_header(c, &wrong[i]);
		ck_assert_uint_eq(client_expect_end(c), 0);
	}
	UNTIL(log_says(s, "refused: a wrong PROXY header: there is none"));
	UNTIL(log_says(s, "its checksum differs"));
	l = stop_after_all(s);
	ck_assert_uint_eq(l.refused_header, 5);
	ck_assert_uint_eq(l.refused, 5);
}
END_TEST

static bool has_timed_out(struct server *s, uint64_t count)
{
	return stats(s).timed_out[WEIR_TIMEOUT_HANDSHAKE] == count;
}

START_TEST(a_header_that_is_not_complete_in_time_ends_the_connection)
{
	struct server *s = serve(
		NULL,
		WEIR_SERVICE(.readable = tell, .opened = connect_banner,
			     .proxy = WEIR_PROXY_REQUIRED,
			     .proxy_trust = "127.0.0.1",
			     .first_byte_ms = WEIR_NEVER, .handshake_ms = 50));
	struct client *silent = client_open(s), *slow = client_open(s);

	client_send(slow, "PROXY TCP4 203.0.1");
	ck_assert_uint_eq(client_expect_end(silent), 0);
	ck_assert_uint_eq(client_expect_end(slow), 0);
	UNTIL(has_timed_out(s, 2));
	ck_assert_uint_eq(stop_after_all(s).timed_out, 2);
}
END_TEST

START_TEST(a_header_in_slow_bytes_has_no_more_time)
{
	struct server *s = serve(
		NULL,
		WEIR_SERVICE(.readable = tell, .proxy = WEIR_PROXY_REQUIRED,
			     .proxy_trust = "127.0.0.1", .handshake_ms = 300));
	struct client *c = client_open(s);
	int sent = 0;

	client_send(c, "PROXY UNKNOWN ");
	while (!client_has_input(c)) {
		int64_t at = now_ms() + 20;

		(void)client_try_send(c, "x", 1);
		ck_assert_int_lt(++sent, 90); /* 107 are too many */
		UNTIL(now_ms() >= at);
	}
	ck_assert_uint_eq(stop_after_all(s).timed_out, 1);
}
END_TEST

/* False: its header did not come in time. */
static bool outlives_the_time_for_a_header(void)
{
	const int ms = 500;
	struct server *s = serve(
		NULL,
		WEIR_SERVICE(.readable = tell, .opened = connect_banner,
			     .proxy = WEIR_PROXY_REQUIRED,
			     .proxy_trust = "127.0.0.1", .handshake_ms = ms));
	struct client *c = client_open(s);
	int64_t at = now_ms() + ms + 100;
	char banner[8];
	bool is_open;

	send_header(c, &headers[1]);
	is_open = client_read(c, banner, 7) > 0;
	if (is_open) {
		UNTIL(now_ms() >= at);
		client_expect_reply(c, "still here\n", "still here\n");
	}
	server_stop_and_check(s);
	return is_open;
}

START_TEST(the_time_for_a_header_is_over_with_it)
{
	MOSTLY(outlives_the_time_for_a_header());
}
END_TEST

static void end_by(struct client *c, bool by_reset)
{
	if (by_reset)
		client_reset(c);
	else
		client_close(c);
}

START_TEST(a_connection_without_input_is_a_probe)
{
	static const struct header sent[] = {
		HEADER(""),    HEADER(V1),	HEADER(V2),
		HEADER(LOCAL), HEADER(UNKNOWN),
	};
	struct server *s = serve_proxies(false);
	struct weir_ledger l;
	int lines;

	for (size_t i = 0; i < 10; i++) {
		struct client *c = client_open(s);

		if (sent[i / 2].len > 0)
			send_header(c, &sent[i / 2]);
		end_by(c, i % 2);
		UNTIL(stats(s).ledger.probed == i + 1);
	}
	lines = log_lines(s);
	l = stop_after_all(s);
	ck_assert_uint_eq(l.probed, 10);
	ck_assert_uint_eq(l.failed, 0);
	ck_assert_int_eq(lines, 0);
}
END_TEST

START_TEST(a_probe_of_a_service_that_greets_is_no_failure)
{
	for (int i = 0; i < 4; i++) {
		struct server *s =
			serve(NULL, WEIR_SERVICE(HANDLE_AS(i % 2, tell),
						 .opened = connect_banner,
						 .proxy = WEIR_PROXY_REQUIRED,
						 .proxy_trust = "127.0.0.1"));
		struct client *c = client_open(s);
		struct weir_ledger l;

		send_header(c, &headers[0]);
		client_expect(c, "Connect");
		end_by(c, i / 2);
		l = stop_after_all(s);
		ck_assert_uint_eq(l.probed, 1);
		ck_assert_uint_eq(l.closed, 1);
	}
}
END_TEST

START_TEST(a_client_that_sent_something_is_no_probe)
{
	struct server *s = serve_proxies(false);
	struct client *c = client_open(s);
	struct weir_ledger l;

	send_header_and(c, &headers[0], "who\n");
	expect_client_of_header(c);
	client_reset(c);
	UNTIL(stats(s).ledger.failed == 1);
	l = stop_after_all(s);
	ck_assert_uint_eq(l.probed, 0);
}
END_TEST

START_TEST(nothing_is_sent_before_the_header)
{
	struct server *s = serve(
		NULL, WEIR_SERVICE(.readable = tell, .opened = connect_banner,
				   .proxy = WEIR_PROXY_REQUIRED,
				   .proxy_trust = "127.0.0.1"));
	struct client *c = client_open(s);

	UNTIL(stats(s).parked == 1);
	ck_assert_uint_eq(stats(s).callbacks, 0);
	client_send_bytes(c, V2, 10);
	ck_assert(!client_has_input(c));
	client_send_bytes(c, &(V2)[10], sizeof(V2) - 11);
	client_expect(c, "Connect");
	client_expect_reply(c, "on\n", "on\n");
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_half_close_behind_the_header_loses_no_reply)
{
	for (int i = 0; i < 4; i++) {
		struct server *s = serve_proxies(i % 2);
		struct client *c = client_open(s);

		send_header_and(c, &headers[i / 2], "a\nb\n");
		client_half_close(c);
		client_expect_last(c, "a\nb\n");
		ck_assert_uint_eq(stop_after_all(s).completed, 1);
	}
}
END_TEST

START_TEST(a_unix_socket_trusts_all_that_may_connect)
{
	struct server *s = serve_at(
		own_unix_address(), NULL,
		WEIR_SERVICE(.readable = tell, .proxy = WEIR_PROXY_REQUIRED));

	for (size_t i = 0; i < 2; i++) {
		struct client *c = client_open(s);

		send_header_and(c, &headers[i], "who\n");
		client_expect(c, CLIENT " via unix: to " TARGET "\n");
	}
	server_stop_and_check(s);
}
END_TEST

/* Rules for processes are for the server's own machine. */
START_TEST(rules_do_not_judge_a_unix_client_of_a_proxy)
{
	static const char unix_client[216 + 16] =
		SIGNATURE "\x21\x31\x00\xd8/of/the/proxy";
	const struct header h = { unix_client, sizeof(unix_client) };
	const char *rules = "allow 127.0.0.0/8\nallow uid:4242";
	weir_access *access;
	struct server *s;
	struct client *c;
	char why[128];

	ck_assert_int_eq(weir_access_new(&access, rules, why, sizeof(why)), 0);
	s = serve(WEIR_CONFIG(.access = access),
		  WEIR_SERVICE(.readable = tell, .proxy = WEIR_PROXY_REQUIRED,
			       .proxy_trust = "127.0.0.0/8"));
	weir_access_unref(access);
	c = client_open(s);
	send_header_and(c, &h, "on\n");
	client_expect(c, "on\n");
	server_stop_and_check(s);
}
END_TEST

static int listen_with(struct server *s, const char *where, int proxy,
		       const char *trust)
{
	return weir_server_listen(s->weir, where,
				  WEIR_SERVICE(.readable = tell, .proxy = proxy,
					       .proxy_trust = trust));
}

static int greet(weir_conn *c, void *arg)
{
	(void)arg;
	return weir_conn_write(c, "hi\n", 3) < 0 ? WEIR_CLOSE : WEIR_AGAIN;
}

/* At early_start others that are silent all further clients are refused. */
START_TEST(a_client_does_not_count_against_itself)
{
	struct server *s =
		serve(WEIR_CONFIG(.workers = 2, .early_start = 1,
				  .early_percent = 100, .early_full = 2),
		      WEIR_SERVICE(.readable = tell, .opened = greet,
				   .proxy = WEIR_PROXY_REQUIRED,
				   .proxy_trust = "127.0.0.0/8"));
	struct client *silent = client_open(s), *other;

	client_send(silent, V1);
	client_expect(silent, "hi\n");
	other = client_open(s);
	client_send(other, V1);
	client_expect(other, "busy, try later\n");
	client_expect_echo(silent, "hello\n");
	other = client_open(s);
	client_send(other, V1);
	client_expect(other, "hi\n");
	ck_assert_uint_eq(server_stop_and_check(s).ledger.refused_early, 1);
}
END_TEST

START_TEST(what_makes_no_sense_is_refused)
{
	struct server *s = serve_proxies(false);
	const struct weir_service *required =
		WEIR_SERVICE(.readable = tell, .proxy = WEIR_PROXY_REQUIRED);
	char why[256];

	ck_assert_int_eq(
		listen_with(s, "127.0.0.1:0", WEIR_PROXY_REQUIRED, NULL),
		-EINVAL);
	ck_assert_int_eq(listen_with(s, "127.0.0.1:0", WEIR_PROXY_REQUIRED, ""),
			 -EINVAL);
	ck_assert_int_eq(
		listen_with(s, "127.0.0.1:0", WEIR_PROXY_NEVER, "::/0"),
		-EINVAL);
	ck_assert_int_eq(listen_with(s, "127.0.0.1:0", 2, "::/0"), -EINVAL);
	ck_assert_int_eq(
		weir_server_dial(s->weir, NULL, s->address, 0, required),
		-EINVAL);
	ck_assert_int_eq(weir_service_check(
				 WEIR_SERVICE(.readable = tell,
					      .proxy = WEIR_PROXY_REQUIRED,
					      .proxy_trust = "::1, 10.0.0.1/8"),
				 why, sizeof(why)),
			 -EINVAL);
	ck_assert_str_eq(why, "proxy_trust: '10.0.0.1/8': bits are set behind "
			      "the prefix");
	server_stop_and_check(s);
}
END_TEST

static void configure_trust(struct server *s, const char *trust, int rc)
{
	ck_assert_int_eq(
		weir_server_configure_service(
			s->weir, 0,
			WEIR_SERVICE(.readable = tell, .proxy_trust = trust)),
		rc);
}

START_TEST(the_trust_can_change_while_the_server_runs)
{
	struct server *s = serve_proxies(false);
	struct client *before = client_open(s), *c;

	send_header_and(before, &headers[0], "who\n");
	expect_client_of_header(before);
	configure_trust(s, "192.0.2.0/24,198.51.100.7", 0);
	ck_assert_uint_eq(client_expect_end(client_open(s)), 0);
	configure_trust(s, "192.0.2.1/24", -EINVAL);
	configure_trust(s, NULL, 0); /* as it is */
	ck_assert_uint_eq(client_expect_end(client_open(s)), 0);
	client_expect_reply(before, "on\n", "on\n");
	configure_trust(s, "::1,127.0.0.0/8", 0);
	c = client_open(s);
	send_header_and(c, &headers[0], "who\n");
	expect_client_of_header(c);
	ck_assert_uint_eq(server_stop_and_check(s).ledger.refused_proxy, 2);
}
END_TEST

START_TEST(a_stop_does_not_wait_for_a_header)
{
	struct server *s = serve_proxies(false);
	struct client *half, *c;
	struct weir_report r;

	(void)client_open(s);
	half = client_open(s);
	client_send_bytes(half, V2, 20);
	c = client_open(s);
	send_header_and(c, &headers[0], "who\n");
	expect_client_of_header(c);
	UNTIL(stats(s).parked == 3);
	ck_assert_int_eq(weir_server_stop(s->weir, WEIR_NEVER), 0);
	r = server_join_and_check(s);
	ck_assert_uint_eq(r.ledger.completed, 3);
}
END_TEST

START_TEST(a_header_that_comes_in_a_stop_is_still_read)
{
	struct gate gate = GATE_CLOSED;
	struct server *s =
		serve(WEIR_CONFIG(.workers = 1),
		      WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate,
				   .proxy = WEIR_PROXY_REQUIRED,
				   .proxy_trust = "127.0.0.1"));
	struct client *holds = client_open(s), *c = client_open(s);

	send_header(holds, &headers[0]);
	client_wait_at_gate(holds, &gate);
	send_header_and(c, &headers[1], "hello\n");
	ck_assert_int_eq(weir_server_stop(s->weir, WEIR_NEVER), 0);
	gate_open(&gate);
	client_expect_last(c, "hello\n");
	server_join_and_check(s);
}
END_TEST

/* ----------------------------------------------------- what else is told */

static int tell_more(weir_conn *c, void *arg)
{
	const void *value;
	char line[16];
	size_t len = 0;
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	if (n <= 0)
		return (int)n;
	ck_assert_int_eq(
		weir_conn_proxy_tlv(c, WEIR_PROXY_ALPN, 0, &value, &len), 0);
	ck_assert_uint_eq(len, 4);
	ck_assert_mem_eq(value, "echo", 4);
	ck_assert_int_eq(
		weir_conn_proxy_tlv(c, WEIR_PROXY_TLS_CN, 0, &value, &len), 0);
	ck_assert_uint_eq(len, 2);
	ck_assert_mem_eq(value, "me", 2);
	ck_assert_int_eq(
		weir_conn_proxy_tlv(c, WEIR_PROXY_AUTHORITY, 0, &value, &len),
		-ENODATA);
	ck_assert_int_eq(weir_conn_proxy_tlv(c, 256, 0, &value, &len), -EINVAL);
	ck_assert_int_eq(weir_conn_proxy_tls(c),
			 WEIR_PROXY_BY_TLS | WEIR_PROXY_CERTIFICATE |
				 WEIR_PROXY_IN_SESSION | WEIR_PROXY_VERIFIED);
	weir_conn_printf(c, "ok\n");
	return WEIR_AGAIN;
}

START_TEST(what_the_header_tells_besides_is_kept)
{
	static const char header[] =
		SIGNATURE "\x21\x11\x00\x20"
			  "\1\2\3\4\5\6\7\x08\0\x09\0\x0a"
			  "\x01\x00\x04"
			  "echo"
			  "\x20\x00\x0a\x07\0\0\0\0\x22\x00\x02me";
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = tell_more,
					 .proxy = WEIR_PROXY_REQUIRED,
					 .proxy_trust = "127.0.0.1"));
	struct client *c = client_open(s);

	ck_assert_int_eq(header[15], sizeof(header) - 1 - 16);
	client_send_bytes(c, header, sizeof(header) - 1);
	client_expect_reply(c, "tell\n", "ok\n");
	client_expect_reply(c, "tell\n", "ok\n");
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_long_header_is_read_and_a_longer_one_refused)
{
	static char header[16 + 12 + 3 + 4081];
	struct server *s = serve_proxies(false);
	struct client *c = client_open(s);
	size_t len = 12 + 3 + 4081;

	memcpy(header, V2, sizeof(V2) - 1);
	header[14] = (char)(len >> 8);
	header[15] = (char)len;
	header[28] = '\xe0';
	header[29] = (char)(4081 >> 8);
	header[30] = (char)(4081 & 0xff);
	client_send_bytes(c, header, sizeof(header));
	client_send(c, "who\n");
	expect_client_of_header(c);
	header[15]++;
	c = client_open(s);
	(void)client_try_send(c, header, sizeof(header));
	ck_assert_uint_eq(client_expect_end(c), 0);
	ck_assert_uint_eq(server_stop_and_check(s).ledger.refused_header, 1);
}
END_TEST

static int note_info(const struct weir_conn_info *info, void *arg)
{
	*(struct weir_conn_info *)arg = *info;
	return 0;
}

START_TEST(the_list_of_connections_has_both_addresses)
{
	struct server *s = serve_proxies(false);
	struct client *c = client_open(s);
	struct weir_conn_info info;
	char via[32];

	snprintf(via, sizeof(via), "127.0.0.1:%d", client_port(c));
	UNTIL(stats(s).parked == 1);
	ck_assert_int_eq(
		weir_server_each(s->weir, note_info, &info, sizeof(info)), 0);
	ck_assert_str_eq(info.peer, via);
	ck_assert_str_eq(info.via, "");
	send_header_and(c, &headers[0], "who\n");
	expect_client_of_header(c);
	ck_assert_int_eq(
		weir_server_each(s->weir, note_info, &info, sizeof(info)), 0);
	ck_assert_str_eq(info.peer, CLIENT);
	ck_assert_str_eq(info.via, via);
	server_stop_and_check(s);
}
END_TEST

/* ---------------------------------------------------------- passing it on */

/* A proxy of one direction: what it gets goes on, behind a header. */
struct forward {
	struct server *to;
	int version;
	weir_ref *ref;
	char heard[256];
	atomic_bool has_heard;
};

static int hear(weir_conn *c, void *arg)
{
	struct forward *f = arg;
	ssize_t n = weir_conn_read_line(c, f->heard, sizeof(f->heard));

	if (n > 0)
		atomic_store(&f->has_heard, true);
	return n > 0 ? WEIR_AGAIN : (int)n;
}

static int pass_on(weir_conn *c, void *arg)
{
	struct forward *f = arg;
	char line[64], header[107];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int len;

	if (n <= 0)
		return (int)n;
	ck_assert_int_eq(
		weir_server_dial(weir_conn_server(c), &f->ref, f->to->address,
				 0, WEIR_SERVICE(.readable = hear, .arg = f)),
		0);
	len = weir_conn_proxy_header(c, f->version, header, sizeof(header));
	ck_assert_int_gt(len, 0);
	ck_assert_int_eq(
		weir_conn_proxy_header(c, f->version, header, (size_t)len - 1),
		-ENOSPC);
	ck_assert_int_eq(weir_conn_proxy_header(c, 3, header, sizeof(header)),
			 -EINVAL);
	weir_ref_send(f->ref, header, (size_t)len);
	weir_ref_send(f->ref, line, (size_t)n);
	return WEIR_AGAIN;
}

START_TEST(a_client_can_be_told_to_the_next_server)
{
	for (int version = 1; version <= 2; version++) {
		struct server *last = serve_proxies(false);
		struct forward f = { .to = last, .version = version };
		struct server *first = serve(
			NULL, WEIR_SERVICE(.readable = pass_on, .arg = &f));
		struct client *c = client_open(first);
		char own[32];

		client_send(c, "who\n");
		UNTIL(f.has_heard);
		snprintf(own, sizeof(own), "127.0.0.1:%d via ", client_port(c));
		ck_assert_mem_eq(f.heard, own, strlen(own));
		ck_assert_ptr_nonnull(strstr(f.heard, first->address));
		weir_ref_close(f.ref);
		weir_ref_unref(f.ref);
		/* Its descriptors are of this process, too. */
		UNTIL(stats(last).ledger.open == 0);
		server_stop_and_check(first);
		server_stop_and_check(last);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"proxy", the_peer_is_the_client_that_the_header_tells,
		a_header_may_be_cut_at_every_byte,
		a_header_may_come_byte_by_byte_with_what_follows,
		input_behind_a_header_may_be_incomplete, a_header_is_no_input,
		without_the_setting_a_header_is_input,
		a_header_without_an_address_leaves_the_sockets_own,
		from_elsewhere_no_header_is_believed, a_wrong_header_is_refused,
		a_header_that_is_not_complete_in_time_ends_the_connection,
		a_header_in_slow_bytes_has_no_more_time,
		the_time_for_a_header_is_over_with_it,
		a_connection_without_input_is_a_probe,
		a_probe_of_a_service_that_greets_is_no_failure,
		a_client_that_sent_something_is_no_probe,
		nothing_is_sent_before_the_header,
		a_half_close_behind_the_header_loses_no_reply,
		a_unix_socket_trusts_all_that_may_connect,
		rules_do_not_judge_a_unix_client_of_a_proxy,
		a_client_does_not_count_against_itself,
		what_makes_no_sense_is_refused,
		the_trust_can_change_while_the_server_runs,
		a_stop_does_not_wait_for_a_header,
		a_header_that_comes_in_a_stop_is_still_read,
		what_the_header_tells_besides_is_kept,
		a_long_header_is_read_and_a_longer_one_refused,
		the_list_of_connections_has_both_addresses,
		a_client_can_be_told_to_the_next_server);
}
