/* SPDX-License-Identifier: MIT */
/* One run. */
#ifndef LOAD_RUN_H
#define LOAD_RUN_H

#include "engine/target.h"
#include "measure/summary.h"

/* Called on the main thread. */
typedef void run_watch(void *arg, const struct progress *p);

/* Free *ret with result_free().  Returns the exit status. */
int run(struct result *ret, const struct plan *plan,
	const struct target *target, run_watch *watch, void *arg);

/*
 * End the run early, waiting for replies under way; the second time, at once.
 * Without a run, the next one ends at once.  Any thread; async-signal-safe.
 */
void run_interrupt(void);

/* From a watcher: end the run early, because no gate can pass any more. */
void run_stop(void);

/*
 * SIGINT and SIGTERM end the run early, the third one the program.  Call it
 * after the target has been resolved: until then they end the program.
 */
void run_catch_signals(void);

/* Checked before a run: fewer connections than asked for make it worthless. */
struct limits {
	size_t descriptors, descriptors_allowed;
	size_t connections;
	size_t ports; /* of a source address for one target; 0: none needed */
};

void limits_find(struct limits *ret, const struct plan *plan);

/*
 * Raise the descriptor limit if needed.  targets: the addresses connected to,
 * 0 if not known.  CLI_USAGE: the plan needs more.
 */
int limits_prepare(const struct plan *plan, size_t targets);

#endif
