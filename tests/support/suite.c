/* SPDX-License-Identifier: MIT */
/*
 * How a test program runs: a process for each test, descriptors for thousands
 * of sockets, deadlines that fit the build.
 */
#include "test.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SLOW_BUILD 10
#elif __has_feature(address_sanitizer)
#define SLOW_BUILD 4
#endif
#endif
#if !defined(SLOW_BUILD) && defined(__SANITIZE_THREAD__)
#define SLOW_BUILD 10
#endif
#if !defined(SLOW_BUILD) && defined(__SANITIZE_ADDRESS__)
#define SLOW_BUILD 4
#endif
#ifndef SLOW_BUILD
#define SLOW_BUILD 1
#endif

#define PATIENCE_MS  20000
#define TEST_LIMIT_S 120

int slowness(void)
{
	const char *text = getenv("WEIR_TEST_SLOW");
	int n = text ? atoi(text) : 0;

	return n > SLOW_BUILD ? n : SLOW_BUILD;
}

int fewer(int count)
{
	int n = count / slowness();

	return n > 0 ? n : 1;
}

int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t cpu_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t stolen_ms(void)
{
	static int fd = -1;
	char text[256];
	ssize_t n;
	long ticks = 0;

	if (fd < 0)
		fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
	n = pread(fd, text, sizeof(text) - 1, 0);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	ck_assert_int_eq(
		sscanf(text, "cpu %*d %*d %*d %*d %*d %*d %*d %ld", &ticks), 1);
	return ticks * 1000 / sysconf(_SC_CLK_TCK);
}

int64_t test_deadline(void)
{
	return now_ms() + (int64_t)PATIENCE_MS * slowness();
}

void poll_sleep(void)
{
	const struct timespec ms = { .tv_nsec = 1000000 };

	nanosleep(&ms, NULL);
}

const char *printable(const char *data, size_t len)
{
	static _Thread_local char text[400];
	size_t at = 0;

	for (size_t i = 0; i < len && at < sizeof(text) - 5; i++) {
		unsigned char b = (unsigned char)data[i];

		if (b >= ' ' && b <= '~')
			text[at++] = (char)b;
		else
			at += (size_t)sprintf(text + at, "\\x%02x", b);
	}
	text[at] = '\0';
	return text;
}

void leave_descriptors(int count)
{
	struct rlimit room;
	int lowest = 0;

	for (int i = 0; i < count + 1; i++, lowest++)
		while (fcntl(lowest, F_GETFD) >= 0)
			lowest++;
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &room), 0);
	room.rlim_cur = (rlim_t)lowest - 1;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &room), 0);
}

void leave_all_descriptors(void)
{
	struct rlimit room;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &room), 0);
	room.rlim_cur = room.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &room), 0);
}

/* Thousands of connections have both their ends in this process. */
static void make_room_for_sockets(void)
{
	struct rlimit room;

	if (getrlimit(RLIMIT_NOFILE, &room) < 0)
		return;
	room.rlim_cur = room.rlim_max;
	setrlimit(RLIMIT_NOFILE, &room);
}

/* WEIR_TEST_SKIP has names of tests, with spaces around each. */
static bool is_left_out(const char *test)
{
	const char *names = getenv("WEIR_TEST_SKIP");
	char name[128];

	(void)snprintf(name, sizeof(name), " %s ", test);
	return names && strstr(names, name);
}

void skip_test(const char *why, ...)
{
	static atomic_flag is_told = ATOMIC_FLAG_INIT;
	char line[256];
	va_list args;

	va_start(args, why);
	(void)vsnprintf(line, sizeof(line), why, args);
	va_end(args);
	if (!atomic_flag_test_and_set(&is_told))
		printf("SKIPPED: %s\n", line);
}

bool may_open(int count)
{
	struct rlimit room;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &room), 0);
	if (room.rlim_cur >= (rlim_t)count)
		return true;
	skip_test("fewer than %d descriptors are allowed", count);
	return false;
}

int run_tests(const char *name, const TTest *const *tests)
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);
	SRunner *runner;
	int failed;

	make_room_for_sockets();
	tcase_set_timeout(tcase, (double)TEST_LIMIT_S * slowness());
	for (; *tests; tests++)
		if (!is_left_out((*tests)->name))
			tcase_add_test(tcase, *tests);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner) ||
		 srunner_ntests_run(runner) == 0;
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
