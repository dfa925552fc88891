/* SPDX-License-Identifier: MIT */
/*
 * Taking connections from the kernel, and what the answers of accept(2) mean.
 *
 * Three classes.  This connection failed: count it, go on.  There is no
 * descriptor or memory: stop asking until something of ours is closed, or for
 * a pause that grows to a tenth of a second.  This listener is broken: say so
 * and leave it; the others go on.  What we do not know counts as the second,
 * so that no answer, repeated for ever, makes this thread spin.
 *
 * A listener that must not be asked is taken out of the poller: its state
 * does not wake us, and the kernel's backlog holds who comes.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "acceptor.h"
#include "conn_table.h"
#include "poller.h"
#include "sys.h"

#define BUDGET	      64 /* connections from one listener before the others */
#define FIRST_PAUSE   (10 * WR_NS_PER_MS)
#define LONGEST_PAUSE (100 * WR_NS_PER_MS)

/* ---------------------------------------------------------- room and doors */

static bool is_queue_full(const struct wr_hub *h)
{
	return wr_queue_len(&h->fresh) >= h->fresh.cap;
}

static bool is_server_full(const struct wr_acceptor *a)
{
	return wr_table_places(a->hub->table) >=
	       (size_t)a->hub->config.set.max_connections;
}

static bool holds(const struct wr_acceptor *a)
{
	return a->hub->config.set.overload == WEIR_HOLD &&
	       (is_queue_full(a->hub) || is_server_full(a));
}

static void arm(struct wr_acceptor *a, int i)
{
	struct wr_door *d = a->doors[i];

	if (d->is_armed || d->is_broken || d->listener.fd < 0)
		return;
	if (wr_poller_add(a->poller, d->listener.fd, WR_POLL_IN,
			  WR_KEY_DOOR | (uint64_t)i) < 0) {
		a->resume_at = a->ctx.now + LONGEST_PAUSE; /* try again */
		return;
	}
	d->is_armed = true; /* the poller tells of who waits already */
	d->may_have_more = false;
}

static void disarm(struct wr_acceptor *a, struct wr_door *d)
{
	if (d->is_armed)
		wr_poller_remove(a->poller, d->listener.fd);
	d->is_armed = false;
}

static void keep_reserve(struct wr_acceptor *a)
{
	if (a->reserve < 0)
		a->reserve = wr_sys_open("/dev/null", O_RDONLY);
}

/*
 * wants_room is raised before we look for room; who makes room does so before
 * looking at wants_room.  So room that comes now is seen by one of us.
 */
void wr_accept_adjust(struct wr_acceptor *a)
{
	bool may_accept;

	/* A shortage: a close of ours ends it at once. */
	if (a->ctx.now >= a->resume_at || !atomic_load(&a->hub->wants_room))
		a->resume_at = 0;
	/* After the deadline of a stop nobody is served any more. */
	may_accept = a->resume_at == 0 && !a->is_cutting;
	if (may_accept)
		keep_reserve(a);
	if (may_accept && holds(a)) {
		atomic_store(&a->hub->wants_room, true);
		may_accept = !holds(a);
	}
	for (int i = 0; i < a->door_count; i++) {
		if (may_accept)
			arm(a, i);
		else
			disarm(a, a->doors[i]);
	}
}

void wr_accept_close_door(struct wr_acceptor *a, struct wr_door *door)
{
	disarm(a, door);
	wr_listener_close(&door->listener);
}

void wr_accept_close_doors(struct wr_acceptor *a)
{
	for (int i = 0; i < a->door_count; i++)
		wr_accept_close_door(a, a->doors[i]);
	a->are_doors_closed = true;
}

/* ---------------------------------------------------------------- admission */

/* It is accepted, and in the ledger from here on.  NULL: no memory for it. */
static struct weir_conn *make_conn(struct wr_acceptor *a, struct wr_door *door,
				   int fd)
{
	struct wr_hub *h = a->hub;
	struct wr_lane *lane = a->ctx.lane;
	struct weir_conn *c = wr_table_take(h->table);

	wr_count(lane, &lane->accepted, 1);
	if (c == NULL || wr_visits_reserve(a) < 0) {
		wr_count(lane, &lane->outcome[WR_FAILED], 1);
		wr_count(lane, &lane->shortages, 1);
		wr_sys_close(fd);
		if (c) {
			atomic_fetch_sub(&h->table->open, 1);
			wr_table_give(h->table, c);
		}
		return NULL;
	}
	wr_conn_begin(c, &door->service, fd, a->ctx.now);
	c->is_tcp = door->listener.is_tcp;
	wr_conn_move(c, lane, WR_FRESH);
	c->ctx = &a->ctx;
	return c;
}

/* peer: who it is, or NULL: ask the socket. */
static void admit(struct wr_acceptor *a, struct wr_door *door, int fd,
		  const struct sockaddr *peer, socklen_t peer_len)
{
	struct wr_hub *h = a->hub;
	bool was_full = is_server_full(a);
	struct weir_conn *c = make_conn(a, door, fd);

	if (c == NULL)
		return;
	if (c->is_tcp && peer && peer_len <= sizeof(c->peer)) {
		memcpy(&c->peer, peer, peer_len);
		c->peer_len = peer_len;
	}
	if (was_full) {
		wr_conn_refuse(c, WR_REFUSED_LIMIT);
	} else if (is_queue_full(h)) {
		wr_conn_refuse(c, WR_REFUSED_FULL);
	} else {
		wr_visits_expect(a, c);
		(void)wr_queue_push(&h->fresh, &c->node, a->ctx.now);
		wr_hub_ring(h);
	}
}

/* ----------------------------------------------------------------- shortage */

enum answer { CONN_FAILED, SHORTAGE, BROKEN };

static enum answer classify(int rc)
{
	switch (-rc) {
	case ECONNABORTED:
	case ECONNRESET:
	case EPROTO:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENOPROTOOPT:
	case ENONET:
	case EOPNOTSUPP:
	case ETIMEDOUT:
	case EPERM:
		return CONN_FAILED;
	case EBADF:
	case EINVAL:
	case ENOTSOCK:
	case EFAULT:
		return BROKEN;
	default:
		return SHORTAGE;
	}
}

static bool is_shortage(int rc)
{
	return rc < 0 && rc != -EAGAIN && classify(rc) == SHORTAGE;
}

/*
 * Accept one client with the descriptor kept in reserve.  It is opened again
 * once there are descriptors (wr_accept_adjust).
 */
static int accept_with_reserve(struct wr_acceptor *a, struct wr_door *door)
{
	if (a->reserve < 0)
		return -EMFILE;
	wr_sys_close(a->reserve);
	a->reserve = -1;
	return wr_sys_accept4(door->listener.fd, NULL, NULL,
			      SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* Tell one client why; it lingers, so no other is told before it has ended. */
static void refuse_one(struct wr_acceptor *a, struct wr_door *door)
{
	int fd = accept_with_reserve(a, door);
	struct weir_conn *c = fd < 0 ? NULL : make_conn(a, door, fd);

	if (c)
		wr_conn_refuse(c, WR_REFUSED_LIMIT);
}

/*
 * In a stop that has nothing left of its own to close, the reserve is all
 * there will be: it serves who waits, one after the other.
 */
static void serve_one(struct wr_acceptor *a, struct wr_door *door)
{
	int fd = accept_with_reserve(a, door);

	if (fd >= 0)
		admit(a, door, fd, NULL, 0);
}

/*
 * Refuse one at a stop's deadline, when there is no time to linger and others
 * wait for the descriptor.  What accept(2) said, or would say.
 */
static int refuse_in_passing(struct wr_acceptor *a, struct wr_door *door)
{
	struct wr_lane *lane = a->ctx.lane;
	struct iovec text = { a->hub->config.refusal,
			      a->hub->config.refusal_len };
	int fd = accept_with_reserve(a, door);
	char waste[4096];

	if (fd >= 0) {
		wr_count(lane, &lane->accepted, 1);
		wr_count(lane, &lane->outcome[WR_REFUSED_DRAIN], 1);
		(void)wr_sys_sendmsg(fd, &text, 1);
		(void)wr_sys_shutdown(fd, SHUT_WR);
		for (int i = 0; i < 64; i++)
			if (wr_sys_recv(fd, waste, sizeof(waste), 0) <= 0)
				break;
		wr_sys_close(fd);
	}
	keep_reserve(a);
	return fd;
}

static void pause_accepting(struct wr_acceptor *a, struct wr_door *door, int rc)
{
	wr_count(a->ctx.lane, &a->ctx.lane->shortages, 1);
	a->pause_ns = a->pause_ns ? wr_min_at(2 * a->pause_ns, LONGEST_PAUSE)
				  : FIRST_PAUSE;
	a->resume_at = a->ctx.now + a->pause_ns;
	if (wr_log_allows(&a->hub->logger, &a->shortage_limit, 1))
		wr_logf(&a->hub->logger, WEIR_LOG_WARNING,
			"%s: cannot accept: %s; pausing for %d ms", door->where,
			weir_strerror(rc), (int)(a->pause_ns / WR_NS_PER_MS));
	atomic_store(&a->hub->wants_room, true);
	if (classify(rc) != SHORTAGE)
		return;
	if (a->hub->config.set.overload == WEIR_REFUSE)
		refuse_one(a, door);
	else if (a->is_stopping && atomic_load(&a->hub->table->open) == 0)
		serve_one(a, door);
}

/* True: ask this door again. */
static bool bear(struct wr_acceptor *a, struct wr_door *door, int rc)
{
	switch (classify(rc)) {
	case CONN_FAILED:
		wr_count(a->ctx.lane, &a->ctx.lane->accept_errors, 1);
		return true;
	case BROKEN:
		disarm(a, door);
		door->is_broken = true;
		wr_logf(&a->hub->logger, WEIR_LOG_ERROR,
			"%s: the listener is broken: %s", door->where,
			weir_strerror(rc));
		return false;
	case SHORTAGE:
	default:
		pause_accepting(a, door, rc);
		return false;
	}
}

void wr_accept_from(struct wr_acceptor *a, struct wr_door *door)
{
	struct sockaddr_storage peer;
	int failures = 0;

	for (int i = 0; i < BUDGET; i++) {
		socklen_t len = sizeof(peer);
		int fd;

		if (holds(a))
			return; /* wr_accept_adjust() sees to it */
		fd = wr_sys_accept4(door->listener.fd, (struct sockaddr *)&peer,
				    &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd == -EAGAIN) {
			door->may_have_more = false;
			if (door->listener.is_shut)
				wr_accept_close_door(a, door);
			return;
		}
		if (fd >= 0) {
			a->pause_ns = 0;
			a->quiet_at = 0; /* a stop's silence begins anew */
			admit(a, door, fd, (struct sockaddr *)&peer, len);
			continue;
		}
		if (!bear(a, door, fd))
			return;
		if (++failures == BUDGET)
			pause_accepting(a, door, fd);
	}
}

/*
 * At most its backlog: there is no end to it while clients may connect.
 * False: somebody is left, and no descriptor for it.
 */
static bool refuse_rest_of(struct wr_acceptor *a, struct wr_door *door)
{
	for (int i = 0; i < door->service.set.backlog; i++) {
		int rc = wr_sys_accept4(door->listener.fd, NULL, NULL,
					SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct weir_conn *c = rc < 0 ? NULL : make_conn(a, door, rc);

		if (c)
			wr_conn_refuse(c, WR_REFUSED_DRAIN);
		if (is_shortage(rc))
			rc = refuse_in_passing(a, door);
		if (is_shortage(rc))
			return false;
		if (rc == -EAGAIN || (rc < 0 && classify(rc) == BROKEN))
			return true;
	}
	return true;
}

bool wr_accept_refuse_rest(struct wr_acceptor *a)
{
	bool is_done = true;

	atomic_store(&a->hub->wants_room, true);
	keep_reserve(a);
	for (int i = 0; i < a->door_count; i++)
		if (a->doors[i]->listener.fd >= 0 && !a->doors[i]->is_broken)
			is_done &= refuse_rest_of(a, a->doors[i]);
	return is_done;
}
