/* SPDX-License-Identifier: MIT */
/*
 * Threads that nobody waits for: they end with the process.
 */
#ifndef SERVER_BACKGROUND_H
#define SERVER_BACKGROUND_H

#include <pthread.h>

/* The thread blocks all signals; it begins after background_release(). */
int background_start(void *(*main)(void *), void *arg);

/* From now on there may be threads.  Main thread, once.  0 or -errno. */
int background_release(void);

/* For timed waits by the monotonic clock. */
void background_cond_init(pthread_cond_t *c);

#endif
