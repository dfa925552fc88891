/* SPDX-License-Identifier: MIT */
/*
 * The failure sweep.  A scenario is a short story of a server.  It runs once
 * without failures, and every system call that the library makes is recorded;
 * then once for each of these calls, with that call failing.
 *
 * A call is identified by its kind, its call stack and how often that stack has
 * occurred: an ordinal alone depends on how threads are scheduled.
 *
 * Each run is a process, so that a crash is one failure and leaks can be
 * counted.
 */
#ifndef TESTS_SWEEP_SWEEP_H
#define TESTS_SWEEP_SWEEP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sys.h"
#include "weir.h"

/* ----------------------------------------------------------- what may fail */

enum sweep_mode {
	SWEEP_ONCE,
	SWEEP_SPELL, /* from then on, until the clients are done */
	SWEEP_ON,    /* from then on, to the end */
	SWEEP_MODES
};

#define SWEEP_NOTHING WR_SYS_CALL_COUNT /* as the call: none fails */
#define SWEEP_SHORT   0			/* as the error: one byte at a time */

struct sweep_plan {
	enum wr_sys_call call;
	uint32_t stack;
	int nth; /* from 1 */
	enum sweep_mode mode;
	int error; /* -errno or SWEEP_SHORT */
};

#define SWEEP_DEPTH 5

/* A call stack, and how often it was seen. */
struct sweep_stack {
	enum wr_sys_call call;
	uint32_t stack;
	int count;
	uintptr_t from[SWEEP_DEPTH]; /* return addresses, innermost first */
};

/* What a run reports to its parent, in shared memory. */
struct sweep_trace {
	atomic_int made; /* failures so far */
	int stack_count;
	struct sweep_stack stacks[1024];
};

/* From now on the library calls the hook, in this process. */
void sweep_install(const struct sweep_plan *plan, struct sweep_trace *trace);
const struct sweep_plan *sweep_planned(void);
int sweep_failures(void);
bool sweep_is_on(void); /* is something failing again and again? */
void sweep_lift(void);	/* end that */
int sweep_blocks(void); /* of memory that the library holds */

/* Must a failure with this error go unnoticed by all clients? */
bool sweep_is_harmless(int error);
const char *sweep_error_name(int error);
int sweep_error_named(const char *name); /* > 0: no such error */
const char *const *sweep_mode_names(void);

/* The errors to try for this call, ended by > 0. */
const int *sweep_errors(enum wr_sys_call call);
/* False for errors that cannot last: the run would only hang. */
bool sweep_may_last(enum wr_sys_call call, int error);

/* --------------------------------------------------------------- the scenes */

struct sweep_scenario {
	const char *name;
	void (*run)(void);
};

extern const struct sweep_scenario sweep_scenarios[]; /* ended by name NULL */

/* Print why this run has failed and end the process. */
void sweep_fail(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

/* ------------------------------------------------------------------ to play */

struct sweep_counts {
	int runs;
	int idle;   /* runs in which the call was not reached */
	int failed; /* runs that failed: each is reported on stderr */
	int stacks;
	int64_t longest_ms;
};

/*
 * Run a scenario with every step-th plan from number first on; adds to the
 * counts.
 */
void sweep_run(const struct sweep_scenario *scenario, int first, int step,
	       struct sweep_counts *counts);

/* Run one plan; true if it passes. */
bool sweep_rerun(const struct sweep_scenario *scenario,
		 const struct sweep_plan *plan);

#endif
