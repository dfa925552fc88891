/* SPDX-License-Identifier: MIT */
/*
 * Peers that reset, vanish, half-close, do not read or drip, after each byte of
 * a dialogue: nothing of them stays.  The dialogue is a banner, then two lines,
 * each answered.
 */
#include "test.h"

#include <sys/wait.h>

#define WORKERS 3

/* Memory that a worker keeps after its first callback. */
#define SPARES (2 * (size_t)17 * 1024)

static const char dialogue[] = "hello\nwindup\n";

static void misbehave(struct server *s, size_t after, int how)
{
	struct client *c = client_open(s);
	char text[sizeof(dialogue)];

	memcpy(text, dialogue, after);
	text[after] = '\0';
	client_send_in_pieces(c, text, how == 4 ? 1 : 0);
	switch (how) {
	case 0:
		client_reset(c); /* at any moment */
		break;
	case 1:
		client_expect(c, "Connect");
		client_reset(c);
		break;
	case 2:
		client_close(c); /* with unread output */
		break;
	case 3:
	case 4: /* after a half-close all answers come, also to a partial line
		 */
		client_half_close(c);
		client_expect(c, "Connect");
		client_expect_last(c, text);
		client_close(c);
		break;
	}
}

static void misbehave_in_all_ways(struct server *s)
{
	for (size_t after = 0; after < sizeof(dialogue); after++)
		for (int how = 0; how < 5; how++)
			misbehave(s, after, how);
	UNTIL(is_at_rest(s));
}

static void expect_no_trace(const struct weir_service *service)
{
	struct server *s = serve_workers(WORKERS, service);
	struct process_state running;
	size_t heap;

	misbehave_in_all_ways(s);
	process_state_take(&running);
	heap = heap_in_use();
	for (int i = 0; i < fewer(30); i++)
		misbehave_in_all_ways(s);
	process_state_check(&running);
	ck_assert_uint_lt(heap_in_use(), heap + WORKERS * SPARES + 32768);
	server_stop_and_check(s);
}

START_TEST(peers_that_misbehave_leave_no_trace)
{
	expect_no_trace(
		WEIR_SERVICE(.readable = echo_lines, .opened = connect_banner));
}
END_TEST

START_TEST(peers_that_misbehave_in_sessions_leave_no_trace)
{
	expect_no_trace(
		WEIR_SERVICE(.session = echo_lines, .opened = connect_banner));
}
END_TEST

START_TEST(peers_that_never_read_or_finish_leave_no_trace)
{
	struct server *s = serve(
		WEIR_CONFIG(.workers = 2),
		WEIR_SERVICE(.readable = echo, .first_byte_ms = 300,
			     .read_ms = 300, .write_ms = 300, .idle_ms = 300));
	static const char much[2000];
	struct client *c;

	for (int i = 0; i < 30; i++) {
		c = client_open(s);
		if (i % 3 == 0)
			(void)client_try_send(c, much, sizeof(much));
		else if (i % 3 == 1)
			(void)client_try_send(c, "x", 1);
	}
	UNTIL(is_at_rest(s));
	ck_assert_uint_eq(stats(s).ledger.timed_out, 30);
	server_stop_and_check(s);
}
END_TEST

/* The peer of a parked connection goes: no deadline is needed. */
START_TEST(a_parked_peer_that_goes_is_noticed)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = echo_lines,
					 .idle_ms = WEIR_NEVER,
					 .first_byte_ms = WEIR_NEVER));

	for (int i = 0; i < 20; i++) {
		struct client *c = client_open(s);

		if (i % 2)
			client_expect_echo(c, "hello\n");
		UNTIL(stats(s).parked == 1);
		if (i % 4 < 2)
			client_reset(c);
		else
			client_close(c);
		UNTIL(is_at_rest(s));
	}
	server_stop_and_check(s);
}
END_TEST

START_TEST(urgent_bytes_hold_nobody_up)
{
	for (int is_session = 0; is_session < 2; is_session++) {
		struct server *s = serve_workers(
			1, WEIR_SERVICE(HANDLE_AS(is_session, echo_lines)));
		struct client *c = client_open(s);

		for (int i = 0; i < 20; i++) {
			client_send(c, "hello\n");
			ck_assert_int_eq(send(c->fd, "!", 1, MSG_OOB), 1);
			client_expect(c, "hello\n");
		}
		client_half_close(c);
		client_expect_eof(c);
		client_open_and_echo(s, "hello\n");
		server_stop_and_check(s);
	}
}
END_TEST

/* A read stops before urgent data, and no further event comes. */
START_TEST(urgent_bytes_among_what_has_come_hold_nothing_back)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve(
		WEIR_CONFIG(.workers = 1),
		WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));
	struct client *held = client_open(s),
		      *c = client_open_and_echo(s, "hello\n");

	client_wait_at_gate(held, &gate);
	client_send(c, "one\n");
	ck_assert_int_eq(send(c->fd, "!", 1, MSG_OOB), 1);
	client_send(c, "two\n");
	gate_open(&gate);
	client_expect(held, "wait\n");
	client_expect(c, "one\ntwo\n");
	server_stop_and_check(s);
}
END_TEST

static int fork_child(weir_conn *c, void *arg)
{
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	pid_t child;

	if (n <= 0)
		return (int)n;
	child = fork();
	if (child == 0) {
		for (;;)
			pause(); /* has a copy of every descriptor */
	}
	atomic_store((_Atomic pid_t *)arg, child);
	return weir_conn_printf(c, "goodbye");
}

/* Nothing of a server is left though another process has its descriptors. */
static void is_gone_from(const char *address)
{
	struct server *s;
	weir_conn *late;

	ck_assert_int_eq(weir_dial(&late, address, 5000 * slowness()),
			 -ECONNREFUSED);
	s = serve_at(address, NULL, WEIR_SERVICE(.readable = echo));
	client_open_and_echo(s, "hello");
	server_stop_and_check(s);
}

START_TEST(a_child_of_the_program_holds_nothing_open)
{
	_Atomic pid_t child = 0;
	struct server *s = serve_held(
		NULL, WEIR_SERVICE(.readable = fork_child, .arg = &child));
	struct client *c = client_open(s);
	char address[sizeof(s->address)];

	strcpy(address, s->address);
	client_expect_reply(c, "go\n", "goodbye");
	client_expect_eof(c);
	client_close(c);
	UNTIL(is_at_rest(s));
	server_stop_and_check(s);
	ck_assert_int_gt(atomic_load(&child), 0);
	is_gone_from(address);
	kill(atomic_load(&child), SIGKILL);
	waitpid(atomic_load(&child), NULL, 0);
}
END_TEST

static int run_a_program(weir_conn *c, void *arg)
{
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	FILE *pipe;

	(void)arg;
	if (n <= 0)
		return (int)n;
	pipe = popen("ls /proc/self/fd | tr '\\n' ' '", "re");
	if (!pipe)
		return -EIO;
	while (fgets(line, sizeof(line), pipe))
		weir_conn_printf(c, "%s", line);
	pclose(pipe);
	return 0;
}

/* 0 to 2, what ls(1) opened, and what the test runner left open. */
START_TEST(a_program_that_is_run_inherits_no_descriptor)
{
	struct server *s;
	struct client *c;
	char before[256] = "", buf[256];
	FILE *pipe = popen("ls /proc/self/fd | tr '\\n' ' '", "re");

	ck_assert_ptr_nonnull(pipe);
	ck_assert_ptr_nonnull(fgets(before, sizeof(before), pipe));
	pclose(pipe);
	s = serve(NULL, WEIR_SERVICE(.readable = run_a_program));
	for (int i = 0; i < 5; i++)
		client_open(s);
	c = client_open_and_send(s, "go\n");
	client_expect(c, before);
	ck_assert_int_eq(client_read(c, buf, sizeof(buf)), 0);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS("misbehaviour", peers_that_misbehave_leave_no_trace,
			 peers_that_misbehave_in_sessions_leave_no_trace,
			 peers_that_never_read_or_finish_leave_no_trace,
			 a_parked_peer_that_goes_is_noticed,
			 urgent_bytes_hold_nobody_up,
			 urgent_bytes_among_what_has_come_hold_nothing_back,
			 a_child_of_the_program_holds_nothing_open,
			 a_program_that_is_run_inherits_no_descriptor);
}
