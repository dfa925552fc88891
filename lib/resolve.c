/* SPDX-License-Identifier: MIT */
/*
 * Lookups for programs (names.c), listeners and dialled connections.
 *
 * "Who frees a lookup" is decided under its lock.  If the answer is there at
 * the deadline, the caller takes it, joins the thread and frees.  Otherwise the
 * caller marks the lookup as left and detaches the thread, which frees
 * everything when the resolver returns.  Only a lookup of wr_lookup_begin() has
 * a pointer to memory of the caller: its thread calls notify under the lock,
 * and never after it was left.
 *
 * A lookup that was left runs while the resolver tries, usually half a minute.
 * Too many of them mean that the resolver does not answer.  A new lookup is
 * refused then, or queued if wr_lookup_begin() makes it.  Reverse lookups are
 * counted apart: their speed depends on the owners of the addresses, often the
 * peers.  Lookups with a waiter need no limit: each blocks a thread of the
 * program.
 */
#include "resolve.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "lock.h"
#include "sys.h"

/* Lookups of one kind.  Its lock may be taken under that of a lookup. */
struct kind {
	const int most_left;
	struct wr_word_lock lock;
	int left_behind;		 /* l: threads that nobody waits for */
	struct wr_lookup *first, **last; /* l: the queue; last NULL: empty */
};

static struct kind addresses = { .most_left = WR_LOOKUPS_LEFT };
static struct kind names = { .most_left = WR_REVERSES_LEFT };

struct wr_lookup {
	/* The question, constant. */
	char host[256], port[6]; /* host empty: reverse */
	struct sockaddr_storage addr;
	socklen_t addr_len;

	struct wr_lock lock;
	struct wr_cond is_over;
	bool is_done; /* l: the answer is there */
	bool is_left; /* l: nobody waits */
	struct kind *kind;
	bool is_queued;		   /* under the lock of the kind */
	struct wr_lookup *next;	   /* the same */
	void (*notify)(void *arg); /* c: NULL: a thread waits */
	void *arg;		   /* c */

	int rc;
	struct addrinfo *list;
	char name[NI_MAXHOST];
};

static void lookup_free(struct wr_lookup *l)
{
	if (l->list)
		freeaddrinfo(l->list);
	wr_cond_fini(&l->is_over);
	wr_lock_fini(&l->lock);
	wr_sys_free(l);
}

static struct wr_lookup *lookup_new(struct kind *kind)
{
	struct wr_lookup *l = wr_sys_alloc(sizeof(*l));

	if (l == NULL)
		return NULL;
	if (wr_lock_init(&l->lock) < 0)
		goto no_lock;
	if (wr_cond_init(&l->is_over) < 0)
		goto no_cond;
	l->kind = kind;
	return l;
no_cond:
	wr_lock_fini(&l->lock);
no_lock:
	wr_sys_free(l);
	return NULL;
}

static int ask_resolver(struct wr_lookup *l)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
					.ai_flags = AI_NUMERICSERV };

	if (l->host[0])
		return wr_sys_getaddrinfo(l->host, l->port, &hints, &l->list);
	return wr_sys_getnameinfo((struct sockaddr *)&l->addr, l->addr_len,
				  l->name, sizeof(l->name), NI_NAMEREQD);
}

static int left_behind(struct kind *kind)
{
	int count;

	wr_word_lock(&kind->lock);
	count = kind->left_behind;
	wr_word_unlock(&kind->lock);
	return count;
}

static void count_left(struct kind *kind, int n)
{
	wr_word_lock(&kind->lock);
	kind->left_behind += n;
	wr_word_unlock(&kind->lock);
}

/* True: it may have a thread, and is counted.  Else it is queued. */
static bool may_begin(struct wr_lookup *l)
{
	struct kind *kind = l->kind;
	bool may;

	wr_word_lock(&kind->lock);
	may = kind->left_behind < kind->most_left;
	l->is_queued = !may;
	if (may) {
		kind->left_behind++;
	} else {
		*(kind->last ? kind->last : &kind->first) = l;
		kind->last = &l->next;
	}
	wr_word_unlock(&kind->lock);
	return may; /* a thread may have taken l from the queue */
}

static void unqueue_locked(struct kind *kind, struct wr_lookup **at)
{
	struct wr_lookup *l = *at;

	*at = l->next;
	if (l->next == NULL)
		kind->last = kind->first ? at : NULL;
	l->is_queued = false;
}

/* A thread has its answer.  The lookup that it does next; NULL: it ends. */
static struct wr_lookup *next_lookup(struct kind *kind)
{
	struct wr_lookup *l = NULL;

	wr_word_lock(&kind->lock);
	if (kind->left_behind <= kind->most_left)
		l = kind->first;
	if (l)
		unqueue_locked(kind, &kind->first);
	else
		kind->left_behind--;
	wr_word_unlock(&kind->lock);
	return l;
}

static bool leave_lookup_queue(struct wr_lookup *l)
{
	struct kind *kind = l->kind;
	struct wr_lookup **at = &kind->first;
	bool was_queued;

	wr_word_lock(&kind->lock);
	was_queued = l->is_queued;
	while (was_queued && *at != l)
		at = &(*at)->next;
	if (was_queued)
		unqueue_locked(kind, at);
	wr_word_unlock(&kind->lock);
	return was_queued;
}

/* Returns whether the thread is counted. */
static bool answer(struct wr_lookup *l)
{
	bool is_left, is_counted;
	int rc = ask_resolver(l);

	wr_lock(&l->lock);
	l->rc = rc;
	l->is_done = true;
	is_left = l->is_left;
	is_counted = is_left || l->notify;
	if (l->notify && !is_left)
		l->notify(l->arg);
	wr_cond_broadcast(&l->is_over);
	wr_unlock(&l->lock);
	if (is_left)
		lookup_free(l);
	return is_counted;
}

static void *lookup_main(void *arg)
{
	struct wr_lookup *l = arg;
	struct kind *kind = l->kind;

	wr_sys_thread_begin("weir-look-up");
	while (l && answer(l))
		l = next_lookup(kind);
	return NULL;
}

static bool is_set(const atomic_bool *stop)
{
	return stop && atomic_load(stop);
}

/* Nothing wakes this thread when stop is set. */
static int64_t next_stop_check_at(const atomic_bool *stop, int64_t deadline_at)
{
	return stop ? wr_min_at(deadline_at, wr_now_ns() + WR_LOOKUP_STOP_NS)
		    : deadline_at;
}

/* 0: done, the caller frees; -errno: the thread frees. */
static int wait_done(struct wr_lookup *l, int64_t deadline_at,
		     const atomic_bool *stop)
{
	bool is_in_time = true, is_done;

	wr_lock(&l->lock);
	while (!l->is_done && is_in_time && !is_set(stop))
		is_in_time = wr_cond_wait_until(
				     &l->is_over, &l->lock,
				     next_stop_check_at(stop, deadline_at)) ||
			     wr_now_ns() < deadline_at;
	is_done = l->is_done;
	if (!is_done) {
		l->is_left = true;
		count_left(l->kind, 1);
	}
	wr_unlock(&l->lock);
	if (is_done)
		return 0;
	return is_set(stop) ? -ESHUTDOWN : -ETIMEDOUT;
}

static int take_list(struct wr_lookup *l, struct addrinfo **ret)
{
	int rc = l->rc;

	if (rc == 0) {
		*ret = l->list;
		l->list = NULL;
	}
	lookup_free(l);
	return rc;
}

static int take_name(struct wr_lookup *l, char *name)
{
	int rc = l->rc;

	if (rc == 0)
		memcpy(name, l->name, sizeof(l->name));
	lookup_free(l);
	return rc;
}

/* -errno: l is freed or left. */
static int lookup_run(struct wr_lookup *l, int64_t deadline_at,
		      const atomic_bool *stop)
{
	pthread_t thread;
	int rc = -EAGAIN;

	/* Default stack size: the resolver loads modules. */
	if (left_behind(l->kind) < l->kind->most_left)
		rc = wr_sys_thread_create(&thread, 0, lookup_main, l);
	if (rc < 0) {
		lookup_free(l);
		return rc;
	}
	rc = wait_done(l, deadline_at, stop);
	if (rc < 0) {
		(void)pthread_detach(thread);
		return rc;
	}
	(void)pthread_join(thread, NULL);
	rc = l->rc;
	if (rc < 0)
		lookup_free(l);
	return rc;
}

int wr_lookup_number(struct addrinfo **ret, const char *host, const char *port)
{
	const struct addrinfo number = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
	};

	return wr_sys_getaddrinfo(host, port, &number, ret);
}

static struct wr_lookup *lookup_of_host(const char *host, const char *port)
{
	struct wr_lookup *l = lookup_new(&addresses);

	if (l == NULL)
		return NULL;
	snprintf(l->host, sizeof(l->host), "%s", host);
	snprintf(l->port, sizeof(l->port), "%s", port);
	return l;
}

static struct wr_lookup *lookup_of_name(const struct sockaddr *addr,
					socklen_t len)
{
	struct wr_lookup *l = lookup_new(&names);

	if (l == NULL)
		return NULL;
	l->addr_len = (socklen_t)wr_min(len, sizeof(l->addr));
	memcpy(&l->addr, addr, l->addr_len);
	return l;
}

int wr_lookup_host(struct addrinfo **ret, const char *host, const char *port,
		   int64_t deadline_at, const atomic_bool *stop)
{
	struct wr_lookup *l;
	int rc;

	if (!host[0])
		host = "localhost";
	rc = wr_lookup_number(ret, host, port);
	if (rc != -ENOENT)
		return rc;
	l = lookup_of_host(host, port);
	if (l == NULL)
		return -ENOMEM;
	rc = lookup_run(l, deadline_at, stop);
	return rc < 0 ? rc : take_list(l, ret);
}

/* Its detached thread counts as left behind: no thread of the program waits. */
static int begin_lookup(struct wr_lookup **ret, struct wr_lookup *l,
			void (*notify)(void *arg), void *arg)
{
	pthread_t thread;
	int rc;

	if (l == NULL)
		return -ENOMEM;
	l->notify = notify;
	l->arg = arg;
	if (may_begin(l)) {
		rc = wr_sys_thread_create(&thread, 0, lookup_main, l);
		if (rc < 0) {
			count_left(l->kind, -1);
			lookup_free(l);
			return rc;
		}
		(void)pthread_detach(thread);
	}
	*ret = l;
	return 0;
}

int wr_lookup_begin(struct wr_lookup **ret, const char *host, const char *port,
		    void (*notify)(void *arg), void *arg)
{
	return begin_lookup(ret,
			    lookup_of_host(host[0] ? host : "localhost", port),
			    notify, arg);
}

int wr_lookup_begin_name(struct wr_lookup **ret, const struct sockaddr *addr,
			 socklen_t len, void (*notify)(void *arg), void *arg)
{
	return begin_lookup(ret, lookup_of_name(addr, len), notify, arg);
}

bool wr_lookup_is_done(struct wr_lookup *l)
{
	bool is_done;

	wr_lock(&l->lock);
	is_done = l->is_done;
	wr_unlock(&l->lock);
	return is_done;
}

int wr_lookup_take(struct wr_lookup *l, struct addrinfo **ret)
{
	return wr_lookup_is_done(l) ? take_list(l, ret) : -EINPROGRESS;
}

int wr_lookup_take_name(struct wr_lookup *l, char *name)
{
	return wr_lookup_is_done(l) ? take_name(l, name) : -EINPROGRESS;
}

void wr_lookup_leave(struct wr_lookup *l)
{
	bool is_done;

	if (leave_lookup_queue(l)) {
		lookup_free(l);
		return;
	}
	wr_lock(&l->lock);
	is_done = l->is_done;
	l->is_left = true;
	wr_unlock(&l->lock);
	if (is_done)
		lookup_free(l);
}

int wr_lookup_name(char *name, const struct sockaddr *addr, socklen_t len,
		   int64_t deadline_at)
{
	struct wr_lookup *l = lookup_of_name(addr, len);
	int rc;

	if (l == NULL)
		return -ENOMEM;
	rc = lookup_run(l, deadline_at, NULL);
	return rc < 0 ? rc : take_name(l, name);
}
