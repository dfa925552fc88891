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
	const char *path; /* NULL: nothing is recorded */
	struct hlog_writer *writer;
	bool has_begun;
};

/* Make the file.  Complains; path may be NULL. */
bool record_open(struct record *r, const struct plan *plan, const char *path);

/* A second has ended, or something else has happened. */
void record_watch(struct record *r, const struct progress *p);

/* Returns CLI_DONE, or CLI_FAILED after a complaint. */
int record_close(struct record *r);

#endif
