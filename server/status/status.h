/* SPDX-License-Identifier: MIT */
/*
 * The pages of --status.  A weir server of their own, with one worker, serves
 * them: they answer while all workers of the watched server are stuck, and
 * until the stop of the watched server has ended.  Main thread.
 *
 *   /healthz      200: the process answers
 *   /readyz       200: clients are served, by this process or a successor;
 *                 503: not yet, or a stop was requested
 *   /metrics      for Prometheus
 *   /status       a page for people
 *   /status.json  what the page shows
 */
#ifndef SERVER_STATUS_H
#define SERVER_STATUS_H

#include <errno.h>

#include <weir.h>

struct listener;
struct options;

#ifdef HAVE_STATUS

#define STATUS_DESCRIPTORS 64

/*
 * Open l, the listener of o->status.  s is watched, and outlives status_end().
 * Returns the listener's id, or -errno.
 */
int status_open(weir_server *s, const struct options *o,
		const struct listener *l);

/* Serve, if it is open.  0 or -errno. */
int status_start(void);

void status_announce(void);

/* The watched server has stopped, or did not start. */
void status_end(void);

#else /* options.c refuses --status */

#define STATUS_DESCRIPTORS 0

static inline int status_open(weir_server *s, const struct options *o,
			      const struct listener *l)
{
	(void)s;
	(void)o;
	(void)l;
	return -ENOTSUP;
}

static inline int status_start(void)
{
	return 0;
}

static inline void status_announce(void)
{
}

static inline void status_end(void)
{
}

#endif

#endif
