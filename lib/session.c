/* SPDX-License-Identifier: MIT */
/*
 * A session on a stack of its own leaves its worker when it waits
 * (wr_conn_park), and the worker that becomes its owner resumes it.  So c->ctx
 * changes over a wait, and no function on the stack may keep it.
 *
 * Nothing ends a connection under its session: a cut, a deadline and the drain
 * are results of the wait.
 */
#include "session.h"

#include <errno.h>

#include "sys.h"

static weir_handler_fn *handler_of(const struct weir_conn *c)
{
	const struct weir_service *sv = &c->service->set;

	if (c->call.why == WEIR_EXPIRED)
		return sv->expired;
	return c->call.why == WEIR_OPENED && sv->opened ? sv->opened
							: sv->session;
}

static void run_handler(void *arg)
{
	struct weir_conn *c = arg;

	c->wait_rc = handler_of(c)(c, c->service->set.arg);
}

int wr_session_begin(struct weir_conn *c)
{
	struct wr_coro *co = wr_stacks_take(c->service->stacks);

	if (co == NULL)
		return -ENOMEM;
	wr_coro_set(co, run_handler, c);
	c->coro = co;
	return 0;
}

bool wr_session_resume(struct weir_conn *c, int rc, int *verdict)
{
	struct wr_coro *co = c->coro;

	c->wait_rc = rc;
	c->call.wait_failed = rc < 0;
	atomic_store_explicit(&c->wait_for, WR_WAIT_NOTHING,
			      memory_order_relaxed);
	c->call.bytes = 0;
	c->call.messages = 0;
	if (!wr_coro_resume(co))
		return false;
	*verdict = c->wait_rc;
	c->coro = NULL;
	atomic_store_explicit(&c->stack_hint, 0, memory_order_relaxed);
	wr_stacks_give(c->service->stacks, co);
	return true;
}

void wr_session_note_park(struct weir_conn *c)
{
	struct wr_coro *co = c->coro;
	uintptr_t depth = (uintptr_t)co - (uintptr_t)co->frame.sp;

	co->parked_at = c->ctx->now;
	atomic_store_explicit(
		&c->stack_hint,
		(uintptr_t)co | wr_min(depth / WR_HINT_UNIT, WR_CACHE_LINE - 1),
		memory_order_relaxed);
}

void wr_session_defer(struct weir_conn *c, int rc)
{
	c->wait_rc = rc;
	atomic_store_explicit(&c->wait_for, WR_WAIT_TURN, memory_order_relaxed);
}

/*
 * Other threads may have sent output since the wait began.  The deadline of the
 * output counts only if the session waits for its own connection, too.
 */
static int64_t stall_at(struct weir_conn *c)
{
	return c->other->events && wr_conn_has_output(c) ? wr_conn_stall_at(c)
							 : WR_NEVER_AT;
}

int64_t wr_session_due_at(struct weir_conn *c)
{
	switch ((enum wr_wait)c->wait_for) {
	case WR_WAIT_OUTPUT:
		return wr_conn_room_at(c);
	case WR_WAIT_OTHER:
		return wr_min_at(wr_conn_other_at(c, c->other), stall_at(c));
	default:
		return wr_conn_due_at(c);
	}
}

static bool take_pending(struct weir_conn *c, uint32_t events)
{
	bool any = c->events & events;

	c->events &= ~events;
	return any;
}

/* A read tells it; but a handshake is not gone on with after its deadline. */
static void note_reset(struct weir_conn *c, int rc)
{
	wr_conn_input_came(c);
	c->in.is_ready = true;
	if (c->layered == WR_LAYER_WANTED)
		c->in.error = rc;
}

/* The deadline may have moved.  Input in time, or a reset, is read first. */
static bool is_deadline_due(struct weir_conn *c)
{
	int found;

	if (!take_pending(c, WR_EV_DEADLINE) ||
	    (!wr_conn_evict(c) && wr_conn_due_at(c) > c->ctx->now))
		return false;
	if (wr_conn_has_outlived(c))
		return true;
	found = c->in.is_ready ? 1 : wr_conn_input_find(c);
	if (found < 0)
		note_reset(c, found);
	return found == 0;
}

/* For a first or an incomplete message, or a handshake. */
static bool is_drained(struct weir_conn *c)
{
	return wr_core_phase(c->core) >= WR_PHASE_DRAINING &&
	       c->ctx->now >= wr_conn_drain_until(c, wr_conn_is_mid(c)) &&
	       wr_conn_input_find(c) == 0;
}

/* 0 or -errno: the result of the wait; 1: it waits on. */
static int check_input(struct weir_conn *c)
{
	if (c->events & WR_EV_CLOSE)
		return -ESHUTDOWN;
	if (take_pending(c, WR_EV_WAKE))
		return -EINTR;
	if (is_deadline_due(c))
		return wr_conn_end_wait(c);
	if (!c->in.is_ready && is_drained(c))
		return -ESHUTDOWN;
	return c->in.is_ready ? 0 : 1;
}

static enum wr_session_step go_on_input(struct weir_conn *c, int *rc)
{
	*rc = 0;
	if (take_pending(c, WR_EV_OUT) || wr_conn_has_output(c))
		*rc = wr_conn_flush(c);
	if (*rc == WR_FLUSH_YIELDED)
		return WR_SESSION_AGAIN;
	if (*rc >= 0)
		*rc = check_input(c);
	return *rc > 0 ? WR_SESSION_PARK : WR_SESSION_RESUME;
}

/* After a flush without an error: what the wait is for besides input. */
static bool output_has_gone(struct weir_conn *c, uint32_t events)
{
	return (events & WR_EV_ROOM && wr_conn_has_room(c)) ||
	       (events & WR_EV_OUT && !wr_conn_has_output(c));
}

/*
 * A flush or a deadline ends the wait only if the session waits for its own
 * connection, too; otherwise its next call tells an error.  After a deadline
 * the wait is planned again: limits may have changed, or the connection is to
 * make room.
 */
static enum wr_session_step go_on_other(struct weir_conn *c, int *rc)
{
	const struct wr_other *o = c->other;
	int sent = WR_FLUSH_DONE;
	bool has_come;

	if (take_pending(c, WR_EV_OUT) || wr_conn_has_output(c))
		sent = wr_conn_flush(c);
	has_come = sent < 0 ? o->events != 0 : output_has_gone(c, o->events);
	c->call.other_came = take_pending(c, WR_EV_OTHER);
	c->call.other_hung_up |= take_pending(c, WR_EV_OTHER_HUP);
	has_come |= take_pending(c, o->events) || c->call.other_came;
	has_come |= take_pending(c, WR_EV_DEADLINE) && o->events != 0;
	*rc = wr_conn_check_other(c, o);
	if (*rc < 0 || has_come || c->ctx->now >= wr_min_at(o->at, stall_at(c)))
		return WR_SESSION_RESUME;
	return sent == WR_FLUSH_YIELDED ? WR_SESSION_AGAIN : WR_SESSION_PARK;
}

/* Nothing else checks the lifetime of a session that never waits for input. */
static int end_session_turn(struct weir_conn *c)
{
	if (c->wait_rc < 0 || !wr_conn_has_outlived(c))
		return c->wait_rc;
	c->call.timed_out = WEIR_END_LIFETIME;
	return -ETIMEDOUT;
}

static enum wr_session_step step_of_wait(struct weir_conn *c, int *rc)
{
	*rc = 0;
	switch ((enum wr_wait)c->wait_for) {
	case WR_WAIT_INPUT:
	case WR_WAIT_REST:
		return go_on_input(c, rc);
	case WR_WAIT_OUTPUT: /* it flushes, and sees errors and deadlines */
		return take_pending(c, WR_EV_OUT | WR_EV_HUP | WR_EV_DEADLINE)
			       ? WR_SESSION_RESUME
			       : WR_SESSION_PARK;
	case WR_WAIT_OTHER:
		return go_on_other(c, rc);
	case WR_WAIT_TURN:
		*rc = end_session_turn(c);
		return WR_SESSION_RESUME;
	default:
		return WR_SESSION_RESUME;
	}
}

/* A cut wins: the step may have seen only the drain of the same stop. */
enum wr_session_step wr_session_next(struct weir_conn *c, int *rc)
{
	enum wr_session_step step = step_of_wait(c, rc);

	if (!atomic_load(&c->is_cut))
		return step;
	*rc = -ECANCELED;
	return WR_SESSION_RESUME;
}
