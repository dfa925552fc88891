/* SPDX-License-Identifier: MIT */
/*
 * Conversations: a thousand clients in mid-dialogue at once on two workers,
 * in any bytes and in any pieces.  Everybody has the answer of one round
 * before anybody says the next, so nobody can wait for another.
 */
#include "test.h"

#define CROWD 1000

static size_t banner(const struct crowd *crowd, int i, char *buf, size_t cap)
{
	(void)crowd;
	(void)i;
	return (size_t)snprintf(buf, cap, "Connect");
}

/* Valid UTF-8 from one half of the crowd, anything from the other. */
static size_t message(const struct crowd *crowd, int i, char *buf, size_t cap)
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
				crowd->round, words[(i + crowd->round) % 6]);
}

static size_t reply_text(const struct crowd *crowd, int i, char *buf,
			 size_t cap)
{
	size_t len = (size_t)snprintf(buf, cap, "Server replies: ");

	return len + message(crowd, i, buf + len, cap - len);
}

static size_t line(const struct crowd *crowd, int i, char *buf, size_t cap)
{
	size_t len = message(crowd, i, buf, cap);

	buf[len++] = '\n';
	return len;
}

/* Each byte there is, but the newline only at the end. */
static size_t every_byte(const struct crowd *crowd, int i, char *buf,
			 size_t cap)
{
	size_t len = 0;

	(void)crowd;
	(void)cap;
	for (int b = 0; b < 256; b++)
		if ((b + i) % 256 != '\n')
			buf[len++] = (char)((b + i) % 256);
	buf[len++] = '\n';
	return len;
}

static void talk(struct crowd *crowd, int rounds, crowd_text *says,
		 crowd_text *expects)
{
	for (crowd->round = 0; crowd->round < rounds; crowd->round++) {
		crowd_sends(crowd, says);
		crowd_expects(crowd, expects);
	}
}

static void say_goodbye(struct crowd *crowd)
{
	crowd_half_closes(crowd);
	crowd_expects_eof(crowd);
	crowd_closes(crowd);
}

static void all_completed(struct server *s, uint64_t count)
{
	struct weir_report report = server_ends(s);

	ck_assert_uint_eq(report.ledger.accepted, count);
	ck_assert_uint_eq(report.ledger.completed, count);
}

START_TEST(a_thousand_clients_talk_at_once)
{
	struct server *s = serve(
		WEIR_CONFIG(.workers = 2),
		WEIR_SERVICE(.readable = reply, .opened = connect_banner));
	struct crowd *crowd = crowd_opens(s, CROWD);

	crowd_expects(crowd, banner);
	UNTIL(stats(s).parked == CROWD);
	talk(crowd, 5, message, reply_text);
	say_goodbye(crowd);
	all_completed(s, CROWD);
}
END_TEST

START_TEST(a_thousand_clients_talk_one_byte_at_a_time)
{
	struct server *s = serve(
		WEIR_CONFIG(.workers = 2),
		WEIR_SERVICE(.readable = echo_lines, .opened = connect_banner));
	struct crowd *crowd = crowd_opens(s, CROWD);

	crowd_expects(crowd, banner);
	crowd->piece = 1;
	talk(crowd, 2, line, line);
	say_goodbye(crowd);
	all_completed(s, CROWD);
}
END_TEST

START_TEST(replies_to_single_bytes_join_to_what_was_said)
{
	struct server *s = serve(
		WEIR_CONFIG(.workers = 2),
		WEIR_SERVICE(.readable = reply, .opened = connect_banner));
	struct crowd *crowd = crowd_opens(s, CROWD);

	crowd_expects(crowd, banner);
	crowd->piece = 1;
	for (crowd->round = 0; crowd->round < 2; crowd->round++) {
		crowd_sends(crowd, message);
		crowd_expects_joined(crowd, "Server replies: ", message);
	}
	say_goodbye(crowd);
	all_completed(s, CROWD);
}
END_TEST

START_TEST(every_byte_comes_back_as_it_went)
{
	struct server *s = serve(WEIR_CONFIG(.workers = 2),
				 WEIR_SERVICE(.readable = echo_lines));
	struct crowd *crowd = crowd_opens(s, 256);

	talk(crowd, 2, every_byte, every_byte);
	crowd->piece = 7;
	talk(crowd, 2, every_byte, every_byte);
	say_goodbye(crowd);
	all_completed(s, 256);
}
END_TEST

/* The same handlers as sessions: as many at once as there are workers. */
START_TEST(sessions_hold_the_same_dialogue)
{
	struct server *s =
		serve(WEIR_CONFIG(.workers = 16),
		      WEIR_SERVICE(.session = reply, .opened = connect_banner));
	struct crowd *crowd;

	for (int batch = 0; batch < 10; batch++) {
		crowd = crowd_opens(s, 16);
		crowd_expects(crowd, banner);
		talk(crowd, 3, message, reply_text);
		say_goodbye(crowd);
	}
	all_completed(s, 160);
}
END_TEST

START_TEST(a_client_that_falls_silent_keeps_nobody_waiting)
{
	struct server *s = serve(WEIR_CONFIG(.workers = 2),
				 WEIR_SERVICE(.readable = echo_lines));
	struct crowd *silent = crowd_opens(s, 10);
	struct crowd *crowd = crowd_opens(s, 100);

	talk(silent, 1, line, line);
	crowd_sends(silent, message); /* a line without its end */
	talk(crowd, 5, line, line);
	say_goodbye(crowd);
	crowd_half_closes(silent);
	crowd_expects(silent, message);
	crowd_expects_eof(silent);
	crowd_closes(silent);
	all_completed(s, 110);
}
END_TEST

START_TEST(a_dialogue_goes_on_over_unix_sockets)
{
	struct server *s = serve_at(
		own_unix_address(), WEIR_CONFIG(.workers = 2),
		WEIR_SERVICE(.readable = reply, .opened = connect_banner));
	struct crowd *crowd = crowd_opens(s, 200);

	crowd_expects(crowd, banner);
	talk(crowd, 3, message, reply_text);
	say_goodbye(crowd);
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
