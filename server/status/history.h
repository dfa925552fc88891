/* SPDX-License-Identifier: MIT */
/*
 * What the graphs show: a sample for each second of the last ten minutes.  One
 * thread: the worker that serves the status.
 */
#ifndef SERVER_STATUS_HISTORY_H
#define SERVER_STATUS_HISTORY_H

#include <stdint.h>
#include <stdio.h>

#include <weir.h>

#define HISTORY_MS    1000
#define HISTORY_COUNT 600

/* A sample is what has changed since the last call. */
void history_add(const struct weir_stats *now, int64_t at_ms);

/*
 * Write the samples numbered after since as members of a JSON object: "seq",
 * the number of the last one, and an array for each figure.
 */
void history_write(FILE *to, uint64_t since);

/*
 * A quantile of the durations between snapshots a and b, in seconds; 0: there
 * are none.  Those in one bucket are taken to be spread evenly.
 */
double history_quantile(const uint64_t a[WEIR_BUCKETS],
			const uint64_t b[WEIR_BUCKETS], double share);

#endif
