/* SPDX-License-Identifier: MIT */
/*
 * The library without its bookkeeping, to see what that costs: included ahead
 * of the sources that a message passes through (see bench/build), this takes
 * out counters, histograms, deadlines, the clock that they read and the log.
 * No server is to run like this: nothing times out and its ledger is empty.
 *
 * KEEPS_DEADLINES is for the source that defines their functions.
 */
#ifndef STRIPPED_H
#define STRIPPED_H

#include "clock.h"
#include "conn.h"
#include "log.h"
#include "stats.h"

#define wr_now_ns()				 0
#define wr_count(lane, counter, n)		 ((void)(lane), (void)(counter), (void)(n))
#define wr_count_duration(lane, histogram, took) ((void)(took))
#define wr_log_allows(log, limit, per_second)	 (false)

#ifndef KEEPS_DEADLINES
#define wr_conn_due_at(c)      WR_NEVER_AT
#define wr_conn_set_due(c, at) ((void)(at))
#endif

#endif
