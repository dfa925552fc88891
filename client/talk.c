/* SPDX-License-Identifier: MIT */
/*
 * talk: read the banner, then a line, its reply, the next line.  The server
 * frames nothing: to it one recv is one message, and to us a reply is what
 * comes until it is quiet.  "The end of a reply" below says how long.
 *
 * With --lines each line is sent with its end, and nobody waits for a reply:
 * that is dialogue.c's.
 *
 * Main thread only.  Waits for replies are the library's, with its deadlines;
 * only the wait for the next line watches standard input as well.
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

#define QUIET_MS  20   /* ends a reply of unknown length */
#define DOUBT_MS  200  /* the same, when it may be one of known length */
#define BANNER_MS 1000 /* a person does not wait longer for a banner */

static const char known_form[] = "Server replies: ";
#define KNOWN_LEN (sizeof(known_form) - 1)

struct talk {
	bool once;
	bool read_only;
	bool no_banner;
	const char *newline; /* NULL: lines are sent without their ends */
	bool has_ended;	     /* the server, and that is no failure */
	struct peer peer;
	struct screen screen;
};

/* ------------------------------------------------------- the end of a reply */

/*
 * "The end of a reply": a server of the known form sends known_form and the
 * message, so that the length is known: then we wait for the whole of it, in
 * however many pieces.  Any other reply ends when nothing more comes for a
 * moment; a longer one as long as it is the beginning of the known form.
 */
struct expected {
	const char *message; /* NULL: a banner, which has no known form */
	size_t len;
	size_t got;
	bool is_known; /* so far */
};

static void compare(struct expected *e, const char *data, size_t len)
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

/* How long to wait for the next piece. */
static int patience(const struct talk *t, const struct expected *e)
{
	int ms = QUIET_MS;

	if (e->is_known)
		ms = e->got < KNOWN_LEN ? DOUBT_MS : t->peer.timeout_ms;
	if (t->peer.timeout_ms >= 0 && ms > t->peer.timeout_ms)
		ms = t->peer.timeout_ms;
	return ms;
}

/* Show what comes within ms, as a part of the reply; as peer_read(). */
static ssize_t hear(struct talk *t, struct expected *e, int ms)
{
	char data[4096];
	ssize_t n = peer_read(&t->peer, data, sizeof(data), ms);

	if (n > 0) {
		screen_put(&t->screen, data, (size_t)n);
		compare(e, data, (size_t)n);
	}
	return n;
}

/*
 * Show what the server says within ms, or goes on to say.  Returns 1; 0 if it
 * ended the connection instead; -errno.  An end after a reply is found by the
 * next call.
 */
static int receive(struct talk *t, struct expected *e, int ms)
{
	ssize_t n = 1;

	while (n > 0 && !is_whole(e) && !t->screen.error)
		n = hear(t, e, e->got > 0 ? patience(t, e) : ms);
	screen_end_line(&t->screen);
	if (n > 0 || (e->got > 0 && (n == 0 || n == -ETIMEDOUT)))
		return 1;
	return (int)n;
}

/* The same; with a person at our end, there may be one at the other. */
static int receive_reply(struct talk *t, struct expected *e)
{
	int rc = receive(t, e, t->peer.timeout_ms);

	if (rc != -ETIMEDOUT || !editor_is_interactive())
		return rc;
	screen_note(&t->screen, "(still waiting, Ctrl-C to leave)");
	return receive(t, e, WEIR_NEVER);
}

/*
 * Send a line, and take what the server says meanwhile: one that answers as it
 * reads does not read on before somebody does.  Returns 1; 0 if the server
 * ended the connection; -errno.
 */
static int speak(struct talk *t, const char *line, size_t len,
		 struct expected *reply)
{
	struct pollfd pfd = { .fd = weir_conn_fd(t->peer.conn),
			      .events = POLLIN | POLLOUT };
	ssize_t n = 1;

	while (n > 0 && !t->screen.error) {
		int rc = peer_feed(&t->peer, &line, &len);

		if (rc != 0)
			return rc;
		rc = poll(&pfd, 1, t->peer.timeout_ms);
		if (rc == 0)
			return -ETIMEDOUT;
		if (rc < 0 && errno != EINTR)
			return -errno;
		if (rc > 0 && (pfd.revents & ~POLLOUT))
			n = hear(t, reply, t->peer.timeout_ms);
	}
	return (int)n;
}

/* ------------------------------------------------------------ the dialogue */

/* As peer_say(); that a server is done is no failure to a person. */
static int say_gone(struct talk *t, int rc, const char *what)
{
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
	rc = receive(t, &banner, ms);
	if (rc > 0)
		return CLI_DONE;
	if (rc != -ETIMEDOUT)
		return say_gone(t, rc, "banner");
	if (editor_is_interactive())
		return CLI_DONE;
	return peer_say_timeout(&t->peer,
				"banner (use --no-banner if there is none)");
}

/* The server speaks, or has gone, while it is the user's turn. */
static int show_unasked(struct talk *t)
{
	char data[4096];
	ssize_t n = peer_read(&t->peer, data, sizeof(data), t->peer.timeout_ms);

	if (n <= 0) {
		editor_hide();
		return say_gone(t, (int)n, "input");
	}
	editor_erase();
	screen_put(&t->screen, data, (size_t)n);
	screen_end_line(&t->screen);
	return CLI_DONE;
}

/*
 * One look at the server, and at the user if it is still his turn.  He comes
 * first: if he has ended, it does not matter that the server has as well.
 */
static int look(struct talk *t, bool is_users_turn)
{
	struct pollfd fds[EDITOR_FDS + 1] = {
		[EDITOR_FDS] = { .fd = weir_conn_fd(t->peer.conn),
				 .events = POLLIN },
	};

	if (!is_users_turn)
		return poll(&fds[EDITOR_FDS], 1, 0) > 0 ? show_unasked(t)
							: CLI_DONE;
	editor_show();
	editor_fds(fds);
	if (poll(fds, EDITOR_FDS + 1, -1) < 0) {
		if (errno == EINTR)
			return CLI_DONE;
		editor_hide();
		return say_gone(t, -errno, "input");
	}
	if (!fds[0].revents && !fds[1].revents)
		return show_unasked(t);
	editor_step(fds);
	return CLI_DONE;
}

/*
 * The next line that is not empty: EDITOR_LINE.  Anything else is how the
 * dialogue ends; EDITOR_FAILED has been complained about.  EDITOR_NOTHING: the
 * server has ended it, and *status says with what.
 */
static enum editor_event next_line(struct talk *t, const char **line,
				   size_t *len, int *status)
{
	for (;;) {
		enum editor_event event = editor_next(line, len);
		int rc;

		if (event != EDITOR_NOTHING && event != EDITOR_LINE)
			return event;
		if (event == EDITOR_LINE && *len == 0)
			continue;
		rc = look(t, event == EDITOR_NOTHING);
		if (t->has_ended) {
			*status = rc;
			return EDITOR_NOTHING;
		}
		if (event == EDITOR_LINE)
			return event;
	}
}

/* No more messages: show what still comes.  A silent server may stay. */
static int finish(struct talk *t)
{
	char data[4096];
	ssize_t n;

	/* Should this fail, the read says why. */
	(void)weir_conn_shutdown(t->peer.conn, SHUT_WR);
	while ((n = peer_read(&t->peer, data, sizeof(data),
			      t->peer.timeout_ms)) > 0 &&
	       !t->screen.error)
		screen_put(&t->screen, data, (size_t)n);
	screen_end_line(&t->screen);
	if (n < 0 && n != -ETIMEDOUT)
		return peer_say(&t->peer, (int)n, "end");
	return CLI_DONE;
}

static int converse(struct talk *t)
{
	const char *line = NULL;
	size_t len = 0;

	while (!t->screen.error && !t->has_ended) {
		int rc, status = CLI_FAILED;
		enum editor_event event = next_line(t, &line, &len, &status);
		struct expected reply = {
			.message = line,
			.len = len,
			.is_known = true,
		};

		if (event == EDITOR_END) {
			editor_hide();
			return finish(t);
		}
		if (event != EDITOR_LINE) {
			editor_hide();
			return status;
		}
		rc = speak(t, line, len, &reply);
		if (rc <= 0)
			return say_gone(t, rc, "progress");
		if (t->once)
			return finish(t);
		rc = receive_reply(t, &reply);
		if (rc <= 0)
			return say_gone(t, rc, "reply");
		if (len == 6 && memcmp(line, "windup", 6) == 0)
			return CLI_DONE;
	}
	return CLI_DONE;
}

static int read_to_end(struct talk *t)
{
	char data[4096];
	ssize_t n;

	while ((n = peer_read(&t->peer, data, sizeof(data),
			      t->peer.timeout_ms)) > 0 &&
	       !t->screen.error)
		screen_put(&t->screen, data, (size_t)n);
	if (t->screen.is_terminal)
		screen_end_line(&t->screen);
	return n < 0 ? peer_say(&t->peer, (int)n, "end of input") : CLI_DONE;
}

static int hold(struct talk *t)
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
		status = converse(t);
	editor_close();
	return status;
}

/* ---------------------------------------------------------- the command line
 */

static const struct options_operand operands[] = {
	{ "ADDRESS", "the address", "127.0.0.1:1234" },
	{ .name = NULL },
};

static const struct cli_option table[] = {
	{ "timeout", 't', "DURATION",
	  "longest time to connect, and for each\nreply (default 10s)" },
	{ "once", '1', NULL, "read the welcome, send one message, end" },
	{ "read-only", 'r', NULL, "send nothing, read to the end of input" },
	{ "no-banner", 'B', NULL,
	  "the server does not speak first: send\nwithout waiting for it" },
	{ "lines", 'l', NULL,
	  "a server that reads lines: send each with\n"
	  "its newline, and wait for no reply" },
	{ "crlf", 'c', NULL, "the same with CR and LF, as HTTP has it" },
	OPTIONS_HELP,
	OPTIONS_VERSION,
	{ .name = NULL },
};

static bool take(void *to, int key)
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
		return false;
	}
}

static const struct options_syntax syntax = {
	.command = "talk",
	.about = "Hold a conversation: a message, its reply, and so on.\n",
	.operands = operands,
	.table = table,
	.take = take,
};

static bool check_together(const struct talk *t)
{
	const char *first = NULL, *second = NULL;

	if (t->read_only) {
		first = "read-only";
		second = t->newline	? "lines"
			 : t->once	? "once"
			 : t->no_banner ? "no-banner"
					: NULL;
	} else if (t->newline) {
		first = "lines";
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
	int status = options_parse(&syntax, &t, argc, argv);

	if (status >= 0)
		return status;
	t.peer.address = argv[optind];
	if (!options_check_address(t.peer.address) || !check_together(&t))
		return CLI_USAGE;
	status = peer_dial(&t.peer);
	if (status != CLI_DONE)
		return status;
	screen_init(&t.screen);
	status = screen_check(&t.screen, hold(&t));
	peer_close(&t.peer);
	return status;
}
