/* SPDX-License-Identifier: MIT */
/*
 * Callers are workers and the acceptor.  They wait only in out.c, and there for
 * at most OUT_HOLD_MS.
 */
#include "journal.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "../cli/cli.h"
#include "../cli/text.h"
#include "out.h"

/* Room for the end of a connection, with three Unix paths. */
#define LOG_TEXT (CLI_ERROR_MOST + 512) /* why something was not done */
#define LOG_LINE (LOG_TEXT + 64)	/* with the time and the level */

static atomic_int journal_wanted = WEIR_LOG_INFO;
static bool has_priorities; /* lines begin with <N>, as in sd-daemon(3) */
static struct out_losses journal_losses;

static struct limit limits[] = {
	[WEIR_LOG_ERROR] = { .most = JOURNAL_PER_SECOND },
	[WEIR_LOG_WARNING] = { .most = JOURNAL_PER_SECOND },
	[WEIR_LOG_INFO] = { .most = JOURNAL_PER_SECOND },
	[WEIR_LOG_DEBUG] = { .most = JOURNAL_PER_SECOND },
};

/* systemd names the stream that it reads: "device:inode". */
static bool is_read_by_systemd(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	struct stat st;
	char name[64];

	if (!stream || fstat(fd, &st) < 0)
		return false;
	snprintf(name, sizeof(name), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	return strcmp(stream, name) == 0;
}

void journal_start(int level)
{
	journal_wanted = level;
	has_priorities = is_read_by_systemd(STDERR_FILENO);
}

void journal_set_level(int level)
{
	journal_wanted = level;
}

int journal_level(void)
{
	return journal_wanted;
}

bool journal_wants(int level)
{
	return level <= journal_wanted;
}

const char *journal_level_name(int level)
{
	static const char *const names[] = {
		[WEIR_LOG_ERROR] = "error",
		[WEIR_LOG_WARNING] = "warning",
		[WEIR_LOG_INFO] = "info",
		[WEIR_LOG_DEBUG] = "debug",
	};

	if (level < WEIR_LOG_ERROR || level > WEIR_LOG_DEBUG)
		return NULL;
	return names[level];
}

int journal_level_of(const char *name)
{
	for (int i = WEIR_LOG_ERROR; i <= WEIR_LOG_DEBUG; i++)
		if (strcmp(name, journal_level_name(i)) == 0)
			return i;
	return -1;
}

static int priority_of(int level)
{
	switch (level) {
	case WEIR_LOG_ERROR:
		return LOG_ERR;
	case WEIR_LOG_WARNING:
		return LOG_WARNING;
	case WEIR_LOG_INFO:
		return LOG_INFO;
	default:
		return LOG_DEBUG;
	}
}

unsigned long long journal_dropped(void)
{
	return atomic_load(&journal_losses.in_all);
}

/* reported: the lost lines that the text reports. */
static void journal_write(int level, const char *text,
			  unsigned long long reported)
{
	char line[LOG_LINE];
	struct timespec now;
	struct tm utc;
	size_t len = 0;

	if (has_priorities)
		len = (size_t)snprintf(line, sizeof(line), "<%d>",
				       priority_of(level));
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	len += strftime(line + len, sizeof(line) - len, "%Y-%m-%dT%H:%M:%S",
			&utc);
	len += (size_t)snprintf(line + len, sizeof(line) - len, ".%03ldZ %s ",
				now.tv_nsec / 1000000,
				journal_level_name(level));
	len += cli_escape(line + len, sizeof(line) - 1 - len, text,
			  strlen(text), 0);
	line[len++] = '\n';
	(void)out_line(STDERR_FILENO, line, len, 0, &journal_losses, reported);
}

static void report_dropped(void)
{
	unsigned long long lost = out_take_losses(&journal_losses);
	char note[64];

	snprintf(note, sizeof(note), "%llu log lines were dropped", lost);
	if (lost > 0)
		journal_write(WEIR_LOG_WARNING, note, lost);
}

void journal_sink(int level, const char *text, void *arg)
{
	(void)arg;
	if (!journal_wants(level) || !journal_level_name(level))
		return;
	if (atomic_load(&journal_losses.unreported) > 0)
		report_dropped();
	journal_write(level, text, 0);
}

bool limit_allows(struct limit *l)
{
	struct timespec now;
	long long second = atomic_load(&l->second);

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (second != now.tv_sec &&
	    atomic_compare_exchange_strong(&l->second, &second, now.tv_sec))
		atomic_store(&l->count, 0);
	return atomic_fetch_add(&l->count, 1) < l->most;
}

static void log_formatted(int level, const char *format, va_list ap)
{
	char text[LOG_TEXT];

	vsnprintf(text, sizeof(text), format, ap);
	journal_sink(level, text, NULL);
}

void journal(int level, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_formatted(level, format, ap);
	va_end(ap);
}

void journal_client(int level, const char *format, ...)
{
	va_list ap;

	if (!journal_wants(level))
		return;
	if (!limit_allows(&limits[level])) {
		out_lose(&journal_losses, 0);
		return;
	}
	va_start(ap, format);
	log_formatted(level, format, ap);
	va_end(ap);
}

void journal_end(void)
{
	report_dropped();
}
