/* SPDX-License-Identifier: MIT */
/*
 * What the peer says, on standard output: raw on a pipe; on a terminal with
 * its control characters as \xHH, because they could do anything there; but
 * carriage returns before a newline, which end lines in many protocols, do
 * nothing there and are left out.
 */
#ifndef CLIENT_SCREEN_H
#define CLIENT_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

struct screen {
	bool is_terminal;
	bool is_mid_line;
	int error;    /* errno of the first write that failed; 0 */
	char tail[4]; /* of a character or a line end, the rest yet to come */
	size_t tail_len;
};

void screen_init(struct screen *s);

void screen_put(struct screen *s, const char *data, size_t len);

/* What comes next begins a line. */
void screen_end_line(struct screen *s);

/* A line of our own, of at most some hundred bytes. */
void screen_note(struct screen *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* For CLI_DONE: is it true?  If a write has failed, complains: CLI_FAILED. */
int screen_check(const struct screen *s, int status);

#endif
