/* SPDX-License-Identifier: MIT */
/*
 * The welcome exchange: sends a greeting, prints one message of the client on
 * standard output and closes.  Messages as in svc_collect.c.
 */
#include "services.h"

static int welcome(weir_conn *c, void *arg)
{
	int rc = service_greet(c, arg, WELCOME_GREETING);

	return rc < 0 ? rc : WEIR_AGAIN;
}

static int print_message(weir_conn *c, void *arg)
{
	char message[SERVICE_MESSAGE];
	ssize_t n = weir_conn_read(c, message, sizeof(message));

	(void)arg;
	if (n <= 0)
		return (int)n;
	service_print("welcome: ", message, (size_t)n);
	return 0;
}

void svc_welcome(struct weir_service *ret, const struct options *o)
{
	ret->opened = welcome;
	ret->readable = print_message;
	ret->arg = (void *)o;
}
