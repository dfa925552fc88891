/* SPDX-License-Identifier: MIT */
/*
 * The scheduler without threads: the test calls it as each of the workers, and
 * as the monitor, in an order of its own.
 */
#include "test.h"

#include <poll.h>

#include "clock.h"
#include "scheduler.h"
#include "sys.h"

#define EVENTS 8

struct env {
	struct wr_sched sched;
	struct wr_poller poller;
	int monitor_fd;
	int fd[EVENTS]; /* eventfds in the poller, with keys from 0 */
	struct wr_node node[64];
};

static void env_init(struct env *t, int workers)
{
	*t = (struct env){ .monitor_fd = wr_sys_eventfd() };
	ck_assert_int_eq(wr_poller_open(&t->poller), 0);
	ck_assert_int_eq(
		wr_sched_init(&t->sched, workers, &t->poller, t->monitor_fd),
		0);
	for (int i = 0; i < EVENTS; i++) {
		t->fd[i] = wr_sys_eventfd();
		ck_assert_int_eq(
			wr_poller_add_wakeup(&t->poller, t->fd[i], (uint64_t)i),
			0);
	}
}

static void env_fini(struct env *t)
{
	wr_sched_fini(&t->sched);
	for (int i = 0; i < EVENTS; i++)
		wr_sys_close(t->fd[i]);
	wr_sys_close(t->monitor_fd);
	wr_poller_close(&t->poller);
}

static void events_come(struct env *t, int count)
{
	for (int i = 0; i < count; i++)
		wr_sys_eventfd_signal(t->fd[i]);
}

static void submit(struct env *t, enum wr_queue_id id, int first, int count)
{
	for (int i = first; i < first + count; i++)
		wr_sched_submit(&t->sched, id, &t->node[i], 0);
}

/* The worker's next task: an event by its key, a node, a failure, the end. */
static char next_at(struct env *t, int worker, int64_t now)
{
	struct wr_task task;

	if (!wr_sched_next(&t->sched, worker, &now, &task))
		return '.';
	switch (task.kind) {
	case WR_TASK_EVENT:
		return (char)('0' + task.event.key);
	case WR_TASK_ACCEPTED:
		return 'a';
	case WR_TASK_READY:
		return 'r';
	case WR_TASK_FAILED:
	default:
		return 'f';
	}
}

static char next(struct env *t, int worker)
{
	return next_at(t, worker, wr_now_ns());
}

static bool is_signalled(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1;
}

/* The clock stands: the number of tasks ends a round, and not their time. */
START_TEST(a_full_queue_keeps_a_worker_for_one_round)
{
	struct env t;
	int64_t now = wr_now_ns();
	char got[64] = "";

	env_init(&t, 1);
	submit(&t, WR_QUEUE_READY, 0, WR_ROUND_TASKS + 2);
	submit(&t, WR_QUEUE_ACCEPTED, 32, WR_ROUND_TASKS + 1);
	events_come(&t, 2);
	for (int i = 0; i < 2 * WR_ROUND_TASKS + 2; i++)
		got[i] = next_at(&t, 0, now);
	ck_assert_str_eq(got, "rrrrrrrrrrrrrrrraaaaaaaaaaaaaaaa01");
	ck_assert_int_eq(next(&t, 0), 'r');
	ck_assert_int_eq(next(&t, 0), 'r');
	ck_assert_int_eq(next(&t, 0), 'a');
	env_fini(&t);
}
END_TEST

START_TEST(what_a_worker_has_taken_is_run_by_another)
{
	struct env t;

	env_init(&t, 3);
	events_come(&t, 4);
	ck_assert_int_eq(next(&t, 2), '0');
	ck_assert_int_eq(next(&t, 0), '1');
	ck_assert_int_eq(next(&t, 1), '2');
	ck_assert_int_eq(next(&t, 2), '3');
	env_fini(&t);
}
END_TEST

/* Also right after the machine has started, when its clock is near 0. */
START_TEST(in_handoff_mode_a_worker_takes_few_events_and_at_least_one)
{
	struct env t;

	env_init(&t, 2);
	wr_sched_always_hand_off(&t.sched);
	events_come(&t, 2);
	ck_assert_int_eq(next_at(&t, 0, 0), '0');
	ck_assert_int_eq(next(&t, 0), '1');
	env_fini(&t);
}
END_TEST

START_TEST(the_monitor_looks_until_all_is_quiet)
{
	struct env t;
	int64_t now = wr_now_ns();
	int ticks = 0;

	env_init(&t, 2);
	ck_assert(wr_sched_tick(&t.sched, now) == WR_NEVER_AT);
	events_come(&t, 1);
	ck_assert_int_eq(next(&t, 0), '0');
	ck_assert(is_signalled(t.monitor_fd));
	while ((now = wr_sched_tick(&t.sched, now)) != WR_NEVER_AT)
		ck_assert_int_le(++ticks, WR_QUIET_TICKS);
	ck_assert_int_eq(ticks, WR_QUIET_TICKS);
	wr_sys_eventfd_clear(t.monitor_fd);
	wr_sched_requeue(&t.sched, &t.node[0], wr_now_ns());
	ck_assert(is_signalled(t.monitor_fd));
	env_fini(&t);
}
END_TEST

START_TEST(a_server_with_one_worker_has_no_monitor)
{
	struct env t;

	env_init(&t, 1);
	events_come(&t, 1);
	ck_assert_int_eq(next(&t, 0), '0');
	wr_sched_requeue(&t.sched, &t.node[0], wr_now_ns());
	ck_assert(!is_signalled(t.monitor_fd));
	ck_assert(wr_sched_tick(&t.sched, wr_now_ns()) == WR_NEVER_AT);
	env_fini(&t);
}
END_TEST

/* What became ready too late is run; each worker wakes the next. */
START_TEST(after_the_close_ready_nodes_are_run_and_all_workers_end)
{
	struct env t;

	env_init(&t, 2);
	submit(&t, WR_QUEUE_READY, 0, 2);
	wr_sched_close(&t.sched);
	ck_assert_int_eq(next(&t, 0), 'r');
	ck_assert_int_eq(next(&t, 1), 'r');
	ck_assert_int_eq(next(&t, 0), '.');
	ck_assert_int_eq(next(&t, 1), '.');
	env_fini(&t);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"scheduler", a_full_queue_keeps_a_worker_for_one_round,
		what_a_worker_has_taken_is_run_by_another,
		in_handoff_mode_a_worker_takes_few_events_and_at_least_one,
		the_monitor_looks_until_all_is_quiet,
		a_server_with_one_worker_has_no_monitor,
		after_the_close_ready_nodes_are_run_and_all_workers_end);
}
