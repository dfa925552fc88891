/* SPDX-License-Identifier: MIT */
/*
 * The message sink: prints one message of each client on standard output and
 * closes.  Messages are not framed: a message is what has arrived when a worker
 * reads, up to SERVICE_MESSAGE bytes.
 */
#include "services.h"

static int collect(weir_conn *c, void *arg)
{
	char message[SERVICE_MESSAGE];
	ssize_t n = weir_conn_read(c, message, sizeof(message));

	(void)arg;
	if (n <= 0)
		return (int)n;
	service_print("collect: ", message, (size_t)n);
	return 0;
}

void svc_collect(struct weir_service *ret, const struct options *o)
{
	(void)o;
	ret->readable = collect;
}
