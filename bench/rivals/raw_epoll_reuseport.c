/* SPDX-License-Identifier: MIT */
/*
 * Bare: each thread has a listener on the same port, an epoll and its own
 * connections, registered once, edge-triggered.  Nothing does less between a
 * socket and its echo; all figures are compared with it.
 */
#include <stdlib.h>
#include <sys/epoll.h>

#include "raw.h"

struct loop {
	int epoll, listener;
};

static void serve(struct loop *l, int fd, uint32_t events, char *chunk)
{
	bool ended = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.fd = fd,
	};

	if (peer_serve(fd, ended, chunk) == PEER_STUCK &&
	    !peers[fd].polls_output) {
		peers[fd].polls_output = true;
		epoll_ctl(l->epoll, EPOLL_CTL_MOD, fd, &ev);
	}
}

static void *work(void *arg)
{
	struct loop *l = (struct loop *)arg;
	struct epoll_event ev[256];
	char *chunk = malloc(RIVAL_CHUNK);

	if (chunk == NULL)
		rival_fail("malloc");
	for (;;) {
		int n = epoll_wait(l->epoll, ev, 256, -1);

		for (int i = 0; i < n; i++)
			if (ev[i].data.fd == l->listener)
				raw_accept(l->listener, l->epoll,
					   EPOLLIN | EPOLLRDHUP | EPOLLET);
			else
				serve(l, ev[i].data.fd, ev[i].events, chunk);
	}
	return NULL;
}

static struct loop *next_loop;

/* Each thread takes the next loop; all exist already. */
static void *take_loop(void *arg)
{
	(void)arg;
	return work(__atomic_fetch_add(&next_loop, sizeof(struct loop),
				       __ATOMIC_RELAXED));
}

int main(int argc, char **argv)
{
	struct rival r;
	struct loop *loops;

	rival_begin(&r, argc, argv);
	loops = calloc((size_t)r.threads, sizeof(struct loop));
	if (loops == NULL)
		rival_fail("calloc");
	for (int i = 0; i < r.threads; i++) {
		struct epoll_event ev = { .events = EPOLLIN };

		loops[i].listener = ev.data.fd = rival_listen(&r);
		loops[i].epoll = epoll_create1(EPOLL_CLOEXEC);
		if (loops[i].epoll < 0 ||
		    epoll_ctl(loops[i].epoll, EPOLL_CTL_ADD, loops[i].listener,
			      &ev) < 0)
			rival_fail("epoll");
	}
	next_loop = loops;
	rival_ready(&r);
	rival_threads(&r, take_loop, NULL);
}
