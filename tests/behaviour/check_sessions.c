/* SPDX-License-Identifier: MIT */
/*
 * Sessions on stacks of their own: while they wait they hold no worker, any
 * worker resumes them, and every end of a wait reaches them.
 */
#include "test.h"

#include <sys/syscall.h>
#include <sys/wait.h>

enum { MANY = 100, STEPS = 5 };

static size_t step_line(const struct client_group *group, int i, char *buf,
			size_t cap)
{
	return (size_t)snprintf(buf, cap, "step %d of %d\n", group->round, i);
}

/* A dialogue of five steps, whose state is on the stack. */
static int five_steps(weir_conn *c, void *arg)
{
	char line[5][64];
	ssize_t n;

	(void)arg;
	for (int i = 0; i < STEPS; i++) {
		n = weir_conn_read_line(c, line[i], sizeof(line[i]));
		if (n <= 0)
			return (int)n;
		if (i > 0 && strcmp(line[i] + 7, line[i - 1] + 7) != 0)
			return -EBADMSG;
		weir_conn_write(c, line[i], (size_t)n);
	}
	return WEIR_CLOSE;
}

START_TEST(many_dialogues_that_wait_hold_no_worker)
{
	struct server *s =
		serve_workers(1, WEIR_SERVICE(.session = five_steps));
	struct client_group *group = group_open(s, fewer(MANY));
	struct client *newcomer;
	struct weir_report r;

	group->piece = 1;
	for (group->round = 0; group->round < STEPS; group->round++) {
		group_send(group, step_line);
		group_expect(group, step_line);
		if (group->round < STEPS - 1)
			UNTIL(stats(s).stacks == (uint64_t)fewer(MANY));
	}
	group_expect_eof(group);
	newcomer = client_open(s);
	client_expect_reply(newcomer, "step 0 of me\n", "step 0 of me\n");
	client_close(newcomer);
	group_close(group);
	UNTIL(is_at_rest(s));
	ck_assert_uint_eq(stats(s).stacks, 0);
	ck_assert_uint_gt(stats(s).stacks_pooled, 0);
	ck_assert_uint_gt(stats(s).stack_deepest, 0);
	r = server_stop_and_check(s);
	ck_assert_uint_eq(r.ledger.completed, (uint64_t)fewer(MANY) + 1);
}
END_TEST

/* -------------------------------------------------------------- its thread */

static struct gate gate = GATE_CLOSED;
static _Atomic long at_gate;

/* "wait" holds the worker; every line is answered with the thread. */
static int tell_thread(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0) {
		if (strcmp(line, "wait\n") == 0) {
			atomic_store(&at_gate, syscall(SYS_gettid));
			gate_wait(&gate);
		}
		weir_conn_printf(c, "%ld\n", (long)syscall(SYS_gettid));
	}
	return (int)n;
}

static long ask_thread(struct client *c)
{
	char line[32] = "";
	size_t len = 0;

	client_send(c, "who\n");
	while (len < sizeof(line) - 1 && !strchr(line, '\n'))
		ck_assert_int_eq(client_read(c, line + len++, 1), 1);
	return atol(line);
}

START_TEST(another_worker_resumes_a_session_whose_worker_is_busy)
{
	struct server *s =
		serve_workers(2, WEIR_SERVICE(.session = tell_thread));
	struct client *c = client_open(s), *holder = client_open(s);
	long before, expected;

	do { /* until its worker is the one that is held */
		before = ask_thread(c);
		gate.is_open = false;
		client_send(holder, "wait\n");
		UNTIL(gate_waiting(&gate) == 1);
		expected = atomic_load(&at_gate);
		if (expected == before)
			ck_assert_int_ne(ask_thread(c), before);
		gate_open(&gate);
		UNTIL(gate_waiting(&gate) == 0);
		client_read(holder, (char[32]){ 0 }, 32);
	} while (expected != before);
	server_stop_and_check(s);
}
END_TEST

/* ---- what it has of its thread */

struct identity {
	long thread;
	pthread_t self;
	int *error;
};

static _Thread_local struct identity own; /* of a worker, by its hook */

static struct identity identify(void)
{
	return (struct identity){ syscall(SYS_gettid), pthread_self(), &errno };
}

static struct identity *find_own(void)
{
	return &own;
}

/* Volatile: the compiler keeps no address over a wait. */
static struct identity (*volatile identity_now)(void) = identify;
static struct identity *(*volatile own_now)(void) = find_own;

static void note_own(int index, void *arg)
{
	(void)arg, (void)index;
	own = identify();
}

static bool is_same(const struct identity *a, const struct identity *b)
{
	return a->thread == b->thread && pthread_equal(a->self, b->self) &&
	       a->error == b->error;
}

static bool is_other(const struct identity *a, const struct identity *b)
{
	return a->thread != b->thread && !pthread_equal(a->self, b->self) &&
	       a->error != b->error;
}

/* After a wait: `kept` and `lock` are from before it. */
static const char *what_moved(const struct identity *before,
			      const struct identity *kept,
			      pthread_mutex_t *lock)
{
	const struct identity now = identity_now(), *mine = own_now();
	int unlocked = pthread_mutex_unlock(lock);

	if (!is_same(mine, &now) || !is_same(kept, before))
		return "strange";
	if (is_same(&now, before) && mine == kept && unlocked == 0)
		return "nothing";
	if (is_other(&now, before) && mine != kept && unlocked == EPERM)
		return "all";
	return "some";
}

/* It may stay locked until its thread ends, and so must stay in memory. */
static pthread_mutex_t *new_lock(void)
{
	static pthread_mutex_t locks[1000];
	static atomic_int count;
	pthread_mutexattr_t checks;
	int i = atomic_fetch_add(&count, 1);

	ck_assert_int_lt(i, 1000);
	pthread_mutexattr_init(&checks);
	pthread_mutexattr_settype(&checks, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&locks[i], &checks);
	pthread_mutex_lock(&locks[i]);
	return &locks[i];
}

/* "wait" holds the worker; every line is answered with what has moved. */
static int tell_what_moved(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;

	(void)arg;
	for (;;) {
		const struct identity before = identity_now();
		const struct identity *kept = own_now();
		pthread_mutex_t *lock = new_lock();
		const char *moved;

		n = weir_conn_read_line(c, line, sizeof(line));
		moved = what_moved(&before, kept, lock);
		if (n <= 0)
			return (int)n;
		if (strcmp(line, "wait\n") == 0) {
			atomic_store(&at_gate, identity_now().thread);
			gate_wait(&gate);
		}
		weir_conn_printf(c, "%ld %s\n", identity_now().thread, moved);
	}
}

/* Returns its thread. */
static long ask_what_moved(struct client *c, char moved[static 16])
{
	char line[64] = "";
	size_t len = 0;
	long thread;

	client_send(c, "what\n");
	while (len < sizeof(line) - 1 && !strchr(line, '\n'))
		ck_assert_int_eq(client_read(c, line + len++, 1), 1);
	ck_assert_int_eq(sscanf(line, "%ld %15s", &thread, moved), 2);
	return thread;
}

static struct server *serve_what_moved(bool on_worker)
{
	return serve(WEIR_CONFIG(.workers = 2, .worker_start = note_own),
		     WEIR_SERVICE(SESSION_ON(on_worker, tell_what_moved)));
}

START_TEST(thread_locals_and_errno_are_those_of_the_worker_after_a_wait)
{
	struct server *s = serve_what_moved(false);
	struct client *c = client_open(s), *holder = client_open(s);
	char moved[16];
	long before, held;

	do { /* until its worker is the one that is held */
		before = ask_what_moved(c, moved);
		gate.is_open = false;
		client_send(holder, "wait\n");
		UNTIL(gate_waiting(&gate) == 1);
		held = atomic_load(&at_gate);
		ck_assert_int_ne(ask_what_moved(c, moved), held);
		ck_assert_str_eq(moved, held == before ? "all" : "nothing");
		gate_open(&gate);
		UNTIL(gate_waiting(&gate) == 0);
		ck_assert_int_gt(client_read(holder, (char[64]){ 0 }, 64), 0);
	} while (held != before);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_session_on_its_worker_keeps_what_it_has_of_it)
{
	struct server *s = serve_what_moved(true);
	struct client *c[2] = { client_open(s), client_open(s) };
	char moved[16];

	for (int i = 0; i < 20; i++) {
		ask_what_moved(c[i % 2], moved);
		ck_assert_str_eq(moved, "nothing");
	}
	server_stop_and_check(s);
}
END_TEST

/* ------------------------------------------------------------------- others */

START_TEST(a_session_with_input_lets_others_run)
{
	static char lines[1 << 20];
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.session = echo_lines, .full_duplex = 1));
	struct client *greedy = client_open(s), *other = client_open(s);

	memset(lines, '\n', sizeof(lines));
	for (int i = 0; i < 3; i++) {
		client_try_send(greedy, lines, 60000);
		client_expect_echo(other, "hello\n");
	}
	client_close(greedy);
	server_stop_and_check(s);
}
END_TEST

static _Atomic bool has_to_end;

static int wake_itself(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0 &&
	       strcmp(line, "go\n") != 0)
		weir_conn_write(c, line, (size_t)n);
	while (!atomic_load(&has_to_end)) {
		weir_ref_wake(weir_conn_self(c));
		n = weir_conn_read_line(c, line, sizeof(line));
		ck_assert(n == -EINTR || n == -ESHUTDOWN);
	}
	return WEIR_CLOSE;
}

static int ignore_its_stop(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0 ||
	       !atomic_load(&has_to_end))
		if (n > 0)
			weir_conn_write(c, line, (size_t)n);
	return WEIR_CLOSE;
}

static int echo_and_keep(weir_conn *c, void *arg)
{
	return weir_conn_why(c) == WEIR_DRAIN && !atomic_load(&has_to_end)
		       ? WEIR_KEEP
		       : echo_lines(c, arg);
}

/* Waits of the first session end at once, again and again. */
static void expect_that_another_is_served(weir_handler_fn *fn)
{
	struct server *s = serve_workers(1, WEIR_SERVICE(.session = fn));
	struct client *c = client_open(s), *other;
	char where[64];
	int id = server_listen(s, "127.0.0.1:0",
			       WEIR_SERVICE(.readable = echo_and_keep));

	server_address(s, id, where, sizeof(where));
	atomic_store(&has_to_end, false);
	client_expect_echo(c, "hello\n");
	other = client_open_at(where);
	client_expect_echo(other, "hello\n");
	if (fn == wake_itself)
		client_send(c, "go\n");
	else
		weir_server_stop(s->weir, 60000);
	for (int i = 0; i < 20; i++)
		client_expect_echo(other, "hello\n");
	atomic_store(&has_to_end, true);
	client_expect_eof(c);
	server_stop_and_check(s);
}

START_TEST(a_session_whose_waits_end_at_once_lets_others_run)
{
	expect_that_another_is_served(wake_itself);
	expect_that_another_is_served(ignore_its_stop);
}
END_TEST

/* More than outbox_mark in each write, so that it waits with nothing queued. */
#define BLOCK ((size_t)1 << 20)

static int write_much(weir_conn *c, void *arg)
{
	static const char block[BLOCK];
	int rc = 0;

	(void)arg;
	for (int i = 0; i < 8 && rc == 0; i++)
		rc = weir_conn_write(c, block, sizeof(block));
	return rc;
}

START_TEST(sessions_whose_peers_do_not_read_hold_no_worker)
{
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.session = write_much, .speaks_first = 1));
	struct client *c[10];

	server_listen(s, "127.0.0.1:0", WEIR_SERVICE(.session = echo_lines));
	for (int i = 0; i < 10; i++)
		c[i] = client_open_small(s, 4096);
	UNTIL(stats(s).stacks == 10 && stats(s).parked == 10);
	for (int i = 0; i < 10; i++)
		ck_assert_uint_eq(client_read_to_eof(c[i]), 8 * BLOCK);
	server_stop_and_check(s);
}
END_TEST

enum { SHOWN = 4096 };

/* More than the socket takes, straight from the buffered input. */
static int repeat_input(weir_conn *c, void *arg)
{
	const void *data;
	ssize_t n = weir_conn_peek(c, &data, SHOWN);
	int rc = 0;

	(void)arg;
	if (n <= 0)
		return (int)n;
	weir_conn_consume(c, SHOWN);
	for (int i = 0; i < 2000 && rc == 0; i++)
		rc = weir_conn_write(c, data, SHOWN);
	return rc;
}

START_TEST(input_that_a_session_looks_at_stays_while_it_writes)
{
	struct server *s =
		serve_workers(1, WEIR_SERVICE(.session = repeat_input));
	char text[2][SHOWN];
	struct client *c[2];

	for (int i = 0; i < 2; i++) {
		memset(text[i], 'a' + i, SHOWN);
		c[i] = client_open_small(s, 4096);
		client_send_bytes(c[i], text[i], SHOWN);
		UNTIL(stats(s).stacks == (uint64_t)i + 1);
		UNTIL(stats(s).parked == (uint64_t)i + 1);
	}
	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 2000; j++)
			client_expect_bytes(c[i], text[i], SHOWN);
	server_stop_and_check(s);
}
END_TEST

static int greet_and_ask(weir_conn *c, void *arg)
{
	char name[64];
	ssize_t n;

	(void)arg;
	weir_conn_printf(c, "why %d, your name?\n", weir_conn_why(c));
	n = weir_conn_read_line(c, name, sizeof(name));
	if (n <= 0)
		return (int)n;
	return weir_conn_printf(c, "hello %s", name);
}

START_TEST(a_session_may_speak_first)
{
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		struct server *s = serve(
			NULL, WEIR_SERVICE(SESSION_ON(on_worker, greet_and_ask),
					   .speaks_first = 1));
		struct client *c = client_open(s);

		client_expect(c, "why 1, your name?\n");
		client_send(c, "ann\n");
		client_expect_last(c, "hello ann\n");
		server_stop_and_check(s);
	}
}
END_TEST

static int say_how_it_ends(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0)
		weir_conn_write(c, line, (size_t)n);
	weir_conn_printf(c, "%s", error_name(n));
	return (int)n;
}

START_TEST(a_stop_tells_every_session_that_waits)
{
	struct server *s =
		serve_workers(2, WEIR_SERVICE(.session = say_how_it_ends));
	struct client *c[50];
	struct weir_report r;

	for (int i = 0; i < 50; i++)
		c[i] = client_open_and_echo(s, "hello\n");
	weir_server_stop(s->weir, 60000);
	for (int i = 0; i < 50; i++)
		client_expect_last(c[i], "-ESHUTDOWN");
	r = server_join_and_check(s);
	ck_assert_uint_eq(r.ledger.completed, 50);
}
END_TEST

START_TEST(a_deadline_ends_the_wait_of_a_session)
{
	struct server *s = serve(
		NULL, WEIR_SERVICE(.session = say_how_it_ends, .idle_ms = 100));
	struct client *c = client_open_and_echo(s, "hello\n");
	struct weir_report r;

	client_expect_last(c, "-ETIMEDOUT");
	r = server_stop_and_check(s);
	ck_assert_uint_eq(r.ledger.timed_out, 1);
}
END_TEST

/* The worker that would tell it of the cut does not return in time. */
START_TEST(a_session_that_waits_can_be_abandoned)
{
	struct gate held = GATE_CLOSED;
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.session = echo_lines_at_gate, .arg = &held));
	struct client *c = client_open_and_echo(s, "hello\n");
	struct weir_report r;

	client_wait_at_gate(client_open(s), &held);
	weir_server_stop(s->weir, 0);
	ck_assert_int_eq(weir_server_join(s->weir, &r, sizeof(r)), -EBUSY);
	ck_assert_uint_eq(r.ledger.cut, 2);
	gate_open(&held);
	UNTIL(gate_waiting(&held) == 0);
	weir_server_free(s->weir);
	client_expect_eof(c);
	server_check_freed(s);
}
END_TEST

/* ---- from a thread that it made */

static void *read_its_input(void *arg)
{
	char byte;

	(void)weir_conn_read(arg, &byte, 1);
	return NULL;
}

static int leave_it_to_a_thread(weir_conn *c, void *arg)
{
	pthread_t id;

	(void)arg;
	if (pthread_create(&id, NULL, read_its_input, c) == 0)
		pthread_join(id, NULL);
	return WEIR_CLOSE;
}

static _Noreturn void serve_and_ask(int out, weir_handler_fn *fn)
{
	weir_server *s;
	weir_conn *c;
	char where[128];

	dup2(out, STDERR_FILENO);
	if (weir_server_new(&s, WEIR_CONFIG(.workers = 1)) == 0 &&
	    weir_server_listen(
		    s, "127.0.0.1:0",
		    WEIR_SERVICE(.session = fn, .speaks_first = 1)) == 0 &&
	    weir_server_start(s) == 0 &&
	    weir_server_address(s, 0, where, sizeof(where)) > 0 &&
	    weir_dial(&c, where, 0) == 0)
		pause();
	_exit(1);
}

/* What a child says on standard error, which ends with this signal. */
static void expect_death(weir_handler_fn *fn, int sig, const char *words)
{
	char text[512] = "";
	int out[2], status;
	pid_t child;

	ck_assert_int_eq(pipe(out), 0);
	child = fork();
	if (child == 0)
		serve_and_ask(out[1], fn);
	close(out[1]);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_gt(read(out[0], text, sizeof(text) - 1), 0);
	ck_assert_ptr_nonnull(strstr(text, words));
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == sig);
	close(out[0]);
}

START_TEST(a_wait_in_another_thread_is_not_taken_for_that_of_the_session)
{
	expect_death(leave_it_to_a_thread, SIGABRT, "wr_coro_current()");
}
END_TEST

/* -------------------------------------------------------------- its stack */

static int dig(weir_conn *c, void *arg)
{
	volatile char page[1024];

	page[0] = 1;
	if (weir_conn_why(c) > 0)
		(void)dig(c, arg);
	page[sizeof(page) - 1] = page[0]; /* no tail call */
	return 0;
}

static _Noreturn void die(void)
{
	weir_server *s;

	if (weir_server_new(&s, WEIR_CONFIG(.workers = 1)) == 0 &&
	    weir_server_listen(s, "127.0.0.1:0",
			       WEIR_SERVICE(.session = dig)) == 0)
		kill(getpid(), SIGSEGV);
	_exit(1);
}

START_TEST(a_signal_of_a_fault_that_is_sent_ends_the_process)
{
	int status;
	pid_t child;

	if (slowness() > 1) {
		skip_test("a sanitizer handles SIGSEGV");
		return;
	}
	child = fork();
	if (child == 0)
		die();
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}
END_TEST

START_TEST(a_session_that_overflows_its_stack_is_named)
{
	if (slowness() > 1) {
		skip_test("a sanitizer handles SIGSEGV");
		return;
	}
	expect_death(dig, SIGSEGV, "the session of connection 1 at 127.0.0.1:");
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"sessions", many_dialogues_that_wait_hold_no_worker,
		another_worker_resumes_a_session_whose_worker_is_busy,
		thread_locals_and_errno_are_those_of_the_worker_after_a_wait,
		a_session_on_its_worker_keeps_what_it_has_of_it,
		a_session_with_input_lets_others_run,
		a_session_whose_waits_end_at_once_lets_others_run,
		sessions_whose_peers_do_not_read_hold_no_worker,
		input_that_a_session_looks_at_stays_while_it_writes,
		a_session_may_speak_first,
		a_stop_tells_every_session_that_waits,
		a_deadline_ends_the_wait_of_a_session,
		a_session_that_waits_can_be_abandoned,
		a_wait_in_another_thread_is_not_taken_for_that_of_the_session,
		a_signal_of_a_fault_that_is_sent_ends_the_process,
		a_session_that_overflows_its_stack_is_named);
}
