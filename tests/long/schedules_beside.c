/* SPDX-License-Identifier: MIT */
/*
 * Three threads, each with one kind of objects of the server, and the callbacks
 * of these objects.
 *
 * A dial is an outgoing connection to the upstream, to nobody, or to a name.
 * Its thread sends through it, wakes, shuts down, closes and cancels it at any
 * moment, also before it is connected; and its end may dial the next.  It is in
 * one callback at a time, is told its end once, and has heard an answer to each
 * of its bytes if nobody has ended it.
 *
 * A timer is in one call at a time.  There is one call for each move to "at
 * once", one of a timer without a period, none before the start, after
 * weir_timer_free() or after the stop.
 *
 * A listener is opened, gets clients, and is closed.  A client that could
 * connect is accepted, never reset, and answered unless a stop came first.
 */
#include "schedules.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "yield_injection.h"

#define DIALS	  4 /* the second and the fourth by the end of another */
#define MOVES	  4
#define LISTENERS 3
#define CALLERS	  3 /* clients of each */

enum kind { TO_UPSTREAM, ADOPTED, TO_NOBODY, TO_NAME };

struct dial {
	enum kind kind;
	bool is_hasty; /* has a short time to connect */
	_Atomic bool is_begun;
	_Atomic bool is_let_go;			       /* by its thread */
	_Atomic bool is_shut, is_closed, is_cancelled; /* or is about to be */
	atomic_int inside, has_opened, has_closed;
	atomic_int asked, heard;
	atomic_int sends; /* by its thread, which returned 0 */
	struct weir_summary summary;
};

struct ticker {
	weir_timer *timer;
	atomic_int begun, inside;
	bool is_freed;
	int most; /* calls, once it is freed */
};

struct opened {
	int id;
	unsigned connected;
};

static struct beside plan;
static pthread_t threads[3];
static int thread_count;

static struct dial dials[DIALS];
static struct ticker periodic, once, moved, stopper;
static int moves;
static struct opened opened[LISTENERS];
static int opened_count;
static unsigned not_answered;

static _Atomic bool has_started, may_stop, is_over;
static atomic_int settled; /* threads */

void beside_expect_stop(void)
{
	atomic_store(&may_stop, true);
}

/* ---------------------------------------------------------- dialled ones */

static bool is_ended_early(const struct dial *d)
{
	return atomic_load(&d->is_closed) || atomic_load(&d->is_cancelled);
}

static bool has_heard_all(const struct dial *d)
{
	return atomic_load(&d->heard) ==
	       atomic_load(&d->asked) + atomic_load(&d->sends);
}

static int keep_until_done(const struct dial *d)
{
	return atomic_load(&d->is_let_go) && has_heard_all(d) ? WEIR_CLOSE
							      : WEIR_KEEP;
}

static int ask(weir_conn *c, void *arg)
{
	struct dial *d = arg;

	EXPECT(atomic_fetch_add(&d->inside, 1) == 0);
	EXPECT(atomic_fetch_add(&d->has_opened, 1) == 0);
	for (unsigned n = prng(3); n > 0; n--) {
		int rc = weir_conn_write(c, "q", 1);

		if (rc == 0)
			atomic_fetch_add(&d->asked, 1);
		else
			EXPECT(is_ended_early(d) ||
			       (rc == -EPIPE && atomic_load(&d->is_shut)));
	}
	EXPECT(atomic_fetch_sub(&d->inside, 1) == 1);
	return keep_until_done(d);
}

static int hear(weir_conn *c, void *arg)
{
	struct dial *d = arg;
	char bytes[8];
	ssize_t n;

	EXPECT(atomic_fetch_add(&d->inside, 1) == 0);
	EXPECT(atomic_load(&d->has_opened) == 1);
	while ((n = weir_conn_read(c, bytes, sizeof(bytes))) > 0)
		atomic_fetch_add(&d->heard, (int)n);
	EXPECT(atomic_fetch_sub(&d->inside, 1) == 1);
	if (n == -EAGAIN || (n == -ESHUTDOWN && weir_conn_why(c) == WEIR_DRAIN))
		return keep_until_done(d);
	EXPECT(is_ended_early(d) || (n == 0 && atomic_load(&d->is_shut)));
	return (int)n;
}

static void begin_dial(struct dial *d, weir_ref **ret);

static void note_end(weir_conn *c, void *arg)
{
	struct dial *d = arg;
	ptrdiff_t index = d - dials;

	EXPECT(atomic_load(&d->inside) == 0);
	EXPECT(atomic_fetch_add(&d->has_closed, 1) == 0);
	EXPECT(weir_conn_summary(c, &d->summary, sizeof(d->summary)) == 0);
	if (index % 2 == 0) {
		atomic_store(&dials[index + 1].is_let_go, true);
		begin_dial(&dials[index + 1], NULL);
	}
}

/* Its socket is connected to the upstream already. */
static int adopt(struct dial *d, weir_ref **ret)
{
	int fd = schedule_connect(plan.upstream);
	int rc = weir_server_adopt(plan.server, ret, fd,
				   WEIR_SERVICE(.readable = hear, .opened = ask,
						.closed = note_end, .arg = d));

	EXPECT(fd >= 0);
	if (rc < 0)
		close(fd);
	return rc;
}

static void begin_dial(struct dial *d, weir_ref **ret)
{
	char nobody[64];
	const char *where = plan.upstream;
	int rc;

	snprintf(nobody, sizeof(nobody), "%s-nobody", plan.upstream);
	if (d->kind == TO_NOBODY)
		where = nobody;
	else if (d->kind == TO_NAME)
		where = "localhost:1";
	if (d->kind == ADOPTED)
		rc = adopt(d, ret);
	else
		rc = weir_server_dial(
			plan.server, ret, where, d->is_hasty ? 1 : 0,
			WEIR_SERVICE(.readable = hear, .opened = ask,
				     .closed = note_end, .arg = d));
	EXPECT(rc == 0 || (rc == -ESHUTDOWN && atomic_load(&may_stop)));
	atomic_store(&d->is_begun, rc == 0);
}

static void meddle(struct dial *d, weir_ref *ref)
{
	unsigned what = prng(8);

	for (unsigned n = prng(3); n > 0; n--) {
		if (weir_ref_send(ref, "q", 1) == 0)
			atomic_fetch_add(&d->sends, 1);
		maybe_yield();
	}
	if (prng(2))
		(void)weir_ref_wake(ref);
	atomic_store(&d->is_shut, what == 0);
	atomic_store(&d->is_closed, what == 1);
	atomic_store(&d->is_cancelled, what == 2);
	if (what == 0)
		(void)weir_ref_shutdown(ref, SHUT_WR);
	if (what == 1)
		(void)weir_ref_close(ref);
	if (what == 2)
		(void)weir_ref_cancel(ref);
	maybe_yield();
	atomic_store(&d->is_let_go, true);
	(void)weir_ref_wake(ref);
	weir_ref_unref(ref);
}

static void *run_dials(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "dials");
	for (int i = 0; i < DIALS; i += 2) {
		weir_ref *ref;

		maybe_yield();
		begin_dial(&dials[i], &ref);
		if (atomic_load(&dials[i].is_begun))
			meddle(&dials[i], ref);
	}
	for (int i = 0; i < DIALS; i++)
		while (plan.is_patient && atomic_load(&dials[i].has_closed) < 1)
			sched_yield();
	atomic_fetch_add(&settled, 1);
	return NULL;
}

static void check_failed_dial(const struct dial *d)
{
	int64_t error = d->summary.error;

	EXPECT(atomic_load(&d->has_opened) == 0);
	if (d->is_hasty && error == -ETIMEDOUT)
		return;
	EXPECT(d->kind == TO_NAME
		       ? error < 0
		       : d->kind == TO_NOBODY && error == -ECONNREFUSED);
}

static void check_dial(const struct dial *d, struct beside_counts *counts)
{
	int64_t end = d->summary.end;

	if (!atomic_load(&d->is_begun)) {
		EXPECT(atomic_load(&d->has_closed) == 0);
		return;
	}
	counts->dialled++;
	EXPECT(atomic_load(&d->has_closed) == 1);
	if (end == WEIR_END_CONNECT) {
		counts->failed++;
		check_failed_dial(d);
	} else if (end == WEIR_END_CUT) {
		counts->cut++;
		EXPECT(atomic_load(&d->is_cancelled));
	} else {
		EXPECT(end == WEIR_END_CLOSED || end == WEIR_END_DRAIN ||
		       (end == WEIR_END_PEER && atomic_load(&d->is_shut)));
		EXPECT(is_ended_early(d) || atomic_load(&d->has_opened) == 1);
		EXPECT(is_ended_early(d) || has_heard_all(d));
	}
}

/* ---------------------------------------------------------------- timers */

static void tick(weir_server *s, weir_timer *t, void *arg)
{
	struct ticker *k = arg;

	EXPECT(s == plan.server && atomic_load(&has_started));
	EXPECT(atomic_fetch_add(&k->inside, 1) == 0);
	atomic_fetch_add(&k->begun, 1);
	maybe_yield();
	if (k == &periodic && prng(3) == 0)
		(void)weir_timer_set(t, (int)prng(3));
	if (k == &stopper)
		EXPECT(weir_server_join(s, NULL, 0) == -EDEADLK &&
		       weir_server_stop(s, 10000) == 0);
	EXPECT(atomic_fetch_sub(&k->inside, 1) == 1);
}

static void make_timer(struct ticker *t, int ms, int every_ms)
{
	EXPECT(weir_server_timer(plan.server, &t->timer, ms, every_ms, tick,
				 t) == 0);
}

static void free_timer(struct ticker *t)
{
	int rc = weir_timer_free(t->timer);

	EXPECT(rc == -EBUSY || (rc == 0 && atomic_load(&t->inside) == 0));
	t->is_freed = true;
	t->most = atomic_load(&t->begun) + (rc == -EBUSY);
}

/* Wait for that many calls; false: the stop may have ended them. */
static bool await_calls(const struct ticker *t, int count)
{
	while (atomic_load(&t->begun) < count)
		if (atomic_load(&is_over))
			return false;
		else
			sched_yield();
	return true;
}

static void *run_timers(void *arg)
{
	unsigned when = prng(MOVES);

	(void)arg;
	pthread_setname_np(pthread_self(), "timers");
	for (unsigned i = 0; i < MOVES; i++) {
		int rc = weir_timer_set(moved.timer, (int)prng(2));

		if (rc == 0)
			moves++;
		else
			EXPECT(rc == -ESHUTDOWN && atomic_load(&may_stop));
		if (rc != 0 || !await_calls(&moved, moves))
			break;
		if (i == when)
			free_timer(&periodic);
	}
	if (plan.is_patient)
		await_calls(&once, 1);
	atomic_fetch_add(&settled, 1);
	return NULL;
}

static void check_timers(uint64_t *calls)
{
	struct ticker *const all[] = { &periodic, &once, &moved, &stopper };

	for (int i = 0; i < 4; i++) {
		int begun = atomic_load(&all[i]->begun);

		*calls += (uint64_t)begun;
		EXPECT(atomic_load(&all[i]->inside) == 0);
		EXPECT(!all[i]->is_freed || begun <= all[i]->most);
		if (all[i]->is_freed)
			continue;
		EXPECT(weir_timer_set(all[i]->timer, 0) == -ESHUTDOWN);
		EXPECT(prng(2) || weir_timer_free(all[i]->timer) == 0);
	}
	EXPECT(atomic_load(&once.begun) <= 1 &&
	       atomic_load(&moved.begun) <= moves);
	if (plan.is_patient)
		EXPECT(atomic_load(&once.begun) == 1 &&
		       atomic_load(&moved.begun) == moves);
	EXPECT(weir_server_timer(plan.server, NULL, 0, 0, tick, &once) ==
	       -ESHUTDOWN);
}

/* -------------------------------------------------------------- listeners */

struct caller {
	int fd;
	bool is_owed; /* no stop could come before its request */
};

static void call_at(struct caller *c, const char *address)
{
	c->fd = schedule_connect(address);
	if (c->fd < 0)
		return;
	(void)send(c->fd, "q", 1, MSG_NOSIGNAL);
	c->is_owed = !atomic_load(&may_stop);
}

/* Until the answer or the end. */
static void expect_answer(struct caller *c)
{
	char text[64];
	size_t len = 0;
	ssize_t n = 1;

	while (n > 0 && !(len == 1 && text[0] == 'e')) {
		n = recv(c->fd, text + len, sizeof(text) - 1 - len, 0);
		EXPECT(n >= 0); /* not reset */
		len += (size_t)n;
	}
	text[len] = '\0';
	close(c->fd);
	if (strcmp(text, "e") == 0)
		return;
	EXPECT(!c->is_owed);
	EXPECT(len == 0 || strcmp(text, "busy, try later\n") == 0);
	not_answered++;
}

/* It is there to be used again; false: the server stops. */
static bool await_close(int id)
{
	int rc;

	while ((rc = weir_server_listener_fd(plan.server, id)) == -EALREADY)
		sched_yield();
	EXPECT(rc == -EINVAL || (rc == -ESHUTDOWN && atomic_load(&may_stop)));
	return rc == -EINVAL;
}

static bool close_listener(int id)
{
	int rc = weir_server_unlisten(plan.server, id);

	EXPECT(rc == 0 || (rc == -ESHUTDOWN && atomic_load(&may_stop)));
	if (rc == 0 && prng(2)) {
		rc = weir_server_unlisten(plan.server, id);
		EXPECT(rc == -EALREADY || rc == -EINVAL || rc == -ESHUTDOWN);
	}
	return rc != -ESHUTDOWN;
}

static bool run_listener(struct opened *o, const char *address)
{
	struct caller callers[CALLERS];
	unsigned when = prng(CALLERS + 1);
	bool is_closed = false, goes_on = true;

	for (unsigned i = 0; i < CALLERS; i++) {
		if (i == when)
			goes_on = is_closed = close_listener(o->id);
		call_at(&callers[i], address);
		EXPECT(callers[i].fd >= 0 || is_closed ||
		       atomic_load(&may_stop));
		maybe_yield();
	}
	for (unsigned i = 0; i < CALLERS; i++) {
		if (callers[i].fd < 0)
			continue;
		o->connected++;
		expect_answer(&callers[i]);
	}
	if (goes_on && !is_closed)
		goes_on = close_listener(o->id);
	return goes_on && await_close(o->id);
}

static void *run_listeners(void *arg)
{
	char address[64];
	bool goes_on = true;

	(void)arg;
	pthread_setname_np(pthread_self(), "listeners");
	snprintf(address, sizeof(address), "unix:@weir-schedules-more-%d",
		 (int)getpid());
	while (goes_on && opened_count < LISTENERS) {
		int id = weir_server_listen(
			plan.server, address,
			WEIR_SERVICE(.readable = schedule_answer));

		if (id < 0) {
			EXPECT(id == -ESHUTDOWN && atomic_load(&may_stop));
			break;
		}
		opened[opened_count].id = id;
		goes_on = run_listener(&opened[opened_count++], address);
	}
	atomic_fetch_add(&settled, 1);
	return NULL;
}

static void check_listeners(struct beside_counts *counts)
{
	for (int i = 0; i < opened_count; i++) {
		struct weir_listener_stats stats;

		EXPECT(opened[i].id == 1 + i);
		EXPECT(weir_server_listener_stats(plan.server, opened[i].id,
						  &stats, sizeof(stats)) == 0);
		EXPECT(stats.ledger.accepted == opened[i].connected);
		EXPECT(stats.ledger.completed + stats.ledger.refused ==
		       stats.ledger.accepted);
		counts->accepted += opened[i].connected;
	}
	counts->refused_at_most = not_answered;
}

/* -------------------------------------------------------------------- all */

void beside_prepare(const struct beside *next)
{
	plan = *next;
	memset(dials, 0, sizeof(dials));
	memset(opened, 0, sizeof(opened));
	memset(&periodic, 0, sizeof(periodic));
	memset(&once, 0, sizeof(once));
	memset(&moved, 0, sizeof(moved));
	memset(&stopper, 0, sizeof(stopper));
	moves = opened_count = thread_count = 0;
	not_answered = 0;
	has_started = may_stop = is_over = false;
	settled = 0;
	for (int i = 0; i < DIALS; i++) {
		dials[i].kind = (enum kind)prng(4);
		dials[i].is_hasty = prng(3) == 0;
	}
	if (plan.has_timers) {
		make_timer(&periodic, 0, 1);
		make_timer(&once, (int)prng(3), 0);
		make_timer(&moved, WEIR_NEVER, 0);
		make_timer(&stopper, WEIR_NEVER, 0);
	}
}

static void begin_thread(void *(*fn)(void *arg))
{
	EXPECT(pthread_create(&threads[thread_count++], NULL, fn, NULL) == 0);
}

void beside_start(void)
{
	atomic_store(&has_started, true);
	EXPECT(weir_server_start(plan.server) == 0);
	if (plan.upstream)
		begin_thread(run_dials);
	if (plan.has_timers)
		begin_thread(run_timers);
	if (plan.has_listeners)
		begin_thread(run_listeners);
}

void beside_settle(void)
{
	while (atomic_load(&settled) < thread_count)
		sched_yield();
}

void beside_stop(void)
{
	int rc = weir_timer_set(stopper.timer, 0);

	EXPECT(rc == 0 || rc == -ESHUTDOWN); /* there were two */
}

struct beside_counts beside_end(void)
{
	struct beside_counts counts = { 0 };
	struct weir_stats stats;
	uint64_t calls = 0;

	atomic_store(&is_over, true);
	for (int i = 0; i < thread_count; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; plan.upstream && i < DIALS; i++)
		check_dial(&dials[i], &counts);
	if (plan.has_timers)
		check_timers(&calls);
	check_listeners(&counts);
	EXPECT(weir_server_stats(plan.server, &stats, sizeof(stats)) == 0);
	EXPECT(stats.timer_calls == calls);
	return counts;
}
