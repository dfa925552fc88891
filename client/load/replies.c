/* SPDX-License-Identifier: MIT */
/*
 * What comes back, held against what was sent.
 *
 * A reply whose form is known is cut out of the stream by its length, or for
 * lines by its newline.  If it begins with a number it is compared with the
 * message of that number, whichever that is: so a reply that came too early,
 * twice, too late or to the wrong connection is told from one whose bytes are
 * wrong.  Without numbers replies are taken in the order of the messages.
 *
 * Messages are settled in any order, but leave the ring in order.
 */
#include "engine.h"

#include <errno.h>
#include <string.h>

static const char reply_form[] = "Server replies: ";
#define FORM_LEN (sizeof(reply_form) - 1)

static size_t form_len(const struct engine *e)
{
	return e->plan->expect == EXPECT_REPLY ? FORM_LEN : 0;
}

/* ---------------------------------------------------------------- the books */

static void leave_ring(struct engine *e, struct link *l)
{
	while (l->head < l->next && link_message(e, l, l->head)->is_settled)
		l->head++;
}

/*
 * Since when there is room: a loop that woke too late could have had the reply
 * when it should have woken, so that it is not the server who held us up.
 */
static void note_room(struct engine *e, struct link *l, const struct message *m,
		      int64_t now)
{
	l->room_at = now - e->overslept;
	if (l->room_at < m->sent)
		l->room_at = m->sent;
}

/* Returns whether it is one to be measured. */
static bool settle(struct engine *e, struct link *l, struct message *m,
		   int64_t now)
{
	if (!link_has_room(e, l))
		note_room(e, l, m, now);
	m->is_settled = true;
	l->open--;
	e->under_way--;
	return m->planned >= e->measure_at;
}

static void measure(struct engine *e, const struct message *m, int64_t now)
{
	struct interval *i = e->now;

	histogram_record(i->clocks[CLOCK_FROM_SEND], now - m->sent);
	if (engine_is_open_loop(e) || e->plan->mode == PLAN_CHURN)
		histogram_record(i->clocks[CLOCK_FROM_PLAN], now - m->planned);
}

static void answer(struct engine *e, struct link *l, uint64_t seq, int64_t now,
		   uint64_t *kind)
{
	struct message *m = link_message(e, l, seq);

	if (settle(e, l, m, now)) {
		e->now->books.answered++;
		if (e->plan->expect == EXPECT_ECHO ||
		    e->plan->expect == EXPECT_REPLY)
			e->now->books.checked++;
		if (kind)
			++*kind;
		measure(e, m, now);
		l->replies++;
	}
	if (seq >= l->highest)
		l->highest = seq + 1;
	leave_ring(e, l);
	if (e->plan->mode == PLAN_CHURN)
		l->is_done = true;
}

/* It will not be answered: its age is the least it could have taken. */
static void lose(struct engine *e, struct link *l, uint64_t seq,
		 uint64_t *column, int64_t now)
{
	struct message *m = link_message(e, l, seq);

	if (!settle(e, l, m, now))
		return;
	++*column;
	if (seq < l->highest)
		e->now->books.missing++;
	interval_censor(e->now, now - m->sent);
	measure(e, m, now);
}

void replies_abandon(struct engine *e, struct link *l, uint64_t *column,
		     int64_t now)
{
	for (; l->head < l->next; l->head++)
		if (!link_message(e, l, l->head)->is_settled)
			lose(e, l, l->head, column, now);
}

/* Can the reply be told from the next, should it come after all? */
static bool is_told_apart(const struct engine *e)
{
	return e->payload->is_numbered && (e->plan->expect == EXPECT_ECHO ||
					   e->plan->expect == EXPECT_REPLY);
}

void replies_give_up(struct engine *e, struct link *l, int64_t now)
{
	lose(e, l, l->head, &e->now->books.timed_out, now);
	leave_ring(e, l);
	if (!is_told_apart(e) || e->plan->mode == PLAN_CHURN) {
		link_fail(e, l, ERROR_REPLY, ETIMEDOUT, now);
		return;
	}
	engine_note_error(e, ERROR_REPLY, ETIMEDOUT, now);
	l->owed++;
	link_send(e, l, now);
}

/* ------------------------------------------------------- a reply of our form
 */

static void settle_named(struct engine *e, struct link *l, uint64_t seq,
			 int64_t now)
{
	struct books *b = &e->now->books;

	if (seq < l->head && l->owed > 0) {
		l->owed--;
		b->late++;
	} else if (seq < l->head || seq >= l->next ||
		   link_message(e, l, seq)->is_settled) {
		b->surplus++;
	} else {
		answer(e, l, seq, now, seq < l->highest ? &b->swapped : NULL);
	}
}

static void settle_frame(struct engine *e, struct link *l, int64_t now)
{
	struct frame f = l->frame;
	struct books *b = &e->now->books;

	l->frame = (struct frame){ .used = 0 };
	if (!f.is_bad && f.name.link == l->id)
		settle_named(e, l, f.name.seq, now);
	else if (l->open > 0)
		answer(e, l, l->head, now, f.is_bad ? &b->wrong : &b->crossed);
	else
		b->surplus++;
	if (f.is_bad)
		e->now->errors++;
}

/* Whose reply is it?  Its first bytes are there, as many as are needed. */
static void name_frame(const struct engine *e, const struct link *l,
		       struct frame *f)
{
	const struct payload_name expected = { l->id, l->head };
	uint32_t links = (uint32_t)e->plan->connections;

	f->name = expected;
	if (e->payload->is_numbered &&
	    (!payload_read_name(&f->name, f->start + form_len(e)) ||
	     f->name.link >= links || f->name.seq >= UINT64_C(1) << 40))
		f->name = expected;
	f->len = form_len(e) + payload_size(e->payload, f->name);
}

/* Is data what the frame should hold from..from + len? */
static bool frame_is(const struct engine *e, const struct frame *f, size_t from,
		     const char *data, size_t len)
{
	size_t form = form_len(e), part = 0;

	if (from < form) {
		part = len < form - from ? len : form - from;
		if (memcmp(data, reply_form + from, part) != 0)
			return false;
	}
	return payload_is(e->payload, f->name, from + part - form, data + part,
			  len - part);
}

/* How many of the first bytes say whose it is. */
static size_t start_len(const struct engine *e)
{
	return e->payload->is_numbered ? form_len(e) + PAYLOAD_NUMBER : 0;
}

/* The bytes up to the end of a line, or of the frame if it has no lines. */
static size_t part_of_frame(const struct engine *e, const struct frame *f,
			    const char *data, size_t len, bool *is_whole)
{
	size_t left = f->len - f->used;
	const char *newline;

	if (!e->payload->is_lines) {
		*is_whole = len >= left;
		return *is_whole ? left : len;
	}
	newline = memchr(data, '\n', len);
	*is_whole = newline;
	return newline ? (size_t)(newline - data) + 1 : len;
}

static void compare(const struct engine *e, struct frame *f, const char *data,
		    size_t len)
{
	if (f->is_bad)
		;
	else if (f->used + len > f->len)
		f->is_bad = true;
	else
		f->is_bad = !frame_is(e, f, f->used, data, len);
	f->used += len;
}

/* Gather the first bytes; a line that ends among them is bad. */
static size_t begin_frame(struct engine *e, struct link *l, const char *data,
			  size_t len, int64_t now)
{
	struct frame *f = &l->frame;
	size_t want = start_len(e), n;

	for (n = 0; n < len && f->used < want; n++) {
		f->start[f->used++] = data[n];
		if (e->payload->is_lines && data[n] == '\n') {
			f->is_bad = true;
			settle_frame(e, l, now);
			return n + 1;
		}
	}
	if (f->used < want)
		return n;
	name_frame(e, l, f);
	f->used = 0;
	compare(e, f, f->start, want);
	return n;
}

/* Nobody asked: so many replies, or a piece of one. */
static size_t count_surplus(struct engine *e, const char *data, size_t len)
{
	size_t size = form_len(e) + e->plan->size_min, count = 0;

	if (e->payload->is_lines)
		for (size_t i = 0; i < len; i++)
			count += data[i] == '\n' || i == len - 1;
	else
		count = (len + size - 1) / size;
	e->now->books.surplus += count;
	return len;
}

static size_t take_form(struct engine *e, struct link *l, const char *data,
			size_t len, int64_t now)
{
	struct frame *f = &l->frame;
	bool is_whole;
	size_t used;

	if (l->open == 0 && l->owed == 0 && f->used == 0)
		return count_surplus(e, data, len);
	if (f->len == 0) {
		used = begin_frame(e, l, data, len, now);
		if (used > 0 || f->len == 0)
			return used;
	}
	used = part_of_frame(e, f, data, len, &is_whole);
	compare(e, f, data, used);
	if (is_whole) {
		f->is_bad = f->is_bad || f->used < f->len;
		settle_frame(e, l, now);
	}
	return used;
}

/* The common case: one whole reply to the oldest message.  0: it is not. */
static size_t take_whole(struct engine *e, struct link *l, const char *data,
			 size_t len, int64_t now)
{
	const struct frame f = { .name = { l->id, l->head } };
	size_t size;

	if (l->frame.used > 0 || l->open == 0)
		return 0;
	size = form_len(e) + payload_size(e->payload, f.name);
	if (len < size || !frame_is(e, &f, 0, data, size))
		return 0;
	answer(e, l, l->head, now,
	       l->head < l->highest ? &e->now->books.swapped : NULL);
	return size;
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
		e->now->books.surplus++;
		return len;
	}
	end = end_of_other(e, l, data, len);
	l->frame.used += len;
	if (end == 0)
		return len;
	l->frame.used = 0;
	answer(e, l, l->head, now, NULL);
	return end;
}

void replies_take(struct engine *e, struct link *l, const char *data,
		  size_t len, int64_t now)
{
	bool is_form = e->plan->expect == EXPECT_ECHO ||
		       e->plan->expect == EXPECT_REPLY;
	size_t used;

	for (; len > 0; data += used, len -= used) {
		used = is_form ? take_whole(e, l, data, len, now) : 0;
		if (used == 0 && is_form)
			used = take_form(e, l, data, len, now);
		else if (used == 0)
			used = take_other(e, l, data, len, now);
	}
}
