/* SPDX-License-Identifier: MIT */
/*
 * What the bare epoll servers do with a ready connection.  Output the kernel
 * does not take is kept; while there is some, nothing is read.
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
 * Echo until the socket is empty: a read that is short says so, but for the
 * end of input (ended), which has to be read.
 */
int peer_serve(int fd, bool ended, char *chunk);

/* Accept all there is on an epoll's listener; add each with these events. */
void raw_accept(int listener, int epoll, uint32_t events);

#endif
