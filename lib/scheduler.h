/* SPDX-License-Identifier: MIT */
/*
 * The scheduler: which worker waits at the poller, which are idle, and which
 * is woken.  It knows events and queued nodes, and no connections.
 *
 * A worker calls wr_sched_next() for its next task and runs it between
 * wr_sched_enter() and wr_sched_leave().  Any thread submits nodes.  One
 * thread, the monitor, calls wr_sched_tick() when it asked to be called, and
 * when monitor_fd is signalled.
 */
#ifndef WR_SCHEDULER_H
#define WR_SCHEDULER_H

#include <stdatomic.h>

#include "bounds.h"
#include "lock.h"
#include "poller.h"

/* Embedded in what is queued. */
struct wr_node {
	struct wr_node *next;
	int64_t queued_at; /* ns */
};

/* A FIFO. */
struct wr_queue {
	_Alignas(WR_CACHE_LINE) struct wr_lock lock;
	struct wr_node *head, *tail; /* l */
	_Atomic size_t len;	     /* a: written under the lock */
};

/*
 * Events that a worker has taken from the poller and not run yet.  Other
 * workers can take them too, so a callback that does not return holds none of
 * them back.
 *
 * Taking an event is a compare-and-swap on the word.  The owner fills the
 * batch only when all events are taken, and with a new number, so a thief
 * that has read an event of an old batch fails to swap.  The events are
 * relaxed atomics for that reason; the word orders them.
 */
struct wr_batch {
	_Alignas(WR_CACHE_LINE) _Atomic uint64_t word; /* number:32 | taken:16 |
							* len:16 */
	_Atomic uint64_t key[WR_POLL_BATCH];
	_Atomic unsigned what[WR_POLL_BATCH];
};

enum wr_queue_id { WR_QUEUE_ACCEPTED, WR_QUEUE_READY, WR_QUEUES };

/* Of a worker; only its batch is touched by other threads. */
struct wr_sched_worker {
	struct wr_batch batch;
	struct wr_batch
		*from;	   /* the batch it takes events from, its own or not */
	bool is_listed;	   /* in `filled` */
	int source;	   /* of tasks, that it looks at next */
	int round_left;	   /* tasks it may still take from there */
	int64_t round_end; /* ns; it takes none from there later */
	int max_events;	   /* that it takes from the poller at a time */
	int64_t polled_at; /* ns; when it last did */
	long preemptions;  /* when it last asked */
};

/* What different threads write lies on different cache lines. */
struct wr_sched {
	struct wr_sched_worker *workers; /* c */
	int count;			 /* c: workers */
	int poller;			 /* c */
	int wake_fd;	/* c: wakes a worker that waits at the poller */
	int monitor_fd; /* c: wakes the monitor */
	_Atomic int64_t handoff_until; /* ns; rarely written */

	_Alignas(WR_CACHE_LINE) _Atomic uint64_t word; /* see scheduler.c */

	/* Bits of workers whose batch may have events. */
	_Alignas(WR_CACHE_LINE) _Atomic uint64_t filled[WR_WORKERS_MOST / 64];

	struct wr_queue queue[WR_QUEUES];

	_Alignas(WR_CACHE_LINE) struct wr_lock idle_lock;
	struct wr_cond idle_wakeup;
	int wakeups; /* l: idle workers released that still sleep */

	/* The monitor's thread only. */
	_Alignas(WR_CACHE_LINE) int64_t tick_at; /* 0: it does not look */
	int quiet_ticks;			 /* in a row */
	int stuck_ticks;			 /* in a row */
};

struct wr_task {
	enum {
		WR_TASK_EVENT,	  /* event */
		WR_TASK_ACCEPTED, /* node */
		WR_TASK_READY,	  /* node */
		WR_TASK_FAILED	  /* error: the poller cannot be waited at */
	} kind;
	union {
		struct wr_event event;
		struct wr_node *node;
		int error; /* -errno */
	};
};

/*
 * The descriptor of the poller and the eventfd that wakes the monitor stay
 * the caller's.  0 or -errno.
 */
int wr_sched_init(struct wr_sched *s, int workers, int poller, int monitor_fd);
void wr_sched_fini(struct wr_sched *s);

/* Callbacks will wait for their peers: hand off before each of them. */
void wr_sched_always_hand_off(struct wr_sched *s);

/* Any thread: queue the node at the time now, and wake a worker if needed. */
void wr_sched_submit(struct wr_sched *s, enum wr_queue_id id, struct wr_node *n,
		     int64_t now);

/* The same for a ready node, by the worker that has just run it. */
void wr_sched_requeue(struct wr_sched *s, struct wr_node *n, int64_t now);

/* Any thread: the oldest node of a queue, or NULL. */
struct wr_node *wr_sched_take(struct wr_sched *s, enum wr_queue_id id);

size_t wr_sched_queued(const struct wr_sched *s, enum wr_queue_id id);

/*
 * Worker: its next task; sleeps until there is one.  *now is the time the
 * worker knows, and is read again after a sleep.  After the close: the nodes
 * that are ready, then false.
 */
bool wr_sched_next(struct wr_sched *s, int worker, int64_t *now,
		   struct wr_task *ret);

/* Relaxed: a worker that sees it late hands off late. */
static inline bool wr_sched_hands_off(const struct wr_sched *s, int64_t now)
{
	return now <
	       atomic_load_explicit(&s->handoff_until, memory_order_relaxed);
}

void wr_sched_hand_off(struct wr_sched *s);
void wr_sched_note_slow(struct wr_sched *s, int worker, int64_t now);

/* Worker, before a task, which may not return: let another see to the rest. */
static inline void wr_sched_enter(struct wr_sched *s, int64_t now)
{
	if (wr_sched_hands_off(s, now))
		wr_sched_hand_off(s);
}

/* After it: it began at that time. */
static inline void wr_sched_leave(struct wr_sched *s, int worker,
				  int64_t began_at, int64_t now)
{
	if (now - began_at >= WR_SLOW_NS)
		wr_sched_note_slow(s, worker, now);
}

/* Monitor: look after the workers.  When to call again, or WR_NEVER_AT. */
int64_t wr_sched_tick(struct wr_sched *s, int64_t now);

/* Any thread: wake all workers, so that they end. */
void wr_sched_close(struct wr_sched *s);

#endif
