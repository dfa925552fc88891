/* SPDX-License-Identifier: MIT */
/*
 * Sends of one callback to many connections: each gets all of them in order,
 * with one system call; and messages that many connections share.
 */
#include "test.h"

#include "conn_table.h"
#include "core.h"
#include "faults.h"

#define MEMBERS 40

/* Members that get what a line of one of them says. */
static struct room {
	pthread_mutex_t lock;
	weir_ref *member[2048];
	int count;
	int times;	   /* that a line is sent to each member */
	weir_msg *message; /* instead of the line; NULL */
	bool flushes;	   /* before it waits at the gate */
	struct gate gate;
	_Atomic int rc;	     /* of the last send that failed */
	_Atomic int dropped; /* shared data of members */
} room;

static void room_begin(int times)
{
	memset(&room, 0, sizeof(room));
	pthread_mutex_init(&room.lock, NULL);
	room.gate = (struct gate)GATE_CLOSED;
	room.times = times;
}

static void note_drop(void *data)
{
	(*(_Atomic int *)data)++;
}

static int join_room(weir_conn *c, void *arg)
{
	(void)arg;
	weir_conn_share_data(c, &room.dropped, note_drop);
	pthread_mutex_lock(&room.lock);
	room.member[room.count++] = weir_conn_ref(c);
	pthread_mutex_unlock(&room.lock);
	return WEIR_AGAIN;
}

static int room_count(void)
{
	int count;

	pthread_mutex_lock(&room.lock);
	count = room.count;
	pthread_mutex_unlock(&room.lock);
	return count;
}

static void send_to_all(const char *line, size_t len)
{
	int rc;

	for (int i = 0; i < room.count; i++) {
		rc = room.message
			     ? weir_ref_send_msg(room.member[i], room.message)
			     : weir_ref_send(room.member[i], line, len);
		if (rc < 0)
			atomic_store(&room.rc, rc);
	}
}

static int say_to_all(weir_conn *c, void *arg)
{
	char line[128];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	if (n <= 0)
		return (int)n;
	pthread_mutex_lock(&room.lock);
	for (int i = 0; i < room.times; i++)
		send_to_all(line, (size_t)n);
	pthread_mutex_unlock(&room.lock);
	if (line[0] == '!') {
		if (room.flushes)
			weir_conn_flush(c);
		gate_wait(&room.gate);
	}
	return WEIR_AGAIN;
}

static struct server *serve_room(size_t mark)
{
	return serve_workers(2, WEIR_SERVICE(.opened = join_room,
					     .readable = say_to_all,
					     .first_byte_ms = WEIR_NEVER,
					     .outbox_mark = mark));
}

static void open_members(struct server *s, struct client *to[], int count)
{
	for (int i = 0; i < count; i++)
		to[i] = client_open(s);
	/* A connection that is not parked yet sends what it gets by itself. */
	UNTIL(room_count() == count && stats(s).parked == (uint64_t)count);
}

static void room_end(struct server *s)
{
	server_stop_and_check(s);
	for (int i = 0; i < room.count; i++)
		weir_ref_unref(room.member[i]);
	weir_msg_unref(room.message);
}

static atomic_int sends; /* system calls */

static int count_sends(enum wr_sys_call call, size_t *len)
{
	(void)len;
	if (call == WR_SYS_sendmsg)
		atomic_fetch_add(&sends, 1);
	return 0;
}

START_TEST(each_connection_gets_what_a_callback_sends_in_one_call)
{
	struct client *members[MEMBERS];
	struct server *s;

	room_begin(10);
	wr_sys_fault = count_sends;
	s = serve_room(0);
	open_members(s, members, MEMBERS);
	atomic_store(&sends, 0);
	client_send(members[0], "one\n");
	for (int i = 0; i < MEMBERS; i++)
		client_expect(members[i], "one\none\none\none\none\n"
					  "one\none\none\none\none\n");
	ck_assert_int_eq(sends, MEMBERS);
	room_end(s);
	wr_sys_fault = NULL;
}
END_TEST

START_TEST(a_flush_sends_to_the_others_before_the_callback_returns)
{
	struct client *members[2];
	struct server *s;

	room_begin(1);
	room.flushes = true;
	s = serve_room(0);
	open_members(s, members, 2);
	client_send(members[0], "!\n");
	client_expect(members[1], "!\n");
	UNTIL(gate_waiting(&room.gate) == 1);
	gate_open(&room.gate);
	client_expect(members[0], "!\n");
	room_end(s);
}
END_TEST

START_TEST(what_is_gathered_for_a_connection_does_not_keep_its_data)
{
	struct client *members[2];
	struct server *s;

	room_begin(1);
	s = serve_room(0);
	open_members(s, members, 2);
	client_send(members[0], "!\n");
	UNTIL(gate_waiting(&room.gate) == 1);
	client_close(members[1]);
	UNTIL(stats(s).ledger.closed == 1);
	ck_assert_int_eq(room.dropped, 0);
	weir_ref_unref(room.member[1]);
	room.member[1] = NULL;
	UNTIL(room.dropped == 1); /* its worker refers to it until it is done */
	gate_open(&room.gate);
	client_expect(members[0], "!\n");
	room_end(s);
	ck_assert_int_eq(room.dropped, 2);
}
END_TEST

START_TEST(a_thread_sends_what_a_callback_has_gathered_before_its_own)
{
	struct client *members[2];
	struct server *s;

	room_begin(1);
	s = serve_room(0);
	open_members(s, members, 2);
	client_send(members[0], "!\n");
	UNTIL(gate_waiting(&room.gate) == 1);
	ck_assert_int_eq(weir_ref_send(room.member[1], "later\n", 6), 0);
	client_expect(members[1], "!\nlater\n");
	gate_open(&room.gate);
	client_expect(members[0], "!\n");
	room_end(s);
}
END_TEST

/* More than a worker lists, and more than an outbox gathers. */
START_TEST(a_callback_may_send_as_much_as_it_likes)
{
	static const char line[] =
		"abcdefghijklmnopqrstuvwxyz0123456789abcdefghijk"
		"lmnopqrstuvwxyz\n";
	enum { LEN = sizeof(line) - 1, TIMES = 300 };
	static struct client *members[1100];
	static char all[TIMES * LEN];
	struct server *s;

	for (size_t i = 0; i < TIMES; i++)
		memcpy(all + i * LEN, line, LEN);
	room_begin(TIMES);
	s = serve_room(0);
	open_members(s, members, 1100);
	client_send(members[7], line);
	for (int i = 0; i < 1100; i++)
		client_expect_bytes(members[i], all, sizeof(all));
	ck_assert_int_eq(room.rc, 0);
	room_end(s);
}
END_TEST

START_TEST(a_small_mark_is_kept_by_sends_that_are_gathered)
{
	struct client *members[2];
	struct server *s;

	room_begin(20);
	s = serve_room(10);
	open_members(s, members, 2);
	client_send(members[0], "seven\n");
	for (int k = 0; k < 20; k++) {
		client_expect(members[0], "seven\n");
		client_expect(members[1], "seven\n");
	}
	ck_assert_int_eq(room.rc, 0);
	client_send(members[0], "eleven and more\n");
	UNTIL(room.rc == -ENOBUFS);
	room_end(s);
}
END_TEST

/* ---------------------------------------------------------- shared messages */

static char *pattern(size_t len)
{
	char *text = malloc(len + 1);

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < len; i++)
		text[i] = (char)('a' + i % 23);
	text[len] = '\0';
	return text;
}

static void expect_pattern(struct client *c, size_t len)
{
	char *text = pattern(len);

	client_expect(c, text);
	free(text);
}

static weir_msg *pattern_message(size_t len)
{
	char *text = pattern(len);
	weir_msg *msg = NULL;

	ck_assert_int_eq(weir_msg_new(&msg, text, len), 0);
	free(text);
	return msg;
}

START_TEST(a_message_reaches_many_connections_whole)
{
	static const size_t sizes[] = { 1, 256, 257, 1000, 9000, 30000 };
	struct client *members[3];
	struct server *s;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		room_begin(5);
		room.message = pattern_message(sizes[i]);
		s = serve_room(0);
		open_members(s, members, 3);
		client_send(members[0], "go\n");
		for (int m = 0; m < 3; m++)
			for (int k = 0; k < 5; k++)
				expect_pattern(members[m], sizes[i]);
		room_end(s);
	}
}
END_TEST

/* The kernel takes an odd part of each send. */
static int short_sends(enum wr_sys_call call, size_t *len)
{
	if (call == WR_SYS_sendmsg && *len > 701)
		*len = 701;
	return 0;
}

START_TEST(a_message_that_is_sent_in_parts_arrives_whole)
{
	struct client *members[3];
	struct server *s;

	room_begin(7);
	wr_sys_fault = short_sends;
	room.message = pattern_message(1500);
	s = serve_room(0);
	open_members(s, members, 3);
	client_send(members[0], "go\n");
	for (int m = 0; m < 3; m++)
		for (int k = 0; k < 7; k++)
			expect_pattern(members[m], 1500);
	room_end(s);
	wr_sys_fault = NULL;
}
END_TEST

START_TEST(a_message_that_peers_do_not_take_is_freed_at_their_end)
{
	struct client *members[3];
	struct server *s;
	int rc;

	room_begin(1);
	room.message = pattern_message(5000);
	s = serve_workers(
		2, WEIR_SERVICE(.opened = join_room, .readable = say_to_all));
	for (int i = 0; i < 3; i++)
		members[i] = client_open_small(s, 4096);
	UNTIL(room_count() == 3);
	do
		rc = weir_ref_send_msg(room.member[0], room.message);
	while (rc == 0);
	ck_assert_int_eq(rc, -ENOBUFS);
	ck_assert_int_eq(weir_ref_cancel(room.member[0]), 0);
	client_send(members[1], "go\n");
	expect_pattern(members[2], 5000);
	room_end(s);
}
END_TEST

START_TEST(a_message_is_made_of_pieces)
{
	const struct iovec pieces[] = { { "one ", 4 },
					{ NULL, 0 },
					{ "two", 3 } };
	struct client *members[1];
	weir_msg *msg = NULL;
	struct server *s;

	room_begin(1);
	s = serve_room(0);
	open_members(s, members, 1);
	ck_assert_int_eq(weir_msg_newv(&msg, pieces, 3), 0);
	ck_assert_ptr_eq(weir_msg_dup(msg), msg);
	weir_msg_unref(msg);
	ck_assert_int_eq(weir_ref_send_msg(room.member[0], msg), 0);
	weir_msg_unref(msg);
	ck_assert_int_eq(weir_msg_newv(&msg, NULL, 0), 0);
	ck_assert_int_eq(weir_ref_send_msg(room.member[0], msg), 0);
	weir_msg_unref(msg);
	client_expect(members[0], "one two");
	room_end(s);
}
END_TEST

/* Threads that refer to different connections share no counter for it. */
START_TEST(references_to_a_connection_are_one_to_its_table)
{
	struct server *s;
	struct wr_table *table;
	weir_ref *one, *two;
	unsigned refs;

	room_begin(1);
	s = serve(NULL, WEIR_SERVICE(.opened = join_room, .readable = echo));
	client_open_and_echo(s, "x");
	one = room.member[0];
	table = ((struct wr_core *)s->weir)->table; /* its beginning */
	refs = atomic_load(&table->refs);
	two = weir_ref_dup(one);
	ck_assert_uint_eq(atomic_load(&table->refs), refs);
	weir_ref_unref(one);
	ck_assert_uint_eq(atomic_load(&table->refs), refs);
	weir_ref_unref(two);
	ck_assert_uint_eq(atomic_load(&table->refs), refs - 1);
	server_stop_and_check(s);
	ck_assert_int_eq(room.dropped, 1);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"fanout", references_to_a_connection_are_one_to_its_table,
		each_connection_gets_what_a_callback_sends_in_one_call,
		a_flush_sends_to_the_others_before_the_callback_returns,
		what_is_gathered_for_a_connection_does_not_keep_its_data,
		a_thread_sends_what_a_callback_has_gathered_before_its_own,
		a_callback_may_send_as_much_as_it_likes,
		a_small_mark_is_kept_by_sends_that_are_gathered,
		a_message_reaches_many_connections_whole,
		a_message_that_is_sent_in_parts_arrives_whole,
		a_message_that_peers_do_not_take_is_freed_at_their_end,
		a_message_is_made_of_pieces);
}
