/* SPDX-License-Identifier: MIT */
/*
 * What the peer sends is shown when it arrives, above the line being typed.
 *
 * For a person one recv is one message: lines are sent without newlines, and a
 * message of the peer ends with a newline or after QUIET_MS without more.
 * Pasted lines are sent GAP_MS apart, so that they stay separate messages.  A
 * script cannot see the answers, so each of its lines waits for one.
 *
 * "A peer that sends newlines expects them": a room, or a person with nc(1).
 * From then on each line is sent with a newline, and the line sent before gets
 * one too; but not if the peer has answered it and closes.
 *
 * Main thread only.  One poll() waits for the user and the peer, until the user
 * has nothing more to send.
 *
 * "The answer to our goodbye" ends our output.  The first message after it may
 * answer an earlier line of the user, and a peer that takes our end for that of
 * the conversation would not answer the goodbye any more.  So as many messages
 * are waited for as lines are unanswered, but MORE_MS at most for each: a
 * person may answer several lines together.
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
#define MORE_MS	 10000

/* Their lines have two spaces, as print('>> ', x) of Python prints them. */
static const char our_mark[] = ">> ";
static const char their_mark[] = ">>  ";

static const char goodbye[] = "windup";
#define GOODBYE_LEN (sizeof(goodbye) - 1)

/* What must come before the user may type more. */
enum waiting {
	WAITING_NOTHING,
	WAITING_GAP,
	WAITING_OUTPUT,
	WAITING_ANSWER,
	WAITING_MORE, /* the first answer was not that to our goodbye */
};

struct dialogue {
	enum dialogue_kind kind;
	const char *newline;
	struct peer *peer;
	struct screen screen;
	char *said;	 /* a newline, the user's message, its newline */
	const char *out; /* the part of it that is still to be sent */
	size_t out_len;
	bool is_last;	    /* said is our goodbye */
	bool is_unended;    /* the latest message had no newline */
	bool owes_newline;  /* and must get one after all */
	bool has_been_told; /* the user: that we are still waiting */
	bool is_alone;	    /* the peer has ended its output */
	bool has_ended;	    /* the conversation, and the user knows */
	int64_t said_at;
	enum waiting waiting;
	int64_t waiting_since;
	int unanswered; /* lines of the user */
	bool is_mid;	/* a message of the peer is incomplete */
	int64_t heard_at;
	char word[GOODBYE_LEN + 1]; /* the beginning of that message */
	size_t word_len;	    /* of the whole message */
	bool was_goodbye;	    /* the peer has sent its goodbye */
};

bool dialogue_is_goodbye(const char *line, size_t len)
{
	return (len == GOODBYE_LEN ||
		(len == GOODBYE_LEN + 1 && line[GOODBYE_LEN] == '\r')) &&
	       memcmp(line, goodbye, GOODBYE_LEN) == 0;
}

static void start_waiting(struct dialogue *d, enum waiting what)
{
	d->waiting = what;
	d->waiting_since = peer_now();
}

static void end_their_message(struct dialogue *d)
{
	d->was_goodbye |= d->kind == DIALOGUE_PERSON &&
			  dialogue_is_goodbye(d->word, d->word_len);
	d->word_len = 0;
	d->is_mid = false;
	if (d->unanswered > 0)
		d->unanswered--;
	if (d->waiting != WAITING_ANSWER && d->waiting != WAITING_MORE)
		return;
	/* A script has waited for each answer; a room need not answer. */
	if (d->is_last && d->unanswered > 0 && editor_is_interactive() &&
	    !*d->newline)
		start_waiting(d, WAITING_MORE);
	else
		d->waiting = WAITING_NOTHING;
}

/* "A peer that sends newlines expects them". */
static void learn_newline(struct dialogue *d)
{
	if (*d->newline)
		return;
	d->newline = "\n";
	/* said is unsent, and begins with a newline. */
	if (d->waiting == WAITING_GAP) {
		d->out = d->said;
		d->out_len += 2;
		d->is_unended = false;
	}
	d->owes_newline = d->is_unended;
}

/* data is a line, or a piece of one; its newline, if any, is the last byte. */
static void show_line(struct dialogue *d, const char *data, size_t len)
{
	bool is_whole = data[len - 1] == '\n';

	if (editor_is_interactive() && !d->is_mid && d->kind != DIALOGUE_LINES)
		screen_put(&d->screen, their_mark, sizeof(their_mark) - 1);
	screen_put(&d->screen, data, len);
	d->is_mid = true;
	for (size_t i = 0; i < len - is_whole; i++, d->word_len++)
		if (d->word_len < sizeof(d->word))
			d->word[d->word_len] = data[i];
	if (is_whole) {
		learn_newline(d);
		end_their_message(d);
	}
}

/* Nothing is added to the bytes of a program, unless for a terminal. */
static void end_pending_message(struct dialogue *d)
{
	if (!d->is_mid)
		return;
	if (d->kind != DIALOGUE_LINES || d->screen.is_terminal)
		screen_end_line(&d->screen);
	end_their_message(d);
}

static int dialogue_receive(struct dialogue *d)
{
	char data[4096], *p = data;
	ssize_t n = peer_read(d->peer, data, sizeof(data), d->peer->timeout_ms);

	if (n <= 0) {
		end_pending_message(d);
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
 * The conversation is over because of rc; a peer that has gone may have sent
 * the reason.  It is no failure if a program has answered everything and ends.
 */
static int dialogue_end(struct dialogue *d, int rc, const char *what)
{
	int n = rc;

	while ((rc == -EPIPE || rc == -ECONNRESET) && n != 0 &&
	       !d->screen.error)
		if ((n = dialogue_receive(d)) < 0)
			break;
	editor_hide();
	end_pending_message(d);
	d->has_ended = true;
	if (rc == 0 && editor_is_interactive())
		return peer_note_end(d->peer, &d->screen);
	if (rc == 0 && d->kind == DIALOGUE_LINES && d->out_len == 0)
		return CLI_DONE;
	return peer_say(d->peer, rc, what);
}

static bool is_answered(const struct dialogue *d)
{
	return d->kind == DIALOGUE_PERSON &&
	       (d->is_last || !editor_is_interactive());
}

static int dialogue_send(struct dialogue *d)
{
	size_t unsent = d->out_len;
	int rc = peer_feed(d->peer, &d->out, &d->out_len);

	if (rc < 0)
		return dialogue_end(d, rc, "progress");
	if (rc == 0) {
		if (d->waiting != WAITING_OUTPUT || d->out_len < unsent)
			start_waiting(d, WAITING_OUTPUT);
		return CLI_DONE;
	}
	d->said_at = peer_now();
	d->waiting = WAITING_NOTHING;
	if (is_answered(d))
		start_waiting(d, WAITING_ANSWER);
	return CLI_DONE;
}

static int begin_message(struct dialogue *d, const char *line, size_t len)
{
	size_t end = strlen(d->newline), room = end ? end : 1;

	free(d->said);
	d->said = malloc(1 + len + room);
	if (!d->said) {
		cli_error("out of memory");
		return CLI_FAILED;
	}
	d->said[0] = '\n';
	memcpy(d->said + 1, line, len);
	memcpy(d->said + 1 + len, end ? d->newline : "\n", room);
	d->out = d->said + 1;
	d->out_len = len + end;
	d->is_unended = end == 0;
	d->is_last =
		d->kind != DIALOGUE_LINES && dialogue_is_goodbye(line, len);
	d->unanswered++;
	if (end == 0 && editor_is_interactive() &&
	    peer_now() - d->said_at < GAP_MS) {
		start_waiting(d, WAITING_GAP);
		return CLI_DONE;
	}
	return dialogue_send(d);
}

/* To the message sent before, which may have been answered already. */
static int send_owed_newline(struct dialogue *d)
{
	int status;

	d->owes_newline = d->is_unended = false;
	d->out = d->newline;
	d->out_len = 1;
	status = dialogue_send(d);
	if (d->waiting == WAITING_ANSWER && !d->is_last)
		d->waiting = WAITING_NOTHING;
	return status;
}

static int more_ms(const struct dialogue *d)
{
	int ms = d->peer->timeout_ms;

	return ms >= 0 && ms < MORE_MS ? ms : MORE_MS;
}

/* Milliseconds until the next deadline; -1: none. */
static int next_deadline_ms(const struct dialogue *d)
{
	int64_t left = -1, now = peer_now();

	if (d->is_mid || (d->owes_newline && d->out_len == 0))
		left = d->heard_at + QUIET_MS - now;
	else if (d->waiting == WAITING_GAP)
		left = d->said_at + GAP_MS - now;
	else if (d->waiting == WAITING_OUTPUT)
		return peer_patience(d->peer, d->waiting_since);
	else if (d->waiting == WAITING_MORE)
		left = d->waiting_since + more_ms(d) - now;
	else if (d->waiting != WAITING_NOTHING && d->peer->timeout_ms >= 0 &&
		 !d->has_been_told)
		left = d->waiting_since + d->peer->timeout_ms - now;
	else
		return -1;
	return left > 0 ? (int)left : 0;
}

/* No prompt while a message of the peer is incomplete. */
static bool is_users_turn(const struct dialogue *d)
{
	return d->waiting == WAITING_NOTHING && !d->is_mid && !d->owes_newline;
}

static int on_deadline(struct dialogue *d)
{
	if (d->waiting == WAITING_GAP)
		return dialogue_send(d);
	if (d->waiting == WAITING_OUTPUT)
		return dialogue_end(d, -ETIMEDOUT, "progress");
	if (d->waiting == WAITING_MORE) {
		d->waiting = WAITING_NOTHING;
		return CLI_DONE;
	}
	if (!d->is_last)
		return dialogue_end(d, -ETIMEDOUT, "answer");
	/* A person may take time; a script has sent its goodbye. */
	d->has_been_told = true;
	if (editor_is_interactive())
		screen_note(&d->screen, "(still waiting, Ctrl-C to leave)");
	else
		d->waiting = WAITING_NOTHING;
	return CLI_DONE;
}

/* Lines that are typed or piped are not looked at before it is their turn. */
static bool may_have_lines(const struct dialogue *d)
{
	return d->kind == DIALOGUE_LINES && !editor_is_interactive() &&
	       d->out_len == 0 && !is_users_turn(d);
}

static int dialogue_poll(struct dialogue *d)
{
	struct pollfd fds[EDITOR_FDS + 1];
	struct pollfd *peer = &fds[EDITOR_FDS];
	bool is_unread = may_have_lines(d);
	int rc;

	if (is_users_turn(d))
		editor_show();
	editor_fds(fds);
	if (!is_users_turn(d))
		fds[0].fd = -1;
	rc = peer_poll(d->peer, fds, EDITOR_FDS,
		       d->waiting == WAITING_OUTPUT ? POLLIN | POLLOUT : POLLIN,
		       next_deadline_ms(d));
	if (rc < 0)
		return rc == -EINTR ? CLI_DONE : dialogue_end(d, rc, "input");
	if (rc == 0 && d->is_mid) {
		end_pending_message(d);
		return CLI_DONE;
	}
	if (rc == 0 && d->owes_newline && d->out_len == 0)
		return send_owed_newline(d);
	if (rc == 0 && next_deadline_ms(d) == 0)
		return on_deadline(d);
	editor_step(fds);
	if (peer->revents & ~POLLOUT) {
		rc = dialogue_receive(d);
		/* If the user has ended as well, nothing is lost. */
		if (rc == 0 &&
		    (d->owes_newline || fds[0].revents || is_unread)) {
			d->owes_newline = false;
			d->is_alone = true;
			if (is_unread)
				d->waiting = WAITING_NOTHING;
			return CLI_DONE;
		}
		if (rc == 0 && d->is_last && d->out_len == 0)
			d->was_goodbye = true;
		if (rc <= 0 && !d->was_goodbye)
			return dialogue_end(d, rc, "input");
	}
	return (peer->revents & POLLOUT) ? dialogue_send(d) : CLI_DONE;
}

static int dialogue_finish(struct dialogue *d)
{
	int n = weir_conn_shutdown(d->peer->conn, SHUT_WR);

	n = peer_result(d->peer, n);
	editor_hide();
	while (n >= 0 && !d->screen.error && (n = dialogue_receive(d)) > 0)
		;
	end_pending_message(d);
	if (n >= 0 || n == -ETIMEDOUT || d->was_goodbye)
		return CLI_DONE;
	return peer_say(d->peer, n, "end");
}

static int dialogue_run(struct dialogue *d)
{
	int status = CLI_DONE;

	while (status == CLI_DONE && !d->screen.error && !d->has_ended) {
		enum editor_event event = EDITOR_NOTHING;
		const char *line;
		size_t len;

		if (d->was_goodbye ||
		    (d->is_last && d->waiting == WAITING_NOTHING))
			return dialogue_finish(d);
		if (is_users_turn(d))
			event = editor_next(&line, &len);
		if (event == EDITOR_END)
			return dialogue_finish(d);
		if (event == EDITOR_LINE && d->is_alone) {
			d->out_len = len + 1; /* can no longer be sent */
			return dialogue_end(d, 0, "input");
		}
		if (event == EDITOR_LINE &&
		    (len > 0 || d->kind == DIALOGUE_LINES))
			status = begin_message(d, line, len);
		if (event == EDITOR_NOTHING)
			status = dialogue_poll(d);
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
	status = screen_check(&d.screen, dialogue_run(&d));
	editor_close();
	free(d.said);
	return status;
}
