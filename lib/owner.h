/* SPDX-License-Identifier: MIT */
/*
 * The owner word of a connection: one atomic word that decides which thread
 * runs it, and holds its pending events.
 *
 *	bits 63..32  generation of the slot; an event of another one is stale
 *	bit  31      WR_OWNED: a thread owns the connection
 *	bits 7..0    WR_EV_...: pending events, not fetched by the owner yet
 *
 * "One runs, none is lost": the thread that sets WR_OWNED on a word that had it
 * clear owns the connection.  It releases the connection only by replacing
 * exactly "owned, no events" with "free".  An event that is posted earlier
 * makes that fail, and the owner goes on.  One that is posted later finds the
 * word free, and its poster becomes the owner.  So exactly one thread runs a
 * connection at a time, and after each event a thread looks at the connection
 * once more.
 *
 * A free word has no pending events, so there is exactly one value of the word
 * to claim, and exactly one to release.
 *
 * Posting and fetching are sequentially consistent, because a worker that waits
 * inside a session says so in another word (see "why no wake-up is lost" in
 * conn_output.c).  A release is acquired by the next post or claim, so that a
 * new owner sees all that the last one wrote.  This also makes the hand-over
 * through epoll correct by the C memory model, which knows nothing of epoll.
 */
#ifndef WR_OWNER_H
#define WR_OWNER_H

#include <stdatomic.h>

#include "base.h"

enum {
	WR_EV_IN = 1 << 0, /* input has come */
	WR_EV_OUT =
		1 << 1, /* the kernel takes output again, or there is some */
	WR_EV_HUP = 1 << 2,	 /* end of input, error or urgent data */
	WR_EV_WAKE = 1 << 3,	 /* weir_ref_wake() */
	WR_EV_CLOSE = 1 << 4,	 /* weir_ref_close() */
	WR_EV_CANCEL = 1 << 5,	 /* weir_ref_cancel(), or the stop's deadline */
	WR_EV_DRAIN = 1 << 6,	 /* the server stops */
	WR_EV_DEADLINE = 1 << 7, /* a deadline may have passed */
	WR_EV_ALL = 0xff
};

#define WR_OWNED (UINT64_C(1) << 31)

/* Generations stay below this, so that a key's highest bit is free. */
#define WR_GENERATIONS (UINT32_C(1) << 31)

typedef _Atomic uint64_t wr_owner;

static inline uint32_t wr_owner_generation(const wr_owner *t)
{
	return (uint32_t)(atomic_load_explicit(t, memory_order_relaxed) >> 32);
}

/* A slot gets a new generation; it is owned before and after. */
static inline void wr_owner_begin(wr_owner *t, uint32_t generation)
{
	WR_GIVES(t);
	atomic_store_explicit(t, (uint64_t)generation << 32 | WR_OWNED,
			      memory_order_release);
}

/* Add pending events.  True: nobody owned the connection; the caller does. */
static inline bool wr_owner_post(wr_owner *t, uint32_t generation,
				 uint32_t reports)
{
	uint64_t old = atomic_load_explicit(t, memory_order_relaxed);

	WR_POINT();
	WR_GIVES(t);
	do {
		if ((uint32_t)(old >> 32) != generation)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		t, &old, old | reports | WR_OWNED, memory_order_seq_cst,
		memory_order_relaxed));
	WR_TAKES(t);
	WR_POINT();
	return (old & WR_OWNED) == 0;
}

/*
 * Own the connection if nobody does.  The caller acts on its events itself:
 * this is to post and to fetch in one step.
 */
static inline bool wr_owner_claim(wr_owner *t, uint32_t generation)
{
	uint64_t free_word = (uint64_t)generation << 32;
	bool is_mine;

	WR_POINT();
	is_mine = atomic_compare_exchange_strong_explicit(
		t, &free_word, free_word | WR_OWNED, memory_order_acquire,
		memory_order_relaxed);
	WR_TAKES(t);
	return is_mine;
}

/* Owner: take the pending events. */
static inline uint32_t wr_owner_fetch(wr_owner *t)
{
	uint64_t old = atomic_fetch_and_explicit(t, ~(uint64_t)WR_EV_ALL,
						 memory_order_seq_cst);

	WR_TAKES(t);
	return (uint32_t)old & WR_EV_ALL;
}

/* Owner: the pending events, which stay pending. */
static inline uint32_t wr_owner_peek(const wr_owner *t)
{
	return (uint32_t)atomic_load_explicit(t, memory_order_acquire) &
	       WR_EV_ALL;
}

/* Owner: give the connection up.  False: an event is pending, still owned. */
static inline bool wr_owner_release(wr_owner *t)
{
	uint64_t free_word = (uint64_t)wr_owner_generation(t) << 32;
	uint64_t busy_word = free_word | WR_OWNED;

	WR_POINT();
	WR_GIVES(t);
	return atomic_compare_exchange_strong_explicit(t, &busy_word, free_word,
						       memory_order_release,
						       memory_order_relaxed);
}

#endif
