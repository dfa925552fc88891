/* SPDX-License-Identifier: MIT */
/*
 * The chat service: the operator, who types at the server's standard input,
 * talks with one client of each listener.  The clients of a listener form a
 * queue; the first one has the conversation, the others are told to wait.
 * `windup` from the operator ends the conversation.  After `windup` from the
 * client, the operator's answer is sent and ends it: the next line on a
 * terminal.
 *
 * "No line reaches the wrong client": each conversation has a number, and a
 * line is sent only while the conversation that it was typed for is on.  On a
 * terminal, what was typed before a conversation began is discarded.  On a pipe
 * each line answers one message that was printed, the oldest first, and is read
 * only when there is one to answer; if the client of that message has left, its
 * answer is read and dropped.
 *
 * No worker waits here: a thread of this file reads standard input, and what a
 * waiting client sends stays in its connection.
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
#include "background.h"
#include "console.h"
#include "out.h"
#include "services.h"
#include "typed.h"

#define MOST_WAITING 16384 /* bytes that a waiting client may send */
#define MOST_ASKED   1024u /* messages that wait for an answer on a pipe */

/*
 * To a client, what one read returns is one message.  Lines that are pasted are
 * sent this far apart, so that the network does not join them.
 */
#define GAP_NS (50 * INT64_C(1000000))

static const char windup[] = "windup";

struct client {
	struct client *next;
	weir_ref *ref;	/* with a reference */
	char name[320]; /* its address and ours */
	bool is_queued; /* under the lock, as is next */
};

struct chat_listener {
	struct chat_listener *next;
	int number; /* from 1 */
	struct client *first;
	unsigned long long conversation; /* its number, from 1; 0: none */
	bool is_ending; /* on a terminal: the client has sent windup */
};

/* The conversation that a line is for; number 0: none. */
struct target {
	struct chat_listener *listener;
	unsigned long long conversation;
	bool is_last; /* the line answers windup */
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct chat_listener *listeners;
	struct chat_listener *current;	  /* what is typed goes there */
	int count;			  /* of listeners */
	unsigned long long conversations; /* so far */
	struct target asked[MOST_ASKED];  /* on a pipe: the messages */
	unsigned first, end;		  /* of asked; both only grow */
	bool is_terminal;
	bool is_console;
	bool has_operator; /* its thread has been started */
	bool has_operator_left;
	bool is_stopping; /* the server */
} chat = { .lock = PTHREAD_MUTEX_INITIALIZER,
	   .changed = PTHREAD_COND_INITIALIZER };

__attribute__((format(printf, 1, 2))) static void chat_note(const char *format,
							    ...)
{
	char text[512];
	va_list ap;
	int len;

	va_start(ap, format);
	len = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	service_print("chat: ", text, (size_t)len);
}

/* "" if there is one listener; else the number of l, followed by behind. */
static const char *label(const struct chat_listener *l, const char *behind,
			 char buf[24])
{
	buf[0] = '\0';
	if (chat.count > 1)
		snprintf(buf, 24, "%d%s", l->number, behind);
	return buf;
}

static void chat_tell(struct client *who, const char *text)
{
	/* Dropped if the outbox is full. */
	(void)weir_ref_send(who->ref, text, strlen(text));
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

static void choose_current_locked(void)
{
	struct chat_listener *l = chat.current;

	if (l && l->conversation)
		return;
	for (l = chat.listeners; l && !l->conversation; l = l->next)
		;
	chat.current = l;
}

static void begin_conversation_locked(struct chat_listener *l)
{
	char text[24];

	l->conversation = ++chat.conversations;
	l->is_ending = false;
	if (!chat.current)
		typed_forget();
	choose_current_locked();
	chat_note("%stalking with %s", label(l, ": ", text), l->first->name);
	wake_operator_locked();
}

static void leave_queue_locked(struct chat_listener *l, struct client *me)
{
	struct client **at = &l->first;
	bool was_first = l->first == me;
	char text[24];

	if (!me->is_queued)
		return;
	while (*at != me)
		at = &(*at)->next;
	*at = me->next;
	me->is_queued = false;
	if (was_first) {
		l->conversation = 0;
		choose_current_locked();
		wake_operator_locked();
	}
	chat_note("%s%s: %s", label(l, ": ", text),
		  was_first ? "ended" : "left the line", me->name);
	if (!was_first || !l->first || chat.has_operator_left ||
	    chat.is_stopping)
		return;
	begin_conversation_locked(l);
	chat_tell(l->first, "It is your turn.\n");
	weir_ref_wake(l->first->ref); /* its input may be there already */
}

static struct target current_locked(void)
{
	struct target t = { .listener = chat.current };

	if (t.listener)
		t.conversation = t.listener->conversation;
	return t;
}

static void read_current(void *to)
{
	pthread_mutex_lock(&chat.lock);
	*(struct target *)to = current_locked();
	pthread_mutex_unlock(&chat.lock);
}

static struct target wait_for_current(void)
{
	struct target t;

	pthread_mutex_lock(&chat.lock);
	while ((t = current_locked()).conversation == 0)
		pthread_cond_wait(&chat.changed, &chat.lock);
	pthread_mutex_unlock(&chat.lock);
	return t;
}

static struct target wait_for_message(void)
{
	struct target t;

	pthread_mutex_lock(&chat.lock);
	while (chat.first == chat.end)
		pthread_cond_wait(&chat.changed, &chat.lock);
	t = chat.asked[chat.first++ % MOST_ASKED];
	pthread_mutex_unlock(&chat.lock);
	return t;
}

static void pause_between_lines(void)
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

static int send_text_locked(struct chat_listener *l, const char *text,
			    size_t len, bool is_last)
{
	int rc = weir_ref_send(l->first->ref, text, len);

	if (is_last || l->is_ending) {
		weir_ref_close(l->first->ref);
		leave_queue_locked(l, l->first);
	}
	return rc;
}

/* False: it could not be sent, and the operator has been told. */
static bool send_text(struct target t, const char *text, size_t len,
		      bool is_last)
{
	int rc = -EPIPE;

	pthread_mutex_lock(&chat.lock);
	if (t.conversation && t.listener->conversation == t.conversation)
		rc = send_text_locked(t.listener, text, len, is_last);
	pthread_mutex_unlock(&chat.lock);
	if (rc == -ENOBUFS)
		chat_note("not sent: the client does not read");
	else if (rc < 0)
		chat_note("not sent: the client has left");
	return rc >= 0;
}

static void send_typed(struct target t, const char *line, size_t len)
{
	if (len == 0)
		return;
	pause_between_lines();
	(void)send_text(t, line, len, is_windup(line, len));
}

/*
 * A line that is too long for one piece is sent in several.  An empty line is
 * no answer.  Returns false at the end of input.
 */
static bool chat_answer(struct target t)
{
	bool is_first = true, is_sent = true, is_cut;
	char piece[TYPED_LINE];

	do {
		ssize_t n = typed_line(piece, &is_cut, NULL, NULL);
		bool is_last = !is_cut && t.is_last;
		size_t len;

		if (n < 0)
			return false;
		len = is_cut ? (size_t)n : service_trim(piece, (size_t)n);
		if (is_first && len == 0)
			continue;
		if (is_first && !is_cut)
			is_last |= is_windup(piece, len);
		is_sent = is_sent && send_text(t, piece, len, is_last);
		is_first = false;
	} while (is_first || is_cut);
	return true;
}

static void send_all_away_locked(struct chat_listener *l)
{
	for (struct client *c = l->first; c; c = c->next) {
		chat_tell(c, "The operator has left.\n");
		weir_ref_close(c->ref);
	}
}

static void operator_left(void)
{
	pthread_mutex_lock(&chat.lock);
	chat.has_operator_left = true;
	for (struct chat_listener *l = chat.listeners; l; l = l->next)
		send_all_away_locked(l);
	pthread_mutex_unlock(&chat.lock);
	chat_note("the operator has left");
}

/*
 * For a line "/N" or "/N text": listener N, and *line becomes the text.  NULL:
 * it is another line, or there is no such listener.
 */
static struct chat_listener *find_addressed(const char **line, size_t *len)
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
	for (struct chat_listener *l = chat.listeners; l; l = l->next)
		if (l->number == number) {
			*line += at;
			*len -= at;
			return l;
		}
	return NULL;
}

static void take_typed_line(struct target t, const char *line, size_t len)
{
	struct chat_listener *l;

	len = service_trim(line, len);
	l = find_addressed(&line, &len);
	if (!l) {
		send_typed(t, line, len);
		return;
	}
	pthread_mutex_lock(&chat.lock);
	t = (struct target){ l, l->conversation, false };
	if (l->conversation)
		chat.current = l;
	pthread_mutex_unlock(&chat.lock);
	if (!t.conversation)
		chat_note("nobody is there to talk with at %d", l->number);
	else
		send_typed(t, line, len);
}

static void operator_on_pipe(void)
{
	while (chat_answer(wait_for_message()))
		;
}

/* Without a prompt, because standard output is not the terminal. */
static void operator_at_terminal(void)
{
	char line[TYPED_LINE];
	bool unused;
	ssize_t n;

	do {
		struct target t = wait_for_current();

		n = typed_line(line, &unused, read_current, &t);
		if (n >= 0)
			take_typed_line(t, line, (size_t)n);
	} while (n >= 0);
}

static void end_conversation(struct target t)
{
	pthread_mutex_lock(&chat.lock);
	if (t.conversation && t.listener->conversation == t.conversation) {
		chat_tell(t.listener->first, "The operator has left.\n");
		weir_ref_close(t.listener->first->ref);
		leave_queue_locked(t.listener, t.listener->first);
	}
	pthread_mutex_unlock(&chat.lock);
}

static void operator_at_console(void)
{
	enum console_event event;

	do {
		struct target t;
		const char *line;
		char prompt[32], text[24];
		size_t len;

		read_current(&t);
		if (t.conversation)
			snprintf(prompt, sizeof(prompt), "%s>> ",
				 label(t.listener, "", text));
		event = console_next(t.conversation ? prompt : NULL,
				     t.conversation, &line, &len);
		if (event == CONSOLE_LINE)
			take_typed_line(t, line, len);
		else if (event == CONSOLE_END)
			end_conversation(t);
	} while (event != CONSOLE_GONE);
}

static void *operator_main(void *unused)
{
	if (chat.is_console)
		operator_at_console();
	else if (chat.is_terminal)
		operator_at_terminal();
	else
		operator_on_pipe();
	operator_left();
	return unused;
}

static int start_operator_locked(void)
{
	int rc;

	if (chat.has_operator)
		return 0;
	chat.is_terminal = isatty(STDIN_FILENO);
	chat.is_console = console_open();
	if (chat.is_console)
		out_set_console(console_print);
	/* It may be reading when the server stops, so no thread joins it. */
	rc = background_start(operator_main, NULL);
	if (rc < 0)
		return rc;
	chat.has_operator = true;
	return 0;
}

static int join_queue_locked(struct chat_listener *l, struct client *me)
{
	struct client **end = &l->first;
	int rc = start_operator_locked();
	char text[24];

	if (rc < 0)
		return rc;
	if (chat.has_operator_left) {
		chat_tell(me, "The operator has left.\n");
		return 0;
	}
	while (*end)
		end = &(*end)->next;
	*end = me;
	me->is_queued = true;
	if (l->first == me) {
		begin_conversation_locked(l);
	} else {
		chat_tell(me, "Please wait, somebody else is talking.\n");
		chat_note("%swaiting: %s", label(l, ": ", text), me->name);
	}
	return WEIR_AGAIN;
}

static int chat_opened(weir_conn *c, void *arg)
{
	struct client *me = calloc(1, sizeof(*me));
	char peer[150] = "somebody", local[150] = "";
	int rc;

	if (me == NULL)
		return -ENOMEM;
	weir_conn_peer(c, peer, sizeof(peer));
	weir_conn_local(c, local, sizeof(local));
	snprintf(me->name, sizeof(me->name), "%s at %s", peer, local);
	me->ref = weir_conn_ref(c);
	weir_conn_set_data(c, me, free);
	pthread_mutex_lock(&chat.lock);
	rc = join_queue_locked(arg, me);
	pthread_mutex_unlock(&chat.lock);
	return rc;
}

static void chat_closed(weir_conn *c, void *arg)
{
	struct client *me = weir_conn_data(c);

	if (me == NULL)
		return;
	pthread_mutex_lock(&chat.lock);
	leave_queue_locked(arg, me);
	pthread_mutex_unlock(&chat.lock);
	weir_ref_unref(me->ref);
}

/* Keeps the input in the connection, and notices a client that leaves. */
static int wait_in_queue(weir_conn *c)
{
	const void *unused;
	ssize_t n = weir_conn_peek(c, &unused, MOST_WAITING);

	if (n > 0)
		return weir_conn_printf(c, "That is too much to wait with.\n");
	return n == -EBADMSG ? 0 : (int)n;
}

static int note_stop(void)
{
	pthread_mutex_lock(&chat.lock);
	chat.is_stopping = true;
	pthread_mutex_unlock(&chat.lock);
	return 0;
}

/*
 * Shown and queued under the lock: answers go in the order shown.  A message
 * whose client has just lost the conversation gets an answer, too, which is
 * dropped.  One that was not shown gets none.
 */
static void take_message_locked(struct chat_listener *l,
				const struct client *from, const char *message,
				size_t len)
{
	bool is_on = l->first == from, is_shown;
	struct target t = { l, is_on ? l->conversation : 0,
			    is_windup(message, service_trim(message, len)) };
	char mark[24];

	/* Two spaces; the prompt has one. */
	is_shown = service_print(label(l, ">>  ", mark)[0] ? mark : ">>  ",
				 message, len);
	if (chat.is_terminal) {
		l->is_ending |= is_on && t.is_last;
	} else if (is_shown) {
		chat.asked[chat.end++ % MOST_ASKED] = t;
		pthread_cond_signal(&chat.changed);
	}
}

static int chat_readable(weir_conn *c, void *arg)
{
	struct client *me = weir_conn_data(c);
	struct chat_listener *l = arg;
	char message[SERVICE_MESSAGE];
	bool is_first, is_full;
	ssize_t n;

	if (weir_conn_why(c) == WEIR_DRAIN)
		return note_stop();
	pthread_mutex_lock(&chat.lock);
	is_first = l->first == me;
	pthread_mutex_unlock(&chat.lock);
	if (!is_first)
		return wait_in_queue(c);
	n = weir_conn_read(c, message, sizeof(message));
	if (n <= 0)
		return (int)n;
	pthread_mutex_lock(&chat.lock);
	is_full = chat.end - chat.first == MOST_ASKED;
	if (!is_full)
		take_message_locked(l, me, message, (size_t)n);
	pthread_mutex_unlock(&chat.lock);
	if (is_full)
		return weir_conn_printf(
			c, "Too many messages wait for an answer.\n");
	return WEIR_AGAIN;
}

void svc_chat(struct weir_service *ret, const struct options *o)
{
	struct chat_listener *l = calloc(1, sizeof(*l)),
			     **end = &chat.listeners;

	(void)o;
	if (l == NULL) {
		cli_error("out of memory");
		exit(CLI_FAILED);
	}
	while (*end)
		end = &(*end)->next;
	*end = l;
	l->number = ++chat.count;
	ret->opened = chat_opened;
	ret->readable = chat_readable;
	ret->closed = chat_closed;
	ret->arg = l;
}
