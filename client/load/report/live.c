/* SPDX-License-Identifier: MIT */
/*
 * The line consists of pieces, the most important first; as many are shown as
 * fit the window.
 */
#include "live.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../../cli/stream.h"
#include "../measure/units.h"
#include "layout.h"

#define BAR	16
#define HISTORY (sizeof(((struct live *)0)->history) / sizeof(int64_t))

struct line {
	char *text;
	size_t columns, width;
};

/* The last column stays empty, because some terminals wrap there. */
__attribute__((format(printf, 2, 3))) static void
live_say(struct line *line, const char *format, ...)
{
	char piece[128];
	size_t used = strlen(line->text), width;
	const char *gap = line->width > 0 ? "   " : "";
	va_list args;

	va_start(args, format);
	vsnprintf(piece, sizeof(piece), format, args);
	va_end(args);
	width = layout_width(piece) + strlen(gap);
	if (line->width + width >= line->columns)
		return;
	line->width += width;
	snprintf(line->text + used, LIVE_TEXT - used, "%s%s", gap, piece);
}

/* How much of the run is over, as a share of 1; -1: unknown. */
static double share_done(const struct plan *plan, const struct progress *p)
{
	double part;

	if (plan->count > 0)
		part = (double)(p->answered + p->errors) / (double)plan->count;
	else if (plan->duration_ns != INT64_MAX && plan->duration_ns > 0)
		part = (double)p->elapsed / (double)plan->duration_ns;
	else
		return -1;
	return part < 1 ? part : 1;
}

static void say_bar(struct line *line, double part, bool has_utf8)
{
	char bar[3 * BAR + 1] = "";
	char *to = bar;

	for (int i = 0; i < BAR; i++)
		if (i < (int)(part * BAR + 0.5))
			to = stpcpy(to, has_utf8 ? "━" : "#");
		else
			to = stpcpy(to, has_utf8 ? "─" : ".");
	live_say(line, "%s", bar);
}

static void say_rate(struct line *line, const struct live *live,
		     const struct second *s)
{
	double seconds = (double)s->length / 1e9;
	char text[UNITS_TEXT + 1];

	if (seconds <= 0)
		return;
	if (live->plan->mode == PLAN_UPLOAD)
		units_bytes_rate((double)s->bytes_out / seconds, text);
	else if (live->plan->mode == PLAN_DOWNLOAD)
		units_bytes_rate((double)s->bytes_in / seconds, text);
	else
		units_rate((double)s->answered / seconds, text);
	live_say(line, "%s%s", text,
		 live->plan->mode == PLAN_UPLOAD ||
				 live->plan->mode == PLAN_DOWNLOAD
			 ? ""
			 : "/s");
	if (s->p99 > 0)
		live_say(line, "p99 %s",
			 layout_time(s->p99, s->is_more[SECOND_P99], text));
}

static void say_left(struct line *line, int64_t left)
{
	live_say(line, "%" PRId64 " s left",
		 left > 0 ? (left + SECOND - 1) / SECOND : 0);
}

static void say_measuring(struct line *line, const struct live *live,
			  const struct progress *p)
{
	int64_t left = live->plan->duration_ns - p->elapsed;
	double part = share_done(live->plan, p);
	char text[UNITS_TEXT], bars[SPARKLINE_TEXT];

	if (part >= 0)
		live_say(line, "%3.0f%%", 100 * part);
	else
		live_say(line, "%" PRId64 " s", p->elapsed / SECOND);
	if (p->last)
		say_rate(line, live, p->last);
	live_say(line,
		 p->errors > 0 ? LAYOUT_BAD "%s error%s" LAYOUT_PLAIN
			       : "%s error%s",
		 units_count(p->errors, text), p->errors == 1 ? "" : "s");
	if (part >= 0 && live->plan->count == 0)
		say_left(line, left);
	if (part >= 0)
		say_bar(line, part, live->has_utf8);
	if (live->seconds > 1) {
		size_t n = live->seconds < HISTORY ? live->seconds : HISTORY;

		sparkline(bars, live->history + HISTORY - n, n, HISTORY,
			  live->has_utf8);
		live_say(line, "%s", bars);
	}
}

const char *live_line(struct live *live, const struct progress *p,
		      size_t columns, char text[LIVE_TEXT])
{
	struct line line = { .text = text, .columns = columns };

	text[0] = '\0';
	switch (p->part) {
	case RUN_CONNECTING:
		live_say(&line, "connecting");
		live_say(&line, "%d of %d", p->opened,
			 live->plan->connections + live->plan->idle);
		break;
	case RUN_WARMUP:
		live_say(&line, "warming up");
		say_left(&line, live->plan->warmup_ns - p->elapsed);
		break;
	case RUN_MEASURING:
		say_measuring(&line, live, p);
		break;
	case RUN_DRAINING:
		live_say(&line, "waiting for the last replies");
		break;
	}
	return text;
}

void live_init(struct live *live, const struct plan *plan)
{
	const char *terminal = getenv("TERM");

	*live = (struct live){
		.plan = plan,
		.is_shown = isatty(STDERR_FILENO) &&
			    !(terminal && strcmp(terminal, "dumb") == 0),
		.has_colour = layout_has_colour(STDERR_FILENO),
		.has_utf8 = layout_has_utf8(),
	};
}

/* A second may be reported more than once. */
static void live_remember(struct live *live, const struct progress *p)
{
	if (p->part != RUN_MEASURING || !p->last ||
	    (live->seconds > 0 && p->last->at == live->last_at))
		return;
	memmove(live->history, live->history + 1,
		sizeof(live->history) - sizeof(live->history[0]));
	live->history[HISTORY - 1] = p->last->p99;
	live->last_at = p->last->at;
	live->seconds++;
}

static void print_progress(struct live *live, const struct progress *p)
{
	struct live plain = { .plan = live->plan, .last_at = live->last_at };
	char text[LIVE_TEXT], at[UNITS_TEXT];
	int64_t now = now_ns();

	if (live->next_at == 0)
		live->next_at = now + live->every;
	if (now < live->next_at || (p->part == RUN_MEASURING && !p->last))
		return;
	while (live->next_at <= now)
		live->next_at += live->every;
	live_line(&plain, p, LIVE_TEXT, text);
	fprintf(stream_err(), "%s: ", units_time(p->elapsed, at));
	layout_write(text, false, stream_err());
	fputc('\n', stream_err());
	fflush(stream_err());
}

void live_watch(void *arg, const struct progress *p)
{
	struct live *live = arg;
	char text[LIVE_TEXT];

	if (live->every > 0) {
		print_progress(live, p);
		return;
	}
	if (!live->is_shown)
		return;
	live_remember(live, p);
	live_line(live, p, layout_columns(STDERR_FILENO), text);
	fputs("\r\033[K", stream_err());
	layout_write(text, live->has_colour, stream_err());
	fflush(stream_err());
}

void live_end(struct live *live)
{
	if (!live->is_shown || live->every > 0)
		return;
	fputs("\r\033[K", stream_err());
	fflush(stream_err());
	live->is_shown = false;
}
