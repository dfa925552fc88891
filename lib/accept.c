/* SPDX-License-Identifier: MIT */
/*
 * Errors of accept(2) have three classes.  A connection that failed is counted.
 * A shortage of descriptors or memory pauses accepting until a connection ends,
 * or for a time that grows to 100 ms.  A broken listener is logged and left.
 * An unknown error counts as a shortage, so that no error makes this thread
 * spin.
 *
 * Listeners share one queue and one max_connections.  They are asked in
 * rotation, and each has a place (see is_full).
 */
#include "accept.h"

#include <errno.h>
#include <string.h>

#include "bounds.h"
#include "conn_table.h"
#include "dispatch.h"
#include "poller.h"
#include "probe.h"
#include "sys.h"

/* Marks the key of a listener; see WR_GENERATIONS. */
#define KEY_LISTENER (UINT64_C(1) << 63)

int wr_accept_init(struct wr_accept *a, struct wr_deadlines *deadlines)
{
	*a = (struct wr_accept){ .core = deadlines->core,
				 .ctx = deadlines->ctx,
				 .deadlines = deadlines,
				 .poller = deadlines->poller,
				 .evict = { .core = deadlines->core,
					    .ctx = deadlines->ctx } };
	return a->reserve = wr_sys_dup(a->core->acceptor_wake_fd);
}

struct wr_endpoint *wr_endpoint_new(int threads)
{
	struct wr_endpoint *e = wr_sys_alloc(sizeof(*e));

	if (e == NULL)
		return NULL;
	e->counts = wr_sys_alloc_lines((size_t)threads * sizeof(*e->counts));
	if (e->counts == NULL) {
		wr_sys_free(e);
		return NULL;
	}
	return e;
}

void wr_endpoint_free(struct wr_endpoint *e)
{
	wr_service_fini(&e->service);
	wr_sys_free(e->counts);
	wr_sys_free(e);
}

void wr_accept_fini(struct wr_accept *a)
{
	struct wr_endpoint *e = a->first, *next;

	for (; e; e = next) {
		next = e->next;
		wr_listener_close(&e->listener);
		wr_endpoint_free(e);
	}
	if (a->reserve >= 0)
		wr_sys_close(a->reserve);
}

static bool has_descriptor(const struct wr_accept *a, int fd)
{
	struct wr_endpoint *e = NULL;

	while ((e = wr_accept_next(a, e)))
		if (e->listener.fd == fd)
			return true;
	return false;
}

int wr_accept_add_listener(struct wr_accept *a, struct wr_endpoint *endpoint)
{
	int rc = -EADDRINUSE; /* it would be closed twice */

	endpoint->service.share = &endpoint->share;
	endpoint->service.counts = endpoint->counts;
	endpoint->service.layer_counts = &endpoint->layer_counts;
	wr_lock(&a->core->lock);
	if (a->is_sealed) {
		rc = -ESHUTDOWN;
	} else if (!has_descriptor(a, endpoint->listener.fd)) {
		rc = endpoint->id = a->last ? a->last->id + 1 : 0;
		atomic_store(a->last ? &a->last->next : &a->first, endpoint);
		a->last = endpoint;
		atomic_fetch_add(&a->listening, 1);
	}
	wr_unlock(&a->core->lock);
	return rc;
}

struct wr_endpoint *wr_accept_find(const struct wr_accept *a, int id)
{
	struct wr_endpoint *e = NULL;

	while ((e = wr_accept_next(a, e)) && e->id != id)
		;
	return e;
}

static size_t listeners_without(const struct wr_accept *a, int place)
{
	struct wr_endpoint *e = NULL;
	size_t n = 0;

	while ((e = wr_accept_next(a, e)))
		n += e->listener.fd >= 0 &&
		     atomic_load(&e->share.has[place]) == 0;
	return n;
}

/* So many places are not for clients of this listener. */
static size_t kept_from(const struct wr_accept *a,
			const struct wr_endpoint *endpoint, int place,
			size_t cap)
{
	return atomic_load(&endpoint->share.has[place]) > 0
		       ? wr_min(listeners_without(a, place), cap / 4)
		       : 0;
}

/*
 * "Each listener has a place": one place is kept for each listener without a
 * connection, up to a quarter of all.  So clients of one listener cannot shut
 * out those of another.
 */
static bool is_full(const struct wr_accept *a,
		    const struct wr_endpoint *endpoint, int place, size_t used,
		    size_t cap)
{
	size_t most_kept = wr_min(atomic_load(&a->listening), cap / 4);

	if (used >= cap || used + most_kept < cap)
		return used >= cap;
	return used + kept_from(a, endpoint, place, cap) >= cap;
}

static bool is_queue_full(const struct wr_accept *a,
			  const struct wr_endpoint *endpoint)
{
	return is_full(a, endpoint, WR_PLACE_QUEUE,
		       wr_sched_queued(&a->core->sched, WR_QUEUE_ACCEPTED),
		       (size_t)a->core->config.queue_length);
}

static bool is_server_full(const struct wr_accept *a,
			   const struct wr_endpoint *endpoint)
{
	return is_full(a, endpoint, WR_PLACE_SERVER,
		       atomic_load(&a->core->table->places),
		       (size_t)a->core->config.max_connections);
}

/*
 * overload is an argument because another thread may change the setting between
 * two looks.  Under WEIR_REFUSE a client waits only for a place that an idle
 * connection is about to leave.
 */
static bool holds(const struct wr_accept *a, const struct wr_endpoint *endpoint,
		  int overload)
{
	if (overload == WEIR_HOLD)
		return is_queue_full(a, endpoint) ||
		       is_server_full(a, endpoint);
	return wr_evict_is_pending(&a->evict) && is_server_full(a, endpoint);
}

/*
 * Set accept_blocked, then look for room; other threads make room, then read
 * accept_blocked.  One of the two sees the other.
 */
static bool has_accept_room(struct wr_accept *a,
			    const struct wr_endpoint *endpoint)
{
	if (!holds(a, endpoint, a->core->config.overload))
		return true;
	atomic_store(&a->core->accept_blocked, true);
	return !holds(a, endpoint, a->core->config.overload);
}

/* Accept without the poller, as often as a shortage lets it. */
static void ask_without_poller(struct wr_accept *a, struct wr_endpoint *e,
			       int rc)
{
	wr_count(a->ctx->stats, &a->ctx->stats->shortages, 1);
	if (wr_log_allows(&a->core->logger, &a->shortage_limit, 1))
		wr_logf(&a->core->logger, WEIR_LOG_WARNING,
			"%s: cannot be watched: %s; asked each %d ms", e->where,
			rc == -ENOSPC ? WR_NO_WATCH_LEFT : weir_strerror(rc),
			(int)(WR_ACCEPT_PAUSE_MOST_NS / WR_NS_PER_MS));
	e->may_have_more = true;
	a->resume_at = a->ctx->now + WR_ACCEPT_PAUSE_MOST_NS;
	atomic_store(&a->core->accept_blocked, true);
}

static void arm(struct wr_accept *a, struct wr_endpoint *e)
{
	int rc;

	if (e->is_armed || e->is_broken || e->listener.fd < 0)
		return;
	rc = wr_poller_add(a->poller, e->listener.fd, WR_POLL_IN,
			   KEY_LISTENER | (uintptr_t)e);
	e->is_armed = rc == 0;
	e->is_unwatched = rc < 0;
	if (rc < 0)
		ask_without_poller(a, e, rc);
}

static void disarm(struct wr_accept *a, struct wr_endpoint *e)
{
	if (e->is_armed)
		wr_poller_remove(a->poller, e->listener.fd);
	e->is_armed = false;
}

/* If no client waits, the poller has to report the next one. */
static void evict_for_client(struct wr_accept *a, struct wr_endpoint *e)
{
	struct pollfd fd = { .fd = e->listener.fd, .events = POLLIN };
	size_t most = (size_t)a->core->config.max_connections;
	int waiting;

	if (a->core->config.evict_ms == WEIR_NEVER || e->listener.is_shut)
		return;
	if (!is_server_full(a, e)) {
		a->evict.wait_at = 0;
		return;
	}
	waiting = wr_sys_poll(&fd, 1, 0);
	if (waiting > 0)
		wr_evict_one(&a->evict, &e->service,
			     kept_from(a, e, WR_PLACE_SERVER, most));
	else if (waiting == 0)
		e->may_have_more = false;
}

/* Once it is armed again, the poller reports clients that wait. */
static void forget(struct wr_accept *a, struct wr_endpoint *e)
{
	disarm(a, e);
	e->may_have_more = e->is_due = false;
}

static void keep_reserve(struct wr_accept *a)
{
	if (a->reserve < 0)
		a->reserve = wr_sys_dup(a->core->acceptor_wake_fd);
}

/* A listener whose clients have to wait is not polled. */
void wr_accept_adjust(struct wr_accept *a)
{
	struct wr_endpoint *e = NULL;
	bool may_accept;

	/* A connection that ends also ends the pause. */
	if (a->ctx->now >= a->resume_at ||
	    !atomic_load(&a->core->accept_blocked))
		a->resume_at = 0;
	may_accept =
		a->resume_at == 0 && wr_core_phase(a->core) < WR_PHASE_CUTTING;
	if (may_accept)
		keep_reserve(a);
	while ((e = wr_accept_next(a, e))) {
		if (e->may_have_more && may_accept)
			evict_for_client(a, e);
		e->is_due =
			e->may_have_more && may_accept && has_accept_room(a, e);
		if (e->may_have_more && !e->is_due)
			disarm(a, e);
		else if (!e->may_have_more && may_accept)
			arm(a, e);
	}
}

static int64_t queue_age_ends_at(const struct wr_accept *a)
{
	int64_t at = wr_sched_oldest_at(&a->core->sched, WR_QUEUE_ACCEPTED);

	return at == WR_NEVER_AT
		       ? at
		       : wr_deadline_at(at, a->core->config.queue_age_ms);
}

int64_t wr_accept_next_at(const struct wr_accept *a)
{
	struct wr_endpoint *e = NULL;

	while ((e = wr_accept_next(a, e)))
		if (e->is_due)
			return 0;
	return wr_min_at(wr_min_at(a->resume_at ? a->resume_at : WR_NEVER_AT,
				   queue_age_ends_at(a)),
			 wr_evict_next_at(&a->evict));
}

bool wr_accept_event(uint64_t key)
{
	struct wr_endpoint *e =
		(struct wr_endpoint *)(uintptr_t)(key & ~KEY_LISTENER);

	if (!(key & KEY_LISTENER))
		return false;
	e->may_have_more = true;
	return true;
}

/* For when all workers are in callbacks.  A round is bounded: clients wait. */
void wr_accept_refuse_too_old(struct wr_accept *a)
{
	int age_ms = a->core->config.queue_age_ms;

	for (int i = 0; age_ms >= 0 && i < WR_ACCEPT_BUDGET; i++) {
		struct wr_node *n = wr_sched_take(
			&a->core->sched, WR_QUEUE_ACCEPTED,
			a->ctx->now - (int64_t)age_ms * WR_NS_PER_MS);

		if (n == NULL)
			return;
		wr_dispatch_too_old(a->ctx,
				    wr_container_of(n, struct weir_conn, node));
	}
}

void wr_accept_expect_clients(struct wr_accept *a)
{
	struct wr_endpoint *e = NULL;

	while ((e = wr_accept_next(a, e)))
		e->may_have_more |= e->is_armed;
}

void wr_accept_close_listener(struct wr_accept *a, struct wr_endpoint *endpoint)
{
	if (endpoint->listener.fd < 0)
		return;
	forget(a, endpoint);
	wr_listener_close(&endpoint->listener);
	endpoint->share.is_closed = true;
	atomic_fetch_sub(&a->listening, 1);
}

void wr_accept_close_listeners(struct wr_accept *a)
{
	struct wr_endpoint *e = NULL;

	while ((e = wr_accept_next(a, e)))
		wr_accept_close_listener(a, e);
}

/* Free slots that an accept needs: in a shortage, and otherwise. */
#define LAST_SLOT  1
#define FREE_SLOTS (LAST_SLOT + 1)
_Static_assert(FREE_SLOTS <= WR_PREPARED_SLOTS, "prepared slots stay");

struct newcomer {
	int fd;
	uint16_t source;    /* see wr_admission_judge() */
	socklen_t peer_len; /* 0: not known */
	struct sockaddr_storage peer;
};

static void count_accepted(const struct wr_accept *a,
			   struct wr_endpoint *endpoint)
{
	WR_COUNT(&endpoint->service, a->ctx->stats, accepted, 1);
	endpoint->fence.calm_since = 0; /* restarts the quiet time */
	if (endpoint->fence.owed > 0)
		endpoint->fence.owed--;
}

/* The program may set SO_LINGER: on the client, or on the listener before. */
static bool may_linger(const struct wr_endpoint *e)
{
	return e->service.set.admit != NULL || e->listener.was_shared;
}

/* Needs wr_table_prepare(). */
static struct weir_conn *make_conn(struct wr_accept *a,
				   struct wr_endpoint *endpoint,
				   const struct newcomer *new)
{
	struct wr_stats *stats = a->ctx->stats;
	struct weir_conn *c = wr_table_take(a->core->table);

	count_accepted(a, endpoint);
	wr_conn_begin(c, &endpoint->service, new->fd, a->ctx->now);
	WR_PROBE2(accept, c->id, endpoint->id);
	wr_share_add(c->service, WR_PLACE_SERVER, 1);
	c->is_tcp = endpoint->listener.is_tcp;
	if (c->is_tcp && new->peer_len <= sizeof(c->peer.addr)) {
		memcpy(&c->peer.addr, &new->peer, new->peer_len);
		c->peer.len = (uint8_t) new->peer_len;
	}
	c->peer.source = new->source;
	c->may_block_close = may_linger(endpoint);
	c->is_unproven = true;
	atomic_fetch_add(&a->core->admission.unproven, 1);
	wr_conn_move(c, stats, WR_CONN_QUEUED);
	c->ctx = a->ctx;
	return c;
}

/*
 * "A silent client needs no worker": while a worker polls and no connection
 * waits for one, a client that has sent nothing is parked as a worker would
 * park it.  Its first byte wakes the worker that polls.  A proxy goes to a
 * worker, which turns it away unless it is trusted.
 */
static bool may_park(const struct wr_accept *a, const struct weir_conn *c)
{
	const struct wr_service *service = c->service;

	return service->set.opened == NULL && !service->set.speaks_first &&
	       !service->layer_speaks_first &&
	       service->set.proxy == WEIR_PROXY_NEVER &&
	       wr_core_phase(a->core) < WR_PHASE_DRAINING &&
	       wr_sched_polls(&a->core->sched) &&
	       wr_sched_queued(&a->core->sched, WR_QUEUE_ACCEPTED) == 0;
}

/* False: a worker has to look at it, also if it cannot be watched. */
static bool park_at_once(const struct wr_accept *a, struct weir_conn *c)
{
	const unsigned interest = WR_POLL_IN | WR_POLL_EDGE;
	struct wr_core *core = a->core;
	struct wr_stats *stats = a->ctx->stats;

	if (!may_park(a, c) || wr_conn_input_probe(c) != 0 ||
	    wr_poller_add(&core->poller, c->fd, interest, wr_conn_key(c)) < 0)
		return false;
	c->interest = (uint8_t)interest;
	(void)wr_count_duration(&stats->queue_wait, 0);
	wr_conn_move(c, stats, WR_CONN_PARKED);
	if (!wr_owner_release(&c->owner)) {
		wr_conn_move(c, stats, WR_CONN_READY);
		wr_sched_submit(&core->sched, WR_QUEUE_READY, &c->node, 0);
	}
	return true;
}

static void queue_up(const struct wr_accept *a, struct weir_conn *c)
{
	wr_share_add(c->service, WR_PLACE_QUEUE, 1);
	wr_sched_submit(&a->core->sched, WR_QUEUE_ACCEPTED, &c->node,
			a->ctx->now);
}

/* overload: the policy at the time of the accept. */
static void admit(struct wr_accept *a, struct wr_endpoint *endpoint,
		  int overload, const struct newcomer *new)
{
	/*
	 * Under WEIR_HOLD there was room before the accept, and no other thread
	 * takes it.  Another look could find none, because workers change the
	 * queue and the count of the listener one after the other.
	 */
	bool may_refuse = overload == WEIR_REFUSE;
	bool was_full = may_refuse && is_server_full(a, endpoint);
	struct weir_conn *c = make_conn(a, endpoint, new);

	if (was_full) {
		wr_conn_refuse(c, WR_OUTCOME_REFUSED_LIMIT, NULL);
	} else if (may_refuse && is_queue_full(a, endpoint)) {
		wr_conn_refuse(c, WR_OUTCOME_REFUSED_FULL, NULL);
	} else {
		wr_deadlines_expect(a->deadlines, c);
		if (!park_at_once(a, c))
			queue_up(a, c);
	}
}

static void accept_tell_refusal(struct wr_accept *a,
				const struct wr_endpoint *endpoint,
				const struct newcomer *new, int outcome)
{
	const struct weir_service *set = &endpoint->service.set;
	const char *why = wr_refusal_reason(outcome);
	struct wr_core *core = a->core;
	char peer[WR_PEER_TEXT] = "unix:";

	if (!set->refused &&
	    (core->config.log_level < WEIR_LOG_INFO ||
	     !wr_log_allows(&core->logger, &core->refusal_limit, 10)))
		return;
	if (endpoint->listener.is_tcp)
		(void)wr_address_format((const struct sockaddr *)&new->peer,
					new->peer_len, peer, sizeof(peer));
	if (set->refused)
		set->refused(peer, NULL, why, set->arg);
	else
		wr_logf(&core->logger, WEIR_LOG_INFO,
			"%s: client %s refused: %s", endpoint->where, peer,
			why);
}

/* A client without a slot cannot linger: later input may destroy the text. */
static void refuse_in_passing(struct wr_accept *a, struct wr_endpoint *endpoint,
			      const struct newcomer *new, int outcome)
{
	struct wr_refusal *refusal = a->core->config.refusal;
	struct iovec text = { refusal->text, refusal->len };
	char waste[4096];

	accept_tell_refusal(a, endpoint, new, outcome);
	count_accepted(a, endpoint);
	WR_COUNT(&endpoint->service, a->ctx->stats, outcome[outcome], 1);
	/* A client that expects TLS could not read the text. */
	if (outcome != WR_OUTCOME_REFUSED_ACCESS &&
	    !endpoint->service.is_layered)
		(void)wr_sys_sendmsg(new->fd, &text, 1);
	(void)wr_sys_shutdown(new->fd, SHUT_WR);
	for (int i = 0; i < 64; i++)
		if (wr_sys_recv(new->fd, waste, sizeof(waste), 0) <= 0)
			break;
	if (may_linger(endpoint))
		wr_sys_forget_linger(new->fd);
	wr_sys_close(new->fd);
}

/* False: the client was refused. */
static bool is_admitted(struct wr_accept *a, struct wr_endpoint *endpoint,
			struct newcomer *new)
{
	const struct wr_client client = {
		.service = &endpoint->service,
		.fd = new->fd,
		.peer = (const struct sockaddr *)&new->peer,
		.peer_len = new->peer_len,
		.now = a->ctx->now,
	};
	int outcome = WR_ADMITTED;

	/* The client of a proxy is known, and judged, with its header. */
	if (endpoint->service.set.proxy == WEIR_PROXY_NEVER)
		outcome = wr_admission_judge(&a->core->admission,
					     &a->core->config, a->ctx->stats,
					     &client, &new->source);
	if (outcome == WR_ADMITTED)
		return true;
	refuse_in_passing(a, endpoint, new, outcome);
	return false;
}

enum answer { CONN_FAILED, SHORTAGE, BROKEN };

static enum answer classify(int rc)
{
	switch (-rc) {
	case ECONNABORTED:
	case ECONNRESET:
	case EPROTO:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENOPROTOOPT:
	case ENONET:
	case EOPNOTSUPP:
	case ETIMEDOUT:
	case EPERM:
		return CONN_FAILED;
	case EBADF:
	case EINVAL:
	case ENOTSOCK:
	case EFAULT:
		return BROKEN;
	default:
		return SHORTAGE;
	}
}

static bool is_shortage(int rc)
{
	return rc < 0 && rc != -EAGAIN && classify(rc) == SHORTAGE;
}

static int accept_newcomer(struct wr_endpoint *endpoint, struct newcomer *new)
{
	new->source = 0;
	new->peer_len = sizeof(new->peer);
	return new->fd = wr_sys_accept4(
		       endpoint->listener.fd, (struct sockaddr *)&new->peer,
		       &new->peer_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/*
 * -EBUSY: the client waits in the backlog.  Under the lock, so that new values
 * apply to each client that connects after weir_server_configure().
 */
static int accept_if_room(struct wr_accept *a, struct wr_endpoint *endpoint,
			  int *overload, struct newcomer *new)
{
	int rc = -EBUSY;

	wr_word_lock(&a->core->config.accept_lock);
	*overload = a->core->config.overload;
	if (!holds(a, endpoint, *overload))
		rc = wr_table_prepare(a->core->table, FREE_SLOTS);
	if (rc == 0)
		rc = accept_newcomer(endpoint, new);
	wr_word_unlock(&a->core->config.accept_lock);
	return rc;
}

/* wr_accept_adjust() reopens the reserve. */
static int accept_with_reserve(struct wr_accept *a,
			       struct wr_endpoint *endpoint,
			       struct newcomer *new)
{
	if (a->reserve < 0)
		return -EMFILE;
	wr_sys_close(a->reserve);
	a->reserve = -1;
	return accept_newcomer(endpoint, new);
}

/*
 * Under WEIR_REFUSE the client is refused, and has the descriptor of the
 * reserve until it ends.  Under WEIR_HOLD the reserve is used only in a stop
 * without an open connection: no descriptor becomes free then, so waiting
 * clients are served one by one.
 */
static int accept_in_shortage(struct wr_accept *a, struct wr_endpoint *endpoint,
			      int *overload, struct newcomer *new)
{
	int rc = -EBUSY;

	wr_word_lock(&a->core->config.accept_lock);
	*overload = a->core->config.overload;
	if (*overload == WEIR_REFUSE ||
	    (wr_core_phase(a->core) >= WR_PHASE_DRAINING &&
	     atomic_load(&a->core->table->open) == 0))
		rc = wr_table_prepare(a->core->table, LAST_SLOT);
	if (rc == 0)
		rc = accept_with_reserve(a, endpoint, new);
	wr_word_unlock(&a->core->config.accept_lock);
	return rc;
}

static void use_reserve(struct wr_accept *a, struct wr_endpoint *endpoint)
{
	struct newcomer new = { .fd = -1 };
	int overload;

	if (accept_in_shortage(a, endpoint, &overload, &new) < 0 ||
	    !is_admitted(a, endpoint, &new))
		return;
	if (overload == WEIR_HOLD)
		admit(a, endpoint, overload, &new);
	else
		wr_conn_refuse(make_conn(a, endpoint, &new),
			       WR_OUTCOME_REFUSED_LIMIT, NULL);
}

/* Without lingering: others need the descriptor.  The result of accept(2). */
static int refuse_with_reserve(struct wr_accept *a,
			       struct wr_endpoint *endpoint)
{
	struct newcomer new = { .fd = -1 };
	int fd = accept_with_reserve(a, endpoint, &new);

	if (fd >= 0 && is_admitted(a, endpoint, &new)) {
		wr_admission_leave(&a->core->admission, new.source);
		refuse_in_passing(a, endpoint, &new, WR_OUTCOME_REFUSED_DRAIN);
	}
	keep_reserve(a);
	return fd;
}

static const char *shortage_text(int rc)
{
	return rc == -EUSERS ? "the program holds too many references"
			     : weir_strerror(rc);
}

static void pause_accepting(struct wr_accept *a, struct wr_endpoint *endpoint,
			    int rc)
{
	wr_count(a->ctx->stats, &a->ctx->stats->shortages, 1);
	forget(a, endpoint);
	a->pause_ns = a->pause_ns ? wr_min_at(2 * a->pause_ns,
					      WR_ACCEPT_PAUSE_MOST_NS)
				  : WR_ACCEPT_PAUSE_NS;
	a->resume_at = a->ctx->now + a->pause_ns;
	if (wr_log_allows(&a->core->logger, &a->shortage_limit, 1))
		wr_logf(&a->core->logger, WEIR_LOG_WARNING,
			"%s: cannot accept: %s; pausing for %d ms",
			endpoint->where, shortage_text(rc),
			(int)(a->pause_ns / WR_NS_PER_MS));
	if (rc != -EUSERS) /* wr_table_prepare() has set it */
		atomic_store(&a->core->accept_blocked, true);
	if (classify(rc) == SHORTAGE)
		use_reserve(a, endpoint);
}

/* True: accept again. */
static bool on_accept_error(struct wr_accept *a, struct wr_endpoint *endpoint,
			    int rc)
{
	switch (classify(rc)) {
	case CONN_FAILED:
		wr_count(a->ctx->stats, &a->ctx->stats->accept_errors, 1);
		return true;
	case BROKEN:
		forget(a, endpoint);
		endpoint->is_broken = true;
		wr_logf(&a->core->logger, WEIR_LOG_ERROR,
			"%s: the listener is broken: %s", endpoint->where,
			weir_strerror(rc));
		return false;
	case SHORTAGE:
	default:
		pause_accepting(a, endpoint, rc);
		return false;
	}
}

static void on_empty_backlog(struct wr_accept *a, struct wr_endpoint *endpoint)
{
	endpoint->may_have_more = endpoint->is_due = false;
	endpoint->empty_at = a->ctx->now;
	endpoint->fence.owed = 0;
	if (endpoint->listener.is_shut)
		wr_accept_close_listener(a, endpoint);
	arm(a, endpoint);
}

void wr_accept_from(struct wr_accept *a, struct wr_endpoint *endpoint)
{
	struct newcomer new = { .fd = -1 };
	int failures = 0;

	for (int i = 0; i < WR_ACCEPT_BUDGET; i++) {
		int overload;
		int rc = accept_if_room(a, endpoint, &overload, &new);

		if (rc == -EBUSY)
			return; /* wr_accept_adjust() then disarms it */
		if (rc == -EAGAIN) {
			on_empty_backlog(a, endpoint);
			return;
		}
		if (rc >= 0) {
			a->pause_ns = 0;
			a->latest = endpoint;
			if (is_admitted(a, endpoint, &new))
				admit(a, endpoint, overload, &new);
			continue;
		}
		if (!on_accept_error(a, endpoint, rc))
			return;
		if (++failures == WR_ACCEPT_BUDGET)
			pause_accepting(a, endpoint, rc);
	}
}

static struct wr_endpoint *after(const struct wr_accept *a,
				 const struct wr_endpoint *e)
{
	struct wr_endpoint *next = wr_accept_next(a, e);

	return next ? next : wr_accept_next(a, NULL);
}

static struct wr_endpoint *last_of_round(const struct wr_accept *a)
{
	return a->latest ? a->latest : wr_accept_next(a, NULL);
}

void wr_accept_run(struct wr_accept *a)
{
	struct wr_endpoint *last = last_of_round(a), *e = last;

	do {
		e = after(a, e);
		if (e->is_due)
			wr_accept_from(a, e);
	} while (e != last);
}

/* At most its backlog, as clients may keep connecting. */
static bool refuse_rest_of(struct wr_accept *a, struct wr_endpoint *endpoint)
{
	for (int i = 0; i < endpoint->service.set.backlog; i++) {
		int rc = wr_table_prepare(a->core->table, LAST_SLOT);
		struct newcomer new = { .fd = -1 };

		if (rc == 0)
			rc = accept_newcomer(endpoint, &new);
		if (rc >= 0 && is_admitted(a, endpoint, &new))
			wr_conn_refuse(make_conn(a, endpoint, &new),
				       WR_OUTCOME_REFUSED_DRAIN, NULL);
		if (is_shortage(rc))
			rc = refuse_with_reserve(a, endpoint);
		if (is_shortage(rc))
			return false;
		if (rc == -EAGAIN || (rc < 0 && classify(rc) == BROKEN))
			return true;
	}
	return true;
}

bool wr_accept_refuse_rest(struct wr_accept *a)
{
	struct wr_endpoint *last = last_of_round(a), *e = last;
	bool is_done = true;

	atomic_store(&a->core->accept_blocked, true);
	keep_reserve(a);
	do {
		e = after(a, e);
		if (e->listener.fd >= 0 && !e->is_broken)
			is_done &= refuse_rest_of(a, e);
	} while (e != last);
	return is_done;
}
