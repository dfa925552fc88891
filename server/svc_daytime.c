/* SPDX-License-Identifier: MIT */
/*
 * The daytime service of RFC 867: sends one line and closes.  The first of the
 * forms in the RFC, in UTC:
 *
 *   Friday, January 02, 2026 03:04:05-UTC
 */
#include <time.h>

#include "services.h"

static int send_time(weir_conn *c, void *arg)
{
	char line[80];
	struct timespec now;
	struct tm utc;
	size_t len;

	(void)arg;
	/* time() may lag by some milliseconds. */
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	len = strftime(line, sizeof(line), "%A, %B %d, %Y %H:%M:%S-UTC\r\n",
		       &utc);
	return weir_conn_write(c, line, len);
}

void svc_daytime(struct weir_service *ret, const struct options *o)
{
	(void)o;
	ret->opened = send_time;
	ret->readable = send_time; /* required; never called */
}
