/* SPDX-License-Identifier: MIT */
/* Numbers and durations of a command line: those out of range are refused. */
#include "test.h"

#include <limits.h>

#include "../../cli/text.h"
#include "base.h"

#define INT_END "2147483648" /* INT_MAX + 1 */

static int number_of(const char *text)
{
	int ret;

	return cli_parse_number(text, 0, INT_MAX, &ret) ? ret : -1;
}

static int duration_of(const char *text)
{
	int ret;

	return cli_parse_duration(text, &ret) ? ret : 0;
}

START_TEST(numbers_are_whole_and_in_range)
{
	static const char *const wrong[] = {
		"",
		"-1",
		"+1",
		"1 ",
		"1x",
		INT_END,
		"4294967296",
		/* 1 in 32 and 64 bits */
		"4294967297",
		"18446744073709551617",
	};
	int ret;

	ck_assert_int_eq(number_of("0"), 0);
	ck_assert_int_eq(number_of("0012"), 12);
	ck_assert_int_eq(number_of("2147483647"), INT_MAX);
	for (size_t i = 0; i < wr_array_len(wrong); i++)
		ck_assert_int_eq(number_of(wrong[i]), -1);
	ck_assert(cli_parse_number("7", 3, 7, &ret));
	ck_assert(!cli_parse_number("2", 3, 7, &ret));
	ck_assert(!cli_parse_number("8", 3, 7, &ret));
}
END_TEST

START_TEST(durations_have_a_unit_and_fit)
{
	static const char *const wrong[] = {
		"",	"1",	      "ms",	      "0s",
		"1 s",	"1S",	      INT_END "ms",   "2147484s",
		"597h", "35792m",     "4294967297ms", "4294967297s",
		"-1s",	"never ever",
	};

	ck_assert_int_eq(duration_of("never"), WEIR_NEVER);
	ck_assert_int_eq(duration_of("1ms"), 1);
	ck_assert_int_eq(duration_of("2147483647ms"), INT_MAX);
	ck_assert_int_eq(duration_of("2147483s"), 2147483000);
	ck_assert_int_eq(duration_of("596h"), 596 * 3600 * 1000);
	for (size_t i = 0; i < wr_array_len(wrong); i++)
		ck_assert_int_eq(duration_of(wrong[i]), 0);
}
END_TEST

int main(void)
{
	return RUN_TESTS("text", numbers_are_whole_and_in_range,
			 durations_have_a_unit_and_fit);
}
