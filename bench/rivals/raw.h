/* SPDX-License-Identifier: MIT */
/*
 * What the bare epoll servers do with a ready connection.  Output that the
 * kernel does not take is kept; while there is some, nothing is read.
 */
#ifndef RAW_H
#define RAW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "rival.h"

/* A connection, found by its descriptor. */
struct peer {
	char *rest; /* output the kernel has not taken */
	size_t at, len;
	bool polls_output;
	atomic_uint reports; /* 0 when accepted; see raw_epoll_shared.c */
};

extern struct peer peers[RIVAL_FILES];

enum {
	PEER_IDLE,  /* wait for input */
	PEER_STUCK, /* wait for output */
	PEER_GONE   /* closed */
};

/*
 * Echo until the socket is empty.  A short read shows that it is, but not
 * whether the input has ended: that must be read (ended).
 */
int peer_serve(int fd, bool ended, char *chunk);

/* Accept all pending connections, and register each for these events. */
void raw_accept(int listener, int epoll, uint32_t events);

#endif
