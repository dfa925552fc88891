/* SPDX-License-Identifier: MIT */
/*
 * Lines of standard input, with line editing on a terminal, for a loop that
 * polls other descriptors too.  Main thread.
 *
 *	editor_open(prompt);
 *	editor_show();
 *	for (;;) {
 *		what = editor_next(&line, &len);
 *		if (what != EDITOR_NOTHING)
 *			break;
 *		poll() the descriptors of editor_fds(), then editor_step();
 *	}
 *	editor_close();
 *
 * While a line is edited the terminal is in the editor's mode, and signals are
 * blocked: editor_step() restores the terminal and raises them again.  A
 * complete line, editor_hide() and editor_close() also restore both.
 */
#ifndef CLI_EDITOR_H
#define CLI_EDITOR_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

enum editor_event {
	EDITOR_NOTHING, /* poll and step */
	EDITOR_LINE,
	EDITOR_END,    /* of input */
	EDITOR_FAILED, /* an error has been printed */
};

#define EDITOR_FDS 2

void editor_open(const char *prompt);

/* Are standard input and standard output terminals?  Then there is a prompt. */
bool editor_is_interactive(void);

/* Is the prompt shown?  Also for signal handlers. */
bool editor_is_shown(void);

/* Show the prompt and what had been typed; no effect on a pipe. */
void editor_show(void);

/* End the prompt's line; output that follows is on a new line. */
void editor_hide(void);

/*
 * Erase the prompt and what was typed; editor_show() shows both again, below
 * what has been printed in between.  Without line editing they stay.
 */
void editor_erase(void);

/* Does not wait.  The line has no newline and is valid until the next call. */
enum editor_event editor_next(const char **line, size_t *len);

void editor_fds(struct pollfd fds[EDITOR_FDS]);

void editor_step(const struct pollfd fds[EDITOR_FDS]);

void editor_close(void);

#endif
