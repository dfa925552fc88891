/* SPDX-License-Identifier: MIT */
/*
 * Step 5: a chat room with notices, a limit for slow members, and a stop.
 *
 *	step5_room [ADDRESS]
 *
 * One lock orders all lines and notices, so that all members read the same.
 * Only weir_ref_send() is called under it, which does not wait: a member that
 * does not read fills its own outbox and is cut, and delays nobody.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir.h>

struct member {
	struct member *prev, *next; /* under the room's lock */
	weir_ref *ref;		    /* a reference; NULL: not in the room */
	char name[32];
};

static struct {
	pthread_mutex_t lock;
	struct member *first;
	int is_closing;
} room = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---------------------------------------------- with the room's lock held */

static void tell_all_locked(const char *format, ...)
{
	char text[640];
	va_list ap;
	int len;

	va_start(ap, format);
	len = vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	for (struct member *m = room.first; m; m = m->next)
		if (weir_ref_send(m->ref, text, (size_t)len) == -ENOBUFS)
			weir_ref_cancel(m->ref);
}

static int is_taken_locked(const char *name)
{
	struct member *m = room.first;

	while (m && strcmp(m->name, name) != 0)
		m = m->next;
	return m != NULL;
}

static void enter_locked(struct member *m, weir_conn *c, const char *name)
{
	strcpy(m->name, name);
	m->ref = weir_conn_ref(c);
	m->next = room.first;
	if (m->next)
		m->next->prev = m;
	room.first = m;
	tell_all_locked("* %s has come\n", m->name);
}

static void leave_locked(struct member *m)
{
	if (m->next)
		m->next->prev = m->prev;
	if (m->prev)
		m->prev->next = m->next;
	else
		room.first = m->next;
	if (!room.is_closing)
		tell_all_locked("* %s has gone\n", m->name);
}

/* -------------------------------------------------------------- callbacks */

static int ask_name(weir_conn *c, void *arg)
{
	struct member *m = calloc(1, sizeof *m);
	int rc;

	(void)arg;
	if (m == NULL)
		return -ENOMEM;
	weir_conn_set_data(c, m, free);
	rc = weir_conn_printf(c, "Your name?\n");
	return rc < 0 ? rc : WEIR_AGAIN;
}

static int take_name(weir_conn *c, struct member *m, const char *name)
{
	int is_taken;

	if (!name[0] || strlen(name) >= sizeof m->name)
		return weir_conn_printf(c, "A name has 1 to %zu bytes.\n",
					sizeof m->name - 1);
	pthread_mutex_lock(&room.lock);
	is_taken = is_taken_locked(name);
	if (!is_taken)
		enter_locked(m, c, name);
	pthread_mutex_unlock(&room.lock);
	return is_taken ? weir_conn_printf(c, "%s is here already.\n", name)
			: 0;
}

/* So that no member can send control sequences to another's terminal. */
static void clean(char *line)
{
	line[strcspn(line, "\r\n")] = '\0';
	for (; *line; line++)
		if ((unsigned char)*line < ' ' || *line == 0x7f)
			*line = '?';
}

/* When the server stops: say so, and do not announce each departure. */
static int close_room(weir_conn *c)
{
	pthread_mutex_lock(&room.lock);
	room.is_closing = 1;
	pthread_mutex_unlock(&room.lock);
	return weir_conn_printf(c, "* the room closes\n");
}

static int hear(weir_conn *c, void *arg)
{
	struct member *m = weir_conn_data(c);
	char line[512];
	ssize_t n;
	int rc = 0;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof line)) > 0) {
		clean(line);
		if (m->ref == NULL) {
			rc = take_name(c, m, line);
		} else {
			pthread_mutex_lock(&room.lock);
			tell_all_locked("<%s> %s\n", m->name, line);
			pthread_mutex_unlock(&room.lock);
		}
		if (rc < 0)
			return rc;
	}
	return n == -ESHUTDOWN ? close_room(c) : (int)n;
}

static void leave(weir_conn *c, void *arg)
{
	struct member *m = weir_conn_data(c);

	(void)arg;
	if (m == NULL || m->ref == NULL)
		return;
	pthread_mutex_lock(&room.lock);
	leave_locked(m);
	pthread_mutex_unlock(&room.lock);
	weir_ref_unref(m->ref);
}

/* ------------------------------------------------------------ the server */

static void log_line(int level, const char *line, void *arg)
{
	(void)arg;
	(void)level;
	fprintf(stderr, "%s\n", line);
}

static int serve(weir_server *s, const char *where)
{
	char text[128];
	int rc = weir_server_listen(
		s, where,
		WEIR_SERVICE(.opened = ask_name, .readable = hear,
			     .closed = leave, .outbox_mark = 64 * 1024,
			     .first_byte_ms = 60000, .idle_ms = WEIR_NEVER));

	if (rc >= 0)
		rc = weir_server_address(s, rc, text, sizeof text);
	if (rc < 0)
		return rc;
	printf("serving at %s\n", text);
	fflush(stdout);
	return weir_server_run(s, WEIR_SIGNALS);
}

int main(int argc, char **argv)
{
	const char *where = argc > 1 ? argv[1] : "127.0.0.1:1237";
	weir_server *s;
	int rc =
		weir_server_new(&s, WEIR_CONFIG(.workers = 4, .log = log_line));

	if (rc < 0)
		return 1;
	rc = serve(s, where);
	weir_server_free(s);
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", where, weir_strerror(rc));
	return rc < 0;
}
