/* SPDX-License-Identifier: MIT */
/*
 * The count of log lines that were dropped: each is reported once, whichever
 * threads log.  Only lines about clients have a limit.
 */
#include "test.h"

#include <stdatomic.h>

#include "../../server/journal.h"
#include "../../server/out.h"

#define THREADS	       4
#define LINES_A_THREAD 20000

/* Replaces server/out.c: the test decides what standard error takes. */
static bool (*takes)(const char *line);
static atomic_ullong told, taken, absurd;

bool out_line(int fd, const char *line, size_t len, int wait_ms,
	      struct out_losses *l, unsigned long long reported)
{
	const char *note = strstr(line, " warning ");
	unsigned long long lost = note ? strtoull(note + 9, NULL, 10) : 0;

	(void)fd;
	(void)wait_ms;
	ck_assert_int_eq(line[len - 1], '\n');
	if (!takes(line)) {
		out_lose(l, reported);
		return false;
	}
	atomic_fetch_add(note ? &told : &taken, note ? lost : 1);
	atomic_fetch_add(&absurd, lost > THREADS * LINES_A_THREAD);
	return true;
}

static bool take_nothing(const char *line)
{
	(void)line;
	return false;
}

static bool take_all(const char *line)
{
	(void)line;
	return true;
}

/* Another thread logs while the first note is written. */
static bool is_interrupted(const char *line)
{
	takes = take_all;
	ck_assert_ptr_nonnull(strstr(line, " 3 log lines were dropped"));
	journal(WEIR_LOG_INFO, "in between");
	return true;
}

START_TEST(lost_lines_are_told_once_though_another_thread_logs)
{
	takes = take_nothing;
	for (int i = 0; i < 3; i++)
		journal(WEIR_LOG_INFO, "lost");
	takes = is_interrupted;
	journal(WEIR_LOG_INFO, "the first that gets through");
	ck_assert_uint_eq(told, 3);
	ck_assert_uint_eq(taken, 2);
	journal(WEIR_LOG_INFO, "one more");
	ck_assert_uint_eq(told, 3);
	ck_assert_uint_eq(taken, 3);
}
END_TEST

START_TEST(a_note_that_is_not_taken_is_told_later)
{
	takes = take_nothing;
	for (int i = 0; i < 5; i++)
		journal(WEIR_LOG_INFO, "lost, and the note of those before it");
	takes = take_all;
	journal(WEIR_LOG_DEBUG, "not wanted");
	ck_assert_uint_eq(told, 0);
	journal(WEIR_LOG_INFO, "the first that gets through");
	ck_assert_uint_eq(told, 5);
	ck_assert_uint_eq(taken, 1);
}
END_TEST

START_TEST(lines_about_clients_have_a_limit_and_displace_no_others)
{
	takes = take_all;
	for (int i = 0; i < 3 * JOURNAL_PER_SECOND; i++)
		journal_client(WEIR_LOG_INFO, "one of many");
	ck_assert_uint_ge(journal_dropped(), JOURNAL_PER_SECOND);
	taken = 0;
	for (int i = 0; i < 3 * JOURNAL_PER_SECOND; i++)
		journal(WEIR_LOG_INFO, "the server does something");
	ck_assert_uint_eq(taken, 3 * JOURNAL_PER_SECOND);
}
END_TEST

/* Alternately full and empty. */
static bool take_some(const char *line)
{
	static atomic_uint asked;

	(void)line;
	return atomic_fetch_add(&asked, 1) % 8 < 3;
}

static void *write_log(void *unused)
{
	for (int i = 0; i < LINES_A_THREAD; i++)
		journal_sink(WEIR_LOG_INFO, "a line", NULL);
	return unused;
}

START_TEST(many_threads_lose_no_line_without_a_count)
{
	pthread_t ids[THREADS];

	takes = take_some;
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&ids[i], NULL, write_log, NULL),
				 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(ids[i], NULL);
	takes = take_all;
	journal_sink(WEIR_LOG_INFO, "the last", NULL);
	ck_assert_uint_eq(told + taken, THREADS * LINES_A_THREAD + 1);
	ck_assert_uint_eq(absurd, 0);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"journal", lost_lines_are_told_once_though_another_thread_logs,
		a_note_that_is_not_taken_is_told_later,
		lines_about_clients_have_a_limit_and_displace_no_others,
		many_threads_lose_no_line_without_a_count);
}
