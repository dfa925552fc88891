/* SPDX-License-Identifier: MIT */
/*
 * A server to compare stops with: one thread accepts, answers one question,
 * closes.  Its stop closes the listener, with the clients in the backlog.
 */
#include "test.h"

#include <netinet/in.h>
#include <poll.h>

static void baseline_server_answer(int fd)
{
	char line[8];

	if (recv(fd, line, 2, MSG_WAITALL) == 2)
		send(fd, line, 2, MSG_NOSIGNAL);
	close(fd);
}

static void *baseline_server_loop(void *arg)
{
	struct baseline_server *p = arg;
	struct pollfd pollfd = { .fd = p->fd, .events = POLLIN };

	while (!atomic_load(&p->is_over)) {
		if (poll(&pollfd, 1, 10) > 0)
			baseline_server_answer(accept(p->fd, NULL, NULL));
	}
	close(p->fd);
	return NULL;
}

void baseline_server_start(struct baseline_server *p)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(p->fd, 0);
	ck_assert_int_eq(bind(p->fd, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(listen(p->fd, 128), 0);
	getsockname(p->fd, (struct sockaddr *)&addr, &len);
	snprintf(p->address, sizeof(p->address), "127.0.0.1:%d",
		 ntohs(addr.sin_port));
	ck_assert_int_eq(pthread_create(&p->id, NULL, baseline_server_loop, p),
			 0);
}

void baseline_server_stop(struct baseline_server *p)
{
	atomic_store(&p->is_over, true);
	pthread_join(p->id, NULL);
}
