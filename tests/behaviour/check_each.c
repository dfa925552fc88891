/* SPDX-License-Identifier: MIT */
/* weir_server_each(): which connections a walk shows, and what it says. */
#include "test.h"

enum { MOST = 64 };

struct shown {
	struct weir_conn_info all[MOST];
	int count;
	int most; /* end the walk after that many */
};

static int take(const struct weir_conn_info *info, void *arg)
{
	struct shown *shown = arg;

	ck_assert_int_lt(shown->count, MOST);
	shown->all[shown->count++] = *info;
	return shown->count == shown->most ? 7 : 0;
}

static struct shown walk(struct server *s)
{
	struct shown shown = { .count = 0 };

	ck_assert_int_eq(weir_server_each(s->weir, take, &shown,
					  sizeof(struct weir_conn_info)),
			 0);
	return shown;
}

/* That many connections are open, and all are in that state. */
static bool are_in(struct server *s, int count, int64_t state)
{
	struct shown shown = walk(s);

	for (int i = 0; i < shown.count; i++)
		if (shown.all[i].state != state)
			return false;
	return shown.count == count;
}

static bool is_in(struct server *s, int64_t state)
{
	return are_in(s, 1, state);
}

static int read_lines(weir_conn *c, void *arg)
{
	char line[64];
	ssize_t n;

	(void)arg;
	while ((n = weir_conn_read_line(c, line, sizeof(line))) > 0)
		;
	return (int)n;
}

START_TEST(a_parked_connection_is_shown_with_its_counts)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	struct client *c = client_open_and_echo(s, "hello\n");
	char peer[64];
	struct shown shown;

	UNTIL(is_in(s, WEIR_STATE_PARKED));
	shown = walk(s);
	snprintf(peer, sizeof(peer), "127.0.0.1:%d", client_port(c));
	ck_assert_str_eq(shown.all[0].peer, peer);
	ck_assert_uint_eq(shown.all[0].id, 1);
	ck_assert_int_eq(shown.all[0].listener, 0);
	ck_assert_uint_eq(shown.all[0].bytes_in, 6);
	ck_assert_uint_eq(shown.all[0].bytes_out, 6);
	ck_assert_uint_eq(shown.all[0].unsent, 0);
	ck_assert_int_ge(shown.all[0].age_ms, 0);
	client_close(c);
	UNTIL(walk(s).count == 0);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_callback_and_the_queue_are_shown)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));
	struct client *c = client_open(s);
	struct shown shown;

	client_wait_at_gate(c, &gate);
	ck_assert(is_in(s, WEIR_STATE_RUNNING));
	client_open_and_send(s, "hello\n");
	UNTIL(walk(s).count == 2);
	shown = walk(s);
	ck_assert_int_eq(shown.all[0].state + shown.all[1].state,
			 WEIR_STATE_RUNNING + WEIR_STATE_QUEUED);
	gate_open(&gate);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_session_that_waits_is_shown)
{
	for (int on_worker = 0; on_worker < 2; on_worker++) {
		struct server *s = serve(
			NULL, WEIR_SERVICE(SESSION_ON(on_worker, read_lines)));

		client_open_and_send(s, "hello\n");
		UNTIL(is_in(s, WEIR_STATE_WAITING));
		server_stop_and_check(s);
	}
}
END_TEST

START_TEST(connections_of_the_program_are_shown)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	struct shown shown;

	ck_assert_int_eq(weir_server_dial(s->weir, NULL, s->address, 0,
					  WEIR_SERVICE(.readable = echo_lines)),
			 0);
	UNTIL(are_in(s, 2, WEIR_STATE_PARKED));
	shown = walk(s);
	for (int i = 0; i < 2; i++)
		if (shown.all[i].listener == -1)
			ck_assert_str_eq(shown.all[i].peer, s->address);
	ck_assert_int_eq(shown.all[0].listener + shown.all[1].listener, -1);
	weir_server_drain(s->weir);
	(void)join_fully(s->weir, NULL);
	weir_server_free(s->weir);
	server_check_freed(s);
}
END_TEST

static int keep_reference(weir_conn *c, void *arg)
{
	weir_ref **ref = arg;

	if (!*ref) /* not again at the end of the input */
		*ref = weir_conn_ref(c);
	return echo_lines(c, NULL);
}

START_TEST(one_that_has_ended_is_not_shown_though_it_is_referred_to)
{
	weir_ref *ref = NULL;
	struct server *s = serve(
		NULL, WEIR_SERVICE(.readable = keep_reference, .arg = &ref));

	client_close(client_open_and_echo(s, "hello\n"));
	UNTIL(stats(s).ledger.completed == 1 && stats(s).lingering == 0);
	ck_assert_int_eq(walk(s).count, 0);
	weir_ref_unref(ref);
	server_stop_and_check(s);
}
END_TEST

START_TEST(the_caller_ends_the_walk)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	struct shown shown = { .most = 3 };

	for (int i = 0; i < 5; i++)
		client_open_and_echo(s, "hello\n");
	ck_assert_int_eq(walk(s).count, 5);
	ck_assert_int_eq(weir_server_each(s->weir, take, &shown,
					  sizeof(struct weir_conn_info)),
			 7);
	ck_assert_int_eq(shown.count, 3);
	server_stop_and_check(s);
}
END_TEST

struct wide {
	struct weir_conn_info known;
	uint64_t unknown;
};

static int expect_known(const struct weir_conn_info *info, void *arg)
{
	const struct wide *wide = (const struct wide *)info;

	ck_assert_uint_eq(wide->known.bytes_in, 6);
	ck_assert_uint_eq(wide->unknown, 0);
	return *(int *)arg = 9;
}

static int expect_id(const struct weir_conn_info *info, void *arg)
{
	(void)arg;
	return (int)info->id;
}

START_TEST(the_structure_may_be_shorter_or_longer)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	int was_called = 0;

	client_open_and_echo(s, "hello\n");
	ck_assert_int_eq(weir_server_each(s->weir, expect_known, &was_called,
					  sizeof(struct wide)),
			 9);
	ck_assert_int_eq(was_called, 9);
	ck_assert_int_eq(
		weir_server_each(s->weir, expect_id, NULL, sizeof(uint64_t)),
		1);
	ck_assert_int_eq(weir_server_each(NULL, expect_id, NULL, 8), -EINVAL);
	ck_assert_int_eq(weir_server_each(s->weir, NULL, NULL, 8), -EINVAL);
	ck_assert_int_eq(weir_server_each(s->weir, expect_id, NULL, 0),
			 -EINVAL);
	ck_assert_int_eq(weir_server_each(s->weir, expect_id, NULL, 1 << 20),
			 -EINVAL);
	server_stop_and_check(s);
}
END_TEST

static int expect_sense(const struct weir_conn_info *info, void *arg)
{
	ck_assert_uint_gt(info->id, 0);
	ck_assert_int_ge(info->state, WEIR_STATE_QUEUED);
	ck_assert_int_le(info->state, WEIR_STATE_LINGERING);
	ck_assert(strncmp(info->peer, "127.0.0.1:", 10) == 0 || !info->peer[0]);
	++*(uint64_t *)arg;
	return 0;
}

/* Slots are taken, freed and used again all the time. */
START_TEST(a_walk_under_load_disturbs_nobody)
{
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	struct load *load = load_start(s->address, 2, 2);
	uint64_t seen = 0, enough = (uint64_t)fewer(1000);
	struct load_counts counts;

	UNTIL(load_connected(load) > 0);
	while (load_connected(load) < enough || seen < enough)
		ck_assert_int_eq(
			weir_server_each(s->weir, expect_sense, &seen,
					 sizeof(struct weir_conn_info)),
			0);
	load_mark_stop(load);
	weir_server_drain(s->weir);
	weir_server_join(s->weir, NULL, 0);
	counts = load_finish(load);
	ck_assert_uint_eq(counts.lost + counts.reset + counts.odd, 0);
	server_join_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"each", a_parked_connection_is_shown_with_its_counts,
		a_callback_and_the_queue_are_shown,
		a_session_that_waits_is_shown,
		connections_of_the_program_are_shown,
		one_that_has_ended_is_not_shown_though_it_is_referred_to,
		the_caller_ends_the_walk,
		the_structure_may_be_shorter_or_longer,
		a_walk_under_load_disturbs_nobody);
}
