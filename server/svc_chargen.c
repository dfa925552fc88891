/* SPDX-License-Identifier: MIT */
/*
 * The character generator of RFC 864: lines of 72 of the 95 printable
 * characters, each line one character further on, until the client closes.
 *
 * The client sets the pace.  Its outbox is filled until there is no room, and
 * the next call comes when most of that has gone; one that takes everything
 * at once has its turn again after the others.  What it sends is thrown away.
 */
#include <errno.h>

#include "services.h"

#define FIRST	' '
#define CHARS	95
#define COLUMNS 72
#define PIECES	32 /* of one call */

/* After so many lines the pattern begins again, so that a piece is whole. */
static char pattern[CHARS][COLUMNS + 2];

static void draw_pattern(void)
{
	for (int line = 0; line < CHARS; line++) {
		for (int i = 0; i < COLUMNS; i++)
			pattern[line][i] = (char)(FIRST + (line + i) % CHARS);
		pattern[line][COLUMNS] = '\r';
		pattern[line][COLUMNS + 1] = '\n';
	}
}

/* 0 at the end, -EAGAIN while there is nothing, or another -errno. */
static ssize_t throw_input_away(weir_conn *c)
{
	char waste[4096];
	ssize_t n;

	do
		n = weir_conn_read(c, waste, sizeof(waste));
	while (n > 0);
	return n;
}

static int generate(weir_conn *c, void *arg)
{
	(void)arg;
	for (int i = 0; i < PIECES; i++) {
		ssize_t n = throw_input_away(c);
		int rc;

		if (n != -EAGAIN)
			return (int)n; /* the end; in a stop -ESHUTDOWN */
		rc = weir_conn_send(c, pattern, sizeof(pattern));
		/*
		 * The outbox has not grown since the input call said -EAGAIN,
		 * so that was for its sake, and we are called when it empties.
		 */
		if (rc == -ENOBUFS)
			return -EAGAIN;
		if (rc < 0)
			return rc;
	}
	(void)weir_conn_wake(c);
	return WEIR_AGAIN;
}

static int begin(weir_conn *c, void *arg)
{
	int rc;

	/* Before a look at the input: who has ended already gets a piece. */
	rc = weir_conn_send(c, pattern, sizeof(pattern));
	return rc < 0 ? rc : generate(c, arg);
}

void svc_chargen(struct weir_service *ret, const struct options *o)
{
	(void)o;
	draw_pattern();
	ret->opened = begin;
	ret->readable = generate;
}
