/* SPDX-License-Identifier: MIT */
/* Shared state of a server: setup, teardown, and the request to stop. */
#include "core.h"

#include <errno.h>
#include <string.h>

#include "clock.h"
#include "poller.h"
#include "sys.h"

void wr_core_notify_capacity(struct wr_core *core)
{
	WR_POINT();
	if (atomic_load(&core->accept_blocked) &&
	    atomic_exchange(&core->accept_blocked, false))
		wr_sys_eventfd_signal(core->acceptor_wake_fd);
}

static int open_descriptors(struct wr_core *core)
{
	int rc = wr_poller_open(&core->poller);

	if (rc >= 0)
		rc = core->acceptor_wake_fd = wr_sys_eventfd();
	if (rc >= 0)
		rc = core->stop_fd = wr_sys_eventfd();
	return rc < 0 ? rc : 0;
}

static void close_descriptors(struct wr_core *core)
{
	if (core->stop_fd >= 0)
		wr_sys_close(core->stop_fd);
	if (core->acceptor_wake_fd >= 0)
		wr_sys_close(core->acceptor_wake_fd);
	wr_poller_close(&core->poller);
}

int wr_core_init(struct wr_core *core, const struct weir_config *config)
{
	int rc;

	memset(core, 0, sizeof(*core));
	core->poller = WR_POLLER_CLOSED;
	core->acceptor_wake_fd = core->stop_fd = -1;
	rc = wr_config_init(&core->config, config);
	if (rc < 0)
		goto fail_config;
	core->logger.sink = core->config.set.log;
	core->logger.arg = core->config.set.log_arg;
	core->logger.level = &core->config.log_level;
	core->stats_count = core->config.set.workers + 2;
	atomic_store(&core->outbox_left,
		     (int64_t)core->config.set.outbox_total);
	atomic_store(&core->lame_till, WR_NEVER_AT);
	atomic_store(&core->stop_at, WR_NEVER_AT);
	rc = wr_lock_init(&core->lock);
	if (rc < 0)
		goto fail_config;
	rc = wr_cond_init(&core->changed);
	if (rc < 0)
		goto fail_lock;
	rc = open_descriptors(core);
	if (rc < 0)
		goto fail_descriptors;
	rc = wr_admission_init(&core->admission, core->config.access);
	if (rc < 0)
		goto fail_descriptors;
	core->stats = wr_sys_alloc_lines((size_t)core->stats_count *
					 sizeof(struct wr_stats));
	rc = core->stats ? wr_sched_init(&core->sched, core->config.set.workers,
					 &core->poller, core->acceptor_wake_fd)
			 : -ENOMEM;
	if (rc < 0)
		goto fail_stats;
	for (int i = 0; i < core->stats_count; i++)
		core->stats[i].index = i;
	wr_core_foreign_stats(core)->is_shared = true;
	return 0;

fail_stats:
	wr_sys_free(core->stats);
	wr_admission_fini(&core->admission);
fail_descriptors:
	close_descriptors(core);
	wr_cond_fini(&core->changed);
fail_lock:
	wr_lock_fini(&core->lock);
fail_config:
	wr_config_fini(&core->config);
	return rc;
}

void wr_core_fini(struct wr_core *core)
{
	wr_stacks_fini(&core->stacks);
	wr_sched_fini(&core->sched);
	wr_sys_free(core->stats);
	wr_admission_fini(&core->admission);
	close_descriptors(core);
	wr_cond_fini(&core->changed);
	wr_lock_fini(&core->lock);
	wr_config_fini(&core->config);
}

int wr_core_configure(struct wr_core *core, const struct weir_config *config)
{
	size_t total;
	int rc;

	wr_lock(&core->lock);
	total = core->config.outbox_total;
	rc = wr_config_change(&core->config, config);
	if (rc == 0)
		wr_admission_set_rules(&core->admission, core->config.access);
	atomic_fetch_add(&core->outbox_left,
			 (int64_t)core->config.outbox_total - (int64_t)total);
	wr_unlock(&core->lock);
	if (rc == 0)
		wr_sys_eventfd_signal(core->acceptor_wake_fd);
	return rc;
}

int wr_core_set_stacks(struct wr_core *core, struct wr_service *service)
{
	const struct weir_service *set = &service->set;

	if (!set->session || set->session_on_worker || !wr_coro_is_supported())
		return 0;
	wr_lock(&core->lock);
	service->stacks = wr_stacks_of(&core->stacks, set->stack_size);
	atomic_store(&core->stacks_shown, core->stacks);
	wr_unlock(&core->lock);
	return service->stacks ? 0 : -ENOMEM;
}

struct wr_stacks_sum wr_core_count_stacks(const struct wr_core *core)
{
	/* none leaves the list before the end */
	return wr_stacks_count(atomic_load(&core->stacks_shown));
}

void wr_core_sum(const struct wr_core *core, struct weir_stats *ret)
{
	wr_stats_sum(ret, core->stats, core->stats_count);
}

static void bring_forward(_Atomic int64_t *time, int64_t at)
{
	int64_t old = atomic_load(time);

	while (at < old && !atomic_compare_exchange_weak(time, &old, at))
		;
}

void wr_core_stop(struct wr_core *core, int64_t now, int64_t lame_till,
		  int64_t at)
{
	int64_t none = 0;

	(void)atomic_compare_exchange_strong(&core->asked_at, &none, now);
	bring_forward(&core->lame_till, lame_till);
	bring_forward(&core->stop_at, at);
	atomic_store(&core->stop_wanted, true);
	if (wr_core_phase(core) == WR_PHASE_NEW ||
	    atomic_load(&core->lame_till) <= now)
		atomic_store(&core->is_closing, true);
	wr_sys_eventfd_signal(core->stop_fd);
	wr_sys_eventfd_signal(core->acceptor_wake_fd);
}

void wr_core_time_stop(const struct wr_core *core, struct weir_report *ret)
{
	int64_t now = wr_now_ns();
	int64_t asked_at = atomic_load(&core->asked_at);
	int64_t lame_till = wr_min_at(atomic_load(&core->lame_till), now);

	if (lame_till < asked_at) /* its request read the clock earlier */
		lame_till = asked_at;
	ret->lame_duck_ms = (uint64_t)((lame_till - asked_at) / WR_NS_PER_MS);
	ret->drain_ms = (uint64_t)((now - lame_till) / WR_NS_PER_MS);
}

void wr_core_fail(struct wr_core *core, int error)
{
	int64_t now = wr_now_ns();
	int none = 0;

	if (!atomic_compare_exchange_strong(&core->failure, &none, error))
		return;
	wr_logf(&core->logger, WEIR_LOG_ERROR,
		"cannot wait for events: %s; stopping", weir_strerror(error));
	wr_core_stop(core, now, now, now);
}

static _Thread_local struct wr_context *my_context;

void wr_context_begin(struct wr_context *ctx)
{
	my_context = ctx;
}

static bool is_in_callback(const struct wr_context *ctx)
{
	return ctx && atomic_load_explicit(&ctx->busy_since,
					   memory_order_relaxed) != 0;
}

struct weir_conn *wr_context_running(void)
{
	struct wr_context *ctx = my_context;

	return is_in_callback(ctx) ? atomic_load_explicit(&ctx->running,
							  memory_order_relaxed)
				   : NULL;
}

struct wr_context *wr_context_in_callback(const struct wr_core *core)
{
	struct wr_context *ctx = my_context;

	return is_in_callback(ctx) && (!core || ctx->core == core) ? ctx : NULL;
}

void wr_context_fini(struct wr_context *ctx)
{
	wr_sys_free(ctx->fanout.conns);
	ctx->fanout.conns = NULL;
	wr_sys_free(ctx->spare_chunk);
	ctx->spare_chunk = NULL;
	wr_buffer_release(&ctx->spare_in);
	wr_buffer_release(&ctx->spare_relay);
}
