/* SPDX-License-Identifier: MIT */
/*
 * The bounded queue between the acceptor and the workers, and the list of
 * connections that are to be run again.  Nobody waits here: a worker that
 * finds nothing sleeps at the poller.
 */
#include "queue.h"

#include <errno.h>

int wr_queue_init(struct wr_queue *q, size_t cap)
{
	*q = (struct wr_queue){ .cap = cap };
	return wr_lock_init(&q->lock);
}

void wr_queue_fini(struct wr_queue *q)
{
	wr_lock_fini(&q->lock);
}

int wr_queue_push(struct wr_queue *q, struct wr_node *n, int64_t now)
{
	size_t len;
	int rc = 0;

	n->next = NULL;
	n->queued_at = now;
	wr_lock(&q->lock);
	len = atomic_load_explicit(&q->len, memory_order_relaxed);
	if (q->cap != 0 && len >= q->cap) {
		rc = -ENOBUFS;
	} else {
		if (q->tail)
			q->tail->next = n;
		else
			q->head = n;
		q->tail = n;
		atomic_store(&q->len, len + 1);
	}
	wr_unlock(&q->lock);
	return rc;
}

struct wr_node *wr_queue_pop(struct wr_queue *q)
{
	struct wr_node *n;

	if (wr_queue_len(q) == 0)
		return NULL;
	wr_lock(&q->lock);
	n = q->head;
	if (n) {
		q->head = n->next;
		if (q->head == NULL)
			q->tail = NULL;
		n->next = NULL;
		atomic_store(&q->len, wr_queue_len(q) - 1);
	}
	wr_unlock(&q->lock);
	return n;
}
