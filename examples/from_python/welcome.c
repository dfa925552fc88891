/* SPDX-License-Identifier: MIT */
/*
 * The welcome exchange: the server sends first, the client answers once, and
 * the server prints the answer and closes.
 */
#include "roles.h"

static int welcome(weir_conn *c, void *arg)
{
	const char *text = arg ? arg : "Welcome to the server";
	char message[1024];
	ssize_t n = weir_conn_write(c, text, strlen(text));

	if (n == 0)
		n = weir_conn_read(c, message, sizeof message); /* waits */
	if (n < 0)
		return (int)n;
	printf("%.*s\n", (int)n, message);
	fflush(stdout);
	return 0;
}

static int answer(weir_conn *c, const char *arg)
{
	const char *text = arg ? arg : "Thank you";
	char buf[1024];
	ssize_t n = weir_conn_read(c, buf, sizeof buf);

	if (n <= 0)
		return n < 0 ? (int)n : -EPIPE;
	printf("%.*s\n", (int)n, buf);
	return weir_conn_write(c, text, strlen(text));
}

int main(int argc, char **argv)
{
	const struct program program = {
		.where = "127.0.0.1:9999",
		.service = WEIR_SERVICE(.session = welcome, .speaks_first = 1),
		.call = answer,
	};

	return run_program(argc, argv, &program);
}
