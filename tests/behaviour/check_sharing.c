/* SPDX-License-Identifier: MIT */
/*
 * How workers share the work: one waits for all connections, others are woken
 * when it is held up, and none wakes without work.
 */
#include "test.h"

#include <dirent.h>

#define OTHERS 40

static size_t a_line(const struct client_group *group, int i, char *buf,
		     size_t cap)
{
	return (size_t)snprintf(buf, cap, "%d says line %d\n", i, group->round);
}

static struct server *serve_gate(struct gate *g, int workers)
{
	return serve_workers(
		workers,
		WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = g));
}

static void group_exchange(struct client_group *group, int rounds)
{
	while (rounds-- > 0) {
		group_send(group, a_line);
		group_expect(group, a_line);
		group->round++;
	}
}

/*
 * How often this thread of the server has gone to sleep; 0 for another thread.
 */
static long sleeps_of(const char *task)
{
	char path[300], line[128];
	bool is_ours = false;
	long n = 0;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/self/task/%s/status", task);
	status = fopen(path, "r");
	while (status && fgets(line, sizeof(line), status)) {
		is_ours |= strncmp(line, "Name:\tweir-", 11) == 0;
		sscanf(line, "voluntary_ctxt_switches: %ld", &n);
	}
	if (status)
		fclose(status);
	return is_ours ? n : 0;
}

static long sleeps(void)
{
	struct dirent *entry;
	DIR *tasks = opendir("/proc/self/task");
	long total = 0;

	ck_assert_ptr_nonnull(tasks);
	while ((entry = readdir(tasks)))
		total += sleeps_of(entry->d_name);
	closedir(tasks);
	return total;
}

struct quiet {
	long sleeps;
	int64_t since;
};

static bool was_long(struct quiet *q)
{
	long now = sleeps();

	if (now != q->sleeps)
		*q = (struct quiet){ now, now_ms() };
	return now_ms() - q->since >= 300;
}

/* No thread of the server has woken for a while. */
static void until_quiet(void)
{
	struct quiet quiet = { .sleeps = -1 };

	UNTIL(was_long(&quiet));
}

START_TEST(a_thread_that_waits_for_nothing_does_not_wake)
{
	struct server *s =
		serve_workers(4, WEIR_SERVICE(.readable = echo_lines));
	struct client_group *group = group_open(s, OTHERS);

	for (int i = 0; i < 3; i++) {
		group_exchange(group, 20);
		until_quiet();
	}
	group_close(group);
	server_stop_and_check(s);
}
END_TEST

/* The only awake worker enters the callback that waits. */
START_TEST(a_callback_that_waits_after_a_long_quiet_holds_up_nobody)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_gate(&gate, 2);
	struct client *held = client_open(s), *newcomer;
	struct client_group *others = group_open(s, OTHERS);

	group_exchange(others, 1);
	until_quiet();
	client_send(held, "wait\n");
	group_exchange(others, 5);
	UNTIL(gate_waiting(&gate) == 1);
	group_exchange(others, 5);
	newcomer = client_open(s);
	client_expect_echo(newcomer, "hello\n");
	gate_open(&gate);
	client_expect(held, "wait\n");
	group_close(others);
	server_stop_and_check(s);
}
END_TEST

START_TEST(the_first_after_a_long_quiet_is_served_by_whoever_is_left)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_gate(&gate, 2);
	struct client *held = client_open(s), *other = client_open(s);

	client_expect_echo(other, "hello\n");
	client_wait_at_gate(held, &gate);
	until_quiet();
	for (int i = 0; i < 3; i++) {
		client_expect_echo(other, "still there?\n");
		until_quiet();
	}
	gate_open(&gate);
	client_expect(held, "wait\n");
	server_stop_and_check(s);
}
END_TEST

#define WORKERS 6

/* Each beside the lines of all others, until one worker is left. */
START_TEST(workers_get_stuck_one_after_the_other_and_the_last_serves_all)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_gate(&gate, WORKERS);
	struct client_group *others = group_open(s, OTHERS);
	struct client *held[WORKERS - 1], *newcomer;

	for (int i = 0; i < WORKERS - 1; i++)
		held[i] = client_open(s);
	for (int i = 0; i < WORKERS - 1; i++) {
		group_send(others, a_line);
		client_send(held[i], "wait\n");
		group_expect(others, a_line);
		others->round++;
		UNTIL(gate_waiting(&gate) == i + 1);
		group_exchange(others, 2);
	}
	newcomer = client_open(s);
	client_expect_echo(newcomer, "hello\n");
	gate_open(&gate);
	for (int i = 0; i < WORKERS - 1; i++)
		client_expect(held[i], "wait\n");
	group_close(others);
	server_stop_and_check(s);
}
END_TEST

START_TEST(as_many_callbacks_wait_side_by_side_as_there_are_workers)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_gate(&gate, 16);
	struct client *held[16];

	for (int i = 0; i < 16; i++)
		held[i] = client_open(s);
	UNTIL(stats(s).parked == 16);
	until_quiet();
	for (int i = 0; i < 16; i++)
		client_send(held[i], "wait\n");
	UNTIL(gate_waiting(&gate) == 16);
	gate_open(&gate);
	for (int i = 0; i < 16; i++)
		client_expect(held[i], "wait\n");
	server_stop_and_check(s);
}
END_TEST

static int wait_on_opening(weir_conn *c, void *arg)
{
	(void)c;
	gate_wait(arg);
	return WEIR_WAIT;
}

/* New connections come through the queue, not the poller. */
START_TEST(a_queue_of_new_connections_is_not_left_to_one_that_is_stuck)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_workers(
		4, WEIR_SERVICE(.opened = wait_on_opening,
				.readable = echo_lines, .arg = &gate));
	struct client_group *group;

	gate_let_in(&gate, OTHERS);
	group = group_open(s, OTHERS);
	UNTIL(stats(s).parked == OTHERS);
	until_quiet();
	for (int i = 0; i < 3; i++)
		(void)client_open(s);
	UNTIL(gate_waiting(&gate) == 3);
	until_quiet();
	group_exchange(group, 3);
	gate_open(&gate);
	group_close(group);
	server_stop_and_check(s);
}
END_TEST

/* A stop also ends an idle worker. */
START_TEST(a_stop_finds_every_worker_wherever_it_sleeps)
{
	for (int i = 0; i < fewer(30); i++) {
		struct server *s =
			serve_workers(8, WEIR_SERVICE(.readable = echo_lines));
		struct client_group *group = group_open(s, 8);

		group_exchange(group, i % 5);
		group_close(group);
		server_stop_and_check(s);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"sharing", a_thread_that_waits_for_nothing_does_not_wake,
		a_callback_that_waits_after_a_long_quiet_holds_up_nobody,
		the_first_after_a_long_quiet_is_served_by_whoever_is_left,
		workers_get_stuck_one_after_the_other_and_the_last_serves_all,
		as_many_callbacks_wait_side_by_side_as_there_are_workers,
		a_queue_of_new_connections_is_not_left_to_one_that_is_stuck,
		a_stop_finds_every_worker_wherever_it_sleeps);
}
