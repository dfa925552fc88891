/* SPDX-License-Identifier: MIT */
/*
 * Messages with escapes and variables: what they are, and that any piece of one
 * is a piece of the whole.
 */
#include "test.h"

#include "../../client/load/engine/template.h"

static char names[] = "anna\nbo\n\nlast one";

static char *whole(const struct template *t, uint32_t conn, uint64_t seq,
		   int64_t at)
{
	struct message_id id = { conn, seq };
	size_t size = template_size(t, id);
	char *text = calloc(1, size + 1);

	ck_assert_ptr_nonnull(text);
	ck_assert_uint_ge(size, t->size_min);
	ck_assert_uint_le(size, t->size_max);
	template_fill(t, id, at, 0, text, size);
	return text;
}

/* Any piece of it, made or compared. */
static void expect_pieces(const struct template *t, struct message_id id,
			  const char *text)
{
	size_t size = strlen(text);
	char piece[256];

	for (size_t from = 0; from <= size; from++)
		for (size_t len = 0; len <= size - from; len++) {
			template_fill(t, id, 0, from, piece, len);
			ck_assert_mem_eq(piece, text + from, len);
			ck_assert(template_matches(t, id, from, piece, len));
			if (len > 0)
				piece[len / 2] ^= 1;
			ck_assert(len == 0 ||
				  !template_matches(t, id, from, piece, len));
		}
}

static void expect_text(const char *source, uint32_t conn, uint64_t seq,
			const char *expected)
{
	struct data_lines lines = { .count = 0 };
	struct template t;
	char *text;

	ck_assert(data_lines_split(&lines, strdup(names), sizeof(names) - 1));
	ck_assert_uint_eq(lines.count, 4);
	ck_assert_ptr_null(template_parse(&t, source));
	template_bind(&t, &lines, 1, 10);
	text = whole(&t, conn, seq, 0);
	ck_assert_str_eq(text, expected);
	expect_pieces(&t, (struct message_id){ conn, seq }, text);
	free(text);
	template_fini(&t);
	data_lines_fini(&lines);
}

START_TEST(escapes_and_variables_are_replaced)
{
	expect_text("PING\\r\\n", 0, 0, "PING\r\n");
	expect_text("\\x41\\x7e\\t\\\\n\\{seq}", 0, 0, "A~\t\\n{seq}");
	expect_text("{\"a\":{\"b\":[{}]}} {x {1} {", 0, 0,
		    "{\"a\":{\"b\":[{}]}} {x {1} {");
	expect_text("{connection}/{seq}", 0, 0, "0/0");
	expect_text("<{connection}{seq}>", 9, 18446744073709551615u,
		    "<918446744073709551615>");
	expect_text("SET k{seq} {connection}\\r\\n", 7, 1234567890,
		    "SET k1234567890 7\r\n");
	expect_text("{random:1}{random:1}", 3, 4, "00");
}
END_TEST

/* Ten connections share four lines, in their order. */
START_TEST(lines_are_used_in_rotation)
{
	expect_text("{line}!", 0, 0, "anna!");
	expect_text("{line}!", 1, 0, "bo!");
	expect_text("{line}!", 2, 0, "!");
	expect_text("{line}!", 3, 0, "last one!");
	expect_text("{line}!", 4, 0, "anna!");
	expect_text("{line}!", 0, 1, "!");
	expect_text("{line}{line}", 9, 1, "last onelast one");
}
END_TEST

START_TEST(random_numbers_are_below_their_limit_and_come_again)
{
	struct template t;
	bool seen[7] = { false };

	ck_assert_ptr_null(template_parse(&t, "{random:7} {random:1000000}"));
	template_bind(&t, NULL, 5, 3);
	for (uint64_t seq = 0; seq < 1000; seq++) {
		char *text = whole(&t, 2, seq, 0),
		     *again = whole(&t, 2, seq, 9);
		char *end;
		long number = strtol(text, &end, 10);

		ck_assert(number >= 0 && number < 7 && *end == ' ');
		seen[number] = true;
		ck_assert_int_lt(strtol(end, NULL, 10), 1000000);
		ck_assert_str_eq(text, again);
		free(text);
		free(again);
	}
	for (int i = 0; i < 7; i++)
		ck_assert(seen[i]);
	template_fini(&t);
}
END_TEST

START_TEST(the_time_is_that_of_the_day_in_microseconds)
{
	struct template t;
	struct timespec now;
	int64_t at, wall, found;
	char *text;

	ck_assert_ptr_null(template_parse(&t, "{time}"));
	template_bind(&t, NULL, 1, 1);
	clock_gettime(CLOCK_MONOTONIC, &now);
	at = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
	clock_gettime(CLOCK_REALTIME, &now);
	wall = now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
	text = whole(&t, 0, 0, at);
	found = strtoll(text, NULL, 10);
	ck_assert_int_eq((int64_t)strlen(text), 16);
	ck_assert_int_gt(found, wall - 60000000);
	ck_assert_int_lt(found, wall + 60000000);
	free(text);
	text = whole(&t, 0, 0, at + 5000000);
	ck_assert_int_eq(strtoll(text, NULL, 10), found + 5000);
	free(text);
	template_fini(&t);
}
END_TEST

/* A machine without a clock begins in 1970. */
START_TEST(a_time_before_2001_has_leading_zeros)
{
	struct template t;
	char *text;

	ck_assert_ptr_null(template_parse(&t, "{time}\\n"));
	template_bind(&t, NULL, 1, 1);
	t.epoch = 0;
	text = whole(&t, 0, 0, 1234567);
	ck_assert_str_eq(text, "0000000000001234\n");
	free(text);
	template_fini(&t);
}
END_TEST

START_TEST(texts_that_are_no_template_are_refused)
{
	static const char *const texts[] = {
		"\\",
		"a\\q",
		"\\x",
		"\\x4",
		"\\xg0",
		"{sequence}",
		"{random}",
		"{random:}",
		"{random:0}",
		"{random:x}",
		"{random:1x}",
		"{seq:1}",
		"{random:99999999999999999999}",
	};
	struct template t;
	struct bytes b;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		ck_assert_msg(template_parse(&t, texts[i]), "'%s' is taken",
			      texts[i]);
		template_fini(&t);
		if (*texts[i] == '{')
			continue;
		ck_assert(!bytes_parse(&b, texts[i]));
		ck_assert_ptr_null(b.data);
	}
	ck_assert(bytes_parse(&b, "\\x00{seq}"));
	ck_assert_uint_eq(b.len, 6);
	ck_assert_mem_eq(b.data, "\0{seq}", 6);
	free(b.data);
}
END_TEST

int main(void)
{
	return RUN_TESTS("template", escapes_and_variables_are_replaced,
			 lines_are_used_in_rotation,
			 random_numbers_are_below_their_limit_and_come_again,
			 the_time_is_that_of_the_day_in_microseconds,
			 a_time_before_2001_has_leading_zeros,
			 texts_that_are_no_template_are_refused);
}
