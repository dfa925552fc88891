/* SPDX-License-Identifier: MIT */
/* The skeletons of names in a room: upper and lower case are the same name. */
#include "test.h"

#include <locale.h>
#include <stdint.h>
#include <stdio.h>
#include <wctype.h>

#include "../../server/room_name.h"
#include "base.h"

/* Returns the length in UTF-8. */
static size_t encode(char to[5], uint32_t c)
{
	if (c < 0x80)
		return (size_t)snprintf(to, 5, "%c", (int)c);
	if (c < 0x800)
		return (size_t)snprintf(to, 5, "%c%c", (int)(0xc0 | c >> 6),
					(int)(0x80 | (c & 0x3f)));
	if (c < 0x10000)
		return (size_t)snprintf(to, 5, "%c%c%c", (int)(0xe0 | c >> 12),
					(int)(0x80 | (c >> 6 & 0x3f)),
					(int)(0x80 | (c & 0x3f)));
	return (size_t)snprintf(to, 5, "%c%c%c%c", (int)(0xf0 | c >> 18),
				(int)(0x80 | (c >> 12 & 0x3f)),
				(int)(0x80 | (c >> 6 & 0x3f)),
				(int)(0x80 | (c & 0x3f)));
}

/* Of a name that is this character alone; false: it may not be used. */
static bool skeleton_of(char to[ROOM_NAME_LEN + 1], uint32_t c)
{
	char name[5];
	size_t len = encode(name, c);

	if (room_name_fault(name, len))
		return false;
	memset(to, 'x', ROOM_NAME_LEN + 1);
	room_name_skeleton(to, name, len);
	ck_assert_uint_le(strlen(to), len);
	return true;
}

START_TEST(a_skeleton_is_its_own_and_not_longer_than_the_name)
{
	char once[ROOM_NAME_LEN + 1], twice[ROOM_NAME_LEN + 1];

	for (uint32_t c = 1; c < 0x30000; c++) {
		if (!skeleton_of(once, c))
			continue;
		room_name_skeleton(twice, once, strlen(once));
		ck_assert_str_eq(twice, once);
	}
}
END_TEST

/* False: towlower() is of no use here. */
static bool use_unicode(void)
{
	return setlocale(LC_CTYPE, "C.UTF-8") && towlower(0xc4) == 0xe4;
}

/* Their lower case is drawn like n, v and u. */
static bool is_h_n_or_y_of_greek(uint32_t c)
{
	return c == 0x397 || c == 0x39d || c == 0x3a5;
}

START_TEST(upper_and_lower_case_are_the_same)
{
	static const struct {
		uint32_t first, last;
	} blocks[] = {
		{ 1, 0x17f },	    /* Latin */
		{ 0x386, 0x3ce },   /* Greek */
		{ 0x400, 0x52f },   /* Cyrillic */
		{ 0x1e00, 0x1eff }, /* Latin */
		{ 0xff21, 0xff5a }, /* full width */
		{ 0x2126, 0x212b }, /* ohm, kelvin, angstrom */
	};
	char upper[ROOM_NAME_LEN + 1], lower[ROOM_NAME_LEN + 1];
	int count = 0;

	if (!use_unicode())
		return;
	for (size_t i = 0; i < wr_array_len(blocks); i++)
		for (uint32_t c = blocks[i].first; c <= blocks[i].last; c++) {
			uint32_t small = towlower(c);

			if (small == c || is_h_n_or_y_of_greek(c))
				continue;
			ck_assert(skeleton_of(upper, c));
			ck_assert(skeleton_of(lower, small));
			ck_assert_msg(strcmp(upper, lower) == 0, "U+%04X", c);
			count++;
		}
	ck_assert_int_gt(count, 400);
}
END_TEST

START_TEST(letters_that_are_not_alike_differ)
{
	char one[ROOM_NAME_LEN + 1], other[ROOM_NAME_LEN + 1];

	if (!use_unicode())
		return;
	for (uint32_t c = 0x80; c < 0x2000; c++) {
		char plain[5];

		if (towlower(c) != c || !skeleton_of(one, c) ||
		    (unsigned char)one[0] < 0x80)
			continue;
		plain[encode(plain, c)] = '\0';
		ck_assert_msg(strcmp(one, plain) == 0, "U+%04X", c);
	}
	ck_assert(skeleton_of(one, 0xe4) && skeleton_of(other, 0xe5));
	ck_assert_str_ne(one, other);
}
END_TEST

int main(void)
{
	return RUN_TESTS("room name",
			 a_skeleton_is_its_own_and_not_longer_than_the_name,
			 upper_and_lower_case_are_the_same,
			 letters_that_are_not_alike_differ);
}
