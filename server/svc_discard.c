/* SPDX-License-Identifier: MIT */
/*
 * The discard service of RFC 863: bytes are taken and thrown away until the
 * client has no more.  A client that sends without end has its turn with the
 * others: the input calls see to that.
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
