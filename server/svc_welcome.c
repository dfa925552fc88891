/* SPDX-License-Identifier: MIT */
/*
 * The welcome exchange: the server speaks first, then the client says one
 * thing, which is printed on standard output.  A message is what has come by
 * the time a worker reads, up to SERVICE_MESSAGE bytes.
 */
#include "services.h"

static int welcome(weir_conn *c, void *arg)
{
	int rc = service_say_greeting(c, arg, WELCOME_GREETING);

	return rc < 0 ? rc : WEIR_AGAIN;
}

static int listen_to(weir_conn *c, void *arg)
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
	ret->readable = listen_to;
	ret->arg = (void *)o;
}
