/* SPDX-License-Identifier: MIT */
/*
 * weir_conn_sendfile(): descriptors that are no file, files that sendfile(2)
 * cannot send, that break on the way, and slow ones.
 */
#include "test.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "conn.h"
#include "faults.h"

#define LONG 300000

/* ---- what is no file */

static weir_conn *dial_pair(int pair[2])
{
	weir_conn *c;
	char where[32];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	snprintf(where, sizeof(where), "fd:%d", pair[0]);
	ck_assert_int_eq(weir_dial(&c, where, 1000), 0);
	return c;
}

START_TEST(what_is_no_file_to_be_read_is_refused)
{
	int pair[2], pipes[2], file = make_file(10);
	char path[64];
	weir_conn *c = dial_pair(pair);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
	const struct {
		int fd, says;
	} odd[] = {
		{ -1, -EBADF },
		{ open("/", O_RDONLY | O_DIRECTORY), -EINVAL },
		{ open("/dev/null", O_RDONLY), -EINVAL },
		{ open(path, O_WRONLY), -EBADF },
		{ open(path, O_PATH), -EBADF },
		{ eventfd(1, EFD_CLOEXEC), -EINVAL },
		{ socket(AF_UNIX, SOCK_STREAM, 0), -EINVAL },
		{ pipes[0], -EINVAL },
		{ pipes[1], -EBADF },
	};
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		int rc = weir_conn_sendfile(c, odd[i].fd, 0, 5);

		ck_assert_msg(rc == odd[i].says, "%zu: %d", i, rc);
		close(odd[i].fd);
	}
	ck_assert_int_eq(weir_conn_sendfile(c, file, 0, 10), 0);
	ck_assert_int_eq(weir_conn_flush(c), 0);
	ck_assert_int_eq(recv(pair[1], path, sizeof(path), 0), 10);
	weir_conn_free(c);
	close(pair[1]);
	close(file);
}
END_TEST

/* ---- what sendfile(2) cannot send */

struct sent {
	int fd;
	uint64_t len;
};

/* A line is answered with a word and the file; then the end. */
static int send_a_file(weir_conn *c, void *arg)
{
	const struct sent *sent = arg;
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc;

	if (n <= 0)
		return (int)n;
	rc = weir_conn_write(c, "file ", 5);
	return rc < 0 ? rc : weir_conn_sendfile(c, sent->fd, 0, sent->len);
}

static void expect_file(struct client *c, size_t len)
{
	static char data[LONG];

	client_expect(c, "file ");
	for (size_t have = 0; have < len;) {
		ssize_t n = client_read(c, data, sizeof(data));

		ck_assert_int_gt(n, 0);
		ck_assert(bytes_match(data, (size_t)n, have));
		have += (size_t)n;
	}
	client_expect_eof(c);
}

START_TEST(a_file_goes_out_where_sendfile_cannot_be_had)
{
	static const int errors[] = { EINVAL, ENOSYS, EPERM, EOPNOTSUPP,
				      EOVERFLOW };
	struct sent sent = { make_file(LONG), LONG };
	struct server *s;

	faults_install();
	s = serve(NULL, WEIR_SERVICE(.readable = send_a_file, .arg = &sent));
	for (size_t i = 0; i < wr_array_len(errors); i++) {
		/* From the first piece on, and after it. */
		for (int nth = 1; nth <= 2; nth++) {
			struct client *c = client_open_small(s, 4096);

			fail_calls_from(WR_SYS_sendfile, nth, -errors[i]);
			client_send(c, "go\n");
			/* Read now, and one call may send the whole file. */
			UNTIL(faults_made() > 0);
			expect_file(c, LONG);
			client_close(c);
		}
	}
	faults_clear();
	ck_assert_uint_eq(server_stop_and_check(s).ledger.failed, 0);
	close(sent.fd);
}
END_TEST

/* No kernel sends those with sendfile(2), and their size is 0. */
START_TEST(a_file_of_the_kernel_goes_out)
{
	struct sent sent = { open("/proc/self/status", O_RDONLY), 6 };
	struct server *s = serve(
		NULL, WEIR_SERVICE(.readable = send_a_file, .arg = &sent));
	struct client *c = client_open(s);

	client_expect_reply(c, "go\n", "file Name:\t");
	client_expect_eof(c);
	server_stop_and_check(s);
	close(sent.fd);
}
END_TEST

/* ---- many at once */

enum { PARTS = 200 };

/*
 * The fourth chunk of this connection's outbox, and all behind it, cannot be
 * reached from the front: a walk over the outbox ends the test.
 */
static struct {
	weir_conn *conn;
	struct wr_chunk *before, *first;
} hidden;
#define UNREACHABLE ((struct wr_chunk *)(uintptr_t)16)

static void hide_the_rest(void)
{
	struct wr_chunk *head = hidden.conn->out.box.head;

	if (hidden.before)
		hidden.before->next = hidden.first;
	hidden.before = head && head->next ? head->next->next : NULL;
	if (hidden.before == NULL)
		return;
	hidden.first = hidden.before->next;
	if (hidden.first)
		hidden.before->next = UNREACHABLE;
}

static _Atomic int files_sent;

/* Before the worker sends the first chunk. */
static int hide_before_each(enum wr_sys_call call, size_t *len)
{
	(void)len;
	if (call == WR_SYS_sendfile)
		atomic_fetch_add(&files_sent, 1);
	if (call == WR_SYS_sendfile || call == WR_SYS_sendmsg)
		hide_the_rest();
	return 0;
}

/* A file, a word, a file, a word ... */
static int send_parts(weir_conn *c, void *arg)
{
	const struct sent *sent = arg;
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n <= 0)
		return (int)n;
	hidden.conn = c;
	for (int i = 0; i < PARTS; i++) {
		ck_assert_int_eq(weir_conn_sendfile(c, sent->fd, 0, sent->len),
				 0);
		ck_assert_int_eq(weir_conn_write(c, "word ", 5), 0);
		if (i == 1)
			hide_the_rest();
	}
	return 0;
}

START_TEST(many_files_in_an_outbox_cost_no_walk_over_it)
{
	struct sent sent = { make_file(10), 10 };
	struct server *s;
	struct client *c;

	wr_sys_fault = hide_before_each;
	s = serve(NULL, WEIR_SERVICE(.readable = send_parts, .arg = &sent));
	c = client_open(s);
	client_send(c, "go\n");
	ck_assert_uint_eq(client_read_to_eof(c), PARTS * (10 + 5));
	ck_assert_int_eq(files_sent, PARTS);
	server_stop_and_check(s);
	wr_sys_fault = NULL;
	close(sent.fd);
}
END_TEST

/* ---- what breaks on the way */

/* It ends with a reset, not the end of input. */
static void expect_reset(struct client *c)
{
	char data[4096];
	ssize_t n;

	while ((n = client_read(c, data, sizeof(data))) > 0)
		;
	ck_assert_int_eq(n, -ECONNRESET);
}

static int broken_disk(enum wr_sys_call call, size_t *len)
{
	(void)len;
	return call == WR_SYS_sendfile || call == WR_SYS_pread ? -EUCLEAN : 0;
}

static void expect_broken(struct sent *sent, const char *reason)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = send_a_file, .arg = sent));
	struct client *c = client_open(s);
	struct weir_report report;

	client_send(c, "go\n");
	expect_reset(c);
	UNTIL(log_says(s, reason));
	ck_assert_int_eq(log_lines(s), 1);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.failed, 1);
}

START_TEST(a_file_that_cannot_be_read_resets_its_peer_and_the_log_says_why)
{
	struct sent sent = { make_file(LONG), LONG };

	wr_sys_fault = broken_disk;
	expect_broken(&sent, weir_strerror(EUCLEAN));
	wr_sys_fault = NULL;
	close(sent.fd);
}
END_TEST

START_TEST(a_file_shorter_than_promised_resets_its_peer_and_the_log_says_so)
{
	struct sent sent = { make_file(1000), LONG };

	expect_broken(&sent, "a file is shorter than was promised");
	close(sent.fd);
}
END_TEST

START_TEST(a_dialled_peer_is_not_told_that_a_part_of_a_file_is_all_of_it)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	int fd = make_file(1000), rc;
	weir_conn *c;

	ck_assert_int_eq(weir_dial(&c, s->address, 20000), 0);
	ck_assert_int_eq(weir_conn_sendfile(c, fd, 0, LONG), 0);
	/* A thread that was kept from running has had its turn. */
	UNTIL((rc = weir_conn_flush(c)) != 0);
	ck_assert_int_eq(rc, -EIO);
	weir_conn_free(c);
	close(fd);
	UNTIL(stats(s).ledger.failed == 1);
	server_stop_and_check(s);
}
END_TEST

/* ---- slow disks */

static _Thread_local int pieces;
static _Atomic int most_pieces;

/* Pieces are small and slow: how many are sent before the poller is asked? */
static int slow_disk(enum wr_sys_call call, size_t *len)
{
	if (call == WR_SYS_sendfile) {
		*len = wr_min(*len, (size_t)1024);
		usleep(1100);
		if (++pieces > atomic_load(&most_pieces))
			atomic_store(&most_pieces, pieces);
	} else if (call == POLLER_WAITS) {
		pieces = 0;
	}
	return 0;
}

START_TEST(a_slow_disk_does_not_hold_a_worker)
{
	struct sent sent = { make_file(40000), 40000 };
	struct server *s;
	struct client *c;

	wr_sys_fault = slow_disk;
	s = serve_workers(1,
			  WEIR_SERVICE(.readable = send_a_file, .arg = &sent));
	c = client_open_and_send(s, "go\n");
	expect_file(c, 40000);
	/* One in a turn; an earlier turn may belong to the same round. */
	ck_assert_int_le(most_pieces, 3);
	server_stop_and_check(s);
	wr_sys_fault = NULL;
	close(sent.fd);
}
END_TEST

/* Its last reference is given up while the file is unsent. */
static int pass_file_on(weir_conn *c, void *arg)
{
	const struct sent *sent = arg;
	char where[32], line[8];
	static char got[40000];
	weir_conn *other;
	int ends[2];

	if (weir_conn_read_line(c, line, sizeof(line)) <= 0)
		return 0;
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	snprintf(where, sizeof(where), "fd:%d", ends[0]);
	ck_assert_int_eq(weir_dial(&other, where, 0), 0);
	ck_assert_int_eq(weir_conn_sendfile(other, sent->fd, 0, sent->len), 0);
	weir_conn_free(other);
	ck_assert_int_eq(recv(ends[1], got, sizeof(got), MSG_WAITALL),
			 (ssize_t)sent->len);
	close(ends[1]);
	return weir_conn_printf(c, "done\n");
}

START_TEST(a_session_that_frees_a_connection_with_a_file_takes_turns)
{
	struct sent sent = { make_file(40000), 40000 };
	struct server *s;

	wr_sys_fault = slow_disk;
	s = serve_workers(1,
			  WEIR_SERVICE(.session = pass_file_on, .arg = &sent));
	client_expect_last(client_open_and_send(s, "go\n"), "done\n");
	ck_assert_int_le(most_pieces, 3);
	server_stop_and_check(s);
	wr_sys_fault = NULL;
	close(sent.fd);
}
END_TEST

/* ---- a fast peer */

#define FAST 150000 /* fits into the socket */

struct seen {
	int fd;
	int64_t unsent[WEIR_EXPIRED]; /* in the latest call for each reason */
};

static _Atomic bool all_has_come;

/*
 * Each piece takes longer than a turn; none fills the socket.  Until all has
 * come they are so small that the file takes seconds.
 */
static int send_slow_pieces(enum wr_sys_call call, size_t *len)
{
	if (call == WR_SYS_sendfile) {
		*len = atomic_load(&all_has_come) ? 10000 : 100;
		usleep(2000);
	}
	return 0;
}

static void send_at_once(weir_conn *c, int fd)
{
	const int size = 1 << 20;

	setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	ck_assert_int_eq(weir_conn_write(c, "file ", 5), 0);
	ck_assert_int_eq(weir_conn_sendfile(c, fd, 0, FAST), 0);
}

static int send_and_see(weir_conn *c, void *arg)
{
	struct seen *seen = arg;
	char line[64];
	int why = weir_conn_why(c);

	if (why == WEIR_DRAIN)
		return WEIR_CLOSE;
	seen->unsent[why] = weir_conn_unsent(c);
	if (why == WEIR_TIMER)
		atomic_store(&all_has_come, true);
	if (why != WEIR_INPUT)
		return WEIR_AGAIN;
	if (weir_conn_read_line(c, line, sizeof(line)) <= 0)
		return WEIR_WAIT;
	send_at_once(c, seen->fd);
	ck_assert_int_eq(weir_conn_set_timer(c, 1), 0);
	ck_assert_int_eq(weir_ref_wake(weir_conn_self(c)), 0);
	return WEIR_AGAIN;
}

START_TEST(a_file_for_a_fast_peer_delays_no_timer_and_no_wake)
{
	struct seen seen = { .fd = make_file(FAST) };
	struct server *s;
	struct client *c;

	wr_sys_fault = send_slow_pieces;
	s = serve_workers(1,
			  WEIR_SERVICE(.readable = send_and_see, .arg = &seen));
	c = client_open(s);
	client_send(c, "go\n");
	client_half_close(c);
	expect_file(c, FAST);
	server_stop_and_check(s);
	wr_sys_fault = NULL;
	ck_assert_int_gt(seen.unsent[WEIR_WAKE], 0);
	ck_assert_int_gt(seen.unsent[WEIR_TIMER], 0);
	close(seen.fd);
}
END_TEST

enum wait { SLEEP, WAIT, WAITS };

static int wait_in(weir_conn *c, enum wait how, int ms)
{
	struct weir_poll own = { .conn = c, .events = WEIR_POLL_INPUT };

	return how == SLEEP ? weir_sleep(ms) : weir_conn_wait(&own, 1, ms);
}

static int send_and_wait(weir_conn *c, void *arg)
{
	char line[64];

	if (weir_conn_read_line(c, line, sizeof(line)) <= 0)
		return 0;
	send_at_once(c, *(const int *)arg);
	for (enum wait how = SLEEP; how < WAITS; how++) {
		ck_assert_int_eq(weir_ref_wake(weir_conn_self(c)), 0);
		ck_assert_int_eq(wait_in(c, how, WEIR_NEVER), -EINTR);
		ck_assert_int_eq(weir_conn_set_timer(c, 1), 0);
		ck_assert_int_eq(wait_in(c, how, WEIR_NEVER), -EINTR);
		ck_assert_int_eq(wait_in(c, how, 1), 0);
		ck_assert_int_gt(weir_conn_unsent(c), 0);
	}
	ck_assert_int_eq(weir_ref_close(weir_conn_self(c)), 0);
	for (enum wait how = SLEEP; how < WAITS; how++)
		ck_assert_int_eq(wait_in(c, how, WEIR_NEVER), -ESHUTDOWN);
	ck_assert_int_gt(weir_conn_unsent(c), 0);
	atomic_store(&all_has_come, true);
	return WEIR_CLOSE;
}

START_TEST(a_file_for_a_fast_peer_delays_the_end_of_no_wait)
{
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		int fd = make_file(FAST);
		struct server *s;
		struct client *c;

		atomic_store(&all_has_come, false);
		wr_sys_fault = send_slow_pieces;
		s = serve_workers(
			1, WEIR_SERVICE(SESSION_ON(on_worker, send_and_wait),
					.arg = &fd));
		c = client_open_and_send(s, "go\n");
		expect_file(c, FAST);
		server_stop_and_check(s);
		wr_sys_fault = NULL;
		close(fd);
	}
}
END_TEST

/* ---- sessions whose peers take everything at once */

#define MUCH ((size_t)4 << 20)

enum way { FILE_THEN_READ, FILE_THEN_WRITE, ONE_WRITE, MANY_WRITES, WAYS };

struct sending {
	enum way way;
	int fd;
};

static _Atomic int pieces_sent, pieces_before_other;
static int other_fd;

/* The peer is faster.  The other client asks at the first piece. */
static int send_like_a_slow_server(enum wr_sys_call call, size_t *len)
{
	if (call != WR_SYS_sendfile && call != WR_SYS_sendmsg)
		return 0;
	*len = wr_min(*len, (size_t)16384);
	usleep(1000);
	if (atomic_fetch_add(&pieces_sent, 1) == 0)
		ck_assert_int_eq(send(other_fd, "hi\n", 3, 0), 3);
	return 0;
}

static int send_much(weir_conn *c, void *arg)
{
	static const char bytes[MUCH];
	const struct sending *how = arg;
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc = 0;

	if (n <= 0)
		return (int)n;
	if (how->way <= FILE_THEN_WRITE)
		rc = weir_conn_sendfile(c, how->fd, 0, MUCH);
	if (how->way == FILE_THEN_READ)
		return (int)weir_conn_read_line(c, line, sizeof(line));
	if (how->way == FILE_THEN_WRITE)
		return weir_conn_write(c, bytes, 300000);
	if (how->way == ONE_WRITE)
		return weir_conn_write(c, bytes, MUCH);
	for (size_t done = 0; rc == 0 && done < MUCH; done += 16384)
		rc = weir_conn_write(c, bytes, 16384);
	return rc;
}

static int count_pieces_before(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	atomic_store(&pieces_before_other, atomic_load(&pieces_sent));
	return n <= 0 ? (int)n : weir_conn_write(c, line, (size_t)n);
}

static void *read_to_eof(void *arg)
{
	static char data[1 << 16];
	const struct client *c = arg;

	while (recv(c->fd, data, sizeof(data), 0) > 0)
		;
	return NULL;
}

static void send_much_and_serve_another(struct sending *how)
{
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.session = send_much, .arg = how));
	struct client *c = client_open(s), *other;
	pthread_t reader;
	char where[64];
	int id = server_listen(s, "127.0.0.1:0",
			       WEIR_SERVICE(.session = count_pieces_before));

	server_address(s, id, where, sizeof(where));
	other = client_open_at(where);
	other_fd = other->fd;
	UNTIL(stats(s).parked == 2);
	atomic_store(&pieces_sent, 0);
	client_send(c, "go\n");
	client_half_close(c);
	ck_assert_int_eq(pthread_create(&reader, NULL, read_to_eof, c), 0);
	client_expect_last(other, "hi\n");
	ck_assert_int_eq(pthread_join(reader, NULL), 0);
	ck_assert_int_lt(pieces_before_other, (int)(MUCH / 16384));
	server_stop_and_check(s);
}

START_TEST(a_session_that_sends_to_a_fast_peer_lets_others_run)
{
	struct sending how = { .fd = make_file(MUCH) };

	wr_sys_fault = send_like_a_slow_server;
	for (how.way = 0; how.way < WAYS; how.way++)
		send_much_and_serve_another(&how);
	wr_sys_fault = NULL;
	close(how.fd);
}
END_TEST

/* ---- a peer that takes a file as fast as it comes */

enum { SHORT_WRITE_MS = 200 };

static _Atomic int64_t stalled_at; /* ms; 0: not yet */
static _Atomic bool file_may_end;

/* It stalls once, at first, and each piece then takes more than a turn. */
static int stall_first(enum wr_sys_call call, size_t *len)
{
	if (call != WR_SYS_sendfile)
		return 0;
	if (atomic_load(&stalled_at) == 0) {
		atomic_store(&stalled_at, now_ms());
		return -EAGAIN;
	}
	*len = atomic_load(&file_may_end) ? 10000 : 1;
	usleep(1100);
	return 0;
}

static struct server *serve_file_that_stalls(const struct weir_service *service)
{
	atomic_store(&stalled_at, 0);
	atomic_store(&file_may_end, false);
	wr_sys_fault = stall_first;
	return serve_workers(2, service);
}

static void let_file_end_late(void)
{
	UNTIL(atomic_load(&stalled_at) > 0 &&
	      now_ms() > atomic_load(&stalled_at) + 2 * SHORT_WRITE_MS);
	atomic_store(&file_may_end, true);
}

static int send_file_and_go_on(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;

	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0) {
		ck_assert_int_eq(weir_conn_write(c, "file ", 5), 0);
		ck_assert_int_eq(
			weir_conn_sendfile(c, *(const int *)arg, 0, FAST), 0);
	}
	return (int)n;
}

START_TEST(a_file_that_moves_meets_no_deadline)
{
	for (int is_session = 0; is_session < 2; is_session++) {
		int fd = make_file(FAST);
		struct server *s = serve_file_that_stalls(
			WEIR_SERVICE(HANDLE_AS(is_session, send_file_and_go_on),
				     .write_ms = SHORT_WRITE_MS, .arg = &fd));
		struct client *c = client_open_and_send(s, "go\n");

		let_file_end_late();
		client_half_close(c);
		expect_file(c, FAST);
		ck_assert_uint_eq(server_stop_and_check(s).ledger.completed, 1);
		wr_sys_fault = NULL;
		close(fd);
	}
}
END_TEST

/* ---- a relay behind a file */

struct behind {
	char upstream[160];
	int fd;
};

static int relay_behind_a_file(weir_conn *c, void *arg)
{
	const struct behind *b = arg;
	weir_conn *upstream;
	int rc = weir_dial(&upstream, b->upstream, 0);

	ck_assert_int_eq(rc, 0);
	weir_conn_set_timeout(c, WEIR_TIMEOUT_WRITE, SHORT_WRITE_MS);
	ck_assert_int_eq(weir_conn_sendfile(c, b->fd, 0, FAST), 0);
	rc = weir_relay(c, upstream, NULL);
	weir_conn_free(upstream);
	return rc;
}

/* What comes from the client makes the relay look at its deadlines. */
START_TEST(a_file_that_moves_ends_no_relay)
{
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		struct behind b = { .fd = make_file(FAST) };
		struct server *s = serve_file_that_stalls(
			WEIR_SERVICE(.readable = echo_lines));
		int id = server_listen(
			s, "127.0.0.1:0",
			WEIR_SERVICE(SESSION_ON(on_worker, relay_behind_a_file),
				     .speaks_first = 1, .arg = &b));
		static char data[FAST];
		struct client *c;
		char where[160];

		snprintf(b.upstream, sizeof(b.upstream), "%s", s->address);
		server_address(s, id, where, sizeof(where));
		c = client_open_at(where);
		UNTIL(atomic_load(&stalled_at) > 0 &&
		      now_ms() > atomic_load(&stalled_at) + SHORT_WRITE_MS);
		client_send(c, "hello\n");
		UNTIL(listener_stats(s, 0).bytes_in == 6);
		atomic_store(&file_may_end, true);
		for (size_t have = 0; have < FAST;) {
			ssize_t n = client_read(c, data, FAST - have);

			ck_assert_int_gt(n, 0);
			ck_assert(bytes_match(data, (size_t)n, have));
			have += (size_t)n;
		}
		client_expect(c, "hello\n");
		client_half_close(c);
		client_expect_eof(c);
		UNTIL(stats(s).ledger.open == 0);
		ck_assert_uint_eq(server_stop_and_check(s).ledger.completed, 2);
		wr_sys_fault = NULL;
		close(b.fd);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"files", what_is_no_file_to_be_read_is_refused,
		a_file_goes_out_where_sendfile_cannot_be_had,
		a_file_of_the_kernel_goes_out,
		many_files_in_an_outbox_cost_no_walk_over_it,
		a_file_that_cannot_be_read_resets_its_peer_and_the_log_says_why,
		a_file_shorter_than_promised_resets_its_peer_and_the_log_says_so,
		a_dialled_peer_is_not_told_that_a_part_of_a_file_is_all_of_it,
		a_slow_disk_does_not_hold_a_worker,
		a_session_that_frees_a_connection_with_a_file_takes_turns,
		a_file_for_a_fast_peer_delays_no_timer_and_no_wake,
		a_file_for_a_fast_peer_delays_the_end_of_no_wait,
		a_session_that_sends_to_a_fast_peer_lets_others_run,
		a_file_that_moves_meets_no_deadline,
		a_file_that_moves_ends_no_relay);
}
