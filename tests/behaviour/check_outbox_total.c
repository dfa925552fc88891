/* SPDX-License-Identifier: MIT */
/*
 * Clients that do not read share outbox_total: the memory for them is bounded,
 * each may leave as much unsent as another, and clients that read are served.
 *
 * The long form has MEMBERS of 10,000.
 */
#include "test.h"

#include <sys/resource.h>

#ifndef MEMBERS
#define MEMBERS 200
#endif

#define KIB	((size_t)1024)
#define SMALL	4096
#define MESSAGE KIB
#define LEAST	(16 * KIB) /* what a connection may leave in any case */
#define MARK	(256 * KIB)

static char text[4 * 1024 * 1024];

static struct {
	pthread_mutex_t lock;
	weir_ref *ref[MEMBERS + 1];
	int count;
} members;

static int join_members(weir_conn *c, void *arg)
{
	int small = SMALL;

	(void)arg;
	/* the kernel takes little for them */
	ck_assert_int_eq(setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF,
				    &small, sizeof(small)),
			 0);
	pthread_mutex_lock(&members.lock);
	members.ref[members.count++] = weir_conn_ref(c);
	pthread_mutex_unlock(&members.lock);
	return WEIR_AGAIN;
}

static int count_members(void)
{
	int count;

	pthread_mutex_lock(&members.lock);
	count = members.count;
	pthread_mutex_unlock(&members.lock);
	return count;
}

static struct server *serve_members(size_t total)
{
	memset(&members, 0, sizeof(members));
	pthread_mutex_init(&members.lock, NULL);
	return serve(
		WEIR_CONFIG(.workers = 2, .outbox_total = total,
			    .max_connections = MEMBERS + 10),
		WEIR_SERVICE(.opened = join_members, .readable = echo_lines,
			     .first_byte_ms = WEIR_NEVER, .idle_ms = WEIR_NEVER,
			     .write_ms = WEIR_NEVER));
}

static struct client *open_member(struct server *s)
{
	int before = count_members();
	struct client *c = client_open_small(s, SMALL);

	UNTIL(count_members() > before);
	return c;
}

static void forget_members(void)
{
	for (int i = 0; i < members.count; i++)
		weir_ref_unref(members.ref[i]);
}

/* Each has an end here and one in the server. */
static int most_members(void)
{
	struct rlimit room;
	int most = MEMBERS;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &room), 0);
	if (room.rlim_cur < 2 * MEMBERS + 200) {
		most = (int)(room.rlim_cur / 2) - 100;
		skip_test("%d of %d members, for want of descriptors",
			  MEMBERS - most, MEMBERS);
	}
	return most;
}

/* By turns, until each has refused one. */
static void send_until_all_refuse(void)
{
	int taken = 1;

	while (taken > 0) {
		taken = 0;
		for (int i = 0; i < members.count; i++) {
			int rc = weir_ref_send(members.ref[i], text, MESSAGE);

			ck_assert(rc == 0 || rc == -ENOBUFS);
			taken += rc == 0;
		}
	}
}

/* The kernel still takes some of it. */
static size_t unsent_of_all(void)
{
	size_t sum = 0;

	for (int i = 0; i < members.count; i++)
		sum += (size_t)weir_ref_unsent(members.ref[i]);
	return sum;
}

static size_t resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long size, resident;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%lu %lu", &size, &resident), 2);
	fclose(f);
	return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/*
 * All of them are given as much as they take.  Each has its share: what is left
 * is eight times as much.
 */
START_TEST(slow_readers_share_the_total_and_no_more)
{
	const int count = most_members();
	const size_t total = (size_t)count * 40 * KIB;
	struct server *s = serve_members(total);
	size_t before, grown, sum, share = total / (size_t)(count + 8);

	for (int i = 0; i < count; i++)
		client_open_small(s, SMALL);
	UNTIL(count_members() == count);
	before = resident_bytes();
	send_until_all_refuse();
	grown = resident_bytes() - before;
	UNTIL((sum = unsent_of_all()) == stats(s).unsent);
	for (int i = 0; i < count; i++) {
		size_t unsent = (size_t)weir_ref_unsent(members.ref[i]);

		ck_assert_uint_ge(unsent, share / 2);
		ck_assert_uint_le(unsent, share * 2);
	}
	printf("%d members keep %zu of %zu KiB, %zu KiB each; %zu KiB of "
	       "memory\n",
	       count, sum / KIB, total / KIB, sum / KIB / (size_t)count,
	       grown / KIB);
	ck_assert_uint_le(sum, total);
	ck_assert_uint_ge(stats(s).sends_refused, (uint64_t)count);
	if (slowness() == 1) /* sanitizers keep more */
		ck_assert_uint_le(grown, total + total / 4);
	forget_members();
	server_stop_and_check(s);
}
END_TEST

/* A connection that is new gets what the others have, and so does a reader. */
START_TEST(at_the_bound_clients_that_read_are_served)
{
	const int count = most_members();
	struct server *s = serve_members((size_t)count * 40 * KIB);
	struct client *reader, *echoed;
	struct weir_stats before;

	for (int i = 0; i < count - 2; i++)
		client_open_small(s, SMALL);
	UNTIL(count_members() == count - 2);
	send_until_all_refuse();
	reader = open_member(s);
	echoed = open_member(s);
	before = stats(s);
	for (int i = 0; i < 200; i++) {
		ck_assert_int_eq(
			weir_ref_send(members.ref[count - 2], text, MESSAGE),
			0);
		client_expect_bytes(reader, text, MESSAGE);
		client_expect_echo(echoed, "hello\n");
	}
	ck_assert_uint_eq(stats(s).sends, before.sends + 200);
	ck_assert_uint_eq(stats(s).sends_refused, before.sends_refused);
	forget_members();
	clients_close();
	UNTIL(stats(s).unsent == 0);
	server_stop_and_check(s);
}
END_TEST

/* More is taken as long as the kernel takes some of it. */
static bool both_have_their_least_share(struct server *s)
{
	send_until_all_refuse();
	return stats(s).unsent > 2 * LEAST - 2 * MESSAGE;
}

START_TEST(a_connection_always_has_the_least_share)
{
	struct server *s = serve_members(1);
	weir_ref *of_first;

	open_member(s);
	open_member(s);
	UNTIL(both_have_their_least_share(s));
	ck_assert_uint_le(stats(s).unsent, 2 * LEAST);
	of_first = members.ref[0];
	ck_assert_int_eq(weir_ref_cancel(of_first), 0);
	UNTIL(stats(s).unsent <= LEAST);
	forget_members();
	server_stop_and_check(s);
}
END_TEST

/* Else a program that waits for room would wait in vain. */
START_TEST(a_first_write_up_to_the_mark_is_taken_at_the_bound)
{
	struct server *s = serve_members(1);
	struct client *c = open_member(s);

	ck_assert_int_eq(weir_ref_send(members.ref[0], text, MARK + 1),
			 -ENOBUFS);
	ck_assert_int_eq(weir_ref_send(members.ref[0], text, MARK), 0);
	ck_assert_int_eq(weir_ref_send(members.ref[0], text, 1), -ENOBUFS);
	client_expect_bytes(c, text, MARK);
	UNTIL(weir_ref_send(members.ref[0], text, MARK) == 0);
	client_expect_bytes(c, text, MARK);
	forget_members();
	server_stop_and_check(s);
}
END_TEST

/* arg: how many bytes; the result is written to it. */
static int write_much(weir_conn *c, void *arg)
{
	_Atomic long *len = arg;
	char line[16];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n <= 0)
		return (int)n;
	atomic_store(len, weir_conn_write(c, text, (size_t)atomic_load(len)));
	return WEIR_AGAIN;
}

static void expect_reply(struct server *s, struct client *c,
			 _Atomic long *result, size_t len, int rc)
{
	uint64_t refused = stats(s).sends_refused;

	atomic_store(result, (long)len);
	client_send(c, "go\n");
	UNTIL(atomic_load(result) == rc);
	if (rc == 0)
		client_expect_bytes(c, text, len);
	ck_assert_uint_eq(stats(s).sends_refused, refused + (rc < 0));
}

START_TEST(the_total_bounds_one_reply_and_can_be_changed)
{
	static _Atomic long result;
	struct weir_config config = { .size = sizeof(config),
				      .workers = 1,
				      .outbox_total = 4096 * KIB };
	struct server *s = serve(
		&config, WEIR_SERVICE(.readable = write_much, .arg = &result));
	struct client *c = client_open(s);

	expect_reply(s, c, &result, 512 * KIB, 0);
	expect_reply(s, c, &result, 512 * KIB + 1, -ENOBUFS);
	config.outbox_total = 8192 * KIB;
	config.log = NULL;
	ck_assert_int_eq(weir_server_configure(s->weir, &config), 0);
	ck_assert_uint_eq(stats(s).outbox_total, 8192 * KIB);
	expect_reply(s, c, &result, 1024 * KIB, 0);
	config.outbox_total = 1;
	ck_assert_int_eq(weir_server_configure(s->weir, &config), 0);
	expect_reply(s, c, &result, MARK + 1, -ENOBUFS);
	expect_reply(s, c, &result, MARK, 0);
	UNTIL(stats(s).unsent == 0);
	server_stop_and_check(s);
}
END_TEST

/* Requests are left in the kernel, and none is lost. */
START_TEST(at_the_bound_input_is_held_from_half_a_share_on)
{
	static const char line[] = "a line that is asked for and echoed\n";
	static char lines[1000 * (sizeof(line) - 1)];
	const size_t len = sizeof(line) - 1;
	struct server *s = serve_members(1);
	struct client *c = open_member(s);
	int64_t until = test_deadline();
	size_t sent = 0;
	int quiet = 0;

	for (size_t at = 0; at < sizeof(lines); at += len)
		memcpy(lines + at, line, len);
	/* The server may be late: it is held once that much is unsent. */
	while (quiet < 200 || stats(s).unsent < LEAST / 2) {
		size_t at = sent % sizeof(lines);
		ssize_t n = send(c->fd, lines + at, sizeof(lines) - at,
				 MSG_DONTWAIT);

		if (n > 0) {
			sent += (size_t)n;
			quiet = 0;
			until = test_deadline();
		} else {
			quiet++;
			poll_sleep();
		}
		ck_assert_int_lt(now_ms(), until);
	}
	ck_assert_uint_le(stats(s).unsent, LEAST);
	for (size_t left = sent / len, n; left > 0; left -= n) {
		n = left < 1000 ? left : 1000;
		client_expect_bytes(c, lines, n * len);
	}
	client_send(c, line + sent % len);
	client_expect(c, line);
	UNTIL(stats(s).unsent == 0);
	forget_members();
	server_stop_and_check(s);
}
END_TEST

#define READ_MS 200

static void set_read_ms(struct server *s, struct weir_service *service)
{
	service->read_ms = READ_MS;
	ck_assert_int_eq(weir_server_configure_service(s->weir, 0, service), 0);
}

/* More is taken as long as the kernel takes some of it. */
static bool is_held(struct server *s)
{
	send_until_all_refuse();
	return stats(s).unsent > LEAST - 2 * MESSAGE;
}

/*
 * Its unsent output holds the rest of a message, and then no longer, because
 * there is more for all.
 */
static void held_until_there_is_more(int is_session)
{
	struct weir_service service =
		*WEIR_SERVICE(.opened = join_members,
			      HANDLE_AS(is_session, echo_lines),
			      .first_byte_ms = WEIR_NEVER,
			      .read_ms = WEIR_NEVER, .idle_ms = WEIR_NEVER,
			      .write_ms = WEIR_NEVER);
	struct weir_config config =
		*WEIR_CONFIG(.workers = 1, .outbox_total = 1);
	struct server *s;
	struct client *c;
	int64_t since;

	memset(&members, 0, sizeof(members));
	pthread_mutex_init(&members.lock, NULL);
	s = serve(&config, &service);
	c = open_member(s);
	client_send(c, "half a line");
	UNTIL(stats(s).bytes_in > 0 && stats(s).parked == 1);
	UNTIL(is_held(s));
	set_read_ms(s, &service);
	since = now_ms();
	UNTIL(now_ms() > since + 2 * READ_MS);
	ck_assert_uint_eq(stats(s).ledger.open, 1);
	config.outbox_total = 1024 * 1024 * KIB;
	since = now_ms();
	ck_assert_int_eq(weir_server_configure(s->weir, &config), 0);
	client_expect_end(c);
	ck_assert_int_ge(now_ms() - since, READ_MS - 20);
	forget_members();
	ck_assert_uint_eq(server_stop_and_check(s).ledger.timed_out, 1);
}

START_TEST(a_peer_has_its_time_when_others_no_longer_hold_its_input)
{
	held_until_there_is_more(0);
	held_until_there_is_more(1);
}
END_TEST

#define PIECES 1000

static int write_pieces(weir_conn *c, void *arg)
{
	int small = SMALL, rc = 0;

	(void)arg;
	setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &small,
		   sizeof(small));
	for (int i = 0; rc == 0 && i < PIECES; i++)
		rc = weir_conn_write(c, text, MESSAGE);
	return rc;
}

START_TEST(at_the_bound_a_session_waits_for_its_peer)
{
	struct server *s = serve(WEIR_CONFIG(.workers = 1, .outbox_total = 1),
				 WEIR_SERVICE(.session = write_pieces));
	struct client *c = client_open_small(s, SMALL);

	client_send(c, "go\n");
	UNTIL(stats(s).unsent > LEAST - 2 * MESSAGE && session_waits(s));
	ck_assert_uint_le(stats(s).unsent, LEAST);
	for (int i = 0; i < PIECES; i++)
		client_expect_bytes(c, text, MESSAGE);
	client_expect_eof(c);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	memset(text, 'x', sizeof(text));
	return RUN_TESTS(
		"outbox_total", slow_readers_share_the_total_and_no_more,
		at_the_bound_clients_that_read_are_served,
		a_connection_always_has_the_least_share,
		a_first_write_up_to_the_mark_is_taken_at_the_bound,
		the_total_bounds_one_reply_and_can_be_changed,
		at_the_bound_input_is_held_from_half_a_share_on,
		a_peer_has_its_time_when_others_no_longer_hold_its_input,
		at_the_bound_a_session_waits_for_its_peer);
}
