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

/* Owner, when it is parked. */
void wr_session_note_park(struct weir_conn *c);

/*
 * After many others have run, what a switch to a stack touches is no longer in
 * the cache: the coroutine, and the frames around the pause.  Each miss would
 * wait for the one before, so all are fetched ahead.
 *
 * A hint tells where they are, as the stack itself may be gone.  It is the
 * address of the coroutine; the bits that are 0 by its alignment count the
 * units from there down to the frame.
 */
#define WR_HINT_UNIT 256

/* Any thread, when the connection, if any, may be resumed soon. */
static inline void wr_session_fetch_stack(const struct weir_conn *c)
{
	uintptr_t hint =
		c ? atomic_load_explicit(&c->stack_hint, memory_order_relaxed)
		  : 0;
	const char *co, *frame;

	if (hint == 0)
		return;
	co = (const char *)(hint & ~(uintptr_t)(WR_CACHE_LINE - 1));
	frame = co - hint % WR_CACHE_LINE * WR_HINT_UNIT;
	for (int i = 0; i < 2; i++)
		__builtin_prefetch(co + i * WR_CACHE_LINE, 1);
	for (int i = -12; i < 12; i++)
		__builtin_prefetch(frame + i * WR_CACHE_LINE, 1);
}

/* The same, some time before: the connection, with the hint. */
static inline void wr_session_fetch_conn(const struct weir_conn *c)
{
	for (size_t at = 0; c && at < sizeof(*c); at += WR_CACHE_LINE)
		__builtin_prefetch((const char *)c + at, 1);
}

/* Owner, of one whose wait is over: let others run, then give it the result. */
void wr_session_defer(struct weir_conn *c, int rc);

/* Owner, of one that waits, with its events noted: what it does next. */
enum wr_session_step wr_session_next(struct weir_conn *c, int *rc);

/* Owner, before it is parked: the time of its next check. */
int64_t wr_session_due_at(struct weir_conn *c);

#endif
