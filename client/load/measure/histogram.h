/* SPDX-License-Identifier: MIT */
/*
 * Durations in ns, from 1 ns to 1 h with three significant digits, in constant
 * memory.  Slots are those of HdrHistogram, so that its tools can read them.
 *
 * Not locked: each thread has its own, and they are added up.  All zero bytes
 * are an empty histogram; calloc() takes memory only for the slots in use.
 */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_DIGITS  3
#define HISTOGRAM_HIGHEST (3600 * INT64_C(1000000000))
#define HISTOGRAM_SLOTS	  33792

/* Slots of a doubling; smaller values have a slot each. */
#define HISTOGRAM_HALF_BITS 10

struct histogram {
	uint64_t total;
	uint64_t clamped; /* of these, above HISTOGRAM_HIGHEST */
	int64_t min, max; /* exact; undefined while total is 0 */
	double sum;	  /* ns, for the mean */
	uint64_t counts[HISTOGRAM_SLOTS];
};

void histogram_clear(struct histogram *h);

/*
 * Values of which only the bounds are known: they count as the upper one, in
 * the mean as their middle.
 */
void histogram_record_range(struct histogram *h, int64_t low, int64_t high,
			    uint64_t count);

void histogram_add(struct histogram *to, const struct histogram *from);

/*
 * The least value that at least percent of the samples do not exceed: the upper
 * end of its slot, but at most max; 0 without samples.
 */
int64_t histogram_percentile(const struct histogram *h, double percent);

/* How many samples are in slots above that of ns? */
uint64_t histogram_above(const struct histogram *h, int64_t ns);

/* Are there enough samples (ten above it) to show that percentile? */
int histogram_has_percentile(const struct histogram *h, double percent);

double histogram_mean(const struct histogram *h);
double histogram_deviation(const struct histogram *h);

int64_t histogram_slot_low(size_t slot);
int64_t histogram_slot_high(size_t slot);

static inline size_t histogram_slot(int64_t ns)
{
	uint64_t value = (uint64_t)ns;
	unsigned bits = HISTOGRAM_HALF_BITS;
	/* slots are 1 << shift wide */
	unsigned shift = 63 -
			 (unsigned)__builtin_clzll(value | ((2u << bits) - 1)) -
			 bits;

	return ((size_t)shift << bits) + (size_t)(value >> shift);
}

static inline void histogram_widen(struct histogram *h, int64_t low,
				   int64_t high)
{
	if (h->total == 0 || low < h->min)
		h->min = low;
	if (h->total == 0 || high > h->max)
		h->max = high;
}

/* Negative values count as 0.  Inline: each message does it. */
static inline void histogram_record_many(struct histogram *h, int64_t ns,
					 uint64_t count)
{
	if (ns < 0) {
		ns = 0;
	} else if (ns > HISTOGRAM_HIGHEST) {
		ns = HISTOGRAM_HIGHEST;
		h->clamped += count;
	}
	histogram_widen(h, ns, ns);
	h->counts[histogram_slot(ns)] += count;
	h->total += count;
	h->sum += (double)ns * (double)count;
}

static inline void histogram_record(struct histogram *h, int64_t ns)
{
	histogram_record_many(h, ns, 1);
}

#endif
