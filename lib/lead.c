/* SPDX-License-Identifier: MIT */
/*
 * Who waits at the poller.
 *
 * As a rule one worker does, the others stand by: while it runs what it has
 * taken, more comes together at the poller, so that a wait brings many events
 * and wakes nobody else.  Nobody is woken for what the one will have done
 * sooner than a waker could.  Whether it gets on is looked after by the
 * acceptor (overseer.c), each other millisecond while there is something to do.
 *
 * Where callbacks are slow, that is long.  For a while after each
 * that was, everybody is eager: all who have nothing to do wait at the
 * poller, and before a callback a worker sees to it that somebody is there
 * and woken, if there is more to run.  Servers with sessions always are.  A
 * worker that was put aside by the kernel for another thread has not met a
 * slow callback: on a machine with more to do than processors that would
 * happen all the time.
 *
 * "The poller is not left alone": a worker stands by only if, seen after it
 * counts as standing by, another is at the poller; who leaves the poller sees
 * to it, afterwards, that the acceptor looks.  What it has published itself,
 * without a ring, it has looked for before.  See overseer.c for the rest.
 */
#include "lead.h"

#include "clock.h"
#include "sys.h"

#define EAGER_NS (100 * WR_NS_PER_MS)

bool wr_lead_has_work(const struct wr_pool *p)
{
	if (wr_queue_len(&p->core->ready) > 0)
		return true;
	WR_POINT();
	if (wr_queue_len(&p->core->accepted) > 0 ||
	    wr_core_phase(p->core) == WR_PHASE_DONE)
		return true;
	for (int i = 0; i < p->count; i++)
		if (!wr_batch_is_empty(&p->workers[i].batch))
			return true;
	return false;
}

static bool is_handing_off(const struct wr_worker *w)
{
	return w->ctx.now < atomic_load_explicit(&w->pool->core->handoff_until,
						 memory_order_relaxed);
}

void wr_lead_share(struct wr_worker *w)
{
	struct wr_core *core = w->pool->core;

	if (!is_handing_off(w))
		return;
	if (atomic_load(&core->sleepers) == 0)
		wr_standby_call(&core->standby);
	else if (wr_lead_has_work(w->pool))
		wr_core_wake_worker(core);
}

/* Has it been put aside since it was last asked? */
static bool was_preempted(struct wr_worker *w)
{
	long before = w->preemptions;

	w->preemptions = wr_sys_preemptions();
	return w->preemptions != before;
}

void wr_lead_note_slow(struct wr_worker *w)
{
	_Atomic int64_t *until = &w->pool->core->handoff_until;

	if (was_preempted(w))
		return;
	if (w->ctx.now + EAGER_NS > atomic_load(until))
		atomic_store(until, w->ctx.now + EAGER_NS);
}

static void stand_by(struct wr_worker *w)
{
	struct wr_core *core = w->pool->core;

	wr_standby_wait(&core->standby, &core->sleepers);
	w->ctx.now = wr_now_ns();
}

/*
 * While everybody is eager, no more events than it runs in about a round's
 * time: with slow callbacks, whoever has waited longest is next.
 */
static int most_events(struct wr_worker *w)
{
	if (!is_handing_off(w))
		w->most = WR_POLL_BATCH;
	else if (w->ctx.now - w->took_at > WR_ROUND_NS)
		w->most = w->most > 2 ? w->most / 2 : 1;
	else if (w->most < WR_POLL_BATCH)
		w->most *= 2;
	return w->most;
}

void wr_lead_harvest(struct wr_worker *w)
{
	struct wr_core *core = w->pool->core;
	struct wr_event ev[WR_POLL_BATCH];
	bool may_sleep;
	int n, kept = 0;

	if (!is_handing_off(w) && atomic_load(&core->sleepers) > 0 &&
	    !wr_lead_has_work(w->pool)) {
		stand_by(w);
		return;
	}
	atomic_fetch_add(&core->sleepers, 1);
	may_sleep = !wr_lead_has_work(w->pool);
	n = wr_poller_wait(core->poller, ev, most_events(w),
			   may_sleep ? -1 : 0);
	atomic_fetch_sub(&core->sleepers, 1);
	w->took_at = w->ctx.now = wr_now_ns();
	if (n < 0)
		wr_core_fail(core, n);
	for (int i = 0; i < n; i++) {
		if (ev[i].key == UINT64_MAX)
			atomic_store(&core->is_waking, false);
		else
			ev[kept++] = ev[i];
	}
	if (kept > 0)
		wr_batch_fill(&w->batch, ev, kept);
	wr_core_start_monitor(core);
}
