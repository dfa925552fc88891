/* SPDX-License-Identifier: MIT */
#include "gates.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../cli/cli.h"

const char *const gate_outcome_names[] = {
	[GATE_NOT_JUDGED] = "not judged",
	[GATE_PASS] = "PASS",
	[GATE_FAIL] = "FAIL",
};

/* Longer operators first. */
static const struct {
	const char *text;
	enum gate_operator op;
} operators[] = {
	{ "<=", GATE_AT_MOST }, { ">=", GATE_AT_LEAST }, { "==", GATE_EQUAL },
	{ "<", GATE_LESS },	{ ">", GATE_MORE },	 { "=", GATE_EQUAL },
};

struct suffix {
	const char *text;
	double factor;
};

static const struct suffix times[] = {
	{ "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { NULL, 0 },
};
static const struct suffix numbers[] = {
	{ "", 1 }, { "k", 1e3 }, { "M", 1e6 }, { "G", 1e9 }, { NULL, 0 },
};
static const struct suffix percents[] = { { "%", 1 }, { NULL, 0 } };

static const struct {
	const struct suffix *suffixes;
	const char *wanted;
} units[METRIC_UNITS] = {
	[METRIC_TIME] = { times, "a time in ns, us, ms or s, as in 5ms" },
	[METRIC_COUNT] = { numbers, "a number, as in 0, 500 or 20k" },
	[METRIC_RATE] = { numbers, "a number a second, as in 20k or 1.5M" },
	[METRIC_PERCENT] = { percents, "a percentage, as in 0.1%" },
	[METRIC_BYTES] = { numbers, "bytes a second, as in 800M" },
};

static bool gates_refuse(const char *text, const char *why, const char *known)
{
	cli_error("--gate '%s': %s%s", text, why, known);
	return false;
}

/* Digits with an optional fraction, then a suffix. */
static bool read_limit(struct gate_row *g, const char *text,
		       enum metric_unit unit)
{
	size_t digits = strspn(text, "0123456789.");
	const struct suffix *s = units[unit].suffixes;
	char *end;
	double number = strtod(text, &end);

	if (digits == 0 || !isdigit((unsigned char)text[0]))
		return false;
	/* strtod() also takes "1e5", which is not allowed. */
	if (end != text + digits)
		return false;
	while (s->text && strcmp(s->text, end) != 0)
		s++;
	g->limit = number * s->factor;
	return s->text && isfinite(g->limit);
}

static bool read_gate(struct gate_row *g, const char *given)
{
	char name[GATE_TEXT];
	size_t len = strcspn(g->text, "<>=");
	const char *limit = NULL;
	char known[METRIC_NAMES];
	struct metric m;

	for (size_t i = sizeof(operators) / sizeof(operators[0]); i-- > 0;)
		if (strncmp(g->text + len, operators[i].text,
			    strlen(operators[i].text)) == 0) {
			g->op = operators[i].op;
			limit = g->text + len + strlen(operators[i].text);
		}
	snprintf(name, sizeof(name), "%.*s", (int)len, g->text);
	if (!metric_find(&g->metric, name))
		return gates_refuse(given, "unknown figure; known are: ",
				    metric_names(known));
	if (!limit)
		return gates_refuse(given,
				    "after the name comes <, <=, >, >= or =, ",
				    "as in 'p99<5ms'");
	metric_describe(g->metric, &m);
	if (!read_limit(g, limit, m.unit))
		return gates_refuse(given, "the limit must be ",
				    units[m.unit].wanted);
	return true;
}

bool gates_add(struct gates *g, const char *text)
{
	struct gate_row *new = &g->list[g->count];
	size_t used = 0;

	if (g->count == GATES_MAX)
		return gates_refuse(text, "too many gates", "");
	*new = (struct gate_row){ .outcome = GATE_NOT_JUDGED };
	for (const char *p = text; *p; p++) {
		if (*p == ' ' || *p == '\t')
			continue;
		if (used == GATE_TEXT - 1)
			return gates_refuse(text, "too long", "");
		new->text[used++] = *p;
	}
	if (!read_gate(new, text))
		return false;
	g->count++;
	return true;
}

static bool gate_holds(const struct gate_row *g, const struct metric *m)
{
	if (m->why_absent[0])
		return false;
	switch (g->op) {
	case GATE_LESS:
		return !m->is_at_least && m->value < g->limit;
	case GATE_AT_MOST:
		return !m->is_at_least && m->value <= g->limit;
	case GATE_MORE:
		return m->value > g->limit;
	case GATE_AT_LEAST:
		return m->value >= g->limit;
	case GATE_EQUAL:
		break;
	}
	/* Percentages such as 99.9 have no exact binary form. */
	return !m->is_at_least &&
	       fabs(m->value - g->limit) <= 1e-9 * fabs(g->limit);
}

/* Counts that only grow. */
static const char *const growing[] = {
	"errors",	"timed-out",	  "reset",
	"closed-early", "wrong",	  "bad",
	"swapped",	"missing",	  "surplus",
	"crossed",	"late",		  "unsure",
	"refused",	"connect-failed", "ended",
	"reopened",	"never-sent",	  "handshake-failed",
	"late-ours",	"late-server",
};

static bool is_growing(const char *name)
{
	for (size_t i = 0; i < sizeof(growing) / sizeof(growing[0]); i++)
		if (strcmp(growing[i], name) == 0)
			return true;
	return false;
}

/* The most messages that the plan has; INFINITY: it is not known. */
static double most_messages(const struct plan *p)
{
	double planned = p->rate * (double)p->duration_ns / 1e9;

	if (p->count > 0)
		return (double)p->count;
	if (p->rate <= 0 || p->duration_ns == INT64_MAX)
		return INFINITY;
	if (p->schedule == PLAN_POISSON)
		planned += 6 * sqrt(planned);
	return planned + p->connections;
}

/* Too many samples are above the limit, even if all others will be below. */
static bool is_percentile_lost(const struct gate_row *g, const struct result *r)
{
	enum clock_kind kind = g->metric.clock < 0
				       ? result_main_clock(r->plan)
				       : (enum clock_kind)g->metric.clock;
	const struct histogram *h = r->clocks[kind];
	double most = most_messages(r->plan), percent = g->metric.percent;

	if (!h || h->total == 0 || percent > METRIC_MAX)
		return false;
	if (percent == METRIC_MAX)
		return (double)h->max > g->limit;
	if (g->limit >= (double)HISTOGRAM_HIGHEST)
		return false;
	return kind != CLOCK_CONNECT && kind != CLOCK_HANDSHAKE &&
	       kind != CLOCK_ONCE &&
	       (double)histogram_above(h, (int64_t)g->limit) >
		       most * (1 - percent / 100);
}

static bool is_lost(const struct gate_row *g, const struct result *r)
{
	struct metric m;

	if (g->op == GATE_MORE || g->op == GATE_AT_LEAST)
		return false;
	if (g->metric.row < 0)
		return is_percentile_lost(g, r);
	metric_get(g->metric, r, &m);
	if (strcmp(m.name, "errors%") == 0)
		return 100 * (double)result_errors(r) >
		       g->limit * most_messages(r->plan);
	return is_growing(m.name) &&
	       (m.value > g->limit ||
		(g->op == GATE_LESS && m.value >= g->limit));
}

bool gates_are_lost(const struct gates *g, const struct result *r)
{
	for (size_t i = 0; i < g->count; i++)
		if (is_lost(&g->list[i], r))
			return true;
	return false;
}

static enum gate_outcome outcome_of(const struct gate_row *g,
				    const struct result *r)
{
	if (r->is_stopped)
		return is_lost(g, r) ? GATE_FAIL : GATE_NOT_JUDGED;
	if (r->is_cut || result_has_ended_early(r))
		return GATE_NOT_JUDGED;
	return gate_holds(g, &g->found) ? GATE_PASS : GATE_FAIL;
}

bool gates_judge(struct gates *g, const struct result *r)
{
	bool have_passed = true;

	for (size_t i = 0; i < g->count; i++) {
		struct gate_row *gate = &g->list[i];

		metric_get(gate->metric, r, &gate->found);
		gate->outcome = outcome_of(gate, r);
		have_passed = have_passed && gate->outcome == GATE_PASS;
	}
	return have_passed;
}

int gates_status(struct gates *g, const struct result *r)
{
	bool have_passed = gates_judge(g, r);

	if (r->is_cut || result_has_ended_early(r) || !result_has_any(r))
		return CLI_FAILED;
	if (!have_passed || (g->needs_trust && r->verdict == VERDICT_NOT))
		return LOAD_GATE_FAILED;
	return r->is_incomplete ? CLI_FAILED : CLI_DONE;
}
