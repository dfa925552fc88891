/* SPDX-License-Identifier: MIT */
/*
 * Errors of accept(2): no free descriptor while clients wait, and clients that
 * were gone before they were accepted.  The sockets of the clients exist first,
 * so that only the server lacks descriptors.
 */
#include "test.h"

#define CLIENTS	 20
#define WATCH_MS 500

static void open_sockets(struct server *s, struct client **c, int count)
{
	for (int i = 0; i < count; i++)
		c[i] = client_new(s->address, 0);
}

static void client_is_served(struct client *c)
{
	client_expect_echo(c, "hello\n");
	client_half_close(c);
	client_expect_eof(c);
}

/* Nothing can be accepted for a while: the server must not spin. */
static void expect_calm(struct server *s)
{
	int64_t began_at = now_ms(), cpu = cpu_ms();
	uint64_t shortages = stats(s).shortages;
	int lines = log_lines(s);
	int64_t took;

	UNTIL(now_ms() >= began_at + WATCH_MS);
	cpu = cpu_ms() - cpu;
	lines = log_lines(s) - lines;
	shortages = stats(s).shortages - shortages;
	took = now_ms() - began_at;
	ck_assert_int_lt(cpu, took / 4);
	ck_assert_int_le(lines, 2 + took / 1000);
	ck_assert_uint_le(shortages, (uint64_t)(60 * took / WATCH_MS));
}

START_TEST(without_descriptors_clients_wait_until_one_is_free)
{
	struct server *s =
		serve_workers(2, WEIR_SERVICE(.readable = echo_lines));
	struct client *c[CLIENTS];
	struct weir_report report;

	open_sockets(s, c, CLIENTS);
	leave_descriptors(4);
	for (int i = 0; i < CLIENTS; i++)
		ck_assert_int_eq(client_connect(c[i], s->address), 0);
	UNTIL(stats(s).shortages > 0);
	expect_calm(s);
	ck_assert_uint_le(stats(s).ledger.accepted, 5);
	for (int i = 0; i < CLIENTS; i++)
		client_is_served(c[i]);
	leave_all_descriptors();
	ck_assert_int_le(log_lines(s), 20);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, CLIENTS);
}
END_TEST

/* The rest of the program releases descriptors, no connection does. */
START_TEST(a_descriptor_that_others_free_is_found)
{
	struct server *s =
		serve_workers(2, WEIR_SERVICE(.readable = echo_lines));
	struct client *c;

	open_sockets(s, &c, 1);
	leave_descriptors(0);
	ck_assert_int_eq(client_connect(c, s->address), 0);
	client_send(c, "hello\n");
	UNTIL(stats(s).shortages > 0);
	leave_descriptors(1);
	client_expect(c, "hello\n");
	leave_all_descriptors();
	server_stop_and_check(s);
}
END_TEST

static int64_t time_of_five_looks(struct server *s)
{
	uint64_t count = stats(s).shortages + 5;
	int64_t began_at = now_ms();

	UNTIL(stats(s).shortages >= count);
	return now_ms() - began_at;
}

/* A waiting client is accepted within a second, however long it has lasted. */
START_TEST(a_shortage_that_lasts_is_looked_at_often)
{
	struct server *s =
		serve_workers(2, WEIR_SERVICE(.readable = echo_lines));
	struct client *c;

	open_sockets(s, &c, 1);
	leave_descriptors(0);
	ck_assert_int_eq(client_connect(c, s->address), 0);
	UNTIL(stats(s).shortages >= 6);
	MOSTLY(time_of_five_looks(s) < 2000 * slowness());
	leave_all_descriptors();
	server_stop_and_check(s);
}
END_TEST

START_TEST(without_descriptors_clients_are_refused_if_so_configured)
{
	struct server *s =
		serve(WEIR_CONFIG(.workers = 2, .overload = WEIR_REFUSE,
				  .refusal = "no room\n"),
		      WEIR_SERVICE(.readable = echo_lines));
	struct client *c[CLIENTS];
	struct weir_report report;
	uint64_t served = 0;
	char first[16];

	open_sockets(s, c, CLIENTS);
	leave_descriptors(2);
	for (int i = 0; i < CLIENTS; i++) {
		ck_assert_int_eq(client_connect(c[i], s->address), 0);
		client_send(c[i], "hello\n");
	}
	UNTIL(stats(s).shortages > 0);
	for (int i = 0; i < CLIENTS; i++) {
		ssize_t n = client_read(c[i], first, sizeof(first));

		ck_assert_int_gt(n, 0);
		served += first[0] == 'h';
		client_half_close(c[i]);
		client_read_to_eof(c[i]);
	}
	leave_all_descriptors();
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, served);
	ck_assert_uint_eq(report.ledger.refused_limit, CLIENTS - served);
	ck_assert_uint_gt(served, 0);
}
END_TEST

START_TEST(a_stop_without_descriptors_serves_clients_that_wait)
{
	struct server *s =
		serve_workers(2, WEIR_SERVICE(.readable = echo_lines));
	struct client *c[CLIENTS];
	struct weir_report report;

	open_sockets(s, c, CLIENTS);
	leave_descriptors(3);
	for (int i = 0; i < CLIENTS; i++) {
		ck_assert_int_eq(client_connect(c[i], s->address), 0);
		client_send(c[i], "hello\n");
	}
	UNTIL(stats(s).shortages > 0);
	weir_server_stop(s->weir, 60000);
	for (int i = 0; i < CLIENTS; i++)
		client_expect_last(c[i], "hello\n");
	leave_all_descriptors();
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, CLIENTS);
}
END_TEST

static int echo_lines_of_any(weir_conn *c, void *arg)
{
	(void)arg;
	return echo_lines(c, NULL);
}

static int count_the_served(weir_conn *c, void *arg)
{
	(void)c;
	atomic_fetch_add((_Atomic int *)arg, 1);
	return WEIR_AGAIN;
}

/* They reset while max_connections keeps them in the backlog. */
START_TEST(a_client_that_resets_before_it_is_accepted_is_no_trouble)
{
	_Atomic int served = 0;
	struct server *s = serve(
		WEIR_CONFIG(.workers = 2, .max_connections = 1),
		WEIR_SERVICE(.opened = count_the_served,
			     .readable = echo_lines_of_any, .arg = &served));
	struct client *first = client_open(s), *c[50];
	struct weir_report report;

	client_expect_echo(first, "hello\n");
	for (int i = 0; i < 50; i++)
		c[i] = client_open_and_send(s, "hello\n");
	for (int i = 0; i < 50; i++)
		client_reset(c[i]);
	client_half_close(first);
	client_expect_eof(first);
	client_close(first);
	UNTIL(is_at_rest(s));
	client_is_served(client_open(s));
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 2);
	ck_assert_uint_eq(report.ledger.failed, report.ledger.accepted - 2);
	ck_assert_int_eq(atomic_load(&served), 2);
}
END_TEST

struct visitor {
	struct gate gate;
	char name[64];
	int rc;
	_Atomic bool is_known;
};

static int names_its_peer_at_gate(weir_conn *c, void *arg)
{
	struct visitor *v = arg;

	gate_wait(&v->gate);
	v->rc = weir_conn_peer(c, v->name, sizeof(v->name));
	atomic_store(&v->is_known, true);
	return 0;
}

/* The kernel has dropped it, but accept(2) reported it. */
START_TEST(the_address_of_a_peer_that_has_gone_is_known)
{
	struct visitor v = { .gate = GATE_CLOSED };
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = names_its_peer_at_gate,
					 .arg = &v));
	struct client *c = client_open(s);
	char name[64];

	snprintf(name, sizeof(name), "127.0.0.1:%d", client_port(c));
	client_send(c, "hello\n");
	UNTIL(gate_waiting(&v.gate) == 1);
	client_reset(c);
	gate_open(&v.gate);
	UNTIL(atomic_load(&v.is_known));
	ck_assert_int_eq(v.rc, (int)strlen(name));
	ck_assert_str_eq(v.name, name);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"accept", without_descriptors_clients_wait_until_one_is_free,
		a_descriptor_that_others_free_is_found,
		a_shortage_that_lasts_is_looked_at_often,
		without_descriptors_clients_are_refused_if_so_configured,
		a_stop_without_descriptors_serves_clients_that_wait,
		a_client_that_resets_before_it_is_accepted_is_no_trouble,
		the_address_of_a_peer_that_has_gone_is_known);
}
