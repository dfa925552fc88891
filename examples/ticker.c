/* SPDX-License-Identifier: MIT */
/*
 * Sending from another thread: a thread of the program counts and sends each
 * number to all connected clients.
 *
 *	ticker [ADDRESS [MILLISECONDS]]		default 127.0.0.1:1236 1000
 *
 * The clients are in a list, which holds a reference to each.  `opened` adds a
 * connection, `closed` removes it.  weir_ref_send() does not wait: a client
 * that does not read fills its own outbox and is cut, and the others are not
 * delayed.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <weir.h>

struct member {
	struct member *prev, *next;
	weir_ref *ref;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t stop;
	bool is_stopping;
	struct member *first;
	long interval_ms;
} room = { .lock = PTHREAD_MUTEX_INITIALIZER,
	   .stop = PTHREAD_COND_INITIALIZER };

static int enter(weir_conn *c, void *arg)
{
	struct member *m = malloc(sizeof *m);

	(void)arg;
	if (m == NULL)
		return -ENOMEM;
	m->ref = weir_conn_ref(c);
	m->prev = NULL;
	weir_conn_set_data(c, m, free);
	pthread_mutex_lock(&room.lock);
	m->next = room.first;
	if (m->next)
		m->next->prev = m;
	room.first = m;
	pthread_mutex_unlock(&room.lock);
	return WEIR_AGAIN;
}

static void leave(weir_conn *c, void *arg)
{
	struct member *m = weir_conn_data(c);

	(void)arg;
	if (m == NULL)
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

/* Discard input; close when it ends. */
static int ignore(weir_conn *c, void *arg)
{
	char waste[512];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read(c, waste, sizeof waste)) > 0)
		;
	return (int)n;
}

static void tell_all(unsigned long count)
{
	char text[32];
	int len = snprintf(text, sizeof text, "tick %lu\n", count);

	for (struct member *m = room.first; m; m = m->next)
		if (weir_ref_send(m->ref, text, (size_t)len) == -ENOBUFS)
			weir_ref_cancel(m->ref);
}

static void *tick(void *arg)
{
	struct timespec at;
	unsigned long count = 0;

	(void)arg;
	clock_gettime(CLOCK_REALTIME, &at);
	pthread_mutex_lock(&room.lock);
	while (!room.is_stopping) {
		at.tv_nsec += room.interval_ms % 1000 * 1000000;
		at.tv_sec += room.interval_ms / 1000 + at.tv_nsec / 1000000000;
		at.tv_nsec %= 1000000000;
		while (!room.is_stopping &&
		       pthread_cond_timedwait(&room.stop, &room.lock, &at) == 0)
			;
		if (!room.is_stopping)
			tell_all(++count);
	}
	pthread_mutex_unlock(&room.lock);
	return NULL;
}

static int serve(const char *where)
{
	char text[128];
	weir_server *s;
	int rc = weir_server_new(&s, NULL);

	if (rc < 0)
		return rc;
	rc = weir_server_listen(s, where,
				WEIR_SERVICE(.readable = ignore,
					     .opened = enter, .closed = leave,
					     .first_byte_ms = WEIR_NEVER,
					     .idle_ms = WEIR_NEVER));
	if (rc >= 0)
		rc = weir_server_address(s, rc, text, sizeof text);
	if (rc >= 0) {
		printf("ticking at %s\n", text);
		fflush(stdout);
		rc = weir_server_run(s, WEIR_SIGNALS);
	}
	weir_server_free(s);
	return rc;
}

int main(int argc, char **argv)
{
	const char *where = argc > 1 ? argv[1] : "127.0.0.1:1236";
	pthread_t ticker;
	sigset_t set;
	int rc;

	room.interval_ms = argc > 2 ? atol(argv[2]) : 1000;
	if (room.interval_ms <= 0) {
		fprintf(stderr, "ticker: %s: not a number of milliseconds\n",
			argv[2]);
		return 2;
	}
	/* Signals are for weir_server_run(), so no other thread takes them. */
	sigfillset(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (pthread_create(&ticker, NULL, tick, NULL) != 0)
		return 1;
	rc = serve(where);
	if (rc < 0)
		fprintf(stderr, "ticker: %s: %s\n", where, weir_strerror(rc));
	pthread_mutex_lock(&room.lock);
	room.is_stopping = true;
	pthread_cond_signal(&room.stop);
	pthread_mutex_unlock(&room.lock);
	pthread_join(ticker, NULL);
	return rc < 0;
}
