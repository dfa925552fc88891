/* SPDX-License-Identifier: MIT */
/*
 * The failure sweep: small lives of a server ("scenes"), in each of which any
 * one call of the library to the system may fail.
 *
 * A scene is played first with nothing failing, and every call that it
 * reaches is written down; then again for each of them, with that call
 * failing.  Calls are told apart by their kind, the way the program came to
 * them (the functions on the stack) and how often it had come that way: an
 * ordinal alone means something else each time threads run.
 *
 * Each life is a process of its own, so that a crash is one failure and what
 * a life leaves behind can be counted.
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
	SWEEP_SPELL, /* from then on, until the clients are through */
	SWEEP_ON,    /* from then on, to the end */
	SWEEP_MODES
};

#define SWEEP_NOTHING WR_SYS_CALL_COUNT /* as the call: nothing fails */
#define SWEEP_SHORT   0			/* as the error: one byte at a time */

struct sweep_plan {
	enum wr_sys_call call;
	uint32_t stack;
	int nth; /* from 1 */
	enum sweep_mode mode;
	int error; /* -errno or SWEEP_SHORT */
};

#define SWEEP_DEPTH 5

/* A way to a call, and how often it was gone. */
struct sweep_stack {
	enum wr_sys_call call;
	uint32_t stack;
	int count;
	uintptr_t from[SWEEP_DEPTH]; /* where on it, the innermost first */
};

/* What a life tells its parent: in memory that both see. */
struct sweep_trace {
	atomic_int made; /* failures so far */
	int stack_count;
	struct sweep_stack stacks[1024];
};

/* The library asks us from here on, in this process. */
void sweep_install(const struct sweep_plan *plan, struct sweep_trace *trace);
const struct sweep_plan *sweep_planned(void);
int sweep_failures(void);
bool sweep_is_on(void); /* something fails again and again just now */
void sweep_lift(void);	/* it does not any more */
int sweep_blocks(void); /* of memory that the library has just now */

/* True if no client may notice a failure with this error. */
bool sweep_is_harmless(int error);
const char *sweep_error_name(int error);
int sweep_error_named(const char *name); /* > 0: there is none */
const char *const *sweep_mode_names(void);

/* The errors that the system may give for this call, ended by > 0. */
const int *sweep_errors(enum wr_sys_call call);
/* False for those that would be no error, but another kind of hang. */
bool sweep_may_last(enum wr_sys_call call, int error);

/* --------------------------------------------------------------- the scenes */

struct sweep_scenario {
	const char *name;
	void (*run)(void);
};

extern const struct sweep_scenario sweep_scenarios[]; /* ended by name NULL */

/* The life has failed: says why on standard error and ends the process. */
void sweep_fail(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

/* ------------------------------------------------------------------ to play */

struct sweep_counts {
	int runs;
	int idle;   /* of them those in which the call was not reached */
	int failed; /* and those that went wrong: each was told on stderr */
	int stacks;
	int64_t longest_ms;
};

/*
 * All lives of a scene, or every step-th of them beginning with that of
 * number first; adds to the books.
 */
void sweep_run(const struct sweep_scenario *scenario, int first, int step,
	       struct sweep_counts *counts);

/* That one; true if it went well. */
bool sweep_rerun(const struct sweep_scenario *scenario,
		 const struct sweep_plan *plan);

#endif
