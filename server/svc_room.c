/* SPDX-License-Identifier: MIT */
/*
 * The room service: a chat among all who are connected to one listener.
 *
 * Each line of a member goes to every member, its author too, with the name
 * in front; notices begin with "* ".  A member is "guest N" until it says
 * "/name NAME".  Lines that begin with "/" are commands.
 *
 * "One text for all": what is said, and who comes and goes, is appended to the
 * room's text, and a flush sends that to each member.  The first is sent at
 * once; what follows within PAUSE_NS is sent together when that is over, by
 * the room's own thread.  So the number of sends is bounded by the number of
 * members and by time, whatever one of them does, and all read the same lines
 * in the same order.  A member has a budget of bytes besides, because each of
 * them goes out as often as there are members.
 *
 * The room's lock is held while a text is given to all.  It is held for no
 * wait, because weir_conn_send() has none.  Who does not read fills its own
 * outbox and is cut; the others do not notice.
 *
 * `opened` enters a member, `closed` takes it out.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../cli/cli.h"
#include "../cli/text.h"
#include "journal.h"
#include "room_name.h"
#include "services.h"

#define NAME_ROOM	(ROOM_NAME_LEN + 1)
#define SAID_ROOM	(NAME_ROOM + 4 + 4 * SERVICE_MESSAGE) /* escaped */
#define TEXT_ROOM	((size_t)64 * 1024)
#define PAUSE_NS	(100 * INT64_C(1000000))
#define MOST_NOTICES	50 /* of who comes and goes, in one text */
#define MOST_NAMES	50 /* told to one who asks */
#define BUDGET		((int64_t)64 * 1024) /* bytes of a member at once */
#define BUDGET_A_SECOND ((int64_t)8 * 1024)

struct member {
	struct member *prev, *next;
	weir_conn *conn; /* with a reference; NULL: it has been taken out */
	size_t heard;	 /* so much of the room's text is not for it */
	char name[NAME_ROOM];	  /* written by its own handler alone */
	char skeleton[NAME_ROOM]; /* of a name that it chose; empty: of none */
	/* Its own handler only: */
	int64_t budget, budget_at;
	bool is_too_fast; /* and has been told */
	bool is_skipping; /* the rest of a line that was too long */
};

/* All of it under the lock. */
struct room {
	struct room *next;
	pthread_mutex_t lock;
	pthread_cond_t has_text;
	struct member *first;
	int count;
	unsigned long long guests; /* so far */
	bool is_closing;	   /* the server stops: nobody need be told */
	int64_t flushed_at;
	int notices, untold; /* in the text; beyond what is told one by one */
	size_t len;
	char text[TEXT_ROOM];
};

static struct room *rooms; /* one for each listener, as long as we live */

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* -------------------------------------------------------- one text for all */

static void take_out(struct room *r, struct member *m)
{
	if (m->conn == NULL)
		return;
	if (m->next)
		m->next->prev = m->prev;
	if (m->prev)
		m->prev->next = m->next;
	else
		r->first = m->next;
	r->count--;
	weir_conn_unref(m->conn);
	m->conn = NULL;
}

/* What it has not heard yet.  One that does not read is taken out. */
static void catch_up_locked(struct room *r, struct member *m)
{
	size_t from = m->heard;
	int rc;

	m->heard = r->len;
	if (from == r->len || m->conn == NULL)
		return;
	rc = weir_conn_send(m->conn, r->text + from, r->len - from);
	if (rc == 0 || rc == -EPIPE) /* it is leaving */
		return;
	journal(WEIR_LOG_INFO,
		"connection %llu does not read what the room says: %s",
		(unsigned long long)weir_conn_id(m->conn), weir_strerror(rc));
	weir_conn_cancel(m->conn);
	take_out(r, m);
}

/* In its place among the lines. */
static void sum_up_locked(struct room *r)
{
	if (r->untold == 0)
		return;
	r->len += (size_t)snprintf(
		r->text + r->len, sizeof(r->text) - r->len,
		"* and %d more have come, gone or changed names\n", r->untold);
	r->untold = 0;
}

static void flush_locked(struct room *r)
{
	struct member *m, *next;

	sum_up_locked(r);
	for (m = r->first; m; m = next) {
		next = m->next;
		catch_up_locked(r, m);
		m->heard = 0;
	}
	r->len = 0;
	r->notices = 0;
	r->flushed_at = now_ns();
}

/* There is always room for one more line and for the number of the untold. */
static void append_locked(struct room *r, const char *text, size_t len)
{
	memcpy(r->text + r->len, text, len);
	r->len += len;
}

static void spread_locked(struct room *r)
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

static void *keep_time(void *arg)
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

/* Somebody comes, goes or has a new name. */
__attribute__((format(printf, 2, 3))) static void
note_locked(struct room *r, const char *format, ...)
{
	char text[2 * NAME_ROOM + 64];
	va_list ap;
	int len;

	if (r->is_closing)
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

/* --------------------------------------------------------- to one of them */

__attribute__((format(printf, 2, 3))) static void
tell_locked(struct member *m, const char *format, ...)
{
	char text[256];
	va_list ap;
	int len;

	va_start(ap, format);
	len = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	/* Who has not read so far that this fits need not know. */
	if (m->conn)
		(void)weir_conn_send(m->conn, text, (size_t)len);
}

static void tell_who_locked(struct room *r, struct member *me)
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
	if (me->conn)
		(void)weir_conn_send(me->conn, text, len);
}

/* ------------------------------------------------------- coming and going */

static int enter(weir_conn *c, void *arg)
{
	struct member *m = calloc(1, sizeof(*m));
	struct room *r = arg;

	if (m == NULL)
		return -ENOMEM;
	m->conn = weir_conn_ref(c);
	m->budget = BUDGET;
	m->budget_at = now_ns();
	weir_conn_set_data(c, m, free);
	pthread_mutex_lock(&r->lock);
	snprintf(m->name, sizeof(m->name), "guest %llu", ++r->guests);
	note_locked(r, "* %s has joined\n", m->name);
	m->heard = r->len;
	m->next = r->first;
	if (m->next)
		m->next->prev = m;
	r->first = m;
	r->count++;
	tell_locked(m, "* you are %s; /help says what you can do\n", m->name);
	tell_who_locked(r, m);
	spread_locked(r);
	pthread_mutex_unlock(&r->lock);
	return WEIR_AGAIN;
}

static void leave(weir_conn *c, void *arg)
{
	struct member *m = weir_conn_data(c);
	struct room *r = arg;

	if (m == NULL)
		return;
	pthread_mutex_lock(&r->lock);
	take_out(r, m);
	note_locked(r, "* %s has left\n", m->name);
	spread_locked(r);
	pthread_mutex_unlock(&r->lock);
}

/* -------------------------------------------------------------- the lines */

/* May it say so much to all?  It is told once that it may not. */
static bool has_budget_locked(struct member *m, size_t len)
{
	int64_t now = now_ns();
	int64_t more = (now - m->budget_at) * BUDGET_A_SECOND / 1000000000;

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
		tell_locked(m, "* that is too much at once: it is not passed "
			       "on until you pause\n");
	m->is_too_fast = true;
	return false;
}

/* mark: what stands before the name. */
static void say_locked(struct room *r, struct member *m, const char *mark,
		       const char *gap, const char *line, size_t len)
{
	char text[SAID_ROOM];
	size_t used = (size_t)snprintf(text, sizeof(text), "%s%s%s", mark,
				       m->name, gap);

	used += cli_escape(text + used, sizeof(text) - 1 - used, line, len,
			   CLI_KEEP_UTF8 | CLI_KEEP_LINES);
	text[used++] = '\n';
	if (!has_budget_locked(m, used))
		return;
	sum_up_locked(r);
	append_locked(r, text, used);
	spread_locked(r);
}

static bool is_taken_locked(const struct room *r, const struct member *by,
			    const char *skeleton)
{
	for (const struct member *m = r->first; m; m = m->next)
		if (m != by && strcmp(m->skeleton, skeleton) == 0)
			return true;
	return false;
}

static void take_name_locked(struct room *r, struct member *m, const char *name,
			     size_t len)
{
	const char *fault = room_name_fault(name, len);
	char old[NAME_ROOM], skeleton[NAME_ROOM];

	if (!fault && !has_budget_locked(m, sizeof(old) + len))
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
	note_locked(r, "* %s is now %s\n", old, m->name);
	spread_locked(r);
}

/* The rest of the line if it begins with this command; else NULL. */
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

static void obey_locked(struct room *r, struct member *m, const char *line,
			size_t len)
{
	const char *rest;
	size_t n;

	if ((rest = argument_of(line, len, "/name", &n)) != NULL)
		take_name_locked(r, m, rest, n);
	else if ((rest = argument_of(line, len, "/me", &n)) != NULL)
		say_locked(r, m, "- ", " ", rest, n);
	else if (argument_of(line, len, "/who", &n))
		tell_who_locked(r, m);
	else if (argument_of(line, len, "/help", &n))
		tell_locked(m, "* /name NAME  have another name\n"
			       "* /me WAVES   say what you do\n"
			       "* /who        see who is here\n"
			       "* anything else is said to all\n");
	else
		tell_locked(m, "* there is no such command; /help says which "
			       "there are\n");
}

static void take_line(struct room *r, struct member *m, const char *line,
		      size_t len)
{
	len = service_trim(line, len);
	pthread_mutex_lock(&r->lock);
	if (len > 0 && line[0] == '/')
		obey_locked(r, m, line, len);
	else
		say_locked(r, m, "", ": ", line, len);
	pthread_mutex_unlock(&r->lock);
}

/* Drop a line that is too long, as far as it is here; as the input calls. */
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

static ssize_t hear_line(weir_conn *c, struct room *r, struct member *m)
{
	char line[SERVICE_MESSAGE + 2]; /* newline, NUL */
	ssize_t n;

	if (m->is_skipping)
		return skip_line(c, m);
	n = weir_conn_read_line(c, line, sizeof(line));
	if (n > 0)
		take_line(r, m, line, (size_t)n);
	if (n != -EMSGSIZE)
		return n;
	m->is_skipping = true;
	pthread_mutex_lock(&r->lock);
	tell_locked(m,
		    "* a line has at most %d bytes; yours was not passed on\n",
		    SERVICE_MESSAGE);
	pthread_mutex_unlock(&r->lock);
	return 1;
}

static int close_room(weir_conn *c, struct room *r, struct member *m)
{
	pthread_mutex_lock(&r->lock);
	r->is_closing = true;
	catch_up_locked(r, m);
	pthread_mutex_unlock(&r->lock);
	return weir_conn_printf(c, "* the room closes\n");
}

static int hear(weir_conn *c, void *arg)
{
	struct member *m = weir_conn_data(c);
	struct room *r = arg;
	ssize_t n;

	if (weir_conn_why(c) == WEIR_DRAIN)
		return close_room(c, r, m);
	do
		n = hear_line(c, r, m);
	while (n > 0);
	if (n == 0) { /* it hears itself to the end */
		pthread_mutex_lock(&r->lock);
		catch_up_locked(r, m);
		pthread_mutex_unlock(&r->lock);
	}
	return (int)n;
}

/* ---------------------------------------------------------------- at start */

static int start(struct room *r)
{
	pthread_condattr_t monotonic;
	sigset_t all, before;
	pthread_t thread;
	int rc;

	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&r->has_text, &monotonic);
	pthread_condattr_destroy(&monotonic);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&thread, NULL, keep_time, r);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		pthread_detach(thread); /* it ends with the process */
	return -rc;
}

void svc_room(struct weir_service *ret, const struct options *o)
{
	struct room *r = calloc(1, sizeof(*r));
	int rc = r ? start(r) : -ENOMEM;

	(void)o;
	if (rc < 0) {
		cli_error("cannot make a room: %s", weir_strerror(rc));
		exit(CLI_FAILED);
	}
	r->next = rooms;
	rooms = r;
	ret->opened = enter;
	ret->readable = hear;
	ret->closed = leave;
	ret->arg = r;
}
