/* SPDX-License-Identifier: MIT */
/*
 * Several listeners of one server: however many clients one of them has, those
 * of the others are accepted, under both overload policies.
 */
#include "test.h"

#define CROWD  40
#define BUDGET 64 /* of one listener, if there is room for all of them */

/* The listeners of the accepted clients, in order. */
static char order[4 * BUDGET];
static _Atomic int served;

static int note_listener(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n <= 0)
		return (int)n;
	order[atomic_load(&served)] = *(const char *)arg; /* one worker */
	atomic_fetch_add(&served, 1);
	weir_conn_write(c, line, (size_t)n);
	return 0;
}

struct pair {
	struct server *server;
	char busy[64], other[64];
};

/* The busy listener is the first or the second of the two. */
static struct pair listen_twice(const struct weir_config *config,
				weir_handler_fn *readable, int busy)
{
	struct pair p = { .server = server_new(config) };
	static char names[] = "bo", *name[2];

	name[busy] = &names[0];
	name[!busy] = &names[1];
	for (int i = 0; i < 2; i++)
		server_listen(
			p.server, "127.0.0.1:0",
			WEIR_SERVICE(.readable = readable, .arg = name[i]));
	server_address(p.server, busy, p.busy, sizeof(p.busy));
	server_address(p.server, !busy, p.other, sizeof(p.other));
	return p;
}

static struct client *ask_at(const char *address)
{
	struct client *c = client_open_at(address);

	client_send(c, "hello\n");
	return c;
}

/* All have connected before the first is accepted. */
static void other_is_served_in_its_turn(const struct weir_config *config,
					int busy)
{
	struct pair p = listen_twice(config, note_listener, busy);
	struct client *c;

	atomic_store(&served, 0);
	for (int i = 0; i < 2 * BUDGET; i++)
		client_half_close(ask_at(p.busy));
	c = ask_at(p.other);
	client_half_close(c);
	server_start(p.server);
	client_expect(c, "hello\n");
	UNTIL(atomic_load(&served) == 2 * BUDGET + 1);
	ck_assert_msg(memchr(order, 'o', BUDGET + 2), "the order was %.*s",
		      2 * BUDGET + 1, order);
	server_stop_and_check(p.server);
}

START_TEST(a_place_that_gets_free_goes_to_each_listener_in_turn)
{
	for (int busy = 0; busy < 2; busy++) {
		other_is_served_in_its_turn(
			WEIR_CONFIG(.workers = 1, .max_connections = 1), busy);
		other_is_served_in_its_turn(
			WEIR_CONFIG(.workers = 1, .queue_length = 1), busy);
		other_is_served_in_its_turn(
			WEIR_CONFIG(.workers = 1, .queue_length = 8), busy);
	}
}
END_TEST

/* Clients that stay take all places of one listener. */
static void other_has_a_place(const struct weir_config *config, int busy)
{
	struct pair p = listen_twice(config, echo_lines, busy);
	struct client *c;

	server_start(p.server);
	for (int i = 0; i < CROWD; i++)
		(void)ask_at(p.busy);
	UNTIL(stats(p.server).parked >= 7);
	c = ask_at(p.other);
	client_expect(c, "hello\n");
	ck_assert_uint_le(stats(p.server).parked, 8);
	client_close(c);
	clients_close();
	server_stop_and_check(p.server);
}

START_TEST(a_listener_without_connections_finds_a_place_while_others_hold)
{
	for (int busy = 0; busy < 2; busy++)
		other_has_a_place(
			WEIR_CONFIG(.workers = 1, .max_connections = 8), busy);
}
END_TEST

START_TEST(a_listener_without_connections_is_not_refused_for_others)
{
	for (int busy = 0; busy < 2; busy++)
		other_has_a_place(WEIR_CONFIG(.workers = 1,
					      .max_connections = 8,
					      .overload = WEIR_REFUSE),
				  busy);
}
END_TEST

static struct gate gate = GATE_CLOSED;

static int wait_at_gate(weir_conn *c, void *arg)
{
	(void)arg;
	gate_wait(&gate);
	return echo_lines(c, NULL);
}

START_TEST(a_listener_with_nothing_in_the_queue_finds_a_place_there)
{
	struct pair p =
		listen_twice(WEIR_CONFIG(.workers = 1, .queue_length = 8,
					 .overload = WEIR_REFUSE),
			     wait_at_gate, 0);
	struct client *c;

	server_start(p.server);
	(void)ask_at(p.busy);
	UNTIL(gate_waiting(&gate) == 1);
	for (int i = 0; i < CROWD; i++)
		(void)ask_at(p.busy);
	/* The one that is being refused counts as queued for a moment. */
	UNTIL(stats(p.server).ledger.accepted == CROWD + 1 &&
	      stats(p.server).queued == 7);
	c = ask_at(p.other);
	UNTIL(stats(p.server).queued == 8);
	gate_open(&gate);
	client_expect(c, "hello\n");
	server_stop_and_check(p.server);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"fair_listeners",
		a_place_that_gets_free_goes_to_each_listener_in_turn,
		a_listener_without_connections_finds_a_place_while_others_hold,
		a_listener_without_connections_is_not_refused_for_others,
		a_listener_with_nothing_in_the_queue_finds_a_place_there);
}
