/* SPDX-License-Identifier: MIT */
/*
 * A buffer that grows to the longest line; lines are returned in place.
 */
#include "lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_SIZE ((size_t)4096)

static int lines_make_room(struct lines *l)
{
	size_t cap = l->cap ? l->cap : 2 * READ_SIZE;
	char *buf;

	if (l->start > 0)
		memmove(l->buf, l->buf + l->start, l->len);
	l->start = 0;
	if (l->len > LINES_MAX)
		return -EMSGSIZE;
	while (cap - l->len < READ_SIZE)
		cap *= 2;
	if (cap == l->cap)
		return 0;
	buf = realloc(l->buf, cap);
	if (!buf)
		return -ENOMEM;
	l->buf = buf;
	l->cap = cap;
	return 0;
}

int lines_read(struct lines *l, int fd)
{
	int rc = lines_make_room(l);
	ssize_t n;

	if (rc < 0)
		return rc;
	n = read(fd, l->buf + l->len, READ_SIZE);
	if (n > 0)
		l->len += (size_t)n;
	else if (n == 0 || errno == EIO)
		l->has_ended = true;
	else if (errno != EINTR && errno != EAGAIN)
		return -errno;
	return 0;
}

bool lines_take(struct lines *l, const char **line, size_t *len)
{
	const char *begin, *newline;

	if (l->len == 0)
		return false;
	begin = l->buf + l->start;
	newline = memchr(begin + l->scanned, '\n', l->len - l->scanned);
	if (!newline && !l->has_ended) {
		l->scanned = l->len;
		return false;
	}
	*line = begin;
	*len = newline ? (size_t)(newline - begin) : l->len;
	l->scanned = 0;
	l->start += *len + (newline != NULL);
	l->len -= *len + (newline != NULL);
	return true;
}

void lines_fini(struct lines *l)
{
	free(l->buf);
	*l = (struct lines){ 0 };
}
