/* SPDX-License-Identifier: MIT */
/*
 * A byte queue in one piece of memory.  Not locked.
 * Invariant: start <= end <= cap; start == end == 0 while it is empty.
 */
#ifndef WR_BUFFER_H
#define WR_BUFFER_H

#include <string.h>

#include "base.h"

struct wr_buffer {
	char *mem;
	size_t start;
	size_t end;
	size_t cap;
};

static inline size_t wr_buffer_len(const struct wr_buffer *b)
{
	return b->end - b->start;
}

static inline char *wr_buffer_data(const struct wr_buffer *b)
{
	return b->mem + b->start;
}

/* Make room for want bytes, max in all.  -EMSGSIZE: over max; -ENOMEM. */
int wr_buffer_reserve(struct wr_buffer *b, size_t want, size_t max);

static inline char *wr_buffer_tail(const struct wr_buffer *b)
{
	return b->mem + b->end;
}

static inline size_t wr_buffer_room(const struct wr_buffer *b)
{
	return b->cap - b->end;
}

static inline void wr_buffer_commit(struct wr_buffer *b, size_t len)
{
	wr_assert(len <= wr_buffer_room(b));
	b->end += len;
}

WR_PRIVATE int wr_buffer_append(struct wr_buffer *b, const void *data,
				size_t len, size_t max);

static inline void wr_buffer_consume(struct wr_buffer *b, size_t len)
{
	wr_assert(len <= wr_buffer_len(b));
	b->start += len;
	if (b->start == b->end)
		b->start = b->end = 0;
}

static inline size_t wr_buffer_take(struct wr_buffer *b, void *out, size_t cap)
{
	size_t len = wr_min(wr_buffer_len(b), cap);

	if (len == 0)
		return 0;
	memcpy(out, wr_buffer_data(b), len);
	wr_buffer_consume(b, len);
	return len;
}

/* Offset behind the first delimiter; 0: none.  None begins before `from`. */
static inline size_t wr_buffer_find(const struct wr_buffer *b,
				    const void *delim, size_t delim_len,
				    size_t from)
{
	size_t len = wr_buffer_len(b);
	const char *data, *at;

	if (delim_len == 0 || from >= len || len - from < delim_len)
		return 0;
	data = wr_buffer_data(b) + from;
	at = delim_len == 1 ? memchr(data, *(const char *)delim, len - from)
			    : memmem(data, len - from, delim, delim_len);
	return at ? from + (size_t)(at - data) + delim_len : 0;
}

WR_PRIVATE void wr_buffer_release(struct wr_buffer *b);

#endif
