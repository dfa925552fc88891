/* SPDX-License-Identifier: MIT */
/*
 * The chat: the server's operator answers one client at a time, line by line.
 * After "windup" from the client there is one more answer; "windup" as an
 * answer ends the conversation.  It occupies the only worker, so the next
 * client waits.
 */
#include "roles.h"

/*
 * say() and hear() return 1 to go on, 0 after "windup", -ESHUTDOWN at the end
 * of input, or another -errno.
 */
static int say(weir_conn *c)
{
	char line[2048];
	int rc;

	printf(">> ");
	fflush(stdout);
	if (!fgets(line, sizeof line, stdin))
		return -ESHUTDOWN;
	line[strcspn(line, "\n")] = '\0';
	rc = weir_conn_write(c, line, strlen(line));
	return rc < 0 ? rc : strcmp(line, "windup") != 0;
}

static int hear(weir_conn *c)
{
	char message[2048];
	ssize_t n = weir_conn_read(c, message, sizeof message);

	if (n <= 0)
		return n < 0 ? (int)n : -ESHUTDOWN;
	printf(">>  %.*s\n", (int)n, message);
	fflush(stdout);
	return n != 6 || memcmp(message, "windup", 6) != 0;
}

/* A session: its reads wait for input. */
static int converse(weir_conn *c, void *arg)
{
	int heard, said;

	(void)arg;
	do {
		heard = hear(c);
		said = heard < 0 ? heard : say(c); /* also after "windup" */
	} while (heard > 0 && said > 0);
	return said < 0 ? said : 0;
}

/* The client sends first. */
static int begin(weir_conn *c, const char *arg)
{
	int heard, said;

	(void)arg;
	do {
		said = say(c);
		heard = said < 0 ? said : hear(c);
	} while (heard > 0 && said > 0);
	return heard < 0 && heard != -ESHUTDOWN ? heard : 0;
}

int main(int argc, char **argv)
{
	const struct program program = {
		.where = "127.0.0.1:1001",
		.config = WEIR_CONFIG(.workers = 1, .drain_ms = 1000,
				      .queue_age_ms = WEIR_NEVER,
				      .log = log_line),
		.service = WEIR_SERVICE(.session = converse,
					.session_on_worker = 1,
					.first_byte_ms = WEIR_NEVER,
					.read_ms = WEIR_NEVER,
					.idle_ms = WEIR_NEVER),
		.call = begin,
	};

	return run_program(argc, argv, &program);
}
