/* SPDX-License-Identifier: MIT */
/*
 * The life of a connection: where it is, its deadlines, its end.
 *
 * "No reply is lost by a close": the kernel answers a close with unread input,
 * and input after a close, with a reset, which destroys data the peer has not
 * read.  So the output is shut down first, input is discarded, and the
 * descriptor is closed when the peer has finished or its time is up
 * (deadlines.c).
 */
#include "conn.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "bounds.h"
#include "conn_table.h"
#include "poller.h"
#include "probe.h"
#include "sys.h"

static const uint16_t legal[WR_CONN_WHERE_COUNT] = {
	[WR_CONN_FREE] = 1 << WR_CONN_QUEUED | 1 << WR_CONN_READY,
	[WR_CONN_QUEUED] = 1 << WR_CONN_RUNNING | 1 << WR_CONN_PARKED |
			   1 << WR_CONN_LINGERING | 1 << WR_CONN_CLOSED,
	[WR_CONN_READY] = 1 << WR_CONN_RUNNING,
	[WR_CONN_RUNNING] = 1 << WR_CONN_PARKED | 1 << WR_CONN_READY |
			    1 << WR_CONN_LINGERING | 1 << WR_CONN_CLOSED,
	[WR_CONN_PARKED] = 1 << WR_CONN_READY | 1 << WR_CONN_RUNNING,
	[WR_CONN_LINGERING] = 1 << WR_CONN_CLOSED,
	[WR_CONN_CLOSED] = 1 << WR_CONN_FREE,
};

static wr_counter *gauge(struct wr_stats *stats, int where)
{
	switch (where) {
	case WR_CONN_QUEUED:
		return &stats->queued;
	case WR_CONN_PARKED:
		return &stats->parked;
	case WR_CONN_LINGERING:
		return &stats->lingering;
	default:
		return NULL;
	}
}

void wr_conn_move(struct weir_conn *c, struct wr_stats *stats, int to)
{
	int from = atomic_load_explicit(&c->where, memory_order_relaxed);
	wr_counter *left = gauge(stats, from), *entered = gauge(stats, to);

	wr_assert(legal[from] & 1 << to);
	if (left)
		wr_count(stats, left, (uint64_t)-1);
	if (entered)
		wr_count(stats, entered, 1);
	atomic_store_explicit(&c->where, (uint8_t)to, memory_order_release);
}

/* After the last reference, by any thread. */
static void release(struct weir_conn *c)
{
	if (c->table == NULL) {
		wr_sys_free(wr_container_of(c, struct wr_own_conn, conn));
		return;
	}
	wr_assert(wr_conn_where(c) == WR_CONN_CLOSED);
	atomic_store_explicit(&c->where, WR_CONN_FREE, memory_order_release);
	wr_table_give(c->table, c);
}

void wr_conn_begin(struct weir_conn *c, const struct wr_service *service,
		   int fd, int64_t now)
{
	const size_t life = offsetof(struct weir_conn, service);

	wr_assert(wr_conn_where(c) == WR_CONN_FREE);
	memset((char *)c + life, 0, sizeof(*c) - life);
	c->service = service;
	c->layered = service->is_layered ? WR_LAYER_WANTED : WR_LAYER_NONE;
	c->fd = fd;
	c->born_at = c->wait_at = c->in.last_at = now;
	wr_conn_set_active(c, now);
	c->rare = service->set.proxy == WEIR_PROXY_REQUIRED ? WR_RARE_PROXY : 0;
	atomic_store(&c->check_at, WR_NEVER_AT);
	atomic_store(&c->refs, WR_REFS_SLOT | WR_REFS_HANDLER);
	if (c->core)
		c->id = atomic_fetch_add(&c->core->last_id, 1) + 1;
	atomic_store(&c->due_at, wr_conn_due_at(c));
}

void wr_conn_post(struct weir_conn *c, struct wr_stats *stats,
		  uint32_t generation, uint32_t events)
{
	int wake_fd;

	if (wr_owner_post(&c->owner, generation, events)) {
		wr_conn_move(c, stats, WR_CONN_READY);
		wr_sched_submit(&c->core->sched, WR_QUEUE_READY, &c->node, 0);
		return;
	}
	wake_fd = atomic_load(&c->waiter_fd);
	if (wake_fd >= 0)
		wr_sys_eventfd_signal(wake_fd);
}

void wr_conn_notify_acceptor(struct weir_conn *c, unsigned what)
{
	struct wr_core *core = c->core;
	struct weir_conn *first;

	if (atomic_fetch_or(&c->inbox_bits, what) != 0)
		return;
	first = atomic_load(&core->inbox);
	do {
		c->inbox_next = first;
	} while (!atomic_compare_exchange_weak(&core->inbox, &first, c));
	if (first == NULL)
		wr_sys_eventfd_signal(core->acceptor_wake_fd);
}

int weir_conn_set_timeout(weir_conn *c, int which, int ms)
{
	if (c == NULL || which < WEIR_TIMEOUT_FIRST_BYTE ||
	    which > WEIR_TIMEOUT_HANDSHAKE || ms == 0 || ms < WEIR_NEVER)
		return -EINVAL;
	c->timeout_ms[which - WEIR_TIMEOUT_FIRST_BYTE] = ms;
	return 0;
}

int weir_conn_get_timeout(const weir_conn *c, int which, int *ms)
{
	if (c == NULL || ms == NULL || which < WEIR_TIMEOUT_FIRST_BYTE ||
	    which > WEIR_TIMEOUT_HANDSHAKE)
		return -EINVAL;
	*ms = wr_conn_timeout(c, which - WEIR_TIMEOUT_FIRST_BYTE);
	return 0;
}

static int64_t time_after(const struct weir_conn *c, int64_t since, int which)
{
	return wr_deadline_at(since, wr_conn_timeout(c, which));
}

/* Four checks while write_ms runs, to see what the peer has taken. */
int64_t wr_conn_stall_at(struct weir_conn *c)
{
	int64_t since, at, part;

	wr_word_lock(&c->lock);
	since = c->out.is_stalled ? c->out.stalled_at : 0;
	wr_word_unlock(&c->lock);
	at = since ? time_after(c, since, WR_TMO_WRITE) : WR_NEVER_AT;
	if (at == WR_NEVER_AT || at <= c->ctx->now)
		return at;
	part = (at - since) / 4;
	return at - (at - c->ctx->now - 1) / part * part;
}

bool wr_conn_has_outlived(const struct weir_conn *c)
{
	return time_after(c, c->born_at, WR_TMO_LIFETIME) <= c->ctx->now;
}

static int64_t handshake_at(const struct weir_conn *c)
{
	return time_after(c, c->layer ? c->layer->since : c->born_at,
			  WR_TMO_HANDSHAKE);
}

static bool waits_for_first_byte(const struct weir_conn *c)
{
	return c->in.received == 0 && !c->is_relayed;
}

uint8_t wr_conn_due_end(struct weir_conn *c)
{
	if (wr_conn_has_outlived(c))
		return WEIR_END_LIFETIME;
	if (c->rare & WR_RARE_PROXY || c->layered == WR_LAYER_WANTED)
		return WEIR_END_HANDSHAKE;
	if (wr_conn_has_output(c) && wr_conn_stall_at(c) <= c->ctx->now)
		return WEIR_END_WRITE;
	if (c->rare & WR_RARE_INPUT_OFF)
		return WEIR_END_PAUSE;
	if (c->in.message_at)
		return WEIR_END_READ;
	return waits_for_first_byte(c) ? WEIR_END_FIRST_BYTE : WEIR_END_IDLE;
}

/*
 * read_ms does not apply while unsent output holds the input, and begins again
 * when this finds that it no longer does.  in.is_held tells that it did: the
 * wait for room may have begun and ended since the last deadline was computed.
 * The output of other connections may be what was sent: then this one's part of
 * outbox_total has grown.
 */
static bool is_message_held(struct weir_conn *c, bool has_output)
{
	bool is_held = has_output && wr_conn_is_congested(c);

	if (c->in.is_held && !is_held)
		c->in.message_at = c->ctx->now;
	return c->in.is_held = is_held;
}

int64_t wr_conn_due_at(struct weir_conn *c)
{
	int64_t at = time_after(c, c->born_at, WR_TMO_LIFETIME);
	bool has_output;

	if (c->rare & WR_RARE_PROXY || c->layered == WR_LAYER_WANTED)
		return wr_min_at(at, handshake_at(c));
	has_output = wr_conn_has_output(c);
	if (has_output)
		at = wr_min_at(at, wr_conn_stall_at(c));
	if (c->end != WR_END_OPEN)
		return at;
	if (c->rare) {
		if (c->rare & WR_RARE_TIMER)
			at = wr_min_at(at, c->timer_at);
		if (c->rare & WR_RARE_INPUT_OFF)
			return wr_min_at(
				at, time_after(c, c->wait_at, WR_TMO_PAUSE));
	}
	if (c->in.message_at && !is_message_held(c, has_output))
		return wr_min_at(at,
				 time_after(c, c->in.message_at, WR_TMO_READ));
	if (has_output)
		return at;
	if (waits_for_first_byte(c))
		return wr_min_at(at,
				 time_after(c, c->wait_at, WR_TMO_FIRST_BYTE));
	return wr_min_at(at, time_after(c, c->active_at, WR_TMO_IDLE));
}

bool wr_conn_take_timer(struct weir_conn *c)
{
	if (!(c->rare & WR_RARE_TIMER) || c->timer_at > c->ctx->now)
		return false;
	c->rare &= (uint8_t)~WR_RARE_TIMER;
	return true;
}

bool wr_conn_is_mid(const struct weir_conn *c)
{
	return c->in.message_at != 0 || c->layered == WR_LAYER_WANTED;
}

int64_t wr_conn_drain_until(const struct weir_conn *c, bool is_mid)
{
	int64_t since = atomic_load(&c->core->drain_began_at);

	if (!is_mid && c->in.received > 0)
		return 0;
	if (c->in.last_at > since)
		since = c->in.last_at;
	return since + WR_MESSAGE_QUIET_NS;
}

void wr_conn_set_due_earlier(struct weir_conn *c, int64_t at)
{
	atomic_store(&c->due_at, at);
	if (at < atomic_load(&c->check_at))
		wr_conn_notify_acceptor(c, WR_INBOX_RESCHEDULE);
}

/* Not once the end was sent to it: then the peer has the whole. */
static bool reset_locked(const struct weir_conn *c)
{
	return c->fd >= 0 && c->is_tcp && c->out.end != WR_OUT_SHUT &&
	       wr_sys_disconnect(c->fd) == 0;
}

/* A reset comes first: after a shutdown the peer may have seen an end. */
static void cut_locked(struct weir_conn *c)
{
	bool is_gone = c->fd < 0 && !c->is_connecting && !c->is_spawned;

	if (is_gone || c->end >= WR_END_FIN_SENT)
		return;
	atomic_store(&c->is_cut, true);
	if (c->is_relayed)
		(void)reset_locked(c);
	if (c->fd >= 0)
		(void)wr_sys_shutdown(c->fd, SHUT_RDWR);
}

void wr_conn_cut(struct weir_conn *c)
{
	wr_word_lock(&c->lock);
	cut_locked(c);
	wr_word_unlock(&c->lock);
}

void wr_conn_reset(struct weir_conn *c)
{
	wr_word_lock(&c->lock);
	(void)reset_locked(c);
	wr_word_unlock(&c->lock);
}

void wr_conn_set_relayed(struct weir_conn *c)
{
	wr_word_lock(&c->lock);
	c->is_relayed = true;
	wr_word_unlock(&c->lock);
}

void wr_conn_try_cut(struct weir_conn *c)
{
	/* Without effect once all is sent: nothing reads it then. */
	atomic_store(&c->is_cut, true);
	if (!wr_word_trylock(&c->lock))
		return;
	cut_locked(c);
	wr_word_unlock(&c->lock);
}

static bool is_loss(int error)
{
	switch (error) {
	case -ECONNABORTED:
	case -ECONNREFUSED:
	case -ECONNRESET:
	case -EHOSTDOWN:
	case -EHOSTUNREACH:
	case -ENETDOWN:
	case -ENETRESET:
	case -ENETUNREACH:
	case -ENONET:
	case -EPIPE:
	case -EPROTO:
	case -ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

bool wr_conn_is_lost(struct weir_conn *c, int error)
{
	int out_error;

	wr_word_lock(&c->lock);
	out_error = c->out.error;
	wr_word_unlock(&c->lock);
	return is_loss(error) && (error == c->in.error || error == out_error);
}

int wr_conn_gone_error(const struct weir_conn *c)
{
	return atomic_load(&c->is_cut) ? -ECANCELED : -ECONNRESET;
}

/* "The kernel tells a reset once" (conn_input.c) */
int wr_conn_peek(struct weir_conn *c)
{
	char byte;
	ssize_t n = wr_sys_recv(c->fd, &byte, 1, MSG_PEEK);

	if (n < 0 && is_loss((int)n))
		c->in.is_lost = true;
	if (c->is_tcp && c->in.is_lost)
		return wr_conn_gone_error(c);
	return n != -EAGAIN; /* the next read reports an error */
}

static void end_locked(struct weir_conn *c, int end)
{
	wr_assert(end >= c->end);
	c->end = (uint8_t)end;
}

void wr_conn_begin_close(struct weir_conn *c)
{
	wr_word_lock(&c->lock);
	end_locked(c, WR_END_CLOSING);
	wr_word_unlock(&c->lock);
}

static weir_closed_fn *close_callback(const struct weir_conn *c)
{
	const struct weir_service *set = &c->service->set;
	bool is_unserved = c->call.why == 0 && !c->is_dialled;

	return is_unserved ? set->unserved : set->closed;
}

bool wr_conn_has_close_callbacks(const struct weir_conn *c)
{
	return c->drop || c->is_spawned || close_callback(c);
}

/* Last: data that is not shared may use it. */
static void drop_argument(struct weir_conn *c)
{
	if (c->is_spawned && wr_conn_dialled(c)->drop)
		wr_conn_dialled(c)->drop(c->service->set.arg);
}

void wr_conn_run_close_callbacks(struct weir_conn *c)
{
	weir_closed_fn *closed = close_callback(c);

	if (closed)
		closed(c, c->service->set.arg);
	wr_conn_drop_data(c); /* after `closed`, which may set it */
	drop_argument(c);
}

/* The lock: other threads cut it, and shut its output down. */
static bool reset_part(struct weir_conn *c)
{
	bool is_reset;

	wr_word_lock(&c->lock);
	is_reset = (c->out.file_error || c->is_relayed) && reset_locked(c);
	wr_word_unlock(&c->lock);
	return is_reset;
}

void wr_conn_hang_up(struct weir_conn *c)
{
	if (c->fd < 0) /* never connected, or detached */
		return;
	if (reset_part(c))
		return;
	/* close(2) does not end it if a child has a duplicate. */
	(void)wr_sys_shutdown(c->fd, SHUT_WR);
}

/* No other thread can reach the data. */
static void run_drop(struct weir_conn *c)
{
	void (*drop)(void *) = c->drop;
	void *data = c->data;

	c->drop = NULL;
	c->data = NULL;
	if (drop)
		drop(data);
}

/*
 * "Shared data lives as long as references": the last of the handler and the
 * references drops it.  WR_REFS_HANDLER is set until the handler's last call
 * has ended; only the handler and holders of references can make another one.
 */
void wr_conn_drop_data(struct weir_conn *c)
{
	uint64_t refs = atomic_load(&c->refs);

	if (!c->shares_data)
		run_drop(c);
	while (refs & WR_REFS_COUNT)
		if (atomic_compare_exchange_weak(&c->refs, &refs,
						 refs & ~WR_REFS_HANDLER))
			return;
	run_drop(c);
	atomic_fetch_and(&c->refs, ~WR_REFS_HANDLER);
}

/* How many there were; 0: there is none to drop. */
static uint64_t drop_reference(struct weir_conn *c)
{
	uint64_t refs = atomic_load(&c->refs);

	while ((refs & WR_REFS_COUNT) > 1 || refs & WR_REFS_HANDLER) {
		if (!(refs & WR_REFS_COUNT))
			return 0;
		if (atomic_compare_exchange_weak(&c->refs, &refs, refs - 1))
			return refs & WR_REFS_COUNT;
	}
	if (!(refs & WR_REFS_COUNT))
		return 0;
	/* It is the last one, and no handler can take another. */
	run_drop(c);
	refs = atomic_fetch_sub(&c->refs, 1);
	if (refs == 1)
		release(c);
	return refs & WR_REFS_COUNT;
}

void wr_conn_drop_slot(struct weir_conn *c)
{
	const uint64_t ours = WR_REFS_SLOT | WR_REFS_HANDLER;

	if ((atomic_fetch_and(&c->refs, ~ours) & ~ours) == 0)
		release(c);
}

bool wr_conn_pin(struct weir_conn *c)
{
	uint64_t refs = atomic_load(&c->refs);

	while (refs & WR_REFS_SLOT)
		if (atomic_compare_exchange_weak(&c->refs, &refs,
						 refs + WR_REFS_PIN)) {
			wr_table_ref(c->table);
			return true;
		}
	return false;
}

void wr_conn_unpin(struct weir_conn *c)
{
	struct wr_table *table = c->table;

	if (atomic_fetch_sub(&c->refs, WR_REFS_PIN) == WR_REFS_PIN)
		release(c);
	wr_table_unref(table);
}

int wr_conn_detach(struct weir_conn *c)
{
	int fd;

	wr_word_lock(&c->lock);
	fd = c->fd;
	c->fd = -1;
	end_locked(c, WR_END_CLOSED);
	wr_outbox_clear(&c->out.box);
	wr_conn_count_outbox(c);
	wr_word_unlock(&c->lock);
	wr_buffer_release(&c->in.buf);
	return fd;
}

static bool conn_is_idle(struct weir_conn *c)
{
	return c->in.message_at == 0 && !(c->rare & WR_RARE_INPUT_OFF) &&
	       !wr_conn_has_output(c) &&
	       wr_deadline_at(c->active_at, c->core->config.evict_ms) <=
		       c->ctx->now;
}

bool wr_conn_evict(struct weir_conn *c)
{
	size_t most = (size_t)c->core->config.max_connections;
	size_t taken;
	bool was_idle;

	if (!wr_conn_was_asked(c) || c->end != WR_END_OPEN)
		return false;
	was_idle = conn_is_idle(c);
	taken = atomic_load(&c->table->places) + atomic_load(&c->table->kept);
	c->is_evicted = was_idle && taken >= most;
	atomic_store(&c->eviction, was_idle && !c->is_evicted
					   ? WR_EVICTION_SPARED
					   : WR_EVICTION_NONE);
	return c->is_evicted;
}

static void drop_header(struct weir_conn *c)
{
	struct wr_proxy *proxy = c->proxy;

	wr_word_lock(&c->lock);
	c->proxy = NULL;
	wr_word_unlock(&c->lock);
	wr_sys_free(proxy);
}

static void leave_place(struct weir_conn *c)
{
	if (c->has_no_place)
		return;
	c->has_no_place = true;
	wr_share_add(c->service, WR_PLACE_SERVER, -1);
	wr_admission_leave(&c->core->admission, c->peer.source);
	wr_conn_prove(c);
	atomic_fetch_sub(&c->table->places, 1);
}

static int failure_of_layer(struct weir_conn *c)
{
	if (c->layer->failure)
		return c->layer->failure;
	if (c->in.error == -EPROTO)
		return WEIR_HANDSHAKE_PROTOCOL;
	if (wr_conn_is_lost(c, c->in.error))
		return WEIR_HANDSHAKE_LOST;
	if (c->cause == WEIR_END_HANDSHAKE || c->cause == WEIR_END_LIFETIME)
		return WEIR_HANDSHAKE_TIMED_OUT;
	return WEIR_HANDSHAKE_CUT;
}

static void end_layer(struct weir_conn *c, struct wr_stats *stats)
{
	const struct wr_layer *l = c->layer;

	if (l == NULL)
		return;
	if (c->layered == WR_LAYER_WANTED && l->began_at) {
		int how = failure_of_layer(c);

		WR_COUNT_LAYER(c->service, stats, handshakes[how]);
	}
	if (l->is_truncated)
		WR_COUNT_LAYER(c->service, stats, truncated);
	wr_layer_free(c);
}

void wr_conn_close_and_count(struct weir_conn *c, struct wr_stats *stats,
			     int outcome)
{
	int fd;

	end_layer(c, stats); /* it may name the peer, by the descriptor */
	fd = wr_conn_detach(c);
	if (c->may_block_close) /* the peer had its time */
		wr_sys_forget_linger(fd);
	if (fd >= 0)
		wr_sys_close(fd);
	if (c->proxy)
		drop_header(c);
	wr_conn_move(c, stats, WR_CONN_CLOSED);
	if (!atomic_exchange(&c->is_counted, true)) {
		if (outcome == WR_OUTCOME_TIMED_OUT)
			WR_COUNT(c->service, stats,
				 timed_out[c->cause - WEIR_END_FIRST_BYTE], 1);
		WR_COUNT_LISTENER(c->service, stats, connection_ns,
				  (uint64_t)(wr_now_ns() - c->born_at));
		/* Last: programs wait for it, then read the others. */
		WR_COUNT(c->service, stats, outcome[outcome], 1);
		if (c->is_dialled)
			atomic_fetch_sub(&c->table->dialled, 1);
		else
			leave_place(c);
		atomic_fetch_sub(&c->table->open, 1);
	}
	wr_table_free_service(c);
	wr_core_notify_capacity(c->core);
	WR_PROBE2(close, c->id, outcome);
	wr_conn_drop_slot(c);
}

bool wr_conn_discard(struct weir_conn *c, size_t most, uint64_t *bytes)
{
	char waste[16384];

	while (most > 0) {
		ssize_t n =
			wr_sys_recv(c->fd, waste, wr_min(sizeof(waste), most),
				    c->is_tcp ? MSG_TRUNC : 0);

		if (n == -EAGAIN)
			return false;
		if (n <= 0)
			return true;
		*bytes += (uint64_t)n;
		most -= (size_t)n;
	}
	return false;
}

void wr_conn_finish(struct weir_conn *c)
{
	struct wr_stats *stats = c->ctx->stats;
	uint64_t late = 0;
	bool is_done;

	wr_word_lock(&c->lock);
	end_locked(c, WR_END_FIN_SENT);
	/* A failure means that the peer is gone. */
	is_done = wr_sys_shutdown(c->fd, SHUT_WR) < 0 || c->in.end == WR_IN_EOF;
	wr_word_unlock(&c->lock);
	if (!is_done)
		is_done = wr_conn_discard(c, WR_DISCARD_AT_ONCE, &late);
	wr_count(stats, &stats->late_bytes, late);
	if (is_done) {
		wr_conn_close_and_count(c, stats, c->outcome);
		return;
	}
	end_layer(c, stats);
	if (c->interest)
		wr_poller_remove(&c->core->poller, c->fd);
	if (c->is_evicted) { /* a client waits for its place */
		leave_place(c);
		wr_core_notify_capacity(c->core);
	}
	c->ctx = NULL;
	c->linger = (struct wr_linger){ 0 };
	wr_conn_move(c, stats, WR_CONN_LINGERING);
	wr_conn_notify_acceptor(c, WR_INBOX_LINGER);
}

static void call_refused(struct weir_conn *c, const char *why)
{
	const struct weir_service *set = &c->service->set;
	char peer[WR_PEER_TEXT], via[WR_PEER_TEXT];
	struct sockaddr_storage proxy;
	int len = c->proxy ? wr_conn_direct_peer(c, &proxy) : -1;
	bool has_via = len >= 0 &&
		       wr_address_format((struct sockaddr *)&proxy,
					 (socklen_t)len, via, sizeof(via)) >= 0;

	if (weir_conn_peer(c, peer, sizeof(peer)) < 0)
		memcpy(peer, "?", 2);
	set->refused(peer, has_via ? via : NULL, why, set->arg);
}

static void conn_tell_refusal(struct weir_conn *c, const char *why)
{
	struct wr_core *core = c->core;
	char peer[WR_PEER_TEXT];

	if (c->service->set.refused)
		call_refused(c, why);
	else if (core->config.log_level >= WEIR_LOG_INFO &&
		 wr_log_allows(&core->logger, &core->refusal_limit, 10))
		wr_logf(&core->logger, WEIR_LOG_INFO,
			"connection %llu from %s refused: %s",
			(unsigned long long)c->id, wr_conn_peer_text(c, peer),
			why);
}

void wr_conn_refuse(struct weir_conn *c, int outcome, const char *why)
{
	struct wr_refusal *refusal = c->core->config.refusal;
	ssize_t n = 1;

	leave_place(c);
	conn_tell_refusal(c, why ? why : wr_refusal_reason(outcome));
	if (outcome == WR_OUTCOME_REFUSED_ACCESS)
		n = 0; /* in silence */
	/* A peer that expects TLS could not read the text. */
	for (size_t at = 0; n > 0 && !c->layered && at < refusal->len;
	     at += (size_t)n) {
		struct iovec rest = { refusal->text + at, refusal->len - at };

		n = wr_sys_sendmsg(c->fd, &rest, 1);
	}
	wr_conn_begin_close(c);
	c->outcome = (uint8_t)outcome;
	wr_conn_finish(c);
}

void wr_conn_turn_away(struct weir_conn *c, int outcome, const char *why)
{
	leave_place(c);
	conn_tell_refusal(c, why ? why : wr_refusal_reason(outcome));
	wr_conn_begin_close(c);
	wr_conn_hang_up(c);
	wr_conn_close_and_count(c, c->ctx->stats, outcome);
}

/*
 * A reference keeps the slot and the table.  All else is used under the
 * connection's lock while the connection is open, since the server outlives its
 * open connections.
 */

weir_ref *weir_conn_self(weir_conn *c)
{
	return (weir_ref *)(void *)c;
}

weir_ref *weir_ref_dup(weir_ref *ref)
{
	struct weir_conn *c = wr_conn_of(ref);
	uint64_t refs;

	if (c == NULL)
		return NULL;
	/* Relaxed: the caller has a reference or is the owner. */
	refs = atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	/* The table, whose counter all threads share, counts them as one. */
	if (c->table && (refs & WR_REFS_COUNT) == 0)
		wr_table_ref(c->table);
	return ref;
}

weir_ref *weir_conn_ref(weir_conn *c)
{
	return weir_ref_dup(weir_conn_self(c));
}

void weir_ref_unref(weir_ref *ref)
{
	WR_NO_CANCEL();
	struct weir_conn *c = wr_conn_of(ref);
	struct wr_table *table;
	uint64_t refs;

	if (c == NULL)
		return;
	table = c->table;
	refs = drop_reference(c);
	if (refs == 1 && table) {
		wr_table_unref(table);
	} else if (refs == 0 && table && !atomic_load(&c->is_counted)) {
		wr_logf(&c->core->logger, WEIR_LOG_ERROR,
			"weir_ref_unref() of a connection without a reference: "
			"a bug in the program");
	}
}

void *weir_ref_data(weir_ref *ref)
{
	struct weir_conn *c = wr_conn_of(ref);
	void *data;

	if (c == NULL)
		return NULL;
	wr_word_lock(&c->lock);
	data = c->shares_data ? c->data : NULL;
	wr_word_unlock(&c->lock);
	return data;
}

static int post_from_program(struct weir_conn *c, uint32_t event)
{
	WR_NO_CANCEL();
	int rc = -EPIPE;

	if (c == NULL || c->table == NULL)
		return -EINVAL;
	wr_word_lock(&c->lock);
	if (c->end == WR_END_OPEN && event == WR_EV_ROOM &&
	    wr_conn_may_wait(c)) {
		rc = -EINVAL;
	} else if (c->end == WR_END_OPEN) {
		wr_conn_post(c, wr_core_foreign_stats(c->core),
			     wr_owner_generation(&c->owner), event);
		rc = 0;
	}
	wr_word_unlock(&c->lock);
	return rc;
}

int weir_ref_wake(weir_ref *ref)
{
	return post_from_program(wr_conn_of(ref), WR_EV_WAKE);
}

int weir_ref_want_room(weir_ref *ref)
{
	return post_from_program(wr_conn_of(ref), WR_EV_ROOM);
}

int weir_conn_want_room(weir_conn *c)
{
	return weir_ref_want_room(weir_conn_self(c));
}

int weir_ref_close(weir_ref *ref)
{
	return post_from_program(wr_conn_of(ref), WR_EV_CLOSE);
}

int weir_ref_cancel(weir_ref *ref)
{
	WR_NO_CANCEL();
	struct weir_conn *c = wr_conn_of(ref);
	bool is_open;

	if (c == NULL)
		return -EINVAL;
	wr_word_lock(&c->lock);
	is_open = c->end == WR_END_OPEN;
	wr_word_unlock(&c->lock);
	if (!is_open)
		return -EPIPE;
	wr_conn_cut(c);
	/* -EPIPE: the cut ended it, nobody is left to tell. */
	(void)post_from_program(c, WR_EV_CANCEL);
	return 0;
}
