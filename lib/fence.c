/* SPDX-License-Identifier: MIT */
/*
 * A listener is fenced: the kernel completes no new connection on it (see "the
 * fence" in listener.c).  Its backlog is accepted until it has been quiet for
 * as long as a handshake under way may still need, and then it is closed.
 */
#include "fence.h"

#include <errno.h>

#include "bounds.h"
#include "conn_table.h"
#include "sys.h"

/* The descriptor; an error if the listener is closed or to be closed. */
static int wanted_locked(const struct wr_accept *a, const struct wr_endpoint *e)
{
	int fd = e->listener.fd;

	if (a->is_sealed)
		return -ESHUTDOWN;
	if (fd == -1)
		return -EINVAL;
	return fd == WR_LISTENER_CLOSING || atomic_load(&e->is_unwanted)
		       ? -EALREADY
		       : fd;
}

int wr_fence_request(struct wr_accept *a, struct wr_endpoint *e)
{
	int rc;

	wr_lock(&a->core->lock);
	rc = wanted_locked(a, e);
	if (rc >= 0)
		atomic_store(&e->is_unwanted, true);
	wr_unlock(&a->core->lock);
	return rc < 0 ? rc : 0;
}

int wr_fence_share(struct wr_accept *a, struct wr_endpoint *e)
{
	int rc;

	wr_lock(&a->core->lock);
	rc = wanted_locked(a, e);
	if (rc >= 0)
		e->listener.is_shared = e->listener.was_shared = true;
	wr_unlock(&a->core->lock);
	return rc;
}

int wr_fence_own(struct wr_accept *a, struct wr_endpoint *e)
{
	int rc;

	wr_lock(&a->core->lock);
	rc = wanted_locked(a, e);
	if (rc >= 0)
		wr_listener_own(&e->listener);
	wr_unlock(&a->core->lock);
	return rc < 0 ? rc : 0;
}

void wr_fence_request_all(struct wr_accept *a)
{
	struct wr_endpoint *e = NULL;

	wr_lock(&a->core->lock);
	a->is_sealed = true;
	wr_unlock(&a->core->lock);
	while ((e = wr_accept_next(a, e)))
		atomic_store(&e->is_unwanted, true);
}

static bool lock_until(struct weir_conn *c, int64_t at)
{
	while (!wr_word_trylock(&c->lock)) {
		if (wr_now_ns() >= at)
			return false;
		(void)wr_sys_pause(1);
	}
	return true;
}

/*
 * The round trip to the peer, ns; 0: not known.  False: not in time.  The
 * kernel answers after a send(2) that is under way, which may wait for memory
 * that is on a disk; the owner sends under the lock.
 */
static bool ask_round_trip(struct weir_conn *c, int64_t at, int64_t *ret)
{
	*ret = 0;
	if (!c->is_tcp)
		return true;
	if (!lock_until(c, at))
		return false;
	if (c->fd >= 0)
		*ret = wr_sys_round_trip_us(c->fd) * WR_NS_PER_MS / 1000;
	wr_word_unlock(&c->lock);
	return true;
}

/*
 * A handshake takes a round trip, which open connections know.  If one cannot
 * be asked in time, the longest handshake is waited for.
 */
static int64_t handshake_time(const struct wr_accept *a)
{
	size_t slots = wr_table_slots(a->core->table);
	int64_t longest = WR_HANDSHAKE_LEAST_NS, ns;
	int64_t at = a->ctx->now + WR_ROUND_TRIPS_NS;
	int samples = 0;

	if (a->ctx->now >= atomic_load(&a->core->stop_at))
		return longest; /* a stop without grace */
	for (size_t i = 0; i < slots && samples < WR_ROUND_TRIPS; i++) {
		struct weir_conn *c = wr_table_find(a->core->table, i);

		if (!wr_conn_is_in_use(c))
			continue;
		if (!ask_round_trip(c, at, &ns))
			return WR_HANDSHAKE_MOST_NS;
		samples += ns > 0;
		if (WR_HANDSHAKE_NS(ns) > longest)
			longest = WR_HANDSHAKE_NS(ns);
	}
	return wr_min_at(longest, WR_HANDSHAKE_MOST_NS);
}

static bool is_to_be_fenced(struct wr_endpoint *e)
{
	return e->listener.fd >= 0 && e->fence.began_at == 0 &&
	       atomic_load(&e->is_unwanted);
}

static void fence(struct wr_accept *a, struct wr_endpoint *e, bool *is_logged)
{
	int rc = wr_listener_fence(&e->listener);

	e->fence.began_at = wr_now_ns(); /* after it stands */
	e->fence.is_fenced = rc == 0;
	if (e->fence.is_fenced)
		return;
	e->fence.owed = wr_min(wr_listener_waiting(&e->listener),
			       (size_t)e->service.set.backlog);
	if (!*is_logged)
		wr_logf(&a->core->logger, WEIR_LOG_WARNING,
			"%s: clients cannot be kept from connecting while the "
			"listener is being closed: %s; some may be reset",
			e->where, weir_strerror(rc));
	*is_logged = true;
}

static void fence_unwanted(struct wr_accept *a)
{
	struct wr_endpoint *e = NULL;
	int64_t handshake_ns = 0;
	bool is_logged = false;

	while ((e = wr_accept_next(a, e)))
		if (is_to_be_fenced(e) && e->listener.is_shared)
			wr_accept_close_listener(a, e);
		else if (is_to_be_fenced(e))
			fence(a, e, &is_logged);
	while ((e = wr_accept_next(a, e))) {
		if (e->fence.began_at == 0 || e->fence.handshake_ns > 0)
			continue;
		if (handshake_ns == 0)
			handshake_ns = handshake_time(a);
		e->fence.handshake_ns = handshake_ns;
	}
}

/* As the poller, or accept(2), reported at looked_at(). */
static bool has_clients(const struct wr_endpoint *e)
{
	return !e->is_unwatched && (!e->is_armed || e->may_have_more);
}

static int64_t looked_at(const struct wr_accept *a, const struct wr_endpoint *e)
{
	return e->is_unwatched ? e->empty_at : a->looked_at;
}

static void watch_listener(const struct wr_accept *a, struct wr_endpoint *e)
{
	int64_t at = looked_at(a, e);

	if (has_clients(e) || at < e->fence.began_at) {
		e->fence.calm_since = 0;
		return;
	}
	e->fence.owed = 0; /* there was none */
	if (e->fence.calm_since == 0)
		e->fence.calm_since = at;
	if (e->fence.first_calm_at == 0)
		e->fence.first_calm_at = e->fence.calm_since;
}

/*
 * The listener is closed once the poller, asked at this time or later, has
 * reported no connection; WR_NEVER_AT: an event has to come first.  (The clock
 * may be far ahead of the last look at the poller.)  Behind a fence it is the
 * time by which the last handshake must be complete.  Without a fence new
 * connections keep coming: first all that waited before are accepted, then it
 * is the time by which the handshakes under way must be complete.
 */
static int64_t closes_at(const struct wr_endpoint *e)
{
	if (e->fence.owed > 0)
		return WR_NEVER_AT;
	if (!e->fence.is_fenced)
		return e->fence.began_at + e->fence.handshake_ns;
	if (e->fence.calm_since == 0)
		return WR_NEVER_AT;
	return wr_min_at(e->fence.calm_since + e->fence.handshake_ns,
			 e->fence.first_calm_at + WR_HANDSHAKES_MOST_NS);
}

static void close_if_quiet(struct wr_accept *a, struct wr_endpoint *e)
{
	watch_listener(a, e);
	if (!e->is_broken && looked_at(a, e) < closes_at(e))
		return;
	/* Close right after emptying the backlog: fewest are lost. */
	if (!e->fence.is_fenced && !e->is_broken && a->resume_at == 0)
		wr_accept_from(a, e);
	wr_accept_close_listener(a, e);
}

void wr_fence_run(struct wr_accept *a)
{
	struct wr_endpoint *e = NULL;

	fence_unwanted(a);
	while ((e = wr_accept_next(a, e)))
		if (e->listener.fd >= 0 && e->fence.began_at != 0)
			close_if_quiet(a, e);
}

int64_t wr_fence_next_at(const struct wr_accept *a)
{
	struct wr_endpoint *e = NULL;
	int64_t at = WR_NEVER_AT;

	while ((e = wr_accept_next(a, e))) {
		if (e->listener.fd < 0 || e->fence.began_at == 0)
			continue;
		if (e->is_unwatched)
			continue; /* until accept(2) is tried again */
		if (e->fence.calm_since == 0 && !has_clients(e))
			return 0; /* it has just become quiet */
		at = wr_min_at(at, closes_at(e));
	}
	return at;
}
