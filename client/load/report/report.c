/* SPDX-License-Identifier: MIT */
/*
 * The report: what was asked, the verdict, the parts in their order, and what
 * follows from it all.
 */
#include "report.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../../cli/stream.h"
#include "../../../cli/text.h"
#include "../judge/hints.h"
#include "../measure/units.h"
#include "page.h"
#include "report_lines.h"
#include "spark.h"

#define GATE_LINES ((size_t)4) /* of failed gates, that are never left out */

void report_init(struct report *report, FILE *to)
{
	const char *no_colour = getenv("NO_COLOR");

	*report = (struct report){
		.to = to,
		.has_utf8 = spark_has_utf8(),
		.has_colour =
			isatty(stream_fileno(to)) && !(no_colour && *no_colour),
	};
}

/* "30s", as it was given; what is no whole number of ms in three digits. */
static const char *span(int64_t ns, char buf[UNITS_TEXT])
{
	if (ns % 1000000 == 0 && ns / 1000000 < 1000000000)
		return cli_duration_text((int)(ns / 1000000), buf);
	return units_time(ns, buf);
}

static void say_time(struct page *p, const struct result *r)
{
	const struct plan *plan = r->plan;
	bool has_end = plan->duration_ns != INT64_MAX && plan->count == 0;
	char took[UNITS_TEXT], planned[UNITS_TEXT] = "", warmup[64] = "";

	units_time(r->elapsed, took);
	if (has_end)
		span(plan->duration_ns, planned);
	if (plan->warmup_ns > 0)
		span(plan->warmup_ns, stpcpy(warmup, " after warm-up of "));
	if (r->is_cut)
		page_say(p, PAGE_BAD "CUT SHORT after %s%s%s" PAGE_PLAIN "%s",
			 took, has_end ? " of " : "", planned, warmup);
	else
		page_say(p, "%s%s", has_end ? planned : took, warmup);
}

static void say_payload(struct page *p, const struct result *r)
{
	static const char *const expected[] = {
		[EXPECT_ECHO] = "echo checked",
		[EXPECT_REPLY] = "replies checked",
		[EXPECT_ANY] = "any reply",
		[EXPECT_LEN] = "replies by length",
		[EXPECT_LINE] = "reply lines",
	};
	const struct plan *plan = r->plan;

	if (plan->mode == PLAN_DOWNLOAD)
		return;
	if (plan->size_min == plan->size_max)
		page_say(p, "%zu B%s%s", plan->size_max,
			 plan->mode == PLAN_UPLOAD ? "" : ", ",
			 plan->mode == PLAN_UPLOAD ? ""
						   : expected[plan->expect]);
	else
		page_say(p, "%zu-%zu B, %s", plan->size_min, plan->size_max,
			 expected[plan->expect]);
}

static void report_mode(struct page *p, const struct result *r)
{
	const struct plan *plan = r->plan;
	char target[2 * sizeof(r->target)], rate[UNITS_TEXT];
	size_t len = 0;

	while (len < sizeof(r->target) && r->target[len])
		len++;
	cli_escape(target, sizeof(target), r->target, len, CLI_KEEP_UTF8);
	page_begin(p, PAGE_MUST, PAGE_STRONG "load" PAGE_PLAIN);
	page_say(p, PAGE_STRONG "%s" PAGE_PLAIN, target);
	if (plan->rate > 0)
		page_say(p, "%s, %s/s", plan_mode_text(plan),
			 units_number(plan->rate, rate));
	else
		page_say(p, "%s", plan_mode_text(plan));
	say_time(p, r);
	say_payload(p, r);
	page_say(p, "%d connection%s, depth %d, %d thread%s", plan->connections,
		 plan->connections == 1 ? "" : "s", plan->depth, plan->threads,
		 plan->threads == 1 ? "" : "s");
	page_say(p, PAGE_FAINT "seed %llu" PAGE_PLAIN,
		 (unsigned long long)plan->seed);
}

static void report_verdict(struct page *p, const struct result *r)
{
	static const char *const colours[] = {
		[VERDICT_TRUSTWORTHY] = PAGE_GOOD,
		[VERDICT_WITH_CARE] = PAGE_CARE,
		[VERDICT_NOT] = PAGE_BAD,
	};
	char label[64];

	snprintf(label, sizeof(label), "%s%s" PAGE_PLAIN "  ",
		 colours[r->verdict], verdict_names[r->verdict]);
	page_space(p);
	page_begin(p, PAGE_MUST, label);
	for (size_t i = 0; i < r->reason_count; i++) {
		if (i > 0)
			page_begin(p, PAGE_SHOULD, "");
		page_say(p, "%s", r->reasons[i]);
	}
	page_space(p);
}

static void say_gate(struct page *p, const struct gate_row *g)
{
	bool is_pass = g->outcome == GATE_PASS;
	char value[METRIC_TEXT];

	page_say(p, "%s %s%s" PAGE_PLAIN " (%s)", g->text,
		 is_pass ? PAGE_GOOD : PAGE_BAD, gate_outcome_names[g->outcome],
		 g->found.why_absent[0] ? g->found.why_absent
					: metric_text(&g->found, value));
}

/* Those that failed first, and they stay when there is no room. */
static void report_gates(struct page *p, const struct gates *gates)
{
	const char *label = "gates";

	if (!gates || gates->count == 0)
		return;
	for (int pass = 0; pass < 2; pass++) {
		size_t said = 0;

		for (size_t i = 0; i < gates->count; i++) {
			const struct gate_row *g = &gates->list[i];

			if ((g->outcome == GATE_PASS) != (pass == 1))
				continue;
			if (said++ == 0)
				page_begin(p,
					   pass == 0 ? PAGE_MUST : PAGE_SHOULD,
					   label);
			if (pass == 0 && said > 2 * GATE_LINES)
				p->ranks[p->used - 1] = PAGE_SHOULD;
			say_gate(p, g);
			label = "";
		}
	}
}

static void report_hints(struct page *p, const struct result *r)
{
	char hints[HINTS_MAX][HINT_TEXT];
	size_t count = hints_find(r, hints);

	for (size_t i = 0; i < count; i++) {
		page_begin(p, i == 0 ? PAGE_SHOULD : PAGE_MAY,
			   i == 0 ? "hint" : "");
		page_say(p, "%s", hints[i]);
	}
}

static void report_saved(struct page *p, const struct report *report)
{
	if (!report->saved[0])
		return;
	page_begin(p, PAGE_SHOULD, "saved");
	for (size_t i = 0; i < REPORT_SAVED && report->saved[i]; i++)
		page_say(p, "%s", report->saved[i]);
}

static void fill(struct page *p, const struct report *report,
		 const struct result *r)
{
	report_mode(p, r);
	report_verdict(p, r);
	report_messages(p, r);
	report_rate(p, r);
	report_connections(p, r);
	report_latency(p, r);
	page_space(p);
	report_seconds(p, r, report->has_utf8);
	report_content(p, r);
	report_errors(p, r);
	report_misfits(p, r);
	report_hints(p, r);
	report_gates(p, report->gates);
	report_saved(p, report);
}

void report_print(const struct report *report, const struct result *r)
{
	struct page *p = calloc(1, sizeof(*p));

	if (!p) {
		fprintf(report->to, "no memory for the report\n");
		return;
	}
	if (report->is_short) {
		report_verdict(p, r);
		report_rate(p, r);
		report_latency_short(p, r);
		report_gates(p, report->gates);
	} else {
		fill(p, report, r);
	}
	page_print(p, report->is_short ? 8 : REPORT_LINES, report->has_colour,
		   report->to);
	free(p);
}
