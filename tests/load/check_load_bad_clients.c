/* SPDX-License-Identifier: MIT */
/*
 * Bad clients beside good ones: each kind does to the server what its name
 * says, in its part of the run, and the reactions of the server are counted.
 */
#include "scripted.h"

#define KIND_COUNT 3
#define SIZE	   64

/* One good connection, and bad clients for a third of the time in the middle.
 */
static struct result run_for(int64_t ns, enum bad_client_kind kind,
			     struct script script, struct seen *seen)
{
	struct plan plan = PLAN(.connections = 1, .rate = 100,
				.schedule = PLAN_CONSTANT, .duration_ns = ns);
	struct result r;

	plan.bad_clients[kind] = KIND_COUNT;
	r = run_undisturbed(&script, &plan, seen, ns / 3);
	ck_assert_uint_eq(r.counts.planned, (uint64_t)(100 * ns / SECOND));
	ck_assert_uint_eq(r.counts.answered, r.counts.sent);
	ck_assert_int_eq(r.connections.asked, 1);
	ck_assert_int_eq(r.bad_clients[kind].asked, KIND_COUNT);
	ck_assert_int_eq(r.bad_clients[kind].opened, KIND_COUNT);
	ck_assert_uint_eq(r.bad_clients[kind].failed, 0);
	for (int k = 0; k < BAD_CLIENT_KINDS; k++)
		if (k != (int)kind)
			ck_assert_int_eq(r.bad_clients[k].asked, 0);
	atomic_fetch_sub(&seen->bytes, r.counts.bytes_out);
	atomic_fetch_sub(&seen->messages, (int)r.counts.sent);
	ck_assert_ptr_nonnull(r.with_bad_clients);
	ck_assert_uint_gt(r.with_bad_clients->total, 0);
	/* Of the seconds, a busy machine may leave only one. */
	if (r.second_count > 1)
		ck_assert_uint_gt(r.without_bad_clients->total, 0);
	ck_assert_uint_le(r.with_bad_clients->total +
				  r.without_bad_clients->total,
			  r.counts.planned);
	return r;
}

static struct result run_with(enum bad_client_kind kind, struct script script,
			      struct seen *seen)
{
	return run_for(3 * SECOND / 2, kind, script, seen);
}

/* They stay to the end of their part of the run. */
static void they_stayed(const struct bad_client_counts *m,
			const struct seen *seen)
{
	ck_assert_uint_eq(m->attempts, KIND_COUNT);
	ck_assert_int_eq(m->open, KIND_COUNT);
	ck_assert_uint_eq(m->let_go, 0);
	ck_assert_int_eq(seen->accepted, 1 + KIND_COUNT);
}

START_TEST(a_slow_reader_asks_and_does_not_read)
{
	struct script script = { .faults = 0 };
	struct seen seen;
	struct result r = run_with(BAD_CLIENT_SLOW_READ, script, &seen);

	they_stayed(&r.bad_clients[BAD_CLIENT_SLOW_READ], &seen);
	ck_assert_int_ge(seen.messages, 16 * KIND_COUNT);
	ck_assert_uint_ge(seen.bytes, 16 * SIZE * KIND_COUNT);
	/* The unread input makes its close a reset. */
	ck_assert_int_eq(seen.reset, KIND_COUNT);
	result_free(&r);
}
END_TEST

START_TEST(a_dripping_client_sends_byte_by_byte)
{
	struct script script = { .faults = 0 };
	struct seen seen;
	struct result r = run_with(BAD_CLIENT_DRIP, script, &seen);

	they_stayed(&r.bad_clients[BAD_CLIENT_DRIP], &seen);
	ck_assert_int_eq(seen.messages, 0);
	ck_assert_uint_ge(seen.bytes, KIND_COUNT);
	ck_assert_uint_le(seen.bytes, 11 * KIND_COUNT);
	result_free(&r);
}
END_TEST

START_TEST(a_half_closing_client_asks_and_ends_its_output_again_and_again)
{
	struct script script = { .faults = 0 };
	struct seen seen;
	struct result r = run_with(BAD_CLIENT_HALF_CLOSE, script, &seen);
	const struct bad_client_counts *m =
		&r.bad_clients[BAD_CLIENT_HALF_CLOSE];

	ck_assert_uint_gt(m->attempts, KIND_COUNT);
	ck_assert_uint_ge(m->let_go + KIND_COUNT, m->attempts);
	ck_assert_int_eq(seen.accepted, 1 + (int)m->attempts);
	/* The end may come between a connect and its message. */
	ck_assert_uint_le(seen.bytes, SIZE * m->attempts);
	ck_assert_uint_ge(seen.bytes, SIZE * (m->attempts - KIND_COUNT));
	ck_assert_int_eq(seen.ended, 1 + (int)m->attempts);
	result_free(&r);
}
END_TEST

START_TEST(a_resetting_client_asks_and_resets_again_and_again)
{
	struct script script = { .faults = 0 };
	struct seen seen;
	struct result r = run_with(BAD_CLIENT_RESET, script, &seen);
	const struct bad_client_counts *m = &r.bad_clients[BAD_CLIENT_RESET];

	ck_assert_uint_gt(m->attempts, KIND_COUNT);
	ck_assert_uint_eq(m->let_go, 0);
	ck_assert_int_ge(seen.reset, (int)m->attempts - KIND_COUNT);
	ck_assert_uint_le(seen.bytes, SIZE * m->attempts);
	result_free(&r);
}
END_TEST

START_TEST(an_idle_client_says_nothing)
{
	struct script script = { .faults = 0 };
	struct seen seen;
	struct result r = run_with(BAD_CLIENT_IDLE, script, &seen);

	they_stayed(&r.bad_clients[BAD_CLIENT_IDLE], &seen);
	ck_assert_uint_eq(seen.bytes, 0);
	result_free(&r);
}
END_TEST

START_TEST(a_flooding_client_sends_without_an_end_of_line)
{
	struct script script = { .serves = 1 };
	struct seen seen;
	struct result r = run_with(BAD_CLIENT_FLOOD, script, &seen);

	they_stayed(&r.bad_clients[BAD_CLIENT_FLOOD], &seen);
	ck_assert_int_eq(seen.messages, 0);
	ck_assert_uint_ge(seen.bytes, KIND_COUNT * 256 * 1024);
	result_free(&r);
}
END_TEST

START_TEST(a_vanishing_client_sends_half_a_message)
{
	struct script script = { .faults = 0 };
	struct seen seen;
	struct result r = run_with(BAD_CLIENT_VANISH, script, &seen);

	they_stayed(&r.bad_clients[BAD_CLIENT_VANISH], &seen);
	ck_assert_int_eq(seen.messages, 0);
	ck_assert_uint_eq(seen.bytes, KIND_COUNT * SIZE / 2);
	result_free(&r);
}
END_TEST

/* A busy machine may delay the server's close beyond the part of bad clients.
 */
static void are_let_go(enum bad_client_kind kind)
{
	struct script script = { .close_silent_ms = 150 };
	struct seen seen;

	for (int64_t ns = 3 * SECOND / 2;; ns *= 2) {
		struct result r = run_for(ns, kind, script, &seen);
		const struct bad_client_counts *m = &r.bad_clients[kind];
		bool is_late = m->open > 0 && ns < 10 * SECOND;

		ck_assert_uint_eq(m->attempts, KIND_COUNT);
		if (!is_late) {
			ck_assert_uint_eq(m->let_go, KIND_COUNT);
			ck_assert_int_eq(m->open, 0);
		}
		result_free(&r);
		if (!is_late)
			return;
	}
}

START_TEST(those_that_the_server_lets_go_are_counted)
{
	are_let_go(BAD_CLIENT_IDLE);
	are_let_go(BAD_CLIENT_VANISH);
}
END_TEST

START_TEST(all_kinds_at_once_leave_when_the_run_is_cut_short)
{
	struct script script = { .die_at = 130 };
	struct plan plan =
		PLAN(.connections = 2, .rate = 100, .schedule = PLAN_CONSTANT,
		     .threads = 2, .duration_ns = 3 * SECOND / 2);
	struct result r;

	for (int k = 0; k < BAD_CLIENT_KINDS; k++)
		plan.bad_clients[k] = 2;
	r = run_against(&script, &plan, NULL);
	ck_assert_uint_eq(r.counts.planned, 150);
	result_free(&r);
}
END_TEST

/* They are there from the 4th to the 8th second; each row ends a little late.
 */
START_TEST(a_second_is_theirs_if_they_were_there_for_half_of_it)
{
	struct plan plan = PLAN(.bad_clients = { 1 });
	struct result r = { .plan = &plan };
	struct summary s = { .result = &r };
	struct interval *interval = interval_new();

	ck_assert_ptr_nonnull(interval);
	ck_assert_int_eq(summary_init(&s, &plan), 0);
	summary_start(&s, 1000 * SECOND);
	summary_set_bad_clients(&s, 1004 * SECOND, 1008 * SECOND);
	for (int n = 0; n < 12; n++) {
		const struct second *row;

		interval->from = (1000 + n) * SECOND + MS;
		interval->to = (1001 + n) * SECOND + MS;
		histogram_record(interval->clocks[CLOCK_FROM_SEND], MS);
		summary_add(&s, interval);
		row = summary_end_second(&s, 1, false);
		ck_assert_ptr_nonnull(row);
		ck_assert(row->has_bad_clients == (n >= 4 && n < 8));
		summary_begin_second(&s);
	}
	ck_assert_uint_eq(r.with_bad_clients->total, 4);
	ck_assert_uint_eq(r.without_bad_clients->total, 8);
	interval_free(interval);
	summary_fini(&s);
	result_free(&r);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"load_bad_clients",
		a_second_is_theirs_if_they_were_there_for_half_of_it,
		a_slow_reader_asks_and_does_not_read,
		a_dripping_client_sends_byte_by_byte,
		a_half_closing_client_asks_and_ends_its_output_again_and_again,
		a_resetting_client_asks_and_resets_again_and_again,
		an_idle_client_says_nothing,
		a_flooding_client_sends_without_an_end_of_line,
		a_vanishing_client_sends_half_a_message,
		those_that_the_server_lets_go_are_counted,
		all_kinds_at_once_leave_when_the_run_is_cut_short);
}
