/* SPDX-License-Identifier: MIT */
/*
 * Time, observed through the calls of the library: a lifetime that ends while a
 * slow disk delays a file, and the longest deadlines.
 */
#include "test.h"

#include <limits.h>
#include <sys/socket.h>

#include "conn.h"
#include "faults.h"

/* ---- a disk that is slower than the peer */

struct endless {
	int fd; /* of a file of holes */
	int verdict;
};

static int say_the_endless(weir_conn *c, void *arg)
{
	const struct endless *endless = arg;
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc;

	if (n <= 0)
		return (int)n;
	rc = weir_conn_sendfile(c, endless->fd, 0, UINT64_C(1) << 36);
	return rc < 0 ? rc : endless->verdict;
}

static int slow_disk(enum wr_sys_call call, size_t *len)
{
	if (call == WR_SYS_sendfile) {
		*len = wr_min(*len, (size_t)16384);
		usleep(50);
	}
	return 0;
}

START_TEST(the_lifetime_ends_a_file_that_is_taken_as_fast_as_it_is_read)
{
	const int verdicts[] = { 0, WEIR_AGAIN };
	FILE *file = tmpfile();
	struct endless endless = { .fd = fileno(file) };

	ck_assert_int_eq(ftruncate(endless.fd, (off_t)1 << 36), 0);
	wr_sys_fault = slow_disk;
	for (size_t i = 0; i < wr_array_len(verdicts); i++) {
		struct server *s =
			serve(NULL, WEIR_SERVICE(.readable = say_the_endless,
						 .arg = &endless,
						 .lifetime_ms = 300));
		struct client *c = client_open(s);
		int64_t began_at = now_ms();
		struct weir_report report;

		endless.verdict = verdicts[i];
		client_send(c, "go\n");
		client_expect_end(c);
		ck_assert_int_lt(now_ms(), began_at + 10000 * slowness());
		report = server_stop_and_check(s);
		ck_assert_uint_eq(report.ledger.timed_out, 1);
	}
	wr_sys_fault = NULL;
	fclose(file);
}
END_TEST

#define FILE_BYTES ((size_t)640 << 10) /* takes longer than IDLE_MS */
#define IN_SOCKETS ((size_t)128 << 10) /* at most */
#define IDLE_MS	   800

/* The socket has room whenever the disk has given something. */
static int slower_disk(enum wr_sys_call call, size_t *len)
{
	if (call == WR_SYS_sendfile) {
		*len = wr_min(*len, (size_t)512);
		usleep(1000);
	}
	return 0;
}

/* Nothing is left to read, so no call for input follows the file. */
static int say_the_file(weir_conn *c, void *arg)
{
	const int size = 32768;
	bool was_asked = false;
	char line[32];
	ssize_t n;
	int rc;

	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0)
		was_asked = true;
	if (n != -EAGAIN || !was_asked)
		return (int)n;
	setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	rc = weir_conn_sendfile(c, *(int *)arg, 0, FILE_BYTES);
	return rc < 0 ? rc : WEIR_WAIT;
}

START_TEST(idle_time_begins_when_all_of_a_file_is_sent)
{
	static char data[65536];
	FILE *file = tmpfile();
	int fd = fileno(file);
	struct server *s;
	struct client *c;
	int64_t since = 0, before = now_ms();
	size_t have = 0;
	ssize_t n;

	ck_assert_int_eq(ftruncate(fd, (off_t)FILE_BYTES), 0);
	wr_sys_fault = slower_disk;
	s = serve(NULL, WEIR_SERVICE(.readable = say_the_file, .arg = &fd,
				     .idle_ms = IDLE_MS));
	c = client_open_small(s, 32768);
	client_send(c, "go\n");
	while ((n = client_read(c, data, sizeof(data))) > 0) {
		have += (size_t)n;
		if (since == 0 && have >= FILE_BYTES - IN_SOCKETS)
			since = before; /* a part is unsent */
		before = now_ms();
	}
	ck_assert_uint_eq(have, FILE_BYTES);
	ck_assert_int_ge(now_ms() + 1, since + IDLE_MS);
	ck_assert_uint_eq(server_stop_and_check(s).ledger.timed_out, 1);
	wr_sys_fault = NULL;
	fclose(file);
}
END_TEST

/* ---- the longest deadlines */

static _Atomic int calls;

static int count_calls(enum wr_sys_call call, size_t *len)
{
	(void)call;
	(void)len;
	atomic_fetch_add(&calls, 1);
	return 0;
}

/* No thread of the server makes a system call for a while. */
static void all_sleep(void)
{
	int64_t since = now_ms();
	int64_t until_at = test_deadline();
	int before = atomic_load(&calls);

	while (now_ms() < since + 250) {
		ck_assert_msg(now_ms() < until_at, "it never sleeps");
		poll_sleep();
		if (atomic_load(&calls) != before) {
			before = atomic_load(&calls);
			since = now_ms();
		}
	}
}

#define MUCH ((size_t)1 << 20)

static int say_much_if_asked(weir_conn *c, void *arg)
{
	static char much[MUCH];
	const int size = 4096;
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc;

	(void)arg;
	if (n <= 0)
		return (int)n;
	if (strcmp(line, "much\n") == 0) {
		setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &size,
			   sizeof(size));
		rc = weir_conn_write(c, much, sizeof(much));
	} else {
		rc = weir_conn_write(c, line, (size_t)n);
	}
	return rc < 0 ? rc : WEIR_AGAIN;
}

START_TEST(deadlines_that_are_far_away_neither_pass_nor_keep_anybody_busy)
{
	struct client *silent, *half, *idle, *deaf;
	struct weir_report report;
	struct server *s;

	wr_sys_fault = count_calls;
	s = serve(WEIR_CONFIG(.workers = 2, .queue_age_ms = INT_MAX,
			      .drain_ms = INT_MAX),
		  WEIR_SERVICE(.readable = say_much_if_asked,
			       .first_byte_ms = INT_MAX, .read_ms = INT_MAX,
			       .write_ms = INT_MAX, .idle_ms = INT_MAX,
			       .lifetime_ms = INT_MAX,
			       .outbox_mark = 4 * MUCH));
	silent = client_open(s);
	half = client_open(s);
	idle = client_open(s);
	deaf = client_open_small(s, 4096);
	client_send(half, "hel");
	client_expect_echo(idle, "hello\n");
	client_send(deaf, "much\n");
	UNTIL(stats(s).parked == 4 && stats(s).bytes_in == 14);
	all_sleep();
	ck_assert_uint_eq(stats(s).ledger.open, 4);
	client_expect_echo(silent, "hello\n");
	client_expect_reply(half, "lo\n", "hello\n");
	client_half_close(deaf);
	ck_assert_uint_eq(client_read_to_eof(deaf), MUCH);
	ck_assert_int_eq(weir_server_stop(s->weir, INT_MAX), 0);
	clients_close();
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 4);
}
END_TEST

/* ---- the last that is sent on a dialled connection */

static _Atomic int64_t ahead_s; /* of the true time, for all threads */
static _Atomic int waits;
static int deaf_peer;
static bool takes_at_first; /* the deaf peer, while the first wait lasts */

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	int rc = __real_clock_gettime(clock, ret);

	ret->tv_sec += (time_t)atomic_load(&ahead_s);
	return rc;
}

/* Each wait is ten seconds; the peer leaves when there are too many. */
static int wait_ten_seconds(enum wr_sys_call call, size_t *len)
{
	static char taken[65536];

	(void)len;
	if (call != WR_SYS_poll)
		return 0;
	if (takes_at_first && atomic_load(&waits) == 0)
		ck_assert_int_gt(recv(deaf_peer, taken, sizeof(taken), 0), 0);
	atomic_fetch_add(&ahead_s, 10);
	if (atomic_fetch_add(&waits, 1) < 100)
		return -EINTR;
	shutdown(deaf_peer, SHUT_RDWR);
	return 0;
}

static int waits_of_a_free(int write_ms)
{
	static char much[160000];
	char where[32];
	int pair[2];
	weir_conn *c;

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	snprintf(where, sizeof(where), "fd:%d", pair[0]);
	deaf_peer = pair[1];
	ck_assert_int_eq(weir_dial(&c, where, 1000), 0);
	if (write_ms > 0)
		weir_conn_set_timeout(c, WEIR_TIMEOUT_WRITE, write_ms);
	for (int i = 0; i < 2; i++) /* the socket takes less */
		ck_assert_int_eq(weir_conn_write(c, much, sizeof(much)), 0);
	ck_assert_int_eq(weir_conn_flush(c), 0);
	atomic_store(&waits, 0);
	wr_sys_fault = wait_ten_seconds;
	weir_conn_free(c);
	wr_sys_fault = NULL;
	close(pair[1]);
	return atomic_load(&waits);
}

START_TEST(a_peer_that_takes_nothing_does_not_hold_up_a_dialled_end)
{
	int waited = waits_of_a_free(0);

	ck_assert_int_ge(waited, 3);
	ck_assert_int_le(waited, 4);
	ck_assert_int_le(waits_of_a_free(10000), 2);
}
END_TEST

/* As a kernel does, into its buffer. */
START_TEST(a_peer_that_takes_a_little_at_first_has_a_quarter_more_time)
{
	int waited;

	takes_at_first = true;
	waited = waits_of_a_free(40000);
	ck_assert_int_ge(waited, 4);
	ck_assert_int_le(waited, 5);
}
END_TEST

START_TEST(what_a_peer_takes_is_looked_at_four_times_before_the_deadline)
{
	const int64_t s = 1000 * WR_NS_PER_MS, since = 5 * s;
	struct wr_context ctx = { .now = since };
	struct weir_conn *c = calloc(1, sizeof(*c));

	ck_assert_ptr_nonnull(c);
	c->ctx = &ctx;
	c->timeout_ms[WR_TMO_WRITE] = 40000;
	c->out.is_stalled = true;
	c->out.stalled_at = since;
	for (int64_t look = 1; look <= 4; look++) {
		ck_assert_int_eq(wr_conn_stall_at(c), since + look * 10 * s);
		ctx.now = since + look * 10 * s - 1;
		ck_assert_int_eq(wr_conn_stall_at(c), ctx.now + 1);
		ctx.now++;
	}
	free(c);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"patience",
		the_lifetime_ends_a_file_that_is_taken_as_fast_as_it_is_read,
		idle_time_begins_when_all_of_a_file_is_sent,
		deadlines_that_are_far_away_neither_pass_nor_keep_anybody_busy,
		a_peer_that_takes_nothing_does_not_hold_up_a_dialled_end,
		a_peer_that_takes_a_little_at_first_has_a_quarter_more_time,
		what_a_peer_takes_is_looked_at_four_times_before_the_deadline);
}
