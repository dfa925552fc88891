/* SPDX-License-Identifier: MIT */
/*
 * A TCP relay: each client gets a connection of its own to the upstream.
 *
 *	relay ADDRESS UPSTREAM
 *
 * The input of one side is the output of the other.  While that has no room the
 * side is paused, so its peer has to wait.  The end of input is passed on, and
 * the other direction continues.  Any other end of a side cuts the other one.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <weir.h>

struct pair {
	weir_ref *client, *upstream;
	atomic_int ended; /* sides whose input has ended: 1, 2 */
	atomic_int users; /* sides that are not closed */
};

static const char *upstream;

static int relay(weir_conn *c, void *arg)
{
	struct pair *p = arg ? arg : weir_conn_data(c);
	weir_ref *other = arg ? p->client : p->upstream;
	int rc, side = arg ? 1 : 2;
	const void *data;
	ssize_t n;

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
	rc = atomic_fetch_or(&p->ended, side) | side;
	if (rc == 3)
		weir_ref_close(other);
	else
		weir_ref_shutdown(other, SHUT_WR);
	return rc == 3 ? WEIR_CLOSE : WEIR_KEEP;
}

static void closed(weir_conn *c, void *arg)
{
	struct pair *p = arg ? arg : weir_conn_data(c);

	if (p == NULL)
		return;
	if (atomic_load(&p->ended) != 3)
		weir_ref_cancel(arg ? p->client : p->upstream);
	if (atomic_fetch_sub(&p->users, 1) > 1)
		return;
	weir_unref(p->client);
	weir_unref(p->upstream);
	free(p);
}

#define SIDE(...)                                                              \
	WEIR_SERVICE(.readable = relay, .closed = closed, .full_duplex = 1,    \
		     .first_byte_ms = WEIR_NEVER, .read_ms = WEIR_NEVER,       \
		     .idle_ms = WEIR_NEVER, __VA_ARGS__)

static int opened(weir_conn *c, void *arg)
{
	struct pair *p = calloc(1, sizeof *p);
	int rc;

	(void)arg;
	if (p == NULL)
		return -ENOMEM;
	p->client = weir_conn_ref(c);
	p->users = 2;
	weir_conn_set_data(c, p, NULL);
	rc = weir_server_dial(weir_conn_server(c), &p->upstream, upstream, 0,
			      SIDE(.arg = p));
	if (rc < 0)
		p->users = 1;
	return rc < 0 ? rc : WEIR_KEEP;
}

int main(int argc, char **argv)
{
	struct weir_report r;
	char text[128];
	weir_server *s;
	int rc = weir_server_new(&s, NULL);

	if (rc < 0 || argc != 3)
		return 2;
	upstream = argv[2];
	rc = weir_server_listen(s, argv[1], SIDE(.opened = opened));
	if (rc >= 0)
		rc = weir_server_address(s, rc, text, sizeof text);
	if (rc >= 0) {
		printf("relaying at %s\n", text);
		fflush(stdout);
		rc = weir_server_run(s, WEIR_SIGNALS);
	}
	if (rc >= 0 && weir_server_join(s, &r, sizeof r) != -EINVAL)
		printf("%d clients, %d dialled: %d completed, %d failed, "
		       "%d cut\n",
		       (int)r.ledger.accepted, (int)r.ledger.dialled,
		       (int)r.ledger.completed, (int)r.ledger.failed,
		       (int)r.ledger.cut);
	weir_server_free(s);
	return rc < 0;
}
