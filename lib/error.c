/* SPDX-License-Identifier: MIT */
/*
 * Error texts, version, failed assertions.  Any thread.  Errors to which weir.h
 * gives a meaning of its own have texts of ours.
 */
#include "error.h"

#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "weir.h"

static const struct {
	int error;
	const char *text;
} texts[] = {
	{ 0, "no error" },
	{ EACCES, "not permitted to use this address or file" },
	{ EADDRINUSE, "address already in use" },
	{ EADDRNOTAVAIL, "not an address of this machine" },
	{ EAGAIN, "not now, try again" },
	{ EBADF, "not an open descriptor" },
	{ EBADMSG, "the input ended inside a message" },
	{ EBUSY, "already started, or callbacks are still running" },
	{ ECANCELED, "cut by the deadline of a stop, or cancelled" },
	{ ECONNREFUSED, "nobody listens at this address" },
	{ ECONNRESET, "connection reset by the peer" },
	{ EDEADLK, "not allowed in a callback of the same server" },
	{ EINTR, "woken while waiting" },
	{ EINVAL, "invalid argument" },
	{ EMFILE, "too many open descriptors in this process" },
	{ EMSGSIZE, "message longer than its limit" },
	{ ENAMETOOLONG, "name or path too long" },
	{ ENFILE, "too many open descriptors in the system" },
	{ ENOBUFS, "output would pass its limit" },
	{ ENOENT, "no such host or file" },
	{ ENOMEM, "out of memory" },
	{ ENOSPC, "the text does not fit, or no more sockets can be watched" },
	{ ENOTCONN, "not connected" },
	{ ENOTSOCK, "not a stream socket of the kind wanted" },
	{ EPIPE, "connection closed" },
	{ ESHUTDOWN, "the server stops or has stopped" },
	{ ETIMEDOUT, "deadline passed" },
};

/* In English, whatever the locale. */
static const char *text_of_system(int error)
{
#if HAVE_DECL_STRERRORDESC_NP
	return strerrordesc_np(error);
#else
	/* The C locale is static: nothing is allocated or freed. */
	locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	const char *text = strerror_l(error, c);

	/* The text of INT_MAX is that of unknown errors. */
	return strcmp(text, strerror_l(INT_MAX, c)) ? text : NULL;
#endif
}

const char *weir_strerror(int error)
{
	const char *text = NULL;
	size_t i;

	if (error < 0 && error > INT_MIN)
		error = -error;
	for (i = 0; i < wr_array_len(texts); i++)
		if (texts[i].error == error)
			return texts[i].text;
	if (error > 0)
		text = text_of_system(error);
	return text ? text : "unknown error";
}

bool wr_is_unsupported(ssize_t rc)
{
	return rc == -ENOSYS || rc == -EPERM || rc == -EOPNOTSUPP ||
	       rc == -ENOPROTOOPT || rc == -ENOTTY;
}

const char *weir_version(void)
{
	return WEIR_VERSION;
}

/* Not to the log, which cannot be trusted any more. */
_Noreturn void wr_assert_failed(const char *expr, const char *file, int line)
{
	char text[256];
	int len = snprintf(text, sizeof(text), "weir: %s:%d: broken: %s\n",
			   file, line, expr);

	if (len >= (int)sizeof(text)) {
		len = (int)sizeof(text) - 1;
		text[len - 1] = '\n';
	}
	if (len > 0) {
		ssize_t n = write(STDERR_FILENO, text, (size_t)len);

		(void)n;
	}
	abort();
}
