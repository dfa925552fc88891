/* SPDX-License-Identifier: MIT */
/*
 * Callbacks that run for very long.  The acceptor's thread only.
 *
 * Watchdog: one line in the log for each, while somebody can still read it.  It
 * looks when the oldest callback it knows of would have run too long; one that
 * begins after a look cannot be too old before the next.  A session that waits
 * for its peer with a call of the library is not stuck: its time counts from
 * the end of its last wait.
 *
 * Starvation: every worker has been inside one callback for seconds, and
 * connections wait for a worker.  Callbacks that wait for their peers count
 * too, which the watchdog does not name.  One line tells it, at most once a
 * minute.
 */
#include "acceptor.h"
#include "sys.h"

#define LONG_CALLBACK_NS   (10000 * WR_NS_PER_MS)
#define STARVED_NS	   (5000 * WR_NS_PER_MS)
#define STARVED_SILENCE_NS (60000 * WR_NS_PER_MS) /* after a line */

/* ---------------------------------------------------------------- watchdog */

static void name(struct wr_acceptor *a, int worker, struct weir_conn *c,
		 int64_t since)
{
	const struct wr_endpoint *endpoint =
		wr_container_of(c->service, struct wr_endpoint, service);
	char peer[WR_PEER_TEXT];

	wr_conn_try_peer_text(c, peer);
	wr_logf(&a->core->logger, WEIR_LOG_WARNING,
		"worker %d: the callback of connection %llu from %s at %s has "
		"been running for %lld ms",
		worker, (unsigned long long)c->id, peer, endpoint->where,
		(long long)((a->ctx.now - since) / WR_NS_PER_MS));
}

/* When this worker is to be looked at again. */
static int64_t look_at(struct wr_acceptor *a, int worker)
{
	struct wr_worker *w = &a->pool->workers[worker];
	struct wr_context *ctx = &w->ctx;
	int64_t later_at = a->ctx.now + LONG_CALLBACK_NS;
	int64_t began_at = atomic_load(&ctx->busy_since);
	int64_t waited_at = atomic_load(&ctx->waited_at), since;
	struct weir_conn *c = atomic_load(&ctx->running);

	if (began_at == 0 || began_at == w->named_since ||
	    waited_at == WR_NEVER_AT)
		return later_at;
	since = waited_at > began_at ? waited_at : began_at;
	if (a->ctx.now < since + LONG_CALLBACK_NS)
		return since + LONG_CALLBACK_NS;
	/* It may have returned while we looked: then c is another's. */
	if (atomic_load(&ctx->busy_since) == began_at) {
		w->named_since = began_at;
		name(a, worker, c, since);
	}
	return later_at;
}

void wr_watchdog_run(struct wr_acceptor *a)
{
	if (a->ctx.now < a->watch_at)
		return;
	a->watch_at = a->ctx.now + LONG_CALLBACK_NS;
	for (int i = 0; i < a->pool->count; i++)
		a->watch_at = wr_min_at(a->watch_at, look_at(a, i));
}

/* -------------------------------------------------------------- starvation */

/* When the last of the callbacks began that run now; 0: a worker is free. */
static int64_t all_busy_since(const struct wr_acceptor *a)
{
	int64_t latest = 0;

	for (int i = 0; i < a->pool->count; i++) {
		const struct wr_context *ctx = &a->pool->workers[i].ctx;
		int64_t since = atomic_load(&ctx->busy_since);

		if (since == 0)
			return 0;
		if (since > latest)
			latest = since;
	}
	return latest;
}

static size_t queued(const struct wr_acceptor *a)
{
	return wr_queue_len(&a->core->accepted) + wr_queue_len(&a->core->ready);
}

/* In a queue, or parked with input that no worker has heard of. */
static bool is_any_waiting(const struct wr_acceptor *a)
{
	struct pollfd pfd = { .fd = a->core->poller, .events = POLLIN };

	return queued(a) > 0 || wr_sys_poll(&pfd, 1, 0) > 0;
}

void wr_starvation_run(struct wr_acceptor *a)
{
	int64_t since;

	if (a->ctx.now < a->starved_at)
		return;
	a->starved_at = a->ctx.now + STARVED_NS;
	since = all_busy_since(a);
	if (since == 0)
		return;
	if (a->ctx.now < since + STARVED_NS) {
		a->starved_at = since + STARVED_NS;
		return;
	}
	if (!is_any_waiting(a))
		return;
	a->starved_at = a->ctx.now + STARVED_SILENCE_NS;
	wr_logf(&a->core->logger, WEIR_LOG_WARNING,
		"all %d workers have been in callbacks for %lld ms or more, "
		"connections wait for one, %zu of them queued: use more "
		"workers, or callbacks that do not wait",
		a->pool->count,
		(long long)((a->ctx.now - since) / WR_NS_PER_MS), queued(a));
}
