/* SPDX-License-Identifier: MIT */
/*
 * The room service: a chat among all who are connected to one listener.
 *
 * Each line of a member goes to every member, its author too, with the name
 * in front; notices begin with "* ".  A member is "guest N" until it says
 * "/name NAME".
 *
 * `opened` enters a member, `closed` takes it out.  The room's lock is held
 * while a text is given to all members: that is what makes everybody read the
 * same lines in the same order.  It is held for no wait, because
 * weir_conn_send() has none, and not once for each line, because all lines
 * that a client has sent by now go out as one text.  Who does not read fills
 * its own outbox and is cut; the others do not notice.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cli/cli.h"
#include "journal.h"
#include "services.h"

#define NAME_LEN 32
#define TEXT_LEN ((size_t)16 * 1024) /* of the lines that go out at once */

struct member {
	struct member *prev, *next;
	weir_conn *conn; /* with a reference; NULL: it has been taken out */
	char name[NAME_LEN + 1]; /* written by its own handler alone */
};

/* All of it under the lock. */
struct room {
	struct room *next;
	pthread_mutex_t lock;
	struct member *first;
	unsigned long long guests; /* so far */
	bool is_closing;	   /* the server stops: nobody need be told */
};

/* The lines of one call. */
struct text {
	size_t len;
	char bytes[TEXT_LEN];
};

static struct room *rooms; /* one for each listener, as long as we live */

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
	weir_conn_unref(m->conn);
	m->conn = NULL;
}

static void tell_all_locked(struct room *r, const char *text, size_t len)
{
	struct member *m, *next;

	for (m = r->first; m; m = next) {
		int rc = weir_conn_send(m->conn, text, len);

		next = m->next;
		if (rc == 0 || rc == -EPIPE) /* it is leaving */
			continue;
		journal(WEIR_LOG_INFO,
			"connection %llu does not read what the room says: %s",
			(unsigned long long)weir_conn_id(m->conn),
			weir_strerror(rc));
		weir_conn_cancel(m->conn);
		take_out(r, m);
	}
}

__attribute__((format(printf, 2, 3))) static void
note_locked(struct room *r, const char *format, ...)
{
	char text[2 * NAME_LEN + 64];
	va_list ap;
	int len;

	if (r->is_closing)
		return;
	va_start(ap, format);
	len = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	tell_all_locked(r, text, (size_t)len);
}

static int enter(weir_conn *c, void *arg)
{
	struct member *m = calloc(1, sizeof(*m));
	struct room *r = arg;
	char text[64];
	int len;

	if (m == NULL)
		return -ENOMEM;
	m->conn = weir_conn_ref(c);
	weir_conn_set_data(c, m, free);
	pthread_mutex_lock(&r->lock);
	snprintf(m->name, sizeof(m->name), "guest %llu", ++r->guests);
	note_locked(r, "* %s has joined\n", m->name);
	m->next = r->first;
	if (m->next)
		m->next->prev = m;
	r->first = m;
	len = snprintf(text, sizeof(text), "* you are %s\n", m->name);
	weir_conn_send(c, text, (size_t)len);
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
	pthread_mutex_unlock(&r->lock);
}

/* NULL: it may be had; else why not. */
static const char *fault_of_locked(struct room *r, const char *name, size_t len)
{
	if (len < 1 || len > NAME_LEN)
		return "* a name has 1 to 32 bytes\n";
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f)
			return "* a name has no blanks\n";
	for (struct member *m = r->first; m; m = m->next)
		if (strlen(m->name) == len && memcmp(m->name, name, len) == 0)
			return "* somebody has that name\n";
	return NULL;
}

static void take_name(weir_conn *c, struct room *r, const char *name,
		      size_t len)
{
	struct member *m = weir_conn_data(c);
	const char *fault;
	char old[NAME_LEN + 1];

	pthread_mutex_lock(&r->lock);
	fault = fault_of_locked(r, name, len);
	if (fault) {
		weir_conn_send(c, fault, strlen(fault));
	} else {
		strcpy(old, m->name);
		memcpy(m->name, name, len);
		m->name[len] = '\0';
		note_locked(r, "* %s is now %s\n", old, m->name);
	}
	pthread_mutex_unlock(&r->lock);
}

static void say(struct room *r, struct text *t)
{
	if (t->len == 0)
		return;
	pthread_mutex_lock(&r->lock);
	tell_all_locked(r, t->bytes, t->len);
	pthread_mutex_unlock(&r->lock);
	t->len = 0;
}

static void take_line(weir_conn *c, struct room *r, struct text *t,
		      const char *line, size_t len)
{
	static const char command[] = "/name ";
	const size_t command_len = sizeof(command) - 1;
	struct member *m = weir_conn_data(c);
	size_t name_len = strlen(m->name);

	len = service_trim(line, len);
	if (len >= command_len && memcmp(line, command, command_len) == 0) {
		say(r, t); /* under the old name */
		take_name(c, r, line + command_len, len - command_len);
		return;
	}
	memcpy(t->bytes + t->len, m->name, name_len);
	t->len += name_len;
	t->bytes[t->len++] = ':';
	t->bytes[t->len++] = ' ';
	memcpy(t->bytes + t->len, line, len);
	t->len += len;
	t->bytes[t->len++] = '\n';
}

static int close_room(weir_conn *c, struct room *r)
{
	pthread_mutex_lock(&r->lock);
	r->is_closing = true;
	pthread_mutex_unlock(&r->lock);
	return weir_conn_printf(c, "* the room closes\n");
}

static int hear(weir_conn *c, void *arg)
{
	struct room *r = arg;
	struct text text = { .len = 0 };
	char line[SERVICE_MESSAGE + 2]; /* newline, NUL */
	ssize_t n;

	if (weir_conn_why(c) == WEIR_DRAIN)
		return close_room(c, r);
	do {
		n = weir_conn_read_line(c, line, sizeof(line));
		if (n > 0)
			take_line(c, r, &text, line, (size_t)n);
	} while (n > 0 && TEXT_LEN - text.len >= NAME_LEN + 3 + sizeof(line));
	say(r, &text);
	if (n == -EMSGSIZE)
		return weir_conn_printf(c, "* a line has at most %d bytes\n",
					SERVICE_MESSAGE);
	return n > 0 ? WEIR_AGAIN : (int)n;
}

void svc_room(struct weir_service *ret, const struct options *o)
{
	struct room *r = calloc(1, sizeof(*r));

	(void)o;
	if (r == NULL) {
		cli_error("out of memory");
		exit(CLI_FAILED);
	}
	pthread_mutex_init(&r->lock, NULL);
	r->next = rooms;
	rooms = r;
	ret->opened = enter;
	ret->readable = hear;
	ret->closed = leave;
	ret->arg = r;
}
