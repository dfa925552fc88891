/* SPDX-License-Identifier: MIT */
#include "layout.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* By mark; the last one resets. */
static const char *const colours[] = {
	NULL,	   "\033[32m", "\033[1;35m", "\033[1;31m",
	"\033[2m", "\033[1m",  "\033[0m",
};

static bool layout_is_mark(char c)
{
	return c > 0 && (size_t)c < sizeof(colours) / sizeof(colours[0]);
}

size_t layout_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += !layout_is_mark(*text) &&
			 ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static size_t columns_of(const struct layout *p)
{
	return p->columns > 0 ? p->columns : LAYOUT_COLUMNS;
}

static bool layout_is_full(const struct layout *p)
{
	return p->used == LAYOUT_LINES;
}

static void layout_append(struct layout *p, const char *text, size_t len)
{
	char *line = p->lines[p->used - 1];
	size_t used = strlen(line);
	char piece[512];

	snprintf(piece, sizeof(piece), "%.*s", (int)len, text);
	snprintf(line + used, sizeof(p->lines[0]) - used, "%s", piece);
	p->column += layout_width(piece);
}

static void begin_line(struct layout *p, enum layout_rank rank,
		       const char *label)
{
	if (layout_is_full(p))
		return;
	p->ranks[p->used] = rank;
	p->lines[p->used++][0] = '\0';
	p->column = 0;
	layout_append(p, label, strlen(label));
	while (p->column < LAYOUT_LABEL)
		layout_append(p, " ", 1);
	p->is_begun = true;
}

void layout_begin(struct layout *p, enum layout_rank rank, const char *label)
{
	begin_line(p, rank, label);
}

static void put_piece(struct layout *p, const char *gap, const char *text,
		      size_t len)
{
	char piece[512];

	snprintf(piece, sizeof(piece), "%.*s", (int)len, text);
	if (p->is_begun)
		gap = "";
	if (!p->is_begun &&
	    p->column + strlen(gap) + layout_width(piece) > columns_of(p)) {
		if (layout_is_full(p))
			return;
		begin_line(p, p->ranks[p->used - 1], "");
		gap = "";
	}
	layout_append(p, gap, strlen(gap));
	layout_append(p, piece, len);
	p->is_begun = false;
}

/* A word longer than a line is cut. */
static void put_words(struct layout *p, const char *text)
{
	const char *gap = "   ";

	while (*text) {
		size_t len = strcspn(text, " ");
		size_t room = columns_of(p) - LAYOUT_LABEL;

		put_piece(p, gap, text, len < room ? len : room);
		gap = " ";
		text += len;
		text += strspn(text, " ");
	}
}

void layout_say(struct layout *p, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (p->used == 0)
		return;
	if (layout_width(text) <= columns_of(p) - LAYOUT_LABEL &&
	    (!p->is_begun || p->column == LAYOUT_LABEL))
		put_piece(p, "   ", text, strlen(text));
	else
		put_words(p, text);
}

void layout_space(struct layout *p)
{
	if (layout_is_full(p))
		return;
	p->ranks[p->used] = LAYOUT_SPACE;
	p->lines[p->used++][0] = '\0';
	p->is_begun = false;
}

/* Remove lines of the least rank, the last first, until it fits. */
static void shorten(struct layout *p, size_t most)
{
	for (int rank = LAYOUT_RANKS - 1; rank > LAYOUT_MUST; rank--)
		for (size_t i = p->used; i-- > 0 && p->used > most;) {
			if ((int)p->ranks[i] != rank)
				continue;
			p->used--;
			memmove(p->lines[i], p->lines[i + 1],
				(p->used - i) * sizeof(p->lines[0]));
			memmove(&p->ranks[i], &p->ranks[i + 1],
				(p->used - i) * sizeof(p->ranks[0]));
		}
	if (p->used > most)
		p->used = most;
}

void layout_write(const char *text, bool has_colour, FILE *to)
{
	for (; *text; text++) {
		if (!layout_is_mark(*text))
			putc(*text, to);
		else if (has_colour)
			fputs(colours[(unsigned char)*text], to);
	}
}

size_t layout_columns(int fd)
{
	struct winsize window;

	if (ioctl(fd, TIOCGWINSZ, &window) < 0 || window.ws_col == 0)
		return LAYOUT_COLUMNS;
	return window.ws_col;
}

bool layout_has_colour(int fd)
{
	const char *no_colour = getenv("NO_COLOR");
	const char *terminal = getenv("TERM");

	return isatty(fd) && !(no_colour && *no_colour) &&
	       !(terminal && strcmp(terminal, "dumb") == 0);
}

const char *layout_time(int64_t ns, bool is_more, char buf[UNITS_TEXT + 1])
{
	buf[0] = '>';
	units_time(ns, buf + is_more);
	return buf;
}

void layout_print(struct layout *p, size_t most, bool has_colour, FILE *to)
{
	shorten(p, most);
	for (size_t i = 0; i < p->used; i++) {
		char *line = p->lines[i];
		size_t len = strlen(line);

		while (len > 0 && line[len - 1] == ' ')
			line[--len] = '\0';
		layout_write(line, has_colour, to);
		putc('\n', to);
	}
}

static const char *const blocks[] = { " ", "▁", "▂", "▃", "▄",
				      "▅", "▆", "▇", "█" };
static const char *const signs[] = {
	" ", "_", ".", ":", "-", "=", "+", "*", "#"
};

static int64_t greatest(const int64_t *values, size_t count)
{
	int64_t most = 0;

	for (size_t i = 0; i < count; i++)
		if (values[i] > most)
			most = values[i];
	return most;
}

size_t sparkline(char text[SPARKLINE_TEXT], const int64_t *values, size_t count,
		 size_t bars, bool has_utf8)
{
	size_t each = (count + bars - 1) / bars;
	double most = (double)greatest(values, count);
	char *to = text;

	*to = '\0';
	for (size_t at = 0; at < count; at += each) {
		size_t part = count - at < each ? count - at : each;
		int64_t value = greatest(values + at, part);
		size_t step =
			value > 0 ? 1 + (size_t)(7 * (double)value / most) : 0;

		to = stpcpy(to, (has_utf8 ? blocks : signs)[step]);
	}
	return each;
}

bool layout_has_utf8(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };
	const char *value = NULL;

	for (size_t i = 0; i < 3 && !(value && *value); i++)
		value = getenv(names[i]);
	return value &&
	       (strcasestr(value, "utf-8") || strcasestr(value, "utf8"));
}
