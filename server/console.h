/* SPDX-License-Identifier: MIT */
/*
 * A terminal with a prompt: the line being typed stays at the bottom, and what
 * the server prints appears above it.
 *
 * One thread reads, with console_next(); any thread may call console_print().
 */
#ifndef SERVER_CONSOLE_H
#define SERVER_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

enum console_event {
	CONSOLE_WOKEN, /* the prompt may have to change */
	CONSOLE_LINE,
	CONSOLE_END,  /* Ctrl-D: end of input for this prompt */
	CONSOLE_GONE, /* no more input at all */
};

/* Returns false if standard input or output is not our terminal. */
bool console_open(void);

/*
 * Wait for a line typed after prompt; NULL shows no prompt.  A text
 * that was begun for another id is forgotten.  The line has no newline and is
 * valid until the next call.
 */
enum console_event console_next(const char *prompt, unsigned long long id,
				const char **line, size_t *len);

void console_wake(void);

/*
 * Print the line above the prompt, soon.  Returns false if fd is not the
 * console's terminal or too much waits to be printed.
 */
bool console_print(int fd, const char *line, size_t len);

/* Restore the terminal; console_next() returns CONSOLE_GONE from now on. */
void console_close(void);

#endif
