/* SPDX-License-Identifier: MIT */
/*
 * A server dials: it connects without a thread or a wait, and serves what it
 * gets like an accepted connection.
 */
#include "test.h"

#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sched.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

static _Atomic int lookups, lookups_by_workers;

/* Notes the thread, and asks the system's. */
int getaddrinfo(const char *host, const char *port,
		const struct addrinfo *hints, struct addrinfo **ret)
{
	__typeof__(&getaddrinfo) real;
	char name[16] = "";

	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	pthread_getname_np(pthread_self(), name, sizeof(name));
	if (!hints || !(hints->ai_flags & AI_NUMERICHOST))
		atomic_fetch_add(&lookups, 1);
	if (strncmp(name, "weir-w", 6) == 0)
		atomic_fetch_add(&lookups_by_workers, 1);
	return real(host, port, hints, ret);
}

/* A dialled connection, its callbacks and its end. */
struct dialled {
	weir_ref *ref;
	struct weir_summary summary;
	char heard[64]; /* the last line */
	atomic_int lines, ended, opened;
	weir_server *server; /* of `closed` that dials again */
	const char *where;
	int again;
};

static int say_hello(weir_conn *c, void *arg)
{
	struct dialled *d = arg;

	ck_assert_int_eq(weir_conn_why(c), WEIR_OPENED);
	atomic_fetch_add(&d->opened, 1);
	return weir_conn_printf(c, "hello\n") < 0 ? WEIR_CLOSE : WEIR_AGAIN;
}

static int hear_line(weir_conn *c, void *arg)
{
	struct dialled *d = arg;
	ssize_t n = weir_conn_read_line(c, d->heard, sizeof(d->heard));

	if (n > 0)
		atomic_fetch_add(&d->lines, 1);
	return n > 0 ? WEIR_AGAIN : (int)n;
}

static void note_end(weir_conn *c, void *arg)
{
	struct dialled *d = arg;

	(void)weir_conn_summary(c, &d->summary, sizeof(d->summary));
	atomic_fetch_add(&d->ended, 1);
}

static void dial_to(struct server *s, struct dialled *d, const char *where,
		    int timeout_ms)
{
	int rc = weir_server_dial(s->weir, &d->ref, where, timeout_ms,
				  WEIR_SERVICE(.readable = hear_line,
					       .opened = say_hello,
					       .closed = note_end, .arg = d));

	ck_assert_msg(rc == 0, "dial %s: %s", where, weir_strerror(rc));
}

static struct weir_ledger stop_after_all(struct server *s)
{
	UNTIL(stats(s).ledger.open == 0);
	return server_stop_and_check(s).ledger;
}

START_TEST(every_kind_of_address_is_dialled)
{
	const char *const where[] = { "127.0.0.1:0", "localhost:0",
				      own_unix_address() };

	for (int i = 0; i < 3; i++) {
		struct dialled d = { .lines = 0 };
		struct server *s = serve_at(
			where[i], NULL, WEIR_SERVICE(.readable = echo_lines));
		struct weir_ledger l;

		dial_to(s, &d, s->address, 0);
		UNTIL(d.lines == 1);
		ck_assert_str_eq(d.heard, "hello\n");
		ck_assert_int_eq(weir_ref_send(d.ref, "more\n", 5), 0);
		UNTIL(d.lines == 2);
		ck_assert_int_eq(weir_ref_close(d.ref), 0);
		weir_ref_unref(d.ref);
		l = stop_after_all(s);
		ck_assert_int_eq(d.summary.end, WEIR_END_CLOSED);
		ck_assert_int_eq(d.summary.error, 0);
		ck_assert_uint_eq(l.accepted, 1);
		ck_assert_uint_eq(l.dialled, 1);
		ck_assert_uint_eq(l.completed, 2);
	}
}
END_TEST

START_TEST(a_dial_that_fails_tells_why)
{
	char gone[160];
	const struct {
		const char *where;
		int error;
	} cases[] = { { gone, -ECONNREFUSED },
		      { "no-such-host.invalid:1", 0 },
		      { "unix:/nowhere/at/all", -ENOENT } };
	struct server *s;

	hold_address(gone, sizeof(gone));
	for (int i = 0; i < 3; i++) {
		struct dialled d = { .lines = 0 };

		s = serve(NULL, WEIR_SERVICE(.readable = echo));
		dial_to(s, &d, cases[i].where, 0);
		UNTIL(d.ended == 1);
		ck_assert_int_eq(d.summary.end, WEIR_END_CONNECT);
		if (cases[i].error) /* else it depends on the resolver */
			ck_assert_int_eq(d.summary.error, cases[i].error);
		ck_assert_int_lt(d.summary.error, 0);
		ck_assert_int_eq(d.opened, 0);
		UNTIL(stats(s).ledger.open == 0);
		ck_assert_int_eq(weir_ref_send(d.ref, "x", 1), -EPIPE);
		weir_ref_unref(d.ref);
		ck_assert_uint_eq(stop_after_all(s).failed, 1);
	}
}
END_TEST

START_TEST(a_dial_without_a_descriptor_fails)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	struct dialled d = { .lines = 0 };

	leave_descriptors(0);
	dial_to(s, &d, s->address, 0);
	UNTIL(d.ended == 1);
	leave_all_descriptors();
	ck_assert_int_eq(d.summary.end, WEIR_END_CONNECT);
	ck_assert_int_eq(d.summary.error, -EMFILE);
	weir_ref_unref(d.ref);
	ck_assert_uint_eq(stop_after_all(s).failed, 1);
}
END_TEST

/* A Unix listener whose backlog is full, so that dials to it have to wait. */
struct full {
	char where[128];
	int listener, client;
};

static struct full full_listener(void)
{
	struct full f;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	socklen_t len;

	snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "weir-full-%d",
		 (int)getpid());
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			  strlen(addr.sun_path + 1));
	snprintf(f.where, sizeof(f.where), "unix:@%s", addr.sun_path + 1);
	f.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	f.client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(f.listener, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(listen(f.listener, 0), 0);
	ck_assert_int_eq(connect(f.client, (struct sockaddr *)&addr, len), 0);
	return f;
}

/* Make room; the next connection is the dialled one. */
static struct client full_accept(struct full *f)
{
	int fd = accept(f->listener, NULL, NULL);

	ck_assert_int_ge(fd, 0);
	close(fd);
	fd = accept(f->listener, NULL, NULL);
	ck_assert_int_ge(fd, 0);
	return (struct client){ .fd = fd };
}

static void full_close(struct full *f)
{
	close(f->listener);
	close(f->client);
}

START_TEST(a_dial_that_takes_too_long_times_out)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	struct full f = full_listener();
	struct dialled d = { .lines = 0 };
	int64_t began_at = now_ms();

	dial_to(s, &d, f.where, 100);
	UNTIL(d.ended == 1);
	ck_assert_int_ge(now_ms() - began_at, 99);
	ck_assert_int_eq(d.summary.end, WEIR_END_CONNECT);
	ck_assert_int_eq(d.summary.error, -ETIMEDOUT);
	weir_ref_unref(d.ref);
	full_close(&f);
	ck_assert_uint_eq(stop_after_all(s).failed, 1);
}
END_TEST

START_TEST(output_of_other_threads_waits_for_the_connection)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	struct full f = full_listener();
	struct dialled d = { .lines = 0 };
	struct client peer;

	dial_to(s, &d, f.where, WEIR_NEVER);
	ck_assert_int_eq(weir_ref_send(d.ref, "early\n", 6), 0);
	UNTIL(stats(s).parked == 1);
	ck_assert_int_eq(weir_ref_send(d.ref, "late\n", 5), 0);
	ck_assert_int_eq(d.opened, 0);
	peer = full_accept(&f);
	client_expect(&peer, "early\nlate\nhello\n");
	client_send(&peer, "bye\n");
	UNTIL(d.lines == 1);
	close(peer.fd);
	weir_ref_unref(d.ref);
	full_close(&f);
	ck_assert_uint_eq(stop_after_all(s).completed, 1);
	ck_assert_int_eq(d.summary.end, WEIR_END_PEER);
}
END_TEST

START_TEST(an_end_of_output_waits_for_the_connection)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));

	for (int i = 0; i < 2; i++) {
		struct full f = full_listener();
		struct dialled d = { .lines = 0 };
		struct client peer;

		ck_assert_int_eq(
			weir_server_dial(s->weir, &d.ref, f.where, WEIR_NEVER,
					 WEIR_SERVICE(.readable = hear_line,
						      .closed = note_end,
						      .arg = &d)),
			0);
		UNTIL(stats(s).parked == 1);
		if (i == 1)
			ck_assert_int_eq(weir_ref_send(d.ref, "early\n", 6), 0);
		ck_assert_int_eq(weir_ref_shutdown(d.ref, SHUT_WR), 0);
		ck_assert_int_eq(weir_ref_send(d.ref, "late\n", 5), -EPIPE);
		peer = full_accept(&f);
		if (i == 1)
			client_expect(&peer, "early\n");
		client_expect_eof(&peer);
		client_send(&peer, "bye\n");
		UNTIL(d.lines == 1);
		ck_assert_str_eq(d.heard, "bye\n");
		close(peer.fd);
		UNTIL(d.ended == 1);
		weir_ref_unref(d.ref);
		full_close(&f);
	}
	ck_assert_uint_eq(stop_after_all(s).completed, 2);
}
END_TEST

/* The time to connect is not a part of it. */
START_TEST(the_first_byte_is_waited_for_once_connected)
{
	const int ms = 300 * slowness();
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	struct full f = full_listener();
	struct dialled d = { .lines = 0 };
	struct client peer;
	int64_t until = now_ms() + 2 * ms;

	ck_assert_int_eq(
		weir_server_dial(s->weir, NULL, f.where, WEIR_NEVER,
				 WEIR_SERVICE(.readable = hear_line,
					      .opened = say_hello,
					      .closed = note_end, .arg = &d,
					      .first_byte_ms = ms)),
		0);
	UNTIL(now_ms() > until);
	peer = full_accept(&f);
	client_expect(&peer, "hello\n");
	UNTIL(d.ended == 1);
	ck_assert_int_eq(d.summary.end, WEIR_END_FIRST_BYTE);
	ck_assert_int_ge(d.summary.age_ms, ms);
	close(peer.fd);
	full_close(&f);
	ck_assert_uint_eq(stop_after_all(s).timed_out, 1);
}
END_TEST

START_TEST(another_thread_may_end_an_attempt)
{
	static const int ends[] = { WEIR_END_CLOSED, WEIR_END_CUT };
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	struct full f = full_listener();
	struct weir_ledger l;

	for (int i = 0; i < 2; i++) {
		struct dialled d = { .lines = 0 };

		dial_to(s, &d, f.where, WEIR_NEVER);
		ck_assert_int_eq(weir_ref_send(d.ref, "lost\n", 5), 0);
		ck_assert_int_eq(i == 0 ? weir_ref_close(d.ref)
					: weir_ref_cancel(d.ref),
				 0);
		UNTIL(d.ended == 1);
		ck_assert_int_eq(d.summary.end, ends[i]);
		ck_assert_int_eq(d.opened, 0);
		weir_ref_unref(d.ref);
	}
	full_close(&f);
	l = stop_after_all(s);
	ck_assert_uint_eq(l.completed, 1);
	ck_assert_uint_eq(l.cut, 1);
}
END_TEST

START_TEST(an_attempt_goes_on_while_the_server_drains)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	struct full f = full_listener();
	struct dialled d = { .lines = 0 };
	struct client peer;

	dial_to(s, &d, f.where, WEIR_NEVER);
	ck_assert_int_eq(weir_server_stop(s->weir, 60000), 0);
	UNTIL(stats(s).phase == WEIR_PHASE_DRAINING);
	peer = full_accept(&f);
	client_expect_last(&peer, "hello\n");
	close(peer.fd);
	weir_ref_unref(d.ref);
	full_close(&f);
	ck_assert_uint_eq(server_join_and_check(s).ledger.completed, 1);
	ck_assert_int_eq(d.summary.end, WEIR_END_DRAIN);
}
END_TEST

START_TEST(the_deadline_of_a_stop_cuts_attempts)
{
	for (int grace_ms = 0; grace_ms <= 60; grace_ms += 60) {
		struct full f = full_listener();
		struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
		struct dialled d = { .lines = 0 };
		struct weir_report r;

		dial_to(s, &d, f.where, WEIR_NEVER);
		ck_assert_int_eq(weir_server_stop(s->weir, grace_ms), 0);
		r = server_join_and_check(s);
		expect_stop_on_time(&r, grace_ms);
		ck_assert_uint_eq(r.ledger.cut, 1);
		ck_assert_int_eq(d.ended, 1);
		ck_assert_int_eq(d.summary.end, WEIR_END_CUT);
		weir_ref_unref(d.ref);
		full_close(&f);
	}
}
END_TEST

/* As a program does that keeps a connection to another server. */
static void dial_again(weir_conn *c, void *arg)
{
	struct dialled *d = arg;

	note_end(c, arg);
	if (d->again-- > 0)
		ck_assert_int_eq(
			weir_server_dial(d->server, NULL, d->where, 0,
					 WEIR_SERVICE(.readable = echo,
						      .closed = dial_again,
						      .arg = d)),
			0);
}

START_TEST(the_end_of_one_may_dial_the_next)
{
	char gone[160];
	struct dialled d = { .where = gone, .again = 50 };
	struct server *s;

	hold_address(gone, sizeof(gone));
	s = serve(NULL, WEIR_SERVICE(.readable = echo));
	d.server = s->weir;
	ck_assert_int_eq(
		weir_server_dial(s->weir, NULL, gone, 0,
				 WEIR_SERVICE(.readable = echo,
					      .closed = dial_again, .arg = &d)),
		0);
	UNTIL(d.ended == 51);
	ck_assert_uint_eq(stop_after_all(s).failed, 51);
}
END_TEST

START_TEST(what_cannot_be_dialled_is_refused_at_once)
{
	const struct weir_service *sv = WEIR_SERVICE(.readable = echo);
	struct server *s = server_new(WEIR_CONFIG(.max_dialled = 1));
	struct full f = full_listener();
	char far[300];
	weir_ref *ref = NULL;

	memset(far, 'x', sizeof(far));
	memcpy(far, "unix:/", 6);
	far[299] = '\0';
	server_listen(s, "127.0.0.1:0", sv);
	ck_assert_int_eq(weir_server_dial(s->weir, &ref, f.where, 0, sv),
			 -EINVAL); /* not started */
	server_start(s);
	ck_assert_int_eq(weir_server_dial(NULL, &ref, f.where, 0, sv), -EINVAL);
	ck_assert_int_eq(weir_server_dial(s->weir, &ref, NULL, 0, sv), -EINVAL);
	ck_assert_int_eq(weir_server_dial(s->weir, &ref, "nonsense", 0, sv),
			 -EINVAL);
	ck_assert_int_eq(weir_server_dial(s->weir, &ref, far, 0, sv),
			 -ENAMETOOLONG);
	ck_assert_int_eq(weir_server_dial(s->weir, &ref, f.where, -2, sv),
			 -EINVAL);
	ck_assert_int_eq(weir_server_dial(s->weir, &ref, f.where, 0, NULL),
			 -EINVAL);
	ck_assert_ptr_null(ref);
	ck_assert_int_eq(
		weir_server_dial(s->weir, &ref, f.where, WEIR_NEVER, sv), 0);
	ck_assert_int_eq(weir_server_dial(s->weir, NULL, f.where, 0, sv),
			 -EAGAIN);
	ck_assert_int_eq(weir_ref_cancel(ref), 0);
	weir_ref_unref(ref);
	UNTIL(stats(s).ledger.open == 0);
	ck_assert_int_eq(weir_server_stop(s->weir, 0), 0);
	ck_assert_int_eq(join_fully(s->weir, NULL), 0);
	ck_assert_int_eq(weir_server_dial(s->weir, NULL, f.where, 0, sv),
			 -ESHUTDOWN);
	full_close(&f);
	server_join_and_check(s);
}
END_TEST

/* "localhost" may be ::1 first, where nothing listens; no host: loopback. */
START_TEST(a_name_is_looked_up_by_none_of_the_workers)
{
	struct server *s = serve_workers(1, WEIR_SERVICE(.readable = echo));
	static struct dialled d[100];
	char where[64];

	for (int i = 0; i < 100; i++) {
		snprintf(where, sizeof(where), "%s%s", i % 2 ? "localhost" : "",
			 strrchr(s->address, ':'));
		dial_to(s, &d[i], where, WEIR_NEVER);
	}
	for (int i = 0; i < 100; i++) {
		UNTIL(d[i].lines == 1);
		ck_assert_int_eq(weir_ref_close(d[i].ref), 0);
		weir_ref_unref(d[i].ref);
	}
	ck_assert_uint_eq(stop_after_all(s).completed, 200);
	ck_assert_int_ge(atomic_load(&lookups), 50);
	ck_assert_int_eq(atomic_load(&lookups_by_workers), 0);
}
END_TEST

START_TEST(a_look_up_may_be_given_up_at_any_time)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	char where[64];

	snprintf(where, sizeof(where), "localhost%s", strrchr(s->address, ':'));
	for (int i = 0; i < fewer(200); i++) {
		struct dialled d = { .lines = 0 };

		dial_to(s, &d, where, WEIR_NEVER);
		if (i % 3)
			sched_yield();
		(void)weir_ref_cancel(d.ref);
		UNTIL(d.ended == 1);
		weir_ref_unref(d.ref);
	}
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(
			weir_server_dial(s->weir, NULL, where, WEIR_NEVER,
					 WEIR_SERVICE(.readable = echo)),
			0);
	ck_assert_int_eq(weir_server_stop(s->weir, 0), 0);
	server_join_and_check(s);
}
END_TEST

static int wait_when_opened(weir_conn *c, void *arg)
{
	(void)c;
	gate_wait(arg);
	return WEIR_CLOSE;
}

/* The connection has no listener: the line names its peer. */
START_TEST(a_stuck_callback_of_a_dialled_connection_is_named)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	struct weir_report report;
	char words[256];

	ck_assert_int_eq(
		weir_server_dial(s->weir, NULL, s->address, 0,
				 WEIR_SERVICE(.readable = echo,
					      .opened = wait_when_opened,
					      .arg = &gate)),
		0);
	UNTIL(gate_waiting(&gate) == 1);
	weir_server_stop(s->weir, 0);
	ck_assert_int_eq(join_fully(s->weir, &report), -EBUSY);
	ck_assert_uint_eq(report.stuck, 1);
	snprintf(words, sizeof(words),
		 "the callback of connection 1 to %s has been running",
		 s->address);
	ck_assert_msg(log_says(s, words), "not in the log: %s", words);
	gate_open(&gate);
	weir_server_free(s->weir);
	server_check_freed(s);
}
END_TEST

/* ----------------------------------------------------------------- a relay */

/* Both connections of a relay, each with a reference to the other. */
struct relay {
	weir_server *server;
	const char *where;
};

struct side {
	weir_ref *other;
};

static int pass_on(weir_conn *c, void *arg)
{
	struct side *to = arg ? arg : weir_conn_data(c);
	char buf[4096];
	ssize_t n;

	while ((n = weir_conn_read(c, buf, sizeof(buf))) > 0)
		if (weir_ref_send(to->other, buf, (size_t)n) < 0)
			return WEIR_CLOSE;
	return (int)n;
}

static void end_other(weir_conn *c, void *arg)
{
	struct side *to = arg ? arg : weir_conn_data(c);

	(void)weir_ref_close(to->other);
	weir_ref_unref(to->other);
	free(to);
}

static void *relay_of(weir_conn *c, struct relay *r)
{
	struct side *out = calloc(1, sizeof(*out));
	struct side *in = calloc(1, sizeof(*in));

	out->other = weir_conn_ref(c);
	ck_assert_int_eq(
		weir_server_dial(r->server, &in->other, r->where, 0,
				 WEIR_SERVICE(.readable = pass_on,
					      .closed = end_other, .arg = out)),
		0);
	return in;
}

static int begin_relay(weir_conn *c, void *arg)
{
	weir_conn_set_data(c, relay_of(c, arg), NULL);
	return WEIR_AGAIN;
}

static int relay_in(weir_conn *c, void *arg)
{
	(void)arg;
	return pass_on(c, NULL);
}

static void end_relay(weir_conn *c, void *arg)
{
	(void)arg;
	end_other(c, NULL);
}

#define RELAYED 50

START_TEST(a_relay_dials_for_each_client)
{
	struct server *back = serve(NULL, WEIR_SERVICE(.readable = echo));
	struct relay r = { .where = back->address };
	struct server *front = serve(
		NULL, WEIR_SERVICE(.readable = relay_in, .opened = begin_relay,
				   .closed = end_relay, .arg = &r));
	struct client *c[RELAYED];
	char text[32];
	struct weir_ledger l;

	r.server = front->weir;
	for (int i = 0; i < RELAYED; i++)
		c[i] = client_open(front);
	for (int i = 0; i < RELAYED; i++) {
		snprintf(text, sizeof(text), "client %d\n", i);
		client_expect_echo(c[i], text);
	}
	for (int i = 0; i < RELAYED; i++)
		client_close(c[i]);
	UNTIL(stats(front).ledger.open == 0);
	ck_assert_int_eq(weir_server_stop(front->weir, 10000), 0);
	l = server_join_and_check(front).ledger;
	ck_assert_uint_eq(l.accepted, RELAYED);
	ck_assert_uint_eq(l.dialled, RELAYED);
	ck_assert_uint_eq(l.completed, 2 * RELAYED);
	server_stop_and_check(back);
}
END_TEST

static int talk(weir_conn *c, void *arg)
{
	struct dialled *d = arg;
	char line[16];

	if (weir_conn_printf(c, "one\n") < 0 ||
	    weir_conn_read_line(c, line, sizeof(line)) != 4)
		return WEIR_CLOSE;
	atomic_fetch_add(&d->lines, 1);
	return WEIR_CLOSE;
}

/* A session that speaks first needs `opened`, which also begins it. */
START_TEST(a_dialled_connection_may_have_a_session)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	struct dialled d = { .lines = 0 };

	ck_assert_int_eq(
		weir_server_dial(s->weir, NULL, s->address, 0,
				 WEIR_SERVICE(.session = talk,
					      .opened = say_hello,
					      .closed = note_end, .arg = &d)),
		0);
	UNTIL(d.ended == 1);
	ck_assert_int_eq(d.opened, 1);
	stop_after_all(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS("dialling", every_kind_of_address_is_dialled,
			 a_dial_that_fails_tells_why,
			 a_dial_without_a_descriptor_fails,
			 a_dial_that_takes_too_long_times_out,
			 output_of_other_threads_waits_for_the_connection,
			 an_end_of_output_waits_for_the_connection,
			 the_first_byte_is_waited_for_once_connected,
			 another_thread_may_end_an_attempt,
			 a_stuck_callback_of_a_dialled_connection_is_named,
			 an_attempt_goes_on_while_the_server_drains,
			 the_deadline_of_a_stop_cuts_attempts,
			 the_end_of_one_may_dial_the_next,
			 what_cannot_be_dialled_is_refused_at_once,
			 a_name_is_looked_up_by_none_of_the_workers,
			 a_look_up_may_be_given_up_at_any_time,
			 a_relay_dials_for_each_client,
			 a_dialled_connection_may_have_a_session);
}
