/* SPDX-License-Identifier: MIT */
/*
 * next_step() decides what a connection does next, from the pending events and
 * the verdict of the last callback.
 *
 * "Never park with work left": a connection is parked only when all events are
 * handled and the kernel has no more input.  "Never call in vain": a callback
 * runs once for each reason there is, and never without one.
 */
#include "dispatch.h"

#include <errno.h>
#include <stdio.h>

#include "dialled.h"
#include "poller.h"
#include "probe.h"
#include "session.h"
#include "sys.h"

enum step {
	STEP_ON,    /* choose the next step */
	STEP_PARK,  /* no work is left */
	STEP_AGAIN, /* more work: requeue */
	STEP_GONE   /* not ours any more */
};

/* Most callbacks send nothing to other connections. */
static WR_INLINE void flush_others(struct wr_context *ctx)
{
	if (ctx->fanout.count > 0)
		wr_conn_flush_others(ctx);
}

static void run_close_callbacks(struct weir_conn *c)
{
	struct wr_context *ctx = c->ctx;

	if (c->end == WR_END_OPEN)
		wr_conn_begin_close(c);
	if (!wr_conn_has_close_callbacks(c)) {
		wr_conn_drop_data(c);
		return;
	}
	wr_context_enter(ctx, c);
	wr_conn_run_close_callbacks(c);
	(void)wr_context_leave(ctx);
	flush_others(ctx);
}

/* Health checks of proxies connect, send at most a header, and close. */
static bool is_probe(const struct weir_conn *c, int end)
{
	return c->service->set.proxy == WEIR_PROXY_REQUIRED &&
	       c->in.received == 0 &&
	       (end == WEIR_END_PEER || end == WEIR_END_LOST);
}

static int outcome_of(const struct weir_conn *c, int end)
{
	if (is_probe(c, end))
		return WR_OUTCOME_PROBED;
	switch (end) {
	case WEIR_END_CLOSED:
	case WEIR_END_PEER:
	case WEIR_END_DRAIN:
		return WR_OUTCOME_COMPLETED;
	case WEIR_END_LOST:
	case WEIR_END_ERROR:
	case WEIR_END_CONNECT:
		return WR_OUTCOME_FAILED;
	case WEIR_END_CUT:
		return WR_OUTCOME_CUT;
	default:
		return WR_OUTCOME_TIMED_OUT;
	}
}

static enum step end_now(struct weir_conn *c, int end)
{
	c->cause = (uint8_t)end;
	run_close_callbacks(c);
	wr_conn_hang_up(c);
	wr_conn_close_and_count(c, c->ctx->stats, outcome_of(c, end));
	return STEP_GONE;
}

/* Keep it for weir_conn_summary(), as the error behind the end. */
static int note_error(struct weir_conn *c, int rc)
{
	c->error = rc < 0 ? rc : 0;
	return rc;
}

static void log_failure(struct weir_conn *c, const char *what, int rc)
{
	struct wr_core *core = c->core;
	char peer[WR_PEER_TEXT];

	if (wr_log_allows(&core->logger, &core->handler_limit, 10))
		wr_logf(&core->logger, WEIR_LOG_WARNING,
			"connection %llu %s %s: %s%s",
			(unsigned long long)c->id, wr_conn_direction(c),
			wr_conn_peer_text(c, peer), what,
			rc ? weir_strerror(rc) : "");
}

static int deadline_ms(const struct weir_conn *c, int end)
{
	bool was_idle = end == WEIR_END_IDLE || end == WEIR_END_FIRST_BYTE ||
			end == WEIR_END_HANDSHAKE;

	return c->is_evicted && was_idle
		       ? c->core->config.evict_ms
		       : wr_conn_timeout(c, end - WEIR_END_FIRST_BYTE);
}

static void log_deadline(struct weir_conn *c, int end)
{
	static const char *const names[] = {
		[WEIR_END_FIRST_BYTE] = "nothing came within",
		[WEIR_END_READ] = "a message was not complete within",
		[WEIR_END_WRITE] = "the peer took too little for",
		[WEIR_END_IDLE] = "nothing came for",
		[WEIR_END_LIFETIME] = "it was open for",
		[WEIR_END_PAUSE] = "it was paused for",
		[WEIR_END_HANDSHAKE] = "its handshake took longer than",
	};
	struct wr_core *core = c->core;
	char peer[WR_PEER_TEXT];

	if (core->config.log_level < WEIR_LOG_DEBUG ||
	    !wr_log_allows(&core->logger, &core->deadline_limit, 10))
		return;
	wr_logf(&core->logger, WEIR_LOG_DEBUG,
		"connection %llu %s %s: %s %d ms: timed out",
		(unsigned long long)c->id, wr_conn_direction(c),
		wr_conn_peer_text(c, peer), names[end], deadline_ms(c, end));
}

static const char no_verdict[] = "the handler returned a number that is no "
				 "verdict: a bug in the program";

/* A lost peer, or a cut, is no error to log: the close tells its cause. */
static void log_output_error(struct weir_conn *c, int rc)
{
	if (c->out.file_error == WR_FILE_TOO_SHORT)
		log_failure(c, "a file is shorter than was promised", 0);
	else if (c->out.file_error)
		log_failure(c, "a file cannot be read: ", c->out.file_error);
	else if (rc != -ECANCELED && rc != -EPIPE && rc != -ECONNRESET &&
		 !wr_conn_is_lost(c, rc))
		log_failure(c, "cannot send: ", rc);
}

static int end_of_failed_output(const struct weir_conn *c, int rc)
{
	if (rc == -ECANCELED)
		return WEIR_END_CUT;
	return c->out.file_error ? WEIR_END_ERROR : WEIR_END_LOST;
}

static bool is_closed_well(const struct weir_conn *c)
{
	return c->cause == WEIR_END_CLOSED || c->cause == WEIR_END_PEER ||
	       c->cause == WEIR_END_DRAIN;
}

static enum step go_on_closing(struct weir_conn *c)
{
	int rc;

	if (c->is_spawned)
		return end_now(c, c->cause);
	rc = wr_conn_flush(c);
	if (rc < 0 && is_closed_well(c))
		(void)note_error(c, rc);
	if (rc == -ECANCELED)
		return end_now(c, WEIR_END_CUT);
	if (rc == -ESHUTDOWN) /* a handshake that a stop has ended */
		return end_now(c, c->cause);
	if (rc < 0) {
		/* the handler's error is logged already */
		if (c->out.file_error || c->cause != WEIR_END_ERROR)
			log_output_error(c, rc);
		return end_now(c, is_closed_well(c)
					  ? end_of_failed_output(c, rc)
					  : c->cause);
	}
	if (rc == WR_FLUSH_YIELDED)
		return STEP_AGAIN;
	if (rc == WR_FLUSH_STALLED)
		return STEP_PARK;
	run_close_callbacks(c);
	wr_conn_finish(c);
	return STEP_GONE;
}

static enum step begin_close(struct weir_conn *c, int end)
{
	wr_conn_begin_close(c);
	c->cause = (uint8_t)end;
	c->outcome = (uint8_t)outcome_of(c, end);
	c->in.is_ready = false;
	return go_on_closing(c);
}

static enum step log_and_close(struct weir_conn *c, const char *what, int rc)
{
	log_failure(c, what, note_error(c, rc));
	return begin_close(c, WEIR_END_ERROR);
}

static WR_INLINE void add_events(struct weir_conn *c, uint32_t events)
{
	if (events & (WR_EV_IN | WR_EV_HUP)) {
		c->in.is_ready = true;
		wr_conn_input_came(c);
	}
	if (events & WR_EV_HUP)
		c->in.has_exceptions = true;
	if (events & WR_EV_DEADLINE)
		wr_conn_forget_check(c);
	c->events |= events;
}

/* A later event makes wr_owner_release() fail. */
static WR_INLINE void note_events(struct weir_conn *c)
{
	if (wr_owner_peek(&c->owner))
		add_events(c, wr_owner_fetch(&c->owner));
}

static bool take_event(struct weir_conn *c, uint32_t event)
{
	if (!(c->events & event))
		return false;
	c->events &= ~event;
	return true;
}

static inline bool is_room_due(const struct weir_conn *c)
{
	return c->events & WR_EV_ROOM && wr_conn_has_room(c);
}

/* A connection that wakes itself is queued behind the others. */
static WR_INLINE enum step wait_for_events(struct weir_conn *c)
{
	note_events(c);
	c->call.woken_again = c->events & WR_EV_WAKE || is_room_due(c);
	return c->call.woken_again ? STEP_AGAIN : STEP_ON;
}

/* Many peers omit TLS's own end; between messages nothing can be missing. */
static int end_of_lost(const struct weir_conn *c)
{
	bool is_whole = c->layer && c->layer->is_truncated &&
			!c->layer->is_torn && wr_buffer_len(&c->in.buf) == 0 &&
			c->in.message_at == 0 && !wr_conn_has_output(c);

	return is_whole ? WEIR_END_PEER : WEIR_END_LOST;
}

/* After wr_conn_input_probe(). */
static int end_of_look(int rc)
{
	return rc == -ECANCELED ? WEIR_END_CUT : WEIR_END_LOST;
}

static enum step lose(struct weir_conn *c, int rc)
{
	if (note_error(c, rc) == -ECANCELED)
		return end_now(c, WEIR_END_CUT);
	return begin_close(c, end_of_lost(c));
}

static bool is_reset(struct weir_conn *c)
{
	return c->in.error && wr_conn_is_lost(c, c->in.error);
}

/* True also if the handler was called for the end and did not look. */
static bool knows_end(struct weir_conn *c)
{
	if (c->call.input == WR_INPUT_EOF || c->rare & WR_RARE_END_GIVEN ||
	    is_reset(c))
		return true;
	return c->call.input == WR_INPUT_NOT_ASKED &&
	       c->call.why == WEIR_INPUT && wr_conn_input_is_over(c);
}

/* Unsent output kept the input from the handler, or still does. */
static bool is_held(const struct weir_conn *c)
{
	return c->call.input == WR_INPUT_BACKPRESSURE ||
	       wr_conn_is_congested(c);
}

/*
 * True: the handler is called for the rest of the input: once in any case, then
 * as long as each call takes a message or the input is held.
 */
static bool note_end_given(struct weir_conn *c)
{
	bool is_news = !(c->rare & WR_RARE_END_GIVEN);

	c->rare |= WR_RARE_END_GIVEN;
	c->in.is_ready = true;
	c->in.message_at = 0; /* nothing more comes */
	return wr_buffer_len(&c->in.buf) > 0 &&
	       (is_news || c->call.messages > 0 || is_held(c));
}

static enum step end_of_input(struct weir_conn *c)
{
	bool is_for_input = c->call.why == WEIR_INPUT;

	if (is_reset(c))
		return lose(c, c->in.error);
	if (c->call.why != WEIR_DRAIN &&
	    (note_end_given(c) ||
	     (!is_for_input && wr_buffer_len(&c->in.buf) > 0)))
		return STEP_AGAIN;
	return begin_close(c, WEIR_END_PEER);
}

static enum step turn_input_off(struct weir_conn *c)
{
	c->rare |= WR_RARE_INPUT_OFF;
	c->in.message_at = 0;
	c->wait_at = c->ctx->now;
	return wait_for_events(c);
}

static enum step pause_input(struct weir_conn *c)
{
	c->call.drain_deferred = c->call.why == WEIR_DRAIN;
	if (c->call.input == WR_INPUT_EOF)
		c->rare |= WR_RARE_END_GIVEN;
	return turn_input_off(c);
}

/* The handler can get more input without an event. */
static bool has_more(const struct weir_conn *c, bool waits)
{
	bool wants_new = waits && c->call.saw_eagain;

	return c->call.input != WR_INPUT_EMPTY && !wants_new &&
	       (wr_buffer_len(&c->in.buf) > 0 || c->in.is_ready);
}

/* After WEIR_AGAIN, or WEIR_WAIT (waits). */
static WR_INLINE enum step call_again(struct weir_conn *c, bool waits)
{
	switch (c->call.input) {
	case WR_INPUT_EOF:
		return end_of_input(c);
	case WR_INPUT_BUDGET:
		return STEP_AGAIN;
	case WR_INPUT_BACKPRESSURE:
		c->in.message_at = 0; /* it is not late: we do not read */
		return wr_conn_is_readable(c) ? STEP_AGAIN : wait_for_events(c);
	default:
		break;
	}
	if (c->call.why == WEIR_DRAIN)
		return begin_close(c, WEIR_END_DRAIN);
	if (waits && !c->call.saw_eagain && c->call.why == WEIR_INPUT)
		return log_and_close(c,
				     "the handler said WEIR_WAIT though no "
				     "input call said -EAGAIN: a bug in the "
				     "program",
				     0);
	if (has_more(c, waits)) {
		c->in.is_ready = true;
		return knows_end(c) ? end_of_input(c) : STEP_AGAIN;
	}
	if (wr_buffer_len(&c->in.buf) > 0 && c->in.message_at == 0)
		c->in.message_at = c->ctx->now;
	return wait_for_events(c);
}

static enum step keep_open(struct weir_conn *c)
{
	c->call.drain_deferred = c->call.why == WEIR_DRAIN;
	if (is_reset(c))
		return lose(c, c->in.error);
	if (knows_end(c))
		return note_end_given(c) ? STEP_AGAIN : turn_input_off(c);
	if (c->call.why != WEIR_DRAIN)
		return call_again(c, false);
	if (c->call.input == WR_INPUT_BACKPRESSURE)
		c->in.message_at = 0; /* as in call_again() */
	return c->call.input == WR_INPUT_BUDGET ? STEP_AGAIN : STEP_ON;
}

static int end_of_served(const struct weir_conn *c, int verdict)
{
	if (c->call.input == WR_INPUT_EOF)
		return WEIR_END_PEER;
	if (c->events & WR_EV_CLOSE)
		return WEIR_END_CLOSED;
	return verdict == -ESHUTDOWN || c->call.why == WEIR_DRAIN
		       ? WEIR_END_DRAIN
		       : WEIR_END_CLOSED;
}

/* No verdict can keep a spawned session: it has no peer to wait for. */
static enum step end_spawned(struct weir_conn *c, int verdict)
{
	if (atomic_load(&c->is_cut))
		return end_now(c, WEIR_END_CUT);
	if (verdict == WEIR_CLOSE || verdict == -ESHUTDOWN)
		return end_now(c, end_of_served(c, verdict));
	return log_and_close(c, verdict < 0 ? "" : no_verdict,
			     verdict < 0 ? verdict : 0);
}

/* No input call said -EAGAIN: it is an error of a dial or a lookup, say. */
static bool is_of_another_call(const struct weir_conn *c)
{
	return !c->call.saw_eagain &&
	       (c->service->set.session != NULL || c->call.why == WEIR_OPENED);
}

static WR_INLINE enum step apply_verdict(struct weir_conn *c, int verdict)
{
	(void)note_error(c, verdict);
	if (c->is_spawned)
		return end_spawned(c, verdict);
	if (c->fd < 0) /* detached */
		return end_now(c, WEIR_END_CLOSED);
	if (atomic_load(&c->is_cut))
		return end_now(c, WEIR_END_CUT);
	switch (verdict) {
	case -EAGAIN:
		if (is_of_another_call(c))
			break;
		return call_again(c, true);
	case WEIR_AGAIN:
	case WEIR_WAIT:
		return call_again(c, verdict == WEIR_WAIT);
	case WEIR_KEEP:
		return keep_open(c);
	case WEIR_PAUSE:
		return pause_input(c);
	case WEIR_CLOSE:
	case -ESHUTDOWN:
		return begin_close(c, end_of_served(c, verdict));
	case -EPIPE:
	case -ECONNRESET:
		return begin_close(c, end_of_lost(c));
	case -ETIMEDOUT:
		if (c->call.timed_out == 0)
			break;
		log_deadline(c, c->call.timed_out);
		return begin_close(c, c->call.timed_out);
	default:
		break;
	}
	if (verdict > 0)
		return log_and_close(c, no_verdict, 0);
	if (verdict == -EIO && c->out.file_error)
		return begin_close(c, WEIR_END_ERROR); /* flush logs it */
	if (wr_conn_is_lost(c, verdict))
		return begin_close(c, WEIR_END_LOST);
	return log_and_close(c, "", verdict);
}

/* A session on a worker polls its socket itself. */
static void unwatch(struct weir_conn *c)
{
	if (c->interest)
		wr_poller_remove(&c->core->poller, c->fd);
	c->interest = 0;
	wr_conn_set_due(c, WR_NEVER_AT);
}

/* ns: of the call, or of its last part. */
static WR_INLINE void note_call(struct weir_conn *c, uint64_t ns)
{
	struct wr_context *ctx = c->ctx;
	struct wr_listener_counts *counts =
		wr_counts_of(c->service, ctx->stats);

	if (counts) {
		wr_count_own(&counts->traffic.callbacks, 1);
		wr_count_own(&counts->callback_ns, ns);
	} else {
		wr_count_own(&ctx->stats->traffic.callbacks, 1);
	}
	wr_conn_set_active(c, ctx->now);
	if (c->call.input >= WR_INPUT_BACKPRESSURE || c->in.end == WR_IN_EOF)
		c->in.is_ready = true;
	else if (c->call.input != WR_INPUT_NOT_ASKED)
		c->in.is_ready = !c->in.would_block;
}

static WR_INLINE int call_handler(struct weir_conn *c, int why,
				  weir_handler_fn *fn)
{
	struct wr_context *ctx = c->ctx;
	uint64_t ns;
	int verdict;

	if (c->service->set.session)
		unwatch(c);
	c->call = (struct wr_call){ .why = (uint8_t)why };
	wr_context_enter(c->ctx, c);
	WR_PROBE2(callback__begin, c->id, why);
	verdict = fn(c, c->service->set.arg);
	WR_PROBE2(callback__end, c->id, verdict);
	ns = wr_context_leave(ctx);
	flush_others(ctx);
	note_call(c, ns);
	return verdict;
}

static enum step apply_expired(struct weir_conn *c, int verdict, bool was_off);

static enum step leave_session(struct weir_conn *c)
{
	switch ((enum wr_wait)c->wait_for) {
	case WR_WAIT_TURN:
		return STEP_AGAIN;
	case WR_WAIT_INPUT:
	case WR_WAIT_REST:
		wr_conn_note_wait(c, c->wait_for == WR_WAIT_REST);
		return STEP_ON;
	default:
		return STEP_ON;
	}
}

static enum step resume_session(struct weir_conn *c, int rc)
{
	struct wr_context *ctx = c->ctx;
	uint64_t ns;
	int verdict;
	bool is_over;

	wr_context_enter(ctx, c);
	is_over = wr_session_resume(c, rc, &verdict);
	ns = wr_context_leave(ctx);
	flush_others(ctx);
	if (!is_over) {
		WR_COUNT_LISTENER(c->service, ctx->stats, callback_ns, ns);
		return leave_session(c);
	}
	WR_PROBE2(callback__end, c->id, verdict);
	note_call(c, ns);
	return c->call.why == WEIR_EXPIRED
		       ? apply_expired(c, verdict, c->call.was_off)
		       : apply_verdict(c, verdict);
}

static enum step go_without_stack(struct weir_conn *c, bool is_first, int rc)
{
	bool has_expired = c->call.why == WEIR_EXPIRED;

	if (is_first)
		c->call.why = 0;
	if (has_expired) {
		log_failure(c, "no stack for its last callback: ", rc);
		log_deadline(c, c->cause);
		return begin_close(c, c->cause);
	}
	if (!is_first || c->is_dialled)
		return log_and_close(c, "no stack for its session: ", rc);
	log_failure(c, "no stack for its session: ", rc);
	wr_conn_refuse(c, WR_OUTCOME_REFUSED_LIMIT,
		       "there is no stack for its session");
	return STEP_GONE;
}

static enum step begin_session(struct weir_conn *c, int why, bool was_off)
{
	bool is_first = c->call.why == 0;
	int rc;

	c->call = (struct wr_call){ .why = (uint8_t)why, .was_off = was_off };
	rc = wr_session_begin(c);
	if (rc < 0)
		return go_without_stack(c, is_first, rc);
	WR_PROBE2(callback__begin, c->id, why);
	return resume_session(c, 0);
}

/*
 * A session that ignores errors must not run without end: after a second
 * failure without a park in between it goes behind the others first.
 */
static enum step end_session_wait(struct weir_conn *c, int rc)
{
	if (rc == 0 || !c->call.wait_failed || c->wait_for == WR_WAIT_TURN)
		return resume_session(c, rc);
	wr_session_defer(c, rc);
	return STEP_AGAIN;
}

static enum step go_on_session(struct weir_conn *c)
{
	int rc;

	switch (wr_session_next(c, &rc)) {
	case WR_SESSION_RESUME:
		return end_session_wait(c, rc);
	case WR_SESSION_AGAIN:
		return STEP_AGAIN;
	case WR_SESSION_PARK:
	default:
		return STEP_PARK;
	}
}

static enum step run_callback(struct weir_conn *c, int why, weir_handler_fn *fn)
{
	if (c->service->stacks)
		return begin_session(c, why, false);
	return apply_verdict(c, call_handler(c, why, fn));
}

/*
 * The verdict says whether the handler is called for input from now on.  If a
 * pause goes on, its deadline stays.  A timer does not restart the idle time.
 */
static enum step call_aside(struct weir_conn *c, int why)
{
	bool was_off = c->rare & WR_RARE_INPUT_OFF;
	int64_t wait_at = c->wait_at, active_at = c->active_at;
	enum step step;

	c->rare &= (uint8_t)~WR_RARE_INPUT_OFF;
	step = run_callback(c, why, c->service->set.readable);
	if (step == STEP_GONE || c->call.messages > 0)
		return step;
	if (was_off && !(c->rare & WR_RARE_INPUT_OFF)) {
		c->wait_at = c->ctx->now;
		return step;
	}
	if (was_off)
		c->wait_at = wait_at;
	if (why == WEIR_TIMER)
		wr_conn_set_active(c, active_at);
	return step;
}

/*
 * A handler that knows the end of the input and waits for more means WEIR_KEEP.
 * A session that had turned its input off has returned: a call for input would
 * begin a second session.
 */
static int keep_expired(struct weir_conn *c, int verdict, bool was_off)
{
	if (verdict != WEIR_AGAIN && verdict != WEIR_WAIT &&
	    verdict != WEIR_KEEP && verdict != -EAGAIN)
		return verdict;
	if (was_off && c->service->set.session)
		return WEIR_PAUSE;
	return knows_end(c) ? WEIR_KEEP : verdict;
}

/* A verdict that keeps the connection restarts the deadline. */
static enum step apply_expired(struct weir_conn *c, int verdict, bool was_off)
{
	int end = c->cause;

	if (c->fd >= 0 && (verdict == WEIR_CLOSE || verdict == -ETIMEDOUT ||
			   end == WEIR_END_LIFETIME)) {
		log_deadline(c, end);
		return begin_close(c, end);
	}
	c->cause = WEIR_END_NONE;
	c->is_evicted = false;
	c->wait_at = c->ctx->now;
	c->in.message_at = 0;
	return apply_verdict(c, keep_expired(c, verdict, was_off));
}

static enum step call_expired(struct weir_conn *c, int end)
{
	bool was_off = c->rare & WR_RARE_INPUT_OFF;

	c->rare &= (uint8_t)~WR_RARE_INPUT_OFF;
	c->cause = (uint8_t)end;
	if (c->service->stacks)
		return begin_session(c, WEIR_EXPIRED, was_off);
	return apply_expired(
		c, call_handler(c, WEIR_EXPIRED, c->service->set.expired),
		was_off);
}

/* Not after write_ms: the peer would not read what `expired` writes. */
static bool may_call_expired(const struct weir_conn *c, int end)
{
	const struct weir_service *sv = &c->service->set;

	return sv->expired && c->end == WR_END_OPEN && end != WEIR_END_WRITE &&
	       !(c->rare & WR_RARE_PROXY) && c->layered != WR_LAYER_WANTED &&
	       (c->call.why != 0 || !sv->opened);
}

static enum step expire(struct weir_conn *c)
{
	int end = wr_conn_due_end(c);

	if (may_call_expired(c, end))
		return call_expired(c, end);
	log_deadline(c, end);
	if (c->end != WR_END_OPEN || wr_conn_has_output(c) ||
	    c->layered == WR_LAYER_WANTED)
		return end_now(c, end);
	return begin_close(c, end);
}

static bool note_timer(struct weir_conn *c)
{
	bool has_passed = wr_conn_take_timer(c);

	if (has_passed)
		c->events |= WR_EV_TIMER;
	return has_passed;
}

static enum step turn_away(struct weir_conn *c, int outcome, const char *why)
{
	struct wr_core *core = c->core;

	wr_conn_turn_away(c, outcome, why);
	wr_core_notify_capacity(core); /* it no longer counts */
	return STEP_GONE;
}

static enum step end_without_header(struct weir_conn *c, int rc,
				    const char *wrong)
{
	char why[128];

	switch (note_error(c, rc)) {
	case -EACCES:
		return turn_away(c, WR_OUTCOME_REFUSED_PROXY, NULL);
	case -EPROTO:
		(void)snprintf(why, sizeof(why), "a wrong PROXY header: %s",
			       wrong);
		return turn_away(c, WR_OUTCOME_REFUSED_HEADER, why);
	case -ENODATA:
		return end_now(c, WEIR_END_PEER);
	case -ECANCELED:
		return end_now(c, WEIR_END_CUT);
	default:
		if (wr_conn_is_lost(c, rc))
			return end_now(c, WEIR_END_LOST);
		log_failure(c, "cannot read its PROXY header: ", rc);
		return end_now(c, WEIR_END_ERROR);
	}
}

/*
 * Rules cannot judge a header without a client, or with a client that came to
 * the proxy through a Unix socket.  On a Unix listener they judge the process
 * that has connected.
 */
static bool is_client_known(const struct weir_conn *c,
			    const struct wr_client *client)
{
	return c->proxy && !(c->is_tcp && client->peer->sa_family == AF_UNIX);
}

static enum step judge_client(struct weir_conn *c)
{
	struct wr_core *core = c->core;
	struct sockaddr_storage addr;
	struct wr_client client = {
		.service = c->service,
		.fd = c->fd,
		.peer = (struct sockaddr *)&addr,
		.is_unproven = c->is_unproven,
		.now = c->ctx->now,
	};
	int outcome;

	client.peer_len = (socklen_t)wr_conn_client(c, &addr);
	if (!is_client_known(c, &client))
		return STEP_ON;
	outcome = wr_admission_judge(&core->admission, &core->config,
				     c->ctx->stats, &client, &c->peer.source);
	if (outcome == WR_ADMITTED)
		return STEP_ON;
	wr_conn_refuse(c, outcome, NULL);
	wr_core_notify_capacity(core); /* it no longer counts */
	return STEP_GONE;
}

/* What has come is read first; park() checks the deadline. */
static enum step go_on_without_header(struct weir_conn *c)
{
	bool drains = wr_core_phase(c->core) >= WR_PHASE_DRAINING;
	const char *wrong = NULL;
	int rc;

	if (atomic_load(&c->is_cut))
		return end_now(c, WEIR_END_CUT);
	(void)take_event(c, WR_EV_DEADLINE);
	if (drains && !c->in.is_ready)
		c->in.is_ready = wr_conn_input_probe(c) != 0;
	rc = wr_conn_take_header(c, &wrong);
	if (rc < 0)
		return end_without_header(c, rc, wrong);
	if (rc > 0)
		return judge_client(c);
	if (wr_conn_evict(c)) {
		log_deadline(c, WEIR_END_HANDSHAKE);
		return end_now(c, WEIR_END_HANDSHAKE);
	}
	return drains && c->ctx->now >= wr_conn_drain_until(c, true)
		       ? end_now(c, WEIR_END_DRAIN)
		       : STEP_PARK;
}

/*
 * The drain callback comes last: after input that is there, queued output, and
 * a short wait for a first or an incomplete message.  It does not wait for work
 * that a handler makes for itself, by waking itself or by writing whenever
 * there is room: that may never end.
 */
static bool should_check_drain(const struct weir_conn *c)
{
	if (c->call.woken_again || c->events & WR_EV_ROOM ||
	    c->call.input == WR_INPUT_BACKPRESSURE)
		return true;
	return (c->events & WR_EV_DRAIN) && !(c->events & WR_EV_WAKE) &&
	       (c->rare & WR_RARE_INPUT_OFF || !wr_conn_is_readable(c));
}

/* 1: now; 0: not yet; -errno: peer gone, or a cut. */
static int drain_is_due(struct weir_conn *c)
{
	int rc;

	if (!should_check_drain(c))
		return 0;
	c->events &= ~(uint32_t)WR_EV_DRAIN;
	if (wr_conn_is_congested(c))
		return 0;
	rc = wr_conn_input_find(c);
	if (rc < 0)
		return rc;
	if (c->rare & WR_RARE_INPUT_OFF)
		return !c->call.drain_deferred;
	return rc == 0 && !c->call.drain_deferred &&
	       c->ctx->now >=
		       wr_conn_drain_until(c, wr_buffer_len(&c->in.buf) > 0);
}

static enum step call_drain(struct weir_conn *c)
{
	if (c->service->set.readable == NULL)
		return begin_close(c, WEIR_END_DRAIN);
	return call_aside(c, WEIR_DRAIN);
}

/* Its handler is not called for input, but a reset ends it. */
static enum step leave_input(struct weir_conn *c, enum step rest)
{
	int rc = 0;

	if (is_reset(c))
		rc = c->in.error;
	else if (take_event(c, WR_EV_HUP))
		rc = wr_conn_input_probe(c);
	if (rc >= 0)
		return rest;
	(void)note_error(c, rc);
	return end_now(c, end_of_look(rc));
}

static enum step flush_output(struct weir_conn *c)
{
	int rc = wr_conn_flush(c);

	if (rc >= 0)
		return rc == WR_FLUSH_YIELDED ? STEP_AGAIN : STEP_PARK;
	(void)note_error(c, rc);
	log_output_error(c, rc);
	return end_now(c, end_of_failed_output(c, rc));
}

/* STEP_GONE, or the step to take if nothing but output is left. */
static WR_INLINE enum step push_output(struct weir_conn *c)
{
	return take_event(c, WR_EV_OUT) || wr_conn_has_output(c)
		       ? flush_output(c)
		       : STEP_PARK;
}

static bool is_due_for_input(struct weir_conn *c)
{
	int end = wr_conn_due_end(c);

	return end == WEIR_END_FIRST_BYTE || end == WEIR_END_READ ||
	       end == WEIR_END_IDLE;
}

/*
 * Input that came in time but was not read, because the process was stopped or
 * the machine busy, is served first, once: park() checks the deadline again.
 */
static enum step check_due(struct weir_conn *c)
{
	int rc;

	(void)note_timer(c);
	if (!wr_conn_evict(c) && wr_conn_due_at(c) > c->ctx->now)
		return STEP_ON;
	if (!is_due_for_input(c))
		return expire(c);
	if (c->in.is_ready)
		return STEP_ON;
	rc = wr_conn_input_find(c);
	if (rc < 0)
		return lose(c, rc);
	return rc > 0 ? STEP_ON : expire(c);
}

/* A handler can cause each of these itself in every call: they take turns. */
static const struct turn {
	uint8_t why;
	uint32_t event; /* 0: input */
} turns[] = {
	{ WEIR_INPUT, 0 },
	{ WEIR_WAKE, WR_EV_WAKE },
	{ WEIR_TIMER, WR_EV_TIMER },
	{ WEIR_WRITABLE, WR_EV_ROOM },
};
#define TURNS wr_array_len(turns)

static bool is_reason_due(const struct weir_conn *c, uint32_t event)
{
	if (event == 0)
		return wr_conn_is_readable(c) && !(c->rare & WR_RARE_INPUT_OFF);
	return event == WR_EV_ROOM ? is_room_due(c) : c->events & event;
}

/* The next reason that is due, in rotation from that of the last call. */
static const struct turn *next_turn(const struct weir_conn *c)
{
	size_t last = TURNS - 1;

	while (last > 0 && turns[last].why != c->call.why)
		last--;
	for (size_t i = last + 1; i < last + TURNS; i++)
		if (is_reason_due(c, turns[i % TURNS].event))
			return &turns[i % TURNS];
	return &turns[last];
}

/* STEP_PARK: it is the turn of the input, or nothing is due. */
static enum step call_in_turn(struct weir_conn *c)
{
	const struct turn *turn = next_turn(c);

	if (turn->event == 0 || !is_reason_due(c, turn->event))
		return STEP_PARK;
	c->events &= ~turn->event;
	return c->service->set.readable ? call_aside(c, turn->why) : STEP_ON;
}

static int make_layer(struct weir_conn *c)
{
	struct weir_layer *from = wr_service_ref_layer(c->service);
	int rc = wr_layer_make(c, from, NULL);

	from->maker->unref(from);
	return rc;
}

/*
 * "Handshakes leave half of the pool free": further handshakes wait in a list,
 * and the end of a step puts the next one from it on the ready list.
 */
static bool may_shake(const struct wr_core *core)
{
	int most = core->config.set.workers / 2;

	return core->handshakes.running < (most ? most : 1);
}

static bool begin_handshake(struct weir_conn *c)
{
	struct wr_core *core = c->core;
	bool may_run;

	wr_lock(&core->lock);
	may_run = may_shake(core);
	if (may_run) {
		core->handshakes.running++;
	} else {
		wr_conn_input_tidy(c);
		wr_conn_move(c, c->ctx->stats, WR_CONN_READY);
		c->node.next = NULL;
		if (core->handshakes.last)
			core->handshakes.last->next = &c->node;
		else
			core->handshakes.first = &c->node;
		core->handshakes.last = &c->node;
	}
	wr_unlock(&core->lock);
	return may_run;
}

/* ended: how many steps have.  With room, the next in the list is queued. */
static void pass_handshake(struct wr_core *core, int ended)
{
	struct wr_node *next;

	wr_lock(&core->lock);
	core->handshakes.running -= ended;
	next = may_shake(core) ? core->handshakes.first : NULL;
	if (next)
		core->handshakes.first = next->next;
	if (core->handshakes.first == NULL)
		core->handshakes.last = NULL;
	wr_unlock(&core->lock);
	if (next)
		wr_sched_submit(&core->sched, WR_QUEUE_READY, next, 0);
}

/* A step may take milliseconds: another worker takes the other work. */
static int shake_hands(struct weir_conn *c)
{
	int rc;

	wr_sched_hand_off(&c->core->sched);
	rc = wr_layer_handshake(c);
	c->ctx->now = wr_now_ns();
	pass_handshake(c->core, 1);
	return rc;
}

/* The layer may have sent the reason, which no reset may destroy. */
static enum step fail_handshake(struct weir_conn *c, int rc)
{
	if (note_error(c, rc) == -ECANCELED || atomic_load(&c->is_cut))
		return end_now(c, WEIR_END_CUT);
	if (!wr_conn_is_lost(c, rc))
		log_failure(c, "no handshake: ", rc);
	c->cause = wr_conn_is_lost(c, rc) ? WEIR_END_LOST : WEIR_END_ERROR;
	c->outcome = (uint8_t)outcome_of(c, c->cause);
	run_close_callbacks(c);
	wr_conn_finish(c);
	return STEP_GONE;
}

static enum step go_on_handshake(struct weir_conn *c)
{
	int rc = 0;

	if (c->layer == NULL)
		rc = make_layer(c);
	if (rc == 0 && !begin_handshake(c))
		return STEP_GONE;
	if (rc == 0)
		rc = shake_hands(c);
	if (rc < 0)
		return fail_handshake(c, rc);
	if (rc == 0)
		c->in.is_ready = false;
	return rc > 0 ? STEP_ON : STEP_PARK;
}

static bool has_step(const struct weir_conn *c)
{
	if (c->in.is_ready)
		return true;
	return c->layer ? !c->layer->has_begun : c->service->layer_speaks_first;
}

static bool is_idle_in_drain(struct weir_conn *c)
{
	if (wr_core_phase(c->core) < WR_PHASE_DRAINING)
		return false;
	if (!c->in.is_ready && wr_conn_input_probe(c) != 0) {
		wr_conn_input_came(c);
		c->in.is_ready = true;
	}
	return !has_step(c) && c->ctx->now >= wr_conn_drain_until(c, true);
}

static int end_without_layer(struct weir_conn *c)
{
	if (atomic_load(&c->is_cut))
		return WEIR_END_CUT;
	if (take_event(c, WR_EV_CLOSE))
		return WEIR_END_CLOSED;
	(void)take_event(c, WR_EV_DEADLINE);
	if (wr_conn_due_at(c) <= c->ctx->now)
		return wr_conn_due_end(c);
	if (!has_step(c) && wr_conn_evict(c))
		return WEIR_END_HANDSHAKE;
	return is_idle_in_drain(c) ? WEIR_END_DRAIN : WEIR_END_NONE;
}

/* If it makes no step of its handshake, the next in the list can. */
static enum step go_on_without_layer(struct weir_conn *c)
{
	int end = end_without_layer(c), rc;

	(void)take_event(c, WR_EV_OUT);
	rc = end ? 0 : wr_conn_flush(c);
	if (!end && rc >= 0 && has_step(c))
		return go_on_handshake(c);
	pass_handshake(c->core, 0);
	if (rc < 0)
		return fail_handshake(c, rc);
	if (end == WEIR_END_LIFETIME || end == WEIR_END_HANDSHAKE)
		log_deadline(c, end);
	return end ? end_now(c, end) : STEP_PARK;
}

/*
 * The end of the handshake, or an error, ends the wait of the session.  The
 * connection does not end while the session runs.
 */
static enum step go_on_for_session(struct weir_conn *c)
{
	if (!has_step(c) || c->in.error)
		return STEP_ON;
	if (!begin_handshake(c))
		return STEP_GONE;
	c->in.is_ready = shake_hands(c) != 0;
	return STEP_ON;
}

static bool wants_input(const struct weir_conn *c)
{
	return c->in.is_ready && !c->in.would_block && c->end == WR_END_OPEN &&
	       !(c->rare & WR_RARE_INPUT_OFF) &&
	       (c->coro || wr_buffer_len(&c->in.buf) == 0) &&
	       !wr_conn_is_congested(c);
}

/* What the socket has may be bytes of the layer, and no input. */
static enum step go_on_layer(struct weir_conn *c)
{
	enum step step = STEP_ON;

	if (c->layered == WR_LAYER_WANTED && c->coro)
		return go_on_for_session(c);
	if (c->layered == WR_LAYER_WANTED)
		step = go_on_without_layer(c);
	if (step == STEP_ON && c->layered == WR_LAYER_UP && wants_input(c))
		c->in.is_ready = wr_layer_look(c) != WR_LOOK_NOTHING;
	return step;
}

/* Nothing can come or go. */
static bool is_finished(struct weir_conn *c)
{
	const int ended = WR_RARE_INPUT_OFF | WR_RARE_END_GIVEN;

	return (c->rare & ended) == ended && wr_conn_output_is_over(c);
}

static WR_INLINE enum step call_for_input(struct weir_conn *c)
{
	const struct weir_service *sv = &c->service->set;

	return run_callback(c, WEIR_INPUT,
			    sv->readable ? sv->readable : sv->session);
}

/* Only input or output can be its next step. */
static WR_INLINE bool is_plain(const struct weir_conn *c)
{
	const uint32_t plain = WR_EV_IN | WR_EV_OUT | WR_EV_HUP;

	return (c->rare | c->layered | c->end) == 0 &&
	       c->call.why == WEIR_INPUT && (c->events & ~plain) == 0 &&
	       c->coro == NULL && !atomic_load(&c->is_cut) &&
	       wr_core_phase(c->core) < WR_PHASE_DRAINING;
}

static enum step go_on_plain(struct weir_conn *c)
{
	enum step rest = push_output(c);

	if (rest == STEP_GONE || !wr_conn_is_readable(c))
		return rest;
	return call_for_input(c);
}

static enum step choose_step(struct weir_conn *c)
{
	const struct weir_service *sv = &c->service->set;
	enum step step, rest;
	int rc;

	if (c->rare & WR_RARE_PROXY) {
		step = go_on_without_header(c);
		if (step != STEP_ON)
			return step;
	}
	if (c->layered) {
		step = go_on_layer(c);
		if (step != STEP_ON)
			return step;
	}
	if (c->coro)
		return go_on_session(c);
	if (atomic_load(&c->is_cut))
		return end_now(c, WEIR_END_CUT);
	/* Before the deadline: sending shows what the peer has taken. */
	if (c->end != WR_END_OPEN)
		return go_on_closing(c); /* park() checks the deadline */
	rest = push_output(c);
	if (rest == STEP_GONE)
		return STEP_GONE;
	if (take_event(c, WR_EV_DEADLINE)) {
		step = check_due(c);
		if (step != STEP_ON)
			return step;
	}
	if (take_event(c, WR_EV_CLOSE))
		return begin_close(c, WEIR_END_CLOSED);
	if (is_finished(c))
		return begin_close(c, WEIR_END_PEER);
	if (sv->opened && c->call.why == 0)
		return run_callback(c, WEIR_OPENED, sv->opened);
	if (sv->speaks_first && c->call.why == 0)
		return run_callback(c, WEIR_OPENED, sv->session);
	rc = wr_core_phase(c->core) < WR_PHASE_DRAINING ? 0 : drain_is_due(c);
	if (rc != 0)
		return note_error(c, rc) < 0 ? end_now(c, end_of_look(rc))
					     : call_drain(c);
	if (c->events & (WR_EV_WAKE | WR_EV_TIMER | WR_EV_ROOM)) {
		step = call_in_turn(c);
		if (step != STEP_PARK)
			return step;
	}
	if (!wr_conn_is_readable(c))
		return rest;
	if (c->rare & WR_RARE_INPUT_OFF)
		return leave_input(c, rest);
	return call_for_input(c);
}

/* Input that was seen and left unread is not reported again. */
static WR_INLINE void expect_edges(struct weir_conn *c, unsigned interest)
{
	bool in = c->in.end == WR_IN_OPEN &&
		  (c->in.would_block || !c->in.is_ready);

	wr_poller_expect(&c->core->poller, c->fd,
			 (in ? WR_POLL_IN : 0) | (interest & WR_POLL_OUT));
}

static int change_interest(struct weir_conn *c, unsigned interest)
{
	int rc;

	if (c->interest)
		rc = wr_poller_change(&c->core->poller, c->fd, interest,
				      wr_conn_key(c));
	else
		rc = wr_poller_add(&c->core->poller, c->fd, interest,
				   wr_conn_key(c));
	if (rc == 0)
		c->interest = (uint8_t)interest;
	return rc;
}

static WR_INLINE int update_interest(struct weir_conn *c)
{
	bool out = wr_conn_has_output(c) ||
		   (c->coro && c->wait_for == WR_WAIT_OUTPUT);
	unsigned interest = WR_POLL_IN | WR_POLL_EDGE | (out ? WR_POLL_OUT : 0);

	if (interest & ~(unsigned)c->interest && c->fd >= 0)
		return change_interest(c, interest);
	expect_edges(c, interest);
	return 0;
}

static void log_unwatched(struct weir_conn *c, int rc)
{
	if (rc == -ENOSPC)
		log_failure(c, "cannot be watched: " WR_NO_WATCH_LEFT, 0);
	else
		log_failure(c, "cannot be watched: ", rc);
}

static WR_INLINE enum step watch(struct weir_conn *c)
{
	int rc = update_interest(c);

	if (rc == 0)
		return STEP_ON;
	log_unwatched(c, note_error(c, rc));
	return end_now(c, WEIR_END_ERROR);
}

static WR_INLINE enum step park_until(struct weir_conn *c, int64_t at)
{
	struct wr_context *ctx = c->ctx;

	wr_conn_input_tidy(c);
	wr_conn_set_due(c, at);
	wr_conn_enter_parked(c, ctx->stats);
	if (wr_owner_release(&c->owner))
		return STEP_GONE;
	wr_conn_leave_parked(c, ctx->stats);
	return STEP_ON;
}

/* A deadline does not end a session, but is the result of its wait. */
static enum step park_session(struct weir_conn *c)
{
	int64_t at = wr_session_due_at(c);
	int rc;

	if (at <= c->ctx->now) {
		c->events |= WR_EV_DEADLINE;
		return STEP_ON;
	}
	rc = update_interest(c);
	if (rc == 0) {
		c->call.wait_failed = false;
		wr_session_note_park(c);
		return park_until(c, at);
	}
	log_unwatched(c, rc);
	return end_session_wait(c, rc);
}

static enum step park(struct weir_conn *c)
{
	enum step step;
	int64_t at;

	wr_conn_keep(c);
	if (c->coro)
		return park_session(c);
	at = wr_conn_due_at(c);
	if (at <= c->ctx->now)
		return note_timer(c) ? STEP_AGAIN : expire(c);
	step = watch(c);
	return step == STEP_ON ? park_until(c, at) : step;
}

/* It may never be parked: the poller has to report input that comes. */
static enum step requeue(struct weir_conn *c)
{
	struct wr_context *ctx = c->ctx;

	if (c->coro == NULL && wr_conn_has_outlived(c))
		return expire(c);
	if (c->coro == NULL && c->end == WR_END_OPEN && !c->in.is_ready &&
	    watch(c) == STEP_GONE)
		return STEP_GONE;
	if (wr_conn_due_at(c) <= ctx->now)
		c->events |= WR_EV_DEADLINE;
	wr_conn_input_tidy(c);
	wr_conn_move(c, ctx->stats, WR_CONN_READY);
	wr_sched_requeue(&c->core->sched, &c->node, ctx->now);
	return STEP_GONE;
}

static enum step end_attempt(struct weir_conn *c, int end)
{
	wr_dialled_give_up(c);
	return end_now(c, end);
}

/* Wake-ups and the drain are left until it is connected. */
static enum step go_on_connecting(struct weir_conn *c)
{
	int64_t at;
	int rc;

	if (atomic_load(&c->is_cut))
		return end_attempt(c, WEIR_END_CUT);
	if (take_event(c, WR_EV_CLOSE))
		return end_attempt(c, WEIR_END_CLOSED);
	c->events &=
		~(uint32_t)(WR_EV_OTHER | WR_EV_OTHER_HUP | WR_EV_DEADLINE);
	c->ctx->now = wr_now_ns();
	rc = wr_dialled_connect(c);
	if (rc == -EINPROGRESS) {
		at = wr_connect_next_at(wr_conn_dialled(c)->connect);
		return at > c->ctx->now ? park_until(c, at) : STEP_ON;
	}
	if (note_error(c, rc) < 0)
		return end_attempt(c, WEIR_END_CONNECT);
	c->events |= WR_EV_OUT; /* output, and its end, waited for this */
	return STEP_ON;
}

static WR_INLINE enum step next_step(struct weir_conn *c)
{
	note_events(c);
	if (is_plain(c))
		return go_on_plain(c);
	return c->is_connecting ? go_on_connecting(c) : choose_step(c);
}

void wr_dispatch(struct wr_context *ctx, struct weir_conn *c, uint32_t events)
{
	enum step step = STEP_ON;

	c->ctx = ctx;
	add_events(c, events);
	while (step != STEP_GONE) {
		step = next_step(c);
		if (step == STEP_PARK)
			step = park(c);
		if (step == STEP_AGAIN)
			step = requeue(c);
	}
}

/* Count the wait in the queue.  False: it has ended, as its peer is gone. */
static bool leave_accepted_queue(struct wr_context *ctx, struct weir_conn *c)
{
	uint64_t waited_ns;
	int rc;

	c->ctx = ctx;
	wr_conn_move(c, ctx->stats, WR_CONN_RUNNING);
	wr_share_add(c->service, WR_PLACE_QUEUE, -1);
	wr_core_notify_capacity(c->core);
	waited_ns = wr_count_duration(&ctx->stats->queue_wait,
				      ctx->now - c->node.queued_at);
	WR_COUNT_LISTENER(c->service, ctx->stats, queue_wait_ns, waited_ns);
	rc = wr_conn_input_probe(c);
	if (rc < 0) {
		int end = end_of_look(rc);

		(void)note_error(c, rc);
		if (outcome_of(c, end) == WR_OUTCOME_FAILED)
			wr_count(ctx->stats, &ctx->stats->dead_on_arrival, 1);
		(void)end_now(c, end);
		return false;
	}
	c->in.is_ready = rc > 0;
	return true;
}

static void refuse_too_old(struct weir_conn *c)
{
	struct wr_core *core = c->core;

	wr_conn_refuse(c, WR_OUTCOME_REFUSED_AGE, NULL);
	wr_core_notify_capacity(core); /* it no longer counts */
}

void wr_dispatch_accepted(struct wr_context *ctx, struct weir_conn *c)
{
	int64_t at =
		wr_deadline_at(c->node.queued_at, c->core->config.queue_age_ms);

	if (!leave_accepted_queue(ctx, c))
		return;
	if (ctx->now > at)
		refuse_too_old(c);
	else
		wr_dispatch(ctx, c, 0);
}

void wr_dispatch_too_old(struct wr_context *ctx, struct weir_conn *c)
{
	if (leave_accepted_queue(ctx, c))
		refuse_too_old(c);
}
