/* SPDX-License-Identifier: MIT */
/*
 * Lines to descriptors that others may have stopped reading.
 *
 * They are not made non-blocking: that would change them for whoever shares
 * them, a shell for instance.  A pipe that poll(2) calls writable takes
 * PIPE_BUF bytes without blocking, as long as nobody else writes in between;
 * one lock keeps our own threads apart, since standard output and standard
 * error may well be the same pipe.
 *
 * A terminal is called writable if it takes one byte, and then a write waits
 * until somebody has read the rest.  So it is opened once more, for us alone
 * and non-blocking, where that is permitted.  It may take a part of a line;
 * then that line counts as lost, and the next begins on a new one.
 */
#include "out.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* How long a line of the contract waits for its reader. */
#define SAY_WAIT_MS 250

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER;

/* By descriptor. */
static struct {
	int fd;	      /* the terminal's own; 0 or -1: none */
	bool is_torn; /* under the lock: the last line lacks its newline */
} own[STDERR_FILENO + 1];

void out_start(void)
{
	char path[32];

	for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (isatty(fd))
			own[fd].fd = open(path, O_WRONLY | O_NONBLOCK |
							O_NOCTTY | O_CLOEXEC);
	}
}

static bool (*_Atomic through)(int fd, const char *line, size_t len);

void out_through(bool (*print)(int fd, const char *line, size_t len))
{
	through = print;
}

/* Where poll(2) fails, nobody can tell; then it is. */
static bool is_writable(int fd, int wait_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int rc;

	do
		rc = poll(&p, 1, wait_ms);
	while (rc < 0 && errno == EINTR);
	return rc < 0 || (p.revents & POLLOUT);
}

static ssize_t put(int fd, const char *bytes, size_t len)
{
	ssize_t rc;

	do
		rc = write(fd, bytes, len);
	while (rc < 0 && errno == EINTR);
	return rc;
}

bool out_line(int fd, const char *line, size_t len, int wait_ms)
{
	int to = own[fd].fd > 0 ? own[fd].fd : fd;
	bool is_done = false;

	if (through && through(fd, line, len))
		return true;
	if (wait_ms > 0 && !is_writable(to, wait_ms))
		return false;
	pthread_mutex_lock(&lock);
	if (is_writable(to, 0) && (!own[fd].is_torn || put(to, "\n", 1) == 1)) {
		ssize_t rc = put(to, line, len);

		/* Before the next line the newline may still come. */
		is_done = rc >= (ssize_t)len - 1;
		own[fd].is_torn = rc > 0 && rc < (ssize_t)len;
	}
	pthread_mutex_unlock(&lock);
	return is_done;
}

void out_go_first(void)
{
	pthread_mutex_lock(&first);
}

void out_let_others(void)
{
	pthread_mutex_unlock(&first);
}

bool out_print(const char *line, size_t len)
{
	out_go_first();
	out_let_others();
	return out_line(STDOUT_FILENO, line, len, 0);
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
