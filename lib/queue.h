/* SPDX-License-Identifier: MIT */
/*
 * A FIFO of nodes embedded in what is queued, bounded or not, for any number
 * of threads.
 */
#ifndef WR_QUEUE_H
#define WR_QUEUE_H

#include <stdatomic.h>

#include "lock.h"

struct wr_node {
	struct wr_node *next;
	int64_t queued_at; /* ns */
};

struct wr_queue {
	struct wr_lock lock;
	struct wr_node *head, *tail; /* l */
	size_t cap;		     /* c; 0: no bound */
	_Atomic size_t len;	     /* a: written under the lock */
};

int wr_queue_init(struct wr_queue *q, size_t cap); /* 0 or -errno */
void wr_queue_fini(struct wr_queue *q);

/*
 * Takes the node at the time now.  0; -ENOBUFS (full): then the node is still
 * the caller's.
 */
int wr_queue_push(struct wr_queue *q, struct wr_node *n, int64_t now);

/* The oldest, or NULL. */
struct wr_node *wr_queue_pop(struct wr_queue *q);

/* Sequentially consistent: see "why no wake-up is lost" in core.c. */
static inline size_t wr_queue_len(const struct wr_queue *q)
{
	return atomic_load(&q->len);
}

#endif
