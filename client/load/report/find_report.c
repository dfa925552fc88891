/* SPDX-License-Identifier: MIT */
#include "find_report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../measure/units.h"
#include "layout.h"
#include "report.h"

__attribute__((format(printf, 2, 3))) static void
find_say(FILE *to, const char *format, ...)
{
	struct report report;
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	report_init(&report, to);
	layout_write(text, report.has_colour, report.to);
	fflush(report.to);
}

static const char *unit(const struct find *f)
{
	return f->plan->mode == PLAN_CHURN ? "conn/s" : "msg/s";
}

void find_print_plan(const struct find *f, FILE *to)
{
	const struct plan *p = f->plan;
	const struct search *s = &f->search;
	char text[3][UNITS_TEXT];
	int64_t each = p->warmup_ns + p->duration_ns;
	int64_t most = s->tries_most * each + SEARCH_LASTS_MAX * p->duration_ns;

	find_say(to, "%s  %s, %d connections, depth %d\n", p->address,
		 plan_mode_text(p), p->connections, p->depth);
	if (f->closed > 0)
		find_say(to, "a closed loop reaches %s %s\n",
			 units_rate(f->closed, text[0]), unit(f));
	find_say(to, "between %s and %s %s\n", units_rate(s->lowest, text[0]),
		 units_rate(s->highest, text[1]), unit(f));
	find_say(to,
		 "at most %d runs of %s: %s, plus waits for late "
		 "replies\n"
		 "\n",
		 s->tries_most, units_time(each, text[1]),
		 units_time(most, text[0]));
}

/* The gated figures of a step; of a failed one those that failed. */
static void put_figures(const struct find_step *step, char *text, size_t room)
{
	size_t used = 0;

	*text = '\0';
	if (step->answered < FIND_ANSWERED)
		used = (size_t)snprintf(text, room, "%.1f%% answered",
					step->answered);
	else if (step->is_incomplete)
		used = (size_t)snprintf(text, room, "%s", step->reason);
	for (size_t i = 0; i < step->gates.count && used < room; i++) {
		const struct gate_row *g = &step->gates.list[i];
		char value[METRIC_TEXT];

		if (!step->has_held && g->outcome == GATE_PASS)
			continue;
		used += (size_t)snprintf(
			text + used, room - used, "%s%s %s",
			used > 0 ? "   " : "", g->found.name,
			g->found.why_absent[0] ? g->found.why_absent
					       : metric_text(&g->found, value));
	}
}

void find_print_step(const struct find_step *step, FILE *to)
{
	char rate[UNITS_TEXT], figures[512];
	const char *note = "";

	if (step->has_held && step->is_last)
		note = "   confirmed in a run twice as long";
	else if (!step->has_held && !step->is_again)
		note = "   trying again";
	put_figures(step, figures, sizeof(figures));
	find_say(to, "%11s/s  %s  %s%s%s\n", units_rate(step->rate, rate),
		 step->has_held ? LAYOUT_GOOD "PASS" LAYOUT_PLAIN
				: LAYOUT_BAD "FAIL" LAYOUT_PLAIN,
		 figures, step->is_client_limited ? "   (this client)" : "",
		 note);
}

static const char *gates_text(const struct find *f, char *to, size_t room)
{
	const struct gates *gates = f->gates;
	size_t used = 0;

	for (size_t i = 0; i < gates->count && used < room; i++)
		used += (size_t)snprintf(to + used, room - used, "%s%s",
					 i > 0 ? " " : "", gates->list[i].text);
	return to;
}

/* Why the rate is not higher. */
static void print_limit(const struct find *f, FILE *to)
{
	const struct find_step *failed = find_failed(f);
	char rate[UNITS_TEXT], figures[512];

	if (!failed) {
		find_say(to, "\n    (%s)\n",
			 f->closed > 0 ? "a closed loop reaches no more"
				       : "--max: no higher rate was tried");
		return;
	}
	units_rate(failed->rate, rate);
	put_figures(failed, figures, sizeof(figures));
	if (failed->is_client_limited)
		find_say(to,
			 "\n    (at %s this client is the limit:\n     %s)\n",
			 rate, failed->reason);
	else
		find_say(to, "\n    (next tried %s fails: %s)\n", rate,
			 figures);
}

static bool is_bound(const struct find *f)
{
	const struct find_step *failed = find_failed(f);

	return !failed || failed->is_client_limited;
}

static void print_none(const struct find *f, const char *gates, FILE *to)
{
	const struct find_step *failed = find_failed(f);
	char rate[UNITS_TEXT], figures[512] = "";

	if (failed)
		put_figures(failed, figures, sizeof(figures));
	find_say(to, "not even %s %s holds %s\n    (%s)\n",
		 units_rate(f->search.lowest, rate), unit(f), gates, figures);
	if (failed && failed->is_client_limited)
		find_say(to, "    (this client is the limit:\n     %s)\n",
			 failed->reason);
}

void find_print_answer(const struct find *f, FILE *to)
{
	double held = search_held(&f->search);
	char gates[GATES_MAX * GATE_TEXT], rate[UNITS_TEXT];

	gates_text(f, gates, sizeof(gates));
	units_rate(held, rate);
	if (f->is_cut && held > 0) {
		find_say(to, "interrupted: %s %s held %s, not confirmed\n",
			 rate, unit(f), gates);
	} else if (f->is_cut) {
		find_say(to, "interrupted: nothing is known yet\n");
	} else if (f->search.state == SEARCH_NONE) {
		print_none(f, gates, to);
	} else if (f->search.state == SEARCH_UNSETTLED) {
		find_say(
			to,
			"too noisy to say: %s %s held %s once, but not again\n",
			units_rate(held > 0 ? held : f->search.failed, rate),
			unit(f), gates);
	} else {
		find_say(to,
			 LAYOUT_STRONG
			 "highest rate that holds %s: %s%s %s" LAYOUT_PLAIN,
			 gates, is_bound(f) ? "at least " : "", rate, unit(f));
		print_limit(f, to);
	}
}
