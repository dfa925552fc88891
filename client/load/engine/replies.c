/* SPDX-License-Identifier: MIT */
/*
 * What becomes of messages: answered, timed out or abandoned.  They are
 * settled in any order and leave the ring in order.  An unanswered one that
 * holds up the ring is moved out of it, to the overtaken ones.
 *
 * A reply that repeats the message is cut out of the stream by its length or
 * its newline, and compared with the message whose number it begins with.
 * This tells an early, late, doubled or misdirected reply from one whose bytes
 * are wrong.  Without numbers, replies belong to the messages in order.
 *
 * After a wrong line the next reply begins after the newline.  A wrong raw
 * reply may be shorter or longer than expected: the next number of this
 * connection is looked for.
 */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void leave_ring(struct engine *e, struct conn *c)
{
	for (; c->head < c->next; c->head++) {
		const struct message *m = conn_message(e, c, c->head);

		if (!m->is_settled)
			return;
		c->late_pending_before += (uint32_t)(c->late_pending >> 63);
		c->late_pending = c->late_pending << 1 | m->is_late_pending;
	}
}

/* Returns overtaken_count if it is not one of them. */
static uint32_t find_overtaken(const struct conn *c, uint64_t seq)
{
	uint32_t i = 0;

	while (i < c->overtaken_count && c->overtaken[i].seq != seq)
		i++;
	return i;
}

static bool is_overtaken(const struct conn *c, uint64_t seq)
{
	return find_overtaken(c, seq) < c->overtaken_count;
}

static void remove_overtaken(struct conn *c, uint32_t i)
{
	c->overtaken_count--;
	memmove(&c->overtaken[i], &c->overtaken[i + 1],
		(c->overtaken_count - i) * sizeof(c->overtaken[0]));
}

static bool is_open(const struct engine *e, const struct conn *c, uint64_t seq)
{
	if (seq < c->head)
		return is_overtaken(c, seq);
	return seq < c->next && !conn_message(e, c, seq)->is_settled;
}

/* It must be open. */
static struct message *open_message(const struct engine *e,
				    const struct conn *c, uint64_t seq)
{
	if (seq < c->head)
		return &c->overtaken[find_overtaken(c, seq)].message;
	return conn_message(e, c, seq);
}

/* There must be a message under way. */
static uint64_t oldest_open(const struct conn *c)
{
	return c->overtaken_count > 0 ? c->overtaken[0].seq : c->head;
}

static bool is_compared(const struct engine *e)
{
	return e->plan->expect != EXPECT_FRAMED;
}

int64_t replies_oldest(const struct engine *e, const struct conn *c)
{
	return open_message(e, c, oldest_open(c))->sent;
}

/*
 * Fewer messages than the ring has room for are under way, so that there is
 * room among the overtaken ones.
 */
void replies_make_room(struct engine *e, struct conn *c, uint64_t count)
{
	while (c->next + count - c->head > e->window) {
		struct message *m = conn_message(e, c, c->head);

		c->overtaken[c->overtaken_count++] =
			(struct overtaken){ c->head, *m };
		m->is_settled = true;
		leave_ring(e, c);
	}
}

static void track_median(struct engine *e, int64_t took)
{
	int64_t step = e->median < 16 ? 1 : e->median / 16;

	if (e->median == 0)
		e->median = took;
	else if (took > e->median)
		e->median += step;
	else if (e->median > step)
		e->median -= step;
}

/*
 * Since when there is room for another message, without the delays of this
 * client: if the loop woke late, the reply could have been seen wake_delay
 * earlier, and if the message was sent late, it would have been answered
 * earlier by that lag.  But a reply that took longer than the median and the
 * lag together waited for a stalled server, and would not have come earlier.
 */
static void note_room(struct engine *e, struct conn *c, const struct message *m)
{
	int64_t lag = m->lag_us * INT64_C(1000), took, slower;

	c->room_at = e->woke_at - e->wake_delay;
	if (c->room_at < m->sent)
		c->room_at = m->sent;
	took = c->room_at - m->sent;
	slower = took - e->median;
	track_median(e, took);
	if (slower < lag)
		c->room_at -= slower > 0 ? lag - slower : lag;
}

static bool settle_message(struct engine *e, struct conn *c, struct message *m)
{
	if (!conn_has_room(e, c))
		note_room(e, c, m);
	m->is_settled = true;
	c->open--;
	e->under_way--;
	return m->planned >= e->measure_at;
}

/* The caller no longer uses the message. */
static void settled(struct engine *e, struct conn *c, uint64_t seq)
{
	if (seq < c->head)
		remove_overtaken(c, find_overtaken(c, seq));
	else
		leave_ring(e, c);
}

/*
 * A reply that was there when the wait ended may have come at any time since
 * the previous wait, but not before its message was sent.
 */
static void record_own_delay(struct engine *e, const struct conn *c,
			     const struct message *m, int64_t now,
			     uint64_t count)
{
	int64_t delay = now - e->woke_at + e->wake_delay;

	if (engine_is_open_loop(e) && e->plan->mode != PLAN_CHURN)
		return;
	if (delay > now - m->sent)
		delay = now - m->sent;
	histogram_record_many(e->now->clocks[CLOCK_LAG], delay + c->late_ns,
			      count);
}

static void record_latency(struct engine *e, const struct message *m,
			   int64_t now, uint64_t count)
{
	struct interval *i = e->now;

	histogram_record_many(i->clocks[CLOCK_FROM_SEND], now - m->sent, count);
	if (!engine_is_open_loop(e) && now > control_sent_at(e->control))
		e->sums.after_ns +=
			(now - control_sent_at(e->control)) * (int64_t)count;
	if (engine_is_open_loop(e) || e->plan->mode == PLAN_CHURN)
		histogram_record_many(i->clocks[CLOCK_FROM_PLAN],
				      now - m->planned, count);
	if (engine_is_open_loop(e))
		histogram_record_many(
			i->without_lag,
			now - m->planned - 1000 * (int64_t)m->lag_us, count);
}

void replies_answer(struct engine *e, struct conn *c, uint64_t seq, int64_t now,
		    uint64_t *kind)
{
	struct message *m = open_message(e, c, seq);

	if (settle_message(e, c, m)) {
		e->now->counts.answered++;
		e->now->counts.checked +=
			is_compared(e) || reply_rule(e, seq)->keep > 0;
		e->now->counts.drained += m->sent >= e->end_at;
		if (kind)
			++*kind;
		record_latency(e, m, now, 1);
		record_own_delay(e, c, m, now, 1);
		c->replies++;
	}
	if (seq >= c->highest)
		c->highest = seq + 1;
	settled(e, c, seq);
	if (e->plan->mode == PLAN_CHURN)
		c->is_done = true;
}

static void shift_late_pending(struct conn *c, uint64_t count)
{
	for (; c->late_pending != 0 && count > 0; count--) {
		c->late_pending_before += (uint32_t)(c->late_pending >> 63);
		c->late_pending <<= 1;
	}
}

/* Messages that were sent together share their instants. */
static uint64_t measure_run(struct engine *e, const struct conn *c,
			    uint64_t first, uint64_t end, int64_t now)
{
	const uint64_t last = e->window - 1;
	const struct message *const ring = c->ring;
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
		record_own_delay(e, c, m, now, count);
		e->now->counts.drained += sent >= e->end_at ? count : 0;
		measured += count;
	}
	return measured;
}

static void replies_answer_run(struct engine *e, struct conn *c, uint64_t count,
			       int64_t now)
{
	uint64_t first = c->head, measured;

	if (count == 0)
		return;
	if (!conn_has_room(e, c))
		note_room(e, c, conn_message(e, c, first));
	c->head = c->highest = first + count;
	c->open -= (uint32_t)count;
	e->under_way -= count;
	shift_late_pending(c, count);
	measured = measure_run(e, c, first, c->head, now);
	e->now->counts.answered += measured;
	e->now->counts.checked += measured;
	c->replies += measured;
	if (e->plan->mode == PLAN_CHURN)
		c->is_done = true;
}

/* An unanswered message counts with its age, the least it could have taken. */
static void lose_message(struct engine *e, struct conn *c, uint64_t seq,
			 uint64_t *column, int64_t now)
{
	struct message *m = open_message(e, c, seq);

	if (!settle_message(e, c, m))
		return;
	++*column;
	if (seq < c->highest)
		e->now->counts.missing++;
	interval_censor(e->now, CLOCK_FROM_PLAN, now - m->planned, 1);
	interval_censor(e->now, CLOCK_FROM_SEND, now - m->sent, 1);
	record_latency(e, m, now, 1);
}

void replies_abandon(struct engine *e, struct conn *c, uint64_t *column,
		     int64_t now)
{
	/* Part of a reply, without a message. */
	if (c->state == CONN_OPEN && c->open == 0 && is_compared(e) &&
	    c->frame.used > 0 && now >= e->measure_at)
		e->now->counts.surplus++;
	for (uint32_t i = 0; i < c->overtaken_count; i++)
		lose_message(e, c, c->overtaken[i].seq, column, now);
	c->overtaken_count = 0;
	for (; c->head < c->next; c->head++)
		if (!conn_message(e, c, c->head)->is_settled)
			lose_message(e, c, c->head, column, now);
}

static bool can_identify_reply(const struct engine *e)
{
	return e->payload->is_numbered && e->plan->mode != PLAN_CHURN &&
	       is_compared(e);
}

static void set_late_pending(struct conn *c, uint64_t seq)
{
	uint64_t bit = c->head - 1 - seq;

	if (bit < 64)
		c->late_pending |= UINT64_C(1) << bit;
	else
		c->late_pending_before++;
}

bool replies_give_up(struct engine *e, struct conn *c, int64_t now)
{
	uint64_t seq = oldest_open(c);
	struct message *m = open_message(e, c, seq);

	m->is_late_pending = can_identify_reply(e);
	if (m->planned >= e->measure_at && m->is_late_pending)
		engine_note_error(e, ERROR_REPLY, ETIMEDOUT, now);
	if (seq < c->head && m->is_late_pending)
		set_late_pending(c, seq);
	lose_message(e, c, seq, &e->now->counts.timed_out, now);
	settled(e, c, seq);
	return can_identify_reply(e);
}

/* Bytes after the number of a raw message that must match, too. */
#define CONFIRM 8

_Static_assert(FRAME_START >= PAYLOAD_REPLY_LEN + PAYLOAD_NUMBER + CONFIRM,
	       "the start of a frame has room");

static size_t form_len(const struct engine *e)
{
	return e->plan->expect == EXPECT_REPLY ? PAYLOAD_REPLY_LEN : 0;
}

static size_t id_len(const struct engine *e)
{
	size_t more = e->plan->size_min - PAYLOAD_NUMBER;

	if (!e->payload->is_numbered)
		return 0;
	if (e->payload->is_lines)
		return form_len(e) + PAYLOAD_NUMBER;
	return form_len(e) + PAYLOAD_NUMBER + (more < CONFIRM ? more : CONFIRM);
}

static bool frame_matches(const struct engine *e, const struct frame *f,
			  size_t from, const char *data, size_t len)
{
	size_t form = form_len(e), part = 0;

	if (from < form) {
		part = len < form - from ? len : form - from;
		if (memcmp(data, &PAYLOAD_REPLY[from], part) != 0)
			return false;
	}
	return payload_matches(e->payload, f->id, from + part - form,
			       data + part, len - part);
}

/* Was the reply to this message pending?  It no longer is. */
static bool take_late_pending(struct conn *c, uint64_t seq)
{
	uint64_t bit = c->head - 1 - seq;
	bool is_late_pending = bit < 64 ? c->late_pending >> bit & 1
					: c->late_pending_before > 0;

	if (bit < 64)
		c->late_pending &= ~(UINT64_C(1) << bit);
	else
		c->late_pending_before -= is_late_pending;
	return is_late_pending;
}

static void settle_identified(struct engine *e, struct conn *c, uint64_t seq,
			      int64_t now)
{
	struct counts *b = &e->now->counts;
	bool is_measured = now >= e->measure_at;

	if (is_open(e, c, seq))
		replies_answer(e, c, seq, now,
			       seq < c->highest ? &b->swapped : NULL);
	else if (seq < c->head && take_late_pending(c, seq))
		b->late += is_measured;
	else
		b->surplus += is_measured;
}

/* The first bad reply of the run is shown with the message that it answers. */
static void note_bad_reply(struct engine *e, const struct conn *c, uint64_t seq,
			   const char *why, int64_t now)
{
	const struct message *m = open_message(e, c, seq);
	struct message_id id = { c->id, seq };
	struct bad_reply *b = &e->sums.first_bad;
	size_t size = payload_size(e->payload, id);

	if (m->planned < e->measure_at)
		return;
	if (b->why)
		return;
	*b = (struct bad_reply){ .why = why,
				 .at = now - e->measure_at,
				 .conn = c->id,
				 .seq = seq,
				 .sent_len = size < EXCERPT_MAX ? size
								: EXCERPT_MAX };
	payload_fill(e->payload, id, m->sent, 0, b->sent, b->sent_len);
	e->has_new_bad = true;
}

static void note_excerpt(struct engine *e, const char *data, size_t len)
{
	struct bad_reply *b = &e->sums.first_bad;

	if (!e->has_new_bad)
		return;
	e->has_new_bad = false;
	b->got_len = len < EXCERPT_MAX ? len : EXCERPT_MAX;
	memcpy(b->got, data, b->got_len);
}

static void settle_bad(struct engine *e, struct conn *c, int64_t now)
{
	struct counts *b = &e->now->counts;
	uint64_t seq = c->head < c->next ? c->head : oldest_open(c);

	if (c->open > 0) {
		note_bad_reply(e, c, seq, "it differs from what was expected",
			       now);
		replies_answer(e, c, seq, now, &b->wrong);
	} else if (now >= e->measure_at) {
		b->surplus++;
	}
}

static void settle_frame(struct engine *e, struct conn *c, int64_t now)
{
	struct frame f = c->frame;

	c->frame = (struct frame){ .used = 0 };
	if (f.is_bad)
		settle_bad(e, c, now);
	else if (f.id.conn == c->id)
		settle_identified(e, c, f.id.seq, now);
	else
		e->now->counts.crossed += now >= e->measure_at;
}

static bool read_own_id(const struct engine *e, const struct conn *c,
			const char *data, struct message_id *ret)
{
	return payload_read_id(ret, data) && ret->conn == c->id &&
	       is_open(e, c, ret->seq);
}

/* How many of the latest bytes may start a number of this connection? */
static size_t start_of_own(const struct conn *c, const char *latest)
{
	char id[7];

	snprintf(id, sizeof(id), "%06x", c->id & 0xffffff);
	for (size_t n = PAYLOAD_NUMBER - 1; n > 0; n--) {
		const char *from = latest + PAYLOAD_NUMBER - n;
		size_t same = n < 6 ? n : 6;

		if (memcmp(from, id, same) == 0 &&
		    strspn(from + same, "0123456789abcdef") >= n - same)
			return n;
	}
	return 0;
}

static void begin_next_frame(struct engine *e, struct conn *c,
			     struct message_id id, int64_t now)
{
	const struct frame bad = c->frame;

	if (bad.id.seq < c->head && bad.id.conn == c->id &&
	    !is_overtaken(c, bad.id.seq))
		settle_identified(e, c, bad.id.seq, now);
	else if (id.seq == c->head)
		e->now->counts.surplus += now >= e->measure_at;
	else
		settle_bad(e, c, now);
	c->frame = (struct frame){
		.id = id,
		.used = form_len(e) + PAYLOAD_NUMBER,
		.len = form_len(e) + payload_size(e->payload, id),
	};
}

/* A bad frame has its full length; the next may have begun inside it. */
static void settle_whole(struct engine *e, struct conn *c, int64_t now)
{
	const struct frame f = c->frame;
	size_t form = form_len(e), begun;

	settle_frame(e, c, now);
	if (frame_matches(e, &f, f.len - PAYLOAD_NUMBER, f.start,
			  PAYLOAD_NUMBER))
		return;
	begun = start_of_own(c, f.start);
	if (begun == 0)
		return;
	c->frame.used = form + begun;
	memcpy(c->frame.start, PAYLOAD_REPLY, form);
	memcpy(c->frame.start + form, f.start + PAYLOAD_NUMBER - begun, begun);
}

/* Scan the bytes of a bad frame; start holds the latest of them. */
static size_t seek_number(struct engine *e, struct conn *c, const char *data,
			  size_t len, int64_t now)
{
	struct frame *f = &c->frame;
	struct message_id id;

	for (size_t i = 0; i < len; i++) {
		memmove(f->start, f->start + 1, PAYLOAD_NUMBER - 1);
		f->start[PAYLOAD_NUMBER - 1] = data[i];
		f->used++;
		/* Its own number does not start the next. */
		if (f->used > form_len(e) + PAYLOAD_NUMBER &&
		    read_own_id(e, c, f->start, &id))
			begin_next_frame(e, c, id, now);
		else if (f->used == f->len)
			settle_whole(e, c, now);
		else
			continue;
		return i + 1;
	}
	return len;
}

/* These bytes make the frame bad; recover the latest ones before them. */
static size_t begin_seek(struct engine *e, struct conn *c, const char *data,
			 size_t len, int64_t now)
{
	struct frame *f = &c->frame;
	size_t form = form_len(e), n = f->used;

	memset(f->start, 0, PAYLOAD_NUMBER);
	if (n > form) {
		n = n - form < PAYLOAD_NUMBER ? n - form : PAYLOAD_NUMBER;
		payload_fill(e->payload, f->id, 0, f->used - form - n,
			     f->start + PAYLOAD_NUMBER - n, n);
	}
	f->is_bad = true;
	return seek_number(e, c, data, len, now);
}

/* Which message does the reply belong to?  If unknown, to the next expected. */
static void identify_frame(const struct engine *e, const struct conn *c,
			   struct frame *f)
{
	bool is_next = c->highest >= c->head && c->highest < c->next;
	const struct message_id expected = { c->id,
					     is_next ? c->highest : c->head };
	struct message_id *id = &f->id;
	uint32_t connections = (uint32_t)e->plan->connections;

	*id = expected;
	if (e->payload->is_numbered &&
	    (!payload_read_id(id, f->start + form_len(e)) ||
	     id->conn >= connections || id->seq >= UINT64_C(1) << 40 ||
	     !frame_matches(e, f, 0, f->start, id_len(e))))
		*id = expected;
	f->len = form_len(e) + payload_size(e->payload, *id);
}

static bool seeks_number(const struct engine *e)
{
	return e->payload->is_numbered && !e->payload->is_lines;
}

/* Collect the bytes that identify a reply; a line that ends before is bad. */
static size_t begin_frame(struct engine *e, struct conn *c, const char *data,
			  size_t len, int64_t now)
{
	struct frame *f = &c->frame;
	size_t want = id_len(e), n, used;
	char start[FRAME_START];

	for (n = 0; n < len && f->used < want; n++) {
		f->start[f->used++] = data[n];
		if (e->payload->is_lines && data[n] == '\n') {
			f->is_bad = true;
			settle_frame(e, c, now);
			return n + 1;
		}
	}
	if (f->used < want)
		return n;
	identify_frame(e, c, f);
	if (frame_matches(e, f, 0, f->start, want)) {
		if (f->used == f->len)
			settle_frame(e, c, now);
		return n;
	}
	f->is_bad = true;
	if (seeks_number(e)) {
		memcpy(start, f->start, want);
		f->used = 0;
		used = begin_seek(e, c, start, want, now);
		replies_take(e, c, start + used, want - used, now);
	}
	return n;
}

static size_t take_line_reply(struct engine *e, struct conn *c,
			      const char *data, size_t len, int64_t now)
{
	struct frame *f = &c->frame;
	const char *newline = memchr(data, '\n', len);

	if (newline)
		len = (size_t)(newline - data) + 1;
	f->is_bad = f->is_bad || f->used + len > f->len ||
		    !frame_matches(e, f, f->used, data, len);
	f->used += len;
	if (newline) {
		f->is_bad = f->is_bad || f->used < f->len;
		settle_frame(e, c, now);
	}
	return len;
}

static size_t take_raw_reply(struct engine *e, struct conn *c, const char *data,
			     size_t len, int64_t now)
{
	struct frame *f = &c->frame;
	bool is_right;

	if (seeks_number(e) && f->is_bad)
		return seek_number(e, c, data, len, now);
	if (len > f->len - f->used)
		len = f->len - f->used;
	is_right = !f->is_bad && frame_matches(e, f, f->used, data, len);
	if (!is_right && seeks_number(e))
		return begin_seek(e, c, data, len, now);
	f->is_bad = !is_right;
	f->used += len;
	if (f->used == f->len)
		settle_frame(e, c, now);
	return len;
}

/* Input without a message under way: count the replies, or pieces of one. */
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
		e->now->counts.surplus += count;
	return len;
}

/* Is the next input the reply to that message?  Returns its length or 0. */
static size_t next_reply(const struct engine *e, struct message_id id,
			 const char *data, size_t len)
{
	const struct payload *p = e->payload;
	size_t form = form_len(e), size = payload_size(p, id);

	if (len < form + size ||
	    (form > 0 && memcmp(data, PAYLOAD_REPLY, form) != 0))
		return 0;
	if (p->is_plain ? !payload_plain_matches(p, id, data + form, size)
			: !payload_matches(p, id, 0, data + form, size))
		return 0;
	return form + size;
}

static bool run_is_next(struct engine *e, struct message_id id, size_t count,
			const char *data, size_t len)
{
	size_t size = e->payload->size;

	if (len < count * size)
		return false;
	payload_fill_plain(e->payload, id, count, e->out, size);
	return memcmp(e->out, data, count * size) == 0;
}

/* The common case: whole replies to the oldest messages. */
static size_t take_whole_replies(struct engine *e, struct conn *c,
				 const char *data, size_t len, int64_t now)
{
	const struct payload *p = e->payload;
	bool has_runs = p->is_plain && p->size > 0 && form_len(e) == 0;
	struct message_id id = { c->id, c->head };
	size_t used = 0;

	if (c->frame.used > 0 || c->head < c->highest)
		return 0;
	while (id.seq < c->next && used < len) {
		size_t run =
			has_runs ? payload_run(p, id, c->next - id.seq) : 1;
		size_t part = run * p->size;

		if (run == 1 ||
		    !run_is_next(e, id, run, data + used, len - used)) {
			run = 1;
			part = next_reply(e, id, data + used, len - used);
			if (part == 0)
				break;
		}
		used += part;
		id.seq += run;
	}
	replies_answer_run(e, c, id.seq - c->head, now);
	return used;
}

static size_t take_repeated(struct engine *e, struct conn *c, const char *data,
			    size_t len, int64_t now)
{
	struct frame *f = &c->frame;
	size_t used = take_whole_replies(e, c, data, len, now);

	if (used > 0)
		return used;
	if (!e->payload->is_numbered && c->open == 0 && f->used == 0)
		return count_surplus(e, data, len, now);
	if (f->len == 0) {
		used = begin_frame(e, c, data, len, now);
		if (used > 0 || f->len == 0)
			return used;
	}
	return e->payload->is_lines ? take_line_reply(e, c, data, len, now)
				    : take_raw_reply(e, c, data, len, now);
}

void replies_forget(struct conn *c)
{
	c->frame = (struct frame){ .used = 0 };
	c->framing = (struct framing){ .used = 0 };
	free(c->kept);
	c->kept = NULL;
	c->kept_len = 0;
}

/* Without memory the reply is judged by less of it. */
static void keep_piece(struct conn *c, const struct reply_rule *rule,
		       const char *data, size_t len)
{
	size_t room = rule->keep - c->kept_len;
	char *more;

	len = len < room ? len : room;
	more = len > 0 ? realloc(c->kept, c->kept_len + len) : NULL;
	if (!more)
		return;
	memcpy(more + c->kept_len, data, len);
	c->kept = more;
	c->kept_len += len;
}

static void settle_framed(struct engine *e, struct conn *c, const char *data,
			  size_t len, const char *wrong, uint64_t *kind,
			  int64_t now)
{
	struct reply_rule *rule = reply_rule(e, c->head);

	if (!wrong && rule->keep > 0)
		wrong = judge_reply(&rule->judge, &c->framing, data, len);
	if (wrong) {
		note_bad_reply(e, c, c->head, wrong, now);
		note_excerpt(e, data, len);
		kind = &e->now->counts.bad;
	}
	replies_forget(c);
	replies_answer(e, c, c->head, now, kind);
}

void replies_end(struct engine *e, struct conn *c)
{
	bool is_any =
		reply_rule(e, c->head)->expected->framer.kind == FRAMER_ANY;
	size_t len = (size_t)c->framing.used;
	bool is_unsure =
		is_any && e->plan->expect_quiet_ns == 0 &&
		(len >= ENGINE_BUFFER || (e->any_len > 0 && len != e->any_len));

	e->any_len = len;
	settle_framed(e, c, c->kept, c->kept_len, NULL,
		      is_unsure ? &e->now->counts.unsure : NULL, c->last_at);
}

/* At the end of a reply *whole is what the judge has to see of it. */
static enum framer_result take_by_rule(struct conn *c,
				       const struct reply_rule *rule,
				       const char *data, size_t len,
				       size_t *used, struct bytes *whole)
{
	enum framer_result result = framer_take(&rule->expected->framer,
						&c->framing, data, len, used);

	*whole = (struct bytes){ (char *)data, *used };
	if (result == FRAMER_MORE || c->kept_len > 0)
		keep_piece(c, rule, data, *used);
	if (c->kept_len > 0)
		*whole = (struct bytes){ c->kept, c->kept_len };
	return result;
}

static bool may_begin(const struct prefixes *p, const struct bytes *got)
{
	for (size_t i = 0; i < p->count; i++) {
		size_t len = p->list[i].len;

		if (memcmp(p->list[i].data, got->data,
			   len < got->len ? len : got->len) == 0)
			return true;
	}
	return p->count == 0;
}

enum framer_result replies_take_step(struct conn *c, struct reply_rule *rule,
				     const char *data, size_t len, size_t *used)
{
	struct bytes whole;
	enum framer_result result =
		take_by_rule(c, rule, data, len, used, &whole);

	if (rule->expected->framer.kind == FRAMER_ANY)
		result = FRAMER_END;
	if (result == FRAMER_MORE && !may_begin(&rule->expected->ok, &whole))
		return FRAMER_WRONG;
	if (result == FRAMER_END &&
	    judge_reply(&rule->judge, &c->framing, whole.data, whole.len))
		result = FRAMER_WRONG;
	if (result == FRAMER_END)
		replies_forget(c);
	return result;
}

static size_t take_framed(struct engine *e, struct conn *c, const char *data,
			  size_t len, int64_t now)
{
	enum framer_result result;
	struct bytes whole;
	size_t used;

	if (c->open == 0) {
		e->now->counts.surplus += now >= e->measure_at;
		return len;
	}
	result = take_by_rule(c, reply_rule(e, c->head), data, len, &used,
			      &whole);
	if (result == FRAMER_MORE)
		return used;
	if (result == FRAMER_END) {
		settle_framed(e, c, whole.data, whole.len, NULL, NULL, now);
		return used;
	}
	/* The rest belongs to it, too: its end is not known. */
	settle_framed(e, c, whole.data, whole.len,
		      "it does not have the form that --expect says", NULL,
		      now);
	c->is_done = true;
	return len;
}

void replies_take(struct engine *e, struct conn *c, const char *data,
		  size_t len, int64_t now)
{
	size_t used;

	if (!is_compared(e)) {
		for (; len > 0; data += used, len -= used)
			used = take_framed(e, c, data, len, now);
		return;
	}
	for (; len > 0; data += used, len -= used) {
		used = take_repeated(e, c, data, len, now);
		if (e->has_new_bad)
			note_excerpt(e, data, used);
	}
}
