/* SPDX-License-Identifier: MIT */
/*
 * A stall of the server affects everyone who would have sent a message in that
 * time.  The from-plan clock shows this, the from-send clock hides it.
 * Lateness is attributed to its cause: the server or the load tester.
 */
#include "scripted.h"
#include "stall_detector.h"

#include <sys/wait.h>
#include <time.h>

#define RATE	 2000
#define SECONDS	 2
#define CONNS	 2 /* 0.05 % of the messages are under way in a stall */
#define STALL_MS 200
#define STALL_AT (RATE / 10) /* messages; early, to end before the run */
#define MANY	 300
#define TRIES	 15 /* to get one without a stall of the machine */
#define CALM_MS	 10 /* no other stall is longer */

/* Noise of the machine, not of the run. */
#define MARGIN (STALL_MS * MS / 10)

struct outcome {
	int64_t from_plan, from_send; /* p99.9 */
	int64_t expected;	      /* of from_plan */
	int64_t stalled;
	/* The machine, or the server for longer than it was told to. */
	int64_t still_ms;
	struct self self;
};

static void skip(void)
{
	skip_test("the machine stood still in each of %d runs", TRIES);
}

static struct plan plan_at_rate(void)
{
	struct plan plan = PLAN(.connections = CONNS, .rate = RATE,
				.schedule = PLAN_CONSTANT,
				.duration_ns = SECONDS * SECOND);

	return plan;
}

static int64_t still_of(struct stall_detector *w, const struct seen *seen)
{
	int64_t machine = stall_detector_stop(w);
	int64_t server = seen->longest_pause / MS - LOOK_MS;

	return machine > server ? machine : server;
}

/*
 * In a stall of S, each connection has one message under way, and R * S
 * messages planned after it wait, with ages spread evenly from S to 0.  Of all
 * R * T messages, one of a thousand is above S - T / 1000.
 */
static struct outcome stalled_run(void)
{
	struct script script = { .stall_at = STALL_AT, .stall_ms = STALL_MS };
	struct plan plan = plan_at_rate();
	struct stall_detector *w = stall_detector_start();
	struct seen seen;
	struct result r = run_against(&script, &plan, &seen);
	struct outcome o = {
		.still_ms = still_of(w, &seen),
		.from_plan =
			histogram_percentile(r.clocks[CLOCK_FROM_PLAN], 99.9),
		.from_send =
			histogram_percentile(r.clocks[CLOCK_FROM_SEND], 99.9),
		.expected = seen.stalled - SECONDS * SECOND / 1000,
		.stalled = seen.stalled,
		.self = r.self,
	};

	ck_assert_uint_eq(r.counts.planned, RATE * SECONDS);
	result_free(&r);
	return o;
}

START_TEST(a_stalled_server_shows_from_the_plan_and_hides_from_the_send)
{
	for (int i = 0; i < TRIES; i++) {
		struct outcome o = stalled_run();

		ck_assert_int_ge(o.from_plan, o.expected - MARGIN);
		if (o.still_ms > CALM_MS)
			continue;
		ck_assert_int_lt(o.from_plan, o.expected + MARGIN);
		ck_assert_int_lt(o.from_send, STALL_MS * MS / 2);
		return;
	}
	skip();
}
END_TEST

START_TEST(lateness_by_a_stalled_server_is_the_servers)
{
	for (int i = 0; i < TRIES; i++) {
		struct outcome o = stalled_run();
		int64_t held_up = o.stalled * RATE / SECOND - CONNS;

		if (o.still_ms > CALM_MS)
			continue;
		ck_assert_int_ge((int64_t)o.self.late_server, held_up * 9 / 10);
		ck_assert_int_gt(o.self.late_server_max, o.stalled * 9 / 10);
		ck_assert_int_lt(o.self.late_server_max, o.stalled + MARGIN);
		ck_assert_int_lt(o.self.late_ours_max, o.stalled / 2);
		return;
	}
	skip();
}
END_TEST

/* ---- the client itself */

static void run_and_say(const char *address, struct plan *plan, int say)
{
	struct result r = run_at(address, plan);

	ck_assert_int_eq(write(say, &r.self, sizeof(r.self)), sizeof(r.self));
	result_free(&r);
}

static void run_patiently(const char *address, int say)
{
	struct plan plan = plan_at_rate();

	run_and_say(address, &plan, say);
}

static void run_after_a_warm_up(const char *address, int say)
{
	struct plan plan = plan_at_rate();

	plan.warmup_ns = 5 * STALL_MS * MS;
	run_and_say(address, &plan, say);
}

/* Each connection sends every 100 ms; more of them than are served at once. */
static void run_on_many(const char *address, int say)
{
	struct plan plan = plan_at_rate();

	plan.connections = MANY;
	plan.rate = 10 * MANY;
	run_and_say(address, &plan, say);
}

static void run_in_haste(const char *address, int say)
{
	struct plan plan = plan_at_rate();

	plan.timeout_ns = SECOND;
	run_and_say(address, &plan, say);
}

static struct outcome stopped_run(void (*act)(const char *address, int say),
				  const struct script *script, int at)
{
	const struct timespec nap = { .tv_nsec = STALL_MS * MS };
	const struct child e = child_start(act);
	struct plan plan = plan_at_rate();
	struct stall_detector *w = stall_detector_start();
	struct scripted *s = scripted_start("127.0.0.1", script, &plan);
	struct outcome o = { .expected = STALL_MS * MS };
	int status;

	child_go(&e, scripted_address(s));
	UNTIL(atomic_load(&scripted_seen(s)->messages) >= at);
	kill(e.pid, SIGSTOP);
	ck_assert_int_eq(waitpid(e.pid, &status, WUNTRACED), e.pid);
	ck_assert(WIFSTOPPED(status));
	nanosleep(&nap, NULL);
	kill(e.pid, SIGCONT);
	child_finish(&e, &o.self, sizeof(o.self));
	scripted_stop(s);
	o.still_ms = still_of(w, scripted_seen(s));
	scripted_free(s);
	return o;
}

struct stop {
	void (*act)(const char *address, int say);
	struct script script;
	int at;
	int64_t most_still_ms; /* a run in which more stood still says nothing
				*/
	bool (*is_ours)(const struct outcome *o);
};

/*
 * Mostly: a client that is stopped between the look at the clock and send(2)
 * takes the stop for a delay of the server.
 */
static bool stop_is_ours(const struct stop *s)
{
	for (int i = 0; i < TRIES; i++) {
		struct outcome o = stopped_run(s->act, &s->script, s->at);

		ck_assert_int_ge(o.self.longest_stall, o.expected - MARGIN);
		if (o.still_ms <= s->most_still_ms)
			return s->is_ours(&o);
	}
	skip();
	return true;
}

static bool is_late_by_us_alone(const struct outcome *o)
{
	const int64_t held_up = RATE * STALL_MS / 1000;

	return (int64_t)o->self.late_ours >= held_up * 8 / 10 &&
	       o->self.late_ours_max >= o->expected - MARGIN &&
	       o->self.late_server_max < o->expected / 2;
}

START_TEST(lateness_by_a_stopped_client_is_our_own)
{
	const struct stop stop = { .act = run_patiently,
				   .at = STALL_AT,
				   .most_still_ms = CALM_MS,
				   .is_ours = is_late_by_us_alone };

	MOSTLY(stop_is_ours(&stop));
}
END_TEST

/* On a busy machine the server takes long to catch up. */
static bool is_not_late_by_stop(const struct outcome *o)
{
	return o->self.late_server_max < o->expected * 9 / 10;
}

/* One is under way when the client stops, and comes soon after. */
START_TEST(replies_that_come_while_the_client_is_stopped_are_not_late)
{
	const struct stop stop = { .act = run_patiently,
				   .script = { .stall_at = STALL_AT,
					       .stall_ms = STALL_MS / 10 },
				   .at = STALL_AT,
				   .most_still_ms = CALM_MS + STALL_MS / 10,
				   .is_ours = is_not_late_by_stop };

	MOSTLY(stop_is_ours(&stop));
}
END_TEST

static bool are_all_late_by_us(const struct outcome *o)
{
	return (int64_t)o->self.late_ours >= MANY * 8 / 10 &&
	       o->self.late_server_max < o->expected / 2;
}

/*
 * The first reply on each connection comes while the client is stopped, and all
 * second messages are planned by then.
 */
START_TEST(a_stop_with_many_replies_delays_all_of_them)
{
	const struct stop stop = { .act = run_on_many,
				   .script = { .fault = FAULT_DELAY,
					       .faults = MANY,
					       .to = MANY,
					       .delay_ms = STALL_MS * 3 / 4 },
				   .at = MANY,
				   .most_still_ms = CALM_MS,
				   .is_ours = are_all_late_by_us };

	MOSTLY(stop_is_ours(&stop));
}
END_TEST

/* No event would have woken it: it has to look at the clock. */
START_TEST(a_client_that_waits_for_replies_sees_its_own_stops)
{
	const struct script script = { .fault = FAULT_DROP,
				       .faults = CONNS,
				       .to = CONNS };

	for (int i = 0; i < 3; i++) {
		struct outcome o = stopped_run(run_in_haste, &script, CONNS);

		ck_assert_int_ge(o.self.longest_stall, o.expected - 10 * MS);
	}
}
END_TEST

START_TEST(a_stop_in_the_warm_up_is_no_stall_of_the_measured_part)
{
	const struct script script = { .faults = 0 };

	for (int i = 0; i < TRIES; i++) {
		struct outcome o =
			stopped_run(run_after_a_warm_up, &script, STALL_AT);

		if (o.still_ms > CALM_MS)
			continue;
		ck_assert_int_lt(o.self.longest_stall, o.expected / 2);
		return;
	}
	skip();
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"load_stall",
		a_stalled_server_shows_from_the_plan_and_hides_from_the_send,
		lateness_by_a_stalled_server_is_the_servers,
		lateness_by_a_stopped_client_is_our_own,
		replies_that_come_while_the_client_is_stopped_are_not_late,
		a_stop_with_many_replies_delays_all_of_them,
		a_client_that_waits_for_replies_sees_its_own_stops,
		a_stop_in_the_warm_up_is_no_stall_of_the_measured_part);
}
