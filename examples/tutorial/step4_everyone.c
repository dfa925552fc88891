/* SPDX-License-Identifier: MIT */
/* Step 4: lines go to all members.	step4_everyone [ADDRESS] */
#include <errno.h>
#include <pthread.h>
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
} room = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void tell_all(const char *text)
{
	pthread_mutex_lock(&room.lock);
	for (struct member *m = room.first; m; m = m->next)
		weir_ref_send(m->ref, text, strlen(text)); /* never waits */
	pthread_mutex_unlock(&room.lock);
}

static void enter(struct member *m, weir_conn *c)
{
	m->ref = weir_conn_ref(c);
	pthread_mutex_lock(&room.lock);
	m->next = room.first;
	if (m->next)
		m->next->prev = m;
	room.first = m;
	pthread_mutex_unlock(&room.lock);
}

static void leave(weir_conn *c, void *arg)
{
	struct member *m = weir_conn_data(c);

	(void)arg;
	if (m == NULL || m->ref == NULL)
		return;
	pthread_mutex_lock(&room.lock);
	if (m->next)
		m->next->prev = m->prev;
	if (m->prev)
		m->prev->next = m->next;
	else
		room.first = m->next;
	pthread_mutex_unlock(&room.lock);
	weir_ref_unref(m->ref);
}

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
	if (!name[0] || strlen(name) >= sizeof m->name)
		return weir_conn_printf(c, "A name has 1 to %zu bytes.\n",
					sizeof m->name - 1);
	strcpy(m->name, name);
	enter(m, c);
	return 0;
}

static int hear(weir_conn *c, void *arg)
{
	struct member *m = weir_conn_data(c);
	char line[512], text[600];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof line)) > 0) {
		line[strcspn(line, "\r\n")] = '\0';
		if (m->name[0]) {
			snprintf(text, sizeof text, "<%s> %s\n", m->name, line);
			tell_all(text);
		} else {
			int rc = take_name(c, m, line);

			if (rc < 0)
				return rc;
		}
	}
	return (int)n;
}

static void log_line(int level, const char *line, void *arg)
{
	(void)arg;
	(void)level;
	fprintf(stderr, "%s\n", line);
}

static int serve(weir_server *s, const char *where)
{
	char text[128];
	int rc = weir_server_listen(s, where,
				    WEIR_SERVICE(.opened = ask_name,
						 .readable = hear,
						 .closed = leave));

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
