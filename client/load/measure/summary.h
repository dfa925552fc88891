/* SPDX-License-Identifier: MIT */
/*
 * Adding up what the engines found, first the seconds, then the run.  Main
 * thread.
 */
#ifndef LOAD_SUMMARY_H
#define LOAD_SUMMARY_H

#include <sys/resource.h>

#include "result.h"

/* What an engine found since its last hand-over. */
struct interval {
	int64_t from, to;
	struct histogram *clocks[CLOCK_KINDS];
	struct histogram *without_lag; /* see struct result */
	struct counts counts;
	uint64_t failed; /* connections */
	struct error_table errors;
	uint64_t reopened, ended; /* connections */
	uint64_t late_ours, late_server;
	int64_t late_ours_max, late_server_max;
	int64_t handshake_lag; /* see struct self */
	struct censored censored[CENSORED_CLOCKS];
};

struct interval *interval_new(void);
void interval_free(struct interval *i);

/* Count messages that took longer than age. */
static inline void interval_censor(struct interval *i, enum clock_kind kind,
				   int64_t age, uint64_t count)
{
	struct censored *c = &i->censored[kind];

	c->count += count;
	if (age < c->min)
		c->min = age;
}

struct engine_sums {
	struct bad_reply first_bad;
	const char *tls_why; /* see struct result */
	int64_t unsent; /* bytes of an upload not acknowledged: those at the
			   end, less those when measuring began */
	int64_t cpu_ns, measured_ns; /* of the measured part */
	int64_t longest_stall;
	int64_t last_sent_at; /* the latest measured message */
	int64_t after_ns;     /* see struct conn_counts */
	size_t bytes_each;    /* memory for each */
};

struct conn_sums {
	uint32_t id;
	bool is_silent, is_open, is_over, was_opened, was_asked, is_waiting;
	uint64_t replies;
	int64_t last_at;
	int64_t down_at, down_ns; /* see struct conn */
	int64_t pause_at, paused_ns, rested_ns;
	int64_t sent_at; /* when the last message of a count was; NEVER: no */
};

enum run_part { RUN_CONNECTING, RUN_WARMUP, RUN_MEASURING, RUN_DRAINING };

/* The state of the run, once a second and at each change. */
struct progress {
	enum run_part part;
	int64_t elapsed; /* of the part, ns */
	int opened;
	uint64_t answered, errors;   /* so far, as in the result */
	const struct second *last;   /* the second that just ended, or NULL */
	const struct result *so_far; /* counts and clocks, of all seconds */
	/* Samples of that second; NULL: not used in this mode. */
	const struct histogram *clocks[CLOCK_KINDS];
	const struct censored *censored; /* of it, by CENSORED_CLOCKS */
};

struct summary {
	struct result *result;
	struct histogram *second[CLOCK_KINDS];	   /* the current second */
	struct censored censored[CENSORED_CLOCKS]; /* of it */
	struct counts counts;			   /* of it */
	bool is_measuring;		/* its first piece was seen */
	uint64_t second_failed, failed; /* connections, of it and of all */
	int64_t from, to;		/* of it, CLOCK_MONOTONIC */
	int64_t ended_at;		/* when the one before it ended */
	int64_t end_at;			/* when the measured part ends */
	int64_t measure_at, bad_clients_from, bad_clients_to;
	size_t seconds_cap;
	/* When measuring began and ended; set before summary_end(). */
	struct rusage usage_from, usage_to;
	int64_t end;	   /* of the measured part; set by summary_end() */
	uint64_t *replies; /* of each connection; NULL: no memory */
	size_t replies_count;
};

/* s->result must be set.  Returns 0 or -ENOMEM. */
int summary_init(struct summary *s, const struct plan *plan);
void summary_fini(struct summary *s);

void summary_start(struct summary *s, int64_t measure_at);
void summary_set_bad_clients(struct summary *s, int64_t from, int64_t to);

/* Add an interval to the second and the result, and clear it. */
void summary_add(struct summary *s, struct interval *i);

/*
 * End the second.  Returns its row, after which summary_begin_second() must be
 * called, or NULL if it is too short: its figures join the next second.
 */
const struct second *summary_end_second(struct summary *s, int open,
					bool is_last);
void summary_begin_second(struct summary *s);

/*
 * After the engines have ended: add their sums and those of their connections
 * after summary_end(); summary_finish() completes the result.
 */
void summary_end(struct summary *s, int64_t end_at, int engines);
void summary_add_engine(struct summary *s, const struct engine_sums *sums);
void summary_add_conn(struct summary *s, const struct conn_sums *sums);
void summary_finish(struct summary *s);

#endif
