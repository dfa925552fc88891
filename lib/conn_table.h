/* SPDX-License-Identifier: MIT */
/*
 * The slots connections live in: found by number, recycled under a new
 * generation, never freed while the server or a reference lives.
 */
#ifndef WR_CONN_TABLE_H
#define WR_CONN_TABLE_H

#include "conn.h"

#define WR_SLAB_SLOTS 256

struct wr_table {
	atomic_uint refs;	/* the server, and each reference to a slot */
	_Atomic size_t open;	/* connections not settled yet */
	_Atomic size_t refused; /* of those, who were told no */
	_Atomic(struct wr_node *) freed; /* by any thread, latest first */
	struct wr_node *spare;		 /* t: for the acceptor to take */
	struct wr_core *core;
	size_t slab_cap;
	_Atomic size_t slab_count;
	_Atomic(struct weir_conn *) slabs[];
};

/* Room for about max connections, and those that are over but referenced. */
int wr_table_new(struct wr_table **ret, struct wr_core *core, size_t max);

void wr_table_ref(struct wr_table *t);
void wr_table_unref(struct wr_table *t);

/* Acceptor: are there so many free slots (1 or 2)? */
bool wr_table_has_free(struct wr_table *t, size_t count);

/* Acceptor: more free slots.  0; -ENOMEM; -EUSERS: there is no place left. */
int wr_table_grow(struct wr_table *t);

/* Acceptor: a free slot under a new generation, counted as open. */
struct weir_conn *wr_table_take(struct wr_table *t);

/* A settled slot nobody refers to any more.  Any thread. */
void wr_table_give(struct wr_table *t, struct weir_conn *c);

/*
 * Acceptor: those that have a place in the server.  Who is refused has left
 * it, though the kernel still has something to deliver to its peer.  It leaves
 * `refused' before `open': looked at in the other order, neither is too many.
 */
static inline size_t wr_table_places(struct wr_table *t)
{
	size_t open = atomic_load(&t->open);

	return open - atomic_load(&t->refused);
}

/* Slots made so far, for a walk with wr_table_find(). */
static inline size_t wr_table_slots(struct wr_table *t)
{
	return atomic_load(&t->slab_count) * WR_SLAB_SLOTS;
}

/* The slot of a key that was one's once, whatever its generation is now. */
static inline struct weir_conn *wr_table_find(struct wr_table *t, uint64_t key)
{
	size_t index = (uint32_t)key;

	wr_assert(index < wr_table_slots(t));
	return &atomic_load(
		&t->slabs[index / WR_SLAB_SLOTS])[index % WR_SLAB_SLOTS];
}

#endif
