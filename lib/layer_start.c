/* SPDX-License-Identifier: MIT */
/*
 * A layer put under a connection in mid-stream, as STARTTLS does.  "Nothing in
 * clear is taken for protected": bytes that have come behind the request are
 * given to the layer, not to the handler.
 */
#include <errno.h>

#include "conn.h"
#include "layer.h"
#include "sys.h"

static int send_clear(struct weir_conn *c)
{
	int rc;

	while ((rc = wr_conn_flush(c)) > 0) {
		if (!wr_conn_may_wait(c))
			return -EAGAIN;
		rc = wr_conn_wait_flush(c, rc);
		if (rc < 0)
			return rc;
	}
	return rc;
}

/* False: another thread has sent meanwhile. */
static bool want_layer(struct weir_conn *c)
{
	bool is_empty;

	wr_word_lock(&c->lock);
	is_empty = wr_outbox_is_empty(&c->out.box);
	if (is_empty)
		c->layered = WR_LAYER_WANTED;
	wr_word_unlock(&c->lock);
	return is_empty;
}

static void hand_input_over(struct weir_conn *c)
{
	c->layer->in = c->in.buf;
	c->in.buf = (struct wr_buffer){ .mem = NULL };
	c->in.scanned = 0;
	c->in.message_at = 0;
	c->in.would_block = false;
}

/* On its own stack a session is parked, and a worker runs the handshake. */
static int wait_until_up(struct weir_conn *c)
{
	int rc = 0;

	while (rc >= 0 && c->layered == WR_LAYER_WANTED) {
		rc = c->coro ? c->in.error : wr_layer_handshake(c);
		if (rc == 0)
			rc = wr_conn_wait_input(c);
		if (rc == -EINTR) {
			c->call.was_interrupted =
				true; /* the next wait tells */
			rc = 0;
		}
	}
	return rc < 0 ? rc : 0;
}

static int break_connection(struct weir_conn *c, int rc)
{
	c->in.error = rc;
	wr_word_lock(&c->lock);
	if (c->out.error == 0)
		c->out.error = rc;
	wr_word_unlock(&c->lock);
	return rc;
}

static int start_layer(struct weir_conn *c, struct weir_layer *from,
		       const char *name)
{
	int rc;

	do {
		rc = send_clear(c);
		if (rc < 0)
			return rc;
	} while (!want_layer(c));
	rc = wr_layer_make(c, from, name);
	if (rc < 0)
		return break_connection(c, rc);
	c->layer->since = c->layer->began_at = c->ctx->now = wr_now_ns();
	hand_input_over(c);
	if (!wr_conn_may_wait(c))
		return 0;
	rc = wait_until_up(c);
	return rc < 0 ? break_connection(c, rc) : 0;
}

int wr_layer_start(struct weir_conn *c, struct weir_layer *from,
		   const char *name)
{
	WR_NO_CANCEL_IN(c);

	if (c == NULL)
		return -EINVAL;
	if (c->end != WR_END_OPEN || c->in.end != WR_IN_OPEN ||
	    !wr_conn_output_is_open(c))
		return -EPIPE;
	if (c->layered)
		return -EALREADY;
	return c->in.error ? c->in.error : start_layer(c, from, name);
}
