/* SPDX-License-Identifier: MIT */
/*
 * The threaded echo: a banner, then each message with a prefix.  A message is
 * what one read returns.  The client sends the lines of its standard input, up
 * to "windup" and its answer.
 */
#include "roles.h"

#include <stdatomic.h>

static int banner(weir_conn *c, void *arg)
{
	static atomic_int served;
	char peer[128] = "?";
	int rc;

	(void)arg;
	weir_conn_peer(c, peer, sizeof peer);
	printf("client %d: %s\n", ++served, peer);
	fflush(stdout);
	rc = weir_conn_write(c, "Connect", 7);
	return rc < 0 ? rc : WEIR_AGAIN;
}

static int reply(weir_conn *c, void *arg)
{
	char message[2048];
	ssize_t n;
	int rc;

	(void)arg;
	while ((n = weir_conn_read(c, message, sizeof message)) > 0) {
		rc = weir_conn_write(c, "Server replies: ", 16);
		if (rc == 0)
			rc = weir_conn_write(c, message, (size_t)n);
		if (rc < 0)
			return rc;
	}
	return (int)n; /* -EAGAIN: no more yet; 0: the end */
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
		.service = WEIR_SERVICE(.opened = banner, .readable = reply,
					.first_byte_ms = WEIR_NEVER,
					.idle_ms = WEIR_NEVER),
		.call = talk,
	};

	return run_program(argc, argv, &program);
}
