/* SPDX-License-Identifier: MIT */
/*
 * Where the load is sent and from which addresses.  Constant after
 * target_resolve(); any thread.
 */
#ifndef LOAD_TARGET_H
#define LOAD_TARGET_H

#include <stddef.h>
#include <sys/socket.h>

#include "../measure/result.h"
#include "../plan.h"

struct endpoint {
	struct sockaddr_storage addr;
	socklen_t len;
};

struct target {
	const struct plan *plan;
	struct endpoint *to; /* used in rotation */
	size_t to_count;
	struct endpoint *from;
	size_t from_count;
	struct secure *secure; /* NULL: the connections are in clear */
	char text[128];
};

/*
 * Resolve within the connect timeout of the plan.  Of several addresses of a
 * name all are taken if the plan is spread, else the first that accepts a
 * connection.  Returns the exit status; target_fini() in any case.
 */
int target_resolve(struct target *ret, const struct plan *plan);

void target_fini(struct target *t);

static inline size_t target_place(const struct target *t, unsigned number)
{
	return number % t->to_count;
}

/*
 * Start connection number without blocking.  Returns the descriptor, with
 * *error 0 (connected) or EINPROGRESS; or -1 with *error an errno and *phase
 * where it failed.
 */
int target_connect(const struct target *t, unsigned number,
		   enum error_phase *phase, int *error);

/*
 * The result of connection number, which is in progress: 0 or an errno.  A
 * socket connected with itself counts as refused: nothing listens there.  The
 * PROXY header of the plan is sent.
 *
 * *rtt_ns: how long the handshake took, as the kernel measured it; 0 if it is
 * not known, or if segments had to be repeated.
 */
int target_connected(const struct target *t, unsigned number, int fd,
		     int64_t *rtt_ns);

#endif
