/* SPDX-License-Identifier: MIT */
/* A handler takes the descriptor away from its connection. */
#include "test.h"

#include <sys/socket.h>

struct taken {
	weir_server *server;
	weir_ref *ref;
	struct weir_summary summary;
	atomic_int fd, ended;
	int again, read, write, flush, shut; /* what calls said after it */
};

static int take_away(weir_conn *c, void *arg)
{
	struct taken *t = arg;
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int fd;

	if (n <= 0)
		return (int)n;
	t->server = weir_conn_server(c);
	t->ref = weir_conn_ref(c);
	weir_conn_printf(c, "yours\n");
	fd = weir_conn_detach(c);
	t->again = weir_conn_detach(c);
	t->read = (int)weir_conn_read(c, line, sizeof(line));
	t->write = weir_conn_write(c, "x", 1);
	t->flush = weir_conn_flush(c);
	t->shut = weir_conn_shutdown(c, SHUT_WR);
	atomic_store(&t->fd, fd);
	return WEIR_AGAIN;
}

static void note_end(weir_conn *c, void *arg)
{
	struct taken *t = arg;

	(void)weir_conn_summary(c, &t->summary, sizeof(t->summary));
	ck_assert_int_eq(weir_conn_fd(c), -ENOTCONN);
	atomic_fetch_add(&t->ended, 1);
}

static void take_from(struct server *s, struct taken *t)
{
	struct client *c = client_open(s);
	char buf[8];

	client_send(c, "give\n");
	client_expect(c, "yours\n");
	UNTIL(t->ended == 1);
	UNTIL(is_at_rest(s));
	ck_assert_int_ge(t->fd, 0);
	ck_assert_int_eq(t->again, -EPIPE);
	ck_assert_int_eq(t->read, 0);
	ck_assert_int_eq(t->write, -EPIPE);
	ck_assert_int_eq(t->flush, 0);
	ck_assert_int_eq(t->shut, -EPIPE);
	ck_assert_ptr_eq(t->server, s->weir);
	ck_assert_int_eq(weir_ref_send(t->ref, "x", 1), -EPIPE);
	ck_assert_int_eq(t->summary.end, WEIR_END_CLOSED);
	weir_ref_unref(t->ref);
	/* It is a connected socket of the test's now. */
	ck_assert_int_eq(send(t->fd, "raw\n", 4, 0), 4);
	client_expect(c, "raw\n");
	client_send(c, "back");
	UNTIL(recv(t->fd, buf, sizeof(buf), MSG_DONTWAIT) == 4);
	close(t->fd);
	client_expect_eof(c);
	ck_assert_uint_eq(server_stop_and_check(s).ledger.completed, 1);
}

START_TEST(a_handler_takes_the_descriptor_away)
{
	struct taken t = { .fd = -1 };

	take_from(serve(NULL, WEIR_SERVICE(.readable = take_away,
					   .closed = note_end, .arg = &t)),
		  &t);
}
END_TEST

START_TEST(a_session_takes_the_descriptor_away)
{
	struct taken t = { .fd = -1 };

	take_from(serve(NULL, WEIR_SERVICE(.session = take_away,
					   .closed = note_end, .arg = &t)),
		  &t);
}
END_TEST

struct held {
	atomic_bool is_held, may_go;
};

static int take_and_close(weir_conn *c, void *arg)
{
	struct held *h = arg;
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int fd;

	if (n <= 0)
		return (int)n;
	if (line[0] == 'e') /* echo */
		return weir_conn_write(c, line, (size_t)n) < 0 ? WEIR_CLOSE
							       : WEIR_AGAIN;
	atomic_store(&h->is_held, true);
	UNTIL(h->may_go);
	fd = weir_conn_detach(c);
	ck_assert_int_eq(send(fd, "bye\n", 4, 0), 4);
	close(fd);
	return WEIR_AGAIN;
}

/* The other worker waits for events meanwhile. */
START_TEST(a_descriptor_taken_beside_a_wait_ends_when_it_is_closed)
{
	struct held h = { false, false };
	struct server *s =
		serve(WEIR_CONFIG(.workers = 2),
		      WEIR_SERVICE(.readable = take_and_close, .arg = &h));
	struct client *c = client_open(s), *other = client_open(s);

	client_send(c, "give\n");
	UNTIL(h.is_held);
	for (int i = 0; i < 3; i++) {
		client_send(other, "echo\n");
		client_expect(other, "echo\n");
	}
	atomic_store(&h.may_go, true);
	client_expect(c, "bye\n");
	client_expect_eof(c);
	client_close(other);
	ck_assert_uint_eq(server_stop_and_check(s).ledger.completed, 2);
}
END_TEST

static int try_to_take(weir_conn *c, void *arg)
{
	static char big[4 << 20];
	atomic_int *said = arg;
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n <= 0)
		return (int)n;
	if (line[0] == 'o')
		weir_conn_write(c, big, sizeof(big));
	atomic_store(said, weir_conn_detach(c));
	return WEIR_CLOSE;
}

/* The write of a session would wait; this one keeps what is not sent. */
START_TEST(what_is_buffered_keeps_the_descriptor)
{
	atomic_int said = 0;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = try_to_take, .arg = &said,
					 .outbox_mark = 8 << 20));
	struct client *c = client_open(s);

	client_send(c, "input\nmore\n");
	UNTIL(said == -EBUSY);
	client_expect_eof(c);
	c = client_open_small(s, 4096);
	client_send(c, "output\n");
	UNTIL(said == -EAGAIN);
	ck_assert_uint_eq(client_read_to_eof(c), 4 << 20);
	ck_assert_uint_eq(server_stop_and_check(s).ledger.completed, 2);
}
END_TEST

START_TEST(a_connection_without_a_server_can_be_taken_from)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	weir_conn *c;
	char buf[8];
	int fd;

	ck_assert_int_eq(weir_dial(&c, s->address, 0), 0);
	ck_assert_ptr_null(weir_conn_server(c));
	ck_assert_int_eq(weir_conn_write(c, "hello", 5), 0);
	fd = weir_conn_detach(c);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(weir_conn_shutdown(c, SHUT_WR), -EPIPE);
	ck_assert_int_eq(weir_conn_shutdown(c, SHUT_RD), -EPIPE);
	ck_assert_int_eq(weir_conn_shutdown(c, 77), -EINVAL);
	weir_conn_free(c);
	UNTIL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT) == 5);
	close(fd);
	UNTIL(stats(s).ledger.open == 0);
	ck_assert_uint_eq(stats(s).ledger.accepted, 1);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"detaching", a_handler_takes_the_descriptor_away,
		a_session_takes_the_descriptor_away,
		a_descriptor_taken_beside_a_wait_ends_when_it_is_closed,
		what_is_buffered_keeps_the_descriptor,
		a_connection_without_a_server_can_be_taken_from);
}
