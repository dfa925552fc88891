/* SPDX-License-Identifier: MIT */
/*
 * The slots of connections: found by number, recycled under a new generation,
 * freed after the server and the last reference.
 */
#ifndef WR_CONN_TABLE_H
#define WR_CONN_TABLE_H

#include "conn.h"

#define WR_SLAB_SLOTS 256

struct wr_table {
	atomic_uint refs;	/* the server, and each reference to a slot */
	_Atomic size_t open;	/* connections not counted in the ledger yet */
	_Atomic size_t refused; /* of these, refused ones */
	_Atomic(struct wr_node *) freed; /* by any thread, latest first */
	struct wr_node *spare;		 /* t: for the acceptor to take */
	struct wr_core *core;
	size_t slab_cap;
	_Atomic size_t slab_count;
	_Atomic(struct weir_conn *) slabs[];
};

/* Room for about max connections, and closed ones with references. */
int wr_table_new(struct wr_table **ret, struct wr_core *core, size_t max);

void wr_table_ref(struct wr_table *t);
void wr_table_unref(struct wr_table *t);

/* Acceptor: there are that many free slots (1 or 2). */
bool wr_table_has_free(struct wr_table *t, size_t count);

/* Acceptor: make free slots.  0; -ENOMEM; -EUSERS: the table is full. */
int wr_table_grow(struct wr_table *t);

/* Acceptor: a free slot under a new generation, counted as open. */
struct weir_conn *wr_table_take(struct wr_table *t);

/* Any thread: a slot without connection and references. */
void wr_table_give(struct wr_table *t, struct weir_conn *c);

/*
 * Acceptor: the connections that take up a place in the server; refused ones do
 * not, though the kernel still delivers something to their peers.  `refused' is
 * lowered before `open', so reading `open' first never gives a negative number.
 */
static inline size_t wr_table_places(struct wr_table *t)
{
	size_t open = atomic_load(&t->open);

	return open - atomic_load(&t->refused);
}

/* The number of slots, for a walk with wr_table_find(). */
static inline size_t wr_table_slots(struct wr_table *t)
{
	return atomic_load(&t->slab_count) * WR_SLAB_SLOTS;
}

/* The slot of a key, whatever its generation is now. */
static inline struct weir_conn *wr_table_find(struct wr_table *t, uint64_t key)
{
	size_t index = (uint32_t)key;

	wr_assert(index < wr_table_slots(t));
	return &atomic_load(
		&t->slabs[index / WR_SLAB_SLOTS])[index % WR_SLAB_SLOTS];
}

#endif
