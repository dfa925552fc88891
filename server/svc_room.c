/* SPDX-License-Identifier: MIT */
/*
 * The room service: a chat among all clients of one listener.
 *
 * Each line of a member is sent to every member, its author included, with the
 * author's name in front; notices begin with "* ".  A member is called "guest
 * N" until it sends "/name NAME".  Lines that begin with "/" are commands.
 *
 * "One text for all": lines and notices are appended to the room's text, and a
 * flush sends that text to each member.  The first line is flushed at once;
 * lines within PAUSE_NS after a flush are flushed together, by a thread of the
 * room.  So the number of sends depends on the number of members and on time,
 * and all members read the same lines in the same order.  Each member has a
 * budget of bytes, because every byte is sent as often as there are members.
 *
 * A flush holds the room's lock, and does not wait: a member that does not read
 * fills its own outbox and is cut.
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

#include "../cli/cli.h"
#include "../cli/text.h"
#include "background.h"
#include "journal.h"
#include "room_name.h"
#include "services.h"

#define NAME_ROOM	(ROOM_NAME_LEN + 1)
#define SAID_ROOM	(NAME_ROOM + 4 + 4 * SERVICE_MESSAGE) /* escaped */
#define TEXT_ROOM	((size_t)64 * 1024)
#define PAUSE_NS	(100 * INT64_C(1000000))
#define MOST_NOTICES	50		     /* in one text */
#define MOST_NAMES	50		     /* in the answer to /who */
#define BUDGET		((int64_t)64 * 1024) /* bytes of a member at once */
#define BUDGET_A_SECOND ((int64_t)8 * 1024)
#define A_SECOND	((int64_t)1000000000) /* in ns */
/* After this time the budget is whole again; a longer one could overflow. */
#define BUDGET_NS (BUDGET / BUDGET_A_SECOND * A_SECOND)

struct member {
	struct member *prev, *next;
	weir_ref *ref; /* with a reference; NULL: removed */
	size_t sent;   /* where its next bytes begin in the room's text */
	char name[NAME_ROOM];	  /* written only by its own handler */
	char skeleton[NAME_ROOM]; /* of a name it has chosen, or empty */
	/* Used only by its own handler: */
	int64_t budget, budget_at;
	bool is_too_fast; /* and has been told so */
	bool is_skipping; /* to the end of a line that is too long */
};

/* All of it is under the lock. */
struct room {
	struct room *next;
	pthread_mutex_t lock;
	pthread_cond_t has_text;
	struct member *first;
	int count;
	unsigned long long guests; /* so far */
	bool is_stopping;	   /* the server: no more notices */
	int64_t flushed_at;
	int notices; /* since the last flush */
	int untold;  /* those beyond MOST_NOTICES; a line will say how many */
	size_t len;
	char text[TEXT_ROOM];
};

static struct room *rooms; /* one for each listener; never freed */

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void remove_locked(struct room *r, struct member *m)
{
	if (m->ref == NULL)
		return;
	if (m->next)
		m->next->prev = m->prev;
	if (m->prev)
		m->prev->next = m->next;
	else
		r->first = m->next;
	r->count--;
	weir_ref_unref(m->ref);
	m->ref = NULL;
}

/* all is the whole text, or NULL.  A member that does not read is removed. */
static void send_unsent_locked(struct room *r, struct member *m, weir_msg *all)
{
	size_t from = m->sent;
	int rc;

	m->sent = r->len;
	if (from == r->len || m->ref == NULL)
		return;
	rc = from == 0 && all
		     ? weir_ref_send_msg(m->ref, all)
		     : weir_ref_send(m->ref, r->text + from, r->len - from);
	if (rc == 0 || rc == -EPIPE) /* -EPIPE: it is leaving */
		return;
	journal_client(WEIR_LOG_INFO,
		       "connection %llu does not read what the room says: %s",
		       (unsigned long long)weir_ref_id(m->ref),
		       weir_strerror(rc));
	weir_ref_cancel(m->ref);
	remove_locked(r, m);
}

/* Called before a line is appended, so that the count is in its place. */
static void append_untold_locked(struct room *r)
{
	if (r->untold == 0)
		return;
	r->len += (size_t)snprintf(
		r->text + r->len, sizeof(r->text) - r->len,
		"* and %d more have joined, left or changed names\n",
		r->untold);
	r->untold = 0;
}

static void flush_locked(struct room *r)
{
	struct member *m, *next;
	weir_msg *all = NULL;

	append_untold_locked(r);
	(void)weir_msg_new(&all, r->text, r->len);
	for (m = r->first; m; m = next) {
		next = m->next;
		send_unsent_locked(r, m, all);
		m->sent = 0;
	}
	weir_msg_unref(all);
	r->len = 0;
	r->notices = 0;
	r->flushed_at = now_ns();
}

/* flush_or_delay_locked() leaves room for a line and the untold count. */
static void append_locked(struct room *r, const char *text, size_t len)
{
	memcpy(r->text + r->len, text, len);
	r->len += len;
}

static void flush_or_delay_locked(struct room *r)
{
	if (now_ns() - r->flushed_at >= PAUSE_NS ||
	    sizeof(r->text) - r->len < SAID_ROOM + 128)
		flush_locked(r);
	else
		pthread_cond_signal(&r->has_text);
}

static void wait_for_flush_locked(struct room *r)
{
	int64_t at = r->flushed_at + PAUSE_NS;
	struct timespec until = { .tv_sec = (time_t)(at / 1000000000),
				  .tv_nsec = (long)(at % 1000000000) };

	pthread_cond_timedwait(&r->has_text, &r->lock, &until);
}

static void *flush_main(void *arg)
{
	struct room *r = arg;

	pthread_mutex_lock(&r->lock);
	for (;;) {
		if (r->len == 0)
			pthread_cond_wait(&r->has_text, &r->lock);
		else if (now_ns() - r->flushed_at >= PAUSE_NS)
			flush_locked(r);
		else
			wait_for_flush_locked(r);
	}
	return NULL;
}

__attribute__((format(printf, 2, 3))) static void
notice_locked(struct room *r, const char *format, ...)
{
	char text[2 * NAME_ROOM + 64];
	va_list ap;
	int len;

	if (r->is_stopping)
		return;
	if (++r->notices > MOST_NOTICES) {
		r->untold++;
		return;
	}
	va_start(ap, format);
	len = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	append_locked(r, text, (size_t)len);
}

__attribute__((format(printf, 2, 3))) static void
tell_locked(struct member *m, const char *format, ...)
{
	char text[256];
	va_list ap;
	int len;

	va_start(ap, format);
	len = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (m->ref) /* dropped if the outbox is full */
		(void)weir_ref_send(m->ref, text, (size_t)len);
}

static void tell_members_locked(struct room *r, struct member *me)
{
	char text[MOST_NAMES * (NAME_ROOM + 2) + 64];
	int told = 0;
	size_t len;

	len = (size_t)snprintf(text, sizeof(text), "* %d %s here:", r->count,
			       r->count == 1 ? "is" : "are");
	for (struct member *m = r->first; m && told < MOST_NAMES; m = m->next)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s %s",
					told++ > 0 ? "," : "", m->name);
	if (told < r->count)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					" and %d more", r->count - told);
	text[len++] = '\n';
	if (me->ref)
		(void)weir_ref_send(me->ref, text, len);
}

static int room_opened(weir_conn *c, void *arg)
{
	struct member *m = calloc(1, sizeof(*m));
	struct room *r = arg;

	if (m == NULL)
		return -ENOMEM;
	m->ref = weir_conn_ref(c);
	m->budget = BUDGET;
	m->budget_at = now_ns();
	weir_conn_set_data(c, m, free);
	pthread_mutex_lock(&r->lock);
	snprintf(m->name, sizeof(m->name), "guest %llu", ++r->guests);
	notice_locked(r, "* %s has joined\n", m->name);
	m->sent = r->len;
	m->next = r->first;
	if (m->next)
		m->next->prev = m;
	r->first = m;
	r->count++;
	tell_locked(m, "* you are %s; /help lists the commands\n", m->name);
	tell_members_locked(r, m);
	flush_or_delay_locked(r);
	pthread_mutex_unlock(&r->lock);
	return WEIR_AGAIN;
}

static void room_closed(weir_conn *c, void *arg)
{
	struct member *m = weir_conn_data(c);
	struct room *r = arg;

	if (m == NULL)
		return;
	pthread_mutex_lock(&r->lock);
	remove_locked(r, m);
	notice_locked(r, "* %s has left\n", m->name);
	flush_or_delay_locked(r);
	pthread_mutex_unlock(&r->lock);
}

/* False if the member has no budget for len bytes; it is told so once. */
static bool spend_budget_locked(struct member *m, size_t len)
{
	int64_t now = now_ns(), passed = now - m->budget_at, more;

	if (passed > BUDGET_NS)
		passed = BUDGET_NS;
	more = passed * BUDGET_A_SECOND / A_SECOND;
	if (more > 0) {
		m->budget += more;
		m->budget_at = now;
	}
	if (m->budget > BUDGET)
		m->budget = BUDGET;
	if (m->budget >= (int64_t)len) {
		m->budget -= (int64_t)len;
		m->is_too_fast = false;
		return true;
	}
	if (!m->is_too_fast)
		tell_locked(m, "* that is too much at once; lines are dropped "
			       "until you pause\n");
	m->is_too_fast = true;
	return false;
}

static void say_locked(struct room *r, struct member *m, const char *mark,
		       const char *gap, const char *line, size_t len)
{
	char text[SAID_ROOM];
	size_t used = (size_t)snprintf(text, sizeof(text), "%s%s%s", mark,
				       m->name, gap);

	used += cli_escape(text + used, sizeof(text) - 1 - used, line, len,
			   CLI_KEEP_UTF8 | CLI_KEEP_LINES);
	text[used++] = '\n';
	if (!spend_budget_locked(m, used))
		return;
	append_untold_locked(r);
	append_locked(r, text, used);
	flush_or_delay_locked(r);
}

static bool is_taken_locked(const struct room *r, const struct member *by,
			    const char *skeleton)
{
	for (const struct member *m = r->first; m; m = m->next)
		if (m != by && strcmp(m->skeleton, skeleton) == 0)
			return true;
	return false;
}

static void change_name_locked(struct room *r, struct member *m,
			       const char *name, size_t len)
{
	const char *fault = room_name_fault(name, len);
	char old[NAME_ROOM], skeleton[NAME_ROOM];

	if (!fault && !spend_budget_locked(m, sizeof(old) + len))
		return;
	if (!fault) {
		room_name_skeleton(skeleton, name, len);
		if (is_taken_locked(r, m, skeleton))
			fault = "* somebody has that name\n";
	}
	if (fault) {
		tell_locked(m, "%s", fault);
		return;
	}
	strcpy(old, m->name);
	memcpy(m->name, name, len);
	m->name[len] = '\0';
	strcpy(m->skeleton, skeleton);
	notice_locked(r, "* %s is now %s\n", old, m->name);
	flush_or_delay_locked(r);
}

/* What follows the command, if the line begins with it; else NULL. */
static const char *argument_of(const char *line, size_t len,
			       const char *command, size_t *rest_len)
{
	size_t n = strlen(command);

	if (len < n || memcmp(line, command, n) != 0 ||
	    (len > n && line[n] != ' '))
		return NULL;
	*rest_len = len > n ? len - n - 1 : 0;
	return line + (len > n ? n + 1 : n);
}

static void run_command_locked(struct room *r, struct member *m,
			       const char *line, size_t len)
{
	const char *rest;
	size_t n;

	if ((rest = argument_of(line, len, "/name", &n)) != NULL)
		change_name_locked(r, m, rest, n);
	else if ((rest = argument_of(line, len, "/me", &n)) != NULL)
		say_locked(r, m, "- ", " ", rest, n);
	else if (argument_of(line, len, "/who", &n))
		tell_members_locked(r, m);
	else if (argument_of(line, len, "/help", &n))
		tell_locked(m, "* /name NAME  change your name\n"
			       "* /me WAVES   say what you are doing\n"
			       "* /who        list who is here\n"
			       "* anything else is sent to everybody\n");
	else
		tell_locked(m, "* there is no such command; /help lists the "
			       "commands\n");
}

static void handle_line(struct room *r, struct member *m, const char *line,
			size_t len)
{
	len = service_trim(line, len);
	pthread_mutex_lock(&r->lock);
	if (len > 0 && line[0] == '/')
		run_command_locked(r, m, line, len);
	else
		say_locked(r, m, "", ": ", line, len);
	pthread_mutex_unlock(&r->lock);
}

/* Drop input up to the end of the line.  Returns what input calls return. */
static ssize_t skip_line(weir_conn *c, struct member *m)
{
	const void *data;
	ssize_t n = weir_conn_peek(c, &data, 1);
	const char *end = n > 0 ? memchr(data, '\n', (size_t)n) : NULL;

	if (n <= 0)
		return n;
	m->is_skipping = end == NULL;
	if (end)
		n = end + 1 - (const char *)data;
	weir_conn_consume(c, (size_t)n);
	return n;
}

static ssize_t read_one_line(weir_conn *c, struct room *r, struct member *m)
{
	char line[SERVICE_MESSAGE + 2]; /* newline, NUL */
	ssize_t n;

	if (m->is_skipping)
		return skip_line(c, m);
	n = weir_conn_read_line(c, line, sizeof(line));
	if (n > 0)
		handle_line(r, m, line, (size_t)n);
	if (n != -EMSGSIZE)
		return n;
	m->is_skipping = true;
	pthread_mutex_lock(&r->lock);
	tell_locked(m, "* a line has at most %d bytes; yours was dropped\n",
		    SERVICE_MESSAGE);
	pthread_mutex_unlock(&r->lock);
	return 1;
}

static int say_closing(weir_conn *c, struct room *r, struct member *m)
{
	pthread_mutex_lock(&r->lock);
	r->is_stopping = true;
	send_unsent_locked(r, m, NULL);
	pthread_mutex_unlock(&r->lock);
	return weir_conn_printf(c, "* the room closes\n");
}

static int room_readable(weir_conn *c, void *arg)
{
	struct member *m = weir_conn_data(c);
	struct room *r = arg;
	ssize_t n;

	if (weir_conn_why(c) == WEIR_DRAIN)
		return say_closing(c, r, m);
	do
		n = read_one_line(c, r, m);
	while (n > 0);
	if (n == 0) { /* its own last line is sent before the close */
		pthread_mutex_lock(&r->lock);
		send_unsent_locked(r, m, NULL);
		pthread_mutex_unlock(&r->lock);
	}
	return (int)n;
}

static int room_start(struct room *r)
{
	pthread_mutex_init(&r->lock, NULL);
	background_cond_init(&r->has_text);
	return background_start(flush_main, r);
}

void svc_room(struct weir_service *ret, const struct options *o)
{
	struct room *r = calloc(1, sizeof(*r));
	int rc = r ? room_start(r) : -ENOMEM;

	(void)o;
	if (rc < 0) {
		cli_error("cannot make a room: %s", weir_strerror(rc));
		exit(CLI_FAILED);
	}
	r->next = rooms;
	rooms = r;
	ret->opened = room_opened;
	ret->readable = room_readable;
	ret->closed = room_closed;
	ret->arg = r;
}
