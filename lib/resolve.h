/* SPDX-License-Identifier: MIT */
/*
 * Look-ups of names that end at a deadline.  The resolver's calls have none, so
 * each runs in a thread of its own, for which the caller waits until then.
 */
#ifndef WR_RESOLVE_H
#define WR_RESOLVE_H

#include <netdb.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base.h"

/*
 * The addresses of host (empty: loopback) with port, for stream sockets; the
 * list is the caller's to free.  A number needs no thread.  A wait ends early
 * once stop, if it is not NULL, is set.
 *
 * Returns 0; -ENOENT (no such host); -ETIMEDOUT; -ESHUTDOWN (stop); -EAGAIN
 * (the resolver cannot say now; no thread; too many look-ups were left behind);
 * -ENOMEM, -EIO ...
 */
int wr_lookup_host(struct addrinfo **ret, const char *host, const char *port,
		   int64_t deadline_at, const atomic_bool *stop);

/*
 * The name of the host at addr; name has NI_MAXHOST bytes.
 * Returns 0; -ENOENT (it has none); or as above.
 */
int wr_lookup_name(char *name, const struct sockaddr *addr, socklen_t len,
		   int64_t deadline_at);

#endif
