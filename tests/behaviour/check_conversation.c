/* SPDX-License-Identifier: MIT */
/*
 * A thousand clients in mid-dialogue at once on two workers, with any bytes in
 * any pieces.  All have the answer of one round before any sends the next.
 */
#include "test.h"

#define CROWD 1000

static size_t banner(const struct client_group *group, int i, char *buf,
		     size_t cap)
{
	(void)group;
	(void)i;
	return (size_t)snprintf(buf, cap, "Connect");
}

/* Valid UTF-8 from one half of the group, any bytes from the other. */
static size_t message(const struct client_group *group, int i, char *buf,
		      size_t cap)
{
	static const char *const words[] = {
		"gr\xc3\xbc\xc3\x9f dich",	   /* two-byte letters */
		"\xe4\xbd\xa0\xe5\xa5\xbd",	   /* three */
		"\xf0\x9f\x90\x9f in the weir",	   /* four */
		"\xff\xfe\xc3(\xa0\x80",	   /* not UTF-8 at all */
		"cut \xe4\xbd",			   /* ends inside a letter */
		"\x1b[2J\r\x01 \x7f \xed\xa0\x80", /* controls, a surrogate */
	};

	return (size_t)snprintf(buf, cap, "client %d, round %d: %s", i,
				group->round, words[(i + group->round) % 6]);
}

static size_t reply_text(const struct client_group *group, int i, char *buf,
			 size_t cap)
{
	size_t len = (size_t)snprintf(buf, cap, "Server replies: ");

	return len + message(group, i, buf + len, cap - len);
}

static size_t line(const struct client_group *group, int i, char *buf,
		   size_t cap)
{
	size_t len = message(group, i, buf, cap);

	buf[len++] = '\n';
	return len;
}

/* Every byte value; the newline only at the end. */
static size_t every_byte(const struct client_group *group, int i, char *buf,
			 size_t cap)
{
	size_t len = 0;

	(void)group;
	(void)cap;
	for (int b = 0; b < 256; b++)
		if ((b + i) % 256 != '\n')
			buf[len++] = (char)((b + i) % 256);
	buf[len++] = '\n';
	return len;
}

static void talk(struct client_group *group, int rounds, group_text *says,
		 group_text *expects)
{
	for (group->round = 0; group->round < rounds; group->round++) {
		group_send(group, says);
		group_expect(group, expects);
	}
}

static void say_goodbye(struct client_group *group)
{
	group_half_close(group);
	group_expect_eof(group);
	group_close(group);
}

static void all_completed(struct server *s, uint64_t count)
{
	struct weir_report report = server_stop_and_check(s);

	ck_assert_uint_eq(report.ledger.accepted, count);
	ck_assert_uint_eq(report.ledger.completed, count);
}

START_TEST(a_thousand_clients_talk_at_once)
{
	struct server *s = serve(
		WEIR_CONFIG(.workers = 2),
		WEIR_SERVICE(.readable = reply, .opened = connect_banner));
	struct client_group *group = group_open(s, CROWD);

	group_expect(group, banner);
	UNTIL(stats(s).parked == CROWD);
	talk(group, 5, message, reply_text);
	say_goodbye(group);
	all_completed(s, CROWD);
}
END_TEST

START_TEST(a_thousand_clients_talk_one_byte_at_a_time)
{
	struct server *s = serve(
		WEIR_CONFIG(.workers = 2),
		WEIR_SERVICE(.readable = echo_lines, .opened = connect_banner));
	struct client_group *group = group_open(s, CROWD);

	group_expect(group, banner);
	group->piece = 1;
	talk(group, 2, line, line);
	say_goodbye(group);
	all_completed(s, CROWD);
}
END_TEST

START_TEST(replies_to_single_bytes_join_to_what_was_said)
{
	struct server *s = serve(
		WEIR_CONFIG(.workers = 2),
		WEIR_SERVICE(.readable = reply, .opened = connect_banner));
	struct client_group *group = group_open(s, CROWD);

	group_expect(group, banner);
	group->piece = 1;
	for (group->round = 0; group->round < 2; group->round++) {
		group_send(group, message);
		group_expect_joined(group, "Server replies: ", message);
	}
	say_goodbye(group);
	all_completed(s, CROWD);
}
END_TEST

START_TEST(every_byte_comes_back_as_it_went)
{
	struct server *s =
		serve_workers(2, WEIR_SERVICE(.readable = echo_lines));
	struct client_group *group = group_open(s, 256);

	talk(group, 2, every_byte, every_byte);
	group->piece = 7;
	talk(group, 2, every_byte, every_byte);
	say_goodbye(group);
	all_completed(s, 256);
}
END_TEST

/* The same handlers as sessions: as many at once as there are workers. */
START_TEST(sessions_hold_the_same_dialogue)
{
	struct server *s = serve_workers(
		16, WEIR_SERVICE(.session = reply, .opened = connect_banner));
	struct client_group *group;

	for (int batch = 0; batch < 10; batch++) {
		group = group_open(s, 16);
		group_expect(group, banner);
		talk(group, 3, message, reply_text);
		say_goodbye(group);
	}
	all_completed(s, 160);
}
END_TEST

START_TEST(a_client_that_falls_silent_keeps_nobody_waiting)
{
	struct server *s =
		serve_workers(2, WEIR_SERVICE(.readable = echo_lines));
	struct client_group *silent = group_open(s, 10);
	struct client_group *group = group_open(s, 100);

	talk(silent, 1, line, line);
	group_send(silent, message); /* a line without its end */
	talk(group, 5, line, line);
	say_goodbye(group);
	group_half_close(silent);
	group_expect(silent, message);
	group_expect_eof(silent);
	group_close(silent);
	all_completed(s, 110);
}
END_TEST

START_TEST(a_dialogue_goes_on_over_unix_sockets)
{
	struct server *s = serve_at(
		own_unix_address(), WEIR_CONFIG(.workers = 2),
		WEIR_SERVICE(.readable = reply, .opened = connect_banner));
	struct client_group *group = group_open(s, 200);

	group_expect(group, banner);
	talk(group, 3, message, reply_text);
	say_goodbye(group);
	all_completed(s, 200);
}
END_TEST

int main(void)
{
	return RUN_TESTS("conversation", a_thousand_clients_talk_at_once,
			 a_thousand_clients_talk_one_byte_at_a_time,
			 replies_to_single_bytes_join_to_what_was_said,
			 every_byte_comes_back_as_it_went,
			 sessions_hold_the_same_dialogue,
			 a_client_that_falls_silent_keeps_nobody_waiting,
			 a_dialogue_goes_on_over_unix_sockets);
}
