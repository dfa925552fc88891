/* SPDX-License-Identifier: MIT */
/*
 * Races made certain: threads of the server are held between two steps, and the
 * acceptor's clock can be stopped.  The linker wraps calls of the library
 * (--wrap), and the test build calls at_point() where threads meet.
 *
 * A hold stops its thread as long as it is set.  Each test waits for conditions
 * only; with the defect that it looks for, one of them never comes true.
 */
#include "test.h"

#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "base.h"
#include "conn.h"
#include "faults.h"
#include "listener.h"
#include "poller.h"

struct hold {
	_Atomic bool is_set;
	_Atomic bool is_reached;
};

static struct hold acceptor_has_read_clock; /* after it was woken */
static struct hold acceptor_waits;	    /* is about to */
static struct hold acceptor_has_looked;	    /* at the poller */
static struct hold acceptor_fences;	    /* a listener; see below */
static struct hold second_waits;	    /* is about to, see below */
static struct hold second_looks;	    /* between two looks for work */
static struct hold session_sleeps;	    /* has read its deadlines */

static _Thread_local bool is_woken;
static _Thread_local bool is_second;

/*
 * A fence that claims to stand: a client that connects later is one whose
 * handshake was under way.
 */
static _Atomic bool fence_is_none;

/* Of the acceptor, while it waits for longer than the monitor does. */
static struct wr_poller *_Atomic acceptor_poller;
static _Atomic bool acceptor_waits_long;
/* Then only an event ends that wait. */
static _Atomic bool acceptor_has_no_timeout;

/* A thread that adopts is held between the gate and the workers. */
#define LONG_HOLD_MS 300
static _Thread_local bool is_adopter;
static _Thread_local int64_t begins_at;
static _Atomic bool adopter_begins, stop_is_over;

/*
 * The acceptor is held once in accept4(2), where it has looked at the
 * configuration: in the call after the next client.
 */
enum { ACCEPTS, ACCEPTS_THEN_IS_HELD, IS_HELD };
static _Atomic int accepting;
static _Atomic bool accept_begins, has_configured, has_connected;

/* A relay in a thread of its own, or on a worker, is about to sleep. */
static _Thread_local bool is_relaying;
static _Atomic bool relay_sleeps;

/* A worker that ends a connection looks at the counts with each clock. */
static _Thread_local weir_server *ends_in;
static _Atomic bool is_seen_without_its_time;

/* A worker that has closed a connection walks over all, before it drops it. */
static _Thread_local weir_server *walks_in;
static _Atomic int shown_by_walk = -1;

static _Atomic bool clock_stands; /* of the acceptor */
static struct timespec stands_at;

static void held_at(struct hold *h)
{
	if (!atomic_load(&h->is_set))
		return;
	atomic_store(&h->is_reached, true);
	while (atomic_load(&h->is_set))
		poll_sleep();
}

static void hold_set(struct hold *h)
{
	atomic_store(&h->is_reached, false);
	atomic_store(&h->is_set, true);
}

static bool is_held_at(struct hold *h)
{
	return atomic_load(&h->is_reached);
}

static void let_go(struct hold *h)
{
	atomic_store(&h->is_set, false);
}

static void look_at_counts(weir_server *s)
{
	struct weir_listener_stats l;

	ends_in = NULL; /* the look may read the clock, too */
	if (weir_server_listener_stats(s, 0, &l, sizeof(l)) == 0 &&
	    l.ledger.closed == 1 && l.connection_us == 0)
		atomic_store(&is_seen_without_its_time, true);
	ends_in = s;
}

static int count_one(const struct weir_conn_info *info, void *arg)
{
	(void)info;
	++*(int *)arg;
	return 0;
}

static void count_shown(weir_server *s)
{
	int shown = 0;

	ck_assert_int_eq(weir_server_each(s, count_one, &shown,
					  sizeof(struct weir_conn_info)),
			 0);
	atomic_store(&shown_by_walk, shown);
}

static bool is_acceptor(void)
{
	char name[16] = "";

	pthread_getname_np(pthread_self(), name, sizeof(name));
	return strcmp(name, "weir-acceptor") == 0;
}

/* ------------------------------------------------- around the library's calls
 */

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __real_wr_poller_wait(struct wr_poller *p, struct wr_event *ev, int max,
			  int timeout_ms);
int __wrap_wr_poller_wait(struct wr_poller *p, struct wr_event *ev, int max,
			  int timeout_ms);
long __wrap_wr_sys_preemptions(void);

int __real_wr_sys_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __real_accept4(int fd, struct sockaddr *peer, socklen_t *len, int flags);
int __wrap_accept4(int fd, struct sockaddr *peer, socklen_t *len, int flags);
int __wrap_wr_sys_poll(struct pollfd *fds, nfds_t count, int timeout_ms);

int __real_wr_listener_fence(struct wr_listener *l);
int __wrap_wr_listener_fence(struct wr_listener *l);

int __real_wr_conn_wait_other(struct weir_conn *c, const struct wr_other *o,
			      struct pollfd *fds, int count);
int __wrap_wr_conn_wait_other(struct weir_conn *c, const struct wr_other *o,
			      struct pollfd *fds, int count);

struct wr_stats;
void __real_wr_conn_move(struct weir_conn *c, struct wr_stats *stats, int to);
void __wrap_wr_conn_move(struct weir_conn *c, struct wr_stats *stats, int to);
void __real_wr_table_free_service(struct weir_conn *c);
void __wrap_wr_table_free_service(struct weir_conn *c);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	int rc = __real_clock_gettime(clock, ret);

	if (is_woken) {
		is_woken = false;
		held_at(&acceptor_has_read_clock);
	}
	if (ends_in)
		look_at_counts(ends_in);
	if (atomic_load(&clock_stands) && is_acceptor())
		*ret = stands_at;
	return rc;
}

int __wrap_wr_poller_wait(struct wr_poller *p, struct wr_event *ev, int max,
			  int timeout_ms)
{
	int rc;

	if (!is_acceptor())
		return __real_wr_poller_wait(p, ev, max, timeout_ms);
	held_at(&acceptor_waits);
	atomic_store(&acceptor_poller, p);
	if (timeout_ms > 1000 && atomic_load(&acceptor_has_no_timeout))
		timeout_ms = -1;
	atomic_store(&acceptor_waits_long, timeout_ms < 0 || timeout_ms > 1000);
	rc = __real_wr_poller_wait(p, ev, max, timeout_ms);
	atomic_store(&acceptor_waits_long, false);
	held_at(&acceptor_has_looked);
	is_woken = true;
	return rc;
}

int __wrap_wr_listener_fence(struct wr_listener *l)
{
	held_at(&acceptor_fences);
	return atomic_load(&fence_is_none) ? 0 : __real_wr_listener_fence(l);
}

int __wrap_wr_conn_wait_other(struct weir_conn *c, const struct wr_other *o,
			      struct pollfd *fds, int count)
{
	held_at(&session_sleeps);
	return __real_wr_conn_wait_other(c, o, fds, count);
}

/* No callback counts as slow: each may have been preempted. */
long __wrap_wr_sys_preemptions(void)
{
	static _Atomic long count = 1;

	return atomic_fetch_add(&count, 1);
}

void __wrap_wr_conn_move(struct weir_conn *c, struct wr_stats *stats, int to)
{
	if (is_adopter) {
		atomic_store(&adopter_begins, true);
		while (!atomic_load(&stop_is_over) &&
		       now_ms() < begins_at + LONG_HOLD_MS)
			poll_sleep();
	}
	__real_wr_conn_move(c, stats, to);
}

void __wrap_wr_table_free_service(struct weir_conn *c)
{
	if (walks_in)
		count_shown(walks_in);
	__real_wr_table_free_service(c);
}

/*
 * Until another thread has configured the server and a client has connected
 * after that; or for a while, because configuring waits for this call.
 */
static void hold_accept(void)
{
	int64_t since = now_ms();

	atomic_store(&accept_begins, true);
	while (!atomic_load(&has_connected) &&
	       (atomic_load(&has_configured) ||
		now_ms() < since + LONG_HOLD_MS))
		poll_sleep();
}

int __wrap_accept4(int fd, struct sockaddr *peer, socklen_t *len, int flags)
{
	int rc;

	if (atomic_load(&accepting) == IS_HELD) {
		atomic_store(&accepting, ACCEPTS);
		hold_accept();
	}
	rc = __real_accept4(fd, peer, len, flags);
	if (rc >= 0 && atomic_load(&accepting) == ACCEPTS_THEN_IS_HELD)
		atomic_store(&accepting, IS_HELD);
	return rc;
}

int __wrap_wr_sys_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	if (is_relaying && timeout_ms != 0)
		atomic_store(&relay_sleeps, true);
	return __real_wr_sys_poll(fds, count, timeout_ms);
}

static void at_point(const char *function)
{
	if (is_second && strcmp(function, "wait_for_task") == 0)
		held_at(&second_waits);
	if (is_second && strcmp(function, "has_work") == 0)
		held_at(&second_looks);
}

static void stop_the_clock(void)
{
	__real_clock_gettime(CLOCK_MONOTONIC, &stands_at);
	atomic_store(&clock_stands, true);
}

/*
 * The acceptor sleeps for long, and no event is pending for it.  The poller is
 * asked first: once it has none, what it reported before has ended that sleep.
 */
static bool acceptor_rests(void)
{
	struct wr_poller *p = atomic_load(&acceptor_poller);

	return p && !wr_poller_is_ready(p) && atomic_load(&acceptor_waits_long);
}

/* --------------------------------------------------------------- the stop */

/* The acceptor's clock stands, so the pause does not end by itself. */
START_TEST(a_stop_ends_the_pause_of_a_shortage)
{
	struct server *s;
	struct client *c;

	faults_install();
	s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	stop_the_clock();
	fail_nth_call(WR_SYS_accept4, 1, -EMFILE);
	c = client_open_and_send(s, "hello\n");
	UNTIL(stats(s).shortages == 1);
	weir_server_stop(s->weir, 60000);
	client_expect(c, "hello\n");
	atomic_store(&clock_stands, false);
	server_join_and_check(s);
}
END_TEST

/* The acceptor's clock stands, so that a worker finds the connection. */
START_TEST(a_worker_refuses_a_client_that_has_waited_too_long)
{
	struct gate gate = GATE_CLOSED;
	struct server *s;
	struct client *held, *old;
	int64_t queued_at;

	stop_the_clock();
	s = serve(WEIR_CONFIG(.workers = 1, .queue_age_ms = 2000),
		  WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));
	held = client_open(s);
	client_wait_at_gate(held, &gate);
	old = client_open_and_send(s, "hello\n");
	UNTIL(stats(s).queued == 1);
	queued_at = now_ms();
	UNTIL(now_ms() > queued_at + 2000);
	gate_open(&gate);
	client_expect(held, "wait\n");
	client_expect_last(old, "busy, try later\n");
	atomic_store(&clock_stands, false);
	ck_assert_uint_eq(server_stop_and_check(s).ledger.refused_age, 1);
}
END_TEST

static int note_the_end(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;

	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0)
		weir_conn_write(c, line, (size_t)n);
	atomic_store((_Atomic int *)arg, (int)n);
	return (int)n;
}

/* The stop comes after the acceptor has read the time and before it checks. */
START_TEST(a_stop_without_grace_is_one_though_the_acceptor_woke_before)
{
	_Atomic int said = 0;
	struct server *s = serve_workers(
		2, WEIR_SERVICE(.session = note_the_end, .arg = &said));

	client_open_and_echo(s, "hello\n");
	hold_set(&acceptor_has_read_clock);
	client_open(s);
	UNTIL(is_held_at(&acceptor_has_read_clock));
	hold_set(&acceptor_waits);
	weir_server_stop(s->weir, 0);
	let_go(&acceptor_has_read_clock);
	UNTIL(atomic_load(&said) != 0);
	let_go(&acceptor_waits);
	ck_assert_int_eq(atomic_load(&said), -ECANCELED);
	server_join_and_check(s);
}
END_TEST

/* -------------------------------------------------------------- the fence */

/* More than a handshake gets on this machine. */
static void pass_handshake(void)
{
	int64_t until = now_ms() + 100;

	UNTIL(now_ms() > until);
}

/*
 * A look at the poller from before the fence tells nothing of handshakes that
 * were under way, and one after it nothing of those that end until the clock is
 * read.
 */
START_TEST(a_handshake_under_way_at_the_fence_has_its_time)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	struct client *c;

	atomic_store(&fence_is_none, true);
	hold_set(&acceptor_fences);
	ck_assert_int_eq(weir_server_unlisten(s->weir, 0), 0);
	UNTIL(is_held_at(&acceptor_fences));
	pass_handshake();
	hold_set(&acceptor_has_looked);
	let_go(&acceptor_fences);
	UNTIL(is_held_at(&acceptor_has_looked));
	c = client_open_and_send(s, "hello\n");
	pass_handshake();
	let_go(&acceptor_has_looked);
	client_expect(c, "hello\n");
	atomic_store(&fence_is_none, false);
	server_stop_and_check(s);
}
END_TEST

/* ---------------------------------------------------------------- wake-ups */

static int say_when_woken(weir_conn *c, void *arg)
{
	if (weir_conn_why(c) == WEIR_WAKE)
		weir_conn_printf(c, "awake\n");
	else if (atomic_load((weir_ref * _Atomic *)arg) == NULL)
		atomic_store((weir_ref * _Atomic *)arg, weir_conn_ref(c));
	return echo_lines(c, NULL);
}

/* All workers sleep, and no thread is about to check whether to wake one. */
START_TEST(a_wake_reaches_a_server_at_rest)
{
	weir_ref *_Atomic conn = NULL;
	struct server *s = serve_workers(
		2, WEIR_SERVICE(.readable = say_when_woken, .arg = &conn));
	struct client *c = client_open_and_echo(s, "hello\n");

	UNTIL(stats(s).parked == 1 && acceptor_rests());
	ck_assert_int_eq(weir_ref_wake(atomic_load(&conn)), 0);
	client_expect(c, "awake\n");
	weir_ref_unref(atomic_load(&conn));
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_listener_that_is_added_wakes_a_server_at_rest)
{
	struct server *s;
	char address[160];

	atomic_store(&acceptor_has_no_timeout, true);
	s = serve_workers(2, WEIR_SERVICE(.readable = echo_lines));
	UNTIL(acceptor_rests());
	ck_assert_int_eq(server_listen(s, "127.0.0.1:0",
				       WEIR_SERVICE(.readable = echo_lines)),
			 1);
	server_address(s, 1, address, sizeof(address));
	client_expect_echo(client_open_at(address), "hello\n");
	server_stop_and_check(s);
}
END_TEST

#define LINES 100

static struct gate first_line = GATE_CLOSED, second = GATE_CLOSED,
		   stuck = GATE_CLOSED;
static _Atomic int lines_of_the_first;

/* The first sends a line a call; the others one at which they wait. */
static int serve_three(weir_conn *c, void *arg)
{
	char line[8];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	if (n <= 0)
		return (int)n;
	if (line[0] == '1') {
		if (atomic_fetch_add(&lines_of_the_first, 1) == 0)
			gate_wait(&first_line);
		return WEIR_AGAIN;
	}
	is_second = line[0] == '2';
	gate_wait(is_second ? &second : &stuck);
	return (int)weir_conn_read_line(c, line, sizeof(line));
}

static void send_lines(struct client *c)
{
	char text[2 * LINES + 1] = "";

	for (int i = 0; i < LINES; i++)
		memcpy(text + 2 * i, "1\n", 3);
	client_send(c, text);
}

/*
 * One worker has had a callback return and leaves the connection on the ready
 * list, for its turn is over, then takes a new connection and gets stuck.  The
 * other worker was between two callbacks when that connection came, so it was
 * not woken; and it has seen the ready list empty and the queue empty, each
 * before something was put there.  Since no worker slept then, the acceptor
 * does not monitor the queues either.
 */
START_TEST(what_a_worker_leaves_lying_before_it_gets_stuck_is_run)
{
	struct client *c[2];
	struct server *s;

	wr_point_hook = at_point;
	s = serve_workers(2, WEIR_SERVICE(.readable = serve_three));
	for (int i = 0; i < 2; i++)
		c[i] = client_open(s);
	UNTIL(stats(s).parked == 2);
	send_lines(c[0]);
	UNTIL(gate_waiting(&first_line) == 1);
	client_send(c[1], "2\n");
	UNTIL(gate_waiting(&second) == 1);
	hold_set(&second_waits);
	gate_open(&second);
	UNTIL(is_held_at(&second_waits) && acceptor_rests());
	client_send(client_open(s), "3\n");
	UNTIL(stats(s).queued == 1 && acceptor_rests());
	hold_set(&second_looks);
	let_go(&second_waits);
	UNTIL(is_held_at(&second_looks));
	gate_open(&first_line);
	UNTIL(gate_waiting(&stuck) == 1);
	let_go(&second_looks);
	UNTIL(atomic_load(&lines_of_the_first) == LINES);
	gate_open(&stuck);
	server_stop_and_check(s);
}
END_TEST

/* -------------------------------------------------- another configuration */

static void *configure_to_hold(void *arg)
{
	ck_assert_int_eq(
		weir_server_configure(arg, WEIR_CONFIG(.max_connections = 1)),
		0);
	atomic_store(&has_configured, true);
	return NULL;
}

START_TEST(a_client_that_connects_after_a_change_meets_the_new_values)
{
	struct server *s = serve(
		WEIR_CONFIG(.max_connections = 1, .overload = WEIR_REFUSE),
		WEIR_SERVICE(.readable = echo_lines));
	struct client *c = client_open_and_echo(s, "hello\n"), *refused, *held;
	pthread_t thread;

	atomic_store(&accepting, ACCEPTS_THEN_IS_HELD);
	refused = client_open(s);
	client_expect_last(refused, "busy, try later\n");
	client_close(refused);
	UNTIL(atomic_load(&accept_begins));
	ck_assert_int_eq(
		pthread_create(&thread, NULL, configure_to_hold, s->weir), 0);
	UNTIL(atomic_load(&has_configured));
	held = client_open_and_send(s, "held\n");
	atomic_store(&has_connected, true);
	pthread_join(thread, NULL);
	UNTIL(acceptor_rests());
	client_close(c);
	client_expect(held, "held\n");
	ck_assert_uint_eq(server_stop_and_check(s).ledger.refused_limit, 1);
}
END_TEST

static int wait_for_input(weir_conn *c, void *arg)
{
	struct weir_poll own = { .conn = c, .events = WEIR_POLL_INPUT };
	int rc = weir_conn_wait(&own, 1, WEIR_NEVER);

	(void)arg;
	return rc < 0 ? rc : 0;
}

#define WAITS_FOR_INPUT                                                        \
	.session = wait_for_input, .speaks_first = 1, .session_on_worker = 1,  \
	.first_byte_ms = WEIR_NEVER, .idle_ms = WEIR_NEVER

/* The worker has read the old deadlines, and cannot be woken yet. */
START_TEST(a_session_that_is_about_to_sleep_gets_the_new_deadline)
{
	struct server *s;

	hold_set(&session_sleeps);
	s = serve_workers(1, WEIR_SERVICE(WAITS_FOR_INPUT));
	client_open(s);
	UNTIL(is_held_at(&session_sleeps));
	ck_assert_int_eq(
		weir_server_configure_service(
			s->weir, 0,
			WEIR_SERVICE(WAITS_FOR_INPUT, .lifetime_ms = 1)),
		0);
	let_go(&session_sleeps);
	UNTIL(stats(s).ledger.timed_out == 1);
	server_stop_and_check(s);
}
END_TEST

/* --------------------------------------------------------- a write in part */

#define PART ((size_t)1000)

static char large[1024 * 1024];
static struct hold writer_has_sent_a_part;
static _Atomic int large_sends, rc_of_write;

/* The kernel takes a part, and after that nothing for a while. */
static int take_a_part(enum wr_sys_call call, size_t *len)
{
	if (call != WR_SYS_sendmsg || *len <= PART)
		return 0;
	switch (atomic_fetch_add(&large_sends, 1)) {
	case 0:
		*len = PART;
		return 0;
	case 1:
		held_at(&writer_has_sent_a_part);
		return -EAGAIN;
	default:
		return 0;
	}
}

static int write_much(weir_conn *c, void *arg)
{
	char line[16];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc;

	(void)arg;
	if (n <= 0)
		return (int)n;
	rc = weir_conn_write(c, large, sizeof(large));
	atomic_store(&rc_of_write, rc);
	return rc < 0 ? rc : WEIR_AGAIN;
}

START_TEST(a_write_that_was_sent_in_part_is_kept_at_a_lower_total)
{
	struct server *s;
	struct client *c;

	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = byte_at(i);
	wr_sys_fault = take_a_part;
	s = serve_workers(1, WEIR_SERVICE(.readable = write_much));
	c = client_open(s);
	hold_set(&writer_has_sent_a_part);
	client_send(c, "go\n");
	UNTIL(is_held_at(&writer_has_sent_a_part));
	ck_assert_int_eq(
		weir_server_configure(s->weir, WEIR_CONFIG(.outbox_total = 1)),
		0);
	let_go(&writer_has_sent_a_part);
	client_expect_bytes(c, large, sizeof(large));
	ck_assert_int_eq(atomic_load(&rc_of_write), 0);
	server_stop_and_check(s);
	wr_sys_fault = NULL;
}
END_TEST

/* ------------------------------------------------------------- the counts */

static void end_after_a_moment(weir_conn *c, void *arg)
{
	(void)arg;
	usleep(1000);
	ends_in = weir_conn_server(c);
}

START_TEST(a_connection_that_is_seen_as_ended_is_seen_with_its_time)
{
	struct server *s =
		serve_workers(1, WEIR_SERVICE(.readable = echo_lines,
					      .closed = end_after_a_moment));

	client_close(client_open_and_echo(s, "hello\n"));
	UNTIL(listener_stats(s, 0).ledger.completed == 1);
	server_stop_and_check(s);
	ck_assert(!atomic_load(&is_seen_without_its_time));
}
END_TEST

static void walk_from_here(weir_conn *c, void *arg)
{
	(void)arg;
	walks_in = weir_conn_server(c);
}

START_TEST(a_walk_does_not_show_a_connection_that_has_just_ended)
{
	struct server *s =
		serve_workers(1, WEIR_SERVICE(.readable = echo_lines,
					      .closed = walk_from_here));

	client_close(client_open_and_echo(s, "hello\n"));
	UNTIL(atomic_load(&shown_by_walk) >= 0); /* it is counted before */
	ck_assert_int_eq(shown_by_walk, 0);
	server_stop_and_check(s);
}
END_TEST

/* ---------------------------------------------- connections of the program */

struct adoption {
	weir_server *server;
	int fd;
	int rc;
	_Atomic int end;
};

static void note_adopted_end(weir_conn *c, void *arg)
{
	struct weir_summary summary;

	weir_conn_summary(c, &summary, sizeof(summary));
	atomic_store(&((struct adoption *)arg)->end, (int)summary.end);
}

static void *adopt(void *arg)
{
	struct adoption *a = arg;

	is_adopter = true;
	begins_at = now_ms();
	a->rc = weir_server_adopt(a->server, NULL, a->fd,
				  WEIR_SERVICE(.readable = echo_lines,
					       .closed = note_adopted_end,
					       .arg = a));
	return NULL;
}

START_TEST(a_stop_finds_a_connection_that_is_being_adopted)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	struct adoption a = { .server = s->weir };
	struct weir_report report;
	pthread_t thread;
	int pair[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	a.fd = pair[1];
	ck_assert_int_eq(pthread_create(&thread, NULL, adopt, &a), 0);
	UNTIL(atomic_load(&adopter_begins));
	weir_server_stop(s->weir, 0);
	weir_server_join(s->weir, &report, sizeof(report));
	atomic_store(&stop_is_over, true);
	pthread_join(thread, NULL);
	ck_assert_int_eq(a.rc, 0);
	UNTIL(atomic_load(&a.end) != 0); /* by its worker, late or not */
	ck_assert_int_eq(a.end, WEIR_END_CUT);
	ck_assert_uint_eq(report.ledger.dialled, 1);
	ck_assert_uint_eq(report.ledger.cut, 1);
	close(pair[0]);
	server_join_and_check(s);
}
END_TEST

/* ------------------------------------------------- relays that wait aside */

/* Between two connections that the test has made. */
enum { ON_STACK, ON_WORKER, IN_THREAD, KINDS };

struct relay {
	weir_conn *a, *b;
	int peer_a, peer_b;
	weir_ref *ref_b;
	int fd_b;
	struct server *server;
	pthread_t thread;
	_Atomic bool has_ended;
	int result;
};

static int dial_unix(weir_conn **ret)
{
	char where[32];
	int pair[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	snprintf(where, sizeof(where), "fd:%d", pair[0]);
	ck_assert_int_eq(weir_dial(ret, where, 0), 0);
	return pair[1];
}

static int dial_tcp(weir_conn **ret)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), peer;
	socklen_t len = sizeof(at);
	char where[32];

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, len), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	snprintf(where, sizeof(where), "127.0.0.1:%d", ntohs(at.sin_port));
	ck_assert_int_eq(weir_dial(ret, where, 0), 0);
	peer = __real_accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(peer, 0);
	close(fd);
	return peer;
}

static bool has_come(int fd, short events)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	return poll(&pfd, 1, 0) == 1 && (pfd.revents & events) == events;
}

static void relay_new(struct relay *r, int (*dial_b)(weir_conn **))
{
	memset(r, 0, sizeof(*r));
	r->peer_a = dial_unix(&r->a);
	r->peer_b = dial_b(&r->b);
	r->ref_b = weir_conn_ref(r->b);
	r->fd_b = weir_conn_fd(r->b);
}

static void *relay_in_thread(void *arg)
{
	struct relay *r = arg;

	is_relaying = true;
	r->result = weir_relay(r->a, r->b, NULL);
	is_relaying = false;
	atomic_store(&r->has_ended, true);
	return NULL;
}

static int relay_in_session(weir_conn *c, void *arg)
{
	struct relay *r = arg;

	(void)c;
	r->result = weir_relay(r->a, r->b, NULL);
	atomic_store(&r->has_ended, true);
	return WEIR_CLOSE;
}

static int relay_on_worker(weir_conn *c, void *arg)
{
	(void)c;
	relay_in_thread(arg);
	return WEIR_CLOSE;
}

/* Until it sleeps, after it has seen what there is. */
static void relay_begin(struct relay *r, int kind)
{
	atomic_store(&relay_sleeps, false);
	if (kind == IN_THREAD) {
		ck_assert_int_eq(
			pthread_create(&r->thread, NULL, relay_in_thread, r),
			0);
		UNTIL(atomic_load(&relay_sleeps));
		return;
	}
	r->server =
		serve(NULL, WEIR_SERVICE(SESSION_ON(kind == ON_WORKER,
						    kind == ON_WORKER
							    ? relay_on_worker
							    : relay_in_session),
					 .speaks_first = 1, .arg = r));
	client_open(r->server);
	if (kind == ON_WORKER)
		UNTIL(atomic_load(&relay_sleeps));
	else
		UNTIL(stats(r->server).parked == 1);
}

static void relay_expect(struct relay *r, int kind, int result)
{
	UNTIL(atomic_load(&r->has_ended));
	ck_assert_msg(r->result == result, "kind %d: %s", kind,
		      error_name(r->result));
	if (kind == IN_THREAD)
		pthread_join(r->thread, NULL);
	else
		server_stop_and_check(r->server);
	weir_ref_unref(r->ref_b);
	weir_conn_free(r->a);
	weir_conn_free(r->b);
	close(r->peer_a);
}

/* Half of the mark: nothing is received for it. */
static void fill_outbox(weir_conn *c)
{
	static const char bytes[4096];

	while (weir_conn_unsent(c) < 128 << 10)
		ck_assert_int_eq(weir_conn_write(c, bytes, sizeof(bytes)), 0);
}

static void reset_b(const struct relay *r)
{
	const struct linger now = { .l_onoff = 1 };

	setsockopt(r->peer_b, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(r->peer_b);
}

static void cut_behind_a_hang_up(int (*dial_b)(weir_conn **), int kind)
{
	struct relay r;

	relay_new(&r, dial_b);
	fill_outbox(r.a);
	reset_b(&r);
	UNTIL(has_come(r.fd_b, POLLHUP));
	relay_begin(&r, kind);
	ck_assert_int_eq(weir_ref_cancel(r.ref_b), 0);
	relay_expect(&r, kind, -ECANCELED);
}

START_TEST(a_cut_of_a_side_that_has_hung_up_ends_a_relay)
{
	for (int kind = 0; kind < KINDS; kind++) {
		cut_behind_a_hang_up(dial_unix, kind);
		cut_behind_a_hang_up(dial_tcp, kind);
	}
}
END_TEST

/* It is an error of the socket for poll(2), and stays one. */
static void send_with_time_stamp(struct relay *r)
{
	const int flags = SOF_TIMESTAMPING_TX_SOFTWARE |
			  SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID;

	ck_assert_int_eq(setsockopt(r->fd_b, SOL_SOCKET, SO_TIMESTAMPING,
				    &flags, sizeof(flags)),
			 0);
	ck_assert_int_eq(weir_conn_write(r->b, "x", 1), 0);
	ck_assert_int_eq(weir_conn_flush(r->b), 0);
	UNTIL(has_come(r->fd_b, POLLERR));
}

START_TEST(a_reset_behind_a_time_stamp_ends_a_relay)
{
	for (int kind = 0; kind < KINDS; kind++) {
		struct relay r;

		relay_new(&r, dial_tcp);
		send_with_time_stamp(&r);
		shutdown(r.peer_b, SHUT_WR);
		UNTIL(has_come(r.fd_b, POLLRDHUP));
		relay_begin(&r, kind);
		reset_b(&r);
		relay_expect(&r, kind, -ECONNRESET);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"moments", a_stop_ends_the_pause_of_a_shortage,
		a_worker_refuses_a_client_that_has_waited_too_long,
		a_stop_without_grace_is_one_though_the_acceptor_woke_before,
		a_handshake_under_way_at_the_fence_has_its_time,
		a_wake_reaches_a_server_at_rest,
		a_listener_that_is_added_wakes_a_server_at_rest,
		what_a_worker_leaves_lying_before_it_gets_stuck_is_run,
		a_client_that_connects_after_a_change_meets_the_new_values,
		a_session_that_is_about_to_sleep_gets_the_new_deadline,
		a_write_that_was_sent_in_part_is_kept_at_a_lower_total,
		a_connection_that_is_seen_as_ended_is_seen_with_its_time,
		a_walk_does_not_show_a_connection_that_has_just_ended,
		a_stop_finds_a_connection_that_is_being_adopted,
		a_cut_of_a_side_that_has_hung_up_ends_a_relay,
		a_reset_behind_a_time_stamp_ends_a_relay);
}
