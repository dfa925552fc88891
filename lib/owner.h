/* SPDX-License-Identifier: MIT */
/*
 * The owner word of a connection: one atomic that decides which thread runs the
 * connection, and holds its pending events.
 *
 *	bits 63..32  generation of the slot; events for another are stale
 *	bit  31      WR_OWNED: a thread owns the connection
 *	bits 11..0   WR_EV_...: pending; none while the word is free
 *
 * "One runs, none is lost": the thread that sets WR_OWNED on a word where it
 * was clear becomes the owner.  The owner releases by replacing exactly "owned,
 * no events" with "free".  An event posted before that makes the release fail,
 * and the owner continues; one posted after it makes the poster the owner.
 *
 * Post and fetch are sequentially consistent, because a waiting session
 * publishes its wait in another word (see "a waiting session is woken" in
 * conn_input.c).  A release is acquired by the next post or claim: a new owner
 * sees all that the last one wrote.  The handover through epoll relies on this
 * too, since the C memory model does not know epoll.
 */
#ifndef WR_OWNER_H
#define WR_OWNER_H

#include <stdatomic.h>

#include "base.h"

enum {
	WR_EV_IN = 1 << 0,
	WR_EV_OUT = 1 << 1,	   /* room for output, or new output */
	WR_EV_HUP = 1 << 2,	   /* end of input, error or urgent data */
	WR_EV_WAKE = 1 << 3,	   /* weir_ref_wake() */
	WR_EV_CLOSE = 1 << 4,	   /* weir_ref_close() */
	WR_EV_CANCEL = 1 << 5,	   /* weir_ref_cancel(), or a stop's deadline */
	WR_EV_DRAIN = 1 << 6,	   /* the server stops */
	WR_EV_DEADLINE = 1 << 7,   /* deadline check */
	WR_EV_TIMER = 1 << 8,	   /* not in the word: for the owner alone */
	WR_EV_ROOM = 1 << 9,	   /* weir_ref_want_room() */
	WR_EV_OTHER = 1 << 10,	   /* of what it waits for besides its peer */
	WR_EV_OTHER_HUP = 1 << 11, /* with OTHER: what HUP is for the peer */
	WR_EV_ALL = 0xeff
};

#define WR_OWNED (UINT64_C(1) << 31)

/* Leaves the highest bit of a key free. */
#define WR_GENERATIONS (UINT32_C(1) << 31)

typedef _Atomic uint64_t wr_owner;

static inline uint32_t wr_owner_generation(const wr_owner *t)
{
	return (uint32_t)(atomic_load_explicit(t, memory_order_relaxed) >> 32);
}

/* Start a generation of a slot; the word is owned before and after. */
static inline void wr_owner_begin(wr_owner *t, uint32_t generation)
{
	WR_GIVES(t);
	atomic_store_explicit(t, (uint64_t)generation << 32 | WR_OWNED,
			      memory_order_release);
}

/* Post events; true: the caller is the owner now. */
static inline bool wr_owner_post(wr_owner *t, uint32_t generation,
				 uint32_t events)
{
	uint64_t old = atomic_load_explicit(t, memory_order_relaxed);

	WR_POINT();
	WR_GIVES(t);
	do {
		if ((uint32_t)(old >> 32) != generation)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		t, &old, old | events | WR_OWNED, memory_order_seq_cst,
		memory_order_relaxed));
	WR_TAKES(t);
	WR_POINT();
	return (old & WR_OWNED) == 0;
}

/* Own the connection if it is free: post and fetch in one step. */
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

static inline uint32_t wr_owner_peek(const wr_owner *t)
{
	return (uint32_t)atomic_load_explicit(t, memory_order_acquire) &
	       WR_EV_ALL;
}

/* Owner: give up ownership; false: an event came, you still own it. */
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
