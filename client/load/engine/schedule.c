/* SPDX-License-Identifier: MIT */
/*
 * When messages of an open loop are planned.  Each connection has its own
 * instants: at a constant rate every connections / rate seconds, shifted so
 * that those of all connections are evenly spaced; with Poisson arrivals
 * independent ones, whose sum is Poisson again.  A connection that is held up
 * can compute what it missed.
 *
 * The measured part has its own schedule, so that --count is the number of
 * measured messages.
 *
 * The heap holds the connections that could send at their next instant, and
 * those that wait to connect again, for the end of a reply, or for that of a
 * rest.
 */
#include "engine.h"

#include <math.h>

static void heap_set(struct engine *e, size_t at, struct conn *c)
{
	e->heap[at] = c;
	c->heap_at = at;
}

static void heap_up(struct engine *e, struct conn *c, size_t at)
{
	for (; at > 1 && e->heap[at / 2]->wake_at > c->wake_at; at /= 2)
		heap_set(e, at, e->heap[at / 2]);
	heap_set(e, at, c);
}

static void heap_down(struct engine *e, struct conn *c, size_t at)
{
	for (size_t child; (child = 2 * at) <= e->heap_used; at = child) {
		if (child < e->heap_used &&
		    e->heap[child + 1]->wake_at < e->heap[child]->wake_at)
			child++;
		if (e->heap[child]->wake_at >= c->wake_at)
			break;
		heap_set(e, at, e->heap[child]);
	}
	heap_set(e, at, c);
}

static void heap_remove(struct engine *e, struct conn *c)
{
	size_t at = c->heap_at;
	struct conn *last = e->heap[e->heap_used--];

	c->heap_at = 0;
	if (last == c)
		return;
	heap_up(e, last, at);
	heap_down(e, last, last->heap_at);
}

static double period(const struct engine *e)
{
	return (double)e->plan->connections * 1e9 / plan_first_rate(e->plan);
}

static uint64_t conn_share(const struct engine *e, const struct conn *c)
{
	uint64_t all = (uint64_t)e->plan->connections;

	return c->turn < e->plan->count
		       ? (e->plan->count - c->turn - 1) / all + 1
		       : 0;
}

/* Open loop: when a count is planned. */
static int64_t count_end(const struct plan *p, int64_t measure_at)
{
	double length = (double)p->count * 1e9 / p->rate;

	return length < (double)(NEVER - measure_at)
		       ? measure_at + (int64_t)length
		       : NEVER;
}

int64_t control_sent_at(const struct control *c)
{
	int64_t at = atomic_load(&c->all_sent_at), planned;

	if (at == NEVER || c->plan->schedule == PLAN_CLOSED)
		return at;
	planned = count_end(c->plan, atomic_load(&c->measure_at));
	return at > planned ? at : planned;
}

/*
 * With --count the number of arrivals is exact: they lie anywhere in the time
 * that count messages take, so that the rate is constant to the end.
 */
static int64_t arrival(const struct engine *e, struct conn *c)
{
	uint64_t left;

	if (e->plan->count == 0 || c->is_warming_up)
		return plan_ns(random_arrival(&c->random, period(e)));
	left = conn_share(e, c) - c->due_count;
	return (int64_t)random_first(
		&c->random, (double)left,
		(double)(count_end(e->plan, e->measure_at) - c->due_at));
}

static bool is_staged(const struct engine *e, const struct conn *c)
{
	return e->plan->stage_count > 0 && !c->is_warming_up;
}

static int64_t constant(const struct engine *e, const struct conn *c,
			uint64_t n)
{
	if (is_staged(e, c))
		return e->measure_at +
		       plan_instant(e->plan,
				    (double)c->turn +
					    (double)n * e->plan->connections);
	return (c->is_warming_up ? e->start_at : e->measure_at) +
	       plan_ns((double)c->turn * 1e9 / plan_first_rate(e->plan) +
		       (double)n * period(e));
}

/*
 * The rate is constant if time is counted in due messages.  So the arrivals are
 * drawn in messages, and then converted to time.
 */
static int64_t staged_arrival(const struct engine *e, struct conn *c)
{
	c->due_messages += random_arrival(&c->random, e->plan->connections);
	return e->measure_at + plan_instant(e->plan, c->due_messages);
}

static void set_due(struct engine *e, struct conn *c)
{
	if (e->plan->count > 0 && !c->is_warming_up &&
	    c->due_count >= conn_share(e, c))
		c->due_at = NEVER;
	else if (e->plan->schedule == PLAN_CONSTANT)
		c->due_at = constant(e, c, c->due_count);
	else if (is_staged(e, c))
		c->due_at = staged_arrival(e, c);
	else
		c->due_at += arrival(e, c);
}

/*
 * The connections go on in the order in which the warm-up ended.  How many of
 * its arrivals were drawn depends on the server, and later ones must not.
 */
static void begin_measured(struct engine *e, struct conn *c)
{
	uint64_t all = (uint64_t)e->plan->connections;
	uint64_t before = (uint64_t)ceil((double)(e->measure_at - e->start_at) *
					 plan_first_rate(e->plan) / 1e9);

	c->turn = (uint32_t)((c->id + all - before % all) % all);
	c->random = random_mix(conn_seed(e, c));
	c->is_warming_up = false;
	c->due_count = 0;
	c->due_at = e->measure_at;
	c->due_messages = 0;
	set_due(e, c);
}

void schedule_begin(struct engine *e, struct conn *c)
{
	if (c->is_silent)
		return;
	c->random = conn_seed(e, c);
	c->turn = c->id;
	c->is_warming_up = e->start_at < e->measure_at;
	c->due_count = 0;
	c->due_at = e->start_at;
	set_due(e, c);
	if (c->is_warming_up && c->due_at >= e->measure_at)
		begin_measured(e, c);
}

void schedule_next(struct engine *e, struct conn *c)
{
	c->due_count++;
	set_due(e, c);
	if (c->is_warming_up && c->due_at >= e->measure_at)
		begin_measured(e, c);
}

void schedule_end_warm_up(struct engine *e)
{
	for (size_t i = 0; i < e->conn_count; i++) {
		if (!e->conns[i].is_warming_up)
			continue;
		begin_measured(e, &e->conns[i]);
		schedule_update(e, &e->conns[i]);
	}
}

static bool can_send(const struct engine *e, const struct conn *c)
{
	if (e->start_at == NEVER || c->is_silent || c->due_at >= e->end_at ||
	    e->is_sending_over)
		return false;
	if (e->plan->mode == PLAN_CHURN)
		return c->state == CONN_IDLE && !c->is_planned;
	return c->state == CONN_OPEN && conn_has_room(e, c);
}

static int64_t next_instant(const struct engine *e, const struct conn *c)
{
	bool goes_on =
		!e->is_ending || (c->is_replaced && engine_has_backlog(e, c));

	if (c->state == CONN_IDLE && c->retry_at > 0)
		return goes_on || c->is_planned ? c->retry_at : NEVER;
	if (c->quiet_at > 0)
		return c->quiet_at;
	if (c->is_paused)
		return goes_on || c->state == CONN_LEAVING ? c->rest_until
							   : NEVER;
	/* Its last reply wakes it, and so does the sweep. */
	if (c->state == CONN_OPEN && c->is_retiring)
		return NEVER;
	if (c->pace == PACE_RESTING)
		return c->state == CONN_OPEN && conn_has_room(e, c) &&
				       !e->is_ending && engine_has_budget(e)
			       ? c->rest_until
			       : NEVER;
	return engine_is_open_loop(e) && can_send(e, c) ? c->due_at : NEVER;
}

void schedule_update(struct engine *e, struct conn *c)
{
	c->wake_at = next_instant(e, c);
	if (c->wake_at == NEVER) {
		if (c->heap_at > 0)
			heap_remove(e, c);
	} else if (c->heap_at == 0) {
		heap_up(e, c, ++e->heap_used);
	} else {
		heap_up(e, c, c->heap_at);
		heap_down(e, c, c->heap_at);
	}
}

struct conn *schedule_first(const struct engine *e)
{
	return e->heap_used > 0 ? e->heap[1] : NULL;
}

uint64_t schedule_take(struct engine *e, uint64_t count)
{
	struct control *c = e->control;
	uint64_t left = atomic_load(&c->budget);

	if (e->plan->count == 0)
		return count;
	if (!e->have_all_begun && count > e->share)
		count = e->share;
	do {
		if (count > left)
			count = left;
	} while (count > 0 && !atomic_compare_exchange_weak(&c->budget, &left,
							    left - count));
	e->share -= count < e->share ? count : e->share;
	if (count > 0 && count == left)
		atomic_store(&c->all_sent_at, now_ns());
	return count;
}

/* The planned end, also if all connections were lost earlier. */
static int64_t planned_end(const struct engine *e)
{
	return e->end_at != NEVER ? e->end_at
				  : count_end(e->plan, e->measure_at);
}

/* Instants that were not sent, oldest first. */
struct missed {
	uint64_t count;
	double first, step; /* ns */
};

static int64_t missed_at(const struct engine *e, const struct conn *c,
			 const struct missed *m, uint64_t n)
{
	if (e->plan->schedule == PLAN_CONSTANT)
		return constant(e, c, c->due_count + n);
	if (is_staged(e, c))
		return e->measure_at +
		       plan_instant(e->plan,
				    c->due_messages +
					    (double)n * e->plan->connections);
	return (int64_t)(m->first + (double)n * m->step);
}

/* The longest time between two, so that no computed age is too great. */
static double staged_step(const struct engine *e)
{
	double least = e->plan->stages[0].from;

	for (size_t i = 0; i < e->plan->stage_count; i++)
		least = fmin(least, fmin(e->plan->stages[i].from,
					 e->plan->stages[i].to));
	return (double)e->plan->connections * 1e9 / least;
}

/* About how many are left until the end, which may have come early. */
static uint64_t staged_left(const struct engine *e, const struct conn *c)
{
	const double each = e->plan->connections;
	double from = e->plan->schedule == PLAN_CONSTANT
			      ? (double)c->turn + (double)c->due_count * each
			      : c->due_messages;
	double low = from, high = from + each;

	while (e->measure_at + plan_instant(e->plan, high) < e->end_at)
		high = 2 * high;
	while (high - low > each / 2) {
		double middle = (low + high) / 2;

		if (e->measure_at + plan_instant(e->plan, middle) < e->end_at)
			low = middle;
		else
			high = middle;
	}
	return (uint64_t)((low - from) / each);
}

/*
 * There may be too many instants to visit each.  Of Poisson arrivals that were
 * not generated, the expected number is taken, evenly spaced.
 */
static struct missed find_missed(struct engine *e, struct conn *c)
{
	struct missed m = { .step = period(e) };
	uint64_t left = UINT64_MAX;

	if (c->is_warming_up)
		begin_measured(e, c);
	if (c->due_at >= e->end_at)
		return m;
	m.first = (double)c->due_at;
	if (e->plan->count > 0)
		left = conn_share(e, c) - c->due_count;
	if (e->plan->count > 0 && e->plan->schedule != PLAN_CONSTANT)
		m.step = fmax(0, (double)count_end(e->plan, e->measure_at) -
					 m.first) /
			 (double)left;
	m.count = left;
	if (e->end_at == NEVER)
		return m;
	if ((double)left * m.step > (double)e->end_at - m.first)
		m.count = (uint64_t)(((double)e->end_at - m.first) / m.step);
	if (is_staged(e, c)) {
		m.step = staged_step(e);
		m.count = staged_left(e, c);
	}
	/* Rounding may be off by one. */
	while (m.count > 0 && missed_at(e, c, &m, m.count - 1) >= e->end_at)
		m.count--;
	while (m.count < left && missed_at(e, c, &m, m.count) < e->end_at)
		m.count++;
	return m;
}

/*
 * An unsent message is late by at least its age at the end.  Those that share
 * a slot of the histogram are recorded together.
 */
static void note_missed(struct engine *e, struct conn *c,
			const struct missed *m, int64_t end)
{
	struct interval *i = e->now;
	int64_t age = 0;

	for (uint64_t n = 0, same; n < m->count; n += same) {
		int64_t least, youngest;

		age = end - missed_at(e, c, m, n);
		if (age < 0)
			age = 0;
		least = histogram_slot_low(histogram_slot(age));
		same = m->count - n;
		if ((double)same * m->step > (double)(age - least))
			same = 1 + (uint64_t)((double)(age - least) / m->step);
		if (same > m->count - n)
			same = m->count - n;
		youngest = age - (int64_t)((double)(same - 1) * m->step);
		histogram_record_many(i->clocks[CLOCK_FROM_PLAN], age, 1);
		histogram_record_many(i->clocks[CLOCK_FROM_PLAN],
				      (age + youngest) / 2, same - 1);
		histogram_record_many(i->without_lag, age, same);
		age = youngest;
	}
	i->counts.planned += m->count;
	i->counts.never_sent += m->count;
	interval_censor(i, CLOCK_FROM_PLAN, age, m->count);
}

/* Each has at least the age of the latest in its slot. */
static void count_dropped(struct engine *e, int64_t end)
{
	const struct histogram *h = e->dropped;
	struct interval *i = e->now;

	for (size_t slot = 0; h->total > 0 && slot < HISTOGRAM_SLOTS; slot++) {
		int64_t age = end - e->measure_at -
			      MS * (histogram_slot_high(slot) + 1);

		if (h->counts[slot] == 0)
			continue;
		age = age > 0 ? age : 0;
		histogram_record_many(i->clocks[CLOCK_FROM_PLAN], age,
				      h->counts[slot]);
		interval_censor(i, CLOCK_FROM_PLAN, age, h->counts[slot]);
	}
}

void schedule_count_missed(struct engine *e)
{
	int64_t now = now_ns();

	if (e->start_at == NEVER)
		return;
	if (engine_is_open_loop(e) && now < planned_end(e))
		now = planned_end(e);
	count_dropped(e, now);
	if (!engine_is_open_loop(e))
		return;
	for (size_t n = 0; n < e->conn_count; n++) {
		struct conn *c = &e->conns[n];
		struct missed m = { .count = 0 };

		if (!c->is_silent)
			m = find_missed(e, c);
		if (m.count > 0)
			note_missed(e, c, &m, now);
	}
}
