/* SPDX-License-Identifier: MIT */
/*
 * How long a stop waits for new connections: without a fence clients go on
 * connecting, accept(2) may fail for ever, handshakes may take long.  The
 * linker wraps the library's calls (--wrap): there is no fence, and the test
 * sets the round trip time.  The grace of all these stops is much longer than
 * the bound.
 */
#include "test.h"

#include "faults.h"
#include "listener.h"

#define CHURNING 6
#define WARM	 300 /* answers before the stop */

static const int long_grace = 60000;
static const uint64_t much_less = 20000;

/* ------------------------------------------------- around the library's calls
 */

static _Atomic bool fence_is_none;
static _Atomic int64_t fake_round_trip_us; /* 0: the real one */
static struct gate sending = GATE_CLOSED;  /* in a send(2) */
static _Thread_local bool is_sender;
static _Atomic bool fence_is_held;
static struct gate fencing = GATE_CLOSED;

int __real_wr_listener_fence(struct wr_listener *l);
int __wrap_wr_listener_fence(struct wr_listener *l);
int64_t __real_wr_sys_round_trip_us(int fd);
int64_t __wrap_wr_sys_round_trip_us(int fd);

/* It claims to stand. */
int __wrap_wr_listener_fence(struct wr_listener *l)
{
	if (atomic_load(&fence_is_held))
		gate_wait(&fencing);
	return atomic_load(&fence_is_none) ? 0 : __real_wr_listener_fence(l);
}

int64_t __wrap_wr_sys_round_trip_us(int fd)
{
	int64_t us = atomic_load(&fake_round_trip_us);

	if (gate_waiting(&sending) > 0) /* as the kernel does */
		gate_wait(&sending);
	return us ? us : __real_wr_sys_round_trip_us(fd);
}

/* -------------------------------------------------------- without a fence */

static int lines_in(const char *log, const char *words)
{
	int count = 0;

	while (log && (log = strstr(log, words))) {
		count++;
		log++;
	}
	return count;
}

static void expect_short(const struct weir_report *r)
{
	ck_assert_uint_lt(r->drain_ms, much_less * (uint64_t)slowness());
}

/* Clients connect until nothing listens. */
static struct weir_report stop_under_load(struct server *s, int grace_ms)
{
	struct load *load = load_start(s->address, CHURNING, 0);
	struct weir_report report;

	UNTIL(load_answered(load) > WARM);
	load_mark_stop(load);
	weir_server_stop(s->weir, grace_ms);
	ck_assert_int_eq(join_fully(s->weir, &report), 0);
	load_finish(load);
	expect_short(&report);
	return report;
}

static struct server *serve_lines(const char *where)
{
	return serve_at(where, WEIR_CONFIG(.workers = 4),
			WEIR_SERVICE(.readable = echo_lines));
}

static void stop_unfenced(const char *where, enum wr_sys_call call,
			  int grace_ms)
{
	struct server *s;

	faults_install();
	s = serve_lines(where);
	fail_acceptor_calls(call, -EPERM);
	stop_under_load(s, grace_ms);
	ck_assert_int_gt(faults_made(), 0);
	faults_clear();
	server_join_and_check(s);
}

START_TEST(without_a_fence_a_stop_under_load_is_short)
{
	stop_unfenced("127.0.0.1:0", WR_SYS_setsockopt, long_grace);
	stop_unfenced("127.0.0.1:0", WR_SYS_setsockopt, WEIR_NEVER);
	stop_unfenced(own_unix_address(), WR_SYS_shutdown, long_grace);
}
END_TEST

START_TEST(without_a_fence_clients_that_waited_are_served)
{
	struct gate gate = GATE_CLOSED;
	struct server *s;
	struct client *held, *c[20];
	struct weir_report report;

	faults_install();
	s = serve(WEIR_CONFIG(.workers = 1, .queue_length = 5),
		  WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));
	held = client_open(s);
	client_wait_at_gate(held, &gate);
	for (int i = 0; i < 20; i++)
		c[i] = client_open_and_send(s, "hello\n");
	UNTIL(stats(s).queued == 5);
	fail_acceptor_calls(WR_SYS_setsockopt, -EPERM);
	weir_server_stop(s->weir, long_grace);
	UNTIL(log_says(s, "stopping"));
	gate_open(&gate);
	client_expect(held, "wait\n");
	for (int i = 0; i < 20; i++)
		client_expect_last(c[i], "hello\n");
	ck_assert_int_gt(faults_made(), 0);
	faults_clear();
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 21);
	expect_short(&report);
}
END_TEST

/* A turn is so long that the backlog never gets empty. */
static int take_its_time(weir_conn *c, void *arg)
{
	poll_sleep();
	return echo_lines(c, arg);
}

START_TEST(without_a_fence_a_full_queue_makes_no_stop_longer)
{
	struct server *s;

	faults_install();
	s = serve(WEIR_CONFIG(.workers = 1, .queue_length = 1),
		  WEIR_SERVICE(.readable = take_its_time));
	fail_acceptor_calls(WR_SYS_setsockopt, -EPERM);
	stop_under_load(s, long_grace);
	faults_clear();
	server_join_and_check(s);
}
END_TEST

START_TEST(that_there_is_no_fence_is_said_once)
{
	struct weir_report report;
	struct server *s;

	faults_install();
	s = server_new(NULL);
	for (int i = 0; i < 3; i++)
		server_listen(s, "127.0.0.1:0",
			      WEIR_SERVICE(.readable = echo_lines));
	server_start(s);
	fail_acceptor_calls(WR_SYS_setsockopt, -EPERM);
	weir_server_stop(s->weir, long_grace);
	ck_assert_int_eq(join_fully(s->weir, &report), 0);
	faults_clear();
	expect_short(&report);
	ck_assert_int_eq(lines_in(s->log, "cannot be kept from connecting"), 1);
	server_join_and_check(s);
}
END_TEST

START_TEST(a_fence_that_does_not_hold_makes_no_stop_longer)
{
	struct server *s = serve_lines("127.0.0.1:0");

	atomic_store(&fence_is_none, true);
	stop_under_load(s, long_grace);
	atomic_store(&fence_is_none, false);
	server_join_and_check(s);
}
END_TEST

/* ------------------------------------------------------- accept(2) fails */

static void stop_with_failing_accept(int error)
{
	struct weir_report report;
	struct server *s;

	faults_install();
	s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	fail_calls_from(WR_SYS_accept4, 1, -error);
	client_open(s);
	UNTIL(stats(s).accept_errors > 0 || stats(s).shortages > 0);
	weir_server_stop(s->weir, long_grace);
	ck_assert_int_eq(join_fully(s->weir, &report), 0);
	faults_clear();
	expect_short(&report);
	server_join_and_check(s);
}

START_TEST(a_stop_does_not_wait_for_clients_it_cannot_accept)
{
	stop_with_failing_accept(EPERM);
	stop_with_failing_accept(ENOSYS);
	stop_with_failing_accept(EMFILE);
}
END_TEST

/* ----------------------------------------------------------- quiet time */

static struct weir_report stop_with_round_trip(int64_t ms)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	struct client *c = client_open(s);
	struct weir_report report;

	client_expect_echo(c, "hello\n");
	atomic_store(&fake_round_trip_us, ms * 1000);
	weir_server_stop(s->weir, long_grace);
	client_expect_eof(c);
	client_close(c);
	report = server_join_and_check(s);
	atomic_store(&fake_round_trip_us, 0);
	expect_short(&report);
	return report;
}

START_TEST(handshakes_of_distant_peers_have_their_time)
{
	ck_assert_uint_ge(stop_with_round_trip(200).drain_ms, 300);
	ck_assert_uint_ge(stop_with_round_trip(1).drain_ms, 30);
}
END_TEST

START_TEST(a_peer_beyond_all_bounds_makes_no_stop_longer)
{
	ck_assert_uint_ge(stop_with_round_trip(60000).drain_ms, 500);
}
END_TEST

static void pass_quiet_time(void)
{
	int64_t until = now_ms() + 100;

	UNTIL(now_ms() > until);
}

/* The acceptor sees the stop in the round of the fence. */
static void be_slow_at_the_fence(const char *where)
{
	struct server *s = serve_lines(where);
	struct client *c[3];

	atomic_store(&fence_is_held, true);
	ck_assert_int_eq(weir_server_unlisten(s->weir, 0), 0);
	UNTIL(gate_waiting(&fencing) == 1);
	for (int i = 0; i < 3; i++)
		c[i] = client_open_and_send(s, "hello\n");
	ck_assert_int_eq(weir_server_stop(s->weir, long_grace), 0);
	pass_quiet_time();
	atomic_store(&fence_is_held, false);
	gate_let_in(&fencing, 1);
	for (int i = 0; i < 3; i++)
		client_expect_last(c[i], "hello\n");
	ck_assert_uint_eq(server_join_and_check(s).ledger.completed, 3);
}

START_TEST(clients_that_come_before_a_slow_fence_are_served)
{
	be_slow_at_the_fence("127.0.0.1:0");
	be_slow_at_the_fence(own_unix_address());
}
END_TEST

START_TEST(clients_that_come_before_a_fence_fails_are_served)
{
	struct gate gate = GATE_CLOSED;
	struct client *held, *c[3];
	struct server *s;
	struct weir_report report;

	faults_install();
	s = serve(WEIR_CONFIG(.workers = 1, .queue_length = 1),
		  WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));
	held = client_open(s);
	client_wait_at_gate(held, &gate);
	fail_acceptor_calls(WR_SYS_setsockopt, -EPERM);
	atomic_store(&fence_is_held, true);
	ck_assert_int_eq(weir_server_stop(s->weir, long_grace), 0);
	UNTIL(gate_waiting(&fencing) == 1);
	for (int i = 0; i < 3; i++)
		c[i] = client_open_and_send(s, "hello\n");
	atomic_store(&fence_is_held, false);
	gate_let_in(&fencing, 1);
	pass_quiet_time(); /* while the queue is full */
	ck_assert_int_gt(faults_made(), 0);
	gate_open(&gate);
	client_expect(held, "wait\n");
	for (int i = 0; i < 3; i++)
		client_expect_last(c[i], "hello\n");
	faults_clear();
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 4);
	expect_short(&report);
}
END_TEST

/* --------------------------------------------------- locks that are held */

static int hold_the_sender(enum wr_sys_call call, size_t *len)
{
	(void)len;
	if (call == WR_SYS_sendmsg && is_sender)
		gate_wait(&sending);
	return 0;
}

static void *send_lines(void *arg)
{
	is_sender = true;
	ck_assert_int_le(weir_ref_send(arg, "news\n", 5), 0);
	weir_ref_unref(arg);
	return NULL;
}

static int hand_out(weir_conn *c, void *arg)
{
	if (weir_conn_why(c) == WEIR_OPENED)
		atomic_store((_Atomic(weir_ref *) *)arg, weir_conn_ref(c));
	return weir_conn_why(c) == WEIR_OPENED ? WEIR_AGAIN
					       : echo_lines(c, NULL);
}

/* A send(2) may wait for memory that is on a disk, with the lock held. */
START_TEST(a_send_that_hangs_does_not_put_the_end_off)
{
	_Atomic(weir_ref *) handed = NULL;
	struct server *s = server_new(WEIR_CONFIG(.workers = 2));
	struct weir_report report;
	pthread_t sender;

	server_listen(s, "127.0.0.1:0",
		      WEIR_SERVICE(.opened = hand_out, .readable = hand_out,
				   .arg = &handed));
	wr_sys_fault = hold_the_sender;
	server_start(s);
	client_open(s);
	/* Its worker would send until it is parked. */
	UNTIL(atomic_load(&handed) != NULL && stats(s).parked == 1);
	ck_assert_int_eq(
		pthread_create(&sender, NULL, send_lines, atomic_load(&handed)),
		0);
	UNTIL(gate_waiting(&sending) == 1);
	weir_server_stop(s->weir, 300);
	ck_assert_int_eq(weir_server_join(s->weir, &report, sizeof(report)),
			 -EBUSY);
	expect_stop_on_time(&report, 300);
	gate_open(&sending);
	pthread_join(sender, NULL);
	UNTIL(weir_server_join(s->weir, NULL, 0) == -ECANCELED);
	weir_server_free(s->weir);
	server_check_freed(s);
	wr_sys_fault = NULL;
}
END_TEST

static int send_a_byte(enum wr_sys_call call, size_t *len)
{
	if (call == WR_SYS_sendmsg) {
		*len = 1;
		poll_sleep();
	}
	return 0;
}

static int write_without_end(weir_conn *c, void *arg)
{
	static const char block[65536];
	int rc = 0;

	while (rc == 0)
		rc = weir_conn_write(c, block, sizeof(block));
	atomic_store((_Atomic int *)arg, rc);
	return rc;
}

/* It has the lock all the time, so the stop cannot shut down the socket. */
START_TEST(a_write_that_never_waits_is_cut)
{
	_Atomic int said = 0;
	struct server *s = server_new(NULL);

	server_listen(
		s, "127.0.0.1:0",
		WEIR_SERVICE(.readable = write_without_end, .arg = &said));
	wr_sys_fault = send_a_byte;
	server_start(s);
	client_open_and_send(s, "go\n");
	UNTIL(stats(s).busy == 1);
	weir_server_stop(s->weir, 0);
	UNTIL(atomic_load(&said) != 0);
	ck_assert_int_eq(atomic_load(&said), -ECANCELED);
	UNTIL(weir_server_join(s->weir, NULL, 0) == -ECANCELED);
	server_join_and_check(s);
	wr_sys_fault = NULL;
}
END_TEST

int main(void)
{
	return RUN_TESTS("stop_bounds",
			 without_a_fence_a_stop_under_load_is_short,
			 without_a_fence_clients_that_waited_are_served,
			 without_a_fence_a_full_queue_makes_no_stop_longer,
			 that_there_is_no_fence_is_said_once,
			 a_fence_that_does_not_hold_makes_no_stop_longer,
			 a_stop_does_not_wait_for_clients_it_cannot_accept,
			 handshakes_of_distant_peers_have_their_time,
			 a_peer_beyond_all_bounds_makes_no_stop_longer,
			 clients_that_come_before_a_slow_fence_are_served,
			 clients_that_come_before_a_fence_fails_are_served,
			 a_send_that_hangs_does_not_put_the_end_off,
			 a_write_that_never_waits_is_cut);
}
