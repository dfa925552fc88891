/* SPDX-License-Identifier: MIT */
/*
 * The greeting: the server sends a text to each client and closes; the client
 * prints everything up to the end.
 */
#include "roles.h"

static int greet(weir_conn *c, void *arg)
{
	const char *text = arg ? arg : "Got your connection";

	return weir_conn_write(c, text, strlen(text)); /* 0 closes */
}

static int print_all(weir_conn *c, const char *arg)
{
	char buf[4096];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read(c, buf, sizeof buf)) > 0)
		fwrite(buf, 1, (size_t)n, stdout);
	putchar('\n');
	return (int)n;
}

int main(int argc, char **argv)
{
	const struct program program = {
		.where = "127.0.0.1:12357",
		.service = WEIR_SERVICE(.session = greet, .speaks_first = 1),
		.call = print_all,
	};

	return run_program(argc, argv, &program);
}
