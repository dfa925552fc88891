/* SPDX-License-Identifier: MIT */
/*
 * The chat service: whoever sits at the server's standard input, the operator,
 * talks with one client at a time.  Clients of all chat listeners stand in
 * one line; the first of it has the conversation, the others are told to wait
 * and to begin when their turn comes.  `windup` from either side ends the
 * conversation, and so does the end of either side's input.
 *
 * Nobody hears what was not meant for him.  Every conversation has a number,
 * and a line goes out only if the conversation it was typed in is still on.
 * At a terminal, what lies there when a conversation begins is thrown away,
 * and lines leave as they are typed; from a pipe or a file each line is the
 * answer to a message, and is not read before there is one.  A client that
 * leaves without its answer makes that one stale.
 *
 * No worker waits here for anybody: input is read by a thread of its own, and
 * what a client says before its turn stays in its connection.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "services.h"
#include "typed.h"

#define MOST_WAITING 16384 /* bytes said before one's turn */

static const char windup[] = "windup";

struct client {
	struct client *next;
	weir_conn *conn; /* with a reference */
	char name[320];	 /* its address, and that it came to */
	bool is_in_line; /* under the lock, as is next */
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct client *first;	  /* who is talked with */
	unsigned long long turn;  /* from 1 */
	unsigned long long stale; /* lines to come for clients that have left */
	bool is_terminal;
	bool is_asked;	 /* something has been said and not answered */
	bool is_on;	 /* the conversation with the first */
	bool is_manned;	 /* the operator's thread runs */
	bool has_left;	 /* or has run */
	bool is_closing; /* the server stops */
} desk = { .lock = PTHREAD_MUTEX_INITIALIZER,
	   .changed = PTHREAD_COND_INITIALIZER };

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
	char text[512];
	va_list ap;
	int len;

	va_start(ap, format);
	len = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	service_print("chat: ", text, (size_t)len);
}

static void tell(struct client *who, const char *text)
{
	/* Who has not read so far that this fits need not know. */
	(void)weir_conn_send(who->conn, text, strlen(text));
}

static bool is_windup(const char *line, size_t len)
{
	return len == sizeof(windup) - 1 && memcmp(line, windup, len) == 0;
}

/* ---------------------------------------------------------------- the line */

static void begin_turn_locked(void)
{
	desk.turn++;
	desk.is_asked = false;
	desk.is_on = true;
	typed_forget();
	note("talking with %s", desk.first->name);
	pthread_cond_signal(&desk.changed);
}

static void leave_line_locked(struct client *me)
{
	struct client **at = &desk.first;
	bool was_first = desk.first == me;

	if (!me->is_in_line)
		return;
	while (*at != me)
		at = &(*at)->next;
	*at = me->next;
	me->is_in_line = false;
	if (was_first) {
		desk.stale += desk.is_asked && !desk.is_terminal;
		desk.is_asked = desk.is_on = false;
	}
	note("%s: %s", was_first ? "ended" : "left the line", me->name);
	if (!was_first || !desk.first || desk.has_left || desk.is_closing)
		return;
	begin_turn_locked();
	tell(desk.first, "It is your turn.\n");
	weir_conn_wake(desk.first->conn); /* it may have spoken already */
}

/* ----------------------------------------------------------- the operator */

static bool wants_a_line_locked(void)
{
	if (desk.stale > 0)
		return true;
	return desk.is_on && (desk.is_asked || desk.is_terminal);
}

static void look_at_turn(void *turn)
{
	pthread_mutex_lock(&desk.lock);
	*(unsigned long long *)turn = desk.turn;
	pthread_mutex_unlock(&desk.lock);
}

static unsigned long long wait_until_wanted(void)
{
	unsigned long long turn;

	pthread_mutex_lock(&desk.lock);
	while (!wants_a_line_locked())
		pthread_cond_wait(&desk.changed, &desk.lock);
	turn = desk.stale > 0 ? 0 : desk.turn;
	pthread_mutex_unlock(&desk.lock);
	return turn;
}

static void answer(unsigned long long turn, const char *line, size_t len)
{
	int rc = -EPIPE;

	if (len == 0)
		return;
	pthread_mutex_lock(&desk.lock);
	if (desk.is_on && desk.turn == turn) {
		rc = weir_conn_send(desk.first->conn, line, len);
		desk.is_asked = false;
		if (is_windup(line, len)) {
			weir_conn_close(desk.first->conn);
			leave_line_locked(desk.first);
		}
	} else if (desk.stale > 0) {
		desk.stale--;
	}
	pthread_mutex_unlock(&desk.lock);
	if (rc == -ENOBUFS)
		note("not sent: the client does not read");
	else if (rc < 0)
		note("not sent: the client has left");
}

static void leave_desk(void)
{
	pthread_mutex_lock(&desk.lock);
	desk.has_left = true;
	for (struct client *c = desk.first; c; c = c->next) {
		tell(c, "The operator has left.\n");
		weir_conn_close(c->conn);
	}
	pthread_mutex_unlock(&desk.lock);
	note("the operator has left");
}

static void *man_desk(void *unused)
{
	char line[TYPED_LINE];
	ssize_t n;

	do {
		unsigned long long turn = wait_until_wanted();

		n = typed_line(line, desk.is_terminal ? look_at_turn : NULL,
			       &turn);
		if (n >= 0)
			answer(turn, line, service_trim(line, (size_t)n));
	} while (n >= 0);
	leave_desk();
	return unused;
}

/* ------------------------------------------------------------- the clients */

/* In a worker, so the thread has every signal blocked as that has. */
static int man_desk_once_locked(void)
{
	pthread_t thread;
	int rc;

	if (desk.is_manned)
		return 0;
	desk.is_terminal = isatty(STDIN_FILENO);
	rc = pthread_create(&thread, NULL, man_desk, NULL);
	if (rc != 0)
		return -rc;
	/* Nobody can wait for one who waits for a human. */
	pthread_detach(thread);
	desk.is_manned = true;
	return 0;
}

static int join_line_locked(struct client *me)
{
	struct client **end = &desk.first;
	int rc = man_desk_once_locked();

	if (rc < 0)
		return rc;
	if (desk.has_left) {
		tell(me, "The operator has left.\n");
		return 0;
	}
	while (*end)
		end = &(*end)->next;
	*end = me;
	me->is_in_line = true;
	if (desk.first == me) {
		begin_turn_locked();
	} else {
		tell(me, "Please wait, somebody else is talking.\n");
		note("waiting: %s", me->name);
	}
	return WEIR_AGAIN;
}

static int arrive(weir_conn *c, void *arg)
{
	struct client *me = calloc(1, sizeof(*me));
	char peer[150] = "somebody", local[150] = "";
	int rc;

	(void)arg;
	if (me == NULL)
		return -ENOMEM;
	weir_conn_peer(c, peer, sizeof(peer));
	weir_conn_local(c, local, sizeof(local));
	snprintf(me->name, sizeof(me->name), "%s at %s", peer, local);
	me->conn = weir_conn_ref(c);
	weir_conn_set_data(c, me, free);
	pthread_mutex_lock(&desk.lock);
	rc = join_line_locked(me);
	pthread_mutex_unlock(&desk.lock);
	return rc;
}

static void leave(weir_conn *c, void *arg)
{
	struct client *me = weir_conn_data(c);

	(void)arg;
	if (me == NULL)
		return;
	pthread_mutex_lock(&desk.lock);
	leave_line_locked(me);
	pthread_mutex_unlock(&desk.lock);
	weir_conn_unref(c);
}

/* A look at the input keeps it there, and tells when the client has gone. */
static int wait_in_line(weir_conn *c)
{
	const void *unused;
	ssize_t n = weir_conn_peek(c, &unused, MOST_WAITING);

	if (n > 0)
		return weir_conn_printf(c, "That is too much to wait with.\n");
	return n == -EBADMSG ? 0 : (int)n;
}

static int close_desk(void)
{
	pthread_mutex_lock(&desk.lock);
	desk.is_closing = true;
	pthread_mutex_unlock(&desk.lock);
	return 0;
}

static int hear(weir_conn *c, void *arg)
{
	char message[SERVICE_MESSAGE];
	struct client *me = weir_conn_data(c);
	bool is_first, is_end;
	ssize_t n;

	(void)arg;
	if (weir_conn_why(c) == WEIR_DRAIN)
		return close_desk();
	pthread_mutex_lock(&desk.lock);
	is_first = desk.first == me;
	pthread_mutex_unlock(&desk.lock);
	if (!is_first)
		return wait_in_line(c);
	n = weir_conn_read(c, message, sizeof(message));
	if (n <= 0)
		return (int)n;
	service_print(">> ", message, (size_t)n);
	is_end = is_windup(message, service_trim(message, (size_t)n));
	pthread_mutex_lock(&desk.lock);
	if (is_end) {
		leave_line_locked(me);
	} else if (desk.first == me) {
		desk.is_asked = true;
		pthread_cond_signal(&desk.changed);
	}
	pthread_mutex_unlock(&desk.lock);
	return is_end ? 0 : WEIR_AGAIN;
}

void svc_chat(struct weir_service *ret, const struct options *o)
{
	(void)o;
	ret->opened = arrive;
	ret->readable = hear;
	ret->closed = leave;
	ret->read_ms =
		WEIR_NEVER; /* what waits for its turn is not half sent */
}
