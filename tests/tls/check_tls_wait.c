/* SPDX-License-Identifier: MIT */
/*
 * Waits over TLS.  The socket is readable without input, because of tickets,
 * and there is input while it is not readable, in a record that was read in
 * part.
 */
#include <openssl/err.h>
#include <poll.h>

#include "tlskit.h"

#define RECORD 1000

static struct weir_service service_of(weir_handler_fn *fn)
{
	struct weir_service service;

	weir_service_init(&service, sizeof(service));
	service.readable = fn;
	return service;
}

static weir_conn *dial(struct server *s)
{
	weir_tls *tls = tls_client("a.example");
	weir_conn *c;

	ck_assert_int_eq(weir_dial(&c, s->address, 0), 0);
	ck_assert_int_eq(weir_conn_start_tls(c, tls, NULL), 0);
	weir_tls_unref(tls);
	return c;
}

static bool is_readable(weir_conn *c)
{
	struct pollfd pfd = { .fd = weir_conn_fd(c), .events = POLLIN };

	return poll(&pfd, 1, 0) == 1;
}

/* What is ready of these events within ms. */
static int ready(weir_conn *c, int events, int ms)
{
	struct weir_poll p = { .conn = c, .events = events };
	int rc = weir_conn_wait(&p, 1, ms);

	ck_assert_int_eq(rc, p.ready != 0);
	return p.ready;
}

static void wait_for_input(weir_conn *c)
{
	ck_assert_int_eq(ready(c, WEIR_POLL_INPUT, WEIR_NEVER),
			 WEIR_POLL_INPUT);
}

START_TEST(tickets_are_no_input)
{
	struct weir_service service = service_of(echo);
	struct server *s = tls_serve(NULL, &service);
	weir_conn *c = dial(s);
	char byte;

	UNTIL(is_readable(c));
	ck_assert_int_eq(ready(c, WEIR_POLL_INPUT, 0), 0);
	UNTIL(ready(c, WEIR_POLL_INPUT, 20) == 0 && !is_readable(c));
	ck_assert_int_eq(weir_conn_write(c, "x", 1), 0);
	wait_for_input(c);
	ck_assert_int_eq(weir_conn_read(c, &byte, 1), 1);
	ck_assert_int_eq(ready(c, WEIR_POLL_INPUT, 0), 0);
	weir_conn_free(c);
	(void)server_stop_and_check(s);
}
END_TEST

START_TEST(the_rest_of_a_record_is_input)
{
	struct weir_service service = service_of(echo);
	struct server *s = tls_serve(NULL, &service);
	weir_conn *c = dial(s);
	char record[RECORD], got[RECORD];

	memset(record, 'x', sizeof(record));
	ck_assert_int_eq(weir_conn_write(c, record, RECORD), 0);
	for (int i = 0; i < RECORD; i++) {
		wait_for_input(c);
		ck_assert_int_eq(weir_conn_read(c, got + i, 1), 1);
	}
	ck_assert_mem_eq(got, record, RECORD);
	ck_assert_int_eq(ready(c, WEIR_POLL_INPUT, 0), 0);
	weir_conn_free(c);
	(void)server_stop_and_check(s);
}
END_TEST

static int answer_once(weir_conn *c, void *arg)
{
	char buf[16];
	ssize_t n = weir_conn_read(c, buf, sizeof(buf));

	(void)arg;
	if (n <= 0)
		return (int)n;
	return weir_conn_write(c, buf, (size_t)n) < 0 ? -EPIPE : WEIR_CLOSE;
}

START_TEST(the_end_is_input_behind_the_last_bytes)
{
	struct weir_service service = service_of(answer_once);
	struct server *s = tls_serve(NULL, &service);
	weir_conn *c = dial(s);
	char byte;

	ck_assert_int_eq(weir_conn_write(c, "xy", 2), 0);
	for (int i = 0; i < 2; i++) {
		wait_for_input(c);
		ck_assert_int_eq(weir_conn_read(c, &byte, 1), 1);
	}
	for (int i = 0; i < 2; i++) {
		wait_for_input(c);
		ck_assert_int_eq(weir_conn_read(c, &byte, 1), 0);
	}
	weir_conn_free(c);
	(void)server_stop_and_check(s);
}
END_TEST

/* A peer that takes nothing, then all. */
START_TEST(room_comes_when_the_peer_has_taken_the_records)
{
	struct gate gate = GATE_CLOSED;
	struct weir_service service = service_of(echo_lines_at_gate);
	char part[16384];
	struct server *s;
	weir_conn *c;

	service.arg = &gate;
	s = tls_serve(NULL, &service);
	c = dial(s);
	memset(part, 'x', sizeof(part));
	for (size_t i = 999; i < sizeof(part); i += 1000)
		part[i] = '\n';
	ck_assert_int_eq(weir_conn_write(c, "wait\n", 5), 0);
	ck_assert_int_eq(weir_conn_flush(c), 0);
	UNTIL(gate_waiting(&gate) == 1);
	while (ready(c, WEIR_POLL_ROOM, 0))
		ck_assert_int_eq(weir_conn_write(c, part, sizeof(part)), 0);
	ck_assert_int_eq(ready(c, WEIR_POLL_INPUT | WEIR_POLL_ROOM, 20), 0);
	gate_open(&gate);
	wait_for_input(c);
	while (!(ready(c, WEIR_POLL_INPUT | WEIR_POLL_ROOM, WEIR_NEVER) &
		 WEIR_POLL_ROOM))
		ck_assert_int_gt(weir_conn_read(c, part, sizeof(part)), 0);
	weir_conn_free(c);
	(void)server_stop_and_check(s);
}
END_TEST

/* Relay byte by byte, so that both sides have records read in part. */
static int relay_bytes(weir_conn *c, void *arg)
{
	struct weir_poll p[2] = {
		{ .conn = c, .events = WEIR_POLL_INPUT },
		{ .conn = dial(arg), .events = WEIR_POLL_INPUT },
	};
	int rc = 1;

	while (rc > 0) {
		rc = weir_conn_wait(p, 2, WEIR_NEVER);
		for (int i = 0; rc > 0 && i < 2; i++) {
			char byte;

			if (p[i].ready)
				rc = (int)weir_conn_read(p[i].conn, &byte, 1);
			if (p[i].ready && rc > 0 &&
			    weir_conn_write(p[1 - i].conn, &byte, 1) < 0)
				rc = -EPIPE;
		}
	}
	weir_conn_free(p[1].conn);
	return rc;
}

START_TEST(a_session_waits_for_two_peers_by_tls)
{
	struct weir_service back = service_of(echo);
	struct server *behind = tls_serve(NULL, &back);
	char record[RECORD];

	memset(record, 'x', sizeof(record));
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		struct weir_service service = service_of(NULL);
		struct server *s;
		struct tls_client c;

		service.session = relay_bytes;
		service.session_on_worker = on_worker;
		service.arg = behind;
		s = tls_serve(NULL, &service);
		c = tls_open(s, NULL);
		for (int i = 0; i < 3; i++) {
			tls_send(&c, record, RECORD);
			tls_expect(&c, record, RECORD);
		}
		tls_half_close(&c);
		tls_expect_end(&c);
		tls_abandon(&c);
		/* Its descriptors are of this process, too. */
		UNTIL(stats(behind).ledger.open == 0);
		(void)server_stop_and_check(s);
	}
	(void)server_stop_and_check(behind);
}
END_TEST

/* OpenSSL runs on the stack of the session. */
static int relay_to_tls(weir_conn *c, void *arg)
{
	struct weir_relay_counts relay = { .size = sizeof(relay) };
	weir_conn *back = dial(arg);
	int rc = weir_relay(c, back, &relay);

	weir_conn_free(back);
	return rc;
}

START_TEST(a_session_with_a_small_stack_relays_between_tls_and_tls)
{
	struct weir_service back = service_of(echo);
	struct server *behind = tls_serve(NULL, &back);
	char record[RECORD];

	memset(record, 'x', sizeof(record));
	for (int front_has_tls = 0; front_has_tls < 2; front_has_tls++) {
		struct weir_service service = service_of(NULL);
		struct server *s;

		service.session = relay_to_tls;
		service.stack_size = 64 << 10;
		service.arg = behind;
		if (front_has_tls) {
			struct tls_client c;

			s = tls_serve(NULL, &service);
			c = tls_open(s, NULL);
			tls_send(&c, record, RECORD);
			tls_expect(&c, record, RECORD);
			tls_half_close(&c);
			tls_expect_end(&c);
			tls_abandon(&c);
		} else {
			struct client *c;

			s = serve(NULL, &service);
			c = client_open(s);
			client_send(c, "hello\n");
			client_expect(c, "hello\n");
			client_half_close(c);
			ck_assert_uint_eq(client_expect_end(c), 0);
		}
		UNTIL(stats(s).ledger.open == 0 &&
		      stats(behind).ledger.open == 0);
		ck_assert_uint_eq(server_stop_and_check(s).ledger.completed, 1);
	}
	(void)server_stop_and_check(behind);
}
END_TEST

static int sleep_and_wait(weir_conn *c, void *arg)
{
	weir_ref *_Atomic *ref = arg;

	atomic_store(ref, weir_conn_ref(c));
	return weir_sleep(WEIR_NEVER);
}

START_TEST(what_another_thread_sends_goes_out_while_a_session_sleeps)
{
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		weir_ref *_Atomic ref = NULL;
		struct weir_service service = service_of(NULL);
		struct server *s;
		struct tls_client c;

		service.session = sleep_and_wait;
		service.session_on_worker = on_worker;
		service.speaks_first = 1;
		service.arg = &ref;
		s = tls_serve(NULL, &service);
		c = tls_open(s, NULL);
		UNTIL(atomic_load(&ref) && session_waits(s));
		ck_assert_int_eq(weir_ref_send(ref, "news", 4), 0);
		tls_expect(&c, "news", 4);
		weir_ref_cancel(ref);
		weir_ref_unref(ref);
		UNTIL(stats(s).ledger.open == 0);
		tls_abandon(&c);
		(void)server_stop_and_check(s);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"tls_wait", tickets_are_no_input, the_rest_of_a_record_is_input,
		the_end_is_input_behind_the_last_bytes,
		room_comes_when_the_peer_has_taken_the_records,
		a_session_waits_for_two_peers_by_tls,
		what_another_thread_sends_goes_out_while_a_session_sleeps,
		a_session_with_a_small_stack_relays_between_tls_and_tls);
}
