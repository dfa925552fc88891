/* SPDX-License-Identifier: MIT */
/*
 * Timers of a server: when they are called, moved, freed, and what a stop makes
 * of them.
 */
#include "test.h"

/* What a timer of the tests does; the gate may be open. */
struct calls {
	struct gate gate;
	_Atomic int begun, ended, at_once, most_at_once;
	_Atomic int64_t began_ms; /* of the last one */
	weir_timer *timer;
	int free_in; /* free it in this call; 0: never */
	_Atomic int freed;
};

static void note_call(weir_server *s, weir_timer *t, void *arg)
{
	struct calls *k = arg;
	int at_once = atomic_fetch_add(&k->at_once, 1) + 1;
	int begun;

	ck_assert_ptr_nonnull(s);
	if (at_once > atomic_load(&k->most_at_once))
		atomic_store(&k->most_at_once, at_once);
	atomic_store(&k->began_ms, now_ms());
	begun = atomic_fetch_add(&k->begun, 1) + 1;
	gate_wait(&k->gate);
	if (begun == k->free_in)
		atomic_store(&k->freed, weir_timer_free(t) + 1);
	atomic_fetch_sub(&k->at_once, 1);
	atomic_fetch_add(&k->ended, 1);
}

static struct calls calls_at_open_gate(void)
{
	struct calls k = { .gate = GATE_CLOSED };

	k.gate.is_open = true;
	return k;
}

static struct calls calls_at_gate(void)
{
	return (struct calls){ .gate = GATE_CLOSED };
}

static weir_timer *timer_new(struct server *s, struct calls *k, int ms,
			     int every_ms)
{
	ck_assert_int_eq(weir_server_timer(s->weir, &k->timer, ms, every_ms,
					   note_call, k),
			 0);
	return k->timer;
}

/* Wait until timers that are due have had a chance: a new one is called. */
static void let_timers_run(struct server *s, int ms)
{
	struct calls k = calls_at_open_gate();
	weir_timer *t = timer_new(s, &k, ms, 0);

	UNTIL(atomic_load(&k.ended) == 1);
	(void)weir_timer_free(t); /* its call may be about to return */
}

static struct server *serve_lines(int workers)
{
	return serve_workers(workers, WEIR_SERVICE(.readable = echo_lines));
}

START_TEST(a_timer_is_called_once_after_its_time)
{
	struct calls k = calls_at_open_gate();
	struct server *s = serve_lines(2);
	int64_t made_ms = now_ms();

	timer_new(s, &k, 50, 0);
	UNTIL(atomic_load(&k.ended) == 1);
	ck_assert_int_ge(atomic_load(&k.began_ms), made_ms + 50);
	let_timers_run(s, 100);
	ck_assert_int_eq(atomic_load(&k.begun), 1);
	UNTIL(stats(s).timer_calls == 2);
	ck_assert_int_eq(weir_timer_free(k.timer), 0);
	server_stop_and_check(s);
}
END_TEST

#define PERIOD_MS 20

/*
 * Between two calls the number of periods that have passed grows, so none is
 * called twice for the same one.
 */
START_TEST(a_slow_callback_skips_the_times_that_have_passed)
{
	struct calls k = calls_at_gate();
	struct server *s = serve_lines(2);
	int64_t before = now_ms(), after, last, began_ms;

	timer_new(s, &k, 0, PERIOD_MS);
	after = now_ms();
	UNTIL(gate_waiting(&k.gate) == 1);
	last = after;
	UNTIL(now_ms() > after + 10 * PERIOD_MS);
	for (int i = 1; i < 20; i++) {
		last = now_ms(); /* it is still in the call */
		gate_let_in(&k.gate, 1);
		UNTIL(atomic_load(&k.begun) == i + 1);
		began_ms = atomic_load(&k.began_ms);
		/* -1: the clock of the test is cut to milliseconds. */
		ck_assert_int_gt((began_ms + 1 - before) / PERIOD_MS,
				 (last - after - 1) / PERIOD_MS);
	}
	gate_open(&k.gate);
	ck_assert_int_eq(atomic_load(&k.most_at_once), 1);
	server_stop_and_check(s);
}
END_TEST

static void take_some_time(weir_server *s, weir_timer *t, void *arg)
{
	note_call(s, t, arg);
	usleep(6000);
}

/* One that counts from the end of its call is never on time three times. */
START_TEST(a_period_does_not_drift)
{
	struct calls k = calls_at_open_gate();
	struct server *s = serve_lines(2);
	int64_t made_ms = now_ms();
	int on_time = 0, seen = 0;

	ck_assert_int_eq(weir_server_timer(s->weir, NULL, 0, PERIOD_MS,
					   take_some_time, &k),
			 0);
	while (on_time < 4) {
		int64_t late_ms;

		UNTIL(atomic_load(&k.begun) > seen);
		seen = atomic_load(&k.begun);
		late_ms = (atomic_load(&k.began_ms) - made_ms) % PERIOD_MS;
		on_time = late_ms <= 4 ? on_time + 1 : 0;
		ck_assert_int_lt(seen, 1000);
	}
	server_stop_and_check(s);
}
END_TEST

#define TRIES 20

/* The calls of a timer of 30 ms that was moved to never before they passed. */
static struct calls *moved_in_time(struct server *s, struct calls k[TRIES])
{
	for (int i = 0; i < TRIES; i++) {
		int64_t made_ms = now_ms();

		k[i] = calls_at_open_gate();
		timer_new(s, &k[i], 30, 30);
		ck_assert_int_eq(weir_timer_set(k[i].timer, WEIR_NEVER), 0);
		if (now_ms() < made_ms + 30)
			return &k[i];
	}
	ck_abort_msg("each of %d moves took 30 ms", TRIES);
}

START_TEST(a_timer_that_is_moved_is_called_at_the_new_time)
{
	struct calls early = calls_at_open_gate(), later = early;
	struct calls moved[TRIES], *never;
	struct server *s = serve_lines(2);

	timer_new(s, &early, 3600000, 0);
	never = moved_in_time(s, moved);
	timer_new(s, &later, WEIR_NEVER, 10);
	ck_assert_int_eq(weir_timer_set(early.timer, 0), 0);
	UNTIL(atomic_load(&early.ended) == 1);
	let_timers_run(s, 60);
	ck_assert_int_eq(atomic_load(&never->begun), 0);
	ck_assert_int_eq(atomic_load(&later.begun), 0);
	ck_assert_int_eq(weir_timer_set(later.timer, 1), 0);
	UNTIL(atomic_load(&later.ended) > 2);
	server_stop_and_check(s);
}
END_TEST

/* Moved while it runs, to at once and to never. */
START_TEST(a_move_during_a_call_counts_after_it)
{
	struct calls k = calls_at_gate();
	struct server *s = serve_lines(3);

	timer_new(s, &k, 0, 10);
	UNTIL(gate_waiting(&k.gate) == 1);
	ck_assert_int_eq(weir_timer_set(k.timer, 0), 0);
	let_timers_run(s, 30);
	ck_assert_int_eq(atomic_load(&k.begun), 1);
	gate_let_in(&k.gate, 1);
	UNTIL(gate_waiting(&k.gate) == 1 && atomic_load(&k.begun) == 2);
	ck_assert_int_eq(weir_timer_set(k.timer, WEIR_NEVER), 0);
	gate_open(&k.gate);
	UNTIL(atomic_load(&k.ended) == 2);
	let_timers_run(s, 30);
	ck_assert_int_eq(atomic_load(&k.begun), 2);
	ck_assert_int_eq(atomic_load(&k.most_at_once), 1);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_timer_may_be_freed_in_its_own_call)
{
	struct calls k = calls_at_open_gate();
	struct server *s = serve_lines(2);

	k.free_in = 3;
	timer_new(s, &k, 0, 5);
	UNTIL(atomic_load(&k.freed) != 0);
	ck_assert_int_eq(atomic_load(&k.freed), 1);
	let_timers_run(s, 20);
	ck_assert_int_eq(atomic_load(&k.begun), 3);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_timer_that_is_freed_while_it_runs_is_not_called_again)
{
	struct calls k = calls_at_gate();
	struct server *s = serve_lines(2);

	timer_new(s, &k, 0, 5);
	UNTIL(gate_waiting(&k.gate) == 1);
	ck_assert_int_eq(weir_timer_free(k.timer), -EBUSY);
	gate_open(&k.gate);
	let_timers_run(s, 20);
	ck_assert_int_eq(atomic_load(&k.begun), 1);
	server_stop_and_check(s);
}
END_TEST

/* Each on a worker of its own. */
START_TEST(a_slow_timer_holds_up_no_other)
{
	struct calls slow[2] = { calls_at_gate(), calls_at_gate() };
	struct calls quick = calls_at_open_gate();
	struct server *s = serve_lines(3);
	struct client *c = client_open(s);

	for (int i = 0; i < 2; i++)
		timer_new(s, &slow[i], 0, 0);
	timer_new(s, &quick, 0, 5);
	UNTIL(gate_waiting(&slow[0].gate) == 1 &&
	      gate_waiting(&slow[1].gate) == 1);
	UNTIL(atomic_load(&quick.ended) > 3);
	client_expect_echo(c, "hello\n");
	ck_assert_uint_ge(stats(s).busy, 2);
	for (int i = 0; i < 2; i++)
		gate_open(&slow[i].gate);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_timer_made_before_the_start_is_called_after_it)
{
	struct calls k = calls_at_open_gate(), freed = k;
	struct server *s = server_new(WEIR_CONFIG(.workers = 1));
	int64_t made_ms;

	server_listen(s, "127.0.0.1:0", WEIR_SERVICE(.readable = echo_lines));
	timer_new(s, &k, 10, 0);
	timer_new(s, &freed, 0, 0);
	ck_assert_int_eq(weir_timer_free(freed.timer), 0);
	made_ms = now_ms();
	UNTIL(now_ms() > made_ms + 50);
	ck_assert_int_eq(atomic_load(&k.begun), 0);
	server_start(s);
	UNTIL(atomic_load(&k.ended) == 1);
	ck_assert_int_eq(atomic_load(&freed.begun), 0);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_server_that_never_started_frees_its_timers)
{
	struct calls k = calls_at_open_gate();
	struct server *s = server_new(NULL);

	for (int i = 0; i < 100; i++)
		timer_new(s, &k, i % 2 ? WEIR_NEVER : 0, 1);
	weir_server_free(s->weir);
	server_check_freed(s);
	ck_assert_int_eq(atomic_load(&k.begun), 0);
}
END_TEST

START_TEST(timers_are_called_in_a_drain_and_not_after_the_stop)
{
	struct gate gate = GATE_CLOSED;
	struct calls k = calls_at_open_gate();
	struct server *s = serve_workers(
		2, WEIR_SERVICE(.readable = echo_lines_at_gate, .arg = &gate));
	int before, after;

	timer_new(s, &k, 0, 5);
	client_wait_at_gate(client_open(s), &gate);
	ck_assert_int_eq(weir_server_stop(s->weir, WEIR_NEVER), 0);
	UNTIL(stats(s).phase == WEIR_PHASE_DRAINING);
	before = atomic_load(&k.begun);
	UNTIL(atomic_load(&k.ended) > before + 2);
	gate_open(&gate);
	ck_assert_int_eq(join_fully(s->weir, NULL), 0);
	after = atomic_load(&k.begun);
	ck_assert_int_eq(atomic_load(&k.ended), after);
	ck_assert_int_eq(weir_timer_set(k.timer, 0), -ESHUTDOWN);
	ck_assert_int_eq(weir_server_timer(s->weir, NULL, 0, 0, note_call, &k),
			 -ESHUTDOWN);
	ck_assert_int_eq(weir_timer_free(k.timer), 0);
	server_stop_and_check(s);
	ck_assert_int_eq(atomic_load(&k.begun), after);
}
END_TEST

START_TEST(a_stop_waits_for_a_call_that_runs)
{
	struct calls k = calls_at_gate();
	struct server *s = serve_lines(2);

	timer_new(s, &k, 0, 1);
	UNTIL(gate_waiting(&k.gate) == 1);
	ck_assert_int_eq(weir_server_stop(s->weir, WEIR_NEVER), 0);
	ck_assert_int_eq(weir_server_join_for(s->weir, NULL, 0, 200),
			 -ETIMEDOUT);
	/* No connection is open: the stop waits for the call alone. */
	UNTIL(weir_timer_set(k.timer, 0) == -ESHUTDOWN);
	gate_open(&k.gate);
	ck_assert_int_eq(join_fully(s->weir, NULL), 0);
	ck_assert_int_eq(atomic_load(&k.ended), 1);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_call_that_outlives_the_deadline_is_stuck_and_named)
{
	struct calls k = calls_at_gate();
	struct server *s = serve_lines(2);
	struct weir_report report;
	int rc;

	timer_new(s, &k, 0, 1);
	UNTIL(gate_waiting(&k.gate) == 1);
	ck_assert_int_eq(weir_server_stop(s->weir, 50), 0);
	rc = weir_server_join(s->weir, &report, sizeof(report));
	ck_assert_int_eq(rc, -EBUSY);
	ck_assert_uint_eq(report.stuck, 1);
	ck_assert(log_says(s, "the callback of a timer has been running"));
	gate_open(&k.gate);
	UNTIL(weir_server_join(s->weir, NULL, 0) == -ECANCELED);
	ck_assert_int_eq(atomic_load(&k.begun), 1);
	weir_server_free(s->weir);
	server_check_freed(s);
}
END_TEST

static struct {
	_Atomic(weir_ref *) ref;
	struct gate gate;
	const char *address;
} news;

static int hear_news(weir_conn *c, void *arg)
{
	(void)arg;
	if (atomic_load(&news.ref) == NULL)
		atomic_store(&news.ref, weir_conn_ref(c));
	return WEIR_AGAIN;
}

/* The only connection that it may pass is its own. */
static void tell_news(weir_server *s, weir_timer *t, void *arg)
{
	weir_conn *c;

	(void)s;
	(void)t;
	(void)arg;
	ck_assert_int_eq(weir_dial(&c, news.address, 0), 0);
	ck_assert_int_eq(weir_ref_send(news.ref, "news\n", 5), 0);
	ck_assert_int_eq(weir_conn_flush(c), 0);
	gate_wait(&news.gate);
	weir_conn_free(c);
}

START_TEST(a_timer_may_flush_what_it_has_sent)
{
	struct server *s = serve_workers(
		2, WEIR_SERVICE(.opened = hear_news, .readable = echo));
	struct client *c = client_open(s);

	news.gate = (struct gate)GATE_CLOSED;
	news.address = s->address;
	UNTIL(atomic_load(&news.ref) != NULL);
	ck_assert_int_eq(
		weir_server_timer(s->weir, NULL, 1, 0, tell_news, NULL), 0);
	UNTIL(gate_waiting(&news.gate) == 1);
	client_expect(c, "news\n");
	gate_open(&news.gate);
	weir_ref_unref(news.ref);
	server_stop_and_check(s);
}
END_TEST

static void stop_its_server(weir_server *s, weir_timer *t, void *arg)
{
	(void)t;
	(void)arg;
	ck_assert_int_eq(weir_server_join(s, NULL, 0), -EDEADLK);
	ck_assert_int_eq(weir_server_drain(s), 0);
}

START_TEST(a_timer_may_stop_its_server)
{
	struct server *s = serve_lines(2);

	ck_assert_int_eq(
		weir_server_timer(s->weir, NULL, 1, 0, stop_its_server, NULL),
		0);
	server_join_and_check(s);
}
END_TEST

static void count_call(weir_server *s, weir_timer *t, void *arg)
{
	(void)s;
	(void)t;
	atomic_fetch_add((_Atomic int *)arg, 1);
}

#define CHURNERS 4

struct churn {
	struct server *s;
	_Atomic int calls;
};

/* Make, move and free, as fast as possible. */
static void *churn_timers(void *arg)
{
	struct churn *ch = arg;
	weir_timer *t[16];

	for (int round = 0; round < fewer(200); round++) {
		for (int i = 0; i < 16; i++)
			ck_assert_int_eq(weir_server_timer(
						 ch->s->weir, &t[i], i % 3,
						 i % 2, count_call, &ch->calls),
					 0);
		for (int i = 0; i < 16; i++)
			ck_assert_int_eq(weir_timer_set(t[i], (i + round) % 4),
					 0);
		for (int i = 0; i < 16; i++) {
			int rc = weir_timer_free(t[i]);

			ck_assert(rc == 0 || rc == -EBUSY);
		}
	}
	return NULL;
}

START_TEST(timers_are_made_moved_and_freed_by_many_threads)
{
	struct churn ch = { .s = serve_lines(3) };
	pthread_t id[CHURNERS];

	for (int i = 0; i < CHURNERS; i++)
		ck_assert_int_eq(
			pthread_create(&id[i], NULL, churn_timers, &ch), 0);
	for (int i = 0; i < CHURNERS; i++)
		pthread_join(id[i], NULL);
	let_timers_run(ch.s, 10);
	UNTIL(stats(ch.s).busy == 0);
	server_stop_and_check(ch.s);
}
END_TEST

#define JOBS 3000

/* Work for the workers, handed over by another thread. */
static void run_jobs(struct server *s, _Atomic int *calls)
{
	int before = atomic_load(calls);

	for (int i = 0; i < JOBS; i++)
		ck_assert_int_eq(weir_server_timer(s->weir, NULL, 0, 0,
						   count_call, calls),
				 0);
	UNTIL(atomic_load(calls) == before + JOBS);
}

START_TEST(a_timer_that_nobody_can_move_is_freed_after_its_only_call)
{
	struct server *s = serve_lines(2);
	_Atomic int calls = 0;
	size_t before;

	run_jobs(s, &calls);
	before = heap_in_use();
	for (int i = 0; i < 3; i++)
		run_jobs(s, &calls);
	if (before > 0)
		ck_assert_uint_lt(heap_in_use(), before + 32 * (size_t)JOBS);
	server_stop_and_check(s);
}
END_TEST

static void move_itself_twice(weir_server *s, weir_timer *t, void *arg)
{
	_Atomic int *calls = arg;

	(void)s;
	if (atomic_fetch_add(calls, 1) < 2)
		ck_assert_int_eq(weir_timer_set(t, 1), 0);
}

static void free_itself(weir_server *s, weir_timer *t, void *arg)
{
	count_call(s, t, arg);
	ck_assert_int_eq(weir_timer_free(t), 0);
}

START_TEST(a_call_moves_and_frees_a_timer_that_nobody_else_can_reach)
{
	struct server *s = serve_lines(2);
	_Atomic int moved = 0, freed = 0;

	ck_assert_int_eq(weir_server_timer(s->weir, NULL, 0, 0,
					   move_itself_twice, &moved),
			 0);
	ck_assert_int_eq(
		weir_server_timer(s->weir, NULL, 0, 1, free_itself, &freed), 0);
	UNTIL(atomic_load(&moved) == 3 && atomic_load(&freed) == 1);
	let_timers_run(s, 20);
	ck_assert_int_eq(atomic_load(&moved), 3);
	ck_assert_int_eq(atomic_load(&freed), 1);
	server_stop_and_check(s);
}
END_TEST

START_TEST(wrong_arguments_are_refused)
{
	struct server *s = serve_lines(1);
	weir_timer *t = NULL;
	_Atomic int calls = 0;
	const int said[] = {
		weir_server_timer(NULL, &t, 1, 0, count_call, &calls),
		weir_server_timer(s->weir, &t, 1, 0, NULL, &calls),
		weir_server_timer(s->weir, &t, -2, 0, count_call, &calls),
		weir_server_timer(s->weir, &t, 1, -1, count_call, &calls),
		weir_server_timer(s->weir, NULL, WEIR_NEVER, 1, count_call,
				  &calls),
		weir_timer_set(NULL, 1),
	};

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++)
		ck_assert_int_eq(said[i], -EINVAL);
	ck_assert_ptr_null(t);
	ck_assert_int_eq(weir_timer_free(NULL), 0);
	ck_assert_int_eq(weir_server_timer(s->weir, &t, WEIR_NEVER, 0,
					   count_call, &calls),
			 0);
	ck_assert_int_eq(weir_timer_set(t, -2), -EINVAL);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"server_timers", a_timer_is_called_once_after_its_time,
		a_slow_callback_skips_the_times_that_have_passed,
		a_period_does_not_drift,
		a_timer_that_is_moved_is_called_at_the_new_time,
		a_move_during_a_call_counts_after_it,
		a_timer_may_be_freed_in_its_own_call,
		a_timer_that_nobody_can_move_is_freed_after_its_only_call,
		a_call_moves_and_frees_a_timer_that_nobody_else_can_reach,
		a_timer_that_is_freed_while_it_runs_is_not_called_again,
		a_slow_timer_holds_up_no_other,
		a_timer_made_before_the_start_is_called_after_it,
		a_server_that_never_started_frees_its_timers,
		timers_are_called_in_a_drain_and_not_after_the_stop,
		a_stop_waits_for_a_call_that_runs,
		a_call_that_outlives_the_deadline_is_stuck_and_named,
		a_timer_may_stop_its_server, a_timer_may_flush_what_it_has_sent,
		timers_are_made_moved_and_freed_by_many_threads,
		wrong_arguments_are_refused);
}
