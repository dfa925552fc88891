/* SPDX-License-Identifier: MIT */
/*
 * A skeleton replaces each character of the table below by the first one of its
 * row.  The table has what most fonts draw like an ASCII letter: Cyrillic,
 * Greek and Latin letters, an Armenian one, digits and a bar.  It does not have
 * other scripts, nor pairs such as "rn" and "m".  Unicode has several ways to
 * write a letter with an accent; combining accents are refused, so that only
 * one of these ways is left.
 */
#include "room_name.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "../cli/text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Characters beyond ASCII that are shown as nothing or as a blank. */
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

static const char *const alike[] = {
	"aАаΑαɑ", "bВвΒЬьƄ", "cСсϹϲ",	  "dԁ",	   "eЕеΕɛ",
	"gԌɡ",	  "hНнΗҺһ",  "jЈјͿϳ", "kКкΚκ", "lIi1|ІіΙιıӀӏɩ",
	"mМмΜ",	  "nΝηո",    "o0ОоΟοσ",	  "pРрΡρ", "qԚԛ",
	"rгᴦ",	  "sЅѕ",     "tТтΤτ",	  "uυʋ",   "vѴѵν",
	"wԜԝωѡ",  "xХхΧχ",   "yУуΥγҮү",	  "zΖᴢ",
};

/* The next character of well-formed UTF-8. */
static uint32_t next_character(const char **at)
{
	const unsigned char *s = (const unsigned char *)*at;
	int more = *s < 0x80 ? 0 : *s < 0xe0 ? 1 : *s < 0xf0 ? 2 : 3;
	uint32_t c = more ? *s & (0x3fu >> more) : *s;

	for (int i = 1; i <= more; i++)
		c = c << 6 | (s[i] & 0x3fu);
	*at += 1 + more;
	return c;
}

static bool is_blank(uint32_t c)
{
	if (c <= ' ' || c == 0x7f)
		return true;
	for (size_t i = 0; i < COUNT(blanks); i++)
		if (c >= blanks[i].first && c <= blanks[i].last)
			return true;
	return false;
}

static bool is_combining_accent(uint32_t c)
{
	return c >= 0x300 && c <= 0x36f;
}

static bool has(bool is_such(uint32_t c), const char *name, size_t len)
{
	const char *end = name + len;

	while (name < end)
		if (is_such(next_character(&name)))
			return true;
	return false;
}

/* The ASCII character that c looks like, in lower case; 0: none. */
static char looks_like(uint32_t c)
{
	if (c >= 0xff01 && c <= 0xff5e) /* full width */
		c -= 0xff01 - '!';
	for (size_t i = 0; i < COUNT(alike); i++)
		for (const char *other = alike[i]; *other;)
			if (next_character(&other) == c)
				return alike[i][0];
	if (c >= 'A' && c <= 'Z')
		c += 'a' - 'A';
	return c < 0x80 ? (char)c : 0;
}

void room_name_skeleton(char to[ROOM_NAME_LEN + 1], const char *name,
			size_t len)
{
	const char *at = name, *end = name + len;

	while (at < end) {
		const char *from = at;
		char ascii = looks_like(next_character(&at));

		if (ascii) {
			*to++ = ascii;
			continue;
		}
		memcpy(to, from, (size_t)(at - from));
		to += at - from;
	}
	*to = '\0';
}

const char *room_name_fault(const char *name, size_t len)
{
	char shown[4 * ROOM_NAME_LEN + 1], skeleton[ROOM_NAME_LEN + 1];

	if (len < 1 || len > ROOM_NAME_LEN)
		return "* a name has 1 to 32 bytes: /name NAME\n";
	cli_escape(shown, sizeof(shown), name, len, CLI_KEEP_UTF8);
	if (strlen(shown) != len || has(is_blank, name, len))
		return "* a name has no blanks and no invisible characters\n";
	if (has(is_combining_accent, name, len))
		return "* a name has no combining accents; use the letter that "
		       "has the accent\n";
	room_name_skeleton(skeleton, name, len);
	if (strpbrk(skeleton, "*:/"))
		return "* a name has no asterisk, colon or slash\n";
	if (strncmp(skeleton, "guest", 5) == 0)
		return "* a name does not begin with \"guest\"\n";
	return NULL;
}
