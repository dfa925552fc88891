/* SPDX-License-Identifier: MIT */
/*
 * A server in front of a library whose calls block.  Each request is a job for
 * threads of the program, and no worker waits for it.
 *
 *	store [ADDRESS [MILLISECONDS]]		default 127.0.0.1:1237 10
 *
 * "add N" adds N, by default 1, to a sum and answers with the sum.  Each call
 * takes some milliseconds, as a database on a disk may.
 *
 * A connection is paused while its job runs.  So answers have the order of the
 * requests, a client that sends faster has to wait, and a client that ends its
 * input gets all answers.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <weir.h>

#define JOBS_MAX 1000 /* that wait; further requests get "busy" */
#define THREADS	 8

struct job {
	struct job *next;
	weir_ref *ref;
	char line[80];
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct job *first, **end;
	int count;
	bool is_over;
} jobs = { .lock = PTHREAD_MUTEX_INITIALIZER,
	   .changed = PTHREAD_COND_INITIALIZER,
	   .end = &jobs.first };
static long call_ms = 10;

/* Returns 0; -ERANGE if a number is too large. */
static int add(long long *sum, const char *line)
{
	const char *number = strncmp(line, "add", 3) == 0 ? line + 3 : "";
	long long n, new_sum;
	char *end;

	errno = 0;
	n = strtoll(number, &end, 10);
	if (end == number)
		n = 1;
	if (errno == ERANGE || __builtin_add_overflow(*sum, n, &new_sum))
		return -ERANGE;
	*sum = new_sum;
	return 0;
}

/* The library that blocks: it takes a request and writes an answer. */
static int query(const char *line, char *answer, size_t cap)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static long long sum;
	const struct timespec time = { call_ms / 1000,
				       call_ms % 1000 * 1000000 };
	int len;

	nanosleep(&time, NULL);
	pthread_mutex_lock(&lock);
	if (add(&sum, line) == 0)
		len = snprintf(answer, cap, "%lld\n", sum);
	else
		len = snprintf(answer, cap, "too large\n");
	pthread_mutex_unlock(&lock);
	return len;
}

/* -EBUSY: too many jobs wait. */
static int submit(struct job *j)
{
	int rc = 0;

	pthread_mutex_lock(&jobs.lock);
	if (jobs.count == JOBS_MAX) {
		rc = -EBUSY;
	} else {
		jobs.count++;
		*jobs.end = j;
		jobs.end = &j->next;
		pthread_cond_signal(&jobs.changed);
	}
	pthread_mutex_unlock(&jobs.lock);
	return rc;
}

/* NULL: no more. */
static struct job *take(void)
{
	struct job *j;

	pthread_mutex_lock(&jobs.lock);
	while (jobs.first == NULL && !jobs.is_over)
		pthread_cond_wait(&jobs.changed, &jobs.lock);
	j = jobs.first;
	if (j) {
		jobs.count--;
		jobs.first = j->next;
		if (jobs.first == NULL)
			jobs.end = &jobs.first;
	}
	pthread_mutex_unlock(&jobs.lock);
	return j;
}

static void finish(struct job *j)
{
	weir_ref_unref(j->ref);
	free(j);
}

static void *work(void *arg)
{
	char answer[80];
	struct job *j;

	(void)arg;
	while ((j = take()) != NULL) {
		int len = query(j->line, answer, sizeof answer);

		/* No error matters: the client may have gone. */
		weir_ref_send(j->ref, answer, (size_t)len);
		weir_ref_wake(j->ref);
		finish(j);
	}
	return NULL;
}

static int serve(weir_conn *c, void *arg)
{
	static char busy; /* the data of a connection whose job runs */
	struct job *j;
	ssize_t n;

	(void)arg;
	if (weir_conn_why(c) == WEIR_DRAIN && weir_conn_data(c))
		return WEIR_PAUSE;
	weir_conn_set_data(c, NULL, NULL);
	for (;;) {
		j = calloc(1, sizeof *j);
		if (j == NULL)
			return -ENOMEM;
		n = weir_conn_read_line(c, j->line, sizeof j->line);
		if (n <= 0)
			break;
		j->ref = weir_conn_ref(c);
		if (submit(j) == 0) {
			weir_conn_set_data(c, &busy, NULL);
			return WEIR_PAUSE;
		}
		n = weir_conn_printf(c, "busy\n");
		if (n < 0)
			break;
		finish(j);
	}
	finish(j);
	return (int)n;
}

static int run(const char *where)
{
	char text[128];
	weir_server *s;
	int rc = weir_server_new(&s, NULL);

	if (rc < 0)
		return rc;
	rc = weir_server_listen(s, where, WEIR_SERVICE(.readable = serve));
	if (rc >= 0)
		rc = weir_server_address(s, rc, text, sizeof text);
	if (rc >= 0) {
		printf("answering at %s\n", text);
		fflush(stdout);
		rc = weir_server_run(s, WEIR_SIGNALS);
	}
	weir_server_free(s);
	return rc;
}

int main(int argc, char **argv)
{
	const char *where = argc > 1 ? argv[1] : "127.0.0.1:1237";
	pthread_t threads[THREADS];
	int count = 0, rc;
	sigset_t set;

	if (argc > 2)
		call_ms = atol(argv[2]);
	/* Signals are for weir_server_run(), so no other thread takes them. */
	sigfillset(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	while (count < THREADS &&
	       pthread_create(&threads[count], NULL, work, NULL) == 0)
		count++;
	rc = count > 0 ? run(where) : -EAGAIN;
	if (rc < 0)
		fprintf(stderr, "store: %s: %s\n", where, weir_strerror(rc));
	pthread_mutex_lock(&jobs.lock);
	jobs.is_over = true;
	pthread_cond_broadcast(&jobs.changed);
	pthread_mutex_unlock(&jobs.lock);
	while (count > 0)
		pthread_join(threads[--count], NULL);
	return rc < 0;
}
