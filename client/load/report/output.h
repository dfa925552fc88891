/* SPDX-License-Identifier: MIT */
/*
 * Output files: checked before the run, written after it; --hlog is written as
 * the seconds end.  Main thread.
 */
#ifndef LOAD_OUTPUT_H
#define LOAD_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "../measure/summary.h"

struct gates;
struct hlog_writer;

struct output {
	const char *option; /* "json" */
	const char *path;   /* "-": standard output; NULL: not asked for */
	/*
	 * Write it after the run; NULL: it is written during the run.  Returns
	 * CLI_DONE, or CLI_FAILED after printing an error.
	 */
	int (*write)(const char *path, const struct result *r,
		     const struct gates *gates);
};

/* path may be NULL */
bool output_is_standard(const char *path);

/*
 * Missing files are created, existing ones keep their content for now.  Returns
 * false after printing an error, also if two are one file.
 */
bool outputs_check(const struct output *outputs, size_t count);

/* Returns CLI_DONE, or CLI_FAILED after printing an error. */
int output_write(const char *path, const char *text, size_t len);

/* The seconds of a run as an HdrHistogram log. */
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
