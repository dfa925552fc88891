/* SPDX-License-Identifier: MIT */
/*
 * The progress of a transfer: one line on standard error, if that is a
 * terminal.  Main thread only, except progress_is_shown() in signal handlers.
 */
#ifndef CLIENT_PROGRESS_H
#define CLIENT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#define PROGRESS_TEXT 32

/* total is -1 if it is not known.  Without has_line nothing is shown. */
void progress_begin(int64_t total, bool has_line);

/* bytes have arrived so far; redraws the line now and then. */
void progress_update(int64_t bytes);

void progress_end(void);

bool progress_is_shown(void);

/* Milliseconds since progress_begin(). */
int64_t progress_elapsed(void);

/* "17 B", "1.2 MiB"; returns buf. */
const char *progress_size(double bytes, char buf[PROGRESS_TEXT]);

/* "4.2s" below a minute, then "1:23" and "1:02:03"; returns buf. */
const char *progress_time(int64_t ms, char buf[PROGRESS_TEXT]);

#endif
