/* SPDX-License-Identifier: MIT */
/*
 * Ten seconds without a free descriptor while clients wait, under both overload
 * policies.  The acceptor uses little processor time, open connections are
 * served, and a waiting client is served soon after a descriptor is free,
 * whether a connection or something else in the program released it.
 *
 * The sockets of all clients exist before.  The fault hook counts the calls of
 * accept(2); only the acceptor makes them, so its CPU clock is found there.
 * That clock includes time that a host took from a virtual machine: where that
 * is much, nothing is said about the acceptor.
 */
#include "test.h"

#include <time.h>

#include "sys.h"

#define SERVED	  100
#define WAITING	  40
#define SHORT_MS  10000
#define BACK_MS	  150
#define FREEINGS  10
#define LOOKS	  8  /* until its pauses are longest */
#define CPU_SHARE 50 /* 1/50: 2 % */
#define STOLEN	  20 /* 1/20: 5 %, more than that is much */
#define SAMPLES	  200000

static atomic_int accept_calls;
static _Atomic clockid_t acceptor_clock;

static int count_accepts(enum wr_sys_call call, size_t *len)
{
	clockid_t clock;

	(void)len;
	if (call == WR_SYS_accept4 && atomic_fetch_add(&accept_calls, 1) == 0 &&
	    pthread_getcpuclockid(pthread_self(), &clock) == 0)
		atomic_store(&acceptor_clock, clock);
	return 0;
}

static int64_t time_of(clockid_t clock)
{
	struct timespec ts;

	ck_assert_int_eq(clock_gettime(clock, &ts), 0);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* ---- clients that are served */

struct latencies {
	size_t count;
	int64_t all[SAMPLES];
};

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static double p99_us(struct latencies *l)
{
	qsort(l->all, l->count, sizeof(l->all[0]), by_size);
	return (double)l->all[l->count * 99 / 100] / 1000;
}

static void serve_for(struct latencies *l, struct client **c, int ms)
{
	int64_t until = now_ms() + ms;

	l->count = 0;
	for (int i = 0; now_ms() < until; i = (i + 1) % SERVED) {
		int64_t asked_at = time_of(CLOCK_MONOTONIC);

		client_expect_echo(c[i], "hello\n");
		if (l->count < SAMPLES)
			l->all[l->count++] =
				time_of(CLOCK_MONOTONIC) - asked_at;
		poll_sleep();
	}
}

/* ---- clients that wait */

static void all_ask(struct server *s, struct client **c)
{
	for (int i = 0; i < WAITING; i++) {
		ck_assert_int_eq(client_connect(c[i], s->address), 0);
		client_send(c[i], "hello\n");
	}
}

/* After a while of shortage its pauses are long. */
static void shortage_lasts(struct server *s)
{
	uint64_t looks = stats(s).shortages;

	UNTIL(stats(s).shortages >= looks + LOOKS);
}

/* In the order in which they came; returns the longest wait, ms. */
static int64_t room_comes(struct server *s, struct client **served,
			  struct client **waiting)
{
	int64_t longest = 0;

	for (int i = 0; i < FREEINGS; i++) {
		int64_t freed_at, took;

		shortage_lasts(s);
		freed_at = now_ms();
		if (i % 2 == 0)
			leave_descriptors(1);
		else
			client_half_close(served[i]); /* its end is freed */
		client_expect(waiting[i], "hello\n");
		took = now_ms() - freed_at;
		if (took > longest)
			longest = took;
	}
	return longest;
}

/* ---- the ten seconds */

struct calm {
	int accepts;
	int lines; /* besides one for each refused connection */
	int64_t cpu_ns, stolen_ms;
};

static struct calm calm_now(struct server *s)
{
	return (struct calm){ .accepts = atomic_load(&accept_calls),
			      .lines = log_lines(s) -
				       (int)stats(s).ledger.refused,
			      .cpu_ns = time_of(atomic_load(&acceptor_clock)),
			      .stolen_ms = stolen_ms() };
}

static void expect_calm(const struct calm *from, const struct calm *to, int ms)
{
	int accepts = to->accepts - from->accepts;
	int lines = to->lines - from->lines;
	int64_t cpu_ns = to->cpu_ns - from->cpu_ns;
	int64_t stolen = (to->stolen_ms - from->stolen_ms) /
			 sysconf(_SC_NPROCESSORS_ONLN);

	printf("%d ms without a descriptor: %d accept calls, %.2f %% of a "
	       "processor, %d log lines\n",
	       ms, accepts, (double)cpu_ns / 10000 / ms, lines);
	ck_assert_int_le(accepts, 30 * ms / 1000);
	ck_assert_int_le(lines, ms / 1000 + 1);
	if (stolen > ms / STOLEN)
		printf("SKIPPED: processor time, of which the host took %d %% "
		       "away\n",
		       (int)(stolen * 100 / ms));
	else
		ck_assert_int_le(cpu_ns, (int64_t)ms * 1000000 / CPU_SHARE *
						 slowness());
}

static void is_short_of_descriptors(const struct weir_config *config)
{
	static struct latencies calm, shortage;
	struct server *s;
	struct client *served[SERVED], *waiting[WAITING];
	struct calm from, to;
	int64_t back_ms;

	(void)stolen_ms();
	atomic_store(&accept_calls, 0);
	wr_sys_fault = count_accepts;
	s = serve(config, WEIR_SERVICE(.readable = echo_lines));
	for (int i = 0; i < SERVED; i++)
		served[i] = client_open(s);
	for (int i = 0; i < WAITING; i++)
		waiting[i] = client_new(s->address, 0);
	serve_for(&calm, served, SHORT_MS / 4);
	leave_descriptors(0);
	all_ask(s, waiting);
	UNTIL(stats(s).shortages > 0);
	from = calm_now(s);
	serve_for(&shortage, served, SHORT_MS);
	to = calm_now(s);
	expect_calm(&from, &to, SHORT_MS);
	printf("p99 of those who are served: %.0f us before, %.0f us then\n",
	       p99_us(&calm), p99_us(&shortage));
	if (config->overload == WEIR_HOLD) {
		back_ms = room_comes(s, served, waiting);
		printf("served at most %ld ms after a descriptor was free\n",
		       (long)back_ms);
		ck_assert_int_le(back_ms, BACK_MS * slowness());
	}
	leave_all_descriptors();
	clients_close();
	UNTIL(is_at_rest(s));
	server_stop_and_check(s);
	wr_sys_fault = NULL;
}

START_TEST(a_client_that_waits_is_served_soon_after_a_descriptor_is_free)
{
	is_short_of_descriptors(WEIR_CONFIG(.workers = 2));
}
END_TEST

START_TEST(refusals_for_want_of_descriptors_are_made_calmly)
{
	is_short_of_descriptors(
		WEIR_CONFIG(.workers = 2, .overload = WEIR_REFUSE));
}
END_TEST

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	return RUN_TESTS(
		"no_descriptors",
		a_client_that_waits_is_served_soon_after_a_descriptor_is_free,
		refusals_for_want_of_descriptors_are_made_calmly);
}
