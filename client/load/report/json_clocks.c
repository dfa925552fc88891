/* SPDX-License-Identifier: MIT */
/*
 * The JSON: the clocks as distributions, and the run second by second.
 */
#include "json_parts.h"

#include <math.h>

static const double points[] = { 50, 75, 90, 95, 99, 99.9, 99.99, 99.999 };

#define POINTS (sizeof(points) / sizeof(points[0]))

/* Steps of the spectrum for each halving of what is left. */
#define TICKS 5

/*
 * The percentile and where it would be in 95 of 100 runs of such samples,
 * were they independent: at the ranks n p -+ 1.96 sqrt(n p (1 - p)).
 */
static json_t *percentile(const struct result *r, enum clock_kind kind,
			  double percent)
{
	const struct histogram *h = r->clocks[kind];
	double p = percent / 100;
	double off = 1.96 * sqrt(p * (1 - p) / (double)h->total) * 100;
	bool is_more;
	int64_t ns = result_percentile(r, kind, percent, &is_more);
	int64_t low = histogram_percentile(h, fmax(percent - off, 0));
	int64_t high = histogram_percentile(h, fmin(percent + off, 100));

	return json_pack("{s:f, s:o, s:o, s:o, s:b}", "percent", percent, "ns",
			 json_known(ns >= 0, ns), "low_ns",
			 json_known(ns >= 0, low), "high_ns",
			 json_known(ns >= 0, high), "at_least", is_more);
}

static json_t *percentiles(const struct result *r, enum clock_kind kind)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < POINTS; i++)
		if (json_array_append_new(list,
					  percentile(r, kind, points[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

/* As HdrHistogram prints it: ever smaller steps up to the last sample. */
static json_t *spectrum(const struct histogram *h)
{
	json_t *list = json_array();
	double percent = 0, last = 100 - 100 / (double)h->total;
	bool is_last = false;

	while (list && !is_last) {
		is_last = percent > last;
		if (is_last)
			percent = 100;
		if (json_array_append_new(
			    list, json_pack("[I, f]",
					    (json_int_t)histogram_percentile(
						    h, percent),
					    percent)) < 0) {
			json_decref(list);
			return NULL;
		}
		percent += 100 / (TICKS *
				  exp2(floor(log2(100 / (100 - percent))) + 1));
	}
	return list;
}

static json_t *clock_value(const struct result *r, enum clock_kind kind)
{
	const struct histogram *h = r->clocks[kind];

	if (!h || h->total == 0)
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:f, s:f, s:I, s:o, s:o}", "samples",
			 (json_int_t)h->total, "min_ns", (json_int_t)h->min,
			 "max_ns", (json_int_t)h->max, "mean_ns",
			 histogram_mean(h), "deviation_ns",
			 histogram_deviation(h), "clamped",
			 (json_int_t)h->clamped, "percentiles",
			 percentiles(r, kind), "spectrum", spectrum(h));
}

json_t *json_clocks(const struct result *r)
{
	return json_pack("{s:o, s:o, s:o, s:o}", clock_names[0],
			 clock_value(r, 0), clock_names[1], clock_value(r, 1),
			 clock_names[2], clock_value(r, 2), clock_names[3],
			 clock_value(r, 3));
}

static json_t *second(const struct second *s)
{
	bool has = s->max > 0;

	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:b, s:o, s:o, s:o, s:o, "
		"s:o}",
		"at_ns", (json_int_t)s->at, "length_ns", (json_int_t)s->length,
		"answered", (json_int_t)s->answered, "errors",
		(json_int_t)s->errors, "bytes_in", (json_int_t)s->bytes_in,
		"bytes_out", (json_int_t)s->bytes_out, "open", s->open,
		"misfits", s->has_misfits, "p50_ns", json_known(has, s->p50),
		"p90_ns", json_known(has, s->p90), "p99_ns",
		json_known(has, s->p99), "p99.9_ns", json_known(has, s->p999),
		"max_ns", json_known(has, s->max));
}

json_t *json_seconds(const struct result *r)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < r->second_count; i++)
		if (json_array_append_new(list, second(&r->seconds[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}
