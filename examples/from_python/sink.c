/* SPDX-License-Identifier: MIT */
/*
 * The message sink: the client sends one message and closes; the server
 * prints it and closes.
 */
#include "roles.h"

static int print_one(weir_conn *c, void *arg)
{
	char message[1024];
	ssize_t n = weir_conn_read(c, message, sizeof message);

	(void)arg;
	if (n < 0)
		return (int)n;
	printf("%.*s\n", (int)n, message);
	fflush(stdout);
	return 0;
}

static int send_one(weir_conn *c, const char *arg)
{
	const char *text = arg ? arg : "Hello";

	return weir_conn_write(c, text, strlen(text));
}

int main(int argc, char **argv)
{
	const struct program program = {
		.where = "127.0.0.1:12358",
		.service = WEIR_SERVICE(.readable = print_one),
		.call = send_one,
	};

	return run_program(argc, argv, &program);
}
