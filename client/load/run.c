/* SPDX-License-Identifier: MIT */
/*
 * A run, from the main thread: the engines connect and start at one instant;
 * their figures are added up each second, and at the end.
 *
 * An engine hands an interval over under the lock of the control and does not
 * touch it until run.c has taken it, so it is added up without the lock.
 */
#include "run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "../../cli/cli.h"
#include "engine/bad_clients.h"
#include "engine/engine.h"
#include "judge/verdict.h"
#include "measure/summary.h"

#define START_DELAY (2 * MS) /* so that every engine knows it in time */
#define LOOK_EVERY  (100 * MS)

/* Standard streams, epolls, eventfds and output files. */
#define DESCRIPTORS_OWN	 16
#define DESCRIPTORS_EACH 2 /* of a thread */

struct run {
	const struct plan *plan;
	struct control control;
	struct payload *payload;
	struct engine *engines;
	int engine_count; /* those started */
	struct bad_clients bad_clients;
	struct summary summary;
	struct progress progress;
	run_watch *watch;
	void *arg;
	bool is_interrupted;
	const char *failed_step;
};

/* How often the current or the next run was interrupted. */
static atomic_int interrupts;

static atomic_bool is_stopped;

static size_t count_ports(void)
{
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	long low = 32768, high = 60999;

	if (f) {
		if (fscanf(f, "%ld %ld", &low, &high) != 2 || high < low)
			low = 32768, high = 60999;
		fclose(f);
	}
	return (size_t)(high - low + 1);
}

void limits_find(struct limits *ret, const struct plan *plan)
{
	struct rlimit r;

	ret->connections = (size_t)(plan->connections + plan->idle) +
			   (size_t)bad_clients_count(plan);
	ret->descriptors = ret->connections + DESCRIPTORS_OWN +
			   DESCRIPTORS_EACH * (size_t)(plan->threads + 1);
	ret->ports = strncmp(plan->address, "unix:", 5) ? count_ports() : 0;
	ret->descriptors_allowed = ret->descriptors;
	/* If the limit is unknown, assume that it is high enough. */
	if (getrlimit(RLIMIT_NOFILE, &r) == 0)
		ret->descriptors_allowed =
			r.rlim_max > SIZE_MAX ? SIZE_MAX : (size_t)r.rlim_max;
}

static int raise_descriptors(const struct limits *l)
{
	size_t allowed = l->descriptors_allowed;
	char less[48] = "";
	struct rlimit r;

	if (allowed + l->connections > l->descriptors)
		snprintf(less, sizeof(less), " or ask for %zu fewer",
			 l->descriptors - allowed);
	if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur >= l->descriptors)
		return CLI_DONE;
	r.rlim_cur = l->descriptors;
	if (l->descriptors > l->descriptors_allowed ||
	    setrlimit(RLIMIT_NOFILE, &r) < 0) {
		cli_error("%zu connections need %zu descriptors and %zu are "
			  "allowed; raise the limit (ulimit -Hn)%s",
			  l->connections, l->descriptors,
			  l->descriptors_allowed, less);
		return CLI_USAGE;
	}
	return CLI_DONE;
}

/* Both take turns: how many pairs there are until the first comes again. */
static size_t count_pairs(size_t sources, size_t targets)
{
	size_t a = sources, b = targets;

	while (b > 0) {
		size_t rest = a % b;

		a = b;
		b = rest;
	}
	return sources / a * targets;
}

static int check_ports(const struct plan *plan, const struct limits *l,
		       size_t targets)
{
	size_t sources = plan->source_count > 0 ? plan->source_count : 1;
	size_t needed = sources;

	while (count_pairs(needed, targets) * l->ports < l->connections)
		needed++;
	if (needed == sources)
		return CLI_DONE;
	cli_error("%zu connections to %zu address%s need %zu source addresses "
		  "of %zu ports each; name them with --source, as in "
		  "127.0.0.2,127.0.0.3",
		  l->connections, targets, targets > 1 ? "es" : "", needed,
		  l->ports);
	return CLI_USAGE;
}

int limits_prepare(const struct plan *plan, size_t targets)
{
	struct limits l;
	int status;

	limits_find(&l, plan);
	status = raise_descriptors(&l);
	if (status == CLI_DONE && l.ports > 0 && targets > 0)
		status = check_ports(plan, &l, targets);
	return status;
}

static void report_progress(struct run *r)
{
	if (r->watch)
		r->watch(r->arg, &r->progress);
}

static int count_open(const struct run *r)
{
	int open = 0;

	for (int i = 0; i < r->engine_count; i++)
		open += atomic_load(&r->engines[i].opened);
	return open;
}

static bool have_all_handed_over(const struct run *r)
{
	for (int i = 0; i < r->engine_count; i++)
		if (!r->engines[i].has_full && !r->engines[i].has_finished)
			return false;
	return true;
}

static void wake_all(struct run *r)
{
	for (int i = 0; i < r->engine_count; i++)
		engine_wake(&r->engines[i]);
}

static void end_now(struct run *r)
{
	int64_t now = now_ns();

	atomic_store(&r->control.send_until, now);
	atomic_store(&r->control.end_at, now);
}

static void cut_run(struct run *r)
{
	end_now(r);
	atomic_store(&r->control.is_cut, true);
	wake_all(r);
}

void run_interrupt(void)
{
	atomic_fetch_add(&interrupts, 1);
}

void run_stop(void)
{
	atomic_store(&is_stopped, true);
}

/* A signal that our parent ignores stays ignored. */
static void catch_signal(int signo, void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler,
				    .sa_flags = SA_RESTART };
	struct sigaction old;

	if (sigaction(signo, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
		sigaction(signo, &action, NULL);
}

static void catch_signals(void (*handler)(int))
{
	catch_signal(SIGINT, handler);
	catch_signal(SIGTERM, handler);
}

/* The third interrupt has the default action. */
static void interrupt(int signo)
{
	static volatile sig_atomic_t count;

	(void)signo;
	if (++count == 2)
		catch_signals(SIG_DFL);
	run_interrupt();
}

void run_catch_signals(void)
{
	catch_signals(interrupt);
}

/* Send no more messages.  Before the start and after the end, stop at once. */
static void end_early(struct run *r)
{
	struct control *c = &r->control;

	r->is_interrupted = true;
	if (atomic_load(&c->start_at) == NEVER ||
	    now_ns() >= atomic_load(&c->end_at)) {
		cut_run(r);
		return;
	}
	end_now(r);
	wake_all(r);
}

/*
 * The measured part of an open loop with --count ends when all is planned and
 * sent, not with the last reply.
 */
static int64_t measured_end(const struct run *r)
{
	int64_t end = atomic_load(&r->control.end_at);
	int64_t sent = control_sent_at(&r->control);

	return r->plan->schedule != PLAN_CLOSED && sent < end ? sent : end;
}

static void report_second(struct run *r, bool is_last)
{
	struct summary *s = &r->summary;
	struct progress *p = &r->progress;

	s->end_at = atomic_load(&r->control.end_at);
	p->last = summary_end_second(s, count_open(r), is_last);
	p->opened = count_open(r);
	p->so_far = s->result;
	p->answered = s->result->counts.answered;
	p->errors = counts_errors(&s->result->counts) + s->failed;
	p->elapsed = now_ns() - r->control.measure_at;
	p->part = now_ns() < measured_end(r) ? RUN_MEASURING : RUN_DRAINING;
	for (int k = 0; k < CLOCK_KINDS; k++)
		p->clocks[k] = s->result->clocks[k] ? s->second[k] : NULL;
	p->censored = s->censored;
	report_progress(r);
	if (p->last)
		summary_begin_second(s);
}

static void add_second(struct run *r)
{
	for (int i = 0; i < r->engine_count; i++)
		if (r->engines[i].has_full)
			summary_add(&r->summary, r->engines[i].full);
	report_second(r, false);
}

static void report_phase(struct run *r)
{
	struct progress *p = &r->progress;
	int64_t now = now_ns(), start = atomic_load(&r->control.start_at);

	if (start == NEVER || p->part >= RUN_MEASURING)
		return;
	p->part = now < r->control.measure_at ? RUN_WARMUP : RUN_MEASURING;
	p->elapsed =
		now - (p->part == RUN_WARMUP ? start : r->control.measure_at);
	p->opened = count_open(r);
	report_progress(r);
}

static void wait_some(struct run *r)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += LOOK_EVERY;
	if (t.tv_nsec >= SECOND) {
		t.tv_sec++;
		t.tv_nsec -= SECOND;
	}
	pthread_cond_timedwait(&r->control.changed, &r->control.lock, &t);
	for (int n = atomic_exchange(&interrupts, 0); n > 0; n--)
		end_early(r);
	if (atomic_exchange(&is_stopped, false) && !r->is_interrupted &&
	    now_ns() < atomic_load(&r->control.end_at)) {
		r->summary.result->is_stopped = true;
		end_now(r);
		wake_all(r);
	}
}

static int connect_all(struct run *r)
{
	struct control *c = &r->control;
	int64_t began_at = now_ns();
	int rc;

	r->progress.part = RUN_CONNECTING;
	pthread_mutex_lock(&c->lock);
	while (c->ready < r->engine_count && c->error == 0) {
		wait_some(r);
		pthread_mutex_unlock(&c->lock);
		r->progress.opened = count_open(r);
		r->progress.elapsed = now_ns() - began_at;
		report_progress(r);
		pthread_mutex_lock(&c->lock);
	}
	rc = -c->error;
	pthread_mutex_unlock(&c->lock);
	return rc;
}

/* At the time asked for or, if that has passed, now. */
static int64_t start_instant(struct run *r)
{
	int64_t now = now_ns(), start = now + START_DELAY, asked;
	struct timespec t;

	if (r->plan->start_at_ns == 0)
		return start;
	clock_gettime(CLOCK_REALTIME, &t);
	asked = now + r->plan->start_at_ns - (t.tv_sec * SECOND + t.tv_nsec);
	if (asked >= start)
		return asked;
	r->summary.result->late_start = start - asked;
	return start;
}

static void start_all(struct run *r)
{
	struct control *c = &r->control;
	int64_t start = start_instant(r);
	int64_t measure = start + r->plan->warmup_ns;
	int64_t end = NEVER, until = NEVER;
	struct timespec t;

	if (r->plan->duration_ns < NEVER - measure)
		end = measure + r->plan->duration_ns;
	if (r->plan->timeout_ns < NEVER - end)
		until = end + r->plan->timeout_ns;
	clock_gettime(CLOCK_REALTIME, &t);
	r->summary.result->started = (double)t.tv_sec +
				     (double)t.tv_nsec * 1e-9 +
				     (double)(measure - now_ns()) * 1e-9;
	if (r->plan->start_at_ns > 0 && r->summary.result->late_start == 0)
		r->summary.result->started =
			(double)(r->plan->start_at_ns + r->plan->warmup_ns) /
			1e9;
	summary_start(&r->summary, measure);
	atomic_store(&c->measure_at, measure);
	atomic_store(&c->send_until, until);
	atomic_store(&c->end_at, end);
	atomic_store(&c->start_at, start);
	wake_all(r);
}

static int start_bad_clients(struct run *r)
{
	int64_t from = r->control.measure_at, to = NEVER;

	if (r->plan->duration_ns < NEVER - from) {
		from += r->plan->duration_ns / 3;
		to = from + r->plan->duration_ns / 3;
	}
	summary_set_bad_clients(&r->summary, from, to);
	return bad_clients_start(&r->bad_clients, from, to);
}

static int measure_all(struct run *r)
{
	struct control *c = &r->control;
	int rc;

	pthread_mutex_lock(&c->lock);
	while (c->finished < r->engine_count) {
		bool is_full = have_all_handed_over(r);

		if (c->error != 0)
			cut_run(r);
		if (!is_full)
			wait_some(r);
		pthread_mutex_unlock(&c->lock);
		if (is_full)
			add_second(r);
		else
			report_phase(r);
		pthread_mutex_lock(&c->lock);
		for (int i = 0; is_full && i < r->engine_count; i++)
			r->engines[i].has_full = false;
	}
	rc = -c->error;
	pthread_mutex_unlock(&c->lock);
	return rc;
}

static int end_all(struct run *r)
{
	bool has_full = false;
	int64_t to;
	int rc;

	for (int i = 0; i < r->engine_count; i++) {
		struct engine *e = &r->engines[i];

		pthread_join(e->thread, NULL);
		has_full = has_full || e->has_full;
		if (e->has_full)
			summary_add(&r->summary, e->full);
	}
	/* What is left may belong to the drain, which gets its own row. */
	if (has_full && r->summary.is_measuring)
		report_second(r, false);
	for (int i = 0; i < r->engine_count; i++)
		summary_add(&r->summary, r->engines[i].now);
	rc = bad_clients_stop(&r->bad_clients);
	to = r->summary.to;
	if (atomic_load(&r->control.start_at) != NEVER)
		report_second(r, true);
	r->summary.to = to;
	memcpy(r->summary.result->bad_clients, r->bad_clients.counts,
	       sizeof(r->bad_clients.counts));
	r->summary.result->is_cut = r->is_interrupted;
	atomic_store(&is_stopped, false);
	r->summary.usage_from = r->control.usage_from;
	r->summary.usage_to = r->control.usage_to;
	summary_end(&r->summary, measured_end(r), r->engine_count);
	for (int i = 0; i < r->engine_count; i++) {
		summary_add_engine(&r->summary, &r->engines[i].sums);
		engine_count_conns(&r->engines[i], &r->summary);
	}
	summary_finish(&r->summary);
	return rc;
}

/* The id, by which merge notices that a run is given twice. */
static void make_id(char id[RUN_ID])
{
	unsigned char bytes[(RUN_ID - 1) / 2];
	int64_t now = now_ns();

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (unsigned char)(now >> i % 8 * 8);
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(id + 2 * i, 3, "%02x", bytes[i]);
}

static int run_init(struct run *r, const struct target *target)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&r->control.lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->control.changed, &attr);
	pthread_condattr_destroy(&attr);
	r->payload = malloc(sizeof(*r->payload));
	r->engines = calloc((size_t)r->plan->threads, sizeof(*r->engines));
	if (!r->payload || !r->engines)
		return -ENOMEM;
	payload_init(r->payload, r->plan);
	r->control.plan = r->bad_clients.plan = r->plan;
	r->control.target = r->bad_clients.target = target;
	r->control.payload = r->bad_clients.payload = r->payload;
	r->control.start_at = r->control.measure_at = NEVER;
	r->control.end_at = r->control.send_until = NEVER;
	r->control.all_sent_at = NEVER;
	r->control.budget = r->plan->count ? r->plan->count : UINT64_MAX;
	return summary_init(&r->summary, r->plan);
}

static int start_engines(struct run *r)
{
	int rc = 0;

	for (int i = 0; i < r->plan->threads && rc == 0; i++) {
		struct engine *e = &r->engines[i];

		rc = engine_init(e, &r->control, i);
		if (rc == 0)
			rc = engine_start(e);
		if (rc < 0)
			engine_fini(e);
		else
			r->engine_count++;
	}
	return rc;
}

static void run_fini(struct run *r)
{
	for (int i = 0; i < r->engine_count; i++)
		engine_fini(&r->engines[i]);
	free(r->engines);
	free(r->payload);
	summary_fini(&r->summary);
	pthread_cond_destroy(&r->control.changed);
	pthread_mutex_destroy(&r->control.lock);
}

static int run_engines(struct run *r)
{
	int rc = start_engines(r), failed, stopped;

	if (rc == 0 && connect_all(r) == 0 &&
	    !atomic_load(&r->control.is_cut)) {
		start_all(r);
		rc = start_bad_clients(r);
	}
	if (rc < 0)
		cut_run(r);
	failed = measure_all(r);
	stopped = end_all(r);
	if (rc < 0)
		return rc;
	r->failed_step = "cannot wait for events";
	return failed < 0 ? failed : stopped;
}

int run(struct result *ret, const struct plan *plan,
	const struct target *target, run_watch *watch, void *arg)
{
	struct run r = { .plan = plan,
			 .watch = watch,
			 .arg = arg,
			 .failed_step = "cannot start the load" };
	int rc;

	*ret = (struct result){ .plan = plan };
	make_id(ret->id);
	memcpy(ret->target, target->text, sizeof(ret->target));
	r.summary.result = ret;
	rc = run_init(&r, target);
	if (rc == 0)
		rc = run_engines(&r);
	run_fini(&r);
	if (rc == 0) {
		verdict_judge(ret);
		return CLI_DONE;
	}
	result_free(ret);
	cli_error("%s: %s", r.failed_step, strerror(-rc));
	return CLI_FAILED;
}
