/* SPDX-License-Identifier: MIT */
/*
 * The chat: the server's operator answers one client at a time, line by line;
 * "windup", once sent, ends the conversation.  There is one worker, and the
 * conversation keeps it; the next client waits its turn.
 */
#include "roles.h"

/* 1: a typed line was sent; 0: it was the last; or -errno. */
static int say(weir_conn *c)
{
	char line[2048];
	int rc;

	if (!fgets(line, sizeof line, stdin))
		return 0;
	line[strcspn(line, "\n")] = '\0';
	rc = weir_conn_write(c, line, strlen(line));
	return rc < 0 ? rc : strcmp(line, "windup") != 0;
}

/* A session: its reads wait. */
static int converse(weir_conn *c, void *arg)
{
	char message[2048];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read(c, message, sizeof message)) > 0) {
		int rc;

		printf(">> %.*s\n", (int)n, message);
		fflush(stdout);
		rc = say(c);
		if (rc <= 0)
			return rc;
	}
	return (int)n;
}

/* The client begins. */
static int begin(weir_conn *c, const char *arg)
{
	int rc = say(c);

	(void)arg;
	return rc > 0 ? converse(c, NULL) : rc;
}

int main(int argc, char **argv)
{
	const struct program program = {
		.where = "127.0.0.1:1001",
		.config = WEIR_CONFIG(.workers = 1, .drain_ms = 1000,
				      .queue_age_ms = WEIR_NEVER,
				      .log = log_line),
		.service = WEIR_SERVICE(.session = converse,
					.first_byte_ms = WEIR_NEVER,
					.read_ms = WEIR_NEVER,
					.idle_ms = WEIR_NEVER),
		.call = begin,
	};

	return run_program(argc, argv, &program);
}
