/* SPDX-License-Identifier: MIT */
/*
 * Faults of a server are reported as what they are, exactly as often as they
 * were made, and nothing else is reported.
 */
#include "scripted.h"

#define FAULTS	  5
#define MESSAGES  1500
#define FROM	  100
#define TO	  1000 /* later messages reveal the fault */
#define PREFIX	  "Server replies: "
#define SHORT	  (SECOND * (1 + slowness()))
#define LONG_TEXT "a reply of thirty bytes, ended\n"

/* The form of messages, and how replies arrive. */
struct shape {
	enum plan_payload payload;
	int depth;
	size_t min, max, piece;
	int threads;
};

static const struct shape shapes[] = {
	{ PAYLOAD_LINES, 1, 64, 64, 0, 1 },
	{ PAYLOAD_LINES, 16, 64, 64, 0, 1 },
	{ PAYLOAD_LINES, 16, 20, 300, 0, 4 },
	{ PAYLOAD_LINES, 1, 24, 40, 1, 1 },
	{ PAYLOAD_LINES, 16, 40, 40, 1, 1 },
	{ PAYLOAD_RANDOM, 1, 64, 64, 0, 1 },
	{ PAYLOAD_RANDOM, 16, 64, 64, 0, 4 },
	{ PAYLOAD_RANDOM, 16, 40, 300, 0, 1 },
	{ PAYLOAD_RANDOM, 1, 40, 40, 1, 1 },
	{ PAYLOAD_RANDOM, 16, 40, 60, 1, 1 },
};

#define EACH_SHAPE(shape)                                                      \
	for (const struct shape *shape = shapes;                               \
	     shape < shapes + sizeof(shapes) / sizeof(*shapes); shape++)

static struct plan plan_of(const struct shape *shape)
{
	struct plan plan =
		PLAN(.count = MESSAGES, .payload = shape->payload,
		     .depth = shape->depth, .size_min = shape->min,
		     .size_max = shape->max, .threads = shape->threads);

	return plan;
}

static struct script script_of(const struct shape *shape, enum fault fault)
{
	return (struct script){ .fault = fault,
				.faults = fault == FAULT_NONE ? 0 : FAULTS,
				.from = FROM,
				.to = TO,
				.piece = shape->piece };
}

static struct result run_shape(const struct shape *shape, enum fault fault)
{
	struct script script = script_of(shape, fault);
	struct plan plan = plan_of(shape);
	struct result r = run_against(&script, &plan, NULL);

	/* The plan is on the stack of this function. */
	r.plan = NULL;
	return r;
}

/* ---- nothing wrong */

START_TEST(replies_of_every_shape_are_found_right)
{
	EACH_SHAPE(shape)
	{
		struct script script = script_of(shape, FAULT_NONE);
		struct plan plan = plan_of(shape);
		struct seen seen;
		struct result r = run_against(&script, &plan, &seen);

		expect_clean_result(&r, MESSAGES);
		ck_assert_uint_eq(r.counts.bytes_out, seen.bytes);
		ck_assert_uint_eq(r.counts.bytes_in, seen.bytes);
		ck_assert_int_eq(r.connections.served, 4);
		result_free(&r);
	}
}
END_TEST

static bool is_any_reply(const struct plan *p)
{
	return p->expect == EXPECT_FRAMED &&
	       p->expected.framer.kind == FRAMER_ANY;
}

START_TEST(replies_of_every_kind_are_found_right)
{
	struct template same;
	struct plan plans[] = {
		PLAN(.count = MESSAGES, .expect = EXPECT_REPLY,
		     .banner = BANNER_TEXT, .banner_text = "Connect"),
		PLAN(.count = MESSAGES, .expect = EXPECT_FRAMED,
		     .expected.framer = FRAMER_OF(LEN, 31)),
		PLAN(.count = MESSAGES, .expect = EXPECT_FRAMED,
		     .expected.framer = FRAMER_OF(LEN, 31), .depth = 16),
		PLAN(.count = MESSAGES, .expect = EXPECT_FRAMED,
		     .expected.framer = FRAMER_LINE, .depth = 16),
		PLAN(.count = MESSAGES, .expect = EXPECT_FRAMED,
		     .expected.framer = FRAMER_LINE, .banner = BANNER_LINE),
		PLAN(.count = MESSAGES, .expect = EXPECT_FRAMED,
		     .banner = BANNER_ANY),
		PLAN(.count = MESSAGES, .payload = PAYLOAD_TEXT, .text = &same,
		     .size_min = 15, .size_max = 15, .depth = 16),
	};
	const char *banners[] = { "Connect", NULL, NULL, NULL,
				  "hello\n", "hi", NULL };

	ck_assert_ptr_null(template_parse(&same, "always the same"));
	template_bind(&same, NULL, 1, 4);
	for (size_t i = 0; i < 2 * sizeof(plans) / sizeof(*plans); i++) {
		const size_t piece = i % 2;
		struct plan plan = plans[i / 2];
		struct script script = {
			.banner = banners[i / 2],
			.banners = 100,
			.piece = is_any_reply(&plan) ? 0 : piece,
		};
		struct result r;

		if (plan.expect == EXPECT_REPLY)
			script.prefix = PREFIX;
		else if (plan.expect != EXPECT_ECHO)
			script.reply = LONG_TEXT;
		r = run_against(&script, &plan, NULL);
		expect_clean_result(&r, MESSAGES);
		result_free(&r);
	}
	template_fini(&same);
}
END_TEST

START_TEST(messages_larger_than_the_socket_takes_come_back_whole)
{
	struct plan plan = PLAN(.count = (uint64_t)fewer(400), .depth = 16,
				.size_min = 1, .size_max = 65000);
	struct script script = { .faults = 0 };
	struct result r = run_against(&script, &plan, NULL);

	expect_clean_result(&r, plan.count);
	result_free(&r);
	plan.size_min = 30000;
	plan.payload = PAYLOAD_RANDOM;
	r = run_against(&script, &plan, NULL);
	expect_clean_result(&r, plan.count);
	result_free(&r);
}
END_TEST

/* Each is read in several pieces. */
#define LARGE ((size_t)5 << 20)

START_TEST(a_reply_of_any_form_is_one_however_often_it_is_read)
{
	struct script script = { .reply_size = LARGE };
	struct plan plan = PLAN(.count = 12, .expect = EXPECT_FRAMED,
				.expect_quiet_ns = SECOND * slowness());

	for (int churn = 0; churn < 2; churn++) {
		struct seen seen;
		struct result r;

		plan.mode = churn ? PLAN_CHURN : PLAN_EXCHANGE;
		r = run_against(&script, &plan, &seen);
		expect_clean_result(&r, 12);
		ck_assert_int_eq(seen.messages, 12);
		ck_assert_uint_eq(r.counts.bytes_in, 12 * (LARGE + 64));
		ck_assert_uint_eq(r.counts.unsure, 0);
		result_free(&r);
	}
}
END_TEST

START_TEST(a_reply_whose_end_is_not_known_is_not_sure)
{
	struct script script = { .reply_size = LARGE };
	struct plan plan =
		PLAN(.connections = 1, .count = 12, .expect = EXPECT_FRAMED);
	struct result r = run_against(&script, &plan, NULL);

	ck_assert_uint_eq(r.counts.answered, 12);
	ck_assert_uint_ge(r.counts.unsure, 1);
	ck_assert_int_ne(r.verdict, VERDICT_TRUSTWORTHY);
	result_free(&r);
}
END_TEST

/* ---- what a good reply is */

/* A wrong byte is in the middle of the reply. */
static const struct expectation expectations[] = {
	{ .framer = FRAMER_LINE,
	  .ok.list = { { (char[]){ "no" }, 2 },
		       { (char[]){ "a reply of thirty" }, 17 } },
	  .ok.count = 2 },
	{ .framer = FRAMER_OF(LEN, 31),
	  .bad.list = { { (char[]){ "a reply of thiruy" }, 17 },
			{ (char[]){ "a reply of thirvy" }, 17 } },
	  .bad.count = 2 },
	{ .framer = FRAMER_LINE, .match = "^a reply of [a-z]*ty bytes" },
};

static void bad_replies(const struct shape *shape,
			const struct expectation *expected)
{
	struct script script = script_of(shape, FAULT_CORRUPT);
	struct plan plan = plan_of(shape);
	struct result r;

	script.reply = LONG_TEXT;
	plan.expect = EXPECT_FRAMED;
	plan.expected = *expected;
	r = run_against(&script, &plan, NULL);
	EXPECT_COUNTS(&r, .planned = MESSAGES, .sent = MESSAGES,
		      .answered = MESSAGES, .checked = MESSAGES, .bad = FAULTS);
	ck_assert_uint_eq(result_errors(&r), FAULTS);
	ck_assert_uint_eq(errors_in_all(&r), 0);
	ck_assert_int_eq(r.verdict != VERDICT_TRUSTWORTHY, 1);
	ck_assert(!r.is_incomplete);
	ck_assert_ptr_nonnull(r.first_bad.why);
	ck_assert_uint_eq(r.first_bad.got_len, sizeof(LONG_TEXT) - 1);
	ck_assert_mem_eq(r.first_bad.got, "a reply of ", 11);
	ck_assert_mem_ne(r.first_bad.got, LONG_TEXT, sizeof(LONG_TEXT) - 1);
	ck_assert_uint_eq(r.first_bad.sent_len, shape->min);
	result_free(&r);
}

START_TEST(replies_that_do_not_fit_are_bad_exactly_as_often)
{
	for (size_t i = 0; i < sizeof(expectations) / sizeof(*expectations);
	     i++) {
		bad_replies(&shapes[0], &expectations[i]);
		bad_replies(&shapes[1], &expectations[i]);
		bad_replies(&shapes[4], &expectations[i]);
	}
}
END_TEST

/* Where such a reply ends is not known, so its connection is given up. */
START_TEST(a_reply_of_another_form_is_bad_and_ends_its_connection)
{
	struct plan plan = PLAN(.connections = 1, .count = 20,
				.reconnect = true, .expect = EXPECT_FRAMED,
				.expected.framer = { .kind = FRAMER_HTTP });
	struct script script = { .reply = "+PONG\r\n" };
	struct result r = run_against(&script, &plan, NULL);

	EXPECT_COUNTS(&r, .planned = 20, .sent = 20, .answered = 20,
		      .checked = 20, .bad = 20);
	ck_assert_uint_eq(error_count(&r, ERROR_REPLY, EBADMSG), 20);
	ck_assert_uint_ge(r.connections.reopened, 19);
	ck_assert(r.is_incomplete);
	result_free(&r);
}
END_TEST

START_TEST(a_status_of_http_that_is_an_error_is_bad_by_itself)
{
	struct plan plan =
		PLAN(.count = 20, .depth = 4, .expect = EXPECT_FRAMED,
		     .expected.framer = { .kind = FRAMER_HTTP });
	struct script script = {
		.reply = "HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno",
		.piece = 3
	};
	struct result r = run_against(&script, &plan, NULL);

	EXPECT_COUNTS(&r, .planned = 20, .sent = 20, .answered = 20,
		      .checked = 20, .bad = 20);
	ck_assert_uint_eq(errors_in_all(&r), 0);
	result_free(&r);
	plan.expected.ok.count = 1;
	plan.expected.ok.list[0] = (struct bytes){ (char[]){ "HTTP" }, 4 };
	r = run_against(&script, &plan, NULL);
	EXPECT_COUNTS(&r, .planned = 20, .sent = 20, .answered = 20,
		      .checked = 20);
	result_free(&r);
}
END_TEST

/* ---- on a connection that stays */

static bool is_any(const struct shape *shape)
{
	return shape;
}

static bool is_deep(const struct shape *shape)
{
	return shape->depth > 1;
}

static bool is_lines(const struct shape *shape)
{
	return shape->payload == PAYLOAD_LINES;
}

static bool is_raw(const struct shape *shape)
{
	return !is_lines(shape);
}

/* The end of a raw reply is seen when the next begins: there must be one. */
static bool has_ends(const struct shape *shape)
{
	return is_lines(shape) || is_deep(shape);
}

/* All messages are answered, and the counts show this fault. */
static void the_fault_is(enum fault fault, bool (*fits)(const struct shape *),
			 struct counts expected)
{
	expected.planned = expected.sent = MESSAGES;
	expected.answered = expected.checked = MESSAGES;
	EACH_SHAPE(shape)
	{
		struct result r;

		if (!fits(shape))
			continue;
		r = run_shape(shape, fault);
		expect_counts(&r.counts, expected);
		ck_assert_uint_eq(errors_in_all(&r), 0);
		result_free(&r);
	}
}

#define THE_FAULT_IS(fault, fits, ...)                                         \
	the_fault_is(fault, fits, (const struct counts){ __VA_ARGS__ })

START_TEST(replies_with_a_wrong_byte_are_wrong)
{
	THE_FAULT_IS(FAULT_CORRUPT, is_any, .wrong = FAULTS);
}
END_TEST

START_TEST(replies_cut_short_are_wrong)
{
	THE_FAULT_IS(FAULT_TRUNCATE, has_ends, .wrong = FAULTS);
}
END_TEST

START_TEST(replies_in_the_wrong_order_are_swapped)
{
	THE_FAULT_IS(FAULT_SWAP, is_deep, .swapped = FAULTS);
}
END_TEST

START_TEST(replies_that_come_twice_are_surplus)
{
	THE_FAULT_IS(FAULT_DUPLICATE, is_any, .surplus = FAULTS);
}
END_TEST

START_TEST(messages_of_another_connection_are_crossed)
{
	THE_FAULT_IS(FAULT_CROSS, is_any, .crossed = FAULTS);
}
END_TEST

/* The first of two lines is taken for the reply; the other is not awaited. */
START_TEST(a_line_of_junk_is_a_wrong_reply_and_one_too_many)
{
	THE_FAULT_IS(FAULT_JUNK, is_lines, .wrong = FAULTS, .surplus = FAULTS);
}
END_TEST

START_TEST(raw_junk_is_surplus)
{
	THE_FAULT_IS(FAULT_JUNK, is_raw, .surplus = FAULTS);
}
END_TEST

/* ---- what does not come in time */

/* Some forms only, because each takes as long as the affected messages. */
static const struct shape late_shapes[] = {
	{ PAYLOAD_LINES, 1, 64, 64, 0, 1 },
	{ PAYLOAD_LINES, 1, 24, 40, 1, 1 },
	{ PAYLOAD_RANDOM, 16, 64, 64, 0, 4 },
	{ PAYLOAD_RANDOM, 16, 40, 60, 1, 1 },
};

#define LATE_SHAPES ((int)(sizeof(late_shapes) / sizeof(*late_shapes)))

static struct result run_late(const struct shape *shape, struct script script,
			      struct plan *plan, uint64_t *sent)
{
	struct result r;

	*plan = plan_of(shape);
	plan->count = 0;
	plan->duration_ns =
		2 * SHORT + 3 * SECOND; /* so that all faults occur */
	plan->timeout_ns = SHORT;
	script.pace_us = 2000;
	script.to = 300;
	r = run_undisturbed(&script, plan, NULL, SHORT);
	*sent = r.counts.sent;
	return r;
}

static void drops(int number)
{
	const struct shape *shape = &late_shapes[number];
	struct plan plan;
	uint64_t sent;
	struct result r =
		run_late(shape, script_of(shape, FAULT_DROP), &plan, &sent);

	EXPECT_COUNTS(&r, .planned = sent, .sent = sent,
		      .answered = sent - FAULTS, .checked = sent - FAULTS,
		      .timed_out = FAULTS,
		      .missing = shape->depth > 1 ? FAULTS : 0);
	ck_assert_uint_eq(error_count(&r, ERROR_REPLY, ETIMEDOUT), FAULTS);
	ck_assert_int_ge(r.censored[CLOCK_FROM_SEND].min, SHORT);
	result_free(&r);
}

START_TEST(replies_that_do_not_come_are_timed_out)
{
	at_once(LATE_SHAPES, drops);
}
END_TEST

static void delays(int number)
{
	const struct shape *shape = &late_shapes[number];
	struct script script = script_of(shape, FAULT_DELAY);
	struct plan plan;
	uint64_t sent;
	struct result r;

	script.delay_ms = (int)(SHORT / MS) + 300 * slowness();
	script.faults = 1;
	r = run_late(shape, script, &plan, &sent);
	EXPECT_COUNTS(&r, .planned = sent, .sent = sent, .answered = sent - 1,
		      .checked = sent - 1, .timed_out = 1, .late = 1,
		      .missing = shape->depth > 1);
	result_free(&r);
}

START_TEST(replies_after_the_time_out_are_late)
{
	at_once(LATE_SHAPES, delays);
}
END_TEST

static void overtakes(int number)
{
	const struct shape *shape = &late_shapes[number];
	struct script script = script_of(shape, FAULT_DROP);
	struct plan plan = plan_of(shape);
	struct result r;

	if (shape->depth == 1)
		return;
	plan.connections = plan.threads = 1;
	plan.timeout_ns = 2 * SHORT;
	r = run_undisturbed(&script, &plan, NULL, plan.timeout_ns);
	EXPECT_COUNTS(&r, .planned = MESSAGES, .sent = MESSAGES,
		      .answered = MESSAGES - FAULTS,
		      .checked = MESSAGES - FAULTS, .timed_out = FAULTS,
		      .missing = FAULTS);
	/* One timeout for all of them, not one for each. */
	ck_assert_int_lt(r.elapsed, 2 * plan.timeout_ns);
	result_free(&r);
}

START_TEST(a_reply_that_does_not_come_holds_up_no_other)
{
	at_once(LATE_SHAPES, overtakes);
}
END_TEST

/* ---- connections that end */

START_TEST(connections_that_are_reset_are_counted_and_made_again)
{
	EACH_SHAPE(shape)
	{
		struct script script = script_of(shape, FAULT_RESET);
		struct plan plan = plan_of(shape);
		struct result r;

		plan.reconnect = true;
		r = run_against(&script, &plan, NULL);
		ck_assert_uint_eq(
			error_count(&r, ERROR_REPLY, ECONNRESET) +
				error_count(&r, ERROR_SEND, EPIPE) +
				error_count(&r, ERROR_SEND, ECONNRESET),
			FAULTS);
		ck_assert_uint_eq(errors_in_all(&r), FAULTS);
		if (shape->depth == 1)
			ck_assert_uint_eq(r.counts.reset, FAULTS);
		ck_assert_uint_le(r.connections.reopened, FAULTS);
		EXPECT_COUNTS(&r, .planned = MESSAGES, .sent = MESSAGES,
			      .answered = MESSAGES - r.counts.reset,
			      .checked = MESSAGES - r.counts.reset,
			      .reset = r.counts.reset);
		result_free(&r);
	}
}
END_TEST

START_TEST(connections_that_end_are_counted_and_made_again)
{
	EACH_SHAPE(shape)
	{
		struct script script = script_of(shape, FAULT_CLOSE);
		struct plan plan = plan_of(shape);
		struct result r;

		plan.reconnect = true;
		r = run_against(&script, &plan, NULL);
		ck_assert_uint_eq(error_count(&r, ERROR_REPLY, 0), FAULTS);
		ck_assert_uint_eq(errors_in_all(&r), FAULTS);
		ck_assert_uint_eq(r.connections.ended, FAULTS);
		if (shape->depth == 1)
			ck_assert_uint_eq(r.counts.closed_early, FAULTS);
		ck_assert_uint_le(r.connections.reopened, FAULTS);
		EXPECT_COUNTS(&r, .planned = MESSAGES, .sent = MESSAGES,
			      .answered = MESSAGES - r.counts.closed_early,
			      .checked = MESSAGES - r.counts.closed_early,
			      .closed_early = r.counts.closed_early);
		result_free(&r);
	}
}
END_TEST

/* The sweep that looks for timeouts runs every 50 ms. */
START_TEST(a_lost_connection_is_replaced_at_once)
{
	struct plan plan =
		PLAN(.connections = 1, .count = MESSAGES, .reconnect = true);
	struct script script = {
		.fault = FAULT_CLOSE, .faults = 400, .from = FROM, .to = TO
	};
	struct result r = run_against(&script, &plan, NULL);

	ck_assert_uint_eq(r.counts.closed_early, 400);
	ck_assert_uint_eq(r.connections.reopened, 400);
	ck_assert_int_lt(r.connections.down_ns, 400 * 25 * MS);
	result_free(&r);
}
END_TEST

START_TEST(without_reconnect_a_lost_connection_stays_lost)
{
	struct script script = script_of(&shapes[0], FAULT_RESET);
	struct plan plan = plan_of(&shapes[0]);
	struct result r;

	script.faults = 3;
	r = run_against(&script, &plan, NULL);
	ck_assert_uint_eq(r.counts.reset, 3);
	ck_assert_uint_eq(r.connections.reopened, 0);
	ck_assert_int_eq(r.connections.open, 1);
	ck_assert_uint_eq(r.connections.ended, 3);
	result_free(&r);
}
END_TEST

/* ---- a connection for each message */

static struct result run_churn(enum fault fault)
{
	struct shape shape = shapes[0];
	struct script script = script_of(&shape, fault);
	struct plan plan = plan_of(&shape);
	struct result r;

	plan.mode = PLAN_CHURN;
	plan.count = 600;
	plan.timeout_ns = fault == FAULT_DROP ? SHORT : plan.timeout_ns;
	script.to = 500;
	r = run_undisturbed(&script, &plan, NULL, plan.timeout_ns);
	r.plan = NULL;
	return r;
}

START_TEST(churn_reports_each_kind_exactly_as_often)
{
	const struct counts expected[FAULT_KINDS] = {
		[FAULT_NONE] = { .answered = 600 },
		[FAULT_DROP] = { .answered = 595, .timed_out = FAULTS },
		[FAULT_CORRUPT] = { .answered = 600, .wrong = FAULTS },
		[FAULT_TRUNCATE] = { .answered = 600, .wrong = FAULTS },
		[FAULT_CROSS] = { .answered = 600, .crossed = FAULTS },
		[FAULT_RESET] = { .answered = 595, .reset = FAULTS },
		[FAULT_CLOSE] = { .answered = 595, .closed_early = FAULTS },
	};

	for (int k = 0; k < FAULT_KINDS; k++) {
		struct counts b = expected[k];
		struct result r;

		if (b.answered == 0) /* not one for churn */
			continue;
		r = run_churn((enum fault)k);
		b.planned = b.sent = 600;
		b.checked = b.answered;
		expect_counts(&r.counts, b);
		result_free(&r);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS("load_faults", replies_of_every_shape_are_found_right,
			 replies_of_every_kind_are_found_right,
			 messages_larger_than_the_socket_takes_come_back_whole,
			 a_reply_of_any_form_is_one_however_often_it_is_read,
			 a_reply_whose_end_is_not_known_is_not_sure,
			 replies_that_do_not_fit_are_bad_exactly_as_often,
			 a_reply_of_another_form_is_bad_and_ends_its_connection,
			 a_status_of_http_that_is_an_error_is_bad_by_itself,
			 replies_with_a_wrong_byte_are_wrong,
			 replies_cut_short_are_wrong,
			 replies_in_the_wrong_order_are_swapped,
			 replies_that_come_twice_are_surplus,
			 messages_of_another_connection_are_crossed,
			 a_line_of_junk_is_a_wrong_reply_and_one_too_many,
			 raw_junk_is_surplus,
			 replies_that_do_not_come_are_timed_out,
			 replies_after_the_time_out_are_late,
			 a_reply_that_does_not_come_holds_up_no_other,
			 connections_that_are_reset_are_counted_and_made_again,
			 connections_that_end_are_counted_and_made_again,
			 a_lost_connection_is_replaced_at_once,
			 without_reconnect_a_lost_connection_stays_lost,
			 churn_reports_each_kind_exactly_as_often);
}
