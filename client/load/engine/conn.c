/* SPDX-License-Identifier: MIT */
/*
 * The life of a connection.
 *
 * Messages are put on the ring first and sent from there.  Bytes that the
 * socket does not take are not kept but made again.
 */
#include "engine.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAUSE_MIN (10 * MS)
#define PAUSE_MAX SECOND
#define TRY_AGAIN MS

/* As send(2) and recv(2), in clear or by TLS. */
static ssize_t conn_write(const struct conn *c, const char *data, size_t len)
{
	return c->tls ? secure_send(c->tls, data, len)
		      : send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static ssize_t conn_read(const struct engine *e, const struct conn *c)
{
	return c->tls ? secure_receive(c->tls, e->in, ENGINE_BUFFER)
		      : recv(c->fd, e->in, ENGINE_BUFFER, MSG_DONTWAIT);
}

static void set_state(struct engine *e, struct conn *c, enum conn_state state)
{
	e->in_state[c->state]--;
	e->in_state[state]++;
	if (state == CONN_OVER && !c->is_silent)
		e->alive--;
	c->state = state;
	schedule_update(e, c);
}

static bool is_connected(const struct conn *c)
{
	return c->state == CONN_OPENING || c->state == CONN_OPEN ||
	       c->state == CONN_LEAVING;
}

/* Bytes in the send buffer that the peer has not acknowledged. */
static int64_t unsent(const struct conn *c)
{
	int left = 0;

	if (c->fd < 0 || ioctl(c->fd, SIOCOUTQ, &left) < 0)
		return 0;
	return left;
}

void conn_begin_upload(struct engine *e, struct conn *c)
{
	if (e->plan->mode != PLAN_UPLOAD || c->is_silent || c->is_measured)
		return;
	c->is_measured = true;
	e->sums.unsent -= unsent(c);
}

void conn_end_upload(struct engine *e, struct conn *c)
{
	if (c->is_measured)
		e->sums.unsent += unsent(c);
	c->is_measured = false;
}

/* One that has left still counts as opened. */
static void close_conn(struct engine *e, struct conn *c, enum conn_state next)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (is_connected(c) && next != CONN_LEFT)
		atomic_fetch_sub_explicit(&e->opened, 1, memory_order_relaxed);
	conn_end_upload(e, c);
	secure_close(c->tls, !e->plan->close_by_reset);
	c->tls = NULL;
	if (c->fd >= 0) {
		if (e->plan->close_by_reset)
			(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset,
					 sizeof(reset));
		close(c->fd);
	}
	c->fd = -1;
	c->is_blocked = c->is_level_triggered = false;
	c->is_done = c->is_paused = c->has_input = false;
	c->step = 0;
	c->quiet_at = 0;
	replies_forget(c);
	free(c->early);
	c->early = NULL;
	c->late_pending = c->late_pending_before = 0;
	c->head = c->highest = c->out_seq = c->next;
	c->out_from = 0;
	set_state(e, c, next);
}

void conn_drop_exchange(struct engine *e, struct conn *c)
{
	int64_t planned = conn_message(e, c, c->next)->planned;
	struct interval *i = e->now;

	if (!c->is_planned)
		return;
	c->is_planned = false;
	e->under_way--;
	if (planned < e->measure_at)
		return;
	i->counts.planned++;
	i->counts.never_sent++;
	histogram_record(e->dropped, (planned - e->measure_at) / MS);
}

/* Churn before the measured part is not counted. */
static bool conn_is_measured(const struct engine *e, const struct conn *c)
{
	return c->is_silent || e->plan->mode != PLAN_CHURN ||
	       c->ring->planned >= e->measure_at;
}

/*
 * Churn goes on after any error.  A connection that was established is replaced
 * at once.
 */
static void pause_before_next(struct engine *e, struct conn *c,
			      enum error_phase phase, int64_t now)
{
	if (c->is_silent ||
	    !(e->plan->reconnect || e->plan->mode == PLAN_CHURN))
		return;
	if (e->plan->mode == PLAN_CHURN && engine_is_open_loop(e))
		return;
	if (phase == ERROR_REPLY || phase == ERROR_BETWEEN)
		c->pause = 0;
	c->retry_at = now + c->pause;
	c->pause_at = now;
	c->pause = c->pause ? 2 * c->pause : PAUSE_MIN;
	if (c->pause > PAUSE_MAX)
		c->pause = PAUSE_MAX;
	if (e->plan->mode == PLAN_CHURN && c->pause > PAUSE_MIN)
		c->pause = PAUSE_MIN;
}

/*
 * It is closed, and another one replaces it, unless the run is ending and all
 * that was planned for it has been sent.
 */
static void conn_left(struct engine *e, struct conn *c, int64_t now)
{
	c->is_replaced = !e->is_ending || engine_has_backlog(e, c);
	close_conn(e, c, c->is_replaced ? CONN_IDLE : CONN_LEFT);
	if (c->is_replaced)
		conn_open(e, c, now);
}

/*
 * In TLS 1.3 a server refuses our certificate after the handshake.  Its alert
 * is then the first input, which may be there although the socket was reset.
 */
static bool is_refused_late(const struct engine *e, const struct conn *c,
			    int *error)
{
	if (c->has_input || c->state == CONN_HANDSHAKE)
		return false;
	if (*error == EPIPE || *error == ECONNRESET)
		if (conn_read(e, c) < 0 && errno == EPROTO)
			*error = EPROTO;
	return *error == EPROTO;
}

static void judge_tls(struct engine *e, const struct conn *c,
		      enum error_phase *phase, int *error)
{
	if (is_refused_late(e, c, error))
		*phase = ERROR_HANDSHAKE;
	if (*error == EPROTO && !e->sums.tls_why)
		e->sums.tls_why = secure_why(c->tls);
}

/* A server may end a connection that has nothing to do any more. */
static bool is_done_with(const struct engine *e, const struct conn *c,
			 enum error_phase phase, int64_t now)
{
	return phase == ERROR_BETWEEN && engine_is_draining(e, now) &&
	       !engine_has_backlog(e, c);
}

static void conn_fail(struct engine *e, struct conn *c, enum error_phase phase,
		      int error, int64_t now)
{
	struct counts *b = &e->now->counts;
	bool is_again = (e->plan->reconnect || e->plan->mode == PLAN_CHURN) &&
			!c->is_silent;
	bool is_done = is_done_with(e, c, phase, now);
	bool is_counted = conn_is_measured(e, c) && !is_done;

	if (c->tls)
		judge_tls(e, c, &phase, &error);
	if (is_counted)
		engine_note_error(e, phase, error, now);
	if (c->state == CONN_LEAVING) {
		conn_left(e, c, now);
		return;
	}
	if (c->is_replaced)
		c->rested_ns += engine_measured_since(e, c->rest_from, now);
	c->is_replaced = false;
	if (c->state == CONN_OPEN && is_counted)
		e->now->ended +=
			error == 0 || error == ECONNRESET || error == EPIPE;
	if (c->down_at == 0 && c->was_opened && !is_done)
		c->down_at = now;
	if (c->is_planned)
		c->room_at = now;
	conn_drop_exchange(e, c);
	replies_abandon(e, c,
			error == 0 || error == ETIMEDOUT || error == EBADMSG
				? &b->closed_early
				: &b->reset,
			now);
	pause_before_next(e, c, phase, now);
	close_conn(e, c, is_again ? CONN_IDLE : CONN_OVER);
}

static enum error_phase phase_of(const struct conn *c)
{
	if (c->state == CONN_OPENING)
		return ERROR_BANNER;
	if (c->state == CONN_LEAVING)
		return ERROR_END;
	return c->open > 0 ? ERROR_REPLY : ERROR_BETWEEN;
}

#define ONEWAY_BUFFERS 16

static void oneway_count(const struct engine *e, struct conn *c,
			 uint64_t *bytes, ssize_t n)
{
	int64_t now = now_ns();

	c->last_at = now;
	if (now < e->measure_at || now >= e->end_at)
		return;
	c->replies++;
	*bytes += (uint64_t)n;
}

/* Level-triggered, so that the other connections get their turn. */
static bool oneway_begin(struct engine *e, struct conn *c, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = c };

	if (c->is_level_triggered)
		return true;
	c->is_level_triggered = true;
	c->was_asked = c->is_waiting = true;
	return epoll_ctl(e->epoll, EPOLL_CTL_MOD, c->fd, &event) == 0;
}

static void oneway_send_some(struct engine *e, struct conn *c)
{
	for (int i = 0; i < ONEWAY_BUFFERS; i++) {
		ssize_t n;

		if (now_ns() >= e->measure_at)
			conn_begin_upload(e, c);
		n = conn_write(c, e->payload->noise, ENGINE_BUFFER);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && errno != EINTR) {
			conn_fail(e, c, ERROR_SEND, errno, now_ns());
			return;
		}
		if (n > 0)
			oneway_count(e, c, &e->now->counts.bytes_out, n);
	}
}

static void oneway_send(struct engine *e, struct conn *c, int64_t now)
{
	if (!engine_is_running(e, now) || e->is_ending)
		return;
	if (e->plan->mode == PLAN_DOWNLOAD) {
		oneway_begin(e, c, EPOLLIN);
	} else if (oneway_begin(e, c, EPOLLIN | EPOLLOUT)) {
		oneway_send_some(e, c);
		c->is_blocked = c->fd >= 0;
	}
}

static void oneway_receive(struct engine *e, struct conn *c)
{
	if (!c->is_level_triggered)
		return;
	for (int i = 0;
	     i < ONEWAY_BUFFERS || (c->tls && secure_has_rest(c->tls)); i++) {
		ssize_t n = conn_read(e, c);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n == 0 || (n < 0 && errno != EINTR)) {
			conn_fail(e, c, ERROR_BETWEEN, n == 0 ? 0 : errno,
				  now_ns());
			return;
		}
		if (n <= 0)
			continue;
		c->has_input = true;
		oneway_count(e, c, &e->now->counts.bytes_in, n);
	}
}

/* A random part before the first message, so that not all send at once. */
static int64_t rest_length(const struct engine *e, struct conn *c)
{
	const struct engine_steps *loop = &e->loop;
	int64_t length;

	if (e->plan->script)
		return c->pace == PACE_FRESH
			       ? 0
			       : loop->list[(c->next - 1) % loop->count]
					 .step->pause_ns;
	length = span_draw(&e->plan->think, &c->random);
	if (c->next == 0)
		length = (int64_t)((double)length * random_unit(&c->random));
	return length;
}

static bool conn_rests(struct engine *e, struct conn *c, int64_t now)
{
	if (c->pace != PACE_RESTING) {
		c->rest_from = now;
		c->rest_until = now + rest_length(e, c);
		c->pace = PACE_RESTING;
		if (c->rest_until > now)
			schedule_update(e, c);
	}
	if (now < c->rest_until)
		return true;
	c->rested_ns += engine_measured_since(e, c->rest_from, c->rest_until);
	c->rest_from = c->rest_until;
	return false;
}

/* The warm-up uses no budget. */
static uint64_t messages_now(struct engine *e, struct conn *c, int64_t now)
{
	uint64_t count = (uint32_t)e->plan->depth - c->open;

	if (!engine_is_running(e, now))
		return 0;
	if (e->is_paced && conn_rests(e, c, now))
		return 0;
	if (now < e->measure_at)
		return count;
	return schedule_take(e, count);
}

static uint64_t next_planned(struct engine *e, struct conn *c, int64_t now,
			     int64_t *ret)
{
	if (e->plan->mode == PLAN_CHURN) {
		*ret = conn_message(e, c, c->next)->planned;
		if (!c->is_planned)
			return 0;
		c->is_planned = false;
		e->under_way--;
		return 1;
	}
	if (engine_is_open_loop(e)) {
		*ret = c->due_at;
		if (c->due_at > now || !engine_may_send(e, c, now))
			return 0;
		schedule_next(e, c);
		return 1;
	}
	*ret = now;
	return e->is_ending ? 0 : messages_now(e, c, now);
}

static void attribute_lateness(struct engine *e, struct conn *c,
			       struct message *m)
{
	struct interval *i = e->now;
	int64_t server = c->room_at - m->planned;
	int64_t lag = m->sent - (server > 0 ? c->room_at : m->planned);

	histogram_record(i->clocks[CLOCK_LAG], lag);
	if (lag > LATE_NS)
		i->late_ours++;
	if (lag > i->late_ours_max)
		i->late_ours_max = lag;
	if (server > LATE_NS)
		i->late_server++;
	if (server > i->late_server_max)
		i->late_server_max = server;
	m->lag_us =
		lag / 1000 < UINT32_MAX ? (uint32_t)(lag / 1000) : UINT32_MAX;
}

/* In an open loop count is 1. */
static void put_on_ring(struct engine *e, struct conn *c, uint64_t count,
			int64_t planned, int64_t now)
{
	const uint64_t last = e->window - 1;
	const struct message message = { .planned = planned, .sent = now };
	const uint64_t first = c->next;
	struct message *const ring = c->ring;

	if (c->next + count - c->head > e->window)
		replies_make_room(e, c, count);
	c->next += count;
	c->pace = PACE_SENT;
	for (uint64_t n = 0; n < count; n++)
		ring[(size_t)((first + n) & last)] = message;
	if (!c->is_waiting)
		c->last_at = now;
	c->is_waiting = true;
	c->open += (uint32_t)count;
	e->under_way += count;
	if (planned < e->measure_at)
		return;
	c->was_asked = true;
	e->sums.last_sent_at = now;
	e->now->counts.planned += count;
	e->now->counts.sent += count;
	if (engine_is_open_loop(e) && e->plan->mode != PLAN_CHURN)
		attribute_lateness(e, c, &ring[first & last]);
}

static size_t conn_fill_run(const struct payload *p, struct message_id *id,
			    uint64_t end, char *to, size_t room)
{
	size_t count = payload_run(p, *id, end - id->seq);
	size_t size = payload_size(p, *id);

	if (count * size > room)
		return 0;
	payload_fill_plain(p, *id, count, to, size);
	id->seq += count;
	return count * size;
}

/* *is_all: the last message is complete in the buffer. */
static size_t conn_fill(struct engine *e, const struct conn *c, bool *is_all)
{
	const struct payload *p = e->payload;
	struct message_id id = { c->id, c->out_seq };
	size_t from = c->out_from, used = 0;

	while (id.seq < c->next && used < ENGINE_BUFFER) {
		size_t room = ENGINE_BUFFER - used, len = 0;

		if (from == 0 && p->is_plain)
			len = conn_fill_run(p, &id, c->next, e->out + used,
					    room);
		if (len == 0) {
			len = payload_size(p, id) - from;
			if (len > room)
				len = room;
			payload_fill(p, id, conn_message(e, c, id.seq)->sent,
				     from, e->out + used, len);
			from += len;
			if (from == payload_size(p, id))
				id.seq++, from = 0;
		}
		used += len;
	}
	*is_all = id.seq == c->next;
	return used;
}

static void conn_advance(struct engine *e, struct conn *c, size_t written)
{
	for (;;) {
		struct message_id id = { c->id, c->out_seq };
		size_t left;

		if (id.seq == c->next)
			return;
		left = payload_size(e->payload, id) - c->out_from;
		if (written < left)
			break;
		written -= left;
		c->out_seq++;
		c->out_from = 0;
	}
	c->out_from += written;
}

/* Those sent together count as the first of them. */
static void count_out(struct engine *e, const struct conn *c, uint64_t n)
{
	e->now->counts.bytes_out += n;
	if (conn_message(e, c, c->out_seq)->sent >= e->end_at)
		e->now->counts.drained_out += n;
}

static void count_in(struct engine *e, const struct conn *c, uint64_t n,
		     int64_t now)
{
	bool is_drained = c->open > 0 ? replies_oldest(e, c) >= e->end_at
				      : now >= e->end_at;

	e->now->counts.bytes_in += n;
	if (is_drained)
		e->now->counts.drained_in += n;
}

static void transmit(struct engine *e, struct conn *c, int64_t now)
{
	while (c->out_seq < c->next) {
		bool is_all;
		size_t len = conn_fill(e, c, &is_all);
		ssize_t n = conn_write(c, e->out, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			c->is_blocked = true;
			return;
		}
		if (n < 0) {
			conn_fail(e, c, ERROR_SEND, errno, now);
			return;
		}
		if (now >= e->measure_at)
			count_out(e, c, (uint64_t)n);
		if (is_all && (size_t)n == len)
			c->out_seq = c->next, c->out_from = 0;
		else
			conn_advance(e, c, (size_t)n);
	}
}

/*
 * At the end of the run a connection that is too old still sends what was
 * planned before, unless a pass through the loop has to close it.
 */
static bool has_to_retire(const struct engine *e, const struct conn *c,
			  int64_t now)
{
	return now >= c->retire_at && (!e->is_ending || c->retire_at == 0);
}

static void retire(struct engine *e, struct conn *c, int64_t now)
{
	bool has_more =
		engine_is_open_loop(e)
			? engine_has_backlog(e, c)
			: engine_is_running(e, now) && !e->is_ending &&
				  (now < e->measure_at || engine_has_budget(e));

	if (c->open == 0 && has_more)
		conn_leave(e, c, now);
}

/* Was that the last message of a pass that ends the connection? */
static void note_close(const struct engine *e, struct conn *c)
{
	if (c->next % e->loop.count == 0)
		c->retire_at = 0;
}

void conn_send(struct engine *e, struct conn *c, int64_t now)
{
	uint64_t first = c->next, count;
	int64_t planned;

	if (e->plan->mode == PLAN_UPLOAD || e->plan->mode == PLAN_DOWNLOAD) {
		oneway_send(e, c, now);
		return;
	}
	c->is_retiring = has_to_retire(e, c, now);
	if (c->is_retiring) {
		retire(e, c, now);
		return;
	}
	while (conn_has_room(e, c) &&
	       (count = next_planned(e, c, now, &planned)) > 0)
		put_on_ring(e, c, count, planned, now);
	if (c->next == first)
		return;
	if (e->has_close)
		note_close(e, c);
	transmit(e, c, now);
}

void conn_writable(struct engine *e, struct conn *c, int64_t now)
{
	if (c->is_blocked) {
		c->is_blocked = false;
		transmit(e, c, now);
		if (c->is_blocked || c->state != CONN_OPEN)
			return;
		c->room_at = now;
	}
	if (c->state == CONN_OPEN)
		conn_send(e, c, now);
}

static void conn_count_downtime(const struct engine *e, struct conn *c,
				int64_t now)
{
	if (c->down_at != 0)
		c->down_ns += engine_measured_since(e, c->down_at, now);
	c->down_at = 0;
}

static int64_t life_end(const struct engine *e, struct conn *c, int64_t now)
{
	int64_t life;

	if (e->plan->lifetime.high == 0 || c->is_silent)
		return NEVER;
	life = span_draw(&e->plan->lifetime, &c->random);
	if (c->next == 0)
		life = (int64_t)((double)life * random_unit(&c->random));
	return now + life;
}

static void conn_ready(struct engine *e, struct conn *c, int64_t now)
{
	conn_count_downtime(e, c, now);
	if (c->is_replaced)
		c->rested_ns += engine_measured_since(e, c->rest_from, now);
	c->is_replaced = false;
	c->retire_at = life_end(e, c, now);
	c->is_retiring = false;
	c->pace = PACE_FRESH;
	replies_forget(c);
	set_state(e, c, CONN_OPEN);
	if (e->plan->mode != PLAN_CHURN)
		c->room_at = now;
	if (!c->is_silent)
		conn_writable(e, c, now);
}

static const struct engine_steps *steps_of(const struct engine *e,
					   const struct conn *c)
{
	return c->state == CONN_LEAVING ? &e->leaving : &e->opening;
}

/* Its input is counted, too. */
static void count_step(struct engine *e, const struct conn *c, uint64_t n,
		       int64_t now)
{
	if (now < e->measure_at || c->state == CONN_LEAVING)
		return;
	e->now->counts.bytes_out += n;
	if (now >= e->end_at)
		e->now->counts.drained_out += n;
}

/* The socket has room for the text of a step. */
static bool send_step(struct engine *e, struct conn *c,
		      const struct template *text, int64_t now)
{
	const struct message_id id = { c->id, 0 };
	size_t size = template_size(text, id), sent = 0;
	ssize_t n = 0;

	errno = ENOBUFS;
	if (size <= ENGINE_BUFFER) {
		template_fill(text, id, now, 0, e->out, size);
		n = conn_write(c, e->out, size);
	}
	/* TLS takes a record at a time. */
	while (n > 0 && (sent += (size_t)n) < size && c->tls)
		n = conn_write(c, e->out + sent, size - sent);
	if (n >= 0 && sent < size)
		errno = ENOBUFS;
	if (sent == size) {
		count_step(e, c, size, now);
		return true;
	}
	conn_fail(e, c, phase_of(c) == ERROR_END ? ERROR_END : ERROR_SEND,
		  errno, now);
	return false;
}

/* Returns whether a pause follows. */
static bool end_step(struct engine *e, struct conn *c, int64_t now)
{
	const struct engine_step *s = &steps_of(e, c)->list[c->step++];

	c->is_waiting = false;
	if (s->is_timed)
		histogram_record(e->now->clocks[CLOCK_ONCE], now - c->begun_at);
	if (s->step->pause_ns == 0)
		return false;
	c->is_paused = true;
	c->rest_until = now + s->step->pause_ns;
	schedule_update(e, c);
	return true;
}

/* The loop begins with its first message. */
static void begin_loop(struct engine *e, struct conn *c, int64_t now)
{
	uint64_t off = c->next % e->loop.count;

	if (off > 0)
		c->next += e->loop.count - off;
	c->head = c->highest = c->out_seq = c->next;
	conn_ready(e, c, now);
}

static void do_steps(struct engine *e, struct conn *c, int64_t now)
{
	const struct engine_steps *steps = steps_of(e, c);

	while (c->step < steps->count) {
		const struct script_step *step = steps->list[c->step].step;

		c->begun_at = now;
		if (step->has_text && !send_step(e, c, &step->text, now))
			return;
		c->is_waiting = c->state == CONN_OPENING;
		if (step->has_reply || end_step(e, c, now))
			return;
	}
	if (c->state == CONN_LEAVING)
		conn_left(e, c, now);
	else
		begin_loop(e, c, now);
}

static void keep_early(struct engine *e, struct conn *c, const char *data,
		       size_t len, int64_t now)
{
	c->early = malloc(len);
	if (!c->early) {
		conn_fail(e, c, phase_of(c), ENOMEM, now);
		return;
	}
	memcpy(c->early, data, len);
	c->early_len = len;
}

/* Returns how many bytes are left for the loop. */
static size_t take_steps(struct engine *e, struct conn *c, const char *data,
			 size_t len, int64_t now)
{
	const enum conn_state state = c->state;
	size_t used;

	while (len > 0 && c->state == state) {
		enum framer_result result;

		/* They could as well have come later. */
		if (c->is_paused) {
			keep_early(e, c, data, len, now);
			return 0;
		}
		result = replies_take_step(c,
					   &steps_of(e, c)->list[c->step].rule,
					   data, len, &used);
		if (result == FRAMER_WRONG) {
			conn_fail(e, c, phase_of(c), EBADMSG, now);
			return 0;
		}
		if (result == FRAMER_MORE)
			return 0;
		data += used;
		len -= used;
		if (!end_step(e, c, now))
			do_steps(e, c, now);
	}
	return state == CONN_OPENING && c->state == CONN_OPEN ? len : 0;
}

void conn_leave(struct engine *e, struct conn *c, int64_t now)
{
	if (c->pace == PACE_RESTING)
		c->rested_ns += engine_measured_since(e, c->rest_from, now);
	c->rest_from = now;
	c->step = 0;
	set_state(e, c, CONN_LEAVING);
	do_steps(e, c, now);
}

static void conn_opened(struct engine *e, struct conn *c, int64_t now)
{
	e->now->reopened += c->was_opened && e->plan->mode != PLAN_CHURN;
	if (!c->was_opened)
		e->connected_at = now;
	c->was_opened = true;
	c->is_waiting = false;
	c->begun_at = c->last_at = now;
	c->pause = 0;
	atomic_fetch_add_explicit(&e->opened, 1, memory_order_relaxed);
	set_state(e, c, CONN_OPENING);
	if (c->is_silent)
		conn_ready(e, c, now);
	else
		do_steps(e, c, now);
}

/* A new user has no session: the first handshake of a connection is full. */
static void begin_handshake(struct engine *e, struct conn *c, int64_t now)
{
	const struct target *t = e->control->target;

	c->begun_at = c->last_at = now;
	c->handshake_lag = 0;
	set_state(e, c, CONN_HANDSHAKE);
	c->tls = secure_open(t->secure, c->fd,
			     &e->sessions[target_place(t, c->id)],
			     c->was_opened);
	if (c->tls)
		conn_handshake(e, c);
	else
		conn_fail(e, c, ERROR_HANDSHAKE, ENOMEM, now);
}

/*
 * What was there when the wait ended may have come at any time since the
 * previous wait, but not before this client did its part of the handshake.
 */
static void note_handshake_lag(const struct engine *e, struct conn *c,
			       int64_t now)
{
	int64_t lag = now - e->woke_at + e->wake_delay;

	if (lag > now - c->last_at)
		lag = now - c->last_at;
	c->handshake_lag += lag;
}

/* What follows the handshake may have been read with it. */
void conn_handshake(struct engine *e, struct conn *c)
{
	struct interval *i = e->now;
	int64_t now = now_ns();
	int rc, error;

	note_handshake_lag(e, c, now);
	rc = secure_handshake(c->tls);
	error = errno;
	now = c->last_at = now_ns();
	if (rc == 0)
		return;
	if (rc < 0) {
		conn_fail(e, c, ERROR_HANDSHAKE, error, now);
		return;
	}
	if (conn_is_measured(e, c)) {
		histogram_record(i->clocks[CLOCK_HANDSHAKE], now - c->begun_at);
		i->handshake_lag += c->handshake_lag;
		if (secure_is_resumed(c->tls))
			i->counts.resumed++;
		else
			i->counts.full++;
	}
	if (e->plan->mode == PLAN_CHURN)
		c->late_ns += c->handshake_lag;
	conn_opened(e, c, now);
	if (is_connected(c) && !c->is_paused)
		conn_receive(e, c, false);
}

void conn_connected(struct engine *e, struct conn *c, int error, int64_t now,
		    int64_t took)
{
	if (error != 0) {
		conn_fail(e, c, ERROR_CONNECT, error, now);
		return;
	}
	now = now_ns();
	if (took == 0)
		took = now - c->begun_at;
	if (conn_is_measured(e, c))
		histogram_record(e->now->clocks[CLOCK_CONNECT], took);
	if (e->plan->mode == PLAN_CHURN)
		c->late_ns = now - c->room_at - took;
	if (e->control->target->secure)
		begin_handshake(e, c, now);
	else
		conn_opened(e, c, now);
}

static bool may_begin_exchange(struct engine *e, const struct conn *c,
			       int64_t now)
{
	if (engine_is_open_loop(e))
		return engine_may_send(e, c, now);
	return engine_is_running(e, now) && !e->is_ending &&
	       (now < e->measure_at || schedule_take(e, 1) > 0);
}

/* Returns false if the run has no more. */
static bool plan_exchange(struct engine *e, struct conn *c, int64_t now)
{
	int64_t planned = now;

	if (!may_begin_exchange(e, c, now))
		return false;
	if (engine_is_open_loop(e)) {
		planned = c->due_at;
		schedule_next(e, c);
	}
	conn_message(e, c, c->next)->planned = planned;
	/* Until then the exchange before it was under way. */
	if (c->room_at < planned)
		c->room_at = planned;
	c->is_planned = true;
	e->under_way++;
	return true;
}

/*
 * TCP would retry when the backlog is full; do so for a Unix socket.  Returns
 * false when the time to connect has passed.
 */
static bool wait_for_backlog(struct engine *e, struct conn *c, int64_t now)
{
	if (c->retry_from == 0) {
		c->retry_from = now;
		e->backlog_waiting++;
	}
	c->begun_at = c->retry_from;
	if (now - c->retry_from >= e->plan->connect_timeout_ns)
		return false;
	c->retry_at = now + TRY_AGAIN;
	schedule_update(e, c);
	return true;
}

void conn_open(struct engine *e, struct conn *c, int64_t now)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP |
					       EPOLLET,
				     .data.ptr = c };
	enum error_phase phase;
	int error;

	if (e->plan->mode == PLAN_CHURN && !c->is_silent && !c->is_planned &&
	    !plan_exchange(e, c, now))
		return;
	if (c->retry_from == 0)
		c->begun_at = now;
	c->fd = target_connect(e->control->target, c->id, &phase, &error);
	if (c->fd < 0 && error == EAGAIN && wait_for_backlog(e, c, now))
		return;
	e->backlog_waiting -= c->retry_from != 0;
	c->retry_from = 0;
	set_state(e, c, CONN_CONNECTING);
	if (c->fd < 0)
		conn_fail(e, c, phase, error, now);
	else if (epoll_ctl(e->epoll, EPOLL_CTL_ADD, c->fd, &event) < 0)
		conn_fail(e, c, ERROR_SOCKET, errno, now);
	else if (error == 0)
		conn_connected(e, c, 0, now, 0);
}

static void conn_done(struct engine *e, struct conn *c, int64_t now)
{
	replies_abandon(e, c, &e->now->counts.open, now);
	c->is_waiting = false;
	close_conn(e, c, CONN_IDLE);
	if (!engine_is_open_loop(e))
		conn_open(e, c, now);
}

/* After a reply.  Returns false if the connection is gone. */
static bool conn_go_on(struct engine *e, struct conn *c, int64_t now)
{
	if (c->is_done) {
		if (e->plan->mode == PLAN_CHURN)
			conn_done(e, c, now);
		else
			conn_fail(e, c, ERROR_REPLY, EBADMSG, now);
		return false;
	}
	if (c->state == CONN_OPEN) {
		c->is_waiting = c->open > 0;
		conn_send(e, c, now);
	}
	return is_connected(c);
}

static bool is_one_way(const struct engine *e, const struct conn *c)
{
	return !c->is_silent &&
	       (e->plan->mode == PLAN_UPLOAD || e->plan->mode == PLAN_DOWNLOAD);
}

/* What follows the banner is counted.  Returns whether it is still expected. */
static bool oneway_greeted(struct engine *e, struct conn *c, size_t len,
			   int64_t now)
{
	size_t left = take_steps(e, c, e->in, len, now);

	if (left > 0)
		oneway_count(e, c, &e->now->counts.bytes_in, (ssize_t)left);
	return c->state == CONN_OPENING;
}

/* Of e->in.  Returns false if the connection is gone. */
static bool take_data(struct engine *e, struct conn *c, size_t len, int64_t now)
{
	const char *data = e->in;
	size_t left = len;

	if (c->state != CONN_OPEN) {
		left = take_steps(e, c, data, len, now);
		data += len - left;
	}
	if (left > 0 && c->state == CONN_OPEN)
		replies_take(e, c, data, left, now);
	return conn_go_on(e, c, now);
}

/* Returns false if the connection is gone, or read in another way now. */
static bool take_input(struct engine *e, struct conn *c, size_t len,
		       int64_t now)
{
	c->last_at = now;
	c->has_input = true;
	if (is_one_way(e, c))
		return oneway_greeted(e, c, len, now);
	if (now >= e->measure_at && c->state != CONN_LEAVING)
		count_in(e, c, len, now);
	return c->is_silent || take_data(e, c, len, now);
}

static bool take_early(struct engine *e, struct conn *c, int64_t now)
{
	memcpy(e->in, c->early, c->early_len);
	free(c->early);
	c->early = NULL;
	return take_data(e, c, c->early_len, now);
}

/* What came in the pause is read now, if no other pause follows at once. */
void conn_resume(struct engine *e, struct conn *c, int64_t now)
{
	c->is_paused = false;
	do_steps(e, c, now);
	if (c->early && !c->is_paused && !take_early(e, c, now))
		return;
	if (is_connected(c) && !c->is_paused)
		conn_receive(e, c, true);
}

static bool may_end_reply(const struct engine *e, const struct conn *c)
{
	return e->plan->expect == EXPECT_FRAMED && c->state == CONN_OPEN &&
	       c->open > 0 &&
	       framer_ends_with_input(&reply_rule(e, c->head)->expected->framer,
				      &c->framing);
}

void conn_quiet(struct engine *e, struct conn *c)
{
	c->quiet_at = 0;
	replies_end(e, c);
	conn_go_on(e, c, now_ns());
}

static void input_drained(struct engine *e, struct conn *c)
{
	if (e->plan->expect != EXPECT_FRAMED || e->plan->script ||
	    e->plan->expected.framer.kind != FRAMER_ANY || !may_end_reply(e, c))
		return;
	if (e->plan->expect_quiet_ns == 0) {
		conn_quiet(e, c);
	} else {
		c->quiet_at = c->last_at + e->plan->expect_quiet_ns;
		schedule_update(e, c);
	}
}

/*
 * An error may have cut the reply; of "any" without a time, what came before it
 * is one.
 */
static bool is_reply_whole(const struct engine *e, const struct conn *c,
			   int error)
{
	const struct expectation *x = reply_rule(e, c->head)->expected;

	return error == 0 ||
	       (x->framer.kind == FRAMER_ANY && e->plan->expect_quiet_ns == 0);
}

static void input_ended(struct engine *e, struct conn *c, int error,
			int64_t now)
{
	/* In churn, the reply ends the connection. */
	if (may_end_reply(e, c) && is_reply_whole(e, c, error)) {
		replies_end(e, c);
		if (c->is_done) {
			conn_done(e, c, now);
			return;
		}
	}
	conn_fail(e, c, phase_of(c), error, now);
}

void conn_receive(struct engine *e, struct conn *c, bool has_ended)
{
	ssize_t n;

	if (is_one_way(e, c) && c->state == CONN_OPEN) {
		oneway_receive(e, c);
		return;
	}
	do {
		n = conn_read(e, c);
		if (n > 0 && !take_input(e, c, (size_t)n, now_ns()))
			return;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n == 0 || (n < 0 && errno != EINTR)) {
			input_ended(e, c, n == 0 ? 0 : errno, now_ns());
			return;
		}
	} while (n < 0 || n == ENGINE_BUFFER || has_ended || c->tls);
	input_drained(e, c);
}

static void conn_give_up(struct engine *e, struct conn *c, int64_t now)
{
	if (replies_give_up(e, c, now))
		conn_send(e, c, now);
	else
		conn_fail(e, c, ERROR_REPLY, ETIMEDOUT, now);
}

void conn_retry(struct engine *e, struct conn *c, int64_t now)
{
	if (c->pause_at != 0 && c->down_at != 0)
		c->paused_ns += engine_measured_since(e, c->pause_at, now);
	c->retry_at = c->pause_at = 0;
	conn_open(e, c, now);
}

void conn_check_time(struct engine *e, struct conn *c, int64_t now)
{
	switch (c->state) {
	case CONN_CONNECTING:
		if (now - c->begun_at > e->plan->connect_timeout_ns)
			conn_fail(e, c, ERROR_CONNECT, ETIMEDOUT, now);
		break;
	case CONN_HANDSHAKE:
		if (now - c->begun_at > e->plan->connect_timeout_ns)
			conn_fail(e, c, ERROR_HANDSHAKE, ETIMEDOUT, now);
		break;
	case CONN_OPENING:
	case CONN_LEAVING:
		if (!c->is_paused && now - c->begun_at > e->plan->timeout_ns)
			conn_fail(e, c, phase_of(c), ETIMEDOUT, now);
		break;
	case CONN_OPEN:
		while (c->open > 0 &&
		       now - replies_oldest(e, c) > e->plan->timeout_ns)
			conn_give_up(e, c, now);
		if (c->state == CONN_OPEN && has_to_retire(e, c, now))
			retire(e, c, now);
		break;
	default:
		break;
	}
}
