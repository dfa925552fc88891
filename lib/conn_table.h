/* SPDX-License-Identifier: MIT */
/* The slots of connections, recycled under a new generation. */
#ifndef WR_CONN_TABLE_H
#define WR_CONN_TABLE_H

#include "conn.h"

#define WR_SLAB_SLOTS 256

/* Free slots that only the acceptor takes. */
#define WR_PREPARED_SLOTS 2

/* Whether other threads may take slots.  Only goes up. */
enum wr_gate { WR_GATE_NEW, WR_GATE_OPEN, WR_GATE_SHUT };

/* Field key: c constant, a atomic, l under lock. */
struct wr_table {
	atomic_uint refs;    /* a: the server, and slots that are referred to */
	_Atomic size_t open; /* a: not counted in the ledger yet */
	_Atomic size_t places;	/* a: of these, against max_connections */
	_Atomic size_t kept;	/* a: by the last wr_evict_one() that asked */
	_Atomic size_t dialled; /* a: of these, against max_dialled */
	_Atomic(struct wr_node *) freed; /* a: free slots, of any thread */
	_Atomic bool is_short; /* a: a slot that is freed is waited for */
	struct wr_word_lock lock;
	struct wr_node *spare;	  /* l: free slots */
	enum wr_gate gate;	  /* l */
	struct wr_node *early;	  /* l: sessions that wait for the start */
	struct wr_core *core;	  /* c */
	struct wr_timers *timers; /* c: get room for each slot */
	size_t slab_cap;	  /* l: for the highest max_connections */
	_Atomic size_t slab_count;
	_Atomic(struct weir_conn *) slabs[];
};

/* Also has room for closed connections with references. */
int wr_table_new(struct wr_table **ret, struct wr_core *core);

void wr_table_ref(struct wr_table *t);
void wr_table_unref(struct wr_table *t);

/* Acceptor: have count free slots (<= WR_PREPARED_SLOTS).  -EUSERS: full. */
int wr_table_prepare(struct wr_table *t, size_t count);

/* Acceptor: take a prepared slot and count it as open. */
struct weir_conn *wr_table_take(struct wr_table *t);

/* Any thread, with t->lock.  -ESHUTDOWN; -EAGAIN: too many; -ENOMEM. */
int wr_table_take_dialled_locked(struct wr_table *t, struct weir_conn **ret);

/* Forbid wr_table_take_dialled_locked() for good. */
void wr_table_shut_gate(struct wr_table *t);

/* True: nothing is open, and from now on nothing can be. */
bool wr_table_shut_if_empty(struct wr_table *t);

/* Owner, at its end: a dialled connection has a service of its own. */
void wr_table_free_service(struct weir_conn *c);

/* Any thread: free a slot without references. */
void wr_table_give(struct wr_table *t, struct weir_conn *c);

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

/* The same for a key that may be of a slot this thread does not see yet. */
static inline const struct weir_conn *wr_table_try_find(struct wr_table *t,
							uint64_t key)
{
	return (uint32_t)key < wr_table_slots(t) ? wr_table_find(t, key) : NULL;
}

#endif
