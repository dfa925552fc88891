/* SPDX-License-Identifier: MIT */
/* Any number of threads may wait; the kernel wakes one for each edge. */
#include "poller.h"

#include <errno.h>

#include "bounds.h"
#include "sys.h"

static uint32_t to_epoll(unsigned interest)
{
	uint32_t events = 0;

	if (interest & WR_POLL_IN)
		events |= EPOLLIN | EPOLLRDHUP | EPOLLPRI;
	if (interest & WR_POLL_OUT)
		events |= EPOLLOUT;
	if (interest & WR_POLL_EDGE)
		events |= (uint32_t)EPOLLET;
	return events;
}

static unsigned from_epoll(uint32_t events)
{
	unsigned what = 0;

	if (events & EPOLLIN)
		what |= WR_POLL_IN;
	if (events & EPOLLOUT)
		what |= WR_POLL_OUT;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
		what |= WR_POLL_HUP;
	return what;
}

int wr_poller_open(struct wr_poller *p)
{
	int rc = p->fd = wr_sys_epoll_create();

	return rc < 0 ? rc : 0;
}

void wr_poller_close(struct wr_poller *p)
{
	if (p->fd >= 0)
		wr_sys_close(p->fd);
	*p = WR_POLLER_CLOSED;
}

int wr_poller_add(struct wr_poller *p, int fd, unsigned interest, uint64_t key)
{
	struct epoll_event ev = { .events = to_epoll(interest),
				  .data.u64 = key };
	int rc = wr_sys_epoll_ctl(p->fd, EPOLL_CTL_ADD, fd, &ev);

	return rc == -EEXIST ? wr_poller_change(p, fd, interest, key) : rc;
}

int wr_poller_change(struct wr_poller *p, int fd, unsigned interest,
		     uint64_t key)
{
	struct epoll_event ev = { .events = to_epoll(interest),
				  .data.u64 = key };

	return wr_sys_epoll_ctl(p->fd, EPOLL_CTL_MOD, fd, &ev);
}

void wr_poller_remove(struct wr_poller *p, int fd)
{
	struct epoll_event ev = { 0 };

	/* Fails only if the descriptor is not there. */
	(void)wr_sys_epoll_ctl(p->fd, EPOLL_CTL_DEL, fd, &ev);
}

/* Each signal is an edge, also of an eventfd that is never read. */
int wr_poller_add_wakeup(struct wr_poller *p, int fd, uint64_t key)
{
	return wr_poller_add(p, fd, WR_POLL_IN | WR_POLL_EDGE, key);
}

int wr_poller_wait(struct wr_poller *p, struct wr_event *ev, int max,
		   int timeout_ms)
{
	struct epoll_event got[WR_POLL_BATCH];
	int n = wr_sys_epoll_wait(p->fd, got, max, timeout_ms);

	for (int i = 0; i < n; i++) {
		ev[i].key = got[i].data.u64;
		ev[i].what = from_epoll(got[i].events);
	}
	if (n < 0) /* do not spin */
		(void)wr_sys_pause(WR_POLL_FAILED_MS);
	return n;
}

bool wr_poller_is_ready(struct wr_poller *p)
{
	struct pollfd pfd = { .fd = p->fd, .events = POLLIN };

	return wr_sys_poll(&pfd, 1, 0) > 0;
}
