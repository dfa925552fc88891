/* SPDX-License-Identifier: MIT */
/*
 * Each thread has a generator of its own, seeded with the seed and its name, so
 * that it does not depend on how other threads are scheduled.  Any thread.
 * The thread of a look-up that was given up may outlive its seed.
 */
#include "yield_injection.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <time.h>

#include "sys.h"

static atomic_ulong seed;
static _Atomic unsigned rarity = 1;
static _Atomic unsigned seeds; /* so far */

static _Thread_local struct {
	unsigned met; /* number of the seed in use */
	uint64_t state;
	bool is_slow;
	long to_sleep; /* ns that this thread may still sleep */
} mine;

static uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* A thread has the same name in each run of a seed. */
static void meet(unsigned number)
{
	char name[16] = "";

	prctl(PR_GET_NAME, name);
	mine.met = number;
	mine.state = mix(atomic_load(&seed));
	for (size_t i = 0; i < sizeof(name) && name[i]; i++)
		mine.state = mix(mine.state ^ (unsigned char)name[i]);
	mine.is_slow = mine.state % 10 == 0;
	mine.to_sleep = 4000000;
	prctl(PR_SET_TIMERSLACK, 1UL);
}

void yield_injection_seed(unsigned long next)
{
	atomic_store(&seed, next);
	meet(atomic_fetch_add(&seeds, 1) + 1);
}

void yield_injection_interval(unsigned points)
{
	atomic_store(&rarity, points);
}

unsigned prng(unsigned sides)
{
	mine.state = mix(mine.state);
	return (unsigned)((mine.state >> 32) % sides);
}

static void sleep_for(long ns)
{
	struct timespec ts = { .tv_nsec = ns };

	mine.to_sleep -= ns;
	if (mine.to_sleep > 0)
		nanosleep(&ts, NULL);
}

void maybe_yield(void)
{
	unsigned number = atomic_load(&seeds), what;

	if (mine.met != number)
		meet(number);
	if (mine.is_slow && prng(2))
		sleep_for(20000 + prng(80000));
	if (prng(atomic_load(&rarity)))
		return;
	what = prng(1000);
	if (what < 600)
		sched_yield();
	else if (what < 950)
		sleep_for(1000 + prng(50000));
	else if (what < 995)
		sleep_for(50000 + prng(250000));
	else
		sleep_for(300000 + prng(1700000));
}

static int before_call(enum wr_sys_call call, size_t *len)
{
	int saved = errno;

	(void)call, (void)len;
	maybe_yield();
	errno = saved;
	return 0;
}

static void at_point(const char *function)
{
	int saved = errno;

	(void)function;
	maybe_yield();
	errno = saved;
}

void yield_injection_install(void)
{
	wr_sys_fault = before_call;
	wr_point_hook = at_point;
}
