/* SPDX-License-Identifier: MIT */
/* One thread drives all clients: each has a next step and a time for it. */
#include "bad_clients.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine.h"

#define STEP	   (10 * MS)
#define DRIP_EVERY (100 * MS)
#define READ_EVERY (100 * MS)
#define AGAIN	   (100 * MS) /* until the next attempt of those that reconnect */
#define FLOOD_STEP ((size_t)256 * 1024)
#define EVENTS	   64

struct bad_client {
	enum bad_client_kind kind;
	int fd;
	uint32_t id;
	bool is_connected, was_connected, is_over;
	uint64_t sent; /* bytes of its messages */
	int64_t next_at;
};

int bad_clients_count(const struct plan *plan)
{
	int count = 0;

	for (int k = 0; k < BAD_CLIENT_KINDS; k++)
		count += plan->bad_clients[k];
	return count;
}

static bool comes_again(const struct bad_client *m)
{
	return m->kind == BAD_CLIENT_HALF_CLOSE || m->kind == BAD_CLIENT_RESET;
}

static void bad_client_close(struct bad_client *m, int64_t now)
{
	close(m->fd);
	m->fd = -1;
	m->is_connected = false;
	m->is_over = !comes_again(m);
	m->next_at = now + AGAIN;
}

static void closed_by_server(struct bad_clients *c, struct bad_client *m,
			     int64_t now)
{
	c->counts[m->kind].let_go++;
	bad_client_close(m, now);
}

static void bad_client_connected(struct bad_clients *c, struct bad_client *m,
				 int64_t now)
{
	m->is_connected = true;
	c->counts[m->kind].opened += !m->was_connected;
	m->was_connected = true;
	c->counts[m->kind].attempts++;
	m->next_at = now;
}

/* On a Unix socket it is then connected, and the PROXY header is sent. */
static void bad_client_connect(struct bad_clients *c, struct bad_client *m,
			       int64_t now)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP |
					       EPOLLET,
				     .data.ptr = m };
	enum error_phase phase;
	int error;

	m->next_at = now + AGAIN;
	m->sent = 0;
	m->fd = target_connect(c->target, m->id, &phase, &error);
	if (m->fd < 0 ||
	    epoll_ctl(c->epoll, EPOLL_CTL_ADD, m->fd, &event) < 0) {
		c->counts[m->kind].failed++;
		if (m->fd >= 0)
			bad_client_close(m, now);
	} else if (error == 0) {
		bad_client_connected(c, m, now);
	}
}

static size_t messages_fill(const struct bad_clients *c,
			    const struct bad_client *m, char *to, size_t len)
{
	struct message_id name = { m->id, 0 };
	uint64_t from = m->sent;
	size_t size = payload_size(c->payload, name);

	/* The same message each time, so that the position is a remainder. */
	from %= size;
	if (len > size - from)
		len = size - (size_t)from;
	payload_fill(c->payload, name, now_ns(), (size_t)from, to, len);
	return len;
}

/* Returns false if the client is gone. */
static bool send_messages(struct bad_clients *c, struct bad_client *m,
			  size_t len, int64_t now)
{
	char data[4096];

	while (len > 0) {
		size_t part = len < sizeof(data) ? len : sizeof(data);
		ssize_t n;

		if (m->kind == BAD_CLIENT_FLOOD)
			memset(data, 'x', part);
		else
			part = messages_fill(c, m, data, part);
		n = send(m->fd, data, part, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < 0 && errno != EINTR) {
			closed_by_server(c, m, now);
			return false;
		}
		if (n > 0) {
			m->sent += (uint64_t)n;
			len -= (size_t)n;
		}
	}
	return true;
}

static bool bad_read_some(struct bad_clients *c, struct bad_client *m,
			  size_t len, int64_t now)
{
	char data[4096];
	ssize_t n;

	do {
		n = recv(m->fd, data, len < sizeof(data) ? len : sizeof(data),
			 MSG_DONTWAIT);
		len -= n > 0 ? (size_t)n : 0;
	} while (len > 0 && (n > 0 || (n < 0 && errno == EINTR)));
	if (n > 0 || (n < 0 && errno == EAGAIN))
		return true;
	closed_by_server(c, m, now);
	return false;
}

static void bad_client_misbehave(struct bad_clients *c, struct bad_client *m,
				 int64_t now)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	size_t size = payload_size(c->payload, (struct message_id){ m->id, 0 });

	m->next_at = now + STEP;
	switch (m->kind) {
	case BAD_CLIENT_SLOW_READ:
		m->next_at = now + READ_EVERY;
		if (send_messages(c, m, 16 * size, now))
			bad_read_some(c, m, 1, now);
		break;
	case BAD_CLIENT_DRIP:
		m->next_at = now + DRIP_EVERY;
		if (send_messages(c, m, 1, now))
			bad_read_some(c, m, SIZE_MAX, now);
		break;
	case BAD_CLIENT_HALF_CLOSE:
		m->next_at = NEVER;
		if (send_messages(c, m, size, now))
			shutdown(m->fd, SHUT_WR);
		break;
	case BAD_CLIENT_RESET:
		if (send_messages(c, m, size, now)) {
			setsockopt(m->fd, SOL_SOCKET, SO_LINGER, &reset,
				   sizeof(reset));
			bad_client_close(m, now);
		}
		break;
	case BAD_CLIENT_FLOOD:
		send_messages(c, m, FLOOD_STEP, now);
		break;
	case BAD_CLIENT_VANISH:
		m->next_at = NEVER;
		send_messages(c, m, size > 1 ? size / 2 : 1, now);
		break;
	default:
		m->next_at = NEVER;
		break;
	}
}

static void bad_client_event(struct bad_clients *c, struct bad_client *m,
			     uint32_t events, int64_t now)
{
	const uint32_t ends = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
	int64_t took;

	if (m->fd < 0)
		return;
	if (!m->is_connected &&
	    (events & (EPOLLHUP | EPOLLERR) ||
	     target_connected(c->target, m->id, m->fd, &took) != 0)) {
		c->counts[m->kind].failed++;
		bad_client_close(m, now);
		return;
	}
	if (!m->is_connected)
		bad_client_connected(c, m, now);
	if (m->kind == BAD_CLIENT_HALF_CLOSE && events & (EPOLLIN | ends))
		bad_read_some(c, m, SIZE_MAX, now);
	else if (events & ends && m->kind != BAD_CLIENT_RESET)
		closed_by_server(c, m, now);
}

static void bad_clients_step(struct bad_clients *c, int64_t now)
{
	for (size_t i = 0; i < c->count; i++) {
		struct bad_client *m = &c->all[i];

		if (m->is_over || m->next_at > now)
			continue;
		if (m->fd < 0)
			bad_client_connect(c, m, now);
		else if (m->is_connected)
			bad_client_misbehave(c, m, now);
	}
}

static void bad_clients_leave(struct bad_clients *c)
{
	for (size_t i = 0; i < c->count; i++) {
		struct bad_client *m = &c->all[i];

		c->counts[m->kind].open += m->fd >= 0;
		if (m->fd >= 0)
			close(m->fd);
		m->fd = -1;
		m->is_over = true;
	}
}

static void *bad_clients_main(void *arg)
{
	struct bad_clients *c = arg;
	struct epoll_event events[EVENTS];
	bool is_stopped = false;
	int64_t now;

	while (!is_stopped && (now = now_ns()) < c->to) {
		int64_t wait = STEP;
		int n;

		if (now < c->from)
			wait = c->from - now;
		else
			bad_clients_step(c, now);
		if (wait > c->to - now)
			wait = c->to - now;
		n = epoll_wait(c->epoll, events, EVENTS, (int)(wait / MS) + 1);
		if (n < 0 && errno != EINTR) {
			c->error = errno;
			break;
		}
		for (int i = 0; i < n; i++) {
			if (!events[i].data.ptr)
				is_stopped = true;
			else
				bad_client_event(c, events[i].data.ptr,
						 events[i].events, now);
		}
	}
	bad_clients_leave(c);
	return NULL;
}

static int bad_clients_init(struct bad_clients *c)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
	struct bad_client *m;

	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	c->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->epoll < 0 || c->wakeup < 0 ||
	    epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->wakeup, &event) < 0)
		return -errno;
	c->all = m = calloc(c->count, sizeof(*m));
	if (!m)
		return -ENOMEM;
	for (int k = 0; k < BAD_CLIENT_KINDS; k++) {
		c->counts[k].asked = c->plan->bad_clients[k];
		for (int i = 0; i < c->plan->bad_clients[k]; i++, m++)
			*m = (struct bad_client){
				.kind = (enum bad_client_kind)k,
				.fd = -1,
				.id = (uint32_t)(m - c->all),
			};
	}
	return 0;
}

int bad_clients_start(struct bad_clients *c, int64_t from, int64_t to)
{
	int rc;

	c->epoll = c->wakeup = -1;
	c->from = from;
	c->to = to;
	c->count = (size_t)bad_clients_count(c->plan);
	if (c->count == 0)
		return 0;
	rc = bad_clients_init(c);
	if (rc == 0)
		rc = engine_thread(&c->thread, bad_clients_main, c);
	c->is_running = rc == 0;
	return rc;
}

int bad_clients_stop(struct bad_clients *c)
{
	uint64_t one = 1;

	if (c->is_running) {
		(void)!write(c->wakeup, &one, sizeof(one));
		pthread_join(c->thread, NULL);
	}
	c->is_running = false;
	if (c->count > 0 && c->epoll >= 0)
		close(c->epoll);
	if (c->count > 0 && c->wakeup >= 0)
		close(c->wakeup);
	free(c->all);
	c->all = NULL;
	c->count = 0;
	return -c->error;
}
