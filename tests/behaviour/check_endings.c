/* SPDX-License-Identifier: MIT */
/*
 * Ends that coincide with a start in another thread, with a duplicate of the
 * descriptor, or with a callback that returns when its server is gone.
 */
#include "test.h"

#include <dirent.h>

/* ---- a start, a stop and a join at once */

struct life {
	weir_server *s;
	int started;
	int delay;
	_Atomic int joining; /* answers of join so far */
};

static void *start_server(void *arg)
{
	struct life *life = arg;

	/* The other thread is in the call. */
	UNTIL(atomic_load(&life->joining) > life->delay);
	life->started = weir_server_start(life->s);
	return NULL;
}

static void *join_server(void *arg)
{
	struct life *life = arg;
	int64_t until_at = test_deadline();
	int rc;

	do {
		rc = weir_server_join(life->s, NULL, 0);
		atomic_fetch_add(&life->joining, 1);
	} while ((rc == -EINVAL || rc == -EBUSY) && now_ms() < until_at);
	return rc == 0 ? NULL : life;
}

static void new_life(struct life *life)
{
	*life = (struct life){ .started = 1 };
	life->delay = rand() % 1000;
	ck_assert_int_eq(weir_server_new(&life->s, WEIR_CONFIG(.workers = 2)),
			 0);
	ck_assert_int_ge(weir_server_listen(life->s, "127.0.0.1:0",
					    WEIR_SERVICE(.readable = echo)),
			 0);
}

/* Stopped before its start (then there is nothing to join), or after. */
static void live(bool is_stopped_first)
{
	struct life life;
	pthread_t starter, joiner;
	void *bad;

	new_life(&life);
	if (is_stopped_first)
		weir_server_stop(life.s, 0);
	ck_assert_int_eq(pthread_create(&joiner, NULL, join_server, &life), 0);
	ck_assert_int_eq(pthread_create(&starter, NULL, start_server, &life),
			 0);
	if (!is_stopped_first) {
		UNTIL(atomic_load(&life.joining) > rand() % 2000);
		weir_server_stop(life.s, 0);
	}
	UNTIL(pthread_tryjoin_np(joiner, &bad) == 0);
	ck_assert_msg(!bad, "join failed, start said %d", life.started);
	pthread_join(starter, NULL);
	if (is_stopped_first)
		ck_assert_int_eq(life.started, -ESHUTDOWN);
	weir_server_free(life.s);
}

START_TEST(a_join_returns_whenever_another_thread_starts_what_was_stopped)
{
	struct process_state before;

	process_state_take(&before);
	for (int i = 0; i < 400; i++)
		live(true);
	process_state_check(&before);
}
END_TEST

START_TEST(a_join_returns_whenever_others_start_and_stop)
{
	struct process_state before;

	process_state_take(&before);
	for (int i = 0; i < 200; i++)
		live(false);
	process_state_check(&before);
}
END_TEST

/* ---- a duplicate of the descriptor */

static int duplicate(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n <= 0)
		return (int)n;
	*(_Atomic int *)arg = dup(weir_conn_fd(c));
	return weir_conn_printf(c, "done\n");
}

/* How long a thread has been running or waiting for a processor. */
static int64_t awake_ns(const char *thread)
{
	char path[64];
	long long ran = 0, waited = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%.20s/schedstat", thread);
	file = fopen(path, "r");
	if (!file)
		return 0;
	ck_assert_int_eq(fscanf(file, "%lld %lld", &ran, &waited), 2);
	fclose(file);
	return ran + waited;
}

/* The same for all threads but this one. */
static int64_t others_awake_ns(void)
{
	DIR *dir = opendir("/proc/self/task");
	const struct dirent *entry;
	int64_t sum = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)))
		if (atoi(entry->d_name) > 0 && atoi(entry->d_name) != gettid())
			sum += awake_ns(entry->d_name);
	closedir(dir);
	return sum;
}

/* A thread that never sleeps is awake all the time, however little it runs. */
static bool others_sleep(int64_t ms)
{
	int64_t began_at = now_ms(), cpu = cpu_ms(), awake = others_awake_ns();
	int64_t most;

	UNTIL(now_ms() > began_at + ms);
	most = (now_ms() - began_at) / 4;
	return cpu_ms() - cpu < most &&
	       (others_awake_ns() - awake) / 1000000 < most;
}

START_TEST(a_duplicate_that_outlives_its_connection_keeps_nobody_busy)
{
	_Atomic int copy = -1;
	struct server *s = serve(
		WEIR_CONFIG(.workers = 1),
		WEIR_SERVICE(.readable = duplicate, .arg = (void *)&copy));
	struct client *c = client_open(s);

	client_expect_reply(c, "hello\n", "done\n");
	client_expect_eof(c);
	UNTIL(stats(s).lingering == 1);
	client_send(c, "too late\n");
	client_close(c);
	UNTIL(is_at_rest(s));
	/* A busy machine may delay what they do before they sleep. */
	UNTIL(others_sleep(500));
	close(copy);
	server_stop_and_check(s);
}
END_TEST

static int duplicate_and_say_much(weir_conn *c, void *arg)
{
	static const char much[1 << 20];
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	const int size = 4096;
	int rc;

	if (n <= 0)
		return (int)n;
	*(_Atomic int *)arg = dup(weir_conn_fd(c));
	setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	rc = weir_conn_write(c, much, sizeof(much));
	return rc < 0 ? rc : WEIR_AGAIN;
}

START_TEST(a_duplicate_does_not_hide_the_end_from_the_peer)
{
	_Atomic int copy = -1;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = duplicate_and_say_much,
					 .arg = (void *)&copy, .write_ms = 100,
					 .outbox_mark = 4 << 20));
	struct client *c = client_open_small(s, 4096);
	struct weir_report report;

	client_send(c, "hello\n");
	UNTIL(is_at_rest(s)); /* it does not read, and is cut */
	client_expect_end(c);
	close(copy);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.timed_out, 1);
}
END_TEST

/* ---- a callback that outlives its server */

static int end_at_once(weir_conn *c, void *arg)
{
	char byte;
	ssize_t n = weir_conn_read(c, &byte, 1);

	(void)arg;
	return n < 0 ? (int)n : 0;
}

static void stay_at_gate(weir_conn *c, void *arg)
{
	(void)c;
	gate_wait(arg);
}

/* Input of the client stays unread, so that the connection lingers. */
static void outlive(weir_handler_fn *fn, weir_closed_fn *closed,
		    struct gate *gate)
{
	static char much[300000];
	struct server *s = serve(
		WEIR_CONFIG(.workers = 1),
		WEIR_SERVICE(.readable = fn, .closed = closed, .arg = gate));
	struct client *c = client_open(s);

	memcpy(much, "wait\n", 5);
	client_send_bytes(c, much, sizeof(much));
	UNTIL(gate_waiting(gate) == 1);
	weir_server_stop(s->weir, 0);
	ck_assert_int_eq(weir_server_join(s->weir, NULL, 0), -EBUSY);
	weir_server_free(s->weir);
	gate_open(gate);
	/* The client stays until the library has closed. */
	s->before.descriptors++;
	process_state_check(&s->before);
	s->before.descriptors--;
	server_check_freed(s);
}

START_TEST(a_callback_that_outlives_its_server_leaves_no_descriptor)
{
	struct gate handler = GATE_CLOSED, closed = GATE_CLOSED;

	outlive(echo_lines_at_gate, NULL, &handler);
	outlive(end_at_once, stay_at_gate, &closed);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"endings",
		a_join_returns_whenever_another_thread_starts_what_was_stopped,
		a_join_returns_whenever_others_start_and_stop,
		a_duplicate_that_outlives_its_connection_keeps_nobody_busy,
		a_duplicate_does_not_hide_the_end_from_the_peer,
		a_callback_that_outlives_its_server_leaves_no_descriptor);
}
