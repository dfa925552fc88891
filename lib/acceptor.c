/* SPDX-License-Identifier: MIT */
/* The loop: run each part, then wait until one has something to do. */
#include "acceptor.h"

#include <errno.h>

#include "bounds.h"
#include "dialled.h"
#include "poller.h"
#include "server_timers.h"
#include "sys.h"

#define KEY_WAKE UINT64_MAX

static int init_parts(struct wr_acceptor *a)
{
	struct wr_core *core = a->core;
	int rc;

	wr_deadlines_init(&a->deadlines, core, &a->ctx, &a->poller);
	wr_watch_init(&a->watch, core, a->pool, &a->accept);
	rc = wr_accept_init(&a->accept, &a->deadlines);
	if (rc >= 0)
		rc = wr_stop_init(&a->stop, &a->accept, &a->watch);
	return rc;
}

int wr_acceptor_init(struct wr_acceptor *a, struct wr_core *core,
		     struct wr_pool *p)
{
	int rc;

	*a = (struct wr_acceptor){ .core = core,
				   .pool = p,
				   .accept.reserve = -1,
				   .stop.done_fd = -1 };
	a->ctx.stats = wr_core_acceptor_stats(core);
	a->ctx.wake_fd = -1;
	p->acceptor = &a->thread;
	rc = wr_poller_open(&a->poller);
	if (rc >= 0)
		rc = wr_poller_add(&a->poller, core->acceptor_wake_fd,
				   WR_POLL_IN, KEY_WAKE);
	if (rc >= 0)
		rc = init_parts(a);
	if (rc < 0) {
		wr_acceptor_fini(a);
		return rc;
	}
	return 0;
}

void wr_acceptor_fini(struct wr_acceptor *a)
{
	wr_stop_fini(&a->stop);
	wr_accept_fini(&a->accept);
	wr_deadlines_fini(&a->deadlines);
	wr_context_fini(&a->ctx);
	wr_poller_close(&a->poller);
}

static int64_t next_at(const struct wr_acceptor *a)
{
	int64_t at = wr_accept_next_at(&a->accept);

	at = wr_min_at(at, wr_deadlines_next_at(&a->deadlines));
	at = wr_min_at(at, wr_watch_next_at(&a->watch));
	at = wr_min_at(at, wr_server_timers_next_at(a->core->timers));
	at = wr_min_at(at, a->tick_at);
	return wr_min_at(at, wr_stop_next_at(&a->stop));
}

/* False: an event of a lingering connection. */
static bool handle_own(const struct wr_acceptor *a, const struct wr_event *ev)
{
	if (ev->key != KEY_WAKE)
		return wr_accept_event(ev->key);
	wr_sys_eventfd_clear(a->core->acceptor_wake_fd);
	return true;
}

/*
 * Late input is read for a limited time.  The poller may report the rest before
 * it reports a listener.  So listeners are asked without an event.
 */
static void handle_all_late(struct wr_acceptor *a, const struct wr_event *ev,
			    int n)
{
	int64_t end_at = a->ctx.now + WR_LINGER_ROUND_NS;
	int i;

	for (i = 0; i < n && wr_now_ns() < end_at; i++)
		wr_linger_event(&a->deadlines, ev[i].key);
	if (i < n || n == WR_POLL_BATCH)
		wr_accept_expect_clients(&a->accept);
}

static void wait_and_handle(struct wr_acceptor *a)
{
	struct wr_event ev[WR_POLL_BATCH];
	int64_t looked_at = wr_now_ns();
	int n = wr_poller_wait(&a->poller, ev, WR_POLL_BATCH,
			       wr_ms_until(next_at(a), looked_at));
	int late = 0;

	a->accept.looked_at = looked_at;
	a->ctx.now = wr_now_ns();
	if (n < 0)
		wr_core_fail(a->core, n);
	for (int i = 0; i < n; i++)
		if (!handle_own(a, &ev[i]))
			ev[late++] = ev[i];
	if (late > 0)
		handle_all_late(a, ev, late);
}

static void *acceptor_main(void *arg)
{
	struct wr_acceptor *a = arg;

	wr_pool_enter(a->pool);
	wr_sys_thread_begin("weir-acceptor");
	/* weir_server_start() may not have returned yet */
	wr_dialled_start(a->core);
	a->ctx.now = wr_now_ns();
	do {
		wr_deadlines_take_inbox(&a->deadlines);
		wr_deadlines_run(&a->deadlines);
		wr_server_timers_run(a->core->timers, a->ctx.now);
		wr_watch_run(&a->watch, a->ctx.now);
		a->tick_at = wr_sched_tick(&a->core->sched, a->ctx.now);
		wr_accept_refuse_too_old(&a->accept);
		wr_accept_adjust(&a->accept);
		wr_accept_run(&a->accept);
		wait_and_handle(a);
	} while (!wr_stop_run(&a->stop));
	wr_pool_leave(a->pool, &a->thread);
	return NULL;
}

int wr_acceptor_start(struct wr_acceptor *a)
{
	int rc = wr_sys_thread_create(&a->thread.id, WR_STACK_LEAST,
				      acceptor_main, a);

	a->thread.was_started = rc == 0;
	return rc;
}
