/* SPDX-License-Identifier: MIT */
/*
 * The relay service: connects to the address of --to for each client, tells it
 * the client's address if that is wanted, and passes bytes on in both
 * directions until both have ended.
 */
#include <errno.h>

#include "journal.h"
#include "options.h"
#include "services.h"

#define CONNECT_MS   10000
#define PROXY_HEADER 107

static int log_unreachable(weir_conn *c, const char *where, int rc)
{
	journal_client(
		WEIR_LOG_WARNING, "connection %llu: cannot connect to %s: %s",
		(unsigned long long)weir_conn_id(c), where, weir_strerror(rc));
	return -EPIPE; /* closes without another log line */
}

static int send_header(weir_conn *c, weir_conn *upstream,
		       enum proxy_header version)
{
	char header[PROXY_HEADER];
	int len =
		weir_conn_proxy_header(c, (int)version, header, sizeof(header));

	return len < 0 ? len : weir_conn_write(upstream, header, (size_t)len);
}

static int relay(weir_conn *c, void *arg)
{
	const struct options *o = arg;
	weir_conn *upstream;
	int rc = weir_dial(&upstream, o->to, CONNECT_MS);

	if (rc < 0)
		return log_unreachable(c, o->to, rc);
	if (o->to_proxy)
		rc = send_header(c, upstream, o->to_proxy);
	if (rc >= 0)
		rc = weir_relay(c, upstream, NULL);
	weir_conn_free(upstream);
	return rc;
}

void svc_relay(struct weir_service *ret, const struct options *o)
{
	ret->session = relay;
	ret->speaks_first = 1;
	ret->arg = (void *)o;
}
