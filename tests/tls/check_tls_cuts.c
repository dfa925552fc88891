/* SPDX-License-Identifier: MIT */
/*
 * Handshakes that end at every byte, resets at a deadline, and system calls
 * that fail or are slow.  What a client sends goes through memory, so that the
 * test cuts it where it likes.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "faults.h"
#include "sys.h"
#include "tlskit.h"

#define ROOM 65536

/* A client whose bytes the test moves. */
struct moved {
	struct tls_client c;
	BIO *to, *from; /* what it says, and hears */
	size_t said;	/* bytes so far */
};

static SSL_CTX *ctx;

static struct moved moved_open(struct server *s)
{
	struct moved m = { .c = tls_connect(s, ctx) };

	m.to = BIO_new(BIO_s_mem());
	m.from = BIO_new(BIO_s_mem());
	SSL_set_bio(m.c.ssl, m.from, m.to);
	SSL_set_connect_state(m.c.ssl);
	return m;
}

/* At most this much in all, as pieces of that size. */
static bool moved_say(struct moved *m, size_t most, size_t piece)
{
	char buf[ROOM];
	int n = BIO_read(m->to, buf, sizeof(buf));

	for (int at = 0; at < n; at += (int)piece) {
		size_t len =
			(size_t)(n - at) < piece ? (size_t)(n - at) : piece;

		if (m->said + len > most)
			len = most - m->said;
		if (len > 0 &&
		    send(m->c.fd, buf + at, len, MSG_NOSIGNAL) != (ssize_t)len)
			return false;
		m->said += len;
		if (m->said == most)
			return false;
	}
	return true;
}

static bool moved_hear(struct moved *m)
{
	char buf[ROOM];
	ssize_t n = recv(m->c.fd, buf, sizeof(buf), 0);

	if (n > 0)
		BIO_write(m->from, buf, (int)n);
	return n > 0;
}

/* False: it was cut, or the server has ended it.  Else one echo was had. */
static bool converse(struct moved *m, size_t most, size_t piece)
{
	char byte;

	while (SSL_do_handshake(m->c.ssl) != 1)
		if (!moved_say(m, most, piece) || !moved_hear(m))
			return false;
	ck_assert_int_eq(SSL_write(m->c.ssl, "x", 1), 1);
	if (!moved_say(m, most, piece))
		return false;
	while (SSL_read(m->c.ssl, &byte, 1) != 1)
		if (!moved_hear(m))
			return false;
	return byte == 'x';
}

static struct server *start(int handshake_ms)
{
	struct weir_service service;

	weir_service_init(&service, sizeof(service));
	service.readable = echo;
	service.handshake_ms = handshake_ms;
	ctx = client_context();
	/* the same length each time */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return tls_serve(NULL, &service);
}

static size_t whole_length(struct server *s)
{
	struct moved m = moved_open(s);
	size_t said;

	ck_assert(converse(&m, SIZE_MAX, ROOM));
	said = m.said;
	tls_abandon(&m.c);
	return said;
}

static void stop(struct server *s)
{
	UNTIL(stats(s).ledger.open == 0);
	(void)server_stop_and_check(s);
	SSL_CTX_free(ctx);
}

/* Half a record: something is missing. */
START_TEST(an_end_within_a_record_is_a_failure)
{
	struct server *s = start(WEIR_NEVER);

	for (size_t left = 1; left < 20; left += 6) {
		struct moved m = moved_open(s);
		size_t most;

		ck_assert(converse(&m, SIZE_MAX, ROOM));
		ck_assert_int_eq(SSL_write(m.c.ssl, "y", 1), 1);
		most = m.said + (size_t)BIO_pending(m.to) - left;
		ck_assert(!moved_say(&m, most, ROOM));
		tls_abandon(&m.c);
		UNTIL(stats(s).ledger.open == 0);
	}
	ck_assert_uint_eq(stats(s).ledger.completed, 0);
	stop(s);
}
END_TEST

static void reset_when_closed(int fd)
{
	const struct linger reset = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
}

enum { FIN, RST };

static void cut_at_every_byte(int how)
{
	struct server *s = start(WEIR_NEVER);
	size_t whole = whole_length(s);
	int step = slowness();

	for (size_t at = 0; at < whole; at += (size_t)step) {
		struct moved m = moved_open(s);

		ck_assert(!converse(&m, at, ROOM));
		if (how == RST)
			reset_when_closed(m.c.fd);
		tls_abandon(&m.c);
	}
	whole_length(s); /* it still serves */
	stop(s);
}

START_TEST(a_client_may_end_at_any_byte)
{
	cut_at_every_byte(FIN);
}
END_TEST

START_TEST(a_client_may_reset_at_any_byte)
{
	cut_at_every_byte(RST);
}
END_TEST

START_TEST(clients_that_stall_at_any_byte_are_ended_in_time)
{
	struct server *s = start(2000 + 500 * slowness());
	size_t whole = whole_length(s);
	struct moved m[60];

	for (size_t i = 0; i < 60; i++) {
		m[i] = moved_open(s);
		ck_assert(!converse(&m[i], i * whole / 70, ROOM));
	}
	whole_length(s);
	for (size_t i = 0; i < 60; i++) {
		while (moved_hear(&m[i]))
			;
		tls_abandon(&m[i].c);
	}
	UNTIL(stats(s).timed_out[WEIR_TIMEOUT_HANDSHAKE] >= 50);
	stop(s);
}
END_TEST

START_TEST(a_handshake_may_come_byte_by_byte)
{
	struct server *s = start(WEIR_NEVER);
	struct moved m = moved_open(s);
	int on = 1;

	setsockopt(m.c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	ck_assert(converse(&m, SIZE_MAX, 1));
	tls_abandon(&m.c);
	stop(s);
}
END_TEST

static int start_tls(weir_conn *c, void *tls)
{
	char line[16];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n > 0)
		n = weir_conn_write(c, "go on\n", 6);
	return n < 0 ? (int)n : weir_conn_start_tls(c, tls, NULL);
}

/*
 * The worker sees the deadline first, as it polls only if none has passed.
 * False: the deadline has passed before.
 */
static bool is_reset_at_the_deadline(bool in_handshake)
{
	const int ms = 500 * slowness();
	struct gate gate = GATE_CLOSED;
	weir_tls *tls = tls_server("a");
	struct server *s = server_new(WEIR_CONFIG(.workers = 1));
	struct weir_service service;
	struct tls_client c = { .fd = -1 };
	struct client *held, *clear = NULL;
	bool is_reset;
	char where[160];
	int id = server_listen(
		s, "127.0.0.1:0",
		WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));

	weir_service_init(&service, sizeof(service));
	service.session = in_handshake ? start_tls : echo_lines;
	service.read_ms = service.handshake_ms = ms;
	service.arg = tls;
	if (!in_handshake)
		ck_assert_int_eq(weir_tls_use(&service, tls), 0);
	server_address(s, id, where, sizeof(where));
	id = server_listen(s, "127.0.0.1:0", &service);
	server_start(s);
	held = client_open_at(where);
	server_address(s, id, s->address, sizeof(s->address));
	if (in_handshake) {
		clear = client_open_and_send(s, "start\n");
		client_expect(clear, "go on\n");
	} else {
		c = tls_open(s, NULL);
		tls_send(&c, "ha", 2);
		UNTIL(stats(s).bytes_in == 2);
	}
	UNTIL(stats(s).parked == 2);
	client_wait_at_gate(held, &gate);
	if (in_handshake) {
		client_reset(clear);
	} else {
		reset_when_closed(c.fd);
		tls_abandon(&c);
	}
	UNTIL(stats(s).parked == 0); /* the deadline is posted */
	gate_open(&gate);
	client_expect(held, "wait\n");
	client_expect_echo(held, "and again\n");
	UNTIL(stats(s).ledger.failed + stats(s).ledger.timed_out == 1);
	is_reset = server_stop_and_check(s).ledger.failed == 1;
	weir_tls_unref(tls);
	return is_reset;
}

START_TEST(a_reset_at_the_deadline_of_a_message_ends_its_session)
{
	MOSTLY(is_reset_at_the_deadline(false));
}
END_TEST

START_TEST(a_reset_at_the_deadline_of_a_handshake_ends_its_session)
{
	MOSTLY(is_reset_at_the_deadline(true));
}
END_TEST

/* The system fails once, in each call of a kind that a handshake makes. */
START_TEST(a_failed_call_ends_one_connection_at_most)
{
	static const struct {
		enum wr_sys_call call;
		int error;
		bool is_harmless;
	} plans[] = {
		{ WR_SYS_alloc, -ENOMEM, false },
		{ WR_SYS_recv, -ECONNRESET, false },
		{ WR_SYS_sendmsg, -EPIPE, false },
		{ WR_SYS_sendmsg, -EAGAIN, true },
		{ WR_SYS_epoll_ctl, -ENOMEM, false },
	};
	struct server *s;

	faults_install();
	s = start(10000);
	for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
		int made = 1;

		for (int n = 1; made > 0 && n < 100; n++) {
			struct moved m = moved_open(s);
			bool served;

			fail_nth_call(plans[i].call, n, plans[i].error);
			served = converse(&m, SIZE_MAX, ROOM);
			tls_abandon(&m.c);
			UNTIL(stats(s).ledger.open == 0);
			made = faults_made();
			faults_clear();
			ck_assert_msg(served || (made && !plans[i].is_harmless),
				      "plan %zu, call %d", i, n);
		}
		ck_assert_int_eq(made, 0);
		whole_length(s);
	}
	stop(s);
}
END_TEST

/* An echo over a connection of weir_dial(), or the first error. */
static int dial_and_echo(struct server *s, weir_tls *tls)
{
	weir_conn *c;
	char byte;
	int rc = weir_dial(&c, s->address, 0);

	if (rc < 0)
		return rc;
	rc = weir_conn_start_tls(c, tls, NULL);
	if (rc == 0)
		rc = weir_conn_write(c, "x", 1);
	if (rc == 0)
		rc = (int)weir_conn_read(c, &byte, 1);
	weir_conn_free(c);
	return rc == 0 ? -ECONNRESET : rc;
}

/* A call of one side or of the other. */
START_TEST(a_failed_call_ends_a_handshake_of_the_program_at_most)
{
	static const struct {
		enum wr_sys_call call;
		int error;
		bool is_harmless;
	} plans[] = {
		{ WR_SYS_alloc, -ENOMEM, false },
		{ WR_SYS_recv, -ECONNRESET, false },
		{ WR_SYS_sendmsg, -EPIPE, false },
		{ WR_SYS_sendmsg, -EAGAIN, true },
		{ WR_SYS_poll, -EINTR, true },
	};
	struct server *s;
	weir_tls *tls;

	faults_install();
	s = start(10000);
	tls = tls_client("a.example");
	ck_assert_int_eq(dial_and_echo(s, tls), 1);
	UNTIL(stats(s).ledger.open == 0);
	for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
		int made = 1;

		for (int n = 1; made > 0 && n < 100; n++) {
			int rc;

			fail_nth_call(plans[i].call, n, plans[i].error);
			rc = dial_and_echo(s, tls);
			UNTIL(stats(s).ledger.open == 0);
			made = faults_made();
			faults_clear();
			ck_assert_msg(rc == 1 ||
					      (made && !plans[i].is_harmless),
				      "plan %zu, call %d: %d", i, n, rc);
		}
		ck_assert_int_eq(made, 0);
		ck_assert_int_eq(dial_and_echo(s, tls), 1);
		UNTIL(stats(s).ledger.open == 0);
	}
	weir_tls_unref(tls);
	stop(s);
}
END_TEST

#define FILE_BYTES 20000

/* Each piece of a file takes a turn. */
static int slow_disk(enum wr_sys_call call, size_t *len)
{
	if (call != WR_SYS_sendfile)
		return 0;
	*len = 4096;
	usleep(1100);
	return 0;
}

struct clear_file {
	weir_tls *tls;
	int fd;
};

static int send_file_in_clear(weir_conn *c, const struct clear_file *f)
{
	int rc = weir_conn_sendfile(c, f->fd, 0, FILE_BYTES);

	return rc < 0 ? rc : weir_conn_start_tls(c, f->tls, NULL);
}

static int send_file_and_echo(weir_conn *c, void *file)
{
	int rc = send_file_in_clear(c, file);

	return rc < 0 ? rc : echo(c, NULL);
}

START_TEST(a_session_begins_tls_behind_a_slow_file)
{
	struct clear_file f = { tls_server("a"), make_file(FILE_BYTES) };

	wr_sys_fault = slow_disk;
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		struct server *s = serve(
			NULL,
			WEIR_SERVICE(SESSION_ON(on_worker, send_file_and_echo),
				     .speaks_first = 1, .arg = &f));
		struct tls_client c = tls_connect(s, NULL);
		char buf[FILE_BYTES];

		ck_assert_int_eq(recv(c.fd, buf, FILE_BYTES, MSG_WAITALL),
				 FILE_BYTES);
		ck_assert_int_eq(tls_shake(&c), 1);
		tls_expect_echo(&c, "hello");
		tls_close(&c);
		UNTIL(stats(s).ledger.open == 0);
		(void)server_stop_and_check(s);
	}
	wr_sys_fault = NULL;
	weir_tls_unref(f.tls);
	close(f.fd);
}
END_TEST

static int take_file_and_echo(weir_conn *c, void *tls)
{
	char buf[FILE_BYTES];
	ssize_t n = weir_conn_read_exact(c, buf, FILE_BYTES);
	int rc;

	if (n <= 0)
		return (int)n;
	rc = weir_conn_start_tls(c, tls, NULL);
	return rc < 0 ? rc : echo(c, NULL);
}

START_TEST(a_dialled_connection_begins_tls_behind_a_slow_file)
{
	struct clear_file f = { tls_client("a.example"),
				make_file(FILE_BYTES) };
	weir_tls *tls = tls_server("a");
	struct server *s;
	weir_conn *c;
	char byte;

	wr_sys_fault = slow_disk;
	s = serve(NULL,
		  WEIR_SERVICE(.session = take_file_and_echo, .arg = tls));
	ck_assert_int_eq(weir_dial(&c, s->address, 0), 0);
	ck_assert_int_eq(send_file_in_clear(c, &f), 0);
	ck_assert_int_eq(weir_conn_write(c, "x", 1), 0);
	ck_assert_int_eq(weir_conn_read(c, &byte, 1), 1);
	weir_conn_free(c);
	(void)server_stop_and_check(s);
	wr_sys_fault = NULL;
	weir_tls_unref(f.tls);
	weir_tls_unref(tls);
	close(f.fd);
}
END_TEST

START_TEST(a_context_is_made_whole_or_not_at_all)
{
	int made = 1;

	faults_install();
	weir_tls_unref(tls_client("a.example")); /* the files are there */
	for (int n = 1; made > 0 && n < 100; n++) {
		weir_tls *tls = NULL;
		int rc;

		fail_nth_call(WR_SYS_alloc, n, -ENOMEM);
		rc = weir_tls_new(&tls,
				  WEIR_TLS(.certificate = tls_file("a.pem"),
					   .key = tls_file("a.key"),
					   .alpn = "echo"),
				  NULL, 0);
		if (rc == 0)
			rc = weir_tls_add(tls, tls_file("a.pem"),
					  tls_file("a.key"), NULL, 0);
		made = faults_made();
		faults_clear();
		ck_assert_int_eq(rc, made ? -ENOMEM : 0);
		weir_tls_unref(tls);
	}
	ck_assert_int_eq(made, 0);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"tls_cuts", an_end_within_a_record_is_a_failure,
		a_client_may_end_at_any_byte, a_client_may_reset_at_any_byte,
		clients_that_stall_at_any_byte_are_ended_in_time,
		a_handshake_may_come_byte_by_byte,
		a_reset_at_the_deadline_of_a_message_ends_its_session,
		a_reset_at_the_deadline_of_a_handshake_ends_its_session,
		a_failed_call_ends_one_connection_at_most,
		a_failed_call_ends_a_handshake_of_the_program_at_most,
		a_session_begins_tls_behind_a_slow_file,
		a_dialled_connection_begins_tls_behind_a_slow_file,
		a_context_is_made_whole_or_not_at_all);
}
