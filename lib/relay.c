/* SPDX-License-Identifier: MIT */
/*
 * Bytes between two connections, both ways, in a session or in a thread.
 *
 * What one peer sends is received into a buffer of the context and sent to the
 * other one at once.  What its socket does not take stays in its outbox, and
 * nothing more is received for it until half of outbox_mark is free.  No call
 * for one direction waits, so it does not delay the other.
 */
#include <errno.h>
#include <string.h>

#include "bounds.h"
#include "conn.h"
#include "settings.h"

struct way {
	struct weir_conn *from, *to;
	uint64_t *bytes;
	bool is_over; /* the end of the input was passed on */
};

struct relay {
	struct weir_conn *session; /* NULL: a thread */
	struct way ways[2];
	int idle_ms;
	size_t turn;	  /* bytes since others have run */
	bool has_moved;	  /* a byte, since the last wait */
	bool idle_is_off; /* at the last wait */
};

/* The session ends by the deadline of either. */
static int tell_deadline(struct relay *r)
{
	for (int i = 0; i < 2 && r->session; i++) {
		uint8_t end = r->ways[i].from->call.timed_out;

		if (end)
			r->session->call.timed_out = end;
	}
	return -ETIMEDOUT;
}

static int check_deadlines(struct relay *r)
{
	int64_t now = wr_now_ns();

	for (int i = 0; i < 2; i++) {
		r->ways[i].from->ctx->now = now;
		if (wr_conn_check_room(r->ways[i].from) < 0)
			return tell_deadline(r);
	}
	return 0;
}

static int end_relay_turn(struct relay *r)
{
	int rc;

	if (r->turn < WR_TURN_BYTES)
		return 0;
	r->turn = 0;
	rc = wr_conn_let_others_run(r->ways[0].from);
	return rc < 0 ? rc : check_deadlines(r);
}

static void set_idle(struct relay *r, int ms)
{
	for (int i = 0; i < 2; i++)
		r->ways[i].from->timeout_ms[WR_TMO_IDLE] = ms;
}

static bool has_output(const struct relay *r)
{
	return wr_conn_has_output(r->ways[0].to) ||
	       wr_conn_has_output(r->ways[1].to);
}

static bool has_unlimited_output(const struct relay *r)
{
	for (int i = 0; i < 2; i++) {
		struct weir_conn *c = r->ways[i].to;

		if (wr_conn_has_output(c) &&
		    wr_conn_timeout(c, WR_TMO_WRITE) == WEIR_NEVER)
			return true;
	}
	return false;
}

/* While output is unsent, write_ms alone counts, if there is one. */
static void choose_idle(struct relay *r)
{
	bool was_off = r->idle_is_off;

	r->idle_is_off = has_output(r) && !has_unlimited_output(r);
	r->has_moved |= was_off && !r->idle_is_off;
	set_idle(r, r->idle_is_off ? WEIR_NEVER : r->idle_ms);
}

/* The error of a send: the kernel may tell it once, and then show an end. */
static int output_error(struct weir_conn *c)
{
	return wr_conn_output_has_failed(c) ? wr_conn_flush(c) : 0;
}

/* If so, the poller reports events of both connections to the session. */
static bool has_stack(const struct relay *r)
{
	return r->session && r->session->coro;
}

/*
 * A short read does not show an end behind it.  So a connection is received
 * from until -EAGAIN after WR_EV_OTHER_HUP, and at first, when nothing is known
 * of what came before.  What comes after that is reported.
 */
static void begin_receiving_all(const struct relay *r, struct weir_conn *c)
{
	wr_conn_input_came(c);
	if (c->table == NULL && has_stack(r))
		c->in.has_exceptions = true;
}

static void end_receiving_all(const struct relay *r, struct weir_conn *c)
{
	if (c->table == NULL && has_stack(r))
		c->in.has_exceptions = false;
}

/* One piece, up to a buffer.  1; 0: nothing is there, or the end; -errno. */
static int move_piece(struct relay *r, struct way *w)
{
	struct wr_context *ctx = r->session ? r->session->ctx : w->from->ctx;
	struct wr_buffer *own = &w->from->in.buf, *spare = &ctx->spare_relay;
	size_t buffered = wr_buffer_len(own);
	const void *data = wr_buffer_data(own);
	ssize_t n = (ssize_t)buffered;
	int rc = 0;

	if (buffered == 0) {
		rc = wr_buffer_reserve(spare, WR_RELAY_ROOM, WR_RELAY_ROOM);
		if (rc < 0)
			return rc;
		data = wr_buffer_tail(spare);
		n = wr_conn_receive(w->from, wr_buffer_tail(spare),
				    wr_buffer_room(spare));
	}
	if (n == -EAGAIN) {
		end_receiving_all(r, w->from);
		return 0;
	}
	if (n == 0)
		n = output_error(w->from);
	if (n < 0) {
		wr_conn_cut(w->to);
		return (int)n;
	}
	w->is_over = n == 0;
	rc = n > 0 ? wr_conn_put(w->to, data, (size_t)n)
		   : weir_conn_shutdown(w->to, SHUT_WR);
	if (rc < 0)
		wr_conn_cut(w->from);
	if (rc < 0 || n == 0)
		return rc;
	if (buffered > 0) {
		wr_buffer_consume(own, buffered);
		w->from->in.scanned = 0;
	}
	*w->bytes += (uint64_t)n;
	r->turn += (size_t)n;
	r->has_moved = true;
	rc = end_relay_turn(r);
	return rc < 0 ? rc : 1;
}

/*
 * On the session's connection the send of another thread may have failed.  On a
 * connection of weir_dial() the relay alone sends, and has seen each error.
 */
static bool needs_flush(struct weir_conn *c)
{
	return c->table || c->layered || wr_conn_has_output(c);
}

/* Up to a turn, so that the other way gets its own. */
static int move_turn(struct relay *r, struct way *w)
{
	uint64_t end = *w->bytes + WR_TURN_BYTES;
	int rc = needs_flush(w->to) ? wr_conn_flush(w->to) : 0;

	if (rc < 0)
		wr_conn_cut(w->from);
	else
		rc = 1;
	while (rc > 0 && !w->is_over && *w->bytes < end &&
	       wr_conn_has_room(w->to))
		rc = move_piece(r, w);
	return rc < 0 ? rc : 0;
}

/* A flush of a file may yield while the socket has room: no edge comes. */
static bool uses_edges(const struct relay *r)
{
	return has_stack(r) && !wr_outbox_has_files(&r->ways[0].to->out.box) &&
	       !wr_outbox_has_files(&r->ways[1].to->out.box);
}

static bool way_has_more(const struct way *w)
{
	return !w->is_over && wr_conn_has_room(w->to) &&
	       (!w->from->in.would_block || wr_buffer_len(&w->from->in.buf));
}

/* A way has stopped because its turn was over: no edge would come. */
static bool goes_on(const struct relay *r)
{
	return uses_edges(r) &&
	       (way_has_more(&r->ways[0]) || way_has_more(&r->ways[1]));
}

static int events_to_await(const struct way *input, const struct way *output)
{
	int events = WR_POLL_RELAY | (input->is_over ? WR_POLL_LOST : 0);

	if (!input->is_over && wr_conn_has_room(input->to))
		events |= WEIR_POLL_INPUT;
	if (!output->is_over && !wr_conn_has_room(output->to))
		events |= WEIR_POLL_ROOM;
	if (wr_conn_has_output(input->from))
		events |= WR_POLL_SENT;
	return events;
}

/*
 * The wait may have ended by a cut, or because a peer is lost whose input has
 * ended and to which nothing is unsent: no receive and no send tells that.
 */
static int check_peer(struct way *w)
{
	int rc = 0;

	if (atomic_load(&w->from->is_cut))
		return -ECANCELED;
	if (w->is_over)
		rc = wr_conn_input_probe(w->from);
	if (rc >= 0)
		return 0;
	wr_conn_cut(w->to);
	return rc;
}

/* The clock of the last resume is good enough: it is a turn old at most. */
static int wait_for_edge(struct relay *r, struct weir_poll *list)
{
	int64_t now = r->session->ctx->now;

	for (int i = 0; i < 2 && r->has_moved; i++) {
		r->ways[i].from->ctx->now = now;
		wr_conn_note_wait(r->ways[i].from, false);
	}
	r->turn = 0;
	return wr_conn_wait_edge(list, 2);
}

static int wait_for_any(struct relay *r, struct weir_poll *list)
{
	int rc = check_deadlines(r);

	return rc < 0 ? rc : wr_conn_wait_ready(list, 2, WEIR_NEVER);
}

/* The poller has reported one of the two, but not which. */
static void input_came(struct relay *r)
{
	bool has_hung_up = r->session->call.other_hung_up;

	r->session->call.other_hung_up = false;
	for (int i = 0; i < 2; i++) {
		struct weir_conn *c = r->ways[i].from;

		if (c->table)
			continue;
		c->ctx->now = r->session->ctx->now;
		if (has_hung_up)
			begin_receiving_all(r, c);
		else
			wr_conn_input_came(c);
	}
}

static int wait_for_more(struct relay *r)
{
	struct weir_poll list[2];
	int rc = 0;

	for (int i = 0; i < 2; i++) {
		struct way *w = &r->ways[i];

		list[i].conn = w->from;
		list[i].events = events_to_await(w, &r->ways[!i]);
		if (rc == 0)
			rc = check_peer(w);
	}
	if (rc < 0)
		return rc;
	choose_idle(r);
	rc = uses_edges(r) ? wait_for_edge(r, list) : wait_for_any(r, list);
	r->has_moved = false;
	if (rc > 0 && has_stack(r))
		input_came(r);
	if (rc == -ETIMEDOUT)
		(void)tell_deadline(r);
	return rc < 0 ? rc : 0;
}

static int run_relay(struct relay *r)
{
	int rc = 0;

	while (rc == 0) {
		for (int i = 0; i < 2 && rc == 0; i++)
			rc = move_turn(r, &r->ways[i]);
		if (rc == 0 && r->ways[0].is_over && r->ways[1].is_over)
			break;
		if (rc == 0 && !goes_on(r))
			rc = wait_for_more(r);
	}
	return rc;
}

/*
 * The session may be cut while it waits, for events or for its turn.  A stop
 * that could not have the lock has left the cut of its socket to us.
 */
static void cut_both(struct relay *r)
{
	for (int i = 0; i < 2; i++)
		wr_conn_cut(r->ways[i].from);
}

static bool has_been_idle(const struct relay *r)
{
	for (int i = 0; i < 2; i++)
		if (r->ways[i].from->call.timed_out == WEIR_END_IDLE)
			return !has_output(r);
	return false;
}

/* The session's own connection ends by its deadline, not by a cut. */
static void end_both(struct relay *r)
{
	for (int i = 0; i < 2; i++)
		if (r->ways[i].from->table)
			wr_conn_reset(r->ways[i].from);
		else
			wr_conn_cut(r->ways[i].from);
}

/* No peer may mistake a part for the whole. */
static void tell_peers(struct relay *r, int rc)
{
	if (rc == -ECANCELED)
		cut_both(r);
	if (rc == -ETIMEDOUT && !has_been_idle(r))
		end_both(r);
}

/* Silence of one peer is no reason to end while the other one sends. */
static void set_timeouts(struct weir_conn *c)
{
	c->call.timed_out = 0;
	c->in.message_at = 0;
	wr_conn_set_relayed(c);
	c->timeout_ms[WR_TMO_FIRST_BYTE] = WEIR_NEVER;
	c->timeout_ms[WR_TMO_READ] = WEIR_NEVER;
}

/* A caller of an earlier version has fewer fields, one of a later has more. */
static bool copy_counts(struct weir_relay_counts *to,
			const struct weir_relay_counts *from)
{
	if (from->size < sizeof(from->size) ||
	    wr_sets_unknown(from, from->size, sizeof(*to)))
		return false;
	memcpy(to, from, wr_min(from->size, sizeof(*to)));
	return true;
}

static bool is_usable(const struct weir_conn *c,
		      const struct weir_conn *session)
{
	return c && (c->table == NULL || c == session);
}

int weir_relay(weir_conn *a, weir_conn *b, struct weir_relay_counts *counts)
{
	struct weir_relay_counts known = { .size = sizeof(known) };
	struct relay r = { .session = wr_conn_session(), .has_moved = true };
	WR_NO_CANCEL_IF(r.session == NULL);
	int rc;

	if (!is_usable(a, r.session) || !is_usable(b, r.session) || a == b ||
	    (counts && !copy_counts(&known, counts)) ||
	    known.idle_ms < WEIR_NEVER)
		return -EINVAL;
	r.idle_ms =
		known.idle_ms ? known.idle_ms : wr_conn_timeout(a, WR_TMO_IDLE);
	if (r.session)
		r.session->ctx->now = wr_now_ns();
	set_timeouts(a);
	set_timeouts(b);
	begin_receiving_all(&r, a);
	begin_receiving_all(&r, b);
	r.ways[0] = (struct way){ a, b, &known.from_a, false };
	r.ways[1] = (struct way){ b, a, &known.from_b, false };
	set_idle(&r, r.idle_ms);
	rc = run_relay(&r);
	tell_peers(&r, rc);
	set_idle(&r, r.idle_ms);
	if (counts)
		memcpy(counts, &known, wr_min(known.size, sizeof(known)));
	return rc;
}
