/* SPDX-License-Identifier: MIT */
/*
 * A queue of bytes in one piece of memory: appended at the end, consumed at
 * the front.  Holds no memory while it is empty and released.  Not locked:
 * it belongs to the owner of the structure around it.
 *
 * Invariant: start <= end <= cap; start == end == 0 whenever it is empty.
 */
#ifndef WR_BUFFER_H
#define WR_BUFFER_H

#include <string.h>

#include "base.h"

struct wr_buffer {
	char *mem;    /* NULL when it holds no memory */
	size_t start; /* first byte kept */
	size_t end;   /* one past the last */
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

/*
 * Make room for at least want bytes behind the end, moving or growing what is
 * there, so that the whole never passes max bytes.
 * Returns 0, -EMSGSIZE (max would be passed) or -ENOMEM; the content stays.
 */
int wr_buffer_reserve(struct wr_buffer *b, size_t want, size_t max);

/* Room behind the end, and how to fill it: write there, then commit. */
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

/* Reserve, copy, commit.  0, -EMSGSIZE or -ENOMEM. */
int wr_buffer_append(struct wr_buffer *b, const void *data, size_t len,
		     size_t max);

/* Drop the first len bytes; len <= wr_buffer_len(). */
static inline void wr_buffer_consume(struct wr_buffer *b, size_t len)
{
	wr_assert(len <= wr_buffer_len(b));
	b->start += len;
	if (b->start == b->end)
		b->start = b->end = 0;
}

/* Copy at most cap bytes out and consume them; returns how many. */
static inline size_t wr_buffer_take(struct wr_buffer *b, void *out, size_t cap)
{
	size_t len = wr_min(wr_buffer_len(b), cap);

	if (len == 0)
		return 0;
	memcpy(out, wr_buffer_data(b), len);
	wr_buffer_consume(b, len);
	return len;
}

/*
 * Where the delimiter ends, counted from the front; 0 if it is not there.
 * The first `from` bytes are known not to begin one.
 */
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

/* Free the memory; the buffer is empty and usable. */
void wr_buffer_release(struct wr_buffer *b);

#endif
