/* SPDX-License-Identifier: MIT */
/*
 * Peers that take a little at a time.  The write deadline is for one that
 * takes nothing, whatever the server is about; the lifetime is for all.
 */
#include "test.h"

#include <sys/ioctl.h>

#define MUCH ((size_t)1 << 20)

static char much[MUCH];

/* More than the sockets hold. */
static int says_much(weir_conn *c, void *arg)
{
	const int size = 200000; /* it tells of room when a third is free */
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	(void)arg;
	if (n <= 0)
		return (int)n;
	weir_conn_set_option(c, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return weir_conn_write(c, much, MUCH);
}

/* A piece every while, until that moment or the end; how much it was. */
static size_t takes_little(struct client *c, int every_ms, int64_t until)
{
	int64_t next_at = now_ms();
	char buf[4096];
	size_t have = 0;
	ssize_t n;

	while (next_at < until && (n = client_reads(c, buf, sizeof(buf))) > 0) {
		have += (size_t)n;
		next_at += every_ms;
		while (now_ms() < next_at)
			breathe();
	}
	return have;
}

START_TEST(who_takes_little_after_the_last_callback_gets_everything)
{
	const int write_ms = 800 * slowness();
	struct server *s = serve(NULL, WEIR_SERVICE(.readable = says_much,
						    .write_ms = write_ms,
						    .outbox_max = 2 * MUCH));
	struct client *c = client_opens_small(s, 4096);
	struct weir_report report;
	size_t have;

	client_sends(c, "go\n");
	have = takes_little(c, write_ms / 8, now_ms() + write_ms * 3 / 2);
	have += client_reads_to_eof(c);
	ck_assert_uint_eq(have, MUCH);
	report = server_ends(s);
	ck_assert_uint_eq(report.ledger.completed, 1);
}
END_TEST

/* ---- while the process was stopped */

#define MANY 20

static int has_come(const struct client *c)
{
	int n = 0;

	ck_assert_int_eq(ioctl(c->fd, FIONREAD, &n), 0);
	return n;
}

/* The sockets are full: no more has come to anybody for a while. */
static void all_stand_still(struct client **c)
{
	int64_t since = now_ms();
	int before[MANY] = { 0 };

	while (now_ms() < since + 100) {
		for (int i = 0; i < MANY; i++) {
			int now = has_come(c[i]);

			if (now != before[i])
				since = now_ms();
			before[i] = now;
		}
		breathe();
	}
}

static size_t takes_what_has_come(struct client *c)
{
	char buf[65536];
	size_t have = 0;

	while (has_come(c) > 0) {
		ssize_t n = client_reads(c, buf, sizeof(buf));

		ck_assert_int_gt(n, 0);
		have += (size_t)n;
	}
	return have;
}

START_TEST(what_is_taken_while_the_process_is_stopped_counts)
{
	const int write_ms = 1000 + 300 * slowness();
	struct apart e = serve_apart(WEIR_SERVICE(.readable = says_much,
						  .write_ms = write_ms,
						  .outbox_max = 2 * MUCH));
	struct client *c[MANY];
	size_t have[MANY] = { 0 };
	int64_t stopped_at;

	for (int i = 0; i < MANY; i++) {
		c[i] = client_opens_at(e.address);
		client_sends(c[i], "go\n");
	}
	all_stand_still(c);
	apart_stands_still(&e);
	stopped_at = now_ms();
	while (now_ms() < stopped_at + write_ms + 300) {
		for (int i = 0; i < MANY; i++)
			have[i] += takes_what_has_come(c[i]);
		breathe();
	}
	apart_goes_on(&e);
	for (int i = 0; i < MANY; i++) {
		have[i] += client_reads_to_eof(c[i]);
		ck_assert_uint_eq(have[i], MUCH);
	}
	apart_ends(&e);
}
END_TEST

/* ---- the lifetime */

static int notes_how_its_write_ends(weir_conn *c, void *arg)
{
	int rc = says_much(c, NULL);

	atomic_store((_Atomic int *)arg, rc);
	return rc;
}

START_TEST(the_lifetime_ends_a_write_that_waits_for_who_takes_little)
{
	const int lifetime_ms = 300 * slowness();
	_Atomic int said = 1;
	struct server *s =
		serve(NULL, WEIR_SERVICE(.readable = notes_how_its_write_ends,
					 .arg = (void *)&said,
					 .outbox_max = MUCH / 16,
					 .write_ms = WEIR_NEVER,
					 .lifetime_ms = lifetime_ms));
	struct client *c = client_opens_small(s, 4096);
	struct weir_report report;

	client_sends(c, "go\n");
	takes_little(c, lifetime_ms / 20, now_ms() + lifetime_ms);
	UNTIL(atomic_load(&said) != 1);
	ck_assert_int_eq(said, -ETIMEDOUT);
	report = server_ends(s);
	ck_assert_uint_eq(report.ledger.timed_out, 1);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"slow_peers",
		who_takes_little_after_the_last_callback_gets_everything,
		what_is_taken_while_the_process_is_stopped_counts,
		the_lifetime_ends_a_write_that_waits_for_who_takes_little);
}
