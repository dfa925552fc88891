/* SPDX-License-Identifier: MIT */
/*
 * Histograms of durations compared with the sorted samples; and figures with
 * units.
 */
#include "test.h"

#include <math.h>

#include "../../client/load/measure/histogram.h"
#include "../../client/load/measure/units.h"

#define SAMPLES 20000

static uint64_t state;

/* In [0, 1), the same in each run. */
static double chance(void)
{
	state = state * UINT64_C(6364136223846793005) +
		UINT64_C(1442695040888963407);
	return (double)(state >> 11) / 9007199254740992.0;
}

static int64_t uniform(void)
{
	return (int64_t)(chance() * 5e6);
}

static int64_t tiny(void)
{
	return (int64_t)(chance() * 2100);
}

static int64_t exponential(void)
{
	return (int64_t)(-log(1 - chance()) * 2e5);
}

static int64_t over_all_sizes(void)
{
	return (int64_t)exp(chance() * log(3.6e12));
}

static int64_t two_humps(void)
{
	return (int64_t)((chance() < 0.99 ? 5e4 : 4e7) * (1 + chance()));
}

static int64_t constant(void)
{
	return 123456789;
}

static int64_t (*const distributions[])(void) = {
	uniform, tiny, exponential, over_all_sizes, two_humps, constant,
};
#define DISTRIBUTIONS (sizeof(distributions) / sizeof(distributions[0]))

static struct histogram *new_histogram(void)
{
	struct histogram *h = calloc(1, sizeof(*h));

	ck_assert_ptr_nonnull(h);
	return h;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* In millionths, so that ranks are whole numbers. */
static const int64_t parts[] = { 1,	 10000,	 100000, 250000, 500000,
				 750000, 900000, 950000, 990000, 999000,
				 999900, 999990, 1000000 };
#define PARTS (sizeof(parts) / sizeof(parts[0]))

static void expect_percentiles(int64_t (*distribution)(void))
{
	static int64_t samples[SAMPLES];
	struct histogram *h = new_histogram();
	double sum = 0;

	for (size_t i = 0; i < SAMPLES; i++) {
		samples[i] = distribution();
		sum += (double)samples[i];
		histogram_record(h, samples[i]);
	}
	qsort(samples, SAMPLES, sizeof(samples[0]), compare);
	for (size_t i = 0; i < PARTS; i++) {
		int64_t rank = (parts[i] * SAMPLES + 999999) / 1000000;
		int64_t exact = samples[rank - 1];
		int64_t got = histogram_percentile(h, (double)parts[i] / 1e4);

		ck_assert_int_ge(got, exact);
		ck_assert_int_le(got - exact, exact / 1024);
	}
	ck_assert_int_eq(h->min, samples[0]);
	ck_assert_int_eq(h->max, samples[SAMPLES - 1]);
	ck_assert_int_eq(histogram_percentile(h, 100), h->max);
	ck_assert_double_eq_tol(histogram_mean(h), sum / SAMPLES, 1e-9 * sum);
	free(h);
}

START_TEST(percentiles_are_those_of_the_sorted_samples_within_1_of_1024)
{
	for (uint64_t seed = 1; seed <= 5; seed++)
		for (size_t i = 0; i < DISTRIBUTIONS; i++) {
			state = seed;
			expect_percentiles(distributions[i]);
		}
}
END_TEST

START_TEST(deviation_is_that_of_the_samples)
{
	struct histogram *h = new_histogram();
	double mean = 0, squares = 0;

	ck_assert(histogram_deviation(h) <= 0);
	for (int i = 1; i <= 1000; i++)
		histogram_record(h, i * 1000);
	mean = histogram_mean(h);
	ck_assert_double_eq_tol(mean, 500500, 0.001);
	for (int i = 1; i <= 1000; i++)
		squares += (i * 1000 - mean) * (i * 1000 - mean);
	squares = sqrt(squares / 1000);
	ck_assert_double_eq_tol(histogram_deviation(h), squares,
				squares / 1024);
	free(h);
}
END_TEST

static void expect_same(const struct histogram *a, const struct histogram *b)
{
	ck_assert_uint_eq(a->total, b->total);
	ck_assert_uint_eq(a->clamped, b->clamped);
	ck_assert_mem_eq(a->counts, b->counts, sizeof(a->counts));
	if (a->total == 0)
		return;
	ck_assert_int_eq(a->min, b->min);
	ck_assert_int_eq(a->max, b->max);
	ck_assert_double_eq_tol(a->sum, b->sum, 1e-9 * fabs(b->sum));
}

START_TEST(parts_added_up_are_the_whole)
{
	struct histogram *whole = new_histogram(), *sum = new_histogram();
	struct histogram *part = new_histogram();

	state = 1;
	for (size_t i = 0; i < 12; i++) {
		for (size_t k = 0; k < i * 500; k++) {
			int64_t sample = distributions[i % DISTRIBUTIONS]();

			histogram_record(whole, sample);
			histogram_record(part, sample);
		}
		histogram_record(whole, INT64_MAX);
		histogram_record(part, INT64_MAX);
		histogram_add(sum, part);
		histogram_clear(part);
		ck_assert_uint_eq(part->total, 0);
	}
	expect_same(sum, whole);
	free(part);
	free(sum);
	free(whole);
}
END_TEST

START_TEST(a_cleared_histogram_is_as_new)
{
	struct histogram *h = new_histogram(), *fresh = new_histogram();

	histogram_clear(h);
	expect_same(h, fresh);
	state = 3;
	for (int i = 0; i < 10000; i++)
		histogram_record(h, over_all_sizes());
	histogram_record(h, INT64_MAX);
	histogram_record_range(h, 5, HISTOGRAM_HIGHEST + 5, 7);
	histogram_clear(h);
	expect_same(h, fresh);
	ck_assert_int_eq(histogram_percentile(h, 50), 0);
	ck_assert(histogram_mean(h) <= 0);
	histogram_record(h, 7);
	ck_assert(h->min == 7 && h->max == 7);
	free(fresh);
	free(h);
}
END_TEST

START_TEST(what_is_above_the_highest_is_counted_as_clamped)
{
	struct histogram *h = new_histogram();

	histogram_record(h, HISTOGRAM_HIGHEST);
	ck_assert_uint_eq(h->clamped, 0);
	histogram_record(h, HISTOGRAM_HIGHEST + 1);
	histogram_record(h, INT64_MAX);
	histogram_record_range(h, HISTOGRAM_HIGHEST + 1, INT64_MAX, 5);
	ck_assert_uint_eq(h->clamped, 7);
	ck_assert_uint_eq(h->total, 8);
	ck_assert_int_eq(h->max, HISTOGRAM_HIGHEST);
	ck_assert_int_eq(histogram_percentile(h, 100), HISTOGRAM_HIGHEST);
	histogram_record(h, -5);
	ck_assert_int_eq(h->min, 0);
	ck_assert_uint_eq(h->counts[0], 1);
	ck_assert_uint_eq(h->clamped, 7);
	free(h);
}
END_TEST

START_TEST(a_percentile_needs_ten_samples_beyond_it)
{
	static const struct {
		double percent;
		uint64_t needs;
	} rows[] = { { 50, 20 },
		     { 90, 100 },
		     { 99, 1000 },
		     { 99.9, 10000 },
		     { 99.99, 100000 } };
	struct histogram *h = new_histogram();

	ck_assert(!histogram_has_percentile(h, 50));
	for (size_t i = 0; i < 5; i++) {
		histogram_clear(h);
		histogram_record_range(h, 5, 5, rows[i].needs - 1);
		ck_assert(!histogram_has_percentile(h, rows[i].percent));
		histogram_record(h, 5);
		ck_assert(histogram_has_percentile(h, rows[i].percent));
	}
	ck_assert(!histogram_has_percentile(h, 100));
	free(h);
}
END_TEST

START_TEST(slots_touch_and_none_is_wider_than_1_of_1024_of_its_values)
{
	for (size_t i = 0; i < HISTOGRAM_SLOTS; i++) {
		int64_t low = histogram_slot_low(i);
		int64_t high = histogram_slot_high(i);

		ck_assert_uint_eq(histogram_slot(low), i);
		ck_assert_uint_eq(histogram_slot(high), i);
		ck_assert_int_le(high - low, low / 1024);
		if (i > 0)
			ck_assert_int_eq(histogram_slot_high(i - 1) + 1, low);
	}
	ck_assert_int_eq(histogram_slot_low(0), 0);
}
END_TEST

START_TEST(slots_lie_where_the_tools_of_HdrHistogram_have_them)
{
	ck_assert_uint_eq(histogram_slot(0), 0);
	ck_assert_uint_eq(histogram_slot(2047), 2047);
	ck_assert_uint_eq(histogram_slot(4095), 3071);
	ck_assert_int_eq(histogram_slot_low(3071), 4094);
	ck_assert_uint_eq(histogram_slot(123456), 8073);
	ck_assert_int_eq(histogram_slot_high(8073) - histogram_slot_low(8073),
			 63);
	ck_assert_uint_lt(histogram_slot(HISTOGRAM_HIGHEST), HISTOGRAM_SLOTS);
	ck_assert_int_gt(histogram_slot_high(HISTOGRAM_SLOTS - 1),
			 HISTOGRAM_HIGHEST);
}
END_TEST

START_TEST(times_have_three_digits_and_a_unit)
{
	static const struct {
		int64_t ns;
		const char *text;
	} rows[] = {
		{ -1, "-" },
		{ 0, "0ns" },
		{ 999, "999ns" },
		{ 1000, "1.00us" },
		{ 9994, "9.99us" },
		{ 9996, "10.0us" },
		{ 99960, "100us" },
		{ 212345, "212us" },
		{ 999499, "999us" },
		{ 999500, "1.00ms" },
		{ 1310000, "1.31ms" },
		{ 15200000, "15.2ms" },
		{ 2410000000, "2.41s" },
		{ 99400000000, "99.4s" },
		{ 99500000000, "1m40s" },
		{ 150000000000, "2m30s" },
		{ 3599500000000, "1h00m" },
		{ INT64_MAX / 2, "1281023h53m" },
	};
	char text[UNITS_TEXT];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_str_eq(units_time(rows[i].ns, text), rows[i].text);
}
END_TEST

START_TEST(counts_and_rates_read_well)
{
	char text[UNITS_TEXT];

	ck_assert_str_eq(units_count(0, text), "0");
	ck_assert_str_eq(units_count(999, text), "999");
	ck_assert_str_eq(units_count(1000, text), "1,000");
	ck_assert_str_eq(units_count(600000, text), "600,000");
	ck_assert_str_eq(units_count(UINT64_MAX, text),
			 "18,446,744,073,709,551,615");
	ck_assert_str_eq(units_bytes_rate(0, text), "0 B/s");
	ck_assert_str_eq(units_bytes_rate(850, text), "850 B/s");
	ck_assert_str_eq(units_bytes_rate(999.7, text), "1.00 kB/s");
	ck_assert_str_eq(units_bytes_rate(1280000, text), "1.28 MB/s");
	ck_assert_str_eq(units_bytes_rate(4.1e10, text), "41.0 GB/s");
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"histogram",
		percentiles_are_those_of_the_sorted_samples_within_1_of_1024,
		deviation_is_that_of_the_samples, parts_added_up_are_the_whole,
		a_cleared_histogram_is_as_new,
		what_is_above_the_highest_is_counted_as_clamped,
		a_percentile_needs_ten_samples_beyond_it,
		slots_touch_and_none_is_wider_than_1_of_1024_of_its_values,
		slots_lie_where_the_tools_of_HdrHistogram_have_them,
		times_have_three_digits_and_a_unit, counts_and_rates_read_well);
}
