/* SPDX-License-Identifier: MIT */
/*
 * UTF-8 is checked here and not with mbrtowc(): what is safe to show must not
 * depend on the locale.
 */
#include "text.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <weir.h>

static const struct unit {
	const char *name;
	int ms;
} units[] = {
	/* the longest first, for cli_duration_text() */
	{ "h", 3600 * 1000 },
	{ "m", 60 * 1000 },
	{ "s", 1000 },
	{ "ms", 1 },
};

#define UNITS (sizeof(units) / sizeof(units[0]))

/* The number at text; -1 if there is none or it exceeds INT_MAX. */
static int64_t digits(const char *text, const char **end)
{
	int64_t value = 0; /* a long may be no wider than an int */
	const char *p;

	for (p = text; *p >= '0' && *p <= '9' && value <= INT_MAX; p++)
		value = value * 10 + (*p - '0');
	*end = p;
	return p == text || value > INT_MAX ? -1 : value;
}

bool cli_parse_number(const char *text, int min, int max, int *ret)
{
	const char *end;
	int64_t value = digits(text, &end);

	if (value < min || value > max || *end != '\0')
		return false;
	*ret = (int)value;
	return true;
}

bool cli_parse_duration(const char *text, int *ret)
{
	const char *end;
	int64_t value;

	if (strcmp(text, "never") == 0) {
		*ret = WEIR_NEVER;
		return true;
	}
	value = digits(text, &end);
	if (value < 1)
		return false;
	for (size_t i = 0; i < UNITS; i++) {
		if (strcmp(end, units[i].name) != 0)
			continue;
		if (value > INT_MAX / units[i].ms)
			return false;
		*ret = (int)value * units[i].ms;
		return true;
	}
	return false;
}

const char *cli_duration_text(int ms, char buf[CLI_DURATION_TEXT])
{
	size_t i = 0;

	if (ms < 0)
		return strcpy(buf, "never");
	while (ms % units[i].ms != 0 || ms < units[i].ms)
		if (++i == UNITS - 1)
			break;
	snprintf(buf, CLI_DURATION_TEXT, "%d%s", ms / units[i].ms,
		 units[i].name);
	return buf;
}

/* Bytes in the character that begins with lead; 0: none does. */
static size_t utf8_size(unsigned char lead)
{
	if (lead < 0x80)
		return 1;
	if (lead < 0xc2)
		return 0;
	if (lead < 0xe0)
		return 2;
	if (lead < 0xf0)
		return 3;
	return lead < 0xf5 ? 4 : 0;
}

/* May next follow lead?  Excludes overlong forms and surrogates. */
static bool utf8_second(unsigned char lead, unsigned char next)
{
	switch (lead) {
	case 0xe0:
		return next >= 0xa0 && next <= 0xbf;
	case 0xed:
		return next >= 0x80 && next <= 0x9f;
	case 0xf0:
		return next >= 0x90 && next <= 0xbf;
	case 0xf4:
		return next >= 0x80 && next <= 0x8f;
	default:
		return next >= 0x80 && next <= 0xbf;
	}
}

/* How many of the len bytes at s belong to the first character. */
static size_t utf8_have(const unsigned char *s, size_t len)
{
	size_t size = utf8_size(s[0]);
	size_t n = 1;

	while (n < size && n < len &&
	       (n == 1 ? utf8_second(s[0], s[1]) : (s[n] & 0xc0) == 0x80))
		n++;
	return size == 0 ? 0 : n;
}

/*
 * Is the character of n bytes at s one that a terminal or an editor acts on?
 * U+0080 to U+009F are control characters whatever their encoding,
 * U+2028 and U+2029 begin a new line, and U+061C, U+200E, U+200F, U+202A to
 * U+202E and U+2066 to U+2069 change the order in which text is shown.
 */
static bool is_obeyed(const unsigned char *s, size_t n)
{
	unsigned c;

	if (n == 2)
		return (s[0] == 0xc2 && s[1] < 0xa0) ||
		       (s[0] == 0xd8 && s[1] == 0x9c);
	if (n != 3 || s[0] != 0xe2)
		return false;
	c = 0x2000u | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
	return c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069);
}

/* The size of the character at s if it may be shown unchanged, else 0. */
static size_t showable(const unsigned char *s, size_t len, unsigned keep)
{
	size_t n;

	if (s[0] == '\n' || s[0] == '\t')
		return (keep & CLI_KEEP_LINES) ? 1 : 0;
	if (s[0] < 0x80)
		return s[0] >= ' ' && s[0] != 0x7f;
	if (!(keep & CLI_KEEP_UTF8))
		return 0;
	n = utf8_have(s, len);
	if (n == 0 || n < utf8_size(s[0]))
		return 0;
	return is_obeyed(s, n) ? 0 : n;
}

size_t cli_escape(char *to, size_t cap, const char *from, size_t len,
		  unsigned keep)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *s = (const unsigned char *)from;
	size_t used = 0;

	while (len > 0) {
		size_t n = showable(s, len, keep);
		char code[4] = { '\\', 'x', hex[s[0] >> 4], hex[s[0] & 15] };
		const void *piece = n > 0 ? (const void *)s : code;
		size_t size = n > 0 ? n : sizeof(code);

		if (used + size >= cap)
			break;
		memcpy(to + used, piece, size);
		used += size;
		n = n > 0 ? n : 1;
		s += n;
		len -= n;
	}
	if (cap > 0)
		to[used] = '\0';
	return used;
}

size_t cli_utf8_tail(const char *data, size_t len)
{
	const unsigned char *s = (const unsigned char *)data;

	for (size_t back = 1; back <= 3 && back <= len; back++) {
		const unsigned char *lead = s + len - back;

		if (utf8_size(*lead) > back && utf8_have(lead, back) == back)
			return back;
	}
	return 0;
}
