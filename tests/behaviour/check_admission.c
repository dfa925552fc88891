/* SPDX-License-Identifier: MIT */
/*
 * Clients that are refused before they take a place, and idle ones that give
 * theirs up.
 */
#include "test.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define REFUSAL "too many\n"

static weir_access *rules(const char *text)
{
	weir_access *a = NULL;
	char why[200];

	ck_assert_int_eq(weir_access_new(&a, text, why, sizeof(why)), 0);
	return a;
}

static struct server *serve_by(const char *text, int workers)
{
	weir_access *a = rules(text);
	struct server *s = serve(WEIR_CONFIG(.workers = workers, .access = a,
					     .refusal = REFUSAL),
				 WEIR_SERVICE(.readable = echo_lines));

	weir_access_unref(a);
	return s;
}

/* A client with this address of its own. */
static struct client *client_open_from(struct server *s, const char *source)
{
	struct client *c = client_new(s->address, 0);
	struct sockaddr_in from = { .sin_family = AF_INET };

	ck_assert_int_eq(inet_pton(AF_INET, source, &from.sin_addr), 1);
	ck_assert_int_eq(bind(c->fd, (struct sockaddr *)&from, sizeof(from)),
			 0);
	ck_assert_int_eq(client_connect(c, s->address), 0);
	return c;
}

START_TEST(a_denied_client_is_closed_without_a_word)
{
	struct server *s = serve_by("allow 127.0.0.2", 1);
	struct client *denied = client_open_from(s, "127.0.0.3");
	struct client *allowed = client_open_from(s, "127.0.0.2");
	struct weir_report r;

	client_expect_eof(denied);
	client_expect_echo(allowed, "hello\n");
	UNTIL(log_says(s, "client 127.0.0.3:"));
	ck_assert(log_says(s, "refused: the access rules deny it"));
	r = server_stop_and_check(s);
	ck_assert_uint_eq(r.ledger.refused_access, 1);
	ck_assert_uint_eq(r.ledger.refused, 1);
	ck_assert_uint_eq(r.ledger.completed, 1);
}
END_TEST

START_TEST(a_source_above_its_limit_can_read_why)
{
	struct server *s = serve_by("limit 2", 1);
	struct client *c[3];
	struct weir_report r;

	for (int i = 0; i < 3; i++) {
		c[i] = client_open_from(s, "127.0.0.2");
		if (i < 2)
			client_expect_echo(c[i], "hello\n");
	}
	client_expect_last(c[2], REFUSAL);
	client_expect_echo(client_open_from(s, "127.0.0.3"), "hello\n");
	/* the place of one that ends is free */
	client_close(c[2]);
	UNTIL(stats(s).ledger.open == 3);
	client_close(c[0]);
	UNTIL(stats(s).ledger.open == 2);
	client_expect_echo(client_open_from(s, "127.0.0.2"), "hello\n");
	r = server_stop_and_check(s);
	ck_assert_uint_eq(r.ledger.refused_source, 1);
	ck_assert_uint_eq(r.ledger.refused, 1);
}
END_TEST

START_TEST(loopback_and_unix_sockets_have_no_limit_without_rules)
{
	struct server *s = serve(WEIR_CONFIG(.workers = 1, .max_per_source = 1),
				 WEIR_SERVICE(.readable = echo_lines));
	char address[160];
	int id = server_listen(s, own_unix_address(),
			       WEIR_SERVICE(.readable = echo_lines));

	server_address(s, id, address, sizeof(address));
	for (int i = 0; i < 3; i++) {
		client_expect_echo(client_open(s), "hello\n");
		client_expect_echo(client_open_at(address), "hello\n");
	}
	server_stop_and_check(s);
}
END_TEST

/* ------------------------------------------------------------------- flood */

struct flood {
	struct server *server;
	pthread_t id;
	_Atomic bool is_over;
};

/* A connection from 127.0.0.2, established or not. */
static int flood_connect(const char *address)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	to.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
	if (fd >= 0 && bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0)
		(void)connect(fd, (struct sockaddr *)&to, sizeof(to));
	return fd;
}

/* Holds what it gets, up to a number, and asks for more. */
static void *flood_main(void *arg)
{
	enum { HELD = 200 };
	struct flood *f = arg;
	int held[HELD];

	for (int i = 0; i < HELD; i++)
		held[i] = -1;
	for (int i = 0; !f->is_over; i = (i + 1) % HELD) {
		if (held[i] >= 0)
			close(held[i]);
		held[i] = flood_connect(f->server->address);
	}
	for (int i = 0; i < HELD; i++)
		if (held[i] >= 0)
			close(held[i]);
	return NULL;
}

START_TEST(a_flood_from_one_source_takes_no_place_from_another)
{
	const int asked = fewer(500);
	weir_access *a = rules("limit 10");
	struct server *s = serve(
		WEIR_CONFIG(.workers = 2, .max_connections = 20, .access = a),
		WEIR_SERVICE(.readable = echo_lines));
	struct flood flood = { .server = s };
	struct weir_report r;
	int served = 0;

	weir_access_unref(a);
	ck_assert_int_eq(pthread_create(&flood.id, NULL, flood_main, &flood),
			 0);
	UNTIL(stats(s).ledger.refused_source > 0);
	for (int i = 0; i < asked; i++) {
		struct client *c = client_open_from(s, "127.0.0.3");
		char line[8];

		client_send(c, "hello\n");
		served += client_read(c, line, sizeof(line)) == 6;
		client_close(c);
	}
	flood.is_over = true;
	pthread_join(flood.id, NULL);
	ck_assert_int_ge(served, asked * 99 / 100);
	r = server_stop_and_check(s);
	ck_assert_uint_gt(r.ledger.refused_source, 10);
}
END_TEST

/* ------------------------------------------------------------------ reload */

static void use_rules(struct server *s, const char *text)
{
	weir_access *a = text ? rules(text) : NULL;

	ck_assert_int_eq(
		weir_server_configure(s->weir, WEIR_CONFIG(.access = a)), 0);
	weir_access_unref(a);
}

START_TEST(rules_change_whole_while_clients_come)
{
	struct server *s = serve_by("allow 127.0.0.0/8", 2);
	struct load *load = load_start(s->address, 2, 2);
	struct load_counts counts;
	uint64_t asked;

	for (int i = 0; i < fewer(50); i++) {
		asked = load_answered(load);
		use_rules(s, i % 2 ? "allow 127.0.0.0/8\nlimit 100"
				   : "deny 10.0.0.0/8\nrate 1000000/1s");
		UNTIL(load_answered(load) > asked);
	}
	load_mark_stop(load);
	ck_assert_int_eq(weir_server_stop(s->weir, 5000), 0);
	counts = load_finish(load);
	ck_assert_uint_eq(counts.lost, 0);
	ck_assert_uint_eq(counts.odd, 0);
	ck_assert_uint_eq(server_join_and_check(s).ledger.refused_access, 0);
}
END_TEST

START_TEST(new_rules_judge_the_next_client)
{
	struct server *s = serve_by("deny 127.0.0.2", 1);

	client_expect_eof(client_open_from(s, "127.0.0.2"));
	use_rules(s, NULL);
	client_expect_echo(client_open_from(s, "127.0.0.2"), "hello\n");
	use_rules(s, "allow 10.0.0.0/8");
	client_expect_eof(client_open_from(s, "127.0.0.2"));
	server_stop_and_check(s);
}
END_TEST

/* ------------------------------------------------------------------- admit */

static int admit_even(int fd, const struct sockaddr *peer, socklen_t len,
		      void *arg)
{
	struct sockaddr_in in;

	ck_assert_int_ge(fd, 0);
	ck_assert_uint_ge(len, sizeof(in));
	memcpy(&in, peer, sizeof(in));
	++*(_Atomic int *)arg;
	return ntohl(in.sin_addr.s_addr) % 2;
}

static int echo_and_ignore(weir_conn *c, void *arg)
{
	(void)arg;
	return echo_lines(c, NULL);
}

START_TEST(the_program_decides_about_clients_that_the_rules_let_in)
{
	static _Atomic int asked;
	weir_access *a = rules("deny 127.0.0.4\nallow 127.0.0.0/8");
	struct server *s =
		serve(WEIR_CONFIG(.workers = 1, .access = a),
		      WEIR_SERVICE(.readable = echo_and_ignore,
				   .admit = admit_even, .arg = (void *)&asked));
	struct weir_report r;

	weir_access_unref(a);
	client_expect_echo(client_open_from(s, "127.0.0.2"), "hello\n");
	client_expect_eof(client_open_from(s, "127.0.0.3"));
	client_expect_eof(client_open_from(s, "127.0.0.4"));
	ck_assert_int_eq(asked, 2);
	r = server_stop_and_check(s);
	ck_assert_uint_eq(r.ledger.refused_access, 2);
}
END_TEST

/* ----------------------------------------------------------------- refused */

struct told {
	_Atomic int count;
	char peer[128], reason[128];
};

static void note_refused(const char *peer, const char *via, const char *reason,
			 void *arg)
{
	struct told *t = arg;

	ck_assert_ptr_null(via);
	snprintf(t->peer, sizeof(t->peer), "%s", peer);
	snprintf(t->reason, sizeof(t->reason), "%s", reason);
	t->count++;
}

/* Before a connection is made for it, on the acceptor, ... */
START_TEST(the_program_is_told_of_a_client_that_the_rules_refuse)
{
	static struct told told;
	weir_access *a = rules("deny 127.0.0.4\nallow 127.0.0.0/8");
	struct server *s =
		serve(WEIR_CONFIG(.access = a, .log_level = WEIR_LOG_ERROR),
		      WEIR_SERVICE(.readable = echo_and_ignore,
				   .refused = note_refused, .arg = &told));

	weir_access_unref(a);
	client_expect_echo(client_open_from(s, "127.0.0.2"), "hello\n");
	client_expect_eof(client_open_from(s, "127.0.0.4"));
	UNTIL(told.count == 1);
	ck_assert_str_eq(told.reason, "the access rules deny it");
	ck_assert_int_eq(strncmp(told.peer, "127.0.0.4:", 10), 0);
	server_stop_and_check(s);
	ck_assert_int_eq(told.count, 1);
}
END_TEST

/* ... or later. */
START_TEST(the_program_is_told_of_a_client_for_which_there_is_no_place)
{
	static struct told told;
	struct server *s = serve(
		WEIR_CONFIG(.max_connections = 1, .overload = WEIR_REFUSE,
			    .refusal = REFUSAL, .log_level = WEIR_LOG_ERROR),
		WEIR_SERVICE(.readable = echo_and_ignore,
			     .refused = note_refused, .arg = &told));

	client_expect_echo(client_open(s), "hello\n");
	client_expect_last(client_open(s), REFUSAL);
	UNTIL(told.count == 1);
	ck_assert_str_eq(told.reason, "the server is full");
	ck_assert_uint_eq(server_stop_and_check(s).ledger.refused, 1);
}
END_TEST

/* ---------------------------------------------------------- early refusals */

START_TEST(clients_that_send_nothing_cause_early_refusals)
{
	weir_access *a = rules("limit 100");
	struct server *s =
		serve(WEIR_CONFIG(.workers = 1, .early_start = 3,
				  .early_percent = 100, .early_full = 4,
				  .access = a, .refusal = REFUSAL),
		      WEIR_SERVICE(.readable = echo_lines));
	struct client *silent[3];
	struct weir_report r;

	weir_access_unref(a);
	for (int i = 0; i < 3; i++)
		silent[i] = client_open(s);
	UNTIL(stats(s).ledger.accepted == 3);
	client_expect_last(client_open(s), REFUSAL);
	client_expect_echo(silent[0], "hello\n");
	client_expect_echo(client_open(s), "hello\n");
	client_close(silent[1]);
	client_close(silent[2]);
	UNTIL(stats(s).ledger.open == 2);
	/* the two that have gone do not count */
	client_open(s);
	client_open(s);
	client_expect_echo(client_open(s), "hello\n");
	r = server_stop_and_check(s);
	ck_assert_uint_eq(r.ledger.refused_early, 1);
}
END_TEST

static int relay_to(weir_conn *c, void *arg)
{
	weir_conn *upstream;
	int rc = weir_dial(&upstream, arg, 10000);

	ck_assert_int_eq(rc, 0);
	rc = weir_relay(c, upstream, NULL);
	weir_conn_free(upstream);
	return rc;
}

START_TEST(clients_whose_bytes_are_passed_on_cause_no_early_refusals)
{
	struct forked_server up =
		forked_server_start(WEIR_SERVICE(.readable = echo_lines));
	weir_access *a = rules("limit 10");
	struct server *s =
		serve(WEIR_CONFIG(.workers = 1, .access = a, .early_start = 1,
				  .early_percent = 100, .early_full = 2),
		      WEIR_SERVICE(.session = relay_to, .arg = up.address));

	weir_access_unref(a);
	for (int i = 0; i < 3; i++)
		client_expect_echo(client_open(s), "hello\n");
	ck_assert_uint_eq(server_stop_and_check(s).ledger.refused, 0);
	forked_server_stop_and_check(&up);
}
END_TEST

/* ---------------------------------------------------------------- eviction */

#define PLACES	 4
#define EVICT_MS 20

static int say_too_idle(weir_conn *c, void *arg)
{
	struct weir_summary s;

	weir_conn_summary(c, &s, sizeof(s));
	ck_assert_int_eq((int)s.end, WEIR_END_IDLE);
	return arg ? WEIR_WAIT : weir_conn_printf(c, "make room\n");
}

static int echo_in_session(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0)
		weir_conn_write(c, line, (size_t)n);
	return n == -ETIMEDOUT ? weir_conn_printf(c, "make room\n") : (int)n;
}

static const struct weir_config *full_config(int overload)
{
	static struct weir_config config;

	config = *WEIR_CONFIG(.workers = 2, .max_connections = PLACES,
			      .overload = overload, .evict_ms = EVICT_MS);
	return &config;
}

/* Clients that are idle, the first one longest. */
static void open_idle(struct server *s, struct client **c, int count)
{
	int64_t since;

	for (int i = 0; i < count; i++) {
		c[i] = client_open(s);
		client_expect_echo(c[i], "hello\n");
	}
	since = now_ms();
	UNTIL(now_ms() > since + 2 * EVICT_MS);
}

static void read_line(struct client *c, char *line, size_t cap)
{
	size_t len = 0;

	while (len == 0 || line[len - 1] != '\n') {
		ck_assert_uint_lt(len + 1, cap);
		ck_assert_int_eq(client_read(c, line + len, 1), 1);
		len++;
	}
	line[len] = '\0';
}

/*
 * False if the client was refused: with WEIR_REFUSE a place must come within a
 * fixed time, which a slow machine may exceed.
 */
static bool is_served(struct server *s)
{
	struct client *c = client_open_and_send(s, "hello\n");
	char line[64];

	read_line(c, line, sizeof(line));
	return strcmp(line, "hello\n") == 0;
}

/* The server is full. */
static void fill(struct server *s, struct client *c[PLACES])
{
	open_idle(s, c, PLACES);
}

/*
 * False if the machine was so slow that a client was refused, or that a third
 * was asked since the first had not left.
 */
static bool two_are_evicted(struct server *s, unsigned timed_out)
{
	struct client *c[PLACES];
	struct weir_report r;

	fill(s, c);
	for (int i = 0; i < 2; i++) {
		if (!is_served(s) || stats(s).evictions > 2) {
			server_stop_and_check(s);
			return false;
		}
		if (i == 0)
			client_expect_last(c[0], "make room\n");
	}
	client_expect_last(c[1], "make room\n");
	client_expect_echo(c[2], "hello\n");
	ck_assert_uint_eq(stats(s).evictions, 2);
	r = server_stop_and_check(s);
	ck_assert_uint_eq(r.ledger.timed_out, timed_out);
	ck_assert_uint_eq(r.ledger.refused, 0);
	return true;
}

static void expect_evictions(int overload, const struct weir_service *service,
			     unsigned timed_out)
{
	MOSTLY(two_are_evicted(serve(full_config(overload), service),
			       timed_out));
}

START_TEST(a_full_server_ends_the_longest_idle_for_a_client_that_waits)
{
	for (int overload = WEIR_HOLD; overload <= WEIR_REFUSE; overload++)
		expect_evictions(overload,
				 WEIR_SERVICE(.readable = echo_lines,
					      .expired = say_too_idle),
				 2);
}
END_TEST

/* None waits for as long as the acceptor sleeps if nothing happens. */
START_TEST(a_client_that_finds_the_server_full_is_noticed_at_once)
{
	int64_t began_at = now_ms();

	for (int i = 0; i < 8; i++) {
		struct server *s = serve(full_config(WEIR_HOLD),
					 WEIR_SERVICE(.readable = echo_lines,
						      .expired = say_too_idle));
		struct client *c[PLACES];

		fill(s, c);
		client_open_and_echo(s, "hello\n");
		server_stop_and_check(s);
	}
	ck_assert_int_lt(now_ms() - began_at, 20000 * slowness());
}
END_TEST

static int echo_after_waits(weir_conn *c, void *arg)
{
	struct weir_poll own = { c, WEIR_POLL_INPUT, 0 };
	char line[64];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_wait(&own, 1, WEIR_NEVER)) > 0) {
		n = weir_conn_read_line(c, line, sizeof(line));
		if (n <= 0)
			break;
		weir_conn_write(c, line, (size_t)n);
	}
	return n == -ETIMEDOUT ? weir_conn_printf(c, "make room\n") : (int)n;
}

/* arg: the address of the upstream. */
static int relay_until_told(weir_conn *c, void *arg)
{
	int rc = relay_to(c, arg);

	return rc == -ETIMEDOUT ? weir_conn_printf(c, "make room\n") : rc;
}

static weir_handler_fn *const sessions[] = { echo_in_session, echo_after_waits,
					     relay_until_told };

/* It returns by itself, and so is completed. */
START_TEST(a_session_that_waits_is_ended_too)
{
	struct forked_server up =
		forked_server_start(WEIR_SERVICE(.readable = echo_lines));

	for (int i = 0; i < 6; i++)
		expect_evictions(i % 2 ? WEIR_HOLD : WEIR_REFUSE,
				 WEIR_SERVICE(.session = sessions[i / 2],
					      .arg = up.address),
				 0);
	forked_server_stop_and_check(&up);
}
END_TEST

/*
 * No worker is free to see the input before the request to end.  The relay, the
 * last one, has the chance to miss it in many rounds.
 */
START_TEST(a_session_that_is_asked_to_end_is_given_its_input_first)
{
	struct forked_server up =
		forked_server_start(WEIR_SERVICE(.readable = echo_lines));

	for (int i = 0; i < 12; i++) {
		struct gate gate = GATE_CLOSED;
		struct server *s =
			serve(WEIR_CONFIG(.workers = 1, .max_connections = 2,
					  .evict_ms = EVICT_MS),
			      WEIR_SERVICE(.session = sessions[i < 2 ? i : 2],
					   .arg = up.address));
		int id = server_listen(
			s, "127.0.0.1:0",
			WEIR_SERVICE(.readable = echo_lines_at_gate,
				     .arg = &gate));
		struct client *first;
		char where[160];
		int64_t since;

		server_address(s, id, where, sizeof(where));
		first = client_open_and_echo(s, "hello\n");
		client_wait_at_gate(client_open_at(where), &gate);
		since = now_ms();
		UNTIL(now_ms() > since + 2 * EVICT_MS);
		client_open(s);
		UNTIL(stats(s).evictions == 1);
		client_send(first, "hello\n");
		gate_open(&gate);
		client_expect(first, "hello\n");
		server_stop_and_check(s);
	}
	forked_server_stop_and_check(&up);
}
END_TEST

/* An upstream that takes nothing by itself. */
static int listen_slowly(char *where, size_t cap)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	const int least = 4096;
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, len), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	snprintf(where, cap, "127.0.0.1:%d", ntohs(at.sin_port));
	return fd;
}

static int relay_slowly(weir_conn *c, void *arg)
{
	const int least = 4096;
	weir_conn *upstream;
	int rc = weir_dial(&upstream, arg, 10000);

	if (rc < 0) /* the test is over */
		return rc;
	setsockopt(weir_conn_fd(upstream), SOL_SOCKET, SO_SNDBUF, &least,
		   sizeof(least));
	rc = weir_relay(c, upstream, NULL);
	weir_conn_free(upstream);
	return rc;
}

#define MORE_THAN_IS_TAKEN 100000

START_TEST(a_relay_whose_output_is_unsent_is_not_idle)
{
	static char bytes[MORE_THAN_IS_TAKEN];
	char where[64];
	int listener = listen_slowly(where, sizeof(where)), up;
	struct server *s =
		serve(WEIR_CONFIG(.workers = 2, .max_connections = 1,
				  .evict_ms = EVICT_MS),
		      WEIR_SERVICE(.session = relay_slowly, .arg = where));
	struct client *first = client_open(s);

	memset(bytes, 'x', sizeof(bytes) - 1);
	client_send(first, bytes);
	up = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(up, 0);
	UNTIL(stats(s).bytes_in == sizeof(bytes) - 1);
	client_open(s);
	UNTIL(stats(s).evictions > 2);
	ck_assert_uint_eq(stats(s).ledger.open, 1);
	ck_assert_int_eq(recv(up, bytes, sizeof(bytes) - 1, MSG_WAITALL),
			 sizeof(bytes) - 1);
	client_expect_eof(first);
	UNTIL(stats(s).timed_out[WEIR_TIMEOUT_IDLE] == 1);
	close(up);
	close(listener);
	server_stop_and_check(s);
}
END_TEST

START_TEST(the_log_tells_the_idle_time_of_one_that_makes_room)
{
	struct weir_config config = *full_config(WEIR_HOLD);
	struct client *c[PLACES];
	struct server *s;
	char text[64];

	config.log_level = WEIR_LOG_DEBUG;
	s = serve(&config,
		  WEIR_SERVICE(.readable = echo_lines, .idle_ms = WEIR_NEVER));
	fill(s, c);
	client_expect_echo(client_open(s), "hello\n");
	client_expect_eof(c[0]);
	(void)snprintf(text, sizeof(text), "nothing came for %d ms", EVICT_MS);
	UNTIL(log_says(s, text));
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_connection_may_refuse_to_be_ended)
{
	struct server *s =
		serve(full_config(WEIR_HOLD),
		      WEIR_SERVICE(.readable = echo_lines,
				   .expired = say_too_idle, .arg = (void *)1));
	struct client *c[PLACES], *waits;

	fill(s, c);
	waits = client_open(s);
	UNTIL(stats(s).evictions > PLACES);
	for (int i = 0; i < PLACES; i++)
		client_expect_echo(c[i], "hello\n");
	client_close(c[0]);
	client_expect_echo(waits, "hello\n");
	ck_assert_uint_eq(server_stop_and_check(s).ledger.timed_out, 0);
}
END_TEST

/* False if a client was refused, or a second was asked for the first one. */
static bool looks_again(struct server *s)
{
	struct client *c[PLACES];
	bool is_first_served, is_last_served;
	int64_t since;

	fill(s, c);
	is_first_served = is_served(s);
	client_expect_last(c[0], "make room\n");
	if (!is_first_served || stats(s).evictions > 1) {
		server_stop_and_check(s);
		return false;
	}
	for (int i = 1; i < PLACES; i++)
		client_expect_echo(c[i], "hello\n");
	since = now_ms();
	UNTIL(now_ms() > since + 2 * EVICT_MS);
	is_last_served = is_served(s);
	server_stop_and_check(s);
	return is_last_served;
}

/*
 * The others that the first look has found idle are active before the second
 * client comes, and idle again when it does.
 */
START_TEST(a_full_server_looks_again_if_none_that_it_knows_is_idle)
{
	MOSTLY(looks_again(serve(full_config(WEIR_REFUSE),
				 WEIR_SERVICE(.readable = echo_lines,
					      .expired = say_too_idle))));
}
END_TEST

static int say_make_room(weir_conn *c, void *arg)
{
	(void)arg;
	return weir_conn_printf(c, "make room\n");
}

static void set_places(struct server *s, int places)
{
	struct weir_config config = *full_config(WEIR_HOLD);

	config.workers = 1;
	config.max_connections = places;
	ck_assert_int_eq(weir_server_configure(s->weir, &config), 0);
}

/*
 * The worker is held while the longest idle is asked to end, and there is a
 * place again before it can.
 */
START_TEST(a_connection_that_need_not_end_after_all_is_the_next_to_end)
{
	struct gate gate = GATE_CLOSED;
	struct weir_config config = *full_config(WEIR_HOLD);
	struct client *c[PLACES], *last;
	struct server *s;

	config.workers = 1;
	s = serve(&config,
		  WEIR_SERVICE(.readable = echo_lines_at_gate,
			       .expired = say_make_room, .arg = &gate));
	fill(s, c);
	client_wait_at_gate(c[PLACES - 1], &gate);
	last = client_open(s);
	UNTIL(stats(s).evictions == 1);
	set_places(s, PLACES + 2);
	UNTIL(stats(s).ledger.open == PLACES + 1);
	gate_open(&gate);
	client_expect(c[PLACES - 1], "wait\n");
	client_expect_echo(last, "hello\n");
	UNTIL(stats(s).parked == PLACES + 1);
	ck_assert_uint_eq(stats(s).evictions, 1);
	ck_assert(!client_has_input(c[0]));

	set_places(s, PLACES + 1);
	client_expect_echo(client_open(s), "hello\n");
	ck_assert(client_has_input(c[0]));
	client_expect_last(c[0], "make room\n");
	server_stop_and_check(s);
}
END_TEST

/* A callback of the one that was asked to end; then another one is asked. */
#define OWNER_HAS_MS 1000

static _Atomic(weir_ref *) sleeper;

/* arg: two gates.  "sleep" waits to be woken, and then at the second one. */
static int sleep_or_wait(weir_conn *c, void *arg)
{
	struct gate *gates = arg;
	char line[64];
	ssize_t n;

	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0) {
		weir_conn_write(c, line, (size_t)n);
		if (strcmp(line, "wait\n") == 0)
			gate_wait(&gates[0]);
		if (strcmp(line, "sleep\n") != 0)
			continue;
		(void)weir_conn_flush(c);
		atomic_store(&sleeper, weir_conn_ref(c));
		ck_assert_int_eq(weir_sleep(WEIR_NEVER), -EINTR);
		gate_wait(&gates[1]);
	}
	return n == -ETIMEDOUT ? weir_conn_printf(c, "make room\n") : (int)n;
}

/* The client for which another one is asked to end. */
static struct client *come_while_workers_are_busy(struct server *s,
						  struct client **c,
						  struct gate *gate)
{
	struct client *last;
	int64_t since;

	client_wait_at_gate(c[2], gate);
	client_wait_at_gate(c[3], gate);
	since = now_ms();
	UNTIL(now_ms() > since + 2 * EVICT_MS);
	last = client_open(s);
	UNTIL(stats(s).evictions == 1);
	return last;
}

/*
 * It is asked while no worker is free, and woken before one is: its session
 * goes on, and does not wait in a call of the library.
 */
START_TEST(a_callback_of_one_that_was_asked_to_end_protects_no_others)
{
	struct gate gates[2] = { GATE_CLOSED, GATE_CLOSED };
	struct server *s =
		serve(full_config(WEIR_HOLD),
		      WEIR_SERVICE(.session = sleep_or_wait, .arg = gates));
	struct client *c[PLACES], *last;

	fill(s, c);
	client_expect_echo(c[0], "sleep\n");
	UNTIL(stats(s).parked == PLACES);
	client_expect_echo(c[1], "hello\n");
	last = come_while_workers_are_busy(s, c, &gates[0]);
	ck_assert_int_eq(weir_ref_wake(atomic_load(&sleeper)), 0);
	gate_open(&gates[0]);
	UNTIL(gate_waiting(&gates[1]) == 1);
	client_expect_echo(last, "hello\n");
	client_expect_last(c[1], "make room\n");
	gate_open(&gates[1]);
	client_expect_echo(c[0], "hello\n");
	weir_ref_unref(atomic_load(&sleeper));
	server_stop_and_check(s);
}
END_TEST

START_TEST(one_makes_room_for_one_client_however_long_workers_are_busy)
{
	struct gate gates[2] = { GATE_CLOSED, GATE_CLOSED };
	struct server *s =
		serve(full_config(WEIR_HOLD),
		      WEIR_SERVICE(.session = sleep_or_wait, .arg = gates));
	struct client *c[PLACES], *last;
	int64_t since;

	fill(s, c);
	last = come_while_workers_are_busy(s, c, &gates[0]);
	since = now_ms();
	UNTIL(now_ms() > since + OWNER_HAS_MS * 3 / 2);
	ck_assert_uint_eq(stats(s).evictions, 1);
	gate_open(&gates[0]);
	client_expect_echo(last, "hello\n");
	server_stop_and_check(s);
}
END_TEST

/* arg: how often it was asked to end.  It ends when it is told to quit. */
static int stay(weir_conn *c, void *arg)
{
	struct weir_stats now;
	char line[64];
	ssize_t n;

	for (;;) {
		n = weir_conn_read_line(c, line, sizeof(line));
		if (n == -ETIMEDOUT) {
			atomic_fetch_add((atomic_int *)arg, 1);
			continue;
		}
		if (n <= 0 || strcmp(line, "quit\n") == 0)
			return (int)(n < 0 ? n : 0);
		ck_assert_int_eq(weir_server_stats(weir_conn_server(c), &now,
						   sizeof(now)),
				 0);
		weir_conn_printf(c, "%d linger\n", (int)now.lingering);
	}
}

/* It has its place to itself until it is closed. */
START_TEST(one_that_was_asked_to_end_and_stayed_is_like_the_others)
{
	static atomic_int asked;
	struct weir_config config = *full_config(WEIR_REFUSE);
	struct client *first, *c;
	struct server *s;
	char line[64];
	int64_t since;

	config.max_connections = 1;
	s = serve(&config, WEIR_SERVICE(.session = stay, .arg = &asked));
	first = client_open(s);
	client_expect_reply(first, "hello\n", "0 linger\n");
	since = now_ms();
	UNTIL(now_ms() > since + 2 * EVICT_MS);
	c = client_open(s);
	UNTIL(atomic_load(&asked) > 0);
	config.evict_ms = WEIR_NEVER;
	ck_assert_int_eq(weir_server_configure(s->weir, &config), 0);
	client_expect_last(c, "busy, try later\n");
	client_close(c);
	UNTIL(stats(s).lingering == 0);
	client_expect_reply(first, "hello\n", "0 linger\n");
	client_send(first, "quit\n");
	UNTIL(stats(s).lingering == 1);
	c = client_open_and_send(s, "hello\n");
	read_line(c, line, sizeof(line));
	if (strcmp(line, "busy, try later\n") != 0)
		ck_assert_str_eq(line, "0 linger\n");
	server_stop_and_check(s);
}
END_TEST

#define SLEEPERS 70 /* more candidates than one search remembers */

static int echo_or_sleep(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0) {
		weir_conn_write(c, line, (size_t)n);
		if (strncmp(line, "sleep", 5) == 0) {
			(void)weir_conn_flush(c);
			return weir_sleep(WEIR_NEVER) < 0 ? WEIR_CLOSE : 0;
		}
	}
	return n == -ETIMEDOUT ? weir_conn_printf(c, "make room\n") : (int)n;
}

START_TEST(connections_that_cannot_be_ended_do_not_protect_others)
{
	struct server *s =
		serve(WEIR_CONFIG(.workers = 2, .overload = WEIR_HOLD,
				  .max_connections = SLEEPERS + 1,
				  .evict_ms = EVICT_MS),
		      WEIR_SERVICE(.session = echo_or_sleep));
	struct client *idle;
	int64_t since;

	for (int i = 0; i < SLEEPERS; i++)
		client_expect_echo(client_open(s), "sleep\n");
	since = now_ms();
	UNTIL(now_ms() > since + EVICT_MS);
	idle = client_open(s);
	client_expect_echo(idle, "hello\n");
	client_expect_echo(client_open(s), "hello\n");
	client_expect_last(idle, "make room\n");
	server_stop_and_check(s);
}
END_TEST

/* Its PROXY header has not come. */
static bool silent_client_of_a_proxy_is_evicted(void)
{
	static const char header[] = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
	struct server *s =
		serve(WEIR_CONFIG(.workers = 2, .max_connections = 2,
				  .overload = WEIR_HOLD, .evict_ms = EVICT_MS),
		      WEIR_SERVICE(.readable = echo_lines,
				   .proxy = WEIR_PROXY_REQUIRED,
				   .proxy_trust = "127.0.0.1"));
	struct client *silent = client_open(s), *idle, *c;
	struct weir_report r;
	int64_t since;
	bool is_one;

	UNTIL(stats(s).ledger.accepted == 1);
	idle = client_open_and_send(s, header);
	client_expect_echo(idle, "hello\n");
	since = now_ms();
	UNTIL(now_ms() > since + 2 * EVICT_MS);
	c = client_open_and_send(s, header);
	client_expect_echo(c, "hello\n");
	is_one = stats(s).evictions == 1;
	if (is_one) {
		ck_assert_uint_eq(client_expect_end(silent), 0);
		client_expect_echo(idle, "hello\n");
	}
	r = server_stop_and_check(s);
	if (is_one)
		ck_assert_uint_eq(r.ledger.timed_out, 1);
	return is_one;
}

START_TEST(a_full_server_ends_a_client_without_its_proxy_header)
{
	MOSTLY(silent_client_of_a_proxy_is_evicted());
}
END_TEST

/* The last place is kept for the second listener. */
static bool one_is_evicted_for_a_place(int overload)
{
	const struct weir_service *service =
		WEIR_SERVICE(.readable = echo_lines, .expired = say_too_idle);
	struct server *s = serve(full_config(overload), service);
	struct client *c[PLACES - 1];
	bool is_one;

	server_listen(s, "127.0.0.1:0", service);
	open_idle(s, c, PLACES - 1);
	is_one = is_served(s);
	client_expect_last(c[0], "make room\n");
	is_one = is_one && stats(s).evictions == 1;
	if (is_one) {
		client_expect_echo(c[1], "hello\n");
		ck_assert_uint_eq(stats(s).ledger.refused, 0);
	}
	server_stop_and_check(s);
	return is_one;
}

START_TEST(a_server_that_is_full_for_one_listener_ends_an_idle_connection)
{
	MOSTLY(one_is_evicted_for_a_place(WEIR_HOLD));
	MOSTLY(one_is_evicted_for_a_place(WEIR_REFUSE));
}
END_TEST

START_TEST(a_look_in_vain_for_one_listener_holds_up_no_other)
{
	struct gate gate = GATE_CLOSED;
	struct weir_config config = *full_config(WEIR_HOLD);
	struct client *only;
	struct server *s;
	char where[160];
	int id;

	config.workers = PLACES;
	s = serve(&config,
		  WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));
	id = server_listen(
		s, "127.0.0.1:0",
		WEIR_SERVICE(.readable = echo_lines, .expired = say_too_idle));
	server_address(s, id, where, sizeof(where));
	only = client_open_at(where);
	client_expect_echo(only, "hello\n");
	for (int i = 0; i < PLACES - 1; i++) {
		(void)client_open_and_send(s, "wait\n");
		UNTIL(gate_waiting(&gate) == i + 1);
	}
	(void)client_open(s);
	client_expect_echo(client_open_at(where), "hello\n");
	client_expect_last(only, "make room\n");
	gate_open(&gate);
	server_stop_and_check(s);
}
END_TEST

static const struct {
	int places;
	bool closes; /* the listener of the one that is idle longest */
	bool is_spared;
} only_ones[] = {
	{ PLACES, false, true }, /* its place would be kept */
	{ PLACES, true, false },
	{ 2, false, false }, /* none is kept: a quarter is less */
};

static bool one_of_two_listeners_is_evicted(size_t i)
{
	const struct weir_service *service =
		WEIR_SERVICE(.readable = echo_lines, .expired = say_too_idle);
	struct weir_config config = *full_config(WEIR_HOLD);
	struct client *only, *c[PLACES - 1];
	struct server *s;
	char where[160];
	bool is_one;
	int id;

	config.max_connections = only_ones[i].places;
	s = serve(&config, service);
	id = server_listen(s, "127.0.0.1:0", service);
	server_address(s, id, where, sizeof(where));
	only = client_open_at(where);
	client_expect_echo(only, "hello\n");
	open_idle(s, c, only_ones[i].places - 1);
	if (only_ones[i].closes) {
		ck_assert_int_eq(weir_server_unlisten(s->weir, id), 0);
		UNTIL(weir_server_unlisten(s->weir, id) == -EINVAL);
	}
	client_expect_echo(client_open(s), "hello\n");
	is_one = stats(s).evictions == 1;
	if (is_one) {
		bool is_spared = only_ones[i].is_spared;

		client_expect_last(is_spared ? c[0] : only, "make room\n");
		client_expect_echo(is_spared ? only : c[0], "hello\n");
	}
	server_stop_and_check(s);
	return is_one;
}

START_TEST(the_only_connection_of_a_listener_is_not_ended_in_vain)
{
	for (size_t i = 0; i < sizeof(only_ones) / sizeof(only_ones[0]); i++)
		MOSTLY(one_of_two_listeners_is_evicted(i));
}
END_TEST

START_TEST(nothing_idle_is_ended_while_there_is_room)
{
	struct server *s = serve(full_config(WEIR_HOLD),
				 WEIR_SERVICE(.readable = echo_lines));
	struct client *c[PLACES];

	fill(s, c);
	client_close(c[0]);
	UNTIL(stats(s).ledger.open == PLACES - 1);
	for (int i = 0; i < 10; i++) {
		struct client *last = client_open(s);

		client_expect_echo(last, "hello\n");
		client_close(last);
		UNTIL(stats(s).ledger.open == PLACES - 1);
	}
	ck_assert_uint_eq(stats(s).evictions, 0);
	server_stop_and_check(s);
}
END_TEST

/* ------------------------------------------------------------------- IPv6 */

/* False: there is no IPv6. */
static bool add_address(const char *address)
{
	struct {
		struct in6_addr addr;
		uint32_t prefix;
		int index;
	} request = { .prefix = 64, .index = (int)if_nametoindex("lo") };
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	if (fd < 0)
		return false;
	ck_assert_int_eq(inet_pton(AF_INET6, address, &request.addr), 1);
	ck_assert_int_eq(ioctl(fd, SIOCSIFADDR, &request), 0);
	close(fd);
	return true;
}

static struct client *client_open_from_v6(struct server *s, const char *source)
{
	struct client *c = client_new(s->address, 0);
	struct sockaddr_in6 from = { .sin6_family = AF_INET6 };

	ck_assert_int_eq(inet_pton(AF_INET6, source, &from.sin6_addr), 1);
	UNTIL(bind(c->fd, (struct sockaddr *)&from, sizeof(from)) == 0);
	ck_assert_int_eq(client_connect(c, s->address), 0);
	return c;
}

START_TEST(a_network_of_64_bits_is_one_source)
{
	weir_access *a;
	struct server *s;

	if (!enter_own_network()) {
		skip_test("no network namespace allowed here");
		return;
	}
	if (!add_address("2001:db8::2") || !add_address("2001:db8::3") ||
	    !add_address("2001:db8:0:1::3")) {
		skip_test("no IPv6 here");
		return;
	}
	a = rules("limit 1");
	s = serve_at("[::1]:0",
		     WEIR_CONFIG(.workers = 1, .access = a, .refusal = REFUSAL),
		     WEIR_SERVICE(.readable = echo_lines));
	weir_access_unref(a);
	client_expect_echo(client_open_from_v6(s, "2001:db8::2"), "hello\n");
	client_expect_last(client_open_from_v6(s, "2001:db8::3"), REFUSAL);
	client_expect_echo(client_open_from_v6(s, "2001:db8:0:1::3"),
			   "hello\n");
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"admission", a_denied_client_is_closed_without_a_word,
		a_source_above_its_limit_can_read_why,
		loopback_and_unix_sockets_have_no_limit_without_rules,
		a_flood_from_one_source_takes_no_place_from_another,
		rules_change_whole_while_clients_come,
		new_rules_judge_the_next_client,
		the_program_decides_about_clients_that_the_rules_let_in,
		the_program_is_told_of_a_client_that_the_rules_refuse,
		the_program_is_told_of_a_client_for_which_there_is_no_place,
		clients_that_send_nothing_cause_early_refusals,
		clients_whose_bytes_are_passed_on_cause_no_early_refusals,
		a_full_server_ends_the_longest_idle_for_a_client_that_waits,
		a_client_that_finds_the_server_full_is_noticed_at_once,
		a_session_that_waits_is_ended_too,
		a_session_that_is_asked_to_end_is_given_its_input_first,
		a_relay_whose_output_is_unsent_is_not_idle,
		a_full_server_looks_again_if_none_that_it_knows_is_idle,
		the_log_tells_the_idle_time_of_one_that_makes_room,
		a_connection_may_refuse_to_be_ended,
		a_connection_that_need_not_end_after_all_is_the_next_to_end,
		a_full_server_ends_a_client_without_its_proxy_header,
		a_server_that_is_full_for_one_listener_ends_an_idle_connection,
		a_look_in_vain_for_one_listener_holds_up_no_other,
		the_only_connection_of_a_listener_is_not_ended_in_vain,
		a_callback_of_one_that_was_asked_to_end_protects_no_others,
		one_makes_room_for_one_client_however_long_workers_are_busy,
		one_that_was_asked_to_end_and_stayed_is_like_the_others,
		connections_that_cannot_be_ended_do_not_protect_others,
		nothing_idle_is_ended_while_there_is_room,
		a_network_of_64_bits_is_one_source);
}
