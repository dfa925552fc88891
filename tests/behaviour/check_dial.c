/* SPDX-License-Identifier: MIT */
/*
 * Dialled connections: to each kind of address, waiting for input, with the
 * same calls as an accepted one.
 */
#include "test.h"

#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/un.h>

#define PATIENT_MS 20000

static weir_conn *dial(const char *where)
{
	weir_conn *c = NULL;
	int rc = weir_dial(&c, where, PATIENT_MS);

	ck_assert_msg(rc == 0, "dial %s: %s", where, weir_strerror(rc));
	return c;
}

static void dialled_exchange(weir_conn *c)
{
	char line[64];

	ck_assert_int_eq(weir_conn_printf(c, "hello %d\n", 7), 0);
	ck_assert_int_eq(weir_conn_read_line(c, line, sizeof(line)), 8);
	ck_assert_str_eq(line, "hello 7\n");
}

START_TEST(every_kind_of_address_can_be_dialled)
{
	const char *const where[] = { "127.0.0.1:0", "localhost:0",
				      own_unix_address() };

	for (int i = 0; i < 3; i++) {
		struct server *s = serve_at(
			where[i], NULL, WEIR_SERVICE(.readable = echo_lines));
		weir_conn *c = dial(s->address);

		dialled_exchange(c);
		dialled_exchange(c);
		weir_conn_free(c);
		server_stop_and_check(s);
	}
}
END_TEST

START_TEST(a_dialled_socket_sends_at_once_and_keeps_little)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	weir_conn *c = dial(s->address);
	int value = 0;
	socklen_t len = sizeof(value);

	ck_assert_int_eq(getsockopt(weir_conn_fd(c), IPPROTO_TCP, TCP_NODELAY,
				    &value, &len),
			 0);
	ck_assert_int_eq(value, 1);
	ck_assert_int_eq(getsockopt(weir_conn_fd(c), IPPROTO_TCP,
				    TCP_NOTSENT_LOWAT, &value, &len),
			 0);
	ck_assert_int_eq(value, 128 * 1024);
	weir_conn_free(c);
	server_stop_and_check(s);
}
END_TEST

/* "localhost" may be ::1 first, where nothing listens. */
START_TEST(each_address_of_a_name_is_tried)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	char where[64];
	weir_conn *c;

	snprintf(where, sizeof(where), "localhost%s", strrchr(s->address, ':'));
	c = dial(where);
	dialled_exchange(c);
	weir_conn_free(c);
	snprintf(where, sizeof(where), "%s", strrchr(s->address, ':'));
	c = dial(where); /* no host: loopback */
	dialled_exchange(c);
	weir_conn_free(c);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_connected_descriptor_can_be_dialled)
{
	int pair[2];
	char where[16], buf[8];
	weir_conn *c;

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	snprintf(where, sizeof(where), "fd:%d", pair[0]);
	c = dial(where);
	ck_assert_int_eq(weir_conn_write(c, "hello", 5), 0);
	ck_assert_int_eq(weir_conn_flush(c), 0);
	ck_assert_int_eq(recv(pair[1], buf, sizeof(buf), 0), 5);
	ck_assert_int_eq(send(pair[1], "x", 1, 0), 1);
	ck_assert_int_eq(weir_conn_read(c, buf, sizeof(buf)), 1);
	weir_conn_free(c);
	ck_assert_int_eq(recv(pair[1], buf, sizeof(buf), 0), 0);
	close(pair[1]);
}
END_TEST

static void tcp_pair(int pair[2])
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	struct sockaddr *at = (struct sockaddr *)&addr;
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(listener, at, len), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(getsockname(listener, at, &len), 0);
	pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(pair[0], at, len), 0);
	pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(pair[1], 0);
	close(listener);
}

static weir_conn *dial_tcp_pair(int pair[2])
{
	char where[16];

	tcp_pair(pair);
	snprintf(where, sizeof(where), "fd:%d", pair[0]);
	return dial(where);
}

START_TEST(a_connected_tcp_socket_is_taken_over_with_its_options)
{
	int pair[2], value = 0;
	weir_conn *c = dial_tcp_pair(pair);
	socklen_t len = sizeof(value);

	ck_assert_int_eq(getsockopt(weir_conn_fd(c), IPPROTO_TCP, TCP_NODELAY,
				    &value, &len),
			 0);
	ck_assert_int_eq(value, 1);
	weir_conn_free(c);
	close(pair[1]);
}
END_TEST

START_TEST(a_file_cut_off_resets_a_tcp_socket_taken_over)
{
	int pair[2], file = make_file(10);
	weir_conn *c = dial_tcp_pair(pair);
	char buf[16];
	ssize_t n;

	ck_assert_int_eq(weir_conn_sendfile(c, file, 0, 20), 0);
	weir_conn_free(c);
	while ((n = recv(pair[1], buf, sizeof(buf), 0)) > 0)
		;
	ck_assert_int_eq(n, -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close(pair[1]);
	close(file);
}
END_TEST

struct relayed {
	weir_conn *from, *to;
	int rc;
};

static void *relay(void *arg)
{
	struct relayed *r = arg;

	r->rc = weir_relay(r->from, r->to, NULL);
	return NULL;
}

START_TEST(a_reset_is_passed_on_to_a_tcp_socket_taken_over)
{
	const struct linger at_once = { .l_onoff = 1 };
	int from[2], to[2];
	struct relayed r = { dial_tcp_pair(from), dial_tcp_pair(to), 0 };
	pthread_t id;
	char part[4];

	ck_assert_int_eq(pthread_create(&id, NULL, relay, &r), 0);
	ck_assert_int_eq(send(from[1], "part", 4, 0), 4);
	ck_assert_int_eq(recv(to[1], part, 4, MSG_WAITALL), 4);
	setsockopt(from[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(from[1]);
	ck_assert_int_eq(recv(to[1], part, 1, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	ck_assert_int_eq(pthread_join(id, NULL), 0);
	ck_assert_int_eq(r.rc, -ECONNRESET);
	weir_conn_free(r.from);
	weir_conn_free(r.to);
	close(to[1]);
}
END_TEST

START_TEST(what_cannot_be_dialled_says_so)
{
	struct process_state before;
	char nobody[64];
	weir_conn *c = NULL;

	hold_address(nobody, sizeof(nobody));
	process_state_take(&before);
	ck_assert_int_eq(weir_dial(&c, nobody, PATIENT_MS), -ECONNREFUSED);
	ck_assert_int_eq(weir_dial(&c, own_unix_address(), PATIENT_MS),
			 -ECONNREFUSED);
	ck_assert_int_eq(weir_dial(&c, "unix:/no/such/socket", PATIENT_MS),
			 -ENOENT);
	/* check_lookup has the errors of a resolver; here there may be none */
	ck_assert_int_lt(weir_dial(&c, "no.such.host.invalid:80", PATIENT_MS),
			 0);
	ck_assert_int_eq(weir_dial(&c, "nonsense", PATIENT_MS), -EINVAL);
	ck_assert_int_eq(weir_dial(&c, "", PATIENT_MS), -EINVAL);
	ck_assert_ptr_null(c);
	process_state_check(&before);
}
END_TEST

/* A listener whose backlog is full answers nothing. */
START_TEST(a_dial_ends_at_its_deadline)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int64_t began_at;
	weir_conn *c[8];
	char where[64];
	int rc = 0, count = 0;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(listen(fd, 0), 0);
	getsockname(fd, (struct sockaddr *)&addr, &len);
	snprintf(where, sizeof(where), "127.0.0.1:%d", ntohs(addr.sin_port));
	do {
		began_at = now_ms();
		rc = weir_dial(&c[count], where, 300);
		count += rc == 0;
	} while (rc == 0 && count < 8);
	ck_assert_int_eq(rc, -ETIMEDOUT);
	ck_assert_int_ge(now_ms() - began_at, 290);
	while (count > 0)
		weir_conn_free(c[--count]);
	close(fd);
}
END_TEST

/* A Unix listener whose backlog is full: a connect() has nothing to poll. */
static int full_unix_listener(char *where, size_t cap)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t name_len;
	weir_conn *c;

	ck_assert_int_ge(fd, 0);
	snprintf(where, cap, "%s", own_unix_address());
	/* "unix:@name"; in the kernel the @ is a zero byte. */
	name_len = strlen(where) - strlen("unix:@");
	memcpy(un.sun_path + 1, where + strlen("unix:@"), name_len);
	ck_assert_int_eq(
		bind(fd, (struct sockaddr *)&un,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				 name_len)),
		0);
	ck_assert_int_eq(listen(fd, 0), 0);
	c = dial(where);
	weir_conn_free(c);
	return fd;
}

START_TEST(a_dial_waits_for_room_in_a_unix_backlog_until_its_deadline)
{
	char where[160];
	int fd = full_unix_listener(where, sizeof(where));
	int64_t begun_at = now_ms();
	weir_conn *c;

	ck_assert_int_eq(weir_dial(&c, where, 100), -ETIMEDOUT);
	ck_assert_int_ge(now_ms() - begun_at, 100);
	close(fd);
}
END_TEST

/* Is the first thread of this process asleep? */
static bool first_thread_sleeps(void)
{
	char path[64], line[256], state = '?';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), f));
	fclose(f);
	ck_assert_int_eq(sscanf(strrchr(line, ')') + 1, " %c", &state), 1);
	return state == 'S';
}

static void *accept_when_somebody_waits(void *arg)
{
	int fd = *(int *)arg;

	UNTIL(first_thread_sleeps());
	for (int i = 0; i < 2; i++) {
		int got = accept(fd, NULL, NULL);

		ck_assert_int_ge(got, 0);
		close(got);
	}
	return NULL;
}

START_TEST(a_dial_that_waits_for_a_unix_backlog_gets_its_turn)
{
	char where[160];
	int fd = full_unix_listener(where, sizeof(where));
	pthread_t accepter;
	weir_conn *c;

	ck_assert_int_eq(pthread_create(&accepter, NULL,
					accept_when_somebody_waits, &fd),
			 0);
	c = dial(where);
	ck_assert_int_eq(pthread_join(accepter, NULL), 0);
	weir_conn_free(c);
	close(fd);
}
END_TEST

static int answer_late(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n <= 0)
		return (int)n;
	gate_wait(arg);
	return weir_conn_printf(c, "at last\n");
}

START_TEST(a_dialled_connection_has_the_deadlines_it_sets)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve(
		NULL, WEIR_SERVICE(.readable = answer_late, .arg = &gate));
	weir_conn *c = dial(s->address);
	char line[64];
	int ms = 0;

	ck_assert_int_eq(weir_conn_get_timeout(c, WEIR_TIMEOUT_FIRST_BYTE, &ms),
			 0);
	ck_assert_int_eq(ms, WEIR_NEVER);
	ck_assert_int_eq(weir_conn_set_timeout(c, WEIR_TIMEOUT_FIRST_BYTE, 100),
			 0);
	ck_assert_int_eq(weir_conn_get_timeout(c, WEIR_TIMEOUT_FIRST_BYTE, &ms),
			 0);
	ck_assert_int_eq(ms, 100);
	ck_assert_int_eq(weir_conn_get_timeout(c, 0, &ms), -EINVAL);
	ck_assert_int_eq(
		weir_conn_get_timeout(c, WEIR_TIMEOUT_HANDSHAKE + 1, &ms),
		-EINVAL);
	ck_assert_int_eq(ms, 100);
	ck_assert_int_eq(weir_conn_printf(c, "well?\n"), 0);
	ck_assert_int_eq(weir_conn_read_line(c, line, sizeof(line)),
			 -ETIMEDOUT);
	gate_open(&gate);
	weir_conn_free(c);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_dialled_connection_reads_in_all_ways)
{
	static const char input[] = "a line\nexact--until;;frame";
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	weir_conn *c = dial(s->address);
	const void *data;
	char buf[64];

	ck_assert_int_eq(weir_conn_write(c, input, sizeof(input) - 1), 0);
	ck_assert_int_eq(weir_conn_shutdown(c, SHUT_WR), 0);
	ck_assert_int_eq(weir_conn_read_line(c, buf, sizeof(buf)), 7);
	ck_assert_int_eq(weir_conn_read_exact(c, buf, 7), 7);
	ck_assert_int_eq(weir_conn_read_until(c, buf, sizeof(buf), ";;", 2), 7);
	ck_assert_int_eq(weir_conn_peek(c, &data, 5), 5);
	ck_assert_mem_eq(data, "frame", 5);
	ck_assert_int_eq(weir_conn_consume(c, 5), 0);
	ck_assert_int_eq(weir_conn_read(c, buf, sizeof(buf)), 0);
	weir_conn_free(c);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_freed_connection_is_closed_whoever_refers_to_it)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	weir_conn *c = dial(s->address);
	weir_ref *ref = weir_conn_ref(c);
	int fd = weir_conn_fd(c);
	struct weir_stats now;

	ck_assert_ptr_eq(ref, weir_conn_self(c));
	ck_assert_int_eq(weir_conn_printf(c, "hello\n"), 0);
	weir_conn_free(c);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
	UNTIL((now = stats(s)).ledger.accepted == 1 && now.ledger.open == 0);
	ck_assert_uint_eq(stats(s).bytes_in, 6);
	ck_assert_int_eq(weir_ref_wake(ref), -EINVAL);
	ck_assert_int_eq(weir_ref_close(ref), -EINVAL);
	ck_assert_int_eq(weir_ref_cancel(ref), -EPIPE);
	weir_ref_unref(ref);
	server_stop_and_check(s);
}
END_TEST

static void *cancel_soon(void *ref)
{
	poll(NULL, 0, 20); /* it counts before the free waits, too */
	ck_assert_int_eq(weir_ref_cancel(ref), 0);
	weir_ref_unref(ref);
	return NULL;
}

START_TEST(a_cancel_ends_the_wait_of_a_free)
{
	static const char much[200 << 10];
	int pair[2], little = 4096;
	char where[16];
	weir_conn *c;
	pthread_t id;

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &little,
				    sizeof(little)),
			 0);
	snprintf(where, sizeof(where), "fd:%d", pair[0]);
	c = dial(where);
	ck_assert_int_eq(weir_conn_set_timeout(c, WEIR_TIMEOUT_WRITE, INT_MAX),
			 0);
	ck_assert_int_eq(weir_conn_write(c, much, sizeof(much)), 0);
	ck_assert_int_eq(
		pthread_create(&id, NULL, cancel_soon, weir_conn_ref(c)), 0);
	weir_conn_free(c);
	pthread_join(id, NULL);
	close(pair[1]);
}
END_TEST

START_TEST(a_dialled_connection_knows_both_ends)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	weir_conn *c = dial(s->address);
	char text[64];
	int data = 1;

	ck_assert_int_gt(weir_conn_peer(c, text, sizeof(text)), 0);
	ck_assert_str_eq(text, s->address);
	ck_assert_int_gt(weir_conn_local(c, text, sizeof(text)), 0);
	ck_assert_int_ge(weir_conn_fd(c), 0);
	weir_conn_set_data(c, &data, NULL);
	ck_assert_ptr_eq(weir_conn_data(c), &data);
	ck_assert_int_eq(weir_ref_send(weir_conn_self(c), "x", 1), -EINVAL);
	weir_conn_free(c);
	server_stop_and_check(s);
}
END_TEST

/* Without a server no thread of the library takes the signal. */
START_TEST(a_dialled_peer_that_is_gone_is_an_error_and_no_signal)
{
	int pair[2], rc = 0, fd = make_file(100);
	char where[16];
	weir_conn *c;

	for (int with_file = 0; with_file < 2; with_file++) {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		snprintf(where, sizeof(where), "fd:%d", pair[0]);
		c = dial(where);
		close(pair[1]);
		if (with_file)
			rc = weir_conn_sendfile(c, fd, 0, 100);
		else
			rc = weir_conn_write(c, "hello", 5);
		if (rc == 0)
			rc = weir_conn_flush(c);
		ck_assert_int_eq(rc, -EPIPE);
		weir_conn_free(c);
	}
	close(fd);
}
END_TEST

static int say_a_part_and_reset(weir_conn *c, void *arg)
{
	const struct linger now = { .l_onoff = 1 };
	char line[16];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int fd;

	(void)arg;
	if (n <= 0)
		return (int)n;
	ck_assert_int_eq(weir_conn_write(c, "part", 4), 0);
	fd = weir_conn_detach(c);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
	return WEIR_CLOSE;
}

static bool has_error(weir_conn *c)
{
	struct pollfd fd = { .fd = weir_conn_fd(c) };

	return poll(&fd, 1, 0) == 1 && fd.revents & POLLERR;
}

/* Its own output has ended, and it looks at the connection first. */
START_TEST(a_wait_does_not_make_a_reset_an_ordinary_end)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = say_a_part_and_reset));
	weir_conn *c = dial(s->address);
	struct weir_poll wait = { .conn = c, .events = WEIR_POLL_INPUT };
	char part;

	ck_assert_int_eq(weir_conn_write(c, "go\n", 3), 0);
	ck_assert_int_eq(weir_conn_shutdown(c, SHUT_WR), 0);
	UNTIL(has_error(c));
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(weir_conn_wait(&wait, 1, 0), 1);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(weir_conn_read(c, &part, 1), 1);
	ck_assert_int_eq(weir_conn_wait(&wait, 1, 0), 1);
	ck_assert_int_eq(weir_conn_read(c, &part, 1), -ECONNRESET);
	weir_conn_free(c);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"dial", every_kind_of_address_can_be_dialled,
		a_dialled_socket_sends_at_once_and_keeps_little,
		each_address_of_a_name_is_tried,
		a_connected_descriptor_can_be_dialled,
		a_connected_tcp_socket_is_taken_over_with_its_options,
		a_file_cut_off_resets_a_tcp_socket_taken_over,
		a_reset_is_passed_on_to_a_tcp_socket_taken_over,
		what_cannot_be_dialled_says_so, a_dial_ends_at_its_deadline,
		a_dial_waits_for_room_in_a_unix_backlog_until_its_deadline,
		a_dial_that_waits_for_a_unix_backlog_gets_its_turn,
		a_dialled_connection_has_the_deadlines_it_sets,
		a_dialled_connection_reads_in_all_ways,
		a_freed_connection_is_closed_whoever_refers_to_it,
		a_cancel_ends_the_wait_of_a_free,
		a_dialled_connection_knows_both_ends,
		a_dialled_peer_that_is_gone_is_an_error_and_no_signal,
		a_wait_does_not_make_a_reset_an_ordinary_end);
}
