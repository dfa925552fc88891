/* SPDX-License-Identifier: MIT */
/*
 * A listening socket: opening, the fence, closing.  One thread at a time; any
 * thread reads fd.
 */
#ifndef WR_LISTENER_H
#define WR_LISTENER_H

#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "address.h"

struct wr_listener {
	_Atomic int fd;		/* -1: closed */
	_Atomic bool is_shared; /* with other programs: it is only closed */
	bool is_tcp;
	bool is_ending; /* TCP: fenced; ends in children, too */
	bool is_shut;	/* Unix: shut down; close it once empty */
	/* to unlink; empty: none */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct stat file; /* of the path, when it was made */
};

/*
 * Open, bind and listen, non-blocking and close-on-exec.
 *
 * TCP: SO_REUSEADDR, never SO_REUSEPORT; connections inherit wr_sys_tune_tcp().
 * ":port" is IPv6 with IPV6_V6ONLY off, or IPv4 without IPv6.  A name means its
 * first address that this machine has, and -EADDRINUSE if that is in use.  Its
 * lookup ends after WR_LOOKUP_MS, or once stop (may be NULL) is set.
 *
 * Unix: a stale socket file is replaced, a live one is -EADDRINUSE, any other
 * file is -ENOTSOCK.  The mode (0: 0600) is set before listen(2).  A lock file
 * beside the path keeps starting processes apart.  -EINVAL for an abstract name
 * with a mode other than 0 or 0666, and for control characters.
 *
 * fd:N: a listening stream socket, else -ENOTSOCK or -EBADF.  It is tuned as
 * above, SO_LINGER with a time is switched off, and it is not closed on
 * failure.
 *
 * Returns 0, or -errno with nothing left behind.
 */
int wr_listener_open(struct wr_listener *l, const struct wr_address *addr,
		     int backlog, mode_t mode, const atomic_bool *stop);

/*
 * Let no new connection begin; those the kernel has completed can still be
 * accepted.  TCP: bind to an interface that does not exist or, where that is
 * not allowed, drop SYNs by a socket filter.  Unix: shut down and unlink the
 * path.  See docs/STOPPING.md.
 *
 * Returns 0 (a shared listener is left alone), or -errno: new connections
 * keep coming.
 */
int wr_listener_fence(struct wr_listener *l);

/* No other program has a copy: it is shared no longer. */
void wr_listener_own(struct wr_listener *l);

/* Connections that wait to be accepted; SIZE_MAX: the kernel does not tell. */
size_t wr_listener_waiting(const struct wr_listener *l);

/*
 * Close, and unlink the path if the file is still ours.  A fenced TCP listener
 * also ends in processes with a copy of it.  Idempotent.
 */
void wr_listener_close(struct wr_listener *l);

/* The address with its real port.  Length or -errno. */
int wr_listener_address(const struct wr_listener *l, char *buf, size_t cap);

#endif
