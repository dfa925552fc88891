/* SPDX-License-Identifier: MIT */
/*
 * Durations in nanoseconds, 1 ns to 1 h, to three significant digits, in
 * constant memory: slots of equal width within each doubling, as HdrHistogram
 * has them, so that its tools read what we write.
 *
 * Not locked: each thread records into its own, and they are added up.  One
 * whose bytes are all zero is empty, as calloc() has it: memory is taken for
 * the slots that are used.
 */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_DIGITS  3
#define HISTOGRAM_HIGHEST (3600 * INT64_C(1000000000))
#define HISTOGRAM_SLOTS	  33792

struct histogram {
	uint64_t total;
	uint64_t clamped; /* of these: above HISTOGRAM_HIGHEST, counted as it */
	int64_t min, max; /* exact; undefined while total is 0 */
	double sum;	  /* ns, for the mean */
	uint64_t counts[HISTOGRAM_SLOTS];
};

void histogram_clear(struct histogram *h);

/* Below 0 counts as 0. */
void histogram_record(struct histogram *h, int64_t ns);

/*
 * So many values of which only the bounds are known: they count as the upper
 * one, in the mean as their middle.
 */
void histogram_record_range(struct histogram *h, int64_t low, int64_t high,
			    uint64_t count);

/* to += from */
void histogram_add(struct histogram *to, const struct histogram *from);

/*
 * The least recorded value (its slot's upper end, at most max) that percent
 * of all are not above; 0 if there are none.
 */
int64_t histogram_percentile(const struct histogram *h, double percent);

/* Are there samples enough (ten beyond it) to show that percentile? */
int histogram_has_percentile(const struct histogram *h, double percent);

double histogram_mean(const struct histogram *h);
double histogram_deviation(const struct histogram *h);

/* Slot arithmetic, for those who write them down. */
size_t histogram_slot(int64_t ns);
int64_t histogram_slot_low(size_t slot);
int64_t histogram_slot_high(size_t slot);

#endif
