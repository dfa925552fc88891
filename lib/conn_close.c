/* SPDX-License-Identifier: MIT */
/*
 * How a connection ends.
 *
 * "No reply is lost by a close": the kernel answers a close with unread input
 * in the socket, and any input after it, with a reset, which destroys what
 * the peer has not read yet.  So output is shut down first, input is thrown
 * away, and the descriptor is closed only when the peer has finished too, or
 * had its time.  Waiting for that is the acceptor's work (deadlines.c).
 */
#include <errno.h>

#include "conn.h"
#include "conn_table.h"
#include "poller.h"
#include "sys.h"

/* One finish may throw away so much before it is left to the acceptor. */
#define DISCARD_AT_ONCE ((size_t)64 * 1024)

/* The peer, or the way to it, is gone; apply_verdict() knows two more, always
 * quiet. */
static bool is_loss(int error)
{
	switch (error) {
	case -ECONNABORTED:
	case -ECONNREFUSED:
	case -EHOSTDOWN:
	case -EHOSTUNREACH:
	case -ENETDOWN:
	case -ENETRESET:
	case -ENETUNREACH:
	case -ENONET:
	case -ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

bool wr_conn_is_lost(struct weir_conn *c, int error)
{
	int out_error;

	wr_lock(&c->lock);
	out_error = c->out_error;
	wr_unlock(&c->lock);
	return is_loss(error) && (error == c->in_error || error == out_error);
}

void wr_conn_seal(struct weir_conn *c)
{
	wr_lock(&c->lock);
	c->is_over = true;
	wr_unlock(&c->lock);
}

void wr_conn_run_close_callbacks(struct weir_conn *c)
{
	void (*drop)(void *);

	if (!c->is_over)
		wr_conn_seal(c);
	if (c->close_cb_pending && c->service->set.closed)
		c->service->set.closed(c, c->service->set.arg);
	c->close_cb_pending = false;
	drop = c->drop; /* `closed` may have set it */
	c->drop = NULL;
	if (drop)
		drop(c->data);
	c->data = NULL;
}

void wr_conn_hang_up(struct weir_conn *c)
{
	/* To connect(2) it to nothing resets a TCP connection. */
	const struct sockaddr nothing = { .sa_family = AF_UNSPEC };

	if (c->file_error && c->is_tcp &&
	    wr_sys_connect(c->fd, &nothing, sizeof(nothing)) == 0)
		return;
	/* A duplicate of the descriptor must not keep the peer waiting. */
	(void)wr_sys_shutdown(c->fd, SHUT_WR);
}

void wr_conn_close_and_count(struct weir_conn *c, struct wr_stats *stats,
			     int outcome)
{
	int fd;

	wr_lock(&c->lock);
	fd = c->fd;
	c->fd = -1;
	c->is_over = true;
	wr_outbox_clear(&c->out);
	wr_unlock(&c->lock);
	wr_buffer_release(&c->in);
	if (c->may_wait) /* the peer has had its time already */
		wr_sys_forget_linger(fd);
	wr_sys_close(fd);
	atomic_store(&c->due_at, INT64_MIN);
	wr_conn_move(c, stats, WR_CONN_CLOSED);
	if (!atomic_exchange(&c->is_counted, true)) {
		wr_count(stats, &stats->outcome[outcome], 1);
		if (outcome == WR_OUTCOME_TIMED_OUT)
			wr_count(
				stats,
				&stats->timed_out[c->end - WEIR_END_FIRST_BYTE],
				1);
		if (wr_is_refusal(outcome))
			atomic_fetch_sub(&c->table->refused, 1);
		else
			wr_share_add(c->service, WR_PLACE_SERVER, -1);
		atomic_fetch_sub(&c->table->open, 1);
	}
	wr_core_notify_capacity(c->core);
	wr_conn_release(c);
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

	wr_lock(&c->lock);
	c->is_finished = true;
	/* Refused, there is no connection any more, and no peer to wait for. */
	is_done = wr_sys_shutdown(c->fd, SHUT_WR) < 0 || c->has_ended;
	wr_unlock(&c->lock);
	if (!is_done)
		is_done = wr_conn_discard(c, DISCARD_AT_ONCE, &late);
	wr_count(stats, &stats->late_bytes, late);
	if (is_done) {
		wr_conn_close_and_count(c, stats, c->outcome);
		return;
	}
	if (c->is_polled)
		wr_poller_remove(c->core->poller, c->fd);
	c->ctx = NULL;
	wr_conn_move(c, stats, WR_CONN_LINGERING);
	wr_conn_notify_acceptor(c, WR_INBOX_LINGER);
}

static void log_refusal(struct weir_conn *c, int outcome)
{
	static const char *const reasons[] = {
		[WR_OUTCOME_REFUSED_FULL] = "the queue is full",
		[WR_OUTCOME_REFUSED_AGE] =
			"it has waited too long in the queue",
		[WR_OUTCOME_REFUSED_LIMIT] = "the server is full",
		[WR_OUTCOME_REFUSED_DRAIN] = "the server stops",
	};
	struct wr_core *core = c->core;
	char peer[WR_PEER_TEXT];

	if (core->logger.level >= WEIR_LOG_INFO &&
	    wr_log_allows(&core->logger, &core->refusal_limit, 10))
		wr_logf(&core->logger, WEIR_LOG_INFO,
			"connection %llu from %s refused: %s",
			(unsigned long long)c->id, wr_conn_peer_text(c, peer),
			reasons[outcome]);
}

void wr_conn_refuse(struct weir_conn *c, int outcome)
{
	const struct wr_config *config = &c->core->config;
	ssize_t n = 1;

	atomic_fetch_add(&c->table->refused, 1);
	wr_share_add(c->service, WR_PLACE_SERVER, -1);
	log_refusal(c, outcome);
	/* An empty socket takes a short text; who is gone needs none. */
	for (size_t at = 0; n > 0 && at < config->refusal_len;
	     at += (size_t)n) {
		struct iovec rest = { config->refusal + at,
				      config->refusal_len - at };

		n = wr_sys_sendmsg(c->fd, &rest, 1);
	}
	c->is_closing = true;
	c->outcome = (uint8_t)outcome;
	wr_conn_finish(c);
}
