/* SPDX-License-Identifier: MIT */
/*
 * The library without its bookkeeping, to measure what that costs.  Included
 * before the sources on the path of a message (see bench/build), this removes
 * counters, histograms, deadlines, the clock that they read and the log.  Not
 * for use: nothing times out, and the ledger is empty.
 *
 * KEEPS_DEADLINES is for the source that defines their functions.
 */
#ifndef STRIPPED_H
#define STRIPPED_H

#include "clock.h"
#include "conn.h"
#include "log.h"
#include "stats.h"

#define wr_now_ns()			      0
#define wr_count(stats, counter, n)	      ((void)(stats), (void)(counter), (void)(n))
#define wr_count_own(counter, n)	      ((void)(counter), (void)(n))
#define wr_count_duration(durations, took)    ((uint64_t)(took))
#define wr_log_allows(log, limit, per_second) (false)

#ifndef KEEPS_DEADLINES
#define wr_conn_due_at(c)      WR_NEVER_AT
#define wr_conn_set_due(c, at) ((void)(at))
#endif

#endif
