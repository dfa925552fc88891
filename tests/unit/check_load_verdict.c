/* SPDX-License-Identifier: MIT */
/* The limits of the verdict from both sides; and the diagnosis. */
#include "test.h"

#include <errno.h>

#include "../../client/load/judge/diagnosis.h"
#include "../../client/load/judge/verdict.h"
#include "../../client/load/measure/units.h"
#include "../load/figures.h"

static struct figures f;

static void has_errors(enum error_phase phase, int error)
{
	f.result.errors.used = 1;
	f.result.errors.rows[0] = (struct error_row){ .phase = phase,
						      .error = error,
						      .count = 200 };
}

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
	figures_be_late(&f, 500, 5 * MS);
	expect(VERDICT_TRUSTWORTHY, "0.083%");
	figures_be_late(&f, 1200, 5 * MS);
	expect(VERDICT_WITH_CARE,
	       "sent late: p99.9 is 6.10ms, and 1.10ms without its delay");
	figures_be_late(&f, 12000, 5 * MS);
	expect(VERDICT_NOT,
	       "sent late: p99 is 6.10ms, and 1.09ms without its delay");
	figures_be_late(&f, 600000, 5 * MS);
	expect(VERDICT_NOT, "sent late: p99 is ");
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
	f.result.self.busiest = 0.85;
	f.result.self.measured_ns = 10 * SECOND;
	f.result.self.switches = 2100;
	verdict_judge(&f.result);
	ck_assert_uint_eq(f.result.reason_count, 2);
	ck_assert_str_eq(f.result.reasons[1],
			 "this client was preempted 210 times per second");
	/* Two of them in 3 ms are no rate. */
	f.result.self.switches = 2;
	f.result.elapsed = f.plan.duration_ns = 3000000;
	f.result.self.measured_ns = 3000000;
	f.result.self.busiest = 0.85;
	verdict_judge(&f.result);
	for (size_t i = 0; i < f.result.reason_count; i++)
		ck_assert_ptr_null(strstr(f.result.reasons[i], "preempted"));
	result_free(&f.result);
}
END_TEST

START_TEST(a_stall_may_have_been_in_the_wait_for_the_last_replies)
{
	figures_init(&f);
	f.result.elapsed = f.plan.duration_ns = 100 * MS;
	f.result.self.longest_stall = 20 * MS;
	expect(VERDICT_NOT, "stalled for 20.0ms");
	f.result.elapsed = f.plan.duration_ns = 100 * MS;
	f.result.self.awaited_ns = SECOND;
	f.result.self.longest_stall = 20 * MS;
	expect(VERDICT_WITH_CARE, "stalled for 20.0ms");
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
	f.result.connections.idle_asked = 30;
	f.result.connections.idle_open = 28;
	expect(VERDICT_WITH_CARE, "2 of 30 silent connections were not kept");
	result_free(&f.result);
}
END_TEST

START_TEST(lost_connections_are_told_of)
{
	figures_init(&f);
	f.result.connections.lost = 2;
	f.result.connections.lost_at = 57 * INT64_C(1000000);
	expect(VERDICT_WITH_CARE,
	       "2 of 200 connections were lost, from 57.0ms on: the figures "
	       "describe the others");
	f.result.connections.lost = 20;
	expect(VERDICT_NOT, "20 of 200 connections were lost");
	f.plan.reconnect = true;
	f.result.connections.down_ns = 200 * 30 * SECOND / 100 * 9;
	expect(VERDICT_TRUSTWORTHY, "0%");
	f.plan.reconnect = true;
	f.result.connections.down_ns = 200 * 30 * SECOND / 100 * 41;
	expect(VERDICT_WITH_CARE, "connections were lost 41% of the time");
	f.plan.reconnect = true;
	f.result.connections.down_ns = 200 * 30 * SECOND / 2;
	expect(VERDICT_NOT, "connections were lost 50% of the time");
	result_free(&f.result);
}
END_TEST

START_TEST(less_time_than_asked_is_told_of)
{
	figures_init(&f);
	f.result.elapsed = 2000000;
	expect(VERDICT_NOT, "the run ended after 2.00ms of 30.0s: no "
			    "connection was left");
	f.result.is_cut = true;
	f.result.elapsed = 3 * SECOND;
	expect(VERDICT_WITH_CARE, "the run was cut short after 3.00s of 30.0s");
	f.plan.duration_ns = INT64_MAX;
	f.plan.count = 600001;
	expect(VERDICT_NOT, "ended after 30.0s, with 600000 of 600001 sent");
	f.plan.duration_ns = INT64_MAX;
	f.plan.count = 600000;
	expect(VERDICT_TRUSTWORTHY, "0%");
	/* An open loop plans the rest of the count, too. */
	f.plan.duration_ns = INT64_MAX;
	f.plan.count = 600000;
	f.result.counts.sent -= 10;
	f.result.counts.answered -= 10;
	f.result.counts.never_sent = 10;
	f.result.connections.lost = 200;
	expect(VERDICT_NOT, "with 599990 of 600000 sent");
	result_free(&f.result);
}
END_TEST

START_TEST(a_shortage_of_this_client_is_told_of)
{
	figures_init(&f);
	has_errors(ERROR_CONNECT, EADDRNOTAVAIL);
	f.result.errors.rows[0].count = 1;
	expect(VERDICT_WITH_CARE,
	       "this client was short of local ports for 1 connections");
	has_errors(ERROR_SOCKET, EMFILE);
	f.result.errors.rows[0].count = 2;
	expect(VERDICT_NOT, "this client was short of descriptors for 2 ");
	/* Of churn, which connects for each message. */
	f.plan.mode = PLAN_CHURN;
	has_errors(ERROR_CONNECT, EADDRNOTAVAIL);
	f.result.errors.rows[0].count = 5999;
	expect(VERDICT_WITH_CARE, "short of local ports for 5999 ");
	f.plan.mode = PLAN_CHURN;
	has_errors(ERROR_CONNECT, EADDRNOTAVAIL);
	f.result.errors.rows[0].count = 6000;
	expect(VERDICT_NOT, "short of local ports for 6000 ");
	f.plan.mode = PLAN_EXCHANGE;
	result_free(&f.result);
}
END_TEST

/* Late by more than 100 us, which is little beside the time of a reply. */
START_TEST(lateness_is_judged_by_what_it_does_to_the_figures)
{
	figures_init(&f);
	for (int i = 0; i < 2; i++) {
		struct histogram **h = i ? &f.result.without_lag
					 : &f.result.clocks[CLOCK_FROM_PLAN];

		histogram_clear(*h);
		histogram_record_many(*h, 20 * MS + (i ? 0 : MS / 2), 600000);
	}
	f.result.self.late_ours = 600000;
	expect(VERDICT_TRUSTWORTHY, "sent 100% of messages late");
	result_free(&f.result);
}
END_TEST

START_TEST(what_is_less_than_asked_is_incomplete)
{
	figures_init(&f);
	verdict_judge(&f.result);
	ck_assert(!f.result.is_incomplete);
	/* This client spoils the figures, but all of them are there. */
	f.result.self.busiest = 1;
	figures_be_late(&f, 600000, 5 * MS);
	f.result.connections.lost = 19;
	verdict_judge(&f.result);
	ck_assert_int_eq(f.result.verdict, VERDICT_NOT);
	ck_assert(!f.result.is_incomplete);
	f.result.connections.lost = 20;
	verdict_judge(&f.result);
	ck_assert(f.result.is_incomplete);
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
	f.result.counts.answered = 299999;
	f.result.counts.sent = 299999;
	f.result.counts.never_sent = 300001;
	expect(VERDICT_NOT, "only 50.0% of the planned messages were answered");
	f.plan.rate = 40000;
	expect(VERDICT_NOT, "planned only 50.0% of the rate");
	result_free(&f.result);
}
END_TEST

START_TEST(messages_without_a_reply_are_told_of_in_a_closed_loop_too)
{
	struct counts *b = &f.result.counts;

	figures_init_closed(&f);
	b->answered = 588000;
	b->timed_out = 12000;
	verdict_judge(&f.result);
	ck_assert_int_eq(f.result.verdict, VERDICT_TRUSTWORTHY);
	b->answered--;
	b->timed_out++;
	expect(VERDICT_WITH_CARE,
	       "only 98.0% of the planned messages were answered");
	result_free(&f.result);
	/* Connections of churn that could not be made. */
	figures_init_closed(&f);
	f.plan.mode = PLAN_CHURN;
	b->answered = b->sent = 299999;
	b->never_sent = 300001;
	verdict_judge(&f.result);
	ck_assert(f.result.is_incomplete);
	expect(VERDICT_NOT, "only 50.0% of the planned messages were answered");
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
	/* They were not there to wait for it. */
	f.result.connections.served_ns = 200 * 21 * SECOND;
	f.result.connections.ended = 100;
	verdict_judge(&f.result);
	ck_assert_int_eq(f.result.verdict, VERDICT_TRUSTWORTHY);
	result_free(&f.result);
}
END_TEST

START_TEST(replies_that_are_not_good_are_told_of)
{
	figures_init(&f);
	f.result.counts.bad = 1;
	expect(VERDICT_WITH_CARE, "1 of 600000 replies were not good");
	f.result.counts.bad = 30000;
	f.result.counts.wrong = 29999;
	expect(VERDICT_WITH_CARE, "59999 of 600000 replies were not good");
	f.result.counts.bad = 30000;
	f.result.counts.wrong = 30000;
	expect(VERDICT_NOT, "60000 of 600000 replies were not good");
	result_free(&f.result);
}
END_TEST

START_TEST(bytes_that_may_not_be_replies_are_told_of)
{
	figures_init(&f);
	f.plan.expect = EXPECT_FRAMED;
	f.result.counts.unsure = 1;
	expect(VERDICT_WITH_CARE, "1 of 600000 replies may be pieces of one");
	f.plan.expect = EXPECT_FRAMED;
	f.result.counts.surplus = 5999;
	expect(VERDICT_WITH_CARE, "5999 times bytes came without a message");
	f.plan.expect = EXPECT_FRAMED;
	f.result.counts.surplus = 6000;
	expect(VERDICT_NOT, "6000 times bytes came without a message: is");
	result_free(&f.result);
}
END_TEST

START_TEST(replies_to_no_message_are_told_of_if_they_are_compared_too)
{
	figures_init(&f);
	f.result.counts.surplus = 5998;
	f.result.counts.crossed = 1;
	expect(VERDICT_WITH_CARE,
	       "5999 times bytes came that answer no message of their "
	       "connection");
	f.result.counts.surplus = 5999;
	f.result.counts.crossed = 1;
	expect(VERDICT_NOT, "6000 times bytes came that answer no message");
	f.plan.expect = EXPECT_REPLY;
	f.result.counts.crossed = 5999;
	expect(VERDICT_WITH_CARE, "5999 times bytes came that answer no ");
	result_free(&f.result);
}
END_TEST

START_TEST(handshakes_that_waited_for_this_client_are_told_of)
{
	for (int percent = 49; percent <= 50; percent++) {
		figures_init(&f);
		f.plan.mode = PLAN_CHURN;
		f.result.clocks[CLOCK_HANDSHAKE] =
			calloc(1, sizeof(*f.result.clocks[CLOCK_HANDSHAKE]));
		histogram_record_many(f.result.clocks[CLOCK_HANDSHAKE], MS,
				      100);
		f.result.self.handshake_lag = percent * MS;
		if (percent < 50)
			expect(VERDICT_TRUSTWORTHY, "late");
		else
			expect(VERDICT_WITH_CARE,
			       "handshakes waited for this client for up to "
			       "50% of their time");
		result_free(&f.result);
	}
}
END_TEST

START_TEST(the_gravest_reasons_come_first)
{
	figures_init(&f);
	f.result.self.busiest = 0.85;
	f.result.connections.starved = 2;
	figures_be_late(&f, 60000, 5 * MS);
	f.result.counts.open = 1;
	verdict_judge(&f.result);
	ck_assert_int_eq(f.result.verdict, VERDICT_NOT);
	ck_assert_uint_eq(f.result.grave_count, 2);
	ck_assert_ptr_nonnull(strstr(f.result.reasons[0], "do not add up"));
	ck_assert_ptr_nonnull(strstr(f.result.reasons[1], "sent late: p99"));
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
		a_stall_may_have_been_in_the_wait_for_the_last_replies,
		starved_connections_are_told_of, lost_connections_are_told_of,
		less_time_than_asked_is_told_of,
		a_shortage_of_this_client_is_told_of,
		lateness_is_judged_by_what_it_does_to_the_figures,
		what_is_less_than_asked_is_incomplete,
		a_rate_that_was_missed_is_told_of,
		messages_without_a_reply_are_told_of_in_a_closed_loop_too,
		littles_law_shows_connections_that_waited_for_us,
		replies_that_are_not_good_are_told_of,
		bytes_that_may_not_be_replies_are_told_of,
		replies_to_no_message_are_told_of_if_they_are_compared_too,
		handshakes_that_waited_for_this_client_are_told_of,
		the_gravest_reasons_come_first,
		shapes_of_the_figures_give_hints,
		delays_of_the_server_are_not_timers_of_tcp,
		lost_syns_show_in_the_time_to_connect);
}
