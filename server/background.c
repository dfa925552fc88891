/* SPDX-License-Identifier: MIT */
#include "background.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

struct held {
	void *(*main)(void *);
	void *arg;
};

static struct held *held;
static size_t held_count;
static bool is_released;

static int hold(void *(*main)(void *), void *arg)
{
	struct held *more = realloc(held, (held_count + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	held = more;
	held[held_count++] = (struct held){ main, arg };
	return 0;
}

static int start_thread(void *(*main)(void *), void *arg)
{
	sigset_t all, before;
	pthread_t thread;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&thread, NULL, main, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		pthread_detach(thread);
	return -rc;
}

int background_start(void *(*main)(void *), void *arg)
{
	return is_released ? start_thread(main, arg) : hold(main, arg);
}

int background_release(void)
{
	int rc = 0;

	is_released = true;
	for (size_t i = 0; i < held_count && rc == 0; i++)
		rc = start_thread(held[i].main, held[i].arg);
	free(held);
	held = NULL;
	return rc;
}

void background_cond_init(pthread_cond_t *c)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(c, &monotonic);
	pthread_condattr_destroy(&monotonic);
}
