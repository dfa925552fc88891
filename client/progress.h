/* SPDX-License-Identifier: MIT */
/*
 * How far a transfer is: one line on a terminal that is drawn over and over,
 * nothing anywhere else.  Main thread only, and is_shown for signal handlers.
 */
#ifndef CLIENT_PROGRESS_H
#define CLIENT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* Room for a text of the functions below. */
#define PROGRESS_TEXT 32

/*
 * total is -1 if it is not known; has_line: there is a line for it, unless
 * standard error is no terminal.
 */
void progress_begin(int64_t total, bool has_line);

/* So many bytes are there; draws if it is time to. */
void progress_update(int64_t bytes);

/* Take the line away. */
void progress_end(void);

/* Is the cursor on the line? */
bool progress_is_shown(void);

/* Milliseconds since progress_begin(). */
int64_t progress_elapsed(void);

/* "17 B", "1.2 MiB"; returns buf. */
const char *progress_size(double bytes, char buf[PROGRESS_TEXT]);

/* "4.2s" below a minute, then "1:23" and "1:02:03"; returns buf. */
const char *progress_time(int64_t ms, char buf[PROGRESS_TEXT]);

#endif
