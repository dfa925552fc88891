/* SPDX-License-Identifier: MIT */
/*
 * Deadlines without a timer call on the path of a message.
 *
 * The owner of a connection writes down when it is due.  The acceptor visits
 * the connection at the time it read there last: if that has moved away it
 * comes again later, if it has come it reports WR_EV_DEADLINE, and whoever owns
 * the connection then decides.  Only a deadline that moves to before the next
 * visit costs a word to the acceptor (wr_conn_set_due).
 *
 * The timer belongs to the slot: a slot that is free when it is visited is
 * forgotten, one that was taken again meanwhile is just another visit.
 */
#include "acceptor.h"
#include "conn_table.h"

int wr_deadlines_reserve(struct wr_acceptor *a)
{
	return wr_timers_reserve(&a->timers, wr_table_slots(a->core->table) +
						     WR_SLAB_SLOTS);
}

static void visit_by(struct wr_acceptor *a, struct weir_conn *c, int64_t at)
{
	if (at == WR_NEVER_AT)
		return;
	if (!wr_timer_is_armed(&c->timer) || at < c->timer.at)
		wr_timers_arm(&a->timers, &c->timer, at);
}

void wr_deadlines_expect(struct wr_acceptor *a, struct weir_conn *c)
{
	int64_t due_at = atomic_load(&c->due_at), check_at;

	if (c->lingers) {
		visit_by(a, c, wr_min_at(c->linger_at, c->linger_end_at));
		return;
	}
	do {
		if (due_at == INT64_MIN)
			return; /* settled meanwhile */
		visit_by(a, c, due_at);
		check_at = wr_timer_is_armed(&c->timer) ? c->timer.at
							: WR_NEVER_AT;
		atomic_store(&c->check_at, check_at);
		due_at = atomic_load(&c->due_at); /* see wr_conn_set_due() */
	} while (due_at < check_at);
}

static void visit(struct wr_acceptor *a, struct weir_conn *c)
{
	int64_t due_at = atomic_load(&c->due_at);

	if (c->lingers) {
		wr_linger_check(a, c);
		return;
	}
	if (due_at != INT64_MIN && due_at <= a->ctx.now) {
		/* Before: its owner then asks for the next one, if any. */
		atomic_store(&c->check_at, WR_NEVER_AT);
		wr_conn_post(c, a->ctx.stats, wr_owner_generation(&c->owner),
			     WR_EV_DEADLINE);
		return;
	}
	wr_deadlines_expect(a, c);
}

void wr_deadlines_run(struct wr_acceptor *a)
{
	struct wr_timer *t;

	while ((t = wr_timers_pop(&a->timers, a->ctx.now)))
		visit(a, wr_container_of(t, struct weir_conn, timer));
}
