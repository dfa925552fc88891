/* SPDX-License-Identifier: MIT */
/*
 * Descriptors shared with other processes: standard input, output and error,
 * and inherited ones.  Another process may have made one non-blocking.  These
 * calls wait on EAGAIN and complete partial writes.
 *
 * Any thread; calls on the same descriptor are not serialised.
 */
#ifndef CLI_STREAM_H
#define CLI_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* Wait for input.  Returns the number of bytes, 0 at the end, -errno. */
ssize_t stream_read(int fd, void *buf, size_t cap);

/* Write all of it.  Returns 0, or -errno, after part of it maybe. */
int stream_write(int fd, const void *data, size_t len);

/* Returns how many bytes were written; fewer than len: an error. */
size_t stream_write_part(int fd, const void *data, size_t len);

/*
 * Use these instead of stdout and stderr, which lose buffered data when a write
 * returns EAGAIN.  stream_err() is line buffered.
 */
FILE *stream_out(void);
FILE *stream_err(void);

/* Returns 0, or -errno if a write to stream_out() failed. */
int stream_flush(void);

/*
 * A stream into memory.  open_memstream(3) of glibc returns a part of the text,
 * and no error, if there was no memory for the rest.
 */
struct stream_memory {
	FILE *to;
	char *text;
	size_t len, cap;
	bool is_cut;
};

/* False: out of memory. */
bool stream_memory_open(struct stream_memory *m);

/* Returns the text with a NUL, to be freed; NULL: out of memory for a part. */
char *stream_memory_close(struct stream_memory *m, size_t *len);

/* fileno() that works for these two as well. */
int stream_fileno(FILE *file);

void stream_print(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

#endif
