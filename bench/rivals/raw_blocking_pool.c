/* SPDX-License-Identifier: MIT */
/*
 * Each thread accepts a connection, reads and writes until its end, and
 * accepts the next.  It serves as many connections as it has threads.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rival.h"

static int listener;

static void serve(int fd, char *chunk)
{
	ssize_t n, sent, at;

	while ((n = recv(fd, chunk, RIVAL_CHUNK, 0)) > 0) {
		rival_nap(chunk, (size_t)n);
		for (at = 0; at < n; at += sent) {
			sent = send(fd, chunk + at, (size_t)(n - at),
				    MSG_NOSIGNAL);
			if (sent < 0)
				return;
		}
	}
}

static void *work(void *arg)
{
	char *chunk = malloc(RIVAL_CHUNK);

	(void)arg;
	if (chunk == NULL)
		rival_fail("malloc");
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		serve(fd, chunk);
		close(fd);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct rival r;

	rival_begin(&r, argc, argv);
	listener = rival_listen(&r);
	if (fcntl(listener, F_SETFL, 0) < 0)
		rival_fail("fcntl");
	rival_ready(&r);
	rival_threads(&r, work, NULL);
}
