/* SPDX-License-Identifier: MIT */
/*
 * A configuration that changes while the server serves: each value takes effect
 * at once, a wrong one changes nothing, and no connection is lost.
 */
#include "test.h"

#define GATED(gate) WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = (gate))

static void configure(struct server *s, const struct weir_config *config)
{
	ck_assert_int_eq(weir_server_configure(s->weir, config), 0);
}

/* ---- limits */

START_TEST(a_lower_limit_ends_no_connection_and_holds_the_next)
{
	struct server *s = serve(WEIR_CONFIG(.max_connections = 100),
				 WEIR_SERVICE(.readable = echo_lines));
	struct client *open[5], *held;

	for (int i = 0; i < 5; i++)
		open[i] = client_open_and_echo(s, "hello\n");
	configure(s, WEIR_CONFIG(.max_connections = 3));
	ck_assert_uint_eq(stats(s).max_connections, 3);
	held = client_open_and_send(s, "held\n");
	for (int i = 0; i < 5; i++)
		client_expect_echo(open[i], "still here\n");
	for (int i = 0; i < 2; i++)
		client_close(open[i]);
	UNTIL(stats(s).ledger.open == 3);
	ck_assert(!client_has_input(held));
	client_close(open[2]); /* there is room for one */
	client_expect(held, "held\n");
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_higher_limit_lets_held_clients_in)
{
	struct server *s = serve(WEIR_CONFIG(.max_connections = 100),
				 WEIR_SERVICE(.readable = echo_lines));
	struct client *held[5];

	configure(s, WEIR_CONFIG(.max_connections = 1));
	client_open_and_echo(s, "hello\n");
	for (int i = 0; i < 5; i++)
		held[i] = client_open_and_send(s, "held\n");
	configure(s, WEIR_CONFIG(.max_connections = 100));
	for (int i = 0; i < 5; i++)
		client_expect(held[i], "held\n");
	server_stop_and_check(s);
}
END_TEST

/* A closed connection keeps its slot while it is referred to. */
enum { REFS = 8500 }; /* for 1 connection there are 8448 slots */

static int say_and_keep_reference(weir_conn *c, void *arg)
{
	_Atomic(weir_ref *) **next = arg;

	*(*next)++ = weir_conn_ref(c);
	return WEIR_CLOSE;
}

START_TEST(a_limit_rises_above_its_first_value)
{
	static _Atomic(weir_ref *) refs[REFS];
	_Atomic(weir_ref *) *next = refs;
	struct server *s = serve(WEIR_CONFIG(.workers = 1, .max_connections = 1,
					     .max_dialled = 1),
				 WEIR_SERVICE(.opened = say_and_keep_reference,
					      .readable = echo_lines,
					      .arg = (void *)&next));

	configure(s, WEIR_CONFIG(.max_connections = 20000));
	ck_assert_uint_eq(stats(s).max_connections, 20000);
	for (int i = 0; i < REFS; i++) {
		struct client *c = client_open(s);

		client_expect_eof(c);
		client_close(c);
	}
	for (int i = 0; i < REFS; i++)
		weir_ref_unref(refs[i]);
	server_stop_and_check(s);
}
END_TEST

START_TEST(held_clients_are_refused_as_soon_as_the_server_refuses)
{
	struct server *s = serve(WEIR_CONFIG(.max_connections = 1),
				 WEIR_SERVICE(.readable = echo_lines));
	struct client *c = client_open_and_echo(s, "hello\n");
	struct client *held = client_open(s);

	configure(s, WEIR_CONFIG(.max_connections = 1, .overload = WEIR_REFUSE,
				 .refusal = "come back later\n"));
	client_expect_last(held, "come back later\n");
	client_expect_last(client_open(s), "come back later\n");
	configure(s, WEIR_CONFIG(.max_connections = 1, .overload = WEIR_REFUSE,
				 .refusal = "full\n"));
	client_expect_last(client_open(s), "full\n");
	configure(s, WEIR_CONFIG(.max_connections = 1));
	held = client_open_and_send(s, "held\n");
	client_expect_echo(c, "still here\n");
	client_close(c);
	client_expect(held, "held\n");
	ck_assert_uint_eq(server_stop_and_check(s).ledger.refused_limit, 3);
}
END_TEST

START_TEST(a_queue_becomes_shorter_and_its_age_lower)
{
	struct gate gate = GATE_CLOSED;
	struct server *s =
		serve(WEIR_CONFIG(.workers = 1, .overload = WEIR_REFUSE),
		      GATED(&gate));
	struct client *c = client_open(s), *queued, *refused;

	client_wait_at_gate(c, &gate);
	queued = client_open(s);
	UNTIL(stats(s).queued == 1);
	configure(s, WEIR_CONFIG(.queue_length = 1, .overload = WEIR_REFUSE));
	refused = client_open(s);
	client_expect_last(refused, "busy, try later\n");
	client_close(refused);
	UNTIL(stats(s).ledger.refused_full == 1);
	configure(s, WEIR_CONFIG(.queue_age_ms = 1, .overload = WEIR_REFUSE));
	client_expect_last(queued, "busy, try later\n");
	client_close(queued);
	UNTIL(stats(s).ledger.refused_age == 1);
	gate_open(&gate);
	server_stop_and_check(s);
}
END_TEST

/* ---- other values */

START_TEST(the_grace_of_a_drain_changes)
{
	struct gate gate = GATE_CLOSED;
	struct server *s =
		serve(WEIR_CONFIG(.drain_ms = WEIR_NEVER), GATED(&gate));
	struct client *c = client_open(s);

	client_wait_at_gate(c, &gate);
	configure(s, WEIR_CONFIG(.drain_ms = 1));
	weir_server_drain(s->weir);
	ck_assert_int_eq(weir_server_join(s->weir, NULL, 0), -EBUSY);
	gate_open(&gate);
	client_close(c);
	server_join_and_check(s);
}
END_TEST

START_TEST(more_or_less_is_logged)
{
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = echo_lines, .idle_ms = 1));
	int lines;

	client_expect_eof(client_open_and_echo(s, "hello\n"));
	ck_assert(!log_says(s, "timed out"));
	configure(s, WEIR_CONFIG(.log_level = WEIR_LOG_DEBUG));
	client_expect_eof(client_open_and_echo(s, "hello\n"));
	ck_assert(log_says(s, "timed out"));
	clients_close();
	UNTIL(is_at_rest(s));
	configure(s, WEIR_CONFIG(.log_level = WEIR_LOG_ERROR));
	lines = log_lines(s);
	weir_server_drain(s->weir);
	ck_assert_int_eq(join_fully(s->weir, NULL), 0);
	ck_assert_int_eq(log_lines(s), lines);
	server_join_and_check(s);
}
END_TEST

/* ---- what is refused */

static void log_nothing(int level, const char *line, void *arg)
{
	(void)arg;
	(void)level;
	(void)line;
}

static void run_nothing(int index, void *arg)
{
	(void)arg;
	(void)index;
}

static void expect_unchanged(struct server *s, const struct weir_config *config)
{
	struct weir_stats before = stats(s), after;

	ck_assert_int_eq(weir_server_configure(s->weir, config), -EINVAL);
	after = stats(s);
	ck_assert_uint_eq(before.max_connections, after.max_connections);
	ck_assert_uint_eq(before.queue_length, after.queue_length);
}

#define OTHER .queue_length = 7, .max_connections = 7

START_TEST(a_wrong_value_changes_nothing)
{
	struct server *s =
		serve(WEIR_CONFIG(.workers = 2, .max_connections = 50,
				  .refusal = "full\n"),
		      WEIR_SERVICE(.readable = echo_lines));
	struct weir_config newer[2] = { { .size = sizeof(newer) },
					{ .size = 1 } };
	const struct weir_config sizeless = { .size = 0 };

	expect_unchanged(s, WEIR_CONFIG(OTHER, .refusal = "x", .overload = 2));
	expect_unchanged(s, WEIR_CONFIG(OTHER, .log_level = 9));
	expect_unchanged(s, WEIR_CONFIG(OTHER, .drain_ms = -2));
	expect_unchanged(s, WEIR_CONFIG(OTHER, .queue_age_ms = -2));
	expect_unchanged(s, WEIR_CONFIG(.max_connections = -1));
	expect_unchanged(s, WEIR_CONFIG(.max_connections = 10000001));
	expect_unchanged(s, WEIR_CONFIG(OTHER, .workers = 3));
	expect_unchanged(s, WEIR_CONFIG(OTHER, .max_dialled = 1));
	expect_unchanged(s,
			 WEIR_CONFIG(OTHER, .affinity = WEIR_AFFINITY_SPREAD));
	expect_unchanged(s, WEIR_CONFIG(OTHER, .stack_size = 1 << 20));
	expect_unchanged(s, WEIR_CONFIG(OTHER, .log = log_nothing));
	expect_unchanged(s, WEIR_CONFIG(OTHER, .log_arg = &newer));
	expect_unchanged(s, WEIR_CONFIG(OTHER, .worker_start = run_nothing));
	expect_unchanged(s, WEIR_CONFIG(OTHER, .worker_exit = run_nothing));
	expect_unchanged(s, WEIR_CONFIG(OTHER, .worker_arg = &newer));
	expect_unchanged(s, &newer[0]);
	expect_unchanged(s, &sizeless);
	expect_unchanged(s, NULL);
	ck_assert_int_eq(weir_server_configure(NULL, WEIR_CONFIG(OTHER)),
			 -EINVAL);
	/* The same, or not set. */
	configure(s, WEIR_CONFIG(OTHER, .workers = 2, .log_arg = s));
	configure(s, WEIR_CONFIG(OTHER));
	server_stop_and_check(s);
}
END_TEST

/* ---- at any moment */

struct changer {
	struct server *s;
	_Atomic int said;
};

static int configure_in_a_callback(weir_conn *c, void *arg)
{
	struct changer *ch = arg;

	ch->said = weir_server_configure(ch->s->weir, WEIR_CONFIG(OTHER));
	return echo_lines(c, NULL);
}

static void configure_in_the_sink(int level, const char *line, void *arg)
{
	struct changer *ch = arg;

	(void)level;
	(void)line;
	if (ch->s)
		ch->said =
			weir_server_configure(ch->s->weir, WEIR_CONFIG(OTHER));
}

START_TEST(a_callback_and_the_log_sink_may_configure)
{
	struct changer in_callback = { .said = 1 }, in_sink = { .said = 1 };
	struct server *s = in_callback.s = server_new(
		WEIR_CONFIG(.log = configure_in_the_sink, .log_arg = &in_sink));

	server_listen(s, "127.0.0.1:0",
		      WEIR_SERVICE(.readable = configure_in_a_callback,
				   .arg = &in_callback));
	server_start(s);
	in_sink.s = s;
	client_open_and_echo(s, "hello\n");
	ck_assert_int_eq(in_callback.said, 0);
	ck_assert_uint_eq(stats(s).max_connections, 7);
	weir_server_drain(s->weir);
	clients_close();
	ck_assert_int_eq(join_fully(s->weir, NULL), 0);
	ck_assert_int_eq(in_sink.said, 0); /* of the stop */
	in_sink.s = NULL;
	server_join_and_check(s);
}
END_TEST

START_TEST(a_server_is_configured_before_its_start_in_its_stop_and_after_it)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = server_new(WEIR_CONFIG(.max_connections = 50));
	struct client *c;

	configure(s, WEIR_CONFIG(OTHER));
	ck_assert_uint_eq(stats(s).queue_length, 7);
	server_listen(s, "127.0.0.1:0", GATED(&gate));
	server_start(s);
	c = client_open(s);
	client_wait_at_gate(c, &gate);
	weir_server_stop(s->weir, WEIR_NEVER);
	configure(s, WEIR_CONFIG(.max_connections = 8));
	gate_open(&gate);
	ck_assert_int_eq(join_fully(s->weir, NULL), 0);
	configure(s, WEIR_CONFIG(.max_connections = 9));
	ck_assert_uint_eq(stats(s).max_connections, 9);
	server_join_and_check(s);
}
END_TEST

static void *configure_often(void *arg)
{
	struct server *s = arg;
	void *bad = NULL;

	for (int i = 0; !weir_server_is_draining(s->weir); i++) {
		const struct weir_config *config =
			i % 2 ? WEIR_CONFIG(.max_connections = 2,
					    .queue_length = 1,
					    .overload = WEIR_REFUSE,
					    .refusal = "refused\n")
			      : WEIR_CONFIG(.max_connections = 50,
					    .refusal = "refused, too\n");

		if (weir_server_configure(s->weir, config) != 0)
			bad = s;
	}
	return bad;
}

START_TEST(threads_configure_at_once_under_load_and_in_a_stop)
{
	enum { THREADS = 3, CLIENTS = 500 };
	struct server *s = serve(WEIR_CONFIG(.max_connections = 50),
				 WEIR_SERVICE(.readable = echo_lines));
	pthread_t ids[THREADS];
	int refused = 0, served = 0;
	void *bad;

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(
			pthread_create(&ids[i], NULL, configure_often, s), 0);
	for (int i = 0; i < fewer(CLIENTS) || !served; i++) {
		struct client *c = client_open_and_send(s, "q\n");
		char first = '\0';

		ck_assert_int_gt(client_read(c, &first, 1), 0);
		served += first == 'q';
		refused += first == 'r';
		ck_assert_int_eq(served + refused, i + 1);
		client_close(c);
	}
	weir_server_stop(s->weir, WEIR_NEVER);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(ids[i], &bad);
		ck_assert_ptr_null(bad);
	}
	ck_assert_uint_eq(server_join_and_check(s).ledger.refused,
			  (uint64_t)refused);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"reconfiguring",
		a_lower_limit_ends_no_connection_and_holds_the_next,
		a_higher_limit_lets_held_clients_in,
		a_limit_rises_above_its_first_value,
		held_clients_are_refused_as_soon_as_the_server_refuses,
		a_queue_becomes_shorter_and_its_age_lower,
		the_grace_of_a_drain_changes, more_or_less_is_logged,
		a_wrong_value_changes_nothing,
		a_callback_and_the_log_sink_may_configure,
		a_server_is_configured_before_its_start_in_its_stop_and_after_it,
		threads_configure_at_once_under_load_and_in_a_stop);
}
