/* SPDX-License-Identifier: MIT */
/*
 * Lines from a descriptor that the caller polls.
 */
#ifndef CLI_LINES_H
#define CLI_LINES_H

#include <stdbool.h>
#include <stddef.h>

/* The longest line, bytes. */
#define LINES_MAX ((size_t)1024 * 1024)

struct lines {
	char *buf;
	size_t start, len, cap; /* buf[start .. start + len) has been read */
	size_t scanned;		/* bytes of these without a newline */
	bool has_ended;
};

/* Returns 0, at the end of input too; -EMSGSIZE if a line is too long. */
int lines_read(struct lines *l, int fd);

/*
 * Get a line without its newline, valid until the next call.  At the end of
 * input the rest is a line.  Returns false if there is none.
 */
bool lines_take(struct lines *l, const char **line, size_t *len);

void lines_fini(struct lines *l);

#endif
