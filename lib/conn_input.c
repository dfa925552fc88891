/* SPDX-License-Identifier: MIT */
/*
 * Input.  weir_conn_read() receives into the caller's buffer; the calls for
 * whole messages use the connection's.
 *
 * "A short read empties the socket": after a recv() that returned less than it
 * could, a TCP socket is empty, so there is no other recv() until the poller
 * reports input.  Two things break this rule, and WR_EV_HUP reports both: the
 * end of input, which a short read hides, and urgent data, at which a read
 * stops.
 */
#include <errno.h>
#include <string.h>

#include "bounds.h"
#include "conn.h"
#include "sys.h"

/*
 * Reading the clock may cost more than a message, so it is read after 1, 3, 7,
 * 15 and then every 16 messages.  So a callback gets about twice WR_TURN_NS at
 * most.
 */
#define TIME_CHECK_GAP 16

/* Time stamps in the error queue raise POLLERR, too. */
static bool take_error(struct weir_conn *c)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (wr_sys_getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 &&
	    error != 0)
		c->in.is_lost = true;
	return c->in.is_lost;
}

/*
 * A reset means that the peer is gone, even with input left.  POLLHUP alone is
 * an ordinary end on a Unix socket, and on TCP after SHUT_WR.
 */
static bool is_gone(struct weir_conn *c, short found)
{
	if (!c->is_tcp)
		return false;
	if (found & POLLHUP && wr_conn_output_is_open(c))
		return true;
	return c->in.is_lost || (found & POLLERR && take_error(c));
}

int wr_conn_input_probe(struct weir_conn *c)
{
	struct pollfd pfd = { .fd = c->fd, .events = POLLIN };
	int rc = wr_sys_poll(&pfd, 1, 0);

	if (rc < 0)
		return wr_conn_peek(c);
	if (rc > 0 && is_gone(c, pfd.revents))
		return wr_conn_gone_error(c);
	return rc > 0 && pfd.revents != POLLERR;
}

int wr_conn_input_find(struct weir_conn *c)
{
	int rc = wr_conn_input_probe(c);

	if (rc > 0)
		wr_conn_input_came(c);
	if (rc >= 0 && c->layered)
		rc = wr_layer_look(c) != WR_LOOK_NOTHING;
	if (rc > 0)
		c->in.is_ready = true;
	return rc;
}

/*
 * "The kernel tells a reset once": after a look has taken the error, a socket
 * shows the input that came before it, and then an ordinary end.
 */
static inline ssize_t receive_raw(struct weir_conn *c, void *buf, size_t cap,
				  int flags)
{
	ssize_t n = wr_sys_recv(c->fd, buf, cap, flags);

	return n == 0 && c->in.is_lost ? -ECONNRESET : n;
}

static inline ssize_t input_receive(struct weir_conn *c, void *buf, size_t cap);

bool wr_conn_input_is_over(struct weir_conn *c)
{
	char byte;
	ssize_t n;

	if (wr_buffer_len(&c->in.buf) > 0)
		return false;
	if (c->in.end != WR_IN_OPEN)
		return true;
	if (c->layered)
		return wr_layer_look(c) == WR_LOOK_END &&
		       input_receive(c, &byte, 1) != -EAGAIN;
	n = receive_raw(c, &byte, 1, MSG_PEEK);
	if (n > 0 || n == -EAGAIN || atomic_load(&c->is_cut))
		return false;
	c->in.error = (int)n; /* the kernel tells it once */
	c->in.end = WR_IN_EOF;
	return true;
}

static void input_shrink(struct weir_conn *c)
{
	struct wr_buffer *spare = &c->ctx->spare_in, fit = { .mem = NULL };
	size_t len = wr_buffer_len(&c->in.buf);

	if (len > 0) {
		if (c->in.buf.cap - len < WR_CHUNK_ROOM / 2 ||
		    wr_buffer_append(&fit, wr_buffer_data(&c->in.buf), len,
				     len) < 0)
			return; /* small enough, or no memory */
		wr_buffer_consume(&c->in.buf, len);
	}
	if (spare->mem == NULL && c->in.buf.cap == WR_CHUNK_ROOM)
		*spare = c->in.buf;
	else
		wr_buffer_release(&c->in.buf);
	c->in.buf = fit;
}

/* A session that waits in no input call may still use what a peek has shown. */
static bool is_shown(const struct weir_conn *c)
{
	if (c->coro && c->wait_for == WR_WAIT_OTHER)
		return !(c->other->events & WR_EV_IN);
	return c->coro && c->wait_for != WR_WAIT_INPUT &&
	       c->wait_for != WR_WAIT_REST;
}

/* Half a message stays in a buffer of about its size. */
void wr_conn_input_tidy(struct weir_conn *c)
{
	if (c->in.buf.mem != NULL && !is_shown(c))
		input_shrink(c);
}

static ssize_t receive_layered(struct weir_conn *c, void *buf, size_t cap)
{
	if (c->in.error)
		return c->in.error;
	return c->layered == WR_LAYER_UP
		       ? c->layer->ops->receive(c->layer, buf, cap)
		       : -EAGAIN;
}

static bool is_used_up(const struct weir_conn *c, size_t n, size_t cap)
{
	if (c->layered)
		return c->layer->is_dry && !c->layer->ops->has_rest(c->layer);
	return n < cap && c->is_tcp && !c->in.has_exceptions &&
	       wr_sys_short_read_is_empty();
}

static ssize_t receive_now(struct weir_conn *c, void *buf, size_t cap)
{
	ssize_t n;

	n = c->layered ? receive_layered(c, buf, cap)
		       : receive_raw(c, buf, cap, 0);
	if (n <= 0 && n != -EAGAIN && atomic_load(&c->is_cut)) {
		n = -ECANCELED; /* our shutdown, not the peer's */
	} else if (n > 0) {
		wr_count_own(
			&wr_traffic_of(c->service, c->ctx->stats)->bytes_in,
			(uint64_t)n);
		wr_count_own(&c->in.received, (uint64_t)n);
		c->in.last_at = c->ctx->now;
		if (c->table == NULL)
			wr_conn_note_answer(c);
		c->in.would_block = is_used_up(c, (size_t)n, cap);
	} else if (n == 0) {
		c->in.end = WR_IN_EOF;
	} else if (n == -EAGAIN) {
		c->in.would_block = true;
	} else {
		c->in.error = (int)n;
	}
	return n;
}

static inline ssize_t input_receive(struct weir_conn *c, void *buf, size_t cap)
{
	if (c->in.end != WR_IN_OPEN)
		return 0;
	return c->in.would_block ? -EAGAIN : receive_now(c, buf, cap);
}

static int move_to_spare(struct weir_conn *c)
{
	struct wr_buffer big = c->ctx->spare_in;
	size_t len = wr_buffer_len(&c->in.buf);
	int rc = wr_buffer_reserve(&big, WR_CHUNK_ROOM, WR_CHUNK_ROOM);

	if (rc < 0)
		return rc;
	c->ctx->spare_in = (struct wr_buffer){ .mem = NULL };
	if (len > 0)
		(void)wr_buffer_append(&big, wr_buffer_data(&c->in.buf), len,
				       WR_CHUNK_ROOM);
	wr_buffer_release(&c->in.buf);
	c->in.buf = big;
	return 0;
}

static ssize_t input_fill(struct weir_conn *c, size_t max)
{
	struct wr_buffer *in = &c->in.buf;
	ssize_t n;
	int rc;

	if (max < WR_CHUNK_ROOM)
		max = WR_CHUNK_ROOM;
	rc = in->cap < WR_CHUNK_ROOM ? move_to_spare(c)
				     : wr_buffer_reserve(in, 1, max);
	if (rc < 0)
		return rc;
	n = input_receive(c, wr_buffer_tail(in), wr_buffer_room(in));
	if (n > 0)
		wr_buffer_commit(in, (size_t)n);
	return n;
}

static inline void note_input(struct weir_conn *c, enum wr_input input)
{
	if (c->call.input < input)
		c->call.input = (uint8_t)input;
}

static int say_eagain(struct weir_conn *c, enum wr_input reason)
{
	c->call.saw_eagain = true;
	note_input(c, reason);
	return -EAGAIN;
}

static int make_output_room(struct weir_conn *c)
{
	while (wr_conn_is_congested(c)) {
		int rc = wr_conn_flush(c);

		if (rc < 0)
			return rc;
		if (!wr_conn_is_congested(c))
			break;
		if (!wr_conn_may_wait(c))
			return say_eagain(c, WR_INPUT_BACKPRESSURE);
		rc = wr_conn_wait_flush(c, rc);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static WR_OUT_OF_LINE bool is_budget_spent(const struct weir_conn *c)
{
	uint32_t n = c->call.messages;
	int64_t began;

	if (c->call.bytes >= WR_TURN_BYTES)
		return true;
	if ((n & (n + 1)) != 0 && n % TIME_CHECK_GAP != TIME_CHECK_GAP - 1)
		return false;
	began = atomic_load_explicit(&c->ctx->busy_since, memory_order_relaxed);
	return wr_now_ns() - began >= WR_TURN_NS;
}

static inline bool has_had_turn(const struct weir_conn *c)
{
	bool is_more_there =
		c->call.input != WR_INPUT_EOF &&
		(!c->in.would_block || wr_buffer_len(&c->in.buf) > 0);

	return c->call.messages > 0 && is_more_there && is_budget_spent(c);
}

/* A connection of weir_dial() takes the turns of the session that reads it. */
static int take_turn_beside(struct weir_conn *c)
{
	struct weir_conn *session = wr_conn_session();

	if (session == NULL || session->coro == NULL)
		return 0;
	session->call.bytes += c->call.bytes;
	session->call.messages += c->call.messages;
	c->call.bytes = c->call.messages = 0;
	return session->call.messages > 0 && is_budget_spent(session)
		       ? wr_conn_let_others_run(c)
		       : 0;
}

/* The lifetime is checked here for a session that never waits. */
static WR_OUT_OF_LINE int end_input_turn(struct weir_conn *c)
{
	if (!wr_conn_may_wait(c))
		return say_eagain(c, WR_INPUT_BUDGET);
	if (c->coro)
		return wr_conn_let_others_run(c);
	c->call.bytes = 0;
	c->ctx->now = wr_now_ns();
	if (!wr_conn_has_outlived(c))
		return 0;
	c->call.timed_out = WEIR_END_LIFETIME;
	return -ETIMEDOUT;
}

static WR_INLINE int begin_input(struct weir_conn *c)
{
	int rc;

	note_input(c, WR_INPUT_GIVEN);
	if (atomic_load(&c->is_cut))
		return -ECANCELED;
	if (c->table == NULL) {
		rc = take_turn_beside(c);
		if (rc < 0)
			return rc;
	}
	if (has_had_turn(c)) {
		rc = end_input_turn(c);
		if (rc < 0)
			return rc;
	}
	return wr_conn_is_congested(c) ? make_output_room(c) : 0;
}

static bool is_draining(const struct weir_conn *c)
{
	return c->core && wr_core_phase(c->core) >= WR_PHASE_DRAINING;
}

/*
 * "A waiting session is woken": the waiter publishes its wake fd, then fetches
 * the events; another thread posts its event, then reads that fd.  All are
 * sequentially consistent, so the waiter sees the event or is woken.  A wake-up
 * stays in the eventfd until it is cleared, which is before the events are
 * fetched.
 */
static int take_wait_events(struct weir_conn *c)
{
	uint32_t events = wr_owner_fetch(&c->owner);

	if (atomic_load(&c->is_cut))
		return -ECANCELED;
	c->events |= events & (WR_EV_CLOSE | WR_EV_WAKE);
	if (c->events & WR_EV_CLOSE)
		return -ESHUTDOWN;
	if (!(c->events & WR_EV_WAKE))
		return 0;
	c->events &= ~(uint32_t)WR_EV_WAKE;
	return -EINTR;
}

/* In a handshake, what comes after the deadline does not count. */
static bool is_answered(struct weir_conn *c)
{
	wr_conn_input_came(c);
	if (c->layered == WR_LAYER_WANTED)
		return c->ctx->now < wr_conn_due_at(c);
	return !c->layered || wr_layer_look(c) != WR_LOOK_NOTHING;
}

static int wait_input(struct weir_conn *c)
{
	bool is_mid = wr_conn_is_mid(c);

	for (;;) {
		int rc = take_wait_events(c), got;
		int64_t at = wr_conn_due_at(c);
		bool has_output = wr_conn_has_output(c);

		if (rc < 0)
			return rc;
		if (is_draining(c))
			at = wr_min_at(at, wr_conn_drain_until(c, is_mid));
		got = wr_conn_poll(c,
				   has_output ? POLLIN | wr_conn_output_event(c)
					      : POLLIN,
				   at, false);
		if (got < 0)
			return got;
		if (has_output || wr_conn_has_output(c)) {
			rc = wr_conn_flush(c);
			if (rc < 0)
				return rc;
		}
		if (got & ~POLLOUT && is_answered(c) &&
		    !wr_conn_has_outlived(c))
			return 0;
		if (c->ctx->now >= wr_conn_due_at(c))
			return wr_conn_end_wait(c);
		if (is_draining(c) &&
		    c->ctx->now >= wr_conn_drain_until(c, is_mid))
			return -ESHUTDOWN;
	}
}

static int wait_input_on_worker(struct weir_conn *c, bool is_mid)
{
	int rc = wr_conn_flush(c);

	if (rc < 0)
		return rc;
	c->ctx->now = wr_now_ns();
	wr_conn_note_wait(c, is_mid);
	atomic_store(&c->waiter_fd, c->ctx->wake_fd);
	rc = wait_input(c);
	atomic_store(&c->waiter_fd, -1);
	wr_conn_input_came(c);
	return rc;
}

/* A session with a stack leaves its worker, which then sends the output. */
static int wait_for_input(struct weir_conn *c, bool is_mid)
{
	if (c->coro == NULL)
		return wait_input_on_worker(c, is_mid);
	if (atomic_load(&c->is_cut))
		return -ECANCELED;
	c->in.is_ready = false; /* until an event tells otherwise */
	return wr_conn_park(c, is_mid ? WR_WAIT_REST : WR_WAIT_INPUT);
}

static int wait_until_due(struct weir_conn *c, bool is_mid)
{
	int rc = wait_for_input(c, is_mid);

	/* recv(2) may return it, too. */
	if (rc == -ETIMEDOUT && !wr_conn_is_lost(c, rc))
		c->call.timed_out = wr_conn_due_end(c);
	return rc;
}

int wr_conn_wait_input(struct weir_conn *c)
{
	return wait_until_due(c, false);
}

/* 0: has waited, try again; else the call's result. */
static int no_input(struct weir_conn *c, bool is_mid)
{
	if (wr_conn_may_wait(c))
		return wait_until_due(c, is_mid);
	if (c->call.why == WEIR_DRAIN)
		return -ESHUTDOWN;
	return say_eagain(c, WR_INPUT_EMPTY);
}

/* The same, but first reports an interruption that read_through() put off. */
static int no_input_yet(struct weir_conn *c, bool is_mid)
{
	if (!c->call.was_interrupted)
		return no_input(c, is_mid);
	c->call.was_interrupted = false;
	return -EINTR;
}

static ssize_t input_give(struct weir_conn *c, size_t n)
{
	c->in.message_at = 0;
	c->in.scanned = 0;
	c->call.bytes += n;
	c->call.messages++;
	wr_conn_prove(c);
	if (c->call.input == WR_INPUT_EMPTY)
		c->call.input = WR_INPUT_GIVEN;
	return (ssize_t)n;
}

static int note_eof(struct weir_conn *c, int rc)
{
	c->call.input = WR_INPUT_EOF;
	return rc;
}

ssize_t wr_conn_receive(struct weir_conn *c, void *buf, size_t cap)
{
	ssize_t n = input_receive(c, buf, cap);

	if (n > 0)
		wr_conn_prove(c);
	return n == 0 ? note_eof(c, 0) : n;
}

static WR_INLINE ssize_t read_some(struct weir_conn *c, void *buf, size_t cap)
{
	ssize_t n;
	int rc = begin_input(c);

	if (rc < 0)
		return rc;
	if (wr_buffer_len(&c->in.buf) > 0)
		return input_give(c, wr_buffer_take(&c->in.buf, buf, cap));
	while ((n = input_receive(c, buf, cap)) == -EAGAIN) {
		rc = no_input_yet(c, false);
		if (rc < 0)
			return rc;
	}
	if (n == 0)
		return note_eof(c, 0);
	return n < 0 ? n : input_give(c, (size_t)n);
}

static ssize_t read_dialled(struct weir_conn *c, void *buf, size_t cap)
{
	WR_NO_CANCEL_IN(c);
	return read_some(c, buf, cap);
}

/* A worker cannot be cancelled; a served connection skips WR_NO_CANCEL(). */
ssize_t weir_conn_read(weir_conn *c, void *buf, size_t cap)
{
	if (c == NULL || cap == 0 || !wr_is_memory(buf, cap))
		return -EINVAL;
	return c->table ? read_some(c, buf, cap) : read_dialled(c, buf, cap);
}

/* How many are buffered; 0: end of input; -EBADMSG: end in mid-message. */
static ssize_t input_gather(struct weir_conn *c, size_t len)
{
	while (wr_buffer_len(&c->in.buf) < len) {
		ssize_t n = input_fill(c, wr_limits(c->service)->line_max);

		if (n == -EAGAIN)
			n = no_input_yet(c, wr_buffer_len(&c->in.buf) > 0);
		else if (n == 0)
			return note_eof(c, wr_buffer_len(&c->in.buf) ? -EBADMSG
								     : 0);
		if (n < 0)
			return n;
	}
	return (ssize_t)wr_buffer_len(&c->in.buf);
}

/*
 * A message longer than line_max goes straight to the caller's buffer.  So
 * -EINTR would lose the bytes that are there: it is put off to the next wait.
 */
static ssize_t read_through(struct weir_conn *c, char *buf, size_t len)
{
	size_t got = wr_buffer_take(&c->in.buf, buf, len);

	c->in.scanned = 0;
	while (got < len) {
		ssize_t n = input_receive(c, buf + got, len - got);

		if (n == -EAGAIN) {
			n = got > 0 ? no_input(c, true)
				    : no_input_yet(c, false);
			if (n == -EINTR && got > 0) {
				c->call.was_interrupted = true;
				n = 0;
			}
		} else if (n == 0) {
			return note_eof(c, got ? -EBADMSG : 0);
		}
		if (n < 0) {
			if (got > 0 && c->in.message_at == 0)
				c->in.message_at = c->ctx->now;
			return n;
		}
		got += (size_t)n;
	}
	return input_give(c, len);
}

ssize_t weir_conn_read_exact(weir_conn *c, void *buf, size_t len)
{
	WR_NO_CANCEL_IN(c);
	ssize_t n;

	if (c == NULL || len == 0 || !wr_is_memory(buf, len))
		return -EINVAL;
	n = begin_input(c);
	if (n < 0)
		return n;
	if (len > wr_limits(c->service)->line_max)
		return wr_conn_may_wait(c) ? read_through(c, buf, len)
					   : -EMSGSIZE;
	n = input_gather(c, len);
	return n <= 0 ? n : input_give(c, wr_buffer_take(&c->in.buf, buf, len));
}

/*
 * A delimiter of up to 7 bytes is its own mark, a longer one is hashed
 * (FNV-1a).  A collision only misses an end if a program changes between the
 * two delimiters in mid-message.
 */
static uint64_t mark_of(const void *delim, size_t len)
{
	const unsigned char *bytes = delim;
	uint64_t mark = len;

	if (len < sizeof(mark)) {
		for (size_t i = 0; i < len; i++)
			mark = mark << 8 | bytes[i];
		return mark;
	}
	mark ^= UINT64_C(14695981039346656037);
	for (size_t i = 0; i < len; i++)
		mark = (mark ^ bytes[i]) * UINT64_C(1099511628211);
	return mark;
}

static bool was_scanned_for(const struct weir_conn *c, const void *delim,
			    size_t len)
{
	return mark_of(delim, len) == c->in.scan_mark;
}

/* The last bytes may be the beginning of the delimiter. */
static void note_scanned(struct weir_conn *c, const void *delim, size_t len)
{
	size_t there = wr_buffer_len(&c->in.buf);

	c->in.scanned = there < len ? 0 : there - len + 1;
	c->in.scan_mark = mark_of(delim, len);
}

/* Length of the buffered message; 0: incomplete; -EMSGSIZE. */
static ssize_t look_for_end(const struct weir_conn *c, size_t cap,
			    const void *delim, size_t delim_len)
{
	size_t end =
		wr_buffer_find(&c->in.buf, delim, delim_len, c->in.scanned);

	cap = wr_min(cap, wr_limits(c->service)->line_max);
	if (end > 0 ? end > cap : wr_buffer_len(&c->in.buf) >= cap)
		return -EMSGSIZE;
	return (ssize_t)end;
}

/* The same with more input; or as input_gather(). */
static ssize_t await_end(struct weir_conn *c, size_t cap, const void *delim,
			 size_t delim_len)
{
	ssize_t n;

	do {
		note_scanned(c, delim, delim_len);
		n = input_gather(c, wr_buffer_len(&c->in.buf) + 1);
		if (n <= 0)
			return n;
		n = look_for_end(c, cap, delim, delim_len);
	} while (n == 0);
	return n;
}

static inline ssize_t find_end(struct weir_conn *c, size_t cap,
			       const void *delim, size_t delim_len)
{
	ssize_t n;

	if (c->in.scanned > 0 && !was_scanned_for(c, delim, delim_len))
		c->in.scanned = 0;
	n = look_for_end(c, cap, delim, delim_len);
	return n != 0 ? n : await_end(c, cap, delim, delim_len);
}

static ssize_t gather_line(struct weir_conn *c, size_t cap)
{
	ssize_t n = begin_input(c);

	if (n == 0)
		n = find_end(c, cap, "\n", 1);
	if (n != -EBADMSG)
		return n;
	/* last line without newline */
	c->call.input = WR_INPUT_GIVEN;
	return (ssize_t)wr_buffer_len(&c->in.buf);
}

ssize_t weir_conn_read_line(weir_conn *c, char *buf, size_t cap)
{
	WR_NO_CANCEL_IN(c);
	size_t len;
	ssize_t n;

	if (c == NULL || cap < 2 || !wr_is_memory(buf, cap))
		return -EINVAL;
	n = gather_line(c, cap - 1);
	if (n <= 0)
		return n;
	len = wr_buffer_take(&c->in.buf, buf, (size_t)n);
	buf[len] = '\0';
	return input_give(c, len);
}

ssize_t weir_conn_peek_line(weir_conn *c, const char **line)
{
	WR_NO_CANCEL_IN(c);
	ssize_t n;

	if (c == NULL || line == NULL)
		return -EINVAL;
	n = gather_line(c, SSIZE_MAX);
	if (n > 0)
		*line = wr_buffer_data(&c->in.buf);
	return n;
}

static ssize_t gather_until(struct weir_conn *c, size_t cap, const void *delim,
			    size_t delim_len)
{
	ssize_t n = begin_input(c);

	return n == 0 ? find_end(c, cap, delim, delim_len) : n;
}

ssize_t weir_conn_read_until(weir_conn *c, void *buf, size_t cap,
			     const void *delim, size_t delim_len)
{
	WR_NO_CANCEL_IN(c);
	ssize_t n;

	if (c == NULL || delim == NULL || delim_len == 0 || cap < delim_len ||
	    !wr_is_memory(buf, cap))
		return -EINVAL;
	n = gather_until(c, cap, delim, delim_len);
	return n <= 0 ? n
		      : input_give(c,
				   wr_buffer_take(&c->in.buf, buf, (size_t)n));
}

ssize_t weir_conn_peek_until(weir_conn *c, const void **data, const void *delim,
			     size_t delim_len)
{
	WR_NO_CANCEL_IN(c);
	ssize_t n;

	if (c == NULL || data == NULL || delim_len == 0 ||
	    !wr_is_memory(delim, delim_len))
		return -EINVAL;
	n = gather_until(c, SSIZE_MAX, delim, delim_len);
	if (n > 0)
		*data = wr_buffer_data(&c->in.buf);
	return n;
}

ssize_t weir_conn_peek(weir_conn *c, const void **data, size_t at_least)
{
	WR_NO_CANCEL_IN(c);
	ssize_t n;

	if (c == NULL || data == NULL || at_least == 0 || at_least > SSIZE_MAX)
		return -EINVAL;
	if (at_least > wr_limits(c->service)->line_max)
		return -EMSGSIZE;
	n = begin_input(c);
	if (n == 0)
		n = input_gather(c, at_least);
	if (n > 0)
		*data = wr_buffer_data(&c->in.buf);
	return n;
}

int weir_conn_consume(weir_conn *c, size_t len)
{
	if (c == NULL || len > wr_buffer_len(&c->in.buf))
		return -EINVAL;
	if (len == 0) /* no message */
		return 0;
	wr_buffer_consume(&c->in.buf, len);
	(void)input_give(c, len);
	return 0;
}
