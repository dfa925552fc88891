/* SPDX-License-Identifier: MIT */
/*
 * Peers that are silent, stop in mid-line or ask without end, and callbacks
 * that sleep, must not hold up other connections.  And the limit of sessions.
 */
#include "test.h"

#include <poll.h>
#include <sys/ioctl.h>

#define SILENT	  2500
#define HALF_SENT 2500
#define TALKERS	  50

static size_t half_line(const struct client_group *group, int i, char *buf,
			size_t cap)
{
	(void)group;
	return (size_t)snprintf(buf, cap, "half a line from %d", i);
}

static size_t whole_line(const struct client_group *group, int i, char *buf,
			 size_t cap)
{
	return (size_t)snprintf(buf, cap, "%d says line %d\n", i, group->round);
}

static size_t rest_of_line(const struct client_group *group, int i, char *buf,
			   size_t cap)
{
	(void)group;
	(void)i;
	return (size_t)snprintf(buf, cap, ", ended\n");
}

static size_t joined_line(const struct client_group *group, int i, char *buf,
			  size_t cap)
{
	size_t len = half_line(group, i, buf, cap);

	return len + rest_of_line(group, i, buf + len, cap - len);
}

static void one_exchange(struct client *c)
{
	client_expect_echo(c, "hello\n");
}

START_TEST(five_thousand_silent_peers_starve_nobody)
{
	struct client_group *silent, *half_sent, *talkers;
	struct process_state without, with;
	struct client *newcomer;
	struct server *s;

	if (!may_open(2 * (SILENT + HALF_SENT + TALKERS) + 200))
		return;
	s = serve_workers(4, WEIR_SERVICE(.readable = echo_lines));
	process_state_take(&without);
	silent = group_open(s, SILENT);
	half_sent = group_open(s, HALF_SENT);
	talkers = group_open(s, TALKERS);
	group_send(half_sent, half_line);
	UNTIL(stats(s).parked == SILENT + HALF_SENT + TALKERS);
	for (talkers->round = 0; talkers->round < 20; talkers->round++) {
		group_send(talkers, whole_line);
		group_expect(talkers, whole_line);
	}
	newcomer = client_open(s);
	one_exchange(newcomer);
	process_state_take(&with);
	ck_assert_int_eq(with.threads, without.threads);
	/* All of that while the others were connected. */
	ck_assert_uint_eq(stats(s).ledger.open,
			  SILENT + HALF_SENT + TALKERS + 1);
	group_send(half_sent, rest_of_line);
	group_expect(half_sent, joined_line);
	group_close(silent);
	group_close(half_sent);
	group_close(talkers);
	server_stop_and_check(s);
}
END_TEST

/* A session begins with the first byte, so silence costs no worker. */
START_TEST(silent_peers_hold_no_session_worker)
{
	struct server *s =
		serve_workers(2, WEIR_SERVICE(.session = echo_lines));
	struct client_group *silent = group_open(s, 500);

	for (int i = 0; i < 20; i++) {
		struct client *c = client_open(s);

		one_exchange(c);
		client_half_close(c);
		client_expect_eof(c);
		client_close(c);
	}
	UNTIL(stats(s).ledger.completed == 20);
	ck_assert_uint_eq(stats(s).ledger.open, 500);
	group_close(silent);
	server_stop_and_check(s);
}
END_TEST

/* The limit of sessions on workers: each half line holds one. */
static struct client_group *hold_all_workers(struct server *s, int workers)
{
	struct client_group *half_sent = group_open(s, workers);

	group_send(half_sent, half_line);
	UNTIL(stats(s).busy == (uint64_t)workers);
	return half_sent;
}

static void release_workers(struct client_group *half_sent)
{
	group_send(half_sent, rest_of_line);
	group_expect(half_sent, joined_line);
	group_half_close(half_sent);
	group_expect_eof(half_sent);
	group_close(half_sent);
}

START_TEST(half_sent_sessions_hold_their_workers_and_the_rest_is_held)
{
	struct server *s = serve(WEIR_CONFIG(.workers = 2, .queue_length = 4),
				 WEIR_SERVICE(SESSION_ON(1, echo_lines)));
	struct client_group *half_sent = hold_all_workers(s, 2);
	struct client_group *others = group_open(s, 10);
	struct weir_report report;

	group_send(others, whole_line);
	group_half_close(others);
	UNTIL(stats(s).queued == 4);
	release_workers(half_sent);
	group_expect(others, whole_line);
	group_expect_eof(others);
	group_close(others);
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.completed, 12);
}
END_TEST

START_TEST(half_sent_sessions_hold_their_workers_and_the_rest_is_refused)
{
	struct server *s = serve(WEIR_CONFIG(.workers = 2, .queue_length = 4,
					     .overload = WEIR_REFUSE),
				 WEIR_SERVICE(SESSION_ON(1, echo_lines)));
	struct client_group *half_sent = hold_all_workers(s, 2);
	struct client *c[10];
	struct weir_report report;

	for (int i = 0; i < 10; i++)
		c[i] = client_open(s);
	UNTIL(stats(s).ledger.refused_full == 6);
	ck_assert_uint_eq(stats(s).queued, 4);
	for (int i = 4; i < 10; i++)
		client_expect_last(c[i], "busy, try later\n");
	release_workers(half_sent);
	for (int i = 0; i < 4; i++) {
		one_exchange(c[i]);
		client_close(c[i]);
	}
	report = server_stop_and_check(s);
	ck_assert_uint_eq(report.ledger.refused_full, 6);
	ck_assert_uint_eq(report.ledger.completed, 6);
}
END_TEST

#define GREEDY 4

struct pump {
	struct client *c[GREEDY];
	_Atomic bool is_over;
	_Atomic uint64_t received;
};

/* Send without waiting for answers, and read them as they come. */
static void *ask_without_end(void *arg)
{
	static char lines[16384], answers[65536];
	struct pump *p = arg;
	struct pollfd fds[GREEDY];

	for (size_t i = 0; i < sizeof(lines); i++)
		lines[i] = i % 8 == 7 ? '\n' : 'g';
	for (int i = 0; i < GREEDY; i++)
		fds[i] = (struct pollfd){ .fd = p->c[i]->fd,
					  .events = POLLIN | POLLOUT };
	while (!atomic_load(&p->is_over)) {
		poll(fds, GREEDY, 1000);
		for (int i = 0; i < GREEDY; i++) {
			ssize_t n = recv(fds[i].fd, answers, sizeof(answers),
					 MSG_DONTWAIT);

			if (n > 0)
				atomic_fetch_add(&p->received, (uint64_t)n);
			/* Whole lines only matter to the count of bytes. */
			send(fds[i].fd, lines, sizeof(lines),
			     MSG_DONTWAIT | MSG_NOSIGNAL);
		}
	}
	return NULL;
}

START_TEST(peers_that_pipeline_without_end_starve_nobody)
{
	struct server *s =
		serve_workers(2, WEIR_SERVICE(.readable = echo_a_line));
	struct client *polite = client_open(s);
	struct pump pump = { .received = 0 };
	pthread_t thread;

	for (int i = 0; i < GREEDY; i++)
		pump.c[i] = client_open(s);
	ck_assert_int_eq(pthread_create(&thread, NULL, ask_without_end, &pump),
			 0);
	UNTIL(atomic_load(&pump.received) > 100000);
	for (int i = 0; i < 50; i++)
		one_exchange(polite);
	atomic_store(&pump.is_over, true);
	pthread_join(thread, NULL);
	client_close(polite);
	for (int i = 0; i < GREEDY; i++)
		client_reset(pump.c[i]);
	server_stop_and_check(s);
}
END_TEST

/* Echo lines; "first" and "second" wait at their gates first. */
struct gates {
	struct gate first, second;
	_Atomic int served;
};

static int echo_at_gates(weir_conn *c, void *arg)
{
	struct gates *g = arg;
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc;

	if (n <= 0)
		return (int)n;
	if (strcmp(line, "first\n") == 0)
		gate_wait(&g->first);
	else if (strcmp(line, "second\n") == 0)
		gate_wait(&g->second);
	else if (strcmp(line, "how many?\n") == 0)
		return weir_conn_printf(c, "%d", atomic_load(&g->served));
	rc = weir_conn_write(c, line, (size_t)n);
	atomic_fetch_add(&g->served, 1);
	return rc < 0 ? rc : WEIR_AGAIN;
}

static struct server *serve_gates(struct gates *g, int workers)
{
	return serve_workers(workers,
			     WEIR_SERVICE(.readable = echo_at_gates, .arg = g));
}

/*
 * While both workers wait at the first gate, lines come from a client whose
 * callback will wait at the second one, and from many clients whose callbacks
 * will not.  Then the first gate opens, and the second stays closed until the
 * many have been answered.
 */
START_TEST(a_callback_that_waits_holds_back_nothing_that_came_with_it)
{
	struct gates gates = { .first = GATE_CLOSED, .second = GATE_CLOSED };
	struct server *s = serve_gates(&gates, 2);
	struct client *held[3] = { client_open(s), client_open(s),
				   client_open(s) };
	struct client_group *others = group_open(s, 40);

	UNTIL(stats(s).parked == 43);
	client_send(held[0], "first\n");
	client_send(held[1], "first\n");
	UNTIL(gate_waiting(&gates.first) == 2);
	client_send(held[2], "second\n");
	group_send(others, whole_line);
	gate_open(&gates.first);
	group_expect(others, whole_line);
	UNTIL(gate_waiting(&gates.second) == 1);
	gate_open(&gates.second);
	client_expect(held[2], "second\n");
	group_close(others);
	server_stop_and_check(s);
}
END_TEST

/* A thousand lines wait before the polite client asks. */
START_TEST(a_client_that_has_sent_a_thousand_lines_waits_between_them)
{
	struct gates gates = { .first = GATE_CLOSED, .second = GATE_CLOSED };
	struct server *s = serve_gates(&gates, 1);
	struct client *greedy = client_open(s), *polite = client_open(s);
	char lines[7000], count[16];
	ssize_t n;

	UNTIL(stats(s).parked == 2);
	for (size_t i = 0; i < sizeof(lines); i++)
		lines[i] = i % 7 == 6 ? '\n' : 'g';
	client_send(greedy, "first\n");
	UNTIL(gate_waiting(&gates.first) == 1);
	client_send_bytes(greedy, lines, sizeof(lines));
	client_send(polite, "how many?\n");
	gate_open(&gates.first);
	n = client_read(polite, count, sizeof(count) - 1);
	ck_assert_int_gt(n, 0);
	count[n] = '\0';
	ck_assert_int_lt(atoi(count), 500);
	client_expect(greedy, "first\n");
	client_expect_bytes(greedy, lines, sizeof(lines));
	server_stop_and_check(s);
}
END_TEST

#define SLOW_GREEDY 8

/* Echo lines, each after some milliseconds of work. */
static int echo_slowly_at_gates(weir_conn *c, void *arg)
{
	usleep(3000);
	return echo_at_gates(c, arg);
}

/*
 * One worker, callbacks that take their time, peers that always have a next
 * line.  The polite one asks while a callback of theirs is at the gate, and is
 * served before the others have had many more.
 */
START_TEST(between_slow_callbacks_the_worker_looks_for_new_clients)
{
	struct gates gates = { .first = GATE_CLOSED, .second = GATE_CLOSED };
	struct server *s = serve(
		WEIR_CONFIG(.workers = 1),
		WEIR_SERVICE(.readable = echo_slowly_at_gates, .arg = &gates));
	struct client *polite = client_open(s), *greedy[SLOW_GREEDY];
	char count[16];
	int before;
	ssize_t n;

	for (int i = 0; i < SLOW_GREEDY; i++)
		greedy[i] = client_open(s);
	UNTIL(stats(s).parked == 1 + SLOW_GREEDY);
	for (int i = 0; i < SLOW_GREEDY; i++) {
		for (int line = 0; line < 8; line++)
			client_send(greedy[i], "greedy\n");
		client_send(greedy[i], i == 0 ? "second\n" : "greedy\n");
		for (int line = 0; line < 8; line++)
			client_send(greedy[i], "greedy\n");
	}
	UNTIL(gate_waiting(&gates.second) == 1);
	before = atomic_load(&gates.served);
	client_send(polite, "how many?\n");
	gate_open(&gates.second);
	n = client_read(polite, count, sizeof(count) - 1);
	ck_assert_int_gt(n, 0);
	count[n] = '\0';
	ck_assert_int_le(atoi(count) - before, 4);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"starvation", five_thousand_silent_peers_starve_nobody,
		silent_peers_hold_no_session_worker,
		half_sent_sessions_hold_their_workers_and_the_rest_is_held,
		half_sent_sessions_hold_their_workers_and_the_rest_is_refused,
		peers_that_pipeline_without_end_starve_nobody,
		a_client_that_has_sent_a_thousand_lines_waits_between_them,
		a_callback_that_waits_holds_back_nothing_that_came_with_it,
		between_slow_callbacks_the_worker_looks_for_new_clients);
}
