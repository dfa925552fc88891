/* SPDX-License-Identifier: MIT */
/*
 * Connections that the program hands over to a server: they are served, drained
 * and counted as accepted ones are.
 */
#include "test.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* How a connection ended. */
struct ending {
	struct weir_summary summary;
	int why; /* of the last callback */
	atomic_int count;
};

static void note_ending(weir_conn *c, void *arg)
{
	struct ending *e = arg;

	ck_assert_int_eq(weir_conn_summary(c, &e->summary, sizeof(e->summary)),
			 0);
	e->why = weir_conn_why(c);
	atomic_fetch_add(&e->count, 1);
}

static int greet(weir_conn *c, void *arg)
{
	(void)arg;
	return weir_conn_printf(c, "welcome\n") < 0 ? WEIR_CLOSE : WEIR_AGAIN;
}

/* A server of nothing but what it adopts; it needs a listener. */
static struct server *serve_few(const struct weir_config *config)
{
	return serve(config, WEIR_SERVICE(.readable = echo_lines));
}

/* One end of a connected pair; the server gets the other. */
static struct client adopted(struct server *s, weir_ref **ref,
			     const struct weir_service *service)
{
	int pair[2], rc;

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	rc = weir_server_adopt(s->weir, ref, pair[1], service);
	ck_assert_msg(rc == 0, "adopt: %s", weir_strerror(rc));
	return (struct client){ .fd = pair[0] };
}

static struct weir_ledger stop_after_rest(struct server *s)
{
	UNTIL(is_at_rest(s));
	return server_stop_and_check(s).ledger;
}

START_TEST(an_adopted_socket_is_served)
{
	struct ending end = { .count = 0 };
	struct server *s = serve_few(NULL);
	struct client c =
		adopted(s, NULL,
			WEIR_SERVICE(.readable = echo_lines, .opened = greet,
				     .closed = note_ending, .arg = &end));
	struct weir_ledger l;

	client_expect(&c, "welcome\n");
	client_expect_echo(&c, "one\n");
	ck_assert_uint_eq(stats(s).ledger.dialled, 1);
	ck_assert_uint_eq(stats(s).ledger.open, 1);
	client_half_close(&c);
	client_expect_eof(&c);
	close(c.fd);
	l = stop_after_rest(s);
	ck_assert_int_eq(end.count, 1);
	ck_assert_int_eq(end.summary.end, WEIR_END_PEER);
	ck_assert_uint_eq(end.summary.bytes_in, 4);
	ck_assert_uint_eq(l.accepted, 0);
	ck_assert_uint_eq(l.dialled, 1);
	ck_assert_uint_eq(l.completed, 1);
}
END_TEST

START_TEST(an_adopted_socket_may_have_a_session)
{
	struct server *s = serve_few(NULL);
	struct client c = adopted(s, NULL, WEIR_SERVICE(.session = echo_lines));

	client_expect_echo(&c, "one\n");
	client_expect_echo(&c, "two\n");
	client_half_close(&c);
	client_expect_eof(&c);
	close(c.fd);
	ck_assert_uint_eq(stop_after_rest(s).completed, 1);
}
END_TEST

/* For an accepted connection `closed` is not called then. */
START_TEST(the_end_is_told_though_no_callback_came_before)
{
	struct ending end = { .count = 0 };
	struct server *s = serve_few(NULL);
	struct client c = adopted(
		s, NULL,
		WEIR_SERVICE(.readable = echo_lines, .closed = note_ending,
			     .arg = &end, .first_byte_ms = 20));

	UNTIL(end.count == 1);
	ck_assert_int_eq(end.summary.end, WEIR_END_FIRST_BYTE);
	ck_assert_int_eq(end.why, 0);
	close(c.fd);
	ck_assert_uint_eq(stop_after_rest(s).timed_out, 1);
}
END_TEST

static int say_nodelay(weir_conn *c, void *arg)
{
	int on = -1;
	socklen_t len = sizeof(on);

	(void)arg;
	ck_assert_int_eq(getsockopt(weir_conn_fd(c), IPPROTO_TCP, TCP_NODELAY,
				    &on, &len),
			 0);
	return weir_conn_printf(c, "%d\n", on) < 0 ? WEIR_CLOSE : WEIR_AGAIN;
}

START_TEST(small_output_of_an_adopted_socket_is_not_held_back)
{
	const struct weir_service *sv =
		WEIR_SERVICE(.readable = echo_lines, .opened = say_nodelay);
	struct server *s = serve(NULL, sv);
	struct client *accepted = client_open(s), *c;
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char address[32];

	client_expect(accepted, "1\n");
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	snprintf(address, sizeof(address), "127.0.0.1:%d",
		 ntohs(addr.sin_port));
	c = client_open_at(address);
	ck_assert_int_eq(
		weir_server_adopt(s->weir, NULL, accept(fd, NULL, NULL), sv),
		0);
	close(fd);
	client_expect(c, "1\n");
	server_stop_and_check(s);
}
END_TEST

START_TEST(other_threads_reach_an_adopted_connection)
{
	struct server *s = serve_few(NULL);
	weir_ref *ref[2];
	struct client c[2];
	struct weir_ledger l;

	for (int i = 0; i < 2; i++)
		c[i] = adopted(s, &ref[i], WEIR_SERVICE(.readable = echo));
	ck_assert_int_eq(weir_ref_send(ref[0], "news\n", 5), 0);
	client_expect(&c[0], "news\n");
	ck_assert_int_eq(weir_ref_close(ref[0]), 0);
	client_expect_eof(&c[0]);
	ck_assert_int_eq(weir_ref_cancel(ref[1]), 0);
	client_expect_end(&c[1]);
	for (int i = 0; i < 2; i++)
		close(c[i].fd);
	UNTIL(is_at_rest(s));
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(weir_ref_send(ref[i], "x", 1), -EPIPE);
		weir_ref_unref(ref[i]);
	}
	l = stop_after_rest(s);
	ck_assert_uint_eq(l.completed, 1);
	ck_assert_uint_eq(l.cut, 1);
}
END_TEST

START_TEST(adopted_connections_have_a_limit_of_their_own)
{
	struct server *s =
		serve_few(WEIR_CONFIG(.max_connections = 1, .max_dialled = 2));
	const struct weir_service *sv = WEIR_SERVICE(.readable = echo_lines);
	struct client a = adopted(s, NULL, sv), b = adopted(s, NULL, sv);
	struct client *accepted = client_open_and_echo(s, "served\n");
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert_int_eq(weir_server_adopt(s->weir, NULL, pair[1], sv),
			 -EAGAIN);
	ck_assert_uint_eq(stats(s).max_dialled, 2);
	close(a.fd);
	UNTIL(stats(s).ledger.open == 2);
	ck_assert_int_eq(weir_server_adopt(s->weir, NULL, pair[1], sv), 0);
	close(pair[0]);
	close(b.fd);
	client_close(accepted);
	ck_assert_uint_eq(stop_after_rest(s).dialled, 3);
}
END_TEST

START_TEST(what_cannot_be_adopted_stays_the_callers)
{
	struct server *s = server_new(NULL);
	const struct weir_service *sv = WEIR_SERVICE(.readable = echo_lines);
	int pair[2], pipes[2], loose = socket(AF_INET, SOCK_STREAM, 0);
	int datagrams = socket(AF_INET, SOCK_DGRAM, 0);

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert_int_eq(pipe(pipes), 0);
	server_listen(s, "127.0.0.1:0", sv);
	ck_assert_int_eq(weir_server_adopt(s->weir, NULL, pair[0], sv),
			 -EINVAL); /* not started */
	server_start(s);
	ck_assert_int_eq(weir_server_adopt(NULL, NULL, pair[0], sv), -EINVAL);
	ck_assert_int_eq(weir_server_adopt(s->weir, NULL, pair[0], NULL),
			 -EINVAL);
	ck_assert_int_eq(weir_server_adopt(s->weir, NULL, pair[0],
					   WEIR_SERVICE(.arg = s)),
			 -EINVAL);
	ck_assert_int_eq(weir_server_adopt(s->weir, NULL, -1, sv), -EBADF);
	ck_assert_int_eq(weir_server_adopt(s->weir, NULL, pipes[0], sv),
			 -ENOTSOCK);
	ck_assert_int_eq(weir_server_adopt(s->weir, NULL, datagrams, sv),
			 -ENOTSOCK);
	ck_assert_int_eq(weir_server_adopt(s->weir, NULL, loose, sv),
			 -ENOTCONN);
	ck_assert_uint_eq(stats(s).ledger.dialled, 0);
	ck_assert_int_eq(weir_server_stop(s->weir, 1000), 0);
	ck_assert_int_eq(join_fully(s->weir, NULL), 0);
	ck_assert_int_eq(weir_server_adopt(s->weir, NULL, pair[0], sv),
			 -ESHUTDOWN);
	ck_assert_int_eq(write(pair[0], "x", 1), 1);
	close(pair[0]);
	close(pair[1]);
	close(pipes[0]);
	close(pipes[1]);
	close(loose);
	close(datagrams);
	server_join_and_check(s);
}
END_TEST

static int say_goodbye(weir_conn *c, void *arg)
{
	if (weir_conn_why(c) != WEIR_DRAIN)
		return echo_lines(c, arg);
	weir_conn_printf(c, "goodbye\n");
	return WEIR_CLOSE;
}

START_TEST(a_drain_reaches_adopted_connections)
{
	struct ending end = { .count = 0 };
	struct server *s = serve_few(NULL);
	struct client c =
		adopted(s, NULL,
			WEIR_SERVICE(.readable = say_goodbye,
				     .closed = note_ending, .arg = &end));

	client_expect_echo(&c, "one\n");
	ck_assert_int_eq(weir_server_drain(s->weir), 0);
	client_expect_last(&c, "goodbye\n");
	close(c.fd);
	ck_assert_uint_eq(server_join_and_check(s).ledger.completed, 1);
	ck_assert_int_eq(end.summary.end, WEIR_END_DRAIN);
}
END_TEST

static int stay(weir_conn *c, void *arg)
{
	(void)arg;
	return weir_conn_why(c) == WEIR_DRAIN ? WEIR_KEEP : echo(c, NULL);
}

START_TEST(a_stop_cuts_adopted_connections)
{
	struct ending end = { .count = 0 };
	struct server *s = serve_few(NULL);
	struct client c =
		adopted(s, NULL,
			WEIR_SERVICE(.readable = stay, .closed = note_ending,
				     .arg = &end));

	client_expect_echo(&c, "one\n");
	ck_assert_int_eq(weir_server_stop(s->weir, 50), 0);
	client_expect_end(&c);
	close(c.fd);
	ck_assert_uint_eq(server_join_and_check(s).ledger.cut, 1);
	ck_assert_int_eq(end.summary.end, WEIR_END_CUT);
}
END_TEST

/* A handler that adopts what its client asks for. */
struct adopter {
	struct server *server;
	int fd;
	atomic_int rc;
};

static int adopt_in_drain(weir_conn *c, void *arg)
{
	struct adopter *a = arg;

	if (weir_conn_why(c) != WEIR_DRAIN)
		return echo_lines(c, arg);
	a->rc = weir_server_adopt(a->server->weir, NULL, a->fd,
				  WEIR_SERVICE(.readable = say_goodbye));
	return WEIR_CLOSE;
}

START_TEST(a_callback_may_adopt_while_the_server_drains)
{
	struct adopter a = { .rc = 1 };
	struct server *s = serve(
		NULL, WEIR_SERVICE(.readable = adopt_in_drain, .arg = &a));
	struct client *c = client_open_and_echo(s, "hello\n"), other;
	struct weir_ledger l;
	int pair[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	a.server = s;
	a.fd = pair[1];
	other.fd = pair[0];
	ck_assert_int_eq(weir_server_drain(s->weir), 0);
	client_expect_eof(c);
	client_expect_last(&other, "goodbye\n");
	close(other.fd);
	l = server_join_and_check(s).ledger;
	ck_assert_int_eq(a.rc, 0);
	ck_assert_uint_eq(l.completed, 2);
	ck_assert_uint_eq(l.dialled, 1);
}
END_TEST

#define ADOPTERS 4
#define ADOPTED	 400

static void *adopt_many(void *arg)
{
	struct server *s = arg;
	static const char hello[] = "hello\n";

	for (int i = 0; i < fewer(ADOPTED); i++) {
		struct client c =
			adopted(s, NULL, WEIR_SERVICE(.readable = echo_lines));

		client_expect_echo(&c, hello);
		if (i % 2)
			client_half_close(&c);
		close(c.fd);
	}
	return NULL;
}

/* Slots are taken by the acceptor and by other threads at the same time. */
START_TEST(many_threads_adopt_while_clients_connect)
{
	struct server *s = serve_few(NULL);
	pthread_t id[ADOPTERS];
	struct client *held[300];
	struct weir_ledger l;

	for (int i = 0; i < ADOPTERS; i++)
		ck_assert_int_eq(pthread_create(&id[i], NULL, adopt_many, s),
				 0);
	for (int i = 0; i < 300; i++)
		held[i] = client_open_and_echo(s, "x\n");
	for (int i = 0; i < 300; i++)
		client_close(held[i]);
	for (int i = 0; i < ADOPTERS; i++)
		pthread_join(id[i], NULL);
	l = stop_after_rest(s);
	ck_assert_uint_eq(l.dialled, (uint64_t)(ADOPTERS * fewer(ADOPTED)));
	ck_assert_uint_eq(l.accepted, 300);
}
END_TEST

/* The table grows in a thread that is not the acceptor's. */
START_TEST(many_adopted_connections_are_open_at_once)
{
	struct server *s = serve_few(NULL);
	static struct client c[700];
	weir_ref *ref[700];
	struct weir_ledger l;

	for (int i = 0; i < 700; i++)
		c[i] = adopted(s, &ref[i],
			       WEIR_SERVICE(.readable = echo_lines,
					    .idle_ms = 1000 + i));
	for (int i = 0; i < 700; i++)
		client_expect_echo(&c[i], "x\n");
	for (int i = 0; i < 700; i++) {
		close(c[i].fd);
		weir_ref_unref(ref[i]);
	}
	l = stop_after_rest(s);
	ck_assert_uint_eq(l.dialled, 700);
}
END_TEST

int main(void)
{
	return RUN_TESTS("adopting", an_adopted_socket_is_served,
			 an_adopted_socket_may_have_a_session,
			 the_end_is_told_though_no_callback_came_before,
			 small_output_of_an_adopted_socket_is_not_held_back,
			 other_threads_reach_an_adopted_connection,
			 adopted_connections_have_a_limit_of_their_own,
			 what_cannot_be_adopted_stays_the_callers,
			 a_drain_reaches_adopted_connections,
			 a_stop_cuts_adopted_connections,
			 a_callback_may_adopt_while_the_server_drains,
			 many_threads_adopt_while_clients_connect,
			 many_adopted_connections_are_open_at_once);
}
