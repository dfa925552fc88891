/* SPDX-License-Identifier: MIT */
/*
 * Two connections that relay to each other, for proxy.c.  These are callbacks,
 * which need no stack; in a session weir_relay() does it (relay.c).
 *
 * The input of one side is the output of the other.  While the other side has
 * no room for it, the input is paused, so the peer has to wait.  The end of
 * input is passed on, and the other direction continues.  Any other end of a
 * side cuts the other side.
 */
#ifndef PAIR_H
#define PAIR_H

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <weir.h>

/* The data of the client, the arg of the upstream. */
struct pair {
	weir_ref *client, *upstream;
	atomic_int users; /* sides that are not closed */
	atomic_int state;
	unsigned tries;
};

static int relay(weir_conn *c, void *arg)
{
	struct pair *p = arg ? arg : weir_conn_data(c);
	weir_ref *other = arg ? p->client : p->upstream;
	const void *data;
	ssize_t n;
	int rc;

	if (weir_conn_why(c) == WEIR_WRITABLE)
		weir_ref_wake(other);
	while ((n = weir_conn_peek(c, &data, 1)) > 0) {
		rc = weir_ref_send(other, data, (size_t)n);
		if (rc == -ENOBUFS && weir_ref_want_room(other) == 0)
			return WEIR_PAUSE;
		if (rc < 0)
			return rc;
		weir_conn_consume(c, (size_t)n);
	}
	if (n == -EAGAIN || n == -ESHUTDOWN)
		return WEIR_KEEP; /* also while the server drains */
	if (n < 0)
		return (int)n;
	weir_ref_shutdown(other, SHUT_WR);
	return WEIR_KEEP; /* it closes when its output has ended, too */
}

static void leave_pair(struct pair *p)
{
	if (atomic_fetch_sub(&p->users, 1) > 1)
		return;
	weir_ref_unref(p->client);
	weir_ref_unref(p->upstream);
	free(p);
}

static void closed(weir_conn *c, void *arg)
{
	struct pair *p = arg ? arg : weir_conn_data(c);
	struct weir_summary sum;

	if (p == NULL)
		return;
	weir_conn_summary(c, &sum, sizeof sum);
	if (sum.end != WEIR_END_PEER) /* not after the end of both directions */
		weir_ref_cancel(arg ? p->client : p->upstream);
	leave_pair(p);
}

#define SIDE(...)                                                              \
	WEIR_SERVICE(.full_duplex = 1, .first_byte_ms = WEIR_NEVER,            \
		     .read_ms = WEIR_NEVER, .idle_ms = WEIR_NEVER,             \
		     __VA_ARGS__)

/* NULL: no memory. */
static struct pair *new_pair(weir_conn *c)
{
	struct pair *p = calloc(1, sizeof *p);

	if (p == NULL)
		return NULL;
	p->client = weir_conn_ref(c);
	p->users = 1;
	weir_conn_set_data(c, p, NULL);
	return p;
}

/* Connect the upstream of a client. */
static int connect_pair(weir_conn *c, const char *where, int ms,
			const struct weir_service *service)
{
	struct pair *p = weir_conn_data(c);
	int rc;

	weir_ref_unref(p->upstream);
	p->upstream = NULL;
	atomic_fetch_add(&p->users, 1);
	rc = weir_server_dial(weir_conn_server(c), &p->upstream, where, ms,
			      service);
	if (rc < 0)
		atomic_fetch_sub(&p->users, 1);
	return rc;
}

#endif
