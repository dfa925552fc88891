/* SPDX-License-Identifier: MIT */
/*
 * Values below 2 * HALF have a slot each.  Above, each doubling is divided
 * into HALF slots, so that a slot is no wider than 1/1024 of its values.
 *
 * Only the slots between the least and the greatest value are ever visited.
 */
#include "histogram.h"

#include <math.h>
#include <string.h>

#define HALF_BITS HISTOGRAM_HALF_BITS
#define HALF	  (1u << HALF_BITS)

static unsigned slot_shift(size_t slot)
{
	return slot < (size_t)2 * HALF ? 0 : (unsigned)(slot >> HALF_BITS) - 1;
}

int64_t histogram_slot_low(size_t slot)
{
	unsigned shift = slot_shift(slot);

	return (int64_t)(slot - ((size_t)shift << HALF_BITS)) << shift;
}

int64_t histogram_slot_high(size_t slot)
{
	return histogram_slot_low(slot) + (INT64_C(1) << slot_shift(slot)) - 1;
}

void histogram_clear(struct histogram *h)
{
	if (h->total > 0) {
		size_t first = histogram_slot(h->min);
		size_t end = histogram_slot(h->max) + 1;

		memset(h->counts + first, 0,
		       (end - first) * sizeof(h->counts[0]));
	}
	h->total = 0;
	h->clamped = 0;
	h->sum = 0;
}

void histogram_record_range(struct histogram *h, int64_t low, int64_t high,
			    uint64_t count)
{
	if (count == 0)
		return;
	if (low > HISTOGRAM_HIGHEST) {
		low = HISTOGRAM_HIGHEST;
		h->clamped += count;
	}
	if (high > HISTOGRAM_HIGHEST)
		high = HISTOGRAM_HIGHEST;
	histogram_widen(h, low, high);
	h->counts[histogram_slot(high)] += count;
	h->total += count;
	h->sum += (double)count * ((double)low + (double)high) / 2;
}

void histogram_add(struct histogram *to, const struct histogram *from)
{
	size_t end;

	if (from->total == 0)
		return;
	histogram_widen(to, from->min, from->max);
	end = histogram_slot(from->max) + 1;
	for (size_t i = histogram_slot(from->min); i < end; i++)
		to->counts[i] += from->counts[i];
	to->total += from->total;
	to->clamped += from->clamped;
	to->sum += from->sum;
}

/* How many samples, in order, make up percent of all. */
static uint64_t rank_of(const struct histogram *h, double percent)
{
	double exact;

	/*
	 * nextafter() makes 99.9 % of 10,000 be 9,990 whatever the last bit of
	 * the product is.
	 */
	exact = ceil(nextafter(percent, 0) / 100 * (double)h->total);
	if (exact < 1)
		return 1;
	return exact < (double)h->total ? (uint64_t)exact : h->total;
}

int64_t histogram_percentile(const struct histogram *h, double percent)
{
	uint64_t left;
	size_t slot;
	int64_t high;

	if (h->total == 0)
		return 0;
	if (percent <= 0)
		return h->min;
	left = rank_of(h, percent);
	slot = histogram_slot(h->min);
	while (h->counts[slot] < left)
		left -= h->counts[slot++];
	high = histogram_slot_high(slot);
	return high < h->max ? high : h->max;
}

uint64_t histogram_above(const struct histogram *h, int64_t ns)
{
	uint64_t count = 0;

	if (h->total == 0 || ns >= h->max)
		return 0;
	for (size_t i = histogram_slot(h->max);
	     i > histogram_slot(ns > 0 ? ns : 0); i--)
		count += h->counts[i];
	return count;
}

int histogram_has_percentile(const struct histogram *h, double percent)
{
	return h->total > 0 && h->total - rank_of(h, percent) >= 10;
}

double histogram_mean(const struct histogram *h)
{
	return h->total > 0 ? h->sum / (double)h->total : 0;
}

double histogram_deviation(const struct histogram *h)
{
	double mean = histogram_mean(h), squares = 0;
	size_t end;

	if (h->total == 0)
		return 0;
	end = histogram_slot(h->max) + 1;
	for (size_t i = histogram_slot(h->min); i < end; i++) {
		double width = (double)(INT64_C(1) << slot_shift(i));
		double off =
			(double)histogram_slot_low(i) + (width - 1) / 2 - mean;

		squares += (double)h->counts[i] * off * off;
	}
	return sqrt(squares / (double)h->total);
}
