/* SPDX-License-Identifier: MIT */
/*
 * Clients of the service reply whose greeting is the number of the server; see
 * rolling_clients.h.
 *
 * A question is "q\n"; a churning client then ends its output and expects the
 * end of input.  A question counts as asked before the stop if the kernel had
 * its last byte by then: over loopback it is in the server's socket at once.
 */
#include "rolling_clients.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <time.h>

#define ANSWER	 "Server replies: q\n"
#define PAUSE_MS 10
#define SLOT_US	 100
#define SLOTS	 20000

/* Times; the last slot counts all longer ones. */
struct times {
	uint64_t count, slots[SLOTS];
};

struct asker {
	pthread_t id;
	struct rolling_clients *clients;
	uint32_t number;
	struct load_counts counts;
	struct times times; /* from the connect to the answer */
};

struct talk {
	int fd, server;
	int64_t asked_at;
};

struct rolling_clients {
	uint16_t port;
	int kept, count;
	int64_t began_at;
	atomic_ullong connected;
	atomic_bool is_over;
	_Atomic int64_t stopped_at[SERVERS_MAX]; /* us */
	struct asker askers[]; /* the last thread only sleeps */
};

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void note_time(struct times *t, int64_t us)
{
	int64_t slot = us / SLOT_US;

	t->slots[slot < SLOTS ? slot : SLOTS - 1]++;
	t->count++;
}

static int64_t p999_us(const struct times *t)
{
	uint64_t beyond = 0;
	int64_t slot = SLOTS - 1;

	while (slot > 0 && (beyond += t->slots[slot]) * 1000 < t->count)
		slot--;
	return (slot + 1) * SLOT_US;
}

/* ------------------------------------------------------------- the askers */

static bool was_reset(int error)
{
	return error == ECONNRESET || error == EPIPE;
}

/* Count a question without an answer; the connection is over. */
static bool count_loss(struct asker *a, const struct talk *t, int error)
{
	if (was_reset(error))
		a->counts.reset++;
	else if (error)
		a->counts.odd++;
	if (t->server == 0 ||
	    t->asked_at < atomic_load(&a->clients->stopped_at[t->server]))
		a->counts.lost++;
	else if (!error)
		a->counts.late++;
	return false;
}

static bool asker_receive(struct asker *a, struct talk *t, char *line,
			  size_t cap)
{
	size_t have = 0;

	while (have == 0 || line[have - 1] != '\n') {
		ssize_t n = recv(t->fd, line + have, cap - 1 - have, 0);

		if (n <= 0)
			return count_loss(a, t, n < 0 ? errno : 0);
		have += (size_t)n;
	}
	line[have] = '\0';
	return true;
}

static void hang_up(struct talk *t)
{
	close(t->fd);
	t->fd = -1;
}

static bool asker_connect(struct asker *a, struct talk *t)
{
	/* Each client has an address of the server, and so all ports. */
	const struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(a->clients->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK + a->number),
	};
	const struct timeval limit = { .tv_sec = 20 * slowness() };
	const int on = 1;

	*t = (struct talk){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC,
					 0) };
	setsockopt(t->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(t->fd, (const struct sockaddr *)&to, sizeof(to)) == 0) {
		a->counts.connected++;
		atomic_fetch_add(&a->clients->connected, 1);
		return true;
	}
	if (errno == ECONNREFUSED)
		a->counts.refused++;
	else
		a->counts.odd++;
	hang_up(t);
	return false;
}

/* Connect, and read the number of the server. */
static bool asker_come(struct asker *a, struct talk *t)
{
	char line[64];

	if (!asker_connect(a, t))
		return false;
	if (asker_receive(a, t, line, sizeof(line))) {
		t->server = atoi(line);
		if (t->server > 0 && t->server < SERVERS_MAX)
			return true;
		a->counts.odd++;
	}
	hang_up(t);
	return false;
}

static bool asker_send(struct asker *a, struct talk *t)
{
	ssize_t n = send(t->fd, "q\n", 2, MSG_NOSIGNAL);
	int error = errno;

	t->asked_at = now_us();
	return n == 2 || count_loss(a, t, error);
}

static bool is_answered(struct asker *a, struct talk *t)
{
	char line[64];

	if (!asker_receive(a, t, line, sizeof(line)))
		return false;
	if (strcmp(line, ANSWER) == 0) {
		a->counts.answered++;
		return true;
	}
	a->counts.odd++;
	return false;
}

/* After the answer the end of input must come, not a reset. */
static void asker_leave(struct asker *a, struct talk *t)
{
	char more[8];
	ssize_t n;

	shutdown(t->fd, SHUT_WR);
	n = recv(t->fd, more, sizeof(more), 0);
	if (n < 0 && was_reset(errno))
		a->counts.reset++;
	else if (n != 0)
		a->counts.odd++;
}

static void *churn(void *arg)
{
	struct asker *a = arg;
	struct talk t;

	while (!atomic_load(&a->clients->is_over)) {
		int64_t began_at = now_us();

		if (!asker_come(a, &t))
			continue;
		if (asker_send(a, &t) && is_answered(a, &t)) {
			note_time(&a->times, now_us() - began_at);
			asker_leave(a, &t);
		}
		hang_up(&t);
	}
	return NULL;
}

/* All ask before any answer is read; a closed one connects again. */
static void *keep_asking(void *arg)
{
	struct asker *a = arg;
	const int count = a->clients->kept;
	struct talk *all = calloc((size_t)count, sizeof(*all));

	ck_assert_ptr_nonnull(all);
	for (int i = 0; i < count; i++)
		all[i].fd = -1;
	while (!atomic_load(&a->clients->is_over)) {
		for (int i = 0; i < count; i++)
			if ((all[i].fd >= 0 || asker_come(a, &all[i])) &&
			    !asker_send(a, &all[i]))
				hang_up(&all[i]);
		for (int i = 0; i < count; i++)
			if (all[i].fd >= 0 && !is_answered(a, &all[i]))
				hang_up(&all[i]);
		for (int i = 0; i < PAUSE_MS; i++)
			poll_sleep();
	}
	for (int i = 0; i < count; i++) {
		if (all[i].fd < 0)
			continue;
		asker_leave(a, &all[i]);
		hang_up(&all[i]);
	}
	free(all);
	return NULL;
}

/* How late this machine wakes a thread that only sleeps. */
static void *measure_lateness(void *arg)
{
	struct asker *a = arg;

	while (!atomic_load(&a->clients->is_over)) {
		int64_t began_at = now_us();

		poll_sleep();
		note_time(&a->times, now_us() - began_at - 1000);
	}
	return NULL;
}

static void add_asker(struct asker *sum, const struct asker *a)
{
	load_counts_add(&sum->counts, &a->counts);
	sum->times.count += a->times.count;
	for (int i = 0; i < SLOTS; i++)
		sum->times.slots[i] += a->times.slots[i];
}

/* ------------------------------------------------------- the interface */

struct rolling_clients *rolling_clients_start(uint16_t port, int churning,
					      int kept)
{
	int count = churning + 2;
	struct rolling_clients *g =
		calloc(1, sizeof(*g) + (size_t)count * sizeof(g->askers[0]));

	ck_assert_ptr_nonnull(g);
	g->port = port;
	g->kept = kept;
	g->count = count;
	g->began_at = now_us();
	for (int i = 0; i < SERVERS_MAX; i++)
		atomic_store(&g->stopped_at[i], INT64_MAX);
	for (int i = 0; i < count; i++) {
		struct asker *a = &g->askers[i];

		a->clients = g;
		a->number = (uint32_t)i;
		ck_assert_int_eq(pthread_create(&a->id, NULL,
						i < churning ? churn
						: i == churning
							? keep_asking
							: measure_lateness,
						a),
				 0);
	}
	return g;
}

uint64_t rolling_clients_connected(struct rolling_clients *g)
{
	return atomic_load(&g->connected);
}

void rolling_clients_mark_stop(struct rolling_clients *g, int server)
{
	atomic_store(&g->stopped_at[server], now_us());
}

struct rolling_counts rolling_clients_stop(struct rolling_clients *g)
{
	struct asker *sum = calloc(1, sizeof(*sum));
	struct rolling_counts ret;
	int64_t took_us = now_us() - g->began_at;

	ck_assert_ptr_nonnull(sum);
	atomic_store(&g->is_over, true);
	for (int i = 0; i < g->count; i++) {
		pthread_join(g->askers[i].id, NULL);
		if (i < g->count - 1)
			add_asker(sum, &g->askers[i]);
	}
	ret = (struct rolling_counts){
		.counts = sum->counts,
		.rate = (int64_t)sum->times.count * 1000000 / took_us,
		.p999_us = p999_us(&sum->times),
		.late_us = p999_us(&g->askers[g->count - 1].times),
	};
	free(sum);
	free(g);
	return ret;
}
