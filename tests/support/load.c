/* SPDX-License-Identifier: MIT */
/*
 * Clients that ask as fast as they are answered, until the server is gone, and
 * count.  Churning ones connect for each question; keeping ones stay.  A
 * question is "q\n", its answer "q\n"; a churning client then ends its output
 * and expects the end of input.  A group is driven by one thread that asks on
 * all connections before it reads from any.
 *
 * A question counts as asked before the stop if the kernel had its last byte by
 * then: over loopback it is in the server's socket at once.
 */
#include "test.h"

#include <poll.h>
#include <time.h>

struct load {
	const char *address;
	int threads;
	pthread_t *ids;
	atomic_llong stop_at; /* ns; INT64_MAX: not yet */
	atomic_ullong answered, connected, failed;
	pthread_mutex_t lock;
	struct load_counts counts;
};

/*
 * A server that has ended a connection lingers for half a second.  So a
 * question that is sent later than PROMPT_NS after the previous answer counts
 * nowhere, unless it was asked before the stop.  The time that the server takes
 * to answer is no part of it: the asker looks every LOOK_MS for the answer.
 */
#define PROMPT_NS 400000000LL
#define LOOK_MS	  10

struct question {
	long long looked_at; /* when no answer, or no connection, was there */
	long long asked_at;
	bool is_prompt;
};

struct asker {
	struct load *load;
	int fd;
	struct question q;
	struct load_counts counts;
	uint64_t failed; /* of its counts: as told to the load */
};

struct group_asker {
	struct asker a;
	int open, count, pause_ms;
	struct member {
		struct client *client; /* NULL: gone */
		struct question q;
	} members[];
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

/* Count a question without an answer; the connection is given up. */
static bool count_loss(struct asker *a, int error)
{
	bool in_time = a->q.asked_at < atomic_load(&a->load->stop_at);

	if (was_reset(error))
		a->counts.reset += in_time || a->q.is_prompt;
	else if (error)
		a->counts.odd++;
	if (in_time)
		a->counts.lost++;
	else if (!a->q.is_prompt)
		a->counts.slow++;
	else if (!error)
		a->counts.late++;
	return false;
}

static bool asker_send(struct asker *a)
{
	long long began_at = now_ns();
	ssize_t n = send(a->fd, "q\n", 2, MSG_NOSIGNAL);
	int error = errno;

	a->q.asked_at = now_ns();
	a->q.is_prompt = a->q.asked_at - a->q.looked_at < PROMPT_NS;
	a->q.looked_at = began_at;
	return n == 2 || count_loss(a, error);
}

static ssize_t asker_read(struct asker *a, char *buf, size_t cap)
{
	struct pollfd input = { .fd = a->fd, .events = POLLIN };
	int64_t fail_at = test_deadline();
	long long at = now_ns();

	while (poll(&input, 1, LOOK_MS) <= 0 && now_ms() < fail_at) {
		a->q.looked_at = at;
		at = now_ns();
	}
	return recv(a->fd, buf, cap, MSG_DONTWAIT);
}

/* Anything else than the answer is a refusal: read to its end. */
static bool asker_receive(struct asker *a)
{
	char answer[64];
	size_t have = 0;
	ssize_t n;

	while (have != 2 || memcmp(answer, "q\n", 2) != 0) {
		if (have == sizeof(answer)) {
			a->counts.odd++;
			return false;
		}
		n = asker_read(a, answer + have, sizeof(answer) - have);
		if (n <= 0)
			return count_loss(a, n < 0 ? errno : 0);
		have += (size_t)n;
	}
	a->counts.answered++;
	atomic_fetch_add(&a->load->answered, 1);
	return true;
}

static bool asker_ask(struct asker *a)
{
	return asker_send(a) && asker_receive(a);
}

/* After the answer the end of input must come, not a reset. */
static void asker_leave(struct asker *a)
{
	bool is_prompt;
	char more[8];
	ssize_t n;

	shutdown(a->fd, SHUT_WR);
	is_prompt = now_ns() - a->q.looked_at < PROMPT_NS;
	n = asker_read(a, more, sizeof(more));
	if (n < 0 && was_reset(errno))
		a->counts.reset += is_prompt;
	else if (n != 0)
		a->counts.odd++;
}

static struct client *asker_connect(struct asker *a)
{
	struct client *c = client_new(a->load->address, 0);
	int rc;

	a->q.looked_at = now_ns();
	rc = client_connect(c, a->load->address);
	if (rc == 0) {
		a->fd = c->fd;
		a->counts.connected++;
		atomic_fetch_add(&a->load->connected, 1);
		return c;
	}
	client_close(c);
	if (rc == -ECONNREFUSED || rc == -ENOENT) /* a removed path */
		a->counts.refused++;
	else if (was_reset(-rc))
		a->counts.reset++;
	else
		a->counts.odd++;
	return NULL;
}

void load_counts_add(struct load_counts *all, const struct load_counts *b)
{
	all->connected += b->connected;
	all->refused += b->refused;
	all->answered += b->answered;
	all->lost += b->lost;
	all->late += b->late;
	all->slow += b->slow;
	all->reset += b->reset;
	all->odd += b->odd;
}

static void counts_join(struct asker *a)
{
	pthread_mutex_lock(&a->load->lock);
	load_counts_add(&a->load->counts, &a->counts);
	pthread_mutex_unlock(&a->load->lock);
}

static void tell_failures(struct asker *a)
{
	uint64_t failed = a->counts.refused + a->counts.lost + a->counts.late +
			  a->counts.reset + a->counts.odd;

	atomic_fetch_add(&a->load->failed, failed - a->failed);
	a->failed = failed;
}

static void *churn(void *arg)
{
	struct asker a = { .load = arg };
	struct client *c;

	while ((c = asker_connect(&a))) {
		if (asker_ask(&a))
			asker_leave(&a);
		client_close(c);
		tell_failures(&a);
	}
	tell_failures(&a);
	counts_join(&a);
	return NULL;
}

static void *keep_asking(void *arg)
{
	struct asker a = { .load = arg };
	struct client *c = asker_connect(&a);

	if (c) {
		while (asker_ask(&a))
			;
		client_close(c);
	}
	counts_join(&a);
	return NULL;
}

static void group_do(struct group_asker *c, struct member *m,
		     bool (*act)(struct asker *a))
{
	if (!m->client)
		return;
	c->a.fd = m->client->fd;
	c->a.q = m->q;
	if (!act(&c->a)) {
		client_close(m->client);
		m->client = NULL;
		c->open--;
	}
	m->q = c->a.q;
}

static void *ask_as_group(void *arg)
{
	struct group_asker *c = arg;

	while (c->open > 0) {
		for (int i = 0; i < c->count; i++)
			group_do(c, &c->members[i], asker_send);
		for (int i = 0; i < c->count; i++)
			group_do(c, &c->members[i], asker_receive);
		for (int i = 0; i < c->pause_ms; i++)
			poll_sleep();
	}
	counts_join(&c->a);
	free(c);
	return NULL;
}

static void add_thread(struct load *l, void *(*fn)(void *), void *arg)
{
	ck_assert_int_eq(pthread_create(&l->ids[l->threads++], NULL, fn, arg),
			 0);
}

static void add_group(struct load *l, int count, int pause_ms)
{
	struct group_asker *c =
		calloc(1, sizeof(*c) + (size_t)count * sizeof(c->members[0]));

	ck_assert_ptr_nonnull(c);
	*c = (struct group_asker){ .a = { .load = l },
				   .open = count,
				   .count = count,
				   .pause_ms = pause_ms };
	for (int i = 0; i < count; i++) {
		c->members[i].client = asker_connect(&c->a);
		ck_assert_ptr_nonnull(c->members[i].client);
		c->members[i].q = c->a.q;
	}
	add_thread(l, ask_as_group, c);
}

static struct load *load_new(const char *address, int threads)
{
	struct load *l = calloc(1, sizeof(*l));

	ck_assert_ptr_nonnull(l);
	l->address = address;
	l->ids = calloc((size_t)threads, sizeof(*l->ids));
	ck_assert_ptr_nonnull(l->ids);
	atomic_store(&l->stop_at, INT64_MAX);
	pthread_mutex_init(&l->lock, NULL);
	return l;
}

struct load *load_start(const char *address, int churning, int keeping)
{
	struct load *l = load_new(address, churning + keeping);

	for (int i = 0; i < churning + keeping; i++)
		add_thread(l, i < churning ? churn : keep_asking, l);
	return l;
}

struct load *load_start_with_group(const char *address, int churning, int count,
				   int pause_ms)
{
	struct load *l = load_new(address, churning + 1);

	add_group(l, count, pause_ms);
	for (int i = 0; i < churning; i++)
		add_thread(l, churn, l);
	return l;
}

uint64_t load_answered(struct load *l)
{
	return atomic_load(&l->answered);
}

uint64_t load_connected(struct load *l)
{
	return atomic_load(&l->connected);
}

uint64_t load_failed(struct load *l)
{
	return atomic_load(&l->failed);
}

void load_mark_stop(struct load *l)
{
	atomic_store(&l->stop_at, now_ns());
}

struct load_counts load_finish(struct load *l)
{
	struct load_counts counts;

	for (int i = 0; i < l->threads; i++)
		pthread_join(l->ids[i], NULL);
	counts = l->counts;
	pthread_mutex_destroy(&l->lock);
	free(l->ids);
	free(l);
	return counts;
}
