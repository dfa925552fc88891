/* SPDX-License-Identifier: MIT */
/*
 * Deadlines: what each covers, that it ends the connection that exceeds it and
 * no other, and that this counts as timed out.
 */
#include "test.h"

#define SHORT_MS 200

static void ends_timed_out(struct server *s, uint64_t count)
{
	struct weir_report report = server_stop_and_check(s);

	ck_assert_uint_eq(report.ledger.timed_out, count);
	ck_assert_uint_eq(report.ledger.timed_out + report.ledger.completed,
			  report.ledger.accepted);
}

/* It was open until its deadline. */
static void expect_end_after(struct client *c, int64_t began_at, int ms)
{
	client_expect_end(c);
	ck_assert_int_ge(now_ms() - began_at, ms - 20);
}

START_TEST(a_client_that_says_nothing_is_ended_at_the_first_byte_deadline)
{
	for (int is_session = 0; is_session < 2; is_session++) {
		struct server *s = server_new(WEIR_CONFIG(.workers = 2));
		struct client *talks, *silent;
		int64_t began_at;

		server_listen(s, "127.0.0.1:0",
			      WEIR_SERVICE(HANDLE_AS(is_session, echo_lines),
					   .first_byte_ms = SHORT_MS));
		/* Before any deadline begins. */
		talks = client_open_and_send(s, "hello\n");
		silent = client_open(s);
		began_at = now_ms();
		server_start(s);
		client_expect(talks, "hello\n");
		expect_end_after(silent, began_at, SHORT_MS);
		/* A client that has sent something has met the deadline. */
		client_expect_echo(talks, "hello\n");
		ends_timed_out(s, 1);
	}
}
END_TEST

/* A byte now and then: the deadline is for the whole message. */
static void drip(struct client *c)
{
	int64_t fail_at = test_deadline(), next_at = now_ms();

	while (client_try_send(c, "x", 1) == 0 && !client_has_input(c)) {
		ck_assert_msg(now_ms() < fail_at, "dripped for ever");
		next_at += SHORT_MS / 10;
		UNTIL(now_ms() >= next_at || client_has_input(c));
	}
}

static void drip_until_the_read_deadline(weir_handler_fn *fn)
{
	for (int is_session = 0; is_session < 2; is_session++) {
		struct server *s =
			serve_workers(2, WEIR_SERVICE(HANDLE_AS(is_session, fn),
						      .read_ms = SHORT_MS));
		int64_t began_at = now_ms();
		struct client *c = client_open(s);

		drip(c);
		expect_end_after(c, began_at, SHORT_MS);
		ends_timed_out(s, 1);
	}
}

START_TEST(a_peer_that_drips_is_ended_at_the_read_deadline)
{
	drip_until_the_read_deadline(echo_lines);
}
END_TEST

/* False if this thread stood still for as long as a deadline. */
static bool talk_for(struct server *s, int ms, int deadline_ms)
{
	struct client *c = client_open(s);
	int64_t until = now_ms() + ms, said_at = now_ms(), before = said_at;

	while (now_ms() < until) {
		(void)client_try_send(c, "half", 4);
		poll_sleep();
		said_at = now_ms();
		(void)client_try_send(c, " and half\n", 10);
		if (now_ms() - before >= deadline_ms)
			break;
		client_expect(c, "half and half\n");
		before = said_at;
	}
	client_close(c);
	return now_ms() - before < deadline_ms;
}

/* It consumes what it has parsed, which is nothing, and waits for more. */
static int parse_half(weir_conn *c, void *arg)
{
	const void *data;
	ssize_t n = weir_conn_peek(c, &data, 1);

	(void)arg;
	if (n > 0) {
		ck_assert_int_eq(weir_conn_consume(c, 0), 0);
		n = weir_conn_peek(c, &data, (size_t)n + 1);
	}
	return n > 0 ? WEIR_AGAIN : (int)n;
}

START_TEST(a_parser_that_consumes_nothing_does_not_restart_the_read_deadline)
{
	drip_until_the_read_deadline(parse_half);
}
END_TEST

/* The deadlines begin again with each message and each silence. */
START_TEST(a_client_that_goes_on_talking_outlives_both_deadlines)
{
	const int ms = SHORT_MS * slowness();
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = echo_lines, .read_ms = ms,
					 .idle_ms = ms));
	int late = 0;

	while (!talk_for(s, 3 * ms, ms))
		ck_assert_int_lt(++late, 20);
	ck_assert_uint_le(server_stop_and_check(s).ledger.timed_out,
			  (uint64_t)late);
}
END_TEST

START_TEST(a_client_that_falls_silent_is_ended_at_the_idle_deadline)
{
	for (int is_session = 0; is_session < 2; is_session++) {
		struct server *s = serve_workers(
			2, WEIR_SERVICE(HANDLE_AS(is_session, echo_lines),
					.idle_ms = SHORT_MS));
		struct client *c = client_open(s);
		int64_t began_at = now_ms();

		client_expect_echo(c, "hello\n");
		expect_end_after(c, began_at, SHORT_MS);
		ends_timed_out(s, 1);
	}
}
END_TEST

/* The only worker is held until long after the deadline. */
START_TEST(a_client_that_spoke_in_time_is_served_though_late)
{
	const int ms = 2 * SHORT_MS * slowness();
	struct gate gate = GATE_CLOSED;
	struct server *s =
		serve_workers(1, WEIR_SERVICE(.readable = echo_lines_at_gate,
					      .arg = &gate, .idle_ms = ms));
	struct client *c, *holder;
	int64_t began_at, until;
	int late = -1;

	do { /* again if this thread did not speak in time */
		gate_let_in(&gate, ++late > 0);
		began_at = now_ms();
		c = client_open_and_echo(s, "hello\n");
		holder = client_open(s);
		client_wait_at_gate(holder, &gate);
		(void)client_try_send(c, "in time\n", 8);
	} while (now_ms() - began_at >= ms && late < 20);
	until = now_ms() + 2 * ms;
	UNTIL(now_ms() > until);
	gate_open(&gate);
	client_expect(c, "in time\n");
	client_expect_end(c);
	client_expect_end(holder);
	ck_assert_uint_ge(server_stop_and_check(s).ledger.timed_out, 2);
}
END_TEST

START_TEST(nobody_outlives_the_lifetime)
{
	struct server *s = serve(
		NULL, WEIR_SERVICE(.readable = echo_lines, .lifetime_ms = 300));
	struct client *busy = client_open(s), *silent = client_open(s);
	int64_t fail_at = test_deadline();
	char buf[64];
	ssize_t n;

	do {
		ck_assert_int_lt(now_ms(), fail_at);
		client_try_send(busy, "hello\n", 6);
		n = client_read(busy, buf, sizeof(buf));
	} while (n > 0);
	client_expect_end(silent);
	ends_timed_out(s, 2);
}
END_TEST

/* Slower than its input comes. */
static int take_each_byte(weir_conn *c, void *arg)
{
	char byte;
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read(c, &byte, 1)) > 0)
		;
	return (int)n;
}

START_TEST(no_session_outlives_the_lifetime_because_input_is_there)
{
	static const char bytes[65536];

	for (int on_worker = 0; on_worker < 2; on_worker++) {
		struct server *s = serve_workers(
			1, WEIR_SERVICE(SESSION_ON(on_worker, take_each_byte),
					.lifetime_ms = 300));
		struct client *c = client_open(s);
		int64_t fail_at = test_deadline();

		while (client_try_send(c, bytes, sizeof(bytes)) == 0)
			ck_assert_int_lt(now_ms(), fail_at);
		client_expect_end(c);
		ends_timed_out(s, 1);
	}
}
END_TEST

/* It is queued again after each call, and never parked. */
static int never_rest(weir_conn *c, void *arg)
{
	if (weir_conn_why(c) != WEIR_INPUT)
		weir_ref_wake(weir_conn_self(c));
	return *(const int *)arg;
}

static int begin_to_wake(weir_conn *c, void *arg)
{
	weir_ref_wake(weir_conn_self(c));
	return *(const int *)arg;
}

/* The first check comes before the deadline. */
START_TEST(nobody_who_never_rests_outlives_a_deadline)
{
	static const int verdicts[] = { WEIR_AGAIN, WEIR_AGAIN, WEIR_PAUSE };

	for (int i = 0; i < 3; i++) {
		struct weir_service service = {
			.size = sizeof(service),
			.readable = never_rest,
			.opened = i > 0 ? begin_to_wake : NULL,
			.arg = (void *)(uintptr_t)&verdicts[i],
			.first_byte_ms = i < 2 ? 100 : WEIR_NEVER,
			.lifetime_ms = i < 2 ? 400 : WEIR_NEVER,
			.pause_ms = 400,
		};
		struct server *s = serve_workers(1, &service);
		struct client *c = client_open_and_send(s, "unread");

		client_expect_end(c);
		ends_timed_out(s, 1);
	}
}
END_TEST

static int write_without_end(weir_conn *c, void *arg)
{
	static const char block[65536];
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc = 0;

	(void)arg;
	if (n <= 0)
		return (int)n;
	while (rc == 0)
		rc = weir_conn_write(c, block, sizeof(block));
	return rc;
}

START_TEST(a_peer_that_does_not_read_is_ended_at_the_write_deadline)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.session = write_without_end,
					 .write_ms = SHORT_MS));
	struct client *c = client_open_small(s, 4096);

	client_send(c, "go\n");
	UNTIL(stats(s).ledger.timed_out == 1);
	ends_timed_out(s, 1);
}
END_TEST

static int write_a_megabyte(weir_conn *c, void *arg)
{
	const int small = 16384;
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n <= 0)
		return (int)n;
	setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &small,
		   sizeof(small));
	return weir_conn_write(c, arg, 1 << 20) < 0 ? -EIO : WEIR_AGAIN;
}

/* The same for output in the outbox, which no callback waits for. */
START_TEST(a_peer_that_does_not_read_is_ended_though_no_callback_waits)
{
	char *text = calloc(1, 1 << 20);
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = write_a_megabyte,
					 .arg = text, .outbox_mark = 4 << 20,
					 .write_ms = SHORT_MS));
	struct client *c = client_open_small(s, 4096);

	client_send(c, "go\n");
	UNTIL(stats(s).ledger.timed_out == 1);
	ends_timed_out(s, 1);
	free(text);
}
END_TEST

static _Atomic int megabyte_fd;

static int write_a_megabyte_to_fd(weir_conn *c, void *arg)
{
	int rc = write_a_megabyte(c, arg);

	atomic_store(&megabyte_fd, weir_conn_fd(c));
	return rc;
}

/* The kernel makes room again and again, as its probes do. */
START_TEST(what_the_kernel_takes_does_not_save_a_peer_that_reads_nothing)
{
	char *text = calloc(1, 1 << 20);
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = write_a_megabyte_to_fd,
					 .arg = text, .outbox_mark = 4 << 20,
					 .write_ms = SHORT_MS));
	int room = 16384, steps = 0;

	atomic_store(&megabyte_fd, -1);
	client_send(client_open_small(s, 4096), "go\n");
	UNTIL(atomic_load(&megabyte_fd) >= 0);
	while (stats(s).ledger.timed_out == 0 && ++steps < 100) {
		int64_t next_at = now_ms() + SHORT_MS / 4;

		room += 4096;
		setsockopt(atomic_load(&megabyte_fd), SOL_SOCKET, SO_SNDBUF,
			   &room, sizeof(room));
		UNTIL(now_ms() >= next_at || stats(s).ledger.timed_out == 1);
	}
	ck_assert_int_lt(steps, 50);
	ends_timed_out(s, 1);
	free(text);
}
END_TEST

#define LEAST_ROOM 4608 /* of a socket; the kernel doubles it */

/* Write whenever there is room, without end. */
static int generate(weir_conn *c, void *arg)
{
	static const char piece[1000];
	const int room = LEAST_ROOM;
	char waste[64];
	ssize_t n;
	int rc = 0;

	if (atomic_exchange((_Atomic int *)arg, weir_conn_fd(c)) < 0)
		setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &room,
			   sizeof(room));
	while (rc == 0) {
		n = weir_conn_read(c, waste, sizeof(waste));
		if (n > 0)
			continue;
		if (n != -EAGAIN)
			return (int)n;
		rc = weir_ref_send(weir_conn_self(c), piece, sizeof(piece));
	}
	return rc == -ENOBUFS ? -EAGAIN : rc;
}

/* Each time there is room for all of it, and for a part of the next. */
static bool is_ended_though_its_outbox_empties(void)
{
	const int write_ms = 2 * SHORT_MS * slowness();
	_Atomic int fd = -1;
	struct server *s = serve(
		NULL, WEIR_SERVICE(.readable = generate, .arg = (void *)&fd,
				   .outbox_mark = 2000, .write_ms = write_ms));
	int room = LEAST_ROOM, steps = 0;

	client_send(client_open_small(s, 4096), "go\n");
	UNTIL(atomic_load(&fd) >= 0 && stats(s).parked == 1);
	while (stats(s).ledger.timed_out == 0 && ++steps < 11) {
		int64_t next_at = now_ms() + write_ms * 3 / 4;

		room = room * 7 / 4; /* the kernel reports less room late */
		setsockopt(atomic_load(&fd), SOL_SOCKET, SO_SNDBUF, &room,
			   sizeof(room));
		UNTIL(now_ms() >= next_at || stats(s).ledger.timed_out == 1);
	}
	UNTIL(stats(s).ledger.timed_out == 1);
	ends_timed_out(s, 1);
	return steps < 7;
}

START_TEST(an_outbox_that_empties_into_the_kernel_saves_nobody)
{
	MOSTLY(is_ended_though_its_outbox_empties());
}
END_TEST

static int set_its_own(weir_conn *c, void *arg)
{
	int rc = weir_conn_set_timeout(c, WEIR_TIMEOUT_IDLE, *(int *)arg);

	return rc < 0 ? rc : echo_lines(c, NULL);
}

START_TEST(a_connection_may_have_its_own_deadline)
{
	int short_ms = SHORT_MS, never = WEIR_NEVER;
	struct server *hasty = serve(
		NULL, WEIR_SERVICE(.readable = set_its_own, .arg = &short_ms));
	struct server *patient =
		serve(NULL, WEIR_SERVICE(.readable = set_its_own, .arg = &never,
					 .idle_ms = 1));
	struct client *one = client_open(hasty), *two = client_open(patient);

	client_expect_echo(two, "hello\n");
	client_expect_echo(one, "hello\n");
	client_expect_end(one);
	client_expect_echo(two, "hello\n");
	ends_timed_out(patient, 0);
	ends_timed_out(hasty, 1);
}
END_TEST

static int try_bad_ones(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	if (n <= 0)
		return (int)n;
	weir_conn_printf(c, "%d",
			 weir_conn_set_timeout(c, 0, 100) == -EINVAL &&
				 weir_conn_set_timeout(c, 8, 100) == -EINVAL &&
				 weir_conn_set_timeout(c, WEIR_TIMEOUT_READ,
						       0) == -EINVAL &&
				 weir_conn_set_timeout(c, WEIR_TIMEOUT_READ,
						       -2) == -EINVAL);
	return 0;
}

START_TEST(bad_deadlines_are_refused)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = try_bad_ones));
	struct client *c = client_open(s);

	client_expect_reply(c, "go\n", "1");
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_deadline_that_is_never_does_not_come)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines,
						    .first_byte_ms = WEIR_NEVER,
						    .read_ms = WEIR_NEVER,
						    .write_ms = WEIR_NEVER,
						    .idle_ms = WEIR_NEVER));
	struct server *hasty = serve(NULL, WEIR_SERVICE(.readable = echo_lines,
							.first_byte_ms = 300));
	struct client *c = client_open(s), *silent = client_open(s);
	struct client *clock = client_open(hasty);

	client_send(c, "half ");
	client_expect_end(clock);
	client_expect_reply(c, "a line\n", "half a line\n");
	client_expect_echo(silent, "x\n");
	ends_timed_out(hasty, 1);
	ends_timed_out(s, 0);
}
END_TEST

static int tell_of_the_deadline(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0)
		;
	weir_conn_printf(c, "%s", error_name(n));
	return (int)n;
}

START_TEST(a_session_is_told_of_its_deadline_and_may_say_so)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.session = tell_of_the_deadline,
					 .read_ms = SHORT_MS));
	struct client *c = client_open(s);

	client_expect_reply(c, "half a line", "-ETIMEDOUT");
	client_expect_eof(c);
	ends_timed_out(s, 1);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"deadlines",
		a_client_that_says_nothing_is_ended_at_the_first_byte_deadline,
		a_peer_that_drips_is_ended_at_the_read_deadline,
		a_parser_that_consumes_nothing_does_not_restart_the_read_deadline,
		a_client_that_goes_on_talking_outlives_both_deadlines,
		a_client_that_falls_silent_is_ended_at_the_idle_deadline,
		a_client_that_spoke_in_time_is_served_though_late,
		nobody_outlives_the_lifetime,
		no_session_outlives_the_lifetime_because_input_is_there,
		nobody_who_never_rests_outlives_a_deadline,
		a_peer_that_does_not_read_is_ended_at_the_write_deadline,
		a_peer_that_does_not_read_is_ended_though_no_callback_waits,
		what_the_kernel_takes_does_not_save_a_peer_that_reads_nothing,
		an_outbox_that_empties_into_the_kernel_saves_nobody,
		a_connection_may_have_its_own_deadline,
		bad_deadlines_are_refused,
		a_deadline_that_is_never_does_not_come,
		a_session_is_told_of_its_deadline_and_may_say_so);
}
