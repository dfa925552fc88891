/* SPDX-License-Identifier: MIT */
/*
 * Stops without a free descriptor: waiting clients are served, or refused at
 * the deadline, with the one descriptor in reserve.
 */
#include "test.h"

#include <sys/resource.h>

struct shortage {
	struct rlimit before;
	int fd[64];
	int count;
};

static void shortage_start(struct shortage *sh)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &sh->before);
	limit = sh->before;
	limit.rlim_cur = 64;
	setrlimit(RLIMIT_NOFILE, &limit);
	sh->count = 0;
	while (sh->count < 64 && (sh->fd[sh->count] = dup(0)) >= 0)
		sh->count++;
	ck_assert_int_lt(dup(0), 0);
}

static void shortage_stop(struct shortage *sh)
{
	while (sh->count > 0)
		close(sh->fd[--sh->count]);
	setrlimit(RLIMIT_NOFILE, &sh->before);
}

START_TEST(a_stop_in_a_shortage_that_keeps_nobody_waiting_ends_early)
{
	const int grace_ms = 15000 * slowness();
	struct server *s =
		serve(WEIR_CONFIG(.workers = 1, .overload = WEIR_REFUSE,
				  .refusal = "no room\n"),
		      WEIR_SERVICE(.readable = echo_lines));
	struct client *late = client_new(s->address, 0);
	struct shortage shortage;
	struct weir_report report;

	shortage_start(&shortage);
	ck_assert_int_eq(client_connect(late, s->address), 0);
	client_expect_last(late, "no room\n");
	weir_server_stop(s->weir, grace_ms);
	ck_assert_int_eq(join_fully(s->weir, &report), 0);
	shortage_stop(&shortage);
	ck_assert_uint_lt(report.drain_ms, (uint64_t)grace_ms / 2);
	ck_assert_uint_eq(report.ledger.refused_limit, 1);
	server_join_and_check(s);
}
END_TEST

/* The server closes nothing: it has one descriptor in reserve. */
START_TEST(a_stop_in_a_shortage_that_lasts_serves_one_after_the_other)
{
	const int grace_ms = 30000 * slowness();
	struct server *s =
		serve_workers(1, WEIR_SERVICE(.readable = echo_lines));
	struct client *late[5];
	struct shortage shortage;
	struct weir_report report;

	for (int i = 0; i < 5; i++)
		late[i] = client_new(s->address, 0);
	shortage_start(&shortage);
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(client_connect(late[i], s->address), 0);
		client_send(late[i], "hello\n");
	}
	UNTIL(stats(s).shortages > 0);
	weir_server_stop(s->weir, grace_ms);
	for (int i = 0; i < 5; i++)
		client_expect_last(late[i], "hello\n");
	ck_assert_int_eq(join_fully(s->weir, &report), 0);
	shortage_stop(&shortage);
	ck_assert_uint_lt(report.drain_ms, (uint64_t)grace_ms / 2);
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 5);
}
END_TEST

START_TEST(a_client_that_waits_in_a_shortage_is_told_of_the_stop)
{
	struct server *s =
		serve(WEIR_CONFIG(.workers = 1, .refusal = "no room\n"),
		      WEIR_SERVICE(.readable = echo_lines));
	struct client *late[3];
	struct shortage shortage;
	struct weir_report report;

	for (int i = 0; i < 3; i++)
		late[i] = client_new(s->address, 0);
	shortage_start(&shortage);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(client_connect(late[i], s->address), 0);
		client_send(late[i], "hello\n");
	}
	UNTIL(stats(s).shortages > 0);
	weir_server_stop(s->weir, 0);
	for (int i = 0; i < 3; i++)
		client_expect_last(late[i], "no room\n");
	ck_assert_int_eq(join_fully(s->weir, NULL), 0);
	shortage_stop(&shortage);
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.refused_drain, 3);
}
END_TEST

/* Refused, or served if the deadline was late. */
static bool is_refused(struct client *c)
{
	char text[16] = "";

	ck_assert_int_gt(client_read(c, text, sizeof(text) - 1), 0);
	client_expect_eof(c);
	ck_assert(strcmp(text, "no room\n") == 0 ||
		  strcmp(text, "hello\n") == 0);
	return text[0] == 'n';
}

/*
 * The first has the only descriptor; the others wait until the deadline.  A
 * callback that the machine keeps from returning in time keeps a descriptor,
 * and the others may not be told: false.
 */
static bool deadline_in_a_shortage(const struct weir_service *service,
				   bool (*has_begun)(struct server *),
				   struct weir_report *ret)
{
	struct server *s = serve(
		WEIR_CONFIG(.workers = 1, .refusal = "no room\n"), service);
	struct client *late[5];
	struct shortage shortage;
	unsigned int served = 0;
	bool is_good;

	for (int i = 0; i < 5; i++)
		late[i] = client_new(s->address, 0);
	shortage_start(&shortage);
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(client_connect(late[i], s->address), 0);
		client_send(late[i], "hello\n");
	}
	UNTIL(stats(s).shortages > 0);
	weir_server_stop(s->weir, WEIR_NEVER);
	UNTIL(has_begun(s));
	weir_server_stop(s->weir, 0);
	(void)join_fully(s->weir, ret);
	is_good = ret->stuck == 0;
	shortage_stop(&shortage);
	for (int i = 1; i < 5 && is_good; i++)
		served += !is_refused(late[i]);
	*ret = server_join_and_check(s);
	if (is_good)
		ck_assert_uint_eq(ret->ledger.refused_drain, 4 - served);
	return is_good;
}

static bool is_lingering(struct server *s)
{
	return stats(s).lingering == 1;
}

static bool one_lingers_at_the_deadline(void)
{
	struct weir_report report;

	return deadline_in_a_shortage(WEIR_SERVICE(.readable = echo_lines),
				      is_lingering, &report);
}

START_TEST(one_that_lingers_at_the_deadline_leaves_its_descriptor_to_others)
{
	MOSTLY(one_lingers_at_the_deadline());
}
END_TEST

static int write_without_end(weir_conn *c, void *arg)
{
	static const char block[65536];
	int rc;

	(void)arg;
	do
		rc = weir_conn_write(c, block, sizeof(block));
	while (rc == 0);
	return rc;
}

static bool one_is_cut_at_the_deadline(void)
{
	struct weir_report report;
	bool is_good = deadline_in_a_shortage(
		WEIR_SERVICE(.session = write_without_end), session_waits,
		&report);

	ck_assert_uint_eq(report.ledger.cut, 1);
	return is_good;
}

START_TEST(one_that_is_cut_at_the_deadline_leaves_its_descriptor_to_others)
{
	MOSTLY(one_is_cut_at_the_deadline());
}
END_TEST

START_TEST(a_client_that_waits_in_a_shortage_is_served_if_it_ends_in_time)
{
	struct server *s =
		serve_workers(1, WEIR_SERVICE(.readable = echo_lines));
	struct client *late = client_new(s->address, 0);
	struct shortage shortage;
	struct weir_report report;

	shortage_start(&shortage);
	ck_assert_int_eq(client_connect(late, s->address), 0);
	client_send(late, "hello\n");
	UNTIL(stats(s).shortages > 0);
	weir_server_stop(s->weir, 60000 * slowness());
	shortage_stop(&shortage);
	client_expect_last(late, "hello\n");
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 1);
}
END_TEST

/* The acceptor logs this, and is held up. */
static void log_at_gate(int level, const char *line, void *arg)
{
	(void)level;
	if (strstr(line, "cannot accept"))
		gate_wait(arg);
}

START_TEST(a_stop_is_timed_from_its_request)
{
	struct gate gate = GATE_CLOSED;
	struct server *s =
		serve(WEIR_CONFIG(.log = log_at_gate, .log_arg = &gate),
		      WEIR_SERVICE(.readable = echo_lines));
	struct client *late = client_new(s->address, 0);
	struct shortage shortage;
	struct weir_report report;
	int64_t asked_at;

	shortage_start(&shortage);
	ck_assert_int_eq(client_connect(late, s->address), 0);
	UNTIL(gate_waiting(&gate) == 1);
	asked_at = now_ms();
	weir_server_stop(s->weir, 60000 * slowness());
	weir_server_stop(s->weir, 0);
	UNTIL(now_ms() >= asked_at + 150);
	gate_open(&gate);
	ck_assert_int_eq(join_fully(s->weir, &report), 0);
	shortage_stop(&shortage);
	ck_assert_uint_ge(report.drain_ms, 149);
	server_join_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"shortage",
		a_stop_in_a_shortage_that_keeps_nobody_waiting_ends_early,
		a_stop_in_a_shortage_that_lasts_serves_one_after_the_other,
		a_client_that_waits_in_a_shortage_is_told_of_the_stop,
		one_that_lingers_at_the_deadline_leaves_its_descriptor_to_others,
		one_that_is_cut_at_the_deadline_leaves_its_descriptor_to_others,
		a_client_that_waits_in_a_shortage_is_served_if_it_ends_in_time,
		a_stop_is_timed_from_its_request);
}
