/* SPDX-License-Identifier: MIT */
/* What other programs read: JUnit, Markdown and OpenMetrics.  Main thread. */
#ifndef LOAD_CI_H
#define LOAD_CI_H

#include "../judge/gates.h"
#include "../measure/result.h"
#include "../measure/summary.h"

/*
 * A test case for each gate and one for the verdict, which fails if the run is
 * incomplete or, with --strict, NOT TRUSTWORTHY.
 */
int junit_write(const char *path, const struct result *r,
		const struct gates *gates);

int markdown_write(const char *path, const struct result *r,
		   const struct gates *gates);

/*
 * --metrics: the state of the run as OpenMetrics text, once a second.  The
 * file is replaced as a whole, so that a reader never sees a part.
 */
struct metrics_file {
	const struct plan *plan;
	const char *path;	      /* NULL: not asked for */
	uint64_t bytes_in, bytes_out; /* so far */
	int64_t written_at;	      /* the second that was written last */
	bool has_failed;	      /* which was reported */
};

void metrics_file_watch(struct metrics_file *m, const struct progress *p);

#endif
