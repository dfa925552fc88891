/* SPDX-License-Identifier: MIT */
/*
 * All threads wait at one epoll.  One-shot registration keeps two threads off
 * the same connection; it costs a call to arm it again after each message.
 */
#include <stdlib.h>
#include <sys/epoll.h>

#include "raw.h"

static int epoll, listener;

static void serve(int fd, uint32_t events, char *chunk)
{
	bool ended = events & (EPOLLHUP | EPOLLERR);
	struct epoll_event ev = { .events = EPOLLIN | EPOLLONESHOT,
				  .data.fd = fd };
	int state = peer_serve(fd, ended, chunk);

	if (state == PEER_GONE)
		return;
	if (state == PEER_STUCK)
		ev.events = EPOLLOUT | EPOLLONESHOT;
	epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &ev);
}

static void *work(void *arg)
{
	struct epoll_event ev[64];
	char *chunk = malloc(RIVAL_CHUNK);

	(void)arg;
	if (chunk == NULL)
		rival_fail("malloc");
	for (;;) {
		int n = epoll_wait(epoll, ev, 64, -1);

		for (int i = 0; i < n; i++)
			if (ev[i].data.fd == listener)
				raw_accept(listener, epoll,
					   EPOLLIN | EPOLLONESHOT);
			else
				serve(ev[i].data.fd, ev[i].events, chunk);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLEXCLUSIVE };
	struct rival r;

	rival_begin(&r, argc, argv);
	listener = ev.data.fd = rival_listen(&r);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev) < 0)
		rival_fail("epoll");
	rival_ready(&r);
	rival_threads(&r, work, NULL);
}
