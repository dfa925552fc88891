/* SPDX-License-Identifier: MIT */
/*
 * The progress line is drawn with spaces and carriage returns, which every
 * terminal has.  It asks for the width each time, because the terminal may be
 * resized, and leaves the last column free, because some terminals wrap there.
 */
#include "progress.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define DRAW_MS	    100 /* between two drawings */
#define LINE_MAX    160
#define BAR_MIN	    10
#define BAR_MAX	    40
#define USUAL_WIDTH 80

static struct {
	bool has_line;
	int64_t total; /* -1: unknown */
	int64_t began_at, drawn_at;
	int drawn_len;
	volatile sig_atomic_t is_shown;
} progress;

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t progress_elapsed(void)
{
	return now_ms() - progress.began_at;
}

const char *progress_size(double bytes, char buf[PROGRESS_TEXT])
{
	static const char *const units[] = { "B",   "KiB", "MiB", "GiB",
					     "TiB", "PiB", "EiB" };
	size_t i = 0;

	/* Do not round to 1024.0. */
	for (; bytes >= 1023.95 && i < 6; i++)
		bytes /= 1024;
	snprintf(buf, PROGRESS_TEXT, i ? "%.1f %s" : "%.0f %s", bytes,
		 units[i]);
	return buf;
}

const char *progress_time(int64_t ms, char buf[PROGRESS_TEXT])
{
	long long s = ms / 1000;

	if (s < 60)
		snprintf(buf, PROGRESS_TEXT, "%lld.%llds", s,
			 (long long)ms / 100 % 10);
	else if (s < 3600)
		snprintf(buf, PROGRESS_TEXT, "%lld:%02lld", s / 60, s % 60);
	else
		snprintf(buf, PROGRESS_TEXT, "%lld:%02lld:%02lld", s / 3600,
			 s / 60 % 60, s % 60);
	return buf;
}

static int terminal_width(void)
{
	struct winsize size = { .ws_col = 0 };

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return USUAL_WIDTH;
	return size.ws_col <= LINE_MAX ? size.ws_col : LINE_MAX;
}

/* A narrow terminal shows only the beginning. */
static int progress_text(char *line, size_t cap, int64_t bytes)
{
	char size[PROGRESS_TEXT], rate[PROGRESS_TEXT], took[PROGRESS_TEXT];
	char total[PROGRESS_TEXT], left[PROGRESS_TEXT];
	int64_t ms = progress_elapsed();
	double speed = (double)bytes * 1000 / (double)(ms > 0 ? ms : 1);
	double rest = (double)(progress.total - bytes);

	progress_size((double)bytes, size);
	progress_size(speed, rate);
	progress_time(ms, took);
	if (progress.total < 0)
		return snprintf(line, cap, "%s  %s/s  %s", size, rate, took);
	progress_size((double)progress.total, total);
	strcpy(left, "?");
	if (bytes > 0 && rest / speed < 1e6)
		progress_time((int64_t)(rest < 0 ? 0 : rest / speed * 1000),
			      left);
	return snprintf(line, cap, "%s of %s  %s/s  %s  %s left", size, total,
			rate, took, left);
}

/* " 42% [====>     ] ", or less if there is no room for it. */
static int progress_bar(char *line, int room, int64_t bytes)
{
	double part = (double)bytes / (double)progress.total;
	int used, done, cells = room - 9;

	if (progress.total <= 0)
		return 0;
	if (part > 1)
		part = 1;
	used = snprintf(line, 8, "%3d%% ", (int)(part * 100));
	if (cells < BAR_MIN)
		return used;
	if (cells > BAR_MAX)
		cells = BAR_MAX;
	done = (int)(part * cells);
	line[used++] = '[';
	for (int i = 0; i < cells; i++)
		line[used++] = i < done ? '=' : i == done ? '>' : ' ';
	line[used++] = ']';
	line[used++] = ' ';
	return used;
}

static void progress_put(const char *text, int len)
{
	ssize_t n = write(STDERR_FILENO, text, (size_t)len);

	(void)n;
}

static void progress_draw(const char *text, int len)
{
	char line[2 * LINE_MAX + 2];
	int used = 0, blanks = progress.drawn_len - len;

	line[used++] = '\r';
	memcpy(line + used, text, (size_t)len);
	used += len;
	if (blanks > 0) {
		memset(line + used, ' ', (size_t)blanks);
		memset(line + used + blanks, '\b', (size_t)blanks);
		used += 2 * blanks;
	}
	progress_put(line, used);
	progress.drawn_len = len;
	progress.is_shown = len > 0;
}

void progress_begin(int64_t total, bool has_line)
{
	progress.has_line = has_line && isatty(STDERR_FILENO);
	progress.total = total;
	progress.began_at = now_ms();
	progress.drawn_at = progress.began_at - DRAW_MS;
}

void progress_update(int64_t bytes)
{
	char text[PROGRESS_TEXT * 8], line[LINE_MAX + 8];
	int room, len, used;

	if (!progress.has_line || now_ms() - progress.drawn_at < DRAW_MS)
		return;
	progress.drawn_at = now_ms();
	room = terminal_width() - 1;
	len = progress_text(text, sizeof(text), bytes);
	used = progress_bar(line, room - len, bytes);
	if (len > LINE_MAX - used)
		len = LINE_MAX - used;
	memcpy(line + used, text, (size_t)len);
	used += len;
	if (progress.drawn_len > room)
		progress.drawn_len = room;
	progress_draw(line, used < room ? used : room);
}

void progress_end(void)
{
	if (!progress.is_shown)
		return;
	if (progress.drawn_len >= terminal_width())
		progress.drawn_len = terminal_width() - 1;
	progress_draw("", 0);
	progress_put("\r", 1);
}

bool progress_is_shown(void)
{
	return progress.is_shown;
}
