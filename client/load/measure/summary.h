/* SPDX-License-Identifier: MIT */
/*
 * Adding up what the engines found: the seconds, then the whole.  Main thread.
 */
#ifndef LOAD_SUMMARY_H
#define LOAD_SUMMARY_H

#include <sys/resource.h>

#include "../engine/engine.h"
#include "result.h"

struct summary {
	struct result *result;
	struct histogram *second[CLOCK_KINDS]; /* of the second under way */
	struct counts counts;		       /* of it */
	bool is_measuring; /* the first piece of it has been seen */
	uint64_t second_errors, errors; /* of it, and of all */
	int64_t from, to;		/* of it, CLOCK_MONOTONIC */
	int64_t ended_at;		/* the one before it */
	int64_t measure_at, bad_clients_from, bad_clients_to;
	size_t seconds_cap;
	struct rusage usage; /* when measuring began */
};

/* The result is set already; -ENOMEM. */
int summary_init(struct summary *s, const struct plan *plan);
void summary_fini(struct summary *s);

/* When the measured part begins. */
void summary_start(struct summary *s, int64_t measure_at);
void summary_set_bad_clients(struct summary *s, int64_t from, int64_t to);

/* Add an interval to the second and the result, and clear it. */
void summary_add(struct summary *s, struct interval *i);

/*
 * The second is over, which may be the last: its row, or NULL if it makes
 * none.  A row stays in s until summary_begin_second(); what makes none has to
 * stay, and goes into the next.
 */
const struct second *summary_end_second(struct summary *s, int open,
					bool is_last);
void summary_begin_second(struct summary *s);

/* All the rest, of engines that have ended. */
void summary_finish(struct summary *s, const struct engine *engines, int count,
		    int64_t end_at);

#endif
