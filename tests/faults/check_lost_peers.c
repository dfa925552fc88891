/* SPDX-License-Identifier: MIT */
/*
 * Lost peers: whatever the error of the kernel, it is counted and not logged.
 * The same error from a handler, about something else, is logged.
 */
#include "test.h"

#include "faults.h"

static const int losses[] = { -EPIPE,	     -ECONNRESET,   -ECONNABORTED,
			      -ETIMEDOUT,    -EHOSTUNREACH, -EHOSTDOWN,
			      -ENETUNREACH,  -ENETDOWN,	    -ENETRESET,
			      -ECONNREFUSED, -ENONET };

static int echo_at_once(weir_conn *c, void *arg)
{
	int rc = echo_a_line(c, arg);

	if (rc == WEIR_AGAIN)
		rc = weir_conn_flush(c);
	return rc < 0 ? rc : WEIR_AGAIN;
}

static void expect_a_quiet_end(bool is_session, enum wr_sys_call call,
			       int error)
{
	struct server *s = serve_workers(
		1, WEIR_SERVICE(HANDLE_AS(is_session, echo_at_once)));
	struct client *c = client_open(s);
	struct weir_stats now;

	UNTIL(stats(s).parked == 1);
	fail_nth_call(call, 1, error);
	client_send(c, "hello\n");
	client_expect_end(c);
	client_close(c);
	UNTIL(is_at_rest(s));
	ck_assert_int_eq(faults_made(), 1);
	faults_clear();
	now = stats(s);
	ck_assert_msg(log_lines(s) == 0, "%s: %s", error_name(error), s->log);
	ck_assert_uint_eq(now.ledger.failed, 1);
	server_stop_and_check(s);
}

START_TEST(a_peer_that_is_lost_while_it_is_read_leaves_no_line)
{
	faults_install();
	for (size_t i = 0; i < wr_array_len(losses); i++)
		for (int is_session = 0; is_session < 2; is_session++)
			expect_a_quiet_end(is_session, WR_SYS_recv, losses[i]);
}
END_TEST

START_TEST(a_peer_that_is_lost_while_it_is_answered_leaves_no_line)
{
	faults_install();
	for (size_t i = 0; i < wr_array_len(losses); i++)
		for (int is_session = 0; is_session < 2; is_session++)
			expect_a_quiet_end(is_session, WR_SYS_sendmsg,
					   losses[i]);
}
END_TEST

/* Its output is sent by its next read. */
static int echo_on(weir_conn *c, void *arg)
{
	int rc;

	do {
		rc = echo_a_line(c, arg);
	} while (rc == WEIR_AGAIN);
	return rc;
}

START_TEST(a_peer_that_is_lost_while_a_session_waits_has_met_no_deadline)
{
	struct server *s;
	struct client *c;

	faults_install();
	s = serve_workers(1, WEIR_SERVICE(.session = echo_on));
	c = client_open(s);
	UNTIL(stats(s).parked == 1);
	fail_nth_call(WR_SYS_sendmsg, 1, -ETIMEDOUT);
	client_send(c, "hello\n");
	client_expect_end(c);
	client_close(c);
	UNTIL(is_at_rest(s));
	ck_assert_int_eq(faults_made(), 1);
	ck_assert_uint_eq(server_stop_and_check(s).ledger.failed, 1);
	faults_clear();
}
END_TEST

static int fail_like_a_network(weir_conn *c, void *arg)
{
	char line[16];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	return n <= 0 ? (int)n : *(const int *)arg;
}

START_TEST(a_handler_that_fails_like_a_network_is_named)
{
	static const int own[] = { -ETIMEDOUT, -EHOSTUNREACH, -ENETUNREACH };

	for (size_t i = 0; i < wr_array_len(own); i++) {
		struct server *s = serve_workers(
			1, WEIR_SERVICE(.readable = fail_like_a_network,
					.arg = (void *)(uintptr_t)&own[i]));
		struct client *c = client_open_and_send(s, "hello\n");

		client_expect_end(c);
		UNTIL(log_lines(s) == 1);
		ck_assert(log_says(s, weir_strerror(own[i])));
		ck_assert_uint_eq(server_stop_and_check(s).ledger.failed, 1);
	}
}
END_TEST

/* No injected error. */
static int say_much(weir_conn *c, void *arg)
{
	static char much[1 << 20];
	const int size = 4096;
	char line[16];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc;

	if (n <= 0)
		return (int)n;
	setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	rc = weir_conn_write(c, much, sizeof(much));
	return rc < 0 ? rc : *(const int *)arg;
}

START_TEST(a_peer_that_resets_while_much_is_unsent_leaves_no_line)
{
	static const int verdicts[] = { 0, WEIR_AGAIN };

	for (size_t i = 0; i < wr_array_len(verdicts); i++) {
		struct server *s = serve(
			WEIR_CONFIG(.workers = 1),
			WEIR_SERVICE(.readable = say_much,
				     .outbox_mark = 2 << 20,
				     .arg = (void *)(uintptr_t)&verdicts[i]));
		struct client *c = client_open_small(s, 4096);

		UNTIL(stats(s).parked == 1);
		client_send(c, "go\n");
		UNTIL(stats(s).callbacks == 1 && stats(s).parked == 1);
		client_reset(c);
		UNTIL(is_at_rest(s));
		ck_assert_int_eq(log_lines(s), 0);
		ck_assert_uint_eq(server_stop_and_check(s).ledger.failed, 1);
	}
}
END_TEST

/* ---- a reset at the moment of a deadline */

static _Atomic int victim = -1; /* its descriptor */

/* When the deadline has passed, the library looks for input first. */
static int reset_when_looked_for(enum wr_sys_call call, size_t *len)
{
	const struct sockaddr nothing = { .sa_family = AF_UNSPEC };
	int fd;

	(void)len;
	if (call == WR_SYS_poll && (fd = atomic_exchange(&victim, -1)) >= 0)
		ck_assert_int_eq(connect(fd, &nothing, sizeof(nothing)), 0);
	return 0;
}

static _Atomic int next_victim = -1;
static _Atomic ssize_t last_result;

/* The deadline begins after the callback, or with the next read of it. */
static int echo_and_note(weir_conn *c, void *arg)
{
	int rc = echo_a_line(c, arg);
	int fd = atomic_exchange(&next_victim, -1);

	if (fd >= 0)
		atomic_store(&victim, fd);
	if (rc == WEIR_AGAIN)
		rc = echo_on(c, arg);

	atomic_store(&last_result, rc);
	return rc;
}

START_TEST(a_reset_is_no_deadline_that_passes_at_the_same_time)
{
	wr_sys_fault = reset_when_looked_for;
	for (int is_session = 0; is_session < 2; is_session++) {
		struct server *s = serve_workers(
			1, WEIR_SERVICE(HANDLE_AS(is_session, echo_and_note),
					.idle_ms = 200));
		struct client *c = client_open(s);
		struct weir_report r;

		atomic_store(&next_victim, c->fd);
		client_send(c, "hello\n");
		UNTIL(is_at_rest(s));
		if (is_session)
			ck_assert_int_eq(last_result, -ECONNRESET);
		r = server_stop_and_check(s);
		ck_assert_uint_eq(r.ledger.failed, 1);
	}
	wr_sys_fault = NULL;
}
END_TEST

/* ---- a cut at the moment of a look */

static weir_ref *_Atomic to_cut;

static int cut_when_looked_at(enum wr_sys_call call, size_t *len)
{
	weir_ref *ref = NULL;

	(void)len;
	if (call == WR_SYS_poll)
		ref = atomic_exchange(&to_cut, NULL);
	if (ref)
		ck_assert_int_eq(weir_ref_cancel(ref), 0);
	weir_ref_unref(ref);
	return 0;
}

static int echo_and_be_cut(weir_conn *c, void *arg)
{
	int rc = echo_a_line(c, arg);

	if (rc == WEIR_AGAIN)
		atomic_store(&to_cut, weir_conn_ref(c));
	return rc;
}

/* A deadline and a drain look for input first. */
START_TEST(a_cut_at_the_moment_of_a_look_is_no_loss)
{
	if (skip_with_poll(__func__, "it waits with the call of a look"))
		return;
	wr_sys_fault = cut_when_looked_at;
	for (int is_drain = 0; is_drain < 2; is_drain++) {
		struct server *s = serve_workers(
			1,
			WEIR_SERVICE(.readable = echo_and_be_cut,
				     .idle_ms = is_drain ? WEIR_NEVER : 200));
		struct client *c = client_open_and_echo(s, "hello\n");
		struct weir_report r;

		if (is_drain)
			weir_server_stop(s->weir, 60000);
		client_expect_end(c);
		r = is_drain ? server_join_and_check(s)
			     : server_stop_and_check(s);
		ck_assert_uint_eq(r.ledger.cut, 1);
	}
	wr_sys_fault = NULL;
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"lost_peers",
		a_peer_that_is_lost_while_it_is_read_leaves_no_line,
		a_peer_that_is_lost_while_it_is_answered_leaves_no_line,
		a_peer_that_is_lost_while_a_session_waits_has_met_no_deadline,
		a_handler_that_fails_like_a_network_is_named,
		a_reset_is_no_deadline_that_passes_at_the_same_time,
		a_cut_at_the_moment_of_a_look_is_no_loss,
		a_peer_that_resets_while_much_is_unsent_leaves_no_line);
}
