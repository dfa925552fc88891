/* SPDX-License-Identifier: MIT */
/*
 * The character generator of RFC 864: lines of 72 of the 95 printable
 * characters, each line shifted by one, until the client closes.
 *
 * The client sets the pace.  A call fills the outbox; the next call comes when
 * most of it has been sent.  For a client that takes everything at once, the
 * next call comes after those of other clients.  What it sends is discarded.
 */
#include <errno.h>

#include "services.h"

#define FIRST	' '
#define CHARS	95
#define COLUMNS 72
#define PIECES	32 /* in one call */

/* One period: after CHARS lines the pattern repeats. */
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

/* Returns 0 at the end of input, -EAGAIN, or another -errno. */
static ssize_t discard_input(weir_conn *c)
{
	char waste[4096];
	ssize_t n;

	do
		n = weir_conn_read(c, waste, sizeof(waste));
	while (n > 0);
	return n;
}

static int chargen_readable(weir_conn *c, void *arg)
{
	(void)arg;
	for (int i = 0; i < PIECES; i++) {
		ssize_t n = discard_input(c);
		int rc;

		if (n != -EAGAIN)
			return (int)n; /* the end; in a stop -ESHUTDOWN */
		rc = weir_ref_send(weir_conn_self(c), pattern, sizeof(pattern));
		/*
		 * The input call returned -EAGAIN with the outbox as full as
		 * now, so the next call comes when the outbox has emptied.
		 */
		if (rc == -ENOBUFS)
			return -EAGAIN;
		if (rc < 0)
			return rc;
	}
	(void)weir_ref_wake(weir_conn_self(c));
	return WEIR_AGAIN;
}

static int chargen_opened(weir_conn *c, void *arg)
{
	int rc;

	/* Send first: a client that has ended its input gets something too. */
	rc = weir_ref_send(weir_conn_self(c), pattern, sizeof(pattern));
	return rc < 0 ? rc : chargen_readable(c, arg);
}

void svc_chargen(struct weir_service *ret, const struct options *o)
{
	(void)o;
	draw_pattern();
	ret->opened = chargen_opened;
	ret->readable = chargen_readable;
}
