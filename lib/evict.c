/* SPDX-License-Identifier: MIT */
/*
 * Looking at all slots takes long, so the result is used for several clients.
 * The owner of a connection checks whether it has become active since.
 *
 * A connection that is asked to end may stay, so the next look leaves out those
 * that were asked.  One that stays only because there is room again is asked
 * first the next time.
 */
#include "evict.h"

#include <string.h>

/* Keep it if it has been idle for longer than one of those that are kept. */
static void keep_candidate(struct wr_evict *e, int64_t since, uint64_t key)
{
	size_t at = 0;

	while (at < e->count && e->idle[at].since > since)
		at++;
	if (e->count == WR_EVICT_KEPT && at == 0)
		return;
	if (e->count == WR_EVICT_KEPT) {
		at--;
		memmove(e->idle, e->idle + 1, at * sizeof(e->idle[0]));
	} else {
		memmove(e->idle + at + 1, e->idle + at,
			(e->count - at) * sizeof(e->idle[0]));
		e->count++;
	}
	e->idle[at] = (struct wr_idle){ since, key };
}

/* Not the only connection of another listener, if its place would be kept. */
static bool makes_room(const struct wr_evict *e, const struct weir_conn *c)
{
	const struct wr_share *own = e->service->share;
	const struct wr_share *share = c->service->share;
	size_t most_kept = (size_t)e->core->config.max_connections / 4;

	return share == own || share->is_closed ||
	       atomic_load(&share->has[WR_PLACE_SERVER]) > 1 ||
	       atomic_load(&own->has[WR_PLACE_SERVER]) == 0 ||
	       e->kept >= most_kept;
}

static void look_at_slot(struct wr_evict *e, size_t slot, int64_t idle_since)
{
	struct weir_conn *c = wr_table_find(e->core->table, slot);

	if (wr_conn_where(c) != WR_CONN_PARKED || !wr_conn_pin(c))
		return;
	if (wr_conn_where(c) == WR_CONN_PARKED && !c->is_dialled &&
	    c->active_at > e->since && c->active_at <= idle_since &&
	    makes_room(e, c))
		keep_candidate(e, c->active_at, wr_conn_key(c));
	wr_conn_unpin(c);
}

static void look_for_idle(struct wr_evict *e, int64_t idle_since)
{
	size_t slots = wr_table_slots(e->core->table);
	size_t n = wr_min(slots, WR_EVICT_SLOTS);

	e->count = 0;
	for (; n > 0; n--) {
		e->next_slot = e->next_slot + 1 < slots ? e->next_slot + 1 : 0;
		look_at_slot(e, e->next_slot, idle_since);
	}
}

/* False: it is not idle any more, or would make no room. */
static bool ask_to_end(struct wr_evict *e, const struct wr_idle *idle)
{
	struct weir_conn *c = wr_table_find(e->core->table, idle->key);
	bool is_idle;

	if (!wr_conn_pin(c))
		return false;
	is_idle = wr_conn_key(c) == idle->key &&
		  wr_conn_where(c) == WR_CONN_PARKED &&
		  c->active_at == idle->since && makes_room(e, c);
	if (is_idle) {
		wr_count(e->ctx->stats, &e->ctx->stats->evictions, 1);
		atomic_store(&e->core->table->kept, e->kept);
		atomic_store(&c->eviction, WR_EVICTION_ASKED);
		wr_conn_post(c, e->ctx->stats, (uint32_t)(idle->key >> 32),
			     WR_EV_DEADLINE);
		e->wait_at = e->ctx->now + WR_EVICT_WAIT_NS;
		e->asked = *idle;
		e->asked_at = e->ctx->now;
		e->since_before = e->since;
		e->since = idle->since;
	}
	wr_conn_unpin(c);
	return is_idle;
}

/* enum wr_eviction of the one that was asked last. */
static int eviction_of_asked(const struct wr_evict *e)
{
	const struct weir_conn *c = wr_table_find(e->core->table, e->asked.key);

	return wr_conn_key(c) == e->asked.key && wr_conn_is_in_use(c) &&
			       wr_conn_where(c) != WR_CONN_LINGERING
		       ? atomic_load(&c->eviction)
		       : WR_EVICTION_NONE;
}

/* Not if it waits for a worker: another connection would wait, too. */
static bool is_kept_by_callback(const struct wr_evict *e)
{
	const struct weir_conn *c = wr_table_find(e->core->table, e->asked.key);

	return e->ctx->now >= e->asked_at + WR_EVICT_OWNER_NS &&
	       wr_conn_where(c) == WR_CONN_RUNNING;
}

/* The owner of the one asked has not looked yet, and is in no long callback. */
static bool is_undecided(struct wr_evict *e)
{
	int eviction = e->asked.since ? eviction_of_asked(e) : WR_EVICTION_NONE;

	if (eviction == WR_EVICTION_ASKED && !is_kept_by_callback(e))
		return true;
	if (eviction == WR_EVICTION_SPARED) {
		wr_assert(e->count < WR_EVICT_KEPT);
		e->idle[e->count++] = e->asked;
		e->since = e->since_before;
	}
	e->asked.since = 0;
	return false;
}

/* Ask the first candidate that is still idle.  False: none is. */
static bool ask_candidate(struct wr_evict *e)
{
	bool was_asked = false;

	for (; e->count > 0 && !was_asked; e->count--)
		was_asked = ask_to_end(e, &e->idle[e->count - 1]);
	return was_asked;
}

/* Each listener looks for itself: what makes room differs. */
static void put_off_look(struct wr_evict *e)
{
	int64_t at = e->ctx->now + WR_EVICT_LOOK_NS;

	e->service->share->look_at = at;
	if (e->look_at <= e->ctx->now)
		e->look_at = at;
}

void wr_evict_one(struct wr_evict *e, const struct wr_service *service,
		  size_t kept)
{
	int64_t idle_ms = e->core->config.evict_ms;
	int64_t now = e->ctx->now;

	e->service = service;
	e->kept = kept;
	if (idle_ms == WEIR_NEVER || wr_evict_is_pending(e))
		return;
	if (is_undecided(e)) {
		e->wait_at = now + WR_EVICT_WAIT_NS;
		return;
	}
	if (ask_candidate(e) || now < service->share->look_at)
		return;
	look_for_idle(e, now - idle_ms * WR_NS_PER_MS);
	if (e->count == 0)
		e->since = 0;
	if (!ask_candidate(e))
		put_off_look(e);
}
