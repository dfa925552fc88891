/* SPDX-License-Identifier: MIT */
/*
 * Waking the workers.
 *
 * "Why no wake-up is lost": work is published first (a queue's length, a
 * batch's word), then the number of sleepers is read.  A worker that wants to
 * sleep raises that number first, then looks for published work once more.
 * All four are sequentially consistent, so at least one of the two sees the
 * other.  A ring that comes between the worker's look and its sleep is an
 * edge that stays in the poller until somebody takes it.
 *
 * "One ring at a time": is_waking says that an edge is in the poller and
 * nobody has taken it; another ring would not be told apart from it.  Who
 * takes the edge clears the flag before looking for work.
 *
 * Workers that stand by are no sleepers: where all others run, work is not
 * rung for, and whether they get to it in time is seen to in overseer.c.
 */
#include "hub.h"

#include <errno.h>
#include <string.h>

#include "clock.h"
#include "poller.h"
#include "sys.h"

void wr_hub_ring(struct wr_hub *h)
{
	WR_POINT();
	if (atomic_load(&h->sleepers) > 0 &&
	    !atomic_exchange(&h->is_waking, true))
		wr_sys_eventfd_ring(h->bell);
}

void wr_hub_oversee(struct wr_hub *h)
{
	if (h->config.set.workers > 1 && !atomic_load(&h->is_overseen) &&
	    !atomic_exchange(&h->is_overseen, true))
		wr_sys_eventfd_ring(h->call);
}

void wr_hub_made_room(struct wr_hub *h)
{
	WR_POINT();
	if (atomic_load(&h->wants_room) &&
	    atomic_exchange(&h->wants_room, false))
		wr_sys_eventfd_ring(h->call);
}

static int open_descriptors(struct wr_hub *h)
{
	int rc = h->poller = wr_poller_open();

	if (rc >= 0)
		rc = h->bell = wr_sys_eventfd();
	if (rc >= 0)
		rc = h->call = wr_sys_eventfd();
	if (rc >= 0)
		rc = h->asked = wr_sys_eventfd();
	if (rc >= 0)
		rc = h->done = wr_sys_eventfd();
	if (rc >= 0)
		rc = wr_poller_add(h->poller, h->bell,
				   WR_POLL_IN | WR_POLL_EDGE, UINT64_MAX);
	return rc;
}

int wr_hub_init(struct wr_hub *h, const struct weir_config *config)
{
	int rc;

	memset(h, 0, sizeof(*h));
	h->poller = h->bell = h->call = h->asked = h->done = -1;
	rc = wr_config_init(&h->config, config);
	if (rc < 0)
		return rc;
	h->logger.sink = h->config.set.log;
	h->logger.arg = h->config.set.log_arg;
	h->logger.level = h->config.set.log_level;
	h->lane_count = h->config.set.workers + 2;
	atomic_store(&h->stop_at, WR_NEVER_AT);
	rc = wr_lock_init(&h->lock);
	if (rc < 0)
		goto fail_config;
	rc = wr_cond_init(&h->changed);
	if (rc < 0)
		goto fail_lock;
	rc = wr_standby_init(&h->standby);
	if (rc < 0)
		goto fail_cond;
	rc = wr_queue_init(&h->fresh, (size_t)h->config.set.queue_length);
	if (rc < 0)
		goto fail_standby;
	rc = wr_queue_init(&h->ready, 0);
	if (rc < 0)
		goto fail_fresh;
	h->lanes = wr_sys_alloc_lines((size_t)h->lane_count *
				      sizeof(struct wr_lane));
	rc = h->lanes ? open_descriptors(h) : -ENOMEM;
	if (rc < 0) {
		wr_hub_fini(h);
		return rc;
	}
	wr_hub_foreign_lane(h)->is_shared = true;
	return 0;

fail_fresh:
	wr_queue_fini(&h->fresh);
fail_standby:
	wr_standby_fini(&h->standby);
fail_cond:
	wr_cond_fini(&h->changed);
fail_lock:
	wr_lock_fini(&h->lock);
fail_config:
	wr_config_fini(&h->config);
	return rc;
}

void wr_hub_fini(struct wr_hub *h)
{
	if (h->done >= 0)
		wr_sys_close(h->done);
	if (h->asked >= 0)
		wr_sys_close(h->asked);
	if (h->call >= 0)
		wr_sys_close(h->call);
	if (h->bell >= 0)
		wr_sys_close(h->bell);
	if (h->poller >= 0)
		wr_poller_close(h->poller);
	wr_sys_free(h->lanes);
	wr_queue_fini(&h->ready);
	wr_queue_fini(&h->fresh);
	wr_standby_fini(&h->standby);
	wr_cond_fini(&h->changed);
	wr_lock_fini(&h->lock);
	wr_config_fini(&h->config);
}

void wr_hub_sum(const struct wr_hub *h, struct weir_stats *ret)
{
	wr_lanes_sum(ret, h->lanes, h->lane_count);
}

void wr_hub_fail(struct wr_hub *h, int error)
{
	int64_t now = wr_now_ns(), not_asked = 0;
	int none = 0;

	if (!atomic_compare_exchange_strong(&h->failure, &none, error))
		return;
	wr_logf(&h->logger, WEIR_LOG_ERROR,
		"cannot wait for events: %s; stopping", weir_strerror(error));
	(void)atomic_compare_exchange_strong(&h->asked_at, &not_asked, now);
	atomic_store(&h->stop_at, now);
	atomic_store(&h->stop_wanted, true);
	wr_sys_eventfd_ring(h->asked);
	wr_sys_eventfd_ring(h->call);
}

void wr_context_fini(struct wr_context *ctx)
{
	wr_sys_free(ctx->spare_chunk);
	ctx->spare_chunk = NULL;
	wr_buffer_release(&ctx->spare_in);
}
