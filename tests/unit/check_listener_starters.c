/* SPDX-License-Identifier: MIT */
/*
 * Several servers that start on one Unix path, and a start that fails: no path
 * in use is taken, none is left behind.  The program runs in a directory that
 * is removed at its end.
 */
#include "test.h"

#include <fcntl.h>
#include <sys/file.h>

#include "listening.h"

static int holder = -1;
static int rounds;

static void hold(const char *path, int flags)
{
	holder = open(path, flags, 0600);
	ck_assert_int_ge(holder, 0);
	ck_assert_int_eq(flock(holder, LOCK_EX), 0);
}

/* Do not really wait; release the lock in the third round, if at all. */
static int no_wait_for_lock(enum wr_sys_call call, size_t *len)
{
	(void)len;
	if (call != WR_SYS_pause)
		return 0;
	if (++rounds == 3 && holder >= 0)
		close(holder);
	return -EINTR;
}

START_TEST(another_starter_is_waited_for)
{
	struct wr_listener l;

	leave_stale("waited");
	hold("waited.lock", O_RDWR | O_CREAT);
	wr_sys_fault = no_wait_for_lock;
	open_path(&l, "waited");
	ck_assert_int_eq(rounds, 3);
	ck_assert_uint_eq(inode("waited.lock"), 0);
	wr_listener_close(&l);
}
END_TEST

START_TEST(nobody_can_hold_a_starter_up_for_ever)
{
	struct wr_listener l;

	/* Any user who may read the folder can do that. */
	hold(".", O_RDONLY | O_DIRECTORY);
	wr_sys_fault = no_wait_for_lock;
	open_path(&l, "held");
	ck_assert_int_eq(rounds, 0);
	wr_listener_close(&l);
	/* A process of the same user was stopped in the middle. */
	hold("held.lock", O_RDWR | O_CREAT);
	holder = -1;
	open_path(&l, "held");
	ck_assert_int_gt(rounds, 10);
	ck_assert(is_live("held"));
	wr_listener_close(&l);
}
END_TEST

START_TEST(a_lock_that_cannot_be_had_keeps_nobody_from_starting)
{
	struct wr_listener l;

	ck_assert_int_eq(symlink("nowhere", "odd.lock"), 0);
	open_path(&l, "odd");
	wr_listener_close(&l);
	ck_assert_uint_eq(inode("nowhere"), 0);
	ck_assert_int_eq(unlink("odd.lock"), 0);
	ck_assert_int_eq(mkdir("odd.lock", 0700), 0);
	open_path(&l, "odd");
	wr_listener_close(&l);
	ck_assert_uint_ne(inode("odd.lock"), 0);
}
END_TEST

struct starter {
	pthread_t thread;
	pthread_barrier_t *barrier;
	struct wr_listener listener;
	int rc;
};

/* Long enough between check and action for another server. */
static int dawdle(enum wr_sys_call call, size_t *len)
{
	(void)len;
	if (call == WR_SYS_rename || call == WR_SYS_unlink ||
	    call == WR_SYS_bind || call == WR_SYS_listen)
		poll_sleep();
	return 0;
}

static void *start(void *arg)
{
	struct starter *s = arg;

	pthread_barrier_wait(s->barrier);
	s->rc = try_open_path(&s->listener, "raced", 0600);
	return NULL;
}

START_TEST(of_two_starters_on_a_stale_path_one_wins)
{
	enum { STARTERS = 2 };
	struct starter s[STARTERS];
	pthread_barrier_t barrier;
	int round, i, won;

	pthread_barrier_init(&barrier, NULL, STARTERS);
	wr_sys_fault = dawdle;
	for (round = 0; round < 20; round++) {
		leave_stale("raced");
		for (i = 0; i < STARTERS; i++) {
			s[i].barrier = &barrier;
			ck_assert_int_eq(pthread_create(&s[i].thread, NULL,
							start, &s[i]),
					 0);
		}
		for (i = won = 0; i < STARTERS; i++) {
			pthread_join(s[i].thread, NULL);
			won += s[i].rc == 0;
			ck_assert(s[i].rc == 0 || s[i].rc == -EADDRINUSE);
		}
		ck_assert_int_eq(won, 1);
		ck_assert(is_live("raced"));
		for (i = 0; i < STARTERS; i++)
			wr_listener_close(&s[i].listener);
		ck_assert_uint_eq(inode("raced"), 0);
	}
	pthread_barrier_destroy(&barrier);
}
END_TEST

/* --------------------------------------------------------------- failures */

static int calls_until_failure;

static int fail_the_nth(enum wr_sys_call call, size_t *len)
{
	(void)call;
	(void)len;
	return calls_until_failure-- == 0 ? -EXDEV : 0;
}

START_TEST(a_failure_anywhere_leaves_no_path)
{
	struct wr_listener l;
	int n, rc, lowest = dup(0);

	close(lowest);
	for (n = 0;; n++) {
		calls_until_failure = n;
		wr_sys_fault = fail_the_nth;
		rc = try_open_path(&l, "failing", 0600);
		wr_sys_fault = NULL;
		if (rc == 0) { /* without what had failed, or all the same */
			ck_assert(is_live("failing"));
			wr_listener_close(&l);
		} else {
			ck_assert_int_eq(rc, -EXDEV);
			ck_assert_int_eq(l.fd, -1);
		}
		ck_assert_uint_eq(inode("failing"), 0);
		ck_assert_int_eq(dup(0), lowest);
		close(lowest);
		if (calls_until_failure >= 0)
			break;
	}
	/* At least socket, bind, open, stat, listen. */
	ck_assert_int_gt(n, 5);
}
END_TEST

static int run_all(void)
{
	return RUN_TESTS("listener_starters", another_starter_is_waited_for,
			 nobody_can_hold_a_starter_up_for_ever,
			 a_lock_that_cannot_be_had_keeps_nobody_from_starting,
			 of_two_starters_on_a_stale_path_one_wins,
			 a_failure_anywhere_leaves_no_path);
}

int main(void)
{
	return run_in_own_directory(run_all);
}
