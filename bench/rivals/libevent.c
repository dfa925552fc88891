/* SPDX-License-Identifier: MIT */
/*
 * libevent: for each thread a base and a listener on the shared port;
 * bufferevents, whose input is moved to the output without a copy.
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "rival.h"

static void on_input(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	unsigned char *first = evbuffer_pullup(in, 1);

	(void)arg;
	if (first && *first == 'S') {
		char head[16];
		ev_ssize_t n = evbuffer_copyout(in, head, sizeof(head));

		rival_nap(head, n > 0 ? (size_t)n : 0);
	}
	evbuffer_add_buffer(bufferevent_get_output(bev), in);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)arg;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		bufferevent_free(bev);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd,
		      struct sockaddr *addr, int len, void *arg)
{
	struct event_base *base = evconnlistener_get_base(l);
	struct bufferevent *bev =
		bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

	(void)addr, (void)len, (void)arg;
	bufferevent_setcb(bev, on_input, NULL, on_event, NULL);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

static struct event_base **next_base;

static void *work(void *arg)
{
	struct event_base **base = __atomic_fetch_add(
		&next_base, sizeof(*next_base), __ATOMIC_RELAXED);

	(void)arg;
	event_base_dispatch(*base);
	return NULL;
}

int main(int argc, char **argv)
{
	static struct event_base *bases[1024];
	struct rival r;

	rival_begin(&r, argc, argv);
	for (int i = 0; i < r.threads && i < 1024; i++) {
		bases[i] = event_base_new();
		if (bases[i] == NULL ||
		    !evconnlistener_new(bases[i], on_accept, NULL,
					LEV_OPT_CLOSE_ON_FREE, 0,
					rival_listen(&r)))
			rival_fail("libevent");
	}
	next_base = bases;
	rival_ready(&r);
	rival_threads(&r, work, NULL);
}
