/* SPDX-License-Identifier: MIT */
/*
 * What a program can ask about a stop: whether the server drains, in any thread
 * and in a handler, which then says that its answer is the last; and whether
 * the stop has ended, without waiting for it.
 */
#include "test.h"

#include <poll.h>

/* ---- the last answer */

struct asked {
	struct server *server;
	struct gate gate;
	_Atomic int said; /* by both calls, in the callback */
};

static int ask(weir_conn *c, struct asked *a)
{
	int of_conn = weir_conn_is_draining(c);
	int of_server = weir_server_is_draining(a->server->weir);

	a->said = of_conn == of_server ? of_conn : -1;
	return a->said;
}

/* Each answer tells whether another one may follow. */
static int answer_lines(weir_conn *c, void *arg)
{
	struct asked *a = arg;
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n <= 0)
		return (int)n;
	if (strcmp(line, "wait\n") == 0)
		gate_wait(&a->gate);
	if (ask(c, a) == 1)
		return weir_conn_printf(c, "close\n"); /* 0: WEIR_CLOSE */
	weir_conn_printf(c, "keep\n");
	return WEIR_AGAIN;
}

static int answer_lines_in_turn(weir_conn *c, void *arg)
{
	int rc = WEIR_AGAIN;

	while (rc == WEIR_AGAIN)
		rc = answer_lines(c, arg);
	return rc;
}

static void last_answer_says_so(const struct weir_service *service)
{
	struct asked *a = service->arg;
	struct server *s = a->server = server_new(NULL);
	struct client *c;

	server_listen(s, "127.0.0.1:0", service);
	ck_assert_int_eq(weir_server_is_draining(s->weir), 0);
	server_start(s);
	c = client_open(s);
	client_expect_reply(c, "one\n", "keep\n");
	client_wait_at_gate(c, &a->gate);
	weir_server_drain(s->weir);
	ck_assert_int_eq(weir_server_is_draining(s->weir), 1);
	gate_open(&a->gate);
	client_expect_last(c, "close\n");
	UNTIL(weir_server_join_for(s->weir, NULL, 0, 0) == 0);
	ck_assert_int_eq(weir_server_is_draining(s->weir), 1);
	server_join_and_check(s);
}

START_TEST(an_answer_says_that_it_is_the_last)
{
	struct asked readable = { .gate = GATE_CLOSED };
	struct asked session = { .gate = GATE_CLOSED };

	last_answer_says_so(
		WEIR_SERVICE(.readable = answer_lines, .arg = &readable));
	last_answer_says_so(
		WEIR_SERVICE(.session = answer_lines_in_turn, .arg = &session));
}
END_TEST

static int ask_in_each_call(weir_conn *c, void *arg)
{
	if (weir_conn_why(c) == WEIR_DRAIN) {
		ask(c, arg);
		return weir_conn_printf(c, "bye\n");
	}
	return answer_lines(c, arg);
}

START_TEST(the_last_call_of_a_parked_connection_says_that_the_server_drains)
{
	struct asked a = { .gate = GATE_CLOSED };
	struct server *s = a.server = server_new(NULL);
	struct client *c;

	server_listen(s, "127.0.0.1:0",
		      WEIR_SERVICE(.readable = ask_in_each_call, .arg = &a));
	server_start(s);
	c = client_open(s);
	client_expect_reply(c, "one\n", "keep\n");
	ck_assert_int_eq(a.said, 0);
	weir_server_drain(s->weir);
	client_expect_last(c, "bye\n");
	ck_assert_int_eq(a.said, 1);
	server_join_and_check(s);
}
END_TEST

START_TEST(a_stop_before_the_start_counts)
{
	struct server *s = server_new(NULL);

	weir_server_drain(s->weir);
	ck_assert_int_eq(weir_server_is_draining(s->weir), 1);
	weir_server_free(s->weir);
	server_check_freed(s);
}
END_TEST

START_TEST(a_dialled_connection_never_drains)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo));
	weir_conn *c;

	ck_assert_int_eq(weir_dial(&c, s->address, 0), 0);
	ck_assert_int_eq(weir_conn_is_draining(c), 0);
	weir_conn_free(c);
	weir_server_drain(s->weir);
	server_join_and_check(s);
}
END_TEST

/* ---- the end of the stop */

static bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLIN);
}

START_TEST(a_descriptor_becomes_readable_when_the_stop_has_ended)
{
	struct gate gate = GATE_CLOSED;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = echo_lines_at_gate,
					 .arg = &gate));
	struct client *c = client_open(s);
	int fd = weir_server_fd(s->weir);

	ck_assert_int_ge(fd, 0);
	client_wait_at_gate(c, &gate);
	weir_server_stop(s->weir, WEIR_NEVER);
	ck_assert(!is_readable(fd));
	gate_open(&gate);
	UNTIL(is_readable(fd));
	ck_assert_int_eq(join_fully(s->weir, NULL), 0);
	ck_assert(is_readable(fd));
	ck_assert_int_eq(weir_server_fd(s->weir), fd);
	server_join_and_check(s);
}
END_TEST

START_TEST(a_join_with_a_limit_ends_at_it)
{
	struct gate gate = GATE_CLOSED;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = echo_lines_at_gate,
					 .arg = &gate));
	struct client *c = client_open(s);
	struct weir_report report, before;
	int64_t began_at;

	memset(&report, 7, sizeof(report));
	before = report;
	for (int i = 0; i < 2; i++) { /* without a stop, and in it */
		began_at = now_ms();
		ck_assert_int_eq(weir_server_join_for(s->weir, &report,
						      sizeof(report), 20),
				 -ETIMEDOUT);
		ck_assert_int_ge(now_ms() - began_at, 20);
		ck_assert_int_eq(weir_server_join_for(s->weir, &report,
						      sizeof(report), 0),
				 -ETIMEDOUT);
		ck_assert_mem_eq(&report, &before, sizeof(report));
		if (i == 0) {
			client_wait_at_gate(c, &gate);
			weir_server_stop(s->weir, WEIR_NEVER);
		}
	}
	gate_open(&gate);
	ck_assert_int_eq(weir_server_join_for(s->weir, &report, sizeof(report),
					      WEIR_NEVER),
			 0);
	ck_assert_uint_eq(report.ledger.completed, 1);
	ck_assert_int_eq(weir_server_join_for(s->weir, NULL, 0, 0), 0);
	server_join_and_check(s);
}
END_TEST

START_TEST(a_join_with_a_limit_names_stuck_callbacks_as_any_other)
{
	struct gate gate = GATE_CLOSED;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = echo_lines_at_gate,
					 .arg = &gate));
	struct client *c = client_open(s);
	struct weir_report report;
	int rc;

	client_wait_at_gate(c, &gate);
	weir_server_stop(s->weir, 0);
	UNTIL((rc = weir_server_join_for(s->weir, &report, sizeof(report),
					 0)) != -ETIMEDOUT);
	ck_assert_int_eq(rc, -EBUSY);
	ck_assert_uint_eq(report.stuck, 1);
	gate_open(&gate);
	UNTIL(weir_server_join_for(s->weir, NULL, 0, 0) == -ECANCELED);
	client_close(c);
	server_join_and_check(s);
}
END_TEST

START_TEST(odd_questions_are_answered)
{
	struct server *s = server_new(NULL);

	ck_assert_int_eq(weir_server_is_draining(NULL), -EINVAL);
	ck_assert_int_eq(weir_server_fd(NULL), -EINVAL);
	ck_assert_int_ge(weir_server_fd(s->weir), 0);
	ck_assert_int_eq(weir_server_join_for(NULL, NULL, 0, 0), -EINVAL);
	ck_assert_int_eq(weir_server_join_for(s->weir, NULL, 0, 0), -EINVAL);
	server_listen(s, "127.0.0.1:0", WEIR_SERVICE(.readable = echo));
	server_start(s);
	ck_assert_int_eq(weir_server_join_for(s->weir, NULL, 0, -2), -EINVAL);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"draining", an_answer_says_that_it_is_the_last,
		the_last_call_of_a_parked_connection_says_that_the_server_drains,
		a_stop_before_the_start_counts,
		a_dialled_connection_never_drains,
		a_descriptor_becomes_readable_when_the_stop_has_ended,
		a_join_with_a_limit_ends_at_it,
		a_join_with_a_limit_names_stuck_callbacks_as_any_other,
		odd_questions_are_answered);
}
