/* SPDX-License-Identifier: MIT */
/*
 * When a step of the search passes, and whether the server or this client is
 * the limit if it does not.
 */
#include <errno.h>

#include "../../client/load/judge/search.h"
#include "../../client/load/judge/verdict.h"
#include "../load/figures.h"
#include "test.h"

static struct figures f;

/* A step with these figures and that gate. */
static struct find_step judged(const char *gate)
{
	struct find_step step = { .rate = 1 };

	ck_assert(gates_add(&step.gates, gate));
	verdict_judge(&f.result);
	find_judge(&step, &f.result);
	result_free(&f.result);
	figures_init(&f);
	return step;
}

START_TEST(a_step_holds_if_all_gates_pass)
{
	figures_init(&f);
	ck_assert(judged("wrong=0").has_held);
	ck_assert(!judged("p50<1ns").has_held);
	result_free(&f.result);
}
END_TEST

START_TEST(a_step_holds_if_98_percent_of_the_plan_were_answered)
{
	struct find_step step;

	figures_init(&f);
	f.result.counts.answered = f.result.counts.planned / 100 * 98;
	step = judged("wrong=0");
	ck_assert(step.has_held);
	ck_assert_double_eq(step.answered, 98);
	f.result.counts.answered = f.result.counts.planned / 100 * 97;
	step = judged("wrong=0");
	ck_assert(!step.has_held);
	ck_assert(!step.is_client_limited);
	result_free(&f.result);
}
END_TEST

/* Arrivals by chance may leave a short step at a low rate without any. */
START_TEST(a_step_without_messages_has_answered_none)
{
	struct find_step step;

	figures_init(&f);
	f.plan.schedule = PLAN_POISSON;
	f.result.counts = (struct counts){ .planned = 0 };
	step = judged("errors=0");
	ck_assert_double_eq(step.answered, 0);
	ck_assert(!step.has_held);
	ck_assert(step.is_empty);
	/* Without a connection there was no chance. */
	f.plan.schedule = PLAN_POISSON;
	f.result.counts = (struct counts){ .planned = 0 };
	f.result.elapsed = f.plan.duration_ns / 2;
	step = judged("errors=0");
	ck_assert(!step.has_held);
	ck_assert(!step.is_empty);
	ck_assert(!judged("errors=0").is_empty);
	result_free(&f.result);
}
END_TEST

/* Neither an answer nor the last one is one of those. */
START_TEST(a_step_without_messages_is_not_the_one_that_failed)
{
	struct find_step steps[] = { { .rate = 5, .answered = 3 },
				     { .rate = 5, .is_empty = true } };
	struct find find = { .steps = steps,
			     .step_count = 2,
			     .search.failed = 5 };

	ck_assert_ptr_eq(find_failed(&find), &steps[0]);
}
END_TEST

START_TEST(a_step_that_is_incomplete_does_not_hold)
{
	figures_init(&f);
	f.result.connections.starved = 20;
	ck_assert(!judged("wrong=0").has_held);
	result_free(&f.result);
}
END_TEST

START_TEST(a_step_that_fails_while_the_client_is_late_is_its_fault)
{
	figures_init(&f);
	ck_assert(!judged("p50<1ns").is_client_limited);
	figures_be_late(&f, f.result.counts.sent / 50, 5000000);
	ck_assert(judged("p50<1ns").is_client_limited);
	f.result.self.busiest = 0.99;
	ck_assert(judged("p50<1ns").is_client_limited);
	f.result.errors.used = 1;
	f.result.errors.rows[0] = (struct error_row){ .phase = ERROR_CONNECT,
						      .error = EADDRNOTAVAIL,
						      .count = 200 };
	ck_assert(judged("wrong=0").is_client_limited);
	/* It does not matter for a step that passes. */
	figures_be_late(&f, f.result.counts.sent / 50, 5000000);
	ck_assert(!judged("wrong=0").is_client_limited);
	result_free(&f.result);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"load_find", a_step_holds_if_all_gates_pass,
		a_step_holds_if_98_percent_of_the_plan_were_answered,
		a_step_without_messages_has_answered_none,
		a_step_without_messages_is_not_the_one_that_failed,
		a_step_that_is_incomplete_does_not_hold,
		a_step_that_fails_while_the_client_is_late_is_its_fault);
}
