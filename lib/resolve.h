/* SPDX-License-Identifier: MIT */
/*
 * Lookups with a deadline.  The resolver has none, so each runs in a thread of
 * its own.
 */
#ifndef WR_RESOLVE_H
#define WR_RESOLVE_H

#include <netdb.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base.h"

/*
 * The addresses of host (empty: loopback) for stream sockets; the caller frees
 * the list.  Numbers need no thread.  Setting *stop (may be NULL) ends a wait.
 * -ENOENT: no such host; -ESHUTDOWN: stop; -EAGAIN: the resolver failed for
 * now, no thread, or too many lookups left behind.
 */
int wr_lookup_host(struct addrinfo **ret, const char *host, const char *port,
		   int64_t deadline_at, const atomic_bool *stop);

/*
 * The same without a wait: when the answer is there, a thread calls
 * notify(arg), which must not wait.  A lookup is queued while too many are
 * unfinished.  -EAGAIN: there is no thread.
 */
struct wr_lookup;
int wr_lookup_begin(struct wr_lookup **ret, const char *host, const char *port,
		    void (*notify)(void *arg), void *arg);
int wr_lookup_begin_name(struct wr_lookup **ret, const struct sockaddr *addr,
			 socklen_t len, void (*notify)(void *arg), void *arg);

bool wr_lookup_is_done(struct wr_lookup *l);

/* -EINPROGRESS; or the answer, after which the lookup is gone. */
int wr_lookup_take(struct wr_lookup *l, struct addrinfo **ret);
int wr_lookup_take_name(struct wr_lookup *l, char *name);

/* Give it up: notify is not called after this. */
void wr_lookup_leave(struct wr_lookup *l);

/* wr_lookup_host() of a number, which does not wait; -ENOENT: a name. */
int wr_lookup_number(struct addrinfo **ret, const char *host, const char *port);

/* The name of the host at addr, in NI_MAXHOST bytes.  -ENOENT: none. */
int wr_lookup_name(char *name, const struct sockaddr *addr, socklen_t len,
		   int64_t deadline_at);

#endif
