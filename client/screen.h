/* SPDX-License-Identifier: MIT */
/*
 * The peer's output on standard output: unchanged on a pipe.  On a terminal
 * control characters are shown as \xHH, except that the CR of a CR LF is left
 * out.
 */
#ifndef CLIENT_SCREEN_H
#define CLIENT_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

struct screen {
	bool is_terminal;
	bool is_mid_line;
	int error;    /* errno of the first write that failed; 0 */
	char tail[4]; /* of an incomplete character or CR LF */
	size_t tail_len;
};

void screen_init(struct screen *s);

void screen_put(struct screen *s, const char *data, size_t len);

/* End the line, unless at the beginning of one. */
void screen_end_line(struct screen *s);

/* Print a line of our own, cut to 1023 bytes. */
void screen_note(struct screen *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Returns status.  If it is CLI_DONE and a write has failed, prints an error
 * and returns CLI_FAILED instead.
 */
int screen_check(const struct screen *s, int status);

#endif
