/* SPDX-License-Identifier: MIT */
/*
 * The connection of a dialogue.  Waits are the library's, with its deadlines.
 */
#include "peer.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "../cli/cli.h"
#include "../cli/text.h"

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int peer_say_timeout(const struct peer *p, const char *what)
{
	char text[CLI_DURATION_TEXT];

	cli_error("no %s from %s within %s", what, p->address,
		  cli_duration_text(p->timeout_ms, text));
	return CLI_FAILED;
}

int peer_say(const struct peer *p, int rc, const char *what)
{
	switch (rc) {
	case 0:
		cli_error("%s has ended the connection", p->address);
		return CLI_FAILED;
	case -ETIMEDOUT:
		return peer_say_timeout(p, what);
	case -ECONNRESET:
	case -EPIPE:
		cli_error("%s has reset the connection", p->address);
		return CLI_FAILED;
	default:
		cli_error("the connection to %s failed: %s", p->address,
			  weir_strerror(rc));
		return CLI_FAILED;
	}
}

int peer_dial(struct peer *p)
{
	const char *where = p->address;
	char text[CLI_DURATION_TEXT];
	int rc = weir_dial(&p->conn, where, p->timeout_ms);

	switch (rc) {
	case 0:
		break;
	case -EINVAL:
		cli_error("bad address '%s'; say host:port, :port, [v6]:port, "
			  "unix:/path or fd:N",
			  where);
		return CLI_USAGE;
	case -ETIMEDOUT:
		cli_error("no connection to %s within %s", where,
			  cli_duration_text(p->timeout_ms, text));
		return CLI_FAILED;
	case -ECONNREFUSED:
		cli_error("cannot connect to %s: nobody listens there", where);
		return CLI_FAILED;
	case -ENOENT:
		cli_error("cannot connect to %s: no such %s", where,
			  strncmp(where, "unix:", 5) ? "host" : "socket");
		return CLI_FAILED;
	default:
		cli_error("cannot connect to %s: %s", where, weir_strerror(rc));
		return CLI_FAILED;
	}
	p->dialled_at = now_ms();
	weir_conn_set_timeout(p->conn, WEIR_TIMEOUT_WRITE, p->timeout_ms);
	return CLI_DONE;
}

void peer_close(struct peer *p)
{
	weir_conn_unref(p->conn);
	p->conn = NULL;
}

/*
 * The deadline for the first input of all counts from the beginning of the
 * connection, that for later input from the call.
 */
ssize_t peer_read(struct peer *p, char *buf, size_t cap, int ms)
{
	int64_t first = now_ms() - p->dialled_at + ms;

	if (ms < 0 || first > INT32_MAX)
		first = WEIR_NEVER;
	weir_conn_set_timeout(p->conn, WEIR_TIMEOUT_FIRST_BYTE, (int)first);
	weir_conn_set_timeout(p->conn, WEIR_TIMEOUT_IDLE, ms);
	return weir_conn_read(p->conn, buf, cap);
}
