/* SPDX-License-Identifier: MIT */
/*
 * Text as the programs read and show it: numbers and durations from a command
 * line, and foreign bytes made harmless before a log or a terminal sees them.
 * No state; any thread.
 */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Room for cli_duration_text(). */
#define CLI_DURATION_TEXT 24

/* cli_escape(): what is not escaped besides printable ASCII. */
enum {
	CLI_KEEP_UTF8 = 1,  /* well-formed UTF-8 that no terminal obeys */
	CLI_KEEP_LINES = 2, /* newline and tab */
};

/* A whole number in decimal digits only, min to max. */
bool cli_parse_number(const char *text, int min, int max, int *ret);

/*
 * A whole number from 1 with a unit, "500ms" "10s" "2m" "1h", in ms; "never"
 * is WEIR_NEVER.
 */
bool cli_parse_duration(const char *text, int *ret);

/* The shortest text that cli_parse_duration() reads back as ms; returns buf. */
const char *cli_duration_text(int ms, char buf[CLI_DURATION_TEXT]);

/*
 * Copy len bytes with everything that is not kept written as \xHH.  What does
 * not fit into cap with a NUL is left out.  Returns the length without it.
 */
size_t cli_escape(char *to, size_t cap, const char *from, size_t len,
		  unsigned keep);

/*
 * How many bytes at the end of data are the beginning of a UTF-8 character
 * whose rest has not come yet: 0 to 3.
 */
size_t cli_utf8_tail(const char *data, size_t len);

#endif
