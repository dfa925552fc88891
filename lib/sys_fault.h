/* SPDX-License-Identifier: MIT */
/*
 * The shape of every wrapper of sys.h, for the files that hold them: ask for
 * a fault, then make the call, then turn errno into a result.  Where a signal
 * must not end the call, a loop goes round both, so that an injected EINTR is
 * answered like a real one.
 *
 * Every descriptor is born close-on-exec in the call that makes it: another
 * thread may fork and exec between any two calls.
 */
#ifndef WR_SYS_FAULT_H
#define WR_SYS_FAULT_H

#include <errno.h>

#include "sys.h"

/* 0, or the -errno to fail with; *len may be made less. */
#ifdef WR_FAULTS
#define WR_FAULT(name, len)                                                    \
	(wr_sys_fault ? wr_sys_fault(WR_SYS_##name, len) : 0)
#else
#define WR_FAULT(name, len) 0
#endif

static inline int wr_result(int rc)
{
	return rc < 0 ? -errno : rc;
}

static inline ssize_t wr_size_result(ssize_t n)
{
	return n < 0 ? -errno : n;
}

#endif
