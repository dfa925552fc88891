/* SPDX-License-Identifier: MIT */
/*
 * Whether the workers get on with what there is: the acceptor looks each other
 * millisecond while they have something to do, and calls one more if not.
 *
 * All is well while a worker is at the poller and nothing lies in a queue or
 * a batch: what comes wakes that worker.  If it is otherwise, and still so a
 * millisecond later, a callback may be stuck, or there is more to do than the
 * workers that are awake can: so one that sleeps is woken.  It takes what lies
 * about, and then waits at the poller, or finds another there and stands by
 * again.  If as many as there are processors seem to be at work already, one
 * more would only be in their way; it is woken all the same if this goes on,
 * because what holds them up may be something that we do not see.
 *
 * "No worker runs unseen": the acceptor takes back is_overseen, then looks
 * whether all is well; a worker leaves the poller, or publishes its batch or
 * a connection that is to be run again, then looks at is_overseen and rings if
 * it is not set.  All are sequentially consistent, so one sees the other. While
 * the acceptor does not look, a worker is at the poller, nothing lies about,
 * and what comes later rings for it (core.c); or all workers are busy and there
 * is none to call, and who comes back looks for everything before it sleeps.
 */
#include "acceptor.h"
#include "lead.h"

#define TICK_NS	    WR_NS_PER_MS
#define CALM_NS	    (2 * WR_NS_PER_MS) /* while all is well */
#define QUIET_TICKS 5		       /* before it looks away */
#define ALONE_TICKS 2		       /* before it wakes somebody */
#define BUSY_TICKS  10 /* the same, where all processors have work */

static bool is_at_poller(const struct wr_acceptor *a)
{
	return atomic_load(&a->core->sleepers) > 0;
}

/* There is something to do, and maybe nobody who does it. */
static bool is_left_alone(const struct wr_acceptor *a)
{
	return !is_at_poller(a) || wr_lead_has_work(a->pool);
}

static bool could_help(const struct wr_acceptor *a)
{
	return is_at_poller(a) || wr_standby_waiting(&a->core->standby) > 0;
}

static bool is_needed(const struct wr_acceptor *a)
{
	return is_left_alone(a) && could_help(a);
}

/* As many are awake, and not in a long callback, as can run at once. */
static bool has_hands(const struct wr_acceptor *a)
{
	const struct wr_pool *p = a->pool;
	int hands = p->count - atomic_load(&a->core->sleepers) -
		    wr_standby_waiting(&a->core->standby);

	for (int i = 0; i < p->count; i++) {
		int64_t since = atomic_load(&p->workers[i].ctx.busy_since);

		hands -= since && a->ctx.now - since >= TICK_NS;
	}
	return hands >= a->processors;
}

static void wake_one(struct wr_acceptor *a)
{
	if (is_at_poller(a))
		wr_core_wake_worker(a->core);
	else
		wr_standby_call(&a->core->standby);
	a->alone_ticks = 1;
}

static void look_away(struct wr_acceptor *a)
{
	atomic_store(&a->core->is_overseen, false);
	if (is_needed(a))
		atomic_store(&a->core->is_overseen, true);
}

static void tick(struct wr_acceptor *a)
{
	if (is_needed(a)) {
		a->quiet_ticks = 0;
		a->alone_ticks++;
		if (a->alone_ticks >= (has_hands(a) ? BUSY_TICKS : ALONE_TICKS))
			wake_one(a);
	} else {
		a->alone_ticks = 0;
		if (++a->quiet_ticks >= QUIET_TICKS)
			look_away(a);
	}
}

void wr_overseer_run(struct wr_acceptor *a)
{
	if (!atomic_load(&a->core->is_overseen)) {
		a->tick_at = 0;
		return;
	}
	if (a->tick_at == 0) /* they have just begun */
		a->alone_ticks = a->quiet_ticks = 0;
	else if (a->ctx.now >= a->tick_at)
		tick(a);
	else
		return;
	a->tick_at = a->ctx.now + (a->alone_ticks > 0 ? TICK_NS : CALM_NS);
}
