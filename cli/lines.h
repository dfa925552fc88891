/* SPDX-License-Identifier: MIT */
/*
 * Lines from a descriptor, for somebody who polls it.
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
	size_t scanned;		/* of len, known to hold no newline */
	bool has_ended;
};

/*
 * Read once; the end of input, or of a terminal, is no error.
 * Returns 0; -EMSGSIZE (line too long); -ENOMEM; -errno.
 */
int lines_read(struct lines *l, int fd);

/*
 * The next line without its newline, valid until the next call; after the
 * end the rest counts as one.  False: there is none yet, or none any more.
 */
bool lines_take(struct lines *l, const char **line, size_t *len);

void lines_fini(struct lines *l);

#endif
