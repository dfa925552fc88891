/* SPDX-License-Identifier: MIT */
/*
 * talk: read the banner, then a line, its reply, the next line.  The server
 * frames nothing: to it one recv is one message, and to us a reply is what
 * comes until it is quiet.  "The end of a reply" below says how long.
 *
 * Main thread only.  Waits for replies are the library's, with its deadlines;
 * only the wait for the next line watches standard input as well.
 */
#include "talk.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include <weir.h>

#include "../cli/cli.h"
#include "../cli/text.h"
#include "editor.h"
#include "screen.h"

#define QUIET_MS  20   /* ends a reply of unknown length */
#define DOUBT_MS  200  /* the same, when it may be one of known length */
#define BANNER_MS 1000 /* a person does not wait longer for a banner */

static const char known_form[] = "Server replies: ";
#define KNOWN_LEN (sizeof(known_form) - 1)

struct talk {
	const struct options *o;
	weir_conn *conn;
	int64_t dialled_at; /* ms */
	struct screen screen;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---------------------------------------------------------- what went wrong */

static int say_timeout(const struct talk *t, const char *what)
{
	char text[CLI_DURATION_TEXT];

	cli_error("no %s from %s within %s", what, t->o->address,
		  cli_duration_text(t->o->timeout_ms, text));
	return CLI_FAILED;
}

/* rc is what a call said, 0 the end of input; what is what we waited for. */
static int say_failure(const struct talk *t, int rc, const char *what)
{
	switch (rc) {
	case 0:
		cli_error("%s has ended the connection", t->o->address);
		return CLI_FAILED;
	case -ETIMEDOUT:
		return say_timeout(t, what);
	case -ECONNRESET:
	case -EPIPE:
		cli_error("%s has reset the connection", t->o->address);
		return CLI_FAILED;
	default:
		cli_error("the connection to %s failed: %s", t->o->address,
			  weir_strerror(rc));
		return CLI_FAILED;
	}
}

static int say_unwritable(const struct talk *t)
{
	cli_error("cannot write to standard output: %s",
		  strerror(t->screen.error));
	return CLI_FAILED;
}

/* -------------------------------------------------------------- connection */

static int dial(struct talk *t)
{
	const char *where = t->o->address;
	char text[CLI_DURATION_TEXT];
	int rc = weir_dial(&t->conn, where, t->o->timeout_ms);

	switch (rc) {
	case 0:
		break;
	case -EINVAL:
		cli_error("bad address '%s'; say host:port, :port, [v6]:port, "
			  "unix:/path or fd:N",
			  where);
		return CLI_USAGE;
	case -ETIMEDOUT:
		cli_error("no connection to %s within %s", where,
			  cli_duration_text(t->o->timeout_ms, text));
		return CLI_FAILED;
	case -ECONNREFUSED:
		cli_error("cannot connect to %s: nobody listens there", where);
		return CLI_FAILED;
	case -ENOENT:
		cli_error("cannot connect to %s: no such %s", where,
			  strncmp(where, "unix:", 5) ? "host" : "socket");
		return CLI_FAILED;
	default:
		cli_error("cannot connect to %s: %s", where, weir_strerror(rc));
		return CLI_FAILED;
	}
	t->dialled_at = now_ms();
	weir_conn_set_timeout(t->conn, WEIR_TIMEOUT_WRITE, t->o->timeout_ms);
	return CLI_DONE;
}

/*
 * Read within ms.  The deadline for the first input of all counts from the
 * beginning of the connection, that for later input from the call.
 */
static ssize_t read_within(struct talk *t, char *buf, size_t cap, int ms)
{
	int64_t first = now_ms() - t->dialled_at + ms;

	if (ms < 0 || first > INT32_MAX)
		first = WEIR_NEVER;
	weir_conn_set_timeout(t->conn, WEIR_TIMEOUT_FIRST_BYTE, (int)first);
	weir_conn_set_timeout(t->conn, WEIR_TIMEOUT_IDLE, ms);
	return weir_conn_read(t->conn, buf, cap);
}

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
		ms = e->got < KNOWN_LEN ? DOUBT_MS : t->o->timeout_ms;
	if (t->o->timeout_ms >= 0 && ms > t->o->timeout_ms)
		ms = t->o->timeout_ms;
	return ms;
}

/*
 * Show what the server says within ms.  Returns 1; 0 if it ended the
 * connection instead; -errno.  An end after a reply is found by the next
 * call.
 */
static int receive(struct talk *t, struct expected *e, int ms)
{
	char data[4096];
	ssize_t n;

	e->is_known = e->message != NULL;
	while ((n = read_within(t, data, sizeof(data), ms)) > 0) {
		screen_put(&t->screen, data, (size_t)n);
		compare(e, data, (size_t)n);
		if (is_whole(e) || t->screen.error)
			break;
		ms = patience(t, e);
	}
	screen_end_line(&t->screen);
	if (n > 0 || (e->got > 0 && (n == 0 || n == -ETIMEDOUT)))
		return 1;
	return (int)n;
}

/* ------------------------------------------------------------ the dialogue */

static int read_banner(struct talk *t)
{
	struct expected banner = { .message = NULL };
	int ms = t->o->timeout_ms;
	int rc;

	if (editor_is_interactive() && (ms < 0 || ms > BANNER_MS))
		ms = BANNER_MS;
	rc = receive(t, &banner, ms);
	if (rc > 0)
		return CLI_DONE;
	if (rc != -ETIMEDOUT)
		return say_failure(t, rc, "banner");
	if (editor_is_interactive())
		return CLI_DONE;
	return say_timeout(t, "banner (use --no-banner if there is none)");
}

/* The server speaks, or has gone, while it is the user's turn. */
static int show_unasked(struct talk *t)
{
	char data[4096];
	ssize_t n = read_within(t, data, sizeof(data), t->o->timeout_ms);

	editor_hide();
	if (n <= 0)
		return say_failure(t, (int)n, "input");
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
		[EDITOR_FDS] = { .fd = weir_conn_fd(t->conn),
				 .events = POLLIN },
	};

	if (!is_users_turn)
		return poll(&fds[EDITOR_FDS], 1, 0) > 0 ? show_unasked(t)
							: CLI_DONE;
	editor_show();
	editor_fds(fds);
	if (poll(fds, EDITOR_FDS + 1, -1) < 0)
		return CLI_DONE;
	if (!fds[0].revents && !fds[1].revents)
		return show_unasked(t);
	editor_step(fds);
	return CLI_DONE;
}

/*
 * The next line that is not empty: EDITOR_LINE.  Anything else is how the
 * dialogue ends; EDITOR_FAILED has been complained about.
 */
static enum editor_event next_line(struct talk *t, const char **line,
				   size_t *len)
{
	for (;;) {
		enum editor_event event = editor_next(line, len);

		if (event != EDITOR_NOTHING && event != EDITOR_LINE)
			return event;
		if (event == EDITOR_LINE && *len == 0)
			continue;
		if (look(t, event == EDITOR_NOTHING) != CLI_DONE)
			return EDITOR_FAILED;
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
	(void)weir_conn_shutdown(t->conn, SHUT_WR);
	while ((n = read_within(t, data, sizeof(data), t->o->timeout_ms)) > 0 &&
	       !t->screen.error)
		screen_put(&t->screen, data, (size_t)n);
	screen_end_line(&t->screen);
	if (n < 0 && n != -ETIMEDOUT)
		return say_failure(t, (int)n, "end");
	return CLI_DONE;
}

static int converse(struct talk *t)
{
	const char *line;
	size_t len;

	while (!t->screen.error) {
		enum editor_event event = next_line(t, &line, &len);
		struct expected reply;
		int rc;

		if (event == EDITOR_END) {
			editor_hide();
			return finish(t);
		}
		if (event != EDITOR_LINE) {
			editor_hide();
			if (event == EDITOR_INTERRUPTED)
				cli_error("interrupted");
			return CLI_FAILED;
		}
		rc = weir_conn_write(t->conn, line, len);
		if (rc < 0)
			return say_failure(t, rc, "progress");
		if (t->o->once)
			return finish(t);
		reply = (struct expected){ .message = line, .len = len };
		rc = receive(t, &reply, t->o->timeout_ms);
		if (rc <= 0)
			return say_failure(t, rc, "reply");
		if (len == 6 && memcmp(line, "windup", 6) == 0)
			return CLI_DONE;
	}
	return CLI_DONE;
}

static int read_to_end(struct talk *t)
{
	char data[4096];
	ssize_t n;

	while ((n = read_within(t, data, sizeof(data), t->o->timeout_ms)) > 0 &&
	       !t->screen.error)
		screen_put(&t->screen, data, (size_t)n);
	if (t->screen.is_terminal)
		screen_end_line(&t->screen);
	return n < 0 ? say_failure(t, (int)n, "end of input") : CLI_DONE;
}

static int hold(struct talk *t)
{
	int status = CLI_DONE;

	if (t->o->read_only)
		return read_to_end(t);
	editor_open("Enter message: ");
	if (!t->o->no_banner)
		status = read_banner(t);
	if (status == CLI_DONE)
		status = converse(t);
	editor_close();
	return status;
}

int talk(const struct options *o)
{
	struct talk t = { .o = o };
	int status = dial(&t);

	if (status != CLI_DONE)
		return status;
	screen_init(&t.screen);
	status = hold(&t);
	if (t.screen.error)
		status = say_unwritable(&t);
	weir_conn_unref(t.conn);
	return status;
}
