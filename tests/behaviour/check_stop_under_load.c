/* SPDX-License-Identifier: MIT */
/*
 * A hundred stops under load, from clients that connect for each question and
 * clients that stay.  Every question before the stop is answered, no client is
 * reset, late ones are refused, and the counts of the clients, the servers and
 * the kernel agree.
 *
 * Where a fence drops late connection attempts, each is refused a second later,
 * when the client's kernel tries again; so several servers stop at a time.
 *
 * For comparison, the same clients against a server that just closes.  If they
 * lose nothing there, these tests show nothing.
 */
#include "test.h"

#define SERVERS	 5
#define ROUNDS	 20
#define CHURNING 6
#define KEEPING	 4
#define WARM	 300 /* answers before the stop */

struct totals {
	uint64_t accepted, connected, refused, answered, slow;
};

struct kernel {
	long passive_opens, resets_sent, aborts, sent_twice;
};

static struct kernel kernel_now(void)
{
	return (struct kernel){
		.passive_opens = network_counter("Tcp", "PassiveOpens"),
		.resets_sent = network_counter("Tcp", "OutRsts"),
		.aborts = network_counter("TcpExt", "TCPAbortOnClose"),
		.sent_twice = network_counter("Tcp", "RetransSegs") -
			      network_counter("TcpExt", "TCPSynRetrans"),
	};
}

static void stop_all(struct server *const *s, struct load *const *load)
{
	for (int i = 0; i < SERVERS; i++) {
		UNTIL(load_answered(load[i]) > WARM);
		load_mark_stop(load[i]);
		weir_server_stop(s[i]->weir, 30000 * slowness());
	}
}

static void expect_counts_agree(const struct load_counts *counts,
				const struct weir_report *report)
{
	ck_assert_uint_eq(counts->lost, 0);
	ck_assert_uint_eq(counts->reset, 0);
	ck_assert_uint_eq(counts->odd, 0);
	ck_assert_uint_eq(report->ledger.cut, 0);
	ck_assert_uint_eq(report->ledger.accepted, counts->connected);
	/* An unanswered question was late and was counted. */
	ck_assert_uint_le(counts->late,
			  report->late_bytes + report->ledger.refused_drain);
}

static void one_round(const struct weir_service *service, struct totals *t)
{
	struct server *s[SERVERS];
	struct load *load[SERVERS];
	struct load_counts counts[SERVERS];

	for (int i = 0; i < SERVERS; i++)
		s[i] = serve(WEIR_CONFIG(.workers = 2 * KEEPING), service);
	for (int i = 0; i < SERVERS; i++)
		load[i] = load_start(s[i]->address, CHURNING, KEEPING);
	stop_all(s, load);
	for (int i = 0; i < SERVERS; i++)
		counts[i] = load_finish(load[i]);
	/*
	 * A server is checked against what the process had before it: no later
	 * server, and no connection of any.
	 */
	for (int i = 0; i < SERVERS; i++)
		ck_assert_int_eq(join_fully(s[i]->weir, NULL), 0);
	for (int i = SERVERS - 1; i >= 0; i--) {
		struct weir_report report = server_join_and_check(s[i]);

		expect_counts_agree(&counts[i], &report);
		t->accepted += report.ledger.accepted;
		t->connected += counts[i].connected;
		t->refused += counts[i].refused;
		t->answered += counts[i].answered;
		t->slow += counts[i].slow;
	}
}

static void many_stops(const struct weir_service *service)
{
	bool has_network = enter_own_network();
	struct totals totals = { 0 };
	struct kernel before, after;
	long resets;

	if (!has_network)
		skip_test("no network namespace allowed here, "
			  "the kernel's counters are not compared");
	before = kernel_now();
	for (int i = 0; i < fewer(ROUNDS); i++)
		one_round(service, &totals);
	after = kernel_now();
	ck_assert_uint_gt(totals.answered, (uint64_t)WARM * SERVERS);
	if (!has_network)
		return;
	ck_assert_uint_eq(
		(uint64_t)(after.passive_opens - before.passive_opens),
		totals.accepted);
	/*
	 * The reset that answers a refused connection attempt counts too.  So
	 * does one for the question of a slow client that was idle too long in
	 * the stop, and for what a busy kernel sends twice after both ends have
	 * closed.
	 */
	resets = after.resets_sent - before.resets_sent;
	ck_assert_int_ge(resets, (long)totals.refused);
	ck_assert_int_le(resets - (long)totals.refused,
			 after.sent_twice - before.sent_twice +
				 (long)totals.slow);
	ck_assert_int_eq(after.aborts, before.aborts);
}

START_TEST(a_stop_under_load_loses_nothing)
{
	many_stops(WEIR_SERVICE(.readable = echo_lines));
}
END_TEST

START_TEST(a_stop_of_sessions_under_load_loses_nothing)
{
	many_stops(WEIR_SERVICE(.session = echo_lines));
}
END_TEST

/*
 * Unix sockets, by path and abstract: no connected client is forgotten, and
 * endless clients do not delay the stop.
 */
static void stop_unix(const char *where)
{
	struct server *s = serve_at(where, WEIR_CONFIG(.workers = 2 * KEEPING),
				    WEIR_SERVICE(.readable = echo_lines));
	struct load *load = load_start(s->address, CHURNING, KEEPING);
	struct load_counts counts;
	struct weir_report report;

	UNTIL(load_answered(load) > WARM);
	load_mark_stop(load);
	weir_server_stop(s->weir, 30000 * slowness());
	counts = load_finish(load);
	ck_assert_int_eq(join_fully(s->weir, &report), 0);
	ck_assert_uint_lt(report.drain_ms, 15000 * (uint64_t)slowness());
	report = server_join_and_check(s);
	expect_counts_agree(&counts, &report);
}

START_TEST(a_stop_of_unix_listeners_under_load_loses_nothing)
{
	char folder[FOLDER_ROOM], path[64];

	ck_assert(make_folder(folder));
	snprintf(path, sizeof(path), "unix:%s/socket", folder);
	for (int i = 0; i < fewer(ROUNDS); i++) {
		stop_unix(own_unix_address());
		stop_unix(path);
	}
	rmdir(folder);
}
END_TEST

/* ---- for comparison */

START_TEST(control_a_plain_close_under_load_does_lose)
{
	uint64_t lost = 0, reset = 0;

	for (int i = 0; i < 50 && (lost == 0 || reset == 0); i++) {
		struct baseline_server p = { .fd = -1 };
		struct load *load;
		struct load_counts counts;

		baseline_server_start(&p);
		load = load_start(p.address, CHURNING + KEEPING, 0);
		UNTIL(load_answered(load) > WARM);
		load_mark_stop(load);
		baseline_server_stop(&p);
		counts = load_finish(load);
		lost += counts.lost;
		reset += counts.reset;
	}
	ck_assert_uint_gt(lost, 0);
	ck_assert_uint_gt(reset, 0);
}
END_TEST

int main(void)
{
	return RUN_TESTS("stop_under_load", a_stop_under_load_loses_nothing,
			 a_stop_of_sessions_under_load_loses_nothing,
			 a_stop_of_unix_listeners_under_load_loses_nothing,
			 control_a_plain_close_under_load_does_lose);
}
