/* SPDX-License-Identifier: MIT */
/*
 * A cluster is a narrow range of times with many more samples than the ranges
 * beside it; timers of the kernel cause such clusters.
 */
#include "diagnosis.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../measure/units.h"

struct diagnoses {
	char (*texts)[DIAGNOSIS_TEXT];
	size_t count;
};

__attribute__((format(printf, 2, 3))) static void
add_diagnosis(struct diagnoses *h, const char *format, ...)
{
	va_list args;

	if (h->count == DIAGNOSES_MAX)
		return;
	va_start(args, format);
	vsnprintf(h->texts[h->count++], DIAGNOSIS_TEXT, format, args);
	va_end(args);
}

static uint64_t samples_between(const struct histogram *h, int64_t low,
				int64_t high)
{
	uint64_t count = 0;
	size_t end;

	if (!h || h->total == 0)
		return 0;
	if (low < h->min)
		low = h->min;
	if (high > h->max)
		high = h->max;
	if (low > high)
		return 0;
	end = histogram_slot(high) + 1;
	for (size_t i = histogram_slot(low); i < end; i++)
		count += h->counts[i];
	return count;
}

/* The share of samples in the cluster, or 0. */
static double cluster(const struct histogram *h, int64_t at, int64_t width)
{
	uint64_t in = samples_between(h, at, at + width);
	uint64_t beside = samples_between(h, at - 2 * width, at - 1) +
			  samples_between(h, at + width + 1, at + 3 * width);

	return in >= 5 && in > 3 * beside ? (double)in / (double)h->total : 0;
}

/*
 * A cluster caused by a TCP timer.  Another one at half the time means that
 * the server takes that long, and these replies waited for another.
 */
static double timer_cluster(const struct result *r, int64_t at, int64_t width)
{
	const struct histogram *latency = r->clocks[CLOCK_FROM_SEND];

	if (strncmp(r->plan->address, "unix:", 5) == 0 ||
	    cluster(latency, at / 2, width) > 0)
		return 0;
	return cluster(latency, at, width);
}

static void look_at_latency(struct diagnoses *h, const struct result *r)
{
	double share = timer_cluster(r, 39 * MS, 6 * MS);
	char text[UNITS_TEXT];

	if (share > 0)
		add_diagnosis(
			h,
			"%s of replies took 40 ms: Nagle's algorithm waits for "
			"a delayed acknowledgement; the server should send a "
			"reply in one write, or set TCP_NODELAY",
			units_percent(100 * share, 2, text));
	share = timer_cluster(r, 199 * MS, 20 * MS);
	if (share > 0)
		add_diagnosis(h,
			      "%s of replies took 200 ms: lost segments were "
			      "retransmitted after TCP's minimum timeout",
			      units_percent(100 * share, 2, text));
}

static void look_at_connects(struct diagnoses *h, const struct result *r)
{
	/*
	 * A SYN is repeated after 1, 3 and 7 s; since Linux 6.5 every second
	 * up to 5 s, and a little later each time.
	 */
	static const int64_t seconds[] = { 1, 2, 3, 4, 5, 7, 15 };
	const struct histogram *connect = r->clocks[CLOCK_CONNECT];
	uint64_t lost = 0;

	for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		int64_t at = (seconds[i] * 1000 - 10) * MS;
		int64_t width = (120 + seconds[i] * 30) * MS;

		if (cluster(connect, at, width) > 0)
			lost += samples_between(connect, at, at + width);
	}
	if (lost > 0)
		add_diagnosis(
			h,
			"%llu connections took whole seconds: their SYN was "
			"lost, usually because the server's backlog was full; "
			"raise it and net.core.somaxconn",
			(unsigned long long)lost);
}

static uint64_t connect_error_count(const struct result *r, int error)
{
	return result_error_count(r, ERROR_SOCKET, ERROR_CONNECT, error);
}

static void look_at_errors(struct diagnoses *h, const struct result *r)
{
	if (connect_error_count(r, ECONNREFUSED) > 0 &&
	    r->connections.opened == 0)
		add_diagnosis(h, "nothing listens at that address");
	else if (connect_error_count(r, ECONNREFUSED) > 0)
		add_diagnosis(
			h,
			"sometimes refused: the server closed its listener, or "
			"its backlog was full");
	if (result_error_count(r, ERROR_BIND, ERROR_BIND, EADDRNOTAVAIL) > 0)
		add_diagnosis(h, "an address of --source does not belong to "
				 "this machine");
	else if (connect_error_count(r, EADDRNOTAVAIL) > 0)
		add_diagnosis(
			h,
			"local ports ran out: connect from several addresses "
			"(--source), or use --close rst");
	if (connect_error_count(r, EMFILE) + connect_error_count(r, ENFILE) > 0)
		add_diagnosis(
			h,
			"this client ran out of descriptors: raise the limit "
			"(ulimit -n)");
	if (connect_error_count(r, ETIMEDOUT) > 0)
		add_diagnosis(
			h,
			"connections timed out: a firewall drops them, or the "
			"server's backlog is full");
	if (connect_error_count(r, ENETUNREACH) +
		    connect_error_count(r, EHOSTUNREACH) >
	    0)
		add_diagnosis(h, "no route to that address");
}

static void look_at_dialogue(struct diagnoses *h, const struct result *r)
{
	const struct counts *b = &r->counts;

	if (result_error_count(r, ERROR_BANNER, ERROR_BANNER, EBADMSG) > 0)
		add_diagnosis(
			h,
			"the server sent an unexpected banner or reply at the "
			"start: look with --show");
	else if (result_error_count(r, ERROR_BANNER, ERROR_BANNER, ETIMEDOUT) >
		 0)
		add_diagnosis(h,
			      "the server does not speak first: --banner none");
	if (b->checked > 0 && b->wrong == b->checked)
		add_diagnosis(
			h,
			"no reply was as expected: see --expect and --banner");
	if (b->answered == 0 && b->timed_out > 0 &&
	    r->plan->payload == PAYLOAD_RANDOM)
		add_diagnosis(h,
			      "no replies at all: does the server wait for a "
			      "newline? leave out --random");
	else if (b->answered == 0 && b->timed_out > 0)
		add_diagnosis(h,
			      "no replies at all: does the server answer? see "
			      "--upload and --expect");
}

size_t diagnose(const struct result *r,
		char hints[DIAGNOSES_MAX][DIAGNOSIS_TEXT])
{
	struct diagnoses h = { .texts = hints };

	look_at_errors(&h, r);
	look_at_dialogue(&h, r);
	if (r->connections.starved > 0 && r->connections.served > 0)
		add_diagnosis(
			&h,
			"%d connections were served at a time: does the server "
			"have a thread for each, and no more?",
			r->connections.served);
	look_at_latency(&h, r);
	look_at_connects(&h, r);
	if (r->self.busiest >= 0.8)
		add_diagnosis(
			&h,
			"this client is short of CPU time: use more threads "
			"(-T) or a separate machine");
	return h.count;
}
