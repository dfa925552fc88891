/* SPDX-License-Identifier: MIT */
/*
 * Layers of this test.  The handshake of one holds its worker, that of another
 * never ends, a third one's takes two bytes.  The socket of the last one is
 * never full.
 */
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "core.h"
#include "layer.h"
#include "test.h"

static atomic_int begun;
static atomic_bool may_end;

/* The first one holds its worker. */
static int shake(struct wr_layer *l)
{
	(void)l;
	if (atomic_fetch_add(&begun, 1) == 0)
		UNTIL(atomic_load(&may_end));
	return 1;
}

static int look(struct wr_layer *l)
{
	(void)l;
	return WR_LOOK_NOTHING;
}

static int bye(struct wr_layer *l)
{
	(void)l;
	return 0;
}

static void end(struct wr_layer *l)
{
	free(l);
}

static const struct wr_layer_ops ops = {
	.handshake = shake,
	.look = look,
	.bye = bye,
	.end = end,
};

static struct wr_layer *make_of(const struct wr_layer_ops *of)
{
	struct wr_layer *l = calloc(1, sizeof(*l));

	ck_assert_ptr_nonnull(l);
	l->ops = of;
	return l;
}

static struct wr_layer *make(struct weir_layer *from, const char *name)
{
	(void)from;
	(void)name;
	return make_of(&ops);
}

static void count(struct weir_layer *from)
{
	(void)from;
}

/* Those in the list of the server, and those that were late for it. */
static bool all_wait(struct server *s)
{
	struct wr_core *core = (struct wr_core *)s->weir; /* its beginning */
	uint64_t count = 0;

	pthread_mutex_lock(&core->lock.mutex);
	for (struct wr_node *n = core->handshakes.first; n; n = n->next)
		count++;
	pthread_mutex_unlock(&core->lock.mutex);
	return count + stats(s).timed_out[WEIR_TIMEOUT_HANDSHAKE] == 3;
}

START_TEST(a_handshake_that_waited_for_too_long_is_not_begun)
{
	static const struct wr_layer_maker maker = { make, count, count };
	struct weir_layer layer = { .maker = &maker };
	const int handshake_ms = 200 * slowness();
	struct weir_service service;
	struct server *s;

	weir_service_init(&service, sizeof(service));
	service.readable = echo;
	service.layer = &layer;
	service.handshake_ms = handshake_ms;
	s = serve_workers(2, &service);
	client_send(client_open(s), "x");
	UNTIL(atomic_load(&begun) == 1);
	for (int i = 0; i < 3; i++)
		client_send(client_open(s), "x");
	UNTIL(all_wait(s));
	(void)poll(NULL, 0, handshake_ms * 3 / 2);
	ck_assert_int_eq(atomic_load(&begun), 1);
	atomic_store(&may_end, true);
	UNTIL(stats(s).timed_out[WEIR_TIMEOUT_HANDSHAKE] == 3);
	ck_assert_int_eq(atomic_load(&begun), 1);
	(void)server_stop_and_check(s);
}
END_TEST

/* ------------------------------------------- the others, beside a handshake */

static int admit_at_gate(int fd, const struct sockaddr *peer,
			 socklen_t peer_len, void *arg)
{
	(void)fd;
	(void)peer;
	(void)peer_len;
	gate_wait(arg);
	return 0;
}

static struct client *open_with(struct server *s,
				const struct weir_service *service)
{
	char address[160];

	server_address(s, server_listen(s, "127.0.0.1:0", service), address,
		       sizeof(address));
	return client_open_at(address);
}

static bool is_one_idle(struct server *s, struct client *c)
{
	const struct wr_core *core = (struct wr_core *)s->weir;

	client_expect_echo(c, "hello\n");
	return (atomic_load(&core->sched.word) >> 20 & 0xfffff) == 1;
}

/* The acceptor, which would wake the other worker, is held. */
START_TEST(a_handshake_holds_nobody_else)
{
	static const struct wr_layer_maker maker = { make, count, count };
	struct weir_layer layer = { .maker = &maker };
	struct gate gate = GATE_CLOSED;
	struct server *s =
		serve_workers(2, WEIR_SERVICE(.readable = echo_lines));
	struct client *other = client_open(s), *c;
	struct weir_service service;

	weir_service_init(&service, sizeof(service));
	service.readable = echo_lines;
	service.layer = &layer;
	c = open_with(s, &service);
	UNTIL(stats(s).parked == 2);
	UNTIL(is_one_idle(s, other));
	(void)open_with(s, WEIR_SERVICE(.readable = echo_lines,
					.admit = admit_at_gate, .arg = &gate));
	UNTIL(gate_waiting(&gate) == 1);
	client_send(c, "x");
	UNTIL(atomic_load(&begun) == 1);
	client_expect_echo(other, "hello\n");
	atomic_store(&may_end, true);
	gate_open(&gate);
	(void)server_stop_and_check(s);
}
END_TEST

/* ------------------------------------- a peer that is never late, nor done */

static int shake_by_bytes(struct wr_layer *l)
{
	char byte;
	ssize_t n = wr_layer_recv(l, &byte, 1);

	return n > 0 || n == -EAGAIN ? 0 : n < 0 ? (int)n : -ECONNRESET;
}

static const struct wr_layer_ops endless_ops = {
	.handshake = shake_by_bytes,
	.look = look,
	.bye = bye,
	.end = end,
};

static struct wr_layer *make_endless(struct weir_layer *from, const char *name)
{
	(void)from;
	(void)name;
	return make_of(&endless_ops);
}

static int send_without_end(weir_conn *c, void *arg)
{
	static const char data[65536];
	int rc = 0;

	(void)arg;
	while (rc >= 0)
		rc = weir_conn_write(c, data, sizeof(data));
	return rc;
}

/* 0, or the error of the handshake. */
static int start_endless(struct server *from)
{
	static const struct wr_layer_maker maker = { make_endless, count,
						     count };
	struct weir_layer layer = { .maker = &maker, .speaks_first = true };
	weir_conn *c;
	int rc;

	ck_assert_int_eq(weir_dial(&c, from->address, 0), 0);
	ck_assert_int_eq(weir_conn_write(c, "x", 1), 0);
	ck_assert_int_eq(weir_conn_set_timeout(c, WEIR_TIMEOUT_HANDSHAKE, 100),
			 0);
	rc = wr_layer_start(c, &layer, NULL);
	weir_conn_free(c);
	return rc;
}

static atomic_int result;

static int shake_in_session(weir_conn *c, void *arg)
{
	(void)c;
	atomic_store(&result, start_endless(arg));
	return WEIR_CLOSE;
}

START_TEST(no_byte_moves_the_deadline_of_a_handshake)
{
	struct weir_service service;
	struct server *from, *s;

	weir_service_init(&service, sizeof(service));
	service.session = send_without_end;
	service.session_on_worker = true;
	from = serve(NULL, &service);
	ck_assert_int_eq(start_endless(from), -ETIMEDOUT);
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		service.session = shake_in_session;
		service.session_on_worker = on_worker;
		service.arg = from;
		s = serve(NULL, &service);
		client_send(client_open(s), "x");
		UNTIL(atomic_load(&result) != 0);
		ck_assert_int_eq(atomic_exchange(&result, 0), -ETIMEDOUT);
		/* Its descriptor is one of this process. */
		UNTIL(stats(from).ledger.open == 0);
		(void)server_stop_and_check(s);
	}
	(void)server_stop_and_check(from);
}
END_TEST

/* ------------------------------------- an output that another thread ends */

static void *shut_down(void *ref)
{
	(void)weir_ref_shutdown(ref, SHUT_WR);
	return NULL;
}

static int shake_and_be_shut_down(weir_conn *c, void *arg)
{
	static const struct wr_layer_maker maker = { make_endless, count,
						     count };
	struct weir_layer layer = { .maker = &maker, .speaks_first = true };
	weir_ref *ref = weir_conn_ref(c);
	pthread_t id;

	(void)arg;
	ck_assert_int_eq(weir_conn_set_timeout(c, WEIR_TIMEOUT_HANDSHAKE, 100),
			 0);
	ck_assert_int_eq(pthread_create(&id, NULL, shut_down, ref), 0);
	atomic_store(&result, wr_layer_start(c, &layer, NULL));
	pthread_join(id, NULL);
	weir_ref_unref(ref);
	return WEIR_CLOSE;
}

/* The sanitizer for threads tells a read without the lock. */
START_TEST(another_thread_may_end_the_output_of_a_handshake)
{
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		struct server *s = serve(
			NULL, WEIR_SERVICE(SESSION_ON(on_worker,
						      shake_and_be_shut_down)));
		int rc;

		client_send(client_open(s), "x");
		UNTIL(atomic_load(&result) != 0);
		rc = atomic_exchange(&result, 0);
		ck_assert_msg(rc == -EPIPE || rc == -ETIMEDOUT, "%s",
			      error_name(rc));
		(void)server_stop_and_check(s);
	}
}
END_TEST

/* ----------------------------------------------- a worker late in a stop */

static atomic_int steps, opened;

static int shake_by_two_bytes(struct wr_layer *l)
{
	char byte;
	ssize_t n;

	while ((n = wr_layer_recv(l, &byte, 1)) > 0)
		if (atomic_fetch_add(&steps, 1) % 2)
			return 1;
	return n == -EAGAIN ? 0 : n < 0 ? (int)n : -ECONNRESET;
}

static const struct wr_layer_ops two_bytes_ops = {
	.handshake = shake_by_two_bytes,
	.look = look,
	.bye = bye,
	.end = end,
};

static struct wr_layer *make_two_bytes(struct weir_layer *from,
				       const char *name)
{
	(void)from;
	(void)name;
	return make_of(&two_bytes_ops);
}

static int count_opened(weir_conn *c, void *arg)
{
	(void)c;
	(void)arg;
	atomic_fetch_add(&opened, 1);
	return WEIR_CLOSE;
}

/* If is_begun, the handshake has taken the first byte before the stop. */
static void stop_in_handshake(bool is_begun)
{
	static const struct wr_layer_maker maker = { make_two_bytes, count,
						     count };
	struct weir_layer layer = { .maker = &maker };
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));
	struct client *held = client_open(s), *c;
	struct weir_service service;
	int64_t stopped_at;

	weir_service_init(&service, sizeof(service));
	service.opened = count_opened;
	service.readable = echo;
	service.layer = &layer;
	if (!is_begun)
		client_wait_at_gate(held, &gate);
	c = open_with(s, &service);
	client_send(c, "1");
	if (is_begun) {
		UNTIL(atomic_load(&steps) == 1 && stats(s).parked == 2);
		client_wait_at_gate(held, &gate);
	}
	UNTIL(stats(s).queued == !is_begun);
	client_send(c, "2");
	weir_server_stop(s->weir, 60000);
	UNTIL(log_says(s, "stopping"));
	stopped_at = now_ms();
	UNTIL(now_ms() > stopped_at + 300);
	gate_open(&gate);
	client_expect_last(held, "wait\n");
	client_expect_eof(c);
	ck_assert_int_eq(atomic_load(&opened), 1);
	(void)server_join_and_check(s);
}

START_TEST(a_handshake_that_goes_on_is_not_ended_by_a_stop)
{
	for (int is_begun = 0; is_begun < 2; is_begun++) {
		stop_in_handshake(is_begun);
		atomic_store(&steps, 0);
		atomic_store(&opened, 0);
	}
}
END_TEST

/* ------------------------------------- a peer that takes records at once */

#define BUFFERED ((size_t)3 << 20) /* more than one turn sends */
#define RECORD	 ((size_t)16 << 10)

static atomic_size_t taken;

static int shake_at_once(struct wr_layer *l)
{
	(void)l;
	return 1;
}

static int look_at_socket(struct wr_layer *l)
{
	char byte;
	ssize_t n =
		recv(weir_conn_fd(l->conn), &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n > 0 ? WR_LOOK_INPUT : n == 0 ? WR_LOOK_END : WR_LOOK_NOTHING;
}

static ssize_t receive_as_it_is(struct wr_layer *l, void *buf, size_t cap)
{
	return wr_layer_recv(l, buf, cap);
}

static bool has_no_rest(const struct wr_layer *l)
{
	(void)l;
	return false;
}

/* A byte for each record, so the socket is never full. */
static ssize_t send_a_record(struct wr_layer *l, const struct iovec *iov,
			     int count)
{
	size_t len = iov->iov_len < RECORD ? iov->iov_len : RECORD;
	int rc = wr_layer_put(l, "r", 1);

	(void)count;
	if (rc < 0)
		return rc;
	atomic_fetch_add(&taken, len);
	return (ssize_t)len;
}

static const struct wr_layer_ops records_ops = {
	.handshake = shake_at_once,
	.look = look_at_socket,
	.receive = receive_as_it_is,
	.has_rest = has_no_rest,
	.send = send_a_record,
	.bye = bye,
	.end = end,
};

static struct wr_layer *make_records(struct weir_layer *from, const char *name)
{
	(void)from;
	(void)name;
	return make_of(&records_ops);
}

static int relay_what_is_buffered(weir_conn *c, void *arg)
{
	static const struct wr_layer_maker maker = { make_records, count,
						     count };
	struct weir_layer layer = { .maker = &maker, .speaks_first = true };
	const struct server *to = arg;
	const void *data;
	weir_conn *upstream;
	char line[8];
	int rc;

	ck_assert_int_ge(weir_conn_peek(c, &data, BUFFERED), (int)BUFFERED);
	ck_assert_int_eq(weir_dial(&upstream, to->address, 0), 0);
	ck_assert_int_eq(wr_layer_start(upstream, &layer, NULL), 0);
	/* The poller has told of the room that there is from the start. */
	ck_assert_int_eq(weir_conn_read_line(upstream, line, sizeof(line)), 3);
	rc = weir_relay(c, upstream, NULL);
	weir_conn_free(upstream);
	return rc;
}

static int greet_at_gate(weir_conn *c, void *arg)
{
	gate_wait(arg);
	ck_assert_int_eq(weir_conn_write(c, "go\n", 3), 0);
	return WEIR_AGAIN;
}

/* No event comes from a socket that was never full. */
START_TEST(all_that_is_buffered_is_relayed_at_once)
{
	static char bytes[BUFFERED];

	for (int on_worker = 0; on_worker < 2; on_worker++) {
		struct gate gate = GATE_CLOSED;
		struct server *to = serve(
			NULL, WEIR_SERVICE(.opened = greet_at_gate,
					   .readable = discard, .arg = &gate));
		struct server *s = serve(
			NULL, WEIR_SERVICE(SESSION_ON(on_worker,
						      relay_what_is_buffered),
					   .line_max = BUFFERED, .arg = to));
		struct client *c = client_open(s);

		atomic_store(&taken, 0);
		client_send_bytes(c, bytes, BUFFERED);
		UNTIL(gate_waiting(&gate) == 1 && session_waits(s));
		gate_open(&gate);
		UNTIL(atomic_load(&taken) == BUFFERED);
		client_half_close(c);
		client_expect_eof(c);
		/* Its descriptor is one of this process. */
		UNTIL(stats(to).ledger.open == 0);
		ck_assert_uint_eq(server_stop_and_check(s).ledger.completed, 1);
		(void)server_stop_and_check(to);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS("layer",
			 a_handshake_that_waited_for_too_long_is_not_begun,
			 a_handshake_holds_nobody_else,
			 no_byte_moves_the_deadline_of_a_handshake,
			 another_thread_may_end_the_output_of_a_handshake,
			 a_handshake_that_goes_on_is_not_ended_by_a_stop,
			 all_that_is_buffered_is_relayed_at_once);
}
