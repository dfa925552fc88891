/* SPDX-License-Identifier: MIT */
/* The workers: each runs the tasks that the scheduler gives it. */
#include "pool.h"

#include <errno.h>
#include <stdio.h>

#include "bounds.h"
#include "clock.h"
#include "conn_table.h"
#include "dispatch.h"
#include "overflow.h"
#include "server_timers.h"
#include "session.h"
#include "sys.h"

static _Thread_local const struct wr_pool *my_pool;

static struct weir_conn *conn_of(struct wr_node *n)
{
	return wr_container_of(n, struct weir_conn, node);
}

_Static_assert((int)WR_EV_IN == WR_POLL_IN && (int)WR_EV_OUT == WR_POLL_OUT &&
		       (int)WR_EV_HUP == WR_POLL_HUP,
	       "what the poller reports is what the connection is told");

static uint32_t events_of(const struct wr_event *ev)
{
	if (!(ev->key & WR_KEY_OTHER))
		return ev->what;
	return ev->what & WR_POLL_HUP ? WR_EV_OTHER | WR_EV_OTHER_HUP
				      : WR_EV_OTHER;
}

/* While one session runs, fetch the stacks of the next ones into the cache. */
static void fetch_ahead(const struct wr_worker *w)
{
	const struct wr_core *core = w->pool->core;
	uint64_t key;

	if (atomic_load_explicit(&core->stacks_shown, memory_order_relaxed) ==
	    NULL)
		return;
	if (wr_sched_peek(&core->sched, w->index, 1, &key))
		wr_session_fetch_conn(wr_table_try_find(core->table, key));
	if (wr_sched_peek(&core->sched, w->index, 0, &key))
		wr_session_fetch_stack(wr_table_try_find(core->table, key));
}

static void run_event(struct wr_worker *w, const struct wr_event *ev)
{
	struct weir_conn *c = wr_table_find(w->pool->core->table, ev->key);
	uint32_t generation = (uint32_t)(ev->key >> 32) % WR_GENERATIONS;
	uint32_t events = events_of(ev);

	fetch_ahead(w);
	if (!wr_owner_claim(&c->owner, generation)) {
		if (!wr_owner_post(&c->owner, generation, events))
			return;
		events = 0; /* they are in the word */
	}
	wr_conn_leave_parked(c, w->ctx.stats);
	wr_dispatch(&w->ctx, c, events);
}

static void run_ready(struct wr_worker *w, struct wr_node *n)
{
	struct wr_server_timers *timers = w->pool->core->timers;

	if (n == &timers->node) {
		wr_server_timers_call(timers, &w->ctx);
		return;
	}
	wr_conn_move(conn_of(n), w->ctx.stats, WR_CONN_RUNNING);
	wr_dispatch(&w->ctx, conn_of(n), 0);
}

static void run_task(struct wr_worker *w, const struct wr_task *task)
{
	struct wr_sched *sched = &w->pool->core->sched;
	int64_t began_at = w->ctx.now;

	wr_sched_enter(sched, began_at);
	switch (task->kind) {
	case WR_TASK_EVENT:
		run_event(w, &task->event);
		break;
	case WR_TASK_READY:
		run_ready(w, task->node);
		break;
	case WR_TASK_ACCEPTED:
		wr_dispatch_accepted(&w->ctx, conn_of(task->node));
		break;
	case WR_TASK_FAILED:
		wr_core_fail(w->pool->core, task->error);
		break;
	}
	wr_sched_leave(sched, w->index, began_at, w->ctx.now);
}

static void begin_thread(const struct wr_worker *w)
{
	char name[16];

	snprintf(name, sizeof(name), "weir-w%d", w->index);
	wr_sys_thread_begin(name);
}

static void *work(void *arg)
{
	struct wr_worker *w = arg;
	struct wr_pool *p = w->pool;
	struct wr_core *core = p->core;
	const struct weir_config *config = &core->config.set;
	struct wr_task task;

	void *signal_stack = wr_overflow_enter_thread();

	wr_pool_enter(p);
	begin_thread(w);
	if (config->affinity == WEIR_AFFINITY_SPREAD &&
	    wr_sys_pin_thread(w->index) < 0)
		wr_logf(&core->logger, WEIR_LOG_WARNING,
			"worker %d: cannot be bound to a processor", w->index);
	if (config->worker_start)
		config->worker_start(w->index, config->worker_arg);
	w->ctx.now = wr_now_ns();
	wr_context_begin(&w->ctx);
	while (wr_sched_next(&core->sched, w->index, &w->ctx.now, &task))
		run_task(w, &task);
	if (config->worker_exit)
		config->worker_exit(w->index, config->worker_arg);
	wr_overflow_leave_thread(signal_stack);
	wr_pool_leave(p, &w->thread);
	return NULL;
}

int wr_pool_init(struct wr_pool *p, struct wr_core *core)
{
	p->core = core;
	p->workers = wr_sys_alloc_lines((size_t)core->config.set.workers *
					sizeof(struct wr_worker));
	if (p->workers == NULL)
		return -ENOMEM;
	p->count = core->config.set.workers;
	for (int i = 0; i < p->count; i++)
		p->workers[i].ctx.wake_fd = -1;
	for (int i = 0; i < p->count; i++) {
		struct wr_worker *w = &p->workers[i];

		w->pool = p;
		w->index = i;
		w->ctx.core = core;
		w->ctx.flush = wr_conn_flush;
		w->ctx.stats = &core->stats[i];
		w->ctx.wake_fd = wr_sys_eventfd();
		if (w->ctx.wake_fd < 0) {
			int rc = w->ctx.wake_fd;

			wr_pool_fini(p);
			return rc;
		}
	}
	return 0;
}

void wr_pool_fini(struct wr_pool *p)
{
	for (int i = 0; i < p->count; i++) {
		if (p->workers[i].ctx.wake_fd >= 0)
			wr_sys_close(p->workers[i].ctx.wake_fd);
		wr_context_fini(&p->workers[i].ctx);
	}
	wr_sys_free(p->workers);
	p->workers = NULL;
	p->count = 0;
}

int wr_pool_start(struct wr_pool *p)
{
	for (int i = 0; i < p->count; i++) {
		struct wr_worker *w = &p->workers[i];
		int rc = wr_sys_thread_create(
			&w->thread.id, p->core->config.set.stack_size, work, w);

		if (rc < 0)
			return rc;
		w->thread.was_started = true;
	}
	return 0;
}

void wr_pool_wake_waiters(struct wr_pool *p)
{
	for (int i = 0; i < p->count; i++)
		wr_sys_eventfd_signal(p->workers[i].ctx.wake_fd);
}

/* The acceptor, then the workers; NULL: no more. */
static struct wr_thread *thread_at(const struct wr_pool *p, int i)
{
	if (i == 0)
		return p->acceptor;
	return i <= p->count ? &p->workers[i - 1].thread : NULL;
}

struct threads_left {
	int running, exiting;
};

static struct threads_left join_ended_locked(const struct wr_pool *p)
{
	struct threads_left left = { 0, 0 };
	struct wr_thread *t;

	for (int i = 0; (t = thread_at(p, i)); i++) {
		if (!t->was_started || t->was_joined)
			continue;
		if (!t->has_exited)
			left.running++;
		else if (wr_sys_thread_tryjoin(t->id) == 0)
			t->was_joined = true;
		else
			left.exiting++;
	}
	return left;
}

/* A thread that has announced its exit runs destructors: poll for its end. */
int wr_pool_join(struct wr_pool *p, int64_t most_ns)
{
	struct wr_core *core = p->core;
	int64_t ask_ns = WR_EXIT_ASK_NS;
	struct threads_left left;

	wr_lock(&core->lock);
	for (;;) {
		int64_t now = wr_now_ns();
		int64_t until = now + wr_min_at(most_ns, WR_JOIN_STEP_NS);

		left = join_ended_locked(p);
		if (left.running + left.exiting == 0 || most_ns <= 0)
			break;
		if (left.exiting > 0) {
			until = wr_min_at(until, now + ask_ns);
			ask_ns = wr_min_at(2 * ask_ns, WR_EXIT_ASK_MOST_NS);
		}
		(void)wr_cond_wait_until(&core->changed, &core->lock, until);
		most_ns -= wr_min_at(wr_now_ns(), until) - now;
	}
	wr_unlock(&core->lock);
	return left.running + left.exiting;
}

void wr_pool_abandon(struct wr_pool *p)
{
	struct wr_thread *t;

	wr_lock(&p->core->lock);
	for (int i = 0; (t = thread_at(p, i)); i++) {
		if (t->was_started && !t->was_joined) {
			t->was_joined = true;
			(void)pthread_detach(t->id);
		}
	}
	wr_unlock(&p->core->lock);
}

void wr_pool_leave(struct wr_pool *p, struct wr_thread *t)
{
	wr_lock(&p->core->lock);
	t->has_exited = true;
	wr_cond_broadcast(&p->core->changed);
	wr_unlock(&p->core->lock);
	p->on_exit(p->exit_arg);
}

void wr_pool_enter(const struct wr_pool *p)
{
	my_pool = p;
}

bool wr_pool_is_inside(const struct wr_pool *p)
{
	return my_pool == p;
}

int wr_pool_busy(const struct wr_pool *p, int64_t now, int64_t *longest_ns)
{
	int busy = 0;

	*longest_ns = 0;
	for (int i = 0; i < p->count; i++) {
		int64_t since = atomic_load(&p->workers[i].ctx.busy_since);

		if (since == 0)
			continue;
		busy++;
		if (now - since > *longest_ns)
			*longest_ns = now - since;
	}
	return busy;
}
