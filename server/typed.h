/* SPDX-License-Identifier: MIT */
/*
 * What is typed on our standard input, line by line.  One thread, which may
 * wait here as long as it likes.
 */
#ifndef SERVER_TYPED_H
#define SERVER_TYPED_H

#include <sys/types.h>

/* A longer line comes in pieces. */
#define TYPED_LINE 1024

/* Forget what has been typed, if it is a terminal and ours.  Any thread. */
void typed_forget(void);

/*
 * The length of the next line without its newline; -1 when there are no more.
 * has_come, if not NULL, is called when a line can be read and before it is.
 */
ssize_t typed_line(char line[TYPED_LINE], void (*has_come)(void *arg),
		   void *arg);

#endif
