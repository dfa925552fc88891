/* SPDX-License-Identifier: MIT */
/*
 * Other processes may share standard input, so it is not made non-blocking, and
 * nothing is read before a line is asked for.
 *
 * When the process is in the background of a terminal a read fails, because
 * SIGTTIN is blocked in this thread.  It is tried again until the process is in
 * the foreground, which fg(1) may do without a signal.
 */
#include "typed.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define AWAY_MS 200 /* between two reads in the background */

static struct {
	char bytes[TYPED_LINE];
	size_t len;
	bool has_ended;
} in;

void typed_forget(void)
{
	pid_t owner;

	if (!isatty(STDIN_FILENO))
		return;
	owner = tcgetpgrp(STDIN_FILENO); /* -1: not our controlling terminal */
	if (owner < 0 || owner == getpgrp())
		tcflush(STDIN_FILENO, TCIFLUSH);
}

/* A terminal that has hung up has no foreground any more. */
static bool is_read_in_background(int error)
{
	return error == EIO && tcgetpgrp(STDIN_FILENO) >= 0;
}

static void typed_read(void (*has_come)(void *arg), void *arg)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	ssize_t n;

	if (poll(&p, 1, -1) < 0) {
		in.has_ended = errno != EINTR;
		return;
	}
	if (has_come)
		has_come(arg);
	n = read(STDIN_FILENO, in.bytes + in.len, sizeof(in.bytes) - in.len);
	if (n > 0)
		in.len += (size_t)n;
	else if (n < 0 && is_read_in_background(errno))
		(void)poll(NULL, 0, AWAY_MS);
	else if (n == 0 || (errno != EINTR && errno != EAGAIN))
		in.has_ended = true;
}

static ssize_t typed_take(char line[TYPED_LINE], size_t len, size_t more)
{
	memcpy(line, in.bytes, len);
	in.len -= len + more;
	memmove(in.bytes, in.bytes + len + more, in.len);
	return (ssize_t)len;
}

ssize_t typed_line(char line[TYPED_LINE], bool *is_cut,
		   void (*has_come)(void *arg), void *arg)
{
	for (;;) {
		const char *end = memchr(in.bytes, '\n', in.len);

		*is_cut = !end && !in.has_ended;
		if (end)
			return typed_take(line, (size_t)(end - in.bytes), 1);
		if (in.len == sizeof(in.bytes) || (in.has_ended && in.len > 0))
			return typed_take(line, in.len, 0);
		if (in.has_ended)
			return -1;
		typed_read(has_come, arg);
	}
}
