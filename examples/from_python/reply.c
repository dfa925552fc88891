/* SPDX-License-Identifier: MIT */
/*
 * The threaded echo: a banner, then each message with a prefix.  A message is
 * what one read returns.  The client sends the lines of its standard input, up
 * to "windup" and its answer.
 */
#include "roles.h"

#include <stdatomic.h>

/* What the thread of a client does in Python. */
static int reply(weir_conn *c, void *arg)
{
	static atomic_int served;
	char peer[128] = "?", message[2048];
	ssize_t n = 0;
	int rc;

	(void)arg;
	weir_conn_peer(c, peer, sizeof peer);
	printf("client %d: %s\n", ++served, peer);
	fflush(stdout);
	rc = weir_conn_write(c, "Connect", 7);
	while (rc == 0 &&
	       (n = weir_conn_read(c, message, sizeof message)) > 0) {
		rc = weir_conn_write(c, "Server replies: ", 16);
		if (rc == 0)
			rc = weir_conn_write(c, message, (size_t)n);
	}
	return rc < 0 ? rc : (int)n; /* 0: the end of the input */
}

static int talk(weir_conn *c, const char *arg)
{
	char buf[4096], line[2048];
	ssize_t n = weir_conn_read(c, buf, sizeof buf); /* the banner */
	int is_last = 0;

	(void)arg;
	while (n > 0) {
		printf("%.*s\n", (int)n, buf);
		if (is_last)
			break;
		printf("Enter message: ");
		fflush(stdout);
		if (!fgets(line, sizeof line, stdin))
			break;
		line[strcspn(line, "\n")] = '\0';
		is_last = strcmp(line, "windup") == 0;
		weir_conn_write(c, line, strlen(line));
		n = weir_conn_read(c, buf, sizeof buf);
	}
	return n < 0 ? (int)n : 0;
}

int main(int argc, char **argv)
{
	const struct program program = {
		.where = "127.0.0.1:1234",
		/* A person may take any time. */
		.service = WEIR_SERVICE(.session = reply, .speaks_first = 1,
					.first_byte_ms = WEIR_NEVER,
					.idle_ms = WEIR_NEVER),
		.call = talk,
	};

	return run_program(argc, argv, &program);
}
