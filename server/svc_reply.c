/* SPDX-License-Identifier: MIT */
/*
 * The reply service: sends a banner, then answers each message with "Server
 * replies: " and the message.  Messages are not framed: a message is what has
 * arrived when a worker reads.
 */
#include "services.h"

static char prefix[] = "Server replies: ";

static int banner(weir_conn *c, void *arg)
{
	int rc = service_greet(c, arg, REPLY_GREETING);

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
