/* SPDX-License-Identifier: MIT */
/*
 * run_step() has the steps in order.  The stop ends as soon as no connection is
 * left, which is usually in the drain.
 */
#include "stop.h"

#include "bounds.h"
#include "conn_table.h"
#include "fence.h"
#include "server_timers.h"
#include "sys.h"

int wr_stop_init(struct wr_stop *s, struct wr_accept *accept,
		 struct wr_watch *watch)
{
	*s = (struct wr_stop){ .core = accept->core,
			       .ctx = accept->ctx,
			       .pool = watch->pool,
			       .accept = accept,
			       .deadlines = accept->deadlines,
			       .watch = watch };
	return s->done_fd = wr_sys_eventfd();
}

void wr_stop_fini(struct wr_stop *s)
{
	if (s->done_fd >= 0)
		wr_sys_close(s->done_fd);
}

static struct weir_conn *conn_at(struct wr_stop *s, size_t i)
{
	struct weir_conn *c = wr_table_find(s->core->table, i);

	return wr_conn_is_in_use(c) ? c : NULL;
}

/* There is none if it would end at the time of the request. */
static enum wr_stop_step begin_lame_duck(struct wr_stop *s)
{
	struct wr_core *core = s->core;
	int64_t till = atomic_load(&core->lame_till);

	s->ctx->now = wr_now_ns(); /* must not be before asked_at */
	if (s->ctx->now >= till || till <= atomic_load(&core->asked_at))
		return WR_STOP_FENCE;
	atomic_store(&core->phase, WR_PHASE_LAME_DUCK);
	wr_logf(&core->logger, WEIR_LOG_INFO,
		"a stop was requested; clients are accepted until it begins; "
		"connections open: %zu",
		atomic_load(&core->table->open));
	return WR_STOP_LAME_DUCK;
}

static void begin_fence(struct wr_stop *s)
{
	struct wr_core *core = s->core;

	s->remind_at = s->ctx->now;
	s->accept->resume_at = 0; /* retry after a shortage */
	atomic_store(&core->is_closing, true);
	atomic_store(&core->drain_began_at, s->ctx->now);
	/* Without grace there is no drain. */
	if (s->ctx->now < atomic_load(&core->stop_at)) {
		atomic_store(&core->phase, WR_PHASE_DRAINING);
		wr_pool_wake_waiters(s->pool);
	}
	wr_linger_shorten(s->deadlines, WR_LINGER_QUIET_STOP_NS);
	wr_fence_request_all(s->accept);
	wr_fence_run(s->accept);
	wr_logf(&core->logger, WEIR_LOG_INFO, "stopping; connections open: %zu",
		atomic_load(&core->table->open));
}

/* accept(2) fails, and no connection can end and change that. */
static bool is_hopeless(struct wr_stop *s)
{
	if (s->accept->pause_ns == 0 ||
	    atomic_load(&s->core->table->open) > 0) {
		s->hopeless_at = 0;
		return false;
	}
	if (s->hopeless_at == 0)
		s->hopeless_at = s->ctx->now + WR_HOPELESS_NS;
	return s->ctx->now >= s->hopeless_at;
}

static void close_quiet_listeners(struct wr_stop *s)
{
	if (is_hopeless(s))
		wr_accept_close_listeners(s->accept);
	else
		wr_fence_run(s->accept);
}

static bool is_past_deadline(const struct wr_stop *s)
{
	return s->ctx->now >= atomic_load(&s->core->stop_at);
}

static void cut_conn(struct wr_stop *s, struct weir_conn *c)
{
	wr_conn_try_cut(c); /* if it fails, the next reminder repeats it */
	wr_conn_post(c, s->ctx->stats, wr_owner_generation(&c->owner),
		     WR_EV_CANCEL);
}

static void drain_conn(struct wr_stop *s, struct weir_conn *c)
{
	wr_conn_post(c, s->ctx->stats, wr_owner_generation(&c->owner),
		     WR_EV_DRAIN);
}

/* Those that linger are done. */
static void remind(struct wr_stop *s)
{
	size_t slots = wr_table_slots(s->core->table);

	if (s->ctx->now < s->remind_at)
		return;
	for (size_t i = 0; i < slots; i++) {
		struct weir_conn *c = conn_at(s, i);

		if (!c || wr_conn_where(c) == WR_CONN_LINGERING)
			continue;
		if (s->step >= WR_STOP_CUT)
			cut_conn(s, c);
		else
			drain_conn(s, c);
	}
	/* Now: what this took is no pause of the process. */
	s->remind_at = wr_now_ns() + WR_REMIND_NS;
}

/* False: nothing is open, and from now on nothing can be. */
static bool is_anything_open(const struct wr_stop *s)
{
	struct wr_table *table = s->core->table;

	if (wr_accept_has_listener(s->accept) || atomic_load(&table->open) > 0)
		return true;
	/* Timers first: a call that runs may dial. */
	return !wr_server_timers_close(s->core->timers) ||
	       !wr_table_shut_if_empty(table);
}

static void refuse_queued(struct wr_stop *s)
{
	struct wr_node *n;

	while ((n = wr_sched_take(&s->core->sched, WR_QUEUE_ACCEPTED,
				  WR_NEVER_AT))) {
		struct weir_conn *c =
			wr_container_of(n, struct weir_conn, node);

		c->ctx = s->ctx;
		wr_conn_refuse(c, WR_OUTCOME_REFUSED_DRAIN, NULL);
	}
}

static void refuse_waiting(struct wr_stop *s)
{
	if (wr_accept_has_listener(s->accept) &&
	    wr_accept_refuse_rest(s->accept))
		wr_accept_close_listeners(s->accept);
}

static void cut(struct wr_stop *s)
{
	struct weir_stats stats;

	wr_table_shut_gate(s->core->table);
	(void)wr_server_timers_close(s->core->timers);
	wr_core_sum(s->core, &stats);
	s->cut_before = stats.ledger.cut;
	refuse_waiting(s);
	s->open_before = atomic_load(&s->core->table->open);
	s->notice_most = s->ctx->now + WR_NOTICE_MOST_NS +
			 (int64_t)s->open_before * WR_CUT_NS;
	refuse_queued(s);
	wr_linger_shorten(s->deadlines, WR_LINGER_QUIET_CUT_NS);
	s->remind_at = s->ctx->now;
	remind(s);
	atomic_store(&s->core->phase, WR_PHASE_CUTTING);
	/* Count from here: shutting down many sockets takes a while. */
	s->notice_until = wr_min_at(wr_now_ns() + WR_NOTICE_NS, s->notice_most);
}

/* Before remind(): while this thread could not run, callbacks could not. */
static void leave_out_pause(struct wr_stop *s)
{
	int64_t late_ns = s->ctx->now - s->remind_at;

	if (late_ns > WR_NOTICE_LATE_NS) {
		s->notice_until += late_ns;
		s->notice_most += late_ns;
	}
}

static bool waits_for_notice(struct wr_stop *s)
{
	size_t open = atomic_load(&s->core->table->open);

	if (s->ctx->now < s->notice_until)
		return true;
	if (open >= s->open_before || s->ctx->now >= s->notice_most)
		return false;
	s->open_before = open; /* progress: extend it */
	s->notice_until = wr_min_at(s->ctx->now + WR_NOTICE_NS, s->notice_most);
	return true;
}

/*
 * Count open connections as cut.  Their workers may still return, and are not
 * waited for.  False: there was none.
 */
static bool abandon(struct wr_stop *s)
{
	size_t slots = wr_table_slots(s->core->table);
	bool any = false;

	for (size_t i = 0; i < slots; i++) {
		struct weir_conn *c = conn_at(s, i);

		if (c && !atomic_exchange(&c->is_counted, true)) {
			wr_count(s->ctx->stats,
				 &s->ctx->stats->outcome[WR_OUTCOME_CUT], 1);
			if (!c->is_dialled) /* its owner may free its service */
				WR_COUNT_LISTENER(c->service, s->ctx->stats,
						  outcome[WR_OUTCOME_CUT], 1);
			atomic_fetch_sub(&s->core->table->open, 1);
			any = true;
		}
	}
	return any;
}

static void give_up(struct wr_stop *s)
{
	wr_linger_end_all(s->deadlines);
	refuse_waiting(s);
	wr_accept_close_listeners(s->accept);
	wr_linger_end_all(s->deadlines); /* refused just now */
	s->stuck = wr_watch_name_stuck(s->watch, s->ctx->now);
	s->is_busy = abandon(s) || s->stuck > 0;
}

void wr_stop_end(struct wr_stop *s)
{
	struct wr_core *core = s->core;

	wr_lock(&core->lock);
	s->is_done = true;
	wr_cond_broadcast(&core->changed);
	wr_unlock(&core->lock);
	wr_sys_eventfd_signal(s->done_fd);
}

static void finish(struct wr_stop *s)
{
	struct wr_core *core = s->core;
	struct weir_stats stats;
	char text[WR_LEDGER_TEXT];

	wr_core_sum(core, &stats);
	atomic_store(&core->phase, WR_PHASE_DONE);
	wr_sched_close(&core->sched);
	wr_ledger_text(text, &stats.ledger);
	wr_logf(&core->logger, WEIR_LOG_INFO, "stopped: %s, %d stuck", text,
		s->stuck);
	s->report.ledger = stats.ledger;
	s->report.late_bytes = stats.late_bytes;
	s->report.stuck = (uint64_t)s->stuck;
	wr_core_time_stop(core, &s->report);
	s->was_cut = s->step > WR_STOP_CUT && stats.ledger.cut > s->cut_before;
	wr_stop_end(s);
}

/* The next step; the same one: wait. */
static enum wr_stop_step run_step(struct wr_stop *s)
{
	switch (s->step) {
	case WR_STOP_NONE:
		wr_fence_run(s->accept);
		if (!atomic_load(&s->core->stop_wanted))
			return WR_STOP_NONE;
		return begin_lame_duck(s);
	case WR_STOP_LAME_DUCK:
		wr_fence_run(s->accept);
		return s->ctx->now < atomic_load(&s->core->lame_till)
			       ? WR_STOP_LAME_DUCK
			       : WR_STOP_FENCE;
	case WR_STOP_FENCE:
		begin_fence(s);
		return WR_STOP_ACCEPT;
	case WR_STOP_ACCEPT:
		if (is_past_deadline(s))
			return WR_STOP_CUT;
		remind(s);
		close_quiet_listeners(s);
		return wr_accept_has_listener(s->accept) ? WR_STOP_ACCEPT
							 : WR_STOP_DRAIN;
	case WR_STOP_DRAIN:
		if (is_past_deadline(s))
			return WR_STOP_CUT;
		remind(s);
		return is_anything_open(s) ? WR_STOP_DRAIN : WR_STOP_DONE;
	case WR_STOP_CUT:
		cut(s);
		return WR_STOP_NOTICE;
	case WR_STOP_NOTICE:
		leave_out_pause(s);
		refuse_waiting(s);
		remind(s);
		if (!is_anything_open(s))
			return WR_STOP_DONE;
		return waits_for_notice(s) ? WR_STOP_NOTICE : WR_STOP_GIVE_UP;
	case WR_STOP_GIVE_UP:
		give_up(s);
		return WR_STOP_DONE;
	case WR_STOP_DONE:
	default:
		return WR_STOP_DONE;
	}
}

bool wr_stop_run(struct wr_stop *s)
{
	enum wr_stop_step next;

	while ((next = run_step(s)) != s->step) {
		if (next == WR_STOP_DONE)
			finish(s);
		s->step = next;
	}
	return s->step == WR_STOP_DONE;
}

int64_t wr_stop_next_at(const struct wr_stop *s)
{
	int64_t at = s->remind_at;

	if (s->step == WR_STOP_NONE)
		return atomic_load(&s->core->stop_wanted)
			       ? 0
			       : wr_fence_next_at(s->accept);
	if (s->step == WR_STOP_LAME_DUCK)
		return wr_min_at(atomic_load(&s->core->lame_till),
				 wr_fence_next_at(s->accept));
	if (s->step >= WR_STOP_CUT)
		return wr_min_at(at, s->notice_until);
	at = wr_min_at(at, wr_fence_next_at(s->accept));
	return wr_min_at(at, atomic_load(&s->core->stop_at));
}
