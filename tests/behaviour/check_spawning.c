/* SPDX-License-Identifier: MIT */
/*
 * Sessions that the program spawns: they have no peer, but run, wait, stop and
 * are counted like the others.
 */
#include "test.h"

#include <sys/socket.h>

struct place {
	_Atomic int begun, ticks, said;
	weir_ref *_Atomic self;
};

/* ---- running */

static int tick_until_the_stop(weir_conn *c, void *arg)
{
	struct place *p = arg;
	int rc;

	(void)c;
	atomic_fetch_add(&p->begun, 1);
	while ((rc = weir_sleep(1)) == 0)
		atomic_fetch_add(&p->ticks, 1);
	return rc;
}

static struct server *serve_lines(const struct weir_config *config)
{
	struct server *s = server_new(config);

	server_listen(s, "127.0.0.1:0", WEIR_SERVICE(.readable = echo_lines));
	return s;
}

enum { MANY = 100 };

START_TEST(spawned_sessions_run_before_and_after_the_start)
{
	struct server *s = serve_lines(WEIR_CONFIG(.workers = 1));
	struct place p = { .begun = 0 };
	struct weir_report r;
	int count = fewer(MANY);

	for (int i = 0; i < count; i++)
		ck_assert_int_eq(weir_server_spawn(s->weir, NULL,
						   tick_until_the_stop, &p,
						   NULL),
				 0);
	ck_assert_int_eq(p.begun, 0);
	ck_assert_uint_eq(stats(s).ledger.spawned, (uint64_t)count);
	server_start(s);
	UNTIL(p.begun == count);
	for (int i = 0; i < count; i++)
		ck_assert_int_eq(weir_server_spawn(s->weir, NULL,
						   tick_until_the_stop, &p,
						   NULL),
				 0);
	UNTIL(p.begun == 2 * count && p.ticks > 10 * count);
	client_open_and_echo(s, "hello\n");
	r = server_stop_and_check(s);
	ck_assert_uint_eq(r.ledger.spawned, 2 * (uint64_t)count);
	ck_assert_uint_eq(r.ledger.completed, 2 * (uint64_t)count + 1);
}
END_TEST

static int spawn_another(weir_conn *c, void *arg)
{
	struct place *p = arg;

	if (atomic_fetch_add(&p->begun, 1) < 9)
		p->said += weir_server_spawn(weir_conn_server(c), NULL,
					     spawn_another, p, NULL);
	return 0;
}

START_TEST(a_spawned_session_may_spawn_another)
{
	struct server *s = serve_lines(NULL);
	struct place p = { .begun = 0 };
	struct weir_report r;

	server_start(s);
	ck_assert_int_eq(
		weir_server_spawn(s->weir, NULL, spawn_another, &p, NULL), 0);
	UNTIL(p.begun == 10 && stats(s).ledger.open == 0);
	ck_assert_int_eq(p.said, 0);
	r = server_stop_and_check(s);
	ck_assert_uint_eq(r.ledger.spawned, 10);
	ck_assert_uint_eq(r.ledger.completed, 10);
}
END_TEST

static int say_first(weir_conn *c, void *arg)
{
	(void)c;
	return *(int *)arg;
}

START_TEST(its_result_is_its_outcome)
{
	int results[] = { WEIR_CLOSE, -ESHUTDOWN, -EBADMSG, -EAGAIN,
			  -EINTR,     WEIR_AGAIN, 7 };
	struct server *s = serve_lines(NULL);
	struct weir_report r;

	server_start(s);
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
		ck_assert_int_eq(weir_server_spawn(s->weir, NULL, say_first,
						   &results[i], NULL),
				 0);
	UNTIL(stats(s).ledger.closed == 7);
	ck_assert(log_says(s, "connection 3 to (spawned): "));
	ck_assert(log_says(s, "no verdict"));
	r = server_stop_and_check(s);
	ck_assert_uint_eq(r.ledger.completed, 2);
	ck_assert_uint_eq(r.ledger.failed, 5);
}
END_TEST

static int try_everything(weir_conn *c, void *arg)
{
	_Atomic int *wrong = arg;
	struct weir_poll one = { c, WEIR_POLL_INPUT | WEIR_POLL_ROOM, 0 };
	char buf[200];
	const int64_t said[][2] = {
		{ weir_conn_read(c, buf, 1), 0 },
		{ weir_conn_read_line(c, buf, 2), 0 },
		{ weir_conn_write(c, "x", 1), -EPIPE },
		{ weir_conn_printf(c, "x"), -EPIPE },
		{ weir_conn_flush(c), 0 },
		{ weir_conn_shutdown(c, SHUT_RDWR), -EPIPE },
		{ weir_conn_unsent(c), 0 },
		{ weir_conn_fd(c), -ENOTCONN },
		{ weir_conn_peer(c, buf, sizeof(buf)), -ENOTCONN },
		{ weir_conn_local(c, buf, sizeof(buf)), -ENOTCONN },
		{ weir_conn_detach(c), -EPIPE },
		{ weir_conn_why(c), WEIR_OPENED },
		{ weir_conn_want_room(c), -EINVAL },
		{ weir_ref_send(weir_conn_self(c), "x", 1), -EPIPE },
		{ weir_ref_shutdown(weir_conn_self(c), SHUT_WR), -EPIPE },
		{ weir_conn_set_data(c, NULL, NULL), 0 },
		{ weir_conn_set_timer(c, 1), 0 },
		{ weir_sleep(60000), -EINTR },
		{ weir_ref_wake(weir_conn_self(c)), 0 },
		{ weir_sleep(WEIR_NEVER), -EINTR },
		{ weir_conn_wait(&one, 1, 0), 1 },
	};

	*wrong = weir_conn_server(c) ? 0 : 100;
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]) && !*wrong; i++)
		if (said[i][0] != said[i][1])
			*wrong = (int)i + 1;
	return 0;
}

START_TEST(it_has_no_socket_but_the_rest_of_a_connection)
{
	for (int i = 0; i < 20; i++) {
		struct server *s = serve_lines(NULL);
		_Atomic int wrong = -1;

		server_start(s);
		ck_assert_int_eq(weir_server_spawn(s->weir, NULL,
						   try_everything,
						   (void *)&wrong, NULL),
				 0);
		UNTIL(stats(s).ledger.closed == 1);
		ck_assert_int_eq(wrong, 0);
		server_stop_and_check(s);
	}
}
END_TEST

/* ---- from other threads */

static int sleep_and_say(weir_conn *c, void *arg)
{
	struct place *p = arg;
	int rc;

	atomic_store(&p->self, weir_conn_ref(c));
	atomic_fetch_add(&p->begun, 1);
	rc = weir_sleep(WEIR_NEVER);
	atomic_store(&p->said, rc);
	return rc == -EINTR ? 0 : rc;
}

START_TEST(a_reference_wakes_closes_and_cancels_it)
{
	static const struct {
		int (*call)(weir_ref *ref);
		int says;
	} ways[] = { { weir_ref_wake, -EINTR },
		     { weir_ref_close, -ESHUTDOWN },
		     { weir_ref_cancel, -ECANCELED } };
	struct server *s = serve_lines(WEIR_CONFIG(.workers = 1));
	struct weir_report r;

	server_start(s);
	for (int i = 0; i < 3; i++) {
		struct place p = { .said = 1 };

		ck_assert_int_eq(weir_server_spawn(s->weir, NULL, sleep_and_say,
						   &p, NULL),
				 0);
		UNTIL(p.self && stats(s).parked == 1);
		ck_assert_int_eq(ways[i].call(p.self), 0);
		UNTIL(stats(s).ledger.open == 0);
		ck_assert_int_eq(p.said, ways[i].says);
		ck_assert_int_eq(ways[i].call(p.self), -EPIPE);
		weir_ref_unref(p.self);
	}
	r = server_stop_and_check(s);
	ck_assert_uint_eq(r.ledger.completed, 2);
	ck_assert_uint_eq(r.ledger.cut, 1);
}
END_TEST

static int state_of_it(const struct weir_conn_info *info, void *arg)
{
	*(struct weir_conn_info *)arg = *info;
	return 0;
}

START_TEST(the_walk_shows_it)
{
	struct server *s = serve_lines(NULL);
	struct place p = { .said = 1 };
	struct weir_conn_info info = { .id = 0 };

	server_start(s);
	ck_assert_int_eq(
		weir_server_spawn(s->weir, NULL, sleep_and_say, &p, NULL), 0);
	UNTIL(p.self && stats(s).parked == 1);
	weir_server_each(s->weir, state_of_it, &info, sizeof(info));
	ck_assert_uint_eq(info.id, 1);
	ck_assert_int_eq(info.listener, -1);
	ck_assert_int_eq(info.state, WEIR_STATE_WAITING);
	ck_assert_str_eq(info.peer, "");
	weir_ref_unref(p.self);
	server_stop_and_check(s);
}
END_TEST

/* ---- the stop */

static bool is_cut_on_time(weir_handler_fn *fn, int grace_ms)
{
	struct server *s = serve_lines(WEIR_CONFIG(.workers = 1));
	struct place p = { .said = 1 };
	struct weir_report r;
	int rc;

	server_start(s);
	ck_assert_int_eq(weir_server_spawn(s->weir, NULL, fn, &p, NULL), 0);
	UNTIL(p.begun > 0);
	weir_server_stop(s->weir, grace_ms);
	rc = weir_server_join(s->weir, NULL, 0);
	r = server_join_and_check(s);
	ck_assert(rc == -ECANCELED || rc == -EBUSY);
	expect_stop_on_time(&r, grace_ms);
	ck_assert_int_eq(p.said, -ECANCELED);
	ck_assert_uint_eq(r.ledger.cut, 1);
	weir_ref_unref(p.self);
	return rc == -ECANCELED && r.stuck == 0 &&
	       (grace_ms == 0 || p.ticks > 0);
}

/*
 * A cut session has 60 ms to return.  A busy machine may keep its worker from
 * running for longer, but not in most tries.
 */
static void expect_cut_on_time(weir_handler_fn *fn, int grace_ms)
{
	const int tries = 20;
	int on_time = 0;

	for (int i = 0; i < tries; i++)
		on_time += is_cut_on_time(fn, grace_ms);
	ck_assert_int_gt(on_time, tries / 2);
}

START_TEST(a_stop_without_grace_cuts_it)
{
	expect_cut_on_time(sleep_and_say, 0);
}
END_TEST

static int go_on_in_a_drain(weir_conn *c, void *arg)
{
	struct place *p = arg;
	int rc;

	(void)c;
	while ((rc = weir_sleep(1)) == 0)
		atomic_fetch_add(&p->begun, 1);
	while (rc == -ESHUTDOWN) {
		atomic_fetch_add(&p->ticks, 1);
		poll_sleep(); /* weir_sleep() returns at once */
		rc = weir_sleep(1);
	}
	atomic_store(&p->said, rc);
	return rc;
}

START_TEST(the_deadline_of_a_stop_cuts_one_that_goes_on)
{
	expect_cut_on_time(go_on_in_a_drain, 60);
}
END_TEST

static int hold_its_worker(weir_conn *c, void *arg)
{
	(void)c;
	gate_wait(arg);
	return 0;
}

START_TEST(one_that_does_not_return_is_named)
{
	struct gate held = GATE_CLOSED;
	struct server *s = serve_lines(WEIR_CONFIG(.workers = 1));
	struct weir_report r;

	server_start(s);
	ck_assert_int_eq(
		weir_server_spawn(s->weir, NULL, hold_its_worker, &held, NULL),
		0);
	UNTIL(gate_waiting(&held) == 1);
	weir_server_stop(s->weir, 0);
	ck_assert_int_eq(join_fully(s->weir, &r), -EBUSY);
	ck_assert_uint_eq(r.stuck, 1);
	ck_assert_uint_eq(r.ledger.cut, 1);
	ck_assert(log_says(s, "the callback of connection 1 to (spawned)"));
	gate_open(&held);
	UNTIL(gate_waiting(&held) == 0);
	weir_server_free(s->weir);
	server_check_freed(s);
}
END_TEST

static void *spawn_until_the_stop(void *arg)
{
	struct place *p = arg;
	weir_server *s = (weir_server *)(void *)p->self;
	int rc;

	while ((rc = weir_server_spawn(s, NULL, tick_until_the_stop, p,
				       NULL)) == 0 ||
	       rc == -EAGAIN)
		atomic_fetch_add(&p->said, rc == 0);
	ck_assert_int_eq(rc, -ESHUTDOWN);
	return NULL;
}

START_TEST(a_stop_finds_all_of_those_that_threads_spawn)
{
	for (int i = 0; i < fewer(50); i++) {
		struct server *s = serve_lines(
			WEIR_CONFIG(.workers = 2, .max_dialled = 50));
		struct place p = { .self = (weir_ref *)(void *)s->weir };
		pthread_t id[2];
		struct weir_report r;

		server_start(s);
		for (int k = 0; k < 2; k++)
			ck_assert_int_eq(pthread_create(&id[k], NULL,
							spawn_until_the_stop,
							&p),
					 0);
		UNTIL(p.said >= 50);
		weir_server_stop(s->weir, 60000);
		ck_assert_int_eq(join_fully(s->weir, &r), 0);
		for (int k = 0; k < 2; k++)
			pthread_join(id[k], NULL);
		ck_assert_uint_eq(r.ledger.spawned, (uint64_t)p.said);
		ck_assert_uint_eq(r.ledger.completed, (uint64_t)p.said);
		server_join_and_check(s);
	}
}
END_TEST

/* ---- the argument */

struct owned {
	_Atomic int runs, drops;
	_Atomic int drops_before; /* the data was dropped */
};

static void drop_data(void *data)
{
	struct owned *o = data;

	atomic_store(&o->drops_before, o->drops);
}

static int run_once(weir_conn *c, void *arg)
{
	struct owned *o = arg;

	atomic_fetch_add(&o->runs, 1);
	return weir_conn_set_data(c, o, drop_data);
}

static void drop_owned(void *arg)
{
	struct owned *o = arg;

	atomic_fetch_add(&o->drops, 1);
}

static weir_ref *spawn_owned(const struct server *s, struct owned *o)
{
	weir_ref *ref = NULL;

	ck_assert_int_eq(
		weir_server_spawn(s->weir, &ref, run_once, o, drop_owned), 0);
	ck_assert(ref != NULL);
	ck_assert_uint_ne(weir_ref_id(ref), 0);
	return ref;
}

static void expect_gone(weir_ref *ref)
{
	ck_assert_int_eq(weir_ref_wake(ref), -EPIPE);
	ck_assert_int_eq(weir_ref_close(ref), -EPIPE);
	ck_assert_int_eq(weir_ref_cancel(ref), -EPIPE);
	ck_assert_int_eq(weir_ref_send(ref, "x", 1), -EPIPE);
	weir_ref_unref(ref);
}

START_TEST(an_argument_is_dropped_once_at_the_end)
{
	for (int i = 0; i < 20; i++) {
		struct server *s = serve_lines(NULL);
		struct owned o = { .drops_before = -1 };
		weir_ref *ref;

		if (i % 2)
			server_start(s);
		ref = spawn_owned(s, &o);
		if (i % 2 == 0)
			server_start(s);
		UNTIL(stats(s).ledger.completed == 1);
		ck_assert_int_eq(o.runs, 1);
		ck_assert_int_eq(o.drops_before, 0);
		ck_assert_int_eq(o.drops, 1);
		expect_gone(ref);
		server_stop_and_check(s);
		ck_assert_int_eq(o.drops, 1);
	}
}
END_TEST

START_TEST(an_argument_is_dropped_if_a_stop_cuts_its_session_before_it_runs)
{
	struct gate held = GATE_CLOSED;
	struct server *s = serve_lines(WEIR_CONFIG(.workers = 1));
	struct owned o = { .runs = 0 };
	weir_ref *ref;

	server_start(s);
	ck_assert_int_eq(
		weir_server_spawn(s->weir, NULL, hold_its_worker, &held, NULL),
		0);
	UNTIL(gate_waiting(&held) == 1);
	ref = spawn_owned(s, &o);
	weir_server_stop(s->weir, 0);
	ck_assert_int_eq(join_fully(s->weir, NULL), -EBUSY);
	gate_open(&held);
	UNTIL(o.drops == 1);
	UNTIL(gate_waiting(&held) == 0);
	weir_server_free(s->weir);
	expect_gone(ref);
	ck_assert_int_eq(o.runs, 0);
	ck_assert_int_eq(o.drops, 1);
	server_check_freed(s);
}
END_TEST

START_TEST(an_argument_is_dropped_if_its_session_is_ended_before_the_start)
{
	static int (*const calls[])(weir_ref * ref) = { weir_ref_close,
							weir_ref_cancel };

	for (int i = 0; i < 2; i++) {
		struct server *s = serve_lines(NULL);
		struct owned o = { .runs = 0 };
		weir_ref *ref = spawn_owned(s, &o);
		struct weir_report r;

		ck_assert_int_eq(calls[i](ref), 0);
		server_start(s);
		UNTIL(stats(s).ledger.closed == 1);
		ck_assert_int_eq(o.runs, 0);
		ck_assert_int_eq(o.drops, 1);
		expect_gone(ref);
		r = server_stop_and_check(s);
		ck_assert_uint_eq(r.ledger.completed, i == 0);
		ck_assert_uint_eq(r.ledger.cut, i == 1);
	}
}
END_TEST

START_TEST(an_argument_is_dropped_if_the_server_never_starts)
{
	for (int stopped = 0; stopped < 2; stopped++) {
		struct server *s = serve_lines(NULL);
		struct owned o = { .runs = 0 };
		struct weir_report r;
		weir_ref *refs[3];

		for (int i = 0; i < 3; i++)
			refs[i] = spawn_owned(s, &o);
		ck_assert_int_eq(weir_ref_wake(refs[0]), 0);
		weir_ref_unref(refs[2]);
		ck_assert_int_eq(o.drops, 0);
		if (stopped) {
			weir_server_stop(s->weir, 0);
			ck_assert_int_eq(weir_server_start(s->weir),
					 -ESHUTDOWN);
			ck_assert_int_eq(o.drops, 3);
			ck_assert_int_eq(
				weir_server_join(s->weir, &r, sizeof(r)), 0);
			ck_assert_uint_eq(r.ledger.cut, 3);
			ck_assert_uint_eq(r.ledger.open, 0);
			expect_gone(weir_ref_dup(refs[0]));
		}
		weir_server_free(s->weir);
		ck_assert_int_eq(o.drops, 3);
		ck_assert_int_eq(o.runs, 0);
		expect_gone(refs[0]);
		expect_gone(refs[1]);
		server_check_freed(s);
	}
}
END_TEST

struct nosy {
	weir_server *s;
	int joined, started, dropped;
};

static void join_and_free(void *arg)
{
	struct nosy *n = arg;

	n->joined = weir_server_join_for(n->s, NULL, 0, 100000);
	n->started = weir_server_start(n->s);
	weir_server_free(n->s);
	n->dropped++;
}

/* Where a session never begins, it may call what it may call on a worker. */
START_TEST(a_drop_without_a_start_is_a_call_of_the_server)
{
	for (int grace_ms = -2; grace_ms <= 0; grace_ms++) {
		struct server *s = serve_lines(NULL);
		struct nosy n = { .s = s->weir };

		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(weir_server_spawn(s->weir, NULL,
							   run_once, &n,
							   join_and_free),
					 0);
		if (grace_ms > -2) {
			weir_server_stop(s->weir, grace_ms);
			ck_assert_int_eq(weir_server_start(s->weir),
					 -ESHUTDOWN);
			ck_assert_int_eq(n.dropped, 3);
			ck_assert_int_eq(weir_server_join(s->weir, NULL, 0), 0);
		}
		weir_server_free(s->weir);
		ck_assert_int_eq(n.dropped, 3);
		ck_assert_int_eq(n.joined, -EDEADLK);
		ck_assert_int_eq(n.started, -ESHUTDOWN);
		ck_assert(log_says(s, "weir_server_free() by a thread of the"));
		server_check_freed(s);
	}
}
END_TEST

static void join_outer(void *arg)
{
	struct nosy *n = arg;

	n->joined = weir_server_join_for(n->s, NULL, 0, 100);
	n->dropped++;
}

static int free_another(weir_conn *c, void *arg)
{
	struct nosy *n = arg;
	weir_server *inner;

	n->s = weir_conn_server(c);
	ck_assert_int_eq(weir_server_new(&inner, NULL), 0);
	ck_assert_int_eq(
		weir_server_spawn(inner, NULL, run_once, n, join_outer), 0);
	weir_server_free(inner);
	return WEIR_CLOSE;
}

START_TEST(a_thread_of_two_servers_joins_neither)
{
	struct nosy n = { .dropped = 0 };
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = free_another, .arg = &n));

	client_send(client_open(s), "x");
	UNTIL(stats(s).ledger.closed == 1);
	server_stop_and_check(s);
	ck_assert_int_eq(n.dropped, 1);
	ck_assert_int_eq(n.joined, -EDEADLK);
}
END_TEST

START_TEST(the_argument_of_a_call_that_fails_is_the_callers)
{
	struct server *s = serve_lines(WEIR_CONFIG(.max_dialled = 1));
	struct owned kept = { .runs = 0 }, lost = { .runs = 0 };
	weir_ref *ref = spawn_owned(s, &kept), *none = NULL;

	ck_assert_int_eq(
		weir_server_spawn(s->weir, &none, run_once, &lost, drop_owned),
		-EAGAIN);
	ck_assert_int_eq(
		weir_server_spawn(s->weir, &none, NULL, &lost, drop_owned),
		-EINVAL);
	ck_assert(none == NULL);
	weir_ref_unref(ref);
	weir_server_free(s->weir);
	ck_assert_int_eq(kept.drops, 1);
	ck_assert_int_eq(lost.drops, 0);
	server_check_freed(s);
}
END_TEST

/* ---- refusals */

START_TEST(what_cannot_be_spawned_is_refused)
{
	struct server *s = serve_lines(WEIR_CONFIG(.max_dialled = 1));
	struct place p = { .begun = 0 };

	ck_assert_int_eq(
		weir_server_spawn(NULL, NULL, tick_until_the_stop, &p, NULL),
		-EINVAL);
	ck_assert_int_eq(weir_server_spawn(s->weir, NULL, NULL, &p, NULL),
			 -EINVAL);
	ck_assert_int_eq(
		weir_server_spawn(s->weir, NULL, tick_until_the_stop, &p, NULL),
		0);
	ck_assert_int_eq(
		weir_server_spawn(s->weir, NULL, tick_until_the_stop, &p, NULL),
		-EAGAIN);
	server_start(s);
	ck_assert_int_eq(
		weir_server_spawn(s->weir, NULL, tick_until_the_stop, &p, NULL),
		-EAGAIN);
	weir_server_stop(s->weir, 60000);
	weir_server_join(s->weir, NULL, 0);
	ck_assert_int_eq(
		weir_server_spawn(s->weir, NULL, tick_until_the_stop, &p, NULL),
		-ESHUTDOWN);
	server_join_and_check(s);
}
END_TEST

START_TEST(what_was_spawned_never_runs_without_a_start)
{
	for (int stopped = 0; stopped < 2; stopped++) {
		struct server *s = serve_lines(NULL);
		struct place p = { .begun = 0 };

		ck_assert_int_eq(weir_server_spawn(s->weir, NULL,
						   tick_until_the_stop, &p,
						   NULL),
				 0);
		if (stopped) {
			weir_server_stop(s->weir, 0);
			ck_assert_int_eq(weir_server_start(s->weir),
					 -ESHUTDOWN);
			ck_assert_int_eq(weir_server_spawn(s->weir, NULL,
							   tick_until_the_stop,
							   &p, NULL),
					 -ESHUTDOWN);
		}
		weir_server_free(s->weir);
		ck_assert_int_eq(p.begun, 0);
		server_check_freed(s);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"spawning", spawned_sessions_run_before_and_after_the_start,
		a_spawned_session_may_spawn_another, its_result_is_its_outcome,
		it_has_no_socket_but_the_rest_of_a_connection,
		a_reference_wakes_closes_and_cancels_it, the_walk_shows_it,
		a_stop_without_grace_cuts_it,
		the_deadline_of_a_stop_cuts_one_that_goes_on,
		one_that_does_not_return_is_named,
		a_stop_finds_all_of_those_that_threads_spawn,
		an_argument_is_dropped_once_at_the_end,
		an_argument_is_dropped_if_a_stop_cuts_its_session_before_it_runs,
		an_argument_is_dropped_if_its_session_is_ended_before_the_start,
		an_argument_is_dropped_if_the_server_never_starts,
		a_drop_without_a_start_is_a_call_of_the_server,
		a_thread_of_two_servers_joins_neither,
		the_argument_of_a_call_that_fails_is_the_callers,
		what_cannot_be_spawned_is_refused,
		what_was_spawned_never_runs_without_a_start);
}
