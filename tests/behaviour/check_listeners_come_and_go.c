/* SPDX-License-Identifier: MIT */
/*
 * Listeners that are added and closed while the server serves: the others and
 * the open connections notice nothing, and no client that the kernel has
 * connected is lost.
 */
#include "test.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define ECHO WEIR_SERVICE(.readable = echo_lines)

static void echo_at(const char *address)
{
	struct client *c = client_open_at(address);

	client_expect_echo(c, "hello\n");
	client_close(c);
}

static int connect_at(const char *address)
{
	struct client *c = client_new(address, 0);
	int rc = client_connect(c, address);

	client_close(c);
	return rc;
}

static bool is_closed(struct server *s, int id)
{
	return weir_server_unlisten(s->weir, id) == -EINVAL;
}

static void close_listener(struct server *s, int id)
{
	ck_assert_int_eq(weir_server_unlisten(s->weir, id), 0);
	UNTIL(is_closed(s, id));
}

/* ---- they come */

START_TEST(a_listener_is_added_while_the_server_serves)
{
	struct server *s = serve(NULL, ECHO);
	struct client *c = client_open_and_echo(s, "hello\n");
	char address[160];

	for (int i = 1; i < 20; i++) {
		ck_assert_int_eq(server_listen(s, "127.0.0.1:0", ECHO), i);
		server_address(s, i, address, sizeof(address));
		echo_at(address);
		client_expect_echo(c, "still here\n");
	}
	server_stop_and_check(s);
}
END_TEST

struct adder {
	struct server *s;
	_Atomic int id;
	_Atomic int said;
};

static int add_a_listener(weir_conn *c, void *arg)
{
	struct adder *a = arg;
	char line[64], address[160];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n <= 0)
		return (int)n;
	a->id = weir_server_listen(a->s->weir, "127.0.0.1:0", ECHO);
	weir_server_address(a->s->weir, a->id, address, sizeof(address));
	weir_conn_printf(c, "%s", address);
	return WEIR_CLOSE;
}

START_TEST(a_callback_adds_a_listener)
{
	struct adder a = { .id = -1 };
	struct server *s = a.s = server_new(WEIR_CONFIG(.workers = 1));
	char address[160];
	struct client *c;

	server_listen(s, "127.0.0.1:0",
		      WEIR_SERVICE(.readable = add_a_listener, .arg = &a));
	server_start(s);
	c = client_open(s);
	client_send(c, "more\n");
	UNTIL(a.id == 1);
	server_address(s, 1, address, sizeof(address));
	client_expect_last(c, address);
	echo_at(address);
	server_stop_and_check(s);
}
END_TEST

/* ---- they go */

START_TEST(a_closed_listener_refuses_and_open_connections_go_on)
{
	struct server *s;
	struct client *c;
	char address[160];
	int id;

	hold_address(address, sizeof(address));
	s = serve(NULL, ECHO);
	id = server_listen(s, address, ECHO);
	c = client_open_at(address);
	client_expect_echo(c, "hello\n");
	close_listener(s, id);
	ck_assert_int_eq(connect_at(address), -ECONNREFUSED);
	client_expect_echo(c, "still here\n");
	client_open_and_echo(s, "the other one, too\n");
	/* The address is free, and the id is not used again. */
	ck_assert_int_eq(server_listen(s, address, ECHO), id + 1);
	echo_at(address);
	ck_assert_int_eq(weir_server_listener_fd(s->weir, id), -EINVAL);
	server_stop_and_check(s);
}
END_TEST

#define SETS 10

/* Its close(2) takes long: the kernel has to remove it from all sets. */
static int listen_at_slow_descriptor(struct server *s, const char *where,
				     const int *sets)
{
	int id = server_listen(s, where, ECHO);
	int fd = weir_server_listener_fd(s->weir, id);

	/* Each number of a copy counts as a descriptor of its own. */
	for (int copy = 100; copy < 1000; copy++) {
		struct epoll_event event = { .events = EPOLLIN };

		copy = fcntl(fd, F_DUPFD_CLOEXEC, copy);
		ck_assert_int_ge(copy, 0);
		for (int i = 0; i < SETS; i++)
			ck_assert_int_eq(
				epoll_ctl(sets[i], EPOLL_CTL_ADD, copy, &event),
				0);
		close(copy);
	}
	return id;
}

START_TEST(the_address_of_a_closed_listener_is_free)
{
	struct server *s = serve(NULL, ECHO);
	char where[160] = "127.0.0.1:0";
	int sets[SETS];

	for (int i = 0; i < SETS; i++) {
		sets[i] = epoll_create1(EPOLL_CLOEXEC);
		ck_assert_int_ge(sets[i], 0);
	}
	for (int i = 0; i < 5; i++) {
		int id = listen_at_slow_descriptor(s, where, sets), rc;

		server_address(s, id, where, sizeof(where));
		ck_assert_int_eq(weir_server_unlisten(s->weir, id), 0);
		while ((rc = weir_server_listener_fd(s->weir, id)) == -EALREADY)
			;
		ck_assert_int_eq(rc, -EINVAL);
	}
	for (int i = 0; i < SETS; i++)
		close(sets[i]);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_server_may_be_without_listeners)
{
	struct server *s = serve(NULL, ECHO);
	struct client *c = client_open_and_echo(s, "hello\n");
	int id;

	close_listener(s, 0);
	client_expect_echo(c, "still here\n");
	id = server_listen(s, "127.0.0.1:0", ECHO);
	ck_assert_int_eq(id, 1);
	server_address(s, id, s->address, sizeof(s->address));
	client_open_and_echo(s, "hello\n");
	close_listener(s, id);
	server_stop_and_check(s);
}
END_TEST

START_TEST(the_path_of_a_unix_socket_goes_with_its_listener)
{
	char folder[FOLDER_ROOM], where[80], lock[80];
	struct server *s = serve(NULL, ECHO);
	struct stat st;
	struct client *c;
	int id;

	ck_assert(make_folder(folder));
	snprintf(where, sizeof(where), "unix:%s/s", folder);
	snprintf(lock, sizeof(lock), "%s/s.lock", folder);
	for (int i = 0; i < 5; i++) {
		id = server_listen(s, where, ECHO);
		c = client_open_at(where);
		client_expect_echo(c, "hello\n");
		ck_assert_int_eq(stat(where + 5, &st), 0);
		close_listener(s, id);
		ck_assert_int_lt(stat(where + 5, &st), 0);
		ck_assert_int_lt(stat(lock, &st), 0);
		client_expect_echo(c, "still here\n");
	}
	server_stop_and_check(s);
	rmdir(folder);
}
END_TEST

static void nothing_is_lost(const char *where)
{
	struct server *s = serve(WEIR_CONFIG(.workers = 4), ECHO);
	struct client *c = client_open_and_echo(s, "hello\n");
	uint64_t connected = 1;

	for (int i = 0; i < fewer(10); i++) {
		int id = server_listen(s, where, ECHO);
		struct load_counts counts;
		struct load *load;
		char address[160];

		server_address(s, id, address, sizeof(address));
		load = load_start(address, 6, 0);
		UNTIL(load_answered(load) > 100);
		load_mark_stop(load);
		ck_assert_int_eq(weir_server_unlisten(s->weir, id), 0);
		counts = load_finish(load);
		ck_assert_uint_eq(counts.lost, 0);
		ck_assert_uint_eq(counts.reset, 0);
		ck_assert_uint_eq(counts.late, 0);
		ck_assert_uint_eq(counts.odd, 0);
		connected += counts.connected;
		UNTIL(is_closed(s, id));
		client_expect_echo(c, "still here\n");
	}
	ck_assert_uint_eq(server_stop_and_check(s).ledger.completed, connected);
}

START_TEST(a_close_under_load_loses_no_client)
{
	nothing_is_lost("127.0.0.1:0");
	nothing_is_lost(own_unix_address());
}
END_TEST

START_TEST(clients_that_a_full_server_holds_are_served_before_the_close)
{
	struct gate gate = GATE_CLOSED;
	struct server *s =
		server_new(WEIR_CONFIG(.workers = 1, .queue_length = 1,
				       .max_connections = 1));
	struct client *first, *held[5];
	uint64_t served = 6;

	server_listen(
		s, "127.0.0.1:0",
		WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));
	server_start(s);
	first = client_open(s);
	client_wait_at_gate(first, &gate);
	for (int i = 0; i < 5; i++)
		held[i] = client_open_and_send(s, "held\n");
	ck_assert_int_eq(weir_server_unlisten(s->weir, 0), 0);
	while (connect_at(s->address) == 0)
		served++; /* it came before the fence */
	ck_assert_int_eq(weir_server_unlisten(s->weir, 0), -EALREADY);
	/* A copy would accept nobody. */
	ck_assert_int_eq(weir_server_listener_fd(s->weir, 0), -EALREADY);
	gate_open(&gate);
	client_expect(first, "wait\n");
	client_close(first);
	for (int i = 0; i < 5; i++) {
		client_expect(held[i], "held\n");
		client_close(held[i]);
	}
	UNTIL(is_closed(s, 0));
	ck_assert_uint_eq(server_stop_and_check(s).ledger.accepted, served);
}
END_TEST

/* How long it takes once the last of them has its answer. */
static int64_t close_with_held_clients(void)
{
	struct gate gate = GATE_CLOSED;
	struct server *s =
		server_new(WEIR_CONFIG(.workers = 1, .queue_length = 1));
	struct client *first, *held[4];
	int64_t began_at, took;

	server_listen(
		s, "127.0.0.1:0",
		WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));
	server_start(s);
	first = client_open(s);
	client_wait_at_gate(first, &gate);
	for (int i = 0; i < 4; i++)
		held[i] = client_open_and_send(s, "held\n");
	UNTIL(stats(s).queued == 1);
	ck_assert_int_eq(weir_server_unlisten(s->weir, 0), 0);
	UNTIL(connect_at(s->address) < 0);
	gate_open(&gate);
	for (int i = 0; i < 4; i++)
		client_expect(held[i], "held\n");
	began_at = now_ms();
	UNTIL(is_closed(s, 0));
	took = now_ms() - began_at;
	server_stop_and_check(s);
	return took;
}

/* Nothing else wakes the acceptor before its watch of callbacks, 5 s later. */
START_TEST(a_close_waits_for_held_clients_and_no_longer)
{
	MOSTLY(close_with_held_clients() < 2000 * slowness());
}
END_TEST

/* ---- the descriptor */

/* A server with a copy of the listener of s, which has ended. */
static struct server *take_over(struct server *s)
{
	struct server *next = calloc(1, sizeof(*next));
	int fd = fcntl(weir_server_listener_fd(s->weir, 0), F_DUPFD_CLOEXEC, 3);
	char where[32];

	ck_assert_int_ge(fd, 0);
	ck_assert_ptr_nonnull(next);
	ck_assert_int_eq(
		weir_server_new(&next->weir, WEIR_CONFIG(.workers = 2)), 0);
	snprintf(where, sizeof(where), "fd:%d", fd);
	server_listen(next, where, ECHO);
	server_start(next);
	weir_server_drain(s->weir);
	ck_assert_int_eq(join_fully(s->weir, NULL), 0);
	return next;
}

static void give_up(struct server *next)
{
	struct weir_report report;

	ck_assert_int_eq(join_fully(next->weir, &report), 0);
	ck_assert_uint_eq(report.ledger.completed, report.ledger.accepted);
	weir_server_free(next->weir);
	free(next);
}

START_TEST(another_server_goes_on_with_a_copy_of_the_listener)
{
	struct server *s = serve(NULL, ECHO);
	struct load *load = load_start(s->address, 4, 0);
	struct load_counts counts;
	struct server *next;

	struct weir_ledger first;

	UNTIL(load_answered(load) > 100);
	next = take_over(s);
	UNTIL(stats(next).ledger.completed > 100);
	ck_assert_uint_eq(load_failed(load), 0);
	/*
	 * The second one has the socket alone, and its end loses clients: one
	 * of each thread at most.
	 */
	load_mark_stop(load);
	weir_server_drain(next->weir);
	counts = load_finish(load);
	ck_assert_uint_eq(counts.odd, 0);
	ck_assert_uint_gt(counts.refused, 0);
	ck_assert_uint_le(counts.lost, 4);
	give_up(next);
	first = server_join_and_check(s).ledger;
	ck_assert_uint_eq(first.completed, first.accepted);
}
END_TEST

START_TEST(a_listener_without_copies_is_closed_like_one_of_its_own)
{
	struct server *s = serve(NULL, ECHO);
	struct load *load = load_start(s->address, 4, 0);
	struct load_counts counts;
	struct server *next;

	UNTIL(load_answered(load) > 100);
	next = take_over(s);
	ck_assert_int_eq(weir_server_own_listener(next->weir, 0), 0);
	UNTIL(stats(next).ledger.completed > 100);
	load_mark_stop(load);
	weir_server_drain(next->weir);
	counts = load_finish(load);
	ck_assert_uint_eq(counts.lost + counts.reset + counts.odd, 0);
	ck_assert_uint_gt(counts.refused, 0);
	ck_assert_int_eq(weir_server_own_listener(next->weir, 0), -ESHUTDOWN);
	give_up(next);
	server_join_and_check(s);
}
END_TEST

START_TEST(the_path_of_a_listener_without_copies_is_removed)
{
	char folder[FOLDER_ROOM], where[64];
	struct server *s, *next;

	ck_assert(make_folder(folder));
	snprintf(where, sizeof(where), "unix:%s/s", folder);
	s = serve_at(where, NULL, ECHO);
	next = take_over(s);
	client_close(client_open_and_echo(s, "hello\n"));
	ck_assert_int_eq(access(where + 5, F_OK), 0);
	ck_assert_int_eq(weir_server_own_listener(next->weir, 0), 0);
	weir_server_drain(next->weir);
	give_up(next);
	ck_assert_int_eq(access(where + 5, F_OK), -1);
	server_join_and_check(s);
}
END_TEST

/* Its path is as long as the address has room for, and has no NUL. */
static int listen_at_longest_path(struct sockaddr_un *un)
{
	char folder[FOLDER_ROOM];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert(make_folder(folder));
	un->sun_family = AF_UNIX;
	memset(un->sun_path, 'x', sizeof(un->sun_path));
	memcpy(un->sun_path, folder, strlen(folder));
	un->sun_path[strlen(folder)] = '/';
	ck_assert_int_eq(bind(fd, (struct sockaddr *)un, sizeof(*un)), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	return fd;
}

START_TEST(a_path_that_fills_its_address_is_left_alone)
{
	struct server *s = server_new(NULL);
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1] = "";
	char where[32];
	struct sockaddr_un un;

	snprintf(where, sizeof(where), "fd:%d", listen_at_longest_path(&un));
	memcpy(path, un.sun_path, sizeof(un.sun_path));
	server_listen(s, where, ECHO);
	server_start(s);
	ck_assert_int_eq(weir_server_own_listener(s->weir, 0), 0);
	server_stop_and_check(s);
	ck_assert_int_eq(unlink(path), 0);
}
END_TEST

/* ---- at any moment */

START_TEST(before_the_start_a_listener_closes_at_once)
{
	struct server *s;
	char address[160];

	hold_address(address, sizeof(address));
	s = server_new(NULL);
	server_listen(s, address, ECHO);
	server_listen(s, "127.0.0.1:0", ECHO);
	ck_assert_int_eq(weir_server_unlisten(s->weir, 0), 0);
	ck_assert_int_eq(weir_server_unlisten(s->weir, 0), -EINVAL);
	ck_assert_int_eq(connect_at(address), -ECONNREFUSED);
	server_address(s, 1, s->address, sizeof(s->address));
	server_start(s);
	client_open_and_echo(s, "hello\n");
	server_stop_and_check(s);
}
END_TEST

START_TEST(without_a_listener_left_there_is_no_start)
{
	struct server *s = server_new(NULL);

	server_listen(s, "127.0.0.1:0", ECHO);
	ck_assert_int_eq(weir_server_unlisten(s->weir, 0), 0);
	ck_assert_int_eq(weir_server_start(s->weir), -EINVAL);
	weir_server_free(s->weir);
	server_check_freed(s);
}
END_TEST

START_TEST(in_and_after_a_stop_no_listener_comes_or_goes)
{
	struct gate gate = GATE_CLOSED;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = echo_lines_at_gate,
					 .arg = &gate));
	struct client *c = client_open(s);

	client_wait_at_gate(c, &gate);
	weir_server_stop(s->weir, WEIR_NEVER);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(weir_server_unlisten(s->weir, 0), -ESHUTDOWN);
		ck_assert_int_eq(
			weir_server_listen(s->weir, "127.0.0.1:0", ECHO),
			-ESHUTDOWN);
		ck_assert_int_eq(weir_server_listener_fd(s->weir, 0),
				 -ESHUTDOWN);
		gate_open(&gate);
		ck_assert_int_eq(join_fully(s->weir, NULL), 0);
	}
	server_join_and_check(s);
}
END_TEST

START_TEST(listeners_that_do_not_exist_are_refused)
{
	struct server *s = serve(NULL, ECHO);
	char where[32];

	ck_assert_int_eq(weir_server_unlisten(NULL, 0), -EINVAL);
	ck_assert_int_eq(weir_server_unlisten(s->weir, -1), -EINVAL);
	ck_assert_int_eq(weir_server_unlisten(s->weir, 1), -EINVAL);
	ck_assert_int_eq(weir_server_listener_fd(NULL, 0), -EINVAL);
	ck_assert_int_eq(weir_server_own_listener(NULL, 0), -EINVAL);
	ck_assert_int_eq(weir_server_own_listener(s->weir, 1), -EINVAL);
	ck_assert_int_eq(weir_server_listener_fd(s->weir, 1), -EINVAL);
	snprintf(where, sizeof(where), "fd:%d",
		 weir_server_listener_fd(s->weir, 0));
	ck_assert_int_eq(weir_server_listen(s->weir, where, ECHO), -EADDRINUSE);
	client_open_and_echo(s, "hello\n");
	server_stop_and_check(s);
}
END_TEST

/* It is answered, or comes too late. */
static bool is_answered_or_late(const char *address)
{
	weir_conn *c;
	char line[8];
	ssize_t n = weir_dial(&c, address, 0);

	if (n < 0)
		return n == -ECONNREFUSED;
	n = weir_conn_write(c, "q\n", 2);
	if (n == 0)
		n = weir_conn_read_line(c, line, sizeof(line));
	weir_conn_free(c);
	return n == 2 || n == 0;
}

static void *come_and_go(void *arg)
{
	struct server *s = arg;
	char address[160];
	int id, rc;

	while ((id = weir_server_listen(s->weir, "127.0.0.1:0", ECHO)) >= 0) {
		if (weir_server_address(s->weir, id, address, sizeof(address)) <
			    0 ||
		    !is_answered_or_late(address))
			return s;
		rc = weir_server_unlisten(s->weir, id);
		if (rc < 0)
			return rc == -ESHUTDOWN ? NULL : s;
	}
	return id == -ESHUTDOWN ? NULL : s;
}

static int listen_in_the_log(struct server *s)
{
	int id = weir_server_listen(s->weir, "127.0.0.1:0", ECHO);

	return id < 0 ? id : weir_server_unlisten(s->weir, id);
}

struct sink {
	struct server *s;
	_Atomic int said, calls;
};

static void listen_in_its_sink(int level, const char *line, void *arg)
{
	struct sink *sink = arg;

	(void)level;
	(void)line;
	if (sink->s && atomic_fetch_add(&sink->calls, 1) == 0)
		sink->said = listen_in_the_log(sink->s);
}

START_TEST(the_log_sink_may_add_and_close_a_listener)
{
	struct sink sink = { .said = 1 };
	struct server *s = server_new(
		WEIR_CONFIG(.log = listen_in_its_sink, .log_arg = &sink,
			    .max_connections = 1, .overload = WEIR_REFUSE));

	server_listen(s, "127.0.0.1:0", ECHO);
	server_start(s);
	sink.s = s;
	client_open_and_echo(s, "hello\n");
	client_read_to_eof(client_open(s)); /* which is logged */
	UNTIL(sink.said != 1);
	ck_assert_int_eq(sink.said, 0);
	client_open_at(s->address);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_stop_comes_while_threads_add_and_close_listeners)
{
	enum { THREADS = 4 };

	for (int round = 0; round < fewer(20); round++) {
		struct server *s = serve(NULL, ECHO);
		pthread_t ids[THREADS];
		void *bad;

		for (int i = 0; i < THREADS; i++)
			ck_assert_int_eq(
				pthread_create(&ids[i], NULL, come_and_go, s),
				0);
		UNTIL(stats(s).ledger.completed > (uint64_t)(5 * round));
		weir_server_stop(s->weir, WEIR_NEVER);
		for (int i = 0; i < THREADS; i++) {
			pthread_join(ids[i], &bad);
			ck_assert_ptr_null(bad);
		}
		server_join_and_check(s);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"listeners_come_and_go",
		a_listener_is_added_while_the_server_serves,
		a_callback_adds_a_listener,
		a_closed_listener_refuses_and_open_connections_go_on,
		the_address_of_a_closed_listener_is_free,
		a_server_may_be_without_listeners,
		the_path_of_a_unix_socket_goes_with_its_listener,
		a_close_under_load_loses_no_client,
		clients_that_a_full_server_holds_are_served_before_the_close,
		a_close_waits_for_held_clients_and_no_longer,
		another_server_goes_on_with_a_copy_of_the_listener,
		a_listener_without_copies_is_closed_like_one_of_its_own,
		the_path_of_a_listener_without_copies_is_removed,
		a_path_that_fills_its_address_is_left_alone,
		before_the_start_a_listener_closes_at_once,
		without_a_listener_left_there_is_no_start,
		in_and_after_a_stop_no_listener_comes_or_goes,
		listeners_that_do_not_exist_are_refused,
		the_log_sink_may_add_and_close_a_listener,
		a_stop_comes_while_threads_add_and_close_listeners);
}
