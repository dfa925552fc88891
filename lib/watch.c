/* SPDX-License-Identifier: MIT */
/*
 * A check comes when the oldest running callback would be too old; one that
 * begins later is not too old before the next check.  A session that waits in a
 * call of the library is not stuck: its time counts from the end of the wait.
 *
 * Starvation: every worker has been in one callback for seconds, waits
 * included, and connections wait.  Counted once for each such time; at most one
 * line a minute.
 */
#include "watch.h"

#include "bounds.h"
#include "sys.h"

void wr_watch_init(struct wr_watch *w, struct wr_core *core,
		   struct wr_pool *pool, const struct wr_accept *accept)
{
	*w = (struct wr_watch){ .core = core, .pool = pool, .accept = accept };
}

/*
 * NULL: a service of a dialled connection.  It is only compared, as its
 * connection may end and free it.
 */
static const char *where_of(const struct wr_accept *a,
			    const struct wr_service *service)
{
	struct wr_endpoint *e = NULL;

	while ((e = wr_accept_next(a, e)) && &e->service != service)
		;
	return e ? e->where : NULL;
}

/* False: the callback that began then has returned. */
static bool name_callback(struct wr_watch *w, int worker, int64_t began_at,
			  int level, int64_t ns)
{
	struct wr_context *ctx = &w->pool->workers[worker].ctx;
	struct weir_conn *c = atomic_load(&ctx->running);
	const char *where;
	char peer[WR_PEER_TEXT];

	if (atomic_load(&ctx->busy_since) != began_at)
		return false;
	if (c == NULL) {
		wr_logf(&w->core->logger, level,
			"worker %d is stuck: the callback of a timer has been "
			"running for %lld ms",
			worker, (long long)(ns / WR_NS_PER_MS));
		return true;
	}
	where = where_of(w->accept, c->service);
	wr_conn_try_peer_text(c, peer);
	wr_logf(&w->core->logger, level,
		"worker %d is stuck: the callback of connection %llu %s %s%s%s "
		"has been running for %lld ms",
		worker, (unsigned long long)c->id, wr_conn_direction(c), peer,
		where ? " at " : "", where ? where : "",
		(long long)(ns / WR_NS_PER_MS));
	return true;
}

int wr_watch_name_stuck(struct wr_watch *w, int64_t now)
{
	int stuck = 0;

	for (int i = 0; i < w->pool->count; i++) {
		int64_t began_at =
			atomic_load(&w->pool->workers[i].ctx.busy_since);

		if (began_at != 0)
			stuck += name_callback(w, i, began_at, WEIR_LOG_ERROR,
					       now - began_at);
	}
	return stuck;
}

/* The time of the next check. */
static int64_t check_worker(struct wr_watch *w, int i, int64_t now)
{
	struct wr_worker *worker = &w->pool->workers[i];
	struct wr_context *ctx = &worker->ctx;
	int64_t began_at = atomic_load(&ctx->busy_since);
	int64_t waited_at = atomic_load(&ctx->waited_at), since;

	if (began_at == 0 || began_at == worker->named_since ||
	    waited_at == WR_NEVER_AT)
		return now + WR_LONG_CALLBACK_NS;
	since = waited_at > began_at ? waited_at : began_at;
	if (now < since + WR_LONG_CALLBACK_NS)
		return since + WR_LONG_CALLBACK_NS;
	if (name_callback(w, i, began_at, WEIR_LOG_WARNING, now - since))
		worker->named_since = began_at;
	return now + WR_LONG_CALLBACK_NS;
}

static void watch_callbacks(struct wr_watch *w, int64_t now)
{
	if (now < w->callbacks_at)
		return;
	w->callbacks_at = now + WR_LONG_CALLBACK_NS;
	for (int i = 0; i < w->pool->count; i++)
		w->callbacks_at =
			wr_min_at(w->callbacks_at, check_worker(w, i, now));
}

struct busy {
	int64_t since; /* begin of the youngest callback; 0: a worker is free */
	int waiting;   /* for their peers, in a call of the library */
};

static struct busy all_busy(const struct wr_watch *w)
{
	struct busy all = { 0, 0 };

	for (int i = 0; i < w->pool->count; i++) {
		const struct wr_context *ctx = &w->pool->workers[i].ctx;
		int64_t since = atomic_load(&ctx->busy_since);

		if (since == 0)
			return (struct busy){ 0, 0 };
		if (since > all.since)
			all.since = since;
		all.waiting += atomic_load(&ctx->waited_at) == WR_NEVER_AT;
	}
	return all;
}

static size_t queued(const struct wr_watch *w)
{
	return wr_sched_queued(&w->core->sched, WR_QUEUE_ACCEPTED) +
	       wr_sched_queued(&w->core->sched, WR_QUEUE_READY);
}

/* Queued, or parked with unread input. */
static bool is_any_waiting(struct wr_watch *w)
{
	return queued(w) > 0 || wr_sched_has_events(&w->core->sched);
}

static void tell_starvation(struct wr_watch *w, const struct busy *all,
			    int64_t now)
{
	w->told_until = now + WR_STARVED_SILENCE_NS;
	wr_logf(&w->core->logger, WEIR_LOG_WARNING,
		"all %d workers have been in callbacks for %lld ms or more, %d "
		"of them wait for their peers; connections or timers wait for "
		"a worker, %zu of them queued: use more workers, or callbacks "
		"that do not wait",
		w->pool->count, (long long)((now - all->since) / WR_NS_PER_MS),
		all->waiting, queued(w));
}

static void watch_starvation(struct wr_watch *w, int64_t now)
{
	struct wr_stats *stats = wr_core_acceptor_stats(w->core);
	struct busy all;

	if (now < w->starved_at)
		return;
	w->starved_at = now + WR_STARVED_NS;
	all = all_busy(w);
	if (all.since == 0)
		return;
	if (now < all.since + WR_STARVED_NS) {
		w->starved_at = all.since + WR_STARVED_NS;
		return;
	}
	if (!is_any_waiting(w))
		return;
	if (all.since != w->starved_since)
		wr_count(stats, &stats->starvations, 1);
	w->starved_since = all.since;
	if (now >= w->told_until)
		tell_starvation(w, &all, now);
}

void wr_watch_run(struct wr_watch *w, int64_t now)
{
	watch_callbacks(w, now);
	watch_starvation(w, now);
}

int64_t wr_watch_next_at(const struct wr_watch *w)
{
	return wr_min_at(w->callbacks_at, w->starved_at);
}
