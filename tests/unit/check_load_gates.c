/* SPDX-License-Identifier: MIT */
/* Which gates are valid, and when they pass. */
#include "test.h"

#include "../../client/load/judge/gates.h"
#include "../load/figures.h"

/* Hide standard error. */
static bool is_gate(struct gates *g, const char *text)
{
	int kept = dup(STDERR_FILENO);
	bool is;

	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
	is = gates_add(g, text);
	dup2(kept, STDERR_FILENO);
	close(kept);
	return is;
}

static enum gate_outcome outcome(const struct result *r, const char *text)
{
	struct gates g = { .count = 0 };

	ck_assert_msg(gates_add(&g, text), "refused: %s", text);
	gates_judge(&g, r);
	return g.list[0].outcome;
}

static bool is_same(struct metric_id a, struct metric_id b)
{
	return a.row == b.row &&
	       (a.row >= 0 || (a.clock == b.clock && a.percent == b.percent));
}

START_TEST(every_figure_of_the_json_can_be_a_gate)
{
	struct plan plan = { .mode = PLAN_EXCHANGE };
	struct metric_id id, found;
	size_t count = 0;

	for (; metric_at(count, &plan, &id); count++) {
		struct metric m;
		struct gates g = { .count = 0 };
		char text[64];

		metric_describe(id, &m);
		ck_assert(metric_find(&found, m.name));
		ck_assert(is_same(found, id));
		snprintf(text, sizeof(text), "%s<=5%s", m.name,
			 m.unit == METRIC_TIME	    ? "ms"
			 : m.unit == METRIC_PERCENT ? "%"
						    : "");
		ck_assert_msg(gates_add(&g, text), "refused: %s", text);
		ck_assert(is_same(g.list[0].metric, id));
	}
	ck_assert_uint_gt(count, 0);
}
END_TEST

START_TEST(any_percentile_is_a_figure)
{
	static const double more[] = { 95, 99, 99.95 };
	static const char *const wrong[] = { "p0",  "p100", "p",   "p9x",
					     "p-5", "p1e1", "p5.", "p.5.5" };
	struct plan plan = { .percentiles = more, .percentile_count = 3 };
	struct metric_id id;
	struct metric m;
	size_t count = 0;

	ck_assert(metric_find(&id, "lag.p12.5"));
	ck_assert_int_eq(id.clock, CLOCK_LAG);
	ck_assert(metric_percent(id) == 12.5);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(!metric_find(&id, wrong[i]), "taken: %s",
			      wrong[i]);
	for (size_t i = 0; metric_at(i, &plan, &id); i++) {
		metric_describe(id, &m);
		count += strcmp(m.name, "p95") == 0 ||
			 strcmp(m.name, "connect.p99.95") == 0 ||
			 strcmp(m.name, "p99") == 0;
	}
	ck_assert_uint_eq(count, 3);
}
END_TEST

static double value_of(const struct result *r, const char *name)
{
	struct metric_id id;
	struct metric m;

	ck_assert(metric_find(&id, name));
	metric_get(id, r, &m);
	ck_assert_str_eq(m.why_absent, "");
	return m.value;
}

START_TEST(a_gate_of_any_percentile_is_judged)
{
	struct figures f;

	figures_init(&f);
	ck_assert(value_of(&f.result, "p90") < value_of(&f.result, "p95"));
	ck_assert(value_of(&f.result, "p95") < value_of(&f.result, "p99"));
	ck_assert_int_eq(outcome(&f.result, "p95<1s"), GATE_PASS);
	ck_assert_int_eq(outcome(&f.result, "p95>1s"), GATE_FAIL);
	result_free(&f.result);
}
END_TEST

START_TEST(replies_of_more_than_an_hour_are_lower_bounds)
{
	struct figures f;
	struct histogram *h;

	figures_init(&f);
	h = f.result.clocks[result_main_clock(f.result.plan)];
	histogram_record(h, HISTOGRAM_HIGHEST);
	ck_assert_int_eq(outcome(&f.result, "max<7200s"), GATE_PASS);
	histogram_record(h, 3 * HISTOGRAM_HIGHEST);
	ck_assert_int_eq(outcome(&f.result, "max<7200s"), GATE_FAIL);
	ck_assert_int_eq(outcome(&f.result, "max>1800s"), GATE_PASS);
	ck_assert_int_eq(outcome(&f.result, "p50<1s"), GATE_PASS);
	result_free(&f.result);
}
END_TEST

START_TEST(numbers_have_the_unit_of_their_figure)
{
	static const struct {
		const char *text;
		double limit;
	} good[] = {
		{ "p99<5ms", 5e6 },	     { "p99.99 <= 1.5s", 1.5e9 },
		{ "max<750us", 750e3 },	     { "lag.p99<900ns", 900 },
		{ "rate>=20k", 20e3 },	     { "rate > 1.5M", 1.5e6 },
		{ "errors%<0.1%", 0.1 },     { "wrong=0", 0 },
		{ "starved == 0", 0 },	     { "bytes-in>1G", 1e9 },
		{ "from-send.p99<1s", 1e9 },
	};
	static const char *const bad[] = {
		"",
		"p99",
		"p99<",
		"p99<5",
		"p99<5k",
		"p99<-5ms",
		"p99<5 m s x",
		"p99!5ms",
		"p100<5ms",
		"<5ms",
		"rate>=20ms",
		"errors%<1",
		"wrong=0%",
		"wrong=",
		"p99<1e5ms",
		"p99<.5ms",
		"p99<infs",
		"p99<5msx",
		"p99=<5ms",
		"p99<1.2.3ms",
		"p99<00000000000000000000000000000000000000000000000005ms",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct gates g = { .count = 0 };

		ck_assert_msg(gates_add(&g, good[i].text), "refused: %s",
			      good[i].text);
		ck_assert_double_eq_tol(g.list[0].limit, good[i].limit, 1e-9);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct gates g = { .count = 0 };

		ck_assert_msg(!is_gate(&g, bad[i]), "taken: %s", bad[i]);
		ck_assert_uint_eq(g.count, 0);
	}
}
END_TEST

START_TEST(each_operator_means_what_it_says)
{
	struct figures f;

	figures_init(&f);
	f.result.counts.wrong = 3;
	ck_assert_int_eq(outcome(&f.result, "wrong<4"), GATE_PASS);
	ck_assert_int_eq(outcome(&f.result, "wrong<3"), GATE_FAIL);
	ck_assert_int_eq(outcome(&f.result, "wrong<=3"), GATE_PASS);
	ck_assert_int_eq(outcome(&f.result, "wrong>2"), GATE_PASS);
	ck_assert_int_eq(outcome(&f.result, "wrong>3"), GATE_FAIL);
	ck_assert_int_eq(outcome(&f.result, "wrong>=3"), GATE_PASS);
	ck_assert_int_eq(outcome(&f.result, "wrong=3"), GATE_PASS);
	ck_assert_int_eq(outcome(&f.result, "wrong=2"), GATE_FAIL);
	ck_assert_int_eq(outcome(&f.result, "rate>=20k"), GATE_PASS);
	ck_assert_int_eq(outcome(&f.result, "rate%=100%"), GATE_PASS);
	ck_assert_int_eq(outcome(&f.result, "cpu<61.5%"), GATE_PASS);
	result_free(&f.result);
}
END_TEST

START_TEST(what_is_absent_fails_and_says_why)
{
	struct figures f;
	struct gates g = { .count = 0 };

	figures_init_closed(&f);
	ck_assert(gates_add(&g, "connect.p99<1s"));
	ck_assert(gates_add(&g, "lag.p50<1s"));
	ck_assert(gates_add(&g, "rate%>1%"));
	ck_assert(!gates_judge(&g, &f.result));
	for (size_t i = 0; i < g.count; i++)
		ck_assert_int_eq(g.list[i].outcome, GATE_FAIL);
	ck_assert_str_eq(g.list[0].found.why_absent, "200 samples are too few");
	ck_assert_str_eq(g.list[1].found.why_absent,
			 "this mode has no such clock");
	ck_assert_str_eq(g.list[2].found.why_absent,
			 "there is no rate in a closed loop");
	result_free(&f.result);
}
END_TEST

START_TEST(a_lower_bound_cannot_pass_as_small)
{
	struct figures f;

	figures_init(&f);
	f.result.censored[CLOCK_FROM_PLAN] =
		(struct censored){ 1000, 10000000000 };
	histogram_record_range(f.result.clocks[CLOCK_FROM_PLAN], 10000000000,
			       10000000000, 1000);
	ck_assert_int_eq(outcome(&f.result, "p99<2ms"), GATE_PASS);
	ck_assert_int_eq(outcome(&f.result, "p99.9<20s"), GATE_FAIL);
	ck_assert_int_eq(outcome(&f.result, "p99.9>5s"), GATE_PASS);
	result_free(&f.result);
}
END_TEST

START_TEST(a_message_that_was_never_sent_is_no_sample_from_its_send)
{
	struct figures f;

	figures_init(&f);
	f.result.censored[CLOCK_FROM_PLAN] = (struct censored){ 4, 1 };
	histogram_record_range(f.result.clocks[CLOCK_FROM_PLAN], 1, 1, 4);
	ck_assert_int_eq(outcome(&f.result, "from-send.max<20s"), GATE_PASS);
	ck_assert_int_eq(outcome(&f.result, "from-plan.max<20s"), GATE_FAIL);
	result_free(&f.result);
}
END_TEST

START_TEST(a_run_that_was_cut_passes_nothing)
{
	struct figures f;
	struct gates g = { .count = 0 };

	figures_init(&f);
	f.result.is_cut = true;
	ck_assert(gates_add(&g, "wrong=0"));
	ck_assert(!gates_judge(&g, &f.result));
	ck_assert_int_eq(g.list[0].outcome, GATE_NOT_JUDGED);
	result_free(&f.result);
}
END_TEST

START_TEST(a_limit_of_centuries_is_not_lost)
{
	struct figures f;
	struct gates g = { .count = 0 };

	figures_init(&f);
	ck_assert(gates_add(&g, "p99<10000000000s"));
	ck_assert(!gates_are_lost(&g, &f.result));
	result_free(&f.result);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"load_gates", every_figure_of_the_json_can_be_a_gate,
		any_percentile_is_a_figure, a_gate_of_any_percentile_is_judged,
		replies_of_more_than_an_hour_are_lower_bounds,
		numbers_have_the_unit_of_their_figure,
		each_operator_means_what_it_says,
		what_is_absent_fails_and_says_why,
		a_lower_bound_cannot_pass_as_small,
		a_message_that_was_never_sent_is_no_sample_from_its_send,
		a_run_that_was_cut_passes_nothing,
		a_limit_of_centuries_is_not_lost);
}
