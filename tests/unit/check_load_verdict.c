/* SPDX-License-Identifier: MIT */
/* The limits of the verdict from both sides; and the diagnosis. */
#include "test.h"

#include <errno.h>

#include "../../client/load/judge/diagnosis.h"
#include "../../client/load/judge/verdict.h"
#include "../load/figures.h"

static struct figures f;

static void expect(enum verdict verdict, const char *reason)
{
	verdict_judge(&f.result);
	ck_assert_msg(f.result.verdict == verdict && f.result.reason_count > 0,
		      "%s: %s", verdict_names[f.result.verdict],
		      f.result.reasons[0]);
	ck_assert_msg(strstr(f.result.reasons[0], reason), "%s",
		      f.result.reasons[0]);
	result_free(&f.result);
	figures_init(&f);
}

START_TEST(a_good_run_can_be_trusted)
{
	figures_init(&f);
	expect(VERDICT_TRUSTWORTHY, "sent 0% of messages late");
	result_free(&f.result);
	figures_init_closed(&f);
	expect(VERDICT_TRUSTWORTHY, "used 61% of a core; its longest stall");
	result_free(&f.result);
}
END_TEST

START_TEST(our_own_lateness_is_weighed_by_the_percentile_it_spoils)
{
	figures_init(&f);
	f.result.self.late_ours = 599;
	expect(VERDICT_TRUSTWORTHY, "0.1%");
	f.result.self.late_ours = 600;
	expect(VERDICT_WITH_CARE, "this client sent 0.1% of messages late");
	f.result.self.late_ours = 6000;
	expect(VERDICT_NOT, "this client sent 1% of messages late");
	f.result.self.late_ours = f.result.counts.sent;
	expect(VERDICT_NOT, "this client sent 100% of messages late");
	/* Delays by the server are not attributed to this client. */
	f.result.self.late_server = 600000;
	expect(VERDICT_TRUSTWORTHY, "0%");
	result_free(&f.result);
}
END_TEST

START_TEST(a_busy_or_stuck_client_is_told_of)
{
	figures_init(&f);
	f.result.self.busiest = 0.85;
	expect(VERDICT_WITH_CARE, "busy 85% of the time");
	f.result.self.busiest = 0.99;
	expect(VERDICT_NOT, "busy 99% of the time");
	f.result.self.longest_stall = 20000000;
	expect(VERDICT_WITH_CARE, "stalled for 20.0ms");
	f.result.self.longest_stall = 3000000000;
	expect(VERDICT_NOT, "stalled for 3.00s");
	/* Preemption explains other reasons and is harmless by itself. */
	f.result.self.switches = 1000000;
	expect(VERDICT_TRUSTWORTHY, "0%");
	result_free(&f.result);
}
END_TEST

START_TEST(starved_connections_are_told_of)
{
	figures_init(&f);
	f.result.connections.starved = 2;
	expect(VERDICT_WITH_CARE, "2 of 200 connections were never served");
	f.result.connections.starved = 20;
	expect(VERDICT_NOT, "20 of 200 connections were never served");
	f.result.connections.failed = 200;
	expect(VERDICT_NOT, "all 200 connections could not be made");
	result_free(&f.result);
}
END_TEST

START_TEST(a_rate_that_was_missed_is_told_of)
{
	figures_init(&f);
	f.result.counts.answered -= 30000;
	f.result.counts.sent -= 30000;
	f.result.counts.never_sent = 30000;
	expect(VERDICT_WITH_CARE,
	       "only 95.0% of the planned messages were answered");
	f.plan.rate = 40000;
	expect(VERDICT_NOT, "planned only 50.0% of the rate");
	result_free(&f.result);
}
END_TEST

START_TEST(littles_law_shows_connections_that_waited_for_us)
{
	figures_init_closed(&f);
	f.result.clocks[CLOCK_FROM_SEND]->sum *= 0.7;
	verdict_judge(&f.result);
	ck_assert_int_eq(f.result.verdict, VERDICT_WITH_CARE);
	ck_assert_str_eq(f.result.reasons[0],
			 "connections waited for this client 30% of the time");
	result_free(&f.result);
}
END_TEST

START_TEST(the_gravest_reasons_come_first)
{
	figures_init(&f);
	f.result.self.busiest = 0.85;
	f.result.connections.starved = 2;
	f.result.self.late_ours = 60000;
	f.result.counts.open = 1;
	verdict_judge(&f.result);
	ck_assert_int_eq(f.result.verdict, VERDICT_NOT);
	ck_assert_uint_eq(f.result.grave_count, 2);
	ck_assert_ptr_nonnull(strstr(f.result.reasons[0], "do not add up"));
	ck_assert_ptr_nonnull(strstr(f.result.reasons[1], "10% of messages"));
	ck_assert_uint_eq(f.result.reason_count, 4);
	result_free(&f.result);
}
END_TEST

static void expect_hint(const char *what)
{
	char hints[DIAGNOSES_MAX][DIAGNOSIS_TEXT];
	size_t count = diagnose(&f.result, hints);

	ck_assert_msg(count > 0, "no hint of %s", what);
	ck_assert_msg(strstr(hints[0], what), "%s", hints[0]);
}

static void has_errors(enum error_phase phase, int error)
{
	f.result.errors.used = 1;
	f.result.errors.rows[0] = (struct error_row){ .phase = phase,
						      .error = error,
						      .count = 200 };
}

START_TEST(shapes_of_the_figures_give_hints)
{
	char hints[DIAGNOSES_MAX][DIAGNOSIS_TEXT];

	figures_init(&f);
	ck_assert_uint_eq(diagnose(&f.result, hints), 0);
	histogram_record_range(f.result.clocks[CLOCK_FROM_SEND], 40100000,
			       40100000, 6000);
	expect_hint("Nagle");
	result_free(&f.result);

	figures_init(&f);
	histogram_record_range(f.result.clocks[CLOCK_FROM_SEND], 201000000,
			       201000000, 6000);
	expect_hint("200 ms: lost segments");
	result_free(&f.result);

	figures_init(&f);
	f.result.connections.opened = 0;
	has_errors(ERROR_CONNECT, ECONNREFUSED);
	expect_hint("nothing listens at that address");
	has_errors(ERROR_CONNECT, EADDRNOTAVAIL);
	expect_hint("local ports ran out");
	has_errors(ERROR_BIND, EADDRNOTAVAIL);
	expect_hint("--source does not belong to this machine");
	result_free(&f.result);
}
END_TEST

/*
 * A server that takes 100 ms at times makes some replies wait twice as long.
 */
START_TEST(delays_of_the_server_are_not_timers_of_tcp)
{
	char hints[DIAGNOSES_MAX][DIAGNOSIS_TEXT];

	for (int64_t ms = 20; ms <= 100; ms += 80) {
		figures_init(&f);
		for (int64_t n = 1; n <= 3; n++)
			histogram_record_range(f.result.clocks[CLOCK_FROM_SEND],
					       ms * n * 1000000 + 300000,
					       ms * n * 1000000 + 300000,
					       (uint64_t)(6000 / n));
		ck_assert_uint_eq(diagnose(&f.result, hints), 0);
		result_free(&f.result);
	}
	figures_init(&f);
	f.plan.address = "unix:/tmp/socket";
	histogram_record_range(f.result.clocks[CLOCK_FROM_SEND], 40100000,
			       40100000, 6000);
	ck_assert_uint_eq(diagnose(&f.result, hints), 0);
	result_free(&f.result);
}
END_TEST

START_TEST(lost_syns_show_in_the_time_to_connect)
{
	const int64_t times[] = { 1010, 2060, 3020, 5150, 7200 };

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		int64_t ns = times[i] * 1000000;

		figures_init(&f);
		histogram_record_range(f.result.clocks[CLOCK_CONNECT], ns, ns,
				       20);
		expect_hint("20 connections took whole seconds");
		result_free(&f.result);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"load_verdict", a_good_run_can_be_trusted,
		our_own_lateness_is_weighed_by_the_percentile_it_spoils,
		a_busy_or_stuck_client_is_told_of,
		starved_connections_are_told_of,
		a_rate_that_was_missed_is_told_of,
		littles_law_shows_connections_that_waited_for_us,
		the_gravest_reasons_come_first,
		shapes_of_the_figures_give_hints,
		delays_of_the_server_are_not_timers_of_tcp,
		lost_syns_show_in_the_time_to_connect);
}
