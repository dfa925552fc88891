/* SPDX-License-Identifier: MIT */
/*
 * The server sees what the plan says: how many messages, when, how many
 * connections, from which addresses, how fast.
 */
#include "../../client/load/measure/metrics.h"
#include "../../client/load/measure/summary.h"
#include "scripted.h"

static const struct script faultless;

/* ---- how many */

static struct plan counted(enum plan_mode mode, enum plan_schedule schedule,
			   int threads)
{
	struct plan plan =
		PLAN(.mode = mode, .schedule = schedule, .threads = threads,
		     .connections = 7, .count = 501,
		     .rate = schedule == PLAN_CLOSED ? 0 : 5000);

	return plan;
}

START_TEST(a_count_is_met_exactly_in_every_mode)
{
	for (int i = 0; i < 12; i++) {
		enum plan_mode mode = i % 2 ? PLAN_CHURN : PLAN_EXCHANGE;
		enum plan_schedule schedule = (enum plan_schedule)(i / 2 % 3);
		struct plan plan = counted(mode, schedule, i < 6 ? 1 : 4);
		struct seen seen;
		struct result r = run_against(&faultless, &plan, &seen);

		expect_clean_result(&r, 501);
		ck_assert_int_eq(seen.messages, 501);
		ck_assert_uint_eq(r.counts.bytes_out, seen.bytes);
		if (mode == PLAN_CHURN)
			ck_assert_int_eq(seen.accepted, 501);
		result_free(&r);
	}
}
END_TEST

START_TEST(one_message_is_enough)
{
	for (int i = 0; i < 6; i++) {
		enum plan_mode mode = i % 2 ? PLAN_CHURN : PLAN_EXCHANGE;
		struct plan plan =
			counted(mode, (enum plan_schedule)(i / 2), 1);
		struct result r;

		plan.connections = plan.idle = 1;
		plan.count = 1;
		r = run_against(&faultless, &plan, NULL);
		expect_clean_result(&r, 1);
		ck_assert_uint_eq(r.clocks[CLOCK_CONNECT]->total, 2);
		result_free(&r);
	}
}
END_TEST

START_TEST(two_runs_in_a_row_are_two_runs)
{
	struct plan plan = counted(PLAN_EXCHANGE, PLAN_CLOSED, 2);
	struct scripted *s = scripted_start("127.0.0.1", &faultless, &plan);

	for (int i = 0; i < 3; i++) {
		struct result r = run_at(scripted_address(s), &plan);

		expect_clean_result(&r, 501);
		result_free(&r);
	}
	scripted_stop(s);
	ck_assert_int_eq(scripted_seen(s)->messages, 3 * 501);
	scripted_free(s);
}
END_TEST

/* ---- from when on */

/*
 * With this depth, and in churn a connection for each message, there is always
 * room for a message, so that a busy machine causes no unsent ones.
 */
static void warms_up(int i)
{
	enum plan_mode mode = i % 2 ? PLAN_CHURN : PLAN_EXCHANGE;
	struct plan plan =
		PLAN(.mode = mode, .rate = 500, .schedule = PLAN_CONSTANT,
		     .depth = 500, .warmup_ns = SECOND / 2,
		     .duration_ns = SECOND / 2);
	struct seen seen;
	struct result r;

	plan.threads = i < 2 ? 1 : 4;
	if (mode == PLAN_CHURN)
		plan.connections = 500, plan.depth = 1;
	r = run_undisturbed(&faultless, &plan, &seen, plan.warmup_ns);
	expect_clean_result(&r, 250);
	ck_assert_int_eq(seen.messages, 500);
	ck_assert_int_ge(r.elapsed, plan.duration_ns);
	ck_assert_uint_eq(r.clocks[CLOCK_CONNECT]->total,
			  mode == PLAN_CHURN ? 250 : 4);
	/* Bytes are counted when they are sent, some a little late. */
	ck_assert_uint_ge(r.counts.bytes_out, 250 * 64);
	ck_assert_uint_lt(r.counts.bytes_out, 500 * 64);
	result_free(&r);
}

START_TEST(what_is_planned_in_the_warm_up_is_not_counted)
{
	at_once(4, warms_up);
}
END_TEST

/* The warm-up sends an unknown number of messages in a closed loop. */
static void warms_up_before_count(int i)
{
	struct plan plan =
		counted(i % 2 ? PLAN_CHURN : PLAN_EXCHANGE,
			(enum plan_schedule)(i / 2 % 3), i < 6 ? 1 : 4);
	struct seen seen;
	struct result r;

	plan.warmup_ns = SECOND / 5;
	/* There is always room, so that the whole warm-up is sent. */
	if (plan.schedule != PLAN_CLOSED && plan.mode == PLAN_CHURN)
		plan.rate = 500, plan.connections = 501;
	else if (plan.schedule != PLAN_CLOSED)
		plan.depth = 1501;
	r = run_undisturbed(&faultless, &plan, &seen, plan.warmup_ns);
	expect_clean_result(&r, 501);
	ck_assert_int_gt(seen.messages, 501 + 50);
	if (plan.schedule == PLAN_CONSTANT)
		ck_assert_int_eq(seen.messages, 501 + (int)(plan.rate / 5));
	result_free(&r);
}

START_TEST(a_count_is_that_of_the_measured_part)
{
	for (int i = 0; i < 12; i++)
		warms_up_before_count(i);
}
END_TEST

/* A thread whose share of the count is 0 sends nothing. */
START_TEST(a_count_below_the_threads_is_met_after_a_warm_up_too)
{
	struct plan plan = counted(PLAN_EXCHANGE, PLAN_CLOSED, 4);
	struct result r;

	plan.warmup_ns = SECOND / 10;
	plan.count = 2;
	r = run_against(&faultless, &plan, NULL);
	expect_clean_result(&r, 2);
	result_free(&r);
}
END_TEST

/* Although some threads may begin when others have had replies. */
START_TEST(each_connection_has_its_first_message_of_a_count)
{
	for (int i = 0; i < fewer(40); i++) {
		struct plan plan = counted(i % 2 ? PLAN_CHURN : PLAN_EXCHANGE,
					   PLAN_CLOSED, 4);
		struct result r;

		plan.count = 7;
		r = run_against(&faultless, &plan, NULL);
		expect_clean_result(&r, 7);
		ck_assert_uint_eq(r.connections.replies_min, 1);
		result_free(&r);
	}
}
END_TEST

/* No thread, such as the server's, had more CPU time than the run took. */
START_TEST(processor_time_of_the_warm_up_is_not_counted)
{
	struct plan plan = PLAN(.depth = 16, .warmup_ns = SECOND / 2,
				.duration_ns = SECOND / 20);
	struct result r = run_against(&faultless, &plan, NULL);

	ck_assert_double_gt(r.self.cpu_user + r.self.cpu_system, 0);
	ck_assert_double_le(r.self.cpu_user + r.self.cpu_system,
			    3 * ((double)r.elapsed * 1e-9 + 0.05));
	result_free(&r);
}
END_TEST

/*
 * The run lasts ten times as long as it sends.  Of the time of all threads, a
 * fifth at least is that of the load: the rest is the server's.
 */
START_TEST(processor_time_is_not_diluted_by_the_wait_for_a_late_reply)
{
	const struct script late = {
		.fault = FAULT_DELAY, .faults = 1, .to = 1, .delay_ms = 5000
	};

	for (int i = 0; i < 2; i++) {
		struct plan plan = PLAN(.depth = 16, .duration_ns = SECOND / 2);
		struct result r;
		double sending;

		if (i)
			plan.count = (uint64_t)fewer(200000),
			plan.duration_ns = INT64_MAX;
		r = run_against(&late, &plan, NULL);
		sending = (double)r.connections.served_ns / 4e9;
		if (slowness() == 1) /* a sanitizer takes time of its own */
			ck_assert_double_gt(
				r.self.busiest * sending,
				(r.self.cpu_user + r.self.cpu_system) / 5);
		result_free(&r);
	}
}
END_TEST

/* Nor do errors of the warm-up, if they have no consequences. */
START_TEST(churn_that_fails_in_the_warm_up_is_not_counted)
{
	struct script script = {
		.fault = FAULT_RESET, .faults = 20, .from = 10, .to = 50
	};
	/* Each connection has its second message a second after its first. */
	struct plan plan = PLAN(.mode = PLAN_CHURN, .rate = 200,
				.schedule = PLAN_CONSTANT, .connections = 200,
				.warmup_ns = SECOND, .duration_ns = SECOND);
	struct result r = run_undisturbed(&script, &plan, NULL, plan.warmup_ns);

	expect_clean_result(&r, 200);
	ck_assert_uint_eq(r.connections.ended, 0);
	result_free(&r);
}
END_TEST

static void stop_after_a_second(void *arg, const struct progress *p)
{
	(void)arg;
	if (p->last)
		run_stop();
}

/*
 * Connecting to a Unix socket that nobody has fails at once, so that one is
 * always due.
 */
START_TEST(connections_that_fail_at_once_leave_time_for_all_else)
{
	struct plan plan = PLAN(.mode = PLAN_CHURN, .schedule = PLAN_CONSTANT,
				.rate = 1e7);
	struct result r;

	plan.address = own_unix_address();
	ck_assert_int_eq(run_watched(&r, &plan, stop_after_a_second, NULL), 0);
	expect_result_balance(&r);
	ck_assert(r.is_stopped);
	ck_assert_uint_ge(r.second_count, 1);
	result_free(&r);
}
END_TEST

/* ---- when */

/* As the server sees it; the planned instants have a test of their own. */
START_TEST(constant_pacing_keeps_the_rate)
{
	struct plan plan =
		PLAN(.schedule = PLAN_CONSTANT, .rate = 1000,
		     .duration_ns = 2 * SECOND, .depth = 64, .connections = 40);
	struct scripted *s = scripted_start("127.0.0.1", &faultless, &plan);
	int64_t began = now_ms() * MS;
	struct result r = run_at(scripted_address(s), &plan);
	const int64_t *at = scripted_seen(s)->message_at;

	scripted_stop(s);
	expect_clean_result(&r, 2000);
	/* Some may have been late, none is early. */
	for (int i = 0; i < 2000; i++)
		ck_assert_int_ge(at[i] - began, i * MS);
	scripted_free(s);
	result_free(&r);
}
END_TEST

/* ---- at the end */

/* One message at a time, and the server looks for one every 10 ms. */
static struct result overloads(struct plan *plan)
{
	const struct script slow = { .pace_us = 10000 };

	plan->connections = 1;
	plan->schedule = PLAN_CONSTANT;
	return run_against(&slow, plan, NULL);
}

static double metric_of(const struct result *r, const char *name)
{
	struct metric_id id;
	struct metric m;

	ck_assert(metric_find(&id, name));
	metric_get(id, r, &m);
	return m.value;
}

START_TEST(messages_that_wait_at_the_end_are_still_sent)
{
	for (int i = 0; i < 2; i++) {
		struct plan plan = PLAN(.mode = i ? PLAN_CHURN : PLAN_EXCHANGE,
					.rate = 400, .duration_ns = SECOND / 2);
		struct result r = overloads(&plan);

		expect_clean_result(&r, 200);
		ck_assert_uint_ge(r.counts.drained, 200 - 51);
		ck_assert_int_eq(r.elapsed, SECOND / 2);
		ck_assert_double_le(result_rate(&r), 102);
		/* Each message and its reply are 64 bytes. */
		ck_assert_double_le(metric_of(&r, "bytes-out"), 102 * 64);
		ck_assert_double_le(metric_of(&r, "bytes-in"), 102 * 64);
		ck_assert_uint_eq(r.counts.bytes_out, 200 * 64);
		ck_assert_uint_eq(r.counts.bytes_in, 200 * 64);
		result_free(&r);
	}
}
END_TEST

/* Else the measured part would begin with the replies to these. */
START_TEST(messages_of_the_warm_up_that_wait_when_it_ends_are_dropped)
{
	for (int i = 0; i < 4; i++) {
		const struct script slow = { .pace_us = 10000 };
		struct plan plan =
			PLAN(.mode = i % 2 ? PLAN_CHURN : PLAN_EXCHANGE,
			     .schedule = i < 2 ? PLAN_CONSTANT : PLAN_POISSON,
			     .rate = 400, .connections = 1,
			     .warmup_ns = SECOND / 2,
			     .duration_ns = SECOND / 2);
		struct seen seen;
		struct result r = run_against(&slow, &plan, &seen);

		expect_clean_result(&r, r.counts.planned);
		ck_assert_uint_ge(r.counts.drained, r.counts.planned - 52);
		ck_assert_int_le(seen.messages, (int)r.counts.planned + 52);
		ck_assert_uint_ge(result_answered_in_time(&r), 1);
		ck_assert_double_le(result_rate(&r), 102);
		result_free(&r);
	}
}
END_TEST

START_TEST(messages_that_wait_longer_than_a_reply_may_take_are_never_sent)
{
	struct plan plan = PLAN(.rate = 4000, .duration_ns = SECOND / 2,
				.timeout_ns = 3 * SECOND);
	struct result r = overloads(&plan);

	ck_assert_uint_eq(r.counts.planned, 2000);
	ck_assert_uint_ge(r.counts.never_sent, 1);
	ck_assert_uint_ge(r.counts.drained, 1);
	result_free(&r);
}
END_TEST

static bool has_grave_reason(const struct result *r, const char *text)
{
	for (size_t i = 0; i < r->grave_count; i++)
		if (strstr(r->reasons[i], text))
			return true;
	return false;
}

/* All is planned in 400 ms, and each reply takes longer than that. */
START_TEST(an_open_loop_that_waits_for_its_last_replies_planned_in_time)
{
	const struct script slow = {
		.fault = FAULT_DELAY, .faults = 200, .to = 200, .delay_ms = 1000
	};

	for (int i = 0; i < 2; i++) {
		struct plan plan = PLAN(.mode = i ? PLAN_CHURN : PLAN_EXCHANGE,
					.schedule = PLAN_CONSTANT, .rate = 500,
					.connections = 200, .count = 200);
		struct result r =
			run_undisturbed(&slow, &plan, NULL, SECOND / 2);

		expect_clean_result(&r, 200);
		ck_assert(!has_grave_reason(&r, "planned only"));
		ck_assert_int_ge(r.elapsed, 400 * MS);
		ck_assert_int_lt(r.elapsed, 800 * MS);
		ck_assert_int_ge(r.elapsed + r.self.awaited_ns, SECOND);
		ck_assert(r.seconds[r.second_count - 1].is_drain);
		ck_assert_uint_eq(result_answered_in_time(&r), 200);
		result_free(&r);
	}
}
END_TEST

/* The last message is sent after four times the time of the plan. */
START_TEST(a_count_that_the_server_delays_was_planned_in_time)
{
	struct plan plan = PLAN(.rate = 400, .count = 100);
	struct result r = overloads(&plan);

	expect_clean_result(&r, 100);
	ck_assert(!has_grave_reason(&r, "planned only"));
	ck_assert_double_le(result_rate(&r), 102);
	result_free(&r);
}
END_TEST

/* False: they waited, which on a busy machine is true. */
static bool connections_were_busy(int depth)
{
	const struct script loses = {
		.fault = FAULT_DROP, .faults = 1, .from = 10, .to = 20
	};
	struct plan plan =
		PLAN(.connections = 10, .depth = depth, .count = 10000,
		     .timeout_ns = 2 * SECOND * slowness());
	struct result r = run_undisturbed(&loses, &plan, NULL, plan.timeout_ns);
	bool were_busy = !has_grave_reason(&r, "connections waited");

	ck_assert_uint_eq(r.counts.answered, 9999);
	/* The time in which the last reply is awaited hides no wait. */
	ck_assert_int_lt(r.connections.served_ns, 10 * r.elapsed);
	result_free(&r);
	return were_busy;
}

START_TEST(a_closed_loop_without_more_to_send_does_not_wait_for_this_client)
{
	MOSTLY(connections_were_busy(1));
	MOSTLY(connections_were_busy(16));
}
END_TEST

START_TEST(poisson_plans_as_many_as_the_rate_says)
{
	struct plan plan = PLAN(.schedule = PLAN_POISSON, .rate = 4000,
				.duration_ns = SECOND, .depth = 64,
				.connections = 40, .threads = 4);
	struct result r = run_against(&faultless, &plan, NULL);

	/* Of 4000 the standard deviation is 63. */
	ck_assert_uint_ge(r.counts.planned, 4000 - 5 * 63);
	ck_assert_uint_le(r.counts.planned, 4000 + 5 * 63);
	result_free(&r);
}
END_TEST

START_TEST(instants_of_the_lowest_rates_are_far_away)
{
	for (int i = 0; i < 3; i++) {
		struct plan plan =
			PLAN(.schedule = i == 0 ? PLAN_CONSTANT : PLAN_POISSON,
			     .rate = 1e-9, .connections = 50,
			     .duration_ns = SECOND / 10);
		struct result r;

		if (i == 2) {
			plan.stage_count = 1;
			plan.stages[0] =
				(struct plan_stage){ 1e-9, 1e-9,
						     plan.duration_ns };
		}
		r = run_against(&faultless, &plan, NULL);
		/* A constant rate begins with a message. */
		ck_assert_uint_eq(r.counts.planned, i == 0 ? 1 : 0);
		result_free(&r);
	}
}
END_TEST

static void fills_the_time(int number)
{
	struct plan plan =
		PLAN(.schedule = PLAN_CONSTANT, .rate = 3000,
		     .duration_ns = SECOND, .depth = 128, .connections = 30,
		     .threads = number == 0 ? 1 : 4);
	struct result r = run_against(&faultless, &plan, NULL);

	expect_clean_result(&r, 3000);
	result_free(&r);
}

START_TEST(a_constant_rate_plans_every_message_of_the_time)
{
	at_once(2, fills_the_time);
}
END_TEST

static const struct second *adds(struct summary *s, struct interval *i,
				 int64_t from, int64_t to, bool is_last)
{
	i->from = from;
	i->to = to;
	i->counts.bytes_in = 1;
	summary_add(s, i);
	return summary_end_second(s, 1, is_last);
}

/* A thread may have looked at the clock before another one ended the second. */
START_TEST(a_piece_that_ended_before_the_last_second_joins_the_next)
{
	struct plan plan = PLAN(.duration_ns = SECOND);
	struct result r = { .plan = &plan };
	struct summary s = { .result = &r };
	struct interval *i = interval_new();

	ck_assert_int_eq(summary_init(&s, &plan), 0);
	summary_start(&s, SECOND);
	ck_assert_ptr_nonnull(adds(&s, i, SECOND, 2 * SECOND, false));
	summary_begin_second(&s);
	ck_assert_ptr_null(adds(&s, i, 2 * SECOND - 2, 2 * SECOND - 1, false));
	ck_assert_ptr_nonnull(adds(&s, i, 2 * SECOND, 2 * SECOND + 1, true));
	ck_assert_uint_eq(r.second_count, 2);
	ck_assert_int_eq(r.seconds[1].length, 1);
	ck_assert_uint_eq(r.seconds[1].bytes_in, 2);
	interval_free(i);
	summary_fini(&s);
	result_free(&r);
}
END_TEST

START_TEST(the_same_seed_sends_the_same_bytes)
{
	struct plan plan = PLAN(.count = 1000, .size_min = 20, .size_max = 90);
	uint64_t bytes[3];

	for (int i = 0; i < 3; i++) {
		struct result r;

		plan.seed = i < 2 ? 7 : 8;
		plan.connections = 1;
		r = run_against(&faultless, &plan, NULL);
		bytes[i] = r.counts.bytes_out;
		result_free(&r);
	}
	ck_assert_uint_eq(bytes[0], bytes[1]);
	ck_assert_uint_ne(bytes[0], bytes[2]);
}
END_TEST

/* Over all threads; messages may be late, but none is early. */
static void connects(int number)
{
	const int threads = number == 0 ? 1 : 4;
	struct plan plan =
		PLAN(.connections = 100, .count = 100, .connect_rate = 200,
		     .idle = 100, .threads = threads);
	struct scripted *s = scripted_start("127.0.0.1", &faultless, &plan);
	int64_t began = now_ms() * MS;
	struct result r = run_at(scripted_address(s), &plan);
	const int64_t *at = scripted_seen(s)->accepted_at;

	scripted_stop(s);
	ck_assert_int_eq(scripted_seen(s)->accepted, 200);
	for (int i = 0; i < 200; i++)
		ck_assert_int_ge(at[i] - began, i / threads * threads * 5 * MS);
	scripted_free(s);
	result_free(&r);
}

START_TEST(connections_begin_at_the_connect_rate)
{
	at_once(2, connects);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"load_plan", a_count_is_met_exactly_in_every_mode,
		one_message_is_enough, two_runs_in_a_row_are_two_runs,
		what_is_planned_in_the_warm_up_is_not_counted,
		a_count_is_that_of_the_measured_part,
		a_count_below_the_threads_is_met_after_a_warm_up_too,
		each_connection_has_its_first_message_of_a_count,
		processor_time_of_the_warm_up_is_not_counted,
		processor_time_is_not_diluted_by_the_wait_for_a_late_reply,
		churn_that_fails_in_the_warm_up_is_not_counted,
		connections_that_fail_at_once_leave_time_for_all_else,
		constant_pacing_keeps_the_rate,
		messages_that_wait_at_the_end_are_still_sent,
		messages_of_the_warm_up_that_wait_when_it_ends_are_dropped,
		messages_that_wait_longer_than_a_reply_may_take_are_never_sent,
		an_open_loop_that_waits_for_its_last_replies_planned_in_time,
		a_count_that_the_server_delays_was_planned_in_time,
		a_closed_loop_without_more_to_send_does_not_wait_for_this_client,
		instants_of_the_lowest_rates_are_far_away,
		poisson_plans_as_many_as_the_rate_says,
		a_constant_rate_plans_every_message_of_the_time,
		a_piece_that_ended_before_the_last_second_joins_the_next,
		the_same_seed_sends_the_same_bytes,
		connections_begin_at_the_connect_rate);
}
