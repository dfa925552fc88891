/* SPDX-License-Identifier: MIT */
/*
 * send: one message, and the end.  What the server says to it is shown.
 *
 * "Sent and not lost": a close says nothing of what became of the message.
 * So sending is shut down, and we stay until the server has ended as well;
 * only that is success.  A server that closes without having read everything
 * resets the connection, which is a failure, as is one that never ends.
 *
 * Main thread only.  It reads while it sends, for servers that answer before
 * they have heard everything.
 */
#include "command.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weir.h>

#include "../cli/cli.h"
#include "../cli/stream.h"
#include "options.h"
#include "peer.h"
#include "screen.h"

/* Standard input up to this size is one message, sent in one piece. */
#define BLOCK ((size_t)1024 * 1024)

struct send {
	struct peer peer;
	struct screen screen;
	const char *text; /* what is yet to be sent of the block */
	size_t len;
	char *block;	/* of standard input, if it comes from there */
	bool has_more;	/* standard input, maybe */
	bool has_ended; /* the server, before we did */
};

/* Reads until the block is full or there is no more; complains. */
static bool fill(struct send *s)
{
	s->text = s->block;
	s->len = 0;
	s->has_more = true;
	while (s->has_more && s->len < BLOCK) {
		ssize_t n = stream_read(STDIN_FILENO, s->block + s->len,
					BLOCK - s->len);

		if (n < 0) {
			cli_error("cannot read standard input: %s",
				  strerror((int)-n));
			return false;
		}
		s->len += (size_t)n;
		s->has_more = n > 0;
	}
	return true;
}

/* Show what there is, or comes within the timeout; as peer_read(). */
static int receive(struct send *s)
{
	char data[4096];
	ssize_t n = peer_read(&s->peer, data, sizeof(data), s->peer.timeout_ms);

	if (n > 0)
		screen_put(&s->screen, data, (size_t)n);
	return (int)n;
}

/* It failed while we were sending: what it said before that may say why. */
static int say_cut(struct send *s, int rc, const char *what)
{
	char reason[PEER_REASON];

	if (rc == -EPIPE || rc == -ECONNRESET)
		while (!s->has_ended && !s->screen.error && receive(s) > 0)
			;
	if (s->screen.is_terminal)
		screen_end_line(&s->screen);
	cli_error("%s; the message may be lost",
		  peer_reason(&s->peer, rc, what, reason));
	return CLI_FAILED;
}

static int send_block(struct send *s)
{
	struct pollfd pfd = { .fd = weir_conn_fd(s->peer.conn) };

	while (!s->screen.error) {
		int rc = peer_feed(&s->peer, &s->text, &s->len);

		if (rc < 0)
			return say_cut(s, rc, "progress");
		if (rc > 0)
			break;
		pfd.events = s->has_ended ? POLLOUT : POLLIN | POLLOUT;
		rc = poll(&pfd, 1, s->peer.timeout_ms);
		if (rc == 0)
			return say_cut(s, -ETIMEDOUT, "progress");
		if (rc < 0 && errno != EINTR)
			return say_cut(s, -errno, "progress");
		if (rc < 0 || s->has_ended || !(pfd.revents & POLLIN))
			continue;
		rc = receive(s);
		if (rc < 0)
			return say_cut(s, rc, "progress");
		s->has_ended = rc == 0;
	}
	return CLI_DONE;
}

static int finish(struct send *s)
{
	int rc = weir_conn_shutdown(s->peer.conn, SHUT_WR);

	while (rc >= 0 && !s->has_ended && !s->screen.error) {
		rc = receive(s);
		s->has_ended = rc == 0;
	}
	if (rc >= 0 && !s->screen.error)
		rc = peer_settle(&s->peer);
	if (rc < 0)
		return say_cut(s, rc, "end");
	if (s->screen.is_terminal)
		screen_end_line(&s->screen);
	return CLI_DONE;
}

static int deliver(struct send *s)
{
	for (;;) {
		int status = send_block(s);

		if (status != CLI_DONE || s->screen.error)
			return status;
		if (!s->has_more)
			return finish(s);
		if (!fill(s))
			return CLI_FAILED;
	}
}

/* ---------------------------------------------------------- the command line
 */

static const struct options_operand operands[] = {
	{ "ADDRESS", "the address", "127.0.0.1:1234" },
	{ .name = NULL },
};

static const struct cli_option table[] = {
	{ "timeout", 't', "DURATION",
	  "longest time to connect, without progress,\n"
	  "and for the server's end (default 10s)" },
	OPTIONS_HELP,
	OPTIONS_VERSION,
	{ .name = NULL },
};

static bool take(void *to, int key)
{
	struct send *s = to;

	return key == 't' && options_take_timeout(&s->peer.timeout_ms);
}

static const struct options_syntax syntax = {
	.command = "send",
	.about = "Send one message, and see that it arrives.  Without TEXT, "
		 "or with -, it is\nstandard input.\n",
	.operands = operands,
	.optional = "TEXT",
	.table = table,
	.take = take,
};

/* The first of it, before there is a connection to keep waiting. */
static int begin_message(struct send *s, const char *text)
{
	if (!text && isatty(STDIN_FILENO)) {
		cli_error("the text is missing; say for instance weir-client "
			  "send %s hello, or - to type it",
			  s->peer.address);
		return CLI_USAGE;
	}
	if (text && strcmp(text, "-") != 0) {
		s->text = text;
		s->len = strlen(text);
		if (s->len == 0)
			cli_error("the text is empty; there is no empty "
				  "message");
		return s->len > 0 ? CLI_DONE : CLI_USAGE;
	}
	s->block = malloc(BLOCK);
	if (!s->block) {
		cli_error("out of memory");
		return CLI_FAILED;
	}
	if (!fill(s))
		return CLI_FAILED;
	if (s->len == 0)
		cli_error("standard input is empty; there is no empty message");
	return s->len > 0 ? CLI_DONE : CLI_FAILED;
}

int send_text(int argc, char **argv)
{
	struct send s = { .peer.timeout_ms = 10 * 1000 };
	int status = options_parse(&syntax, &s, argc, argv);

	if (status >= 0)
		return status;
	s.peer.address = argv[optind];
	if (!options_check_address(s.peer.address))
		return CLI_USAGE;
	status = begin_message(&s, argv[optind + 1]);
	if (status == CLI_DONE)
		status = peer_dial(&s.peer);
	if (status == CLI_DONE) {
		screen_init(&s.screen);
		status = screen_check(&s.screen, deliver(&s));
	}
	peer_close(&s.peer);
	free(s.block);
	return status;
}
