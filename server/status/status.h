/* SPDX-License-Identifier: MIT */
/*
 * The pages of --status, which a weir server of their own serves on a thread
 * of its own: they answer while all workers of the watched server are stuck,
 * and until its stop has ended.  Main thread.
 *
 *   /healthz      200: the process answers
 *   /readyz       200: clients are served; 503 from the request to stop on
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

/* Descriptors that it may need. */
#define STATUS_DESCRIPTORS 64

/*
 * Open l, the listener of o->status.  s is watched, and outlives status_end().
 * Returns the listener's id, or -errno.
 */
int status_open(weir_server *s, const struct options *o,
		const struct listener *l);

/* Serve, if it is open.  0 or -errno. */
int status_start(void);

/* Print its address. */
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
