/* SPDX-License-Identifier: MIT */
/*
 * Slots live in slabs that never move.  Any thread frees slots to a stack that
 * is taken as a whole, so there is no ABA problem.
 *
 * "Prepared slots stay": the acceptor prepares slots before it accepts, so that
 * a client that it has accepted gets one.  Other threads take a slot only while
 * WR_PREPARED_SLOTS more are free.
 *
 * The owner word of a free slot is owned and has a new generation: a late event
 * makes no owner.
 */
#include "conn_table.h"

#include <errno.h>

#include "bounds.h"
#include "sys.h"

static size_t slabs_for(const struct wr_core *core, int max_connections)
{
	size_t max =
		(size_t)max_connections + (size_t)core->config.set.max_dialled;

	return (2 * max + 8192) / WR_SLAB_SLOTS + 1;
}

int wr_table_new(struct wr_table **ret, struct wr_core *core)
{
	/* max_connections may be raised; unused pages take no memory */
	size_t most = slabs_for(core, WR_CONNECTIONS_MOST);
	struct wr_table *t =
		wr_sys_alloc(sizeof(*t) + most * sizeof(t->slabs[0]));

	if (t == NULL)
		return -ENOMEM;
	t->core = core;
	atomic_store(&t->refs, 1);
	*ret = t;
	return 0;
}

void wr_table_ref(struct wr_table *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
}

void wr_table_free_service(struct weir_conn *c)
{
	if (!c->is_dialled || c->service == NULL)
		return;
	wr_service_fini((struct wr_service *)(uintptr_t)c->service);
	wr_sys_free((void *)(uintptr_t)c->service);
	c->service = NULL;
}

/* An abandoned connection may still have its descriptor. */
static void fini_slot(struct weir_conn *c)
{
	if (c->fd >= 0)
		wr_sys_close(c->fd);
	c->core = NULL; /* the server may be gone */
	wr_layer_free(c);
	wr_outbox_clear(&c->out.box);
	wr_buffer_release(&c->in.buf);
	wr_table_free_service(c);
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

static int grow_locked(struct wr_table *t)
{
	size_t n = atomic_load_explicit(&t->slab_count, memory_order_relaxed);
	struct weir_conn *slab;
	size_t cap;

	cap = slabs_for(t->core, t->core->config.max_connections);
	if (t->slab_cap < cap)
		t->slab_cap = cap;
	if (n == t->slab_cap)
		return -EUSERS;
	if (wr_timers_reserve(t->timers, (n + 1) * WR_SLAB_SLOTS) < 0)
		return -ENOMEM;
	slab = wr_sys_alloc(WR_SLAB_SLOTS * sizeof(*slab));
	if (slab == NULL)
		return -ENOMEM;
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

/* Takes over the slots that were freed, if the spare ones are too few. */
static bool has_spare_locked(struct wr_table *t, size_t count)
{
	struct wr_node **last = &t->spare;

	for (; *last && count > 0; count--)
		last = &(*last)->next;
	if (count == 0)
		return true;
	*last = atomic_exchange(&t->freed, NULL);
	for (; *last && count > 0; count--)
		last = &(*last)->next;
	return count == 0;
}

/*
 * "A slot that is freed ends the shortage": note the shortage, then look again;
 * other threads free a slot, then look for the note.  One of the two sees the
 * other.
 */
static int prepare_locked(struct wr_table *t, size_t count)
{
	int rc = has_spare_locked(t, count) ? 0 : grow_locked(t);

	if (rc != -EUSERS)
		return rc;
	atomic_store(&t->core->accept_blocked, true);
	atomic_store(&t->is_short, true);
	return has_spare_locked(t, count) ? 0 : rc;
}

static struct weir_conn *take_locked(struct wr_table *t)
{
	struct weir_conn *c = wr_container_of(t->spare, struct weir_conn, node);

	t->spare = c->node.next;
	atomic_fetch_add(&t->open, 1);
	return c;
}

int wr_table_prepare(struct wr_table *t, size_t count)
{
	int rc;

	wr_word_lock(&t->lock);
	rc = prepare_locked(t, count);
	wr_word_unlock(&t->lock);
	return rc;
}

struct weir_conn *wr_table_take(struct wr_table *t)
{
	struct weir_conn *c;

	atomic_fetch_add(&t->places, 1);
	wr_word_lock(&t->lock);
	c = take_locked(t);
	wr_word_unlock(&t->lock);
	return c;
}

static int may_take_locked(struct wr_table *t)
{
	if (t->gate == WR_GATE_SHUT)
		return -ESHUTDOWN;
	if (atomic_load(&t->dialled) >= (size_t)t->core->config.set.max_dialled)
		return -EAGAIN;
	return prepare_locked(t, WR_PREPARED_SLOTS + 1);
}

int wr_table_take_dialled_locked(struct wr_table *t, struct weir_conn **ret)
{
	int rc = may_take_locked(t);

	if (rc < 0)
		return rc == -EUSERS ? -EAGAIN : rc;
	atomic_fetch_add(&t->dialled, 1);
	*ret = take_locked(t);
	return 0;
}

void wr_table_shut_gate(struct wr_table *t)
{
	wr_word_lock(&t->lock);
	t->gate = WR_GATE_SHUT;
	wr_word_unlock(&t->lock);
}

bool wr_table_shut_if_empty(struct wr_table *t)
{
	bool is_empty;

	wr_word_lock(&t->lock);
	is_empty = atomic_load(&t->open) == 0;
	if (is_empty)
		t->gate = WR_GATE_SHUT;
	wr_word_unlock(&t->lock);
	return is_empty;
}

/* A server whose gate is shut may be gone; its acceptor looks by itself. */
static void end_shortage(struct wr_table *t)
{
	wr_word_lock(&t->lock);
	if (t->gate != WR_GATE_SHUT)
		wr_core_notify_capacity(t->core);
	wr_word_unlock(&t->lock);
}

void wr_table_give(struct wr_table *t, struct weir_conn *c)
{
	wr_owner_begin(&c->owner,
		       (wr_owner_generation(&c->owner) + 1) % WR_GENERATIONS);
	c->node.next = atomic_load(&t->freed);
	while (!atomic_compare_exchange_weak(&t->freed, &c->node.next,
					     &c->node))
		;
	if (atomic_load(&t->is_short) && atomic_exchange(&t->is_short, false))
		end_shortage(t);
}
