/* SPDX-License-Identifier: MIT */
/*
 * The echo service of RFC 862: sends back what it receives.
 */
#include "services.h"

static int echo(weir_conn *c, void *arg)
{
	char bytes[16384];
	ssize_t n = weir_conn_read(c, bytes, sizeof(bytes));
	int rc;

	(void)arg;
	if (n <= 0)
		return (int)n;
	rc = weir_conn_write(c, bytes, (size_t)n);
	return rc < 0 ? rc : WEIR_AGAIN;
}

void svc_echo(struct weir_service *ret, const struct options *o)
{
	(void)o;
	ret->readable = echo;
}
