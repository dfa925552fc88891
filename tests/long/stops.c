/* SPDX-License-Identifier: MIT */
/*
 * Six hundred stops of weir-server under load: thousands of new connections a
 * second, beside 200 that stay and ask a hundred times a second, over IPv4,
 * IPv6 and Unix sockets, each with and without privileges.  Every question
 * asked before the SIGTERM is answered and no client is reset; the server exits
 * with 0, in time; and three counts agree: the clients', the server's last line
 * and the kernel's. For comparison, the same load on a server that just closes.
 *
 * Where a fence drops late connection attempts instead of refusing them, each
 * is refused a second later, when the client's kernel tries again.  Such
 * clients keep a load from ending, so loads may end while the next server runs;
 * and each server has an address of its own, since a later one at the same
 * address would answer them.
 */
#include "test.h"

#include <grp.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "program.h"

#define STOPS	   100 /* of each family */
#define CHURNING   6
#define CROWD	   200
#define PAUSE_MS   10
#define LOAD_MS	   150
#define DRAIN_MS   5000
#define ENOUGH	   5000 /* new connections a second */
#define BEHIND	   6	/* loads that may still be ending */
#define FIRST_PORT 10000
#define NOBODY	   65534

struct totals {
	struct load_counts counts;
	uint64_t accepted;
	int64_t load_ms, slowest_ms;
	uint64_t under_load; /* connected until the stop */
};

struct kernel {
	long passive_opens, resets_sent, aborts, full, drops, syns_again;
	long forgotten, sent_twice;
};

struct stopped {
	struct load *load;
	char address[64];
	struct drained drained;
};

static struct kernel kernel_now(void)
{
	return (struct kernel){
		.passive_opens = network_counter("Tcp", "PassiveOpens"),
		.resets_sent = network_counter("Tcp", "OutRsts"),
		.aborts = network_counter("TcpExt", "TCPAbortOnClose"),
		.full = network_counter("TcpExt", "ListenOverflows"),
		.drops = network_counter("TcpExt", "ListenDrops"),
		.syns_again = network_counter("TcpExt", "TCPSynRetrans"),
		.forgotten = network_counter("TcpExt", "TCPTimeWaitOverflow"),
		.sent_twice = network_counter("Tcp", "RetransSegs") -
			      network_counter("TcpExt", "TCPSynRetrans"),
	};
}

static void load_is_over(struct stopped *s, struct totals *t)
{
	struct load_counts counts = load_finish(s->load);

	ck_assert_uint_eq(counts.lost, 0);
	ck_assert_uint_eq(counts.reset, 0);
	ck_assert_uint_eq(counts.odd, 0);
	ck_assert_uint_eq(s->drained.accepted, counts.connected);
	ck_assert_uint_eq(s->drained.cut, 0);
	ck_assert_uint_eq(s->drained.failed, 0);
	ck_assert_uint_eq(s->drained.timed_out, 0);
	load_counts_add(&t->counts, &counts);
	t->accepted += s->drained.accepted;
	s->load = NULL;
}

static void stop_under_load(struct stopped *s, const char *where,
			    struct totals *t)
{
	char operand[80];
	char *options[] = { "-w4", "--log-level", "error", "--drain-timeout",
			    "5s",  operand,	  NULL };
	struct program server;
	int64_t began_at, took_ms;
	uint64_t before;

	snprintf(operand, sizeof(operand), "echo@%s", where);
	program_start(&server, options);
	program_address(&server, s->address, sizeof(s->address));
	s->load = load_start_with_group(s->address, CHURNING, CROWD, PAUSE_MS);
	before = load_connected(s->load);
	began_at = now_ms();
	UNTIL(now_ms() >= began_at + LOAD_MS);
	t->under_load += load_connected(s->load) - before;
	t->load_ms += now_ms() - began_at;
	began_at = now_ms();
	load_mark_stop(s->load);
	kill(server.pid, SIGTERM);
	ck_assert_int_eq(program_wait_drained(&server, &s->drained), 0);
	took_ms = now_ms() - began_at;
	ck_assert_int_le(took_ms, DRAIN_MS + 100);
	if (took_ms > t->slowest_ms)
		t->slowest_ms = took_ms;
}

static void tell(const char *family, int stops, const struct totals *t)
{
	const struct load_counts *b = &t->counts;
	int64_t rate = (int64_t)t->under_load * 1000 / (t->load_ms + 1);

	printf("%s: %d stops under %ld new connections/s and %d kept: "
	       "%lu connected, %lu answered, %lu asked too late, %lu refused, "
	       "%lu lost, %lu reset; the slowest took %ld ms\n",
	       family, stops, (long)rate, CROWD, (unsigned long)b->connected,
	       (unsigned long)b->answered, (unsigned long)b->late,
	       (unsigned long)b->refused, (unsigned long)b->lost,
	       (unsigned long)b->reset, (long)t->slowest_ms);
	if (rate < ENOUGH)
		printf("SKIPPED: this machine gave %ld of %d new "
		       "connections/s, the stops over %s were under less "
		       "load than they should be\n",
		       (long)rate, ENOUGH, family);
}

static void many_stops(const char *family,
		       void (*address)(int i, char *buf, size_t cap),
		       struct totals *t)
{
	const int stops = fewer(STOPS);
	struct stopped behind[BEHIND] = { 0 };

	for (int i = 0; i < stops; i++) {
		struct stopped *s = &behind[i % BEHIND];
		char where[64];

		if (s->load)
			load_is_over(s, t);
		address(i, where, sizeof(where));
		stop_under_load(s, where, t);
	}
	for (int i = 0; i < BEHIND; i++)
		if (behind[i].load)
			load_is_over(&behind[i], t);
	tell(family, stops, t);
}

/*
 * The reset that answers a refused connection attempt counts too.  So does one
 * for the question of a slow client that was idle too long in the stop, and for
 * what a busy kernel sends twice after both ends have closed.  A SYN that meets
 * a listener which is just being closed counts as dropped; it comes again and
 * is refused.  No SYN may be dropped because the backlog is full.
 */
static void kernel_agrees(const struct kernel *before, const struct totals *t)
{
	struct kernel after = kernel_now();
	long others = after.resets_sent - before->resets_sent -
		      (long)t->counts.refused;

	ck_assert_int_eq(after.passive_opens - before->passive_opens,
			 (long)t->accepted);
	ck_assert_int_ge(others, 0);
	if (after.forgotten == before->forgotten)
		ck_assert_int_le(others, after.sent_twice - before->sent_twice +
						 (long)t->counts.slow);
	else
		printf("SKIPPED: the kernel has forgotten %ld who had closed, "
		       "the resets it sent are not compared\n",
		       after.forgotten - before->forgotten);
	ck_assert_int_eq(after.aborts, before->aborts);
	ck_assert_int_eq(after.full, before->full);
	ck_assert_int_le(after.drops - before->drops,
			 after.syns_again - before->syns_again);
}

/*
 * With too many closed connections the kernel forgets some, and then answers a
 * segment that is sent again with a reset: harmless, but counted.
 */
static void remember_all_who_close(void)
{
	FILE *f = fopen("/proc/sys/net/ipv4/tcp_max_tw_buckets", "we");

	if (!f)
		return;
	fprintf(f, "%d\n", 1 << 20);
	fclose(f);
}

/* A fence may need rights. Returns false, and says why, if they are missing. */
static bool becomes_nobody(void)
{
	const char *server = getenv("WEIR_SERVER");

	if (geteuid() != 0) {
		printf("SKIPPED: the stops above are an ordinary user's\n");
		return false;
	}
	ck_assert_int_eq(setgroups(0, NULL), 0);
	ck_assert_int_eq(setresgid(NOBODY, NOBODY, NOBODY), 0);
	ck_assert_int_eq(setresuid(NOBODY, NOBODY, NOBODY), 0);
	prctl(PR_SET_DUMPABLE, 1); /* /proc/self is this process again */
	if (server && access(server, R_OK | X_OK) == 0)
		return true;
	printf("SKIPPED: no other user may run %s\n",
	       server ? server : "weir-server");
	return false;
}

static void many_tcp_stops(const char *family,
			   void (*address)(int i, char *buf, size_t cap),
			   bool is_nobody)
{
	bool has_network = enter_own_network();
	struct kernel before = kernel_now();
	struct totals t = { 0 };

	if (has_network)
		remember_all_who_close();
	if (is_nobody && !becomes_nobody())
		return;
	many_stops(family, address, &t);
	if (has_network)
		kernel_agrees(&before, &t);
	else
		printf("SKIPPED: no network namespace allowed here, the "
		       "kernel's counters are not compared\n");
}

static void v4_address(int i, char *buf, size_t cap)
{
	snprintf(buf, cap, "127.0.0.1:%d", FIRST_PORT + i);
}

static void v6_address(int i, char *buf, size_t cap)
{
	snprintf(buf, cap, "[::1]:%d", FIRST_PORT + i);
}

static bool has_v6(void)
{
	bool has = access("/proc/net/if_inet6", F_OK) == 0;

	if (!has)
		printf("SKIPPED: no IPv6 here\n");
	return has;
}

/* Path and abstract address alternately. */
static void unix_address(int i, char *buf, size_t cap)
{
	snprintf(buf, cap,
		 i % 2 ? "unix:/tmp/weir-stops-%d-%d"
		       : "unix:@weir-stops-%d-%d",
		 (int)getpid(), i);
}

START_TEST(stops_under_load_over_ipv4_lose_nothing)
{
	many_tcp_stops("IPv4", v4_address, false);
}
END_TEST

START_TEST(stops_under_load_over_ipv6_lose_nothing)
{
	if (has_v6())
		many_tcp_stops("IPv6", v6_address, false);
}
END_TEST

START_TEST(stops_under_load_over_unix_sockets_lose_nothing)
{
	struct totals t = { 0 };

	many_stops("Unix sockets", unix_address, &t);
}
END_TEST

START_TEST(stops_over_ipv4_by_an_ordinary_user_lose_nothing)
{
	many_tcp_stops("IPv4, nobody", v4_address, true);
}
END_TEST

START_TEST(stops_over_ipv6_by_an_ordinary_user_lose_nothing)
{
	if (has_v6())
		many_tcp_stops("IPv6, nobody", v6_address, true);
}
END_TEST

START_TEST(stops_over_unix_sockets_by_an_ordinary_user_lose_nothing)
{
	struct totals t = { 0 };

	if (becomes_nobody())
		many_stops("Unix sockets, nobody", unix_address, &t);
}
END_TEST

START_TEST(control_plain_closes_under_load_lose_some)
{
	struct load_counts all = { 0 };
	int stops = 0;

	for (; stops < STOPS && (stops < 20 || all.lost == 0); stops++) {
		struct baseline_server p = { .fd = -1 };
		struct load *load;
		struct load_counts counts;
		int64_t began_at;

		baseline_server_start(&p);
		load = load_start(p.address, CHURNING, 0);
		began_at = now_ms();
		UNTIL(now_ms() >= began_at + LOAD_MS);
		load_mark_stop(load);
		baseline_server_stop(&p);
		counts = load_finish(load);
		load_counts_add(&all, &counts);
	}
	printf("control: %d plain closes: %lu connected, %lu lost, "
	       "%lu reset\n",
	       stops, (unsigned long)all.connected, (unsigned long)all.lost,
	       (unsigned long)all.reset);
	ck_assert_uint_gt(all.lost, 0);
}
END_TEST

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	return RUN_TESTS(
		"stops", stops_under_load_over_ipv4_lose_nothing,
		stops_under_load_over_ipv6_lose_nothing,
		stops_under_load_over_unix_sockets_lose_nothing,
		stops_over_ipv4_by_an_ordinary_user_lose_nothing,
		stops_over_ipv6_by_an_ordinary_user_lose_nothing,
		stops_over_unix_sockets_by_an_ordinary_user_lose_nothing,
		control_plain_closes_under_load_lose_some);
}
