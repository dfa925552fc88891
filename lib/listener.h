/* SPDX-License-Identifier: MIT */
/* A listening socket.  One thread at a time; any thread reads fd. */
#ifndef WR_LISTENER_H
#define WR_LISTENER_H

#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "address.h"

/* Instead of a descriptor during close(2): its address is still in use. */
#define WR_LISTENER_CLOSING (-2)

struct wr_listener {
	_Atomic int fd;		/* -1: closed; WR_LISTENER_CLOSING */
	_Atomic bool is_shared; /* with other programs: it is only closed */
	_Atomic bool was_shared;
	bool is_tcp;
	bool is_ending; /* TCP: fenced; ends in children, too */
	bool is_shut;	/* Unix: shut down; close it once empty */
	/* to unlink; empty: none */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct stat file; /* of the path, when it was made */
};

/*
 * Open, bind and listen, non-blocking and close-on-exec; see
 * weir_server_listen().  On failure nothing is left behind; an inherited socket
 * is not closed.
 *
 * TCP: SO_REUSEADDR, never SO_REUSEPORT; connections inherit wr_sys_tune_tcp().
 * A name means its first address that this machine has.  The lookup ends once
 * stop (may be NULL) is set.
 *
 * Unix: a stale socket file is replaced.  The mode (0: 0600) is set before
 * listen(2).
 *
 * fd:N: it is tuned as above, and SO_LINGER with a time is switched off.
 */
int wr_listener_open(struct wr_listener *l, const struct wr_address *addr,
		     int backlog, mode_t mode, const atomic_bool *stop);

/*
 * Let no new connection begin; those that the kernel has completed can still be
 * accepted.  A shared listener is left alone.  -errno: new connections keep
 * coming.
 */
int wr_listener_fence(struct wr_listener *l);

/* No other program has a copy: it is shared no longer. */
void wr_listener_own(struct wr_listener *l);

/* Connections that wait to be accepted; SIZE_MAX: the kernel does not tell. */
size_t wr_listener_waiting(const struct wr_listener *l);

/* Idempotent; also unlinks the path, if the file is still ours. */
void wr_listener_close(struct wr_listener *l);

/* The address with its real port.  Length or -errno. */
int wr_listener_address(const struct wr_listener *l, char *buf, size_t cap);

#endif
