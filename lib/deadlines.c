/* SPDX-License-Identifier: MIT */
/*
 * A message costs no timer call: see "Deadlines" in docs/ARCHITECTURE.md.
 *
 * The timer belongs to the slot.  Checking a free slot does nothing; checking a
 * reused one is an ordinary check.
 *
 * A lingering connection discards its input, so that no reset destroys unread
 * output (see conn.c).  When the set is full, the oldest is closed, which had
 * the longest time to read.
 */
#include "deadlines.h"

#include "bounds.h"
#include "conn_table.h"
#include "poller.h"
#include "sys.h"

void wr_deadlines_init(struct wr_deadlines *d, struct wr_core *core,
		       struct wr_context *ctx, struct wr_poller *poller)
{
	*d = (struct wr_deadlines){ .core = core,
				    .ctx = ctx,
				    .poller = poller,
				    .quiet_ns = WR_LINGER_QUIET_NS };
	core->table->timers = &d->timers;
}

void wr_deadlines_fini(struct wr_deadlines *d)
{
	wr_timers_fini(&d->timers);
}

int64_t wr_deadlines_next_at(const struct wr_deadlines *d)
{
	return wr_timers_next_at(&d->timers);
}

static void check_by(struct wr_deadlines *d, struct weir_conn *c, int64_t at)
{
	if (at == WR_NEVER_AT)
		return;
	if (!wr_timer_is_armed(&c->timer) || at < c->timer.at)
		wr_timers_arm(&d->timers, &c->timer, at);
}

void wr_deadlines_expect(struct wr_deadlines *d, struct weir_conn *c)
{
	int64_t due_at = atomic_load(&c->due_at), check_at;

	if (wr_conn_where(c) == WR_CONN_LINGERING) {
		check_by(d, c, wr_min_at(c->linger.quiet_at, c->linger.end_at));
		return;
	}
	do {
		if (!wr_conn_is_in_use(c))
			return; /* closed */
		check_by(d, c, due_at);
		check_at = wr_timer_is_armed(&c->timer) ? c->timer.at
							: WR_NEVER_AT;
		atomic_store(&c->check_at, check_at);
		due_at = atomic_load(&c->due_at); /* see wr_conn_set_due() */
	} while (due_at < check_at);
}

static void enlist(struct wr_deadlines *d, struct weir_conn *c)
{
	c->linger.prev = d->latest;
	c->linger.next = NULL;
	if (d->latest)
		d->latest->linger.next = c;
	else
		d->oldest = c;
	d->latest = c;
	d->lingering++;
}

static void delist(struct wr_deadlines *d, struct weir_conn *c)
{
	if (c->linger.prev)
		c->linger.prev->linger.next = c->linger.next;
	else
		d->oldest = c->linger.next;
	if (c->linger.next)
		c->linger.next->linger.prev = c->linger.prev;
	else
		d->latest = c->linger.prev;
	d->lingering--;
}

static int64_t quiet_at(const struct wr_deadlines *d)
{
	return d->ctx->now + d->quiet_ns;
}

/* So that a peer that keeps sending does not set the length of the stop. */
static int64_t drain_limit_at(const struct wr_deadlines *d,
			      const struct weir_conn *c)
{
	int64_t since = c->linger.end_at - WR_LINGER_MOST_NS;

	if (wr_core_phase(d->core) < WR_PHASE_DRAINING)
		return WR_NEVER_AT;
	if (since < atomic_load(&d->core->drain_began_at))
		since = atomic_load(&d->core->drain_began_at);
	return since + WR_LINGER_MOST_STOP_NS;
}

static void linger_end(struct wr_deadlines *d, struct weir_conn *c)
{
	uint64_t late = 0;
	int outcome = c->outcome;

	/* unread input or unsent output past the deadline of a stop is a cut */
	if (wr_core_phase(d->core) >= WR_PHASE_CUTTING &&
	    !wr_is_refusal(outcome) &&
	    (wr_sys_unsent(c->fd) > 0 ||
	     (!wr_conn_discard(c, WR_LINGER_READ, &late) && late > 0)))
		outcome = WR_OUTCOME_CUT;
	wr_count(d->ctx->stats, &d->ctx->stats->late_bytes, late);
	delist(d, c);
	/* else it stays in the poller if the program has a duplicate */
	wr_poller_remove(d->poller, c->fd);
	wr_conn_close_and_count(c, d->ctx->stats, outcome);
}

static void linger_begin(struct wr_deadlines *d, struct weir_conn *c)
{
	c->ctx = d->ctx;
	if (d->lingering >= WR_LINGER_SET)
		linger_end(d, d->oldest);
	enlist(d, c);
	c->linger.quiet_at = quiet_at(d);
	c->linger.end_at = d->ctx->now + WR_LINGER_MOST_NS;
	if (wr_poller_add(d->poller, c->fd, WR_POLL_IN, wr_conn_key(c)) < 0)
		linger_end(d, c);
	else
		wr_deadlines_expect(d, c);
}

/* Entries, such as time stamps, make the poller report again and again. */
static void empty_error_queue(struct weir_conn *c)
{
	char waste[64];

	for (int i = 0; i < WR_LINGER_ERRORS; i++)
		if (wr_sys_recv(c->fd, waste, sizeof(waste), MSG_ERRQUEUE) < 0)
			break;
}

static void linger_input(struct wr_deadlines *d, struct weir_conn *c)
{
	uint64_t late = 0;
	bool is_done = wr_conn_discard(c, WR_LINGER_READ, &late);

	wr_count(d->ctx->stats, &d->ctx->stats->late_bytes, late);
	c->linger.bytes += late;
	if (late > 0)
		c->linger.quiet_at =
			wr_min_at(quiet_at(d), drain_limit_at(d, c));
	else
		empty_error_queue(c);
	if (is_done || c->linger.bytes > WR_LINGER_BYTES)
		linger_end(d, c);
}

static void linger_check(struct wr_deadlines *d, struct weir_conn *c)
{
	if (d->ctx->now >= c->linger.end_at) {
		linger_end(d, c);
		return;
	}
	if (d->ctx->now >= c->linger.quiet_at) {
		if (wr_sys_unsent(c->fd) <= 0) {
			linger_end(d, c);
			return;
		}
		c->linger.quiet_at = quiet_at(d); /* still reading */
	}
	wr_deadlines_expect(d, c);
}

void wr_linger_event(struct wr_deadlines *d, uint64_t key)
{
	struct weir_conn *c = wr_table_find(d->core->table, key);

	if (wr_conn_where(c) == WR_CONN_LINGERING && wr_conn_key(c) == key)
		linger_input(d, c);
}

void wr_linger_shorten(struct wr_deadlines *d, int64_t quiet_ns)
{
	d->quiet_ns = quiet_ns;
	for (struct weir_conn *c = d->oldest; c; c = c->linger.next) {
		c->linger.quiet_at = wr_min_at(c->linger.quiet_at, quiet_at(d));
		wr_deadlines_expect(d, c);
	}
}

void wr_linger_end_all(struct wr_deadlines *d)
{
	wr_deadlines_take_inbox(d);
	while (d->oldest)
		linger_end(d, d->oldest);
}

void wr_deadlines_take_inbox(struct wr_deadlines *d)
{
	struct weir_conn *c = atomic_exchange(&d->core->inbox, NULL);

	while (c) {
		struct weir_conn *next = c->inbox_next;
		unsigned bits = atomic_exchange(&c->inbox_bits, 0);

		if (bits & WR_INBOX_LINGER)
			linger_begin(d, c);
		else if (bits & WR_INBOX_RESCHEDULE)
			wr_deadlines_expect(d, c);
		c = next;
	}
}

static void check_conn(struct wr_deadlines *d, struct weir_conn *c)
{
	int64_t due_at = atomic_load(&c->due_at);

	if (!wr_conn_is_in_use(c))
		return;
	if (wr_conn_where(c) == WR_CONN_LINGERING) {
		if (c->linger.end_at != 0) /* else: in the inbox */
			linger_check(d, c);
		return;
	}
	if (due_at <= d->ctx->now) {
		/* Before the post: the owner asks for the next check. */
		atomic_store(&c->check_at, WR_NEVER_AT);
		wr_conn_post(c, d->ctx->stats, wr_owner_generation(&c->owner),
			     WR_EV_DEADLINE);
		return;
	}
	wr_deadlines_expect(d, c);
}

void wr_deadlines_run(struct wr_deadlines *d)
{
	struct wr_timer *t;

	while ((t = wr_timers_pop(&d->timers, d->ctx->now)))
		check_conn(d, wr_container_of(t, struct weir_conn, timer));
}
