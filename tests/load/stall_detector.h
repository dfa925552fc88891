/* SPDX-License-Identifier: MIT */
/*
 * Detects stalls of the machine: a thread on each processor wants to run every
 * millisecond.  A measurement during a stall is worthless.
 */
#ifndef TESTS_LOAD_STALL_DETECTOR_H
#define TESTS_LOAD_STALL_DETECTOR_H

#include <stdint.h>

struct stall_detector;

struct stall_detector *stall_detector_start(void);

/* Returns the longest time that one of them did not run, in ms. */
int64_t stall_detector_stop(struct stall_detector *w);

#endif
