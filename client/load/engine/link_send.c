/* SPDX-License-Identifier: MIT */
/*
 * Sending: what may be sent is put on the ring first, then written from
 * there; what the socket does not take is made again when it does.
 */
#include "engine.h"

#include <errno.h>
#include <sys/socket.h>

#include "payload_plain.h"

/* Closed loop: as many as there is room for; the warm-up is in no count. */
static uint64_t count_next(struct engine *e, const struct link *l, int64_t now)
{
	uint64_t count = (uint32_t)e->plan->depth - l->open;
	uint64_t room = e->window - (l->next - l->head);

	if (!engine_is_running(e, now))
		return 0;
	count = count < room ? count : room;
	if (now < e->measure_at)
		return count;
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
	const uint64_t last = e->window - 1;
	const struct message message = { .planned = planned, .sent = now };
	const uint64_t first = l->next;
	struct message *const ring = l->ring;

	l->next += count;
	for (uint64_t n = 0; n < count; n++)
		ring[(size_t)((first + n) & last)] = message;
	l->open += (uint32_t)count;
	e->under_way += count;
	if (planned < e->measure_at)
		return;
	l->was_asked = true;
	e->now->books.planned += count;
	e->now->books.sent += count;
	if (engine_is_open_loop(e) && e->plan->mode != PLAN_CHURN)
		note_lateness(e, l, &ring[first & last]);
}

/* Messages in one piece; 0: none that fits. */
static size_t fill_run(const struct payload *p, struct payload_name *name,
		       uint64_t end, char *to, size_t room)
{
	size_t count = payload_run(p, *name, end - name->seq);
	size_t size = payload_size(p, *name);

	if (count * size > room)
		return 0;
	payload_fill_plain(p, *name, count, to, size);
	name->seq += count;
	return count * size;
}

/*
 * As many messages as fit into the buffer, from where we are on, all but the
 * first from their beginning; *is_all: was that all of them?
 */
static size_t fill(struct engine *e, const struct link *l, bool *is_all)
{
	const struct payload *p = e->payload;
	struct payload_name name = { l->id, l->out_seq };
	size_t from = l->out_from, used = 0;

	while (name.seq < l->next && used < ENGINE_BUFFER) {
		size_t room = ENGINE_BUFFER - used, len = 0;

		if (from == 0 && p->is_plain)
			len = fill_run(p, &name, l->next, e->out + used, room);
		if (len == 0) {
			len = payload_size(p, name) - from;
			if (len > room)
				len = room;
			payload_fill(p, name, from, e->out + used, len);
			from += len;
			if (from == payload_size(p, name))
				name.seq++, from = 0;
		}
		used += len;
	}
	*is_all = name.seq == l->next;
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
