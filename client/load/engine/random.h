/* SPDX-License-Identifier: MIT */
/*
 * Random numbers that a seed reproduces: a counter and a mixer, as in
 * SplitMix64.
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

/* In (0, 1], 53 bits. */
static inline double random_unit(uint64_t *state)
{
	return ((double)(random_next(state) >> 11) + 1) * 0x1p-53;
}

/* The time to the next of independent arrivals with that mean. */
static inline double random_arrival(uint64_t *state, double mean)
{
	return -log(random_unit(state)) * mean;
}

/* The time to the first of count arrivals at random instants of that time. */
static inline double random_first(uint64_t *state, double count, double time)
{
	return (1 - pow(random_unit(state), 1 / count)) * time;
}

#endif
