/* SPDX-License-Identifier: MIT */
/*
 * The life of a connection of the load: it is made, reads the banner, sends
 * messages, reads replies, is lost and made again.
 *
 * A message is put on the ring first and written from there.  Nothing that
 * the socket did not take is kept: it is made again when the socket takes
 * more.
 */
#include "engine.h"

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* ----------------------------------------------------------------- opening */

#define PAUSE_MIN (INT64_C(10) * 1000 * 1000)
#define PAUSE_MAX (INT64_C(1000) * 1000 * 1000)
#define TRY_AGAIN (INT64_C(1) * 1000 * 1000)

static void set_state(struct engine *e, struct link *l, enum link_state state)
{
	e->in_state[l->state]--;
	e->in_state[state]++;
	if (state == LINK_OVER && !l->is_silent)
		e->alive--;
	l->state = state;
}

/* For now or for good. */
static void close_link(struct engine *e, struct link *l, bool is_over)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (l->state == LINK_BANNER || l->state == LINK_OPEN)
		atomic_fetch_sub_explicit(&e->opened, 1, memory_order_relaxed);
	if (l->fd >= 0) {
		if (e->plan->close_by_reset)
			(void)setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &reset,
					 sizeof(reset));
		close(l->fd);
	}
	l->fd = -1;
	l->is_blocked = l->is_level = l->is_done = false;
	l->frame = (struct frame){ .used = 0 };
	l->owed = l->owed_before = 0;
	l->head = l->highest = l->out_seq = l->next;
	l->out_from = 0;
	set_state(e, l, is_over ? LINK_OVER : LINK_IDLE);
}

/* In churn a message is planned before its connection is begun. */
static void plan_exchange(struct engine *e, struct link *l, int64_t now)
{
	int64_t planned = now;

	if (engine_is_open_loop(e)) {
		planned = l->due_at;
		schedule_next(e, l);
	} else if (now >= e->measure_at) {
		e->budget--;
	}
	link_message(e, l, l->next)->planned = planned;
	l->room_at = planned;
	l->is_planned = true;
	e->under_way++;
}

void link_drop_exchange(struct engine *e, struct link *l, int64_t now)
{
	int64_t planned = link_message(e, l, l->next)->planned;
	struct interval *i = e->now;

	if (!l->is_planned)
		return;
	l->is_planned = false;
	e->under_way--;
	if (planned < e->measure_at)
		return;
	i->books.planned++;
	i->books.never_sent++;
	interval_censor(i, now - planned, 1);
	histogram_record(i->clocks[CLOCK_FROM_PLAN], now - planned);
}

static bool may_begin_exchange(const struct engine *e, int64_t now)
{
	if (engine_is_open_loop(e))
		return !e->is_ending;
	return engine_is_running(e, now) && !e->is_ending &&
	       (now < e->measure_at || e->budget > 0);
}

/* The backlog of a Unix socket is full: TCP would wait, and so do we. */
static bool is_patient(struct engine *e, struct link *l, int64_t now)
{
	if (l->retry_from == 0) {
		l->retry_from = now;
		e->patient++;
	}
	l->begun_at = l->retry_from;
	l->retry_at = now + TRY_AGAIN;
	return now - l->retry_from < e->plan->connect_timeout_ns;
}

void link_open(struct engine *e, struct link *l, int64_t now)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP |
					       EPOLLET,
				     .data.ptr = l };
	enum error_phase phase;
	int error;

	if (e->plan->mode == PLAN_CHURN && !l->is_silent && !l->is_planned) {
		if (!may_begin_exchange(e, now))
			return;
		plan_exchange(e, l, now);
	}
	if (l->retry_from == 0)
		l->begun_at = now;
	l->fd = target_connect(e->control->target, l->id, &phase, &error);
	if (l->fd < 0 && error == EAGAIN && is_patient(e, l, now))
		return;
	e->patient -= l->retry_from != 0;
	l->retry_from = 0;
	set_state(e, l, LINK_CONNECTING);
	if (l->fd < 0)
		link_fail(e, l, phase, error, now);
	else if (epoll_ctl(e->epoll, EPOLL_CTL_ADD, l->fd, &event) < 0)
		link_fail(e, l, ERROR_SOCKET, errno, now);
	else if (error == 0)
		link_connected(e, l, 0, now);
}

/* Churn before the measured part is not reported. */
static bool is_measured(const struct engine *e, const struct link *l)
{
	return l->is_silent || e->plan->mode != PLAN_CHURN ||
	       l->ring->planned >= e->measure_at;
}

void link_connected(struct engine *e, struct link *l, int error, int64_t now)
{
	if (error != 0) {
		link_fail(e, l, ERROR_CONNECT, error, now);
		return;
	}
	now = now_ns();
	if (is_measured(e, l))
		histogram_record(e->now->clocks[CLOCK_CONNECT],
				 now - l->begun_at);
	e->reopened += l->was_opened && e->plan->mode != PLAN_CHURN;
	l->was_opened = true;
	l->begun_at = l->last_at = e->connected_at = now;
	l->pause = 0;
	atomic_fetch_add_explicit(&e->opened, 1, memory_order_relaxed);
	set_state(e, l, LINK_BANNER);
	if (e->plan->banner == BANNER_NONE || l->is_silent)
		link_ready(e, l, now);
	else
		l->was_asked = true;
}

void link_ready(struct engine *e, struct link *l, int64_t now)
{
	l->frame = (struct frame){ .used = 0 };
	set_state(e, l, LINK_OPEN);
	if (e->plan->mode != PLAN_CHURN)
		l->room_at = now;
	if (!l->is_silent)
		link_writable(e, l, now);
}

/* When it may be made again: churn goes on whatever happened. */
static void pause_before_next(struct engine *e, struct link *l,
			      enum error_phase phase, int64_t now)
{
	if (l->is_silent ||
	    !(e->plan->reconnect || e->plan->mode == PLAN_CHURN))
		return;
	if (e->plan->mode == PLAN_CHURN && engine_is_open_loop(e))
		return;
	if (phase == ERROR_REPLY || phase == ERROR_BETWEEN)
		l->pause = 0;
	l->retry_at = now + l->pause;
	l->pause = l->pause ? 2 * l->pause : PAUSE_MIN;
	if (l->pause > PAUSE_MAX)
		l->pause = PAUSE_MAX;
	if (e->plan->mode == PLAN_CHURN && l->pause > PAUSE_MIN)
		l->pause = PAUSE_MIN;
}

void link_fail(struct engine *e, struct link *l, enum error_phase phase,
	       int error, int64_t now)
{
	struct books *b = &e->now->books;
	bool is_again = (e->plan->reconnect || e->plan->mode == PLAN_CHURN) &&
			!l->is_silent;

	if (is_measured(e, l))
		engine_note_error(e, phase, error, now);
	if (l->state == LINK_OPEN && phase != ERROR_SEND)
		e->ended += error == 0 || error == ECONNRESET;
	link_drop_exchange(e, l, now);
	replies_abandon(e, l,
			error == 0 || error == ETIMEDOUT ? &b->closed_early
							 : &b->reset,
			now);
	pause_before_next(e, l, phase, now);
	close_link(e, l, !is_again);
}

void link_done(struct engine *e, struct link *l, int64_t now)
{
	replies_abandon(e, l, &e->now->books.open, now);
	close_link(e, l, false);
	if (!engine_is_open_loop(e))
		link_open(e, l, now);
}

void link_check_time(struct engine *e, struct link *l, int64_t now)
{
	switch (l->state) {
	case LINK_IDLE:
		if (l->retry_at > 0 && l->retry_at <= now &&
		    (!e->is_ending || l->is_planned)) {
			l->retry_at = 0;
			link_open(e, l, now);
		}
		break;
	case LINK_CONNECTING:
		if (now - l->begun_at > e->plan->connect_timeout_ns)
			link_fail(e, l, ERROR_CONNECT, ETIMEDOUT, now);
		break;
	case LINK_BANNER:
		if (now - l->begun_at > e->plan->timeout_ns)
			link_fail(e, l, ERROR_BANNER, ETIMEDOUT, now);
		break;
	case LINK_OPEN:
		while (l->open > 0 && now - link_message(e, l, l->head)->sent >
					      e->plan->timeout_ns)
			replies_give_up(e, l, now);
		break;
	default:
		break;
	}
}

/* ----------------------------------------------------------------- sending */

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
static size_t conn_fill_run(const struct payload *p, struct payload_name *name,
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
static size_t conn_fill(struct engine *e, const struct link *l, bool *is_all)
{
	const struct payload *p = e->payload;
	struct payload_name name = { l->id, l->out_seq };
	size_t from = l->out_from, used = 0;

	while (name.seq < l->next && used < ENGINE_BUFFER) {
		size_t room = ENGINE_BUFFER - used, len = 0;

		if (from == 0 && p->is_plain)
			len = conn_fill_run(p, &name, l->next, e->out + used,
					    room);
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

static void conn_advance(struct engine *e, struct link *l, size_t written)
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
		size_t len = conn_fill(e, l, &is_all);
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
			conn_advance(e, l, (size_t)n);
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

/* --------------------------------------------------------------- receiving */

/* Is the banner whole?  *used of the bytes belong to it. */
static bool take_banner(const struct engine *e, struct link *l,
			const char *data, size_t len, size_t *used)
{
	const char *text = e->plan->banner_text;
	const char *newline;
	size_t left;

	*used = len;
	switch (e->plan->banner) {
	case BANNER_LINE:
		newline = memchr(data, '\n', len);
		if (newline)
			*used = (size_t)(newline - data) + 1;
		return newline;
	case BANNER_TEXT:
		left = strlen(text) - l->frame.used;
		if (len > left)
			*used = len = left;
		if (memcmp(data, text + l->frame.used, len) != 0)
			l->frame.is_bad = true;
		l->frame.used += len;
		return l->frame.is_bad || len == left;
	default:
		return true;
	}
}

/* Returns how many bytes are left for the replies. */
static size_t take_greeting(struct engine *e, struct link *l, const char *data,
			    size_t len, int64_t now)
{
	size_t used;

	if (!take_banner(e, l, data, len, &used))
		return 0;
	if (l->frame.is_bad) {
		link_fail(e, l, ERROR_BANNER, EBADMSG, now);
		return 0;
	}
	link_ready(e, l, now);
	return len - used;
}

/* Returns whether the connection is still the same. */
static bool take_input(struct engine *e, struct link *l, size_t len,
		       int64_t now)
{
	const char *data = e->in;
	size_t left = len;

	l->last_at = now;
	if (now >= e->measure_at)
		e->now->books.bytes_in += len;
	if (l->is_silent)
		return true;
	if (l->state == LINK_BANNER) {
		left = take_greeting(e, l, data, len, now);
		data += len - left;
	}
	if (left > 0 && l->state == LINK_OPEN)
		replies_take(e, l, data, left, now);
	if (l->is_done) {
		link_done(e, l, now);
		return false;
	}
	if (l->state == LINK_OPEN)
		link_send(e, l, now);
	return l->fd >= 0;
}

static void input_ended(struct engine *e, struct link *l, int error,
			int64_t now)
{
	enum error_phase phase = l->state == LINK_BANNER ? ERROR_BANNER
				 : l->open > 0		 ? ERROR_REPLY
							 : ERROR_BETWEEN;

	link_fail(e, l, phase, error, now);
}

void link_receive(struct engine *e, struct link *l, bool has_ended)
{
	ssize_t n;

	if (!l->is_silent &&
	    (e->plan->mode == PLAN_UPLOAD || e->plan->mode == PLAN_DOWNLOAD)) {
		oneway_receive(e, l);
		return;
	}
	do {
		n = recv(l->fd, e->in, ENGINE_BUFFER, MSG_DONTWAIT);
		if (n > 0 && !take_input(e, l, (size_t)n, now_ns()))
			return;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n == 0 || (n < 0 && errno != EINTR)) {
			input_ended(e, l, n == 0 ? 0 : errno, now_ns());
			return;
		}
	} while (n < 0 || n == ENGINE_BUFFER || has_ended);
}

/* ----------------------------------------------------------------- one way */

/* So many buffers in a row, then it is the next link's turn. */
#define ONEWAY_BUFFERS 16

static void oneway_count(const struct engine *e, struct link *l,
			 uint64_t *bytes, ssize_t n)
{
	int64_t now = now_ns();

	l->last_at = now;
	if (now < e->measure_at || now >= e->end_at)
		return;
	l->replies++;
	*bytes += (uint64_t)n;
}

/*
 * Level-triggered from the start of the run on: a link gives way to the others
 * though there is more to do.
 */
static bool oneway_begin(struct engine *e, struct link *l, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = l };

	if (l->is_level)
		return true;
	l->is_level = true;
	l->was_asked = true;
	return epoll_ctl(e->epoll, EPOLL_CTL_MOD, l->fd, &event) == 0;
}

static void oneway_send_some(struct engine *e, struct link *l)
{
	for (int i = 0; i < ONEWAY_BUFFERS; i++) {
		/* The noise of the payload serves as well as anything. */
		ssize_t n = send(l->fd, e->payload->noise, ENGINE_BUFFER,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && errno != EINTR) {
			link_fail(e, l, ERROR_SEND, errno, now_ns());
			return;
		}
		if (n > 0)
			oneway_count(e, l, &e->now->books.bytes_out, n);
	}
}

void oneway_send(struct engine *e, struct link *l, int64_t now)
{
	if (!engine_is_running(e, now) || e->is_ending)
		return;
	if (e->plan->mode == PLAN_DOWNLOAD) {
		oneway_begin(e, l, EPOLLIN);
	} else if (oneway_begin(e, l, EPOLLIN | EPOLLOUT)) {
		oneway_send_some(e, l);
		l->is_blocked = l->fd >= 0;
	}
}

void oneway_receive(struct engine *e, struct link *l)
{
	if (!l->is_level)
		return;
	for (int i = 0; i < ONEWAY_BUFFERS; i++) {
		ssize_t n = recv(l->fd, e->in, ENGINE_BUFFER, MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n == 0 || (n < 0 && errno != EINTR)) {
			link_fail(e, l, ERROR_BETWEEN, n == 0 ? 0 : errno,
				  now_ns());
			return;
		}
		if (n > 0)
			oneway_count(e, l, &e->now->books.bytes_in, n);
	}
}

uint64_t oneway_unsent(const struct link *l)
{
	int left = 0;

	if (l->fd < 0 || ioctl(l->fd, SIOCOUTQ, &left) < 0)
		return 0;
	return (uint64_t)left;
}
