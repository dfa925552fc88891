/* SPDX-License-Identifier: MIT */
/*
 * read(2) and write(2), with poll(2) where they return EAGAIN.
 */
#include "stream.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

/* After a failed call on fd: may it be repeated? */
static bool may_retry(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	if (errno == EINTR)
		return true;
	if (errno != EAGAIN)
		return false;
	return poll(&p, 1, -1) >= 0 || errno == EINTR;
}

ssize_t stream_read(int fd, void *buf, size_t cap)
{
	for (;;) {
		ssize_t n = read(fd, buf, cap);

		if (n >= 0)
			return n;
		if (!may_retry(fd, POLLIN))
			return -errno;
	}
}

int stream_write(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && !may_retry(fd, POLLOUT))
			return -errno;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static ssize_t stream_write_cookie(void *fd, const char *data, size_t len)
{
	int rc = stream_write(*(const int *)fd, data, len);

	errno = -rc;
	return rc < 0 ? 0 : (ssize_t)len;
}

/* Returns fallback if there is no memory. */
static FILE *open_stdio(const int *fd, int mode, FILE *fallback)
{
	cookie_io_functions_t functions = { .write = stream_write_cookie };
	FILE *file = fopencookie((void *)(uintptr_t)fd, "w", functions);

	if (file)
		setvbuf(file, NULL, mode, BUFSIZ);
	return file ? file : fallback;
}

FILE *stream_out(void)
{
	static const int fd = STDOUT_FILENO;
	static FILE *out;

	if (!out)
		out = open_stdio(&fd, _IOFBF, stdout);
	return out;
}

FILE *stream_err(void)
{
	static const int fd = STDERR_FILENO;
	static FILE *err;

	if (!err)
		err = open_stdio(&fd, _IOLBF, stderr);
	return err;
}

int stream_fileno(FILE *file)
{
	if (file == stream_out())
		return STDOUT_FILENO;
	return file == stream_err() ? STDERR_FILENO : fileno(file);
}

void stream_print(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vfprintf(stream_out(), format, ap);
	va_end(ap);
}
