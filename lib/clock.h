/* SPDX-License-Identifier: MIT */
/* Monotonic time in ns.  Deadlines are absolute; WR_NEVER_AT never comes. */
#ifndef WR_CLOCK_H
#define WR_CLOCK_H

#include <stdint.h>
#include <time.h>

#define WR_NS_PER_MS 1000000LL
#define WR_NEVER_AT  INT64_MAX

static inline int64_t wr_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static inline int64_t wr_deadline_at(int64_t now_ns, int ms)
{
	return ms < 0 ? WR_NEVER_AT : now_ns + (int64_t)ms * WR_NS_PER_MS;
}

/* A timeout for poll(2); rounded up, so at has passed when it ends. */
static inline int wr_ms_until(int64_t at, int64_t now_ns)
{
	int64_t ms;

	if (at == WR_NEVER_AT)
		return -1;
	if (at <= now_ns)
		return 0;
	ms = (at - now_ns + WR_NS_PER_MS - 1) / WR_NS_PER_MS;
	return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

#endif
