/* SPDX-License-Identifier: MIT */
/*
 * Slots live in slabs that never move.  Only the acceptor takes slots.  Any
 * thread frees slots to a stack that the acceptor takes as a whole, so there is
 * no ABA problem.
 *
 * The owner word of a free slot is owned and has a new generation: a late event
 * makes no owner.
 */
#include "conn_table.h"

#include <errno.h>

#include "sys.h"

int wr_table_new(struct wr_table **ret, struct wr_core *core, size_t max)
{
	size_t cap = (2 * max + 8192) / WR_SLAB_SLOTS + 1;
	struct wr_table *t =
		wr_sys_alloc(sizeof(*t) + cap * sizeof(t->slabs[0]));

	if (t == NULL)
		return -ENOMEM;
	t->core = core;
	t->slab_cap = cap;
	atomic_store(&t->refs, 1);
	*ret = t;
	return 0;
}

void wr_table_ref(struct wr_table *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
}

/* An abandoned connection may still have its descriptor. */
static void fini_slot(struct weir_conn *c)
{
	if (c->fd >= 0)
		wr_sys_close(c->fd);
	wr_outbox_clear(&c->out.box);
	wr_buffer_release(&c->in.buf);
	wr_lock_fini(&c->lock);
}

void wr_table_unref(struct wr_table *t)
{
	if (atomic_fetch_sub(&t->refs, 1) != 1)
		return;
	for (size_t i = 0; i < atomic_load(&t->slab_count); i++) {
		struct weir_conn *slab = atomic_load(&t->slabs[i]);

		for (size_t k = 0; k < WR_SLAB_SLOTS; k++)
			fini_slot(&slab[k]);
		wr_sys_free(slab);
	}
	wr_sys_free(t);
}

int wr_table_grow(struct wr_table *t)
{
	size_t n = atomic_load_explicit(&t->slab_count, memory_order_relaxed);
	struct weir_conn *slab;
	size_t made = 0;

	if (n == t->slab_cap)
		return -EUSERS;
	slab = wr_sys_alloc(WR_SLAB_SLOTS * sizeof(*slab));
	if (slab == NULL)
		return -ENOMEM;
	while (made < WR_SLAB_SLOTS && wr_lock_init(&slab[made].lock) == 0)
		made++;
	if (made < WR_SLAB_SLOTS) {
		while (made > 0)
			wr_lock_fini(&slab[--made].lock);
		wr_sys_free(slab);
		return -ENOMEM;
	}
	for (size_t i = WR_SLAB_SLOTS; i-- > 0;) {
		slab[i].index = (uint32_t)(n * WR_SLAB_SLOTS + i);
		slab[i].table = t;
		slab[i].core = t->core;
		slab[i].fd = -1;
		atomic_store(&slab[i].waiter_fd, -1);
		wr_owner_begin(&slab[i].owner, 0);
		slab[i].node.next = t->spare;
		t->spare = &slab[i].node;
	}
	/* Release: a thread that sees the count sees the slab. */
	atomic_store(&t->slabs[n], slab);
	atomic_store(&t->slab_count, n + 1);
	return 0;
}

bool wr_table_has_free(struct wr_table *t, size_t count)
{
	struct wr_node *last = t->spare;

	if (last == NULL || (last->next == NULL && count > 1)) {
		t->spare = atomic_exchange(&t->freed, NULL);
		if (last) {
			last->next = t->spare;
			t->spare = last;
		}
	}
	return t->spare && (t->spare->next || count == 1);
}

struct weir_conn *wr_table_take(struct wr_table *t)
{
	struct weir_conn *c = wr_container_of(t->spare, struct weir_conn, node);

	t->spare = c->node.next;
	atomic_fetch_add(&t->open, 1);
	return c;
}

void wr_table_give(struct wr_table *t, struct weir_conn *c)
{
	wr_owner_begin(&c->owner,
		       (wr_owner_generation(&c->owner) + 1) % WR_GENERATIONS);
	c->node.next = atomic_load(&t->freed);
	while (!atomic_compare_exchange_weak(&t->freed, &c->node.next,
					     &c->node))
		;
}
