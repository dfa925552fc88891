/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that are not ours alone: standard input, output and error, and
 * whatever else we were given.  Whoever shares one may have made it
 * non-blocking, and it is not ours to change that.  Here EAGAIN is a reason
 * to wait, and a part that was written is followed by the rest.
 *
 * Any thread; two at the same descriptor take turns at their own risk.
 */
#ifndef CLI_STREAM_H
#define CLI_STREAM_H

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* Waits for input.  Returns how many bytes, 0 at the end of input, -errno. */
ssize_t stream_read(int fd, void *buf, size_t cap);

/* Writes all of it.  Returns 0; -errno after a part of it, or nothing. */
int stream_write(int fd, const void *data, size_t len);

/*
 * Standard output and standard error for stdio, to be used instead of stdout
 * and stderr, which lose what they hold when a write is to be tried again.
 * The one is flushed by cli_flush(), the other with each line.
 */
FILE *stream_out(void);
FILE *stream_err(void);

/* fileno(), which does not know those two. */
int stream_fileno(FILE *file);

/* printf() to standard output. */
void stream_print(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

#endif
