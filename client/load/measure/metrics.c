/* SPDX-License-Identifier: MIT */
/*
 * Figures by name: percentiles of the main clock, those of each clock, then
 * the table.
 */
#include "metrics.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "units.h"

static const struct {
	const char *name;
	double percent; /* above 100: not a percentile */
} points[] = {
	{ "p50", 50 },	     { "p90", 90 },  { "p99", 99 },   { "p99.9", 99.9 },
	{ "p99.99", 99.99 }, { "max", 100 }, { "mean", 101 },
};

#define POINTS ((int)(sizeof(points) / sizeof(points[0])))
#define CLOCKS (POINTS * (CLOCK_KINDS + 1))

#define WITHOUT_RATE "there is no rate in a closed loop"
#define NO_MESSAGES  "no message was planned"

static double percent_of(uint64_t part, uint64_t whole)
{
	return 100 * (double)part / (double)whole;
}

static double per_second(const struct result *r, uint64_t count)
{
	return r->elapsed > 0 ? (double)count * 1e9 / (double)r->elapsed : 0;
}

static double connect_errors(const struct result *r, int error)
{
	return (double)result_error_count(r, ERROR_CONNECT, ERROR_CONNECT,
					  error);
}

/* name, unit, value, and why the value may be absent (NAN) */
#define ROWS(X)                                                                \
	X("rate", METRIC_RATE, result_rate(r), "")                             \
	X("rate%", METRIC_PERCENT,                                             \
	  r->plan->rate > 0 ? 100 * result_rate(r) / r->plan->rate : NAN,      \
	  WITHOUT_RATE)                                                        \
	X("bytes-in", METRIC_BYTES, per_second(r, b->bytes_in), "")            \
	X("bytes-out", METRIC_BYTES, per_second(r, b->bytes_out), "")          \
	X("errors", METRIC_COUNT, (double)result_errors(r), "")                \
	X("errors%", METRIC_PERCENT,                                           \
	  b->planned > 0 ? percent_of(result_errors(r), b->planned) : NAN,     \
	  NO_MESSAGES)                                                         \
	X("planned", METRIC_COUNT, (double)b->planned, "")                     \
	X("sent", METRIC_COUNT, (double)b->sent, "")                           \
	X("never-sent", METRIC_COUNT, (double)b->never_sent, "")               \
	X("answered", METRIC_COUNT, (double)b->answered, "")                   \
	X("drained", METRIC_COUNT, (double)b->drained, "")                     \
	X("timed-out", METRIC_COUNT, (double)b->timed_out, "")                 \
	X("reset", METRIC_COUNT, (double)b->reset, "")                         \
	X("closed-early", METRIC_COUNT, (double)b->closed_early, "")           \
	X("open", METRIC_COUNT, (double)b->open, "")                           \
	X("checked", METRIC_COUNT, (double)b->checked, "")                     \
	X("wrong", METRIC_COUNT, (double)b->wrong, "")                         \
	X("swapped", METRIC_COUNT, (double)b->swapped, "")                     \
	X("unsure", METRIC_COUNT, (double)b->unsure, "")                       \
	X("missing", METRIC_COUNT, (double)b->missing, "")                     \
	X("surplus", METRIC_COUNT, (double)b->surplus, "")                     \
	X("crossed", METRIC_COUNT, (double)b->crossed, "")                     \
	X("late", METRIC_COUNT, (double)b->late, "")                           \
	X("refused", METRIC_COUNT, connect_errors(r, ECONNREFUSED), "")        \
	X("connect-failed", METRIC_COUNT, connect_errors(r, -1), "")           \
	X("opened", METRIC_COUNT, r->connections.opened, "")                   \
	X("served", METRIC_COUNT, r->connections.served, "")                   \
	X("starved", METRIC_COUNT, r->connections.starved, "")                 \
	X("failed", METRIC_COUNT, r->connections.failed, "")                   \
	X("lost", METRIC_COUNT, r->connections.lost, "")                       \
	X("downtime%", METRIC_PERCENT, 100 * result_downtime(r), "")           \
	X("reopened", METRIC_COUNT, (double)r->connections.reopened, "")       \
	X("ended", METRIC_COUNT, (double)r->connections.ended, "")             \
	X("fairness", METRIC_PERCENT, 100 * r->connections.fairness, "")       \
	X("silence", METRIC_TIME, (double)r->connections.longest_silence, "")  \
	X("cpu", METRIC_PERCENT, 100 * r->self.busiest, "")                    \
	X("stall", METRIC_TIME, (double)r->self.longest_stall, "")             \
	X("switches", METRIC_COUNT, (double)r->self.switches, "")              \
	X("late-ours", METRIC_COUNT, (double)r->self.late_ours, "")            \
	X("late-ours%", METRIC_PERCENT,                                        \
	  b->sent > 0 ? percent_of(r->self.late_ours, b->sent) : NAN,          \
	  NO_MESSAGES)                                                         \
	X("late-server", METRIC_COUNT, (double)r->self.late_server, "")

#define AS_NAME(name, unit, value, why)	 { name, unit, why },
#define AS_VALUE(name, unit, value, why) value,

static const struct {
	const char *name;
	enum metric_unit unit;
	const char *why_absent;
} rows[] = { ROWS(AS_NAME) };

#define ROW_COUNT ((int)(sizeof(rows) / sizeof(rows[0])))

static double row_value(int row, const struct result *r)
{
	const struct counts *b = &r->counts;
	const double values[] = { ROWS(AS_VALUE) };

	return values[row];
}

int metric_count(void)
{
	return CLOCKS + ROW_COUNT;
}

void metric_describe(int number, struct metric *ret)
{
	*ret = (struct metric){ .unit = METRIC_TIME };
	if (number >= CLOCKS) {
		ret->unit = rows[number - CLOCKS].unit;
		snprintf(ret->name, sizeof(ret->name), "%s",
			 rows[number - CLOCKS].name);
	} else if (number < POINTS) {
		snprintf(ret->name, sizeof(ret->name), "%s",
			 points[number].name);
	} else {
		snprintf(ret->name, sizeof(ret->name), "%s.%s",
			 clock_names[number / POINTS - 1],
			 points[number % POINTS].name);
	}
}

double metric_percent(int number)
{
	double percent = number < CLOCKS ? points[number % POINTS].percent : 0;

	return percent < 100 ? percent : 0;
}

int metric_find(const char *name)
{
	char full[sizeof(((struct metric *)0)->name)];
	struct metric m;

	snprintf(full, sizeof(full), "%s%s",
		 strncmp(name, "lag.", 4) == 0 ? "client-" : "", name);
	for (int i = 0; i < metric_count(); i++) {
		metric_describe(i, &m);
		if (strcmp(m.name, full) == 0)
			return i;
	}
	return -1;
}

static void get_clock(int number, const struct result *r, struct metric *m)
{
	enum clock_kind kind = number < POINTS
				       ? result_main_clock(r->plan)
				       : (enum clock_kind)(number / POINTS - 1);
	const struct histogram *h = r->clocks[kind];
	double percent = points[number % POINTS].percent;
	int64_t value;

	if (!h || h->total == 0) {
		snprintf(m->why_absent, sizeof(m->why_absent), "%s",
			 h ? "no samples" : "this mode has no such clock");
		return;
	}
	if (percent > 100) {
		m->value = histogram_mean(h);
		m->is_at_least =
			kind < CENSORED_CLOCKS && r->censored[kind].count > 0;
		return;
	}
	value = result_percentile(r, kind, percent, &m->is_at_least);
	if (value < 0)
		snprintf(m->why_absent, sizeof(m->why_absent),
			 "%llu samples are too few",
			 (unsigned long long)h->total);
	else
		m->value = (double)value;
}

void metric_get(int number, const struct result *r, struct metric *ret)
{
	metric_describe(number, ret);
	if (number < CLOCKS) {
		get_clock(number, r, ret);
		return;
	}
	ret->value = row_value(number - CLOCKS, r);
	if (isnan(ret->value)) {
		ret->value = 0;
		snprintf(ret->why_absent, sizeof(ret->why_absent), "%s",
			 rows[number - CLOCKS].why_absent);
	}
}

const char *metric_names(char buf[METRIC_NAMES])
{
	size_t used = 0;
	struct metric m;

	for (int i = 0; i < metric_count() && used < METRIC_NAMES; i++) {
		if (i == POINTS)
			used += (size_t)snprintf(
				buf + used, METRIC_NAMES - used,
				"(also from-plan.p50 from-send.p50 lag.p50 "
				"connect.p50 and so on) ");
		metric_describe(i, &m);
		if (i < POINTS || i >= CLOCKS)
			used += (size_t)snprintf(
				buf + used, METRIC_NAMES - used, "%s%s", m.name,
				i + 1 < metric_count() ? " " : "");
	}
	return buf;
}

const char *metric_text(const struct metric *m, char buf[METRIC_TEXT])
{
	const char *least = m->is_at_least ? ">" : "";
	char text[UNITS_TEXT];

	if (m->unit == METRIC_TIME)
		units_time((int64_t)m->value, text);
	else if (m->unit == METRIC_BYTES)
		units_bytes_rate(m->value, text);
	else if (m->unit == METRIC_PERCENT)
		units_percent(m->value, 4, text);
	else if (m->unit == METRIC_RATE)
		units_rate(m->value, text);
	else
		units_count((uint64_t)(m->value + 0.5), text);
	snprintf(buf, METRIC_TEXT, "%s%s%s", least, text,
		 m->unit == METRIC_RATE ? "/s" : "");
	return buf;
}
