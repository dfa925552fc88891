/* SPDX-License-Identifier: MIT */
/*
 * Lines to descriptors that others may have stopped reading.
 *
 * They are not made non-blocking: that would change them for whoever shares
 * them, a shell for instance.  A pipe that poll(2) calls writable takes
 * PIPE_BUF bytes without blocking, as long as nobody else writes in between;
 * one lock keeps our own threads apart, since standard output and standard
 * error may well be the same pipe.
 */
#include "out.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* How long a line of the contract waits for its reader. */
#define SAY_WAIT_MS 250

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool is_writable(int fd, int wait_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int rc;

	do
		rc = poll(&p, 1, wait_ms);
	while (rc < 0 && errno == EINTR);
	return rc > 0 && (p.revents & POLLOUT);
}

bool out_line(int fd, const char *line, size_t len, int wait_ms)
{
	ssize_t rc = -1;

	if (wait_ms > 0 && !is_writable(fd, wait_ms))
		return false;
	pthread_mutex_lock(&lock);
	if (is_writable(fd, 0))
		do
			rc = write(fd, line, len);
		while (rc < 0 && errno == EINTR);
	pthread_mutex_unlock(&lock);
	return rc == (ssize_t)len;
}

void out_say(const char *format, ...)
{
	char line[PIPE_BUF];
	va_list ap;
	int len;

	va_start(ap, format);
	len = vsnprintf(line, sizeof(line) - 1, format, ap);
	va_end(ap);
	if (len < 0 || (size_t)len > sizeof(line) - 2)
		return;
	line[len++] = '\n';
	out_line(STDOUT_FILENO, line, (size_t)len, SAY_WAIT_MS);
}
