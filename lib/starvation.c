/* SPDX-License-Identifier: MIT */
/*
 * Total starvation: every worker has been inside one callback for seconds,
 * and connections wait for a worker.  Callbacks that wait for their peers
 * count too, which the watchdog does not name.  One line tells it, at most
 * once a minute.
 *
 * The acceptor's thread only.  Nothing that begins after a look can be too
 * old before the next, so there is a look every few seconds at most.
 */
#include "acceptor.h"
#include "sys.h"

#define TOO_LONG_NS (5000 * WR_NS_PER_MS)
#define SILENCE_NS  (60000 * WR_NS_PER_MS) /* after a line */

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
	a->starved_at = a->ctx.now + TOO_LONG_NS;
	since = all_busy_since(a);
	if (since == 0)
		return;
	if (a->ctx.now < since + TOO_LONG_NS) {
		a->starved_at = since + TOO_LONG_NS;
		return;
	}
	if (!is_any_waiting(a))
		return;
	a->starved_at = a->ctx.now + SILENCE_NS;
	wr_logf(&a->core->logger, WEIR_LOG_WARNING,
		"all %d workers have been in callbacks for %lld ms or more, "
		"connections wait for one, %zu of them queued: use more "
		"workers, or callbacks that do not wait",
		a->pool->count,
		(long long)((a->ctx.now - since) / WR_NS_PER_MS), queued(a));
}
