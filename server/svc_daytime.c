/* SPDX-License-Identifier: MIT */
/*
 * The daytime service of RFC 867: one line, and the end.  Of the forms that
 * the RFC names this is the first, in UTC:
 *
 *   Friday, January 02, 2026 03:04:05-UTC
 */
#include <time.h>

#include "services.h"

static int tell_time(weir_conn *c, void *arg)
{
	char line[80];
	struct timespec now;
	struct tm utc;
	size_t len;

	(void)arg;
	/* time() would tell the last second for some ms of the new one. */
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	len = strftime(line, sizeof(line), "%A, %B %d, %Y %H:%M:%S-UTC\r\n",
		       &utc);
	return weir_conn_write(c, line, len);
}

void svc_daytime(struct weir_service *ret, const struct options *o)
{
	(void)o;
	ret->opened = tell_time;
	ret->readable = tell_time; /* there must be one; `opened` has closed */
}
