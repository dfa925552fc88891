/* SPDX-License-Identifier: MIT */
#include "metrics.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"

#define WITHOUT_RATE "there is no rate in a closed loop"
#define NO_MESSAGES  "no message was planned"

static double percent_of(uint64_t part, uint64_t whole)
{
	return 100 * (double)part / (double)whole;
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
	X("bytes-in", METRIC_BYTES, result_per_second(r, result_bytes_in(r)),  \
	  "")                                                                  \
	X("bytes-out", METRIC_BYTES,                                           \
	  result_per_second(r, result_bytes_out(r)), "")                       \
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
	X("bad", METRIC_COUNT, (double)b->bad, "")                             \
	X("swapped", METRIC_COUNT, (double)b->swapped, "")                     \
	X("unsure", METRIC_COUNT, (double)b->unsure, "")                       \
	X("missing", METRIC_COUNT, (double)b->missing, "")                     \
	X("surplus", METRIC_COUNT, (double)b->surplus, "")                     \
	X("crossed", METRIC_COUNT, (double)b->crossed, "")                     \
	X("late", METRIC_COUNT, (double)b->late, "")                           \
	X("refused", METRIC_COUNT, connect_errors(r, ECONNREFUSED), "")        \
	X("connect-failed", METRIC_COUNT, connect_errors(r, -1), "")           \
	X("full-handshakes", METRIC_COUNT, (double)b->full, "")                \
	X("resumed-handshakes", METRIC_COUNT, (double)b->resumed, "")          \
	X("handshake-failed", METRIC_COUNT,                                    \
	  (double)result_error_count(r, ERROR_HANDSHAKE, ERROR_HANDSHAKE, -1), \
	  "")                                                                  \
	X("handshake-lag%", METRIC_PERCENT, 100 * result_handshake_lag(r), "") \
	X("opened", METRIC_COUNT, r->connections.opened, "")                   \
	X("served", METRIC_COUNT, r->connections.served, "")                   \
	X("starved", METRIC_COUNT, r->connections.starved, "")                 \
	X("failed", METRIC_COUNT, r->connections.failed, "")                   \
	X("lost", METRIC_COUNT, r->connections.lost, "")                       \
	X("downtime%", METRIC_PERCENT, 100 * result_downtime(r), "")           \
	X("paused%", METRIC_PERCENT, 100 * result_paused(r), "")               \
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

#define OF_CLOCK(clock, percent)                                               \
	(struct metric_id)                                                     \
	{                                                                      \
		-1, clock, percent                                             \
	}

bool metric_read_percent(const char *text, double *ret)
{
	char *end;

	size_t len = strlen(text);

	if (len == 0 || len > 12 || strspn(text, "0123456789.") != len ||
	    text[0] == '.' || text[len - 1] == '.')
		return false;
	*ret = strtod(text, &end);
	return *end == '\0' && *ret > 0 && *ret < 100;
}

static bool read_point(const char *text, double *ret)
{
	if (text[0] == 'p')
		return metric_read_percent(text + 1, ret);
	*ret = strcmp(text, "max") == 0 ? METRIC_MAX : METRIC_MEAN;
	return *ret == METRIC_MAX || strcmp(text, "mean") == 0;
}

/* Returns where the name of a point begins. */
static const char *metrics_read_clock(const char *name, int *ret)
{
	for (int kind = 0; kind < CLOCK_KINDS; kind++) {
		size_t len = strlen(clock_names[kind]);

		*ret = kind;
		if (strncmp(name, clock_names[kind], len) == 0 &&
		    name[len] == '.')
			return name + len + 1;
	}
	*ret = strncmp(name, "lag.", 4) == 0 ? CLOCK_LAG : -1;
	return *ret < 0 ? name : name + 4;
}

bool metric_find(struct metric_id *ret, const char *name)
{
	const char *point;

	*ret = (struct metric_id){ .row = -1 };
	point = metrics_read_clock(name, &ret->clock);
	if (read_point(point, &ret->percent))
		return true;
	for (ret->row = 0; ret->row < ROW_COUNT; ret->row++)
		if (strcmp(rows[ret->row].name, name) == 0)
			return true;
	return false;
}

static bool is_in(double value, const double *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == value)
			return true;
	return false;
}

/* The usual ones, then those of the plan. */
static size_t all_percentiles(const struct plan *p, double *ret)
{
	size_t count = PLAN_PERCENTILES;

	memcpy(ret, plan_usual_percentiles, sizeof(plan_usual_percentiles));
	for (size_t i = 0; i < p->percentile_count; i++)
		if (!is_in(p->percentiles[i], ret, count))
			ret[count++] = p->percentiles[i];
	return count;
}

bool metric_at(size_t number, const struct plan *p, struct metric_id *ret)
{
	double percents[PLAN_PERCENTILES + PLAN_MORE_PERCENTILES];
	size_t count = all_percentiles(p, percents);
	size_t clocks = CLOCK_KINDS + 1, points = count + 2;

	*ret = OF_CLOCK(0, METRIC_MAX);
	if (number >= points * clocks) {
		ret->row = (int)(number - points * clocks);
		return ret->row < ROW_COUNT;
	}
	ret->clock = (int)(number / points) - 1;
	number %= points;
	if (number < count)
		ret->percent = percents[number];
	else if (number > count)
		ret->percent = METRIC_MEAN;
	return true;
}

void metric_describe(struct metric_id id, struct metric *ret)
{
	const char *clock = id.clock >= 0 ? clock_names[id.clock] : "";
	const char *dot = id.clock >= 0 ? "." : "";

	*ret = (struct metric){ .unit = METRIC_TIME };
	if (id.row >= 0) {
		ret->unit = rows[id.row].unit;
		snprintf(ret->name, sizeof(ret->name), "%s", rows[id.row].name);
	} else if (id.percent < METRIC_MAX) {
		snprintf(ret->name, sizeof(ret->name), "%s%sp%.12g", clock, dot,
			 id.percent);
	} else {
		snprintf(ret->name, sizeof(ret->name), "%s%s%s", clock, dot,
			 id.percent > METRIC_MAX ? "mean" : "max");
	}
}

double metric_percent(struct metric_id id)
{
	return id.row < 0 && id.percent < METRIC_MAX ? id.percent : 0;
}

static void get_clock(struct metric_id id, const struct result *r,
		      struct metric *m)
{
	enum clock_kind kind = id.clock < 0 ? result_main_clock(r->plan)
					    : (enum clock_kind)id.clock;
	const struct histogram *h = r->clocks[kind];
	int64_t value;

	if (!h || h->total == 0) {
		snprintf(m->why_absent, sizeof(m->why_absent), "%s",
			 h ? "no samples" : "this mode has no such clock");
		return;
	}
	if (id.percent > METRIC_MAX) {
		m->value = histogram_mean(h);
		m->is_at_least =
			kind < CENSORED_CLOCKS && r->censored[kind].count > 0;
		return;
	}
	value = result_percentile(r, kind, id.percent, &m->is_at_least);
	if (value < 0)
		snprintf(m->why_absent, sizeof(m->why_absent),
			 "%llu samples are too few",
			 (unsigned long long)h->total);
	else
		m->value = (double)value;
}

void metric_get(struct metric_id id, const struct result *r, struct metric *ret)
{
	metric_describe(id, ret);
	if (id.row < 0) {
		get_clock(id, r, ret);
		return;
	}
	ret->value = row_value(id.row, r);
	if (isnan(ret->value)) {
		ret->value = 0;
		snprintf(ret->why_absent, sizeof(ret->why_absent), "%s",
			 rows[id.row].why_absent);
	}
}

const char *metric_names(char buf[METRIC_NAMES])
{
	size_t used = (size_t)snprintf(
		buf, METRIC_NAMES,
		"p50 p99.9 (any percentile) max mean (also from-plan.p50 "
		"from-send.p50 lag.p50 connect.p50 handshake.p50 "
		"and so on)");

	for (int i = 0; i < ROW_COUNT && used < METRIC_NAMES; i++)
		used += (size_t)snprintf(buf + used, METRIC_NAMES - used, " %s",
					 rows[i].name);
	return buf;
}

const char *metric_text(const struct metric *m, char buf[METRIC_TEXT])
{
	const char *least = m->is_at_least ? ">" : "";
	char text[UNITS_TEXT];

	if (m->unit == METRIC_TIME)
		units_time(units_whole(m->value), text);
	else if (m->unit == METRIC_BYTES)
		units_bytes_rate(m->value, text);
	else if (m->unit == METRIC_PERCENT)
		units_percent(m->value, 4, text);
	else if (m->unit == METRIC_RATE)
		units_rate(m->value, text);
	else
		units_count((uint64_t)units_whole(m->value + 0.5), text);
	snprintf(buf, METRIC_TEXT, "%s%s%s", least, text,
		 m->unit == METRIC_RATE ? "/s" : "");
	return buf;
}
