/* SPDX-License-Identifier: MIT */
/*
 * The last word comes after all that others want of a connection: input that
 * is here is served first, output that waits is sent first; half a message,
 * or a first one, may still come for a short while.  But not after the work
 * that a handler makes for itself, by waking itself or by writing whenever
 * there is room: that would have no end.
 */
#include "last_word.h"

/* Is it to be thought of at all? */
static bool is_reminded(struct weir_conn *c)
{
	if (c->woken_again || c->backpressured)
		return true;
	return (c->events & WR_EV_DRAIN) && !(c->events & WR_EV_WAKE) &&
	       !wr_conn_is_readable(c);
}

int wr_last_word_is_due(struct weir_conn *c)
{
	bool is_awaited;
	int64_t since;
	int rc;

	if (!is_reminded(c))
		return 0;
	c->events &= ~(uint32_t)WR_EV_DRAIN;
	if (wr_conn_is_congested(c))
		return 0;
	rc = wr_conn_input_find(c);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	if (c->drain_deferred)
		return 0;
	is_awaited = wr_buffer_len(&c->in) > 0 || !c->got_input;
	since = atomic_load(&c->core->drain_began_at);
	if (c->input_at > since)
		since = c->input_at;
	return !is_awaited || c->ctx->now >= since + WR_DRAIN_QUIET_NS;
}
