/* SPDX-License-Identifier: MIT */
/*
 * The log of connections, for any service.  In the journal it has a line when a
 * connection begins and one when it ends:
 *
 *   connection 17 from 127.0.0.1:50312 to echo@127.0.0.1:7
 *   connection 17 from 127.0.0.1:50312 to echo@127.0.0.1:7 ended after 2.004 s
 *   (12 bytes in, 12 out): the client has closed
 *
 * With --access-log it has one line for each, at its end: logfmt, folded here,
 * or JSON with the same fields.
 *
 *   time=2026-01-02T03:04:07.682Z service=echo listener=127.0.0.1:7
 *   peer=127.0.0.1:50312 id=17 start=2026-01-02T03:04:05.678Z duration=2.004
 *   received=12 sent=12 end=peer
 *
 * If a proxy has told the client's address, that of the proxy follows it, after
 * " via " or in a field via.
 */
#ifndef SERVER_ACCESS_H
#define SERVER_ACCESS_H

#include <stdbool.h>

#include <weir.h>

/* --access-log writes at most this many lines a second. */
#define ACCESS_PER_SECOND 1000

enum access_lines {
	ACCESS_JOURNAL, /* two lines of level info */
	ACCESS_OFF,
	ACCESS_ERRORS, /* one, unless the connection was completed */
	ACCESS_ALL     /* one */
};

/* Before any listener. */
void access_start(enum access_lines lines, bool as_json);

unsigned long long access_dropped(void);

/* After the last line: log how many were left out. */
void access_end(void);

struct access_log; /* of one listener */

/*
 * Wrap the callbacks of *service.  Returns NULL if the log has no lines for
 * connections, or there is no memory, which is logged.  The result lives as
 * long as the process.
 */
struct access_log *access_log_new(struct weir_service *service);

/* Before the start: how the lines name the listener. */
void access_log_name(struct access_log *log, const char *service,
		     const char *address);

#endif
