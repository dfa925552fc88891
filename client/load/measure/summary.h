/* SPDX-License-Identifier: MIT */
/*
 * Adding up what the engines found: the seconds, then the whole.  Main thread.
 */
#ifndef LOAD_SUMMARY_H
#define LOAD_SUMMARY_H

#include <sys/resource.h>

#include "result.h"

/* What an engine found since it last handed over. */
struct interval {
	int64_t from, to;
	struct histogram *clocks[CLOCK_KINDS];
	struct counts counts;
	uint64_t errors;
	uint64_t late_ours, late_server, censored;
	int64_t late_ours_max, late_server_max, censored_min;
};

/* NULL when there is no memory. */
struct interval *interval_new(void);
void interval_free(struct interval *i);

/* Count durations that are known to be longer than age. */
static inline void interval_censor(struct interval *i, int64_t age,
				   uint64_t count)
{
	i->censored += count;
	if (age < i->censored_min)
		i->censored_min = age;
}

/* What an engine found in the whole run. */
struct engine_sums {
	struct error_table errors;
	uint64_t reopened, ended;
	uint64_t unsent;	     /* bytes of an upload not acknowledged */
	int64_t cpu_ns, measured_ns; /* from measure_at to the end */
	int64_t longest_stall;
	size_t bytes_each; /* memory of a connection */
};

/* What became of a connection. */
struct conn_sums {
	uint32_t id;
	bool is_silent, is_open, was_opened, was_asked;
	uint64_t replies;
	int64_t last_at;
};

enum run_part { RUN_CONNECTING, RUN_WARMUP, RUN_MEASURING, RUN_DRAINING };

/* What is known while it runs, once a second and at least at each change. */
struct progress {
	enum run_part part;
	int64_t elapsed;	   /* ns of the part */
	int opened;		   /* connections so far */
	uint64_t answered, errors; /* of the measured part, so far */
	const struct second *last; /* the second that has just ended, or NULL */
	/* Its samples, each NULL if not in this mode. */
	const struct histogram *clocks[CLOCK_KINDS];
};

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
	int64_t end;	     /* of the measured part; from summary_end() */
	uint64_t *replies;   /* of each connection; NULL: no memory */
	size_t replies_count;
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

/*
 * The engines have ended.  What they and their connections found is added
 * after summary_end(); summary_finish() completes the result.
 */
void summary_end(struct summary *s, int64_t end_at, int engines);
void summary_add_engine(struct summary *s, const struct engine_sums *sums);
void summary_add_conn(struct summary *s, const struct conn_sums *sums);
void summary_finish(struct summary *s);

#endif
