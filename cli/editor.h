/* SPDX-License-Identifier: MIT */
/*
 * Lines from the user: edited on a terminal, plain from anywhere else, for a
 * loop that has other descriptors to watch.  There is one standard input, so
 * there is one editor; main thread.
 *
 *	editor_open(prompt);
 *	editor_show();
 *	for (;;) {
 *		what = editor_next(&line, &len);
 *		if (what != EDITOR_NOTHING)
 *			break;
 *		poll() with what editor_fds() names, then editor_step();
 *	}
 *	editor_close();
 *
 * While a line is being edited the terminal is in the editor's mode, and
 * signals wait for editor_step(), which gives the terminal back and sends them
 * once more.  A line, editor_hide() and editor_close() give both back.
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
	EDITOR_FAILED, /* has been complained about */
};

#define EDITOR_FDS 2

void editor_open(const char *prompt);

/* A person at both ends: there is a prompt, and what it sits in is shared. */
bool editor_is_interactive(void);

/* Is the prompt there?  For signal handlers too. */
bool editor_is_shown(void);

/* Show the prompt, with what had been typed; no effect on a pipe. */
void editor_show(void);

/* Leave it behind; what is printed now is on a line of its own. */
void editor_hide(void);

/*
 * Take it away with what has been typed, which editor_show() brings back
 * below of what is printed meanwhile.  A terminal without line editing keeps
 * both.
 */
void editor_erase(void);

/* Without waiting.  The line has no newline and lasts until the next call. */
enum editor_event editor_next(const char **line, size_t *len);

/* What to poll; ask again before each poll. */
void editor_fds(struct pollfd fds[EDITOR_FDS]);

/* What the poll found. */
void editor_step(const struct pollfd fds[EDITOR_FDS]);

void editor_close(void);

#endif
