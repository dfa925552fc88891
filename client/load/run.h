/* SPDX-License-Identifier: MIT */
/*
 * One run: threads, ticks of a second, the end, the sum.
 */
#ifndef LOAD_RUN_H
#define LOAD_RUN_H

#include "engine/target.h"
#include "measure/summary.h"

/* Called on the main thread. */
typedef void run_watch(void *arg, const struct progress *p);

/*
 * Do what the plan says; *ret is to be freed with result_free().  Returns
 * CLI_DONE, or the exit status after a complaint when it could not be done:
 * no memory, no thread, a system call that is refused.
 */
int run(struct result *ret, const struct plan *plan,
	const struct target *target, run_watch *watch, void *arg);

/*
 * End the run early: replies that are under way are waited for, until it is
 * said again.  If none is under way, end the next one at once.  Any thread;
 * async-signal-safe.
 */
void run_interrupt(void);

/*
 * Let SIGINT and SIGTERM end the run early, with a report; the third of them
 * ends the program.  Not to be called before the target has been looked up,
 * which an interruption ends at once.
 */
void run_catch_signals(void);

#endif
