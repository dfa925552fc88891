/* SPDX-License-Identifier: MIT */
/*
 * One thread waits at the epoll and puts ready connections into a queue, from
 * which the threads of a pool take them: the usual way to add a pool to an
 * event loop.  The polling thread is not counted in --threads.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "raw.h"

static int epoll, listener;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER;

/* A connection is armed for one event, so it is in here at most once. */
static struct {
	int fd;
	bool ended;
} ring[RIVAL_FILES];
static unsigned head, tail;

static void *work(void *arg)
{
	char *chunk = malloc(RIVAL_CHUNK);

	(void)arg;
	if (chunk == NULL)
		rival_fail("malloc");
	for (;;) {
		struct epoll_event ev = { .events = EPOLLIN | EPOLLONESHOT };
		bool ended;
		int state;

		pthread_mutex_lock(&lock);
		while (head == tail)
			pthread_cond_wait(&filled, &lock);
		ev.data.fd = ring[head % RIVAL_FILES].fd;
		ended = ring[head++ % RIVAL_FILES].ended;
		pthread_mutex_unlock(&lock);
		state = peer_serve(ev.data.fd, ended, chunk);
		if (state == PEER_STUCK)
			ev.events = EPOLLOUT | EPOLLONESHOT;
		if (state != PEER_GONE)
			epoll_ctl(epoll, EPOLL_CTL_MOD, ev.data.fd, &ev);
	}
	return NULL;
}

static void *poll_all(void *arg)
{
	struct epoll_event ev[256];

	(void)arg;
	for (;;) {
		int n = epoll_wait(epoll, ev, 256, -1);

		pthread_mutex_lock(&lock);
		for (int i = 0; i < n; i++) {
			unsigned at = tail % RIVAL_FILES;

			if (ev[i].data.fd == listener) {
				raw_accept(listener, epoll,
					   EPOLLIN | EPOLLONESHOT);
				continue;
			}
			ring[at].fd = ev[i].data.fd;
			ring[at].ended = ev[i].events & (EPOLLHUP | EPOLLERR);
			tail++;
			pthread_cond_signal(&filled);
		}
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct epoll_event ev = { .events = EPOLLIN };
	pthread_t poller;
	struct rival r;

	rival_begin(&r, argc, argv);
	listener = ev.data.fd = rival_listen(&r);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev) < 0)
		rival_fail("epoll");
	rival_ready(&r);
	if (pthread_create(&poller, NULL, poll_all, NULL) != 0)
		rival_fail("pthread_create");
	rival_threads(&r, work, NULL);
}
