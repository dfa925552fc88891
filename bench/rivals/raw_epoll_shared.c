/* SPDX-License-Identifier: MIT */
/*
 * All threads wait at one epoll.  One-shot registration keeps two threads off
 * the same connection; arming it again costs a call for each message.
 *
 * With --style edge connections are registered once, edge-triggered, and each
 * counts its unhandled events: the thread that raises the count from 0 serves
 * the connection until it is 0 again.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "raw.h"

#define EDGES (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

static int epoll, listener;
static bool by_edge;

static void serve_once(int fd, uint32_t events, char *chunk)
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

/* A closed descriptor keeps its count, so that a late event is ignored. */
static void serve_edge(int fd, uint32_t events, char *chunk)
{
	bool ended = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
	atomic_uint *reports = &peers[fd].reports;
	unsigned seen;

	if (atomic_fetch_add(reports, 1) > 0)
		return;
	do {
		atomic_store(reports, seen = 1);
		if (peer_serve(fd, ended, chunk) == PEER_GONE)
			return;
		ended = true;
	} while (!atomic_compare_exchange_strong(reports, &seen, 0));
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
					   by_edge ? EDGES
						   : EPOLLIN | EPOLLONESHOT);
			else if (by_edge)
				serve_edge(ev[i].data.fd, ev[i].events, chunk);
			else
				serve_once(ev[i].data.fd, ev[i].events, chunk);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLEXCLUSIVE };
	struct rival r;

	rival_begin(&r, argc, argv);
	by_edge = strcmp(r.style, "edge") == 0;
	listener = ev.data.fd = rival_listen(&r);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev) < 0)
		rival_fail("epoll");
	rival_ready(&r);
	rival_threads(&r, work, NULL);
}
