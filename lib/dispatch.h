/* SPDX-License-Identifier: MIT */
/*
 * The cycle of a connection on a worker: reports, callback, verdict, and
 * where it goes from there.
 */
#ifndef WR_DISPATCH_H
#define WR_DISPATCH_H

#include "conn.h"

/*
 * Run a connection the caller owns and has moved to WR_CONN_RUNNING, until it
 * is parked, queued behind others, lingering or over.  It is not the caller's
 * afterwards.  The reports are besides those in the turn word.
 */
void wr_dispatch(struct wr_context *ctx, struct weir_conn *c, uint32_t reports);

/* The same for one that comes out of the queue of new ones. */
void wr_dispatch_accepted(struct wr_context *ctx, struct weir_conn *c);

#endif
