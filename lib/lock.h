/* SPDX-License-Identifier: MIT */
/*
 * A mutex and a condition variable on the monotonic clock, and a smaller lock.
 * A failing call is a bug and ends the program.  docs/THREADING.md has the lock
 * order.
 */
#ifndef WR_LOCK_H
#define WR_LOCK_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base.h"

struct wr_lock {
	pthread_mutex_t mutex;
};

struct wr_cond {
	pthread_cond_t cond;
};

/*
 * A lock of one word, free when it is zero.  While no thread waits, it costs
 * two atomic instructions, a tenth of the time of a mutex.
 */
struct wr_word_lock {
	_Atomic uint32_t word; /* WR_WORD_... */
};

enum { WR_WORD_FREE, WR_WORD_HELD, WR_WORD_WAITED_FOR };

int wr_lock_init(struct wr_lock *l);
void wr_lock_fini(struct wr_lock *l);
int wr_cond_init(struct wr_cond *c);
void wr_cond_fini(struct wr_cond *c);

static inline void wr_lock(struct wr_lock *l)
{
	int rc;

	WR_POINT();
	rc = pthread_mutex_lock(&l->mutex);
	wr_assert(rc == 0);
}

static inline bool wr_trylock(struct wr_lock *l)
{
	int rc;

	WR_POINT();
	rc = pthread_mutex_trylock(&l->mutex);
	wr_assert(rc == 0 || rc == EBUSY);
	return rc == 0;
}

static inline void wr_unlock(struct wr_lock *l)
{
	int rc = pthread_mutex_unlock(&l->mutex);

	wr_assert(rc == 0);
	WR_POINT();
}

/* The rest of wr_word_lock() and wr_word_unlock(). */
void wr_word_wait(struct wr_word_lock *l);
void wr_word_wake(struct wr_word_lock *l, uint32_t was);

static inline bool wr_word_trylock(struct wr_word_lock *l)
{
	uint32_t word = WR_WORD_FREE;
	bool is_mine;

	WR_POINT();
	is_mine = atomic_compare_exchange_strong_explicit(
		&l->word, &word, WR_WORD_HELD, memory_order_acquire,
		memory_order_relaxed);
	if (is_mine)
		WR_TAKES(l);
	return is_mine;
}

static inline void wr_word_lock(struct wr_word_lock *l)
{
	if (!wr_word_trylock(l))
		wr_word_wait(l);
}

static inline void wr_word_unlock(struct wr_word_lock *l)
{
	uint32_t was;

	WR_GIVES(l);
	was = atomic_exchange_explicit(&l->word, WR_WORD_FREE,
				       memory_order_release);
	if (was != WR_WORD_HELD)
		wr_word_wake(l, was);
	WR_POINT();
}

void wr_cond_signal(struct wr_cond *c);
void wr_cond_broadcast(struct wr_cond *c);

/* The caller holds l.  False: the time `at` has come. */
bool wr_cond_wait_until(struct wr_cond *c, struct wr_lock *l, int64_t at);

#endif
