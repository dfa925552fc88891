/* SPDX-License-Identifier: MIT */
/*
 * The report: the table of the clocks, and p99 over time.
 */
#include "report_lines.h"

#include <stdlib.h>

#include "../measure/units.h"
#include "spark.h"

static const double points[] = { 50, 90, 99, 99.9, 99.99, 100 };

#define POINTS (sizeof(points) / sizeof(points[0]))

/* "-": absent; ">": only known to be more. */
static const char *point(const struct result *r, enum clock_kind kind,
			 double percent, char buf[UNITS_TEXT + 1])
{
	bool is_more;
	int64_t value = result_percentile(r, kind, percent, &is_more);

	buf[0] = '>';
	units_time(value, buf + is_more);
	return buf;
}

static void clock_line(struct page *p, const struct result *r,
		       enum clock_kind kind, const char *name, const char *note)
{
	const struct histogram *h = r->clocks[kind];
	char line[256], text[UNITS_TEXT + 1], count[UNITS_TEXT];
	int used = 0;

	if (!h || h->total == 0)
		return;
	page_begin(p, kind <= CLOCK_FROM_SEND ? PAGE_MUST : PAGE_SHOULD, name);
	for (size_t i = 0; i < POINTS; i++)
		used += snprintf(line + used, sizeof(line) - (size_t)used,
				 "%7s ", point(r, kind, points[i], text));
	page_say(p, "%.*s", used - 1, line);
	if (note)
		page_say(p, PAGE_FAINT "%s" PAGE_PLAIN, note);
	else
		page_say(p, PAGE_FAINT "%s samples" PAGE_PLAIN,
			 units_count(h->total, count));
}

void report_latency(struct page *p, const struct result *r)
{
	bool is_any = false;

	for (size_t i = 0; i < CLOCK_KINDS; i++)
		is_any = is_any || (r->clocks[i] && r->clocks[i]->total > 0);
	if (!is_any)
		return;
	page_space(p);
	page_begin(p, PAGE_MUST, PAGE_STRONG "latency" PAGE_PLAIN);
	page_say(p, "%7s %7s %7s %7s %7s %7s", "p50", "p90", "p99", "p99.9",
		 "p99.99", "max");
	clock_line(p, r, CLOCK_FROM_PLAN, "  from plan",
		   r->plan->schedule == PLAN_CLOSED ? "connect and all"
						    : "users feel this");
	clock_line(p, r, CLOCK_FROM_SEND, "  from send", "server + network");
	clock_line(p, r, CLOCK_LAG, "  client lag", "our own delay");
	clock_line(p, r, CLOCK_CONNECT, "  connect", NULL);
}

void report_latency_short(struct page *p, const struct result *r)
{
	enum clock_kind kind = result_main_clock(r->plan);
	char text[3][UNITS_TEXT + 1];

	if (!r->clocks[kind] || r->clocks[kind]->total == 0)
		return;
	page_begin(p, PAGE_MUST, "latency");
	page_say(p, "p50 %s   p99 %s   max %s   %s",
		 point(r, kind, 50, text[0]), point(r, kind, 99, text[1]),
		 point(r, kind, 100, text[2]),
		 kind == CLOCK_FROM_PLAN ? "from plan" : "from send");
}

void report_seconds(struct page *p, const struct result *r, bool has_utf8)
{
	int64_t *values = calloc(r->second_count + 1, sizeof(*values));
	size_t worst = 0, each;
	char bars[SPARK_TEXT], label[32], time[UNITS_TEXT];

	if (!values || r->second_count < 2)
		goto out;
	for (size_t i = 0; i < r->second_count; i++) {
		values[i] = r->seconds[i].p99;
		if (values[i] > values[worst])
			worst = i;
	}
	if (values[worst] <= 0)
		goto out;
	each = spark(bars, values, r->second_count, 36, has_utf8);
	if (each == 1)
		snprintf(label, sizeof(label), "p99 / second");
	else
		snprintf(label, sizeof(label), "p99 / %zu s", each);
	page_begin(p, PAGE_SHOULD, label);
	page_say(p, has_utf8 ? "%s" : "|%s|", bars);
	page_say(p, "worst %s at %.0f s", units_time(values[worst], time),
		 (double)r->seconds[worst].at / 1e9);
out:
	free(values);
}
