/* SPDX-License-Identifier: MIT */
/*
 * A system that refuses a call which the load tester prefers, as the filters
 * of containers may; and one that refuses a call which it cannot do without.
 */
#include "scripted.h"

#include <sys/syscall.h>

#include "../programs/denied.h"

static const struct script faultless;

struct outcome {
	int is_refused; /* the filter is there */
	int status;	/* of run() */
	uint64_t answered;
};

static unsigned error_of_new, error_of_old;

/* Newer architectures have no epoll_wait(2), and musl calls it last. */
static bool old_waits_are_denied(unsigned error)
{
#ifdef SYS_epoll_wait
	if (!call_is_denied(SYS_epoll_wait, error))
		return false;
#endif
	return call_is_denied(SYS_epoll_pwait, error);
}

static void load_in_container(const char *address, int say)
{
	struct plan plan = PLAN(.count = 500, .address = address,
				.bad_clients = { [BAD_CLIENT_IDLE] = 1 });
	struct outcome o = { .status = -1 };
	struct result r;

	o.is_refused = call_is_denied(SYS_epoll_pwait2, error_of_new);
	if (o.is_refused && error_of_old != 0)
		o.is_refused = old_waits_are_denied(error_of_old);
	if (o.is_refused)
		o.status = run_watched(&r, &plan, NULL, NULL);
	if (o.status == 0) {
		o.answered = r.counts.answered;
		result_free(&r);
	}
	ck_assert_int_eq(write(say, &o, sizeof(o)), sizeof(o));
}

static struct outcome load_where(unsigned new_error, unsigned old_error)
{
	struct plan plan = PLAN(.count = 500);
	struct child e;
	struct scripted *s;
	struct outcome o;

	error_of_new = new_error;
	error_of_old = old_error;
	e = child_start(load_in_container);
	s = scripted_start("127.0.0.1", &faultless, &plan);
	child_go(&e, scripted_address(s));
	child_finish(&e, &o, sizeof(o));
	scripted_stop(s);
	scripted_free(s);
	if (!o.is_refused)
		skip_test("no filter of system calls can be set here");
	return o;
}

START_TEST(an_older_wait_does_where_the_new_one_is_refused)
{
	const unsigned errors[] = { ENOSYS, EPERM, EOPNOTSUPP };

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct outcome o = load_where(errors[i], 0);

		if (!o.is_refused)
			return;
		ck_assert_int_eq(o.status, 0);
		ck_assert_uint_eq(o.answered, 500);
	}
}
END_TEST

START_TEST(a_wait_that_fails_ends_the_run)
{
	const unsigned errors[][2] = {
#ifdef HAVE_EPOLL_PWAIT2
		{ EINVAL, 0 },
#endif
		{ EPERM, EPERM },
	};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct outcome o = load_where(errors[i][0], errors[i][1]);

		if (!o.is_refused)
			return;
		ck_assert_int_eq(o.status, 1);
	}
}
END_TEST

/* A default stack under so small a limit. */
static void load_on_small_stacks(const char *address, int say)
{
	struct plan plan = PLAN(.count = 500, .address = address, .threads = 2,
				.bad_clients = { [BAD_CLIENT_FLOOD] = 1 });
	struct outcome o = { .status = -1 };
	pthread_attr_t attr;
	struct result r;

	ck_assert_int_eq(pthread_attr_init(&attr), 0);
	ck_assert_int_eq(pthread_attr_setstacksize(&attr, 16384), 0);
	ck_assert_int_eq(pthread_setattr_default_np(&attr), 0);
	o.status = run_watched(&r, &plan, NULL, NULL);
	if (o.status == 0) {
		o.answered = r.counts.answered;
		result_free(&r);
	}
	ck_assert_int_eq(write(say, &o, sizeof(o)), sizeof(o));
}

START_TEST(a_small_stack_limit_is_not_that_of_its_threads)
{
	const struct child e = child_start(load_on_small_stacks);
	struct plan plan = PLAN(.count = 500);
	struct scripted *s = scripted_start("127.0.0.1", &faultless, &plan);
	struct outcome o;

	child_go(&e, scripted_address(s));
	child_finish(&e, &o, sizeof(o));
	ck_assert_int_eq(o.status, 0);
	ck_assert_uint_eq(o.answered, 500);
	scripted_stop(s);
	scripted_free(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS("load_system",
			 an_older_wait_does_where_the_new_one_is_refused,
			 a_wait_that_fails_ends_the_run,
			 a_small_stack_limit_is_not_that_of_its_threads);
}
