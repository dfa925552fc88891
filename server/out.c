/* SPDX-License-Identifier: MIT */
/*
 * A write to standard output or standard error may block whatever poll(2) has
 * said: a terminal is writable when it takes one byte, another process may
 * fill a pipe first, a file system may hang.  The descriptors cannot be made
 * non-blocking, because that would change them for every process that shares
 * them.  So only a thread of this file writes; it has a short queue.
 *
 * A caller waits until its line has been written or lost, so that normally a
 * line is out when the call returns.  After OUT_HOLD_MS the sink is stalled:
 * the caller leaves its line in the queue, and until the queue is empty again,
 * no other caller waits.
 *
 * If only a part of a line could be written, as to a full disk, the next line
 * begins with a newline.
 *
 * Standard output and standard error have a sink each, so that one that is
 * stuck does not hold up the other.  If they are the same file they share a
 * sink, which keeps their lines in order.
 */
#include "out.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../cli/stream.h"
#include "background.h"

#define QUEUE_LINES	 128
#define ANNOUNCE_WAIT_MS 250
#define FLUSH_WAIT_MS	 250

enum outcome { PENDING, WRITTEN, LOST };

struct line {
	int fd;
	int wait_ms;
	enum outcome *outcome; /* the waiting caller's; NULL: it has left */
	struct out_losses *losses;
	unsigned long long reported;
	size_t len;
	char text[1 + PIPE_BUF]; /* behind a newline */
};

struct sink {
	bool is_torn;	      /* ends within a line; its thread only */
	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t has_lines;
	pthread_cond_t is_done; /* with a line */
	bool is_stalled;
	unsigned first, end; /* of the queue; both only grow */
	struct line queue[QUEUE_LINES];
};

static struct sink sinks[2];
static struct sink *sink_of[STDERR_FILENO + 1];

static pthread_mutex_t prints = PTHREAD_MUTEX_INITIALIZER;
static bool (*_Atomic console_print)(int fd, const char *line, size_t len);

/* If poll(2) itself fails the descriptor is tried. */
static bool out_is_writable(int fd, int wait_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int rc;

	do
		rc = poll(&p, 1, wait_ms);
	while (rc < 0 && errno == EINTR);
	return rc < 0 || (p.revents & POLLOUT);
}

/* A line that lacks nothing but its newline counts as written. */
static bool sink_write(struct sink *s, const struct line *line)
{
	size_t at = s->is_torn ? 0 : 1;

	at += stream_write_part(line->fd, line->text + at, 1 + line->len - at);
	if (at > 0)
		s->is_torn = at > 1 && at <= line->len;
	return at >= line->len;
}

/* A caller that has left was promised that its line will be written. */
static void write_first_locked(struct sink *s)
{
	struct line *line = &s->queue[s->first % QUEUE_LINES];
	bool is_written = false, is_writable;

	pthread_mutex_unlock(&s->lock);
	is_writable = out_is_writable(line->fd, line->wait_ms);
	pthread_mutex_lock(&s->lock);
	if (is_writable || line->outcome == NULL) {
		pthread_mutex_unlock(&s->lock);
		is_written = sink_write(s, line);
		pthread_mutex_lock(&s->lock);
	}
	if (line->outcome)
		*line->outcome = is_written ? WRITTEN : LOST;
	if (!is_written)
		out_lose(line->losses, line->reported);
	s->first++;
	if (s->first == s->end)
		s->is_stalled = false;
	pthread_cond_broadcast(&s->is_done);
}

static void *sink_main(void *arg)
{
	struct sink *s = arg;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (s->first == s->end)
			pthread_cond_wait(&s->has_lines, &s->lock);
		write_first_locked(s);
	}
	return NULL;
}

static int sink_start(struct sink *s)
{
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->has_lines, NULL);
	background_cond_init(&s->is_done);
	return background_start(sink_main, s);
}

static bool out_is_same_file(int a, int b)
{
	struct stat of_a, of_b;

	return fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 &&
	       of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

int out_start(void)
{
	int count = out_is_same_file(STDOUT_FILENO, STDERR_FILENO) ? 1 : 2;
	int rc = 0;

	for (int i = 0; i < count && rc == 0; i++)
		rc = sink_start(&sinks[i]);
	sink_of[STDOUT_FILENO] = &sinks[0];
	sink_of[STDERR_FILENO] = &sinks[count - 1];
	return rc;
}

static struct timespec after_ms(int ms)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += ms / 1000;
	at.tv_nsec += ms % 1000 * 1000000L;
	if (at.tv_nsec >= 1000000000L) {
		at.tv_sec++;
		at.tv_nsec -= 1000000000L;
	}
	return at;
}

/* Before out_start(). */
static bool out_direct(int fd, const char *text, size_t len, int wait_ms,
		       struct out_losses *l, unsigned long long reported)
{
	bool is_written = out_is_writable(fd, wait_ms < 0 ? 0 : wait_ms) &&
			  stream_write(fd, text, len) == 0;

	if (!is_written)
		out_lose(l, reported);
	return is_written;
}

static void wait_for_line_locked(struct sink *s, const enum outcome *outcome,
				 int ms)
{
	struct timespec until = after_ms(ms);

	while (*outcome == PENDING)
		if (pthread_cond_timedwait(&s->is_done, &s->lock, &until) != 0)
			return;
}

bool out_line(int fd, const char *text, size_t len, int wait_ms,
	      struct out_losses *l, unsigned long long reported)
{
	struct sink *s = sink_of[fd];
	enum outcome outcome = PENDING;
	bool is_taken;

	if (console_print && console_print(fd, text, len))
		return true;
	if (s == NULL)
		return out_direct(fd, text, len, wait_ms, l, reported);
	pthread_mutex_lock(&s->lock);
	is_taken = s->end - s->first < QUEUE_LINES;
	if (is_taken) {
		struct line *line = &s->queue[s->end++ % QUEUE_LINES];

		line->fd = fd;
		line->wait_ms = wait_ms;
		line->outcome = s->is_stalled || wait_ms < 0 ? NULL : &outcome;
		line->losses = l;
		line->reported = reported;
		line->len = len;
		line->text[0] = '\n';
		memcpy(line->text + 1, text, len);
		pthread_cond_signal(&s->has_lines);
		if (line->outcome)
			wait_for_line_locked(s, &outcome,
					     wait_ms + OUT_HOLD_MS);
		if (wait_ms >= 0 && outcome == PENDING) { /* still queued */
			line->outcome = NULL;
			s->is_stalled = true;
		}
		is_taken = outcome != LOST;
	} else {
		out_lose(l, reported);
	}
	pthread_mutex_unlock(&s->lock);
	return is_taken;
}

void out_flush(void)
{
	struct timespec until = after_ms(FLUSH_WAIT_MS);

	for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
		struct sink *s = sink_of[fd];

		if (s == NULL)
			continue;
		pthread_mutex_lock(&s->lock);
		while (s->first != s->end)
			if (pthread_cond_timedwait(&s->is_done, &s->lock,
						   &until) != 0)
				break;
		pthread_mutex_unlock(&s->lock);
	}
}

void out_set_console(bool (*print)(int fd, const char *line, size_t len))
{
	console_print = print;
}

void out_hold_prints(void)
{
	pthread_mutex_lock(&prints);
}

void out_release_prints(void)
{
	pthread_mutex_unlock(&prints);
}

bool out_print(const char *line, size_t len, struct out_losses *l)
{
	out_hold_prints();
	out_release_prints();
	return out_line(STDOUT_FILENO, line, len, 0, l, 0);
}

void out_announce(const char *format, ...)
{
	static struct out_losses unused;
	char line[PIPE_BUF];
	va_list ap;
	int len;

	va_start(ap, format);
	len = vsnprintf(line, sizeof(line) - 1, format, ap);
	va_end(ap);
	if (len < 0 || (size_t)len > sizeof(line) - 2)
		return;
	line[len++] = '\n';
	(void)out_line(STDOUT_FILENO, line, (size_t)len, ANNOUNCE_WAIT_MS,
		       &unused, 0);
}
