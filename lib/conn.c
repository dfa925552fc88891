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
	c->is_finished = c->drain_deferred = false;
	c->is_cut = c->is_counted = false;
	c->fd = fd;
	c->why = 0;
	c->outcome = WR_OUTCOME_COMPLETED;
	c->end = WEIR_END_NONE;
	c->is_tcp = c->is_polled = c->polls_output = c->is_closing = false;
	c->was_opened = c->close_cb_pending = c->has_input = c->would_block =
		false;
	c->is_urgent = c->got_input = c->has_ended = c->in_shut = false;
	c->may_wait = false;
	c->events = 0;
	c->in = (struct wr_buffer){ .mem = NULL };
	c->scanned = c->scanned_len = 0;
	c->born_at = c->active_at = c->input_at = now;
	c->message_at = c->linger_at = c->linger_end_at = 0;
	c->linger_bytes = 0;
	c->lingers = false;
	for (int i = 0; i < WR_TMO_COUNT; i++)
		c->timeout_ms[i] = service->timeout_ms[i];
	c->data = NULL;
	c->drop = NULL;
	c->peer_len = 0;
	wr_conn_input_begin(c);
	atomic_store(&c->check_at, INT64_MAX);
	atomic_store(&c->waiter_fd, -1);
	atomic_store(&c->refs, 1);
	if (c->core)
		c->id = atomic_fetch_add(&c->core->last_id, 1) + 1;
	atomic_store(&c->due_at, wr_conn_due_at(c));
}

/* --------------------------------------------------------------- moving it */

/* legal[from] has a bit for each state one may go to. */
static const uint16_t legal[WR_CONN_STATES] = {
	[WR_CONN_FREE] = 1 << WR_CONN_QUEUED,
	[WR_CONN_QUEUED] = 1 << WR_CONN_RUNNING | 1 << WR_CONN_LINGERING |
			   1 << WR_CONN_CLOSED,
	[WR_CONN_READY] = 1 << WR_CONN_RUNNING,
	[WR_CONN_RUNNING] = 1 << WR_CONN_PARKED | 1 << WR_CONN_READY |
			    1 << WR_CONN_LINGERING | 1 << WR_CONN_CLOSED,
	[WR_CONN_PARKED] = 1 << WR_CONN_READY | 1 << WR_CONN_RUNNING,
	[WR_CONN_LINGERING] = 1 << WR_CONN_CLOSED,
	[WR_CONN_CLOSED] = 1 << WR_CONN_FREE,
};

static wr_counter *gauge(struct wr_stats *stats, int state)
{
	switch (state) {
	case WR_CONN_QUEUED:
		return &stats->queued;
	case WR_CONN_PARKED:
		return &stats->parked;
	case WR_CONN_LINGERING:
		return &stats->lingering;
	default:
		return NULL;
	}
}

void wr_conn_move(struct weir_conn *c, struct wr_stats *stats, int to)
{
	wr_counter *left = gauge(stats, c->state), *entered = gauge(stats, to);

	wr_assert(legal[c->state] & 1 << to);
	if (left)
		wr_count(stats, left, (uint64_t)-1);
	if (entered)
		wr_count(stats, entered, 1);
	c->state = (uint8_t)to;
}

void wr_conn_post(struct weir_conn *c, struct wr_stats *stats,
		  uint32_t generation, uint32_t reports)
{
	int wake_fd;

	if (wr_owner_post(&c->owner, generation, reports)) {
		wr_conn_move(c, stats, WR_CONN_READY);
		(void)wr_queue_push(&c->core->ready, &c->node, 0);
		wr_core_wake_worker(c->core);
		return;
	}
	wake_fd = atomic_load(&c->waiter_fd);
	if (wake_fd >= 0)
		wr_sys_eventfd_signal(wake_fd);
}

void wr_conn_notify_acceptor(struct weir_conn *c, unsigned mail)
{
	struct wr_core *core = c->core;
	struct weir_conn *first;

	if (atomic_fetch_or(&c->inbox_bits, mail) != 0)
		return;
	first = atomic_load(&core->inbox);
	do {
		c->inbox_next = first;
	} while (!atomic_compare_exchange_weak(&core->inbox, &first, c));
	if (first == NULL)
		wr_sys_eventfd_signal(core->acceptor_wake_fd);
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
	return since ? after(c, since, WR_TMO_WRITE) : WR_NEVER_AT;
}

uint8_t wr_conn_due_end(struct weir_conn *c)
{
	if (after(c, c->born_at, WR_TMO_LIFETIME) <= c->ctx->now)
		return WEIR_END_LIFETIME;
	if (wr_conn_has_output(c) && stall_at(c) <= c->ctx->now)
		return WEIR_END_WRITE;
	if (c->message_at)
		return WEIR_END_READ;
	return c->got_input ? WEIR_END_IDLE : WEIR_END_FIRST_BYTE;
}

int64_t wr_conn_due_at(struct weir_conn *c)
{
	int64_t at = after(c, c->born_at, WR_TMO_LIFETIME);
	bool has_output = wr_conn_has_output(c);

	if (has_output)
		at = wr_min_at(at, stall_at(c));
	if (c->is_closing)
		return at;
	if (c->message_at)
		return wr_min_at(at, after(c, c->message_at, WR_TMO_READ));
	if (has_output)
		return at;
	if (!c->got_input)
		return wr_min_at(at, after(c, c->born_at, WR_TMO_FIRST_BYTE));
	return wr_min_at(at, after(c, c->active_at, WR_TMO_IDLE));
}

/*
 * "No deadline is missed": the owner writes due_at, then reads check_at; the
 * acceptor writes check_at, then reads due_at.  One of them sees the other.
 *
 * A deadline that only moves away needs none of that: the visit that was sure
 * to come in time for the earlier one still is, and reads the later one then,
 * or reports what turns out not to be due.  Such a report ends the argument
 * (wr_conn_forget_check), for who made it may come again too late.
 */
void wr_conn_set_due(struct weir_conn *c, int64_t at)
{
	if (at >= atomic_load_explicit(&c->due_at, memory_order_relaxed)) {
		atomic_store_explicit(&c->due_at, at, memory_order_relaxed);
		return;
	}
	atomic_store(&c->due_at, at);
	if (at < atomic_load(&c->check_at))
		wr_conn_notify_acceptor(c, WR_INBOX_RESCHEDULE);
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
