/* SPDX-License-Identifier: MIT */
/* A handler on a stack of its own: when it runs and when it is parked. */
#ifndef WR_SESSION_H
#define WR_SESSION_H

#include "conn.h"

enum wr_session_step {
	WR_SESSION_RESUME,
	WR_SESSION_PARK,
	WR_SESSION_AGAIN /* output is left; let others run */
};

/* Owner: give it a stack; c->call.why tells the handler.  -ENOMEM. */
int wr_session_begin(struct weir_conn *c);

/*
 * Owner: run it until it waits or returns.  rc is the result of the wait it is
 * in.  True: it has returned its verdict, and its stack is given back.
 */
bool wr_session_resume(struct weir_conn *c, int rc, int *verdict);

/* Owner, of one whose wait is over: let others run, then give it the result. */
void wr_session_defer(struct weir_conn *c, int rc);

/* Owner, of one that waits, with its events noted: what it does next. */
enum wr_session_step wr_session_next(struct weir_conn *c, int *rc);

/* Owner, before it is parked: the time of its next check. */
int64_t wr_session_due_at(struct weir_conn *c);

#endif
