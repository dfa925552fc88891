/* SPDX-License-Identifier: MIT */
/*
 * One plan at a time.  The server's threads read it while it changes, so each
 * has a number, and a call counts for the plan whose number it has read first.
 */
#include "faults.h"

#include "test.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static _Atomic int target = -1; /* -1: no plan */
static _Atomic int first;	/* the call that fails first, from 1 */
static _Atomic bool is_for_all; /* and all later ones */
static _Atomic int error_made;
static _Atomic bool is_for_acceptor;

/* Number of the plan, and in the lower half the calls so far. */
static _Atomic uint64_t plan_and_calls;
#define NEXT_PLAN ((uint64_t)1 << 32)

static bool is_acceptor(void)
{
	char name[16] = "";

	pthread_getname_np(pthread_self(), name, sizeof(name));
	return strcmp(name, "weir-acceptor") == 0;
}

static bool is_to_fail(uint32_t nth)
{
	uint32_t from = (uint32_t)atomic_load(&first);

	return atomic_load(&is_for_all) ? nth >= from : nth == from;
}

static int ask(enum wr_sys_call call, size_t *len)
{
	uint64_t before = atomic_load(&plan_and_calls), now = before;
	bool is_failure;
	int error;

	(void)len;
	if (atomic_load(&target) != (int)call)
		return 0;
	if (atomic_load(&is_for_acceptor) && !is_acceptor())
		return 0;
	do {
		is_failure = is_to_fail((uint32_t)now + 1);
		error = atomic_load(&error_made);
		if (now / NEXT_PLAN != before / NEXT_PLAN)
			return 0;
	} while (!atomic_compare_exchange_weak(&plan_and_calls, &now, now + 1));
	return is_failure ? error : 0;
}

static void plan(enum wr_sys_call call, int nth, int error, bool all,
		 bool by_acceptor)
{
	uint64_t number = atomic_load(&plan_and_calls) / NEXT_PLAN;

	atomic_store(&target, -1);
	atomic_store(&plan_and_calls, (number + 1) * NEXT_PLAN);
	atomic_store(&first, nth);
	atomic_store(&is_for_all, all);
	atomic_store(&error_made, error);
	atomic_store(&is_for_acceptor, by_acceptor);
	atomic_store(&plan_and_calls, (number + 2) * NEXT_PLAN);
	atomic_store(&target, (int)call);
}

bool skip_with_poll(const char *test, const char *why)
{
	bool is_poll = POLLER_WAITS == WR_SYS_poll;

	if (is_poll)
		skip_test("%s: the poller is poll(2): %s", test, why);
	return is_poll;
}

void faults_install(void)
{
	wr_sys_fault = ask;
}

void fail_nth_call(enum wr_sys_call call, int nth, int error)
{
	plan(call, nth, error, false, false);
}

void fail_calls_from(enum wr_sys_call call, int nth, int error)
{
	plan(call, nth, error, true, false);
}

void fail_acceptor_calls(enum wr_sys_call call, int error)
{
	plan(call, 1, error, true, true);
}

/* faults_made() stays. */
void faults_clear(void)
{
	atomic_store(&target, -1);
	atomic_fetch_add(&plan_and_calls, NEXT_PLAN);
}

int faults_made(void)
{
	int calls = (int)(uint32_t)atomic_load(&plan_and_calls);
	int nth = atomic_load(&first);

	if (calls < nth)
		return 0;
	return atomic_load(&is_for_all) ? calls - nth + 1 : 1;
}
