/* SPDX-License-Identifier: MIT */
/*
 * The chat service: whoever sits at the server's standard input, the operator,
 * talks with one client of each listener.  Clients of a listener stand in one
 * line; the first of it has the conversation, the others are told to wait and
 * to begin when their turn comes.  `windup` from the operator ends the
 * conversation; after one from the client the operator's next line does, and
 * the client gets it.  So does the end of either side's input.
 *
 * Nobody hears what was not meant for him.  Every conversation has a number,
 * and a line goes out only if the conversation it was typed in is still on.
 * Where there are several listeners the prompt says which one a line is for,
 * and "/N" goes to another.  At a terminal, what lies there when a conversation
 * begins is thrown away, and lines leave as they are typed; from a pipe or a
 * file each line is the answer to a message, and is not read before there is
 * one.  A client that leaves without its answer makes that one stale.
 *
 * No worker waits here for anybody: input is read by a thread of its own, and
 * what a client says before its turn stays in its connection.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../cli/cli.h"
#include "console.h"
#include "out.h"
#include "services.h"
#include "typed.h"

#define MOST_WAITING 16384 /* bytes said before one's turn */

/*
 * To a client one read is one message.  Lines that are typed or pasted faster
 * than this leave so far apart that they are not joined on their way.
 */
#define GAP_NS (50 * INT64_C(1000000))

static const char windup[] = "windup";

struct client {
	struct client *next;
	weir_conn *conn; /* with a reference */
	char name[320];	 /* its address, and that it came to */
	bool is_in_line; /* under the lock, as is next */
};

/* A listener, and the conversation with the first of its line. */
struct desk {
	struct desk *next;
	int number;		  /* from 1 */
	struct client *first;	  /* who is talked with */
	unsigned long long turn;  /* of all turns, from 1; 0: it is not on */
	unsigned long long asked; /* the message to be answered; 0: none */
	bool is_ending;		  /* the client has said windup */
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct desk *desks,
		*current; /* current: lines that are typed go there */
	int count;
	unsigned long long turns, messages; /* so far */
	unsigned long long stale; /* lines to come for clients that have left */
	bool is_terminal;
	bool is_console;
	bool is_manned;	 /* the operator's thread runs */
	bool has_left;	 /* or has run */
	bool is_closing; /* the server stops */
} chat = { .lock = PTHREAD_MUTEX_INITIALIZER,
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

/* "" if there is one desk; else "2" and what stands behind it. */
static const char *label(const struct desk *d, const char *behind, char buf[24])
{
	buf[0] = '\0';
	if (chat.count > 1)
		snprintf(buf, 24, "%d%s", d->number, behind);
	return buf;
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

static void wake_operator_locked(void)
{
	pthread_cond_signal(&chat.changed);
	if (chat.is_console)
		console_wake();
}

/* ---------------------------------------------------------------- the line */

static void choose_current_locked(void)
{
	struct desk *d = chat.current;

	if (d && d->turn)
		return;
	for (d = chat.desks; d && !d->turn; d = d->next)
		;
	chat.current = d;
}

static void begin_turn_locked(struct desk *d)
{
	char text[24];

	d->turn = ++chat.turns;
	d->asked = 0;
	d->is_ending = false;
	if (!chat.current)
		typed_forget();
	choose_current_locked();
	note("%stalking with %s", label(d, ": ", text), d->first->name);
	wake_operator_locked();
}

static void leave_line_locked(struct desk *d, struct client *me)
{
	struct client **at = &d->first;
	bool was_first = d->first == me;
	char text[24];

	if (!me->is_in_line)
		return;
	while (*at != me)
		at = &(*at)->next;
	*at = me->next;
	me->is_in_line = false;
	if (was_first) {
		chat.stale += d->asked && !chat.is_terminal;
		d->asked = d->turn = 0;
		choose_current_locked();
		wake_operator_locked();
	}
	note("%s%s: %s", label(d, ": ", text),
	     was_first ? "ended" : "left the line", me->name);
	if (!was_first || !d->first || chat.has_left || chat.is_closing)
		return;
	begin_turn_locked(d);
	tell(d->first, "It is your turn.\n");
	weir_conn_wake(d->first->conn); /* it may have spoken already */
}

/* ----------------------------------------------------------- the operator */

/* For whom a line is: nobody has turn 0. */
struct target {
	struct desk *desk;
	unsigned long long turn;
};

static struct target current_locked(void)
{
	struct target t = { .desk = chat.current };

	if (t.desk)
		t.turn = t.desk->turn;
	return t;
}

/* Whose message has waited longest. */
static struct target asker_locked(void)
{
	struct target t = { .desk = NULL };

	for (struct desk *d = chat.desks; d; d = d->next)
		if (d->asked && (!t.desk || d->asked < t.desk->asked))
			t = (struct target){ d, d->turn };
	return t;
}

static void look_at_current(void *to)
{
	pthread_mutex_lock(&chat.lock);
	*(struct target *)to = current_locked();
	pthread_mutex_unlock(&chat.lock);
}

/* A stale line is for nobody. */
static struct target wait_until_wanted(void)
{
	struct target t = { .desk = NULL };

	pthread_mutex_lock(&chat.lock);
	while (chat.stale == 0) {
		t = chat.is_terminal ? current_locked() : asker_locked();
		if (t.turn)
			break;
		pthread_cond_wait(&chat.changed, &chat.lock);
	}
	pthread_mutex_unlock(&chat.lock);
	return t;
}

static void keep_gap(void)
{
	static int64_t last_at;
	struct timespec now;
	int64_t at, left;

	clock_gettime(CLOCK_MONOTONIC, &now);
	at = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
	left = last_at + GAP_NS - at;
	if (left > 0) {
		now = (struct timespec){ .tv_nsec = (long)left };
		nanosleep(&now, NULL);
		at += left;
	}
	last_at = at;
}

static int answer_locked(struct desk *d, const char *line, size_t len)
{
	int rc = weir_conn_send(d->first->conn, line, len);

	d->asked = 0;
	if (is_windup(line, len) || d->is_ending) {
		weir_conn_close(d->first->conn);
		leave_line_locked(d, d->first);
	}
	return rc;
}

static void answer(struct target t, const char *line, size_t len)
{
	int rc = -EPIPE;

	if (len == 0)
		return;
	if (chat.is_terminal)
		keep_gap();
	pthread_mutex_lock(&chat.lock);
	if (t.desk && t.turn && t.desk->turn == t.turn)
		rc = answer_locked(t.desk, line, len);
	else if (chat.stale > 0)
		chat.stale--;
	pthread_mutex_unlock(&chat.lock);
	if (rc == -ENOBUFS)
		note("not sent: the client does not read");
	else if (rc < 0)
		note("not sent: the client has left");
}

/* All that talk or wait at this desk. */
static void send_away_locked(struct desk *d)
{
	for (struct client *c = d->first; c; c = c->next) {
		tell(c, "The operator has left.\n");
		weir_conn_close(c->conn);
	}
}

static void leave_desks(void)
{
	pthread_mutex_lock(&chat.lock);
	chat.has_left = true;
	for (struct desk *d = chat.desks; d; d = d->next)
		send_away_locked(d);
	pthread_mutex_unlock(&chat.lock);
	note("the operator has left");
}

/* ------------------------------------------------------------ the terminal */

/* "/N" or "/N text", N being a desk's number: *line is the text. */
static struct desk *addressed(const char **line, size_t *len)
{
	const char *text = *line;
	size_t at = 1;
	int number = 0;

	if (chat.count < 2 || *len < 2 || text[0] != '/')
		return NULL;
	while (at < *len && text[at] >= '0' && text[at] <= '9' && number < 1000)
		number = number * 10 + text[at++] - '0';
	if (at == 1 || (at < *len && text[at] != ' '))
		return NULL;
	at += at < *len;
	for (struct desk *d = chat.desks; d; d = d->next)
		if (d->number == number) {
			*line += at;
			*len -= at;
			return d;
		}
	return NULL;
}

static void take_line(struct target t, const char *line, size_t len)
{
	struct desk *d;

	len = service_trim(line, len);
	d = chat.is_terminal ? addressed(&line, &len) : NULL;
	if (!d) {
		answer(t, line, len);
		return;
	}
	pthread_mutex_lock(&chat.lock);
	t = (struct target){ d, d->turn };
	if (d->turn)
		chat.current = d;
	pthread_mutex_unlock(&chat.lock);
	if (!t.turn)
		note("nobody is there to talk with at %d", d->number);
	else
		answer(t, line, len);
}

static void read_lines(void)
{
	char line[TYPED_LINE];
	ssize_t n;

	do {
		struct target t = wait_until_wanted();

		n = typed_line(line, chat.is_terminal ? look_at_current : NULL,
			       &t);
		if (n >= 0)
			take_line(t, line, (size_t)n);
	} while (n >= 0);
}

/* Ctrl-D ends this conversation; the next caller is welcome. */
static void hang_up(struct target t)
{
	pthread_mutex_lock(&chat.lock);
	if (t.turn && t.desk->turn == t.turn) {
		tell(t.desk->first, "The operator has left.\n");
		weir_conn_close(t.desk->first->conn);
		leave_line_locked(t.desk, t.desk->first);
	}
	pthread_mutex_unlock(&chat.lock);
}

static void talk_at_console(void)
{
	enum console_event event;

	do {
		struct target t;
		const char *line;
		char prompt[32], text[24];
		size_t len;

		look_at_current(&t);
		if (t.turn)
			snprintf(prompt, sizeof(prompt), "%s>> ",
				 label(t.desk, "", text));
		event = console_next(t.turn ? prompt : NULL, t.turn, &line,
				     &len);
		if (event == CONSOLE_LINE)
			take_line(t, line, len);
		else if (event == CONSOLE_END)
			hang_up(t);
	} while (event != CONSOLE_GONE);
}

static void *man_desks(void *unused)
{
	if (chat.is_console)
		talk_at_console();
	else
		read_lines();
	leave_desks();
	return unused;
}

/* ------------------------------------------------------------- the clients */

/* In a worker, so the thread has every signal blocked as that has. */
static int man_desks_once_locked(void)
{
	pthread_t thread;
	int rc;

	if (chat.is_manned)
		return 0;
	chat.is_terminal = isatty(STDIN_FILENO);
	chat.is_console = console_open();
	if (chat.is_console)
		out_set_console(console_print);
	rc = pthread_create(&thread, NULL, man_desks, NULL);
	if (rc != 0)
		return -rc;
	/* Nobody can wait for one who waits for a human. */
	pthread_detach(thread);
	chat.is_manned = true;
	return 0;
}

static int join_line_locked(struct desk *d, struct client *me)
{
	struct client **end = &d->first;
	int rc = man_desks_once_locked();
	char text[24];

	if (rc < 0)
		return rc;
	if (chat.has_left) {
		tell(me, "The operator has left.\n");
		return 0;
	}
	while (*end)
		end = &(*end)->next;
	*end = me;
	me->is_in_line = true;
	if (d->first == me) {
		begin_turn_locked(d);
	} else {
		tell(me, "Please wait, somebody else is talking.\n");
		note("%swaiting: %s", label(d, ": ", text), me->name);
	}
	return WEIR_AGAIN;
}

static int arrive(weir_conn *c, void *arg)
{
	struct client *me = calloc(1, sizeof(*me));
	char peer[150] = "somebody", local[150] = "";
	int rc;

	if (me == NULL)
		return -ENOMEM;
	weir_conn_peer(c, peer, sizeof(peer));
	weir_conn_local(c, local, sizeof(local));
	snprintf(me->name, sizeof(me->name), "%s at %s", peer, local);
	me->conn = weir_conn_ref(c);
	weir_conn_set_data(c, me, free);
	pthread_mutex_lock(&chat.lock);
	rc = join_line_locked(arg, me);
	pthread_mutex_unlock(&chat.lock);
	return rc;
}

static void leave(weir_conn *c, void *arg)
{
	struct client *me = weir_conn_data(c);

	if (me == NULL)
		return;
	pthread_mutex_lock(&chat.lock);
	leave_line_locked(arg, me);
	pthread_mutex_unlock(&chat.lock);
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

static int close_desks(void)
{
	pthread_mutex_lock(&chat.lock);
	chat.is_closing = true;
	pthread_mutex_unlock(&chat.lock);
	return 0;
}

static int hear(weir_conn *c, void *arg)
{
	char message[SERVICE_MESSAGE], mark[24];
	struct client *me = weir_conn_data(c);
	struct desk *d = arg;
	bool is_first;
	ssize_t n;

	if (weir_conn_why(c) == WEIR_DRAIN)
		return close_desks();
	pthread_mutex_lock(&chat.lock);
	is_first = d->first == me;
	pthread_mutex_unlock(&chat.lock);
	if (!is_first)
		return wait_in_line(c);
	n = weir_conn_read(c, message, sizeof(message));
	if (n <= 0)
		return (int)n;
	/* In the order in which messages are shown they are answered. */
	pthread_mutex_lock(&chat.lock);
	/* The second space tells what was heard from what was said. */
	service_print(label(d, ">>  ", mark)[0] ? mark : ">>  ", message,
		      (size_t)n);
	if (d->first == me) {
		d->is_ending |=
			is_windup(message, service_trim(message, (size_t)n));
		d->asked = d->asked ? d->asked : ++chat.messages;
		pthread_cond_signal(&chat.changed);
	}
	pthread_mutex_unlock(&chat.lock);
	return WEIR_AGAIN;
}

void svc_chat(struct weir_service *ret, const struct options *o)
{
	struct desk *d = calloc(1, sizeof(*d)), **end = &chat.desks;

	(void)o;
	if (d == NULL) {
		cli_error("out of memory");
		exit(CLI_FAILED);
	}
	while (*end)
		end = &(*end)->next;
	*end = d;
	d->number = ++chat.count;
	ret->opened = arrive;
	ret->readable = hear;
	ret->closed = leave;
	ret->arg = d;
	ret->read_ms =
		WEIR_NEVER; /* what waits for its turn is not half sent */
}
