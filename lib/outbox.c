/* SPDX-License-Identifier: MIT */
/*
 * Invariants: no chunk of bytes or messages is empty; a chunk of a file, and
 * the first message of a chunk, have bytes left; `bytes` and `files` are the
 * sums over the list.
 */
#include "outbox.h"

#include <errno.h>
#include <string.h>

#include "sys.h"

#define LEAST_ROOM ((size_t)2048)

static void link_chunk(struct wr_outbox *o, struct wr_chunk *k)
{
	k->next = NULL;
	if (o->tail)
		o->tail->next = k;
	else
		o->head = k;
	o->tail = k;
}

static struct wr_chunk *unlink_head(struct wr_outbox *o)
{
	struct wr_chunk *k = o->head;

	o->head = k->next;
	if (o->head == NULL)
		o->tail = NULL;
	return k;
}

static struct wr_chunk *new_chunk(size_t room, struct wr_chunk **spare)
{
	struct wr_chunk *k;

	if (spare && *spare && room <= WR_CHUNK_ROOM) {
		k = *spare;
		*spare = NULL;
		return k;
	}
	if (spare && room < WR_CHUNK_ROOM)
		room = WR_CHUNK_ROOM;
	if (room < LEAST_ROOM)
		room = LEAST_ROOM;
	k = wr_sys_alloc(sizeof(*k) + room);
	if (k) {
		k->file = WR_CHUNK_BYTES;
		k->cap = room;
	}
	return k;
}

/* Fill the tail, then *more. */
static void copy_pieces_in(struct wr_chunk *k, struct wr_chunk *more,
			   const struct iovec *iov, int count, size_t skip)
{
	for (int i = 0; i < count; i++) {
		const char *from = iov[i].iov_base;
		size_t len = iov[i].iov_len, part = wr_min(skip, len);

		skip -= part;
		from += part;
		len -= part;
		while (len > 0) {
			if (k == NULL || k->end == k->cap)
				k = more;
			wr_assert(k != NULL);
			part = wr_min(len, k->cap - k->end);
			memcpy(k->bytes + k->end, from, part);
			k->end += part;
			from += part;
			len -= part;
		}
	}
}

int wr_outbox_append(struct wr_outbox *o, const struct iovec *iov, int count,
		     size_t skip, size_t len, struct wr_chunk **spare)
{
	struct wr_chunk *tail = o->tail, *more = NULL;
	size_t room;

	if (tail && tail->file != WR_CHUNK_BYTES)
		tail = NULL;
	room = tail ? tail->cap - tail->end : 0;
	if (len > room) {
		more = new_chunk(len - room, spare);
		if (more == NULL)
			return -ENOMEM;
	}
	copy_pieces_in(tail, more, iov, count, skip);
	if (more)
		link_chunk(o, more);
	wr_outbox_count(o, len);
	return 0;
}

int wr_outbox_append_message(struct wr_outbox *o, weir_msg *msg, size_t skip)
{
	struct wr_chunk *k = o->tail;

	if (k == NULL || k->file != WR_CHUNK_MESSAGES || k->end == k->cap) {
		k = new_chunk(LEAST_ROOM, NULL);
		if (k == NULL)
			return -ENOMEM;
		k->file = WR_CHUNK_MESSAGES;
		k->cap /= sizeof(msg);
		k->offset = skip;
		link_chunk(o, k);
	}
	wr_chunk_messages(k)[k->end++] = weir_msg_dup(msg);
	wr_outbox_count(o, msg->len - skip);
	return 0;
}

int wr_outbox_append_file(struct wr_outbox *o, int fd, uint64_t offset,
			  uint64_t len)
{
	struct wr_chunk *k = wr_sys_alloc(sizeof(*k));

	if (k == NULL)
		return -ENOMEM;
	k->file = fd;
	k->offset = offset;
	k->left = len;
	link_chunk(o, k);
	o->files++;
	return 0;
}

static void free_bytes(struct wr_chunk *k, struct wr_chunk **spare)
{
	if (spare && *spare == NULL && k->cap == WR_CHUNK_ROOM) {
		k->start = k->end = 0;
		*spare = k;
		return;
	}
	wr_sys_free(k);
}

static void free_file(struct wr_chunk *k)
{
	wr_sys_close(k->file);
	wr_sys_free(k);
}

int wr_outbox_message_pieces(struct wr_chunk *k, struct iovec *iov, int cap)
{
	size_t skip = (size_t)k->offset;
	int n = 0;

	for (size_t i = k->start; i < k->end && n < cap; i++) {
		weir_msg *msg = wr_chunk_messages(k)[i];

		iov[n].iov_base = msg->bytes + skip;
		iov[n++].iov_len = msg->len - skip;
		skip = 0;
	}
	return n;
}

static WR_OUT_OF_LINE void free_messages(struct wr_chunk *k)
{
	while (k->start < k->end)
		weir_msg_unref(wr_chunk_messages(k)[k->start++]);
	wr_sys_free(k);
}

/* Returns what is left of len when the messages are gone. */
static WR_OUT_OF_LINE size_t advance_messages(struct wr_outbox *o, size_t len)
{
	struct wr_chunk *k = o->head;

	while (k->start < k->end) {
		weir_msg *msg = wr_chunk_messages(k)[k->start];
		size_t left = msg->len - (size_t)k->offset;

		if (len < left) {
			k->offset += len;
			return 0;
		}
		len -= left;
		k->offset = 0;
		k->start++;
		weir_msg_unref(msg);
	}
	free_messages(unlink_head(o));
	return len;
}

void wr_outbox_advance(struct wr_outbox *o, size_t len, struct wr_chunk **spare)
{
	wr_outbox_count(o, -len);
	while (len > 0) {
		struct wr_chunk *k = o->head;
		size_t left = k->end - k->start;

		if (k->file == WR_CHUNK_MESSAGES) {
			len = advance_messages(o, len);
			continue;
		}
		if (len < left) {
			k->start += len;
			return;
		}
		len -= left;
		free_bytes(unlink_head(o), spare);
	}
}

void wr_outbox_drop_file(struct wr_outbox *o)
{
	free_file(unlink_head(o));
	o->files--;
}

void wr_outbox_clear(struct wr_outbox *o)
{
	while (o->head) {
		if (o->head->file >= 0)
			free_file(unlink_head(o));
		else if (o->head->file == WR_CHUNK_MESSAGES)
			free_messages(unlink_head(o));
		else
			free_bytes(unlink_head(o), NULL);
	}
	o->files = 0;
	atomic_store_explicit(&o->bytes, 0, memory_order_relaxed);
}
