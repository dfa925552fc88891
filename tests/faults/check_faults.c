/* SPDX-License-Identifier: MIT */
/*
 * Every system call of the library fails once, at each place that a short run
 * reaches: a server is made, talks to a few clients, sends a file and stops.
 * Either the server does not start, with an error and nothing left behind, or
 * at most one connection is lost and the others are served.
 */
#include "test.h"

#include "faults.h"

static int fd_of_file;

/* A banner; lines are echoed, "file" is answered with a file. */
static int echo_parked(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;
	int rc;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0) {
		if (strcmp(line, "file\n") == 0)
			rc = weir_conn_sendfile(c, fd_of_file, 0, 1000);
		else
			rc = weir_conn_write(c, line, (size_t)n);
		if (rc < 0)
			return rc;
	}
	return (int)n;
}

static const char asks[] = "hello\nfile\nwindup\n";
#define ANSWERED (7 + 6 + 1000 + 7)

/* How much came before the end, by FIN or RST. */
static size_t whole_dialogue(const char *address)
{
	struct client *c = client_open_at(address);
	size_t count;

	client_try_send(c, asks, sizeof(asks) - 1);
	shutdown(c->fd, SHUT_WR);
	count = client_expect_end(c);
	client_close(c);
	return count;
}

/* 0 and the server runs, or the error and there is none. */
static int begin_run(weir_server **ret, char *address, size_t cap)
{
	int rc = weir_server_new(ret, WEIR_CONFIG(.workers = 2));

	if (rc < 0)
		return rc;
	rc = weir_server_listen(*ret, "127.0.0.1:0",
				WEIR_SERVICE(.readable = echo_parked,
					     .opened = connect_banner));
	if (rc >= 0)
		rc = weir_server_address(*ret, rc, address, cap);
	if (rc >= 0)
		rc = weir_server_start(*ret);
	if (rc < 0)
		weir_server_free(*ret);
	return rc;
}

static void end_run(weir_server *s)
{
	struct weir_report report;
	int rc;

	ck_assert_int_eq(weir_server_stop(s, 20000), 0);
	rc = join_fully(s, &report);
	ck_assert_msg(rc == 0 || rc == -ECANCELED, "join: %s",
		      weir_strerror(rc));
	expect_balance(&report.ledger);
	ck_assert_uint_eq(report.ledger.open, 0);
	weir_server_free(s);
}

static void one_run(void)
{
	struct process_state before;
	char address[64];
	weir_server *s = NULL;
	int rc;

	process_state_take(&before);
	rc = begin_run(&s, address, sizeof(address));
	if (rc == 0) {
		for (int i = 0; i < 3; i++) {
			int made = faults_made();
			size_t count = whole_dialogue(address);

			/* An earlier failure has no effect any more. */
			ck_assert_msg(!made || count == ANSWERED,
				      "a later client got %zu bytes", count);
		}
		end_run(s);
	} else {
		ck_assert_int_gt(faults_made(), 0);
	}
	faults_clear();
	process_state_check(&before);
}

#define MOST 80 /* of one kind in a run; some calls are made without end */

static void sweep(enum wr_sys_call call, int error)
{
	int nth = 1;

	faults_install();
	fd_of_file = make_file(1000);
	do {
		fail_nth_call(call, nth, error);
		one_run();
	} while (faults_made() > 0 && nth++ < MOST);
	close(fd_of_file);
	/* The run must reach that call. */
	ck_assert_msg(nth > 1, "%s was never called", wr_sys_call_names[call]);
}

START_TEST(any_allocation_may_fail)
{
	sweep(WR_SYS_alloc, -ENOMEM);
}
END_TEST

START_TEST(any_descriptor_may_be_missing)
{
	sweep(WR_SYS_socket, -EMFILE);
	sweep(WR_SYS_eventfd, -EMFILE);
	sweep(WR_SYS_dup, -EMFILE);
}
END_TEST

START_TEST(any_epoll_instance_may_be_missing)
{
	if (skip_with_poll(__func__, "no epoll"))
		return;
	sweep(WR_SYS_epoll_create, -EMFILE);
}
END_TEST

START_TEST(any_step_of_a_listener_may_fail)
{
	sweep(WR_SYS_bind, -EADDRINUSE);
	sweep(WR_SYS_listen, -EADDRINUSE);
	sweep(WR_SYS_getsockname, -ENOBUFS);
	sweep(WR_SYS_setsockopt, -ENOPROTOOPT);
}
END_TEST

START_TEST(any_thread_or_lock_may_be_missing)
{
	sweep(WR_SYS_thread_create, -EAGAIN);
	sweep(WR_SYS_mutex_init, -ENOMEM);
	sweep(WR_SYS_cond_init, -ENOMEM);
}
END_TEST

START_TEST(any_input_or_output_may_fail)
{
	sweep(WR_SYS_recv, -ECONNRESET);
	sweep(WR_SYS_sendmsg, -EPIPE);
	sweep(WR_SYS_sendfile, -EIO);
	sweep(WR_SYS_shutdown, -ENOTCONN);
}
END_TEST

START_TEST(any_change_of_what_is_waited_for_may_fail)
{
	if (skip_with_poll(__func__, "no call changes the set"))
		return;
	sweep(WR_SYS_epoll_ctl, -ENOSPC);
}
END_TEST

START_TEST(any_call_that_waits_may_be_interrupted)
{
	static const enum wr_sys_call calls[] = { POLLER_WAITS, WR_SYS_recv,
						  WR_SYS_sendmsg,
						  WR_SYS_sendfile,
						  WR_SYS_accept4 };

	for (size_t i = 0; i < wr_array_len(calls); i++)
		sweep(calls[i], -EINTR);
}
END_TEST

/* Calls are interrupted: no client may notice. */
START_TEST(an_interruption_costs_no_connection)
{
	static const enum wr_sys_call calls[] = { POLLER_WAITS, WR_SYS_recv,
						  WR_SYS_sendmsg,
						  WR_SYS_sendfile,
						  WR_SYS_accept4 };
	char address[64];
	weir_server *s;

	faults_install();
	fd_of_file = make_file(1000);
	ck_assert_int_eq(begin_run(&s, address, sizeof(address)), 0);
	for (size_t i = 0; i < wr_array_len(calls); i++) {
		for (int nth = 1; nth < 8; nth++) {
			fail_nth_call(calls[i], nth, -EINTR);
			ck_assert_uint_eq(whole_dialogue(address), ANSWERED);
		}
	}
	faults_clear();
	end_run(s);
	close(fd_of_file);
}
END_TEST

static bool can_listen_again(const char *address)
{
	struct server *s = server_new(NULL);
	int id = weir_server_listen(s->weir, address,
				    WEIR_SERVICE(.readable = echo));

	if (id < 0)
		ck_assert_int_eq(id, -EADDRINUSE);
	weir_server_free(s->weir);
	server_check_freed(s);
	return id >= 0;
}

/* The nth thread is missing. */
static bool is_port_free_after_failed_start(int nth)
{
	struct server *s = server_new(WEIR_CONFIG(.workers = 4));
	struct weir_report report;
	bool is_free;

	server_listen(s, "127.0.0.1:0", WEIR_SERVICE(.readable = echo));
	fail_nth_call(WR_SYS_thread_create, nth, -EAGAIN);
	ck_assert_int_eq(weir_server_start(s->weir), -EAGAIN);
	ck_assert_int_eq(faults_made(), 1);
	faults_clear();
	is_free = can_listen_again(s->address);
	ck_assert_int_eq(weir_server_start(s->weir), -ESHUTDOWN);
	ck_assert_int_eq(weir_server_join(s->weir, &report, sizeof(report)), 0);
	ck_assert_uint_eq(report.lame_duck_ms, 0);
	weir_server_free(s->weir);
	server_check_freed(s);
	return is_free;
}

/* Each thread: the acceptor and the workers. */
START_TEST(a_start_that_fails_leaves_nothing)
{
	faults_install();
	for (int nth = 1; nth <= 5; nth++)
		/* Another program may take the port first. */
		for (int i = 0; !is_port_free_after_failed_start(nth); i++)
			ck_assert_int_lt(i, 10);
}
END_TEST

START_TEST(a_run_of_a_started_server_outlasts_an_interruption)
{
	struct server *s = server_new(WEIR_CONFIG(.workers = 2));
	sigset_t term;

	faults_install();
	server_listen(s, "127.0.0.1:0", WEIR_SERVICE(.readable = echo));
	server_start(s);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &term, NULL);
	kill(getpid(), SIGTERM);
	fail_nth_call(WR_SYS_poll, 1, -EINTR);
	ck_assert_int_eq(weir_server_run(s->weir, WEIR_SIGNALS), 0);
	ck_assert_int_eq(faults_made(), 1);
	faults_clear();
	pthread_sigmask(SIG_UNBLOCK, &term, NULL);
	server_join_and_check(s);
}
END_TEST

static weir_server *to_stop;
static pthread_t starter;
static int calls_to_go;

static void stop_it(int sig)
{
	(void)sig;
	weir_server_stop(to_stop, 20000);
}

/* A signal just before that call, whatever is locked then. */
static int interrupt(enum wr_sys_call call, size_t *len)
{
	(void)call, (void)len;
	if (pthread_equal(pthread_self(), starter) && --calls_to_go == 0)
		raise(SIGUSR1);
	return 0;
}

static atomic_int greeted;

static int greet_and_close(weir_conn *c, void *arg)
{
	(void)c, (void)arg;
	atomic_fetch_add(&greeted, 1);
	return WEIR_CLOSE;
}

/* The event that a connection stands comes once. */
START_TEST(an_interrupted_look_at_a_dialled_connection_is_repeated)
{
	struct server *s;
	struct weir_report report;

	faults_install();
	s = serve_workers(2, WEIR_SERVICE(.readable = echo));
	for (int nth = 1; nth <= 2; nth++) {
		fail_nth_call(WR_SYS_poll, nth, -EINTR);
		ck_assert_int_eq(
			weir_server_dial(
				s->weir, NULL, s->address, 0,
				WEIR_SERVICE(.readable = echo,
					     .opened = greet_and_close)),
			0);
		UNTIL(greeted == nth);
		faults_clear();
	}
	UNTIL(stats(s).ledger.accepted == 2);
	UNTIL(stats(s).ledger.open == 0);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 4);
}
END_TEST

START_TEST(a_handler_may_stop_at_any_step_of_a_start)
{
	const struct sigaction action = { .sa_handler = stop_it };
	int nth = 0, rc;

	starter = pthread_self();
	sigaction(SIGUSR1, &action, NULL);
	do {
		struct server *s = server_new(WEIR_CONFIG(.workers = 2));

		server_listen(s, "127.0.0.1:0", WEIR_SERVICE(.readable = echo));
		to_stop = s->weir;
		calls_to_go = ++nth;
		wr_sys_fault = interrupt;
		rc = weir_server_start(s->weir);
		if (calls_to_go > 0)
			stop_it(0); /* there are no more steps */
		ck_assert(rc == 0 || rc == -ESHUTDOWN);
		ck_assert_int_eq(join_fully(s->weir, NULL), 0);
		wr_sys_fault = NULL;
		weir_server_free(s->weir);
		server_check_freed(s);
	} while (calls_to_go <= 0);
	ck_assert_int_gt(nth, 3);
}
END_TEST

START_TEST(a_connection_that_cannot_be_watched_is_the_only_one_lost)
{
	struct server *s;
	struct client *old, *lost;
	struct weir_report report;

	if (skip_with_poll(__func__, "no call changes the set"))
		return;
	faults_install();
	s = serve_workers(2, WEIR_SERVICE(.readable = echo_lines));
	old = client_open_and_echo(s, "hello\n");
	UNTIL(stats(s).parked == 1);
	/* by the acceptor if a worker polls already, then by a worker */
	fail_calls_from(WR_SYS_epoll_ctl, 1, -ENOSPC);
	lost = client_open(s);
	client_expect_end(lost);
	ck_assert_int_ge(faults_made(), 1);
	ck_assert_int_le(faults_made(), 2);
	client_expect_echo(old, "hello\n");
	faults_clear();
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.failed, 1);
	ck_assert_uint_eq(report.ledger.completed, 1);
}
END_TEST

static int say_hello(weir_conn *c, void *arg)
{
	(void)arg;
	return weir_conn_printf(c, "hello\n");
}

static void serve_unwatched(bool is_closed_first)
{
	const struct weir_service *service =
		WEIR_SERVICE(.session = say_hello, .speaks_first = 1);
	struct server *s;
	struct weir_report report;
	char address[160];

	faults_install();
	s = serve_workers(2, service);
	client_expect_last(client_open(s), "hello\n");
	fail_calls_from(WR_SYS_epoll_ctl, 1, -ENOSPC);
	ck_assert_int_eq(server_listen(s, "127.0.0.1:0", service), 1);
	server_address(s, 1, address, sizeof(address));
	for (int i = 0; i < 3; i++)
		client_expect_last(client_open_at(address), "hello\n");
	ck_assert(log_says(s, "max_user_watches"));
	if (is_closed_first) {
		ck_assert_int_eq(weir_server_unlisten(s->weir, 1), 0);
		UNTIL(weir_server_unlisten(s->weir, 1) == -EINVAL);
	}
	UNTIL(stats(s).ledger.open == 0);
	weir_server_stop(s->weir, 60000);
	report = server_join_and_check(s);
	ck_assert_uint_lt(report.drain_ms, 30000);
	ck_assert_uint_eq(report.ledger.completed, 4);
	faults_clear();
}

START_TEST(a_listener_that_cannot_be_watched_serves_and_ends)
{
	if (skip_with_poll(__func__, "no call changes the set"))
		return;
	serve_unwatched(false);
	serve_unwatched(true);
}
END_TEST

/* No memory for a while: when there is memory again, clients are served. */
START_TEST(a_server_outlasts_a_time_without_memory)
{
	struct server *s;

	faults_install();
	s = serve_workers(2, WEIR_SERVICE(.readable = echo_lines));
	for (int nth = 1; nth < 20; nth++) {
		struct client *c = client_open(s);

		fail_calls_from(WR_SYS_alloc, nth, -ENOMEM);
		client_try_send(c, "hello\n", 6);
		UNTIL(faults_made() > 0 || client_has_input(c));
		faults_clear();
		shutdown(c->fd, SHUT_WR); /* unless it was dropped */
		client_expect_end(c);
		client_close(c);
		c = client_open_and_echo(s, "hello\n");
		client_close(c);
	}
	server_stop_and_check(s);
}
END_TEST

/* Change to settings that are new, or to those of the start. */
static int change_settings(struct server *s, bool are_new)
{
	int rc = weir_server_configure_service(
		s->weir, 0,
		WEIR_SERVICE(.readable = echo_lines,
			     .proxy_trust =
				     are_new ? "127.0.0.2,::1" : "127.0.0.0/8",
			     .idle_ms = are_new ? 50000 : 60000));

	if (rc < 0)
		return rc;
	return weir_server_configure(
		s->weir, WEIR_CONFIG(.workers = 2,
				     .refusal = are_new ? "not now" : "no"));
}

START_TEST(settings_that_were_in_force_need_no_memory)
{
	struct server *s;
	int rc, nth = 0;

	faults_install();
	s = serve(WEIR_CONFIG(.workers = 2, .refusal = "no"),
		  WEIR_SERVICE(.readable = echo_lines,
			       .proxy = WEIR_PROXY_REQUIRED,
			       .proxy_trust = "127.0.0.0/8", .idle_ms = 60000));
	do {
		fail_calls_from(WR_SYS_alloc, ++nth, -ENOMEM);
		rc = change_settings(s, true);
		fail_calls_from(WR_SYS_alloc, 1, -ENOMEM);
		ck_assert_int_eq(change_settings(s, false), 0);
	} while (rc == -ENOMEM);
	ck_assert_int_eq(rc, 0);
	ck_assert_int_eq(nth, 3); /* what was made once is kept */
	faults_clear();
	server_stop_and_check(s);
}
END_TEST

static int shorten_output(enum wr_sys_call call, size_t *len)
{
	if (call == WR_SYS_sendmsg && *len > 3)
		*len = 3;
	return 0;
}

START_TEST(a_refusal_that_is_taken_in_pieces_is_whole)
{
	struct server *s;
	struct client *c;

	wr_sys_fault = shorten_output;
	s = serve(WEIR_CONFIG(.workers = 1, .max_connections = 1,
			      .overload = WEIR_REFUSE,
			      .refusal = "there is no room\n"),
		  WEIR_SERVICE(.readable = echo_lines));
	c = client_open_and_echo(s, "hello\n");
	c = client_open(s);
	client_expect_last(c, "there is no room\n");
	server_stop_and_check(s);
}
END_TEST

/* A connection that lingers outlasts this: its peer keeps it for 30 seconds. */
static bool ends_while_its_peer_sends(struct server *s, struct client *c)
{
	int64_t until = now_ms() + 15000;

	while (stats(s).ledger.open > 0 && now_ms() < until) {
		(void)client_try_send(c, "x", 1);
		poll_sleep();
	}
	return stats(s).ledger.open == 0;
}

START_TEST(nobody_waits_for_a_peer_that_cannot_be_told_the_end)
{
	struct server *s;
	struct client *c;

	faults_install();
	s = serve(NULL, WEIR_SERVICE(.readable = echo_parked,
				     .opened = connect_banner, .line_max = 4));
	c = client_open(s);
	client_expect(c, "Connect");
	fail_nth_call(WR_SYS_shutdown, 1, -ENOTCONN);
	client_send(c, "more than four\n");
	ck_assert(ends_while_its_peer_sends(s, c));
	client_expect_end(c);
	ck_assert_int_eq(faults_made(), 1);
	faults_clear();
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"faults", any_allocation_may_fail,
		any_descriptor_may_be_missing,
		any_epoll_instance_may_be_missing,
		any_step_of_a_listener_may_fail,
		any_thread_or_lock_may_be_missing, any_input_or_output_may_fail,
		any_change_of_what_is_waited_for_may_fail,
		any_call_that_waits_may_be_interrupted,
		an_interruption_costs_no_connection,
		a_start_that_fails_leaves_nothing,
		a_run_of_a_started_server_outlasts_an_interruption,
		an_interrupted_look_at_a_dialled_connection_is_repeated,
		a_handler_may_stop_at_any_step_of_a_start,
		a_listener_that_cannot_be_watched_serves_and_ends,
		a_connection_that_cannot_be_watched_is_the_only_one_lost,
		a_refusal_that_is_taken_in_pieces_is_whole,
		nobody_waits_for_a_peer_that_cannot_be_told_the_end,
		a_server_outlasts_a_time_without_memory,
		settings_that_were_in_force_need_no_memory);
}
