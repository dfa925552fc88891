/* SPDX-License-Identifier: MIT */
/*
 * One thread of the load: an epoll loop over its connections.  run.c starts
 * engines, takes their figures each second and ends them.
 */
#ifndef LOAD_ENGINE_H
#define LOAD_ENGINE_H

#include "state.h"

/*
 * Set up the number-th engine; of all connections it has each threads-th.
 * Returns 0 or -errno; undo with engine_fini() in any case.
 */
int engine_init(struct engine *e, struct control *control, int number);
void engine_fini(struct engine *e);
int engine_start(struct engine *e);

/*
 * Begin a thread of the load, with a stack of its own size: the default one
 * is as large as the stack limit of the process, which may be too little.
 * Returns 0 or -errno.
 */
int engine_thread(pthread_t *ret, void *(*main)(void *), void *arg);

/* Add its connections to the summary, when the thread has ended. */
void engine_count_conns(const struct engine *e, struct summary *s);

/* Have it look at the control. */
void engine_wake(struct engine *e);

/* conn_open.c */

#endif
