/* SPDX-License-Identifier: MIT */
/*
 * A server that stops for a while is felt by everybody who would have asked
 * meanwhile: from the planned instant it shows, from the send it hides.  And
 * whoever was late, the server or we ourselves, is the one who is blamed.
 */
#include "../support/scripted.h"

#include <time.h>

#define RATE	 2000
#define SECONDS	 2
#define LINKS	 2 /* 0.05 % of the messages are under way in a stall */
#define STALL_MS 200
#define TRIES	 5

/* Noise of the machine that is not the run's doing. */
#define MARGIN (10 * MS)

struct outcome {
	int64_t from_plan, from_send; /* p99.9 */
	int64_t expected;	      /* of from_plan */
	int64_t stalled;
	struct self self;
};

static struct plan plan_at_rate(void)
{
	struct plan plan = PLAN(.connections = LINKS, .rate = RATE,
				.schedule = PLAN_CONSTANT,
				.duration_ns = SECONDS * SECOND);

	return plan;
}

/*
 * While it is stopped for S, each connection has one message under way and
 * those planned after it wait: R * S of them, with ages spread evenly from S
 * to 0.  Of R * T messages, one of a thousand is above S - T / 1000.
 */
static struct outcome stalled_run(int stall_ms)
{
	struct script script = { .stall_at = stall_ms ? RATE : 0,
				 .stall_ms = stall_ms };
	struct plan plan = plan_at_rate();
	struct seen seen;
	struct result r = run_against(&script, &plan, &seen);
	struct outcome o = {
		.from_plan =
			histogram_percentile(r.clocks[CLOCK_FROM_PLAN], 99.9),
		.from_send =
			histogram_percentile(r.clocks[CLOCK_FROM_SEND], 99.9),
		.expected = seen.stalled - SECONDS * SECOND / 1000,
		.stalled = seen.stalled,
		.self = r.self,
	};

	ck_assert_uint_eq(r.books.planned, RATE * SECONDS);
	result_free(&r);
	return o;
}

START_TEST(a_stalled_server_shows_from_the_plan_and_hides_from_the_send)
{
	struct outcome o;

	/* What else stops the server makes it no better: try again. */
	for (int i = 0; i < TRIES; i++) {
		o = stalled_run(STALL_MS);
		ck_assert_int_ge(o.from_plan, o.expected - MARGIN);
		if (o.from_send < STALL_MS * MS / 2 &&
		    o.from_plan < o.expected + MARGIN)
			return;
	}
	ck_abort_msg("from plan %ld, expected %ld; from send %ld", o.from_plan,
		     o.expected, o.from_send);
}
END_TEST

START_TEST(lateness_by_a_stalled_server_is_the_servers)
{
	struct outcome o;
	uint64_t held_up;

	for (int i = 0; i < TRIES; i++) {
		o = stalled_run(STALL_MS);
		held_up = (uint64_t)(o.stalled * RATE / SECOND) - LINKS;
		ck_assert_int_le(o.self.late_server_max, o.stalled + SECOND);
		if (o.self.late_server >= held_up * 9 / 10 &&
		    o.self.late_server_max > o.stalled * 9 / 10 &&
		    o.self.late_ours_max < o.stalled / 2 + o.self.longest_stall)
			return;
	}
	ck_abort_msg("%lu late by the server, expected %lu; by us to %ld ns",
		     o.self.late_server, held_up, o.self.late_ours_max);
}
END_TEST

/* ---- the client itself */

static void run_and_say(const char *address, int say)
{
	struct plan plan = plan_at_rate();
	struct result r = run_at(address, &plan);

	ck_assert_int_eq(write(say, &r.self, sizeof(r.self)), sizeof(r.self));
	result_free(&r);
}

static struct self stopped_run(void)
{
	const struct timespec nap = { .tv_nsec = STALL_MS * MS };
	const struct script script = { .faults = 0 };
	const struct elsewhere e = elsewhere_begins(run_and_say);
	struct plan plan = plan_at_rate();
	struct scripted *s = scripted_starts("127.0.0.1", &script, &plan);
	struct self self;

	elsewhere_goes(&e, scripted_address(s));
	UNTIL(atomic_load(&scripted_seen(s)->messages) > RATE);
	kill(e.pid, SIGSTOP);
	nanosleep(&nap, NULL);
	kill(e.pid, SIGCONT);
	elsewhere_ends(&e, &self, sizeof(self));
	scripted_ends(s);
	scripted_is_freed(s);
	return self;
}

START_TEST(lateness_by_a_stopped_client_is_our_own)
{
	const uint64_t held_up = RATE * STALL_MS / 1000;
	struct self self;

	for (int i = 0; i < TRIES; i++) {
		self = stopped_run();
		ck_assert_int_ge(self.longest_stall, STALL_MS * MS * 8 / 10);
		if (self.late_ours >= held_up * 8 / 10 &&
		    self.late_ours_max >= STALL_MS * MS * 8 / 10 &&
		    self.late_server_max < STALL_MS * MS / 2)
			return;
	}
	ck_abort_msg("%lu late by us, to %ld ns, %lu by the server, to %ld ns",
		     self.late_ours, self.late_ours_max, self.late_server,
		     self.late_server_max);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"load_stall",
		a_stalled_server_shows_from_the_plan_and_hides_from_the_send,
		lateness_by_a_stalled_server_is_the_servers,
		lateness_by_a_stopped_client_is_our_own);
}
