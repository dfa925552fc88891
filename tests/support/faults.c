/* SPDX-License-Identifier: MIT */
/*
 * One plan at a time.  The server's threads read it while it changes, so it is
 * off until all of it is written.
 */
#include "faults.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static _Atomic int target = -1; /* -1: no plan */
static _Atomic int to_go;	/* calls up to the first that fails */
static _Atomic int error_made;
static _Atomic int last; /* to_go of the last that fails */
static _Atomic int made;
static _Atomic bool is_for_acceptor;

static bool is_acceptor(void)
{
	char name[16] = "";

	pthread_getname_np(pthread_self(), name, sizeof(name));
	return strcmp(name, "weir-acceptor") == 0;
}

static int ask(enum wr_sys_call call, size_t *len)
{
	int left;

	(void)len;
	if (atomic_load(&target) != (int)call)
		return 0;
	if (atomic_load(&is_for_acceptor) && !is_acceptor())
		return 0;
	left = atomic_fetch_sub(&to_go, 1);
	if (left > 1 || left < atomic_load(&last))
		return 0;
	atomic_fetch_add(&made, 1);
	return atomic_load(&error_made);
}

static void plan(enum wr_sys_call call, int nth, int error, int until)
{
	atomic_store(&target, -1);
	atomic_store(&to_go, nth);
	atomic_store(&last, until);
	atomic_store(&error_made, error);
	atomic_store(&made, 0);
	atomic_store(&is_for_acceptor, false);
	atomic_store(&target, (int)call);
}

bool skip_with_poll(const char *test, const char *why)
{
#ifdef WITH_POLL
	printf("SKIPPED: %s: the poller is poll(2): %s\n", test, why);
	return true;
#else
	(void)test;
	(void)why;
	return false;
#endif
}

void faults_install(void)
{
	wr_sys_fault = ask;
}

void fail_nth_call(enum wr_sys_call call, int nth, int error)
{
	plan(call, nth, error, 1);
}

void fail_calls_from(enum wr_sys_call call, int nth, int error)
{
	plan(call, nth, error, INT_MIN);
}

void fail_acceptor_calls(enum wr_sys_call call, int error)
{
	fail_calls_from(call, 1, error);
	atomic_store(&is_for_acceptor, true);
}

void faults_clear(void)
{
	atomic_store(&target, -1);
}

int faults_made(void)
{
	return atomic_load(&made);
}
