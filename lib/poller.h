/* SPDX-License-Identifier: MIT */
/*
 * One place to wait for many descriptors: epoll behind a few calls.  A key
 * comes back with each event; its meaning is the caller's.
 */
#ifndef WR_POLLER_H
#define WR_POLLER_H

#include "base.h"

enum {
	WR_POLL_IN = 1,	 /* input, or the end of it */
	WR_POLL_OUT = 2, /* output is taken */
	WR_POLL_HUP = 4, /* end of input, error or urgent data; reported
			  * whenever there is interest in input */
	WR_POLL_EDGE = 8 /* interest only: tell changes, not states */
};

struct wr_event {
	uint64_t key;
	unsigned what;
};

#define WR_POLL_BATCH 64

/* Descriptor or -errno. */
int wr_poller_open(void);
void wr_poller_close(int poller);

/* 0 or -errno */
int wr_poller_add(int poller, int fd, unsigned interest, uint64_t key);
int wr_poller_change(int poller, int fd, unsigned interest, uint64_t key);
void wr_poller_remove(int poller, int fd);

/*
 * At most max (<= WR_POLL_BATCH) events into ev; the count, 0 on a time-out;
 * -errno, after a short pause: it cannot wait any more.
 */
int wr_poller_wait(int poller, struct wr_event *ev, int max, int timeout_ms);

#endif
