/* SPDX-License-Identifier: MIT */
/*
 * What becomes of messages: answered, timed out, abandoned.
 *
 * Messages are settled in any order, but leave the ring in order.
 *
 * Replies that repeat the message are compared with it.  A reply is cut out
 * of the stream by its length, or for lines by its newline.  If it begins
 * with a number it is compared with the message of that number, whichever
 * that is, so that a reply that is early, late, doubled or sent to the wrong
 * connection is told from one whose bytes are wrong.  Without numbers replies
 * are taken in the order of the messages.
 *
 * After a line with wrong bytes the next reply begins behind the newline.
 * After raw bytes that are wrong the next reply is found by the next number
 * of this connection.
 */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---------------------------------------------------------------- settling */

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
static bool settle_message(struct engine *e, struct link *l, struct message *m)
{
	if (!link_has_room(e, l))
		note_room(e, l, m);
	m->is_settled = true;
	l->open--;
	e->under_way--;
	return m->planned >= e->measure_at;
}

/* So many messages with the same instants. */
static void record_latency(struct engine *e, const struct message *m,
			   int64_t now, uint64_t count)
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

	if (settle_message(e, l, m)) {
		e->now->books.answered++;
		if (e->plan->expect == EXPECT_ECHO ||
		    e->plan->expect == EXPECT_REPLY)
			e->now->books.checked++;
		if (kind)
			++*kind;
		record_latency(e, m, now, 1);
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
		record_latency(e, m, now, count);
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

	if (!settle_message(e, l, m))
		return;
	++*column;
	if (seq < l->highest)
		e->now->books.missing++;
	interval_censor(e->now, now - m->sent, 1);
	record_latency(e, m, now, 1);
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

/* ----------------------------------------- replies that repeat the message */

/* Bytes after the number of raw messages that must be right, too. */
#define CONFIRM 8

static const char reply_form[] = "Server replies: ";
#define FORM_LEN (sizeof(reply_form) - 1)

_Static_assert(FRAME_START >= FORM_LEN + PAYLOAD_NUMBER + CONFIRM,
	       "the start of a frame has room");

static size_t form_len(const struct engine *e)
{
	return e->plan->expect == EXPECT_REPLY ? FORM_LEN : 0;
}

/* How many of the first bytes say whose it is. */
static size_t start_len(const struct engine *e)
{
	size_t more = e->plan->size_min - PAYLOAD_NUMBER;

	if (!e->payload->is_numbered)
		return 0;
	if (e->payload->is_lines)
		return form_len(e) + PAYLOAD_NUMBER;
	return form_len(e) + PAYLOAD_NUMBER + (more < CONFIRM ? more : CONFIRM);
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

/* --------------------------------------------------------------- one reply */

/* Is the reply to a message that timed out still to come?  No more. */
static bool was_owed(struct link *l, uint64_t seq)
{
	uint64_t bit = l->head - 1 - seq;
	bool is_owed = bit < 64 ? l->owed >> bit & 1 : l->owed_before > 0;

	if (bit < 64)
		l->owed &= ~(UINT64_C(1) << bit);
	else
		l->owed_before -= is_owed;
	return is_owed;
}

static void settle_named(struct engine *e, struct link *l, uint64_t seq,
			 int64_t now)
{
	struct books *b = &e->now->books;
	bool is_measured = now >= e->measure_at;

	if (seq < l->head && was_owed(l, seq))
		b->late += is_measured;
	else if (seq < l->head || seq >= l->next ||
		 link_message(e, l, seq)->is_settled)
		b->surplus += is_measured;
	else
		replies_answer(e, l, seq, now,
			       seq < l->highest ? &b->swapped : NULL);
}

static void settle_bad(struct engine *e, struct link *l, int64_t now)
{
	struct books *b = &e->now->books;

	if (now >= e->measure_at)
		e->now->errors++;
	if (l->open > 0)
		replies_answer(e, l, l->head, now, &b->wrong);
	else
		b->surplus += now >= e->measure_at;
}

static void settle_frame(struct engine *e, struct link *l, int64_t now)
{
	struct frame f = l->frame;

	l->frame = (struct frame){ .used = 0 };
	if (f.is_bad)
		settle_bad(e, l, now);
	else if (f.name.link == l->id)
		settle_named(e, l, f.name.seq, now);
	else
		e->now->books.crossed += now >= e->measure_at;
}

/* ------------------------------------------------ raw bytes that are wrong */

static bool read_own(const struct engine *e, const struct link *l,
		     const char *data, struct payload_name *ret)
{
	return payload_read_name(ret, data) && ret->link == l->id &&
	       ret->seq >= l->head && ret->seq < l->next &&
	       !link_message(e, l, ret->seq)->is_settled;
}

/* How many of the last bytes may be the start of a number of ours? */
static size_t start_of_own(const struct link *l, const char *latest)
{
	char id[7];

	snprintf(id, sizeof(id), "%06x", l->id & 0xffffff);
	for (size_t n = PAYLOAD_NUMBER - 1; n > 0; n--) {
		const char *from = latest + PAYLOAD_NUMBER - n;
		size_t same = n < 6 ? n : 6;

		if (memcmp(from, id, same) == 0 &&
		    strspn(from + same, "0123456789abcdef") >= n - same)
			return n;
	}
	return 0;
}

/* The next reply begins: what was before it? */
static void resume(struct engine *e, struct link *l, struct payload_name name,
		   int64_t now)
{
	const struct frame bad = l->frame;

	if (bad.name.seq < l->head && bad.name.link == l->id)
		settle_named(e, l, bad.name.seq, now);
	else if (name.seq == l->head)
		e->now->books.surplus += now >= e->measure_at;
	else
		settle_bad(e, l, now);
	l->frame = (struct frame){
		.name = name,
		.used = form_len(e) + PAYLOAD_NUMBER,
		.len = form_len(e) + payload_size(e->payload, name),
	};
}

/* It is as long as it should be, and wrong: perhaps the next has begun. */
static void settle_whole(struct engine *e, struct link *l, int64_t now)
{
	const struct frame f = l->frame;
	size_t form = form_len(e), begun;

	settle_frame(e, l, now);
	if (frame_is(e, &f, f.len - PAYLOAD_NUMBER, f.start, PAYLOAD_NUMBER))
		return;
	begun = start_of_own(l, f.start);
	if (begun == 0)
		return;
	l->frame.used = form + begun;
	memcpy(l->frame.start, reply_form, form);
	memcpy(l->frame.start + form, f.start + PAYLOAD_NUMBER - begun, begun);
}

/* Go through bytes of a bad frame; start holds the latest of them. */
static size_t seek(struct engine *e, struct link *l, const char *data,
		   size_t len, int64_t now)
{
	struct frame *f = &l->frame;
	struct payload_name name;

	for (size_t i = 0; i < len; i++) {
		memmove(f->start, f->start + 1, PAYLOAD_NUMBER - 1);
		f->start[PAYLOAD_NUMBER - 1] = data[i];
		f->used++;
		/* Its own number is no sign of the next. */
		if (f->used > form_len(e) + PAYLOAD_NUMBER &&
		    read_own(e, l, f->start, &name))
			resume(e, l, name, now);
		else if (f->used == f->len)
			settle_whole(e, l, now);
		else
			continue;
		return i + 1;
	}
	return len;
}

/* The frame has turned out bad with these bytes: what was right before? */
static size_t begin_seek(struct engine *e, struct link *l, const char *data,
			 size_t len, int64_t now)
{
	struct frame *f = &l->frame;
	size_t form = form_len(e), n = f->used;

	memset(f->start, 0, PAYLOAD_NUMBER);
	if (n > form) {
		n = n - form < PAYLOAD_NUMBER ? n - form : PAYLOAD_NUMBER;
		payload_fill(e->payload, f->name, f->used - form - n,
			     f->start + PAYLOAD_NUMBER - n, n);
	}
	f->is_bad = true;
	return seek(e, l, data, len, now);
}

/* ------------------------------------------------------ cutting the stream */

/*
 * Whose reply is it?  If that cannot be told it is taken for the one that is
 * to come next.
 */
static void name_frame(const struct engine *e, const struct link *l,
		       struct frame *f)
{
	bool is_next = l->highest >= l->head && l->highest < l->next;
	const struct payload_name expected = { l->id,
					       is_next ? l->highest : l->head };
	struct payload_name *name = &f->name;
	uint32_t links = (uint32_t)e->plan->connections;

	*name = expected;
	if (e->payload->is_numbered &&
	    (!payload_read_name(name, f->start + form_len(e)) ||
	     name->link >= links || name->seq >= UINT64_C(1) << 40 ||
	     !frame_is(e, f, 0, f->start, start_len(e))))
		*name = expected;
	f->len = form_len(e) + payload_size(e->payload, *name);
}

static bool is_sought(const struct engine *e)
{
	return e->payload->is_numbered && !e->payload->is_lines;
}

/* Gather the first bytes; a line that ends among them is bad. */
static size_t begin_frame(struct engine *e, struct link *l, const char *data,
			  size_t len, int64_t now)
{
	struct frame *f = &l->frame;
	size_t want = start_len(e), n, used;
	char start[FRAME_START];

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
	if (frame_is(e, f, 0, f->start, want)) {
		if (f->used == f->len)
			settle_frame(e, l, now);
		return n;
	}
	f->is_bad = true;
	if (is_sought(e)) {
		memcpy(start, f->start, want);
		f->used = 0;
		used = begin_seek(e, l, start, want, now);
		replies_take(e, l, start + used, want - used, now);
	}
	return n;
}

static size_t take_line(struct engine *e, struct link *l, const char *data,
			size_t len, int64_t now)
{
	struct frame *f = &l->frame;
	const char *newline = memchr(data, '\n', len);

	if (newline)
		len = (size_t)(newline - data) + 1;
	f->is_bad = f->is_bad || f->used + len > f->len ||
		    !frame_is(e, f, f->used, data, len);
	f->used += len;
	if (newline) {
		f->is_bad = f->is_bad || f->used < f->len;
		settle_frame(e, l, now);
	}
	return len;
}

static size_t take_raw(struct engine *e, struct link *l, const char *data,
		       size_t len, int64_t now)
{
	struct frame *f = &l->frame;
	bool is_right;

	if (is_sought(e) && f->is_bad)
		return seek(e, l, data, len, now);
	if (len > f->len - f->used)
		len = f->len - f->used;
	is_right = !f->is_bad && frame_is(e, f, f->used, data, len);
	if (!is_right && is_sought(e))
		return begin_seek(e, l, data, len, now);
	f->is_bad = !is_right;
	f->used += len;
	if (f->used == f->len)
		settle_frame(e, l, now);
	return len;
}

/* Nobody asked: so many replies, or a piece of one. */
static size_t count_surplus(struct engine *e, const char *data, size_t len,
			    int64_t now)
{
	size_t size = form_len(e) + e->plan->size_min, count = 0;

	if (e->payload->is_lines)
		for (size_t i = 0; i < len; i++)
			count += data[i] == '\n' || i == len - 1;
	else
		count = (len + size - 1) / size;
	if (now >= e->measure_at)
		e->now->books.surplus += count;
	return len;
}

/* Is a reply to that message next?  Returns its bytes or 0. */
static size_t take_next(const struct engine *e, struct payload_name name,
			const char *data, size_t len)
{
	const struct payload *p = e->payload;
	size_t form = form_len(e), size = payload_size(p, name);

	if (len < form + size ||
	    (form > 0 && memcmp(data, reply_form, form) != 0))
		return 0;
	if (p->is_plain ? !payload_is_plain(p, name, data + form, size)
			: !payload_is(p, name, 0, data + form, size))
		return 0;
	return form + size;
}

/* Are those to so many messages of one length next? */
static bool are_next(struct engine *e, struct payload_name name, size_t count,
		     const char *data, size_t len)
{
	size_t size = e->payload->size;

	if (len < count * size)
		return false;
	payload_fill_plain(e->payload, name, count, e->out, size);
	return memcmp(e->out, data, count * size) == 0;
}

/*
 * The common case: whole replies to the oldest messages, as many as there are.
 * Returns the bytes of them.
 */
static size_t take_whole(struct engine *e, struct link *l, const char *data,
			 size_t len, int64_t now)
{
	const struct payload *p = e->payload;
	bool has_runs = p->is_plain && p->size > 0 && form_len(e) == 0;
	struct payload_name name = { l->id, l->head };
	size_t used = 0;

	if (l->frame.used > 0 || l->head < l->highest)
		return 0;
	while (name.seq < l->next && used < len) {
		size_t run =
			has_runs ? payload_run(p, name, l->next - name.seq) : 1;
		size_t part = run * p->size;

		if (run == 1 ||
		    !are_next(e, name, run, data + used, len - used)) {
			run = 1;
			part = take_next(e, name, data + used, len - used);
			if (part == 0)
				break;
		}
		used += part;
		name.seq += run;
	}
	replies_answer_run(e, l, name.seq - l->head, now);
	return used;
}

size_t frames_take(struct engine *e, struct link *l, const char *data,
		   size_t len, int64_t now)
{
	struct frame *f = &l->frame;
	size_t used = take_whole(e, l, data, len, now);

	if (used > 0)
		return used;
	if (!e->payload->is_numbered && l->open == 0 && f->used == 0)
		return count_surplus(e, data, len, now);
	if (f->len == 0) {
		used = begin_frame(e, l, data, len, now);
		if (used > 0 || f->len == 0)
			return used;
	}
	return e->payload->is_lines ? take_line(e, l, data, len, now)
				    : take_raw(e, l, data, len, now);
}

/* ----------------------------------------------------------- other replies */

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
