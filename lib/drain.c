/* SPDX-License-Identifier: MIT */
/*
 * The stop, step by step; what it guarantees is in docs/STOPPING.md.
 *
 *   1  fence the listeners: no new connection can begin
 *   2  accept those the kernel has completed, until it is quiet; then close
 *   3  remind the parked connections again and again: each is served what it
 *      has sent, says its last word and ends
 *   4  at the deadline cut the rest, and tell whoever was not served yet
 *   5  give callbacks a moment to notice; name those that do not
 *
 * It ends as soon as no connection is left, which is usually within step 3.
 * All of it runs in the acceptor's thread.
 */
#include "acceptor.h"
#include "conn_table.h"
#include "sys.h"

/* Step 2 waits so long for the last packet of a handshake under way ... */
#define LEAST_QUIET_NS (30 * WR_NS_PER_MS)
#define MOST_QUIET_NS  (500 * WR_NS_PER_MS)
#define QUIET_RTTS(ns) ((ns) + (ns) / 2)
#define MOST_SAMPLES   64 /* connections that are asked for their RTT */
/* ... and for one after the other no longer than this. */
#define LONGEST_CALM_NS (1000 * WR_NS_PER_MS)
/* Nothing is open that could end, and nobody can be accepted. */
#define HOPELESS_NS (1000 * WR_NS_PER_MS)

#define SWEEP_NS  (25 * WR_NS_PER_MS) /* between two reminders */
#define NOTICE_NS (60 * WR_NS_PER_MS) /* of step 5 */
/* So long step 5 may last, with the join's part 100 ms; and WR_CUT_NS each. */
#define LONGEST_NOTICE_NS (70 * WR_NS_PER_MS)

static struct weir_conn *conn_at(struct wr_acceptor *a, size_t i)
{
	struct weir_conn *c = wr_table_find(a->core->table, i);

	return atomic_load(&c->due_at) == INT64_MIN ? NULL : c;
}

/* --------------------------------------------------------------- steps 1, 2 */

/* The round trip to the peer, ns; 0: not known. */
static int64_t round_trip(struct weir_conn *c)
{
	int64_t ns = 0;

	if (!c->is_tcp || !wr_trylock(&c->lock))
		return 0;
	if (c->fd >= 0)
		ns = wr_sys_round_trip_us(c->fd) * WR_NS_PER_MS / 1000;
	wr_unlock(&c->lock);
	return ns;
}

/*
 * A handshake under way needs one round trip.  What that takes, the
 * connections that are open tell: they are as many as there are handshakes
 * under way, or more, since a conversation takes a round trip too.
 */
static int64_t quiet_time(struct wr_acceptor *a)
{
	size_t slots = wr_table_slots(a->core->table);
	int64_t longest = LEAST_QUIET_NS;
	int samples = 0;

	for (size_t i = 0; i < slots && samples < MOST_SAMPLES; i++) {
		struct weir_conn *c = conn_at(a, i);
		int64_t ns = c ? round_trip(c) : 0;

		samples += ns > 0;
		if (QUIET_RTTS(ns) > longest)
			longest = QUIET_RTTS(ns);
	}
	return wr_min_at(longest, MOST_QUIET_NS);
}

/* What the fence says where there is none; 0: it stands, or none is needed. */
static int end_listener(struct wr_acceptor *a, struct wr_endpoint *d)
{
	int rc;

	if (d->listener.inherited || d->listener.fd < 0) {
		wr_accept_close_listener(a, d);
		return 0;
	}
	rc = wr_listener_fence(&d->listener);
	d->is_fenced = rc == 0;
	if (!d->is_fenced)
		d->owed = wr_min(wr_listener_waiting(&d->listener),
				 (size_t)d->service.set.backlog);
	return rc;
}

static void end_listeners(struct wr_acceptor *a)
{
	const struct wr_endpoint *unfenced = NULL;
	int error = 0;

	for (int i = 0; i < a->endpoint_count; i++) {
		int rc = end_listener(a, a->endpoints[i]);

		if (rc < 0 && !unfenced) {
			unfenced = a->endpoints[i];
			error = rc;
		}
	}
	if (unfenced)
		wr_logf(&a->core->logger, WEIR_LOG_WARNING,
			"%s: clients cannot be kept from connecting during "
			"the stop: %s; some may be reset",
			unfenced->where, weir_strerror(error));
}

static void begin(struct wr_acceptor *a)
{
	struct wr_core *core = a->core;

	a->is_stopping = true;
	a->ctx.now = wr_now_ns(); /* not from before the stop was asked for */
	a->sweep_at = a->ctx.now;
	a->resume_at = 0; /* a shortage is looked at once more */
	atomic_store(&core->drain_began_at, a->ctx.now);
	/* Without any grace nobody drains: who waits is told of the cut. */
	if (a->ctx.now < atomic_load(&core->stop_at)) {
		atomic_store(&core->phase, WR_PHASE_DRAINING);
		wr_pool_wake_waiters(a->pool);
	}
	wr_linger_shorten(a);
	end_listeners(a);
	a->quiet_ns = quiet_time(a);
	wr_logf(&core->logger, WEIR_LOG_INFO, "stopping; connections open: %zu",
		atomic_load(&core->table->open));
}

static void watch_listener(const struct wr_acceptor *a, struct wr_endpoint *d)
{
	if (!d->is_armed || d->may_have_more) { /* held, paused, not asked */
		d->calm_since = 0;
		return;
	}
	d->owed = 0; /* the poller has just seen nobody there */
	if (d->calm_since == 0)
		d->calm_since = a->ctx.now;
	if (d->first_calm_at == 0)
		d->first_calm_at = d->calm_since;
}

/*
 * When it is closed, if no connection comes; never: not before something
 * happens.  Behind a fence that is when the last handshake under way has had
 * its time.  Without one new connections come as ever: it is closed as soon as
 * those that waited when the stop began have been accepted, and handshakes
 * that were under way then had the same time.
 */
static int64_t closes_at(const struct wr_acceptor *a,
			 const struct wr_endpoint *d)
{
	if (d->owed > 0)
		return WR_NEVER_AT;
	if (!d->is_fenced)
		return atomic_load(&a->core->drain_began_at) + a->quiet_ns;
	if (d->calm_since == 0)
		return WR_NEVER_AT;
	return wr_min_at(d->calm_since + a->quiet_ns,
			 d->first_calm_at + LONGEST_CALM_NS);
}

/* accept(2) fails, and nothing of ours is open whose end could change that. */
static bool is_hopeless(struct wr_acceptor *a)
{
	if (a->pause_ns == 0 || atomic_load(&a->core->table->open) > 0) {
		a->hopeless_at = 0;
		return false;
	}
	if (a->hopeless_at == 0)
		a->hopeless_at = a->ctx.now + HOPELESS_NS;
	return a->ctx.now >= a->hopeless_at;
}

static bool is_to_be_closed(struct wr_acceptor *a, struct wr_endpoint *d)
{
	watch_listener(a, d);
	return d->is_broken || a->ctx.now >= closes_at(a, d);
}

/* Right behind an empty backlog there is the least to lose. */
static void empty_backlog(struct wr_acceptor *a, struct wr_endpoint *d)
{
	if (!d->is_fenced && !d->is_broken && a->resume_at == 0)
		wr_accept_from(a, d);
}

static void close_quiet_listeners(struct wr_acceptor *a)
{
	bool is_any_open = false;

	if (is_hopeless(a)) {
		wr_accept_close_listeners(a);
		return;
	}
	for (int i = 0; i < a->endpoint_count; i++) {
		struct wr_endpoint *d = a->endpoints[i];

		if (d->listener.fd >= 0 && is_to_be_closed(a, d)) {
			empty_backlog(a, d);
			wr_accept_close_listener(a, d);
		}
		is_any_open |= d->listener.fd >= 0;
	}
	a->are_listeners_closed = !is_any_open;
}

/* --------------------------------------------------------------- steps 3, 4 */

/* What lingers, or is about to, has all it will get. */
static void cut_conn(struct wr_acceptor *a, struct weir_conn *c)
{
	if (atomic_load(&c->inbox_bits) & WR_INBOX_LINGER)
		return;
	if (!atomic_load(&c->is_cut))
		(void)wr_conn_try_cut(c); /* or with the next reminder */
	wr_conn_post(c, a->ctx.stats, wr_owner_generation(&c->owner),
		     WR_EV_CANCEL);
}

/* Reminds those that are left of the stop, or of its deadline. */
static void sweep(struct wr_acceptor *a)
{
	size_t slots = wr_table_slots(a->core->table);

	a->sweep_at = a->ctx.now + SWEEP_NS;
	for (size_t i = 0; i < slots; i++) {
		struct weir_conn *c = conn_at(a, i);

		if (!c || c->lingers)
			continue;
		if (a->is_cutting)
			cut_conn(a, c);
		else
			wr_conn_post(c, a->ctx.stats,
				     wr_owner_generation(&c->owner),
				     WR_EV_DRAIN);
	}
}

static void refuse_queued(struct wr_acceptor *a)
{
	struct wr_node *n;

	while ((n = wr_queue_pop(&a->core->accepted))) {
		struct weir_conn *c =
			wr_container_of(n, struct weir_conn, node);

		c->ctx = &a->ctx;
		wr_conn_refuse(c, WR_OUTCOME_REFUSED_DRAIN);
	}
}

/* In a shortage they wait for somebody to be through, or had their time. */
static void refuse_waiting(struct wr_acceptor *a)
{
	if (!a->are_listeners_closed && wr_accept_refuse_rest(a))
		wr_accept_close_listeners(a);
}

static void cut(struct wr_acceptor *a)
{
	struct weir_stats stats;

	a->is_cutting = true;
	wr_core_sum(a->core, &stats);
	a->cut_before = stats.ledger.cut;
	refuse_waiting(a);
	a->open_before = atomic_load(&a->core->table->open);
	a->latest_at = a->ctx.now + LONGEST_NOTICE_NS +
		       (int64_t)a->open_before * WR_CUT_NS;
	refuse_queued(a);
	wr_linger_shorten(a);
	sweep(a);
	atomic_store(&a->core->phase, WR_PHASE_CUTTING);
	/* All of them know only now: shutting so many down takes its time. */
	a->give_up_at = wr_min_at(wr_now_ns() + NOTICE_NS, a->latest_at);
}

/* ------------------------------------------------------------------- step 5 */

static bool has_patience(struct wr_acceptor *a)
{
	size_t open = atomic_load(&a->core->table->open);

	if (a->ctx.now < a->give_up_at)
		return true;
	if (open >= a->open_before || a->ctx.now >= a->latest_at)
		return false;
	a->open_before = open; /* they are getting on with it */
	a->give_up_at = wr_min_at(a->ctx.now + NOTICE_NS, a->latest_at);
	return true;
}

/* Those that were told no just now included. */
static void end_lingering(struct wr_acceptor *a)
{
	wr_acceptor_take_inbox(a);
	while (a->oldest)
		wr_linger_end(a, a->oldest);
}

/* The number of callbacks that did not return. */
static uint64_t name_the_stuck(struct wr_acceptor *a)
{
	uint64_t stuck = 0;

	for (int i = 0; i < a->pool->count; i++) {
		struct wr_context *ctx = &a->pool->workers[i].ctx;
		int64_t since = atomic_load(&ctx->busy_since);
		struct weir_conn *c = atomic_load(&ctx->running);
		char peer[WR_PEER_TEXT];

		if (since == 0)
			continue;
		stuck++;
		wr_conn_try_peer_text(c, peer);
		wr_logf(&a->core->logger, WEIR_LOG_ERROR,
			"worker %d is stuck: the callback of connection %llu "
			"from %s has been running for %lld ms",
			i, (unsigned long long)c->id, peer,
			(long long)((a->ctx.now - since) / WR_NS_PER_MS));
	}
	return stuck;
}

/*
 * In the ledger they are cut; their workers may yet come back for them, and
 * are not waited for.  False: there was none.
 */
static bool abandon(struct wr_acceptor *a)
{
	size_t slots = wr_table_slots(a->core->table);
	bool any = false;

	for (size_t i = 0; i < slots; i++) {
		struct weir_conn *c = conn_at(a, i);

		if (c && !atomic_exchange(&c->is_counted, true)) {
			wr_count(a->ctx.stats,
				 &a->ctx.stats->outcome[WR_OUTCOME_CUT], 1);
			atomic_fetch_sub(&a->core->table->open, 1);
			any = true;
		}
	}
	return any;
}

/* ------------------------------------------------------------------ the end */

static void finish(struct wr_acceptor *a, uint64_t stuck, bool is_busy)
{
	struct wr_core *core = a->core;
	struct weir_stats stats;
	int64_t asked_at = atomic_load(&core->asked_at);

	wr_core_sum(core, &stats);
	atomic_store(&core->phase, WR_PHASE_DONE);
	wr_pool_dismiss(a->pool);
	wr_logf(&core->logger, WEIR_LOG_INFO,
		"stopped: %llu accepted, %llu completed, %llu cut, %llu stuck",
		(unsigned long long)stats.ledger.accepted,
		(unsigned long long)stats.ledger.completed,
		(unsigned long long)stats.ledger.cut,
		(unsigned long long)stuck);
	wr_lock(&core->lock);
	core->report.ledger = stats.ledger;
	core->report.late_bytes = stats.late_bytes;
	core->report.stuck = stuck;
	core->report.drain_ms =
		(uint64_t)((wr_now_ns() - asked_at) / WR_NS_PER_MS);
	core->was_cut = a->is_cutting && stats.ledger.cut > a->cut_before;
	core->is_busy = is_busy;
	core->is_done = true;
	wr_cond_broadcast(&core->changed);
	wr_unlock(&core->lock);
	wr_sys_eventfd_signal(core->done_fd);
}

int64_t wr_drain_next_at(const struct wr_acceptor *a)
{
	int64_t at;

	if (!atomic_load(&a->core->stop_wanted))
		return WR_NEVER_AT;
	if (!a->is_stopping)
		return 0;
	at = a->sweep_at;
	if (a->is_cutting)
		return wr_min_at(at, a->give_up_at);
	for (int i = 0; i < a->endpoint_count; i++)
		if (a->endpoints[i]->listener.fd >= 0)
			at = wr_min_at(at, closes_at(a, a->endpoints[i]));
	return wr_min_at(at, atomic_load(&a->core->stop_at));
}

bool wr_drain_run(struct wr_acceptor *a)
{
	uint64_t stuck = 0;
	bool is_busy = false;

	if (!atomic_load(&a->core->stop_wanted))
		return false;
	if (!a->is_stopping)
		begin(a);
	if (a->is_cutting)
		refuse_waiting(a);
	else if (a->ctx.now >= atomic_load(&a->core->stop_at))
		cut(a);
	if (a->ctx.now >= a->sweep_at)
		sweep(a);
	if (!a->is_cutting && !a->are_listeners_closed)
		close_quiet_listeners(a);
	if (!a->are_listeners_closed ||
	    atomic_load(&a->core->table->open) > 0) {
		if (!a->is_cutting || has_patience(a))
			return false;
		end_lingering(a);
		refuse_waiting(a);
		wr_accept_close_listeners(a);
		end_lingering(a);
		stuck = name_the_stuck(a);
		is_busy = abandon(a) || stuck > 0;
	}
	finish(a, stuck, is_busy);
	return true;
}
