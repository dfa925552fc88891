/* SPDX-License-Identifier: MIT */
/*
 * The report of a load run fits, its sums are right, and it leaves out what
 * has no information.
 */
#include "test.h"

#include <fcntl.h>
#include <stdlib.h>

#include "../../client/load/judge/verdict.h"
#include "../../client/load/measure/units.h"
#include "../../client/load/report/json.h"
#include "../../client/load/report/layout.h"
#include "../../client/load/report/live.h"
#include "../../client/load/report/report.h"
#include "../load/figures.h"

struct showing {
	struct report report;
	const struct result *result;
};

static void show(FILE *to, void *arg)
{
	struct showing *s = arg;

	s->report.to = to;
	report_print(&s->report, s->result);
}

static char *report_of(const struct result *r, struct report report)
{
	struct showing s = { .report = report, .result = r };

	return printed(show, &s);
}

static void expect(const char *text, const char *what)
{
	ck_assert_msg(strstr(text, what), "no '%s' in:\n%s", what, text);
}

static void expect_start(const char *text, const char *what)
{
	ck_assert_msg(strncmp(text, what, strlen(what)) == 0,
		      "does not start with '%s':\n%s", what, text);
}

static void expect_not(const char *text, const char *what)
{
	ck_assert_msg(!strstr(text, what), "'%s' in:\n%s", what, text);
}

/* Is it at most that many lines of that many columns? */
static void expect_fit_in(char *text, int most, size_t columns)
{
	int lines = 0;

	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		lines++;
		ck_assert_msg(layout_width(line) <= columns, "too long: %s",
			      line);
	}
	ck_assert_int_le(lines, most);
}

static void expect_fit(char *text, int most)
{
	expect_fit_in(text, most, 80);
}

/* Everything that a report can contain at once. */
static void spoil(struct result *r)
{
	struct counts *b = &r->counts;

	b->answered -= 100050;
	b->timed_out = 50000;
	b->reset = 50000;
	b->closed_early = 40;
	b->open = 10;
	b->wrong = b->missing = b->swapped = b->surplus = 123456;
	b->crossed = b->late = 123456;
	r->connections.starved = 20;
	r->connections.worst_count = WORST_CONNECTIONS;
	r->connections.failed = 3;
	r->connections.ended = 1234;
	r->connections.reopened = 1234;
	r->connections.idle_asked = 5000;
	r->connections.longest_silence = 5000000000;
	r->self.late_ours = r->self.late_server = 300000;
	r->self.busiest = 1;
	r->self.longest_stall = 4000000000;
	for (int i = 0; i < 8; i++)
		r->errors.rows[i] =
			(struct error_row){ (enum error_phase)(i % 7), i + 98,
					    1000000, 5, 29000000000 };
	r->errors.used = 8;
	r->errors.other = 3;
	for (int i = 0; i < BAD_CLIENT_KINDS; i++)
		r->bad_clients[i] = (struct bad_client_counts){ .asked = 100,
								.let_go = 50,
								.open = 50 };
}

START_TEST(a_good_run_is_said_in_few_lines)
{
	struct figures f;
	char *text;

	figures_init(&f);
	verdict_judge(&f.result);
	text = report_of(&f.result, (struct report){ .has_utf8 = true });
	/* The answer, then how far it can be trusted. */
	expect_start(text,
		     "20,000 replies/s   p50 599us   p99 1.09ms   0 errors\n"
		     "TRUSTWORTHY  this client sent 0% of messages late "
		     "and used 61% of a core\n");
	expect(text, "600,000 planned = 600,000 sent\n");
	expect(text, "600,000 sent = 600,000 answered\n");
	expect(text, "100.0% of plan   1.28 MB/s each way");
	expect(text, "200 asked, 200 opened, 200 served\n");
	expect(text, "▁▁▁▁▁▁▁▁▁▁▁█▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁   worst 35.0ms at 11 s");
	expect_not(text, "\nerrors");
	expect_not(text, "hint");
	expect_not(text, "gates");
	expect_not(text, "\033");
	expect_fit(text, 20);
	free(text);
	result_free(&f.result);
}
END_TEST

START_TEST(the_worst_run_fits_too)
{
	struct figures f;
	struct gates gates = { .count = 0 };
	static const size_t columns[] = { 60, 80, 120 };
	char *text;

	figures_init(&f);
	spoil(&f.result);
	for (int i = 0; i < GATES_MAX; i++)
		ck_assert(gates_add(&gates, i % 2 ? "p99<1ns" : "p99<1s"));
	verdict_judge(&f.result);
	gates_judge(&gates, &f.result);
	memset(f.result.target, 'x', sizeof(f.result.target) - 1);
	text = report_of(
		&f.result,
		(struct report){ .gates = &gates, .saved = { "a.json", "b" } });
	expect(text, "NOT TRUSTWORTHY");
	expect(text, "50,000 timed out + 50,000 reset +\n             40 "
		     "closed early + 10 open\n");
	expect(text, "20 STARVED #0 #0 #0 #0 ...");
	expect(text, "p99<1ns FAIL");
	expect_start(text, "16,665 replies/s   p50 599us   p99 1.09ms   ");
	expect(text, "16 of 32 gates failed\n");
	free(text);
	for (int i = 0; i < 3; i++) {
		text = report_of(&f.result,
				 (struct report){ .gates = &gates,
						  .columns = columns[i],
						  .saved = { "a.json", "b" } });
		expect_fit_in(text, REPORT_LINES, columns[i]);
		free(text);
	}
	result_free(&f.result);
}
END_TEST

START_TEST(errors_of_one_kind_are_named_in_the_first_line)
{
	struct figures f;
	char *text;

	figures_init(&f);
	f.result.counts.wrong = 166;
	verdict_judge(&f.result);
	text = report_of(&f.result, (struct report){ .has_colour = true });
	expect_start(text,
		     "\033[1;31m20,000 replies/s\033[0m   p50 599us   p99 "
		     "1.09ms   \033[1;31m166 wrong replies\033[0m\n");
	free(text);
	f.result.counts.timed_out = 2;
	text = report_of(&f.result, (struct report){ .is_short = true });
	expect(text, "   168 errors\n");
	free(text);
	result_free(&f.result);
}
END_TEST

START_TEST(a_percentile_without_samples_enough_is_absent)
{
	struct figures f;
	char *text;

	figures_init(&f);
	text = report_of(&f.result, (struct report){ .has_utf8 = true });
	/* 200 samples: 10 beyond p90, 2 beyond p99 */
	expect(text, "  connect      149us   229us       -       -       -   "
		     "249us   200 samples");
	free(text);
	result_free(&f.result);
}
END_TEST

START_TEST(what_was_never_answered_makes_a_lower_bound)
{
	struct figures f;
	char *text;

	figures_init(&f);
	f.result.censored[CLOCK_FROM_PLAN] =
		(struct censored){ 1000, 10000000000 };
	histogram_record_range(f.result.clocks[CLOCK_FROM_PLAN], 10000000000,
			       10000000000, 1000);
	text = report_of(&f.result, (struct report){ .has_utf8 = true });
	expect(text, "1.09ms  >10.0s  >10.0s  >10.0s   as users see it");
	expect_not(text, ">1.09ms");
	free(text);
	result_free(&f.result);
}
END_TEST

START_TEST(a_second_with_a_lower_bound_says_so)
{
	struct figures f;
	struct live live;
	struct progress p = { .part = RUN_MEASURING, .elapsed = 12000000000 };
	char *text, line[LIVE_TEXT];

	figures_init(&f);
	f.result.seconds[11].is_more[SECOND_P99] = true;
	text = report_of(&f.result, (struct report){ .has_utf8 = true });
	expect(text, "worst >35.0ms at 11 s");
	free(text);
	p.last = &f.result.seconds[11];
	live = (struct live){ .plan = &f.plan };
	live_line(&live, &p, 80, line);
	expect(line, "p99 >35.0ms");
	result_free(&f.result);
}
END_TEST

START_TEST(bad_clients_are_compared_by_lower_bounds_too)
{
	struct figures f;
	char *text;

	figures_init(&f);
	f.result.bad_clients[0].asked = 3;
	f.result.with_bad_clients = calloc(1, sizeof(struct histogram));
	f.result.without_bad_clients = calloc(1, sizeof(struct histogram));
	histogram_record_range(f.result.without_bad_clients, 1000000, 1000000,
			       2000);
	histogram_record_range(f.result.with_bad_clients, 1000000, 1000000,
			       2000);
	histogram_record_range(f.result.with_bad_clients, 2000000, 2000000,
			       100);
	f.result.without_censored.min = INT64_MAX;
	f.result.with_censored = (struct censored){ 100, 2000000 };
	text = report_of(&f.result, (struct report){ .has_utf8 = true });
	expect(text, "1.00ms without them, >2.00ms with (x 2.0)");
	free(text);
	result_free(&f.result);
}
END_TEST

START_TEST(a_quiet_run_that_was_cut_says_so)
{
	struct figures f;
	char *text;

	figures_init(&f);
	f.result.is_cut = true;
	verdict_judge(&f.result);
	text = report_of(&f.result, (struct report){ .is_short = true });
	expect(text, "CUT SHORT after 30.0s of 30s");
	expect(text, "WITH CARE    the run was cut short after 30.0s of 30.0s");
	expect_fit(text, 8);
	free(text);
	result_free(&f.result);
}
END_TEST

START_TEST(a_run_that_was_cut_says_so)
{
	struct figures f;
	char *text;

	figures_init(&f);
	f.result.is_cut = true;
	text = report_of(&f.result, (struct report){ .has_utf8 = true });
	expect(text, "CUT SHORT after 30.0s of 30s   64 B");
	free(text);
	result_free(&f.result);
}
END_TEST

START_TEST(one_way_is_bytes_a_second)
{
	struct figures f;
	char *text;

	figures_init_closed(&f);
	f.plan.mode = PLAN_DOWNLOAD;
	f.result.counts = (struct counts){ .bytes_in = 30000000000 };
	text = report_of(&f.result, (struct report){ .has_utf8 = true });
	expect_start(text, "1.00 GB/s down   0 errors\n");
	expect(text, "8.0 Gbit/s   30,000,000,000 bytes in 30.0s");
	expect_not(text, "messages");
	expect_not(text, "answered");
	expect_not(text, " B");
	free(text);
	/* It sends pieces of its own, whatever the size of messages is. */
	f.plan.mode = PLAN_UPLOAD;
	text = report_of(&f.result, (struct report){ .has_utf8 = true });
	expect_not(text, "64 B");
	free(text);
	result_free(&f.result);
}
END_TEST

static bool has_colour_on(FILE *to)
{
	struct report report;

	report_init(&report, to);
	return report.has_colour;
}

START_TEST(colours_are_for_a_terminal_without_no_color)
{
	int controller = posix_openpt(O_RDWR | O_NOCTTY);
	FILE *terminal, *file = tmpfile();
	struct figures f;
	struct report report;
	char *text;

	ck_assert_int_ge(controller, 0);
	ck_assert_int_eq(grantpt(controller), 0);
	ck_assert_int_eq(unlockpt(controller), 0);
	terminal = fdopen(open(ptsname(controller), O_RDWR | O_NOCTTY), "r+");
	ck_assert_ptr_nonnull(terminal);
	setenv("TERM", "xterm", 1);
	unsetenv("NO_COLOR");
	ck_assert(has_colour_on(terminal));
	ck_assert(!has_colour_on(file));
	setenv("NO_COLOR", "1", 1);
	ck_assert(!has_colour_on(terminal));
	fclose(terminal);
	close(controller);
	fclose(file);
	figures_init(&f);
	report = (struct report){ .has_colour = true };
	text = report_of(&f.result, report);
	expect(text, "\033[32mTRUSTWORTHY\033[0m");
	free(text);
	result_free(&f.result);
}
END_TEST

START_TEST(the_live_line_fits_any_window)
{
	struct figures f;
	struct live live;
	struct progress p = { .part = RUN_MEASURING,
			      .elapsed = 12000000000,
			      .opened = 200,
			      .answered = 240000,
			      .errors = 3 };
	char text[LIVE_TEXT];

	figures_init(&f);
	p.last = &f.result.seconds[11];
	live = (struct live){ .plan = &f.plan, .has_utf8 = true, .seconds = 9 };
	for (size_t columns = 1; columns < 200; columns++) {
		live_line(&live, &p, columns, text);
		ck_assert_uint_lt(layout_width(text), columns);
	}
	expect(text, " 40%   20,000/s   p99 35.0ms   ");
	expect(text, "3 errors");
	expect(text, "18 s left");
	f.plan.warmup_ns = 14000000000;
	p.part = RUN_WARMUP;
	live_line(&live, &p, 80, text);
	ck_assert_str_eq(text, "warming up   2 s left");
	result_free(&f.result);
}
END_TEST

START_TEST(numbers_are_said_without_exponents)
{
	static const struct {
		double number;
		const char *given, *rate, *percent;
	} rows[] = {
		{ 0, "0", "0", "0%" },
		{ 0.001, "0.001", "0.001", "0.001%" },
		{ 0.0123, "0.0123", "0.0123", "0.012%" },
		{ 0.5, "0.5", "0.5", "0.5%" },
		{ 2.5, "2.5", "2.5", "2.5%" },
		{ 9.96, "9.96", "9.96", "10%" },
		{ 12.345678, "12.345678", "12.3", "12%" },
		{ 99.6, "99.6", "99.6", "100%" },
		{ 99.9999999, "100", "100", "100%" },
		{ 1500.5, "1,500.5", "1,501", "1500%" },
		{ 1500000, "1,500,000", "1,500,000", "1500000%" },
	};
	char text[UNITS_TEXT];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		double n = rows[i].number;

		ck_assert_str_eq(units_number(n, text), rows[i].given);
		ck_assert_str_eq(units_rate(n, text), rows[i].rate);
		if (n != 1500.5)
			ck_assert_str_eq(units_percent(n, 2, text),
					 rows[i].percent);
	}
	ck_assert_str_eq(units_percent(99.98, 4, text), "99.98%");
	ck_assert_str_eq(units_percent(12345.6, 4, text), "12346%");
}
END_TEST

START_TEST(a_rate_is_said_as_it_was_given)
{
	struct figures f;
	char *text;

	figures_init(&f);
	f.plan.rate = 0.5;
	text = report_of(&f.result, (struct report){ .has_utf8 = true });
	expect(text, "open loop, constant, 0.5/s");
	free(text);
	result_free(&f.result);
}
END_TEST

/* Its last steps are lost in rounding. */
START_TEST(the_spectrum_of_any_number_of_samples_ends)
{
	struct figures f;
	struct gates gates = { .count = 0 };
	char *text;

	if (!json_is_available())
		return;
	figures_init(&f);
	histogram_record_range(f.result.clocks[CLOCK_FROM_PLAN], 1, 1,
			       UINT64_C(1) << 52);
	text = json_text(&f.result, &gates);
	ck_assert_ptr_nonnull(text);
	free(text);
	result_free(&f.result);
}
END_TEST

int main(void)
{
	return RUN_TESTS("load_report", a_good_run_is_said_in_few_lines,
			 the_worst_run_fits_too,
			 errors_of_one_kind_are_named_in_the_first_line,
			 a_percentile_without_samples_enough_is_absent,
			 what_was_never_answered_makes_a_lower_bound,
			 a_second_with_a_lower_bound_says_so,
			 bad_clients_are_compared_by_lower_bounds_too,
			 a_quiet_run_that_was_cut_says_so,
			 a_run_that_was_cut_says_so, one_way_is_bytes_a_second,
			 colours_are_for_a_terminal_without_no_color,
			 the_live_line_fits_any_window,
			 numbers_are_said_without_exponents,
			 a_rate_is_said_as_it_was_given,
			 the_spectrum_of_any_number_of_samples_ends);
}
