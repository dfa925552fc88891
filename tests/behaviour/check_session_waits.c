/* SPDX-License-Identifier: MIT */
/*
 * Sessions that wait for other things than their own peer: a connection that
 * they have dialled, several connections, a time.  On stacks of their own they
 * hold no worker, and in both modes every end of a wait reaches them.
 */
#include "test.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define DRAIN_QUIET_MS 100

/* ---- a peer to dial, which does nothing by itself */

struct upstream {
	int listener;
	char address[160];
};

static struct upstream upstream_open(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	struct upstream u;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	u.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(u.listener, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(listen(u.listener, 1000), 0);
	getsockname(u.listener, (struct sockaddr *)&addr, &len);
	snprintf(u.address, sizeof(u.address), "127.0.0.1:%d",
		 ntohs(addr.sin_port));
	return u;
}

static int upstream_accept(const struct upstream *u)
{
	int fd = accept4(u->listener, NULL, NULL, SOCK_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static void say(int fd, const char *text)
{
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void expect_said(int fd, const char *text)
{
	char got[256] = "";
	size_t len = 0;

	while (len < strlen(text)) {
		ssize_t n = read(fd, got + len, strlen(text) - len);

		ck_assert_int_gt(n, 0);
		len += (size_t)n;
	}
	ck_assert_str_eq(got, text);
}

/* ---- what a session does: "CALL\n"; its result is answered */

struct place {
	struct upstream up;
	weir_ref *_Atomic conn;
	_Atomic int ms;
	_Atomic bool is_over;
	_Atomic int taken;	  /* bytes of a flood */
	_Atomic int begun;	  /* calls */
	_Atomic bool writes_much; /* to its client before a call */
};

static ssize_t do_read(weir_conn *up, weir_conn *c, const struct place *p)
{
	char line[64] = "";
	ssize_t n;

	weir_conn_set_timeout(up, WEIR_TIMEOUT_FIRST_BYTE, p->ms);
	n = weir_conn_read_line(up, line, sizeof(line));
	if (n > 0)
		weir_conn_printf(c, "%s", line);
	return n;
}

static ssize_t do_ask(weir_conn *up, weir_conn *c, const struct place *p)
{
	weir_conn_printf(up, "ask\n");
	return do_read(up, c, p);
}

#define BLOCK ((size_t)32 << 20)

static ssize_t do_write(weir_conn *up, weir_conn *c, const struct place *p)
{
	static const char block[BLOCK];

	(void)c;
	(void)p;
	return weir_conn_write(up, block, sizeof(block));
}

static ssize_t do_sleep(weir_conn *up, weir_conn *c, const struct place *p)
{
	(void)up;
	(void)c;
	return weir_sleep(p->ms);
}

static ssize_t do_poll(weir_conn *up, weir_conn *c, const struct place *p)
{
	struct weir_poll list[] = { { up, WEIR_POLL_INPUT, 0 },
				    { c, WEIR_POLL_INPUT, 0 } };
	int n = weir_conn_wait(list, 2, p->ms);

	if (n > 0)
		weir_conn_printf(c, "up %d, own %d\n", list[0].ready,
				 list[1].ready);
	return n;
}

/* Until a write would wait; then until there is room. */
static ssize_t do_fill(weir_conn *up, weir_conn *c, const struct place *p)
{
	static const char block[65536];
	struct weir_poll one = { up, WEIR_POLL_ROOM, 0 };
	int n;

	(void)p;
	while ((n = weir_conn_wait(&one, 1, 0)) > 0)
		weir_conn_write(up, block, sizeof(block));
	if (n < 0)
		return n;
	if (c)
		weir_conn_printf(c, "full\n");
	n = weir_conn_wait(&one, 1, WEIR_NEVER);
	return n < 0 ? n : one.ready;
}

static const struct {
	const char *name;
	ssize_t (*call)(weir_conn *up, weir_conn *c, const struct place *p);
} calls[] = {
	{ "read\n", do_read },	 { "ask\n", do_ask },	{ "write\n", do_write },
	{ "sleep\n", do_sleep }, { "poll\n", do_poll }, { "fill\n", do_fill },
};

#define MUCH ((size_t)200 << 10)

/* More than the socket takes; the call does not wait for room. */
static int write_much(weir_conn *c)
{
	static const char much[MUCH];
	const int least = 1;

	setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &least,
		   sizeof(least));
	return weir_conn_write(c, much, sizeof(much));
}

static ssize_t do_call(weir_conn *c, struct place *p, const char *name)
{
	weir_conn *up;
	ssize_t n = weir_dial(&up, p->up.address, 0);

	if (n < 0)
		return n;
	if (p->writes_much)
		n = write_much(c);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) && n == 0; i++)
		if (strcmp(name, calls[i].name) == 0) {
			atomic_fetch_add(&p->begun, 1);
			n = calls[i].call(up, c, p);
			break;
		}
	weir_conn_free(up);
	return n;
}

static int call_by_name(weir_conn *c, void *arg)
{
	struct place *p = arg;
	char line[64];
	ssize_t n;

	atomic_store(&p->conn, weir_conn_ref(c));
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0) {
		ssize_t said;

		if (strcmp(line, "hello\n") == 0) {
			weir_conn_printf(c, "%s", line);
			continue;
		}
		said = do_call(c, p, line);
		weir_conn_printf(c, "%s\n", error_name(said));
		if (said == -ECANCELED || said == -ESHUTDOWN)
			return (int)said;
	}
	return (int)n;
}

static struct server *serve_calls(struct place *p, int on_worker)
{
	p->up = upstream_open();
	p->conn = NULL;
	p->ms = WEIR_NEVER;
	p->begun = 0;
	p->writes_much = false;
	return serve_workers(
		1, WEIR_SERVICE(SESSION_ON(on_worker, call_by_name), .arg = p));
}

static void finish(struct server *s, struct place *p)
{
	close(p->up.listener);
	if (p->conn)
		weir_ref_unref(p->conn);
	server_stop_and_check(s);
}

/* ---- no worker is held */

static int ask_and_pass_on(weir_conn *c, void *arg)
{
	struct place *p = arg;
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	weir_conn *up;

	if (n <= 0)
		return (int)n;
	if (strcmp(line, "hello\n") == 0)
		return weir_conn_write(c, line, (size_t)n);
	n = weir_dial(&up, p->up.address, 0);
	if (n < 0)
		return (int)n;
	weir_conn_write(up, line, strlen(line));
	n = weir_conn_read_line(up, line, sizeof(line));
	if (n > 0)
		weir_conn_write(c, line, (size_t)n);
	weir_conn_free(up);
	return n > 0 ? 0 : (int)n;
}

enum { MANY = 100 };

START_TEST(sessions_that_wait_for_another_peer_hold_no_worker)
{
	struct place p = { .up = upstream_open() };
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.session = ask_and_pass_on, .arg = &p));
	struct client *c[MANY];
	int up[MANY];
	char line[64];

	for (int i = 0; i < fewer(MANY); i++) {
		snprintf(line, sizeof(line), "question %d\n", i);
		c[i] = client_open_and_send(s, line);
		up[i] = upstream_accept(&p.up);
		expect_said(up[i], line);
	}
	UNTIL(stats(s).parked == (uint64_t)fewer(MANY));
	client_expect_last(client_open_and_send(s, "hello\n"), "hello\n");
	for (int i = fewer(MANY) - 1; i >= 0; i--) {
		snprintf(line, sizeof(line), "answer %d\n", i);
		for (const char *at = line; *at; at++)
			ck_assert_int_eq(write(up[i], at, 1), 1);
		client_expect_last(c[i], line);
		close(up[i]);
	}
	close(p.up.listener);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_session_that_writes_to_another_peer_holds_no_worker)
{
	struct place p;
	struct server *s = serve_calls(&p, false);
	struct client *c = client_open_and_send(s, "write\n");
	struct client *newcomer;
	int up = upstream_accept(&p.up);
	char buf[65536];
	size_t got = 0;
	ssize_t n;

	UNTIL(stats(s).parked == 1);
	weir_ref_unref(p.conn);
	newcomer = client_open(s);
	client_expect_echo(newcomer, "hello\n");
	while ((n = read(up, buf, sizeof(buf))) > 0)
		got += (size_t)n;
	ck_assert_uint_eq(got, BLOCK);
	client_expect(c, "0\n");
	close(up);
	finish(s, &p);
}
END_TEST

START_TEST(sessions_that_sleep_hold_no_worker)
{
	struct place p;
	struct server *s = serve_calls(&p, false);
	int64_t began_at = now_ms();
	struct client *c;

	p.ms = 200;
	c = client_open_and_send(s, "sleep\n");
	UNTIL(stats(s).parked == 1);
	client_expect(c, "0\n");
	ck_assert_int_ge(now_ms() - began_at, 200);
	p.ms = 0;
	client_expect_reply(c, "sleep\n", "0\n");
	finish(s, &p);
}
END_TEST

static int read_flood(weir_conn *c, void *arg)
{
	struct place *p = arg;
	char byte;
	weir_conn *up;
	int rc = weir_dial(&up, p->up.address, 0);

	(void)c;
	while (rc == 0 && !atomic_load(&p->is_over) &&
	       weir_conn_read(up, &byte, 1) > 0)
		/* more comes before it has read what is there */
		atomic_fetch_add(&p->taken, 1);
	weir_conn_free(up);
	return rc;
}

static void *flood(void *arg)
{
	static const char block[1 << 20];

	while (send(*(int *)arg, block, sizeof(block), MSG_NOSIGNAL) > 0)
		;
	return NULL;
}

START_TEST(a_session_that_another_peer_floods_lets_others_run)
{
	struct place p = { .up = upstream_open() };
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.session = read_flood, .arg = &p));
	int listener =
		server_listen(s, "127.0.0.1:0", WEIR_SERVICE(.readable = echo));
	char address[160];
	struct client *greedy = client_open_and_send(s, "go\n"), *other;
	int up = upstream_accept(&p.up);
	pthread_t id;

	ck_assert_int_eq(pthread_create(&id, NULL, flood, &up), 0);
	UNTIL(atomic_load(&p.taken) > 65536);
	server_address(s, listener, address, sizeof(address));
	other = client_open_at(address);
	for (int i = 0; i < 20; i++)
		client_expect_echo(other, "hello\n");
	atomic_store(&p.is_over, true);
	client_expect_eof(greedy);
	pthread_join(id, NULL);
	close(up);
	close(p.up.listener);
	server_stop_and_check(s);
}
END_TEST

/* ---- the ends of a wait, in both modes */

static const char *const all[] = { "read\n", "sleep\n", "poll\n" };

static struct client *begin_wait(struct server *s, struct place *p,
				 const char *name)
{
	struct client *c = client_open_and_send(s, name);

	UNTIL(atomic_load(&p->begun) == 1 && session_waits(s));
	return c;
}

START_TEST(a_wake_interrupts_the_wait)
{
	for (int i = 0; i < 6; i++) {
		struct place p;
		struct server *s = serve_calls(&p, i % 2);
		struct client *c = begin_wait(s, &p, all[i / 2]);

		ck_assert_int_eq(weir_ref_wake(p.conn), 0);
		client_expect(c, "-EINTR\n");
		client_expect_echo(c, "hello\n");
		finish(s, &p);
	}
}
END_TEST

START_TEST(a_drain_ends_the_wait)
{
	for (int i = 0; i < 6; i++) {
		struct place p;
		struct server *s = serve_calls(&p, i % 2);
		struct client *c = begin_wait(s, &p, all[i / 2]);
		struct weir_report r;

		weir_server_stop(s->weir, 60000);
		client_expect_last(c, "-ESHUTDOWN\n");
		close(p.up.listener);
		weir_ref_unref(p.conn);
		r = server_join_and_check(s);
		ck_assert_uint_eq(r.ledger.completed, 1);
		ck_assert_uint_lt(r.drain_ms, 30000);
	}
}
END_TEST

/* The worker is busy from before it comes until after the drain is due. */
START_TEST(what_has_come_in_time_is_told_before_a_drain)
{
	static const struct {
		const char *call, *from_up, *from_client, *said;
	} cases[] = {
		{ "read\n", "late\n", "", "late\n5\n" },
		{ "poll\n", "late\n", "", "up 1, own 0\n1\n" },
		{ "poll\n", "", "late\n", "up 0, own 1\n1\n" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct gate gate = GATE_CLOSED;
		struct place p;
		struct server *s = serve_calls(&p, 0);
		int id = server_listen(
			s, "127.0.0.1:0",
			WEIR_SERVICE(.readable = echo_lines_at_gate,
				     .arg = &gate));
		struct client *c = client_open_and_send(s, cases[i].call);
		int up = upstream_accept(&p.up);
		char where[160];
		int64_t drained_at;

		server_address(s, id, where, sizeof(where));
		UNTIL(stats(s).parked == 1);
		client_wait_at_gate(client_open_at(where), &gate);
		weir_server_stop(s->weir, WEIR_NEVER);
		UNTIL(stats(s).phase == WEIR_PHASE_DRAINING);
		drained_at = now_ms() + DRAIN_QUIET_MS * 2;
		say(up, cases[i].from_up);
		client_send(c, cases[i].from_client);
		UNTIL(now_ms() > drained_at);
		gate_open(&gate);
		client_expect(c, cases[i].said);
		close(up);
		finish(s, &p);
	}
}
END_TEST

START_TEST(a_close_ends_the_wait)
{
	for (int i = 0; i < 6; i++) {
		struct place p;
		struct server *s = serve_calls(&p, i % 2);
		struct client *c = begin_wait(s, &p, all[i / 2]);

		ck_assert_int_eq(weir_ref_close(p.conn), 0);
		client_expect_last(c, "-ESHUTDOWN\n");
		finish(s, &p);
	}
}
END_TEST

START_TEST(output_is_sent_during_the_wait)
{
	static const char *const names[] = { "read\n", "sleep\n", "poll\n",
					     "write\n" };
	static const char much[MUCH];

	for (int i = 0; i < 8; i++) {
		struct place p;
		struct server *s = serve_calls(&p, i % 2);
		struct client *c = client_open_small(s, 4096);
		int up;

		atomic_store(&p.writes_much, true);
		client_send(c, names[i / 2]);
		up = upstream_accept(&p.up);
		UNTIL(atomic_load(&p.begun) == 1 && session_waits(s));
		client_expect_bytes(c, much, MUCH);
		ck_assert_int_eq(weir_ref_cancel(p.conn), 0);
		client_expect_end(c);
		close(up);
		finish(s, &p);
	}
}
END_TEST

static int say_and_poll(weir_conn *c, void *arg)
{
	const struct place *p = arg;
	struct weir_poll wait = { .conn = NULL };
	int rc = weir_dial(&wait.conn, p->up.address, 0);

	wait.events = WEIR_POLL_INPUT;
	if (rc == 0)
		rc = weir_conn_write(c, "working\n", 8);
	while (rc == 0)
		rc = weir_conn_wait(&wait, 1, 0);
	weir_conn_free(wait.conn);
	return rc < 0 ? rc : WEIR_CLOSE;
}

START_TEST(output_is_sent_by_waits_that_are_over_at_once)
{
	struct place p = { .up = upstream_open() };
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.session = say_and_poll, .speaks_first = 1,
				.session_on_worker = 1, .arg = &p));
	struct client *c = client_open(s);
	int up = upstream_accept(&p.up);

	client_expect(c, "working\n");
	close(up);
	client_expect_end(c);
	close(p.up.listener);
	server_stop_and_check(s);
}
END_TEST

/* Has the session returned before the stop gave it up? */
static bool ends_by_a_cut(const char *name, int on_worker, bool is_cancelled)
{
	struct place p;
	struct server *s = serve_calls(&p, on_worker);
	struct client *c = begin_wait(s, &p, name);
	struct weir_report r;

	if (is_cancelled)
		weir_ref_cancel(p.conn);
	weir_server_stop(s->weir, 0);
	client_expect_end(c);
	close(p.up.listener);
	weir_ref_unref(p.conn);
	r = server_join_and_check(s);
	ck_assert_uint_eq(r.ledger.cut, 1);
	return r.stuck == 0;
}

/*
 * It has 60 ms to return; a machine may stand still for as long, but not most
 * of the times.
 */
START_TEST(a_cut_ends_the_wait)
{
	static const char *const names[] = { "read\n", "sleep\n", "poll\n",
					     "ask\n", "write\n" };
	const int cases = 20;
	int late = 0;

	for (int i = 0; i < cases; i++)
		while (!ends_by_a_cut(names[i / 4], i % 2, i % 4 < 2))
			ck_assert_int_le(++late, cases);
}
END_TEST

static void expect_silence(struct client *c, int ms)
{
	for (int64_t until = now_ms() + ms; now_ms() < until; poll_sleep())
		ck_assert(!client_has_input(c));
}

START_TEST(an_answer_that_is_due_is_waited_for_in_a_drain)
{
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		struct place p;
		struct server *s = serve_calls(&p, on_worker);
		struct client *c = client_open_and_send(s, "ask\n");
		int up = upstream_accept(&p.up);

		expect_said(up, "ask\n");
		UNTIL(session_waits(s));
		weir_server_stop(s->weir, 60000);
		UNTIL(stats(s).phase == WEIR_PHASE_DRAINING);
		expect_silence(c, 300);
		say(up, "answer\n");
		client_expect_last(c, "answer\n7\n");
		close(up);
		close(p.up.listener);
		weir_ref_unref(p.conn);
		server_join_and_check(s);
	}
}
END_TEST

START_TEST(a_deadline_of_the_dialled_connection_ends_the_wait)
{
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		struct place p;
		struct server *s = serve_calls(&p, on_worker);
		struct client *c = client_open(s);

		p.ms = 100;
		client_expect_reply(c, "read\n", "-ETIMEDOUT\n");
		client_expect_reply(c, "poll\n", "0\n");
		finish(s, &p);
	}
}
END_TEST

START_TEST(either_connection_is_told_to_be_ready)
{
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		struct place p;
		struct server *s = serve_calls(&p, on_worker);
		struct client *c = begin_wait(s, &p, "poll\n");
		int up = upstream_accept(&p.up);

		say(up, "x\n");
		client_expect(c, "up 1, own 0\n1\n");
		close(up);
		client_send(c, "poll\n");
		up = upstream_accept(&p.up);
		UNTIL(session_waits(s));
		client_send(c, "hello\n");
		client_expect(c, "up 0, own 1\n1\nhello\n");
		close(up);
		client_send(c, "poll\n");
		up = upstream_accept(&p.up);
		UNTIL(session_waits(s));
		close(up);
		client_expect(c, "up 1, own 0\n1\n");
		client_send(c, "poll\n");
		up = upstream_accept(&p.up);
		UNTIL(session_waits(s));
		client_half_close(c);
		client_expect_last(c, "up 0, own 1\n1\n");
		close(up);
		finish(s, &p);
	}
}
END_TEST

/* ---- both ways at once */

static int relay(weir_conn *c, void *arg)
{
	struct place *p = arg;
	weir_conn *to[2] = { c, NULL };
	bool is_open[2] = { true, true };
	char buf[4096];
	int rc = weir_dial(&to[1], p->up.address, 0);

	while (rc >= 0 && (is_open[0] || is_open[1])) {
		struct weir_poll list[2];
		int from[2], n = 0;

		for (int i = 0; i < 2; i++)
			if (is_open[i]) {
				from[n] = i;
				list[n++] = (struct weir_poll){ to[i],
								WEIR_POLL_INPUT,
								0 };
			}
		rc = weir_conn_wait(list, n, WEIR_NEVER);
		for (int i = 0; i < n && rc >= 0; i++) {
			ssize_t got;

			if (!list[i].ready)
				continue;
			got = weir_conn_read(list[i].conn, buf, sizeof(buf));
			if (got == 0) {
				is_open[from[i]] = false;
				rc = weir_conn_shutdown(to[!from[i]], SHUT_WR);
			} else {
				rc = got < 0 ? (int)got
					     : weir_conn_write(to[!from[i]],
							       buf,
							       (size_t)got);
			}
		}
	}
	weir_conn_free(to[1]);
	return rc < 0 ? rc : 0;
}

static size_t relayed_line(const struct client_group *group, int i, char *buf,
			   size_t cap)
{
	return (size_t)snprintf(buf, cap, "round %d of %d\n", group->round, i);
}

START_TEST(one_session_relays_both_ways)
{
	struct server *up = serve(NULL, WEIR_SERVICE(.readable = echo));
	struct place p;
	struct server *s;
	struct client_group *group;

	snprintf(p.up.address, sizeof(p.up.address), "%s", up->address);
	s = serve_workers(2, WEIR_SERVICE(.session = relay, .arg = &p,
					  .speaks_first = 1));
	group = group_open(s, fewer(50));
	for (group->round = 0; group->round < 20; group->round++) {
		group_send(group, relayed_line);
		group_expect(group, relayed_line);
	}
	UNTIL(stats(s).parked == (uint64_t)fewer(50));
	group_half_close(group);
	group_expect_eof(group);
	group_close(group);
	/* Its descriptors are of this process, too. */
	UNTIL(stats(up).ledger.open == 0);
	server_stop_and_check(s);
	server_stop_and_check(up);
}
END_TEST

/* ---- room, and threads that are no session */

/* Read to the end, which comes when the test shuts the other side down. */
static void *read_all(void *arg)
{
	char buf[65536];

	while (read(*(int *)arg, buf, sizeof(buf)) > 0)
		;
	return NULL;
}

START_TEST(a_session_waits_for_room)
{
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		struct place p;
		struct server *s = serve_calls(&p, on_worker);
		struct client *c = client_open_and_send(s, "fill\n");
		int up = upstream_accept(&p.up);
		pthread_t id;

		client_expect(c, "full\n");
		expect_silence(c, 50);
		ck_assert_int_eq(pthread_create(&id, NULL, read_all, &up), 0);
		client_expect(c, "2\n");
		pthread_join(id, NULL);
		close(up);
		finish(s, &p);
	}
}
END_TEST

START_TEST(a_thread_waits_for_a_time_and_for_connections)
{
	struct upstream u = upstream_open();
	weir_conn *c[2];
	int up[2];
	struct weir_poll list[2];
	int64_t began_at = now_ms();
	char buf[8];

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(weir_dial(&c[i], u.address, 0), 0);
		up[i] = upstream_accept(&u);
		list[i] = (struct weir_poll){ c[i], WEIR_POLL_INPUT, 0 };
	}
	ck_assert_int_eq(weir_sleep(20), 0);
	ck_assert_int_eq(weir_conn_wait(list, 2, 20), 0);
	ck_assert_int_ge(now_ms() - began_at, 40);
	say(up[1], "x");
	ck_assert_int_eq(weir_conn_wait(list, 2, WEIR_NEVER), 1);
	ck_assert_int_eq(list[0].ready, 0);
	ck_assert_int_eq(list[1].ready, WEIR_POLL_INPUT);
	ck_assert_int_eq(weir_conn_read(c[1], buf, sizeof(buf)), 1);
	ck_assert_int_eq(weir_conn_wait(list, 2, 0), 0);
	close(up[0]);
	ck_assert_int_eq(weir_conn_wait(list, 2, WEIR_NEVER), 1);
	ck_assert_int_eq(list[0].ready, WEIR_POLL_INPUT);
	weir_conn_set_timeout(c[1], WEIR_TIMEOUT_IDLE, 20);
	ck_assert_int_eq(weir_conn_wait(list + 1, 1, WEIR_NEVER), -ETIMEDOUT);
	weir_conn_set_timer(c[1], 1);
	ck_assert_int_eq(weir_conn_wait(list + 1, 1, WEIR_NEVER), -EINTR);
	for (int i = 0; i < 2; i++)
		weir_conn_free(c[i]);
	close(up[1]);
	close(u.listener);
}
END_TEST

static void *fill_in_a_thread(void *arg)
{
	weir_conn *up = arg;

	return (void *)(intptr_t)do_fill(up, NULL, NULL);
}

START_TEST(a_thread_waits_for_room)
{
	struct upstream u = upstream_open();
	weir_conn *c;
	pthread_t filler, reader;
	void *ready;
	int up;

	ck_assert_int_eq(weir_dial(&c, u.address, 0), 0);
	up = upstream_accept(&u);
	ck_assert_int_eq(pthread_create(&filler, NULL, fill_in_a_thread, c), 0);
	ck_assert_int_eq(pthread_create(&reader, NULL, read_all, &up), 0);
	pthread_join(filler, &ready);
	ck_assert_int_eq((intptr_t)ready, WEIR_POLL_ROOM);
	weir_conn_free(c);
	pthread_join(reader, NULL);
	close(up);
	close(u.listener);
}
END_TEST

/* ---- what else must hold */

/* The input that it looks at stays over waits for other things. */
static int show_and_wait(weir_conn *c, void *arg)
{
	struct place *p = arg;
	const char *line;
	ssize_t n = weir_conn_peek_line(c, &line);
	weir_conn *up;
	char more[16];

	if (n <= 0)
		return (int)n;
	if (weir_dial(&up, p->up.address, 0) < 0)
		return -EIO;
	weir_conn_read_line(up, more, sizeof(more));
	weir_sleep(1);
	weir_conn_write(c, line, (size_t)n);
	weir_conn_free(up);
	return 0;
}

START_TEST(input_that_a_session_looks_at_stays_while_it_waits)
{
	struct place p = { .up = upstream_open() };
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.session = show_and_wait, .arg = &p));
	struct client *a = client_open_and_send(s, "aaaaaa\n"), *b;
	int up = upstream_accept(&p.up), other;

	UNTIL(stats(s).parked == 1);
	b = client_open_and_send(s, "bbbbbb\n");
	other = upstream_accept(&p.up);
	UNTIL(stats(s).parked == 2);
	say(up, "\n");
	client_expect_last(a, "aaaaaa\n");
	say(other, "\n");
	client_expect_last(b, "bbbbbb\n");
	close(up);
	close(other);
	close(p.up.listener);
	server_stop_and_check(s);
}
END_TEST

/* Used in one session after the other, and in a thread. */
static weir_conn *kept;

static int hand_on(weir_conn *c, void *arg)
{
	char line[16];
	ssize_t n = weir_conn_read_line(kept, line, sizeof(line));

	(void)arg;
	if (n > 0)
		weir_conn_write(c, line, (size_t)n);
	return n > 0 ? 0 : -EIO;
}

START_TEST(a_dialled_connection_outlives_its_session_and_its_server)
{
	struct upstream u = upstream_open();
	char line[16];
	int up;

	ck_assert_int_eq(weir_dial(&kept, u.address, 0), 0);
	up = upstream_accept(&u);
	for (int i = 0; i < 6; i++) {
		struct server *s = serve_workers(
			1, WEIR_SERVICE(.session = hand_on, .speaks_first = 1));

		for (int k = 0; k < 3; k++) {
			struct client *c = client_open(s);

			UNTIL(stats(s).parked == 1);
			say(up, "x\n");
			client_expect_last(c, "x\n");
		}
		server_stop_and_check(s);
	}
	say(up, "last\n");
	ck_assert_int_eq(weir_conn_read_line(kept, line, sizeof(line)), 5);
	weir_conn_free(kept);
	close(up);
	close(u.listener);
}
END_TEST

static int answer_line(weir_conn *c, void *arg)
{
	char line[16];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	return n > 0 ? weir_conn_write(c, line, (size_t)n) : (int)n;
}

struct handing {
	struct upstream up;
	weir_server *server;
};

static int dial_and_hand_on(weir_conn *c, void *arg)
{
	const struct handing *h = arg;
	weir_conn *up;
	int rc = weir_dial(&up, h->up.address, 0), fd = -1;

	(void)c;
	if (rc == 0)
		fd = weir_conn_detach(up);
	if (fd >= 0)
		rc = weir_server_adopt(h->server, NULL, fd,
				       WEIR_SERVICE(.session = answer_line));
	weir_conn_free(up);
	return rc < 0 ? rc : WEIR_CLOSE;
}

START_TEST(what_a_session_has_dialled_can_be_handed_to_its_server)
{
	struct handing h = { .up = upstream_open() };
	struct server *s =
		serve_workers(1, WEIR_SERVICE(.session = dial_and_hand_on,
					      .speaks_first = 1, .arg = &h));
	struct client *c;
	int up;

	h.server = s->weir;
	c = client_open(s);
	up = upstream_accept(&h.up);
	client_expect_eof(c);
	say(up, "hello\n");
	expect_said(up, "hello\n");
	close(up);
	close(h.up.listener);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"session_waits",
		sessions_that_wait_for_another_peer_hold_no_worker,
		a_session_that_writes_to_another_peer_holds_no_worker,
		sessions_that_sleep_hold_no_worker,
		a_session_that_another_peer_floods_lets_others_run,
		a_wake_interrupts_the_wait, a_drain_ends_the_wait,
		what_has_come_in_time_is_told_before_a_drain,
		a_close_ends_the_wait, output_is_sent_during_the_wait,
		output_is_sent_by_waits_that_are_over_at_once,
		a_cut_ends_the_wait,
		an_answer_that_is_due_is_waited_for_in_a_drain,
		a_deadline_of_the_dialled_connection_ends_the_wait,
		either_connection_is_told_to_be_ready,
		one_session_relays_both_ways, a_session_waits_for_room,
		a_thread_waits_for_a_time_and_for_connections,
		a_thread_waits_for_room,
		input_that_a_session_looks_at_stays_while_it_waits,
		a_dialled_connection_outlives_its_session_and_its_server,
		what_a_session_has_dialled_can_be_handed_to_its_server);
}
