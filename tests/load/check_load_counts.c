/* SPDX-License-Identifier: MIT */
/*
 * The counts add up whenever and however a run ends: interrupted at any
 * instant, timed out, without its server. run_at() checks them.
 */
#include "scripted.h"

#include <sched.h>
#include <sys/resource.h>
#include <time.h>

#define SHORT (SECOND / 2 * (5 + slowness()))

static const struct script faultless;

/* ---- interruption */

struct interrupter {
	pthread_t thread;
	struct scripted *server;
	uint64_t bytes; /* once the server has received this many, */
	int64_t after;	/* and this time has passed */
	int times;
};

static void *interrupts(void *arg)
{
	const struct interrupter *i = arg;
	const struct timespec t = { i->after / SECOND, i->after % SECOND };

	UNTIL(i->bytes == 0 ||
	      atomic_load(&scripted_seen(i->server)->bytes) >= i->bytes);
	nanosleep(&t, NULL);
	for (int n = 0; n < i->times; n++)
		run_interrupt();
	return NULL;
}

/* Returns the result of a run that is interrupted. */
static struct result run_interrupted(struct scripted *s, struct plan *plan,
				     uint64_t bytes, int64_t after)
{
	struct interrupter i = {
		.server = s, .bytes = bytes, .after = after, .times = 1
	};
	struct result r;

	ck_assert_int_eq(pthread_create(&i.thread, NULL, interrupts, &i), 0);
	r = run_at(scripted_address(s), plan);
	pthread_join(i.thread, NULL);
	ck_assert(r.is_cut);
	return r;
}

#define ENDLESS 8

static struct plan endless(size_t i)
{
	const struct plan plans[] = {
		PLAN(.depth = 16),
		PLAN(.depth = 4, .threads = 4, .schedule = PLAN_POISSON,
		     .rate = 9000),
		PLAN(.mode = PLAN_CHURN),
		PLAN(.mode = PLAN_CHURN, .schedule = PLAN_CONSTANT,
		     .rate = 2000, .threads = 2),
		PLAN(.schedule = PLAN_CONSTANT, .rate = 5000,
		     .warmup_ns = SECOND / 20),
		PLAN(.mode = PLAN_UPLOAD),
		PLAN(.connections = 200, .connect_rate = 4000, .idle = 50),
		PLAN(.connections = 40, .connect_rate = 800,
		     .mode = PLAN_CHURN),
	};

	ck_assert_uint_eq(sizeof(plans) / sizeof(*plans), ENDLESS);
	return plans[i];
}

START_TEST(an_interrupted_run_balances_at_every_instant)
{
	unsigned seed = 1;

	for (int round = 0; round < fewer(8); round++) {
		for (size_t i = 0; i < ENDLESS; i++) {
			struct plan plan = endless(i);
			struct script script = {
				.service = plan.mode == PLAN_UPLOAD
						   ? SERVE_NOTHING
						   : SERVE_REPLIES,
			};
			struct scripted *s =
				scripted_start("127.0.0.1", &script, &plan);
			struct result r = run_interrupted(
				s, &plan, 0,
				(int64_t)rand_r(&seed) % (150 * MS));

			scripted_stop(s);
			scripted_free(s);
			result_free(&r);
		}
	}
}
END_TEST

START_TEST(an_interruption_ends_the_draining)
{
	struct script script = { .service = SERVE_NOTHING };
	struct plan plan = PLAN(.depth = 8, .duration_ns = SECOND / 2);
	struct scripted *s = scripted_start("127.0.0.1", &script, &plan);
	struct result r = run_interrupted(s, &plan, (uint64_t)32 * 64, SECOND);

	EXPECT_COUNTS(&r, .planned = 32, .sent = 32, .open = 32);
	ck_assert_int_eq(r.connections.starved, 4);
	ck_assert_int_ge(r.connections.longest_silence, SECOND / 20);
	scripted_stop(s);
	scripted_free(s);
	result_free(&r);
}
END_TEST

/* The first interrupt plans no more, the second does not wait. */
START_TEST(two_interruptions_do_not_wait_for_what_is_under_way)
{
	struct script script = { .service = SERVE_NOTHING };
	struct plan plan = PLAN(.depth = 2);

	for (int times = 1; times <= 2; times++) {
		struct scripted *s = scripted_start(
			"127.0.0.1", times == 1 ? &faultless : &script, &plan);
		struct interrupter i = { .server = s,
					 .bytes = (uint64_t)8 * 64,
					 .after = SECOND / 5,
					 .times = times };
		struct result r;

		ck_assert_int_eq(
			pthread_create(&i.thread, NULL, interrupts, &i), 0);
		r = run_at(scripted_address(s), &plan);
		pthread_join(i.thread, NULL);
		ck_assert(r.is_cut);
		ck_assert_uint_gt(r.counts.planned, 0);
		ck_assert_uint_eq(r.counts.open, times == 1 ? 0 : 8);
		ck_assert_uint_eq(r.counts.timed_out, 0);
		scripted_stop(s);
		scripted_free(s);
		result_free(&r);
	}
}
END_TEST

START_TEST(an_interruption_before_the_run_ends_it_at_once)
{
	struct plan plan = PLAN(.depth = 1);
	struct scripted *s = scripted_start("127.0.0.1", &faultless, &plan);
	struct result r;

	run_interrupt();
	r = run_at(scripted_address(s), &plan);
	ck_assert(r.is_cut);
	result_free(&r);
	plan.count = 10;
	r = run_at(scripted_address(s), &plan);
	ck_assert(!r.is_cut);
	expect_clean_result(&r, 10);
	result_free(&r);
	scripted_stop(s);
	scripted_free(s);
}
END_TEST

/* ---- time-outs */

static void times_out(int i)
{
	struct script script = { .service = SERVE_NOTHING };
	struct plan plan = PLAN(.duration_ns = 2 * SHORT, .timeout_ns = SHORT,
				.depth = 4, .threads = i % 2 ? 4 : 1);
	struct result r;

	if (i / 2 == 1)
		plan.schedule = PLAN_CONSTANT, plan.rate = 400;
	if (i / 2 == 2)
		plan.mode = PLAN_CHURN, plan.depth = 1;
	r = run_against(&script, &plan, NULL);
	ck_assert_uint_eq(r.counts.timed_out, r.counts.sent);
	ck_assert_uint_ge(r.counts.sent, i / 2 == 2 ? 4 : 16);
	ck_assert_uint_eq(error_count(&r, ERROR_REPLY, ETIMEDOUT),
			  r.counts.sent);
	ck_assert_int_eq(r.connections.starved, 4);
	result_free(&r);
}

START_TEST(messages_that_are_never_answered_time_out)
{
	at_once(6, times_out);
}
END_TEST

/* Without numbers a late reply must not be taken for the next one. */
START_TEST(replies_that_look_alike_end_the_connection_when_they_are_late)
{
	struct script script = { .reply = "ok\n",
				 .fault = FAULT_DROP,
				 .faults = 3,
				 .from = 10,
				 .to = 50 };
	struct plan plan =
		PLAN(.count = 500, .timeout_ns = SHORT, .expect = EXPECT_FRAMED,
		     .expected.framer = FRAMER_LINE, .reconnect = true);
	struct result r = run_undisturbed(&script, &plan, NULL, SHORT);

	EXPECT_COUNTS(&r, .planned = 500, .sent = 500, .answered = 497,
		      .timed_out = 3);
	ck_assert_uint_eq(r.connections.ended, 0);
	ck_assert_uint_eq(error_count(&r, ERROR_REPLY, ETIMEDOUT), 3);
	ck_assert_uint_eq(errors_in_all(&r), 3);
	result_free(&r);
}
END_TEST

/* ---- a server that dies */

static void dies(struct plan *plan, int at)
{
	struct script script = { .die_at = at };
	struct seen seen;
	struct result r = run_against(&script, plan, &seen);

	ck_assert_uint_le(r.counts.answered, (uint64_t)at);
	ck_assert_int_eq(r.connections.open, 0);
	ck_assert(!r.is_cut);
	result_free(&r);
}

START_TEST(a_server_that_dies_ends_the_run)
{
	struct plan closed = PLAN(.depth = 16, .threads = 2);
	struct plan open =
		PLAN(.schedule = PLAN_CONSTANT, .rate = 2000, .threads = 2);

	dies(&closed, 1000);
	open.count = 3000;
	dies(&open, 1000);
}
END_TEST

/* Unsent messages are late up to the planned end of the run. */
START_TEST(what_a_dead_server_never_got_has_its_age)
{
	struct script script = { .die_at = 500 };
	struct plan plan = PLAN(.schedule = PLAN_CONSTANT, .rate = 1000,
				.duration_ns = 20 * SECOND);
	struct result r = run_against(&script, &plan, NULL);

	ck_assert_uint_eq(r.counts.planned, 20000);
	ck_assert_uint_ge(r.counts.never_sent, 19500 - 4);
	/* 19500 of 20000, with ages from 19.5 s to 0: half are above 9.5 s. */
	ck_assert_int_ge(histogram_percentile(r.clocks[CLOCK_FROM_PLAN], 50),
			 SECOND * 95 / 10);
	ck_assert_int_lt(r.elapsed, 20 * SECOND);
	result_free(&r);
}
END_TEST

static void tries_again(int i)
{
	struct script script = { .die_at = 100 };
	struct plan plan = PLAN(.duration_ns = 4 * SECOND, .reconnect = true);
	struct result r;

	if (i % 2)
		plan.schedule = PLAN_POISSON, plan.rate = 1000;
	if (i / 2)
		plan.mode = PLAN_CHURN;
	r = run_against(&script, &plan, NULL);
	ck_assert_int_ge(r.elapsed, plan.duration_ns);
	ck_assert_uint_ge(error_count(&r, ERROR_CONNECT, ECONNREFUSED), 4);
	if (i / 2)
		ck_assert_uint_gt(r.counts.never_sent, 0);
	result_free(&r);
}

START_TEST(with_reconnect_a_dead_server_is_tried_to_the_end)
{
	at_once(4, tries_again);
}
END_TEST

/* ---- the seconds */

struct watched {
	int calls;
	int64_t at;
	uint64_t answered;
};

static void watch(void *arg, const struct progress *p)
{
	struct watched *w = arg;

	if (!p->last)
		return;
	w->calls++;
	w->answered += p->last->answered;
	ck_assert_int_ge(p->last->at, w->at);
	w->at = p->last->at + p->last->length;
	ck_assert_uint_ge(p->answered, w->answered);
}

START_TEST(a_run_of_a_moment_has_its_second)
{
	struct script script = { .faults = 0 };
	struct plan plan = PLAN(.count = 40);
	struct scripted *s = scripted_start("127.0.0.1", &script, &plan);
	struct watched w = { 0 };
	struct result r;

	plan.address = scripted_address(s);
	ck_assert_int_eq(run_watched(&r, &plan, watch, &w), 0);
	expect_result_balance(&r);
	ck_assert_uint_ge(r.second_count, 1);
	ck_assert_uint_eq(w.answered, 40);
	scripted_stop(s);
	scripted_free(s);
	result_free(&r);
}
END_TEST

static void note_part(void *arg, const struct progress *p)
{
	*(enum run_part *)arg = p->part;
}

/* All is sent in 200 ms. */
START_TEST(an_open_loop_that_has_sent_its_count_is_in_the_drain)
{
	const struct script late = {
		.fault = FAULT_DELAY, .faults = 1, .to = 1, .delay_ms = 500
	};
	struct plan plan =
		PLAN(.schedule = PLAN_CONSTANT, .rate = 20, .count = 4);
	struct scripted *s = scripted_start("127.0.0.1", &late, &plan);
	enum run_part part = RUN_CONNECTING;
	struct result r;

	plan.address = scripted_address(s);
	ck_assert_int_eq(run_watched(&r, &plan, note_part, &part), 0);
	expect_clean_result(&r, 4);
	ck_assert_int_eq(part, RUN_DRAINING);
	scripted_stop(s);
	scripted_free(s);
	result_free(&r);
}
END_TEST

/* A thread that has finished does not delay the seconds of the others. */
START_TEST(seconds_go_on_when_one_thread_has_lost_its_connections)
{
	struct script script = { .serves = 1, .close_silent_ms = 3000 };
	struct plan plan =
		PLAN(.connections = 2, .threads = 2, .schedule = PLAN_CONSTANT,
		     .rate = 100, .duration_ns = 6 * SECOND);
	struct scripted *s = scripted_start("127.0.0.1", &script, &plan);
	struct watched w = { 0 };
	struct result r;

	plan.address = scripted_address(s);
	ck_assert_int_eq(run_watched(&r, &plan, watch, &w), 0);
	expect_result_balance(&r);
	ck_assert_int_ge(w.calls, 3);
	ck_assert_uint_ge(r.second_count, 4);
	/* Of 300: it went on into the last second. */
	ck_assert_uint_gt(r.counts.answered, 250);
	scripted_stop(s);
	scripted_free(s);
	result_free(&r);
}
END_TEST

#define DRAIN_CPU_NS   (SECOND / 2)
#define DRAIN_SWITCHES 10000

static long switches_of_thread(void)
{
	struct rusage usage;

	ck_assert_int_eq(getrusage(RUSAGE_THREAD, &usage), 0);
	return usage.ru_nivcsw;
}

static int64_t cpu_of_thread(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

/* The other thread that wants the processor. */
static void *yields(void *arg)
{
	atomic_bool *is_over = arg;

	while (!atomic_load(is_over))
		sched_yield();
	return NULL;
}

struct drain {
	bool has_begun;
	long switches;
};

/* The thread that watches the run is busy and preempted in the drain. */
static void work_in_the_drain(void *arg, const struct progress *p)
{
	int64_t cpu = cpu_of_thread(), fail_at = test_deadline();
	long switches = switches_of_thread();
	struct drain *d = arg;
	cpu_set_t all, one;
	atomic_bool is_over = false;
	pthread_t other;

	if (p->part != RUN_DRAINING || d->has_begun)
		return;
	d->has_begun = true;
	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	ck_assert_int_eq(sched_getaffinity(0, sizeof(all), &all), 0);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	ck_assert_int_eq(pthread_create(&other, NULL, yields, &is_over), 0);
	while (cpu_of_thread() - cpu < DRAIN_CPU_NS && now_ms() < fail_at)
		sched_yield();
	d->switches = switches_of_thread() - switches;
	atomic_store(&is_over, true);
	pthread_join(other, NULL);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(all), &all), 0);
	ck_assert_int_ge(cpu_of_thread() - cpu, DRAIN_CPU_NS);
}

START_TEST(what_this_client_does_in_the_drain_is_not_counted)
{
	const struct script late = {
		.fault = FAULT_DELAY, .faults = 1, .to = 1, .delay_ms = 1000
	};
	struct plan plan = PLAN(.schedule = PLAN_CONSTANT, .rate = 20,
				.duration_ns = SECOND / 5);
	struct scripted *s = scripted_start("127.0.0.1", &late, &plan);
	struct drain d = { 0 };
	struct result r;

	plan.address = scripted_address(s);
	ck_assert_int_eq(run_watched(&r, &plan, work_in_the_drain, &d), 0);
	expect_result_balance(&r);
	scripted_stop(s);
	scripted_free(s);
	ck_assert(d.has_begun);
	ck_assert_double_lt(r.self.cpu_user + r.self.cpu_system,
			    (double)DRAIN_CPU_NS / 1e9);
	/* Not each system counts a yield as one. */
	if (d.switches > DRAIN_SWITCHES)
		ck_assert_uint_lt(r.self.switches, DRAIN_SWITCHES);
	result_free(&r);
}
END_TEST

/* A second that begins after the end belongs to the drain. */
START_TEST(the_drain_is_no_second_of_the_run)
{
	struct script script = { .service = SERVE_NOTHING };
	struct plan plan = PLAN(.duration_ns = SECOND,
				.timeout_ns = 2 * SECOND * slowness());
	struct result r = run_against(&script, &plan, NULL);
	size_t count = result_measured_seconds(&r);

	EXPECT_COUNTS(&r, .planned = 4, .sent = 4, .timed_out = 4);
	for (size_t i = 0; i < r.second_count; i++)
		ck_assert_int_eq(r.seconds[i].is_drain,
				 r.seconds[i].at >= SECOND);
	ck_assert_uint_ge(count, 1);
	ck_assert_uint_lt(count, r.second_count);
	ck_assert_int_eq(r.seconds[count - 1].max, 0);
	ck_assert_int_ge(r.seconds[r.second_count - 1].max, SECOND);
	result_free(&r);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"load_counts", an_interrupted_run_balances_at_every_instant,
		an_interruption_ends_the_draining,
		two_interruptions_do_not_wait_for_what_is_under_way,
		an_interruption_before_the_run_ends_it_at_once,
		messages_that_are_never_answered_time_out,
		replies_that_look_alike_end_the_connection_when_they_are_late,
		a_server_that_dies_ends_the_run,
		what_a_dead_server_never_got_has_its_age,
		with_reconnect_a_dead_server_is_tried_to_the_end,
		a_run_of_a_moment_has_its_second,
		what_this_client_does_in_the_drain_is_not_counted,
		the_drain_is_no_second_of_the_run,
		an_open_loop_that_has_sent_its_count_is_in_the_drain,
		seconds_go_on_when_one_thread_has_lost_its_connections);
}
