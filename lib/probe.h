/* SPDX-License-Identifier: MIT */
/*
 * Static probes (USDT) for bpftrace, perf and gdb, if configure found
 * sys/sdt.h.  An unused probe is one nop; without sys/sdt.h the arguments are
 * not evaluated.
 */
#ifndef WR_PROBE_H
#define WR_PROBE_H

#ifdef HAVE_SDT
#include <sys/sdt.h>
#define WR_PROBE2(name, a, b) DTRACE_PROBE2(weir, name, a, b)
#else
#define WR_PROBE2(name, a, b) ((void)0)
#endif

#endif
