/* SPDX-License-Identifier: MIT */
#include "summary.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"

/*
 * A first piece shorter than this joins the first second.  A last piece
 * shorter than this gets a row only if it has samples.
 */
#define ROW_MIN (SECOND / 20)

static bool new_histogram(struct histogram **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret;
}

struct interval *interval_new(void)
{
	struct interval *i = calloc(1, sizeof(*i));
	bool is_there;

	if (!i)
		return NULL;
	for (int k = 0; k < CENSORED_CLOCKS; k++)
		i->censored[k].min = NEVER;
	is_there = new_histogram(&i->without_lag);
	for (int k = 0; k < CLOCK_KINDS; k++)
		is_there = is_there && new_histogram(&i->clocks[k]);
	if (is_there)
		return i;
	interval_free(i);
	return NULL;
}

void interval_free(struct interval *i)
{
	for (int k = 0; i && k < CLOCK_KINDS; k++)
		free(i->clocks[k]);
	if (i)
		free(i->without_lag);
	free(i);
}

static bool has_clock(const struct plan *p, enum clock_kind k)
{
	bool is_exchange = p->mode == PLAN_EXCHANGE || p->mode == PLAN_CHURN;

	switch (k) {
	case CLOCK_FROM_PLAN:
		return is_exchange && result_main_clock(p) == k;
	case CLOCK_FROM_SEND:
	case CLOCK_LAG:
		return is_exchange;
	case CLOCK_HANDSHAKE:
		return p->tls.is_wanted;
	case CLOCK_ONCE:
		return p->script && p->script->parts[SCRIPT_ONCE].count > 0;
	default:
		return true;
	}
}

/* If so, the lateness of each message is known. */
static bool has_planned_sends(const struct plan *p)
{
	return p->mode == PLAN_EXCHANGE && p->schedule != PLAN_CLOSED;
}

static bool plans_bad_clients(const struct plan *p)
{
	for (int k = 0; k < BAD_CLIENT_KINDS; k++)
		if (p->bad_clients[k] > 0)
			return true;
	return false;
}

int summary_init(struct summary *s, const struct plan *plan)
{
	struct result *r = s->result;
	bool is_there = true;

	s->measure_at = s->bad_clients_from = s->bad_clients_to = NEVER;
	s->from = s->to = s->end_at = NEVER;
	for (int k = 0; k < CENSORED_CLOCKS; k++)
		r->censored[k].min = NEVER;
	for (int k = 0; k < CENSORED_CLOCKS; k++)
		s->censored[k].min = NEVER;
	r->with_censored.min = r->without_censored.min = NEVER;
	for (int k = 0; k < CLOCK_KINDS; k++) {
		is_there = is_there && new_histogram(&s->second[k]);
		if (has_clock(plan, (enum clock_kind)k))
			is_there = is_there && new_histogram(&r->clocks[k]);
	}
	if (has_planned_sends(plan))
		is_there = is_there && new_histogram(&r->without_lag);
	if (plans_bad_clients(plan))
		is_there = is_there && new_histogram(&r->with_bad_clients) &&
			   new_histogram(&r->without_bad_clients);
	return is_there ? 0 : -ENOMEM;
}

void summary_fini(struct summary *s)
{
	for (int k = 0; k < CLOCK_KINDS; k++)
		free(s->second[k]);
	free(s->replies);
}

void summary_start(struct summary *s, int64_t measure_at)
{
	s->measure_at = measure_at;
}

void summary_set_bad_clients(struct summary *s, int64_t from, int64_t to)
{
	s->bad_clients_from = from;
	s->bad_clients_to = to;
}

static void counts_add(struct counts *to, const struct counts *from)
{
	uint64_t *t = (uint64_t *)to;
	const uint64_t *f = (const uint64_t *)from;

	for (size_t i = 0; i < sizeof(*to) / sizeof(*t); i++)
		t[i] += f[i];
}

static void keep_max(int64_t *max, int64_t value)
{
	if (value > *max)
		*max = value;
}

void summary_add(struct summary *s, struct interval *i)
{
	struct result *r = s->result;

	for (int k = 0; k < CLOCK_KINDS; k++) {
		histogram_add(s->second[k], i->clocks[k]);
		if (r->clocks[k])
			histogram_add(r->clocks[k], i->clocks[k]);
		histogram_clear(i->clocks[k]);
	}
	counts_add(&s->counts, &i->counts);
	counts_add(&r->counts, &i->counts);
	s->second_failed += i->failed;
	s->failed += i->failed;
	for (size_t n = 0; n < i->errors.used; n++)
		error_table_add(&r->errors, &i->errors.rows[n]);
	r->errors.other += i->errors.other;
	r->connections.reopened += i->reopened;
	r->connections.ended += i->ended;
	r->self.late_ours += i->late_ours;
	r->self.late_server += i->late_server;
	keep_max(&r->self.late_ours_max, i->late_ours_max);
	keep_max(&r->self.late_server_max, i->late_server_max);
	r->self.handshake_lag += i->handshake_lag;
	for (int k = 0; k < CENSORED_CLOCKS; k++) {
		censored_add(&r->censored[k], &i->censored[k]);
		censored_add(&s->censored[k], &i->censored[k]);
	}
	if (s->from == NEVER || i->from < s->from)
		s->from = i->from;
	if (s->to == NEVER || i->to > s->to)
		s->to = i->to;
	if (r->without_lag)
		histogram_add(r->without_lag, i->without_lag);
	histogram_clear(i->without_lag);
	*i = (struct interval){ .without_lag = i->without_lag,
				.censored = { { 0, NEVER }, { 0, NEVER } },
				.clocks = { i->clocks[0], i->clocks[1],
					    i->clocks[2], i->clocks[3],
					    i->clocks[4], i->clocks[5] } };
}

static struct second *new_row(struct summary *s)
{
	struct result *r = s->result;

	if (r->second_count == s->seconds_cap) {
		size_t cap = s->seconds_cap ? 2 * s->seconds_cap : 64;
		struct second *rows =
			reallocarray(r->seconds, cap, sizeof(*rows));

		if (!rows)
			return NULL; /* the totals are right without it */
		r->seconds = rows;
		s->seconds_cap = cap;
	}
	return &r->seconds[r->second_count++];
}

/*
 * Were they there for half of this second or, if they stayed for less than
 * that, for half of their time?
 */
static bool has_bad_clients(const struct summary *s)
{
	int64_t from =
		s->from > s->bad_clients_from ? s->from : s->bad_clients_from;
	int64_t to = s->to < s->bad_clients_to ? s->to : s->bad_clients_to;
	int64_t stay = s->bad_clients_to - s->bad_clients_from;
	int64_t length = s->to - s->from;

	return s->result->with_bad_clients && to > from &&
	       2 * (to - from) >= (stay < length ? stay : length);
}

static void fill_row(struct second *row, const struct summary *s, int open)
{
	static const double percents[SECOND_POINTS] = { 50, 90, 99, 99.9, 100 };
	enum clock_kind main = result_main_clock(s->result->plan);
	const struct histogram *h = s->second[main];
	int64_t *const values[SECOND_POINTS] = { &row->p50, &row->p90,
						 &row->p99, &row->p999,
						 &row->max };

	*row = (struct second){
		.at = s->from - s->measure_at,
		.length = s->to - s->from,
		.answered = s->counts.answered,
		.errors = counts_errors(&s->counts) + s->second_failed,
		.bytes_in = s->counts.bytes_in,
		.bytes_out = s->counts.bytes_out,
		.open = open,
		.is_drain = s->from >= s->end_at,
		.has_bad_clients = has_bad_clients(s),
	};
	for (int i = 0; i < SECOND_POINTS; i++)
		*values[i] = censored_percentile(h, &s->censored[main],
						 percents[i], &row->is_more[i]);
}

static bool has_samples(const struct summary *s)
{
	bool has_any = s->counts.bytes_in + s->counts.bytes_out +
			       counts_errors(&s->counts) + s->second_failed >
		       0;

	for (int k = 0; k < CLOCK_KINDS; k++)
		has_any = has_any || s->second[k]->total > 0;
	return has_any;
}

const struct second *summary_end_second(struct summary *s, int open,
					bool is_last)
{
	struct result *r = s->result;
	struct second *row;
	enum clock_kind main = result_main_clock(r->plan);

	/* Errors so far belong to the warm-up. */
	if (s->from != NEVER && !s->is_measuring && !is_last) {
		s->is_measuring = true;
		s->second_failed = 0;
	}
	if (s->from == NEVER || s->to <= s->measure_at ||
	    s->to <= s->ended_at ||
	    (s->to - s->measure_at < ROW_MIN && !is_last) ||
	    (s->to - s->from < ROW_MIN && !has_samples(s)))
		return NULL;
	if (s->from < s->measure_at)
		s->from = s->measure_at;
	if (s->from < s->ended_at)
		s->from = s->ended_at;
	row = new_row(s);
	if (!row)
		return NULL;
	s->ended_at = s->to;
	fill_row(row, s, open);
	if (r->with_bad_clients && row->has_bad_clients) {
		histogram_add(r->with_bad_clients, s->second[main]);
		censored_add(&r->with_censored, &s->censored[main]);
	} else if (r->with_bad_clients) {
		histogram_add(r->without_bad_clients, s->second[main]);
		censored_add(&r->without_censored, &s->censored[main]);
	}
	return row;
}

void summary_begin_second(struct summary *s)
{
	for (int k = 0; k < CLOCK_KINDS; k++)
		histogram_clear(s->second[k]);
	s->counts = (struct counts){ 0 };
	for (int k = 0; k < CENSORED_CLOCKS; k++)
		s->censored[k] = (struct censored){ .min = NEVER };
	s->second_failed = 0;
	s->from = s->to = NEVER;
}

static int compare_counts(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The server may end them when nothing is left to do: they are not down. */
static void count_silent(struct summary *s, const struct conn_sums *sums)
{
	struct conn_counts *c = &s->result->connections;
	bool is_kept = sums->is_open ||
		       (sums->is_over && sums->was_opened &&
			(sums->down_at == 0 || sums->down_at >= s->end));

	c->idle_asked++;
	c->idle_opened += sums->was_opened;
	c->idle_open += is_kept;
}

/* A connection that is lost after the measured part is not missed. */
static void count_lost(struct summary *s, const struct conn_sums *sums)
{
	struct conn_counts *c = &s->result->connections;
	int64_t at = sums->down_at - s->measure_at;

	if (!sums->is_over || sums->down_at >= s->end)
		return;
	at = at > 0 ? at : 0;
	if (c->lost++ == 0 || at < c->lost_at)
		c->lost_at = at;
}

/* Between two exchanges of churn there is no connection to miss. */
static void summary_count_downtime(struct summary *s,
				   const struct conn_sums *sums)
{
	struct conn_counts *c = &s->result->connections;
	int64_t from =
		sums->down_at > s->measure_at ? sums->down_at : s->measure_at;
	int64_t until = sums->sent_at < s->end ? sums->sent_at : s->end;
	int64_t served = until - s->measure_at - sums->down_ns;

	if (s->result->plan->mode == PLAN_CHURN || !sums->was_opened)
		return;
	c->down_ns += sums->down_ns;
	if (sums->down_at != 0) {
		count_lost(s, sums);
		if (s->end > from)
			c->down_ns += s->end - from;
		if (until > from)
			served -= until - from;
		if (sums->pause_at > from)
			from = sums->pause_at;
		if (sums->pause_at != 0 && s->end > from)
			c->paused_ns += s->end - from;
	}
	c->paused_ns += sums->paused_ns;
	if (sums->replies > 0)
		c->served_ns += served;
	if (sums->replies > 0)
		c->rested_ns += sums->rested_ns;
}

void summary_add_conn(struct summary *s, const struct conn_sums *sums)
{
	struct conn_counts *c = &s->result->connections;
	int64_t silence = s->end - sums->last_at;

	if (sums->is_silent) {
		count_silent(s, sums);
		return;
	}
	if (s->replies)
		s->replies[s->replies_count++] = sums->replies;
	c->asked++;
	c->opened += sums->was_opened;
	c->failed += !sums->was_opened;
	c->served += sums->replies > 0;
	c->open += sums->is_open;
	summary_count_downtime(s, sums);
	if (sums->is_open && sums->is_waiting)
		keep_max(&c->longest_silence, silence);
	if (!sums->was_opened || sums->replies > 0 ||
	    !(sums->was_asked || sums->is_waiting))
		return;
	if (c->worst_count < WORST_CONNECTIONS)
		c->worst[c->worst_count++] = (int)sums->id;
	c->starved++;
}

static void share_out(struct conn_counts *c, uint64_t *replies, size_t n)
{
	double sum = 0, squares = 0;

	if (n == 0)
		return;
	qsort(replies, n, sizeof(*replies), compare_counts);
	c->replies_min = replies[0];
	c->replies_median = replies[n / 2];
	c->replies_max = replies[n - 1];
	for (size_t i = 0; i < n; i++) {
		sum += (double)replies[i];
		squares += (double)replies[i] * (double)replies[i];
	}
	c->fairness = squares > 0 ? sum * sum / ((double)n * squares) : 0;
}

static double seconds(struct timeval a, struct timeval b)
{
	return (double)(b.tv_sec - a.tv_sec) +
	       (double)(b.tv_usec - a.tv_usec) * 1e-6;
}

static void measure_self(struct summary *s, int engines)
{
	const struct rusage *from = &s->usage_from, *to = &s->usage_to;
	struct self *self = &s->result->self;

	self->cpu_user = seconds(from->ru_utime, to->ru_utime);
	self->cpu_system = seconds(from->ru_stime, to->ru_stime);
	self->switches = (uint64_t)(to->ru_nivcsw - from->ru_nivcsw);
	self->histogram_bytes = sizeof(struct histogram) * CLOCK_KINDS *
				(2 * (size_t)engines + 2);
}

void summary_end(struct summary *s, int64_t end_at, int engines)
{
	struct result *r = s->result;
	int64_t last = s->to == NEVER ? now_ns() : s->to;

	s->end = last < end_at ? last : end_at;
	if (last > s->end_at)
		last = s->end_at;
	r->self.awaited_ns = last - s->end;
	s->replies = calloc((size_t)r->plan->connections, sizeof(*s->replies));
	measure_self(s, engines);
	if (s->measure_at != NEVER && s->end > s->measure_at)
		r->elapsed = s->end - s->measure_at;
	for (size_t i = 0; i < r->second_count; i++)
		r->seconds[i].is_drain = r->seconds[i].at >= r->elapsed;
}

void summary_add_engine(struct summary *s, const struct engine_sums *sums)
{
	struct result *r = s->result;
	uint64_t *out = &r->counts.bytes_out;
	double busy = 0;

	if (sums->first_bad.why &&
	    (!r->first_bad.why || sums->first_bad.at < r->first_bad.at))
		r->first_bad = sums->first_bad;
	if (!r->tls_why)
		r->tls_why = sums->tls_why;
	r->connections.after_ns += sums->after_ns;
	r->connections.bytes_each = sums->bytes_each;
	if (sums->unsent > 0 && (uint64_t)sums->unsent > *out)
		*out = 0;
	else
		*out -= (uint64_t)sums->unsent;
	if (sums->measured_ns > 0)
		busy = (double)sums->cpu_ns / (double)sums->measured_ns;
	if (busy > r->self.busiest)
		r->self.busiest = busy;
	keep_max(&r->self.measured_ns, sums->measured_ns);
	keep_max(&r->self.longest_stall, sums->longest_stall);
}

void summary_finish(struct summary *s)
{
	share_out(&s->result->connections, s->replies, s->replies_count);
}
