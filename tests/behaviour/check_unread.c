/* SPDX-License-Identifier: MIT */
/*
 * Connections that end with unread bytes: the server must neither destroy what
 * the peer has not received, nor wait for it.
 */
#include "test.h"

#include <netinet/in.h>
#include <poll.h>

#define REPLY	  200000
#define MOST_SENT ((size_t)64 << 20) /* with what the sockets hold */

struct answered {
	weir_ref *_Atomic conn;
	char reply[REPLY];
};

static int reply_and_end(weir_conn *c, void *arg)
{
	struct answered *a = arg;
	char byte;
	ssize_t n = weir_conn_read(c, &byte, 1);

	if (n <= 0)
		return (int)n;
	atomic_store(&a->conn, weir_conn_ref(c));
	return weir_conn_write(c, a->reply, sizeof(a->reply));
}

START_TEST(a_cancel_of_a_connection_that_is_over_destroys_no_reply)
{
	static struct answered a;
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.readable = reply_and_end, .arg = &a));
	struct client *c = client_open(s);
	struct weir_report report;

	client_send(c, "x");
	UNTIL(stats(s).lingering == 1);
	client_send(c, "more that nobody will read");
	ck_assert_int_eq(weir_ref_cancel(a.conn), -EPIPE);
	client_send(c, "and more");
	ck_assert_uint_eq(client_read_to_eof(c), REPLY);
	client_close(c);
	UNTIL(is_at_rest(s));
	weir_ref_unref(a.conn);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 1);
}
END_TEST

/* It does not read its reply, and goes on asking. */
START_TEST(a_client_that_sends_without_end_is_not_read_without_end)
{
	static const char block[65536];
	static struct answered a;
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.readable = reply_and_end, .arg = &a));
	struct client *c = client_open(s);
	size_t sent = 0;
	int rc = 0;

	client_send(c, "x");
	UNTIL(stats(s).lingering == 1);
	weir_ref_unref(a.conn);
	for (; rc == 0 && sent < MOST_SENT; sent += sizeof(block))
		rc = client_try_send(c, block, sizeof(block));
	ck_assert(rc == -EPIPE || rc == -ECONNRESET);
	UNTIL(is_at_rest(s) && stats(s).lingering == 0);
	server_stop_and_check(s);
}
END_TEST

static int listen_raw(char *where, size_t cap)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(listen(fd, 5), 0);
	getsockname(fd, (struct sockaddr *)&addr, &len);
	snprintf(where, cap, "127.0.0.1:%d", ntohs(addr.sin_port));
	return fd;
}

START_TEST(a_dialled_connection_with_unread_input_delivers_what_was_written)
{
	static char much[REPLY / 2]; /* the kernel takes all of it */
	struct pollfd there = { .events = POLLIN };
	int listener, peer, size = 4096;
	size_t count = 0;
	char where[64];
	weir_conn *c;
	ssize_t n;

	listener = listen_raw(where, sizeof(where));
	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	ck_assert_int_eq(weir_dial(&c, where, 20000), 0);
	peer = accept(listener, NULL, NULL);
	ck_assert_int_eq(send(peer, "welcome\n", 8, 0), 8);
	there.fd = weir_conn_fd(c);
	ck_assert_int_eq(poll(&there, 1, 20000), 1);
	ck_assert_int_eq(weir_conn_write(c, much, sizeof(much)), 0);
	weir_conn_free(c);
	while ((n = recv(peer, much, sizeof(much), 0)) > 0)
		count += (size_t)n;
	ck_assert_msg(n == 0, "%s after %zu bytes", strerror(errno), count);
	ck_assert_uint_eq(count, sizeof(much));
	close(peer);
	close(listener);
}
END_TEST

/* What a Unix peer has not read outlives the socket: no need to linger. */
START_TEST(a_unix_peer_that_reads_later_holds_no_stop_up)
{
	struct server *s = serve_at(own_unix_address(), NULL,
				    WEIR_SERVICE(.readable = echo_lines));
	struct client *c = client_open(s);
	struct weir_report report;
	int64_t began_at;

	client_send(c, "hello\n");
	UNTIL(stats(s).bytes_out == 6);
	began_at = now_ms();
	weir_server_stop(s->weir, 60000);
	ck_assert_int_eq(join_fully(s->weir, &report), 0);
	ck_assert_int_lt(now_ms() - began_at, 20000);
	ck_assert_uint_eq(report.ledger.completed, 1);
	client_expect_last(c, "hello\n");
	server_join_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"unread",
		a_cancel_of_a_connection_that_is_over_destroys_no_reply,
		a_client_that_sends_without_end_is_not_read_without_end,
		a_dialled_connection_with_unread_input_delivers_what_was_written,
		a_unix_peer_that_reads_later_holds_no_stop_up);
}
