/* SPDX-License-Identifier: MIT */
/*
 * The control socket: a Unix socket on which an operator asks the server for
 * something.  A request is a line, as in "stats --json".  The reply is a line,
 * "ok" or "error" and a reason, then the text asked for, and CONTROL_END, which
 * a reply that was cut lacks.
 *
 * It is served by a weir_server of its own, so it answers while all workers of
 * the other are busy, and its clients are not counted there.  Main thread.
 */
#ifndef SERVER_CONTROL_H
#define SERVER_CONTROL_H

#include <weir.h>

#define CONTROL_DEFAULT "/run/weir-server/control"

#define CONTROL_REQUEST_MOST 1024

/* The last line of a reply. */
#define CONTROL_END "end\n"

/* path NULL: no socket.  Returns CLI_DONE, or another exit status. */
int control_open(const char *path, weir_server *s);

int control_start(void);

/* The server has ended.  Requests under way get their answer. */
void control_end(void);

#endif
