/* SPDX-License-Identifier: MIT */
/*
 * Delays threads at every point where they meet: locks, owner words, batches,
 * wake-ups and system calls of the library, in the test build.  A thread yields
 * or sleeps for a microsecond to two milliseconds, mostly short; a tenth of the
 * threads is slowed down throughout.
 *
 * A seed decides which threads are slow and what each does at its first, second
 * ... point.
 */
#ifndef TESTS_LONG_YIELD_INJECTION_H
#define TESTS_LONG_YIELD_INJECTION_H

/* Call once, while no server runs. */
void yield_injection_install(void);

/* Use this seed from now on; while there is no other thread. */
void yield_injection_seed(unsigned long seed);

/* A thread is delayed at one point in that many. */
void yield_injection_interval(unsigned points);

/* A point in a thread of the test. */
void maybe_yield(void);

/* 0 to sides - 1: the next number of this thread. */
unsigned prng(unsigned sides);

#endif
