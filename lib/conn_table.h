/* SPDX-License-Identifier: MIT */
/*
 * The slots of connections: found by index, recycled under a new generation,
 * freed with the last reference.
 */
#ifndef WR_CONN_TABLE_H
#define WR_CONN_TABLE_H

#include "conn.h"

#define WR_SLAB_SLOTS 256

struct wr_table {
	atomic_uint refs;	/* the server and references to slots */
	_Atomic size_t open;	/* not counted in the ledger yet */
	_Atomic size_t refused; /* of these */
	_Atomic(struct wr_node *) freed; /* free slots, of any thread */
	struct wr_node *spare;		 /* t: free slots */
	struct wr_core *core;
	size_t slab_cap;
	_Atomic size_t slab_count;
	_Atomic(struct weir_conn *) slabs[];
};

/* Room for max connections, and for closed ones with references. */
int wr_table_new(struct wr_table **ret, struct wr_core *core, size_t max);

void wr_table_ref(struct wr_table *t);
void wr_table_unref(struct wr_table *t);

/* Acceptor: at least count slots are free (1 or 2). */
bool wr_table_has_free(struct wr_table *t, size_t count);

/* Acceptor: add free slots.  0; -ENOMEM; -EUSERS: full. */
int wr_table_grow(struct wr_table *t);

/* Acceptor: take a free slot and count it as open. */
struct weir_conn *wr_table_take(struct wr_table *t);

/* Any thread: free a slot without references. */
void wr_table_give(struct wr_table *t, struct weir_conn *c);

/*
 * Acceptor: connections that count against max_connections; refused ones do
 * not.  `refused' is lowered before `open', so reading `open' first never gives
 * a negative number.
 */
static inline size_t wr_table_places(struct wr_table *t)
{
	size_t open = atomic_load(&t->open);

	return open - atomic_load(&t->refused);
}

/* For a walk with wr_table_find(). */
static inline size_t wr_table_slots(struct wr_table *t)
{
	return atomic_load(&t->slab_count) * WR_SLAB_SLOTS;
}

/* The slot; its generation may differ from the key's. */
static inline struct weir_conn *wr_table_find(struct wr_table *t, uint64_t key)
{
	size_t index = (uint32_t)key;

	wr_assert(index < wr_table_slots(t));
	return &atomic_load(
		&t->slabs[index / WR_SLAB_SLOTS])[index % WR_SLAB_SLOTS];
}

#endif
