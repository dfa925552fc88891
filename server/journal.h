/* SPDX-License-Identifier: MIT */
/*
 * The log: a line per event on standard error, in UTC and printable ASCII:
 *
 *   2026-01-02T03:04:05.678Z info connection 17 from 127.0.0.1:50312
 *
 * A line is dropped if standard error does not take it.  So that clients cannot
 * fill a disk, a line about a client is dropped as well if its level has had
 * JOURNAL_PER_SECOND of them this second; lines about the server never are.
 * The number of dropped lines is logged before the next line.  Any thread,
 * after journal_start().
 */
#ifndef SERVER_JOURNAL_H
#define SERVER_JOURNAL_H

#include <stdatomic.h>
#include <stdbool.h>

#include <weir.h>

/* About clients, for each level; the library limits its own lines. */
#define JOURNAL_PER_SECOND 100

struct limit {
	unsigned most;	     /* lines a second */
	atomic_llong second; /* of the monotonic clock */
	atomic_uint count;   /* of the lines in it */
};

/* Any thread.  If two begin the second at once, a few more lines pass. */
bool limit_allows(struct limit *l);

/* Before any thread.  level is the most verbose one shown, WEIR_LOG_... */
void journal_start(int level);

bool journal_wants(int level);

void journal_set_level(int level);
int journal_level(void);

weir_log_fn journal_sink;

/* About the server: what it does, what fails. */
void journal(int level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* About a client, or about something that clients can cause at will. */
void journal_client(int level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

unsigned long long journal_dropped(void);

/* After the last line: log how many were dropped. */
void journal_end(void);

/* "error" and so on; NULL if there is no such level. */
const char *journal_level_name(int level);

/* -1: there is none. */
int journal_level_of(const char *name);

#endif
