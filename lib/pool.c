/* SPDX-License-Identifier: MIT */
/*
 * What a worker does all day: run what it has at hand, then what others have
 * left over, then see whether it is needed for what comes next (lead.c).
 */
#include "pool.h"

#include <errno.h>
#include <stdio.h>

#include "clock.h"
#include "conn_table.h"
#include "dispatch.h"
#include "lead.h"
#include "sys.h"

/* Connections of one kind a worker runs before it looks at the others. */
#define ROUND 16

/* Whose thread the calling one is. */
static _Thread_local const struct wr_pool *my_pool;

static struct weir_conn *conn_of(struct wr_node *n)
{
	return wr_container_of(n, struct weir_conn, node);
}

/* ------------------------------------------------------------ kinds of work */

static void run(struct wr_worker *w, struct weir_conn *c, uint32_t reports)
{
	int64_t began = w->ctx.now;

	wr_lead_share(w);
	wr_conn_move(c, w->ctx.lane, WR_RUNNING);
	wr_dispatch(&w->ctx, c, reports);
	wr_lead_note(w, began);
}

static void run_event(struct wr_worker *w, const struct wr_event *ev)
{
	struct weir_conn *c = wr_table_find(w->pool->hub->table, ev->key);
	uint32_t generation = (uint32_t)(ev->key >> 32), reports = 0;

	if (ev->what & WR_POLL_IN)
		reports |= WR_IN;
	if (ev->what & WR_POLL_OUT)
		reports |= WR_OUT;
	if (ev->what & WR_POLL_HUP)
		reports |= WR_HUP;
	if (wr_turn_claim(&c->turn, generation))
		run(w, c, reports);
	else if (wr_turn_raise(&c->turn, generation, reports))
		run(w, c, 0);
}

static bool run_batch(struct wr_worker *w, struct wr_batch *b)
{
	struct wr_event ev;
	bool any = false;

	while (wr_batch_take(b, &ev)) {
		run_event(w, &ev);
		any = true;
	}
	return any;
}

static bool run_ready(struct wr_worker *w)
{
	struct wr_queue *ready = &w->pool->hub->ready;
	int64_t end_at = w->ctx.now + WR_ROUND_NS;
	struct wr_node *n;
	int i;

	for (i = 0;
	     i < ROUND && w->ctx.now < end_at && (n = wr_queue_pop(ready)); i++)
		run(w, conn_of(n), 0);
	return i > 0;
}

static bool run_fresh(struct wr_worker *w)
{
	struct wr_queue *fresh = &w->pool->hub->fresh;
	int64_t end_at = w->ctx.now + WR_ROUND_NS;
	struct wr_node *n;
	int i;

	for (i = 0;
	     i < ROUND && w->ctx.now < end_at && (n = wr_queue_pop(fresh));
	     i++) {
		int64_t began = w->ctx.now;

		wr_lead_share(w);
		wr_dispatch_fresh(&w->ctx, conn_of(n));
		wr_lead_note(w, began);
	}
	return i > 0;
}

static bool run_others(struct wr_worker *w)
{
	struct wr_pool *p = w->pool;
	bool any = false;

	for (int i = 1; i < p->count; i++)
		any |= run_batch(w,
				 &p->workers[(w->index + i) % p->count].batch);
	return any;
}

static void begin(const struct wr_worker *w)
{
	char name[16];

	snprintf(name, sizeof(name), "weir-w%d", w->index);
	wr_sys_thread_begin(name);
}

static void *work(void *arg)
{
	struct wr_worker *w = arg;
	struct wr_pool *p = w->pool;
	struct wr_hub *h = p->hub;
	const struct weir_config *config = &h->config.set;

	wr_pool_enter(p);
	begin(w);
	if (config->affinity == WEIR_AFFINITY_SPREAD &&
	    wr_sys_pin_thread(w->index) < 0)
		wr_logf(&h->logger, WEIR_LOG_WARNING,
			"worker %d: cannot be bound to a processor", w->index);
	if (config->worker_start)
		config->worker_start(config->worker_arg, w->index);
	w->took_at = w->ctx.now = wr_now_ns();
	w->most = WR_POLL_BATCH;
	while (wr_hub_phase(h) != WR_DONE) {
		run_batch(w, &w->batch);
		run_ready(w);
		run_fresh(w);
		run_others(w);
		wr_lead_harvest(w);
	}
	while (run_ready(w))
		; /* who came back from a callback too late for the stop */
	wr_sys_eventfd_ring(h->bell); /* the next one */
	if (config->worker_exit)
		config->worker_exit(config->worker_arg, w->index);
	wr_lock(&h->lock);
	w->has_exited = true;
	wr_cond_broadcast(&h->changed);
	wr_unlock(&h->lock);
	p->on_exit(p->exit_arg);
	return NULL;
}

/* ---------------------------------------------------------------- the pool */

int wr_pool_init(struct wr_pool *p, struct wr_hub *h)
{
	p->hub = h;
	p->workers = wr_sys_alloc_lines((size_t)h->config.set.workers *
					sizeof(struct wr_worker));
	if (p->workers == NULL)
		return -ENOMEM;
	p->count = h->config.set.workers;
	for (int i = 0; i < p->count; i++)
		p->workers[i].ctx.bell = -1;
	for (int i = 0; i < p->count; i++) {
		struct wr_worker *w = &p->workers[i];

		w->pool = p;
		w->index = i;
		w->ctx.lane = &h->lanes[i];
		w->ctx.bell = wr_sys_eventfd();
		if (w->ctx.bell < 0) {
			int rc = w->ctx.bell;

			wr_pool_fini(p);
			return rc;
		}
	}
	return 0;
}

void wr_pool_fini(struct wr_pool *p)
{
	for (int i = 0; i < p->count; i++) {
		if (p->workers[i].ctx.bell >= 0)
			wr_sys_close(p->workers[i].ctx.bell);
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
			&w->thread, p->hub->config.set.stack_size, work, w);

		if (rc < 0)
			return rc;
		w->was_started = true;
	}
	return 0;
}

void wr_pool_ring_waits(struct wr_pool *p)
{
	for (int i = 0; i < p->count; i++)
		wr_sys_eventfd_ring(p->workers[i].ctx.bell);
}

void wr_pool_dismiss(struct wr_pool *p)
{
	wr_standby_end(&p->hub->standby);
	wr_sys_eventfd_ring(p->hub->bell);
}

static int still_running(const struct wr_pool *p)
{
	int n = 0;

	for (int i = 0; i < p->count; i++)
		n += p->workers[i].was_started && !p->workers[i].has_exited;
	return n;
}

int wr_pool_join(struct wr_pool *p, int64_t at)
{
	struct wr_hub *h = p->hub;
	int left;

	wr_lock(&h->lock);
	while (still_running(p) > 0 &&
	       wr_cond_wait_until(&h->changed, &h->lock, at))
		;
	for (int i = 0; i < p->count; i++) {
		struct wr_worker *w = &p->workers[i];

		/* It has said it exits and holds no lock: this is short. */
		if (w->has_exited && !w->was_joined) {
			(void)pthread_join(w->thread, NULL);
			w->was_joined = true;
		}
	}
	left = still_running(p);
	wr_unlock(&h->lock);
	return left;
}

void wr_pool_abandon(struct wr_pool *p)
{
	wr_lock(&p->hub->lock);
	for (int i = 0; i < p->count; i++) {
		struct wr_worker *w = &p->workers[i];

		if (w->was_started && !w->was_joined) {
			w->was_joined = true;
			(void)pthread_detach(w->thread);
		}
	}
	wr_unlock(&p->hub->lock);
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
