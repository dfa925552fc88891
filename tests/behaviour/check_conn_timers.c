/* SPDX-License-Identifier: MIT */
/*
 * The timer of a connection: one call, at its time, in every state in which a
 * connection is open.
 */
#include "test.h"

#include <limits.h>

struct place {
	int ms;	     /* of the timer */
	int verdict; /* of the call for input */
	int ticks;   /* the timer is set again until then */
	int idle_ms; /* > 0: from the first time that it comes */
	_Atomic int calls, timers;
	_Atomic int early; /* timers that came before their time */
	_Atomic bool is_off;
	_Atomic int64_t set_at, called_at;
	_Atomic int said;
};

static void set_timer(weir_conn *c, struct place *p)
{
	atomic_store(&p->set_at, now_ms());
	ck_assert_int_eq(weir_conn_set_timer(c, p->ms), 0);
}

static void set_idle(weir_conn *c, int ms)
{
	ck_assert_int_eq(weir_conn_set_timeout(c, WEIR_TIMEOUT_IDLE, ms), 0);
}

/* Each line moves it; it answers when it comes. */
static int set_and_answer(weir_conn *c, void *arg)
{
	struct place *p = arg;
	char line[64];
	ssize_t n;

	atomic_fetch_add(&p->calls, 1);
	if (weir_conn_why(c) == WEIR_TIMER) {
		atomic_store(&p->called_at, now_ms());
		if (p->called_at - p->set_at < p->ms - 1)
			atomic_fetch_add(&p->early, 1);
		if (atomic_fetch_add(&p->timers, 1) + 1 < p->ticks)
			set_timer(c, p);
		if (p->idle_ms)
			set_idle(c, p->idle_ms);
		weir_conn_printf(c, "tick\n");
		return p->verdict;
	}
	if (weir_conn_why(c) == WEIR_DRAIN)
		return WEIR_CLOSE;
	n = weir_conn_read_line(c, line, sizeof(line));
	if (n > 0 && line[0] == 'o') {
		ck_assert_int_eq(weir_conn_set_timer(c, WEIR_NEVER), 0);
		set_idle(c, 2 * p->ms);
		atomic_store(&p->is_off, true);
	} else if (n > 0) {
		set_timer(c, p);
	} else if (n < 0) {
		return (int)n;
	}
	return p->verdict;
}

static struct server *serve_timer(struct place *p)
{
	return serve_workers(
		1, WEIR_SERVICE(.readable = set_and_answer, .arg = p));
}

static void one_client_has_a_timer(struct server *s, const struct place *p)
{
	struct client *c = client_open_and_send(s, "go\n");

	if (p->verdict == WEIR_KEEP)
		client_half_close(c);
	client_expect(c, "tick\n");
	ck_assert_int_ge(p->called_at - p->set_at, p->ms - 1);
}

/*
 * Also while it is paused, and after the end of its input.  A second call for
 * the first client would come before the one for the second client.
 */
START_TEST(a_timer_calls_once_at_its_time)
{
	static const int verdicts[] = { WEIR_AGAIN, WEIR_PAUSE, WEIR_KEEP };

	for (int i = 0; i < 3; i++) {
		struct place p = { .ms = 200, .verdict = verdicts[i] };
		struct server *s = serve_timer(&p);

		one_client_has_a_timer(s, &p);
		one_client_has_a_timer(s, &p);
		UNTIL(stats(s).parked == 2);
		ck_assert_int_eq(p.timers, 2);
		server_stop_and_check(s);
	}
}
END_TEST

/* It passes at times if the machine stands still. */
START_TEST(a_timer_is_moved_and_switched_off)
{
	const int ms = 300;
	struct place p = { .ms = ms, .verdict = WEIR_AGAIN };
	struct server *s = serve_timer(&p);
	struct client *c = client_open(s);
	int64_t until = now_ms() + 2 * ms;
	int timers;

	while (now_ms() < until) {
		client_send(c, "later\n");
		poll_sleep();
	}
	timers = atomic_load(&p.timers);
	UNTIL(atomic_load(&p.timers) > timers);
	client_send(c, "later\noff\n");
	UNTIL(atomic_load(&p.is_off));
	timers = atomic_load(&p.timers);
	client_expect_end(c); /* idle for twice the time of the timer */
	ck_assert_int_eq(p.timers, timers);
	ck_assert_int_eq(p.early, 0);
	server_stop_and_check(s);
}
END_TEST

/* A server that pings a silent client still finds out that it is silent. */
START_TEST(a_timer_does_not_restart_the_idle_time)
{
	struct place p = { .ms = 50,
			   .verdict = WEIR_AGAIN,
			   .ticks = INT_MAX,
			   .idle_ms = 500 };
	struct server *s = serve_timer(&p);
	struct client *c = client_open_and_send(s, "go\n");

	client_expect_end(c);
	ck_assert_int_ge(p.timers, 1);
	ck_assert_int_le(p.timers, p.idle_ms / p.ms + 1);
	UNTIL(stats(s).timed_out[WEIR_TIMEOUT_IDLE] == 1);
	server_stop_and_check(s);
}
END_TEST

#define MUCH ((size_t)8 << 20)

static int fill_and_set(weir_conn *c, void *arg)
{
	struct place *p = arg;
	char line[64];
	ssize_t n = 1;
	int fd;

	if (weir_conn_why(c) == WEIR_TIMER) {
		atomic_fetch_add(&p->timers, 1);
		return WEIR_AGAIN;
	}
	n = weir_conn_read_line(c, line, sizeof(line));
	if (n <= 0)
		return (int)n;
	fd = make_file(MUCH);
	ck_assert_int_eq(weir_conn_sendfile(c, fd, 0, MUCH), 0);
	close(fd);
	set_timer(c, p);
	return WEIR_AGAIN;
}

START_TEST(a_timer_comes_while_output_is_unsent)
{
	struct place p = { .ms = 100 };
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.readable = fill_and_set, .arg = &p));
	struct client *c = client_open_small(s, 4096);

	client_send(c, "go\n");
	UNTIL(atomic_load(&p.timers) == 1);
	ck_assert_uint_lt(stats(s).bytes_out, MUCH);
	client_close(c);
	UNTIL(is_at_rest(s));
	server_stop_and_check(s);
}
END_TEST

/* Input that never ends does not keep it from coming. */
static int spin_with_timer(weir_conn *c, void *arg)
{
	struct place *p = arg;

	if (weir_conn_why(c) == WEIR_TIMER)
		return WEIR_CLOSE;
	if (atomic_fetch_add(&p->calls, 1) == 1)
		set_timer(c, p);
	return WEIR_AGAIN;
}

START_TEST(a_timer_comes_though_there_is_always_input)
{
	struct place p = { .ms = 100 };
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.readable = spin_with_timer, .arg = &p));
	struct client *c = client_open_and_send(s, "x");

	client_expect_eof(c);
	ck_assert_int_ge(p.calls, 2);
	server_stop_and_check(s);
}
END_TEST

START_TEST(a_stop_does_not_wait_for_a_timer)
{
	struct place p = { .ms = 3600 * 1000, .verdict = WEIR_AGAIN };
	struct server *s = serve_timer(&p);
	struct client *c = client_open_and_send(s, "go\n");
	struct weir_report report;

	UNTIL(atomic_load(&p.calls) >= 1 && stats(s).parked == 1);
	weir_server_drain(s->weir);
	client_expect_eof(c);
	report = server_join_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 1);
	ck_assert_int_eq(p.timers, 0);
}
END_TEST

/* ---- connections whose calls wait */

static int wait_for_timer(weir_conn *c, void *arg)
{
	struct place *p = arg;
	char line[64];

	set_timer(c, p);
	while (weir_conn_read_line(c, line, sizeof(line)) > 0)
		;
	atomic_fetch_add(&p->timers, 1);
	atomic_store(&p->said, (int)weir_conn_read_line(c, line, sizeof(line)));
	return 0;
}

START_TEST(a_timer_interrupts_the_wait_of_a_session)
{
	struct place p = { .ms = 100 };
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.session = wait_for_timer, .arg = &p));
	struct client *c = client_open_and_send(s, "go\n");

	UNTIL(atomic_load(&p.timers) == 1);
	client_half_close(c); /* ends the second wait */
	client_expect_eof(c);
	ck_assert_int_eq(p.said, 0);
	server_stop_and_check(s);
}
END_TEST

static int wait_twice(weir_conn *c, void *arg)
{
	struct place *p = arg;
	char line[64];

	weir_conn_read_line(c, line, sizeof(line));
	set_timer(c, p);
	atomic_store(&p->said, (int)weir_conn_read_line(c, line, sizeof(line)));
	return weir_conn_printf(c, "told\n");
}

START_TEST(the_interrupted_call_says_EINTR)
{
	struct place p = { .ms = 100 };
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.session = wait_twice, .arg = &p));
	struct client *c = client_open_and_send(s, "go\n");
	char buf[8];
	weir_conn *dialled;

	client_expect_last(c, "told\n");
	ck_assert_int_eq(p.said, -EINTR);
	ck_assert_int_eq(weir_dial(&dialled, s->address, 20000), 0);
	set_timer(dialled, &p);
	ck_assert_int_eq(weir_conn_read(dialled, buf, sizeof(buf)), -EINTR);
	weir_conn_free(dialled);
	server_stop_and_check(s);
}
END_TEST

static int tick_without_end(weir_conn *c, void *arg)
{
	struct place *p = arg;
	char line[64];
	ssize_t n;

	do {
		set_timer(c, p);
		n = weir_conn_read_line(c, line, sizeof(line));
		if (n == -EINTR) {
			atomic_fetch_add(&p->timers, 1);
			set_idle(c, p->idle_ms);
		}
	} while (n == -EINTR || n > 0);
	return (int)n;
}

START_TEST(a_timer_does_not_restart_the_idle_time_of_a_session)
{
	struct place p = { .ms = 50, .idle_ms = 500 };
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.session = tick_without_end, .arg = &p));
	struct client *c = client_open_and_send(s, "go\n");

	client_expect_end(c);
	ck_assert_int_ge(p.timers, 1);
	ck_assert_int_le(p.timers, p.idle_ms / p.ms + 1);
	UNTIL(stats(s).timed_out[WEIR_TIMEOUT_IDLE] == 1);
	server_stop_and_check(s);
}
END_TEST

/* It passes in the first call; the call for the wake switches it off. */
static int switch_off_when_woken(weir_conn *c, void *arg)
{
	struct place *p = arg;
	char line[64];
	int64_t until = now_ms() + 50;

	switch (weir_conn_why(c)) {
	case WEIR_TIMER:
		atomic_fetch_add(&p->timers, 1);
		return WEIR_AGAIN;
	case WEIR_WAKE:
		ck_assert_int_eq(weir_conn_set_timer(c, WEIR_NEVER), 0);
		weir_conn_printf(c, "off\n");
		return WEIR_AGAIN;
	default:
		break;
	}
	set_timer(c, p);
	ck_assert_int_eq(weir_ref_wake(weir_conn_self(c)), 0);
	UNTIL(now_ms() > until);
	return (int)weir_conn_read_line(c, line, sizeof(line)) > 0 ? WEIR_AGAIN
								   : 0;
}

START_TEST(a_timer_that_has_passed_can_be_switched_off)
{
	struct place p = { .ms = 1 };
	struct server *s = serve_workers(
		1, WEIR_SERVICE(.readable = switch_off_when_woken, .arg = &p));
	struct client *c = client_open_and_send(s, "go\n");

	client_expect(c, "off\n");
	UNTIL(stats(s).parked == 1);
	ck_assert_int_eq(p.timers, 0);
	server_stop_and_check(s);
}
END_TEST

static void set_when_closed(weir_conn *c, void *arg)
{
	atomic_store((_Atomic int *)arg, weir_conn_set_timer(c, 1000));
}

static int set_wrong(weir_conn *c, void *arg)
{
	(void)arg;
	weir_conn_printf(c, "%d",
			 weir_conn_set_timer(c, 0) == -EINVAL &&
				 weir_conn_set_timer(c, -2) == -EINVAL &&
				 weir_conn_set_timer(NULL, 1) == -EINVAL);
	return 0;
}

START_TEST(wrong_times_are_refused)
{
	_Atomic int said = 1;
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = set_wrong,
						    .closed = set_when_closed,
						    .arg = (void *)&said));
	struct client *c = client_open_and_send(s, "x");

	client_expect_last(c, "1");
	UNTIL(is_at_rest(s));
	ck_assert_int_eq(said, -EPIPE);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS("conn_timers", a_timer_calls_once_at_its_time,
			 a_timer_is_moved_and_switched_off,
			 a_timer_does_not_restart_the_idle_time,
			 a_timer_comes_while_output_is_unsent,
			 a_timer_comes_though_there_is_always_input,
			 a_stop_does_not_wait_for_a_timer,
			 a_timer_interrupts_the_wait_of_a_session,
			 the_interrupted_call_says_EINTR,
			 a_timer_does_not_restart_the_idle_time_of_a_session,
			 a_timer_that_has_passed_can_be_switched_off,
			 wrong_times_are_refused);
}
