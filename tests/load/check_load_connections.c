/* SPDX-License-Identifier: MIT */
/*
 * Connections that fail, are not served, stay silent or come from several
 * addresses are each counted as what they are.
 */
#include "scripted.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SHORT (SECOND / 2 * (5 + slowness()))

static const struct script faultless;

/* ---- starved ones */

static void starves_some(int i)
{
	struct script script = { .serves = 5 };
	struct plan plan = PLAN(.connections = 12, .duration_ns = SECOND / 2,
				.timeout_ns = SHORT, .threads = i % 2 ? 4 : 1);
	struct result r;

	if (i / 2 == 1)
		plan.schedule = PLAN_CONSTANT, plan.rate = 500;
	if (i / 2 == 2)
		plan.depth = 8;
	r = run_undisturbed(&script, &plan, NULL, SHORT);
	ck_assert_int_eq(r.connections.opened, 12);
	ck_assert_int_eq(r.connections.served, 5);
	ck_assert_int_eq(r.connections.starved, 7);
	ck_assert_uint_eq(r.connections.replies_min, 0);
	ck_assert_double_le(r.connections.fairness, 5.0 / 12 + 1e-6);
	for (int k = 0; k < WORST_CONNECTIONS; k++)
		ck_assert_int_lt(r.connections.worst[k], 12);
	result_free(&r);
}

START_TEST(a_server_that_serves_some_starves_the_others)
{
	at_once(6, starves_some);
}
END_TEST

static void greets_some(int reconnect)
{
	struct script script = { .serves = 3,
				 .banners = 3,
				 .banner = "Connect" };
	struct plan plan =
		PLAN(.connections = 8, .duration_ns = SECOND + 2 * SHORT,
		     .timeout_ns = SHORT, .banner = BANNER_TEXT,
		     .banner_text = "Connect", .reconnect = reconnect);
	struct result r = run_undisturbed(&script, &plan, NULL, SHORT);

	ck_assert_int_eq(r.connections.served, 3);
	ck_assert_int_eq(r.connections.starved, 5);
	ck_assert_uint_ge(error_count(&r, ERROR_BANNER, ETIMEDOUT), 5);
	ck_assert_uint_eq(r.counts.answered, r.counts.sent);
	result_free(&r);
}

START_TEST(a_banner_for_some_starves_the_others)
{
	at_once(2, greets_some);
}
END_TEST

/* More connections than messages: some are only greeted. */
static void greets_all(int is_open_loop)
{
	struct script script = { .banners = 40, .banner = "hello\n" };
	struct plan plan = PLAN(.connections = 40, .count = 20, .threads = 2,
				.banner = BANNER_LINE);
	struct result r;

	if (is_open_loop)
		plan.schedule = PLAN_CONSTANT, plan.rate = 100;
	r = run_against(&script, &plan, NULL);
	EXPECT_COUNTS(&r, .planned = 20, .sent = 20, .answered = 20,
		      .checked = 20);
	ck_assert_int_eq(r.connections.opened, 40);
	ck_assert_int_eq(r.connections.starved, 0);
	ck_assert(!r.is_incomplete);
	result_free(&r);
}

START_TEST(a_greeted_connection_without_a_message_is_not_starved)
{
	at_once(2, greets_all);
}
END_TEST

/* ---- silence */

/* Each sends one message, most of them long before the end. */
START_TEST(a_connection_that_has_its_replies_is_not_silent)
{
	struct plan plan =
		PLAN(.connections = 10, .schedule = PLAN_CONSTANT, .rate = 10,
		     .duration_ns = SECOND, .threads = 2);
	struct result r = run_against(&faultless, &plan, NULL);

	ck_assert_uint_eq(r.counts.answered, 10);
	ck_assert_int_eq(r.connections.longest_silence, 0);
	result_free(&r);
}
END_TEST

/* A message that is sent after a time-out begins no new wait. */
START_TEST(a_server_that_hangs_is_silent_for_the_whole_run)
{
	struct script script = { .service = SERVE_NOTHING };
	struct plan plan =
		PLAN(.duration_ns = SECOND, .timeout_ns = SECOND / 10);
	struct result r = run_against(&script, &plan, NULL);

	ck_assert_uint_gt(r.counts.timed_out, 4);
	ck_assert_int_ge(r.connections.longest_silence, SECOND / 2);
	result_free(&r);
}
END_TEST

/* ---- banners */

START_TEST(a_banner_other_than_expected_is_an_error)
{
	for (size_t piece = 0; piece < 2; piece++) {
		struct script script = { .piece = piece,
					 .banners = 10,
					 .banner = "Connict and more" };
		struct plan plan = PLAN(.count = 1, .banner = BANNER_TEXT,
					.banner_text = "Connect");
		struct result r = run_against(&script, &plan, NULL);

		EXPECT_COUNTS(&r, .planned = 0);
		ck_assert_uint_eq(error_count(&r, ERROR_BANNER, EBADMSG), 4);
		ck_assert_uint_eq(errors_in_all(&r), 4);
		ck_assert_int_eq(r.connections.starved, 4);
		result_free(&r);
	}
}
END_TEST

START_TEST(churn_waits_for_every_banner)
{
	struct script script = { .banners = 300,
				 .banner = "Connect",
				 .prefix = "Server replies: " };
	struct plan plan =
		PLAN(.mode = PLAN_CHURN, .count = 300, .expect = EXPECT_REPLY,
		     .banner = BANNER_TEXT, .banner_text = "Connect");
	struct result r = run_against(&script, &plan, NULL);

	expect_clean_result(&r, 300);
	result_free(&r);
}
END_TEST

START_TEST(churn_counts_what_had_no_banner_as_never_sent)
{
	struct script script = { .banners = 10, .banner = "hi\n" };
	struct plan plan = PLAN(.mode = PLAN_CHURN, .count = 16,
				.timeout_ns = SHORT, .banner = BANNER_LINE);
	struct result r = run_undisturbed(&script, &plan, NULL, SHORT);

	EXPECT_COUNTS(&r, .planned = 16, .sent = 10, .never_sent = 6,
		      .answered = 10, .checked = 10);
	ck_assert_uint_eq(error_count(&r, ERROR_BANNER, ETIMEDOUT), 6);
	result_free(&r);
}
END_TEST

/* ---- lost ones */

static void loses_some(int i)
{
	struct script script = { .fault = i % 2 ? FAULT_RESET : FAULT_CLOSE,
				 .faults = 9,
				 .from = 10,
				 .to = 100 };
	struct plan plan = PLAN(.connections = 10, .count = 2000,
				.timeout_ns = SHORT, .threads = i < 2 ? 1 : 4);
	struct result r;

	if (i / 2 == 1)
		plan.schedule = PLAN_CONSTANT, plan.rate = 2000;
	r = run_against(&script, &plan, NULL);
	ck_assert_int_eq(r.connections.opened, 10);
	ck_assert_int_eq(r.connections.lost, 9);
	ck_assert_int_eq(r.connections.open, 1);
	ck_assert_int_lt(r.connections.lost_at, r.elapsed);
	ck_assert_int_gt(r.connections.down_ns, 0);
	ck_assert_int_lt(r.connections.down_ns, 9 * r.elapsed);
	ck_assert_int_le(r.connections.served_ns + r.connections.down_ns,
			 10 * r.elapsed);
	ck_assert_int_eq(r.verdict, VERDICT_NOT);
	ck_assert(r.is_incomplete);
	ck_assert(!result_has_ended_early(&r));
	result_free(&r);
}

START_TEST(connections_that_are_lost_are_counted)
{
	at_once(4, loses_some);
}
END_TEST

/* The server dies at the 100th message, or nothing is lost. */
static void ends(int i)
{
	struct script script = { .die_at = i < 4 ? 100 : 0 };
	struct plan plan = PLAN(.timeout_ns = SHORT, .threads = i % 2 ? 4 : 1);
	struct result r;

	if (i % 4 < 2)
		plan.duration_ns = i < 4 ? 100 * SECOND : SECOND / 5;
	else
		plan.count = i < 4 ? 100000 : 200;
	r = run_against(&script, &plan, NULL);
	ck_assert(result_has_ended_early(&r) == (i < 4));
	ck_assert_int_eq(r.connections.lost, i < 4 ? 4 : 0);
	ck_assert(r.is_incomplete == (i < 4));
	result_free(&r);
}

START_TEST(a_run_without_connections_ends_early)
{
	at_once(8, ends);
}
END_TEST

/* All 20 are made again; how long that takes is the time without them. */
START_TEST(connections_that_are_made_again_are_not_lost)
{
	struct script script = {
		.fault = FAULT_RESET, .faults = 20, .from = 10, .to = 100
	};
	struct plan plan =
		PLAN(.count = 1000, .reconnect = true, .timeout_ns = SHORT);
	struct result r = run_against(&script, &plan, NULL);

	ck_assert_int_eq(r.connections.lost, 0);
	ck_assert_uint_eq(r.connections.reopened, 20);
	ck_assert_int_gt(r.connections.down_ns, 0);
	ck_assert(!result_has_ended_early(&r));
	result_free(&r);
}
END_TEST

/* ---- connects that fail */

START_TEST(refused_connections_are_counted_as_refused)
{
	char address[64];

	hold_address(address, sizeof(address));
	for (int i = 0; i < 4; i++) {
		struct plan plan =
			PLAN(.duration_ns = SECOND / 5, .threads = 2);
		struct result r;

		if (i % 2)
			plan.schedule = PLAN_CONSTANT, plan.rate = 1000;
		if (i / 2)
			plan.mode = PLAN_CHURN;
		/* One for each message, so that none is late. */
		if (i == 3)
			plan.connections = 200;
		r = run_at(address, &plan);
		ck_assert_int_eq(r.connections.failed, plan.connections);
		ck_assert_uint_eq(r.counts.sent, 0);
		ck_assert_uint_eq(error_count(&r, ERROR_CONNECT, ECONNREFUSED),
				  errors_in_all(&r));
		if (i / 2)
			ck_assert_uint_eq(errors_in_all(&r),
					  r.counts.never_sent);
		else
			ck_assert_uint_eq(errors_in_all(&r), 4);
		if (i % 2)
			ck_assert_uint_eq(r.counts.planned, 200);
		result_free(&r);
	}
}
END_TEST

/* A failure at once is not a fast reply. */
START_TEST(an_exchange_that_failed_is_as_old_as_the_run)
{
	struct plan plan = PLAN(.mode = PLAN_CHURN, .connections = 200,
				.schedule = PLAN_CONSTANT, .rate = 200,
				.duration_ns = SECOND);
	char address[64];
	struct result r;

	hold_address(address, sizeof(address));
	r = run_at(address, &plan);
	ck_assert_uint_eq(r.counts.never_sent, 200);
	ck_assert_int_ge(histogram_percentile(r.clocks[CLOCK_FROM_PLAN], 50),
			 SECOND * 49 / 100);
	ck_assert_int_ge(r.clocks[CLOCK_FROM_PLAN]->max, SECOND * 98 / 100);
	result_free(&r);
}
END_TEST

/* The backlog takes two; the kernel silently drops further SYNs. */
START_TEST(connects_to_a_full_backlog_time_out)
{
	struct script script = { .service = SERVE_NOBODY, .backlog = 1 };
	struct plan plan = PLAN(.connections = 10, .duration_ns = SECOND / 5,
				.connect_timeout_ns = SHORT,
				.timeout_ns = SHORT, .threads = 2);
	struct scripted *s = scripted_start("127.0.0.1", &script, &plan);
	struct result r = run_at(scripted_address(s), &plan);

	ck_assert_int_ge(r.connections.opened, 1);
	ck_assert_int_ge(r.connections.failed, 1);
	ck_assert_int_eq(r.connections.starved, r.connections.opened);
	ck_assert_uint_eq(error_count(&r, ERROR_CONNECT, ETIMEDOUT),
			  (uint64_t)r.connections.failed);
	ck_assert_uint_eq(r.counts.timed_out, r.counts.sent);
	scripted_stop(s);
	scripted_free(s);
	result_free(&r);
}
END_TEST

static void finds_it_full(int i)
{
	struct script script = { .service = SERVE_NOBODY, .backlog = 1 };
	struct plan plan =
		PLAN(.connections = 10, .duration_ns = SECOND / 5,
		     .connect_timeout_ns = SHORT, .timeout_ns = SHORT);
	struct scripted *s;
	struct result r;
	char address[64];

	snprintf(address, sizeof(address), "unix:@weir-check-%d-%d",
		 (int)getpid(), i);
	s = scripted_start(address, &script, &plan);
	if (i % 2)
		plan.schedule = PLAN_CONSTANT, plan.rate = 1000;
	if (i / 2 == 1)
		plan.mode = PLAN_CHURN;
	if (i / 2 == 2)
		plan.idle = 5;
	r = run_at(scripted_address(s), &plan);
	ck_assert_int_ge(r.connections.failed, 1);
	ck_assert_uint_ge(error_count(&r, ERROR_CONNECT, ETIMEDOUT) +
				  error_count(&r, ERROR_CONNECT, EAGAIN),
			  (uint64_t)r.connections.failed);
	ck_assert_uint_eq(r.counts.answered, 0);
	scripted_stop(s);
	scripted_free(s);
	result_free(&r);
}

START_TEST(connects_to_a_full_unix_backlog_time_out)
{
	at_once(6, finds_it_full);
}
END_TEST

/* A small backlog that is emptied admits all of them. */
START_TEST(a_unix_backlog_that_is_emptied_takes_everybody)
{
	for (int churn = 0; churn < 2; churn++) {
		struct script script = { .backlog = 2, .pace_us = 3000 };
		struct plan plan =
			PLAN(.connections = 50, .count = 500,
			     .mode = churn ? PLAN_CHURN : PLAN_EXCHANGE);
		struct scripted *s =
			scripted_start(own_unix_address(), &script, &plan);
		struct result r = run_at(scripted_address(s), &plan);

		expect_clean_result(&r, 500);
		ck_assert_int_eq(r.connections.opened, 50);
		scripted_stop(s);
		scripted_free(s);
		result_free(&r);
	}
}
END_TEST

/* ---- how long connecting takes */

static pthread_mutex_t handshakes_lock = PTHREAD_MUTEX_INITIALIZER;
static struct histogram handshakes;

/* What the kernel tells the load tester, by any of its threads, is noted. */
int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	const struct tcp_info *info = value;
	int rc = (int)syscall(SYS_getsockopt, fd, level, name, value, len);

	if (rc == 0 && level == IPPROTO_TCP && name == TCP_INFO) {
		pthread_mutex_lock(&handshakes_lock);
		histogram_record(&handshakes, info->tcpi_rtt * INT64_C(1000));
		pthread_mutex_unlock(&handshakes_lock);
	}
	return rc;
}

START_TEST(connecting_takes_as_long_as_the_kernel_says)
{
	struct plan plan =
		PLAN(.mode = PLAN_CHURN, .connections = 50, .count = 5000);
	struct result r;
	int64_t kernel, ours;

	histogram_clear(&handshakes);
	r = run_against(&faultless, &plan, NULL);
	expect_clean_result(&r, 5000);
	ck_assert_uint_eq(r.clocks[CLOCK_CONNECT]->total, 5000);
	ck_assert_uint_eq(handshakes.total, 5000);
	kernel = histogram_percentile(&handshakes, 50);
	ours = histogram_percentile(r.clocks[CLOCK_CONNECT], 50);
	ck_assert_int_le(ours, 2 * kernel);
	ck_assert_int_ge(2 * ours, kernel);
	result_free(&r);
}
END_TEST

/* Neither is it the server's, nor is it more than the whole exchange. */
START_TEST(the_delay_by_this_client_is_a_part_of_each_exchange)
{
	struct plan plan =
		PLAN(.mode = PLAN_CHURN, .connections = 50, .count = 2000);
	struct result r = run_against(&faultless, &plan, NULL);
	const struct histogram *lag = r.clocks[CLOCK_LAG];

	expect_clean_result(&r, 2000);
	ck_assert_uint_eq(lag->total, 2000);
	ck_assert_int_gt(lag->max, 0);
	ck_assert(lag->sum <= r.clocks[CLOCK_FROM_PLAN]->sum);
	result_free(&r);
}
END_TEST

/* The server takes 200 ms, so 50 a second fit, of 200 that are asked for. */
START_TEST(waiting_for_a_busy_connection_is_not_our_delay)
{
	const struct script slow = {
		.fault = FAULT_DELAY, .faults = 50, .to = 50, .delay_ms = 200
	};
	struct plan plan = PLAN(.mode = PLAN_CHURN, .schedule = PLAN_CONSTANT,
				.rate = 200, .connections = 10, .count = 50);
	struct result r = run_undisturbed(&slow, &plan, NULL, 150 * MS);

	expect_clean_result(&r, 50);
	ck_assert_int_gt(histogram_percentile(r.clocks[CLOCK_FROM_PLAN], 50),
			 400 * MS);
	ck_assert_int_lt(histogram_percentile(r.clocks[CLOCK_LAG], 50),
			 50 * MS);
	result_free(&r);
}
END_TEST

/* ---- options of the sockets */

static atomic_int options_set[7];

/* Which of the options of the test below is set, to the value that it asks for?
 */
int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	static const struct {
		int level, name, value;
	} asked[] = {
		{ SOL_SOCKET, SO_RCVBUF, 30000 },
		{ SOL_SOCKET, SO_SNDBUF, 40000 },
		{ IPPROTO_IP, IP_TOS, 46 << 2 },
		{ IPPROTO_TCP, TCP_MAXSEG, 900 },
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
	};
	int number = 0;

	if (len == sizeof(number))
		memcpy(&number, value, sizeof(number));
	for (size_t i = 0; i < sizeof(asked) / sizeof(*asked); i++)
		if (asked[i].level == level && asked[i].name == name &&
		    asked[i].value == number)
			atomic_fetch_add(&options_set[i], 1);
	if (name == TCP_CONGESTION && level == IPPROTO_TCP)
		atomic_fetch_add(&options_set[5], strcmp(value, "reno") == 0);
	if (name == SO_BINDTODEVICE && level == SOL_SOCKET)
		atomic_fetch_add(&options_set[6], strcmp(value, "lo") == 0);
	return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

START_TEST(each_socket_has_the_options_that_are_asked_for)
{
	struct plan plan = PLAN(.connections = 5, .count = 50,
				.socket = { .receive_buffer = 30000,
					    .send_buffer = 40000,
					    .mark_dscp = 46,
					    .segment = 900,
					    .has_nagle = true,
					    .congestion = "reno" });
	struct result r;
	int nodelay;

	for (int i = 0; i < 7; i++)
		atomic_store(&options_set[i], 0);
	r = run_against(&faultless, &plan, NULL);
	expect_clean_result(&r, 50);
	result_free(&r);
	for (int i = 0; i < 6; i++)
		if (i != 4)
			ck_assert_int_ge(atomic_load(&options_set[i]), 5);
	/* The sockets of the server have this one, and only they. */
	nodelay = atomic_load(&options_set[4]);
	ck_assert_int_eq(nodelay, 5);
	plan.socket = (struct plan_socket){ .device = "lo" };
	r = run_against(&faultless, &plan, NULL);
	expect_clean_result(&r, 50);
	result_free(&r);
	ck_assert_int_ge(atomic_load(&options_set[6]), 5);
	ck_assert_int_ge(atomic_load(&options_set[4]), nodelay + 10);
}
END_TEST

/* ---- addresses */

START_TEST(sources_take_turns)
{
	const char *sources[] = { "127.0.0.1", "127.0.0.3", "127.0.0.5" };
	struct plan plan =
		PLAN(.connections = 9, .count = 90, .sources = sources,
		     .source_count = 3, .threads = 2);
	struct seen seen;
	struct result r = run_against(&faultless, &plan, &seen);

	expect_clean_result(&r, 90);
	ck_assert_int_eq(seen.from[0], 3);
	ck_assert_int_eq(seen.from[2], 3);
	ck_assert_int_eq(seen.from[4], 3);
	result_free(&r);
}
END_TEST

START_TEST(a_source_that_is_not_ours_is_an_error_of_bind)
{
	const char *sources[] = { "192.0.2.1" };
	struct plan plan = PLAN(.duration_ns = SECOND / 10, .sources = sources,
				.source_count = 1);
	struct result r = run_against(&faultless, &plan, NULL);

	ck_assert_uint_eq(error_count(&r, ERROR_BIND, EADDRNOTAVAIL), 4);
	ck_assert_int_eq(r.connections.failed, 4);
	result_free(&r);
}
END_TEST

static bool has_two_addresses(const char *port)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list;
	bool has_two;

	ck_assert_int_eq(getaddrinfo(NULL, port, &hints, &list), 0);
	has_two = list->ai_next;
	freeaddrinfo(list);
	return has_two;
}

/* The host has both loopback addresses; one of them is served. */
START_TEST(of_several_addresses_the_one_that_answers_is_taken)
{
	struct plan plan = PLAN(.count = 100);
	struct scripted *s = scripted_start("127.0.0.1", &faultless, &plan);
	char *address = strchr(scripted_address(s), ':');
	struct result r = run_at(address, &plan);

	ck_assert(has_two_addresses(address + 1));
	ck_assert_str_eq(r.target, scripted_address(s));
	expect_clean_result(&r, 100);
	result_free(&r);
	scripted_stop(s);
	scripted_free(s);
}
END_TEST

/* As if the name had the addresses of both. */
START_TEST(a_spread_run_uses_all_addresses_in_rotation)
{
	struct plan plan = PLAN(.connections = 6, .count = 120, .depth = 4,
				.is_spread = true, .threads = 2);
	struct scripted *s[2];
	struct target target[2];
	struct result r;

	for (int i = 0; i < 2; i++) {
		s[i] = scripted_start("127.0.0.1", &faultless, &plan);
		plan.address = scripted_address(s[i]);
		ck_assert_int_eq(target_resolve(&target[i], &plan), 0);
		ck_assert_uint_eq(target[i].to_count, 1);
	}
	target[0].to[1] = target[1].to[0];
	target[0].to_count = 2;
	ck_assert_int_eq(run(&r, &plan, &target[0], NULL, NULL), 0);
	expect_result_balance(&r);
	expect_clean_result(&r, 120);
	for (int i = 0; i < 2; i++) {
		scripted_stop(s[i]);
		ck_assert_int_eq(scripted_seen(s[i])->accepted, 3);
		scripted_free(s[i]);
		target_fini(&target[i]);
	}
	result_free(&r);
}
END_TEST

/* ---- silent ones */

START_TEST(silent_connections_are_held)
{
	struct script script = { .banners = 100, .banner = "hello\n" };
	struct plan plan = PLAN(.connections = 2, .idle = 30, .threads = 2,
				.count = 100, .banner = BANNER_LINE);
	struct seen seen;
	struct result r = run_against(&script, &plan, &seen);

	expect_clean_result(&r, 100);
	ck_assert_int_eq(r.connections.idle_opened, 30);
	ck_assert_int_eq(r.connections.idle_open, 30);
	ck_assert_int_eq(seen.accepted, 32);
	ck_assert_uint_eq(seen.bytes, 6400);
	result_free(&r);
}
END_TEST

START_TEST(silent_connections_that_are_let_go_are_counted)
{
	const int64_t silent = 300 * MS * slowness();
	struct script script = { .close_silent_ms = (int)(silent / MS) };
	struct plan plan = PLAN(.connections = 2, .idle = 30, .threads = 2,
				.depth = 1000, .schedule = PLAN_CONSTANT,
				.rate = 200, .duration_ns = 4 * silent);
	struct result r = run_undisturbed(&script, &plan, NULL, silent);

	ck_assert_int_eq(r.connections.idle_opened, 30);
	ck_assert_int_eq(r.connections.idle_open, 0);
	ck_assert_int_eq(r.connections.open, 2);
	ck_assert_uint_eq(error_count(&r, ERROR_BETWEEN, 0), 30);
	ck_assert_uint_eq(r.connections.ended, 30);
	ck_assert_uint_eq(r.counts.answered, r.counts.planned);
	result_free(&r);
}
END_TEST

int main(void)
{
	return RUN_TESTS("load_connections",
			 a_server_that_serves_some_starves_the_others,
			 a_banner_for_some_starves_the_others,
			 a_greeted_connection_without_a_message_is_not_starved,
			 a_connection_that_has_its_replies_is_not_silent,
			 a_server_that_hangs_is_silent_for_the_whole_run,
			 a_banner_other_than_expected_is_an_error,
			 connections_that_are_lost_are_counted,
			 a_run_without_connections_ends_early,
			 connections_that_are_made_again_are_not_lost,
			 churn_waits_for_every_banner,
			 churn_counts_what_had_no_banner_as_never_sent,
			 refused_connections_are_counted_as_refused,
			 an_exchange_that_failed_is_as_old_as_the_run,
			 connects_to_a_full_backlog_time_out,
			 connects_to_a_full_unix_backlog_time_out,
			 a_unix_backlog_that_is_emptied_takes_everybody,
			 connecting_takes_as_long_as_the_kernel_says,
			 the_delay_by_this_client_is_a_part_of_each_exchange,
			 waiting_for_a_busy_connection_is_not_our_delay,
			 each_socket_has_the_options_that_are_asked_for,
			 sources_take_turns,
			 a_source_that_is_not_ours_is_an_error_of_bind,
			 of_several_addresses_the_one_that_answers_is_taken,
			 a_spread_run_uses_all_addresses_in_rotation,
			 silent_connections_are_held,
			 silent_connections_that_are_let_go_are_counted);
}
