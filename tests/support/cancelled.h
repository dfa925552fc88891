/* SPDX-License-Identifier: MIT */
/*
 * Calls by a thread that was cancelled before: one that is a cancellation point
 * is named.
 */
#ifndef TESTS_SUPPORT_CANCELLED_H
#define TESTS_SUPPORT_CANCELLED_H

#include "test.h"

/* The call in progress; NULL: none. */
static _Atomic(const char *) step;

/* An assertion without the cancellation points of Check. */
static void as_expected(bool is_right)
{
	int state;

	if (is_right)
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	ck_abort_msg("wrong answer of %s", atomic_load(&step));
}

#define GIVES(what, call)                                                      \
	do {                                                                   \
		atomic_store(&step, #call);                                    \
		as_expected((call) == (what));                                 \
	} while (0)
#define DOES(call)                                                             \
	do {                                                                   \
		atomic_store(&step, #call);                                    \
		as_expected((call) >= 0);                                      \
	} while (0)

/*
 * Run fn in a thread that is cancelled first: any cancellation point in fn
 * would end it.
 */
static void *cancel_itself(void *arg)
{
	void (*fn)(void) = *(void (**)(void))arg;

	pthread_cancel(pthread_self());
	fn();
	atomic_store(&step, NULL);
	pthread_testcancel();
	return NULL;
}

static void run_cancelled(void (*fn)(void))
{
	struct process_state before;
	pthread_t thread;
	void *result;

	process_state_take(&before);
	ck_assert_int_eq(pthread_create(&thread, NULL, cancel_itself, &fn), 0);
	ck_assert_int_eq(pthread_join(thread, &result), 0);
	ck_assert_msg(!atomic_load(&step), "was cancelled in %s",
		      atomic_load(&step));
	/* The cancellation is still pending afterwards. */
	ck_assert_ptr_eq(result, PTHREAD_CANCELED);
	process_state_check(&before);
}

#endif
