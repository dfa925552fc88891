/* SPDX-License-Identifier: MIT */
/*
 * Growth doubles, so each byte is copied a constant number of times; consumed
 * room is reclaimed before memory is allocated.
 */
#include "buffer.h"

#include <errno.h>
#include <string.h>

#include "sys.h"

#define SMALLEST 512

static void move_to_front(struct wr_buffer *b)
{
	size_t len = wr_buffer_len(b);

	if (b->start == 0)
		return;
	memmove(b->mem, wr_buffer_data(b), len);
	b->start = 0;
	b->end = len;
}

int wr_buffer_reserve(struct wr_buffer *b, size_t want, size_t max)
{
	size_t len = wr_buffer_len(b), cap = 2 * b->cap;
	char *mem;

	if (len > max || want > max - len)
		return -EMSGSIZE;
	if (wr_buffer_room(b) >= want)
		return 0;
	move_to_front(b);
	if (wr_buffer_room(b) >= want)
		return 0;
	if (cap < SMALLEST)
		cap = SMALLEST;
	if (cap < len + want)
		cap = len + want;
	cap = wr_min(cap, max);
	mem = wr_sys_realloc(b->mem, cap);
	if (!mem)
		return -ENOMEM;
	b->mem = mem;
	b->cap = cap;
	return 0;
}

int wr_buffer_append(struct wr_buffer *b, const void *data, size_t len,
		     size_t max)
{
	int rc = wr_buffer_reserve(b, len, max);

	if (rc < 0 || len == 0)
		return rc;
	memcpy(wr_buffer_tail(b), data, len);
	wr_buffer_commit(b, len);
	return 0;
}

void wr_buffer_release(struct wr_buffer *b)
{
	wr_sys_free(b->mem);
	*b = (struct wr_buffer){ 0 };
}
