/* SPDX-License-Identifier: MIT */
/*
 * The events a worker has taken from the poller and not yet run, where the
 * other workers can take them too: a callback that does not return never
 * holds back what came in the same batch.
 *
 * One word says which batch it is, how many events it has and how many are
 * taken; taking one is a compare-and-swap on it.  The owner refills only when
 * all are taken, and with a new number: a thief that read an event of an old
 * batch fails to swap and forgets it.  The events are relaxed atomics for
 * that reason; the word is released when it is filled and acquired before an
 * event is read.
 */
#ifndef WR_BATCH_H
#define WR_BATCH_H

#include <stdatomic.h>

#include "poller.h"

struct wr_batch {
	_Atomic uint64_t word; /* number:32 | taken:16 | len:16 */
	_Atomic uint64_t key[WR_POLL_BATCH];
	_Atomic unsigned what[WR_POLL_BATCH];
};

static inline bool wr_batch_is_empty(const struct wr_batch *b)
{
	uint64_t word = atomic_load(&b->word);

	return (word >> 16 & 0xffff) == (word & 0xffff);
}

/* Any thread: take one event; false if none is left. */
static inline bool wr_batch_take(struct wr_batch *b, struct wr_event *ret)
{
	uint64_t word = atomic_load(&b->word);

	for (;;) {
		uint64_t taken = word >> 16 & 0xffff;

		if (taken == (word & 0xffff))
			return false;
		ret->key = atomic_load_explicit(&b->key[taken],
						memory_order_relaxed);
		ret->what = atomic_load_explicit(&b->what[taken],
						 memory_order_relaxed);
		WR_POINT();
		if (atomic_compare_exchange_weak(&b->word, &word,
						 word + (1 << 16))) {
			WR_TAKES(b);
			return true;
		}
	}
}

/* Owner, of an empty batch: publish n events. */
static inline void wr_batch_fill(struct wr_batch *b, const struct wr_event *ev,
				 int n)
{
	uint64_t number =
		atomic_load_explicit(&b->word, memory_order_relaxed) >> 32;

	for (int i = 0; i < n; i++) {
		atomic_store_explicit(&b->key[i], ev[i].key,
				      memory_order_relaxed);
		atomic_store_explicit(&b->what[i], ev[i].what,
				      memory_order_relaxed);
	}
	WR_GIVES(b);
	atomic_store(&b->word, (number + 1) << 32 | (uint64_t)n);
}

#endif
