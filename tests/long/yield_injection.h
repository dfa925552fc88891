/* SPDX-License-Identifier: MIT */
/*
 * Threads disturbed at every point where they meet: locks, turn words,
 * batches, bells and system calls of the library, in the build of it that asks
 * there.  They yield, or sleep for a microsecond to two milliseconds, mostly
 * short; a tenth of the threads is slowed down throughout.
 *
 * A seed decides which threads are slow and what each does at its first,
 * second ... point.
 */
#ifndef TESTS_LONG_YIELD_INJECTION_H
#define TESTS_LONG_YIELD_INJECTION_H

/* Once, while no server runs: from now on the library asks us. */
void yield_injection_install(void);

/* What comes from here on has this seed; while there is no other thread. */
void yield_injection_seed(unsigned long seed);

/* At one point in so many something happens. */
void yield_injection_interval(unsigned points);

/* Maybe now, for this thread; to be called by the test's own threads. */
void maybe_yield(void);

/* 0 to sides - 1: this thread's next throw. */
unsigned prng(unsigned sides);

#endif
