/* SPDX-License-Identifier: MIT */
/*
 * Clients that ask as fast as they are answered, until nobody is there to
 * ask, and keep books.  Churning ones connect for each question; keeping ones
 * stay.  A question is "q\n", its answer "q\n"; a churning client then ends
 * its output and expects the end of input.
 *
 * A question counts as asked before the stop if its last byte was handed to
 * the kernel by then: over loopback it is in the server's socket at once.
 */
#include "test.h"

#include <time.h>

struct load {
	const char *address;
	int threads;
	pthread_t *ids;
	atomic_llong stop_at; /* ns; INT64_MAX until it is known */
	atomic_ullong answered;
	pthread_mutex_t lock;
	struct load_books books;
};

struct asker {
	struct load *load;
	int fd;
	struct load_books books;
};

static long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static bool was_reset(int error)
{
	return error == ECONNRESET || error == EPIPE;
}

/* Books what is not an answer; the asker gives this connection up. */
static bool goes_without(struct asker *a, long long asked_at, int error)
{
	bool in_time = asked_at < atomic_load(&a->load->stop_at);

	if (was_reset(error))
		a->books.reset++;
	else if (error)
		a->books.odd++;
	if (in_time)
		a->books.lost++;
	else if (!error)
		a->books.late++;
	return false;
}

/* What is there instead of an answer is a refusal: read to its end. */
static bool asks(struct asker *a)
{
	char answer[64];
	long long asked_at;
	size_t have = 0;
	ssize_t n;

	if (send(a->fd, "q\n", 2, MSG_NOSIGNAL) != 2)
		return goes_without(a, now_ns(), errno);
	asked_at = now_ns();
	while (have != 2 || memcmp(answer, "q\n", 2) != 0) {
		if (have == sizeof(answer)) {
			a->books.odd++;
			return false;
		}
		n = recv(a->fd, answer + have, sizeof(answer) - have, 0);
		if (n <= 0)
			return goes_without(a, asked_at, n < 0 ? errno : 0);
		have += (size_t)n;
	}
	a->books.answered++;
	atomic_fetch_add(&a->load->answered, 1);
	return true;
}

/* After the answer the end of input must come, and no reset. */
static void leaves(struct asker *a)
{
	char more[8];
	ssize_t n;

	shutdown(a->fd, SHUT_WR);
	n = recv(a->fd, more, sizeof(more), 0);
	if (n < 0 && was_reset(errno))
		a->books.reset++;
	else if (n != 0)
		a->books.odd++;
}

static struct client *connects(struct asker *a)
{
	struct client *c = client_new(a->load->address, 0);
	int rc = client_connects(c, a->load->address);

	if (rc == 0) {
		a->fd = c->fd;
		a->books.connected++;
		return c;
	}
	client_closes(c);
	if (rc == -ECONNREFUSED || rc == -ENOENT) /* a path that is gone */
		a->books.refused++;
	else if (was_reset(-rc))
		a->books.reset++;
	else
		a->books.odd++;
	return NULL;
}

static void books_join(struct asker *a)
{
	struct load_books *all = &a->load->books;
	const struct load_books *mine = &a->books;

	pthread_mutex_lock(&a->load->lock);
	all->connected += mine->connected;
	all->refused += mine->refused;
	all->answered += mine->answered;
	all->lost += mine->lost;
	all->late += mine->late;
	all->reset += mine->reset;
	all->odd += mine->odd;
	pthread_mutex_unlock(&a->load->lock);
}

static void *churns(void *arg)
{
	struct asker a = { .load = arg };
	struct client *c;

	while ((c = connects(&a))) {
		if (asks(&a))
			leaves(&a);
		client_closes(c);
	}
	books_join(&a);
	return NULL;
}

static void *keeps(void *arg)
{
	struct asker a = { .load = arg };
	struct client *c = connects(&a);

	if (c) {
		while (asks(&a))
			;
		client_closes(c);
	}
	books_join(&a);
	return NULL;
}

struct load *load_starts(const char *address, int churning, int keeping)
{
	struct load *l = calloc(1, sizeof(*l));

	ck_assert_ptr_nonnull(l);
	l->address = address;
	l->threads = churning + keeping;
	l->ids = calloc((size_t)l->threads, sizeof(*l->ids));
	ck_assert_ptr_nonnull(l->ids);
	atomic_store(&l->stop_at, INT64_MAX);
	pthread_mutex_init(&l->lock, NULL);
	for (int i = 0; i < l->threads; i++)
		ck_assert_int_eq(pthread_create(&l->ids[i], NULL,
						i < churning ? churns : keeps,
						l),
				 0);
	return l;
}

uint64_t load_answered(struct load *l)
{
	return atomic_load(&l->answered);
}

void load_stop_is_next(struct load *l)
{
	atomic_store(&l->stop_at, now_ns());
}

struct load_books load_ends(struct load *l)
{
	struct load_books books;

	for (int i = 0; i < l->threads; i++)
		pthread_join(l->ids[i], NULL);
	books = l->books;
	pthread_mutex_destroy(&l->lock);
	free(l->ids);
	free(l);
	return books;
}
