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
#include "core.h"

#include <errno.h>
#include <string.h>

#include "clock.h"
#include "poller.h"
#include "sys.h"

void wr_core_wake_worker(struct wr_core *core)
{
	WR_POINT();
	if (atomic_load(&core->sleepers) > 0 &&
	    !atomic_exchange(&core->is_waking, true))
		wr_sys_eventfd_signal(core->wake_fd);
}

void wr_core_start_monitor(struct wr_core *core)
{
	if (core->config.set.workers > 1 && !atomic_load(&core->is_overseen) &&
	    !atomic_exchange(&core->is_overseen, true))
		wr_sys_eventfd_signal(core->acceptor_wake_fd);
}

void wr_core_notify_capacity(struct wr_core *core)
{
	WR_POINT();
	if (atomic_load(&core->accept_blocked) &&
	    atomic_exchange(&core->accept_blocked, false))
		wr_sys_eventfd_signal(core->acceptor_wake_fd);
}

static int open_descriptors(struct wr_core *core)
{
	int rc = core->poller = wr_poller_open();

	if (rc >= 0)
		rc = core->wake_fd = wr_sys_eventfd();
	if (rc >= 0)
		rc = core->acceptor_wake_fd = wr_sys_eventfd();
	if (rc >= 0)
		rc = core->stop_fd = wr_sys_eventfd();
	if (rc >= 0)
		rc = wr_poller_add(core->poller, core->wake_fd,
				   WR_POLL_IN | WR_POLL_EDGE, UINT64_MAX);
	return rc;
}

int wr_core_init(struct wr_core *core, const struct weir_config *config)
{
	int rc;

	memset(core, 0, sizeof(*core));
	core->poller = core->wake_fd = core->acceptor_wake_fd = core->stop_fd =
		-1;
	rc = wr_config_init(&core->config, config);
	if (rc < 0)
		return rc;
	core->logger.sink = core->config.set.log;
	core->logger.arg = core->config.set.log_arg;
	core->logger.level = core->config.set.log_level;
	core->stats_count = core->config.set.workers + 2;
	atomic_store(&core->stop_at, WR_NEVER_AT);
	rc = wr_lock_init(&core->lock);
	if (rc < 0)
		goto fail_config;
	rc = wr_cond_init(&core->changed);
	if (rc < 0)
		goto fail_lock;
	rc = wr_standby_init(&core->standby);
	if (rc < 0)
		goto fail_cond;
	rc = wr_queue_init(&core->accepted,
			   (size_t)core->config.set.queue_length);
	if (rc < 0)
		goto fail_standby;
	rc = wr_queue_init(&core->ready, 0);
	if (rc < 0)
		goto fail_fresh;
	core->stats = wr_sys_alloc_lines((size_t)core->stats_count *
					 sizeof(struct wr_stats));
	rc = core->stats ? open_descriptors(core) : -ENOMEM;
	if (rc < 0) {
		wr_core_fini(core);
		return rc;
	}
	wr_core_foreign_stats(core)->is_shared = true;
	return 0;

fail_fresh:
	wr_queue_fini(&core->accepted);
fail_standby:
	wr_standby_fini(&core->standby);
fail_cond:
	wr_cond_fini(&core->changed);
fail_lock:
	wr_lock_fini(&core->lock);
fail_config:
	wr_config_fini(&core->config);
	return rc;
}

void wr_core_fini(struct wr_core *core)
{
	if (core->stop_fd >= 0)
		wr_sys_close(core->stop_fd);
	if (core->acceptor_wake_fd >= 0)
		wr_sys_close(core->acceptor_wake_fd);
	if (core->wake_fd >= 0)
		wr_sys_close(core->wake_fd);
	if (core->poller >= 0)
		wr_poller_close(core->poller);
	wr_sys_free(core->stats);
	wr_queue_fini(&core->ready);
	wr_queue_fini(&core->accepted);
	wr_standby_fini(&core->standby);
	wr_cond_fini(&core->changed);
	wr_lock_fini(&core->lock);
	wr_config_fini(&core->config);
}

void wr_core_sum(const struct wr_core *core, struct weir_stats *ret)
{
	wr_stats_sum(ret, core->stats, core->stats_count);
}

void wr_core_stop(struct wr_core *core, int64_t now, int64_t at)
{
	int64_t old = 0;

	(void)atomic_compare_exchange_strong(&core->asked_at, &old, now);
	old = atomic_load(&core->stop_at);
	while (at < old &&
	       !atomic_compare_exchange_weak(&core->stop_at, &old, at))
		;
	atomic_store(&core->stop_wanted, true);
	wr_sys_eventfd_signal(core->stop_fd);
	wr_sys_eventfd_signal(core->acceptor_wake_fd);
}

void wr_core_fail(struct wr_core *core, int error)
{
	int64_t now = wr_now_ns();
	int none = 0;

	if (!atomic_compare_exchange_strong(&core->failure, &none, error))
		return;
	wr_logf(&core->logger, WEIR_LOG_ERROR,
		"cannot wait for events: %s; stopping", weir_strerror(error));
	wr_core_stop(core, now, now);
}

void wr_context_fini(struct wr_context *ctx)
{
	wr_sys_free(ctx->spare_chunk);
	ctx->spare_chunk = NULL;
	wr_buffer_release(&ctx->spare_in);
}
