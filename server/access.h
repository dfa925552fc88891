/* SPDX-License-Identifier: MIT */
/*
 * A line in the journal when a connection begins and one when it ends, for
 * any service:
 *
 *   connection 17 from 127.0.0.1:50312 to echo@127.0.0.1:7
 *   connection 17 from 127.0.0.1:50312 to echo@127.0.0.1:7 ended after 2.004 s
 *   (12 bytes in, 12 out): the client has closed
 *
 * It stands between the library and the callbacks of the service.
 */
#ifndef SERVER_ACCESS_H
#define SERVER_ACCESS_H

#include <weir.h>

struct access_log; /* of one listener */

/*
 * Put it between: *service gets its callbacks.  NULL after a complaint, or
 * if the journal does not want such lines; then *service is as it was.
 * It lives as long as the process.
 */
struct access_log *access_log_new(struct weir_service *service);

/* Before the start: what the lines call the listener. */
void access_log_name(struct access_log *log, const char *service,
		     const char *address);

#endif
