/* SPDX-License-Identifier: MIT */
/*
 * The life of a connection: birth, moves, deadlines, end.  See conn.h for who
 * owns it when.
 */
#include "conn.h"

#include "sys.h"

void wr_conn_begin(struct weir_conn *c, const struct wr_service *service,
		   int fd, int64_t now)
{
	c->service = service;
	c->ctx = NULL;
	c->free_next = NULL;
	c->out = (struct wr_outbox){ .head = NULL };
	c->stalled_at = 0;
	c->is_stalled = false;
	c->sent = c->taken = c->received = 0;
	c->out_error = c->in_error = c->file_error = 0;
	c->is_writing = c->is_over = false;
	c->wants_out_shut = c->is_out_shut = false;
	c->is_finished = c->is_kept = false;
	c->is_cut = c->is_settled = false;
	c->fd = fd;
	c->why = 0;
	c->outcome = WR_COMPLETED;
	c->end = WEIR_END_NONE;
	c->is_tcp = c->is_polled = c->polls_output = c->is_closing = false;
	c->was_opened = c->was_called = c->has_input = c->is_dry = false;
	c->is_urgent = c->has_spoken = c->has_ended = c->in_shut = false;
	c->may_wait = false;
	c->reports = 0;
	c->in = (struct wr_buffer){ .mem = NULL };
	c->scanned = c->scanned_len = 0;
	c->born_at = c->active_at = c->input_at = now;
	c->message_at = c->linger_at = c->linger_end_at = 0;
	c->linger_bytes = 0;
	c->lingers = false;
	for (int i = 0; i < WR_TIMEOUTS; i++)
		c->timeout_ms[i] = service->timeout_ms[i];
	c->data = NULL;
	c->drop = NULL;
	c->peer_len = 0;
	wr_conn_input_begin(c);
	atomic_store(&c->visit_at, INT64_MAX);
	atomic_store(&c->waiting_bell, -1);
	atomic_store(&c->refs, 1);
	if (c->hub)
		c->id = atomic_fetch_add(&c->hub->last_id, 1) + 1;
	atomic_store(&c->due_at, wr_conn_due_at(c));
}

/* --------------------------------------------------------------- moving it */

/* legal[from] has a bit for each state one may go to. */
static const uint16_t legal[WR_STATES] = {
	[WR_FREE] = 1 << WR_FRESH,
	[WR_FRESH] = 1 << WR_RUNNING | 1 << WR_LINGERING | 1 << WR_OVER,
	[WR_READY] = 1 << WR_RUNNING,
	[WR_RUNNING] = 1 << WR_PARKED | 1 << WR_READY | 1 << WR_LINGERING |
		       1 << WR_OVER,
	[WR_PARKED] = 1 << WR_READY | 1 << WR_RUNNING,
	[WR_LINGERING] = 1 << WR_OVER,
	[WR_OVER] = 1 << WR_FREE,
};

static wr_counter *gauge(struct wr_lane *lane, int state)
{
	switch (state) {
	case WR_FRESH:
		return &lane->queued;
	case WR_PARKED:
		return &lane->parked;
	case WR_LINGERING:
		return &lane->lingering;
	default:
		return NULL;
	}
}

void wr_conn_move(struct weir_conn *c, struct wr_lane *lane, int to)
{
	wr_counter *left = gauge(lane, c->state), *entered = gauge(lane, to);

	wr_assert(legal[c->state] & 1 << to);
	if (left)
		wr_count(lane, left, (uint64_t)-1);
	if (entered)
		wr_count(lane, entered, 1);
	c->state = (uint8_t)to;
}

void wr_conn_report(struct weir_conn *c, struct wr_lane *lane,
		    uint32_t generation, uint32_t reports)
{
	int bell;

	if (wr_turn_raise(&c->turn, generation, reports)) {
		wr_conn_move(c, lane, WR_READY);
		(void)wr_queue_push(&c->hub->ready, &c->node, 0);
		wr_hub_ring(c->hub);
		return;
	}
	bell = atomic_load(&c->waiting_bell);
	if (bell >= 0)
		wr_sys_eventfd_ring(bell);
}

void wr_conn_post(struct weir_conn *c, unsigned mail)
{
	struct wr_hub *h = c->hub;
	struct weir_conn *first;

	if (atomic_fetch_or(&c->mail, mail) != 0)
		return;
	first = atomic_load(&h->mail);
	do {
		c->mail_next = first;
	} while (!atomic_compare_exchange_weak(&h->mail, &first, c));
	if (first == NULL)
		wr_sys_eventfd_ring(h->call);
}

/* --------------------------------------------------------------- deadlines */

static int64_t after(const struct weir_conn *c, int64_t since, int which)
{
	return wr_deadline_at(since, c->timeout_ms[which]);
}

/* When unsent output has waited too long for the peer. */
static int64_t stall_at(struct weir_conn *c)
{
	int64_t since;

	wr_lock(&c->lock);
	since = c->is_stalled ? c->stalled_at : 0;
	wr_unlock(&c->lock);
	return since ? after(c, since, WR_WRITE) : WR_NEVER_AT;
}

uint8_t wr_conn_due_end(struct weir_conn *c)
{
	if (after(c, c->born_at, WR_LIFETIME) <= c->ctx->now)
		return WEIR_END_LIFETIME;
	if (wr_conn_has_output(c) && stall_at(c) <= c->ctx->now)
		return WEIR_END_WRITE;
	if (c->message_at)
		return WEIR_END_READ;
	return c->has_spoken ? WEIR_END_IDLE : WEIR_END_FIRST_BYTE;
}

int64_t wr_conn_due_at(struct weir_conn *c)
{
	int64_t at = after(c, c->born_at, WR_LIFETIME);
	bool has_output = wr_conn_has_output(c);

	if (has_output)
		at = wr_min_at(at, stall_at(c));
	if (c->is_closing)
		return at;
	if (c->message_at)
		return wr_min_at(at, after(c, c->message_at, WR_READ));
	if (has_output)
		return at;
	if (!c->has_spoken)
		return wr_min_at(at, after(c, c->born_at, WR_FIRST_BYTE));
	return wr_min_at(at, after(c, c->active_at, WR_IDLE));
}

/*
 * "No deadline is missed": the owner writes due_at, then reads visit_at; the
 * acceptor writes visit_at, then reads due_at.  One of them sees the other.
 *
 * A deadline that only moves away needs none of that: the visit that was sure
 * to come in time for the earlier one still is, and reads the later one then,
 * or reports what turns out not to be due.  Such a report ends the argument
 * (wr_conn_forget_visit), for who made it may come again too late.
 */
void wr_conn_set_due(struct weir_conn *c, int64_t at)
{
	if (at >= atomic_load_explicit(&c->due_at, memory_order_relaxed)) {
		atomic_store_explicit(&c->due_at, at, memory_order_relaxed);
		return;
	}
	atomic_store(&c->due_at, at);
	if (at < atomic_load(&c->visit_at))
		wr_conn_post(c, WR_MAIL_RETIME);
}

/* ------------------------------------------------------------------ ending */

static void cut_locked(struct weir_conn *c)
{
	if (c->fd >= 0 && !c->is_finished) {
		atomic_store(&c->is_cut, true);
		(void)wr_sys_shutdown(c->fd, SHUT_RDWR);
	}
}

void wr_conn_cut(struct weir_conn *c)
{
	wr_lock(&c->lock);
	cut_locked(c);
	wr_unlock(&c->lock);
}

bool wr_conn_try_cut(struct weir_conn *c)
{
	if (!wr_trylock(&c->lock))
		return false;
	cut_locked(c);
	wr_unlock(&c->lock);
	return true;
}
