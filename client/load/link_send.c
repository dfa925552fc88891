/* SPDX-License-Identifier: MIT */
/*
 * Sending: what may be sent is put on the ring first, then written from
 * there; what the socket does not take is made again when it does.
 */
#include "engine.h"

#include <errno.h>
#include <sys/socket.h>

#include "payload_plain.h"

/* Closed loop: as many as there is room for. */
static uint64_t count_next(struct engine *e, const struct link *l, int64_t now)
{
	uint64_t count = (uint32_t)e->plan->depth - l->open;
	uint64_t room = e->window - (l->next - l->head);

	if (!engine_is_running(e, now))
		return 0;
	count = count < room ? count : room;
	count = count < e->budget ? count : e->budget;
	e->budget -= count;
	return count;
}

/* How many messages are to be sent now, and when were they planned for? */
static uint64_t next_planned(struct engine *e, struct link *l, int64_t now,
			     int64_t *ret)
{
	if (e->plan->mode == PLAN_CHURN) {
		*ret = link_message(e, l, l->next)->planned;
		if (!l->is_planned)
			return 0;
		l->is_planned = false;
		e->under_way--;
		return 1;
	}
	if (e->is_ending)
		return 0;
	if (engine_is_open_loop(e)) {
		*ret = l->due_at;
		if (l->due_at > now || l->due_at >= e->end_at)
			return 0;
		schedule_next(e, l);
		return 1;
	}
	*ret = now;
	return count_next(e, l, now);
}

/* Whose fault is it that the message goes out after its instant? */
static void note_lateness(struct engine *e, struct link *l, struct message *m)
{
	struct interval *i = e->now;
	int64_t server = l->room_at - m->planned;
	int64_t lag = m->sent - (server > 0 ? l->room_at : m->planned);

	histogram_record(i->clocks[CLOCK_LAG], lag);
	if (lag > LATE_NS)
		i->late_ours++;
	if (lag > i->late_ours_max)
		i->late_ours_max = lag;
	if (server > LATE_NS)
		i->late_server++;
	if (server > i->late_server_max)
		i->late_server_max = server;
	m->lag_us = (uint32_t)(lag / 1000);
}

/* So many with the same instants; of an open loop it is one. */
static void put_on_ring(struct engine *e, struct link *l, uint64_t count,
			int64_t planned, int64_t now)
{
	struct message *m = NULL;

	for (uint64_t n = 0; n < count; n++) {
		m = link_message(e, l, l->next++);
		*m = (struct message){ .planned = planned, .sent = now };
	}
	l->open += (uint32_t)count;
	e->under_way += count;
	if (planned < e->measure_at)
		return;
	l->was_asked = true;
	e->now->books.planned += count;
	e->now->books.sent += count;
	if (engine_is_open_loop(e) && e->plan->mode != PLAN_CHURN)
		note_lateness(e, l, m);
}

/*
 * As many messages as fit into the buffer, from where we are on, all but the
 * first from their beginning; *is_all: was that all of them?
 */
static size_t fill(struct engine *e, const struct link *l, bool *is_all)
{
	const struct payload *p = e->payload;
	struct payload_name name = { l->id, l->out_seq };
	struct payload_number number = payload_number(name);
	size_t from = l->out_from, used = 0;

	*is_all = true;
	for (; name.seq < l->next; payload_number_next(&number, &name)) {
		size_t len = payload_size(p, name) - from;
		size_t room = ENGINE_BUFFER - used;

		*is_all = len <= room;
		if (*is_all && from == 0 && p->is_plain)
			payload_fill_plain(p, name, number, e->out + used, len);
		else
			payload_fill(p, name, from, e->out + used,
				     *is_all ? len : room);
		used += *is_all ? len : room;
		if (!*is_all)
			break;
		from = 0;
	}
	return used;
}

static void advance(struct engine *e, struct link *l, size_t written)
{
	for (;;) {
		struct payload_name name = { l->id, l->out_seq };
		size_t left;

		if (name.seq == l->next)
			return;
		left = payload_size(e->payload, name) - l->out_from;
		if (written < left)
			break;
		written -= left;
		l->out_seq++;
		l->out_from = 0;
	}
	l->out_from += written;
}

static void transmit(struct engine *e, struct link *l, int64_t now)
{
	while (l->out_seq < l->next) {
		bool is_all;
		size_t len = fill(e, l, &is_all);
		ssize_t n =
			send(l->fd, e->out, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			l->is_blocked = true;
			return;
		}
		if (n < 0) {
			link_fail(e, l, ERROR_SEND, errno, now);
			return;
		}
		if (now >= e->measure_at)
			e->now->books.bytes_out += (uint64_t)n;
		if (is_all && (size_t)n == len)
			l->out_seq = l->next, l->out_from = 0;
		else
			advance(e, l, (size_t)n);
	}
}

void link_send(struct engine *e, struct link *l, int64_t now)
{
	uint64_t first = l->next, count;
	int64_t planned;

	if (e->plan->mode == PLAN_UPLOAD || e->plan->mode == PLAN_DOWNLOAD) {
		oneway_send(e, l, now);
		return;
	}
	while (link_has_room(e, l) &&
	       (count = next_planned(e, l, now, &planned)) > 0)
		put_on_ring(e, l, count, planned, now);
	if (l->next != first)
		transmit(e, l, now);
}

void link_writable(struct engine *e, struct link *l, int64_t now)
{
	if (l->is_blocked) {
		l->is_blocked = false;
		transmit(e, l, now);
		if (l->is_blocked || l->state != LINK_OPEN)
			return;
		l->room_at = now;
	}
	if (l->state == LINK_OPEN)
		link_send(e, l, now);
}
