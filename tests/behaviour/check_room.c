/* SPDX-License-Identifier: MIT */
/*
 * Room for output: a handler that asks for it is called when less than half of
 * the mark is unsent, and learns how much is.  Other threads send in pieces and
 * end the output.
 */
#include "test.h"

#include <sys/socket.h>

#define MARK ((size_t)64 << 10)
#define MUCH ((size_t)1 << 20) /* more than the sockets hold */

static char much[MUCH];

struct log {
	weir_ref *_Atomic ref;
	_Atomic int rooms, wakes, drains;
	_Atomic int held, held_later; /* weir_conn_is_held() */
	_Atomic int64_t unsent;
	_Atomic int order; /* of the latest calls, a digit each */
};

static void be_narrow(weir_conn *c)
{
	const int size = 4096;

	setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static void note_call(weir_conn *c, struct log *l)
{
	int why = weir_conn_why(c);

	atomic_store(&l->order, atomic_load(&l->order) % 10000000 * 10 + why);
	if (why == WEIR_WRITABLE)
		atomic_fetch_add(&l->rooms, 1);
	if (why == WEIR_WAKE)
		atomic_fetch_add(&l->wakes, 1);
	if (why == WEIR_DRAIN)
		atomic_fetch_add(&l->drains, 1);
}

/* For a line: write much and ask for room. */
static int fill_and_ask(weir_conn *c, void *arg)
{
	struct log *l = arg;
	char line[32];
	ssize_t n;

	note_call(c, l);
	if (weir_conn_why(c) != WEIR_INPUT) {
		atomic_store(&l->held_later, weir_conn_is_held(c));
		return WEIR_AGAIN;
	}
	n = weir_conn_read_line(c, line, sizeof(line));
	if (n <= 0)
		return (int)n;
	be_narrow(c);
	ck_assert_int_eq(weir_conn_write(c, much, MUCH), 0);
	ck_assert_int_eq(weir_conn_want_room(c), 0);
	ck_assert_int_eq(weir_conn_want_room(c), 0);
	atomic_store(&l->unsent, weir_conn_unsent(c));
	atomic_store(&l->held, weir_conn_is_held(c));
	atomic_store(&l->ref, weir_conn_ref(c));
	return WEIR_AGAIN;
}

static struct server *serve_log(struct log *l, weir_handler_fn *fn)
{
	return serve_workers(1, WEIR_SERVICE(.readable = fn, .arg = l,
					     .outbox_mark = MARK,
					     .write_ms = WEIR_NEVER));
}

START_TEST(the_call_for_room_comes_once_and_not_before_there_is_some)
{
	struct log l = { .ref = NULL };
	struct server *s = serve_log(&l, fill_and_ask);
	struct client *c = client_open_small(s, 4096);

	client_send(c, "go\n");
	UNTIL(atomic_load(&l.ref) != NULL && stats(s).parked == 1);
	ck_assert_int_gt(l.unsent, (int64_t)MARK);
	ck_assert_int_eq(l.held, 1);
	ck_assert_int_gt(weir_ref_unsent(l.ref), (int64_t)MARK);
	/* A wake does not wait for room. */
	ck_assert_int_eq(weir_ref_wake(l.ref), 0);
	UNTIL(atomic_load(&l.wakes) == 1 && stats(s).parked == 1);
	ck_assert_int_eq(l.held_later, 1);
	ck_assert_int_eq(l.rooms, 0);
	client_expect_bytes(c, much, MUCH);
	UNTIL(atomic_load(&l.rooms) == 1 && stats(s).parked == 1);
	ck_assert_int_eq(l.held_later, 0);
	UNTIL(weir_ref_unsent(l.ref) == 0);
	/* There is room already. */
	ck_assert_int_eq(weir_ref_want_room(l.ref), 0);
	UNTIL(atomic_load(&l.rooms) == 2);
	ck_assert_int_eq(weir_ref_send(l.ref, much, MARK + 1), -ENOBUFS);
	ck_assert_int_eq(weir_ref_send(l.ref, much, MARK / 2), 0);
	client_expect_bytes(c, much, MARK / 2);
	client_half_close(c);
	client_expect_eof(c);
	UNTIL(weir_ref_want_room(l.ref) == -EPIPE);
	ck_assert_int_eq(weir_ref_unsent(l.ref), -EPIPE);
	ck_assert_int_eq(weir_ref_shutdown(l.ref, SHUT_WR), -EPIPE);
	weir_ref_unref(l.ref);
	server_stop_and_check(s);
	ck_assert_int_eq(l.rooms, 2);
	/* input, wake, room, room, end of input */
	ck_assert_int_eq(l.order, 23552);
}
END_TEST

START_TEST(a_connection_that_is_cut_gets_no_call_for_room)
{
	struct log l = { .ref = NULL };
	struct server *s = serve_log(&l, fill_and_ask);
	struct client *c = client_open_small(s, 4096);
	struct weir_report report;

	client_send(c, "go\n");
	UNTIL(atomic_load(&l.ref) != NULL && stats(s).parked == 1);
	ck_assert_int_eq(weir_ref_cancel(l.ref), 0);
	client_expect_end(c);
	weir_ref_unref(l.ref);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.cut, 1);
	ck_assert_int_eq(l.rooms, 0);
}
END_TEST

/* Write a little whenever there is room, without end. */
static int generate(weir_conn *c, void *arg)
{
	char waste[32];

	note_call(c, arg);
	if (weir_conn_why(c) == WEIR_INPUT &&
	    weir_conn_read(c, waste, sizeof(waste)) == 0)
		return WEIR_CLOSE;
	if (weir_conn_why(c) == WEIR_DRAIN)
		return WEIR_CLOSE;
	ck_assert_int_eq(weir_conn_write(c, much, 1000), 0);
	ck_assert_int_eq(weir_conn_want_room(c), 0);
	return WEIR_AGAIN;
}

START_TEST(a_handler_that_fills_any_room_reads_and_lets_others_run)
{
	struct log l = { .ref = NULL };
	struct server *s = serve_log(&l, generate);
	struct client *one = client_open(s), *other = client_open(s);
	char buf[4096];

	client_send(one, "go\n");
	ck_assert_int_gt(client_read(one, buf, sizeof(buf)), 0);
	client_send(other, "go\n");
	ck_assert_int_gt(client_read(other, buf, sizeof(buf)), 0);
	client_half_close(one);
	client_read_to_eof(one);
	client_half_close(other);
	client_read_to_eof(other);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_handler_that_fills_any_room_is_told_of_the_drain)
{
	struct log l = { .ref = NULL };
	struct server *s = serve_log(&l, generate);
	struct client *c = client_open(s);
	char buf[4096];

	client_send(c, "go\n");
	ck_assert_int_gt(client_read(c, buf, sizeof(buf)), 0);
	weir_server_stop(s->weir, 60000 * slowness());
	client_read_to_eof(c);
	server_join_and_check(s);
	ck_assert_int_eq(l.drains, 1);
}
END_TEST

START_TEST(pieces_of_another_thread_arrive_before_the_end_of_output)
{
	struct log l = { .ref = NULL };
	struct server *s = serve_log(&l, fill_and_ask);
	struct client *c = client_open_small(s, 4096);
	struct iovec two[] = { { (char[]){ 'o', 'n', 'e' }, 3 },
			       { (char[]){ 't', 'w', 'o' }, 3 } };

	client_send(c, "go\n");
	UNTIL(atomic_load(&l.ref) != NULL && stats(s).parked == 1);
	ck_assert_int_eq(weir_ref_sendv(l.ref, two, 2), -ENOBUFS);
	client_expect_bytes(c, much, MUCH);
	UNTIL(weir_ref_sendv(l.ref, two, 2) == 0);
	ck_assert_int_eq(weir_ref_shutdown(l.ref, SHUT_WR), 0);
	ck_assert_int_eq(weir_ref_sendv(l.ref, two, 2), -EPIPE);
	client_expect(c, "onetwo");
	client_expect_eof(c);
	ck_assert_uint_eq(stats(s).ledger.open, 1);
	client_close(c);
	weir_ref_unref(l.ref);
	server_stop_and_check(s);
}
END_TEST

START_TEST(the_output_ends_after_what_was_unsent)
{
	struct log l = { .ref = NULL };
	struct server *s = serve_log(&l, fill_and_ask);
	struct client *c = client_open_small(s, 4096);

	client_send(c, "go\n");
	UNTIL(atomic_load(&l.ref) != NULL && stats(s).parked == 1);
	ck_assert_int_eq(weir_ref_shutdown(l.ref, SHUT_WR), 0);
	ck_assert_uint_eq(client_read_to_eof(c), MUCH);
	ck_assert_uint_eq(stats(s).ledger.open, 1);
	client_close(c);
	weir_ref_unref(l.ref);
	server_stop_and_check(s);
}
END_TEST

/* Paused; asks again in the call for room. */
static int ask_three_times(weir_conn *c, void *arg)
{
	struct log *l = arg;

	note_call(c, l);
	if (weir_conn_why(c) == WEIR_DRAIN)
		return WEIR_CLOSE;
	if (atomic_load(&l->rooms) < 3)
		ck_assert_int_eq(weir_conn_want_room(c), 0);
	return WEIR_PAUSE;
}

START_TEST(a_paused_handler_that_asks_for_room_again_is_called_again)
{
	struct log l = { .ref = NULL };
	struct server *s = serve_log(&l, ask_three_times);
	struct client *c = client_open(s);

	client_send(c, "go\n");
	UNTIL(atomic_load(&l.rooms) == 3);
	UNTIL(stats(s).parked == 1);
	weir_server_drain(s->weir);
	client_expect_end(c);
	server_join_and_check(s);
	ck_assert_int_eq(l.order, 25554);
}
END_TEST

/* The first line fills the outbox. */
static int fill_once(weir_conn *c, void *arg)
{
	struct log *l = arg;
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	note_call(c, l);
	if (n <= 0)
		return n == -EAGAIN ? WEIR_WAIT : (int)n;
	if (line[0] == 'g') {
		be_narrow(c);
		ck_assert_int_eq(weir_conn_write(c, much, MUCH), 0);
	} else {
		atomic_store(&l->unsent, weir_conn_unsent(c));
		atomic_store(&l->held, weir_conn_is_held(c));
	}
	return WEIR_AGAIN;
}

START_TEST(full_duplex_reads_input_though_the_peer_reads_nothing)
{
	struct log l = { .held = -1 };
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.readable = fill_once, .arg = &l,
				.outbox_mark = MARK, .full_duplex = 1,
				.write_ms = WEIR_NEVER));
	struct client *c = client_open_small(s, 4096);

	client_send(c, "go\n");
	UNTIL(stats(s).parked == 1 && stats(s).callbacks > 0);
	client_send(c, "next\n");
	UNTIL(atomic_load(&l.held) == 0);
	ck_assert_int_gt(l.unsent, (int64_t)MARK);
	client_half_close(c);
	ck_assert_uint_eq(client_read_to_eof(c), MUCH);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"room",
		the_call_for_room_comes_once_and_not_before_there_is_some,
		a_connection_that_is_cut_gets_no_call_for_room,
		a_paused_handler_that_asks_for_room_again_is_called_again,
		full_duplex_reads_input_though_the_peer_reads_nothing,
		a_handler_that_fills_any_room_reads_and_lets_others_run,
		a_handler_that_fills_any_room_is_told_of_the_drain,
		pieces_of_another_thread_arrive_before_the_end_of_output,
		the_output_ends_after_what_was_unsent);
}
