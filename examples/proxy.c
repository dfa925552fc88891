/* SPDX-License-Identifier: MIT */
/*
 * A TCP proxy to several upstreams, with health checks.
 *
 *	proxy ADDRESS MILLISECONDS UPSTREAM...
 *
 * A timer connects to each upstream every MILLISECONDS.  An upstream that
 * cannot be reached gets no client until it can be reached again, unless all
 * are down.  A client is paused until its upstream is connected.  If connecting
 * fails, the next upstream is tried.  pair.h relays.
 */
#include "pair.h"

#include <stdbool.h>
#include <stdio.h>

enum { CONNECTING = 0, CONNECTED, FAILED }; /* pair.state */

static struct upstream {
	const char *where;
	atomic_int is_down;
} upstreams[64];
static unsigned upstream_count;
static int check_ms;

/* The next upstream that is not down, or the next one if all are down. */
static struct upstream *choose(void)
{
	static atomic_uint turn;
	unsigned first = atomic_fetch_add(&turn, 1), i = 0;

	while (i < upstream_count - 1 &&
	       atomic_load(&upstreams[(first + i) % upstream_count].is_down))
		i++;
	return &upstreams[(first + i) % upstream_count];
}

static bool has_failed(weir_conn *c)
{
	struct weir_summary s;

	return weir_conn_summary(c, &s, sizeof s) == 0 &&
	       s.end == WEIR_END_CONNECT;
}

/* ----------------------------------------------------------- health checks */

static int hang_up(weir_conn *c, void *arg)
{
	(void)c;
	(void)arg;
	return WEIR_CLOSE;
}

static void note_health(weir_conn *c, void *arg)
{
	struct upstream *u = arg;
	int is_down = has_failed(c);

	if (atomic_exchange(&u->is_down, is_down) != is_down) {
		printf("%s is %s\n", u->where, is_down ? "down" : "up");
		fflush(stdout);
	}
}

static void check(weir_server *s, weir_timer *t, void *arg)
{
	(void)t;
	(void)arg;
	for (unsigned i = 0; i < upstream_count; i++)
		weir_server_dial(s, NULL, upstreams[i].where, check_ms,
				 WEIR_SERVICE(.readable = hang_up,
					      .opened = hang_up,
					      .closed = note_health,
					      .arg = &upstreams[i]));
}

/* ---------------------------------------------------------------- relaying */

static int connected(weir_conn *c, void *arg)
{
	struct pair *p = arg;

	(void)c;
	atomic_store(&p->state, CONNECTED);
	return weir_ref_wake(p->client) < 0 ? WEIR_CLOSE : WEIR_KEEP;
}

static void upstream_closed(weir_conn *c, void *arg)
{
	struct pair *p = arg;

	if (has_failed(c)) {
		atomic_store(&p->state, FAILED);
		weir_ref_wake(p->client);
		leave_pair(p);
	} else {
		closed(c, arg);
	}
}

static int dial_next(weir_conn *c, struct pair *p)
{
	int rc;

	if (++p->tries > upstream_count)
		return WEIR_CLOSE;
	atomic_store(&p->state, CONNECTING);
	rc = connect_pair(c, choose()->where, check_ms,
			  SIDE(.readable = relay, .opened = connected,
			       .closed = upstream_closed, .arg = p));
	return rc < 0 ? rc : WEIR_PAUSE;
}

static int opened(weir_conn *c, void *arg)
{
	struct pair *p = new_pair(c);

	(void)arg;
	return p ? dial_next(c, p) : -ENOMEM;
}

static int from_client(weir_conn *c, void *arg)
{
	struct pair *p = weir_conn_data(c);

	switch (atomic_load(&p->state)) {
	case CONNECTING:
		return WEIR_PAUSE;
	case FAILED:
		return dial_next(c, p);
	default:
		return relay(c, arg);
	}
}

int main(int argc, char **argv)
{
	char text[128];
	weir_server *s;
	int rc;

	for (int i = 3; i < argc && upstream_count < 64; i++)
		upstreams[upstream_count++].where = argv[i];
	check_ms = argc > 3 ? atoi(argv[2]) : 0;
	if (check_ms <= 0 || weir_server_new(&s, NULL) < 0)
		return 2;
	rc = weir_server_listen(s, argv[1],
				SIDE(.readable = from_client, .closed = closed,
				     .opened = opened));
	if (rc >= 0)
		rc = weir_server_address(s, rc, text, sizeof text);
	if (rc >= 0)
		rc = weir_server_timer(s, NULL, 0, check_ms, check, NULL);
	if (rc >= 0) {
		printf("relaying at %s\n", text);
		fflush(stdout);
		rc = weir_server_run(s, WEIR_SIGNALS);
	}
	weir_server_free(s);
	return rc < 0;
}
