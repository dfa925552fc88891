/* SPDX-License-Identifier: MIT */
/*
 * weir_relay(): bytes both ways, each end on its own, and every reason to end.
 * The second listener relays to the first one, which is the upstream.
 */
#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

struct plan {
	struct server *server;
	char where[160]; /* of the relay */
	int idle_ms;
	struct weir_relay_counts relay;
	weir_ref *_Atomic client;
	_Atomic int interruptions;
	_Atomic int result;
	_Atomic bool is_over;
};

static int relay_to(weir_conn *c, void *arg)
{
	struct plan *p = arg;
	weir_conn *upstream;
	weir_ref *client;
	int rc = weir_dial(&upstream, p->server->address, 20000);

	if (rc < 0) { /* the reset may come that early */
		atomic_store(&p->result, rc);
		atomic_store(&p->is_over, true);
		return rc;
	}
	p->relay = (struct weir_relay_counts){ .size = sizeof(p->relay),
					       .idle_ms = p->idle_ms };
	client = weir_conn_ref(c);
	atomic_store(&p->client, client);
	while ((rc = weir_relay(c, upstream, &p->relay)) == -EINTR)
		atomic_fetch_add(&p->interruptions, 1);
	weir_ref_unref(client);
	weir_conn_free(upstream);
	atomic_store(&p->result, rc);
	atomic_store(&p->is_over, true);
	return rc;
}

static struct plan *plan_new(int workers, int on_worker,
			     const struct weir_service *upstream)
{
	struct plan *p = calloc(1, sizeof(*p));
	int id;

	ck_assert_ptr_nonnull(p);
	p->server = serve_workers(workers, upstream);
	id = server_listen(p->server, "127.0.0.1:0",
			   WEIR_SERVICE(SESSION_ON(on_worker, relay_to),
					.speaks_first = 1, .arg = p));
	server_address(p->server, id, p->where, sizeof(p->where));
	return p;
}

/* The upstreams are accepted, too, so is_at_rest() does not tell. */
static bool is_over(struct plan *p)
{
	return atomic_load(&p->is_over) && stats(p->server).ledger.open == 0;
}

static void plan_end(struct plan *p, int result)
{
	UNTIL(atomic_load(&p->is_over));
	ck_assert_msg(p->result == result, "%s", error_name(p->result));
	free(p);
}

START_TEST(the_end_of_each_input_is_passed_on)
{
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		struct plan *p = plan_new(2, on_worker,
					  WEIR_SERVICE(.readable = echo_lines));
		struct client *c = client_open_at(p->where);
		struct weir_report r;

		client_expect_echo(c, "hello\n");
		client_send(c, "and the rest");
		client_half_close(c);
		client_expect_last(c, "and the rest");
		UNTIL(is_over(p));
		ck_assert_uint_eq(p->relay.from_a, 18);
		ck_assert_uint_eq(p->relay.from_b, 18);
		r = server_stop_and_check(p->server);
		ck_assert_uint_eq(r.ledger.completed, 2);
		plan_end(p, 0);
	}
}
END_TEST

static int echo_up_to_the_last(weir_conn *c, void *arg)
{
	char line[16];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	if (n > 0 && weir_conn_write(c, line, (size_t)n) == 0 &&
	    strcmp(line, "last\n") == 0)
		return WEIR_CLOSE;
	return n > 0 ? WEIR_AGAIN : (int)n;
}

/* One worker: the relay runs after the upstream has ended its output. */
START_TEST(an_end_that_comes_with_the_last_bytes_is_passed_on)
{
	for (int before = 0; before < 3; before++) {
		struct plan *p = plan_new(
			1, 0, WEIR_SERVICE(.readable = echo_up_to_the_last));
		struct client *c = client_open_at(p->where);

		for (int i = 0; i < before; i++)
			client_expect_echo(c, "hello\n");
		client_send(c, "last\n");
		client_expect_last(c, "last\n");
		server_stop_and_check(p->server);
		free(p); /* the stop may end the relay first */
	}
}
END_TEST

START_TEST(relays_that_wait_hold_no_worker)
{
	enum { RELAYS = 20 };
	struct plan *p = plan_new(1, 0, WEIR_SERVICE(.readable = echo_lines));
	struct client *c[RELAYS];

	for (int i = 0; i < RELAYS; i++) {
		c[i] = client_open_at(p->where);
		client_expect_echo(c[i], "hello\n");
	}
	UNTIL(stats(p->server).parked == 2 * RELAYS);
	client_open_and_echo(p->server, "newcomer\n");
	for (int i = 0; i < RELAYS; i++)
		client_expect_echo(c[i], "still here\n");
	server_stop_and_check(p->server);
	free(p); /* the stop ends either side first */
}
END_TEST

START_TEST(a_relay_ends_when_both_are_silent)
{
	struct plan *p = plan_new(2, 0, WEIR_SERVICE(.readable = echo_lines));
	struct client *c;
	struct weir_report r;

	p->idle_ms = 200;
	c = client_open_at(p->where);
	client_expect_echo(c, "hello\n");
	client_expect_eof(c);
	r = server_stop_and_check(p->server);
	ck_assert_uint_eq(r.ledger.timed_out, 1);
	plan_end(p, -ETIMEDOUT);
}
END_TEST

START_TEST(a_relay_ends_when_neither_has_ever_sent)
{
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		struct plan *p = plan_new(2, on_worker,
					  WEIR_SERVICE(.readable = echo_lines));
		struct client *c;

		p->idle_ms = 200;
		c = client_open_at(p->where);
		client_expect_eof(c);
		UNTIL(stats(p->server).timed_out[WEIR_TIMEOUT_IDLE] == 1);
		server_stop_and_check(p->server);
		plan_end(p, -ETIMEDOUT);
	}
}
END_TEST

START_TEST(a_stop_waits_for_the_answer_of_an_upstream)
{
	struct gate gate = GATE_CLOSED;
	struct plan *p = plan_new(
		2, 0,
		WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));
	struct client *c = client_open_at(p->where);
	struct weir_report r;

	client_wait_at_gate(c, &gate);
	weir_server_stop(p->server->weir, 60000);
	UNTIL(stats(p->server).phase == WEIR_PHASE_DRAINING);
	ck_assert_int_eq(weir_server_join_for(p->server->weir, NULL, 0, 300),
			 -ETIMEDOUT);
	gate_open(&gate);
	client_expect_last(c, "wait\n");
	r = server_join_and_check(p->server);
	ck_assert_uint_eq(r.ledger.completed, 2);
	free(p); /* as above */
}
END_TEST

START_TEST(a_relay_is_cut_at_the_deadline_of_a_stop)
{
	struct gate gate = GATE_CLOSED;
	struct plan *p = plan_new(
		2, 0,
		WEIR_SERVICE(.session = echo_lines_at_gate, .arg = &gate));
	struct client *c = client_open_at(p->where);

	client_wait_at_gate(c, &gate);
	weir_server_stop(p->server->weir, 0);
	client_expect_end(c);
	UNTIL(atomic_load(&p->is_over));
	gate_open(&gate);
	UNTIL(gate_waiting(&gate) == 0);
	(void)weir_server_join(p->server->weir, NULL, 0);
	weir_server_free(p->server->weir);
	server_check_freed(p->server);
	plan_end(p, -ECANCELED);
}
END_TEST

START_TEST(a_client_that_resets_ends_the_upstream)
{
	struct plan *p = plan_new(2, 0, WEIR_SERVICE(.readable = echo_lines));
	struct client *c = client_open_at(p->where);

	client_expect_echo(c, "hello\n");
	client_reset(c);
	UNTIL(is_over(p));
	server_stop_and_check(p->server);
	plan_end(p, -ECONNRESET);
}
END_TEST

static void reset(int fd)
{
	const struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static int reset_at_once(weir_conn *c, void *arg)
{
	(void)arg;
	reset(weir_conn_detach(c));
	return WEIR_CLOSE;
}

START_TEST(an_upstream_that_resets_ends_the_client)
{
	struct plan *p = plan_new(
		2, 0,
		WEIR_SERVICE(.readable = echo_lines, .opened = reset_at_once));
	struct client *c = client_open_at(p->where);

	client_expect_end(c);
	server_stop_and_check(p->server);
	plan_end(p, -ECONNRESET);
}
END_TEST

static int send_part_and_reset(weir_conn *c, void *arg)
{
	ck_assert_int_eq(weir_conn_write(c, "part", 4), 0);
	ck_assert_int_eq(weir_conn_flush(c), 0);
	gate_wait(arg);
	return reset_at_once(c, NULL);
}

START_TEST(a_part_is_not_taken_for_the_whole)
{
	struct gate gate = GATE_CLOSED;
	struct plan *p = plan_new(2, 0,
				  WEIR_SERVICE(.readable = echo_lines,
					       .opened = send_part_and_reset,
					       .arg = &gate));
	struct client *c = client_open_at(p->where);
	char rest;

	client_expect(c, "part");
	gate_open(&gate);
	ck_assert_int_eq(client_read(c, &rest, 1), -ECONNRESET);
	server_stop_and_check(p->server);
	plan_end(p, -ECONNRESET);
}
END_TEST

START_TEST(a_wake_interrupts_a_relay_which_goes_on)
{
	struct plan *p = plan_new(2, 0, WEIR_SERVICE(.readable = echo_lines));
	struct client *c = client_open_at(p->where);

	client_expect_echo(c, "hello\n");
	ck_assert_int_eq(weir_ref_wake(p->client), 0);
	UNTIL(p->interruptions == 1);
	client_expect_echo(c, "goes on\n");
	client_half_close(c);
	client_expect_eof(c);
	UNTIL(atomic_load(&p->is_over));
	server_stop_and_check(p->server);
	plan_end(p, 0);
}
END_TEST

struct pair {
	weir_conn *a, *b;
	int rc;
};

static void *relay_in_a_thread(void *arg)
{
	struct pair *p = arg;

	p->rc = weir_relay(p->a, p->b, NULL);
	weir_conn_free(p->a);
	weir_conn_free(p->b);
	return NULL;
}

START_TEST(a_thread_may_relay)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	struct pair pair;
	int ends[2];
	char where[32], text[8] = "";
	pthread_t id;

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	snprintf(where, sizeof(where), "fd:%d", ends[0]);
	ck_assert_int_eq(weir_dial(&pair.a, where, 0), 0);
	ck_assert_int_eq(weir_dial(&pair.b, s->address, 0), 0);
	ck_assert_int_eq(pthread_create(&id, NULL, relay_in_a_thread, &pair),
			 0);
	ck_assert_int_eq(send(ends[1], "hello\n", 6, 0), 6);
	ck_assert_int_eq(recv(ends[1], text, 6, MSG_WAITALL), 6);
	ck_assert_str_eq(text, "hello\n");
	ck_assert_int_eq(shutdown(ends[1], SHUT_WR), 0);
	ck_assert_int_eq(recv(ends[1], text, 1, 0), 0);
	ck_assert_int_eq(pthread_join(id, NULL), 0);
	ck_assert_int_eq(pair.rc, 0);
	close(ends[1]);
	server_stop_and_check(s);
}
END_TEST

/* A relay in a thread between two local pairs; the test has the other ends. */
struct local_relay {
	struct pair pair;
	pthread_t thread;
	int a, b;
	_Atomic bool is_over;
	int rc, rc_after; /* of the relay; of a read from a behind it */
};

static int local_end(weir_conn **ret)
{
	const struct timeval patience = { .tv_sec = 20 };
	const int least = 1;
	char where[32];
	int ends[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
	setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &patience,
		   sizeof(patience));
	snprintf(where, sizeof(where), "fd:%d", ends[0]);
	ck_assert_int_eq(weir_dial(ret, where, 0), 0);
	return ends[1];
}

static void *relay_locally(void *arg)
{
	struct local_relay *r = arg;
	char byte;

	r->rc = weir_relay(r->pair.a, r->pair.b, NULL);
	r->rc_after = (int)weir_conn_read(r->pair.a, &byte, 1);
	weir_conn_free(r->pair.a);
	weir_conn_free(r->pair.b);
	atomic_store(&r->is_over, true);
	return NULL;
}

static void local_relay_begin(struct local_relay *r)
{
	r->a = local_end(&r->pair.a);
	r->b = local_end(&r->pair.b);
	ck_assert_int_eq(pthread_create(&r->thread, NULL, relay_locally, r), 0);
}

static void local_relay_end(struct local_relay *r, int result)
{
	UNTIL(atomic_load(&r->is_over));
	pthread_join(r->thread, NULL);
	close(r->a);
	close(r->b);
	ck_assert_msg(r->rc == result, "%s", error_name(r->rc));
}

/* More than a socket of local_end() takes, less than half of outbox_mark. */
#define PART 65536

static void send_part(int fd)
{
	static const char part[PART];

	ck_assert_int_eq(send(fd, part, PART, 0), PART);
}

/* Until the relay takes no more. */
static void fill(int fd)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };

	while (poll(&room, 1, 300) > 0)
		send_part(fd);
}

static void receive_part(int fd)
{
	static char part[PART];

	ck_assert_int_eq(recv(fd, part, PART, MSG_WAITALL), PART);
}

START_TEST(a_way_that_has_ended_is_not_held_up_by_the_other)
{
	struct local_relay r = { .is_over = false };
	char byte;

	local_relay_begin(&r);
	send_part(r.a);
	ck_assert_int_eq(shutdown(r.a, SHUT_WR), 0);
	send_part(r.b);
	/* a takes nothing, and b takes the rest and the end */
	receive_part(r.b);
	ck_assert_int_eq(recv(r.b, &byte, 1, 0), 0);
	receive_part(r.a);
	close(r.b);
	r.b = -1;
	ck_assert_int_eq(recv(r.a, &byte, 1, 0), 0);
	local_relay_end(&r, 0);
}
END_TEST

START_TEST(a_peer_that_takes_no_more_ends_the_relay)
{
	struct local_relay r = { .is_over = false };
	char waste[4096];

	local_relay_begin(&r);
	fill(r.a);
	ck_assert_int_eq(shutdown(r.b, SHUT_RD), 0);
	while (recv(r.b, waste, sizeof(waste), 0) > 0)
		continue; /* there is room, which the relay tries to use */
	local_relay_end(&r, -EPIPE);
	ck_assert_int_eq(r.rc_after, -ECANCELED);
}
END_TEST

/* As of a later version, with a field more. */
struct later_relay {
	struct weir_relay_counts known;
	uint64_t added;
};

START_TEST(a_structure_of_a_later_version_is_relayed_if_nothing_new_is_set)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	struct later_relay later = { .known.size = sizeof(later) };
	weir_conn *a, *b;

	ck_assert_int_eq(weir_dial(&a, s->address, 0), 0);
	ck_assert_int_eq(weir_dial(&b, s->address, 0), 0);
	later.added = 1;
	ck_assert_int_eq(weir_relay(a, b, &later.known), -EINVAL);
	later.added = 0;
	ck_assert_int_eq(weir_conn_shutdown(a, SHUT_RD), 0);
	ck_assert_int_eq(weir_conn_shutdown(b, SHUT_RD), 0);
	ck_assert_int_eq(weir_relay(a, b, &later.known), 0);
	weir_conn_free(a);
	weir_conn_free(b);
	server_stop_and_check(s);
}
END_TEST

static void relay_nothing(const struct server *s,
			  struct weir_relay_counts *counts)
{
	weir_conn *a, *b;

	ck_assert_int_eq(weir_dial(&a, s->address, 0), 0);
	ck_assert_int_eq(weir_dial(&b, s->address, 0), 0);
	ck_assert_int_eq(weir_conn_shutdown(a, SHUT_RD), 0);
	ck_assert_int_eq(weir_conn_shutdown(b, SHUT_RD), 0);
	ck_assert_int_eq(weir_relay(a, b, counts), 0);
	weir_conn_free(a);
	weir_conn_free(b);
}

START_TEST(a_structure_of_an_earlier_version_has_its_fields_alone)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	struct weir_relay_counts few = { .from_a = 7, .from_b = 8 };

	few.size = offsetof(struct weir_relay_counts, from_a);
	few.idle_ms = 1000;
	relay_nothing(s, &few);
	few.size = sizeof(few.size);
	few.idle_ms = -2; /* it is not read */
	relay_nothing(s, &few);
	ck_assert_uint_eq(few.from_a, 7);
	ck_assert_uint_eq(few.from_b, 8);
	ck_assert_int_eq(few.idle_ms, -2);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_structure_without_its_last_count_has_the_first)
{
	struct weir_relay_counts few = { .from_a = 7, .from_b = 8 };
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	weir_conn *a, *b;

	few.size = offsetof(struct weir_relay_counts, from_b);
	ck_assert_int_eq(weir_dial(&a, s->address, 0), 0);
	ck_assert_int_eq(weir_dial(&b, s->address, 0), 0);
	ck_assert_int_eq(weir_conn_printf(a, "hello\n"), 0);
	ck_assert_int_eq(weir_conn_shutdown(a, SHUT_WR), 0);
	ck_assert_int_eq(weir_conn_shutdown(b, SHUT_RD), 0);
	ck_assert_int_eq(weir_relay(a, b, &few), 0);
	ck_assert_uint_eq(few.from_a, 7 + 6);
	ck_assert_uint_eq(few.from_b, 8);
	weir_conn_free(a);
	weir_conn_free(b);
	server_stop_and_check(s);
}
END_TEST

START_TEST(what_cannot_be_relayed_is_refused)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	struct weir_relay_counts odd = { .size = 1 },
				 negative = { .size = sizeof(odd),
					      .idle_ms = -2 };
	weir_conn *a, *b;

	ck_assert_int_eq(weir_dial(&a, s->address, 0), 0);
	ck_assert_int_eq(weir_dial(&b, s->address, 0), 0);
	ck_assert_int_eq(weir_relay(NULL, b, NULL), -EINVAL);
	ck_assert_int_eq(weir_relay(a, NULL, NULL), -EINVAL);
	ck_assert_int_eq(weir_relay(a, a, NULL), -EINVAL);
	ck_assert_int_eq(weir_relay(a, b, &odd), -EINVAL);
	ck_assert_int_eq(weir_relay(a, b, &negative), -EINVAL);
	weir_conn_free(a);
	weir_conn_free(b);
	server_stop_and_check(s);
}
END_TEST

/* ------------------------------- a relay between two sockets of the test */

struct ends {
	char where[160];    /* of the relay */
	char upstream[160]; /* where it dials */
	int listener;
	struct client *client;
	int peer[2];	 /* the client, and what is accepted as the upstream */
	int lifetime[2]; /* of their connections; 0: none */
	int write_ms;	 /* of both; 0: none */
	int buffer;	 /* SO_SNDBUF of both; 0: as it is */
	struct gate *gate; /* before the relay; NULL */
	struct weir_relay_counts relay;
	weir_ref *_Atomic ref; /* to the session */
	weir_ref *_Atomic upstream_ref;
	_Atomic int result;
	_Atomic bool has_ended;
};

static void set_up(weir_conn *c, const struct ends *e, int lifetime_ms)
{
	weir_conn_set_timeout(c, WEIR_TIMEOUT_LIFETIME,
			      lifetime_ms ? lifetime_ms : WEIR_NEVER);
	weir_conn_set_timeout(c, WEIR_TIMEOUT_WRITE,
			      e->write_ms ? e->write_ms : WEIR_NEVER);
	if (e->buffer)
		setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &e->buffer,
			   sizeof(e->buffer));
}

/* Of 1 ms. */
static void wait_for_lifetimes(struct gate *gate)
{
	int64_t passed_at = now_ms() + 2;

	gate_wait(gate);
	UNTIL(now_ms() > passed_at);
}

static int relay_ends(weir_conn *c, void *arg)
{
	struct ends *e = arg;
	weir_conn *upstream = NULL;
	int rc = weir_dial(&upstream, e->upstream, 0);

	atomic_store(&e->ref, weir_conn_ref(c));
	if (rc == 0) {
		atomic_store(&e->upstream_ref, weir_conn_ref(upstream));
		set_up(c, e, e->lifetime[0]);
		set_up(upstream, e, e->lifetime[1]);
		if (e->gate)
			wait_for_lifetimes(e->gate);
		rc = weir_relay(c, upstream, &e->relay);
	}
	atomic_store(&e->result, rc);
	atomic_store(&e->has_ended, true);
	weir_conn_free(upstream);
	return rc;
}

static int listen_with(int receive_buffer, char *where, size_t cap)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (receive_buffer)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer,
			   sizeof(receive_buffer));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, len), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	snprintf(where, cap, "127.0.0.1:%d", ntohs(at.sin_port));
	return fd;
}

static int accept_one(int listener)
{
	const int64_t most_ms = test_deadline() - now_ms();
	const struct timeval patience = { .tv_sec = (time_t)(most_ms / 1000) +
						    1 };
	struct pollfd came = { .fd = listener, .events = POLLIN };
	int fd;

	ck_assert_int_eq(poll(&came, 1, (int)most_ms), 1);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

/* Peers with a receive buffer of about that many bytes; 0: as it is. */
static void ends_open(struct ends *e, struct server *s, int on_worker,
		      int receive_buffer)
{
	int id;

	e->relay.size = sizeof(e->relay);
	e->listener =
		listen_with(receive_buffer, e->upstream, sizeof(e->upstream));
	id = server_listen(s, "127.0.0.1:0",
			   WEIR_SERVICE(SESSION_ON(on_worker, relay_ends),
					.speaks_first = 1, .arg = e,
					.idle_ms = WEIR_NEVER));
	server_address(s, id, e->where, sizeof(e->where));
	e->client = client_new(e->where, receive_buffer);
	ck_assert_int_eq(client_connect(e->client, e->where), 0);
	e->peer[0] = e->client->fd;
	e->peer[1] = accept_one(e->listener);
}

static void ends_expect(const struct ends *e, int result, const char *name)
{
	int64_t until = test_deadline();

	while (!atomic_load(&e->has_ended)) {
		ck_assert_msg(now_ms() < until, "%s: the relay goes on", name);
		poll_sleep();
	}
	ck_assert_msg(e->result == result, "%s: %s", name,
		      error_name(e->result));
}

static void ends_reset(struct ends *e, int which)
{
	if (which == 0)
		client_reset(e->client);
	else
		reset(e->peer[1]);
	e->client = which == 0 ? NULL : e->client;
	e->peer[which] = -1;
}

static void ends_close(struct ends *e)
{
	weir_ref_unref(e->ref);
	weir_ref_unref(e->upstream_ref);
	close(e->listener);
	close(e->peer[1]);
	if (e->client)
		client_close(e->client);
}

static void send_bytes(int fd, size_t len)
{
	static const char bytes[1 << 20];

	ck_assert_uint_le(len, sizeof(bytes));
	ck_assert_int_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void end_output(int fd)
{
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
}

static size_t receive_all(int fd)
{
	char bytes[65536];
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		len += (size_t)n;
	ck_assert_int_eq(n, 0);
	return len;
}

/* More than socket buffers take; the poller reports no room for long. */
#define MUCH 300000

/*
 * One byte in write_ms is enough, and idle_ms does not count while output is
 * unsent.  Which peer is slow is the lower bit, the kind of session the upper.
 */
START_TEST(a_peer_that_takes_bytes_slowly_lives)
{
	enum { RELAYS = 4, WRITE_MS = 4000 };
	static struct ends e[RELAYS];
	struct server *s =
		serve_workers(RELAYS, WEIR_SERVICE(.readable = echo_lines));
	char bytes[4096];
	size_t have[RELAYS] = { 0 };
	int64_t next_at;

	for (int i = 0; i < RELAYS; i++) {
		e[i].write_ms = WRITE_MS;
		e[i].relay.idle_ms = WRITE_MS * 3 / 4;
		e[i].buffer = 100000;
		ends_open(&e[i], s, i / 2, 4096);
		send_bytes(e[i].peer[i % 2], MUCH);
		end_output(e[i].peer[i % 2]);
	}
	next_at = now_ms();
	for (int step = 0; step < 12; step++) {
		for (int i = 0; i < RELAYS; i++) {
			ssize_t n = recv(e[i].peer[!(i % 2)], bytes,
					 sizeof(bytes), 0);

			ck_assert_int_gt(n, 0);
			have[i] += (size_t)n;
		}
		next_at += WRITE_MS / 8;
		while (now_ms() < next_at)
			poll_sleep();
	}
	for (int i = 0; i < RELAYS; i++) {
		have[i] += receive_all(e[i].peer[!(i % 2)]);
		ck_assert_msg(have[i] == MUCH, "%zu bytes have come: %s",
			      have[i], error_name(e[i].result));
		end_output(e[i].peer[!(i % 2)]);
		ends_expect(&e[i], 0, i / 2 ? "on a worker" : "on a stack");
		ends_close(&e[i]);
	}
	server_stop_and_check(s);
}
END_TEST

/* What the peers have done; CLIENT_ and UPSTREAM_ go together. */
enum {
	CLIENT_ENDED = 1 << 0,
	UPSTREAM_ENDED = 1 << 1,
	CLIENT_FULL = 1 << 2, /* it takes nothing */
	UPSTREAM_FULL = 1 << 3
};

enum deadline { IDLE, WRITE, CLIENT_LIFETIME, UPSTREAM_LIFETIME, DEADLINES };

static const struct {
	const char *name;
	int state;
} states[] = {
	{ "both send", 0 },
	{ "the client has ended", CLIENT_ENDED },
	{ "the upstream has ended", UPSTREAM_ENDED },
	{ "the client takes nothing", CLIENT_FULL },
	{ "the upstream takes nothing", UPSTREAM_FULL },
	{ "the client has ended, the upstream takes nothing",
	  CLIENT_ENDED | UPSTREAM_FULL },
	{ "the upstream has ended, the client takes nothing",
	  UPSTREAM_ENDED | CLIENT_FULL },
	{ "the client has ended and takes nothing",
	  CLIENT_ENDED | CLIENT_FULL },
	{ "the upstream has ended and takes nothing",
	  UPSTREAM_ENDED | UPSTREAM_FULL },
};
#define STATES (sizeof(states) / sizeof(states[0]))

static bool is_full(int state)
{
	return state & (CLIENT_FULL | UPSTREAM_FULL);
}

/* write_ms counts while output is unsent, idle_ms alone in any state. */
static bool applies(enum deadline d, int state)
{
	return d != WRITE || is_full(state);
}

/*
 * A peer that ends sends so little that the relay sees the end.  The deadline
 * may have ended the relay before.
 */
static void bring_about(const struct ends *e, int state)
{
	static const char bytes[200000];

	for (int i = 0; i < 2; i++) {
		bool ends = state & (i ? UPSTREAM_ENDED : CLIENT_ENDED);
		bool fills = state & (i ? CLIENT_FULL : UPSTREAM_FULL);

		if (fills)
			(void)send(e->peer[i], bytes, ends ? 100000 : 200000,
				   MSG_NOSIGNAL);
		if (ends)
			(void)shutdown(e->peer[i], SHUT_WR);
	}
}

static void open_for(struct ends *e, struct server *s, enum deadline d,
		     int state, int on_worker)
{
	const int short_ms = 300 * slowness();

	e->buffer = 4096;
	e->relay.idle_ms = d == IDLE ? short_ms : WEIR_NEVER;
	e->write_ms = d == WRITE ? short_ms : 0;
	e->lifetime[0] = d == CLIENT_LIFETIME ? short_ms : 0;
	e->lifetime[1] = d == UPSTREAM_LIFETIME ? short_ms : 0;
	ends_open(e, s, on_worker, 4096);
	bring_about(e, state);
}

/* 0: an end; or the errno behind all bytes. */
static int end_of_input(int fd)
{
	char bytes[65536];
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		continue;
	return n < 0 ? errno : 0;
}

/* No peer takes a part for the whole. */
static void expect_ends(const struct ends *e, enum deadline d, int state,
			const char *name)
{
	bool is_clean = d == IDLE && !is_full(state);

	for (int i = 0; i < 2; i++) {
		bool has_end = (state & (i ? CLIENT_ENDED : UPSTREAM_ENDED)) &&
			       !(state & (i ? UPSTREAM_FULL : CLIENT_FULL));
		int error = end_of_input(e->peer[i]);

		ck_assert_msg(error == (is_clean || has_end ? 0 : ECONNRESET),
			      "%s, deadline %d: the %s has got %d", name,
			      (int)d, i ? "upstream" : "client", error);
	}
}

static void try_deadlines(int on_worker)
{
	enum { MOST = DEADLINES * STATES };
	static struct ends e[MOST];
	struct server *s = serve_workers(on_worker ? MOST : 2,
					 WEIR_SERVICE(.readable = echo_lines));
	uint64_t ended[DEADLINES] = { 0 };
	int count = 0;

	memset(e, 0, sizeof(e));
	for (int d = 0; d < DEADLINES; d++)
		for (size_t k = 0; k < STATES; k++)
			if (applies((enum deadline)d, states[k].state)) {
				ended[d]++;
				open_for(&e[count++], s, (enum deadline)d,
					 states[k].state, on_worker);
			}
	count = 0;
	for (int d = 0; d < DEADLINES; d++)
		for (size_t k = 0; k < STATES; k++)
			if (applies((enum deadline)d, states[k].state)) {
				ends_expect(&e[count], -ETIMEDOUT,
					    states[k].name);
				expect_ends(&e[count], (enum deadline)d,
					    states[k].state, states[k].name);
				ends_close(&e[count++]);
			}
	UNTIL(stats(s).ledger.timed_out == (uint64_t)count);
	ck_assert_uint_eq(stats(s).timed_out[WEIR_TIMEOUT_IDLE], ended[IDLE]);
	ck_assert_uint_eq(stats(s).timed_out[WEIR_TIMEOUT_WRITE], ended[WRITE]);
	ck_assert_uint_eq(stats(s).timed_out[WEIR_TIMEOUT_LIFETIME],
			  ended[CLIENT_LIFETIME] + ended[UPSTREAM_LIFETIME]);
	server_stop_and_check(s);
}

START_TEST(each_deadline_ends_a_relay_in_each_state)
{
	try_deadlines(0);
	try_deadlines(1);
}
END_TEST

/* What is left is for the session's connection, or for weir_conn_free(). */
START_TEST(output_that_a_relay_has_left_is_not_cut_off_by_an_end)
{
	for (int i = 0; i < 4; i++) {
		struct server *s =
			serve(NULL, WEIR_SERVICE(.readable = echo_lines));
		struct ends e = { .write_ms = 300, .buffer = 4096 };
		int from = i % 2;

		ends_open(&e, s, i / 2, 4096);
		bring_about(&e, CLIENT_ENDED | UPSTREAM_ENDED |
					(from ? CLIENT_FULL : UPSTREAM_FULL));
		ends_expect(&e, 0, "after both ends");
		UNTIL(stats(s).ledger.open == 0);
		ck_assert_msg(end_of_input(e.peer[!from]) == ECONNRESET,
			      "case %d: a part has a clean end", i);
		ends_close(&e);
		server_stop_and_check(s);
	}
}
END_TEST

/* To the client, until no more is taken.  How much has been. */
static size_t send_from_here(const struct ends *e)
{
	static const char bytes[8192];
	size_t sent = 0;
	int rc;

	while ((rc = weir_ref_send(e->ref, bytes, sizeof(bytes))) == 0)
		sent += sizeof(bytes);
	ck_assert(rc == -ENOBUFS || rc == -EPIPE);
	return sent;
}

START_TEST(what_another_thread_sends_has_its_deadline)
{
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		struct server *s =
			serve(NULL, WEIR_SERVICE(.readable = echo_lines));
		struct ends e = { .write_ms = 300, .buffer = 4096 };

		ends_open(&e, s, on_worker, 4096);
		UNTIL(atomic_load(&e.upstream_ref));
		UNTIL(session_waits(s));
		(void)send_from_here(&e);
		ends_expect(&e, -ETIMEDOUT, "after a send");
		ends_close(&e);
		UNTIL(stats(s).timed_out[WEIR_TIMEOUT_WRITE] == 1);
		server_stop_and_check(s);
	}
}
END_TEST

/* The other one takes nothing, so nothing is waited for here. */
static void fill_beyond(const struct ends *e, struct server *s, int which)
{
	struct pollfd room = { .fd = e->peer[!which], .events = POLLOUT };
	static const char bytes[65536];

	UNTIL(atomic_load(&e->upstream_ref));
	while (poll(&room, 1, 300) > 0)
		(void)send(room.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	UNTIL(session_waits(s));
}

START_TEST(what_another_thread_sends_goes_out_while_the_upstream_is_full)
{
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		struct server *s =
			serve(NULL, WEIR_SERVICE(.readable = echo_lines));
		struct ends e = { .buffer = 4096, .relay.idle_ms = WEIR_NEVER };
		size_t sent, come = 0;
		char bytes[4096];

		ends_open(&e, s, on_worker, 4096);
		fill_beyond(&e, s, 1);
		sent = send_from_here(&e);
		while (come < sent) {
			ssize_t n = recv(e.peer[0], bytes, sizeof(bytes), 0);

			ck_assert_msg(n > 0, "%zu of %zu bytes have come", come,
				      sent);
			come += (size_t)n;
		}
		ck_assert_int_eq(weir_ref_cancel(e.ref), 0);
		ends_expect(&e, -ECANCELED, "after a cut");
		ends_close(&e);
		server_stop_and_check(s);
	}
}
END_TEST

START_TEST(a_cut_of_an_upstream_that_is_not_waited_for_ends_the_relay)
{
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		struct server *s =
			serve(NULL, WEIR_SERVICE(.readable = echo_lines));
		struct ends e = { .buffer = 4096, .relay.idle_ms = WEIR_NEVER };

		ends_open(&e, s, on_worker, 4096);
		fill_beyond(&e, s, 0);
		ck_assert_int_eq(weir_ref_cancel(e.upstream_ref), 0);
		ends_expect(&e, -ECANCELED, "after a cut");
		ck_assert_int_eq(end_of_input(e.peer[0]), ECONNRESET);
		ends_close(&e);
		server_stop_and_check(s);
	}
}
END_TEST

static int64_t own_cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* While this thread uses that much: one that spins gets about the same. */
static int64_t cpu_of_others_ms(int64_t own)
{
	int64_t began_at = own_cpu_ms(), before = cpu_ms(), used;

	while ((used = own_cpu_ms() - began_at) < own)
		continue;
	return cpu_ms() - before - used;
}

START_TEST(a_connection_that_has_ended_both_ways_costs_no_time)
{
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		struct server *s =
			serve(NULL, WEIR_SERVICE(.readable = echo_lines));
		struct ends e = { .result = 0 };
		char byte;

		ends_open(&e, s, on_worker, 0);
		UNTIL(atomic_load(&e.upstream_ref));
		ck_assert_int_eq(weir_ref_shutdown(e.ref, SHUT_WR), 0);
		ck_assert_int_eq(recv(e.peer[0], &byte, 1, 0), 0);
		end_output(e.peer[0]);
		ck_assert_int_eq(recv(e.peer[1], &byte, 1, 0), 0);
		ck_assert_int_lt(cpu_of_others_ms(400), 100);
		end_output(e.peer[1]);
		ends_expect(&e, 0, "after both ends");
		ends_close(&e);
		server_stop_and_check(s);
	}
}
END_TEST

/* One peer ends its output; then it is reset, or the other one is. */
static void end_and_reset(int on_worker, int ended, int reset)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	struct ends e = { .result = 0 };
	char byte;

	ends_open(&e, s, on_worker, 0);
	end_output(e.peer[ended]);
	ck_assert_int_eq(recv(e.peer[!ended], &byte, 1, 0), 0);
	if (reset != ended)
		send_bytes(e.peer[reset], 4);
	ends_reset(&e, reset);
	ends_expect(&e, -ECONNRESET, "after a reset");
	if (reset != ended)
		ck_assert_int_eq(end_of_input(e.peer[ended]), ECONNRESET);
	ends_close(&e);
	server_stop_and_check(s);
}

/* Nothing is sent to it that would tell. */
START_TEST(a_reset_after_the_end_of_the_input_ends_the_relay)
{
	for (int i = 0; i < 4; i++)
		end_and_reset(i / 2, i % 2, i % 2);
}
END_TEST

/* It has sent a part, which must not pass for the whole. */
START_TEST(a_reset_after_the_end_of_the_other_input_ends_the_relay)
{
	for (int i = 0; i < 4; i++)
		end_and_reset(i / 2, i % 2, !(i % 2));
}
END_TEST

/* The upstream sends more than the sockets to the client take. */
static void fill_client(struct ends *e, struct server *s, int on_worker)
{
	struct pollfd came = { .events = POLLIN };

	e->buffer = 4096;
	ends_open(e, s, on_worker, 4096);
	came.fd = e->peer[0];
	send_bytes(e->peer[1], PART);
	ck_assert_int_eq(poll(&came, 1, 20000), 1);
	UNTIL(session_waits(s));
}

/* No byte comes that would end the wait for that. */
START_TEST(a_relay_notices_that_all_is_sent)
{
	for (int i = 0; i < 4; i++) {
		bool is_drained = i % 2;
		struct server *s =
			serve(NULL, WEIR_SERVICE(.readable = echo_lines));
		struct ends e = { .write_ms = is_drained ? 0 : 600000,
				  .relay.idle_ms =
					  is_drained ? WEIR_NEVER : 300 };

		fill_client(&e, s, i / 2);
		if (is_drained) {
			weir_server_stop(s->weir, WEIR_NEVER);
			UNTIL(stats(s).phase == WEIR_PHASE_DRAINING);
		}
		receive_part(e.peer[0]);
		ends_expect(&e, is_drained ? -ESHUTDOWN : -ETIMEDOUT,
			    i / 2 ? "on a worker" : "on a stack");
		ck_assert_int_eq(end_of_input(e.peer[0]), 0);
		ends_close(&e);
		weir_server_stop(s->weir, WEIR_NEVER);
		ck_assert_uint_eq(server_join_and_check(s).ledger.cut, 0);
	}
}
END_TEST

/* Four bytes from each peer have come to the other one; nothing is unsent. */
static void relay_a_part(struct ends *e, struct server *s, int on_worker)
{
	char part[4];

	ends_open(e, s, on_worker, 0);
	for (int i = 0; i < 2; i++) {
		send_bytes(e->peer[i], sizeof(part));
		ck_assert_int_eq(
			recv(e->peer[!i], part, sizeof(part), MSG_WAITALL),
			sizeof(part));
	}
	UNTIL(session_waits(s));
}

/* Less than the silence that ends a relay in a drain. */
#define RELAY_QUIET_MS 1000

static void pause_for(int64_t ms)
{
	int64_t until = now_ms() + ms;

	UNTIL(now_ms() >= until);
}

/* False: the machine was so slow that the silence was too long. */
static bool is_whole_after_a_pause(int on_worker)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	struct ends e = { .result = 0 };
	char part[8] = "";
	int64_t sent_at;
	bool was_quick;

	ends_open(&e, s, on_worker, 0);
	ck_assert_int_eq(send(e.peer[0], "ask\n", 4, 0), 4);
	ck_assert_int_eq(recv(e.peer[1], part, 4, MSG_WAITALL), 4);
	sent_at = now_ms();
	ck_assert_int_eq(send(e.peer[1], "ha", 2, 0), 2);
	ck_assert_int_eq(recv(e.peer[0], part, 2, MSG_WAITALL), 2);
	weir_server_stop(s->weir, WEIR_NEVER);
	UNTIL(stats(s).phase == WEIR_PHASE_DRAINING);
	pause_for(RELAY_QUIET_MS / 2);
	was_quick = send(e.peer[1], "lf\n", 3, MSG_NOSIGNAL) == 3 &&
		    now_ms() < sent_at + RELAY_QUIET_MS * 9 / 10;
	if (was_quick) {
		ck_assert_int_eq(recv(e.peer[0], part, 3, MSG_WAITALL), 3);
		ck_assert_int_eq(memcmp(part, "lf\n", 3), 0);
	}
	ends_expect(&e, -ESHUTDOWN, "in a drain");
	ends_close(&e);
	ck_assert_uint_eq(server_join_and_check(s).ledger.cut, 0);
	return was_quick;
}

START_TEST(a_drain_ends_no_answer_at_a_pause_in_its_middle)
{
	MOSTLY(is_whole_after_a_pause(0));
	MOSTLY(is_whole_after_a_pause(1));
}
END_TEST

/* False: the machine was slow. */
static bool ends_soon_after_silence(int on_worker)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	struct ends e = { .result = 0 };
	int64_t began_at, took;

	relay_a_part(&e, s, on_worker);
	pause_for(RELAY_QUIET_MS);
	began_at = now_ms();
	weir_server_stop(s->weir, WEIR_NEVER);
	ends_expect(&e, -ESHUTDOWN, "in a drain");
	took = now_ms() - began_at;
	ends_close(&e);
	ck_assert_uint_eq(server_join_and_check(s).ledger.cut, 0);
	return took < RELAY_QUIET_MS / 2;
}

/* Its silence before the stop counts. */
START_TEST(a_silent_relay_makes_no_stop_long)
{
	MOSTLY(ends_soon_after_silence(0));
	MOSTLY(ends_soon_after_silence(1));
}
END_TEST

/* No worker is free to look at it before the silence has been too long. */
START_TEST(a_drain_ends_no_relay_before_what_came_in_time_is_passed_on)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));
	struct ends e = { .result = 0 };
	struct client *busy;
	char part[4];

	relay_a_part(&e, s, 0);
	busy = client_open(s);
	client_wait_at_gate(busy, &gate);
	weir_server_stop(s->weir, WEIR_NEVER);
	UNTIL(stats(s).phase == WEIR_PHASE_DRAINING);
	send_bytes(e.peer[1], sizeof(part));
	pause_for(RELAY_QUIET_MS * 5 / 4);
	gate_open(&gate);
	ck_assert_int_eq(recv(e.peer[0], part, sizeof(part), MSG_WAITALL),
			 sizeof(part));
	ends_expect(&e, -ESHUTDOWN, "in a drain");
	ends_close(&e);
	server_join_and_check(s);
}
END_TEST

enum cut { STOP, CANCEL_CLIENT, CANCEL_UPSTREAM, CUTS };

static void cut_relay(struct ends *e, struct server *s, enum cut cut)
{
	if (cut == STOP)
		weir_server_stop(s->weir, 0);
	else
		ck_assert_int_eq(weir_ref_cancel(cut == CANCEL_CLIENT
							 ? e->ref
							 : e->upstream_ref),
				 0);
}

/* Neither takes a part for the whole, whichever connection was cut. */
START_TEST(each_peer_of_a_relay_that_is_cut_gets_a_reset)
{
	for (int i = 0; i < 2 * CUTS; i++) {
		struct server *s =
			serve(NULL, WEIR_SERVICE(.readable = echo_lines));
		struct ends e = { .result = 0 };

		relay_a_part(&e, s, i / CUTS);
		cut_relay(&e, s, (enum cut)(i % CUTS));
		for (int k = 0; k < 2; k++)
			ck_assert_msg(end_of_input(e.peer[k]) == ECONNRESET,
				      "cut %d: no reset for the %s", i,
				      k ? "upstream" : "client");
		ends_expect(&e, -ECANCELED, "after a cut");
		ends_close(&e);
		weir_server_stop(s->weir, WEIR_NEVER);
		ck_assert_uint_eq(server_join_and_check(s).ledger.cut, 1);
	}
}
END_TEST

/* It has the whole. */
START_TEST(a_peer_that_was_sent_the_end_gets_no_reset)
{
	for (int i = 0; i < 4 * CUTS; i++) {
		struct server *s =
			serve(NULL, WEIR_SERVICE(.readable = echo_lines));
		struct ends e = { .result = 0 };
		int ended = i / CUTS % 2;
		char byte;

		relay_a_part(&e, s, i / CUTS / 2);
		end_output(e.peer[ended]);
		ck_assert_int_eq(recv(e.peer[!ended], &byte, 1, MSG_PEEK), 0);
		UNTIL(session_waits(s));
		cut_relay(&e, s, (enum cut)(i % CUTS));
		ck_assert_int_eq(end_of_input(e.peer[ended]), ECONNRESET);
		ck_assert_int_eq(end_of_input(e.peer[!ended]), 0);
		ends_expect(&e, -ECANCELED, "after a cut");
		ends_close(&e);
		weir_server_stop(s->weir, WEIR_NEVER);
		server_join_and_check(s);
	}
}
END_TEST

/* Bytes from one peer to the other one without a pause. */
struct stream {
	pthread_t threads[2];
	int *from, *to;
};

static void *flood(void *arg)
{
	static const char bytes[65536];

	while (send(*(int *)arg, bytes, sizeof(bytes), MSG_NOSIGNAL) > 0)
		continue;
	return NULL;
}

/* Returns the error that has ended it; NULL: an end. */
static void *swallow(void *arg)
{
	static char bytes[1 << 18];
	ssize_t n;

	while ((n = recv(*(int *)arg, bytes, sizeof(bytes), 0)) > 0)
		continue;
	return (void *)(intptr_t)(n < 0 ? errno : 0);
}

static void stream_begin(struct stream *st, struct ends *e, int from)
{
	st->from = &e->peer[from];
	st->to = &e->peer[!from];
	pthread_create(&st->threads[0], NULL, flood, st->from);
	pthread_create(&st->threads[1], NULL, swallow, st->to);
}

/* How it has ended for the one that receives: errno, or 0. */
static int stream_end(struct stream *st)
{
	void *error;

	pthread_join(st->threads[1], &error);
	shutdown(*st->from, SHUT_RDWR);
	pthread_join(st->threads[0], NULL);
	return (int)(intptr_t)error;
}

/* Lifetimes have passed when it begins, and more bytes are there than moved. */
static void try_without_a_pause(enum deadline d, int on_worker)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	struct gate gate = GATE_CLOSED;
	struct ends e = { .gate = &gate };
	struct pollfd room = { .events = POLLOUT };
	struct stream st;

	e.lifetime[d == UPSTREAM_LIFETIME] = 1;
	ends_open(&e, s, on_worker, 0);
	stream_begin(&st, &e, 0);
	room.fd = e.peer[0];
	UNTIL(poll(&room, 1, 0) == 0);
	gate_open(&gate);
	ends_expect(&e, -ETIMEDOUT, on_worker ? "on a worker" : "on a stack");
	ck_assert_uint_lt(e.relay.from_a, 1 << 20);
	(void)stream_end(&st);
	ends_close(&e);
	server_stop_and_check(s);
}

START_TEST(a_relay_without_a_pause_keeps_its_deadlines)
{
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		try_without_a_pause(CLIENT_LIFETIME, on_worker);
		try_without_a_pause(UPSTREAM_LIFETIME, on_worker);
	}
}
END_TEST

/* The session is most often cut while it waits for its turn. */
static void cut_a_stream(int on_worker, int from, enum cut cut)
{
	enum { MUCH_MORE = 8 << 20 };
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	struct ends e = { .result = 0 };
	struct stream st;

	ends_open(&e, s, on_worker, 0);
	stream_begin(&st, &e, from);
	UNTIL(stats(s).bytes_in + stats(s).bytes_out > MUCH_MORE);
	cut_relay(&e, s, cut);
	ck_assert_msg(stream_end(&st) == ECONNRESET,
		      "on a %s: no reset for the %s after cut %d",
		      on_worker ? "worker" : "stack",
		      from ? "client" : "upstream", (int)cut);
	ends_expect(&e, -ECANCELED, "after a cut");
	ends_close(&e);
	weir_server_stop(s->weir, WEIR_NEVER);
	server_join_and_check(s);
}

START_TEST(a_cut_of_a_busy_relay_resets_the_peer_that_receives)
{
	for (int try = 0; try < 5; try++)
		for (int i = 0; i < 4 * CUTS; i++)
			cut_a_stream(i / CUTS / 2, i / CUTS % 2,
				     (enum cut)(i % CUTS));
}
END_TEST

/* ---- the session goes on */

struct looker {
	const char *upstream;
	weir_ref *_Atomic ref;
	_Atomic int stage;
	char line[16];
};

/* Half a line was searched in vain, is relayed, and another one comes. */
static int relay_between_lines(weir_conn *c, void *arg)
{
	struct looker *l = arg;
	const void *data;
	weir_conn *up;

	ck_assert_int_eq(weir_dial(&up, l->upstream, 20000), 0);
	atomic_store(&l->ref, weir_conn_ref(c));
	ck_assert_int_eq(weir_conn_read_line(c, l->line, sizeof(l->line)),
			 -EINTR);
	atomic_store(&l->stage, 1);
	ck_assert_int_eq(weir_relay(c, up, NULL), -EINTR);
	weir_conn_free(up);
	atomic_store(&l->stage, 2);
	ck_assert_int_gt(weir_conn_peek(c, &data, 1), 0);
	return weir_conn_read_line(c, l->line, sizeof(l->line)) < 0;
}

START_TEST(what_was_relayed_is_not_searched_any_more)
{
	struct server *up = serve(NULL, WEIR_SERVICE(.readable = discard));
	struct looker l = { .upstream = up->address };
	struct server *s = serve(
		NULL, WEIR_SERVICE(.session = relay_between_lines, .arg = &l));
	struct client *c = client_open_and_send(s, "abcdefgh");

	UNTIL(atomic_load(&l.ref) && session_waits(s));
	ck_assert_int_eq(weir_ref_wake(l.ref), 0);
	UNTIL(stats(up).bytes_in == 8);
	ck_assert_int_eq(atomic_load(&l.stage), 1);
	ck_assert_int_eq(weir_ref_wake(l.ref), 0);
	UNTIL(atomic_load(&l.stage) == 2);
	client_send(c, "x\nabcdefgh\n");
	UNTIL(stats(s).ledger.closed == 1);
	ck_assert_str_eq(l.line, "x\n");
	weir_ref_unref(l.ref);
	server_stop_and_check(s);
	server_stop_and_check(up);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"relay", the_end_of_each_input_is_passed_on,
		an_end_that_comes_with_the_last_bytes_is_passed_on,
		relays_that_wait_hold_no_worker,
		a_relay_ends_when_both_are_silent,
		a_relay_ends_when_neither_has_ever_sent,
		a_stop_waits_for_the_answer_of_an_upstream,
		a_relay_is_cut_at_the_deadline_of_a_stop,
		a_client_that_resets_ends_the_upstream,
		an_upstream_that_resets_ends_the_client,
		a_part_is_not_taken_for_the_whole,
		a_wake_interrupts_a_relay_which_goes_on, a_thread_may_relay,
		a_way_that_has_ended_is_not_held_up_by_the_other,
		a_peer_that_takes_no_more_ends_the_relay,
		what_cannot_be_relayed_is_refused,
		a_structure_of_a_later_version_is_relayed_if_nothing_new_is_set,
		a_structure_of_an_earlier_version_has_its_fields_alone,
		a_structure_without_its_last_count_has_the_first,
		a_peer_that_takes_bytes_slowly_lives,
		each_deadline_ends_a_relay_in_each_state,
		output_that_a_relay_has_left_is_not_cut_off_by_an_end,
		what_another_thread_sends_has_its_deadline,
		what_another_thread_sends_goes_out_while_the_upstream_is_full,
		a_cut_of_an_upstream_that_is_not_waited_for_ends_the_relay,
		a_connection_that_has_ended_both_ways_costs_no_time,
		a_reset_after_the_end_of_the_input_ends_the_relay,
		a_reset_after_the_end_of_the_other_input_ends_the_relay,
		a_relay_notices_that_all_is_sent,
		a_drain_ends_no_answer_at_a_pause_in_its_middle,
		a_silent_relay_makes_no_stop_long,
		a_drain_ends_no_relay_before_what_came_in_time_is_passed_on,
		each_peer_of_a_relay_that_is_cut_gets_a_reset,
		a_peer_that_was_sent_the_end_gets_no_reset,
		a_relay_without_a_pause_keeps_its_deadlines,
		a_cut_of_a_busy_relay_resets_the_peer_that_receives,
		what_was_relayed_is_not_searched_any_more);
}
