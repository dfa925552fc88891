/* SPDX-License-Identifier: MIT */
/*
 * Closing one listener, or all of them in a stop, so that no connection that
 * the kernel has completed is lost.  The acceptor's thread, unless a function
 * says "any thread".
 */
#ifndef WR_FENCE_H
#define WR_FENCE_H

#include "accept.h"

/*
 * Any thread: have the listener closed.  The caller notifies the acceptor.
 * Returns 0; -ESHUTDOWN (a stop closes it); -EALREADY; -EINVAL (it is closed).
 */
int wr_fence_request(struct wr_accept *a, struct wr_endpoint *e);

/*
 * Any thread: a copy of the descriptor will accept, too.  So the listener will
 * be closed without a fence.  The descriptor, or as above.
 */
int wr_fence_share(struct wr_accept *a, struct wr_endpoint *e);

/* Any thread: no copy is left.  0, or as above. */
int wr_fence_own(struct wr_accept *a, struct wr_endpoint *e);

/* Have all listeners closed; none can be added from now on. */
void wr_fence_request_all(struct wr_accept *a);

void wr_fence_run(struct wr_accept *a);
int64_t wr_fence_next_at(const struct wr_accept *a);

#endif
