/* SPDX-License-Identifier: MIT */
/*
 * The last reply arrives whole though input of the peer is unread, and no
 * worker waits for it.  A plain close() would reset the peer and lose what its
 * kernel had not received.
 */
#include "test.h"

#define REPLY ((size_t)1000 * 1000)

static char text[REPLY];

static void make_text(void)
{
	for (size_t i = 0; i < REPLY; i++)
		text[i] = byte_at(i);
}

static int answer_at_length(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	return n > 0 ? weir_conn_write(c, text, REPLY) : (int)n;
}

/* Send a little more after each piece that was read. */
static void read_and_go_on_talking(struct client *c, bool goes_on)
{
	char buf[65536];
	size_t have = 0, said_at = 0;
	ssize_t n;

	while ((n = client_read(c, buf, sizeof(buf))) > 0) {
		ck_assert(bytes_match(buf, (size_t)n, have));
		have += (size_t)n;
		if (goes_on && have - said_at > 100000) {
			client_try_send(c, "and another thing\n", 18);
			said_at = have;
		}
	}
	ck_assert_msg(n == 0, "%s after %zu bytes", strerror((int)-n), have);
	ck_assert_uint_eq(have, REPLY);
}

static void expect_last_replies(const struct weir_service *service,
				bool goes_on)
{
	const int count = fewer(200);
	bool has_network = enter_own_network();
	struct server *s = serve_workers(2, service);
	static char much[30000];
	struct weir_report report;

	memset(much, '\n', sizeof(much));
	for (int i = 0; i < count; i++) {
		struct client *c = client_open_small(s, 4096);

		client_send(c, "go\n");
		client_try_send(c, much, sizeof(much));
		read_and_go_on_talking(c, goes_on);
		client_close(c);
	}
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, (uint64_t)count);
	if (has_network)
		ck_assert_int_eq(network_counter("TcpExt", "TCPAbortOnClose"),
				 0);
}

START_TEST(the_last_reply_arrives_whole_after_unread_input)
{
	make_text();
	expect_last_replies(WEIR_SERVICE(.readable = answer_at_length), false);
}
END_TEST

START_TEST(the_last_reply_of_a_session_arrives_whole)
{
	make_text();
	expect_last_replies(WEIR_SERVICE(.session = answer_at_length), false);
}
END_TEST

START_TEST(the_last_reply_arrives_whole_while_more_input_comes)
{
	make_text();
	expect_last_replies(WEIR_SERVICE(.readable = answer_at_length), true);
}
END_TEST

/* The replies fit into the outbox: one worker is enough for all. */
START_TEST(no_worker_waits_for_a_peer_that_takes_its_last_reply)
{
	struct server *s =
		serve_workers(1, WEIR_SERVICE(.readable = answer_at_length,
					      .outbox_mark = 2 * REPLY));
	struct client *c[40];

	make_text();
	for (int i = 0; i < 40; i++) {
		c[i] = client_open_small(s, 4096);
		client_send(c[i], "go\nsomething that stays unread\n");
	}
	UNTIL(stats(s).callbacks >= 40 && stats(s).busy == 0);
	for (int i = 0; i < 40; i++)
		read_and_go_on_talking(c[i], false);
	server_stop_and_check(s);
}
END_TEST

/* A peer that never closes its side does not keep the connection. */
START_TEST(a_peer_that_never_ends_is_waited_for_briefly)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = answer_at_length));
	struct client *c = client_open(s);

	make_text();
	client_send(c, "go\n");
	read_and_go_on_talking(c, false);
	UNTIL(is_at_rest(s));
	server_stop_and_check(s);
}
END_TEST

static int answer_briefly(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	return n > 0 ? weir_conn_write(c, text, 8192) : (int)n;
}

/* The counters are as before after each of them. */
START_TEST(a_client_that_lingers_is_counted_until_it_goes)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = answer_briefly));

	make_text();
	for (int i = 0; i < 3; i++) {
		struct client *c = client_open_small(s, 1024);

		client_send(c, "go\n");
		UNTIL(stats(s).lingering == 1);
		client_close(c);
		UNTIL(stats(s).lingering == 0);
	}
	server_stop_and_check(s);
}
END_TEST

/* A worker counts it as lingering before the acceptor has it. */
static bool linger_at_most(struct server *s, uint64_t most, uint64_t answered)
{
	struct weir_stats now = stats(s);

	return now.lingering <= most &&
	       now.lingering + now.ledger.completed == answered;
}

/* How long those that have ended were open, on average. */
static uint64_t ms_of_ended(struct server *s)
{
	struct weir_listener_stats now;

	ck_assert_int_eq(
		weir_server_listener_stats(s->weir, 0, &now, sizeof(now)), 0);
	return now.connection_us / 1000 / now.ledger.completed;
}

/*
 * The sockets do not hold the reply, so each connection lingers for 30 s unless
 * the limit ends it.
 */
START_TEST(of_too_many_that_linger_the_oldest_goes)
{
	enum { MOST = 4096, ALL = MOST + 50, LINGER_MS = 30000 };
	struct server *s;
	int64_t began_at, took_ms;
	struct client *c = NULL;

	if (!may_open(2 * ALL + 200))
		return;
	make_text();
	s = serve(NULL, WEIR_SERVICE(.readable = answer_briefly));
	began_at = now_ms();
	for (int i = 0; i < ALL; i++) {
		c = client_open_small(s, 1024);
		client_send(c, "go\n");
	}
	took_ms = now_ms() - began_at;
	UNTIL(linger_at_most(s, MOST, ALL));
	if (took_ms < LINGER_MS)
		ck_assert_uint_lt(ms_of_ended(s), LINGER_MS);
	else
		skip_test("the machine stood still, so the time has "
			  "ended some, not the limit");
	client_expect_bytes(c, text, 8192);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS("last_reply",
			 the_last_reply_arrives_whole_after_unread_input,
			 the_last_reply_of_a_session_arrives_whole,
			 the_last_reply_arrives_whole_while_more_input_comes,
			 no_worker_waits_for_a_peer_that_takes_its_last_reply,
			 a_peer_that_never_ends_is_waited_for_briefly,
			 a_client_that_lingers_is_counted_until_it_goes,
			 of_too_many_that_linger_the_oldest_goes);
}
