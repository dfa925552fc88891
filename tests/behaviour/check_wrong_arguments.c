/* SPDX-License-Identifier: MIT */
/*
 * Arguments that are a program's mistake: no connection, no memory, lengths
 * that are the error of another call, a reference that was never taken.  Each
 * is answered, and the connection goes on.
 */
#include "test.h"

#include <limits.h>
#include <sys/socket.h>

static struct sockaddr_storage room;

/* Calls without a connection; returns the number of the first that is wrong. */
static int without_connection(void)
{
	struct iovec iov = { "x", 1 };
	struct weir_poll none = { NULL, WEIR_POLL_INPUT, 0 };
	struct weir_summary summary;
	const void *data;
	const char *line;
	char buf[200];
	size_t len;
	int ms;
	const ssize_t said[] = {
		weir_conn_wait(NULL, 1, 0),
		weir_conn_wait(&none, 1, 0),
		weir_conn_read(NULL, buf, 1),
		weir_conn_read_exact(NULL, buf, 1),
		weir_conn_read_line(NULL, buf, 2),
		weir_conn_read_until(NULL, buf, 2, "x", 1),
		weir_conn_peek(NULL, &data, 1),
		weir_conn_peek_line(NULL, &line),
		weir_conn_peek_until(NULL, &data, "x", 1),
		weir_conn_consume(NULL, 0),
		weir_conn_write(NULL, "x", 1),
		weir_conn_writev(NULL, &iov, 1),
		weir_conn_printf(NULL, "%s", "x"),
		weir_conn_sendfile(NULL, 0, 0, 1),
		weir_conn_flush(NULL),
		weir_conn_shutdown(NULL, SHUT_WR),
		weir_ref_send(NULL, "x", 1),
		weir_ref_wake(NULL),
		weir_ref_sendv(NULL, NULL, 0),
		weir_ref_shutdown(NULL, SHUT_WR),
		weir_ref_send_msg(NULL, NULL),
		weir_msg_new(NULL, "x", 1),
		(int)weir_ref_unsent(NULL),
		weir_ref_want_room(NULL),
		weir_conn_want_room(NULL),
		weir_conn_is_held(NULL),
		(int)weir_conn_unsent(NULL),
		weir_ref_close(NULL),
		weir_ref_cancel(NULL),
		weir_conn_why(NULL),
		weir_conn_fd(NULL),
		weir_conn_detach(NULL),
		weir_conn_is_draining(NULL),
		weir_conn_summary(NULL, &summary, sizeof(summary)),
		weir_conn_peer(NULL, buf, sizeof(buf)),
		weir_conn_local(NULL, buf, sizeof(buf)),
		weir_conn_via(NULL, buf, sizeof(buf)),
		weir_conn_proxy_tlv(NULL, 1, 0, &data, &len),
		weir_conn_proxy_tls(NULL),
		weir_conn_proxy_header(NULL, 1, buf, sizeof(buf)),
		weir_conn_set_timeout(NULL, WEIR_TIMEOUT_IDLE, 1),
		weir_conn_get_timeout(NULL, WEIR_TIMEOUT_IDLE, &ms),
		weir_conn_set_timer(NULL, 1),
	};

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++)
		if (said[i] != -EINVAL)
			return (int)i + 1;
	return 0;
}

START_TEST(a_call_without_a_connection_is_refused)
{
	ck_assert_int_eq(without_connection(), 0);
	ck_assert_ptr_null(weir_conn_ref(NULL));
	ck_assert_ptr_null(weir_conn_self(NULL));
	ck_assert_ptr_null(weir_ref_dup(NULL));
	ck_assert_ptr_null(weir_msg_dup(NULL));
	weir_msg_unref(NULL);
	ck_assert_uint_eq(weir_ref_id(NULL), 0);
	ck_assert_ptr_null(weir_conn_server(NULL));
	ck_assert_int_eq(weir_sleep(-1), -EINVAL);
	ck_assert_int_eq(weir_relay(NULL, NULL, NULL), -EINVAL);
	weir_conn_free(NULL);
	weir_ref_unref(NULL);
	ck_assert_int_eq(weir_conn_set_data(NULL, &room, NULL), -EINVAL);
	ck_assert_int_eq(weir_conn_share_data(NULL, &room, NULL), -EINVAL);
	ck_assert_ptr_null(weir_ref_data(NULL));
	ck_assert_ptr_null(weir_conn_data(NULL));
	ck_assert_uint_eq(weir_conn_id(NULL), 0);
}
END_TEST

static void expect_line(char *why)
{
	ck_assert_str_ne(why, "");
	why[0] = '\0';
}

START_TEST(rules_without_text_are_refused)
{
	weir_access *a = NULL;
	char why[100] = "";

	ck_assert_int_eq(weir_access_new(NULL, "", NULL, 0), -EINVAL);
	ck_assert_int_eq(weir_access_new(NULL, "", why, sizeof(why)), -EINVAL);
	expect_line(why);
	ck_assert_int_eq(weir_access_new(&a, NULL, why, sizeof(why)), -EINVAL);
	expect_line(why);
	ck_assert_int_eq(weir_access_load(NULL, "/dev/null", NULL, 0), -EINVAL);
	ck_assert_int_eq(weir_access_load(&a, NULL, why, sizeof(why)), -EINVAL);
	expect_line(why);
	ck_assert_int_eq(
		weir_address_check(NULL, WEIR_TO_DIAL, why, sizeof(why)),
		-EINVAL);
	expect_line(why);
	ck_assert_int_eq(weir_address_check(":80", 3, why, sizeof(why)),
			 -EINVAL);
	expect_line(why);
	ck_assert_int_eq(weir_service_check(NULL, why, sizeof(why)), -EINVAL);
	expect_line(why);
	ck_assert_ptr_null(a);
	ck_assert_ptr_null(weir_access_dup(NULL));
	weir_access_unref(NULL);
}
END_TEST

/* Each call of a handler with no memory, or with a length that is an error. */
static int with_odd_memory(weir_conn *c)
{
	const size_t wrong = (size_t)-EAGAIN, most = SSIZE_MAX;
	struct iovec none = { NULL, 1 }, odd = { "x", wrong };
	struct iovec wraps[] = { { "secret", SIZE_MAX }, { "secret", 6 } };
	struct iovec adds_up[] = { { "secret", most }, { "secret", 6 } };
	struct weir_poll odd_poll[] = { { c, 0, 0 }, { c, 4, 0 }, { c, 1, 0 } };
	const void *data;
	char buf[200], header[107];
	size_t len;
	const ssize_t said[] = {
		weir_sleep(-2),
		weir_conn_wait(odd_poll, 1, 0),
		weir_conn_wait(odd_poll + 1, 1, 0),
		weir_conn_wait(odd_poll + 2, 0, 0),
		weir_conn_wait(odd_poll + 2, -1, 0),
		weir_conn_wait(odd_poll + 2, WEIR_POLL_MOST + 1, 0),
		weir_conn_wait(odd_poll + 2, 1, -2),
		weir_conn_read(c, NULL, 1),
		weir_conn_read(c, buf, wrong),
		weir_conn_read_exact(c, NULL, 1),
		weir_conn_read_exact(c, buf, wrong),
		weir_conn_read_line(c, NULL, 2),
		weir_conn_read_line(c, buf, wrong),
		weir_conn_read_until(c, NULL, 2, "x", 1),
		weir_conn_read_until(c, buf, wrong, "x", 1),
		weir_conn_read_until(c, buf, 2, NULL, 1),
		weir_conn_read_until(c, buf, most, "x", wrong),
		weir_conn_peek(c, NULL, 1),
		weir_conn_peek(c, &data, wrong),
		weir_conn_peek_line(c, NULL),
		weir_conn_peek_until(c, NULL, "x", 1),
		weir_conn_peek_until(c, &data, NULL, 1),
		weir_conn_peek_until(c, &data, "x", 0),
		weir_conn_peek_until(c, &data, "x", wrong),
		weir_conn_consume(c, wrong),
		weir_conn_write(c, NULL, 1),
		weir_conn_write(c, buf, wrong),
		weir_conn_write(c, buf, most + 1),
		weir_conn_writev(c, NULL, 1),
		weir_conn_writev(c, &none, 1),
		weir_conn_writev(c, &odd, 1),
		weir_conn_writev(c, wraps, 2),
		weir_conn_writev(c, adds_up, 2),
		weir_conn_sendfile(c, 0, 0, (uint64_t)-EAGAIN),
		weir_conn_sendfile(c, 0, (uint64_t)-EAGAIN, 1),
		weir_ref_send(weir_conn_self(c), NULL, 1),
		weir_ref_sendv(weir_conn_self(c), NULL, 1),
		weir_ref_sendv(weir_conn_self(c), NULL, -1),
		weir_ref_shutdown(weir_conn_self(c), SHUT_RD),
		weir_ref_send(weir_conn_self(c), buf, wrong),
		weir_conn_peer(c, NULL, 100),
		weir_conn_via(c, NULL, 100),
		weir_conn_proxy_tlv(c, 1, 0, NULL, NULL),
		weir_conn_proxy_tlv(c, -1, 0, &data, &len),
		weir_conn_proxy_tlv(c, 1, -1, &data, &len),
		weir_conn_proxy_header(c, 0, header, sizeof(header)),
		weir_conn_proxy_header(c, 1, NULL, 107),
		weir_conn_proxy_header(c, 1, header, wrong),
		weir_conn_local(c, NULL, 100),
		weir_conn_get_timeout(c, WEIR_TIMEOUT_IDLE, NULL),
		weir_conn_summary(c, NULL, 0),
	};

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++)
		if (said[i] != -EINVAL)
			return (int)i + 1;
	/* Nothing, wherever it is, is not wrong. */
	return weir_conn_write(c, NULL, 0) == 0 &&
			       weir_conn_writev(c, NULL, 0) == 0
		       ? 0
		       : 1000;
}

static int try_odd_memory(weir_conn *c, void *arg)
{
	_Atomic int *wrong = arg;

	if (*wrong < 0)
		*wrong = with_odd_memory(c);
	return echo_lines(c, NULL);
}

static void expect_refused(const struct weir_service *service)
{
	_Atomic int *wrong = service->arg;
	struct server *s = serve(NULL, service);
	struct client *c = client_open(s);

	*wrong = -1;
	client_expect_echo(c, "hello\n");
	ck_assert_int_eq(*wrong, 0);
	client_expect_echo(c, "and on\n");
	server_stop_and_check(s);
}

START_TEST(memory_that_is_none_is_refused_and_nothing_leaves)
{
	_Atomic int wrong;

	expect_refused(WEIR_SERVICE(.readable = try_odd_memory, .arg = &wrong));
	expect_refused(WEIR_SERVICE(.session = try_odd_memory, .arg = &wrong));
}
END_TEST

START_TEST(an_address_needs_room)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	char buf[100];

	ck_assert_int_eq(weir_server_address(s->weir, 0, NULL, 100), -EINVAL);
	ck_assert_int_eq(weir_server_address(NULL, 0, buf, 100), -EINVAL);
	server_stop_and_check(s);
}
END_TEST

START_TEST(figures_of_a_listener_need_a_listener_and_room)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	struct weir_listener_stats l;

	ck_assert_int_eq(weir_server_listener_stats(NULL, 0, &l, sizeof(l)),
			 -EINVAL);
	ck_assert_int_eq(weir_server_listener_stats(s->weir, 0, NULL, 8),
			 -EINVAL);
	ck_assert_int_eq(weir_server_listener_stats(s->weir, 1, &l, sizeof(l)),
			 -EINVAL);
	ck_assert_int_eq(weir_server_listener_stats(s->weir, -1, &l, sizeof(l)),
			 -EINVAL);
	server_stop_and_check(s);
}
END_TEST

static int give_back_what_it_has_not(weir_conn *c, void *arg)
{
	(void)arg;
	weir_ref_unref(weir_conn_ref(c));
	weir_ref_unref(weir_conn_self(c));
	weir_ref_unref(weir_conn_self(c));
	weir_conn_free(c);
	return echo_lines(c, NULL);
}

START_TEST(a_reference_that_nobody_has_is_not_given_back)
{
	struct server *s = serve(
		NULL, WEIR_SERVICE(.readable = give_back_what_it_has_not));
	struct client *c = client_open_and_echo(s, "hello\n");

	ck_assert(log_says(s, "weir_ref_unref()"));
	ck_assert(log_says(s, "weir_conn_free()"));
	client_expect_echo(c, "and on\n");
	server_stop_and_check(s);
}
END_TEST

static int wait_though_it_may_not(weir_conn *c, void *arg)
{
	struct weir_poll own = { c, WEIR_POLL_INPUT, 0 };
	_Atomic int *said = arg;

	*said = weir_conn_wait(&own, 1, 1);
	return echo_lines(c, NULL);
}

START_TEST(a_callback_that_never_waits_cannot_wait_for_its_connection)
{
	_Atomic int said = 1;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = wait_though_it_may_not,
					 .arg = &said));

	client_open_and_echo(s, "hello\n");
	ck_assert_int_eq(said, -EINVAL);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"wrong_arguments", a_call_without_a_connection_is_refused,
		memory_that_is_none_is_refused_and_nothing_leaves,
		an_address_needs_room,
		figures_of_a_listener_need_a_listener_and_room,
		a_reference_that_nobody_has_is_not_given_back,
		a_callback_that_never_waits_cannot_wait_for_its_connection,
		rules_without_text_are_refused);
}
