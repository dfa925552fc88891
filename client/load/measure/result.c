/* SPDX-License-Identifier: MIT */
#include "result.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A percentile that unanswered messages may raise by more is a lower bound. */
#define WORSE 1.05

const char *const clock_names[CLOCK_KINDS] = {
	[CLOCK_FROM_PLAN] = "from-plan", [CLOCK_FROM_SEND] = "from-send",
	[CLOCK_LAG] = "client-lag",	 [CLOCK_CONNECT] = "connect",
	[CLOCK_HANDSHAKE] = "handshake", [CLOCK_ONCE] = "once",
};

const char *const error_phase_names[ERROR_PHASES] = {
	[ERROR_SOCKET] = "socket",   [ERROR_BIND] = "bind",
	[ERROR_CONNECT] = "connect", [ERROR_HANDSHAKE] = "handshake",
	[ERROR_BANNER] = "banner",   [ERROR_SEND] = "send",
	[ERROR_REPLY] = "reply",     [ERROR_BETWEEN] = "between",
	[ERROR_END] = "end",
};

const char *const verdict_names[] = {
	[VERDICT_TRUSTWORTHY] = "TRUSTWORTHY",
	[VERDICT_WITH_CARE] = "WITH CARE",
	[VERDICT_NOT] = "NOT TRUSTWORTHY",
};

enum clock_kind result_main_clock(const struct plan *p)
{
	return p->schedule != PLAN_CLOSED || p->mode == PLAN_CHURN
		       ? CLOCK_FROM_PLAN
		       : CLOCK_FROM_SEND;
}

uint64_t result_answered_in_time(const struct result *r)
{
	return r->counts.answered - r->counts.drained;
}

double result_per_second(const struct result *r, uint64_t count)
{
	return r->elapsed > 0 ? (double)count * 1e9 / (double)r->elapsed : 0;
}

double result_rate(const struct result *r)
{
	return result_per_second(r, result_answered_in_time(r));
}

/* A file may have any counts. */
static uint64_t bytes_in_time(uint64_t all, uint64_t part)
{
	return part < all ? all - part : 0;
}

uint64_t result_bytes_out(const struct result *r)
{
	return bytes_in_time(r->counts.bytes_out, r->counts.drained_out);
}

uint64_t result_bytes_in(const struct result *r)
{
	return bytes_in_time(r->counts.bytes_in, r->counts.drained_in);
}

/* The percentile if no unanswered message were ever answered. */
static double worst_percentile(const struct histogram *h,
			       const struct censored *c, double percent)
{
	double worst = percent + 100 * (double)c->count / (double)h->total;

	return worst > 100 ? INFINITY : (double)histogram_percentile(h, worst);
}

int64_t censored_percentile(const struct histogram *h, const struct censored *c,
			    double percent, bool *is_more)
{
	int64_t value =
		percent < 100 ? histogram_percentile(h, percent) : h->max;

	*is_more = h->total > 0 && c->count > 0 && value >= c->min &&
		   worst_percentile(h, c, percent) > WORSE * (double)value;
	if (h->clamped > 0 && value >= HISTOGRAM_HIGHEST)
		*is_more = true;
	return h->total > 0 ? value : 0;
}

double result_lateness(const struct result *r, double percent, int64_t *without)
{
	const struct histogram *h = r->clocks[CLOCK_FROM_PLAN];
	int64_t with;

	*without = 0;
	if (!h || !r->without_lag || !histogram_has_percentile(h, percent) ||
	    !histogram_has_percentile(r->without_lag, percent))
		return 0;
	with = histogram_percentile(h, percent);
	*without = histogram_percentile(r->without_lag, percent);
	if (with - *without <= LATE_NS)
		return 0;
	return (double)(with - *without) /
	       (double)(*without > 0 ? *without : 1);
}

void censored_add(struct censored *to, const struct censored *from)
{
	to->count += from->count;
	if (from->min < to->min)
		to->min = from->min;
}

int64_t result_percentile(const struct result *r, enum clock_kind kind,
			  double percent, bool *is_more)
{
	static const struct censored none = { 0, INT64_MAX };
	const struct histogram *h = r->clocks[kind];

	*is_more = false;
	if (!h || h->total == 0 ||
	    (percent < 100 && !histogram_has_percentile(h, percent)))
		return -1;
	return censored_percentile(
		h, kind < CENSORED_CLOCKS ? &r->censored[kind] : &none, percent,
		is_more);
}

size_t result_measured_seconds(const struct result *r)
{
	size_t count = r->second_count;

	while (count > 0 && r->seconds[count - 1].is_drain)
		count--;
	return count;
}

bool result_is_one_way(const struct result *r)
{
	return r->plan->mode == PLAN_UPLOAD || r->plan->mode == PLAN_DOWNLOAD;
}

bool result_has_any(const struct result *r)
{
	if (r->plan->mode == PLAN_UPLOAD)
		return r->counts.bytes_out > 0;
	if (r->plan->mode == PLAN_DOWNLOAD)
		return r->counts.bytes_in > 0;
	return r->counts.answered > 0;
}

bool result_has_ended_early(const struct result *r)
{
	const struct plan *p = r->plan;
	const struct conn_counts *c = &r->connections;
	bool has_time_left =
		p->duration_ns == INT64_MAX || r->elapsed < p->duration_ns;
	/* An open loop plans what it could not send, too. */
	bool has_unsent = r->counts.never_sent > 0 && p->mode != PLAN_CHURN &&
			  c->lost + c->failed == c->asked;

	if (r->id_count > 0) /* a sum */
		return r->has_early_end;
	return !r->is_cut && !r->is_stopped && has_time_left &&
	       (p->count == 0 || r->counts.planned < p->count || has_unsent);
}

double result_downtime(const struct result *r)
{
	double time = (double)r->elapsed * r->connections.asked;

	return time > 0 ? (double)r->connections.down_ns / time : 0;
}

double result_paused(const struct result *r)
{
	const struct conn_counts *c = &r->connections;

	return c->down_ns > 0 ? (double)c->paused_ns / (double)c->down_ns : 0;
}

double result_handshake_lag(const struct result *r)
{
	const struct histogram *h = r->clocks[CLOCK_HANDSHAKE];

	return h && h->sum > 0 ? (double)r->self.handshake_lag / h->sum : 0;
}

uint64_t result_error_count(const struct result *r, enum error_phase first,
			    enum error_phase last, int error)
{
	uint64_t count = 0;

	for (size_t i = 0; i < r->errors.used; i++) {
		const struct error_row *row = &r->errors.rows[i];

		if (row->phase >= first && row->phase <= last &&
		    (error < 0 || row->error == error))
			count += row->count;
	}
	return count;
}

uint64_t counts_errors(const struct counts *b)
{
	return b->timed_out + b->reset + b->closed_early + b->wrong + b->bad +
	       b->swapped + b->surplus + b->crossed;
}

uint64_t result_errors(const struct result *r)
{
	return counts_errors(&r->counts) +
	       result_error_count(r, ERROR_SOCKET, ERROR_BANNER, -1);
}

void error_table_add(struct error_table *t, const struct error_row *from)
{
	struct error_row *row = t->rows;

	while (row < t->rows + t->used &&
	       (row->phase != from->phase || row->error != from->error))
		row++;
	if (row == t->rows + ERROR_ROWS) {
		t->other += from->count;
		return;
	}
	if (row == t->rows + t->used) {
		t->used++;
		*row = *from;
		return;
	}
	row->count += from->count;
	if (from->last_at > row->last_at)
		row->last_at = from->last_at;
	if (from->first_at < row->first_at)
		row->first_at = from->first_at;
}

const char *result_error_text(const struct result *r,
			      const struct error_row *row)
{
	if (row->error == EPROTO && r->tls_why)
		return r->tls_why;
	return row->error ? strerror(row->error) : "end of input";
}

bool counts_balance(const struct counts *b)
{
	return b->planned == b->sent + b->never_sent &&
	       b->sent == b->answered + b->timed_out + b->reset +
				  b->closed_early + b->open;
}

void result_free(struct result *r)
{
	for (int i = 0; i < CLOCK_KINDS; i++)
		free(r->clocks[i]);
	free(r->without_lag);
	free(r->without_bad_clients);
	free(r->with_bad_clients);
	free(r->seconds);
}
