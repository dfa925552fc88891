/* SPDX-License-Identifier: MIT */
/*
 * Random numbers that a seed repeats: a counter put through a mixer, in the
 * manner of SplitMix64.
 */
#ifndef LOAD_RANDOM_H
#define LOAD_RANDOM_H

#include <math.h>
#include <stdint.h>

static inline uint64_t random_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	x *= UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static inline uint64_t random_next(uint64_t *state)
{
	*state += UINT64_C(0x9e3779b97f4a7c15);
	return random_mix(*state);
}

/* The time to the next of independent arrivals, of that mean. */
static inline double random_arrival(uint64_t *state, double mean)
{
	/* 53 bits, never 0 */
	double u = ((double)(random_next(state) >> 11) + 1) * 0x1p-53;

	return -log(u) * mean;
}

#endif
