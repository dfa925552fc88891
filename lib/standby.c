/* SPDX-License-Identifier: MIT */
/*
 * A counted call: one that comes between the caller's look at the others and
 * its sleep is kept until it is answered, by whoever waits.
 */
#include "standby.h"

#include "clock.h"

int wr_standby_init(struct wr_standby *s)
{
	int rc;

	*s = (struct wr_standby){ .calls = 0 };
	rc = wr_lock_init(&s->lock);
	if (rc < 0)
		return rc;
	rc = wr_cond_init(&s->called);
	if (rc < 0)
		wr_lock_fini(&s->lock);
	return rc;
}

void wr_standby_fini(struct wr_standby *s)
{
	wr_cond_fini(&s->called);
	wr_lock_fini(&s->lock);
}

void wr_standby_wait(struct wr_standby *s, const _Atomic int *others)
{
	wr_lock(&s->lock);
	atomic_fetch_add(&s->waiting, 1);
	if (atomic_load(others) > 0) {
		while (s->calls == 0 && !s->is_over)
			(void)wr_cond_wait_until(&s->called, &s->lock,
						 WR_NEVER_AT);
		if (s->calls > 0)
			s->calls--;
	}
	atomic_fetch_sub(&s->waiting, 1);
	if (s->calls > atomic_load(&s->waiting))
		s->calls--; /* the call was for the one that leaves */
	wr_unlock(&s->lock);
}

void wr_standby_call(struct wr_standby *s)
{
	if (wr_standby_waiting(s) == 0)
		return;
	wr_lock(&s->lock);
	if (s->calls < atomic_load(&s->waiting)) {
		s->calls++;
		wr_cond_signal(&s->called);
	}
	wr_unlock(&s->lock);
}

void wr_standby_end(struct wr_standby *s)
{
	wr_lock(&s->lock);
	s->is_over = true;
	wr_cond_broadcast(&s->called);
	wr_unlock(&s->lock);
}
