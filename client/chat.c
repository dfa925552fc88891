/* SPDX-License-Identifier: MIT */
/*
 * chat: two people, or many in a room, who speak when they like.  What comes
 * is shown when it comes, above the line that is being typed.
 *
 * To a chat one recv is one message: lines go out without their newlines, and
 * a message ends with a newline or when nothing more comes for QUIET_MS.  A
 * script would run its lines together, so there each waits for an answer.
 * To a room (--lines) a line is a message, and nobody owes an answer.
 *
 * Main thread only.  One poll() watches the user and the peer; nothing else
 * waits but for the end, once the user has said all.
 */
#include "command.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <weir.h>

#include "../cli/cli.h"
#include "../cli/editor.h"
#include "options.h"
#include "peer.h"
#include "screen.h"

#define QUIET_MS 20

static const char mark[] = ">> ";
static const char goodbye[] = "windup";
#define GOODBYE_LEN (sizeof(goodbye) - 1)

/* What the conversation waits for before the user may say more. */
enum waiting { NOTHING, ROOM, ANSWER };

struct chat {
	bool lines;
	struct peer peer;
	struct screen screen;
	char *said; /* the user's message, out_len of it yet to be sent */
	const char *out;
	size_t out_len;
	bool is_last; /* it is the goodbye */
	enum waiting waiting;
	int64_t waiting_since;
	bool is_mid; /* a message of the peer's is under way */
	int64_t heard_at;
	char word[GOODBYE_LEN]; /* how that message begins */
	size_t word_len;	/* counts on */
	bool was_goodbye;	/* of the peer */
};

/* ---------------------------------------------------------------- the peer */

static void end_message(struct chat *c)
{
	if (!c->lines && c->word_len == GOODBYE_LEN &&
	    memcmp(c->word, goodbye, GOODBYE_LEN) == 0)
		c->was_goodbye = true;
	c->word_len = 0;
	c->is_mid = false;
	if (c->waiting == ANSWER)
		c->waiting = NOTHING;
}

/* len bytes of one line, or of the rest of one, with its newline if it has. */
static void show_line(struct chat *c, const char *data, size_t len)
{
	bool is_whole = data[len - 1] == '\n';

	if (editor_is_interactive() && !c->is_mid)
		screen_put(&c->screen, mark, sizeof(mark) - 1);
	screen_put(&c->screen, data, len);
	c->is_mid = true;
	for (size_t i = 0; i < len - is_whole; i++, c->word_len++)
		if (c->word_len < GOODBYE_LEN)
			c->word[c->word_len] = data[i];
	if (is_whole)
		end_message(c);
}

/* The message that is under way is over. */
static void settle(struct chat *c)
{
	if (!c->is_mid)
		return;
	screen_end_line(&c->screen);
	end_message(c);
}

/* Show what comes within the timeout; as peer_read(). */
static int hear(struct chat *c)
{
	char data[4096], *p = data;
	ssize_t n = peer_read(&c->peer, data, sizeof(data), c->peer.timeout_ms);

	if (n <= 0) {
		settle(c);
		return (int)n;
	}
	editor_erase();
	for (ssize_t left = n; left > 0;) {
		char *newline = memchr(p, '\n', (size_t)left);
		ssize_t len = newline ? newline + 1 - p : left;

		show_line(c, p, (size_t)len);
		p += len;
		left -= len;
	}
	c->heard_at = peer_now();
	return (int)n;
}

/* A peer that has gone may have said why. */
static int say_gone(struct chat *c, int rc, const char *what)
{
	int n = rc;

	while ((rc == -EPIPE || rc == -ECONNRESET) && n != 0 &&
	       !c->screen.error)
		if ((n = hear(c)) < 0)
			break;
	editor_hide();
	settle(c);
	return peer_say(&c->peer, rc, what);
}

/* ---------------------------------------------------------------- the user */

static void wait_for(struct chat *c, enum waiting what)
{
	c->waiting = what;
	c->waiting_since = peer_now();
}

/* Send more of what was said. */
static int speak(struct chat *c)
{
	int rc = peer_feed(&c->peer, &c->out, &c->out_len);

	if (rc < 0)
		return say_gone(c, rc, "progress");
	if (rc == 0) {
		if (c->waiting != ROOM)
			wait_for(c, ROOM);
		return CLI_DONE;
	}
	if (!c->lines && !editor_is_interactive())
		wait_for(c, ANSWER);
	else
		c->waiting = NOTHING;
	return CLI_DONE;
}

static int say(struct chat *c, const char *line, size_t len)
{
	free(c->said);
	c->said = malloc(len + 1);
	if (!c->said) {
		cli_error("out of memory");
		return CLI_FAILED;
	}
	memcpy(c->said, line, len);
	c->said[len] = '\n';
	c->out = c->said;
	c->out_len = len + c->lines;
	c->is_last = len == GOODBYE_LEN && memcmp(line, goodbye, len) == 0;
	return speak(c);
}

/* ------------------------------------------------------------ conversation */

/* Milliseconds until something is due; -1: nothing is. */
static int patience(const struct chat *c)
{
	int64_t left = -1, now = peer_now();

	if (c->is_mid) {
		left = c->heard_at + QUIET_MS - now;
	} else if (c->waiting != NOTHING && c->peer.timeout_ms >= 0) {
		left = c->waiting_since + c->peer.timeout_ms - now;
	} else {
		return -1;
	}
	return left > 0 ? (int)left : 0;
}

/* A prompt in the midst of a message would tear it apart. */
static bool is_users_turn(const struct chat *c)
{
	return c->waiting == NOTHING && !c->is_mid;
}

/* One look at the user and the peer, and what was found. */
static int look(struct chat *c)
{
	struct pollfd fds[EDITOR_FDS + 1];
	struct pollfd *peer = &fds[EDITOR_FDS];
	int rc;

	/* Without a prompt signals end us as they do anywhere. */
	if (is_users_turn(c))
		editor_show();
	editor_fds(fds);
	if (!is_users_turn(c))
		fds[0].fd = -1;
	peer->fd = weir_conn_fd(c->peer.conn);
	peer->events = c->waiting == ROOM ? POLLIN | POLLOUT : POLLIN;
	rc = poll(fds, EDITOR_FDS + 1, patience(c));
	if (rc < 0)
		return CLI_DONE;
	if (rc == 0 && c->is_mid) {
		settle(c);
		return CLI_DONE;
	}
	if (rc == 0 && patience(c) == 0)
		return say_gone(c, -ETIMEDOUT,
				c->waiting == ROOM ? "progress" : "answer");
	editor_step(fds);
	if (peer->revents & ~POLLOUT) {
		rc = hear(c);
		if (rc <= 0 && !c->was_goodbye)
			return say_gone(c, rc, "input");
	}
	return (peer->revents & POLLOUT) ? speak(c) : CLI_DONE;
}

/* All has been said: show what still comes.  A silent peer may stay. */
static int finish(struct chat *c)
{
	int n = weir_conn_shutdown(c->peer.conn, SHUT_WR);

	editor_hide();
	while (n >= 0 && !c->screen.error && (n = hear(c)) > 0)
		;
	settle(c);
	if (n >= 0 || n == -ETIMEDOUT || c->was_goodbye)
		return CLI_DONE;
	return peer_say(&c->peer, n, "end");
}

static int converse(struct chat *c)
{
	int status = CLI_DONE;

	while (status == CLI_DONE && !c->screen.error) {
		enum editor_event event = EDITOR_NOTHING;
		const char *line;
		size_t len;

		if (c->was_goodbye || (c->is_last && c->waiting != ROOM))
			return finish(c);
		if (is_users_turn(c))
			event = editor_next(&line, &len);
		if (event == EDITOR_END)
			return finish(c);
		if (event == EDITOR_LINE && len > 0)
			status = say(c, line, len);
		if (event == EDITOR_NOTHING)
			status = look(c);
		if (event == EDITOR_FAILED)
			status = CLI_FAILED;
	}
	editor_hide();
	return status;
}

/* ---------------------------------------------------------- the command line
 */

static const struct options_operand operands[] = {
	{ "ADDRESS", "the address", "127.0.0.1:1001" },
	{ .name = NULL },
};

static const struct cli_option table[] = {
	{ "lines", 'l', NULL,
	  "a room: send lines with their newlines, and\n"
	  "wait for no answers" },
	{ "timeout", 't', "DURATION",
	  "longest time to connect, for an answer to a\n"
	  "script, and for the end (default 10s)" },
	OPTIONS_HELP,
	OPTIONS_VERSION,
	{ .name = NULL },
};

static bool take(void *to, int key)
{
	struct chat *c = to;

	if (key == 'l')
		c->lines = true;
	return key == 'l' || options_take_timeout(&c->peer.timeout_ms);
}

static const struct options_syntax syntax = {
	.command = "chat",
	.about = "Talk with a person, or in a room.  'windup' from either side "
		 "ends it.\n",
	.operands = operands,
	.table = table,
	.take = take,
};

int chat(int argc, char **argv)
{
	struct chat c = { .peer.timeout_ms = 10 * 1000 };
	int status = options_parse(&syntax, &c, argc, argv);

	if (status >= 0)
		return status;
	c.peer.address = argv[optind];
	if (!options_check_address(c.peer.address))
		return CLI_USAGE;
	status = peer_dial(&c.peer);
	if (status != CLI_DONE)
		return status;
	screen_init(&c.screen);
	editor_open(mark);
	status = screen_check(&c.screen, converse(&c));
	editor_close();
	peer_close(&c.peer);
	free(c.said);
	return status;
}
