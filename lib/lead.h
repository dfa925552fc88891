/* SPDX-License-Identifier: MIT */
/*
 * How many workers wait at the poller, and when one asks for another's help.
 */
#ifndef WR_LEAD_H
#define WR_LEAD_H

#include "pool.h"

/* Any thread: there is something in a queue, or in a batch not yet taken. */
bool wr_lead_has_work(const struct wr_pool *p);

/* Take what the poller has; sleep there, or stand by, if there is nothing. */
void wr_lead_harvest(struct wr_worker *w);

/* Before a callback, which may not return: let somebody see to the rest. */
void wr_lead_share(struct wr_worker *w);

#define WR_SLOW_NS (200 * 1000LL)

/* A callback took so long. */
void wr_lead_note_slow(struct wr_worker *w);

/* After one: it began at that time. */
static inline void wr_lead_note(struct wr_worker *w, int64_t began)
{
	if (w->ctx.now - began >= WR_SLOW_NS)
		wr_lead_note_slow(w);
}

#endif
