/* SPDX-License-Identifier: MIT */
/*
 * The hook that the library calls before each system call, from any thread, and
 * the count of the memory blocks that the library holds.
 *
 * A call stack is identified by its return addresses relative to the program,
 * which are the same in each of its processes.
 */
#include "sweep.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unwind.h>

#include "test.h"

#define END_OF_ERRORS 1

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sweep_plan plan;
static struct sweep_trace *trace;
static bool is_lifted; /* under lock */
static atomic_int blocks;

/* -------------------------------------------------------------- the hook */

extern const char __executable_start[], _end[];

enum { OURS = 2 }; /* frames: of call_stack() and of the hook */

struct frames {
	int count;
	uintptr_t at[OURS + SWEEP_DEPTH];
};

static _Unwind_Reason_Code add_frame(struct _Unwind_Context *context, void *arg)
{
	struct frames *f = arg;

	if (f->count == (int)wr_array_len(f->at))
		return _URC_END_OF_STACK;
	f->at[f->count++] = _Unwind_GetIP(context);
	return _URC_NO_REASON;
}

/* The hash of the call stack above the hook. */
__attribute__((noinline)) static uint32_t
call_stack(uintptr_t from[SWEEP_DEPTH])
{
	uintptr_t start = (uintptr_t)__executable_start;
	uint32_t stack = 2166136261u;
	struct frames frames = { 0 };

	_Unwind_Backtrace(add_frame, &frames);
	for (int i = 0; i < SWEEP_DEPTH; i++) {
		uintptr_t at =
			i + OURS < frames.count ? frames.at[i + OURS] : 0;

		if (at < start || at >= (uintptr_t)_end)
			at = start;
		from[i] = at - start;
		stack = (stack ^ (uint32_t)from[i]) * 16777619u;
	}
	return stack;
}

/* How often this call stack has been seen, including now. */
static int note(enum wr_sys_call call, uint32_t stack, const uintptr_t *from)
{
	struct sweep_stack *w = trace->stacks;
	const struct sweep_stack *end = w + trace->stack_count;

	while (w < end && (w->call != call || w->stack != stack))
		w++;
	if (w == end) {
		if (trace->stack_count == (int)wr_array_len(trace->stacks))
			sweep_fail("too many call stacks");
		trace->stack_count++;
		w->call = call;
		w->stack = stack;
		w->count = 0;
		memcpy(w->from, from, sizeof(w->from));
	}
	return ++w->count;
}

static bool is_due(enum wr_sys_call call, uint32_t stack, int nth)
{
	if (is_lifted || call != plan.call)
		return false;
	if (atomic_load(&trace->made) > 0)
		return plan.mode != SWEEP_ONCE;
	return stack == plan.stack && nth == plan.nth;
}

static int ask(enum wr_sys_call call, size_t *len)
{
	uintptr_t from[SWEEP_DEPTH];
	uint32_t stack = call_stack(from);
	int rc = 0;

	pthread_mutex_lock(&lock);
	if (is_due(call, stack, note(call, stack, from))) {
		atomic_fetch_add(&trace->made, 1);
		rc = plan.error;
		if (rc == SWEEP_SHORT && len)
			*len = wr_min(*len, sweep_failures() % 2 ? 1 : 1460);
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

void sweep_install(const struct sweep_plan *p, struct sweep_trace *d)
{
	struct frames frames = { 0 };

	_Unwind_Backtrace(add_frame, &frames); /* its first call may allocate */
	plan = *p;
	trace = d;
	wr_sys_fault = ask;
}

const struct sweep_plan *sweep_planned(void)
{
	return &plan;
}

int sweep_failures(void)
{
	return atomic_load(&trace->made);
}

bool sweep_is_on(void)
{
	bool is_on;

	pthread_mutex_lock(&lock);
	is_on = !is_lifted && plan.mode != SWEEP_ONCE && sweep_failures() > 0;
	pthread_mutex_unlock(&lock);
	return is_on;
}

void sweep_lift(void)
{
	pthread_mutex_lock(&lock);
	is_lifted = true;
	pthread_mutex_unlock(&lock);
}

/* ---------------------------------------------------------- what may come */

const int *sweep_errors(enum wr_sys_call call)
{
#define ERRORS(...)                                                            \
	do {                                                                   \
		static const int all[] = { __VA_ARGS__, END_OF_ERRORS };       \
		return all;                                                    \
	} while (0)
	switch (call) {
	case WR_SYS_alloc:
	case WR_SYS_mmap:
		ERRORS(-ENOMEM);
	case WR_SYS_thread_create:
		ERRORS(-EAGAIN);
	case WR_SYS_mutex_init:
	case WR_SYS_cond_init:
		ERRORS(-EAGAIN);
	case WR_SYS_socket:
	case WR_SYS_socketpair:
		ERRORS(-EMFILE, -ENOBUFS);
	case WR_SYS_bind:
		ERRORS(-EADDRINUSE, -EADDRNOTAVAIL);
	case WR_SYS_listen:
		ERRORS(-EADDRINUSE);
	case WR_SYS_accept4:
		ERRORS(-EMFILE, -ECONNABORTED, -ENOMEM, -EINTR);
	case WR_SYS_connect:
		ERRORS(-ECONNREFUSED, -ETIMEDOUT, -EAGAIN);
	case WR_SYS_getsockname:
	case WR_SYS_getpeername:
	case WR_SYS_getsockopt:
		ERRORS(-ENOBUFS);
	case WR_SYS_setsockopt:
		ERRORS(-ENOMEM);
	case WR_SYS_shutdown:
		ERRORS(-ENOTCONN);
	case WR_SYS_recv:
		ERRORS(-ECONNRESET, -ENOMEM, -EINTR, SWEEP_SHORT);
	case WR_SYS_sendmsg:
		ERRORS(-EPIPE, -ENOBUFS, -EINTR, SWEEP_SHORT);
	case WR_SYS_sendfile:
		ERRORS(-EIO, -ENOMEM, -EINTR, SWEEP_SHORT);
	case WR_SYS_pread:
		ERRORS(-EIO, -EINTR, SWEEP_SHORT);
	case WR_SYS_poll:
		ERRORS(-EINTR, -ENOMEM);
	case WR_SYS_read:
	case WR_SYS_pause:
	case WR_SYS_epoll_wait:
		ERRORS(-EINTR);
	case WR_SYS_epoll_create:
	case WR_SYS_eventfd:
	case WR_SYS_signalfd:
	case WR_SYS_dup:
		ERRORS(-EMFILE, -ENOMEM);
	case WR_SYS_epoll_ctl:
		ERRORS(-ENOMEM, -ENOSPC);
	case WR_SYS_open:
		ERRORS(-EMFILE, -EACCES, -EINTR);
	case WR_SYS_fcntl:
		ERRORS(-EACCES);
	case WR_SYS_stat:
	case WR_SYS_unlink:
	case WR_SYS_rename:
	case WR_SYS_chmod:
		ERRORS(-EACCES, -ENOENT);
	case WR_SYS_flock:
		ERRORS(-EWOULDBLOCK, -ENOLCK, -EINTR);
	case WR_SYS_getaddrinfo:
	case WR_SYS_getnameinfo:
		ERRORS(-EAGAIN, -ENOMEM, -EIO);
	case WR_SYS_affinity:
	case WR_SYS_ioctl:
	case WR_SYS_CALL_COUNT:
		break;
	}
	ERRORS(-EINVAL);
#undef ERRORS
}

bool sweep_may_last(enum wr_sys_call call, int error)
{
#ifdef WITH_POLL
	if (call == WR_SYS_poll) /* without the poller there is no server */
		return false;
#endif
	return error != -EINTR &&
	       !(call == WR_SYS_flock && error == -EWOULDBLOCK);
}

bool sweep_is_harmless(int error)
{
	return error == -EINTR || error == SWEEP_SHORT;
}

const char *sweep_error_name(int error)
{
	return error == SWEEP_SHORT ? "short" : errno_name(-error);
}

int sweep_error_named(const char *name)
{
	for (int call = 0; call < WR_SYS_CALL_COUNT; call++)
		for (const int *e = sweep_errors((enum wr_sys_call)call);
		     *e <= 0; e++)
			if (strcmp(sweep_error_name(*e), name) == 0)
				return *e;
	return END_OF_ERRORS;
}

const char *const *sweep_mode_names(void)
{
	static const char *const names[] = { "once", "spell", "on", NULL };

	return names;
}

/* ----------------------------------------------------------------- memory */

/* The linker puts these around the library's own (--wrap). */
void *__real_wr_sys_alloc(size_t size);
void *__real_wr_sys_alloc_lines(size_t size);
void *__real_wr_sys_realloc(void *p, size_t size);
void __real_wr_sys_free(void *p);
void *__wrap_wr_sys_alloc(size_t size);
void *__wrap_wr_sys_alloc_lines(size_t size);
void *__wrap_wr_sys_realloc(void *p, size_t size);
void __wrap_wr_sys_free(void *p);

static void *counted(void *p)
{
	if (p)
		atomic_fetch_add(&blocks, 1);
	return p;
}

void *__wrap_wr_sys_alloc(size_t size)
{
	return counted(__real_wr_sys_alloc(size));
}

void *__wrap_wr_sys_alloc_lines(size_t size)
{
	return counted(__real_wr_sys_alloc_lines(size));
}

void *__wrap_wr_sys_realloc(void *p, size_t size)
{
	void *q = __real_wr_sys_realloc(p, size);

	return p ? q : counted(q);
}

void __wrap_wr_sys_free(void *p)
{
	if (p)
		atomic_fetch_sub(&blocks, 1);
	__real_wr_sys_free(p);
}

int sweep_blocks(void)
{
	return atomic_load(&blocks);
}
