/* SPDX-License-Identifier: MIT */
/*
 * Foreign bytes on their way to a log or a terminal.  The first byte says
 * what may be kept and how much room there is, the second where the rest is
 * cut in two.
 */
#include "fuzz.h"

#include <limits.h>
#include <unistd.h>

#include "../../cli/text.h"
#include "../../server/journal.h"
#include "../../server/out.h"

const char fuzz_corpus[] = "escape";

/* Do three bytes of UTF-8 end a line, or make text go the other way? */
static bool misleads(const unsigned char *s)
{
	unsigned c;

	if ((s[0] & 0xe0) == 0xc0)
		return s[0] == 0xd8 && s[1] == 0x9c; /* U+061C */
	c = (s[0] & 0xfu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
	return (s[0] & 0xf0) == 0xe0 &&
	       ((c >= 0x200e && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
		(c >= 0x2066 && c <= 0x2069));
}

/* What no terminal and no reader of a log can take for a control character. */
static void check_harmless(const char *text, size_t len, unsigned keep)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\n' || c == '\t')
			REQUIRE(keep & CLI_KEEP_LINES);
		else if (c >= 0x80)
			REQUIRE(keep & CLI_KEEP_UTF8);
		else
			REQUIRE(c >= ' ' && c <= '~');
		if (c == 0xc2)
			REQUIRE(i + 1 < len &&
				(unsigned char)text[i + 1] >= 0xa0);
		REQUIRE(c < 0xc0 || !misleads((const unsigned char *)text + i));
	}
}

/* Without anything kept it is so simple that it can be written down twice. */
static void check_plain(const char *from, size_t size, const char *text)
{
	char code[8];

	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)from[i];
		size_t len;

		snprintf(code, sizeof(code),
			 c >= ' ' && c <= '~' ? "%c" : "\\x%02x", c);
		len = strlen(code);
		REQUIRE(strncmp(text, code, len) == 0);
		text += len;
	}
	REQUIRE(*text == '\0');
}

static char logged[PIPE_BUF];
static size_t logged_len;

/* For the journal: instead of that of server/out.c. */
bool out_line(int fd, const char *line, size_t len, int wait_ms,
	      struct out_losses *l, unsigned long long reported)
{
	(void)wait_ms;
	(void)l;
	(void)reported;
	REQUIRE(fd == STDERR_FILENO && len <= sizeof(logged));
	memcpy(logged, line, len);
	logged_len = len;
	return true;
}

/* The log escapes any text into one line. */
static void check_journal(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);

	logged_len = 0;
	journal_sink(WEIR_LOG_INFO, text, NULL);
	REQUIRE(logged_len > 30 && logged[logged_len - 1] == '\n');
	check_harmless(logged, logged_len - 1, 0);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned keep;
	size_t room, cut, len, used, tail;
	char *whole, *part;
	const char *from;

	if (size < 2)
		return 0;
	keep = data[0] & 3;
	room = data[0] >> 2;
	cut = data[1];
	from = (const char *)data + 2;
	size -= 2;
	cut = cut < size ? cut : size;
	whole = malloc(4 * size + 1);
	part = malloc(4 * size + 1);
	REQUIRE(whole && part);

	len = cli_escape(whole, 4 * size + 1, from, size, keep);
	REQUIRE(len == strlen(whole) && len >= (keep ? 0 : size));
	check_harmless(whole, len, keep);
	if (keep == 0)
		check_plain(from, size, whole);

	/* Less room: the beginning of the same. */
	room = room < 4 * size + 1 ? room : 4 * size + 1;
	used = cli_escape(part, room, from, size, keep);
	REQUIRE(room == 0 || (used < room && part[used] == '\0'));
	REQUIRE(used <= len && memcmp(whole, part, used) == 0);

	/* Cut in two between characters: the same together. */
	tail = cli_utf8_tail(from, cut);
	REQUIRE(tail <= 3 && tail <= cut);
	cut -= tail;
	used = cli_escape(part, 4 * size + 1, from, cut, keep);
	used += cli_escape(part + used, 4 * size + 1 - used, from + cut,
			   size - cut, keep);
	REQUIRE(used == len && memcmp(whole, part, len) == 0);

	check_journal((const uint8_t *)from, size);
	free(whole);
	free(part);
	return 0;
}
