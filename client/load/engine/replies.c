/* SPDX-License-Identifier: MIT */
/*
 * What becomes of messages: answered, timed out, abandoned; and the replies
 * that do not repeat the message, which are taken in the order of the
 * messages because nothing tells them apart.
 *
 * Messages are settled in any order, but leave the ring in order.
 */
#include "engine.h"

#include <errno.h>
#include <string.h>

/* ---------------------------------------------------------------- the books */

static void leave_ring(struct engine *e, struct link *l)
{
	for (; l->head < l->next; l->head++) {
		const struct message *m = link_message(e, l, l->head);

		if (!m->is_settled)
			return;
		l->owed_before += (uint32_t)(l->owed >> 63);
		l->owed = l->owed << 1 | m->is_owed;
	}
}

/* Half of the replies take longer: a step up for each, or down. */
static void note_usual(struct engine *e, int64_t took)
{
	if (e->usual == 0)
		e->usual = took;
	else
		e->usual += (took > e->usual ? e->usual : -e->usual) / 16;
}

/*
 * Since when there is room: the reply was there when the loop woke, and one
 * that woke too late could have had it when it should have woken: what has
 * passed since then was not the server's.
 *
 * What we sent too late would have been answered earlier, if the server took
 * its usual time.  If it took longer than that and our lag together, it stood
 * still, and would have answered no earlier.
 */
static void note_room(struct engine *e, struct link *l, const struct message *m)
{
	int64_t lag = m->lag_us * INT64_C(1000), took, slower;

	l->room_at = e->woke_at - e->overslept;
	if (l->room_at < m->sent)
		l->room_at = m->sent;
	took = l->room_at - m->sent;
	slower = took - e->usual;
	note_usual(e, took);
	if (slower < lag)
		l->room_at -= slower > 0 ? lag - slower : lag;
}

/* Returns whether it is one to be measured. */
static bool settle(struct engine *e, struct link *l, struct message *m)
{
	if (!link_has_room(e, l))
		note_room(e, l, m);
	m->is_settled = true;
	l->open--;
	e->under_way--;
	return m->planned >= e->measure_at;
}

/* So many messages with the same instants. */
static void measure(struct engine *e, const struct message *m, int64_t now,
		    uint64_t count)
{
	struct interval *i = e->now;

	histogram_record_many(i->clocks[CLOCK_FROM_SEND], now - m->sent, count);
	if (engine_is_open_loop(e) || e->plan->mode == PLAN_CHURN)
		histogram_record_many(i->clocks[CLOCK_FROM_PLAN],
				      now - m->planned, count);
}

void replies_answer(struct engine *e, struct link *l, uint64_t seq, int64_t now,
		    uint64_t *kind)
{
	struct message *m = link_message(e, l, seq);

	if (settle(e, l, m)) {
		e->now->books.answered++;
		if (e->plan->expect == EXPECT_ECHO ||
		    e->plan->expect == EXPECT_REPLY)
			e->now->books.checked++;
		if (kind)
			++*kind;
		measure(e, m, now, 1);
		l->replies++;
	}
	if (seq >= l->highest)
		l->highest = seq + 1;
	leave_ring(e, l);
	if (e->plan->mode == PLAN_CHURN)
		l->is_done = true;
}

/* Those that timed out before move on, away from the head. */
static void move_owed(struct link *l, uint64_t count)
{
	for (; l->owed != 0 && count > 0; count--) {
		l->owed_before += (uint32_t)(l->owed >> 63);
		l->owed <<= 1;
	}
}

/*
 * Messages that were sent together have the same instants: the first of them
 * says what is to be said of all.
 */
static uint64_t measure_run(struct engine *e, const struct link *l,
			    uint64_t first, uint64_t end, int64_t now)
{
	const uint64_t last = e->window - 1;
	const struct message *const ring = l->ring;
	uint64_t measured = 0;

	while (first < end) {
		const struct message *m = &ring[first & last];
		const int64_t sent = m->sent, planned = m->planned;
		uint64_t count = 0;

		do {
			count++;
			m = &ring[++first & last];
		} while (first < end && m->sent == sent &&
			 m->planned == planned);
		if (planned < e->measure_at)
			continue;
		m = &ring[(first - 1) & last];
		measure(e, m, now, count);
		measured += count;
	}
	return measured;
}

void replies_answer_run(struct engine *e, struct link *l, uint64_t count,
			int64_t now)
{
	uint64_t first = l->head, measured;

	if (count == 0)
		return;
	if (!link_has_room(e, l))
		note_room(e, l, link_message(e, l, first));
	l->head = l->highest = first + count;
	l->open -= (uint32_t)count;
	e->under_way -= count;
	move_owed(l, count);
	measured = measure_run(e, l, first, l->head, now);
	e->now->books.answered += measured;
	e->now->books.checked += measured;
	l->replies += measured;
	if (e->plan->mode == PLAN_CHURN)
		l->is_done = true;
}

/* It will not be answered: its age is the least it could have taken. */
static void lose(struct engine *e, struct link *l, uint64_t seq,
		 uint64_t *column, int64_t now)
{
	struct message *m = link_message(e, l, seq);

	if (!settle(e, l, m))
		return;
	++*column;
	if (seq < l->highest)
		e->now->books.missing++;
	interval_censor(e->now, now - m->sent, 1);
	measure(e, m, now, 1);
}

void replies_abandon(struct engine *e, struct link *l, uint64_t *column,
		     int64_t now)
{
	/* A piece of a reply to nothing. */
	if (l->state == LINK_OPEN && l->open == 0 && l->frame.used > 0 &&
	    now >= e->measure_at)
		e->now->books.surplus++;
	for (; l->head < l->next; l->head++)
		if (!link_message(e, l, l->head)->is_settled)
			lose(e, l, l->head, column, now);
}

/* Can the reply be told from the next, should it come after all? */
static bool is_told_apart(const struct engine *e)
{
	return e->payload->is_numbered && e->plan->mode != PLAN_CHURN &&
	       (e->plan->expect == EXPECT_ECHO ||
		e->plan->expect == EXPECT_REPLY);
}

void replies_give_up(struct engine *e, struct link *l, int64_t now)
{
	struct message *m = link_message(e, l, l->head);

	m->is_owed = is_told_apart(e);
	if (m->planned >= e->measure_at && m->is_owed)
		engine_note_error(e, ERROR_REPLY, ETIMEDOUT, now);
	lose(e, l, l->head, &e->now->books.timed_out, now);
	leave_ring(e, l);
	if (is_told_apart(e))
		link_send(e, l, now);
	else
		link_fail(e, l, ERROR_REPLY, ETIMEDOUT, now);
}

/* -------------------------------------------------------------- other replies
 */

/* Where it ends; 0: not here. */
static size_t end_of_other(const struct engine *e, const struct link *l,
			   const char *data, size_t len)
{
	const char *newline;
	size_t left;

	switch (e->plan->expect) {
	case EXPECT_LEN:
		left = e->plan->expect_len - l->frame.used;
		return len >= left ? left : 0;
	case EXPECT_LINE:
		newline = memchr(data, '\n', len);
		return newline ? (size_t)(newline - data) + 1 : 0;
	default:
		return len;
	}
}

static size_t take_other(struct engine *e, struct link *l, const char *data,
			 size_t len, int64_t now)
{
	size_t end;

	if (l->open == 0) {
		e->now->books.surplus += now >= e->measure_at;
		return len;
	}
	end = end_of_other(e, l, data, len);
	l->frame.used += len;
	if (end == 0)
		return len;
	l->frame.used = 0;
	replies_answer(e, l, l->head, now, NULL);
	return end;
}

void replies_take(struct engine *e, struct link *l, const char *data,
		  size_t len, int64_t now)
{
	bool is_form = e->plan->expect == EXPECT_ECHO ||
		       e->plan->expect == EXPECT_REPLY;
	size_t used;

	for (; len > 0; data += used, len -= used)
		used = is_form ? frames_take(e, l, data, len, now)
			       : take_other(e, l, data, len, now);
}
