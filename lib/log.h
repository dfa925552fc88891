/* SPDX-License-Identifier: MIT */
/* Log lines to the program's sink.  Any thread, no lock held. */
#ifndef WR_LOG_H
#define WR_LOG_H

#include <stdatomic.h>

#include "base.h"
#include "weir.h"

struct wr_logger {
	weir_log_fn *sink; /* NULL: silent */
	void *arg;
	const _Atomic int *level;
	_Atomic int writing; /* threads in the sink */
	_Atomic uint64_t dropped;
};

struct wr_log_limit {
	_Atomic int64_t second;
	_Atomic uint32_t count;
};

void wr_logf(struct wr_logger *log, int level, const char *format, ...)
	WEIR_PRINTF(3, 4);

bool wr_log_allows(struct wr_logger *log, struct wr_log_limit *limit,
		   uint32_t per_second);

#endif
