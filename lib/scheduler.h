/* SPDX-License-Identifier: MIT */
/*
 * The scheduler: which worker polls, which are idle, which is woken.
 *
 * A worker runs each task between wr_sched_enter() and wr_sched_leave().  One
 * thread, the monitor, calls wr_sched_tick() at the time it returned last, and
 * when monitor_fd is signalled.
 */
#ifndef WR_SCHEDULER_H
#define WR_SCHEDULER_H

#include <stdatomic.h>

#include "bounds.h"
#include "lock.h"
#include "poller.h"

struct wr_node {
	struct wr_node *next;
	int64_t queued_at;
};

struct wr_queue {
	_Alignas(WR_CACHE_LINE) struct wr_word_lock lock;
	struct wr_node *head, *tail; /* l */
	_Atomic size_t len;	     /* a: changed under the lock */
};

/*
 * Events that a worker has taken from the poller and not run yet.  Other
 * workers can steal them, so a callback that does not return delays none.
 *
 * The word:
 *
 *	bits 63..32  number
 *	bits 31..16  taken
 *	bits 15..0   events
 *
 * Taking an event is a compare-and-swap on the word.  The owner refills the
 * batch only when it is empty, under a new number, so a thief with an event of
 * an old batch fails to swap.  Hence relaxed events: the word orders them.
 */
struct wr_batch {
	_Alignas(WR_CACHE_LINE) _Atomic uint64_t word;
	_Atomic uint64_t key[WR_POLL_BATCH];
	_Atomic unsigned what[WR_POLL_BATCH];
};

enum wr_queue_id { WR_QUEUE_ACCEPTED, WR_QUEUE_READY, WR_QUEUES };

/* State of a worker; other threads touch only its batch. */
struct wr_sched_worker {
	struct wr_batch batch;
	struct wr_batch *from; /* where it takes events from */
	bool is_listed;	       /* its bit in wr_sched.filled is set */
	int source;	       /* FROM_...: where it takes tasks from */
	int round_left;
	int64_t round_end; /* ns */
	int max_events;	   /* of one poll */
	int64_t polled_at; /* ns; end of its last poll */
	long preemptions;  /* of the thread, at the last look */
};

/* Fields written by different threads are on different cache lines. */
struct wr_sched {
	struct wr_sched_worker *workers; /* c */
	int count;			 /* c */
	struct wr_poller *poller;	 /* c */
	int wake_fd;			 /* c: wakes a polling worker */
	int monitor_fd;			 /* c */
	_Atomic int64_t handoff_until;	 /* ns */

	_Alignas(WR_CACHE_LINE) _Atomic uint64_t word;

	/* A bit for each worker whose batch may have events. */
	_Alignas(WR_CACHE_LINE) _Atomic uint64_t filled[WR_WORKERS_MOST / 64];

	struct wr_queue queue[WR_QUEUES];

	_Alignas(WR_CACHE_LINE) struct wr_lock idle_lock;
	struct wr_cond idle_wakeup;
	int wakeups; /* l: that no worker has taken yet */

	/* The monitor's thread only. */
	_Alignas(WR_CACHE_LINE) int64_t tick_at; /* ns; 0: stopped */
	int quiet_ticks;			 /* in a row */
	int stuck_ticks;			 /* in a row */
};

struct wr_task {
	enum {
		WR_TASK_EVENT,	  /* event */
		WR_TASK_ACCEPTED, /* node */
		WR_TASK_READY,	  /* node */
		WR_TASK_FAILED	  /* error */
	} kind;
	union {
		struct wr_event event;
		struct wr_node *node;
		int error; /* -errno */
	};
};

/* The descriptors stay the caller's. */
int wr_sched_init(struct wr_sched *s, int workers, struct wr_poller *poller,
		  int monitor_fd);
void wr_sched_fini(struct wr_sched *s);

/* Stay in handoff mode, for callbacks that wait for their peers. */
void wr_sched_always_hand_off(struct wr_sched *s);

/* Any thread: queue a node at the time now, and wake a worker if needed. */
void wr_sched_submit(struct wr_sched *s, enum wr_queue_id id, struct wr_node *n,
		     int64_t now);

/* The worker that has just run it: queue a ready node. */
void wr_sched_requeue(struct wr_sched *s, struct wr_node *n, int64_t now);

/* Any thread: take the oldest node of a queue, if it was queued by then. */
struct wr_node *wr_sched_take(struct wr_sched *s, enum wr_queue_id id,
			      int64_t queued_by);

/* Any thread: when it was queued; WR_NEVER_AT: the queue is empty. */
int64_t wr_sched_oldest_at(struct wr_sched *s, enum wr_queue_id id);

/* A worker is at the poller, perhaps already woken. */
bool wr_sched_polls(const struct wr_sched *s);

size_t wr_sched_queued(const struct wr_sched *s, enum wr_queue_id id);

/*
 * Any thread.  A wake-up is no event.  While a worker polls, false may be
 * wrong.
 */
bool wr_sched_has_events(struct wr_sched *s);

/* Worker: the key of its next event (ahead 0), which another may yet take. */
static inline bool wr_sched_peek(const struct wr_sched *s, int worker,
				 unsigned ahead, uint64_t *key)
{
	const struct wr_batch *b = s->workers[worker].from;
	uint64_t word = atomic_load_explicit(&b->word, memory_order_relaxed);
	uint64_t at = (word >> 16 & 0xffff) + ahead;

	if (at >= (word & 0xffff))
		return false;
	*key = atomic_load_explicit(&b->key[at], memory_order_relaxed);
	return true;
}

/*
 * Worker: its next task; sleeps until there is one.  Updates *now after a
 * sleep.  Once closed: returns the ready nodes, then false.
 */
bool wr_sched_next(struct wr_sched *s, int worker, int64_t *now,
		   struct wr_task *ret);

/* Relaxed: a late look only delays a handoff. */
static inline bool wr_sched_hands_off(const struct wr_sched *s, int64_t now)
{
	return now <
	       atomic_load_explicit(&s->handoff_until, memory_order_relaxed);
}

/* Make sure that another worker polls or runs what else there is to do. */
void wr_sched_hand_off(struct wr_sched *s);

/* Begin handoff mode, unless the worker was preempted since the last call. */
void wr_sched_note_slow(struct wr_sched *s, int worker, int64_t now);

static inline void wr_sched_enter(struct wr_sched *s, int64_t now)
{
	if (wr_sched_hands_off(s, now))
		wr_sched_hand_off(s);
}

static inline void wr_sched_leave(struct wr_sched *s, int worker,
				  int64_t began_at, int64_t now)
{
	if (now - began_at >= WR_SLOW_NS)
		wr_sched_note_slow(s, worker, now);
}

int64_t wr_sched_tick(struct wr_sched *s, int64_t now);

/* Any thread: make all workers end. */
void wr_sched_close(struct wr_sched *s);

#endif
