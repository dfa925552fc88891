/* SPDX-License-Identifier: MIT */
/*
 * The starvation watch without threads, with a clock of the test: a worker is
 * in a callback if its context says so.
 */
#include "test.h"

#include "sys.h"
#include "watch.h"

#define WORKERS 2
#define BEGAN	WR_MS(1000)

struct env {
	struct wr_core core;
	struct wr_pool pool;
	struct wr_accept accept;
	struct wr_watch watch;
	int input; /* eventfd in the poller of the workers */
	int lines;
};

static struct env t;
static struct wr_node node; /* to be queued as the next wait ends */
static bool is_submitted_late;

int __real_wr_poller_wait(struct wr_poller *p, struct wr_event *ev, int max,
			  int timeout_ms);
int __wrap_wr_poller_wait(struct wr_poller *p, struct wr_event *ev, int max,
			  int timeout_ms);

int __wrap_wr_poller_wait(struct wr_poller *p, struct wr_event *ev, int max,
			  int timeout_ms)
{
	int n = __real_wr_poller_wait(p, ev, max, timeout_ms);

	if (is_submitted_late)
		wr_sched_submit(&t.core.sched, WR_QUEUE_READY, &node, 0);
	is_submitted_late = false;
	return n;
}

static void count_line(int level, const char *line, void *arg)
{
	(void)arg;
	t.lines += level == WEIR_LOG_WARNING &&
		   strstr(line, "workers have been in callbacks") != NULL;
}

static void env_init(void)
{
	ck_assert_int_eq(wr_core_init(&t.core, WEIR_CONFIG(.workers = WORKERS,
							   .log = count_line)),
			 0);
	ck_assert_int_eq(wr_pool_init(&t.pool, &t.core), 0);
	wr_watch_init(&t.watch, &t.core, &t.pool, &t.accept);
	t.input = wr_sys_eventfd();
	ck_assert_int_eq(wr_poller_add_wakeup(&t.core.poller, t.input, 1), 0);
}

static void env_fini(void)
{
	wr_sys_close(t.input);
	wr_pool_fini(&t.pool);
	wr_core_fini(&t.core);
}

static void begin_callback(int worker, int64_t now)
{
	atomic_store(&t.pool.workers[worker].ctx.busy_since, now);
}

static void begin_callbacks(int64_t now)
{
	for (int i = 0; i < WORKERS; i++)
		begin_callback(i, now);
}

static uint64_t starvations(void)
{
	struct weir_stats sum;

	wr_core_sum(&t.core, &sum);
	return sum.starvations;
}

static void expect(int lines, uint64_t times, int64_t now)
{
	wr_watch_run(&t.watch, now);
	ck_assert_int_eq(t.lines, lines);
	ck_assert_uint_eq(starvations(), times);
}

static int next_kind(int worker)
{
	struct wr_task task;
	int64_t now = 0;

	ck_assert(wr_sched_next(&t.core.sched, worker, &now, &task));
	return (int)task.kind;
}

static bool has_event(void)
{
	struct wr_event ev;

	return wr_poller_wait(&t.core.poller, &ev, 1, 0) == 1;
}

/* A worker that has left the poller runs the node, so the wake-up is late. */
static void leave_a_wakeup_unread(void)
{
	wr_sys_eventfd_signal(t.input);
	is_submitted_late = true;
	ck_assert_int_eq(next_kind(0), WR_TASK_EVENT);
	ck_assert_int_eq(next_kind(0), WR_TASK_READY);
}

START_TEST(a_wake_up_that_no_worker_has_taken_is_no_waiting_connection)
{
	int64_t now = BEGAN + WR_STARVED_NS;

	env_init();
	leave_a_wakeup_unread();
	begin_callbacks(BEGAN);
	expect(0, 0, now);
	wr_sys_eventfd_signal(t.input);
	expect(1, 1, now += WR_STARVED_NS);
	env_fini();
}
END_TEST

START_TEST(the_watch_leaves_the_wake_up_and_the_events_to_the_workers)
{
	env_init();
	leave_a_wakeup_unread();
	begin_callbacks(BEGAN);
	expect(0, 0, BEGAN + WR_STARVED_NS);
	ck_assert(has_event());
	ck_assert(!has_event());
	wr_sys_eventfd_signal(t.input);
	expect(1, 1, BEGAN + 2 * WR_STARVED_NS);
	ck_assert(has_event());
	env_fini();
}
END_TEST

START_TEST(one_starvation_is_counted_once_and_told_once_a_minute)
{
	int64_t now = BEGAN + WR_STARVED_NS, told_at = now;

	env_init();
	wr_sched_submit(&t.core.sched, WR_QUEUE_READY, &node, 0);
	begin_callbacks(BEGAN);
	expect(0, 0, now - 1);
	expect(1, 1, now);
	while ((now = wr_watch_next_at(&t.watch)) <
	       told_at + WR_STARVED_SILENCE_NS)
		expect(1, 1, now);
	expect(2, 1, told_at + WR_STARVED_SILENCE_NS);
	env_fini();
}
END_TEST

START_TEST(each_starvation_is_counted_and_told_once_a_minute)
{
	int64_t told_at = BEGAN + WR_STARVED_NS;
	int64_t then = told_at + WR_STARVED_SILENCE_NS;

	env_init();
	wr_sched_submit(&t.core.sched, WR_QUEUE_READY, &node, 0);
	begin_callbacks(BEGAN);
	expect(1, 1, told_at);
	begin_callback(1, told_at + 1);
	expect(1, 2, told_at + 1 + WR_STARVED_NS);
	begin_callback(0, 0);
	expect(1, 2, told_at + 1 + 2 * WR_STARVED_NS);
	begin_callback(0, then - 1 - WR_STARVED_NS);
	expect(1, 3, then - 1);
	begin_callback(1, then - WR_STARVED_NS);
	expect(2, 4, then - 1 + WR_STARVED_NS);
	env_fini();
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"watch",
		a_wake_up_that_no_worker_has_taken_is_no_waiting_connection,
		the_watch_leaves_the_wake_up_and_the_events_to_the_workers,
		one_starvation_is_counted_once_and_told_once_a_minute,
		each_starvation_is_counted_and_told_once_a_minute);
}
