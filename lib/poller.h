/* SPDX-License-Identifier: MIT */
/*
 * Waiting for many descriptors: epoll behind four calls.  Each event carries
 * the key that its descriptor was added with.
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

/* Descriptor or -errno. */
int wr_poller_open(void);
void wr_poller_close(int poller);

/* 0 or -errno.  One that is there already, under another key, is changed. */
int wr_poller_add(int poller, int fd, unsigned interest, uint64_t key);
int wr_poller_change(int poller, int fd, unsigned interest, uint64_t key);
void wr_poller_remove(int poller, int fd);

/*
 * Wait for at most max (<= WR_POLL_BATCH) events.  The count; 0 on a time-out;
 * -errno after a short pause.
 */
int wr_poller_wait(int poller, struct wr_event *ev, int max, int timeout_ms);

#endif
