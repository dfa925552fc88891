/* SPDX-License-Identifier: MIT */
#include "raw.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer peers[RIVAL_FILES];

static int gone(int fd)
{
	struct peer *p = &peers[fd];

	free(p->rest);
	p->rest = NULL;
	p->polls_output = false;
	close(fd);
	return PEER_GONE;
}

/* 1: all was sent; 0: the rest is kept; -1: the peer is gone. */
static int deliver(int fd, const char *data, size_t len)
{
	struct peer *p = &peers[fd];
	ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

	if (n == (ssize_t)len)
		return 1;
	if (n < 0 && errno != EAGAIN)
		return -1;
	if (n < 0)
		n = 0;
	p->len = len - (size_t)n;
	p->at = 0;
	p->rest = malloc(p->len);
	if (p->rest == NULL)
		return -1;
	memcpy(p->rest, data + n, p->len);
	return 0;
}

static int deliver_rest(int fd)
{
	struct peer *p = &peers[fd];
	ssize_t n = send(fd, p->rest + p->at, p->len - p->at, MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	p->at += (size_t)n;
	if (p->at < p->len)
		return 0;
	free(p->rest);
	p->rest = NULL;
	return 1;
}

int peer_serve(int fd, bool ended, char *chunk)
{
	ssize_t n;
	int rc;

	if (peers[fd].rest) {
		rc = deliver_rest(fd);
		if (rc <= 0)
			return rc < 0 ? gone(fd) : PEER_STUCK;
		ended = true; /* what came meanwhile was not looked at */
	}
	do {
		n = recv(fd, chunk, RIVAL_CHUNK, 0);
		if (n < 0 && errno == EAGAIN)
			return PEER_IDLE;
		if (n <= 0)
			return gone(fd);
		rival_nap(chunk, (size_t)n);
		rc = deliver(fd, chunk, (size_t)n);
		if (rc <= 0)
			return rc < 0 ? gone(fd) : PEER_STUCK;
	} while (n == RIVAL_CHUNK || ended);
	return PEER_IDLE;
}

void raw_accept(int listener, int epoll, uint32_t events)
{
	struct epoll_event ev = { .events = events };
	int fd;

	while ((fd = accept4(listener, NULL, NULL,
			     SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (fd >= RIVAL_FILES)
			rival_fail("too many connections");
		ev.data.fd = fd;
		atomic_store(&peers[fd].reports, 0);
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
			rival_fail("epoll_ctl");
	}
}
