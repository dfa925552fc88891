/* SPDX-License-Identifier: MIT */
/*
 * Line editing on a terminal: the back end of editor.c that uses libedit.
 * Where that is missing edit_line_open() says no and nothing else is called.
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

/* Terminal to the editor; the prompt and what had been typed appear. */
void edit_line_show(void);

/* Terminal back; what has been typed is kept for the next show. */
void edit_line_hide(void);

/* The same, with the line empty behind the prompt. */
void edit_line_erase(void);

/* While the editor is hidden: forget what was typed, and the history. */
void edit_line_forget(void);

/* A key is there.  On DONE the terminal is back. */
enum edit_line_event edit_line_key(const char **line, size_t *len);

/* The terminal has another size. */
void edit_line_resize(void);

#endif
