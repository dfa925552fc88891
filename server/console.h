/* SPDX-License-Identifier: MIT */
/*
 * The terminal of a person who talks: a prompt with the line that is being
 * typed, and above it all that the server prints there meanwhile.
 *
 * One thread reads, with console_next(); console_print() may be called by any.
 */
#ifndef SERVER_CONSOLE_H
#define SERVER_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

enum console_event {
	CONSOLE_WOKEN, /* look at what the prompt should be */
	CONSOLE_LINE,
	CONSOLE_END,  /* Ctrl-D: no more for this prompt */
	CONSOLE_GONE, /* no more at all */
};

/* False: standard input or output is no terminal of ours. */
bool console_open(void);

/*
 * Wait for a line typed behind the prompt, which is NULL while there is none.
 * What was typed for another id is forgotten.  The line has no newline and
 * lasts until the next call.
 */
enum console_event console_next(const char *prompt, unsigned long long id,
				const char **line, size_t *len);

/* Have console_next() return. */
void console_wake(void);

/*
 * If fd is the terminal and there is a console: print the line above the
 * prompt, soon.  False: that is not so, or too much waits to be printed.
 */
bool console_print(int fd, const char *line, size_t len);

/* Give the terminal back; console_next() says CONSOLE_GONE from now on. */
void console_close(void);

#endif
