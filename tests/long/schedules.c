/* SPDX-License-Identifier: MIT */
/*
 * schedules [FIRST_SEED [COUNT]]: short runs of a server whose threads are
 * delayed at random at every point where they meet (yield_injection.h).  A seed
 * decides the run (how many workers, what clients do, who stops the server and
 * when) and the delays.  When a thread reaches a point depends on the kernel: a
 * seed that failed fails again in most of a few runs, not in each.
 *
 * In each run: a connection is in one callback at a time, every request is
 * answered, everything sent by another thread arrives, a wake-up is delivered,
 * the stop ends in time and cuts nothing but what another thread cuts, the
 * ledger agrees with the clients, and every stack is back in its pool.
 *
 * A session is read byte by byte; or it asks an upstream, a server of its own,
 * for each byte, by weir_conn_wait() or weir_relay(), and sleeps in between.
 * Its deadlines and timers may pass at any moment: it goes on.  A connection
 * without a session is paused now and then, until a timer, room for output or a
 * wake-up.  Their listener may be closed once they are connected.
 *
 * Beside that the program dials, has timers, and opens and closes listeners:
 * see schedules_beside.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "schedules.h"
#include "yield_injection.h"

#ifndef SCHEDULES
#define SCHEDULES 10000
#endif
#define PROCESSES 4
#define CLIENTS	  3  /* at once */
#define ROUNDS	  2  /* the second reuses the slots of the first */
#define PATIENCE  20 /* s, for a run; times slowness() */

static unsigned long seed; /* of the current run */

void schedule_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	flockfile(stdout);
	printf("seed %lu: ", seed);
	vprintf(format, args);
	printf("\nagain: tests/long/schedules %lu 1\n", seed);
	fflush(stdout);
	va_end(args);
	_exit(1);
}

_Noreturn static void took_too_long(int sig)
{
	(void)sig;
	schedule_fail("the life does not end, or has left descriptors");
}

/* ------------------------------------------------------------- the service */

/* A client; the first byte it sends is its number. */
struct peer {
	int fd;
	int asked;  /* bytes it sent */
	int echoed; /* and got back */
	int sent;   /* 's' that came */
	int woken;  /* 'w' that came */
	bool is_at_end;
	atomic_int inside;     /* callbacks */
	atomic_int has_closed; /* `closed` was called */
	_Atomic(weir_ref *) conn;
	atomic_int sends, wakes; /* by the other thread, which returned 0 */
	_Atomic bool is_let_go;	 /* the other thread is done with it */
};

static struct life {
	weir_server *server;
	struct peer peers[ROUNDS * CLIENTS];
	int workers;
	bool is_patient;	/* stopped when every client is done */
	bool stops_in_callback; /* of the clients that get '!' */
	bool stops_twice;
	bool has_again; /* a handler takes one byte a call */
	bool pauses;	/* and pauses its connection now and then */
	bool has_sessions;
	bool closes;	/* the other thread closes some */
	bool cancels;	/* and cuts some */
	bool is_hasty;	/* sessions have short deadlines and timers */
	bool asks;	/* sessions ask the upstream */
	bool unlistens; /* the listener is closed before the stop */
	bool has_dials, has_timers, has_listeners; /* see struct beside */
	bool stops_in_timer;
	weir_server *upstream; /* or NULL */
	char upstream_address[64];
	_Atomic bool has_ticked;
	_Atomic bool is_ending;
} life;

static void must_write(weir_conn *c, const char *byte)
{
	int rc = weir_conn_write(c, byte, 1);

	EXPECT(rc == 0 || (life.cancels && rc == -ECANCELED));
}

static ssize_t one_byte(weir_conn *c, struct peer **p)
{
	char byte;
	ssize_t n = weir_conn_read(c, &byte, 1);

	*p = weir_conn_data(c);
	if (n != 1)
		return n;
	if (*p == NULL) {
		*p = &life.peers[byte - 'A'];
		weir_conn_set_data(c, *p, NULL);
		atomic_store(&(*p)->inside, 1);
		atomic_store(&(*p)->conn, weir_conn_ref(c));
	}
	if (byte == '!')
		EXPECT(weir_server_join(life.server, NULL, 0) == -EDEADLK &&
		       weir_server_stop(life.server, 10000) == 0);
	must_write(c, "e");
	return 1;
}

/* Until its timer, room for output or a wake-up. */
static int pause_for_a_while(weir_conn *c)
{
	int rc = prng(2) ? weir_conn_set_timer(c, 1 + (int)prng(2))
			 : weir_conn_want_room(c);

	EXPECT(rc == 0);
	return WEIR_PAUSE;
}

static int serve_byte(weir_conn *c, void *arg)
{
	struct peer *p = weir_conn_data(c);
	int verdict = WEIR_AGAIN;
	char rest;

	(void)arg;
	if (p)
		EXPECT(atomic_fetch_add(&p->inside, 1) == 0);
	if (weir_conn_why(c) == WEIR_WAKE)
		must_write(c, "w");
	if (weir_conn_why(c) == WEIR_DRAIN)
		verdict = 0;
	else if (one_byte(c, &p) != 1)
		verdict = (int)weir_conn_read(c, &rest, 1);
	else if (!life.has_again)
		while (one_byte(c, &p) == 1)
			verdict = -EAGAIN;
	if (life.pauses && verdict != 0 && prng(2))
		verdict = pause_for_a_while(c);
	if (p)
		EXPECT(atomic_fetch_sub(&p->inside, 1) == 1);
	return verdict;
}

/* Was the wait only interrupted, or has it lasted too long?  0 or -errno. */
static bool goes_on(weir_conn *c, ssize_t *rc)
{
	if (*rc != -EINTR && (*rc != -ETIMEDOUT || !life.is_hasty))
		return false;
	*rc = *rc == -EINTR ? weir_conn_write(c, "w", 1) : 0;
	if (life.is_hasty && prng(2))
		(void)weir_conn_set_timer(c, 1 + (int)prng(2));
	return *rc == 0;
}

static void nap(weir_conn *c)
{
	ssize_t rc = weir_sleep((int)prng(2));

	(void)goes_on(c, &rc);
}

static ssize_t echo_bytes(weir_conn *c, struct peer **p)
{
	ssize_t n;

	do {
		n = one_byte(c, p);
		if (n == 1 && life.is_hasty && prng(3) == 0)
			nap(c);
	} while (n == 1 || goes_on(c, &n));
	return n;
}

/* What the peer sends goes to the upstream, what that sends to the peer. */
static ssize_t ask_for_each(weir_conn *c, weir_conn *up)
{
	struct weir_poll list[] = { { c, WEIR_POLL_INPUT, 0 },
				    { up, WEIR_POLL_INPUT, 0 } };
	char bytes[8];
	ssize_t n;

	do {
		weir_conn *from = c;

		n = weir_conn_wait(list, 2, WEIR_NEVER);
		if (n < 0)
			continue;
		if (list[1].ready)
			from = up;
		n = weir_conn_read(from, bytes, sizeof(bytes));
		if (n == 0)
			return 0;
		if (n > 0)
			n = weir_conn_write(from == c ? up : c, bytes,
					    (size_t)n);
	} while (n == 0 || goes_on(c, &n));
	return n;
}

static ssize_t relay_bytes(weir_conn *c, weir_conn *up)
{
	struct weir_relay_counts relay = { .size = sizeof(relay) };
	ssize_t n;

	if (life.is_hasty)
		relay.idle_ms = 2;
	do
		n = weir_relay(c, up, &relay);
	while (goes_on(c, &n));
	return n;
}

static ssize_t ask_upstream(weir_conn *c,
			    ssize_t (*ask)(weir_conn *c, weir_conn *up))
{
	weir_conn *up;
	ssize_t n;

	do
		n = weir_dial(&up, life.upstream_address, 0);
	while (goes_on(c, &n));
	if (n < 0)
		return n;
	n = ask(c, up);
	weir_conn_free(up);
	return n;
}

static int serve_session(weir_conn *c, void *arg)
{
	struct peer *p = NULL;
	ssize_t n;

	(void)arg;
	do
		n = one_byte(c, &p);
	while (p == NULL && goes_on(c, &n));
	if (p && life.asks)
		n = ask_upstream(c, prng(2) ? ask_for_each : relay_bytes);
	else if (p)
		n = echo_bytes(c, &p);
	if (p)
		EXPECT(atomic_fetch_sub(&p->inside, 1) == 1);
	return (int)n;
}

int schedule_answer(weir_conn *c, void *arg)
{
	bool may_be_cut = life.closes || life.cancels || life.has_dials;
	char bytes[8], es[] = "eeeeeeee";
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read(c, bytes, sizeof(bytes))) > 0) {
		int rc = weir_conn_write(c, es, (size_t)n);

		EXPECT(rc == 0 || (may_be_cut && rc == -EPIPE));
	}
	EXPECT(n == 0 || n == -EAGAIN || n == -ESHUTDOWN ||
	       (may_be_cut && n == -ECONNRESET));
	return (int)n;
}

static int tick(weir_conn *c, void *arg)
{
	int rc;

	(void)c, (void)arg;
	while ((rc = weir_sleep((int)prng(3))) == 0)
		maybe_yield();
	EXPECT(rc == -ESHUTDOWN);
	atomic_store(&life.has_ticked, true);
	return rc;
}

static void has_closed(weir_conn *c, void *arg)
{
	struct peer *p = weir_conn_data(c);

	(void)arg;
	if (p) {
		EXPECT(atomic_load(&p->inside) == 0);
		EXPECT(atomic_fetch_add(&p->has_closed, 1) == 0);
	}
}

/* -------------------------------------------------------- the other thread */

static void meddle(struct peer *p, weir_ref *ref)
{
	for (unsigned i = prng(3); i > 0; i--) {
		if (weir_ref_send(ref, "s", 1) == 0)
			atomic_fetch_add(&p->sends, 1);
		maybe_yield();
	}
	if (prng(2) && weir_ref_wake(ref) == 0)
		atomic_fetch_add(&p->wakes, 1);
	if (life.closes && prng(3) == 0)
		(void)weir_ref_close(ref);
	if (life.cancels && prng(3) == 0)
		(void)weir_ref_cancel(ref);
	weir_ref_unref(ref);
}

static void *other_thread(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "other");
	maybe_yield();
	for (int i = 0; i < ROUNDS * CLIENTS; i++) {
		struct peer *p = &life.peers[i];
		weir_ref *ref;

		while (!(ref = atomic_exchange(&p->conn, NULL)) &&
		       !atomic_load(&life.is_ending))
			sched_yield();
		if (ref)
			meddle(p, ref);
		atomic_store(&p->is_let_go, true);
	}
	if (life.stops_twice) {
		beside_expect_stop();
		EXPECT(weir_server_stop(life.server, 10000) == 0);
	}
	return NULL;
}

/* ------------------------------------------------------------- the clients */

static void take_reply(struct peer *p)
{
	char buf[64];
	ssize_t n = recv(p->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0 && errno == ECONNRESET && life.cancels)
		n = 0;
	if (n < 0)
		schedule_fail("a client reads: %s", strerror(errno));
	for (ssize_t i = 0; i < n; i++) {
		p->echoed += buf[i] == 'e';
		p->sent += buf[i] == 's';
		p->woken += buf[i] == 'w';
	}
	p->is_at_end = n == 0;
}

static bool is_served(const struct peer *p)
{
	if (p->is_at_end)
		return true;
	return p->echoed == p->asked && atomic_load(&p->is_let_go) &&
	       p->sent == atomic_load(&p->sends) &&
	       p->woken >= atomic_load(&p->wakes);
}

static void await(struct peer *p, bool its_end)
{
	while (!(its_end ? p->is_at_end : is_served(p))) {
		struct pollfd pfd = { .fd = p->fd, .events = POLLIN };

		(void)poll(&pfd, 1, 1);
		take_reply(p);
	}
}

static void peer_send(struct peer *p, char byte)
{
	ssize_t n = send(p->fd, &byte, 1, MSG_NOSIGNAL);

	if (n == 1)
		p->asked++;
	else if (!life.closes && !life.cancels && !life.stops_in_callback &&
		 !life.stops_twice)
		schedule_fail("a client's write says %s", strerror(errno));
}

int schedule_connect(const char *address)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t len = strlen(address + 6);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	EXPECT(fd >= 0);
	memcpy(sun.sun_path + 1, address + 6, len); /* after "unix:@" */
	if (connect(fd, (struct sockaddr *)&sun,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				len)) == 0)
		return fd;
	EXPECT(errno == ECONNREFUSED);
	close(fd);
	return -1;
}

static void run_round(int round, const char *address)
{
	struct peer *peers = &life.peers[round * CLIENTS];

	for (int i = 0; i < CLIENTS; i++) {
		peers[i].fd = schedule_connect(address);
		EXPECT(peers[i].fd >= 0);
		peer_send(&peers[i], (char)('A' + round * CLIENTS + i));
		maybe_yield();
	}
	for (int i = 0; i < CLIENTS; i++)
		for (unsigned n = prng(3); n > 0; n--)
			peer_send(&peers[i], 'x');
	if (round == ROUNDS - 1 && life.unlistens) {
		int rc = weir_server_unlisten(life.server, 0);

		EXPECT(rc == 0 || (rc == -ESHUTDOWN && life.stops_twice));
	}
	if (round < ROUNDS - 1) {
		for (int i = 0; i < CLIENTS; i++) {
			await(&peers[i], false);
			shutdown(peers[i].fd, SHUT_WR);
			maybe_yield();
		}
		for (int i = 0; i < CLIENTS; i++) {
			await(&peers[i], true);
			close(peers[i].fd);
		}
	}
}

/* ------------------------------------------------------------------ a life */

static void decide(void)
{
	memset(&life, 0, sizeof(life));
	life.workers = 1 + (int)prng(3);
	life.is_patient = prng(2);
	life.closes = prng(4) == 0;
	life.has_again = prng(2);
	life.has_sessions = prng(2);
	life.is_hasty = life.has_sessions && prng(2);
	life.stops_in_callback = prng(4) == 0;
	life.cancels = prng(4) == 0;
	life.stops_twice = !life.stops_in_callback && prng(4) == 0;
	life.asks = life.has_sessions && !life.stops_in_callback && prng(2);
	life.unlistens = prng(4) == 0;
	life.has_dials = prng(3) == 0;
	life.has_timers = prng(3) == 0;
	life.has_listeners = prng(3) == 0;
	life.stops_in_timer = life.has_timers && prng(2);
	/* A drain does not wait for the input of a paused connection. */
	life.pauses = life.is_patient && !life.has_sessions &&
		      !life.stops_in_callback && !life.stops_twice && prng(2);
	yield_injection_interval(1 + prng(2) * 3 + prng(4) * prng(8));
}

static void begin_upstream(void)
{
	EXPECT(weir_server_new(&life.upstream, WEIR_CONFIG(.workers = 1)) == 0);
	snprintf(life.upstream_address, sizeof(life.upstream_address),
		 "unix:@weir-schedules-up-%d", (int)getpid());
	EXPECT(weir_server_listen(life.upstream, life.upstream_address,
				  WEIR_SERVICE(.readable = schedule_answer)) ==
	       0);
	EXPECT(weir_server_start(life.upstream) == 0);
}

static void begin(char *address, size_t cap)
{
	EXPECT(weir_server_new(&life.server,
			       WEIR_CONFIG(.workers = life.workers,
					   .queue_length = 1 + (int)prng(2))) ==
	       0);
	snprintf(address, cap, "unix:@weir-schedules-%d", (int)getpid());
	EXPECT(weir_server_listen(
		       life.server, address,
		       life.has_sessions
			       ? WEIR_SERVICE(.session = serve_session,
					      .closed = has_closed,
					      .idle_ms = life.is_hasty ? 2 : 0)
			       : WEIR_SERVICE(.readable = serve_byte,
					      .closed = has_closed)) == 0);
	EXPECT(weir_server_spawn(life.server, NULL, tick, NULL, NULL) == 0);
	beside_prepare(&(struct beside){
		.server = life.server,
		.upstream = life.has_dials ? life.upstream_address : NULL,
		.has_timers = life.has_timers,
		.has_listeners = life.has_listeners,
		.is_patient = life.is_patient && !life.stops_twice,
	});
	beside_start();
}

static void end_upstream(void)
{
	struct weir_report report;

	EXPECT(weir_server_stop(life.upstream, 10000) == 0);
	EXPECT(weir_server_join(life.upstream, &report, sizeof(report)) == 0);
	EXPECT(report.ledger.open == 0 && report.ledger.cut == 0);
	weir_server_free(life.upstream);
}

/* Every question before the stop is answered, everything sent has arrived. */
static void check_peer(const struct peer *p, bool may_be_short)
{
	EXPECT(atomic_load(&p->inside) == 0);
	EXPECT(atomic_load(&p->has_closed) == 1);
	if (p->sent != atomic_load(&p->sends) && !life.cancels)
		schedule_fail("%d of %d bytes of the other thread came",
			      p->sent, atomic_load(&p->sends));
	if (!may_be_short && p->echoed != p->asked)
		schedule_fail("%d of %d requests were answered", p->echoed,
			      p->asked);
}

static void stop(struct peer *last)
{
	if (life.is_patient)
		for (int i = 0; i < CLIENTS; i++)
			await(&last[i], false);
	if (life.is_patient && !life.stops_twice)
		beside_settle();
	beside_expect_stop();
	if (life.stops_in_callback)
		peer_send(&last[prng(CLIENTS)], '!');
	if (life.stops_in_callback && !life.closes && !life.cancels)
		return;
	if (life.stops_in_timer)
		beside_stop();
	else
		EXPECT(weir_server_stop(life.server, 10000) == 0);
}

/* Each connection is counted once, and by its outcome. */
static void check_ledger(const struct weir_ledger *l)
{
	const struct beside_counts b = beside_end();

	EXPECT(l->accepted == ROUNDS * CLIENTS + b.accepted);
	EXPECT(l->dialled == b.dialled && l->spawned == 1);
	EXPECT(l->open == 0 && l->timed_out == 0 && l->probed == 0);
	EXPECT(l->failed == b.failed && l->refused <= b.refused_at_most);
	EXPECT(l->cut >= b.cut && (l->cut == b.cut || life.cancels));
	EXPECT(l->completed + l->failed + l->refused + l->cut ==
	       l->accepted + l->dialled + l->spawned);
}

static void live(void)
{
	struct peer *last = &life.peers[(ROUNDS - 1) * CLIENTS];
	struct weir_report report;
	struct weir_stats stats;
	char address[64];
	pthread_t other;
	int rc;

	decide();
	if (life.asks || life.has_dials)
		begin_upstream();
	begin(address, sizeof(address));
	EXPECT(pthread_create(&other, NULL, other_thread, NULL) == 0);
	for (int round = 0; round < ROUNDS; round++)
		run_round(round, address);
	stop(last);
	for (int i = 0; i < CLIENTS; i++)
		await(&last[i], true);
	for (int i = 0; i < CLIENTS; i++)
		close(last[i].fd);
	rc = weir_server_join(life.server, &report, sizeof(report));
	if (rc != 0)
		schedule_fail("join says %s", weir_strerror(rc));
	atomic_store(&life.is_ending, true);
	pthread_join(other, NULL);
	for (int i = 0; i < ROUNDS * CLIENTS; i++)
		check_peer(&life.peers[i], life.closes || life.cancels ||
						   life.stops_in_callback ||
						   life.stops_twice);
	check_ledger(&report.ledger);
	EXPECT(report.stuck == 0);
	EXPECT(atomic_load(&life.has_ticked));
	EXPECT(weir_server_stats(life.server, &stats, sizeof(stats)) == 0);
	EXPECT(stats.stacks == 0);
	if (life.upstream)
		end_upstream();
	weir_server_free(life.server);
}

/* --------------------------------------------------------------- all lives */

/* A look-up that was given up may have some for a while. */
static void await_descriptors(int lowest)
{
	int next;

	while ((next = dup(STDOUT_FILENO)) != lowest) {
		close(next);
		sched_yield();
	}
	close(next);
}

static int run_process(unsigned long first, unsigned long count, int index,
		       int slowness)
{
	int descriptors = dup(STDOUT_FILENO);

	close(descriptors);
	signal(SIGALRM, took_too_long);
	prctl(PR_SET_NAME, "clients");
	for (unsigned long i = (unsigned long)index; i < count;
	     i += PROCESSES) {
		seed = first + i;
		alarm((unsigned)(PATIENCE * slowness));
		yield_injection_seed(seed);
		live();
		await_descriptors(descriptors);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *slow = getenv("WEIR_TEST_SLOW");
	int slowness = slow && atoi(slow) > 1 ? atoi(slow) : 1, failed = 0;
	unsigned long first = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
	unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 10)
				       : SCHEDULES / (unsigned)slowness;

	yield_injection_install();
	for (int i = 0; i < PROCESSES; i++)
		if (fork() == 0)
			_exit(run_process(first, count, i, slowness));
	for (int i = 0; i < PROCESSES; i++) {
		int status = 0;

		if (wait(&status) < 0 || status != 0)
			failed++;
	}
	printf("%lu schedules from seed %lu: %s\n", count, first,
	       failed ? "FAILED" : "nothing wrong");
	return failed > 0;
}
