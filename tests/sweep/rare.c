/* SPDX-License-Identifier: MIT */
/*
 * Rare scenarios: the other input calls, peers that are gone or read little, a
 * stop with every place taken, wrong calls.
 */
#include "env.h"

#define GRACE_MS (600 * slowness())

/* ------------------------------------------------------- input in all ways */

#define EXACT 200

static ssize_t peek_some(weir_conn *c, char *buf)
{
	const void *data;
	ssize_t n = weir_conn_peek(c, &data, 3);

	if (n <= 0)
		return n;
	memcpy(buf, data, 3);
	return weir_conn_consume(c, 3) < 0 ? -EINVAL : 3;
}

static ssize_t peek_all(weir_conn *c, char *buf)
{
	const char *line;
	ssize_t n = weir_conn_peek_line(c, &line);

	if (n <= 0)
		return n;
	memcpy(buf, line, (size_t)n);
	return weir_conn_consume(c, (size_t)n) < 0 ? -EINVAL : n;
}

static ssize_t read_next(weir_conn *c, char *buf, size_t cap, intptr_t step)
{
	switch (step) {
	case 0:
		return weir_conn_read_line(c, buf, cap);
	case 1:
		return weir_conn_read_exact(c, buf, EXACT);
	case 2:
		return weir_conn_read_until(c, buf, cap, "||", 2);
	case 3:
		return peek_some(c, buf);
	case 4:
		return peek_all(c, buf);
	default:
		return weir_conn_read(c, buf, cap);
	}
}

/* After a connection has cut itself, every call says so. */
static int cut_itself(weir_conn *c)
{
	char buf[EXACT];

	(void)weir_ref_cancel(weir_conn_self(c));
	for (intptr_t step = 0; step < 6; step++)
		expect_error_rc((int)read_next(c, buf, sizeof(buf), step),
				"a call after the end");
	return 0;
}

/* Call each in order, and send back what it gives. */
static int answer_each(weir_conn *c, void *arg)
{
	char buf[EXACT + 100];

	(void)arg;
	for (;;) {
		intptr_t step = (intptr_t)weir_conn_data(c);
		ssize_t n = read_next(c, buf, sizeof(buf), step);
		int rc;

		if (n == 0 && step > 4)
			return cut_itself(c);
		if (n <= 0)
			return (int)n;
		weir_conn_set_data(c, (void *)(step + 1), NULL);
		rc = weir_conn_write(c, buf, (size_t)n);
		if (rc < 0)
			return rc;
	}
}

static void read_with(const struct weir_service *service)
{
	struct env st = { .banner = "" };
	struct peer p[2];
	char exact[EXACT + 1];

	memset(exact, 'x', EXACT);
	exact[EXACT] = '\0';
	if (!env_open(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 3), service))
		return;
	for (int i = 0; i < 2; i++)
		p[i] = peer_open(&st);
	peer_send(&p[0], "line\nxx");
	peer_expect(&p[0], "line\n");
	peer_send(&p[0], exact + 2);
	peer_expect(&p[0], exact);
	peer_send(&p[0], "until|");
	SOON(env_parked(&st) == 2 || service->session);
	peer_send(&p[0], "|pe");
	peer_expect(&p[0], "until||");
	peer_send(&p[0], "ekaboo\n");
	peer_expect(&p[0], "peekaboo\n");
	peer_send(&p[0], "rest");
	peer_expect(&p[0], "rest");
	peer_send(&p[1], "half a line");
	for (int i = 0; i < 2; i++)
		peer_half_close(&p[i]);
	peer_expect(&p[1], "half a line");
	for (int i = 0; i < 2; i++)
		peer_expect_end(&p[i]);
	env_close(&st, GRACE_MS);
}

void sweep_reads(void)
{
	read_with(WEIR_SERVICE(.readable = answer_each));
	if (sweep_failures() == 0)
		read_with(
			WEIR_SERVICE(.session = answer_each, .line_max = 100));
}

/* ------------------------------------------------------------ wrong calls */

void sweep_misuse(void)
{
	struct env st = { .banner = "" };
	const struct weir_config sizeless = { .size = 0 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;
	struct weir_address found;
	weir_server *s;
	weir_conn *c;
	char name[64];

	expect_error_rc(weir_server_new(&s, WEIR_CONFIG(.workers = -1)),
			"a negative number of workers");
	expect_error_rc(weir_server_new(&s, &sizeless), "a size of 0");
	expect_error_rc(weir_dial(&c, "nowhere", 100), "no address");
	expect_error_rc(weir_resolve(&found, 1, "nowhere", 100), "no address");
	expect_error_rc(weir_reverse(name, sizeof(name), "nowhere", 100),
			"no address");
	expect_error_rc(weir_reverse(name, sizeof(name), "localhost:1", 100),
			"a name in place of a number");
	if (!env_make(&st, NULL)) {
		close(fd);
		return;
	}
	snprintf(name, sizeof(name), "fd:%d", fd);
	expect_error_rc(
		weir_server_listen(st.weir, name,
				   WEIR_SERVICE(.readable = sweep_service)),
		"a socket that does not listen");
	close(fd);
	expect_error_rc(
		weir_server_listen(st.weir, "nowhere",
				   WEIR_SERVICE(.readable = sweep_service)),
		"no address");
	expect_error_rc(weir_server_listen(st.weir, "127.0.0.1:0",
					   WEIR_SERVICE(.line_max = 1)),
			"a service without a callback");
	if (!env_listen(&st, "127.0.0.1:0",
			WEIR_SERVICE(.readable = sweep_service)))
		return;
	weir_server_stop(st.weir, 0);
	rc = weir_server_run(st.weir, WEIR_SIGNALS);
	expect_rc(rc, "run after a stop");
	weir_server_free(st.weir);
}

/* ------------------------------------------------- while the server runs */

void sweep_changes(void)
{
	struct env st = { .banner = "" };
	struct weir_listener_stats figures;
	char address[160];
	struct peer p;
	int id;

	if (!env_open(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 2),
		      WEIR_SERVICE(.readable = sweep_service)))
		return;
	expect_rc(weir_server_configure(st.weir,
					WEIR_CONFIG(.refusal = "other\n")),
		  "configure");
	expect_rc(weir_server_configure_service(st.weir, 0,
						WEIR_SERVICE(.idle_ms = 50000)),
		  "configure a service");
	id = weir_server_listen(st.weir, "127.0.0.1:0",
				WEIR_SERVICE(.readable = sweep_service));
	expect_rc(id, "listen while it serves");
	if (id > 0 &&
	    weir_server_address(st.weir, id, address, sizeof(address)) > 0) {
		p = peer_open_at(&st, address, 0);
		peer_send(&p, "hello\n");
		peer_expect(&p, "hello\n");
		if (weir_server_unlisten(st.weir, id) < 0)
			sweep_fail("a listener cannot be closed");
		SOON(weir_server_unlisten(st.weir, id) == -EINVAL);
		expect_rc(weir_server_listener_stats(st.weir, id, &figures,
						     sizeof(figures)),
			  "figures of a closed listener");
		peer_send(&p, "again\n");
		peer_expect(&p, "again\n");
		peer_half_close(&p);
		peer_expect_end(&p);
	}
	env_close(&st, GRACE_MS);
}

/* -------------------------------------------------------------- peers */

static void want_and_end(struct env *st, const char *line, const char *answer)
{
	struct peer p = peer_open(st);

	peer_send(&p, line);
	peer_expect(&p, answer);
	peer_expect_end(&p);
}

/* Names must be looked up, also for the message of a failure. */
void sweep_unix_peers(void)
{
	struct env st = { .banner = "" };
	char ten[11] = "";
	char names[620];

	memcpy(ten, sweep_big() + SWEEP_BIG - 10, 10);
	snprintf(names, sizeof(names), "names\n%600slast\n", "");
	if (!env_open(&st, own_unix_address(), WEIR_CONFIG(.workers = 2),
		      WEIR_SERVICE(.readable = sweep_service)))
		return;
	want_and_end(&st, "names\nlast\n", names);
	want_and_end(&st, "fail\n", "");
	want_and_end(&st, "short\n", ten);
	env_close(&st, GRACE_MS);
}

/* A session sends more than its peer reads, and wants to read on. */
static void read_slowly(size_t outbox_mark, const char *more,
			const char *answer)
{
	struct env st = { .banner = "" };
	struct peer p;

	if (!env_open(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 2),
		      WEIR_SERVICE(.session = sweep_service,
				   .outbox_mark = outbox_mark)))
		return;
	p = peer_open_at(&st, st.address, 2048);
	peer_send(&p, "big\n");
	peer_send(&p, more);
	SOON(peer_has_input(&p));
	peer_expect_bytes(&p, sweep_big(), SWEEP_BIG);
	peer_expect(&p, answer);
	peer_half_close(&p);
	peer_expect_end(&p);
	env_close(&st, GRACE_MS);
}

/*
 * With too much unsent to be given input; with less, and from other threads
 * too.
 */
void sweep_slow_reader(void)
{
	read_slowly(SWEEP_BIG * 3 / 2, "more\n", "more\n");
	if (sweep_failures() == 0)
		read_slowly(SWEEP_BIG * 4, "later\n", "later\nawake\n");
}

/*
 * While the only worker serves one client, another connects, sends and resets.
 */
void sweep_gone(void)
{
	struct env st = { .banner = "" };
	const struct linger reset = { .l_onoff = 1 };
	struct peer busy, gone;

	if (!env_open(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 1),
		      WEIR_SERVICE(.session = sweep_service,
				   .session_on_worker = 1)))
		return;
	busy = peer_open(&st);
	peer_send(&busy, "first\n");
	peer_expect(&busy, "first\n");
	gone = peer_open(&st);
	peer_send(&gone, "in vain\n");
	SOON(env_queued(&st) > 0);
	setsockopt(gone.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(gone.fd);
	peer_half_close(&busy);
	peer_expect_end(&busy);
	env_close(&st, GRACE_MS);
}

/*
 * One client has the only place, one waits in the backlog, a stop begins.  If
 * the other is not to be let in, the first waits on its worker: it cannot be
 * lost, unseen, when it is parked.
 */
static void held(bool is_let_in)
{
	struct env st = { .banner = "", .may_refuse = true };
	struct peer a, b;

	if (!env_open(&st, "127.0.0.1:0",
		      WEIR_CONFIG(.workers = 1, .max_connections = 1),
		      WEIR_SERVICE(.session = sweep_service,
				   .session_on_worker = !is_let_in)))
		return;
	a = peer_open(&st);
	peer_send(&a, "first\nhalf a");
	peer_expect(&a, "first\n");
	b = peer_open(&st);
	peer_send(&b, "second\n");
	weir_server_stop(st.weir, is_let_in ? GRACE_MS : 50);
	if (is_let_in) {
		peer_send(&a, " line\n");
		peer_expect(&a, "half a line\n");
		peer_half_close(&a);
		peer_expect_end(&a);
		peer_expect(&b, "second\n");
		peer_expect_end(&b);
	} else {
		if (a.is_lost) /* its place went to the other */
			peer_expect(&b, "second\n");
		peer_expect_end(&b);
		peer_close(&a);
	}
	env_finish(&st);
}

void sweep_held_in_stop(void)
{
	held(false);
	if (sweep_failures() == 0)
		held(true);
}

/* ------------------------------------------- timers, room, a taken socket */

static int say_event(weir_conn *c, const char *text)
{
	int rc = weir_conn_write(c, text, strlen(text));

	return rc < 0 ? rc : WEIR_AGAIN;
}

static int hand_over(weir_conn *c)
{
	int fd = weir_conn_detach(c);

	if (fd < 0)
		return fd;
	(void)send(fd, "taken\n", 6, MSG_NOSIGNAL);
	close(fd);
	return WEIR_CLOSE;
}

/*
 * A line with "!" asks for a timer, "?" for room, "." takes the socket; else as
 * sweep_service().
 */
static int serve_events(weir_conn *c, void *arg)
{
	const char *line;
	ssize_t n;
	char what;
	int rc;

	if (weir_conn_why(c) == WEIR_TIMER)
		return say_event(c, "tick\n");
	if (weir_conn_why(c) == WEIR_WRITABLE)
		return say_event(c, "there is\n");
	n = weir_conn_peek_line(c, &line);
	if (n < 0)
		return (int)n;
	if (n == 0 || strchr("?!.", line[0]) == NULL)
		return sweep_service(c, arg);
	what = line[0];
	weir_conn_consume(c, (size_t)n);
	if (what == '.')
		return hand_over(c);
	rc = what == '?' ? weir_conn_want_room(c) : weir_conn_set_timer(c, 1);
	return rc < 0 ? rc : WEIR_AGAIN;
}

static void count_call(weir_server *s, weir_timer *t, void *arg)
{
	(void)s;
	(void)t;
	atomic_fetch_add((atomic_int *)arg, 1);
}

void sweep_events(void)
{
	static const char *const said[] = { "!\n", "?\n", ".\n" };
	static const char *const heard[] = { "tick\n", "there is\n",
					     "taken\n" };
	static atomic_int calls;
	struct env st = { .banner = "" };
	weir_timer *t = NULL;
	struct peer p;

	if (!env_open(&st, "127.0.0.1:0", WEIR_CONFIG(.workers = 2),
		      WEIR_SERVICE(.readable = serve_events)))
		return;
	expect_rc(weir_server_timer(st.weir, &t, 0, 1, count_call, &calls),
		  "a timer");
	p = peer_open(&st);
	for (int i = 0; i < 3; i++) {
		peer_send(&p, said[i]);
		peer_expect(&p, heard[i]);
	}
	peer_expect_end(&p);
	if (t) {
		SOON(atomic_load(&calls) >= 2);
		expect_rc(weir_timer_set(t, WEIR_NEVER), "a timer is moved");
		(void)weir_timer_free(t);
	}
	env_close(&st, GRACE_MS);
}

/* A header of each version, one in two pieces, and a health check. */
void sweep_proxied(void)
{
	static const char head[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x13"
				   "\x01\x02\x03\x04\x05\x06\x07\x08\x00\x09"
				   "\x00\x0a\x01\x00\x04"
				   "echo";
	struct env st = { .banner = "" };
	const char *where = own_unix_address();
	struct peer a, b, probe;

	if (!env_make(&st, WEIR_CONFIG(.workers = 2)) ||
	    !env_listen(&st, "127.0.0.1:0",
			WEIR_SERVICE(.readable = sweep_service)) ||
	    !env_listen(&st, where,
			WEIR_SERVICE(.readable = sweep_service,
				     .proxy = WEIR_PROXY_REQUIRED,
				     .proxy_trust = "::1")) ||
	    !env_start(&st))
		return;
	a = peer_open_at(&st, where, 0);
	peer_send(&a, "PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\nfirst\n");
	peer_expect(&a, "first\n");
	b = peer_open_at(&st, where, 0);
	peer_send_bytes(&b, head, 20);
	SOON(env_parked(&st) == 2);
	peer_send_bytes(&b, head + 20, sizeof(head) - 1 - 20);
	peer_send(&b, "second\n");
	peer_expect(&b, "second\n");
	probe = peer_open_at(&st, where, 0);
	peer_send(&probe, "PROXY UNKNOWN\r\n");
	peer_half_close(&probe);
	peer_expect_end(&probe);
	peer_half_close(&a);
	peer_expect_end(&a);
	peer_half_close(&b);
	peer_expect_end(&b);
	env_close(&st, GRACE_MS);
}
