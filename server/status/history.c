/* SPDX-License-Identifier: MIT */
/*
 * A ring of samples, each a row of figures; JSON has them as columns.
 */
#include "history.h"

#include <string.h>

/* name in the JSON, value from the snapshots a and b, s seconds apart */
/* clang-format off */
#define FIGURES(X)                                                             \
	X(t, (double)at_ms / 1e3)                                              \
	X(accepted, RATE(ledger.accepted))                                     \
	X(ended, RATE(ledger.closed))                                          \
	X(refused, RATE(ledger.refused))                                       \
	X(failed, RATE(ledger.failed) + RATE(ledger.timed_out) + RATE(ledger.cut)) \
	X(callbacks, RATE(callbacks))                                          \
	X(bytes_in, RATE(bytes_in))                                            \
	X(bytes_out, RATE(bytes_out))                                          \
	X(open, (double)b->ledger.open)                                        \
	X(queued, (double)b->queued)                                           \
	X(busy, (double)b->busy)                                               \
	X(queue_p50, history_quantile(a->queue_wait, b->queue_wait, 0.50))     \
	X(queue_p99, history_quantile(a->queue_wait, b->queue_wait, 0.99))     \
	X(callback_p50, history_quantile(a->callback_time, b->callback_time, 0.50)) \
	X(callback_p99, history_quantile(a->callback_time, b->callback_time, 0.99))
/* clang-format on */

struct sample {
#define FIELD(name, value) double name;
	FIGURES(FIELD)
#undef FIELD
};

static struct sample samples[HISTORY_COUNT];
static uint64_t last; /* the number of the last sample; 0: none */
static struct weir_stats before;
static int64_t before_ms;

double history_quantile(const uint64_t a[WEIR_BUCKETS],
			const uint64_t b[WEIR_BUCKETS], double share)
{
	double count = 0, below = 0;
	int i;

	for (i = 0; i < WEIR_BUCKETS; i++)
		count += (double)(b[i] - a[i]);
	if (count <= 0)
		return 0;
	for (i = 0; i < WEIR_BUCKETS - 1; i++) {
		double here = (double)(b[i] - a[i]);

		if (here > 0 && below + here >= share * count) {
			double low =
				i > 0 ? (double)(UINT64_C(1) << (i - 1)) : 0;
			double high = (double)(UINT64_C(1) << i);

			return (low +
				(high - low) * (share * count - below) / here) /
			       1e6;
		}
		below += here;
	}
	return (double)(UINT64_C(1) << (WEIR_BUCKETS - 2)) / 1e6;
}

void history_add(const struct weir_stats *now, int64_t at_ms)
{
	const struct weir_stats *a = &before, *b = now;
	double s = (double)(at_ms - before_ms) / 1e3;

	/* The first one has nothing to be compared with; a clock may be set. */
	if (before_ms > 0 && s > 0) {
#define RATE(field)	   ((double)(b->field - a->field) / s)
#define VALUE(name, value) .name = (value),
		samples[last++ % HISTORY_COUNT] =
			(struct sample){ FIGURES(VALUE) };
#undef VALUE
#undef RATE
	}
	before = *now;
	before_ms = at_ms;
}

static void write_column(FILE *to, const char *name, size_t offset,
			 uint64_t first)
{
	const char *row;
	double value;

	fprintf(to, ",\"%s\":[", name);
	for (uint64_t i = first; i < last; i++) {
		row = (const char *)&samples[i % HISTORY_COUNT];
		memcpy(&value, row + offset, sizeof(value));
		fprintf(to, "%s%.*g", i > first ? "," : "", offset ? 6 : 14,
			value);
	}
	putc(']', to);
}

void history_write(FILE *to, uint64_t since)
{
	uint64_t first = last > HISTORY_COUNT ? last - HISTORY_COUNT : 0;

	if (since > first && since <= last)
		first = since;
	fprintf(to, "\"seq\":%llu", (unsigned long long)last);
#define COLUMN(name, value)                                                    \
	write_column(to, #name, offsetof(struct sample, name), first);
	FIGURES(COLUMN)
#undef COLUMN
}
