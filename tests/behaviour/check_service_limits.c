/* SPDX-License-Identifier: MIT */
/*
 * Deadlines and limits of a listener that change while the server serves: they
 * apply to open connections at once, and a wrong value changes nothing.
 */
#include "test.h"

#define SHORT_MS   100
#define LINES(...) WEIR_SERVICE(.readable = echo_lines, __VA_ARGS__)

static void configure(struct server *s, const struct weir_service *service)
{
	ck_assert_int_eq(weir_server_configure_service(s->weir, 0, service), 0);
}

static void expect_timed_out(struct server *s, int which, uint64_t count)
{
	UNTIL(stats(s).timed_out[which] == count);
}

/* ---- open connections */

START_TEST(a_parked_connection_gets_the_new_deadline)
{
	struct server *s = serve(NULL, LINES(.idle_ms = WEIR_NEVER,
					     .first_byte_ms = WEIR_NEVER));
	struct client *idle = client_open_and_echo(s, "hello\n");
	struct client *silent = client_open(s);

	UNTIL(stats(s).parked == 2);
	configure(s, LINES(.idle_ms = WEIR_NEVER, .first_byte_ms = SHORT_MS));
	client_expect_eof(silent);
	client_expect_echo(idle, "hello\n");
	configure(s, LINES(.idle_ms = SHORT_MS));
	client_expect_eof(idle);
	expect_timed_out(s, WEIR_TIMEOUT_FIRST_BYTE, 1);
	expect_timed_out(s, WEIR_TIMEOUT_IDLE, 1);
	client_expect_eof(client_open_and_echo(s, "hello\n"));
	server_stop_and_check(s);
}
END_TEST

static int keep_own_idle(weir_conn *c, void *arg)
{
	int rc = weir_conn_set_timeout(c, WEIR_TIMEOUT_IDLE, WEIR_NEVER);

	(void)arg;
	return rc < 0 ? rc : WEIR_AGAIN;
}

START_TEST(a_connection_keeps_the_deadline_that_it_has_set)
{
	struct server *s = serve(NULL, LINES(.opened = keep_own_idle));
	struct client *c = client_open_and_echo(s, "hello\n");

	configure(s, LINES(.idle_ms = 1, .lifetime_ms = WEIR_NEVER));
	for (int64_t until = now_ms() + SHORT_MS; now_ms() < until;)
		client_expect_echo(c, "still here\n");
	configure(s, LINES(.lifetime_ms = SHORT_MS));
	client_expect_eof(c);
	expect_timed_out(s, WEIR_TIMEOUT_LIFETIME, 1);
	expect_timed_out(s, WEIR_TIMEOUT_IDLE, 0);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_deadline_that_is_put_off_does_not_pass)
{
	const int64_t idle_ms = 4 * SHORT_MS;
	struct server *s = serve(NULL, LINES(.idle_ms = 0));
	int late = 0;
	struct client *c;
	int64_t since;

	for (;;) { /* until this thread is quick enough */
		configure(s, LINES(.idle_ms = (int)idle_ms));
		c = client_open(s);
		since = now_ms();
		client_expect_echo(c, "hello\n");
		configure(s, LINES(.idle_ms = WEIR_NEVER));
		if (now_ms() < since + idle_ms)
			break;
		ck_assert_int_lt(++late, 20);
	}
	UNTIL(now_ms() > since + idle_ms + SHORT_MS);
	client_expect_echo(c, "still here\n");
	ck_assert_uint_le(stats(s).timed_out[WEIR_TIMEOUT_IDLE],
			  (uint64_t)late);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_session_that_waits_gets_the_new_deadline)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.session = echo_lines,
						    .idle_ms = WEIR_NEVER,
						    .read_ms = WEIR_NEVER));
	struct client *idle = client_open_and_echo(s, "hello\n");

	configure(s, WEIR_SERVICE(.idle_ms = SHORT_MS, .read_ms = WEIR_NEVER));
	client_expect_eof(idle);
	expect_timed_out(s, WEIR_TIMEOUT_IDLE, 1);
	server_stop_and_check(s);
}
END_TEST

static int flood(weir_conn *c, void *arg)
{
	static const char page[65536];
	int rc;

	(void)arg;
	do
		rc = weir_conn_write(c, page, sizeof(page));
	while (rc == 0);
	return rc;
}

/* Unsent output is dropped then.  If all is in the kernel, it lingers first. */
static bool has_met_write_deadline(struct server *s)
{
	struct weir_stats now = stats(s);

	return now.lingering + now.timed_out[WEIR_TIMEOUT_WRITE] == 1;
}

START_TEST(a_peer_that_takes_nothing_gets_the_new_write_deadline)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.session = flood, .outbox_mark = 1,
					 .write_ms = WEIR_NEVER));
	struct client *c = client_open_small(s, 4096);
	uint64_t sent;

	client_send(c, "go");
	do { /* until nothing more is taken */
		sent = stats(s).bytes_out;
		for (int i = 0; i < 20; i++)
			poll_sleep();
	} while (sent == 0 || sent != stats(s).bytes_out);
	configure(s, WEIR_SERVICE(.outbox_mark = 1, .write_ms = SHORT_MS));
	UNTIL(has_met_write_deadline(s));
	client_close(c);
	expect_timed_out(s, WEIR_TIMEOUT_WRITE, 1);
	server_stop_and_check(s);
}
END_TEST

/* ---- sessions that wait for another peer, too */

struct waiter {
	const char *upstream;
	int (*wait)(weir_conn *c, weir_conn *upstream);
	size_t written; /* to the client before the wait */
	_Atomic int result;
};

static int for_own_input(weir_conn *c, weir_conn *upstream)
{
	struct weir_poll own = { c, WEIR_POLL_INPUT, 0 };

	(void)upstream;
	return weir_conn_wait(&own, 1, WEIR_NEVER);
}

static int for_either_input(weir_conn *c, weir_conn *upstream)
{
	struct weir_poll list[] = { { upstream, WEIR_POLL_INPUT, 0 },
				    { c, WEIR_POLL_INPUT, 0 } };

	return weir_conn_wait(list, 2, WEIR_NEVER);
}

static int for_bytes_to_relay(weir_conn *c, weir_conn *upstream)
{
	return weir_relay(c, upstream, NULL);
}

#define MORE_THAN_IS_TAKEN ((size_t)100 << 10)

static int wait_beside(weir_conn *c, void *arg)
{
	static const char bytes[MORE_THAN_IS_TAKEN];
	const int least = 1;
	struct waiter *w = arg;
	weir_conn *upstream;
	char byte;
	int rc;

	ck_assert_int_eq((int)weir_conn_read(c, &byte, 1), 1);
	rc = weir_dial(&upstream, w->upstream, 0);
	ck_assert_int_eq(rc, 0);
	setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &least,
		   sizeof(least));
	rc = weir_conn_write(c, bytes, w->written);
	if (rc == 0)
		rc = w->wait(c, upstream);
	atomic_store(&w->result, rc);
	weir_conn_free(upstream);
	return rc;
}

static void expect_new_deadline(struct waiter *w, int on_worker, int which,
				const struct weir_service *changed)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(SESSION_ON(on_worker, wait_beside),
					 .arg = w));
	struct client *c;

	w->written = which == WEIR_TIMEOUT_WRITE ? MORE_THAN_IS_TAKEN : 0;
	atomic_store(&w->result, 0);
	c = client_open_small(s, 4096);
	client_send(c, "x");
	UNTIL(session_waits(s));
	configure(s, changed);
	UNTIL(atomic_load(&w->result) != 0);
	ck_assert_msg(w->result == -ETIMEDOUT, "deadline %d: %s", which,
		      error_name(w->result));
	client_close(c);
	expect_timed_out(s, which, 1);
	server_stop_and_check(s);
}

START_TEST(a_session_that_waits_for_others_gets_the_new_deadline)
{
	static int (*const waits[])(weir_conn *, weir_conn *) = {
		for_own_input, for_either_input, for_bytes_to_relay
	};
	struct forked_server up =
		forked_server_start(WEIR_SERVICE(.readable = echo_lines));

	for (int i = 0; i < 6; i++) {
		struct waiter w = { .wait = waits[i % 3],
				    .upstream = up.address };
		int on_worker = i / 3;

		expect_new_deadline(&w, on_worker, WEIR_TIMEOUT_LIFETIME,
				    WEIR_SERVICE(.lifetime_ms = SHORT_MS));
		expect_new_deadline(&w, on_worker, WEIR_TIMEOUT_WRITE,
				    WEIR_SERVICE(.write_ms = SHORT_MS));
		if (w.wait == for_bytes_to_relay) /* it has its own idle_ms */
			continue;
		expect_new_deadline(&w, on_worker, WEIR_TIMEOUT_IDLE,
				    WEIR_SERVICE(.idle_ms = SHORT_MS));
	}
	forked_server_stop_and_check(&up);
}
END_TEST

/* ---- limits */

static int echo_or_say_why(weir_conn *c, void *arg)
{
	int rc = echo_lines(c, arg);

	if (rc == -EAGAIN)
		return rc;
	if (rc < 0)
		weir_conn_printf(c, "%d\n", rc);
	return WEIR_CLOSE;
}

START_TEST(buffered_input_may_be_more_than_a_new_line_max)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = echo_or_say_why));
	struct client *c = client_open_and_echo(s, "hello\n");
	char expected[16];

	snprintf(expected, sizeof(expected), "%d\n", -EMSGSIZE);
	client_send(c, "half a line");
	UNTIL(stats(s).bytes_in == 17);
	configure(s, WEIR_SERVICE(.line_max = 5));
	client_send(c, ", and the rest\n");
	client_expect_last(c, expected);
	client_expect_last(client_open_and_send(s, "longer\n"), expected);
	configure(s, WEIR_SERVICE(.line_max = 100));
	client_open_and_echo(s, "longer\n");
	server_stop_and_check(s);
}
END_TEST

/* The line is the number of bytes to answer with; the answer is a line. */
static int answer_with(weir_conn *c, void *arg)
{
	static const char page[1 << 20];
	char line[32];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0)
		weir_conn_printf(
			c, "%d\n",
			weir_conn_write(c, page, strtoul(line, NULL, 10)));
	return (int)n;
}

START_TEST(a_lower_outbox_max_holds_for_the_next_write)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = answer_with));
	char expected[16];

	snprintf(expected, sizeof(expected), "%d\n", -ENOBUFS);
	configure(s, WEIR_SERVICE(.outbox_mark = 1000, .outbox_max = 1000));
	client_expect(client_open_and_send(s, "1001\n"), expected);
	server_stop_and_check(s);
}
END_TEST

/* ---- what is refused */

static int other(weir_conn *c, void *arg)
{
	(void)arg;
	(void)c;
	return WEIR_CLOSE;
}

static void other_closed(weir_conn *c, void *arg)
{
	(void)other(c, arg);
}

struct shown {
	_Atomic int idle_ms, read_ms;
};

static int show(weir_conn *c, void *arg)
{
	struct shown *sh = arg;
	int idle_ms, read_ms;

	weir_conn_get_timeout(c, WEIR_TIMEOUT_IDLE, &idle_ms);
	weir_conn_get_timeout(c, WEIR_TIMEOUT_READ, &read_ms);
	sh->idle_ms = idle_ms;
	sh->read_ms = read_ms;
	return echo_lines(c, NULL);
}

#define CHANGED .idle_ms = 7777, .read_ms = 8888

START_TEST(a_wrong_value_changes_nothing)
{
	struct shown sh = { .idle_ms = 0 };
	struct server *s = serve(
		NULL, WEIR_SERVICE(.readable = show, .arg = &sh, .mode = 0600));
	const struct weir_service *wrong[] = {
		WEIR_SERVICE(CHANGED, .write_ms = -2),
		WEIR_SERVICE(CHANGED, .line_max = (size_t)1 << 31),
		WEIR_SERVICE(CHANGED, .outbox_mark = 9, .outbox_max = 8),
		WEIR_SERVICE(CHANGED, .readable = other),
		WEIR_SERVICE(CHANGED, .session = other),
		WEIR_SERVICE(CHANGED, .opened = other),
		WEIR_SERVICE(CHANGED, .expired = other),
		WEIR_SERVICE(CHANGED, .closed = other_closed),
		WEIR_SERVICE(CHANGED, .arg = &s),
		WEIR_SERVICE(CHANGED, .full_duplex = 1),
		WEIR_SERVICE(CHANGED, .backlog = 1),
		WEIR_SERVICE(CHANGED, .mode = 0666),
		&(struct weir_service){ .size = 0 },
		NULL,
	};
	struct client *c = client_open(s);

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(weir_server_configure_service(
				      s->weir, 0, wrong[i]) == -EINVAL,
			      "case %zu", i);
	ck_assert_int_eq(weir_server_configure_service(s->weir, 1,
						       WEIR_SERVICE(CHANGED)),
			 -EINVAL);
	ck_assert_int_eq(
		weir_server_configure_service(NULL, 0, WEIR_SERVICE(CHANGED)),
		-EINVAL);
	client_expect_echo(c, "hello\n");
	ck_assert_int_eq(sh.idle_ms, 300000);
	/* The same, or not set. */
	configure(s, WEIR_SERVICE(CHANGED, .readable = show, .arg = &sh,
				  .mode = 0600));
	client_expect_echo(c, "hello\n");
	ck_assert_int_eq(sh.idle_ms, 7777);
	ck_assert_int_eq(sh.read_ms, 8888);
	configure(s, WEIR_SERVICE(.arg = &sh));
	client_expect_echo(c, "hello\n");
	ck_assert_int_eq(sh.idle_ms, 300000);
	server_stop_and_check(s);
}
END_TEST

/* ---- at any moment */

START_TEST(a_listener_is_configured_before_the_start_and_after_its_end)
{
	struct shown sh = { .idle_ms = 0 };
	struct server *s = server_new(NULL);
	struct client *c;

	server_listen(s, "127.0.0.1:0",
		      WEIR_SERVICE(.readable = show, .arg = &sh));
	configure(s, WEIR_SERVICE(CHANGED));
	server_start(s);
	c = client_open_and_echo(s, "hello\n");
	ck_assert_int_eq(sh.idle_ms, 7777);
	ck_assert_int_eq(weir_server_unlisten(s->weir, 0), 0);
	UNTIL(weir_server_unlisten(s->weir, 0) == -EINVAL);
	configure(s, WEIR_SERVICE(.read_ms = 1234));
	client_expect_echo(c, "hello\n");
	ck_assert_int_eq(sh.read_ms, 1234);
	weir_server_stop(s->weir, WEIR_NEVER);
	configure(s, WEIR_SERVICE(CHANGED));
	client_close(c);
	ck_assert_int_eq(join_fully(s->weir, NULL), 0);
	configure(s, WEIR_SERVICE(.read_ms = 1234));
	server_join_and_check(s);
}
END_TEST

static void *configure_often(void *arg)
{
	struct server *s = arg;
	void *bad = NULL;

	for (int i = 0; !weir_server_is_draining(s->weir); i++)
		if (weir_server_configure_service(
			    s->weir, 0,
			    i % 2 ? WEIR_SERVICE(.idle_ms = 60000 + i % 64,
						 .outbox_mark = 10)
				  : WEIR_SERVICE(.idle_ms = WEIR_NEVER,
						 .line_max = 10)) != 0)
			bad = s;
	return bad;
}

START_TEST(threads_configure_at_once_under_load_and_in_a_stop)
{
	enum { THREADS = 3, CLIENTS = 300 };
	struct server *s = serve(NULL, LINES(.idle_ms = WEIR_NEVER));
	struct client *stays = client_open(s);
	pthread_t ids[THREADS];
	void *bad;

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(
			pthread_create(&ids[i], NULL, configure_often, s), 0);
	for (int i = 0; i < fewer(CLIENTS); i++) {
		client_expect_echo(stays, "hello\n");
		client_close(client_open_and_echo(s, "hello\n"));
	}
	weir_server_stop(s->weir, WEIR_NEVER);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(ids[i], &bad);
		ck_assert_ptr_null(bad);
	}
	client_close(stays);
	ck_assert_uint_eq(server_join_and_check(s).ledger.timed_out, 0);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"service limits", a_parked_connection_gets_the_new_deadline,
		a_connection_keeps_the_deadline_that_it_has_set,
		a_deadline_that_is_put_off_does_not_pass,
		a_session_that_waits_gets_the_new_deadline,
		a_peer_that_takes_nothing_gets_the_new_write_deadline,
		a_session_that_waits_for_others_gets_the_new_deadline,
		buffered_input_may_be_more_than_a_new_line_max,
		a_lower_outbox_max_holds_for_the_next_write,
		a_wrong_value_changes_nothing,
		a_listener_is_configured_before_the_start_and_after_its_end,
		threads_configure_at_once_under_load_and_in_a_stop);
}
