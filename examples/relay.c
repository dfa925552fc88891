/* SPDX-License-Identifier: MIT */
/*
 * A TCP relay: each client gets a connection of its own to the upstream.
 *
 *	relay ADDRESS UPSTREAM
 *
 * A client has a session, which waits on a stack of its own: a relay that is
 * idle uses no thread.
 */
#include <errno.h>
#include <stdio.h>
#include <weir.h>

static const char *upstream;

static int relay(weir_conn *client, void *arg)
{
	weir_conn *server;
	int rc = weir_dial(&server, upstream, 0);

	(void)arg;
	if (rc < 0)
		return rc;
	rc = weir_relay(client, server, NULL);
	weir_conn_free(server);
	return rc;
}

int main(int argc, char **argv)
{
	struct weir_report r;
	char text[128];
	weir_server *s;
	int rc = weir_server_new(&s, NULL);

	if (rc < 0 || argc != 3)
		return 2;
	upstream = argv[2];
	rc = weir_server_listen(s, argv[1],
				WEIR_SERVICE(.session = relay,
					     .speaks_first = 1,
					     .idle_ms = WEIR_NEVER));
	if (rc >= 0)
		rc = weir_server_address(s, rc, text, sizeof text);
	if (rc >= 0) {
		printf("relaying at %s\n", text);
		fflush(stdout);
		rc = weir_server_run(s, WEIR_SIGNALS);
	}
	if (rc >= 0 && weir_server_join(s, &r, sizeof r) != -EINVAL)
		printf("%d clients: %d completed, %d failed, %d cut\n",
		       (int)r.ledger.accepted, (int)r.ledger.completed,
		       (int)r.ledger.failed, (int)r.ledger.cut);
	weir_server_free(s);
	return rc < 0;
}
