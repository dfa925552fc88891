/* SPDX-License-Identifier: MIT */
/*
 * Locks and waits: what wakes a wait, when it times out, and that a lock taken
 * twice aborts.
 */
#include "test.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>

#include "clock.h"
#include "lock.h"
#include "sys.h"

struct shared {
	struct wr_lock lock;
	struct wr_cond cond;
	int inside; /* l: number of waiting threads */
	bool is_open;
};

static void shared_init(struct shared *s)
{
	*s = (struct shared){ 0 };
	ck_assert_int_eq(wr_lock_init(&s->lock), 0);
	ck_assert_int_eq(wr_cond_init(&s->cond), 0);
}

static void shared_fini(struct shared *s)
{
	wr_cond_fini(&s->cond);
	wr_lock_fini(&s->lock);
}

static void *wait_until_open(void *arg)
{
	struct shared *s = arg;

	wr_lock(&s->lock);
	s->inside++;
	while (!s->is_open)
		ck_assert(wr_cond_wait_until(&s->cond, &s->lock, WR_NEVER_AT));
	s->inside--;
	wr_unlock(&s->lock);
	return NULL;
}

static int count_inside(struct shared *s)
{
	int n;

	wr_lock(&s->lock);
	n = s->inside;
	wr_unlock(&s->lock);
	return n;
}

START_TEST(a_broadcast_wakes_all_that_wait)
{
	pthread_t threads[8];
	struct shared s;
	int i;

	shared_init(&s);
	for (i = 0; i < 8; i++)
		ck_assert_int_eq(wr_sys_thread_create(&threads[i], 0,
						      wait_until_open, &s),
				 0);
	UNTIL(count_inside(&s) == 8);
	wr_lock(&s.lock);
	s.is_open = true;
	wr_cond_broadcast(&s.cond);
	wr_unlock(&s.lock);
	for (i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(s.inside, 0);
	shared_fini(&s);
}
END_TEST

START_TEST(a_wait_ends_at_its_deadline)
{
	int64_t begin = wr_now_ns();
	int64_t at = wr_deadline_at(begin, 20);
	struct shared s;

	shared_init(&s);
	wr_lock(&s.lock);
	while (wr_cond_wait_until(&s.cond, &s.lock, at))
		;
	ck_assert(wr_now_ns() >= at);
	/* A deadline in the past does not wait. */
	ck_assert(!wr_cond_wait_until(&s.cond, &s.lock, begin));
	ck_assert(!wr_cond_wait_until(&s.cond, &s.lock, 0));
	ck_assert(!wr_cond_wait_until(&s.cond, &s.lock, INT64_MIN));
	wr_unlock(&s.lock);
	shared_fini(&s);
}
END_TEST

static int fail_next;

static int fail_init(enum wr_sys_call call, size_t *len)
{
	(void)len;
	if (call != WR_SYS_mutex_init && call != WR_SYS_cond_init)
		return 0;
	return fail_next;
}

START_TEST(a_lock_that_cannot_be_made_is_an_error)
{
	struct wr_lock lock;
	struct wr_cond cond;

	wr_sys_fault = fail_init;
	fail_next = -ENOMEM;
	ck_assert_int_eq(wr_lock_init(&lock), -ENOMEM);
	ck_assert_int_eq(wr_cond_init(&cond), -ENOMEM);
}
END_TEST

static void lock_twice(void)
{
	struct shared s;

	shared_init(&s);
	wr_lock(&s.lock);
	wr_lock(&s.lock);
}

static void unlock_what_is_free(void)
{
	struct shared s;

	shared_init(&s);
	wr_unlock(&s.lock);
}

#define ROUNDS 20000

static struct counted {
	struct wr_word_lock lock;
	int count; /* l */
	bool is_inside;
} counted;

static void count_once(void)
{
	ck_assert(!counted.is_inside);
	counted.is_inside = true;
	counted.count++;
	counted.is_inside = false;
}

static void *count_up(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		if (i % 3 || !wr_word_trylock(&counted.lock))
			wr_word_lock(&counted.lock);
		count_once();
		if (i % 100 == 0)
			sched_yield(); /* others find it held, and sleep */
		wr_word_unlock(&counted.lock);
	}
	return NULL;
}

START_TEST(one_thread_at_a_time_holds_a_word_lock)
{
	pthread_t threads[8];

	counted = (struct counted){ 0 };
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(
			wr_sys_thread_create(&threads[i], 0, count_up, NULL),
			0);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(counted.count, 8 * ROUNDS);
	ck_assert_uint_eq(counted.lock.word, WR_WORD_FREE);
}
END_TEST

START_TEST(a_word_lock_that_is_held_is_not_taken)
{
	struct wr_word_lock lock = { 0 };

	ck_assert(wr_word_trylock(&lock));
	ck_assert(!wr_word_trylock(&lock));
	wr_word_unlock(&lock);
	ck_assert(wr_word_trylock(&lock));
	wr_word_unlock(&lock);
}
END_TEST

static void unlock_a_free_word(void)
{
	struct wr_word_lock lock = { 0 };

	wr_word_unlock(&lock);
}

/* Does it end a process, by SIGABRT or a sanitizer? */
static bool is_fatal(void (*act)(void))
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		close(STDERR_FILENO);
		act();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) == SIGABRT
				   : WEXITSTATUS(status) != 0;
}

START_TEST(a_lock_used_wrongly_ends_the_program)
{
	ck_assert(is_fatal(lock_twice));
	ck_assert(is_fatal(unlock_what_is_free));
	ck_assert(is_fatal(unlock_a_free_word));
}
END_TEST

START_TEST(times_are_rounded_so_that_they_are_over)
{
	const int64_t now = 5 * WR_NS_PER_MS;

	ck_assert_int_eq(wr_ms_until(WR_NEVER_AT, now), -1);
	ck_assert_int_eq(wr_ms_until(now, now), 0);
	ck_assert_int_eq(wr_ms_until(now - 1, now), 0);
	ck_assert_int_eq(wr_ms_until(now + 1, now), 1);
	ck_assert_int_eq(wr_ms_until(now + WR_NS_PER_MS, now), 1);
	ck_assert_int_eq(wr_ms_until(now + WR_NS_PER_MS + 1, now), 2);
	ck_assert_int_eq(wr_ms_until(WR_NEVER_AT - 1, now), INT32_MAX);
	ck_assert_int_eq(wr_deadline_at(now, -1), WR_NEVER_AT);
	ck_assert_int_eq(wr_deadline_at(now, 3), now + 3 * WR_NS_PER_MS);
	ck_assert_int_eq(wr_deadline_at(now, INT32_MAX),
			 now + INT32_MAX * WR_NS_PER_MS);
}
END_TEST

int main(void)
{
	return RUN_TESTS("lock", a_broadcast_wakes_all_that_wait,
			 a_wait_ends_at_its_deadline,
			 a_lock_that_cannot_be_made_is_an_error,
			 one_thread_at_a_time_holds_a_word_lock,
			 a_word_lock_that_is_held_is_not_taken,
			 a_lock_used_wrongly_ends_the_program,
			 times_are_rounded_so_that_they_are_over);
}
