/* SPDX-License-Identifier: MIT */
/*
 * Lines are cut at the buffer's end.  Bytes other than printable ASCII become
 * '?', so that no peer can forge a line or control a terminal.
 */
#include "log.h"

#include <stdio.h>

#include "clock.h"

void wr_logf(struct wr_logger *log, int level, const char *format, ...)
{
	char line[512];
	va_list ap;

	if (log->sink == NULL || level > *log->level)
		return;
	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	for (char *p = line; *p != '\0'; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	atomic_fetch_add(&log->writing, 1);
	log->sink(level, line, log->arg);
	atomic_fetch_sub(&log->writing, 1);
}

bool wr_log_allows(struct wr_logger *log, struct wr_log_limit *limit,
		   uint32_t per_second)
{
	int64_t now = wr_now_ns() / 1000000000LL;
	int64_t second = atomic_load(&limit->second);

	/* A race here only allows a few lines more. */
	if (second != now &&
	    atomic_compare_exchange_strong(&limit->second, &second, now))
		atomic_store(&limit->count, 0);
	if (atomic_fetch_add(&limit->count, 1) < per_second)
		return true;
	atomic_fetch_add(&log->dropped, 1);
	return false;
}
