/* SPDX-License-Identifier: MIT */
/*
 * A TCP relay: each client gets a connection of its own to the upstream.
 *
 *	relay ADDRESS UPSTREAM
 *
 * pair.h relays between the two connections.
 */
#include "pair.h"

#include <stdio.h>

static const char *upstream;

static int opened(weir_conn *c, void *arg)
{
	struct pair *p = new_pair(c);
	int rc;

	(void)arg;
	if (p == NULL)
		return -ENOMEM;
	rc = connect_pair(c, upstream, 0,
			  SIDE(.readable = relay, .closed = closed, .arg = p));
	return rc < 0 ? rc : WEIR_KEEP;
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
	rc = weir_server_listen(
		s, argv[1],
		SIDE(.readable = relay, .closed = closed, .opened = opened));
	if (rc >= 0)
		rc = weir_server_address(s, rc, text, sizeof text);
	if (rc >= 0) {
		printf("relaying at %s\n", text);
		fflush(stdout);
		rc = weir_server_run(s, WEIR_SIGNALS);
	}
	if (rc >= 0 && weir_server_join(s, &r, sizeof r) != -EINVAL)
		printf("%d clients, %d dialled: %d completed, %d failed, "
		       "%d cut\n",
		       (int)r.ledger.accepted, (int)r.ledger.dialled,
		       (int)r.ledger.completed, (int)r.ledger.failed,
		       (int)r.ledger.cut);
	weir_server_free(s);
	return rc < 0;
}
