/* SPDX-License-Identifier: MIT */
/*
 * talk: read the banner, then send a line, read its reply, and so on.  Messages
 * are not framed: for the server one recv is one message, and a reply is what
 * arrives until the server is quiet; see "The end of a reply".
 *
 * --lines, which sends newlines and does not wait for replies, is in
 * dialogue.c.
 *
 * Main thread only.
 */
#include "command.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>

#include <weir.h>

#include "../cli/cli.h"
#include "../cli/editor.h"
#include "dialogue.h"
#include "options.h"
#include "peer.h"
#include "screen.h"

#define QUIET_MS  20   /* of silence end a reply of unknown length */
#define DOUBT_MS  200  /* the same, if it may be of known length */
#define BANNER_MS 1000 /* longest wait for a banner on a terminal */

static const char known_form[] = "Server replies: ";
#define KNOWN_LEN (sizeof(known_form) - 1)

struct talk {
	bool once;
	bool read_only;
	bool no_banner;
	const char *newline; /* of --lines and --crlf; or NULL */
	bool has_ended;	     /* the server has, and that is no failure */
	bool is_mid;	     /* more may follow what has come unasked */
	struct peer peer;
	struct screen screen;
};

/*
 * "The end of a reply": a reply of the known form is known_form and the
 * message, so its length is known, and we wait for all of it.  Any other reply
 * ends after QUIET_MS of silence, or after DOUBT_MS while it may still turn out
 * to be of the known form.
 */
struct expected {
	const char *message; /* NULL: a banner, which is of unknown form */
	size_t len;
	size_t got;
	bool is_known; /* so far */
};

static void compare_known_form(struct expected *e, const char *data, size_t len)
{
	size_t total = e->message ? KNOWN_LEN + e->len : 0;

	for (size_t i = 0; i < len && e->is_known; i++) {
		size_t at = e->got + i;

		if (at >= total)
			e->is_known = false;
		else if (at < KNOWN_LEN)
			e->is_known = data[i] == known_form[at];
		else
			e->is_known = data[i] == e->message[at - KNOWN_LEN];
	}
	e->got += len;
}

static bool is_whole(const struct expected *e)
{
	return e->is_known && e->message && e->got == KNOWN_LEN + e->len;
}

static int next_piece_ms(const struct talk *t, const struct expected *e)
{
	int ms = QUIET_MS;

	if (e->is_known)
		ms = e->got < KNOWN_LEN ? DOUBT_MS : t->peer.timeout_ms;
	if (t->peer.timeout_ms >= 0 && ms > t->peer.timeout_ms)
		ms = t->peer.timeout_ms;
	return ms;
}

static ssize_t receive_piece(struct talk *t, struct expected *e, int ms)
{
	char data[4096];
	ssize_t n = peer_read(&t->peer, data, sizeof(data), ms);

	if (n > 0) {
		screen_put(&t->screen, data, (size_t)n);
		compare_known_form(e, data, (size_t)n);
	}
	return n;
}

/* Returns 0 at the end of input, -errno, or > 0 if the screen has failed. */
static ssize_t receive_rest(struct talk *t)
{
	struct expected rest = { .message = NULL };
	ssize_t n = 1;

	while (n > 0 && !t->screen.error)
		n = receive_piece(t, &rest, t->peer.timeout_ms);
	return n;
}

/*
 * The reply begins within ms.  Returns 1; 0 if the server closed instead;
 * -errno.  The next call finds a close after the reply.
 */
static int talk_receive(struct talk *t, struct expected *e, int ms)
{
	ssize_t n = 1;

	while (n > 0 && !is_whole(e) && !t->screen.error)
		n = receive_piece(t, e, e->got > 0 ? next_piece_ms(t, e) : ms);
	screen_end_line(&t->screen);
	if (n > 0 || (e->got > 0 && (n == 0 || n == -ETIMEDOUT)))
		return 1;
	return (int)n;
}

/* On a terminal, waits beyond the timeout. */
static int receive_reply(struct talk *t, struct expected *e)
{
	int rc = talk_receive(t, e, t->peer.timeout_ms);

	if (rc != -ETIMEDOUT || !editor_is_interactive())
		return rc;
	screen_note(&t->screen, "(still waiting, Ctrl-C to leave)");
	return talk_receive(t, e, WEIR_NEVER);
}

/*
 * Send a line, and receive at the same time: a server that answers while it
 * reads may stop reading otherwise.  Returns 1; 0 if the server closed; -errno.
 */
static int talk_send(struct talk *t, const char *line, size_t len,
		     struct expected *reply)
{
	struct pollfd pfd;
	ssize_t n = 1;

	while (n > 0 && !t->screen.error) {
		int rc = peer_feed(&t->peer, &line, &len), patience_ms;

		if (rc != 0)
			return rc;
		patience_ms = peer_patience(&t->peer, t->peer.active_at);
		if (patience_ms == 0)
			return -ETIMEDOUT;
		rc = peer_poll(&t->peer, &pfd, 0, POLLIN | POLLOUT,
			       patience_ms);
		if (rc < 0 && rc != -EINTR)
			return rc;
		if (rc > 0 && (pfd.revents & ~POLLOUT))
			n = receive_piece(t, reply, t->peer.timeout_ms);
	}
	return (int)n;
}

static void end_unasked(struct talk *t)
{
	if (t->is_mid)
		screen_end_line(&t->screen);
	t->is_mid = false;
}

/*
 * As peer_say(); on a terminal a close is no failure.  A server that has gone
 * may have sent the reason.
 */
static int talk_end(struct talk *t, int rc, const char *what)
{
	end_unasked(t);
	if (rc == -EPIPE || rc == -ECONNRESET)
		(void)receive_rest(t);
	screen_end_line(&t->screen);
	t->has_ended = true;
	if (rc == 0 && editor_is_interactive())
		return peer_note_end(&t->peer, &t->screen);
	return peer_say(&t->peer, rc, what);
}

static int read_banner(struct talk *t)
{
	struct expected banner = { .message = NULL };
	int ms = t->peer.timeout_ms;
	int rc;

	if (editor_is_interactive() && (ms < 0 || ms > BANNER_MS))
		ms = BANNER_MS;
	rc = talk_receive(t, &banner, ms);
	if (rc > 0)
		return CLI_DONE;
	if (rc != -ETIMEDOUT)
		return talk_end(t, rc, "banner");
	if (editor_is_interactive())
		return CLI_DONE;
	return peer_say_timeout(&t->peer,
				"banner (use --no-banner if there is none)");
}

static int show_unasked(struct talk *t)
{
	char data[4096];
	ssize_t n = peer_read(&t->peer, data, sizeof(data), t->peer.timeout_ms);

	if (n <= 0) {
		editor_hide();
		return talk_end(t, (int)n, "input");
	}
	editor_erase();
	screen_put(&t->screen, data, (size_t)n);
	t->is_mid = data[n - 1] != '\n';
	return CLI_DONE;
}

/* Not more than this: it may have no end. */
#define PIECES_MOST 256

/* What is there already; a line is ready to be sent. */
static int show_all_unasked(struct talk *t)
{
	struct pollfd pfd;
	int rc = CLI_DONE;

	for (int i = 0; i < PIECES_MOST && !t->has_ended && !t->screen.error &&
			peer_poll(&t->peer, &pfd, 0, POLLIN, 0) > 0;
	     i++)
		rc = show_unasked(t);
	end_unasked(t);
	return rc;
}

/*
 * The user comes first: if the user has ended, it does not matter that the
 * server has, too.
 */
static int talk_poll(struct talk *t, bool is_users_turn)
{
	struct pollfd fds[EDITOR_FDS + 1];
	int rc;

	if (!is_users_turn)
		return show_all_unasked(t);
	if (!t->is_mid)
		editor_show();
	editor_fds(fds);
	rc = peer_poll(&t->peer, fds, EDITOR_FDS, POLLIN,
		       t->is_mid ? QUIET_MS : -1);
	if (rc == -EINTR)
		return CLI_DONE;
	if (rc < 0) {
		editor_hide();
		return talk_end(t, rc, "input");
	}
	if (rc > 0 && !fds[0].revents && !fds[1].revents)
		return show_unasked(t);
	if (t->is_mid)
		end_unasked(t);
	else
		editor_step(fds);
	return CLI_DONE;
}

/*
 * Anything but EDITOR_LINE ends the conversation; EDITOR_NOTHING: the server
 * has closed, or nothing can be shown, and *status is the exit status.
 */
static enum editor_event talk_next_line(struct talk *t, const char **line,
					size_t *len, int *status)
{
	for (;;) {
		enum editor_event event = editor_next(line, len);
		int rc;

		if (event != EDITOR_NOTHING && event != EDITOR_LINE)
			return event;
		if (event == EDITOR_LINE && *len == 0)
			continue;
		rc = talk_poll(t, event == EDITOR_NOTHING);
		if (t->has_ended || t->screen.error) {
			*status = rc;
			return EDITOR_NOTHING;
		}
		if (event == EDITOR_LINE)
			return event;
	}
}

static int talk_finish(struct talk *t)
{
	ssize_t n;

	/* If this fails, the read returns why. */
	(void)weir_conn_shutdown(t->peer.conn, SHUT_WR);
	n = receive_rest(t);
	screen_end_line(&t->screen);
	if (n < 0 && n != -ETIMEDOUT)
		return peer_say(&t->peer, (int)n, "end");
	return CLI_DONE;
}

static int talk_run(struct talk *t)
{
	const char *line = NULL;
	size_t len = 0;

	while (!t->screen.error && !t->has_ended) {
		int rc, status = CLI_FAILED;
		enum editor_event event =
			talk_next_line(t, &line, &len, &status);
		struct expected reply = {
			.message = line,
			.len = len,
			.is_known = true,
		};

		if (event == EDITOR_END) {
			editor_hide();
			return talk_finish(t);
		}
		if (event != EDITOR_LINE) {
			editor_hide();
			return status;
		}
		rc = talk_send(t, line, len, &reply);
		if (rc <= 0)
			return talk_end(t, rc, "progress");
		if (t->once)
			return talk_finish(t);
		rc = receive_reply(t, &reply);
		if (rc <= 0)
			return talk_end(t, rc, "reply");
		if (dialogue_is_goodbye(line, len))
			return CLI_DONE;
	}
	return CLI_DONE;
}

static int read_to_end(struct talk *t)
{
	ssize_t n = receive_rest(t);

	if (t->screen.is_terminal)
		screen_end_line(&t->screen);
	return n < 0 ? peer_say(&t->peer, (int)n, "end of input") : CLI_DONE;
}

static int talk_hold(struct talk *t)
{
	int status = CLI_DONE;

	if (t->read_only)
		return read_to_end(t);
	if (t->newline)
		return dialogue_hold(&t->peer, DIALOGUE_LINES, t->newline);
	editor_open("Enter message: ");
	if (editor_is_interactive())
		peer_note_begin(&t->peer, &t->screen);
	if (!t->no_banner)
		status = read_banner(t);
	if (status == CLI_DONE)
		status = talk_run(t);
	editor_close();
	return status;
}

static const struct options_operand talk_operands[] = {
	{ "ADDRESS", "the address", "127.0.0.1:1234" },
	{ .name = NULL },
};

static const struct cli_option talk_table[] = {
	{ "timeout", 't', "DURATION",
	  "longest time to connect and for each reply\n"
	  "(default 10s)" },
	{ "once", '1', NULL, "read the banner, send one message and end" },
	{ "read-only", 'r', NULL, "send nothing, read to the end of input" },
	{ "no-banner", 'B', NULL, "do not wait for a banner before sending" },
	{ "lines", 'l', NULL,
	  "for a server that reads lines: send newlines\n"
	  "too, and do not wait for replies" },
	{ "crlf", 'c', NULL, "the same with CR LF, as in HTTP" },
	PEER_OPTION_ROWS,
	OPTIONS_HELP,
	OPTIONS_VERSION,
	{ .name = NULL },
};

static bool talk_take_option(void *to, int key)
{
	struct talk *t = to;

	switch (key) {
	case 't':
		return options_take_timeout(&t->peer.timeout_ms);
	case '1':
		t->once = true;
		return true;
	case 'r':
		t->read_only = true;
		return true;
	case 'B':
		t->no_banner = true;
		return true;
	case 'l':
		if (!t->newline)
			t->newline = "\n";
		return true;
	case 'c':
		t->newline = "\r\n";
		return true;
	default:
		return peer_take_option(&t->peer, key);
	}
}

static const struct options_syntax talk_syntax = {
	.command = "talk",
	.about = "Send messages one by one and show each reply.\n",
	.operands = talk_operands,
	.table = talk_table,
	.examples = "  weir-client talk 127.0.0.1:1234\n"
		    "  weir-client talk --lines 127.0.0.1:1234\n",
	.take = talk_take_option,
};

static bool talk_check_options(const struct talk *t)
{
	const char *lines =
		t->newline && *t->newline == '\r' ? "crlf" : "lines";
	const char *first = NULL, *second = NULL;

	if (t->read_only) {
		first = "read-only";
		second = t->newline	? lines
			 : t->once	? "once"
			 : t->no_banner ? "no-banner"
					: NULL;
	} else if (t->newline) {
		first = lines;
		second = t->once ? "once" : NULL;
	}
	if (second)
		cli_error("--%s contradicts --%s; leave one out", first,
			  second);
	return !second;
}

int talk(int argc, char **argv)
{
	struct talk t = { .peer.timeout_ms = 10 * 1000 };
	int status = options_parse(&talk_syntax, &t, argc, argv);

	if (status >= 0)
		return status;
	if (!peer_set_address(&t.peer, argv[optind]) || !talk_check_options(&t))
		return CLI_USAGE;
	status = peer_dial(&t.peer);
	if (status != CLI_DONE)
		return status;
	screen_init(&t.screen);
	status = screen_check(&t.screen, talk_hold(&t));
	peer_close(&t.peer);
	return status;
}
