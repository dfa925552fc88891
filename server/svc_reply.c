/* SPDX-License-Identifier: MIT */
/*
 * The reply service: a banner on accept, then each message back behind
 * "Server replies: ".  Nothing frames a message here: it is what has come by
 * the time a worker reads.  A client that waits for its reply before it
 * speaks again gets one reply for each message.
 */
#include "services.h"

static char prefix[] = "Server replies: ";

static int banner(weir_conn *c, void *arg)
{
	int rc = service_say_greeting(c, arg, REPLY_GREETING);

	return rc < 0 ? rc : WEIR_AGAIN;
}

static int reply(weir_conn *c, void *arg)
{
	char message[16384];
	ssize_t n = weir_conn_read(c, message, sizeof(message));
	struct iovec pieces[] = {
		{ .iov_base = prefix, .iov_len = sizeof(prefix) - 1 },
		{ .iov_base = message, .iov_len = n > 0 ? (size_t)n : 0 },
	};
	int rc;

	(void)arg;
	if (n <= 0)
		return (int)n;
	rc = weir_conn_writev(c, pieces, 2);
	return rc < 0 ? rc : WEIR_AGAIN;
}

void svc_reply(struct weir_service *ret, const struct options *o)
{
	ret->opened = banner;
	ret->readable = reply;
	ret->arg = (void *)o;
}
