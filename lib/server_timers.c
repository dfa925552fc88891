/* SPDX-License-Identifier: MIT */
/*
 * One node on the ready list stands for all timers that are due.  The worker
 * that takes it calls one of them.  If another one is due, it queues the node
 * again before the call, for another worker.
 *
 * "One call at a time": a timer is not armed while its call runs.  The end of
 * the call arms it: at the time that weir_timer_set() has asked for, or at the
 * next multiple of its period.
 *
 * "No timer is missed": look_at changes under the lock.  A thread that lowers
 * it then signals the acceptor, which reads it after it has taken the signal.
 */
#include "server_timers.h"

#include <errno.h>
#include <pthread.h>

#include "clock.h"
#include "conn.h"
#include "sys.h"

struct weir_timer {
	struct wr_server_timers *timers; /* c */
	weir_timer_fn *fn;		 /* c */
	void *arg;			 /* c */
	int64_t every_ns;		 /* c; 0: once */
	bool ends_itself;		 /* c: freed after its last call */
	struct wr_timer timer;
	struct weir_timer *prev, *next; /* in timers->all */
	int64_t due_at;			/* of its last call */
	int64_t set_at;			/* what weir_timer_set() asked for */
	bool is_running;
	bool was_set;	  /* during the call */
	bool is_freed;	  /* at the end of its call */
	pthread_t runner; /* of the call that runs */
};

int wr_server_timers_init(struct wr_server_timers *ts, struct wr_core *core,
			  weir_server *server)
{
	*ts = (struct wr_server_timers){ .core = core,
					 .server = server,
					 .look_at = WR_NEVER_AT };
	core->timers = ts;
	return wr_lock_init(&ts->lock);
}

void wr_server_timers_fini(struct wr_server_timers *ts)
{
	while (ts->all) {
		struct weir_timer *t = ts->all;

		ts->all = t->next;
		wr_sys_free(t);
	}
	wr_timers_fini(&ts->armed);
	wr_lock_fini(&ts->lock);
}

static void arm_locked(struct weir_timer *t, int64_t at)
{
	if (at == WR_NEVER_AT)
		wr_timers_disarm(&t->timers->armed, &t->timer);
	else
		wr_timers_arm(&t->timers->armed, &t->timer, at);
}

static void enlist_locked(struct wr_server_timers *ts, struct weir_timer *t)
{
	t->next = ts->all;
	if (ts->all)
		ts->all->prev = t;
	ts->all = t;
	ts->count++;
}

static void free_locked(struct wr_server_timers *ts, struct weir_timer *t)
{
	if (t->prev)
		t->prev->next = t->next;
	else
		ts->all = t->next;
	if (t->next)
		t->next->prev = t->prev;
	ts->count--;
	wr_sys_free(t);
}

static void queue_if_due_locked(struct wr_server_timers *ts, int64_t now)
{
	if (ts->is_queued || ts->is_closed ||
	    wr_timers_next_at(&ts->armed) > now)
		return;
	ts->is_queued = true;
	wr_sched_submit(&ts->core->sched, WR_QUEUE_READY, &ts->node, now);
}

/* While the node is queued, the worker that takes it looks. */
static void plan_locked(struct wr_server_timers *ts)
{
	int64_t at = ts->is_queued || ts->is_closed
			     ? WR_NEVER_AT
			     : wr_timers_next_at(&ts->armed);

	if (at < atomic_exchange(&ts->look_at, at))
		wr_sys_eventfd_signal(ts->core->acceptor_wake_fd);
}

static struct weir_timer *begin_call_locked(struct wr_server_timers *ts,
					    int64_t now)
{
	struct wr_timer *due =
		ts->is_closed ? NULL : wr_timers_pop(&ts->armed, now);
	struct weir_timer *t;

	if (due == NULL)
		return NULL; /* it was moved or freed */
	t = wr_container_of(due, struct weir_timer, timer);
	t->due_at = due->at;
	t->is_running = true;
	t->was_set = false;
	t->runner = pthread_self();
	ts->running++;
	return t;
}

static int64_t next_call_at(const struct weir_timer *t, int64_t now)
{
	if (t->was_set)
		return t->set_at;
	if (t->every_ns == 0)
		return WR_NEVER_AT;
	return t->due_at + ((now - t->due_at) / t->every_ns + 1) * t->every_ns;
}

static void end_call_locked(struct wr_server_timers *ts, struct weir_timer *t,
			    int64_t now)
{
	int64_t next_at = next_call_at(t, now);

	ts->running--;
	t->is_running = false;
	if (t->is_freed || (t->ends_itself && next_at == WR_NEVER_AT))
		free_locked(ts, t);
	else
		arm_locked(t, next_at);
}

void wr_server_timers_run(struct wr_server_timers *ts, int64_t now)
{
	if (atomic_load(&ts->look_at) > now)
		return;
	wr_lock(&ts->lock);
	queue_if_due_locked(ts, now);
	plan_locked(ts);
	wr_unlock(&ts->lock);
}

void wr_server_timers_call(struct wr_server_timers *ts, struct wr_context *ctx)
{
	struct weir_timer *t;

	ctx->now = wr_now_ns();
	wr_lock(&ts->lock);
	ts->is_queued = false;
	t = begin_call_locked(ts, ctx->now);
	queue_if_due_locked(ts, ctx->now);
	plan_locked(ts);
	wr_unlock(&ts->lock);
	if (t == NULL)
		return;
	wr_context_enter(ctx, NULL);
	t->fn(ts->server, t, t->arg);
	(void)wr_context_leave(ctx);
	wr_conn_flush_others(ctx);
	wr_count(ctx->stats, &ctx->stats->timer_calls, 1);
	wr_lock(&ts->lock);
	end_call_locked(ts, t, ctx->now);
	plan_locked(ts);
	wr_unlock(&ts->lock);
}

bool wr_server_timers_close(struct wr_server_timers *ts)
{
	bool is_any_running;

	wr_lock(&ts->lock);
	ts->is_closed = true;
	is_any_running = ts->running > 0;
	plan_locked(ts);
	wr_unlock(&ts->lock);
	return !is_any_running;
}

static int add_locked(struct wr_server_timers *ts, struct weir_timer *t,
		      int64_t at)
{
	int rc = ts->is_closed ? -ESHUTDOWN
			       : wr_timers_reserve(&ts->armed, ts->count + 1);

	if (rc < 0)
		return rc;
	enlist_locked(ts, t);
	arm_locked(t, at);
	plan_locked(ts);
	return 0;
}

int wr_server_timers_add(struct wr_server_timers *ts, weir_timer **ret, int ms,
			 int every_ms, weir_timer_fn *fn, void *arg)
{
	struct weir_timer *t = wr_sys_alloc(sizeof(*t));
	int rc;

	if (t == NULL)
		return -ENOMEM;
	t->timers = ts;
	t->fn = fn;
	t->arg = arg;
	t->every_ns = every_ms * WR_NS_PER_MS;
	t->ends_itself = ret == NULL;
	wr_lock(&ts->lock);
	rc = add_locked(ts, t, wr_deadline_at(wr_now_ns(), ms));
	if (rc == 0 && ret)
		*ret = t; /* before its first call */
	wr_unlock(&ts->lock);
	if (rc < 0)
		wr_sys_free(t);
	return rc;
}

int weir_timer_set(weir_timer *t, int ms)
{
	WR_NO_CANCEL();
	int rc = 0;

	if (t == NULL || ms < WEIR_NEVER)
		return -EINVAL;
	wr_lock(&t->timers->lock);
	t->set_at = wr_deadline_at(wr_now_ns(), ms);
	t->was_set = true;
	if (t->timers->is_closed)
		rc = -ESHUTDOWN;
	else if (!t->is_running)
		arm_locked(t, t->set_at);
	plan_locked(t->timers);
	wr_unlock(&t->timers->lock);
	return rc;
}

int weir_timer_free(weir_timer *t)
{
	WR_NO_CANCEL();
	struct wr_server_timers *ts;
	int rc = 0;

	if (t == NULL)
		return 0;
	ts = t->timers;
	wr_lock(&ts->lock);
	wr_timers_disarm(&ts->armed, &t->timer);
	if (!t->is_running) {
		free_locked(ts, t);
	} else {
		t->is_freed = true;
		rc = pthread_equal(t->runner, pthread_self()) ? 0 : -EBUSY;
	}
	wr_unlock(&ts->lock);
	return rc;
}
