/* SPDX-License-Identifier: MIT */
/*
 * Each check looks at one sign and may add a reason.  If none does, a last
 * reason says how far from the limits the run was.
 */
#include "verdict.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../measure/units.h"

static double share_of(uint64_t part, uint64_t whole)
{
	return whole > 0 ? (double)part / (double)whole : 0;
}

/* Reasons for NOT TRUSTWORTHY come first and displace others. */
__attribute__((format(printf, 3, 4))) static void
add_reason(struct result *r, enum verdict grade, const char *format, ...)
{
	size_t at = grade == VERDICT_NOT ? r->grave_count : r->reason_count;
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
	vsnprintf(r->reasons[at], sizeof(r->reasons[at]), format, args);
	va_end(args);
	r->grave_count += grade == VERDICT_NOT;
}

static void check_counts(struct result *r)
{
	const struct histogram *h = r->clocks[result_main_clock(r->plan)];

	if (!counts_balance(&r->counts))
		add_reason(r, VERDICT_NOT,
			   "the counts do not add up: a fault in weir-client");
	if (result_is_one_way(r)) {
		if (r->counts.bytes_in + r->counts.bytes_out == 0)
			add_reason(r, VERDICT_NOT, "no bytes were transferred");
	} else if (r->counts.answered == 0) {
		add_reason(r, VERDICT_NOT, "nothing was answered");
	} else if (r->counts.answered < VERDICT_REPLIES_CARE) {
		add_reason(r, VERDICT_WITH_CARE,
			   "%" PRIu64
			   " replies are too few for high percentiles",
			   r->counts.answered);
	}
	if (h && h->clamped > 0)
		add_reason(r, VERDICT_WITH_CARE,
			   "%" PRIu64 " replies took more than an hour",
			   h->clamped);
}

static void check_absent(struct result *r, int count, const char *what)
{
	int asked = r->connections.asked;

	if (count > 0 && count == asked)
		add_reason(r, VERDICT_NOT, "all %d connections %s", asked,
			   what);
	else if (count > 0)
		add_reason(r,
			   count >= VERDICT_ABSENT_NOT * asked
				   ? VERDICT_NOT
				   : VERDICT_WITH_CARE,
			   "%d of %d connections %s: the figures describe the "
			   "others",
			   count, asked, what);
}

static void check_lateness(struct result *r)
{
	double late = share_of(r->self.late_ours, r->counts.sent);
	char percent[UNITS_TEXT], worst[UNITS_TEXT];

	if (r->plan->schedule == PLAN_CLOSED || late < VERDICT_LATE_CARE)
		return;
	add_reason(r,
		   late >= VERDICT_LATE_NOT ? VERDICT_NOT : VERDICT_WITH_CARE,
		   "this client sent %s of messages late, up to %s",
		   units_percent(100 * late, 2, percent),
		   units_time(r->self.late_ours_max, worst));
}

static double asked_for(const struct result *r)
{
	return r->plan->rate * (double)r->elapsed / 1e9;
}

/* Poisson schedules vary: allow five standard deviations. */
static bool has_planned_less(const struct result *r)
{
	double asked = asked_for(r);
	double missing = asked - (double)r->counts.planned;

	return (double)r->counts.planned < VERDICT_PLAN_NOT * asked &&
	       missing * missing > 25 * asked;
}

static void check_rate(struct result *r)
{
	double answered = (double)result_answered_in_time(r);

	if (r->plan->schedule == PLAN_CLOSED || asked_for(r) < 1 || r->is_cut)
		return;
	if (has_planned_less(r))
		add_reason(
			r, VERDICT_NOT,
			"this client planned only %.1f%% of the rate asked for",
			100 * (double)r->counts.planned / asked_for(r));
	else if (answered < VERDICT_RATE_CARE * (double)r->counts.planned)
		add_reason(r, VERDICT_WITH_CARE,
			   "only %.1f%% of the planned messages were answered",
			   100 * answered / (double)r->counts.planned);
}

bool verdict_is_our_limit(const struct result *r)
{
	return share_of(r->self.late_ours, r->counts.sent) >=
		       VERDICT_LATE_NOT ||
	       r->self.busiest >= VERDICT_BUSY_NOT || has_planned_less(r);
}

static void check_self(struct result *r)
{
	const struct self *s = &r->self;
	bool is_busy = s->busiest >= VERDICT_BUSY_NOT;
	bool is_stuck = (double)s->longest_stall >=
			VERDICT_STALL_NOT * (double)r->elapsed;
	char stall[UNITS_TEXT];

	if (s->busiest >= VERDICT_BUSY_CARE)
		add_reason(
			r, is_busy ? VERDICT_NOT : VERDICT_WITH_CARE,
			"a thread of this client was busy %.0f%% of the time: "
			"replies waited for it",
			100 * s->busiest);
	if (s->longest_stall >= VERDICT_STALL_CARE_NS)
		add_reason(
			r, is_stuck ? VERDICT_NOT : VERDICT_WITH_CARE,
			"this client stalled for %s; the highest latencies may "
			"be its own",
			units_time(s->longest_stall, stall));
}

static void check_switches(struct result *r)
{
	double seconds = (double)r->elapsed / 1e9 * r->plan->threads;
	double rate = seconds > 0 ? (double)r->self.switches / seconds : 0;
	char text[UNITS_TEXT];

	if (r->verdict != VERDICT_TRUSTWORTHY && rate >= VERDICT_SWITCHES_CARE)
		add_reason(r, VERDICT_WITH_CARE,
			   "this client was preempted %s times per second%s",
			   units_rate(rate, text),
			   r->plan->threads > 1 ? " on each thread" : "");
}

/*
 * Little's law: the sum of latencies divided by the time is the mean number of
 * messages under way.
 */
static void check_little(struct result *r)
{
	const struct histogram *h = r->clocks[CLOCK_FROM_SEND];
	double room = (double)r->connections.served * r->plan->depth;
	double filled;

	if (r->plan->mode != PLAN_EXCHANGE || !h || h->total == 0 ||
	    r->plan->schedule != PLAN_CLOSED || r->elapsed <= 0 || room < 1 ||
	    r->connections.ended > 0)
		return;
	filled = h->sum / (double)r->elapsed / room;
	if (filled < VERDICT_BUSY_CONNECTIONS_CARE)
		add_reason(
			r,
			filled < VERDICT_BUSY_CONNECTIONS_NOT
				? VERDICT_NOT
				: VERDICT_WITH_CARE,
			"connections waited for this client %.0f%% of the time",
			100 * (1 - filled));
}

void verdict_judge(struct result *r)
{
	const struct self *s = &r->self;
	char stall[UNITS_TEXT], percent[UNITS_TEXT];

	r->verdict = VERDICT_TRUSTWORTHY;
	r->reason_count = 0;
	r->grave_count = 0;
	check_counts(r);
	check_absent(r, r->connections.starved, "were never served");
	check_absent(r, r->connections.failed, "could not be made");
	check_lateness(r);
	check_rate(r);
	check_little(r);
	check_self(r);
	check_switches(r);
	if (r->reason_count > 0)
		return;
	if (r->plan->schedule != PLAN_CLOSED)
		add_reason(
			r, VERDICT_TRUSTWORTHY,
			"this client sent %s of messages late and used %.0f%% "
			"of a core",
			units_percent(
				100 * share_of(s->late_ours, r->counts.sent), 2,
				percent),
			100 * s->busiest);
	else
		add_reason(r, VERDICT_TRUSTWORTHY,
			   "this client used %.0f%% of a core; its longest "
			   "stall was "
			   "%s",
			   100 * s->busiest,
			   units_time(s->longest_stall, stall));
}
