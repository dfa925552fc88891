/* SPDX-License-Identifier: MIT */
/* The parts of lock.h that are not inlined.  Any thread. */
#include "lock.h"

#include <errno.h>

#include "clock.h"
#include "sys.h"

int wr_lock_init(struct wr_lock *l)
{
	return wr_sys_mutex_init(&l->mutex);
}

void wr_lock_fini(struct wr_lock *l)
{
	int rc = pthread_mutex_destroy(&l->mutex);

	wr_assert(rc == 0);
}

int wr_cond_init(struct wr_cond *c)
{
	return wr_sys_cond_init(&c->cond);
}

void wr_cond_fini(struct wr_cond *c)
{
	int rc = pthread_cond_destroy(&c->cond);

	wr_assert(rc == 0);
}

void wr_cond_signal(struct wr_cond *c)
{
	int rc = pthread_cond_signal(&c->cond);

	wr_assert(rc == 0);
}

void wr_cond_broadcast(struct wr_cond *c)
{
	int rc = pthread_cond_broadcast(&c->cond);

	wr_assert(rc == 0);
}

bool wr_cond_wait_until(struct wr_cond *c, struct wr_lock *l, int64_t at)
{
	struct timespec ts;
	int rc;

	if (at == WR_NEVER_AT) {
		rc = pthread_cond_wait(&c->cond, &l->mutex);
	} else {
		if (at < 0)
			at = 0;
		ts.tv_sec = (time_t)(at / (1000 * WR_NS_PER_MS));
		ts.tv_nsec = (long)(at % (1000 * WR_NS_PER_MS));
		rc = pthread_cond_timedwait(&c->cond, &l->mutex, &ts);
	}
	wr_assert(rc == 0 || rc == ETIMEDOUT);
	return rc == 0;
}

/*
 * WR_WORD_WAITED_FOR stays until the lock is free, so no waiter is forgotten: a
 * thread that has slept takes the lock in that state, since others may sleep.
 */
void wr_word_wait(struct wr_word_lock *l)
{
	while (atomic_exchange_explicit(&l->word, WR_WORD_WAITED_FOR,
					memory_order_acquire) != WR_WORD_FREE)
		wr_sys_futex_wait(&l->word, WR_WORD_WAITED_FOR);
	WR_TAKES(l);
}

/* The memory of the lock may be freed by now: then the call wakes in vain. */
void wr_word_wake(struct wr_word_lock *l, uint32_t was)
{
	wr_assert(was == WR_WORD_WAITED_FOR);
	wr_sys_futex_wake(&l->word);
}
