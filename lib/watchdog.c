/* SPDX-License-Identifier: MIT */
/*
 * Callbacks that run for very long: one line in the log for each, while there
 * is still somebody to read it.  A worker that is stuck serves nobody.
 *
 * The acceptor's thread only.  It looks when the oldest callback it knows of
 * would have run too long; one that begins after a look cannot be too old
 * before the next.  A session that waits for its peer, by way of the library,
 * is not stuck: its time counts from the end of its last wait.
 */
#include "acceptor.h"

#define TOO_LONG_NS (10000 * WR_NS_PER_MS)

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
	int64_t later_at = a->ctx.now + TOO_LONG_NS;
	int64_t began_at = atomic_load(&ctx->busy_since);
	int64_t waited_at = atomic_load(&ctx->waited_at), since;
	struct weir_conn *c = atomic_load(&ctx->running);

	if (began_at == 0 || began_at == w->named_since ||
	    waited_at == WR_NEVER_AT)
		return later_at;
	since = waited_at > began_at ? waited_at : began_at;
	if (a->ctx.now < since + TOO_LONG_NS)
		return since + TOO_LONG_NS;
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
	a->watch_at = a->ctx.now + TOO_LONG_NS;
	for (int i = 0; i < a->pool->count; i++)
		a->watch_at = wr_min_at(a->watch_at, look_at(a, i));
}
