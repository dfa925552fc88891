/* SPDX-License-Identifier: MIT */
/*
 * Numbers and durations of a command line, and the escaper through which the
 * bytes of others go before they reach a log or a terminal.  No state; any
 * thread.
 */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#define CLI_DURATION_TEXT 24

/* What cli_escape() keeps besides printable ASCII. */
enum {
	CLI_KEEP_UTF8 = 1,  /* valid UTF-8 that no terminal acts on */
	CLI_KEEP_LINES = 2, /* newline and tab */
};

/* Parse a whole number from min to max, decimal digits only. */
bool cli_parse_number(const char *text, int min, int max, int *ret);

/*
 * Parse a whole number from 1 with a unit ("500ms", "10s", "2m", "1h") to ms;
 * "never" is WEIR_NEVER.
 */
bool cli_parse_duration(const char *text, int *ret);

/* The shortest text that cli_parse_duration() reads back as ms; returns buf. */
const char *cli_duration_text(int ms, char buf[CLI_DURATION_TEXT]);

/*
 * Copy len bytes; those that are not kept become \xHH.  The copy is cut to fit
 * into cap with a NUL.  Returns its length without the NUL.
 */
size_t cli_escape(char *to, size_t cap, const char *from, size_t len,
		  unsigned keep);

/* The length, 0 to 3, of an incomplete UTF-8 character at the end of data. */
size_t cli_utf8_tail(const char *data, size_t len);

#endif
