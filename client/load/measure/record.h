/* SPDX-License-Identifier: MIT */
/*
 * --hlog: the seconds of a run as an HdrHistogram log, written as they end.
 * Main thread.
 */
#ifndef LOAD_RECORD_H
#define LOAD_RECORD_H

#include "../plan.h"
#include "summary.h"

struct hlog_writer;

struct record {
	const struct plan *plan;
	const char *path; /* NULL: do not record */
	struct hlog_writer *writer;
	bool has_begun;
	int64_t last_at, last_length; /* of the last second */
};

/* Create the file; path may be NULL. Returns false after printing an error. */
bool record_open(struct record *r, const struct plan *plan, const char *path);

void record_watch(struct record *r, const struct progress *p);

/*
 * Write what makes figures lower bounds, and that a run is incomplete; result
 * may be NULL.  Returns CLI_DONE, or CLI_FAILED after printing an error.
 */
int record_close(struct record *r, const struct result *result);

#endif
