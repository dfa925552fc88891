/* SPDX-License-Identifier: MIT */
/*
 * One thread of the load: an epoll loop over its connections.  run.c starts
 * engines, takes their figures each second and ends them.
 */
#ifndef LOAD_ENGINE_H
#define LOAD_ENGINE_H

#include "state.h"

/*
 * Set up engine number; it gets every threads-th connection.  Returns 0 or
 * -errno; call engine_fini() in any case.
 */
int engine_init(struct engine *e, struct control *control, int number);
void engine_fini(struct engine *e);
int engine_start(struct engine *e);

/*
 * Start a thread with a stack of its own size: the default size is the stack
 * limit of the process, which may be too small.  Returns 0 or -errno.
 */
int engine_thread(pthread_t *ret, void *(*main)(void *), void *arg);

/* Add the connections to the summary, once the thread has ended. */
void engine_count_conns(const struct engine *e, struct summary *s);

/* Have the engine look at the control. */
void engine_wake(struct engine *e);

#endif
