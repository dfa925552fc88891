/* SPDX-License-Identifier: MIT */
/*
 * The discard service of RFC 863: input is discarded until it ends.  A client
 * that keeps sending does not hold its worker: after a while the read returns
 * -EAGAIN although there is more.
 */
#include "services.h"

static int discard(weir_conn *c, void *arg)
{
	char waste[16384];
	ssize_t n;

	(void)arg;
	do
		n = weir_conn_read(c, waste, sizeof(waste));
	while (n > 0);
	return (int)n;
}

void svc_discard(struct weir_service *ret, const struct options *o)
{
	(void)o;
	ret->readable = discard;
}
