/* SPDX-License-Identifier: MIT */
/* Raw input and output of a layer, and its state in the connection. */
#include "layer.h"

#include <errno.h>

#include "bounds.h"
#include "conn.h"
#include "stats.h"
#include "sys.h"

/* A health check connects and closes, and so begins no handshake. */
static void note_begin(struct wr_layer *l)
{
	if (l->began_at == 0)
		l->began_at = l->conn->ctx->now;
}

ssize_t wr_layer_recv(struct wr_layer *l, void *buf, size_t cap)
{
	struct weir_conn *c = l->conn;
	ssize_t n;

	if (l->is_dry)
		return -EAGAIN;
	n = wr_sys_recv(c->fd, buf, cap, 0);
	if (n == -EAGAIN)
		l->is_dry = true;
	else if (n <= 0 && atomic_load(&c->is_cut))
		return -ECANCELED;
	else if (n == 0 && c->in.is_lost)
		/* see "the kernel tells a reset once" in conn_input.c */
		return -ECONNRESET;
	if (n <= 0)
		return n;
	/* see "a short read empties the socket" in conn_input.c */
	l->is_dry = (size_t)n < cap && c->is_tcp && !c->in.has_exceptions &&
		    wr_sys_short_read_is_empty();
	if (c->layered == WR_LAYER_WANTED) {
		c->in.last_at = c->ctx->now;
		note_begin(l);
	}
	return n;
}

/*
 * "What a layer keeps is unsent output": it counts for the connection and for
 * outbox_total.  While output moves from the outbox to the layer both count it.
 */
static void count_out(struct weir_conn *c, const struct wr_layer *l)
{
	uint32_t now = (uint32_t)wr_buffer_len(&l->out);
	uint32_t was = (uint32_t)wr_outbox_layer_bytes(&c->out.box);

	if (now == was)
		return;
	atomic_store_explicit(&c->out.box.layer_bytes, now,
			      memory_order_relaxed);
	if (c->core)
		atomic_fetch_add_explicit(&c->core->outbox_left,
					  (int64_t)was - (int64_t)now,
					  memory_order_relaxed);
}

/* How much the socket takes now; -errno. */
static ssize_t send_some(struct wr_layer *l, const void *data, size_t len)
{
	size_t sent = 0;
	ssize_t n = 1;

	while (n > 0 && sent < len) {
		struct iovec rest = { (char *)(uintptr_t)data + sent,
				      len - sent };

		n = wr_sys_sendmsg(l->conn->fd, &rest, 1);
		sent += n > 0 ? (size_t)n : 0;
	}
	l->sent += sent;
	return n < 0 && n != -EAGAIN ? n : (ssize_t)sent;
}

int wr_layer_put(struct wr_layer *l, const void *data, size_t len)
{
	ssize_t n = 0;
	int rc;

	note_begin(l);
	if (wr_buffer_len(&l->out) == 0)
		n = send_some(l, data, len);
	if (n < 0)
		return (int)n;
	rc = wr_buffer_append(&l->out, (const char *)data + n, len - (size_t)n,
			      SIZE_MAX / 2);
	count_out(l->conn, l);
	return rc;
}

int wr_layer_push(struct wr_layer *l)
{
	size_t len = wr_buffer_len(&l->out);
	ssize_t n;
	int rc;

	if (len == 0) {
		rc = l->ops->bye(l);
		if (rc == -EAGAIN)
			return 0;
		l->has_ended = true;
		/* A peer that is gone misses nothing, as with a FIN. */
		return rc < 0 && rc != -EPIPE && rc != -ECONNRESET ? rc : 1;
	}
	n = send_some(l, wr_buffer_data(&l->out), len);
	if (n < 0)
		return (int)n;
	wr_buffer_consume(&l->out, (size_t)n);
	count_out(l->conn, l);
	if ((size_t)n < len)
		return 0;
	wr_buffer_release(&l->out);
	return 1;
}

void wr_layer_log(struct wr_layer *l, const char *text)
{
	struct weir_conn *c = l->conn;
	char peer[WR_PEER_TEXT];

	if (c->core && c->core->config.log_level >= WEIR_LOG_INFO &&
	    wr_log_allows(&c->core->logger, &c->core->layer_limit, 10))
		wr_logf(&c->core->logger, WEIR_LOG_INFO,
			"connection %llu %s %s: %s", (unsigned long long)c->id,
			wr_conn_direction(c), wr_conn_peer_text(c, peer), text);
}

struct wr_layer *wr_layer_of(const struct weir_conn *c)
{
	return c ? c->layer : NULL;
}

int wr_layer_make(struct weir_conn *c, struct weir_layer *from,
		  const char *name)
{
	struct wr_layer *l = from->maker->make(from, name);

	if (l == NULL)
		return -ENOMEM;
	l->conn = c;
	l->since = c->born_at;
	l->sent = c->out.sent;
	c->layer = l;
	return 0;
}

void wr_layer_free(struct weir_conn *c)
{
	struct wr_layer *l = c->layer;

	if (l == NULL)
		return;
	c->layer = NULL;
	wr_buffer_release(&l->in);
	wr_buffer_release(&l->out);
	count_out(c, l);
	l->ops->end(l);
}

static void count_handshake(const struct weir_conn *c)
{
	int how = c->layer->is_resumed ? WEIR_HANDSHAKE_RESUMED
				       : WEIR_HANDSHAKE_FULL;
	struct wr_stats *stats = c->ctx->stats;

	WR_COUNT_LAYER(c->service, stats, handshakes[how]);
	(void)wr_count_duration(&stats->handshake_time,
				wr_now_ns() - c->layer->began_at);
}

static void set_up(struct weir_conn *c)
{
	count_handshake(c);
	wr_word_lock(&c->lock);
	c->layered = WR_LAYER_UP;
	wr_word_unlock(&c->lock);
	c->in.is_ready = true; /* until a look tells otherwise */
	c->in.would_block = false;
	c->active_at = c->wait_at = c->in.last_at = c->ctx->now;
}

int wr_layer_handshake(struct weir_conn *c)
{
	int rc;

	c->layer->has_begun = true;
	rc = c->layer->ops->handshake(c->layer);
	if (rc > 0)
		set_up(c);
	else if (rc < 0)
		c->in.error = rc;
	return rc;
}

int wr_layer_look(struct weir_conn *c)
{
	int found;

	if (c->in.end != WR_IN_OPEN || c->in.error)
		return WR_LOOK_END;
	if (c->layered != WR_LAYER_UP)
		return WR_LOOK_NOTHING;
	found = c->layer->ops->look(c->layer);
	if (found == WR_LOOK_NOTHING)
		c->in.would_block = true;
	return found;
}

bool wr_layer_owes_bye_locked(const struct weir_conn *c)
{
	return c->layered == WR_LAYER_UP && !c->layer->has_ended &&
	       (c->out.end == WR_OUT_ENDING || c->end == WR_END_CLOSING);
}

/* Under the lock, as other threads may end the output. */
bool wr_layer_has_output(const struct weir_conn *c)
{
	struct wr_word_lock *lock = &((struct weir_conn *)(uintptr_t)c)->lock;
	bool owes_bye;

	if (wr_buffer_len(&c->layer->out) > 0)
		return true;
	wr_word_lock(lock);
	owes_bye = wr_layer_owes_bye_locked(c);
	wr_word_unlock(lock);
	return owes_bye;
}
