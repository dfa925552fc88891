/* SPDX-License-Identifier: MIT */
/*
 * What a run needs and releases: memory, descriptors, threads.  Bytes sent one
 * way are as many as the other side has seen.
 */
#include "scripted.h"

#include <inttypes.h>
#include <stdio.h>

#define CROWD	   10000
#define EACH_BELOW 2048

/* The greatest size in such a file of three sizes. */
static uint64_t greatest(const char *path)
{
	FILE *file = fopen(path, "re");
	uint64_t max = 0;

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fscanf(file, "%*u %*u %" SCNu64, &max), 1);
	fclose(file);
	return max;
}

/* Kernel memory of a connection: buffers of both sides. */
static uint64_t buffered(void)
{
	return greatest("/proc/sys/net/ipv4/tcp_rmem") +
	       greatest("/proc/sys/net/ipv4/tcp_wmem");
}

static const struct script faultless;

/* ---- memory */

static long resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long size, resident;

	ck_assert_int_eq(fscanf(f, "%ld %ld", &size, &resident), 2);
	fclose(f);
	return resident * sysconf(_SC_PAGESIZE);
}

static void note_most(void *arg, const struct progress *p)
{
	long *most = arg, now = resident_bytes();

	(void)p;
	if (now > *most)
		*most = now;
}

/* In a process of its own, which holds nothing else. */
static void group_takes(const char *address, int say)
{
	const int group = fewer(CROWD);
	struct plan plan = PLAN(.connections = group, .rate = group,
				.schedule = PLAN_CONSTANT,
				.duration_ns = 2 * SECOND, .address = address);
	struct result r;
	long before = resident_bytes(), most = 0, taken;

	ck_assert_int_eq(run_watched(&r, &plan, note_most, &most), 0);
	expect_result_balance(&r);
	ck_assert_int_eq(r.connections.served, group);
	ck_assert_uint_lt(r.connections.bytes_each, EACH_BELOW);
	ck_assert_int_gt(most, before);
	result_free(&r);
	taken = most - before;
	ck_assert_int_eq(write(say, &taken, sizeof(taken)), sizeof(taken));
}

START_TEST(ten_thousand_connections_take_little_memory_each)
{
	struct plan plan = PLAN(.count = 1);
	struct scripted *s;
	struct child e;
	long taken;

	if (!may_open(fewer(CROWD) + 200))
		return;
	e = child_start(group_takes);
	s = scripted_start("127.0.0.1", &faultless, &plan);
	child_go(&e, scripted_address(s));
	child_finish(&e, &taken, sizeof(taken));
	/* Sanitizers need more memory. */
	if (slowness() == 1)
		ck_assert_int_lt(taken / fewer(CROWD), EACH_BELOW);
	scripted_stop(s);
	scripted_free(s);
}
END_TEST

START_TEST(a_deep_pipeline_takes_little_memory_too)
{
	struct plan plan = PLAN(.count = 100, .depth = 16);
	struct result r = run_against(&faultless, &plan, NULL);

	ck_assert_uint_lt(r.connections.bytes_each, EACH_BELOW);
	ck_assert_uint_gt(r.connections.bytes_each, 32 * 16);
	result_free(&r);
}
END_TEST

/* ---- nothing is left */

START_TEST(descriptors_and_threads_are_given_back)
{
	struct plan plans[] = {
		PLAN(.count = 500, .threads = 4, .idle = 9),
		PLAN(.count = 500, .mode = PLAN_CHURN),
		PLAN(.duration_ns = SECOND / 5, .mode = PLAN_UPLOAD),
		PLAN(.count = 50, .close_by_reset = true,
		     .bad_clients = { 1, 1, 1, 1, 1, 1, 1 }),
	};
	struct script scripts[] = {
		{ .fault = FAULT_RESET, .faults = 2, .from = 10, .to = 100 },
		{ .fault = FAULT_CLOSE, .faults = 2, .from = 10, .to = 100 },
		{ .service = SERVE_NOTHING },
		{ .faults = 0 },
	};
	struct process_state before;

	process_state_take(&before);
	for (int i = 0; i < 4; i++) {
		struct result r = run_against(&scripts[i], &plans[i], NULL);

		result_free(&r);
		process_state_check(&before);
	}
}
END_TEST

/* ---- many */

START_TEST(a_thousand_deep_connections_are_all_served)
{
	for (int threads = 1; threads <= 4; threads += 3) {
		const uint64_t count = 100000 / (uint64_t)slowness();
		struct plan plan = PLAN(.connections = 1000, .depth = 4,
					.count = count, .threads = threads);
		struct seen seen;
		struct result r = run_against(&faultless, &plan, &seen);

		expect_clean_result(&r, count);
		ck_assert_int_eq(r.connections.served, 1000);
		ck_assert_int_eq(seen.open_max, 1000);
		ck_assert_uint_eq(seen.bytes, r.counts.bytes_out);
		ck_assert_uint_eq(seen.bytes_sent, r.counts.bytes_in);
		result_free(&r);
	}
}
END_TEST

/* ---- one way */

START_TEST(an_upload_counts_what_the_server_saw)
{
	for (int threads = 1; threads <= 4; threads += 3) {
		struct script script = { .service = SERVE_NOTHING };
		struct plan plan =
			PLAN(.mode = PLAN_UPLOAD, .duration_ns = SECOND / 2,
			     .threads = threads);
		struct seen seen;
		struct result r = run_undisturbed(&script, &plan, &seen,
						  plan.duration_ns);

		ck_assert_uint_gt(r.counts.bytes_out, 4 * 65536);
		ck_assert_uint_le(r.counts.bytes_out, seen.bytes);
		ck_assert_uint_le(seen.bytes,
				  r.counts.bytes_out + 4 * buffered());
		ck_assert_int_eq(r.connections.served, 4);
		ck_assert_uint_eq(errors_in_all(&r), 0);
		result_free(&r);
	}
}
END_TEST

/*
 * Bytes in the send buffer of a server that does not read were not uploaded.
 */
START_TEST(an_upload_that_nobody_takes_stands_still)
{
	struct script script = { .service = SERVE_NOBODY };
	struct plan plan =
		PLAN(.mode = PLAN_UPLOAD, .duration_ns = SECOND * 3 / 2);
	struct scripted *s = scripted_start("127.0.0.1", &script, &plan);
	struct result r = run_at(scripted_address(s), &plan);

	for (size_t i = 0; i < r.second_count; i++)
		ck_assert_uint_lt(r.seconds[i].bytes_out, 4 * buffered());
	ck_assert_uint_lt(r.counts.bytes_out, 4 * buffered());
	scripted_stop(s);
	scripted_free(s);
	result_free(&r);
}
END_TEST

/*
 * What fills the buffers when the warm-up ends is taken in the measured part.
 * The server reads 64 KiB of each connection in 20 ms.
 */
START_TEST(an_upload_counts_what_a_slow_server_takes_after_a_warm_up)
{
	for (int threads = 1; threads <= 4; threads += 3) {
		struct script script = { .service = SERVE_NOTHING,
					 .pace_us = 20000 };
		struct plan plan =
			PLAN(.mode = PLAN_UPLOAD, .warmup_ns = SECOND / 2,
			     .duration_ns = SECOND / 2, .threads = threads);
		struct seen seen;
		struct result r = run_undisturbed(&script, &plan, &seen,
						  plan.duration_ns);

		ck_assert_uint_gt(r.counts.bytes_out, 0);
		ck_assert_uint_le(r.counts.bytes_out, seen.bytes);
		result_free(&r);
	}
}
END_TEST

/* What waits at the beginning is not counted if it still waits at the end. */
START_TEST(an_upload_that_nobody_takes_is_none_after_a_warm_up)
{
	struct script script = { .service = SERVE_NOBODY };
	struct plan plan = PLAN(.mode = PLAN_UPLOAD, .warmup_ns = SECOND / 2,
				.duration_ns = SECOND / 2);
	struct scripted *s = scripted_start("127.0.0.1", &script, &plan);
	struct result r = run_at(scripted_address(s), &plan);

	ck_assert_uint_lt(r.counts.bytes_out, 4 * buffered());
	scripted_stop(s);
	scripted_free(s);
	result_free(&r);
}
END_TEST

START_TEST(a_download_counts_what_the_server_sent)
{
	for (int threads = 1; threads <= 4; threads += 3) {
		struct script script = { .service = SERVE_BYTES };
		struct plan plan =
			PLAN(.mode = PLAN_DOWNLOAD, .duration_ns = SECOND / 2,
			     .threads = threads);
		struct seen seen;
		struct result r = run_undisturbed(&script, &plan, &seen,
						  plan.duration_ns);

		ck_assert_uint_gt(r.counts.bytes_in, 4 * 65536);
		ck_assert_uint_le(r.counts.bytes_in, seen.bytes_sent);
		ck_assert_uint_le(seen.bytes_sent,
				  r.counts.bytes_in + 4 * buffered());
		ck_assert_int_eq(r.connections.served, 4);
		result_free(&r);
	}
}
END_TEST

START_TEST(one_way_a_server_that_ends_it_is_an_error)
{
	struct script script = { .service = SERVE_NOTHING,
				 .close_silent_ms = 200 };
	struct plan plan =
		PLAN(.mode = PLAN_DOWNLOAD, .duration_ns = 20 * SECOND);
	struct result r = run_against(&script, &plan, NULL);

	ck_assert_uint_eq(error_count(&r, ERROR_BETWEEN, 0), 4);
	ck_assert_int_eq(r.connections.starved, 4);
	ck_assert_int_lt(r.elapsed, 15 * SECOND);
	result_free(&r);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"load_resources",
		ten_thousand_connections_take_little_memory_each,
		a_deep_pipeline_takes_little_memory_too,
		descriptors_and_threads_are_given_back,
		a_thousand_deep_connections_are_all_served,
		an_upload_counts_what_the_server_saw,
		an_upload_that_nobody_takes_stands_still,
		an_upload_counts_what_a_slow_server_takes_after_a_warm_up,
		an_upload_that_nobody_takes_is_none_after_a_warm_up,
		a_download_counts_what_the_server_sent,
		one_way_a_server_that_ends_it_is_an_error);
}
