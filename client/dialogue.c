/* SPDX-License-Identifier: MIT */
/*
 * What comes is shown when it comes, above the line that is being typed.
 *
 * To a person one recv is one message: lines go out without their newlines,
 * and a message ends with a newline or when nothing more comes for QUIET_MS.
 * Lines that are pasted would run together, so there is a gap between them.
 * A script does not read, so there each waits for an answer.
 *
 * "The other side has lines": one that ends a message with a newline waits for
 * newlines as well, as a room does, or a person with nc(1).  From then on each
 * line is sent with one, and what was said before it is ended; but not for one
 * that has answered and goes.
 *
 * Main thread only.  One poll() watches the user and the peer; nothing else
 * waits but for the end, once the user has said all.
 */
#include "dialogue.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weir.h>

#include "../cli/cli.h"
#include "../cli/editor.h"
#include "screen.h"

#define QUIET_MS 20
#define GAP_MS	 40 /* between two lines to a person */

/* Their lines are told from ours by a second space, as with print('>> ', x). */
static const char our_mark[] = ">> ";
static const char their_mark[] = ">>  ";

static const char goodbye[] = "windup";
#define GOODBYE_LEN (sizeof(goodbye) - 1)

/* What the conversation waits for before the user may say more. */
enum waiting { NOTHING, GAP, ROOM, ANSWER };

struct dialogue {
	enum dialogue_kind kind;
	const char *newline;
	struct peer *peer;
	struct screen screen;
	char *said; /* the user's message, out_len of it yet to be sent */
	const char *out;
	size_t out_len;
	bool is_last;	    /* it is the goodbye */
	bool is_unended;    /* what was said last has no newline */
	bool owes_newline;  /* and is to have one after all */
	bool has_been_told; /* that the wait goes on */
	bool is_alone;	    /* the peer has ended */
	bool has_ended;	    /* the conversation, and it has been said so */
	int64_t said_at;
	enum waiting waiting;
	int64_t waiting_since;
	bool is_mid; /* a message of the peer's is under way */
	int64_t heard_at;
	char word[GOODBYE_LEN]; /* how that message begins */
	size_t word_len;	/* counts on */
	bool was_goodbye;	/* of the peer */
};

/* ---------------------------------------------------------------- the peer */

static void end_message(struct dialogue *d)
{
	if (d->kind == DIALOGUE_PERSON && d->word_len == GOODBYE_LEN &&
	    memcmp(d->word, goodbye, GOODBYE_LEN) == 0)
		d->was_goodbye = true;
	d->word_len = 0;
	d->is_mid = false;
	if (d->waiting == ANSWER)
		d->waiting = NOTHING;
}

/* "The other side has lines". */
static void learn(struct dialogue *d)
{
	if (*d->newline)
		return;
	d->newline = "\n";
	d->owes_newline = d->is_unended;
}

/* len bytes of one line, or of the rest of one, with its newline if it has. */
static void show_line(struct dialogue *d, const char *data, size_t len)
{
	bool is_whole = data[len - 1] == '\n';

	if (editor_is_interactive() && !d->is_mid && d->kind != DIALOGUE_LINES)
		screen_put(&d->screen, their_mark, sizeof(their_mark) - 1);
	screen_put(&d->screen, data, len);
	d->is_mid = true;
	for (size_t i = 0; i < len - is_whole; i++, d->word_len++)
		if (d->word_len < GOODBYE_LEN)
			d->word[d->word_len] = data[i];
	if (is_whole) {
		learn(d);
		end_message(d);
	}
}

/* The message that is under way is over.  A program's bytes stay as they are.
 */
static void settle(struct dialogue *d)
{
	if (!d->is_mid)
		return;
	if (d->kind != DIALOGUE_LINES || d->screen.is_terminal)
		screen_end_line(&d->screen);
	end_message(d);
}

/* Show what comes within the timeout; as peer_read(). */
static int hear(struct dialogue *d)
{
	char data[4096], *p = data;
	ssize_t n = peer_read(d->peer, data, sizeof(data), d->peer->timeout_ms);

	if (n <= 0) {
		settle(d);
		return (int)n;
	}
	editor_erase();
	for (ssize_t left = n; left > 0;) {
		char *newline = memchr(p, '\n', (size_t)left);
		ssize_t len = newline ? newline + 1 - p : left;

		show_line(d, p, (size_t)len);
		p += len;
		left -= len;
	}
	d->heard_at = peer_now();
	return (int)n;
}

/*
 * It is over, for this reason; a peer that has gone may have said why.  A
 * program that has answered and ended is done, unless there is more to say.
 */
static int say_gone(struct dialogue *d, int rc, const char *what)
{
	int n = rc;

	while ((rc == -EPIPE || rc == -ECONNRESET) && n != 0 &&
	       !d->screen.error)
		if ((n = hear(d)) < 0)
			break;
	editor_hide();
	settle(d);
	d->has_ended = true;
	if (rc == 0 && editor_is_interactive())
		return peer_note_end(d->peer, &d->screen);
	if (rc == 0 && d->kind == DIALOGUE_LINES && d->out_len == 0)
		return CLI_DONE;
	return peer_say(d->peer, rc, what);
}

/* ---------------------------------------------------------------- the user */

static void wait_for(struct dialogue *d, enum waiting what)
{
	d->waiting = what;
	d->waiting_since = peer_now();
}

/* To a person, and to the end of what is said to one, there is an answer. */
static bool is_answered(const struct dialogue *d)
{
	return d->kind == DIALOGUE_PERSON &&
	       (d->is_last || !editor_is_interactive());
}

/* Send more of what was said. */
static int speak(struct dialogue *d)
{
	int rc = peer_feed(d->peer, &d->out, &d->out_len);

	if (rc < 0)
		return say_gone(d, rc, "progress");
	if (rc == 0) {
		if (d->waiting != ROOM)
			wait_for(d, ROOM);
		return CLI_DONE;
	}
	d->said_at = peer_now();
	d->waiting = NOTHING;
	if (is_answered(d))
		wait_for(d, ANSWER);
	return CLI_DONE;
}

static int say(struct dialogue *d, const char *line, size_t len)
{
	size_t end = strlen(d->newline);

	free(d->said);
	d->said = malloc(len + end + 1);
	if (!d->said) {
		cli_error("out of memory");
		return CLI_FAILED;
	}
	memcpy(d->said, line, len);
	memcpy(d->said + len, d->newline, end + 1);
	d->out = d->said;
	d->out_len = len + end;
	d->is_unended = end == 0;
	d->is_last = d->kind != DIALOGUE_LINES && len == GOODBYE_LEN &&
		     memcmp(line, goodbye, len) == 0;
	if (end == 0 && editor_is_interactive() &&
	    peer_now() - d->said_at < GAP_MS) {
		wait_for(d, GAP);
		return CLI_DONE;
	}
	return speak(d);
}

/* Which may have been answered already. */
static int end_what_was_said(struct dialogue *d)
{
	int status;

	d->owes_newline = d->is_unended = false;
	d->out = d->newline;
	d->out_len = 1;
	status = speak(d);
	if (d->waiting == ANSWER && !d->is_last)
		d->waiting = NOTHING;
	return status;
}

/* ------------------------------------------------------------ conversation */

/* Milliseconds until something is due; -1: nothing is. */
static int patience(const struct dialogue *d)
{
	int64_t left = -1, now = peer_now();

	if (d->is_mid || (d->owes_newline && d->out_len == 0))
		left = d->heard_at + QUIET_MS - now;
	else if (d->waiting == GAP)
		left = d->said_at + GAP_MS - now;
	else if (d->waiting != NOTHING && d->peer->timeout_ms >= 0 &&
		 !d->has_been_told)
		left = d->waiting_since + d->peer->timeout_ms - now;
	else
		return -1;
	return left > 0 ? (int)left : 0;
}

/* A prompt in the midst of a message would tear it apart. */
static bool is_users_turn(const struct dialogue *d)
{
	return d->waiting == NOTHING && !d->is_mid && !d->owes_newline;
}

/* What was waited for has not come. */
static int give_up(struct dialogue *d)
{
	if (d->waiting == GAP)
		return speak(d);
	if (d->waiting == ROOM)
		return say_gone(d, -ETIMEDOUT, "progress");
	if (!d->is_last)
		return say_gone(d, -ETIMEDOUT, "answer");
	/* Somebody may take his time; a script has said its goodbye. */
	d->has_been_told = true;
	if (editor_is_interactive())
		screen_note(&d->screen, "(still waiting, Ctrl-C to leave)");
	else
		d->waiting = NOTHING;
	return CLI_DONE;
}

/* One look at the user and the peer, and what was found. */
static int look(struct dialogue *d)
{
	struct pollfd fds[EDITOR_FDS + 1];
	struct pollfd *peer = &fds[EDITOR_FDS];
	int rc;

	/* Without a prompt signals end us as they do anywhere. */
	if (is_users_turn(d))
		editor_show();
	editor_fds(fds);
	if (!is_users_turn(d))
		fds[0].fd = -1;
	peer->fd = weir_conn_fd(d->peer->conn);
	peer->events = d->waiting == ROOM ? POLLIN | POLLOUT : POLLIN;
	rc = poll(fds, EDITOR_FDS + 1, patience(d));
	if (rc < 0)
		return errno == EINTR ? CLI_DONE : say_gone(d, -errno, "input");
	if (rc == 0 && d->is_mid) {
		settle(d);
		return CLI_DONE;
	}
	if (rc == 0 && d->owes_newline && d->out_len == 0)
		return end_what_was_said(d);
	if (rc == 0 && patience(d) == 0)
		return give_up(d);
	editor_step(fds);
	if (peer->revents & ~POLLOUT) {
		rc = hear(d);
		/* If the user has ended too, nothing is lost. */
		if (rc == 0 && (d->owes_newline || fds[0].revents)) {
			d->owes_newline = false;
			d->is_alone = true;
			return CLI_DONE;
		}
		if (rc == 0 && d->is_last && d->out_len == 0)
			d->was_goodbye = true;
		if (rc <= 0 && !d->was_goodbye)
			return say_gone(d, rc, "input");
	}
	return (peer->revents & POLLOUT) ? speak(d) : CLI_DONE;
}

/*
 * All has been said: show what still comes.  A silent peer may stay.  Between
 * two persons the answer to our goodbye comes before the end.
 */
static int finish(struct dialogue *d)
{
	bool is_ended = !d->is_last || d->kind != DIALOGUE_PERSON ||
			*d->newline || !editor_is_interactive();
	int n = is_ended ? weir_conn_shutdown(d->peer->conn, SHUT_WR) : 0;

	editor_hide();
	while (n >= 0 && !d->screen.error && (n = hear(d)) > 0) {
		if (!is_ended)
			(void)weir_conn_shutdown(d->peer->conn, SHUT_WR);
		is_ended = true;
	}
	settle(d);
	if (n >= 0 || n == -ETIMEDOUT || d->was_goodbye)
		return CLI_DONE;
	return peer_say(d->peer, n, "end");
}

static int converse(struct dialogue *d)
{
	int status = CLI_DONE;

	while (status == CLI_DONE && !d->screen.error && !d->has_ended) {
		enum editor_event event = EDITOR_NOTHING;
		const char *line;
		size_t len;

		if (d->was_goodbye || (d->is_last && d->waiting == NOTHING))
			return finish(d);
		if (is_users_turn(d))
			event = editor_next(&line, &len);
		if (event == EDITOR_END)
			return finish(d);
		if (event == EDITOR_LINE && d->is_alone) {
			d->out_len = len + 1; /* is not sent any more */
			return say_gone(d, 0, "input");
		}
		if (event == EDITOR_LINE &&
		    (len > 0 || d->kind == DIALOGUE_LINES))
			status = say(d, line, len);
		if (event == EDITOR_NOTHING)
			status = look(d);
		if (event == EDITOR_FAILED)
			status = CLI_FAILED;
	}
	editor_hide();
	return status;
}

int dialogue_hold(struct peer *peer, enum dialogue_kind kind,
		  const char *newline)
{
	struct dialogue d = { .kind = kind, .newline = newline, .peer = peer };
	int status;

	screen_init(&d.screen);
	editor_open(kind == DIALOGUE_LINES ? "> " : our_mark);
	if (editor_is_interactive())
		peer_note_begin(peer, &d.screen);
	status = screen_check(&d.screen, converse(&d));
	editor_close();
	free(d.said);
	return status;
}
