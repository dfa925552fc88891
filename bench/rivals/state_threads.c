/* SPDX-License-Identifier: MIT */
/*
 * State Threads: a coroutine for each connection, in one thread.  The library
 * cannot use more, so --threads has no effect.
 */
#include <st.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "rival.h"

/* As a session of weir has by default. */
#define STACK (64 * 1024)

static void *serve(void *arg)
{
	char *chunk = malloc(RIVAL_CHUNK);
	st_netfd_t peer = arg;
	ssize_t n;

	if (chunk == NULL)
		rival_fail("malloc");
	while ((n = st_read(peer, chunk, RIVAL_CHUNK, ST_UTIME_NO_TIMEOUT)) >
	       0) {
		rival_nap(chunk, (size_t)n);
		if (st_write(peer, chunk, (size_t)n, ST_UTIME_NO_TIMEOUT) != n)
			break;
	}
	st_netfd_close(peer);
	free(chunk);
	return NULL;
}

int main(int argc, char **argv)
{
	struct rival r;
	st_netfd_t listener, peer;

	rival_begin(&r, argc, argv);
	if (st_set_eventsys(ST_EVENTSYS_ALT) < 0 || st_init() < 0)
		rival_fail("st_init");
	listener = st_netfd_open_socket(rival_listen(&r));
	if (listener == NULL)
		rival_fail("st_netfd_open_socket");
	rival_ready(&r);
	for (;;) {
		peer = st_accept(listener, NULL, NULL, ST_UTIME_NO_TIMEOUT);
		if (peer && !st_thread_create(serve, peer, 0, STACK))
			st_netfd_close(peer);
	}
}
