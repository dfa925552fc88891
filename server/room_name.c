/* SPDX-License-Identifier: MIT */
/*
 * Letters that look alike in two alphabets pass: no small table knows them.
 */
#include "room_name.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "../cli/text.h"

/* Characters beyond ASCII that show as nothing or as a blank. */
static const struct {
	uint32_t first, last;
} blanks[] = {
	{ 0xa0, 0xa0 },	    { 0xad, 0xad },	{ 0x34f, 0x34f },
	{ 0x115f, 0x1160 }, { 0x1680, 0x1680 }, { 0x17b4, 0x17b5 },
	{ 0x180b, 0x180f }, { 0x2000, 0x200f }, { 0x202f, 0x202f },
	{ 0x205f, 0x206f }, { 0x2800, 0x2800 }, { 0x3000, 0x3000 },
	{ 0x3164, 0x3164 }, { 0xfe00, 0xfe0f }, { 0xfeff, 0xfeff },
	{ 0xffa0, 0xffa0 }, { 0xfff0, 0xfffb }, { 0xe0000, 0xe0fff },
};

static bool is_blank(uint32_t c)
{
	if (c <= ' ' || c == 0x7f)
		return true;
	for (size_t i = 0; i < sizeof(blanks) / sizeof(blanks[0]); i++)
		if (c >= blanks[i].first && c <= blanks[i].last)
			return true;
	return false;
}

/* The next character of well-formed UTF-8. */
static uint32_t take_character(const unsigned char **at)
{
	const unsigned char *s = *at;
	int more = *s < 0x80 ? 0 : *s < 0xe0 ? 1 : *s < 0xf0 ? 2 : 3;
	uint32_t c = more ? *s & (0x3fu >> more) : *s;

	for (int i = 1; i <= more; i++)
		c = c << 6 | (s[i] & 0x3fu);
	*at += 1 + more;
	return c;
}

static bool has_blank(const char *name, size_t len)
{
	const unsigned char *at = (const unsigned char *)name;
	const unsigned char *end = at + len;

	while (at < end)
		if (is_blank(take_character(&at)))
			return true;
	return false;
}

const char *room_name_fault(const char *name, size_t len)
{
	char shown[4 * ROOM_NAME_LEN + 1];

	if (len < 1 || len > ROOM_NAME_LEN)
		return "* a name has 1 to 32 bytes: /name NAME\n";
	cli_escape(shown, sizeof(shown), name, len, CLI_KEEP_UTF8);
	if (strlen(shown) != len || has_blank(name, len))
		return "* a name has no blanks and nothing that cannot be "
		       "seen\n";
	if (strpbrk(shown, "*:/"))
		return "* a name has no asterisk, colon or slash\n";
	if (strncasecmp(shown, "guest", 5) == 0)
		return "* only those without a name are called guest\n";
	return NULL;
}
