/* SPDX-License-Identifier: MIT */
/*
 * send: send one message, and show what the server answers.
 *
 * "The message has arrived": closing the socket would not tell.  So output is
 * shut down, and only when the server has ended as well is it success.  A
 * server that closes without having read everything resets the connection; that
 * is a failure, as is a server that never ends.
 *
 * Main thread only.  It reads while it sends, for servers that answer before
 * they have read everything.
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
	const char *text; /* the unsent part of the block */
	size_t len;
	char *block;	/* of standard input, if it comes from there */
	bool has_more;	/* standard input may have */
	bool has_ended; /* the server, before we did */
};

static bool fill_block(struct send *s)
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

static int send_receive(struct send *s)
{
	char data[4096];
	ssize_t n = peer_read(&s->peer, data, sizeof(data), s->peer.timeout_ms);

	if (n > 0)
		screen_put(&s->screen, data, (size_t)n);
	return (int)n;
}

/* What the server has sent before the failure may say why. */
static int fail_lost(struct send *s, int rc, const char *what)
{
	char reason[PEER_REASON];

	if (rc == -EPIPE || rc == -ECONNRESET)
		while (!s->has_ended && !s->screen.error && send_receive(s) > 0)
			;
	if (s->screen.is_terminal)
		screen_end_line(&s->screen);
	cli_error("%s; the message may be lost",
		  peer_reason(&s->peer, rc, what, reason));
	return CLI_FAILED;
}

static int send_block(struct send *s)
{
	struct pollfd pfd;

	while (!s->screen.error) {
		int patience_ms;
		int rc = peer_feed(&s->peer, &s->text, &s->len);

		if (rc < 0)
			return fail_lost(s, rc, "progress");
		if (rc > 0)
			break;
		patience_ms = peer_patience(&s->peer, s->peer.active_at);
		if (patience_ms == 0)
			return fail_lost(s, -ETIMEDOUT, "progress");
		rc = peer_poll(&s->peer, &pfd, 0,
			       s->has_ended ? POLLOUT : POLLIN | POLLOUT,
			       patience_ms);
		if (rc < 0 && rc != -EINTR)
			return fail_lost(s, rc, "progress");
		if (rc <= 0 || s->has_ended || !(pfd.revents & POLLIN))
			continue;
		rc = send_receive(s);
		if (rc < 0)
			return fail_lost(s, rc, "progress");
		s->has_ended = rc == 0;
	}
	return CLI_DONE;
}

static int send_finish(struct send *s)
{
	int rc = weir_conn_shutdown(s->peer.conn, SHUT_WR);

	rc = peer_result(&s->peer, rc);
	while (rc >= 0 && !s->has_ended && !s->screen.error) {
		rc = send_receive(s);
		s->has_ended = rc == 0;
	}
	if (rc >= 0 && !s->screen.error)
		rc = peer_settle(&s->peer);
	if (rc < 0)
		return fail_lost(s, rc, "end");
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
			return send_finish(s);
		if (!fill_block(s))
			return CLI_FAILED;
	}
}

static const struct options_operand send_operands[] = {
	{ "ADDRESS", "the address", "127.0.0.1:1234" },
	{ .name = NULL },
};

static const struct cli_option send_table[] = {
	{ "timeout", 't', "DURATION",
	  "longest time to connect, without progress,\n"
	  "and until the server closes (default 10s)" },
	PEER_OPTION_ROWS,
	OPTIONS_HELP,
	OPTIONS_VERSION,
	{ .name = NULL },
};

static bool send_take_option(void *to, int key)
{
	struct send *s = to;

	return key == 't' ? options_take_timeout(&s->peer.timeout_ms)
			  : peer_take_option(&s->peer, key);
}

static const struct options_syntax send_syntax = {
	.command = "send",
	.about = "Send one message and wait until it has arrived.  Without "
		 "TEXT, or with -, it is\nstandard input.\n",
	.operands = send_operands,
	.optional = "TEXT",
	.table = send_table,
	.examples = "  weir-client send 127.0.0.1:1234 hello\n"
		    "  date | weir-client send 127.0.0.1:1234\n",
	.take = send_take_option,
};

/* Read the beginning of the message before connecting. */
static int send_begin(struct send *s, const char *text)
{
	if (!text && isatty(STDIN_FILENO)) {
		cli_error("the text is missing, as in weir-client send %s "
			  "hello, or - to type it",
			  s->peer.address);
		return CLI_USAGE;
	}
	if (text && strcmp(text, "-") != 0) {
		s->text = text;
		s->len = strlen(text);
		if (s->len == 0)
			cli_error("the text is empty, and an empty message "
				  "cannot be sent");
		return s->len > 0 ? CLI_DONE : CLI_USAGE;
	}
	s->block = malloc(BLOCK);
	if (!s->block) {
		cli_error("out of memory");
		return CLI_FAILED;
	}
	if (!fill_block(s))
		return CLI_FAILED;
	if (s->len == 0)
		cli_error("standard input is empty, and an empty message "
			  "cannot be sent");
	return s->len > 0 ? CLI_DONE : CLI_FAILED;
}

int send_text(int argc, char **argv)
{
	struct send s = { .peer.timeout_ms = 10 * 1000 };
	int status = options_parse(&send_syntax, &s, argc, argv);

	if (status >= 0)
		return status;
	if (!peer_set_address(&s.peer, argv[optind]))
		return CLI_USAGE;
	status = send_begin(&s, argv[optind + 1]);
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
