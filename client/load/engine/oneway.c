/* SPDX-License-Identifier: MIT */
/*
 * One way: as many bytes as the server takes, or as it sends.  There are no
 * messages here, only bytes.
 */
#include "engine.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* So many buffers in a row, then it is the next link's turn. */
#define TURN 16

static void count(const struct engine *e, struct link *l, uint64_t *bytes,
		  ssize_t n)
{
	int64_t now = now_ns();

	l->last_at = now;
	if (now < e->measure_at || now >= e->end_at)
		return;
	l->replies++;
	*bytes += (uint64_t)n;
}

/*
 * Level-triggered from the start of the run on: a link gives way to the others
 * though there is more to do.
 */
static bool begin(struct engine *e, struct link *l, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = l };

	if (l->is_level)
		return true;
	l->is_level = true;
	l->was_asked = true;
	return epoll_ctl(e->epoll, EPOLL_CTL_MOD, l->fd, &event) == 0;
}

static void send_some(struct engine *e, struct link *l)
{
	for (int i = 0; i < TURN; i++) {
		/* The noise of the payload serves as well as anything. */
		ssize_t n = send(l->fd, e->payload->noise, ENGINE_BUFFER,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && errno != EINTR) {
			link_fail(e, l, ERROR_SEND, errno, now_ns());
			return;
		}
		if (n > 0)
			count(e, l, &e->now->books.bytes_out, n);
	}
}

void oneway_send(struct engine *e, struct link *l, int64_t now)
{
	if (!engine_is_running(e, now) || e->is_ending)
		return;
	if (e->plan->mode == PLAN_DOWNLOAD) {
		begin(e, l, EPOLLIN);
	} else if (begin(e, l, EPOLLIN | EPOLLOUT)) {
		send_some(e, l);
		l->is_blocked = l->fd >= 0;
	}
}

void oneway_receive(struct engine *e, struct link *l)
{
	if (!l->is_level)
		return;
	for (int i = 0; i < TURN; i++) {
		ssize_t n = recv(l->fd, e->in, ENGINE_BUFFER, MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n == 0 || (n < 0 && errno != EINTR)) {
			link_fail(e, l, ERROR_BETWEEN, n == 0 ? 0 : errno,
				  now_ns());
			return;
		}
		if (n > 0)
			count(e, l, &e->now->books.bytes_in, n);
	}
}

uint64_t oneway_unsent(const struct link *l)
{
	int left = 0;

	if (l->fd < 0 || ioctl(l->fd, SIOCOUTQ, &left) < 0)
		return 0;
	return (uint64_t)left;
}
