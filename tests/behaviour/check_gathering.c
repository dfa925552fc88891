/* SPDX-License-Identifier: MIT */
/*
 * When output is sent, and how much may wait: small writes are gathered; the
 * server stops reading from a peer that does not read, and then ends it.
 */
#include "test.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>

static int say_it_in_fifty_words(weir_conn *c, void *arg)
{
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	if (n <= 0)
		return (int)n;
	for (int i = 0; i < 50; i++)
		weir_conn_printf(c, "word%02d ", i);
	return WEIR_AGAIN;
}

static void expect_fifty_words(struct client *c)
{
	char text[64];

	for (int i = 0; i < 50; i++) {
		snprintf(text, sizeof(text), "word%02d ", i);
		client_expect(c, text);
	}
}

START_TEST(small_writes_of_one_callback_leave_in_one_piece)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = say_it_in_fifty_words));
	struct client *c = client_open(s);

	for (unsigned int i = 1; i <= 10; i++) {
		client_send(c, "go\n");
		expect_fifty_words(c);
		ck_assert_uint_eq(segments_received(c->fd), i);
	}
	server_stop_and_check(s);
}
END_TEST

static int ask_in_small_words(weir_conn *c, void *arg)
{
	char line[32];
	ssize_t n;

	(void)arg;
	do {
		for (int i = 0; i < 50; i++)
			weir_conn_printf(c, "word%02d ", i);
		n = weir_conn_read_line(c, line, sizeof(line));
	} while (n > 0);
	return (int)n;
}

START_TEST(small_writes_of_a_session_leave_when_it_waits)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.session = ask_in_small_words));
	struct client *c =
		client_open_and_send(s, "\n"); /* so that it begins */
	expect_fifty_words(c);		       /* of its first turn */
	expect_fifty_words(c); /* and of the one after that line */
	for (unsigned int i = 3; i <= 10; i++) {
		client_send(c, "go\n");
		expect_fifty_words(c);
		ck_assert_uint_le(segments_received(c->fd), i);
	}
	server_stop_and_check(s);
}
END_TEST

static int write_then_wait(weir_conn *c, void *arg)
{
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n <= 0)
		return (int)n;
	weir_conn_printf(c, "gathered");
	gate_wait(arg);
	weir_conn_flush(c);
	gate_wait(arg);
	return WEIR_AGAIN;
}

START_TEST(a_flush_sends_what_was_gathered)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve(
		NULL, WEIR_SERVICE(.session = write_then_wait, .arg = &gate));
	struct client *c = client_open_and_send(s, "go\n");

	UNTIL(gate_waiting(&gate) == 1);
	ck_assert(!client_has_input(c));
	gate_let_in(&gate, 1);
	client_expect(c, "gathered");
	gate_open(&gate);
	server_stop_and_check(s);
}
END_TEST

#define CHUNK	 ((size_t)64 * 1024)
#define REQUESTS 2000

static char chunk[CHUNK];

static int answer_with_a_chunk(weir_conn *c, void *arg)
{
	_Atomic int *answers = arg;
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc;

	if (n <= 0)
		return (int)n;
	atomic_fetch_add(answers, 1);
	rc = weir_conn_write(c, chunk, CHUNK);
	return rc < 0 ? rc : WEIR_AGAIN;
}

static void ask_often(struct client *c)
{
	char asks[REQUESTS * 3];

	for (int i = 0; i < REQUESTS; i++)
		memcpy(asks + i * 3, "go\n", 3);
	client_send_bytes(c, asks, sizeof(asks));
}

/* Answers of 128 MB are asked for; a few MB fit into sockets and outbox. */
START_TEST(a_peer_that_does_not_read_is_not_listened_to)
{
	_Atomic int answers = 0;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = answer_with_a_chunk,
					 .arg = &answers, .write_ms = 500));
	struct client *c = client_open_small(s, 4096);
	struct weir_report report;

	ask_often(c);
	UNTIL(is_at_rest(s)); /* cut, with its output unsent */
	ck_assert_int_lt(atomic_load(&answers), REQUESTS / 4);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.timed_out, 1);
}
END_TEST

START_TEST(peers_that_do_not_read_take_bounded_memory)
{
	enum { PEERS = 40 };
	const size_t bound = PEERS * ((size_t)256 * 1024 + 4 * CHUNK);
	_Atomic int answers = 0;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = answer_with_a_chunk,
					 .arg = &answers, .write_ms = 1000));
	size_t before = heap_in_use(), now, most = 0;

	for (int i = 0; i < PEERS; i++)
		ask_often(client_open_small(s, 4096));
	do {
		now = heap_in_use();
		if (now > most)
			most = now;
		poll_sleep();
	} while (!is_at_rest(s));
	ck_assert_uint_lt(most, before + bound);
	server_stop_and_check(s);
}
END_TEST

/* Report the socket, then write until cut. */
static int flood(weir_conn *c, void *arg)
{
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc = 0;

	if (n <= 0)
		return (int)n;
	atomic_store((_Atomic int *)arg, weir_conn_fd(c));
	while (rc == 0)
		rc = weir_conn_write(c, chunk, CHUNK);
	return rc;
}

/* Unsent bytes in a full socket. */
static int kept_by_the_kernel(int fd)
{
	struct pollfd out = { .fd = fd, .events = POLLOUT };
	int looks = 0, kept = 0, before = -1;

	for (; looks < 20; before = kept) {
		ck_assert_int_eq(ioctl(fd, SIOCOUTQNSD, &kept), 0);
		looks = kept == before && poll(&out, 1, 0) == 0 ? looks + 1 : 0;
		poll_sleep();
	}
	return kept;
}

/* Without a limit the kernel would have grown its buffer to megabytes. */
START_TEST(the_kernel_keeps_little_for_a_peer_that_stops_reading)
{
	_Atomic int fd = -1;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.session = flood, .arg = (void *)&fd));
	struct client *c = client_open(s);
	size_t have = 0;

	client_send(c, "go\n");
	while (have < 20 << 20) {
		ssize_t n = client_read(c, (char[65536]){ 0 }, 65536);

		ck_assert_int_gt(n, 0);
		have += (size_t)n;
	}
	ck_assert_int_le(kept_by_the_kernel(fd), 256 * 1024);
	client_reset(c);
	server_stop_and_check(s);
}
END_TEST

static int write_without_end(weir_conn *c, void *arg)
{
	_Atomic int *said = arg;
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc = 0;

	if (n <= 0)
		return (int)n;
	while (rc == 0)
		rc = weir_conn_write(c, chunk, CHUNK);
	atomic_store(said, rc);
	return rc;
}

START_TEST(a_write_that_waits_ends_at_the_deadline)
{
	_Atomic int said = 0;
	struct server *s = serve(
		NULL, WEIR_SERVICE(.session = write_without_end,
				   .arg = (void *)&said, .write_ms = 300));
	struct client *c = client_open_small(s, 4096);
	struct weir_report report;

	client_send(c, "go\n");
	UNTIL(atomic_load(&said) != 0);
	ck_assert_int_eq(atomic_load(&said), -ETIMEDOUT);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.timed_out, 1);
}
END_TEST

static int write_without_end_and_close(weir_conn *c, void *arg)
{
	int rc = write_without_end(c, arg);

	return rc == -ENOBUFS ? WEIR_CLOSE : rc;
}

START_TEST(a_write_that_would_pass_the_limit_takes_nothing)
{
	const size_t max = 3 * CHUNK + CHUNK / 2;
	_Atomic int said = 0;
	struct server *s = serve(
		NULL, WEIR_SERVICE(.readable = write_without_end_and_close,
				   .arg = (void *)&said, .outbox_mark = CHUNK,
				   .outbox_max = max));
	struct client *c = client_open_small(s, 4096);
	size_t have;

	client_send(c, "go\n");
	UNTIL(atomic_load(&said) != 0);
	ck_assert_int_eq(atomic_load(&said), -ENOBUFS);
	have = client_read_to_eof(c);
	ck_assert_uint_eq(have % CHUNK, 0);
	ck_assert_uint_ge(have, 3 * CHUNK);
	server_stop_and_check(s);
}
END_TEST

static int write_sixteen_chunks(weir_conn *c, void *socket_size)
{
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc = 0;

	if (n <= 0)
		return (int)n;
	setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF, socket_size,
		   sizeof(int));
	for (int i = 0; i < 16 && rc == 0; i++)
		rc = weir_conn_write(c, chunk, CHUNK);
	return rc;
}

/* How long the reader has stood still at most. */
struct pace {
	int64_t at, longest;
};

static ssize_t read_at_a_pace(struct client *c, struct pace *p)
{
	char buf[4096];
	ssize_t n = client_read(c, buf, sizeof(buf));
	int64_t now = now_ms();

	if (p->at && now - p->at > p->longest)
		p->longest = now - p->at;
	p->at = now;
	return n;
}

/* False if the reader stood still itself, for as long as the deadline. */
static bool has_everything(struct server *s, ssize_t end, size_t have,
			   const struct pace *p, int write_ms)
{
	struct weir_report report = server_stop_and_check(s);

	if (p->longest >= write_ms * 3 / 4)
		return false;
	ck_assert_int_eq(end, 0);
	ck_assert_uint_eq(have, 16 * CHUNK);
	ck_assert_uint_eq(report.ledger.completed, 1);
	return true;
}

static bool slow_reader_gets_everything(void)
{
	const int write_ms = 1000 * slowness();
	int small = 16384;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = write_sixteen_chunks,
					 .arg = &small, .write_ms = write_ms));
	struct client *c = client_open_small(s, 4096);
	int64_t began_at = now_ms();
	struct pace pace = { 0 };
	size_t have = 0;
	ssize_t n;

	client_send(c, "go\n");
	while ((n = read_at_a_pace(c, &pace)) > 0) {
		have += (size_t)n;
		/* Slow enough to need longer than the deadline. */
		while (have < 8 * CHUNK &&
		       now_ms() - began_at <
			       (int64_t)have * 2 * write_ms / (8 * (int)CHUNK))
			poll_sleep();
	}
	return has_everything(s, n, have, &pace, write_ms);
}

/* Any progress counts: the deadline is for a peer that reads nothing. */
START_TEST(a_peer_that_reads_slowly_gets_everything)
{
	for (int i = 0; !slow_reader_gets_everything(); i++)
		ck_assert_int_lt(i, 10);
}
END_TEST

static bool reader_of_little_gets_everything(void)
{
	const int write_ms = 1000 * slowness();
	int large = 200000;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.session = write_sixteen_chunks,
					 .arg = &large, .outbox_mark = CHUNK,
					 .write_ms = write_ms));
	struct client *c = client_open_small(s, 4096);
	struct pace pace = { 0 };
	int64_t next_at, until;
	size_t have = 0;
	ssize_t n;

	client_send(c, "go\n");
	next_at = now_ms();
	until = next_at + write_ms * 3 / 2;
	while ((n = read_at_a_pace(c, &pace)) > 0) {
		have += (size_t)n;
		next_at += write_ms / 8;
		while (next_at < until && now_ms() < next_at)
			poll_sleep();
	}
	return has_everything(s, n, have, &pace, write_ms);
}

/* The kernel reports room when a third is free, long after the first byte. */
START_TEST(a_peer_that_takes_little_while_a_write_waits_gets_everything)
{
	for (int i = 0; !reader_of_little_gets_everything(); i++)
		ck_assert_int_lt(i, 10);
}
END_TEST

struct nobody {
	struct gate gate;
	_Atomic int said;
};

static int write_to_nobody(weir_conn *c, void *arg)
{
	struct nobody *nobody = arg;
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc = 0;

	if (n <= 0)
		return (int)n;
	gate_wait(&nobody->gate);
	while (rc == 0) {
		rc = weir_conn_write(c, chunk, 1000);
		if (rc == 0)
			rc = weir_conn_flush(c);
	}
	atomic_store(&nobody->said, rc);
	return rc;
}

/* SIGPIPE has its default disposition here: it would end the test. */
START_TEST(a_write_to_a_peer_that_is_gone_is_an_error_and_no_signal)
{
	struct nobody nobody = { .gate = GATE_CLOSED };
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = write_to_nobody,
						    .arg = &nobody));
	struct client *c = client_open(s);
	struct weir_report report;

	client_send(c, "go\n");
	UNTIL(gate_waiting(&nobody.gate) == 1);
	client_reset(c);
	gate_open(&nobody.gate);
	UNTIL(atomic_load(&nobody.said) != 0);
	ck_assert(atomic_load(&nobody.said) == -EPIPE ||
		  atomic_load(&nobody.said) == -ECONNRESET);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.failed, 1);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"gathering", small_writes_of_one_callback_leave_in_one_piece,
		small_writes_of_a_session_leave_when_it_waits,
		a_flush_sends_what_was_gathered,
		a_peer_that_does_not_read_is_not_listened_to,
		peers_that_do_not_read_take_bounded_memory,
		the_kernel_keeps_little_for_a_peer_that_stops_reading,
		a_write_that_waits_ends_at_the_deadline,
		a_write_that_would_pass_the_limit_takes_nothing,
		a_peer_that_reads_slowly_gets_everything,
		a_peer_that_takes_little_while_a_write_waits_gets_everything,
		a_write_to_a_peer_that_is_gone_is_an_error_and_no_signal);
}
