/* SPDX-License-Identifier: MIT */
/*
 * The log: a line per event on standard error,
 *
 *   2026-01-02T03:04:05.678Z info connection 17 from 127.0.0.1:50312
 *
 * in UTC and printable ASCII.  A line is dropped when standard error does not
 * take it, or when its level has had JOURNAL_PER_SECOND within this second: no
 * crowd of clients fills a disk.  The next one that gets through is preceded
 * by their number.  Any thread, after journal_start().
 */
#ifndef SERVER_JOURNAL_H
#define SERVER_JOURNAL_H

#include <stdbool.h>

#include <weir.h>

/* Lines of one level; those of the library have limits of their own. */
#define JOURNAL_PER_SECOND 100

/* Before any thread.  level: the most verbose one wanted, WEIR_LOG_... */
void journal_start(int level);

bool journal_wants(int level);

/* For weir_config.log. */
weir_log journal_sink;

void journal(int level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* When no more comes: tell what was dropped. */
void journal_end(void);

/* "error" and so on; NULL for a number that is no level. */
const char *journal_level_name(int level);

#endif
