/* SPDX-License-Identifier: MIT */
/*
 * Output that the kernel has not taken yet: a list of chunks, each of bytes, of
 * shared messages, or of a part of a file.  Not locked.  What the connection's
 * layer has taken from it and not sent is only counted here.
 */
#ifndef WR_OUTBOX_H
#define WR_OUTBOX_H

#include <stdatomic.h>
#include <string.h>
#include <sys/uio.h>

#include "base.h"
#include "message.h"

/* Size of a worker's spare chunk; the output of most callbacks fits in it. */
#define WR_CHUNK_ROOM ((size_t)16 * 1024)

/* wr_chunk.file, if it is no file */
enum { WR_CHUNK_BYTES = -1, WR_CHUNK_MESSAGES = -2 };

struct wr_chunk {
	struct wr_chunk *next;
	int file;		/* our duplicate, or WR_CHUNK_... */
	bool is_copied;		/* file: sendfile(2) has failed */
	uint64_t offset;	/* file, first message: next byte to send */
	uint64_t left;		/* file: bytes to send */
	size_t start, end, cap; /* in bytes, or in messages */
	_Alignas(weir_msg *) char bytes[];
};

static inline weir_msg **wr_chunk_messages(struct wr_chunk *k)
{
	return (weir_msg **)(void *)k->bytes;
}

struct wr_outbox {
	struct wr_chunk *head, *tail;
	_Atomic size_t bytes;	      /* readable without the lock, as a hint */
	uint32_t files;		      /* chunks that are files */
	_Atomic uint32_t layer_bytes; /* the owner's; others read it */
};

static inline bool wr_outbox_is_empty(const struct wr_outbox *o)
{
	return o->head == NULL;
}

static inline bool wr_outbox_has_files(const struct wr_outbox *o)
{
	return o->files > 0;
}

static inline size_t wr_outbox_bytes(const struct wr_outbox *o)
{
	return atomic_load_explicit(&o->bytes, memory_order_relaxed);
}

static inline size_t wr_outbox_layer_bytes(const struct wr_outbox *o)
{
	return atomic_load_explicit(&o->layer_bytes, memory_order_relaxed);
}

/* With those of the layer. */
static inline size_t wr_outbox_all_bytes(const struct wr_outbox *o)
{
	return wr_outbox_bytes(o) + wr_outbox_layer_bytes(o);
}

/* The same with what is left of the files. */
static inline uint64_t wr_outbox_unsent(const struct wr_outbox *o)
{
	uint64_t n = wr_outbox_all_bytes(o);

	if (wr_outbox_has_files(o))
		for (const struct wr_chunk *k = o->head; k; k = k->next)
			n += k->file >= 0 ? k->left : 0;
	return n;
}

static inline void wr_outbox_count(struct wr_outbox *o, size_t more)
{
	atomic_store_explicit(&o->bytes, wr_outbox_bytes(o) + more,
			      memory_order_relaxed);
}

/* Copy into the last chunk, or *spare if the list is empty.  False: no room. */
static inline bool wr_outbox_try_append(struct wr_outbox *o, const void *data,
					size_t len, struct wr_chunk **spare)
{
	struct wr_chunk *k = o->tail ? o->tail : *spare;

	if (len == 0 || k == NULL || k->file != WR_CHUNK_BYTES ||
	    len > k->cap - k->end)
		return false;
	if (o->tail == NULL) {
		*spare = NULL;
		k->next = NULL;
		o->head = o->tail = k;
	}
	memcpy(k->bytes + k->end, data, len);
	k->end += len;
	wr_outbox_count(o, len);
	return true;
}

/* All or nothing of len (> 0) bytes, from byte skip on.  spare may be NULL. */
int wr_outbox_append(struct wr_outbox *o, const struct iovec *iov, int count,
		     size_t skip, size_t len, struct wr_chunk **spare);

/* From byte skip on; takes a reference on success. */
int wr_outbox_append_message(struct wr_outbox *o, weir_msg *msg, size_t skip);

/* Takes ownership of fd on success. */
int wr_outbox_append_file(struct wr_outbox *o, int fd, uint64_t offset,
			  uint64_t len);

int wr_outbox_message_pieces(struct wr_chunk *k, struct iovec *iov, int cap);

/* At most cap pieces from the front, up to the first file. */
static inline int wr_outbox_pieces(const struct wr_outbox *o, struct iovec *iov,
				   int cap)
{
	int n = 0;

	for (struct wr_chunk *k = o->head; k && n < cap; k = k->next) {
		if (k->file >= 0)
			break;
		if (k->file == WR_CHUNK_MESSAGES) {
			n += wr_outbox_message_pieces(k, iov + n, cap - n);
			continue;
		}
		iov[n].iov_base = k->bytes + k->start;
		iov[n].iov_len = k->end - k->start;
		n++;
	}
	return n;
}

/* True: the only chunk was sent whole, and is *spare again. */
static inline bool wr_outbox_try_empty(struct wr_outbox *o, size_t len,
				       struct wr_chunk **spare)
{
	struct wr_chunk *k = o->head;

	if (k == NULL || k != o->tail || k->file != WR_CHUNK_BYTES ||
	    k->end - k->start != len || k->cap != WR_CHUNK_ROOM || *spare)
		return false;
	k->start = k->end = 0;
	*spare = k;
	o->head = o->tail = NULL;
	wr_outbox_count(o, -len);
	return true;
}

/* Remove len bytes that were sent; a chunk of WR_CHUNK_ROOM goes to *spare. */
void wr_outbox_advance(struct wr_outbox *o, size_t len,
		       struct wr_chunk **spare);

void wr_outbox_drop_file(struct wr_outbox *o);

void wr_outbox_clear(struct wr_outbox *o);

#endif
