/* SPDX-License-Identifier: MIT */
/*
 * Connecting by a deadline: a machine that never waits.  weir_dial() drives it
 * with poll(2), a server with its poller and its deadlines.
 */
#ifndef WR_CONNECT_H
#define WR_CONNECT_H

#include <netdb.h>
#include <poll.h>
#include <stdint.h>

#include "address.h"
#include "bounds.h"
#include "poller.h"
#include "resolve.h"

/* One thread at a time. */
struct wr_connect {
	const struct addrinfo *to[WR_CONNECT_ADDRESSES]; /* in order */
	struct pollfd attempts[WR_CONNECT_ADDRESSES];	 /* fd -1: ended */
	size_t count, started, under_way;
	const struct addrinfo *winner; /* NULL: none yet */
	int64_t next_at;	       /* of the next attempt */
	int64_t pause_ns;	       /* of a Unix socket; 0: none */
	int64_t deadline_at;
	int rc;			   /* of the last attempt that failed */
	struct wr_poller *poller;  /* watches the attempts; NULL: none */
	uint64_t key;		   /* of their events there */
	struct wr_lookup *lookup;  /* under way; NULL: none */
	void (*notify)(void *arg); /* of the lookup, for its end */
	void *arg;
	struct addrinfo *list;
	struct addrinfo unix_to;
	struct wr_address where;
};

/* Takes the list.  NULL: a Unix socket, or a host that is looked up. */
void wr_connect_begin(struct wr_connect *r, const struct wr_address *where,
		      struct addrinfo *list, int64_t deadline_at);

/* A host that is a number needs no lookup.  0 or -errno. */
int wr_connect_prepare(struct wr_connect *r, const struct wr_address *where,
		       int64_t deadline_at);

/*
 * Do what is due.  A non-blocking descriptor, which stays in the poller unless
 * it is a Unix socket; -EINPROGRESS; -ETIMEDOUT; the error of the last address.
 */
int wr_connect_step(struct wr_connect *r, int64_t now);

/* The time of the next step, unless an attempt has an event before. */
int64_t wr_connect_next_at(const struct wr_connect *r);

void wr_connect_end(struct wr_connect *r);

/* All of it, with lookup and waits. */
int wr_connect(const struct wr_address *where, int64_t deadline_at);

/*
 * Make a connected stream socket non-blocking and close-on-exec.  1: it is of
 * TCP, and tuned; 0: it is not; -errno.
 */
int wr_connect_take_over(int fd);

#endif
