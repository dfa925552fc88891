/* SPDX-License-Identifier: MIT */
/*
 * Handlers that never finish: one wakes itself with weir_ref_wake(), one writes
 * whenever there is room.  Other connections are served, the peer sets the
 * pace, and a stop reaches them.
 */
#include "test.h"

#define PIECE  10000
#define PIECES 20 /* of one call: less than the outbox */

struct switch_ {
	atomic_bool is_on;
	atomic_int drains;
};

/* After the line "spin", which is echoed, it wakes itself for ever. */
static int spin(weir_conn *c, void *arg)
{
	struct switch_ *sw = arg;
	char line[64];
	ssize_t n;

	if (weir_conn_why(c) == WEIR_DRAIN) {
		atomic_fetch_add(&sw->drains, 1);
		return 0;
	}
	if (weir_conn_why(c) == WEIR_INPUT) {
		n = weir_conn_read_line(c, line, sizeof(line));
		if (n <= 0)
			return (int)n;
		weir_conn_write(c, line, (size_t)n);
		if (strcmp(line, "spin\n") != 0)
			return WEIR_AGAIN;
	}
	if (atomic_load(&sw->is_on))
		weir_ref_wake(weir_conn_self(c));
	return WEIR_AGAIN;
}

static struct server *serve_spinning(struct switch_ *sw)
{
	struct server *s =
		serve_workers(1, WEIR_SERVICE(.readable = spin, .arg = sw));

	client_open_and_echo(s, "spin\n");
	UNTIL(stats(s).busy == 1);
	return s;
}

START_TEST(a_handler_that_wakes_itself_starves_nobody)
{
	struct switch_ sw = { .is_on = true };
	struct server *s = serve_spinning(&sw);
	struct client *other = client_open(s);

	for (int i = 0; i < 20; i++)
		client_expect_echo(other, "hello\n");
	atomic_store(&sw.is_on, false);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_handler_that_wakes_itself_hears_of_a_stop)
{
	struct switch_ sw = { .is_on = true };
	struct server *s = serve_spinning(&sw);
	struct weir_report report;

	weir_server_stop(s->weir, 60000 * slowness());
	report = server_join_and_check(s);
	ck_assert_int_eq(sw.drains, 1);
	ck_assert_uint_eq(report.ledger.completed, 1);
}
END_TEST

/*
 * An input call that says -EAGAIN just before there is no room has said it
 * for that reason: the outbox has only become shorter in between.
 */
static int generate(weir_conn *c, void *arg)
{
	static const char piece[PIECE] = "generated";
	struct switch_ *sw = arg;
	char waste[64];

	if (weir_conn_why(c) == WEIR_DRAIN) {
		atomic_fetch_add(&sw->drains, 1);
		return 0;
	}
	for (int i = 0; i < PIECES; i++) {
		ssize_t n = weir_conn_read(c, waste, sizeof(waste));

		if (n != -EAGAIN)
			return (int)n;
		n = weir_ref_send(weir_conn_self(c), piece, sizeof(piece));
		if (n == -ENOBUFS)
			return -EAGAIN;
		if (n < 0)
			return (int)n;
	}
	weir_ref_wake(weir_conn_self(c));
	return WEIR_AGAIN;
}

static struct server *serve_generated(struct switch_ *sw)
{
	return serve_workers(1, WEIR_SERVICE(.opened = generate,
					     .readable = generate, .arg = sw,
					     .first_byte_ms = WEIR_NEVER));
}

/* More than the kernel and the outbox hold. */
#define MUCH ((size_t)64 << 20)

static void read_much(struct client *c)
{
	static char buf[65536];
	size_t left = MUCH;

	while (left > 0) {
		ssize_t n = client_read(c, buf, sizeof(buf));

		ck_assert_int_gt(n, 0);
		left -= (size_t)n < left ? (size_t)n : left;
	}
}

START_TEST(a_handler_without_room_for_output_holds_no_worker)
{
	struct switch_ sw = { .is_on = true };
	struct server *s = serve_generated(&sw);
	struct client *lazy = client_open(s), *busy = client_open(s);

	UNTIL(stats(s).parked == 2);
	read_much(busy);
	UNTIL(stats(s).parked == 2);
	read_much(lazy);
	client_close(lazy);
	client_close(busy);
	server_stop_and_check(s);
}
END_TEST

static void *read_to_the_end(void *arg)
{
	return (void *)client_read_to_eof(arg);
}

START_TEST(a_handler_that_writes_without_end_hears_of_a_stop)
{
	struct switch_ sw = { .is_on = true };
	struct server *s = serve_generated(&sw);
	struct weir_report report;
	pthread_t reader[2];
	void *count;

	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&reader[i], NULL,
						read_to_the_end,
						client_open(s)),
				 0);
	UNTIL(stats(s).bytes_out > MUCH);
	weir_server_stop(s->weir, 60000 * slowness());
	for (int i = 0; i < 2; i++) {
		pthread_join(reader[i], &count);
		ck_assert_uint_gt((uintptr_t)count, 0);
	}
	report = server_join_and_check(s);
	ck_assert_int_eq(sw.drains, 2);
	ck_assert_uint_eq(report.ledger.completed, 2);
}
END_TEST

int main(void)
{
	return RUN_TESTS("generators",
			 a_handler_that_wakes_itself_starves_nobody,
			 a_handler_that_wakes_itself_hears_of_a_stop,
			 a_handler_without_room_for_output_holds_no_worker,
			 a_handler_that_writes_without_end_hears_of_a_stop);
}
