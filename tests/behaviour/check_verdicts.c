/* SPDX-License-Identifier: MIT */
/*
 * Verdicts that no handler may return, and errors: the connection is closed,
 * never parked for ever, and the log says why, in a limited number of lines
 * whose form no peer can change.
 */
#include "test.h"

#include <stddef.h>
#include <sys/un.h>

static int say_again_without_asking(weir_conn *c, void *arg)
{
	(void)c;
	(void)arg;
	return -EAGAIN;
}

static int say_again_after_a_read(weir_conn *c, void *arg)
{
	char buf[64];

	(void)arg;
	return weir_conn_read(c, buf, sizeof(buf)) > 0 ? -EAGAIN : 0;
}

static int say_wait_without_asking(weir_conn *c, void *arg)
{
	(void)c;
	(void)arg;
	return WEIR_WAIT;
}

static int return_what_it_has_read(weir_conn *c, void *arg)
{
	char buf[64];

	(void)arg;
	return (int)weir_conn_read(c, buf, sizeof(buf));
}

START_TEST(a_handler_that_says_EAGAIN_for_nothing_is_dropped)
{
	weir_handler_fn *const wrong[] = {
		say_again_without_asking,
		say_again_after_a_read,
		say_wait_without_asking,
	};

	for (int i = 0; i < 3; i++) {
		struct server *s =
			serve(NULL, WEIR_SERVICE(.readable = wrong[i]));
		struct client *c = client_open(s);
		struct weir_report report;

		client_send(c, "anything");
		client_expect_end(c);
		report = server_stop_and_check(s);
		ck_assert_uint_eq(report.ledger.failed, 1);
	}
}
END_TEST

/* Such as that of a lookup while no name server answers. */
START_TEST(the_EAGAIN_of_another_call_is_an_error)
{
	const struct weir_service services[] = {
		*WEIR_SERVICE(.session = say_again_without_asking,
			      .speaks_first = 1),
		*WEIR_SERVICE(.session = say_again_without_asking,
			      .speaks_first = 1, .session_on_worker = 1),
		*WEIR_SERVICE(.session = say_again_without_asking),
		*WEIR_SERVICE(.opened = say_again_without_asking,
			      .readable = return_what_it_has_read),
	};

	for (int i = 0; i < 4; i++) {
		struct server *s = serve(NULL, &services[i]);
		struct client *c = client_open(s);

		if (i == 2)
			client_send(c, "begin");
		client_expect_end(c);
		UNTIL(log_lines(s) == 1);
		ck_assert_msg(!log_says(s, "bug"), "%s", s->log);
		ck_assert_uint_eq(server_stop_and_check(s).ledger.failed, 1);
	}
}
END_TEST

START_TEST(a_count_of_bytes_is_no_verdict)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = return_what_it_has_read));

	for (size_t len = 1; len <= 4; len++) {
		struct client *c = client_open(s);

		client_send_bytes(c, "four", len);
		client_expect_end(c);
		UNTIL(log_lines(s) == (int)len);
	}
	ck_assert(log_says(s, "no verdict"));
	ck_assert_uint_eq(server_stop_and_check(s).ledger.failed, 4);
}
END_TEST

START_TEST(the_log_names_the_connection_of_a_wrong_verdict)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = say_again_without_asking));
	struct client *c = client_open_and_send(s, "anything");
	char name[64];

	snprintf(name, sizeof(name),
		 "connection 1 from 127.0.0.1:%d: ", client_port(c));
	client_expect_end(c);
	UNTIL(log_lines(s) == 1);
	ck_assert_msg(log_says(s, name), "%s", s->log);
	server_stop_and_check(s);
}
END_TEST

static int echo_and_wait(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0)
		weir_conn_write(c, line, (size_t)n);
	return n == -EAGAIN ? WEIR_WAIT : n == 0 ? WEIR_CLOSE : (int)n;
}

START_TEST(a_verdict_by_its_name_is_the_same)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_and_wait));
	struct client *c = client_open(s);
	struct weir_report report;

	for (int i = 0; i < 3; i++)
		client_expect_echo(c, "line\n");
	client_half_close(c);
	client_expect_eof(c);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 1);
}
END_TEST

static int say_again_to_everything(weir_conn *c, void *arg)
{
	char line[64];

	if (weir_conn_why(c) == WEIR_DRAIN)
		atomic_fetch_add((_Atomic int *)arg, 1);
	else if (weir_conn_read_line(c, line, sizeof(line)) > 0)
		weir_conn_printf(c, "heard\n");
	return WEIR_AGAIN;
}

START_TEST(WEIR_AGAIN_holds_no_stop)
{
	_Atomic int drains = 0;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = say_again_to_everything,
					 .arg = &drains));
	struct client *c = client_open(s);
	struct weir_report report;

	client_expect_reply(c, "line\n", "heard\n");
	weir_server_stop(s->weir, 60000 * slowness());
	client_expect_eof(c);
	report = server_join_and_check(s);
	ck_assert_int_eq(drains, 1);
	ck_assert_uint_eq(report.ledger.completed, 1);
}
END_TEST

static int return_an_error(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	return n <= 0 ? (int)n : -EIO;
}

/* The name of a peer is what the peer chose. */
START_TEST(a_name_does_not_reach_the_log_as_it_is)
{
	static const char name[] = "\0odd \x1b[2J\nforged\r\t\x7f\xff";
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct server *s = serve_at(own_unix_address(), NULL,
				    WEIR_SERVICE(.readable = return_an_error));
	struct client *c = client_new(s->address, 0);
	size_t len = sizeof(name) - 1;

	memcpy(addr.sun_path, name, len);
	len += offsetof(struct sockaddr_un, sun_path);
	ck_assert_int_eq(bind(c->fd, (struct sockaddr *)&addr, (socklen_t)len),
			 0);
	ck_assert_int_eq(client_connect(c, s->address), 0);
	client_send(c, "anything\n");
	client_expect_end(c);
	UNTIL(log_lines(s) == 1);
	ck_assert_msg(log_says(s, "odd \\x1b[2J\\x0aforged"), "%s", s->log);
	for (size_t i = 0; i + 1 < s->log_len; i++)
		ck_assert_int_eq(s->log[i] >= ' ' && s->log[i] <= '~', true);
	server_stop_and_check(s);
}
END_TEST

static size_t anything(const struct client_group *group, int i, char *buf,
		       size_t cap)
{
	(void)group;
	return (size_t)snprintf(buf, cap, "%d\n", i);
}

START_TEST(a_thousand_failures_are_a_few_lines_and_none_is_forgotten)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = return_an_error));
	struct client_group *group = group_open(s, 1000);
	uint64_t lines;

	group_send(group, anything);
	group_expect_eof(group);
	group_close(group);
	UNTIL(is_at_rest(s));
	lines = (uint64_t)log_lines(s);
	ck_assert_uint_gt(lines, 0);
	ck_assert_uint_lt(lines, 500);
	ck_assert_uint_eq(lines + stats(s).log_dropped, 1000);
	ck_assert_uint_eq(server_stop_and_check(s).ledger.failed, 1000);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"verdicts", a_handler_that_says_EAGAIN_for_nothing_is_dropped,
		the_EAGAIN_of_another_call_is_an_error,
		a_count_of_bytes_is_no_verdict,
		the_log_names_the_connection_of_a_wrong_verdict,
		a_verdict_by_its_name_is_the_same, WEIR_AGAIN_holds_no_stop,
		a_name_does_not_reach_the_log_as_it_is,
		a_thousand_failures_are_a_few_lines_and_none_is_forgotten);
}
