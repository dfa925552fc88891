/* SPDX-License-Identifier: MIT */
/*
 * Nothing is buffered, except an incomplete character or a CR at the end.
 */
#include "screen.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../cli/cli.h"
#include "../cli/stream.h"
#include "../cli/text.h"

#define PIECE 1024

void screen_init(struct screen *s)
{
	*s = (struct screen){ .is_terminal = isatty(STDOUT_FILENO) };
}

static void screen_put_raw(struct screen *s, const char *data, size_t len)
{
	if (len == 0 || s->error)
		return;
	s->is_mid_line = data[len - 1] != '\n';
	s->error = -stream_write(STDOUT_FILENO, data, len);
}

static void screen_put_escaped(struct screen *s, const char *data, size_t len)
{
	char text[4 * PIECE + 1];
	size_t n = cli_escape(text, sizeof(text), data, len,
			      CLI_KEEP_UTF8 | CLI_KEEP_LINES);

	screen_put_raw(s, text, n);
}

static size_t drop_carriage_returns(char *data, size_t len)
{
	size_t used = 0;

	for (size_t i = 0; i < len; i++)
		if (data[i] != '\r' || i + 1 == len || data[i + 1] != '\n')
			data[used++] = data[i];
	return used;
}

/* The bytes at the end that depend on what follows. */
static size_t incomplete_tail(const char *data, size_t len)
{
	if (len > 0 && data[len - 1] == '\r')
		return 1;
	return cli_utf8_tail(data, len);
}

void screen_put(struct screen *s, const char *data, size_t len)
{
	char piece[PIECE];
	size_t used, part;

	if (!s->is_terminal) {
		screen_put_raw(s, data, len);
		return;
	}
	while (len > 0) {
		memcpy(piece, s->tail, s->tail_len);
		used = s->tail_len;
		part = len < PIECE - used ? len : PIECE - used;
		memcpy(piece + used, data, part);
		used += part;
		used = drop_carriage_returns(piece, used);
		s->tail_len = incomplete_tail(piece, used);
		used -= s->tail_len;
		memcpy(s->tail, piece + used, s->tail_len);
		screen_put_escaped(s, piece, used);
		data += part;
		len -= part;
	}
}

void screen_end_line(struct screen *s)
{
	screen_put_escaped(s, s->tail, s->tail_len);
	s->tail_len = 0;
	if (s->is_mid_line)
		screen_put_raw(s, "\n", 1);
}

void screen_note(struct screen *s, const char *format, ...)
{
	char line[PIECE];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	screen_end_line(s);
	screen_put_escaped(s, line, strlen(line));
	screen_put_raw(s, "\n", 1);
}

int screen_check(const struct screen *s, int status)
{
	if (status != CLI_DONE || !s->error)
		return status;
	return cli_output_failed(s->error);
}
