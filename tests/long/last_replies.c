/* SPDX-License-Identifier: MIT */
/*
 * Ten thousand last replies of a megabyte, each to a client that has sent more
 * than the server reads and whose socket takes little at a time.  Each reply
 * must arrive whole, followed by the end of input, and the server's kernel must
 * abort no connection.
 */
#include "test.h"

#define REPLY	((size_t)1000 * 1000)
#define REPLIES 10000 /* of both kinds of service */
#define READERS 4

static char text[REPLY];

static int answer_at_length(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	return n > 0 ? weir_conn_write(c, text, REPLY) : (int)n;
}

static void take_one_reply(struct server *s, bool has_small_buffer)
{
	static const char unread[30000];
	struct client *c =
		has_small_buffer ? client_open_small(s, 4096) : client_open(s);
	char buf[65536];
	size_t have = 0;
	ssize_t n;

	client_send(c, "go\n");
	client_try_send(c, unread, sizeof(unread));
	while ((n = client_read(c, buf, sizeof(buf))) > 0) {
		ck_assert_uint_le(have + (size_t)n, REPLY);
		ck_assert_msg(memcmp(buf, text + have, (size_t)n) == 0,
			      "a wrong byte after %zu", have);
		have += (size_t)n;
	}
	ck_assert_msg(n == 0, "%s after %zu bytes", strerror((int)-n), have);
	ck_assert_uint_eq(have, REPLY);
	client_close(c);
}

static void *read_reply(void *arg)
{
	for (int i = 0; i < fewer(REPLIES / 2 / READERS); i++)
		take_one_reply(arg, i % 4 == 0);
	return NULL;
}

static void all_arrive(const char *kind, const struct weir_service *service)
{
	bool has_network = enter_own_network();
	struct server *s = serve(WEIR_CONFIG(.workers = 2 * READERS), service);
	const int count = READERS * fewer(REPLIES / 2 / READERS);
	int64_t began_at = now_ms();
	struct weir_report report;
	pthread_t readers[READERS];

	for (size_t i = 0; i < REPLY; i++)
		text[i] = byte_at(i);
	for (int i = 0; i < READERS; i++)
		ck_assert_int_eq(
			pthread_create(&readers[i], NULL, read_reply, s), 0);
	for (int i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	report = server_stop_and_check(s);
	printf("%s: %d replies of a megabyte in %ld ms\n", kind, count,
	       (long)(now_ms() - began_at));
	ck_assert_uint_eq(report.ledger.completed, (uint64_t)count);
	if (!has_network) {
		printf("SKIPPED: no network namespace allowed here, the "
		       "kernel's counters are not looked at\n");
		return;
	}
	ck_assert_int_eq(network_counter("TcpExt", "TCPAbortOnClose"), 0);
	ck_assert_int_eq(network_counter("Tcp", "OutRsts"), 0);
}

START_TEST(last_replies_of_callbacks_all_arrive_whole)
{
	all_arrive("readable", WEIR_SERVICE(.readable = answer_at_length));
}
END_TEST

START_TEST(last_replies_of_sessions_all_arrive_whole)
{
	all_arrive("session", WEIR_SERVICE(.session = answer_at_length));
}
END_TEST

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	return RUN_TESTS("last_replies",
			 last_replies_of_callbacks_all_arrive_whole,
			 last_replies_of_sessions_all_arrive_whole);
}
