/* SPDX-License-Identifier: MIT */
/*
 * Stacks of one size for coroutines, each with a guard page below it.  The pool
 * shrinks to the number in use, but not below WR_STACKS_KEPT.
 */
#ifndef WR_STACKS_H
#define WR_STACKS_H

#include <stdatomic.h>

#include "coroutine.h"
#include "lock.h"

struct wr_stack;

struct wr_stacks {
	struct wr_stacks *next; /* c: of another size */
	size_t size;		/* c: bytes for the coroutine */
	struct wr_lock lock;
	struct wr_stack *pool;	/* l */
	size_t pooled, in_use;	/* l */
	_Atomic size_t deepest; /* bytes used of a stack, in whole pages */
};

struct wr_stacks_sum {
	size_t in_use, pooled, deepest;
};

/* The stacks of this size in *list, made if they are new.  NULL: no memory. */
struct wr_stacks *wr_stacks_of(struct wr_stacks **list, size_t size);
void wr_stacks_fini(struct wr_stacks **list);

/* Any thread.  NULL: no memory. */
struct wr_coro *wr_stacks_take(struct wr_stacks *s);
void wr_stacks_give(struct wr_stacks *s, struct wr_coro *co);

/* Any thread. */
struct wr_stacks_sum wr_stacks_count(struct wr_stacks *list);

/* Signal handler: the address is in the guard page of this coroutine. */
bool wr_stacks_is_guard(const struct wr_coro *co, const void *address);

#endif
