/* SPDX-License-Identifier: MIT */
/*
 * Counts of durations in nanoseconds, 128 cells for each doubling: percentiles
 * are accurate to 1 %.  One thread only.
 */
#ifndef HIST_H
#define HIST_H

#include <stdint.h>

#define HIST_BITS 7
#define HIST_SIZE ((64 - HIST_BITS + 1) << HIST_BITS)

struct hist {
	uint64_t count, sum, max;
	uint64_t cells[HIST_SIZE];
};

static inline unsigned hist_cell(uint64_t ns)
{
	unsigned shift;

	if (ns < 1 << (HIST_BITS + 1))
		return (unsigned)ns;
	shift = 63 - (unsigned)__builtin_clzll(ns) - HIST_BITS;
	return (shift << HIST_BITS) + (unsigned)(ns >> shift);
}

static inline void hist_add(struct hist *h, uint64_t ns)
{
	h->cells[hist_cell(ns)]++;
	h->count++;
	h->sum += ns;
	if (ns > h->max)
		h->max = ns;
}

/* The percentile, as the middle of its cell. */
static inline uint64_t hist_at(const struct hist *h, double part)
{
	uint64_t rank = (uint64_t)((double)h->count * part), seen = 0;

	for (unsigned i = 0; i < HIST_SIZE; i++) {
		unsigned shift = i >> HIST_BITS;

		seen += h->cells[i];
		if (seen <= rank)
			continue;
		if (shift < 2)
			return i;
		shift--;
		return ((uint64_t)(i - (shift << HIST_BITS)) << shift) +
		       (UINT64_C(1) << shift) / 2;
	}
	return h->max;
}

#endif
