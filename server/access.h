/* SPDX-License-Identifier: MIT */
/*
 * A log line when a connection begins and one when it ends, for any service:
 *
 *   connection 17 from 127.0.0.1:50312 to echo@127.0.0.1:7
 *   connection 17 from 127.0.0.1:50312 to echo@127.0.0.1:7 ended after 2.004 s
 *   (12 bytes in, 12 out): the client has closed
 */
#ifndef SERVER_ACCESS_H
#define SERVER_ACCESS_H

#include <weir.h>

struct access_log; /* of one listener */

/*
 * Wrap the callbacks of *service.  Returns NULL and leaves *service alone if
 * the log does not show such lines or there is no memory, which is logged.
 * The result lives as long as the process.
 */
struct access_log *access_log_new(struct weir_service *service);

/* Before the start: how the lines name the listener. */
void access_log_name(struct access_log *log, const char *service,
		     const char *address);

#endif
