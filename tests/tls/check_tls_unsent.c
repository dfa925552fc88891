/* SPDX-License-Identifier: MIT */
/*
 * Output that TLS has encrypted and the socket has not taken is unsent output:
 * each call that tells of it has it, the limits hold for it, and it is counted
 * until the connection ends.  The socket takes nothing, because sendmsg(2)
 * fails.
 */
#include <fcntl.h>

#include "faults.h"
#include "sys.h"
#include "tlskit.h"

#define PLAIN  60000 /* bytes in four records of TLS 1.3 */
#define SEALED (PLAIN + 4 * 22)

enum { READABLE, SESSION, SESSION_ON_WORKER, KINDS };

static const char plain[PLAIN];

static struct {
	_Atomic(weir_ref *) ref;
	_Atomic int64_t unsent, held, second;
} seen;

/* 'w': write much; 't': have a deadline for it; others are echoed. */
static int answer(weir_conn *c, void *arg)
{
	char byte;
	ssize_t n = weir_conn_read(c, &byte, 1);

	(void)arg;
	if (n <= 0)
		return (int)n;
	if (byte == 't')
		weir_conn_set_timeout(c, WEIR_TIMEOUT_WRITE, 50);
	if (byte != 'w')
		return weir_conn_write(c, &byte, 1) < 0 ? WEIR_CLOSE
							: WEIR_AGAIN;
	ck_assert_int_eq(weir_conn_write(c, plain, PLAIN), 0);
	atomic_store(&seen.held, weir_conn_is_held(c));
	atomic_store(&seen.unsent, weir_conn_unsent(c));
	atomic_store(&seen.ref, weir_conn_ref(c)); /* the test waits for it */
	return WEIR_AGAIN;
}

static struct server *serve_kind(const struct weir_config *config, int kind)
{
	struct weir_service service;

	weir_service_init(&service, sizeof(service));
	service.readable = kind == READABLE ? answer : NULL;
	service.session = kind == READABLE ? NULL : answer;
	service.session_on_worker = kind == SESSION_ON_WORKER;
	return tls_serve(config, &service);
}

/* Its reply stays in the server. */
static struct tls_client open_and_hold(struct server *s, const char *first)
{
	struct tls_client c = tls_open(s, NULL);

	tls_expect_echo(&c, first);
	memset(&seen, 0, sizeof(seen));
	fail_calls_from(WR_SYS_sendmsg, 1, -EAGAIN);
	tls_send(&c, "w", 1);
	UNTIL(atomic_load(&seen.ref) != NULL);
	ck_assert_int_eq(seen.unsent, SEALED);
	return c;
}

static int find_unsent(const struct weir_conn_info *info, void *arg)
{
	*(uint64_t *)arg += info->unsent;
	return 0;
}

static uint64_t unsent_of_all(struct server *s)
{
	uint64_t sum = 0;

	ck_assert_int_eq(weir_server_each(s->weir, find_unsent, &sum,
					  sizeof(struct weir_conn_info)),
			 0);
	return sum;
}

START_TEST(encrypted_output_is_unsent_until_the_socket_takes_it)
{
	for (int kind = 0; kind < KINDS; kind++) {
		struct server *s = serve_kind(NULL, kind);
		struct tls_client c = open_and_hold(s, "a");

		ck_assert_int_eq(weir_ref_unsent(seen.ref), SEALED);
		ck_assert_uint_eq(stats(s).unsent, SEALED);
		ck_assert_uint_eq(unsent_of_all(s), SEALED);
		faults_clear();
		tls_send(&c, "b", 1); /* the server looks again */
		tls_expect(&c, plain, PLAIN);
		tls_expect(&c, "b", 1);
		UNTIL(stats(s).unsent == 0);
		ck_assert_int_eq(weir_ref_unsent(seen.ref), 0);
		weir_ref_unref(seen.ref);
		tls_close(&c);
		(void)server_stop_and_check(s);
	}
}
END_TEST

enum { CANCELLED, LOST, LATE, STOPPED, ENDS };

static void end_it(struct server *s, struct tls_client *c, weir_ref *ref,
		   int how)
{
	if (how == CANCELLED)
		ck_assert_int_eq(weir_ref_cancel(ref), 0);
	if (how == LOST) {
		fail_calls_from(WR_SYS_sendmsg, 1, -EPIPE);
		tls_abandon(c);
	}
	if (how == STOPPED)
		ck_assert_int_eq(weir_server_stop(s->weir, 50), 0);
}

/* Each way takes off what was counted for it, and no more. */
START_TEST(encrypted_output_counts_until_its_connection_ends)
{
	for (int i = 0; i < KINDS * ENDS; i++) {
		int how = i % ENDS;
		bool is_alone = how == LOST || how == STOPPED;
		struct server *s =
			serve_kind(WEIR_CONFIG(.workers = 3), i / ENDS);
		struct tls_client other = tls_open(s, NULL), c;
		weir_ref *ref;

		tls_expect_echo(&other, "a");
		c = open_and_hold(s, how == LATE ? "t" : "a");
		ref = seen.ref;
		memset(&seen, 0, sizeof(seen));
		if (how != LATE)
			ck_assert_uint_eq(stats(s).unsent, SEALED);
		if (!is_alone) {
			tls_send(&other, "w", 1);
			UNTIL(atomic_load(&seen.ref) != NULL);
		}
		end_it(s, &c, ref, how);
		UNTIL(stats(s).unsent == (is_alone ? 0 : SEALED));
		weir_ref_unref(ref);
		weir_ref_unref(seen.ref);
		faults_clear();
		tls_abandon(&other);
		if (how != LOST)
			tls_abandon(&c);
		(void)(how == STOPPED ? server_join_and_check(s)
				      : server_stop_and_check(s));
	}
}
END_TEST

static int write_twice(weir_conn *c, void *arg)
{
	int rc = answer(c, arg);

	if (atomic_load(&seen.ref))
		atomic_store(&seen.second, weir_conn_write(c, plain, PLAIN));
	return rc;
}

/* Of a connection's share at least 16 KiB are left. */
START_TEST(limits_hold_for_encrypted_output)
{
	struct weir_service service;
	struct server *s;
	struct tls_client c;

	weir_service_init(&service, sizeof(service));
	service.readable = write_twice;
	s = tls_serve(WEIR_CONFIG(.outbox_total = 1), &service);
	c = open_and_hold(s, "a");
	UNTIL(atomic_load(&seen.second) != 0);
	ck_assert_int_eq(seen.second, -ENOBUFS);
	ck_assert_int_eq(seen.held, 1);
	ck_assert_int_eq(weir_ref_send(seen.ref, "x", 1), -ENOBUFS);
	ck_assert_int_eq(weir_ref_unsent(seen.ref), SEALED);
	weir_ref_unref(seen.ref);
	faults_clear();
	tls_abandon(&c);
	(void)server_stop_and_check(s);
}
END_TEST

START_TEST(a_handshake_that_is_not_taken_is_counted)
{
	struct server *s = serve_kind(NULL, READABLE);
	struct tls_client c = tls_connect(s, NULL);

	ck_assert_int_eq(fcntl(c.fd, F_SETFL, O_NONBLOCK), 0);
	fail_calls_from(WR_SYS_sendmsg, 1, -EAGAIN);
	ck_assert_int_eq(tls_shake(&c), -SSL_ERROR_WANT_READ);
	UNTIL(stats(s).unsent > 0);
	ck_assert_uint_eq(unsent_of_all(s), stats(s).unsent);
	tls_abandon(&c);
	UNTIL(stats(s).ledger.open == 0);
	ck_assert_uint_eq(stats(s).unsent, 0);
	faults_clear();
	(void)server_stop_and_check(s);
}
END_TEST

START_TEST(a_connection_of_the_program_tells_its_encrypted_output)
{
	struct server *s = serve_kind(NULL, READABLE);
	weir_tls *tls = tls_client("a.example");
	weir_conn *c;
	char byte;

	ck_assert_int_eq(weir_dial(&c, s->address, 0), 0);
	ck_assert_int_eq(weir_conn_start_tls(c, tls, NULL), 0);
	weir_tls_unref(tls);
	ck_assert_int_eq(weir_conn_write(c, "a", 1), 0);
	ck_assert_int_eq(weir_conn_read(c, &byte, 1), 1);
	ck_assert_int_eq(weir_conn_unsent(c), 0);
	fail_calls_from(WR_SYS_sendmsg, 1, -EAGAIN);
	ck_assert_int_eq(weir_conn_write(c, plain, PLAIN), 0);
	ck_assert_int_eq(weir_conn_unsent(c), SEALED);
	faults_clear();
	ck_assert_int_eq(weir_conn_flush(c), 0);
	ck_assert_int_lt(weir_conn_unsent(c), SEALED);
	weir_conn_free(c);
	(void)server_stop_and_check(s);
}
END_TEST

int main(void)
{
	faults_install();
	return RUN_TESTS(
		"tls_unsent",
		encrypted_output_is_unsent_until_the_socket_takes_it,
		encrypted_output_counts_until_its_connection_ends,
		limits_hold_for_encrypted_output,
		a_handshake_that_is_not_taken_is_counted,
		a_connection_of_the_program_tells_its_encrypted_output);
}
