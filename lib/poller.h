/* SPDX-License-Identifier: MIT */
/*
 * Waiting for many descriptors.  Each event carries the key that its descriptor
 * was added with.  configure chooses poller_epoll.c or poller_poll.c.
 */
#ifndef WR_POLLER_H
#define WR_POLLER_H

#include "base.h"

enum {
	WR_POLL_IN = 1,	 /* input or its end */
	WR_POLL_OUT = 2, /* room for output */
	WR_POLL_HUP = 4, /* with IN: end, error or urgent data */
	WR_POLL_EDGE = 8 /* interest only: edge-triggered */
};

struct wr_event {
	uint64_t key;
	unsigned what;
};

#define WR_POLL_BATCH 64

struct wr_poller {
	int fd; /* -1: closed */
#ifdef WITH_POLL
	struct wr_poll_set *set;
#endif
};

#define WR_POLLER_CLOSED ((struct wr_poller){ .fd = -1 })

int wr_poller_open(struct wr_poller *p);
void wr_poller_close(struct wr_poller *p); /* idempotent */

/* What -ENOSPC means. */
#define WR_NO_WATCH_LEFT                                                       \
	"the user has as many watches as fs.epoll.max_user_watches allows"

/* A descriptor that is there gets this interest and key. */
int wr_poller_add(struct wr_poller *p, int fd, unsigned interest, uint64_t key);
int wr_poller_change(struct wr_poller *p, int fd, unsigned interest,
		     uint64_t key);
/* Before close(): a duplicate would keep it there. */
void wr_poller_remove(struct wr_poller *p, int fd);

/* Each signal of this eventfd ends the wait of one thread. */
int wr_poller_add_wakeup(struct wr_poller *p, int fd, uint64_t key);

/*
 * Wait for at most max (<= WR_POLL_BATCH) events.  The count; 0 on a time-out,
 * and perhaps before; -errno after a short pause.
 */
int wr_poller_wait(struct wr_poller *p, struct wr_event *ev, int max,
		   int timeout_ms);

/* Is there an event?  While a thread waits, false may be wrong. */
bool wr_poller_is_ready(struct wr_poller *p);

/*
 * Call it before a wait for an edge of these (WR_POLL_IN, WR_POLL_OUT), after a
 * look at the descriptor has found none of them.
 */
#ifdef WITH_POLL
void wr_poller_expect(struct wr_poller *p, int fd, unsigned what);
#else
static inline void wr_poller_expect(struct wr_poller *p, int fd, unsigned what)
{
	(void)p; /* epoll reports each edge */
	(void)fd;
	(void)what;
}
#endif

/* True: its end or an error was reported, and later events are not. */
#ifdef WITH_POLL
bool wr_poller_leaves_out(struct wr_poller *p, int fd);
#else
static inline bool wr_poller_leaves_out(struct wr_poller *p, int fd)
{
	(void)p;
	(void)fd;
	return false;
}
#endif

#endif
