/* SPDX-License-Identifier: MIT */
/*
 * Deadlines of connections, and the connections that linger.
 *
 * A message costs no timer call.  The owner of a connection writes down when
 * it is due.  The acceptor checks the connection at the time it read there
 * last: if that has moved away it checks again later, if it has come it posts
 * WR_EV_DEADLINE, and whoever owns the connection then decides.  Only a
 * deadline that moves to before the next check costs a message to the acceptor
 * (wr_conn_set_due).
 *
 * The timer belongs to the slot.  A check of a free slot does nothing; one of a
 * slot that has been taken again is an ordinary check.
 *
 * A connection lingers when its output is shut down and its peer has not
 * finished: what the peer still sends is thrown away, so that no reset
 * destroys the reply it has not read (see conn.c).  That ends with the
 * peer's end, with its silence once it has taken all we sent, or with its
 * time.  The set is bounded: when it is full, the oldest, which had the longest
 * time to read, is closed for the newest.
 */
#include "acceptor.h"
#include "conn_table.h"
#include "poller.h"
#include "sys.h"

#define MOST_LINGERING	 4096
#define QUIET_NS	 (2000 * WR_NS_PER_MS)
#define DRAIN_QUIET_NS	 (500 * WR_NS_PER_MS)
#define DRAIN_LONGEST_NS (1000 * WR_NS_PER_MS)
#define CUT_QUIET_NS	 (50 * WR_NS_PER_MS)
#define LONGEST_NS	 (30000 * WR_NS_PER_MS)
#define MOST_BYTES	 (UINT64_C(16) << 20)
#define BYTES_AT_A_TIME	 ((size_t)64 * 1024)
#define MOST_ERRORS	 64 /* taken from an error queue at a time */

int wr_deadlines_reserve(struct wr_acceptor *a)
{
	return wr_timers_reserve(&a->timers, wr_table_slots(a->core->table) +
						     WR_SLAB_SLOTS);
}

static void check_by(struct wr_acceptor *a, struct weir_conn *c, int64_t at)
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
		check_by(a, c, wr_min_at(c->linger_at, c->linger_end_at));
		return;
	}
	do {
		if (due_at == INT64_MIN)
			return; /* settled meanwhile */
		check_by(a, c, due_at);
		check_at = wr_timer_is_armed(&c->timer) ? c->timer.at
							: WR_NEVER_AT;
		atomic_store(&c->check_at, check_at);
		due_at = atomic_load(&c->due_at); /* see wr_conn_set_due() */
	} while (due_at < check_at);
}

/* ---------------------------------------------------------------- lingering */

static void enlist(struct wr_acceptor *a, struct weir_conn *c)
{
	c->lingers = true;
	c->linger_prev = a->latest;
	c->linger_next = NULL;
	if (a->latest)
		a->latest->linger_next = c;
	else
		a->oldest = c;
	a->latest = c;
	a->lingering++;
}

static void delist(struct wr_acceptor *a, struct weir_conn *c)
{
	if (c->linger_prev)
		c->linger_prev->linger_next = c->linger_next;
	else
		a->oldest = c->linger_next;
	if (c->linger_next)
		c->linger_next->linger_prev = c->linger_prev;
	else
		a->latest = c->linger_prev;
	c->lingers = false;
	a->lingering--;
}

static int64_t quiet_at(const struct wr_acceptor *a)
{
	int64_t quiet = a->is_cutting	 ? CUT_QUIET_NS
			: a->is_stopping ? DRAIN_QUIET_NS
					 : QUIET_NS;

	return a->ctx.now + quiet;
}

/*
 * In a stop a peer that goes on sending, and has been sent everything, is given
 * no more than this: else one of them would set the length of the stop.
 */
static int64_t drained_at(const struct wr_acceptor *a,
			  const struct weir_conn *c)
{
	int64_t since = c->linger_end_at - LONGEST_NS;

	if (!a->is_stopping)
		return WR_NEVER_AT;
	if (since < atomic_load(&a->core->drain_began_at))
		since = atomic_load(&a->core->drain_began_at);
	return since + DRAIN_LONGEST_NS;
}

void wr_linger_end(struct wr_acceptor *a, struct weir_conn *c)
{
	uint64_t late = 0;
	int outcome = c->outcome;

	/* Cut short by a stop with something unread or unsent: say so. */
	if (a->is_cutting && !wr_is_refusal(outcome) &&
	    (wr_sys_unsent(c->fd) > 0 ||
	     (!wr_conn_discard(c, BYTES_AT_A_TIME, &late) && late > 0)))
		outcome = WR_OUTCOME_CUT;
	wr_count(a->ctx.stats, &a->ctx.stats->late_bytes, late);
	delist(a, c);
	/* A duplicate of the descriptor would keep it in the poller. */
	wr_poller_remove(a->poller, c->fd);
	wr_conn_close_and_count(c, a->ctx.stats, outcome);
}

void wr_linger_begin(struct wr_acceptor *a, struct weir_conn *c)
{
	c->ctx = &a->ctx;
	if (a->lingering >= MOST_LINGERING)
		wr_linger_end(a, a->oldest);
	enlist(a, c);
	c->linger_at = quiet_at(a);
	c->linger_end_at = a->ctx.now + LONGEST_NS;
	if (wr_poller_add(a->poller, c->fd, WR_POLL_IN, wr_conn_key(c)) < 0)
		wr_linger_end(a, c);
	else
		wr_deadlines_expect(a, c);
}

/*
 * Time stamps and the like, if the program has asked for them: as long as one
 * is there, the poller tells of it.
 */
static void empty_error_queue(struct weir_conn *c)
{
	char waste[64];

	for (int i = 0; i < MOST_ERRORS; i++)
		if (wr_sys_recv(c->fd, waste, sizeof(waste), MSG_ERRQUEUE) < 0)
			break;
}

void wr_linger_input(struct wr_acceptor *a, struct weir_conn *c)
{
	uint64_t late = 0;
	bool is_done = wr_conn_discard(c, BYTES_AT_A_TIME, &late);

	wr_count(a->ctx.stats, &a->ctx.stats->late_bytes, late);
	c->linger_bytes += late;
	if (late > 0)
		c->linger_at = wr_min_at(quiet_at(a), drained_at(a, c));
	else
		empty_error_queue(c);
	if (is_done || c->linger_bytes > MOST_BYTES)
		wr_linger_end(a, c);
}

void wr_linger_check(struct wr_acceptor *a, struct weir_conn *c)
{
	if (a->ctx.now >= c->linger_end_at) {
		wr_linger_end(a, c);
		return;
	}
	if (a->ctx.now >= c->linger_at) {
		if (wr_sys_unsent(c->fd) <= 0) {
			wr_linger_end(a, c);
			return;
		}
		c->linger_at = quiet_at(a); /* it is still reading */
	}
	wr_deadlines_expect(a, c);
}

void wr_linger_shorten(struct wr_acceptor *a)
{
	for (struct weir_conn *c = a->oldest; c; c = c->linger_next) {
		c->linger_at = wr_min_at(c->linger_at, quiet_at(a));
		wr_deadlines_expect(a, c);
	}
}

/* ------------------------------------------------------------------ checks */

static void check(struct wr_acceptor *a, struct weir_conn *c)
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
		check(a, wr_container_of(t, struct weir_conn, timer));
}
