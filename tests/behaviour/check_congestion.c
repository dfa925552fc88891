/* SPDX-License-Identifier: MIT */
/*
 * Peers that ask and do not read the answers.  The output kept for them is
 * bounded, in memory and in descriptors; they hold no worker; and no deadline
 * counts against them while the server does not read.
 */
#include "test.h"

#define LINE	 100 /* does not divide the mark */
#define SMALL	 4096
#define FILE_LEN ((size_t)8 << 20)

/* ---- peers that never read */

struct flood {
	struct client *c;
	char lines[40 * LINE];
	size_t at; /* of lines: where the next send begins */
	int quiet; /* attempts since something was taken */
};

static void flood_start(struct flood *f, struct server *s)
{
	f->c = client_open_small(s, SMALL);
	memset(f->lines, 'x', sizeof(f->lines));
	for (size_t i = LINE - 1; i < sizeof(f->lines); i += LINE)
		f->lines[i] = '\n';
	f->at = 0;
	f->quiet = 0;
}

/* Send without waiting; true if nothing could be sent for a while. */
static bool flood_is_full(struct flood *f)
{
	ssize_t n;

	f->quiet++;
	while ((n = send(f->c->fd, f->lines + f->at, sizeof(f->lines) - f->at,
			 MSG_DONTWAIT | MSG_NOSIGNAL)) > 0) {
		f->at = (f->at + (size_t)n) % sizeof(f->lines);
		f->quiet = 0;
	}
	return f->quiet > 100;
}

START_TEST(peers_that_pipeline_and_never_read_hold_no_worker)
{
	static struct flood flood[2];
	struct server *s = serve(
		WEIR_CONFIG(.workers = 2),
		WEIR_SERVICE(.readable = echo_lines, .write_ms = WEIR_NEVER));
	struct client *polite;

	flood_start(&flood[0], s);
	flood_start(&flood[1], s);
	UNTIL((int)flood_is_full(&flood[0]) & (int)flood_is_full(&flood[1]));
	polite = client_open(s);
	for (int i = 0; i < 10; i++)
		client_expect_echo(polite, "hello\n");
	UNTIL(stats(s).busy == 0);
	ck_assert_uint_eq(stats(s).ledger.open, 3);
	client_reset(flood[0].c);
	client_reset(flood[1].c);
	server_stop_and_check(s);
}
END_TEST

#define LARGE ((size_t)8 << 20) /* far above the mark */

static int answer_large_or_echo(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;
	int rc = 0;

	while (rc == 0 && (n = weir_conn_read_line(c, line, sizeof(line))) > 0)
		rc = strcmp(line, "large\n") == 0
			     ? weir_conn_write(c, arg, LARGE)
			     : weir_conn_write(c, line, (size_t)n);
	return rc < 0 ? rc : (int)n;
}

START_TEST(a_reply_above_the_mark_holds_no_worker)
{
	char *large = calloc(1, LARGE);
	struct server *s =
		serve(WEIR_CONFIG(.workers = 2),
		      WEIR_SERVICE(.readable = answer_large_or_echo,
				   .arg = large, .write_ms = WEIR_NEVER));
	struct client *silent[2], *polite;

	for (int i = 0; i < 2; i++) {
		silent[i] = client_open_small(s, SMALL);
		client_send(silent[i], "large\n");
	}
	UNTIL(stats(s).callbacks + (uint64_t)stats(s).busy >= 2);
	polite = client_open(s);
	for (int i = 0; i < 10; i++)
		client_expect_echo(polite, "hello\n");
	UNTIL(stats(s).busy == 0);
	client_expect_bytes(silent[0], large, LARGE);
	client_reset(silent[1]);
	server_stop_and_check(s);
	free(large);
}
END_TEST

/* ---- an outbox that is full to the last byte */

#define MARK ((size_t)256 * 1024)

/* Keep the kernel's buffer small. */
static void be_narrow(weir_conn *c)
{
	const int size = SMALL;

	setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

struct brim {
	struct server *s; /* with this connection only */
	_Atomic size_t sent;
	_Atomic size_t taken; /* by the client */
	_Atomic int lines, held, drains;
};

/* There is always room: none of these writes waits. */
static void fill_to_the_brim(weir_conn *c, struct brim *b)
{
	static const char block[MARK];
	size_t queued;

	be_narrow(c);
	while ((queued = (size_t)(atomic_load(&b->sent) -
				  stats(b->s).bytes_out)) < MARK) {
		ck_assert_int_eq(weir_conn_write(c, block, MARK - queued), 0);
		atomic_fetch_add(&b->sent, MARK - queued);
	}
}

static struct client *serve_brim(struct brim *b, weir_handler_fn *fn,
				 int read_ms)
{
	b->s = serve_workers(
		1, WEIR_SERVICE(.readable = fn, .arg = b, .outbox_mark = MARK,
				.read_ms = read_ms, .write_ms = WEIR_NEVER));
	return client_open_small(b->s, SMALL);
}

/* Read what is there, at most that much, without waiting. */
static bool take_some(struct client *c, struct brim *b, size_t most)
{
	static char buf[65536];
	size_t left = atomic_load(&b->sent) - atomic_load(&b->taken);
	ssize_t n;

	if (most > left)
		most = left;
	if (most == 0)
		return false;
	n = recv(c->fd, buf, most < sizeof(buf) ? most : sizeof(buf),
		 MSG_DONTWAIT);
	ck_assert_msg(n > 0 || (n < 0 && errno == EAGAIN),
		      "the connection ended %zu bytes too early", left);
	if (n > 0)
		atomic_fetch_add(&b->taken, (size_t)n);
	return n > 0;
}

static bool has_taken_all(struct client *c, struct brim *b)
{
	while (take_some(c, b, SIZE_MAX))
		;
	return atomic_load(&b->taken) == atomic_load(&b->sent);
}

#define REQUESTS 300

static void client_sends_requests(struct client *c, int count)
{
	char text[REQUESTS * 5];

	for (int i = 0; i < count; i++)
		memcpy(text + 5 * (size_t)i, "line\n", 5);
	client_send_bytes(c, text, 5 * (size_t)count);
}

/* With a full outbox, it flushes that itself. */
static int flush_when_held(weir_conn *c, void *arg)
{
	struct brim *b = arg;
	char line[64];
	ssize_t n;

	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0) {
		atomic_fetch_add(&b->lines, 1);
		if (atomic_load(&b->held) == 0)
			fill_to_the_brim(c, b);
	}
	if (n == -EAGAIN && atomic_fetch_add(&b->held, 1) == 0)
		UNTIL(weir_conn_flush(c) < 0 ||
		      atomic_load(&b->taken) == atomic_load(&b->sent));
	return (int)n;
}

START_TEST(a_held_handler_that_empties_its_outbox_is_called_again)
{
	struct brim b = { .sent = 0 };
	struct client *c = serve_brim(&b, flush_when_held, 0);

	client_sends_requests(c, REQUESTS);
	UNTIL(atomic_load(&b.held) == 1);
	ck_assert_int_lt(b.lines, REQUESTS);
	UNTIL(has_taken_all(c, &b));
	UNTIL(atomic_load(&b.lines) == REQUESTS);
	client_half_close(c);
	client_expect_eof(c);
	server_stop_and_check(b.s);
}
END_TEST

static int fill_for_each_line(weir_conn *c, void *arg)
{
	struct brim *b = arg;
	char line[64];
	ssize_t n;

	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0) {
		fill_to_the_brim(c, b);
		atomic_fetch_add(&b->lines, 1);
	}
	if (n == -EAGAIN)
		atomic_fetch_add(&b->held, 1);
	return (int)n;
}

START_TEST(the_read_deadline_rests_while_the_server_does_not_read)
{
	const int read_ms = 200;
	struct brim b = { .sent = 0 };
	struct client *c = serve_brim(&b, fill_for_each_line, read_ms);
	struct weir_report report;
	int64_t held_at;

	client_sends_requests(c, 10);
	UNTIL(atomic_load(&b.held) > 0 && stats(b.s).parked == 1);
	ck_assert_int_lt(b.lines, 10);
	held_at = now_ms();
	/* Slowly, but steadily. */
	UNTIL(take_some(c, &b, 1) && now_ms() > held_at + 4 * read_ms);
	UNTIL(has_taken_all(c, &b) && atomic_load(&b.lines) == 10 &&
	      stats(b.s).parked == 1 && has_taken_all(c, &b));
	client_half_close(c);
	client_expect_eof(c);
	report = server_stop_and_check(b.s);
	ck_assert_uint_eq(report.ledger.timed_out, 0);
	ck_assert_uint_eq(report.ledger.completed, 1);
}
END_TEST

static int count_drains(weir_conn *c, void *arg)
{
	struct brim *b = arg;
	char line[64];
	ssize_t n;

	if (weir_conn_why(c) == WEIR_DRAIN)
		atomic_fetch_add(&b->drains, 1);
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0)
		if (atomic_fetch_add(&b->lines, 1) == 0)
			fill_to_the_brim(c, b);
	if (n == -EAGAIN)
		atomic_fetch_add(&b->held, 1);
	return (int)n;
}

START_TEST(a_congested_connection_is_told_of_the_stop_when_it_has_room)
{
	struct brim b = { .sent = 0 };
	struct client *c = serve_brim(&b, count_drains, 0);
	struct weir_report report;
	int64_t stopped_at;

	client_sends_requests(c, 1);
	UNTIL(atomic_load(&b.held) > 0 && stats(b.s).parked == 1);
	weir_server_stop(b.s->weir, 60000 * slowness());
	stopped_at = now_ms();
	UNTIL(now_ms() > stopped_at + 400); /* many reminders */
	ck_assert_int_eq(b.drains, 0);
	UNTIL(has_taken_all(c, &b));
	client_expect_eof(c);
	report = server_join_and_check(b.s);
	ck_assert_int_eq(b.drains, 1);
	ck_assert_uint_eq(report.ledger.completed, 1);
}
END_TEST

/* ---- what is kept for a peer */

static int send_the_file(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;
	int rc;

	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0) {
		rc = weir_conn_sendfile(c, *(const int *)arg, 0, FILE_LEN);
		if (rc < 0)
			return rc;
	}
	return (int)n;
}

static void client_takes_a_file(struct client *c)
{
	static char buf[65536];

	for (size_t at = 0; at < FILE_LEN;) {
		size_t most = FILE_LEN - at;
		ssize_t n = client_read(
			c, buf, most < sizeof(buf) ? most : sizeof(buf));

		ck_assert_int_gt(n, 0);
		ck_assert(bytes_match(buf, (size_t)n, at));
		at += (size_t)n;
	}
}

START_TEST(many_requests_for_files_take_few_descriptors)
{
	int file = make_file(FILE_LEN);
	struct server *s = serve_workers(
		2, WEIR_SERVICE(.readable = send_the_file, .arg = &file));
	struct client *c = client_open_small(s, SMALL);
	struct process_state before, now;

	UNTIL(stats(s).parked == 1);
	process_state_take(&before);
	client_sends_requests(c, REQUESTS);
	for (int i = 0; i < 4; i++) {
		UNTIL(stats(s).callbacks > 0 && stats(s).parked == 1);
		process_state_take(&now);
		ck_assert_int_le(now.descriptors, before.descriptors + 4);
		client_takes_a_file(c);
	}
	client_reset(c);
	server_stop_and_check(s);
	close(file);
}
END_TEST

static int open_narrow(weir_conn *c, void *arg)
{
	be_narrow(c);
	atomic_store((weir_ref * _Atomic *)arg, weir_conn_ref(c));
	return WEIR_AGAIN;
}

START_TEST(bytes_sent_one_by_one_take_little_more_than_their_room)
{
	weir_ref *_Atomic conn = NULL;
	struct server *s = serve(
		WEIR_CONFIG(.workers = 1),
		WEIR_SERVICE(.readable = echo_lines, .opened = open_narrow,
			     .arg = (void *)&conn, .outbox_mark = MARK));
	struct client *c = client_open_small(s, SMALL);
	size_t heap, count = 0;
	int rc;

	UNTIL(atomic_load(&conn) != NULL && stats(s).parked == 1);
	heap = heap_in_use();
	while ((rc = weir_ref_send(conn, "y", 1)) == 0)
		count++;
	ck_assert_int_eq(rc, -ENOBUFS);
	ck_assert_uint_ge(count, MARK);
	ck_assert_uint_lt(heap_in_use(), heap + 4 * MARK);
	ck_assert_int_eq(weir_ref_close(conn), 0);
	ck_assert_uint_eq(client_read_to_eof(c), count);
	weir_ref_unref(conn);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"congestion", peers_that_pipeline_and_never_read_hold_no_worker,
		a_reply_above_the_mark_holds_no_worker,
		a_held_handler_that_empties_its_outbox_is_called_again,
		the_read_deadline_rests_while_the_server_does_not_read,
		a_congested_connection_is_told_of_the_stop_when_it_has_room,
		many_requests_for_files_take_few_descriptors,
		bytes_sent_one_by_one_take_little_more_than_their_room);
}
