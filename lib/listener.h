/* SPDX-License-Identifier: MIT */
/*
 * A listening socket: how it is made, how it stops without losing anybody,
 * and how it goes away.  Knows nothing of connections or threads; one thread
 * at a time uses it.
 */
#ifndef WR_LISTENER_H
#define WR_LISTENER_H

#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "address.h"

struct wr_listener {
	int fd;		/* -1: closed */
	bool inherited; /* fd:N: shared with others; only ever closed */
	bool is_tcp;
	bool is_ending; /* TCP: of no use any more, not to a child either */
	bool is_shut;	/* nobody can connect any more: once empty, for good */
	/* Unix socket to unlink; empty: none */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct stat file; /* that file, as we made it */
};

/*
 * Open, bind and listen, non-blocking and close-on-exec.  TCP: SO_REUSEADDR,
 * never SO_REUSEPORT; wr_sys_tune_tcp() is for the connections to inherit;
 * ":port" is IPv6 with IPV6_V6ONLY off, or IPv4 where there is no IPv6; a
 * name that has several addresses: the first that this machine has (if that
 * one is in use, the answer is -EADDRINUSE).  The look-up of a name ends after
 * WR_LOOKUP_MS, or once stop (NULL: none) is set.
 * Unix: a stale socket file (nobody answers) is replaced, a live one is
 * -EADDRINUSE, anything else at the path stays and is -ENOTSOCK; the mode (0:
 * 0600) is right before listen, so before anybody can connect; starters of
 * several processes are kept apart by a lock file beside the path.  An abstract
 * name has no mode: 0 or 0666, else -EINVAL.  So is a name with control bytes.
 * fd:N: must be a listening stream socket, else -ENOTSOCK (-EBADF if it is
 * no descriptor); it is made non-blocking and close-on-exec, tuned as above,
 * SO_LINGER with a time is switched off, and it is not closed on failure.
 *
 * Returns 0, or -errno with nothing left behind.
 */
int wr_listener_open(struct wr_listener *l, const struct wr_address *addr,
		     int backlog, mode_t mode, const atomic_bool *stop);

/*
 * Let no new connection begin while those the kernel has completed can still
 * be accepted.  A TCP listener is bound to a network interface that does not
 * exist, or, where that is not allowed, drops new SYNs with a socket filter; a
 * Unix socket is shut down and its path unlinked.  See docs/STOPPING.md.
 *
 * Returns 0, also for an inherited listener, to which nothing is done; or
 * -errno: there is no fence, and new connections go on coming.
 */
int wr_listener_fence(struct wr_listener *l);

/*
 * How many completed connections wait to be accepted; SIZE_MAX where the
 * kernel does not tell.
 */
size_t wr_listener_waiting(const struct wr_listener *l);

/*
 * Close; unlinks the path if it is still the file we made.  A TCP listener
 * that was to be fenced ends for every process that has a copy of it, too.
 * Idempotent.
 */
void wr_listener_close(struct wr_listener *l);

/* The address with the real port, as text.  Length or -errno. */
int wr_listener_address(const struct wr_listener *l, char *buf, size_t cap);

#endif
