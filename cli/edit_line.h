/* SPDX-License-Identifier: MIT */
/*
 * Line editing on a terminal with libedit, for editor.c.  Without libedit
 * edit_line_open() returns false, and nothing else may be called.
 */
#ifndef CLI_EDIT_LINE_H
#define CLI_EDIT_LINE_H

#include <stdbool.h>
#include <stddef.h>

enum edit_line_event {
	EDIT_LINE_MORE, /* the line is not finished */
	EDIT_LINE_DONE,
	EDIT_LINE_END,
};

bool edit_line_open(const char *prompt);
void edit_line_close(void);

/* Take the terminal; show the prompt and what had been typed. */
void edit_line_show(void);

/* Give the terminal back; what was typed is kept for the next show. */
void edit_line_hide(void);

/* The same, and erase the line up to the prompt. */
void edit_line_erase(void);

/* While hidden: forget what was typed, and the history. */
void edit_line_forget(void);

/* Read a key that is there.  EDIT_LINE_DONE gives the terminal back. */
enum edit_line_event edit_line_key(const char **line, size_t *len);

void edit_line_resize(void);

#endif
