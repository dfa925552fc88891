/* SPDX-License-Identifier: MIT */
/*
 * The life cycle of a connection for the program: which callbacks run, in which
 * order and why, and what a connection says about itself.
 */
#include "test.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

/* A trace: a letter for each event. */
struct trace {
	pthread_mutex_t lock;
	char text[64];
};

#define TRACE_EMPTY                                                            \
	{                                                                      \
		.lock = PTHREAD_MUTEX_INITIALIZER                              \
	}

static void note(struct trace *d, char what)
{
	size_t len;

	pthread_mutex_lock(&d->lock);
	len = strlen(d->text);
	if (len < sizeof(d->text) - 1)
		d->text[len] = what;
	pthread_mutex_unlock(&d->lock);
}

static bool trace_is(struct trace *d, const char *text)
{
	bool is_it;

	pthread_mutex_lock(&d->lock);
	is_it = strcmp(d->text, text) == 0;
	pthread_mutex_unlock(&d->lock);
	return is_it;
}

static char reason(const weir_conn *c)
{
	static const char letters[] = "?OIWD";
	int why = weir_conn_why(c);

	return why >= 1 && why <= 4 ? letters[why] : '?';
}

static void note_drop(void *data)
{
	note(data, 'd');
}

static int note_opened(weir_conn *c, void *arg)
{
	note(arg, reason(c));
	weir_conn_set_data(c, arg, note_drop);
	return WEIR_AGAIN;
}

static int note_input(weir_conn *c, void *arg)
{
	note(arg, reason(c));
	return echo_a_line(c, arg);
}

static void note_closed(weir_conn *c, void *arg)
{
	note(arg, weir_conn_data(c) == arg ? 'c' : '!');
}

static struct server *serve_trace(struct trace *d, bool is_session)
{
	return serve_workers(2, WEIR_SERVICE(HANDLE_AS(is_session, note_input),
					     .opened = note_opened,
					     .closed = note_closed, .arg = d));
}

START_TEST(a_readable_life_is_opened_fed_closed_and_dropped)
{
	struct trace d = TRACE_EMPTY;
	struct server *s = serve_trace(&d, false);
	struct client *c = client_open(s);

	UNTIL(stats(s).parked == 1);
	client_expect_echo(c, "one\n");
	client_half_close(c);
	client_expect_eof(c);
	client_close(c);
	UNTIL(is_at_rest(s));
	server_stop_and_check(s);
	/* Once more for the end of input; then closed, then drop. */
	ck_assert_msg(d.text[0] == 'O' && strstr(d.text, "II") &&
			      strcmp(d.text + strlen(d.text) - 2, "cd") == 0 &&
			      strspn(d.text, "OI") == strlen(d.text) - 2,
		      "it was \"%s\"", d.text);
}
END_TEST

START_TEST(nothing_is_called_before_there_is_something_to_read)
{
	struct trace d = TRACE_EMPTY;
	struct server *s = serve_trace(&d, false);
	struct client *c = client_open(s);

	UNTIL(stats(s).parked == 1);
	ck_assert_msg(trace_is(&d, "O"), "it was \"%s\"", d.text);
	client_expect_echo(c, "one\n");
	server_stop_and_check(s);
}
END_TEST

static void note_unserved(weir_conn *c, void *arg)
{
	struct weir_summary sum;

	weir_conn_summary(c, &sum, sizeof(sum));
	note(arg, sum.end == WEIR_END_FIRST_BYTE ? 'u' : '!');
}

static void note_served(weir_conn *c, void *arg)
{
	(void)c;
	note(arg, 'c');
}

START_TEST(a_connection_without_a_callback_ends_unserved)
{
	for (int is_session = 0; is_session < 2; is_session++) {
		struct trace d = TRACE_EMPTY;
		const struct weir_service *service = WEIR_SERVICE(
			HANDLE_AS(is_session, echo_a_line),
			.closed = note_served, .unserved = note_unserved,
			.arg = &d, .first_byte_ms = 100);
		struct weir_service patient = *service;
		struct server *s = serve_workers(2, service);
		struct client *c = client_open(s);

		client_expect_end(c);
		server_stop_and_check(s);
		ck_assert_msg(trace_is(&d, "u"), "it was \"%s\"", d.text);
		patient.first_byte_ms = 0;
		s = serve_workers(2, &patient);
		c = client_open_and_send(s, "one\n");
		client_expect(c, "one\n");
		client_close(c);
		server_stop_and_check(s);
		ck_assert_msg(trace_is(&d, "uc"), "it was \"%s\"", d.text);
	}
}
END_TEST

START_TEST(every_end_closes_and_drops_once)
{
	for (int way = 0; way < 4; way++) {
		struct trace d = TRACE_EMPTY;
		struct server *s = serve_trace(&d, false);
		struct client *c = client_open(s);

		UNTIL(stats(s).parked == 1);
		if (way == 0)
			client_reset(c);
		else if (way == 1)
			client_close(c);
		if (way == 2)
			weir_server_stop(s->weir, 0);
		else
			weir_server_stop(s->weir, 10000);
		server_join_and_check(s);
		ck_assert_msg(strcmp(d.text + strlen(d.text) - 2, "cd") == 0 &&
				      strchr(d.text, 'c') ==
					      strrchr(d.text, 'c'),
			      "it was \"%s\"", d.text);
	}
}
END_TEST

static int take_turns(weir_conn *c, void *arg)
{
	struct trace *two = arg;
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n <= 0)
		return (int)n;
	weir_conn_set_data(c, &two[weir_conn_data(c) == &two[0]], note_drop);
	weir_conn_printf(c, "ok");
	return WEIR_AGAIN;
}

static void drop_at_gate(void *gate)
{
	gate_wait(gate);
}

static int leave_data(weir_conn *c, void *gate)
{
	weir_conn_set_data(c, gate, drop_at_gate);
	return WEIR_CLOSE;
}

/* Then the log names it if it is slow. */
START_TEST(a_drop_without_a_closed_callback_counts_as_a_callback)
{
	struct gate gate = GATE_CLOSED;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = leave_data, .arg = &gate));
	struct client *c = client_open_and_send(s, "x\n");

	UNTIL(gate_waiting(&gate) == 1);
	ck_assert_uint_eq(stats(s).busy, 1);
	gate_open(&gate);
	client_expect_end(c);
	server_stop_and_check(s);
}
END_TEST

START_TEST(data_that_is_replaced_is_dropped)
{
	struct trace two[2] = { TRACE_EMPTY, TRACE_EMPTY };
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = take_turns, .arg = two));
	struct client *c = client_open(s);

	client_expect_reply(c, "x\n", "ok");
	ck_assert(trace_is(&two[0], ""));
	client_expect_reply(c, "x\n", "ok");
	ck_assert(trace_is(&two[0], "d"));
	ck_assert(trace_is(&two[1], ""));
	server_stop_and_check(s);
	ck_assert_str_eq(two[0].text, "d");
	ck_assert_str_eq(two[1].text, "d");
}
END_TEST

static int has_the_first(weir_conn *c, void *arg)
{
	weir_conn_set_data(c, arg, note_drop);
	return echo_a_line(c, NULL);
}

static void note_late_drop(void *data)
{
	note(data, 'D');
}

static void take_the_second(weir_conn *c, void *arg)
{
	struct trace *two = arg;

	note(&two[0], 'c');
	weir_conn_set_data(c, &two[1], note_late_drop);
}

START_TEST(data_that_closed_replaces_is_dropped_once)
{
	struct trace two[2] = { TRACE_EMPTY, TRACE_EMPTY };
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = has_the_first,
						    .closed = take_the_second,
						    .arg = two));

	client_open_and_echo(s, "x\n");
	server_stop_and_check(s);
	ck_assert_str_eq(two[0].text, "cd");
	ck_assert_str_eq(two[1].text, "D");
}
END_TEST

/* To free the data in `closed`, set it to NULL. */
static void take_it_away(weir_conn *c, void *arg)
{
	(void)arg;
	weir_conn_set_data(c, NULL, NULL);
}

START_TEST(data_that_closed_takes_away_is_dropped_once)
{
	struct trace d = TRACE_EMPTY;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = has_the_first,
					 .closed = take_it_away, .arg = &d));

	client_open_and_echo(s, "x\n");
	server_stop_and_check(s);
	ck_assert_str_eq(d.text, "d");
}
END_TEST

static int greet(weir_conn *c, void *arg)
{
	(void)arg;
	return weir_conn_printf(c, "Got your connection");
}

START_TEST(a_service_may_greet_and_close)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = echo, .opened = greet));
	struct client *c = client_open(s);
	struct weir_report report;

	client_expect_last(c, "Got your connection");
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 1);
}
END_TEST

static int fail_as_told(weir_conn *c, void *arg)
{
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	return n > 0 ? -atoi(line) : (int)n;
}

/* A verdict in the log and in the ledger. */
START_TEST(a_verdict_is_logged_if_it_is_an_error_of_the_handler)
{
	static const struct {
		int error, lines;
	} verdicts[] = { { EPIPE, 0 },
			 { ECONNRESET, 0 },
			 { ESHUTDOWN, 0 },
			 { EPROTO, 1 },
			 { EIO, 1 } };

	for (size_t i = 0; i < 5; i++) {
		struct server *s =
			serve(WEIR_CONFIG(.workers = 1,
					  .log_level = WEIR_LOG_WARNING),
			      WEIR_SERVICE(.readable = fail_as_told));
		struct client *c = client_open(s);
		char text[16];

		snprintf(text, sizeof(text), "%d\n", verdicts[i].error);
		client_send(c, text);
		client_expect_end(c);
		client_close(c);
		UNTIL(is_at_rest(s));
		ck_assert_int_eq(log_lines(s), verdicts[i].lines);
		server_stop_and_check(s);
	}
}
END_TEST

static int says_who_it_is(weir_conn *c, void *arg)
{
	struct sockaddr_in local = { 0 }, peer = { 0 };
	socklen_t local_len = sizeof(local), peer_len = sizeof(peer);
	char line[32], peer_text[64], local_text[64], tiny[4];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	if (n <= 0)
		return (int)n;
	if (weir_conn_peer(c, peer_text, sizeof(peer_text)) < 0 ||
	    weir_conn_local(c, local_text, sizeof(local_text)) < 0 ||
	    weir_conn_peer(c, tiny, sizeof(tiny)) != -ENOSPC ||
	    getpeername(weir_conn_fd(c), (struct sockaddr *)&peer, &peer_len) <
		    0 ||
	    getsockname(weir_conn_fd(c), (struct sockaddr *)&local,
			&local_len) < 0)
		return -EPROTO;
	weir_conn_printf(c, "%lu %s %s %d %d\n", (unsigned long)weir_conn_id(c),
			 peer_text, local_text, ntohs(peer.sin_port),
			 ntohs(local.sin_port));
	return WEIR_AGAIN;
}

START_TEST(a_connection_knows_its_number_and_addresses)
{
	struct server *s =
		serve_workers(1, WEIR_SERVICE(.readable = says_who_it_is));
	const char *port = strrchr(s->address, ':') + 1;

	for (int i = 1; i <= 5; i++) {
		struct client *c = client_open(s);
		char want[256];

		client_send(c, "who\n");
		snprintf(want, sizeof(want), "%d 127.0.0.1:%d %s %d %s\n", i,
			 client_port(c), s->address, client_port(c), port);
		client_expect(c, want);
	}
	server_stop_and_check(s);
}
END_TEST

static int turn_options(weir_conn *c, void *arg)
{
	int fd = weir_conn_fd(c), value = 1, got = 0;
	socklen_t len = sizeof(got);
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	if (n <= 0)
		return (int)n;
	if (fd < 0 || getsockopt(weir_conn_fd(c), IPPROTO_TCP, TCP_NODELAY,
				 &got, &len) < 0)
		return -EPROTO;
	weir_conn_printf(c, "nodelay %d ", got);
	if (setsockopt(weir_conn_fd(c), SOL_SOCKET, SO_KEEPALIVE, &value,
		       sizeof(value)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &got, &len) < 0)
		return -EPROTO;
	weir_conn_printf(c, "keepalive %d ", got);
	return 0;
}

START_TEST(a_connection_has_its_options)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = turn_options));
	struct client *c = client_open(s);

	client_expect_reply(c, "go\n", "nodelay 1 keepalive 1 ");
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_session_gets_its_banner_out_before_the_client_speaks)
{
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.session = reply, .opened = connect_banner));
	struct client *c = client_open(s);

	client_expect(c, "Connect");
	client_expect_reply(c, "hello", "Server replies: hello");
	client_half_close(c);
	client_expect_eof(c);
	server_stop_and_check(s);
}
END_TEST

/* Sessions have a handler of stack overflows, in the signal's default case. */
START_TEST(signals_are_as_before_after_the_last_server)
{
	struct weir_service *service = WEIR_SERVICE(.session = echo);
	struct sigaction before, during, after;
	weir_server *servers[2];

	ck_assert_int_eq(sigaction(SIGSEGV, NULL, &before), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(weir_server_new(&servers[i], NULL), 0);
		for (int k = 0; k < 2; k++)
			ck_assert_int_ge(weir_server_listen(servers[i],
							    "127.0.0.1:0",
							    service),
					 0);
	}
	ck_assert_int_eq(sigaction(SIGSEGV, NULL, &during), 0);
	weir_server_free(servers[0]);
	ck_assert_int_eq(sigaction(SIGSEGV, NULL, &after), 0);
	ck_assert_ptr_eq(after.sa_sigaction, during.sa_sigaction);
	weir_server_free(servers[1]);
	ck_assert_int_eq(sigaction(SIGSEGV, NULL, &after), 0);
	ck_assert_ptr_eq(after.sa_sigaction, before.sa_sigaction);
}
END_TEST

int main(void)
{
	return RUN_TESTS("life",
			 a_readable_life_is_opened_fed_closed_and_dropped,
			 nothing_is_called_before_there_is_something_to_read,
			 a_connection_without_a_callback_ends_unserved,
			 every_end_closes_and_drops_once,
			 a_drop_without_a_closed_callback_counts_as_a_callback,
			 data_that_is_replaced_is_dropped,
			 data_that_closed_replaces_is_dropped_once,
			 data_that_closed_takes_away_is_dropped_once,
			 a_service_may_greet_and_close,
			 a_verdict_is_logged_if_it_is_an_error_of_the_handler,
			 a_connection_knows_its_number_and_addresses,
			 a_connection_has_its_options,
			 a_session_gets_its_banner_out_before_the_client_speaks,
			 signals_are_as_before_after_the_last_server);
}
