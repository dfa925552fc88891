/* SPDX-License-Identifier: MIT */
/*
 * The log: a line per event on standard error,
 *
 *   2026-01-02T03:04:05.678Z info connection 17 from 127.0.0.1:50312
 *
 * in UTC and printable ASCII.  When standard error does not take a line it is
 * dropped; the next one that gets through is preceded by their number.
 * Any thread, after journal_start().
 */
#ifndef SERVER_JOURNAL_H
#define SERVER_JOURNAL_H

#include <stdbool.h>

#include <weir.h>

/* Before any thread.  level: the most verbose one wanted, WEIR_LOG_... */
void journal_start(int level);

bool journal_wants(int level);

/* For weir_config.log. */
weir_log journal_sink;

void journal(int level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* "error" and so on; NULL for a number that is no level. */
const char *journal_level_name(int level);

#endif
