/* SPDX-License-Identifier: MIT */
/* Running a connection on a worker: events, callback, verdict, next place. */
#ifndef WR_DISPATCH_H
#define WR_DISPATCH_H

#include "conn.h"

/*
 * c is RUNNING and owned; the caller does not own it afterwards.  The events
 * are added to those in the owner word.
 */
void wr_dispatch(struct wr_context *ctx, struct weir_conn *c, uint32_t events);

/* The same for an accepted connection; it is refused if it is too old. */
void wr_dispatch_accepted(struct wr_context *ctx, struct weir_conn *c);

/* Refuse an accepted connection that has waited too long. */
void wr_dispatch_too_old(struct wr_context *ctx, struct weir_conn *c);

#endif
