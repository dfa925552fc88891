/* SPDX-License-Identifier: MIT */
/*
 * Sending: what may be sent is put on the ring first, then written from
 * there; what the socket does not take is made again when it does.
 */
#include "engine.h"

#include <errno.h>
#include <sys/socket.h>

/* When is the next message planned for?  False: there is none yet. */
static bool next_planned(struct engine *e, struct link *l, int64_t now,
			 int64_t *ret)
{
	if (e->plan->mode == PLAN_CHURN) {
		*ret = link_message(e, l, l->next)->planned;
		if (!l->is_planned)
			return false;
		l->is_planned = false;
		e->under_way--;
		return true;
	}
	if (e->is_ending)
		return false;
	if (engine_is_open_loop(e)) {
		*ret = l->due_at;
		if (l->due_at > now || l->due_at >= e->end_at)
			return false;
		schedule_next(e, l);
		return true;
	}
	*ret = now;
	if (!engine_is_running(e, now) || e->budget == 0)
		return false;
	e->budget--;
	return true;
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

static void put_on_ring(struct engine *e, struct link *l, int64_t planned,
			int64_t now)
{
	struct message *m = link_message(e, l, l->next++);

	*m = (struct message){ .planned = planned, .sent = now };
	l->open++;
	e->under_way++;
	if (planned < e->measure_at)
		return;
	l->was_asked = true;
	e->now->books.planned++;
	e->now->books.sent++;
	if (engine_is_open_loop(e) && e->plan->mode != PLAN_CHURN)
		note_lateness(e, l, m);
}

/* As many messages as fit into the buffer, from where we are on; all? */
static size_t fill(struct engine *e, const struct link *l, bool *is_all)
{
	struct payload_name name = { l->id, l->out_seq };
	size_t from = l->out_from, used = 0;

	*is_all = true;
	for (; name.seq < l->next && used < ENGINE_BUFFER; name.seq++) {
		size_t len = payload_size(e->payload, name) - from;

		if (from == 0 && len <= ENGINE_BUFFER - used) {
			payload_fill_whole(e->payload, name, e->out + used,
					   len);
			used += len;
			continue;
		}

		if (len > ENGINE_BUFFER - used)
			len = ENGINE_BUFFER - used, *is_all = false;
		payload_fill(e->payload, name, from, e->out + used, len);
		used += len;
		from = 0;
	}
	*is_all = *is_all && name.seq == l->next;
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
	uint64_t first = l->next;
	int64_t planned;

	if (e->plan->mode == PLAN_UPLOAD || e->plan->mode == PLAN_DOWNLOAD) {
		oneway_send(e, l, now);
		return;
	}
	while (link_has_room(e, l) && next_planned(e, l, now, &planned))
		put_on_ring(e, l, planned, now);
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
