/* SPDX-License-Identifier: MIT */
/*
 * The calls that stop a server, at any time and from any place, and the signals
 * that do it.
 */
#include "test.h"

#include <sys/wait.h>

START_TEST(a_stop_before_the_start_leaves_nothing_to_start)
{
	struct server *s = server_new(NULL);

	server_listen(s, "127.0.0.1:0", WEIR_SERVICE(.readable = echo));
	ck_assert_int_eq(weir_server_stop(s->weir, 0), 0);
	ck_assert_int_eq(weir_server_join(s->weir, NULL, 0), -EINVAL);
	ck_assert_int_eq(weir_server_start(s->weir), -ESHUTDOWN);
	ck_assert_int_eq(weir_server_run(s->weir, 0), 0);
	ck_assert_int_eq(weir_server_listen(s->weir, "127.0.0.1:0",
					    WEIR_SERVICE(.readable = echo)),
			 -ESHUTDOWN);
	weir_server_free(s->weir);
	server_check_freed(s);
}
END_TEST

START_TEST(a_stop_before_the_start_needs_no_listener)
{
	struct server *s = server_new(NULL);

	ck_assert_int_eq(weir_server_drain(s->weir), 0);
	ck_assert_int_eq(weir_server_run(s->weir, 0), 0);
	ck_assert_int_eq(weir_server_start(s->weir), -ESHUTDOWN);
	ck_assert_int_eq(weir_server_run(s->weir, 0), 0);
	weir_server_free(s->weir);
	server_check_freed(s);
}
END_TEST

START_TEST(a_server_that_was_never_started_is_freed)
{
	struct process_state before;
	weir_server *s;

	process_state_take(&before);
	weir_server_free(NULL);
	ck_assert_int_eq(weir_server_new(&s, NULL), 0);
	weir_server_free(s);
	ck_assert_int_eq(weir_server_new(&s, NULL), 0);
	ck_assert_int_eq(weir_server_start(s), -EINVAL); /* no listener */
	ck_assert_int_ge(weir_server_listen(s, "127.0.0.1:0",
					    WEIR_SERVICE(.readable = echo)),
			 0);
	weir_server_free(s);
	process_state_check(&before);
}
END_TEST

START_TEST(a_server_is_freed_while_it_runs)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	struct client *c = client_open_and_echo(s, "hello");

	weir_server_free(s->weir);
	client_expect_end(c);
	server_check_freed(s);
}
END_TEST

START_TEST(bad_calls_are_answered)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));

	ck_assert_int_eq(weir_server_stop(s->weir, -2), -EINVAL);
	ck_assert_int_eq(weir_server_start(s->weir), -EBUSY);
	server_stop_and_check(s);
}
END_TEST

START_TEST(run_waits_for_what_was_started_before)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));

	weir_server_drain(s->weir);
	ck_assert_int_eq(weir_server_run(s->weir, 0), 0);
	ck_assert_int_eq(weir_server_run(s->weir, WEIR_SIGNALS), 0);
	server_join_and_check(s);
}
END_TEST

START_TEST(run_says_what_a_stop_before_it_has_cut)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.session = echo_lines));
	struct client *c = client_open_and_send(s, "half a li");

	UNTIL(session_waits(s));
	weir_server_stop(s->weir, 0);
	/* -EBUSY while a busy machine delays the callback. */
	UNTIL(weir_server_join(s->weir, NULL, 0) == -ECANCELED);
	ck_assert_int_eq(weir_server_run(s->weir, 0), -ECANCELED);
	client_close(c);
	server_join_and_check(s);
}
END_TEST

START_TEST(join_may_be_called_again_and_says_the_same)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	struct weir_report first, second;

	weir_server_drain(s->weir);
	ck_assert_int_eq(join_fully(s->weir, &first), 0);
	ck_assert_int_eq(weir_server_join(s->weir, &second, sizeof(second)), 0);
	ck_assert_int_eq(weir_server_join(s->weir, NULL, 0), 0);
	ck_assert_mem_eq(&first, &second, sizeof(first));
	ck_assert_int_eq(weir_server_stop(s->weir, 0), 0);
	ck_assert_int_eq(weir_server_start(s->weir), -ESHUTDOWN);
	server_join_and_check(s);
}
END_TEST

static int stop_its_server(weir_conn *c, void *arg)
{
	struct server **s = arg;
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int joined, stopped;

	if (n <= 0)
		return (int)n;
	joined = weir_server_join((*s)->weir, NULL, 0);
	stopped = weir_server_stop((*s)->weir, 10000);
	weir_conn_printf(c, "%s ", error_name(joined));
	weir_conn_printf(c, "%s", error_name(stopped));
	return 0;
}

START_TEST(a_callback_may_stop_its_server_but_not_wait_for_it)
{
	struct server *s;
	struct client *c;
	struct weir_report report;

	s = server_new(NULL);
	server_listen(s, "127.0.0.1:0",
		      WEIR_SERVICE(.readable = stop_its_server, .arg = &s));
	server_start(s);
	c = client_open(s);
	client_expect_reply(c, "stop\n", "-EDEADLK 0");
	client_expect_eof(c);
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 1);
}
END_TEST

static void *stop_server(void *arg)
{
	struct server *s = arg;

	for (int grace = 8000; grace >= 1000; grace -= 1000)
		if (weir_server_stop(s->weir, grace * slowness()) != 0)
			return s;
	return join_fully(s->weir, NULL) == 0 ? NULL : s;
}

START_TEST(many_threads_may_stop_and_join_at_once)
{
	for (int round = 0; round < fewer(50); round++) {
		struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
		struct client *c = client_open(s);
		pthread_t ids[8];
		void *bad;

		client_expect_echo(c, "hello");
		client_close(c);
		for (int i = 0; i < 8; i++)
			ck_assert_int_eq(
				pthread_create(&ids[i], NULL, stop_server, s),
				0);
		for (int i = 0; i < 8; i++) {
			pthread_join(ids[i], &bad);
			ck_assert_ptr_null(bad);
		}
		server_join_and_check(s);
	}
}
END_TEST

static void one_life(bool with_client)
{
	struct server *s = serve_workers(2, WEIR_SERVICE(.readable = echo));

	if (with_client) {
		client_open_and_echo(s, "hello");
	}
	server_stop_and_check(s);
}

START_TEST(five_hundred_lives_leave_nothing)
{
	struct process_state before;
	size_t heap;

	process_state_take(&before);
	for (int i = 0; i < 20; i++)
		one_life(i % 2);
	heap = heap_in_use();
	for (int i = 0; i < fewer(500); i++)
		one_life(i % 2);
	/* Caches of the allocator may differ by a little. */
	ck_assert_uint_lt(heap_in_use(), heap + 65536);
	process_state_check(&before);
}
END_TEST

/* ---- signals */

struct sender {
	struct server *s;
	struct gate *gate; /* NULL: no callback is stuck */
	pthread_t id;
};

/* When the server is ready: a signal; a second one if it is stuck. */
static void *send_signals(void *arg)
{
	struct sender *sender = arg;
	struct client *c = client_open(sender->s);

	client_expect_echo(c, "hello\n");
	if (sender->gate) {
		client_wait_at_gate(c, sender->gate);
	}
	kill(getpid(), SIGTERM);
	if (sender->gate)
		kill(getpid(), SIGINT);
	return NULL;
}

static void block(int how, int first, int second)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, first);
	sigaddset(&set, second);
	pthread_sigmask(how, &set, NULL);
}

/* The result of run. */
static int run_with_signals(struct sender *sender)
{
	int rc;

	/* The other thread starts with them blocked, as documented. */
	block(SIG_BLOCK, SIGINT, SIGTERM);
	ck_assert_int_eq(
		pthread_create(&sender->id, NULL, send_signals, sender), 0);
	rc = weir_server_run(sender->s->weir, WEIR_SIGNALS);
	pthread_join(sender->id, NULL);
	return rc;
}

static struct sender sender_of(struct gate *gate)
{
	struct sender sender = { .gate = gate };

	sender.s = server_new(WEIR_CONFIG(.workers = 2, .drain_ms = 60000));
	server_listen(
		sender.s, "127.0.0.1:0",
		WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = gate));
	return sender;
}

START_TEST(the_first_signal_drains)
{
	struct sender sender = sender_of(NULL);

	ck_assert_int_eq(run_with_signals(&sender), 0);
	block(SIG_UNBLOCK, SIGINT, SIGTERM);
	server_join_and_check(sender.s);
}
END_TEST

START_TEST(the_second_signal_cuts)
{
	struct gate gate = GATE_CLOSED;
	struct sender sender = sender_of(&gate);
	struct weir_report report;

	ck_assert_int_eq(run_with_signals(&sender), -EBUSY);
	gate_open(&gate);
	block(SIG_UNBLOCK, SIGINT, SIGTERM);
	report = server_join_and_check(sender.s);
	expect_stop_on_time(&report, 0);
}
END_TEST

static void *stop_when_it_serves(void *arg)
{
	client_close(client_open_and_echo(arg, "hello"));
	return stop_server(arg);
}

START_TEST(run_puts_the_mask_back)
{
	struct server *s = server_new(NULL);
	pthread_t id;
	void *bad;

	server_listen(s, "127.0.0.1:0", WEIR_SERVICE(.readable = echo));
	ck_assert_int_eq(pthread_create(&id, NULL, stop_when_it_serves, s), 0);
	ck_assert_int_eq(weir_server_run(s->weir, WEIR_SIGNALS), 0);
	pthread_join(id, &bad);
	ck_assert_ptr_null(bad);
	weir_server_free(s->weir);
	server_check_freed(s); /* which examines the mask */
}
END_TEST

static void *run_server(void *arg)
{
	struct server *s = arg;

	return (void *)(intptr_t)weir_server_run(s->weir, WEIR_SIGNALS);
}

/* A stopped server, so that no thread starts in the child. */
static int run_in_a_child(void)
{
	int status = -1;
	pid_t pid = fork();
	weir_server *s;

	if (pid == 0) {
		if (weir_server_new(&s, NULL) < 0 ||
		    weir_server_listen(s, "127.0.0.1:0",
				       WEIR_SERVICE(.readable = echo)) < 0)
			_exit(100);
		weir_server_stop(s, 0);
		_exit(-weir_server_run(s, WEIR_SIGNALS));
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

START_TEST(one_server_at_a_time_waits_for_signals)
{
	struct server *second = server_new(NULL), *first;
	struct client *c;
	pthread_t id;
	void *rc;

	block(SIG_BLOCK, SIGINT, SIGTERM);
	server_listen(second, "127.0.0.1:0", WEIR_SERVICE(.readable = echo));
	first = server_new(NULL);
	server_listen(first, "127.0.0.1:0", WEIR_SERVICE(.readable = echo));
	ck_assert_int_eq(pthread_create(&id, NULL, run_server, first), 0);
	c = client_open(first);
	client_expect_echo(c, "hello");
	ck_assert_int_eq(weir_server_run(second->weir, WEIR_SIGNALS), -EBUSY);
	ck_assert_int_eq(weir_server_run(first->weir, WEIR_SIGNALS), -EBUSY);
	ck_assert_int_eq(run_in_a_child(), 0);
	kill(getpid(), SIGTERM);
	ck_assert_int_eq(pthread_join(id, &rc), 0);
	ck_assert_ptr_null(rc);
	server_join_and_check(first);

	/* It waits for signals now. */
	ck_assert_int_eq(pthread_create(&id, NULL, run_server, second), 0);
	c = client_open(second);
	client_expect_echo(c, "hello");
	kill(getpid(), SIGTERM);
	ck_assert_int_eq(pthread_join(id, &rc), 0);
	ck_assert_ptr_null(rc);
	block(SIG_UNBLOCK, SIGINT, SIGTERM);
	server_join_and_check(second);
}
END_TEST

static weir_server *to_stop;

static void stop_it(int sig)
{
	(void)sig;
	weir_server_stop(to_stop, 10000);
}

START_TEST(a_signal_handler_of_the_program_may_stop)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	struct client *c = client_open(s);
	const struct sigaction action = { .sa_handler = stop_it };

	client_expect_echo(c, "hello");
	to_stop = s->weir;
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
	client_expect_eof(c);
	server_join_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"stop_calls", a_stop_before_the_start_leaves_nothing_to_start,
		a_stop_before_the_start_needs_no_listener,
		a_server_that_was_never_started_is_freed,
		a_server_is_freed_while_it_runs, bad_calls_are_answered,
		run_waits_for_what_was_started_before,
		run_says_what_a_stop_before_it_has_cut,
		join_may_be_called_again_and_says_the_same,
		a_callback_may_stop_its_server_but_not_wait_for_it,
		many_threads_may_stop_and_join_at_once,
		five_hundred_lives_leave_nothing, the_first_signal_drains,
		the_second_signal_cuts, run_puts_the_mask_back,
		one_server_at_a_time_waits_for_signals,
		a_signal_handler_of_the_program_may_stop);
}
