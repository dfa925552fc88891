/* SPDX-License-Identifier: MIT */
/*
 * The poller by poll(2), for systems without epoll: its time grows with the
 * number of descriptors.
 *
 * One thread at a time waits, holding `turn`.  It polls a copy of the set.
 * What is added, expected or removed meanwhile signals `fd`, which ends the
 * wait, and the caller waits again.  The kernel keeps what is closed open until
 * then: without it a peer might never see the end.
 *
 * poll(2) tells of a state, not of its change.  What was reported of an
 * edge-triggered descriptor is left out until the owner has seen that state end
 * and expects it again.  poll(2) reports an end for good, and an error until
 * the program takes it, whatever it is asked for: the whole descriptor is left
 * out then.
 */
#include "poller.h"

#include <errno.h>

#include "bounds.h"
#include "lock.h"
#include "sys.h"

#define ENDS (POLLERR | POLLHUP | POLLNVAL)

struct watched {
	uint64_t key;
	uint32_t serial; /* of its addition; a report for another is stale */
	short wanted;	 /* 0: not in the set */
	short reported;	 /* edge-triggered: left out */
	bool is_edge, is_wakeup;
};

struct wr_poll_set {
	struct wr_lock turn;	 /* before lock */
	struct wr_lock lock;	 /* of what follows */
	struct watched *watched; /* by descriptor */
	int cap, used;		 /* used: the highest descriptor, and 1 */
	uint32_t serial;
	bool is_polling, is_signalled;
	struct pollfd *spare; /* replaces polled, which is too small; NULL */
	/* With the turn; room for cap and one more, then for the serials. */
	struct pollfd *polled;
	uint32_t *serials;
	int next; /* the descriptor to be reported first */
};

/* Room for all descriptors of the usual limit; more is added when needed. */
static int grow_set_locked(struct wr_poll_set *set, int fd)
{
	int cap = set->cap ? set->cap : 1024;
	struct watched *grown;
	struct pollfd *spare;

	while (cap <= fd)
		cap *= 2;
	if (cap == set->cap)
		return 0;
	spare = wr_sys_alloc(((size_t)cap + 1) *
			     (sizeof(*spare) + sizeof(*set->serials)));
	if (spare == NULL)
		return -ENOMEM;
	grown = wr_sys_realloc(set->watched, (size_t)cap * sizeof(*grown));
	if (grown == NULL) {
		wr_sys_free(spare);
		return -ENOMEM;
	}
	for (int i = set->cap; i < cap; i++)
		grown[i] = (struct watched){ .wanted = 0 };
	wr_sys_free(set->spare);
	set->spare = spare;
	set->watched = grown;
	set->cap = cap;
	return 0;
}

static int set_new(struct wr_poll_set **ret)
{
	struct wr_poll_set *set = wr_sys_alloc(sizeof(*set));
	int rc;

	if (set == NULL)
		return -ENOMEM;
	rc = wr_lock_init(&set->turn);
	if (rc == 0) {
		rc = wr_lock_init(&set->lock);
		if (rc == 0) {
			*ret = set;
			return 0;
		}
		wr_lock_fini(&set->turn);
	}
	wr_sys_free(set);
	return rc;
}

int wr_poller_open(struct wr_poller *p)
{
	int rc;

	*p = WR_POLLER_CLOSED;
	rc = set_new(&p->set);
	if (rc < 0)
		return rc;
	p->fd = wr_sys_eventfd();
	rc = p->fd < 0 ? p->fd : grow_set_locked(p->set, 0);
	if (rc < 0)
		wr_poller_close(p);
	return rc;
}

void wr_poller_close(struct wr_poller *p)
{
	struct wr_poll_set *set = p->set;

	if (p->fd >= 0)
		wr_sys_close(p->fd);
	if (set) {
		wr_lock_fini(&set->turn);
		wr_lock_fini(&set->lock);
		wr_sys_free(set->watched);
		wr_sys_free(set->polled);
		wr_sys_free(set->spare);
		wr_sys_free(set);
	}
	*p = WR_POLLER_CLOSED;
}

static void changed_locked(struct wr_poller *p)
{
	struct wr_poll_set *set = p->set;

	if (set->is_polling && !set->is_signalled)
		wr_sys_eventfd_signal(p->fd);
	set->is_signalled = set->is_polling;
}

static short to_poll(unsigned interest)
{
	return (short)((interest & WR_POLL_IN ? POLLIN | POLLRDHUP | POLLPRI
					      : 0) |
		       (interest & WR_POLL_OUT ? POLLOUT : 0));
}

static int put_watched(struct wr_poller *p, int fd, const struct watched *w)
{
	struct wr_poll_set *set = p->set;
	int rc;

	wr_lock(&set->lock);
	rc = grow_set_locked(set, fd);
	if (rc == 0) {
		set->watched[fd] = *w;
		set->watched[fd].serial = ++set->serial;
		if (set->used <= fd)
			set->used = fd + 1;
		changed_locked(p);
	}
	wr_unlock(&set->lock);
	return rc;
}

int wr_poller_add(struct wr_poller *p, int fd, unsigned interest, uint64_t key)
{
	return put_watched(
		p, fd,
		&(struct watched){ .key = key,
				   .wanted = to_poll(interest),
				   .is_edge = interest & WR_POLL_EDGE });
}

int wr_poller_change(struct wr_poller *p, int fd, unsigned interest,
		     uint64_t key)
{
	return wr_poller_add(p, fd, interest, key);
}

int wr_poller_add_wakeup(struct wr_poller *p, int fd, uint64_t key)
{
	return put_watched(p, fd,
			   &(struct watched){ .key = key,
					      .wanted = POLLIN,
					      .is_wakeup = true });
}

void wr_poller_remove(struct wr_poller *p, int fd)
{
	struct wr_poll_set *set = p->set;

	wr_lock(&set->lock);
	if (fd < set->used && set->watched[fd].wanted) {
		set->watched[fd].wanted = 0;
		changed_locked(p);
	}
	while (set->used > 0 && set->watched[set->used - 1].wanted == 0)
		set->used--;
	wr_unlock(&set->lock);
}

/* Taken from the socket's error queue, for example. */
static bool is_error_gone(const struct watched *w, int fd)
{
	struct pollfd pfd = { .fd = fd };

	return (w->reported & ENDS) == POLLERR && wr_sys_poll(&pfd, 1, 0) == 0;
}

void wr_poller_expect(struct wr_poller *p, int fd, unsigned what)
{
	struct wr_poll_set *set = p->set;
	short over = (short)((what & WR_POLL_IN ? POLLIN : 0) |
			     (what & WR_POLL_OUT ? POLLOUT : 0));

	wr_lock(&set->lock);
	if (fd >= 0 && fd < set->used) {
		struct watched *w = &set->watched[fd];

		if (is_error_gone(w, fd))
			over |= POLLERR;
		if (w->reported & over)
			changed_locked(p);
		w->reported &= (short)~over;
	}
	wr_unlock(&set->lock);
}

bool wr_poller_leaves_out(struct wr_poller *p, int fd)
{
	struct wr_poll_set *set = p->set;
	bool is_left_out;

	wr_lock(&set->lock);
	is_left_out =
		fd >= 0 && fd < set->used && set->watched[fd].reported & ENDS;
	wr_unlock(&set->lock);
	return is_left_out;
}

static void use_spare_locked(struct wr_poll_set *set)
{
	if (set->spare == NULL)
		return;
	wr_sys_free(set->polled);
	set->polled = set->spare;
	set->serials = (uint32_t *)(set->polled + set->cap + 1);
	set->spare = NULL;
}

static void copy_one_locked(struct wr_poll_set *set, int fd, int *n)
{
	const struct watched *w = &set->watched[fd];

	if (w->wanted == 0 || w->reported & ENDS)
		return;
	set->polled[*n] =
		(struct pollfd){ .fd = fd,
				 .events = (short)(w->wanted & ~w->reported) };
	set->serials[(*n)++] = w->serial;
}

/*
 * The count; the last one is the poller's own.  Numbers without a descriptor
 * are left out, because poll(2) takes no more entries than RLIMIT_NOFILE.
 */
static int copy_set(struct wr_poller *p)
{
	struct wr_poll_set *set = p->set;
	int n = 0;

	wr_lock(&set->lock);
	use_spare_locked(set);
	for (int i = 0; i < set->used; i++)
		copy_one_locked(set, (set->next + i) % set->used, &n);
	set->polled[n++] = (struct pollfd){ .fd = p->fd, .events = POLLIN };
	set->is_polling = true;
	wr_unlock(&set->lock);
	return n;
}

static unsigned from_poll(short events)
{
	return ((events & POLLIN) ? WR_POLL_IN : 0U) |
	       ((events & POLLOUT) ? WR_POLL_OUT : 0U) |
	       ((events & (POLLRDHUP | POLLPRI | ENDS)) ? WR_POLL_HUP : 0U);
}

static unsigned report_locked(struct wr_poll_set *set, int i)
{
	int fd = set->polled[i].fd;
	struct watched *w = &set->watched[fd];
	short events = set->polled[i].revents;

	if (events == 0 || w->wanted == 0 || w->serial != set->serials[i])
		return 0;
	if (w->is_edge)
		w->reported |= events;
	if (w->is_wakeup)
		wr_sys_eventfd_clear(fd);
	return from_poll(events);
}

static int take_reports(struct wr_poller *p, int n, struct wr_event *ev,
			int max)
{
	struct wr_poll_set *set = p->set;
	int count = 0;

	wr_lock(&set->lock);
	set->is_polling = false;
	if (set->is_signalled)
		wr_sys_eventfd_clear(p->fd);
	set->is_signalled = false;
	for (int i = 0; i < n && count < max; i++) {
		int fd = set->polled[i].fd;
		unsigned what = report_locked(set, i);

		if (what)
			ev[count++] =
				(struct wr_event){ set->watched[fd].key, what };
		if (count == max)
			set->next = fd + 1;
	}
	wr_unlock(&set->lock);
	return count;
}

static int wait_in_turn(struct wr_poller *p, struct wr_event *ev, int max,
			int timeout_ms)
{
	int n = copy_set(p), count;
	int rc = wr_sys_poll(p->set->polled, (nfds_t)n, timeout_ms);

	for (int i = 0; rc <= 0 && i < n; i++)
		p->set->polled[i].revents = 0;
	count = take_reports(p, n - 1, ev, max);
	return rc < 0 && rc != -EINTR ? rc : count;
}

int wr_poller_wait(struct wr_poller *p, struct wr_event *ev, int max,
		   int timeout_ms)
{
	int n = 0;

	if (timeout_ms != 0)
		wr_lock(&p->set->turn);
	else if (!wr_trylock(&p->set->turn))
		return 0;
	n = wait_in_turn(p, ev, max, timeout_ms);
	wr_unlock(&p->set->turn);
	if (n < 0) /* do not spin */
		(void)wr_sys_pause(WR_POLL_FAILED_MS);
	return n == -ENOMEM ? 0 : n; /* of the kernel: that passes */
}

bool wr_poller_is_ready(struct wr_poller *p)
{
	struct wr_poll_set *set = p->set;
	int n, rc;

	if (!wr_trylock(&set->turn))
		return false;
	n = copy_set(p);
	rc = wr_sys_poll(set->polled, (nfds_t)n, 0);
	if (rc > 0 && set->polled[n - 1].revents)
		rc--;
	(void)take_reports(p, 0, NULL, 0);
	wr_unlock(&set->turn);
	return rc > 0;
}
