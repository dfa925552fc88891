/* SPDX-License-Identifier: MIT */
/*
 * Who knows when the machine itself stood still: a thread on each processor
 * that wants to run each millisecond.  A measurement taken meanwhile says
 * nothing of what was measured.
 */
#ifndef TESTS_LOAD_STALL_DETECTOR_H
#define TESTS_LOAD_STALL_DETECTOR_H

#include <stdint.h>

struct stall_detector;

struct stall_detector *stall_detector_start(void);

/* Returns for how long, at the worst, one of them was not let run, ms. */
int64_t stall_detector_stop(struct stall_detector *w);

#endif
