/* SPDX-License-Identifier: MIT */
/*
 * A skeleton replaces each character of the first table below by the first one
 * of its row.  The table has what most fonts draw like an ASCII letter:
 * Cyrillic, Greek and Latin letters, an Armenian one, digits and a bar.  It
 * does not have other scripts, nor pairs such as "rn" and "m".  Of other
 * letters a skeleton has the lower case; towlower() would depend on the locale.
 * Both cases of a letter have the same row, except for those of Greek eta, nu
 * and upsilon, whose capitals are drawn like H, N and Y.
 *
 * Unicode has several ways to write a letter with an accent; combining accents
 * are refused, so that only one of these ways is left.
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
	"aАаΑαɑ", "bВвΒβЬьƄƅ", "cСсϹϲ",	    "dԁ",    "eЕеΕεɛ",
	"gԌԍɡ",	  "hНнΗҺһ",    "jЈјͿϳ", "kКкΚκ", "lIi1|ІіΙιıӀӏɩ",
	"mМмΜμµ", "nΝηո",      "o0ОоΟοσς",  "pРрΡρ", "qԚԛ",
	"rгᴦ",	  "sЅѕ",       "tТтΤτ",	    "uυʋ",   "vѴѵν",
	"wԜԝωѡ",  "xХхΧχ",     "yУуΥγҮү",   "zΖζᴢ",
};

/* Capitals of Latin, Greek and Cyrillic: every step-th from first to last. */
static const struct {
	uint32_t first, last;
	unsigned step;
	int to_lower; /* the distance */
} capitals[] = {
	{ 'A', 'Z', 1, 32 },	      { 0xc0, 0xd6, 1, 32 },
	{ 0xd8, 0xde, 1, 32 },	      { 0x100, 0x136, 2, 1 },
	{ 0x139, 0x147, 2, 1 },	      { 0x14a, 0x176, 2, 1 },
	{ 0x178, 0x178, 1, -121 },    { 0x179, 0x17d, 2, 1 },
	{ 0x1cd, 0x1db, 2, 1 },	      { 0x1f8, 0x21e, 2, 1 },
	{ 0x386, 0x386, 1, 38 },      { 0x388, 0x38a, 1, 37 },
	{ 0x38c, 0x38c, 1, 64 },      { 0x38e, 0x38f, 1, 63 },
	{ 0x391, 0x3ab, 1, 32 },      { 0x400, 0x40f, 1, 80 },
	{ 0x410, 0x42f, 1, 32 },      { 0x460, 0x480, 2, 1 },
	{ 0x48a, 0x4be, 2, 1 },	      { 0x4c0, 0x4c0, 1, 15 },
	{ 0x4c1, 0x4cd, 2, 1 },	      { 0x4d0, 0x52e, 2, 1 },
	{ 0x1e00, 0x1e94, 2, 1 },     { 0x1e9e, 0x1e9e, 1, -7615 },
	{ 0x1ea0, 0x1efe, 2, 1 },     { 0x2126, 0x2126, 1, -7517 },
	{ 0x212a, 0x212a, 1, -8383 }, { 0x212b, 0x212b, 1, -8262 },
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

static char *put_character(char *to, uint32_t c)
{
	static const uint32_t marks[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	int len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	for (int i = len - 1; i > 0; i--, c >>= 6)
		to[i] = (char)(0x80 | (c & 0x3f));
	to[0] = (char)(marks[len] | c);
	return to + len;
}

/* The ASCII character of the row of c; 0: it has none. */
static uint32_t looks_like(uint32_t c)
{
	for (size_t i = 0; i < COUNT(alike); i++)
		for (const char *other = alike[i]; *other;)
			if (next_character(&other) == c)
				return (uint32_t)alike[i][0];
	return 0;
}

static uint32_t lower_case(uint32_t c)
{
	for (size_t i = 0; i < COUNT(capitals); i++)
		if (c >= capitals[i].first && c <= capitals[i].last &&
		    (c - capitals[i].first) % capitals[i].step == 0)
			return c + (uint32_t)capitals[i].to_lower;
	return c;
}

/* In no more bytes than c has. */
static uint32_t simplify(uint32_t c)
{
	uint32_t ascii;

	if (c >= 0xff01 && c <= 0xff5e) /* full width */
		c -= 0xff01 - '!';
	ascii = looks_like(c);
	if (ascii)
		return ascii;
	c = lower_case(c);
	ascii = looks_like(c);
	return ascii ? ascii : c;
}

void room_name_skeleton(char to[ROOM_NAME_LEN + 1], const char *name,
			size_t len)
{
	const char *end = name + len;

	while (name < end)
		to = put_character(to, simplify(next_character(&name)));
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
