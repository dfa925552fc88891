/* SPDX-License-Identifier: MIT */
/*
 * Lines of standard input that is not a console.  One thread.
 */
#ifndef SERVER_TYPED_H
#define SERVER_TYPED_H

#include <stdbool.h>
#include <sys/types.h>

/* A longer line comes in pieces. */
#define TYPED_LINE 1024

/* Discard what has been typed on our terminal.  Any thread. */
void typed_forget(void);

/*
 * Returns the length without the newline, -1 at the end of input.  *is_cut: the
 * line goes on, and its next piece, which may be empty, is the next result.
 * has_come, if not NULL, is called when there is input, before it is read.
 */
ssize_t typed_line(char line[TYPED_LINE], bool *is_cut,
		   void (*has_come)(void *arg), void *arg);

#endif
