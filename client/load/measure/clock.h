/* SPDX-License-Identifier: MIT */
/* Times of a run: CLOCK_MONOTONIC, in ns. */
#ifndef LOAD_CLOCK_H
#define LOAD_CLOCK_H

#include <stdint.h>
#include <time.h>

#define MS     INT64_C(1000000)
#define SECOND (1000 * MS)
#define NEVER  INT64_MAX

static inline int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

#endif
