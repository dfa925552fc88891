/* SPDX-License-Identifier: MIT */
/*
 * Each check looks at one sign and may add a reason.  If none does, a last
 * reason says how far from the limits the run was.
 */
#include "verdict.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../../../cli/text.h"
#include "../measure/units.h"

/* To a double, on processors that compute with more bits, too. */
static double rounded(double value)
{
	volatile double ret = value;

	return ret;
}

static double share_of(uint64_t part, uint64_t whole)
{
	return whole > 0 ? rounded((double)part / (double)whole) : 0;
}

void verdict_add(struct result *r, enum verdict grade, const char *format, ...)
{
	size_t at = grade == VERDICT_NOT ? r->grave_count : r->reason_count;
	char text[sizeof(r->reasons[0])]; /* perhaps of a file, and cut */
	va_list args;

	if (grade > r->verdict)
		r->verdict = grade;
	if (at == REASONS_MAX)
		return;
	if (r->reason_count < REASONS_MAX)
		r->reason_count++;
	memmove(&r->reasons[at] + 1, &r->reasons[at],
		(r->reason_count - 1 - at) * sizeof(r->reasons[0]));
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	cli_escape(r->reasons[at], sizeof(r->reasons[at]), text, strlen(text),
		   CLI_KEEP_UTF8);
	r->grave_count += grade == VERDICT_NOT;
}

/* The run is not the one that was asked for, whatever its figures are worth. */
#define add_shortfall(r, ...)                                                  \
	((r)->is_incomplete = true, verdict_add(r, VERDICT_NOT, __VA_ARGS__))

static void check_counts(struct result *r)
{
	const struct histogram *h = r->clocks[result_main_clock(r->plan)];

	if (!counts_balance(&r->counts))
		verdict_add(r, VERDICT_NOT,
			    "the counts do not add up: a fault in weir-client");
	if (!result_has_any(r))
		add_shortfall(r, "%s",
			      result_is_one_way(r) ? "no bytes were transferred"
						   : "nothing was answered");
	else if (!result_is_one_way(r) &&
		 r->counts.answered < VERDICT_REPLIES_CARE)
		verdict_add(r, VERDICT_WITH_CARE,
			    "%" PRIu64
			    " replies are too few for high percentiles",
			    r->counts.answered);
	if (h && h->clamped > 0)
		verdict_add(r, VERDICT_WITH_CARE,
			    "%" PRIu64 " replies took more than an hour",
			    h->clamped);
}

/* "2.00ms of 10.0s", or how many messages of how many were sent. */
static const char *how_far(const struct result *r, char buf[96])
{
	const struct plan *p = r->plan;
	char took[UNITS_TEXT], planned[UNITS_TEXT];

	units_time(r->elapsed, took);
	if (p->count > 0)
		snprintf(buf, 96, "%s, with %" PRIu64 " of %" PRIu64 " sent",
			 took, r->counts.sent, p->count);
	else if (p->duration_ns == INT64_MAX)
		snprintf(buf, 96, "%s", took);
	else
		snprintf(buf, 96, "%s of %s", took,
			 units_time(p->duration_ns, planned));
	return buf;
}

static void verdict_check_end(struct result *r)
{
	char text[96];

	if (r->is_cut) {
		r->is_incomplete = true;
		verdict_add(r, VERDICT_WITH_CARE,
			    "the run was cut short after %s", how_far(r, text));
	} else if (r->is_stopped) {
		r->is_incomplete = true;
		verdict_add(r, VERDICT_WITH_CARE,
			    "a gate could not pass any more after %s",
			    how_far(r, text));
	} else if (result_has_ended_early(r)) {
		add_shortfall(r,
			      "the run ended after %s: no connection was left",
			      how_far(r, text));
	}
}

static void check_start(struct result *r)
{
	char late[UNITS_TEXT];

	if (r->late_start > 0)
		verdict_add(r, VERDICT_NOT,
			    "connecting took too long: the run began %s after "
			    "--start-at",
			    units_time(r->late_start, late));
}

static void check_absent(struct result *r, int count, int asked,
			 const char *what, const char *so)
{
	if (count > 0 && count == asked)
		add_shortfall(r, "all %d %s", asked, what);
	else if (count > 0 && count >= rounded(VERDICT_ABSENT_NOT * asked))
		add_shortfall(r, "%d of %d %s%s", count, asked, what, so);
	else if (count > 0)
		verdict_add(r, VERDICT_WITH_CARE, "%d of %d %s%s", count, asked,
			    what, so);
}

static void check_connections(struct result *r)
{
	static const char so[] = ": the figures describe the others";
	const struct conn_counts *c = &r->connections;
	char lost[64], at[UNITS_TEXT];

	snprintf(lost, sizeof(lost), "connections were lost, from %s on",
		 units_time(c->lost_at, at));
	check_absent(r, c->lost, c->asked, lost, so);
	check_absent(r, c->starved, c->asked, "connections were never served",
		     so);
	check_absent(r, c->failed, c->asked, "connections could not be made",
		     so);
	check_absent(r, c->idle_asked - c->idle_open, c->idle_asked,
		     "silent connections were not kept", "");
}

/* check_connections() reports losses that are not made good. */
static void check_downtime(struct result *r)
{
	double down = result_downtime(r), paused = result_paused(r);
	char text[128];

	if (!r->plan->reconnect || down < VERDICT_DOWN_CARE)
		return;
	snprintf(text, sizeof(text),
		 "connections were lost %.0f%% of the time, %.0f%% of it in "
		 "pauses of this client",
		 100 * down, 100 * paused);
	if (down >= VERDICT_DOWN_NOT)
		add_shortfall(r, "%s", text);
	else
		verdict_add(r, VERDICT_WITH_CARE, "%s", text);
}

static const struct {
	int error;
	const char *what;
} shortages[] = {
	{ EADDRNOTAVAIL, "local ports" },
	{ EMFILE, "descriptors" },
	{ ENFILE, "descriptors" },
	{ ENOBUFS, "memory" },
	{ ENOMEM, "memory" },
};

#define SHORTAGES (sizeof(shortages) / sizeof(shortages[0]))

static uint64_t shortage(const struct result *r, size_t kind)
{
	return result_error_count(r, ERROR_SOCKET, ERROR_CONNECT,
				  shortages[kind].error);
}

/* Of the connections that were tried. */
static bool is_grave_shortage(const struct result *r, uint64_t count)
{
	double tried = r->plan->mode == PLAN_CHURN
			       ? (double)r->counts.planned
			       : (double)r->connections.asked;

	return count > 0 &&
	       (double)count >= rounded(VERDICT_SHORTAGE_NOT * tried);
}

static void check_shortage(struct result *r)
{
	for (size_t i = 0; i < SHORTAGES; i++) {
		uint64_t count = shortage(r, i);
		const char *what = shortages[i].what;

		if (is_grave_shortage(r, count))
			add_shortfall(r,
				      "this client was short of %s for %" PRIu64
				      " connections",
				      what, count);
		else if (count > 0)
			verdict_add(r, VERDICT_WITH_CARE,
				    "this client was short of %s for %" PRIu64
				    " connections",
				    what, count);
	}
}

static void check_lateness(struct result *r)
{
	static const double percents[] = { 99, 50, 99.9 };
	char with[UNITS_TEXT], text[UNITS_TEXT];
	int64_t without;

	for (size_t i = 0; i < 3; i++) {
		double more = result_lateness(r, percents[i], &without);

		if (more <= VERDICT_LATENESS)
			continue;
		units_time(histogram_percentile(r->clocks[CLOCK_FROM_PLAN],
						percents[i]),
			   with);
		verdict_add(r,
			    percents[i] > 99 ? VERDICT_WITH_CARE : VERDICT_NOT,
			    "this client sent late: p%g is %s, and %s without "
			    "its delay",
			    percents[i], with, units_time(without, text));
		return;
	}
}

static double asked_for(const struct result *r)
{
	double asked = r->plan->rate * (double)r->elapsed / 1e9;
	double count = (double)r->plan->count;

	return count > 0 && count < asked ? count : asked;
}

/* Poisson schedules vary: allow five standard deviations. */
static bool has_planned_less(const struct result *r)
{
	double asked = asked_for(r);
	double missing = asked - (double)r->counts.planned;

	return (double)r->counts.planned < rounded(VERDICT_PLAN_NOT * asked) &&
	       missing * missing > 25 * asked;
}

static void check_answered(struct result *r)
{
	double answered = (double)result_answered_in_time(r);
	double planned = (double)r->counts.planned;

	if (answered < rounded(VERDICT_RATE_NOT * planned))
		add_shortfall(
			r, "only %.1f%% of the planned messages were answered",
			100 * answered / planned);
	else if (answered < rounded(VERDICT_RATE_CARE * planned))
		verdict_add(r, VERDICT_WITH_CARE,
			    "only %.1f%% of the planned messages were answered",
			    100 * answered / planned);
}

static void check_rate(struct result *r)
{
	if (r->is_cut || r->is_stopped)
		return;
	if (has_planned_less(r))
		verdict_add(
			r, VERDICT_NOT,
			"this client planned only %.1f%% of the rate asked for",
			100 * (double)r->counts.planned / asked_for(r));
	else
		check_answered(r);
}

bool verdict_is_our_limit(const struct result *r)
{
	int64_t without;

	for (size_t i = 0; i < SHORTAGES; i++)
		if (is_grave_shortage(r, shortage(r, i)))
			return true;
	return result_lateness(r, 50, &without) > VERDICT_LATENESS ||
	       result_lateness(r, 99, &without) > VERDICT_LATENESS ||
	       r->self.busiest >= VERDICT_BUSY_NOT || has_planned_less(r);
}

static void check_self(struct result *r)
{
	const struct self *s = &r->self;
	bool is_busy = s->busiest >= VERDICT_BUSY_NOT;
	/* It may have been in the wait for the last replies. */
	double watched = (double)(r->elapsed + s->awaited_ns);
	bool is_stuck = (double)s->longest_stall >=
			rounded(VERDICT_STALL_NOT * watched);
	char stall[UNITS_TEXT];

	if (s->busiest >= VERDICT_BUSY_CARE)
		verdict_add(
			r, is_busy ? VERDICT_NOT : VERDICT_WITH_CARE,
			"a thread of this client was busy %.0f%% of the time: "
			"replies waited for it",
			100 * s->busiest);
	if (s->longest_stall >= VERDICT_STALL_CARE_NS)
		verdict_add(
			r, is_stuck ? VERDICT_NOT : VERDICT_WITH_CARE,
			"this client stalled for %s; the highest latencies may "
			"be its own",
			units_time(s->longest_stall, stall));
}

static void check_switches(struct result *r)
{
	/* A rate needs a second. */
	double seconds =
		fmax((double)r->self.measured_ns / 1e9, 1) * r->plan->threads;
	double rate = (double)r->self.switches / seconds;
	char text[UNITS_TEXT];

	if (r->verdict != VERDICT_TRUSTWORTHY && rate >= VERDICT_SWITCHES_CARE)
		verdict_add(r, VERDICT_WITH_CARE,
			    "this client was preempted %s times per second%s",
			    units_rate(rate, text),
			    r->plan->threads > 1 ? " on each thread" : "");
}

/* Errors may be answered faster than good replies. */
static void check_replies(struct result *r)
{
	uint64_t count = r->counts.bad + r->counts.wrong;
	double share = share_of(count, r->counts.answered);
	static const char format[] =
		"%" PRIu64 " of %" PRIu64 " replies were not good: the figures "
		"describe errors, too";

	if (share >= VERDICT_BAD_NOT)
		add_shortfall(r, format, count, r->counts.answered);
	else if (count > 0)
		verdict_add(r, VERDICT_WITH_CARE, format, count,
			    r->counts.answered);
}

/* Without a comparison, other bytes may have been taken for replies. */
static void check_unframed(struct result *r)
{
	const struct counts *b = &r->counts;
	bool is_compared = r->plan->expect != EXPECT_FRAMED;
	uint64_t count = b->surplus + b->crossed;

	if (b->unsure > 0)
		verdict_add(r, VERDICT_WITH_CARE,
			    "%" PRIu64 " of %" PRIu64
			    " replies may be pieces of one: give their end, as "
			    "in --expect any:10ms",
			    b->unsure, b->answered);
	if (count > 0)
		verdict_add(r,
			    share_of(count, b->answered) >= VERDICT_SURPLUS_NOT
				    ? VERDICT_NOT
				    : VERDICT_WITH_CARE,
			    "%" PRIu64 " times bytes came %s", count,
			    is_compared
				    ? "that answer no message of their "
				      "connection"
				    : "without a message: is --expect right?");
}

/*
 * Little's law: the sum of latencies divided by the time is the mean number of
 * messages under way.  It is compared with the number that the connections had
 * room for; a connection that rests as planned counts as full.
 */
static void check_little(struct result *r)
{
	const struct histogram *h = r->clocks[CLOCK_FROM_SEND];
	double room = (double)r->connections.served_ns * r->plan->depth;
	double filled;

	if (r->plan->mode != PLAN_EXCHANGE || !h || h->total == 0 ||
	    r->plan->schedule != PLAN_CLOSED || room < 1)
		return;
	filled = (h->sum + (double)r->connections.rested_ns -
		  (double)r->connections.after_ns) /
		 room;
	if (filled < VERDICT_BUSY_CONNECTIONS_CARE)
		verdict_add(
			r,
			filled < VERDICT_BUSY_CONNECTIONS_NOT
				? VERDICT_NOT
				: VERDICT_WITH_CARE,
			"connections waited for this client %.0f%% of the time",
			100 * (1 - filled));
}

/* Without churn the handshakes before the run, all at once, are counted too. */
static void check_handshakes(struct result *r)
{
	double lag = result_handshake_lag(r);

	if (r->plan->mode == PLAN_CHURN && lag >= VERDICT_HANDSHAKE_LAG_CARE)
		verdict_add(r, VERDICT_WITH_CARE,
			    "handshakes waited for this client for up to "
			    "%.0f%% of their time: use more threads (-T)",
			    100 * lag);
}

void verdict_judge(struct result *r)
{
	const struct self *s = &r->self;
	char stall[UNITS_TEXT], percent[UNITS_TEXT];

	r->verdict = VERDICT_TRUSTWORTHY;
	r->reason_count = 0;
	r->grave_count = 0;
	r->is_incomplete = false;
	verdict_check_end(r);
	check_start(r);
	check_counts(r);
	check_shortage(r);
	check_connections(r);
	check_downtime(r);
	check_lateness(r);
	check_rate(r);
	check_little(r);
	check_handshakes(r);
	check_replies(r);
	check_unframed(r);
	check_self(r);
	check_switches(r);
	if (r->reason_count > 0)
		return;
	if (r->plan->schedule != PLAN_CLOSED)
		verdict_add(
			r, VERDICT_TRUSTWORTHY,
			"this client sent %s of messages late and used %.0f%% "
			"of a core",
			units_percent(
				100 * share_of(s->late_ours, r->counts.sent), 2,
				percent),
			100 * s->busiest);
	else
		verdict_add(r, VERDICT_TRUSTWORTHY,
			    "this client used %.0f%% of a core; its longest "
			    "stall was "
			    "%s",
			    100 * s->busiest,
			    units_time(s->longest_stall, stall));
}
