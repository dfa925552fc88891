/* SPDX-License-Identifier: MIT */
/*
 * The cycle of a connection on a worker: events, callback, verdict, and where
 * it goes from there.
 */
#ifndef WR_DISPATCH_H
#define WR_DISPATCH_H

#include "conn.h"

/*
 * Run a connection that the caller owns and has moved to WR_CONN_RUNNING, until
 * it is parked, queued, lingering or closed; it is not the caller's afterwards.
 * The events are added to those in the owner word.
 */
void wr_dispatch(struct wr_context *ctx, struct weir_conn *c, uint32_t events);

/* The same for one from the queue of accepted connections. */
void wr_dispatch_accepted(struct wr_context *ctx, struct weir_conn *c);

#endif
