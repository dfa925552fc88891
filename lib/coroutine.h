/* SPDX-License-Identifier: MIT */
/*
 * A function that runs on a stack of its own.  It can pause; then any thread,
 * one at a time, may resume it.  So no address of a thread-local variable, such
 * as errno, may be kept over a pause.
 */
#ifndef WR_COROUTINE_H
#define WR_COROUTINE_H

#include <setjmp.h>

#include "base.h"

/*
 * Where a backtrace of a paused one begins, for tools/weir-gdb.py: the C
 * library encrypts these registers in a jmp_buf.
 */
struct wr_coro_frame {
	const void *pc, *sp, *fp;
};

/* The exceptions of C++ in hand, as its ABI keeps them for each thread. */
struct wr_exceptions {
	void *caught;
	unsigned uncaught;
#ifdef __arm__
	void *propagating;
#endif
};

/* In order of use: the cache lines of a session that has waited are cold. */
struct wr_coro {
	jmp_buf *outside; /* on the stack of the thread that runs it */
	struct wr_coro_frame frame;
	int64_t parked_at; /* of its user; ns */
	bool is_over;
	jmp_buf inside;
	struct wr_exceptions exceptions; /* of the one that is not running */
	void (*fn)(void *arg);
	void *arg;
	char *stack; /* c: its lowest byte */
	size_t size; /* c */
	/* For sanitizers. */
	void *fiber, *outer_fiber, *fake, *outer_fake;
	const void *outer_stack;
	size_t outer_size;
};

/*
 * False: this system cannot switch stacks.  The thread has a shadow stack,
 * which _longjmp(3) does not switch, or the frame of a signal is too large.
 */
bool wr_coro_is_supported(void);

/* Bytes at the top of a stack that the function cannot use. */
#ifdef WITH_SIGALTSTACK
size_t wr_coro_overhead(void);
#else
static inline size_t wr_coro_overhead(void)
{
	return 0;
}
#endif

/* False: no memory, or no signal to make the stack by. */
bool wr_coro_init(struct wr_coro *co, char *stack, size_t size);
void wr_coro_fini(struct wr_coro *co);

/* The next wr_coro_resume() calls fn.  Any earlier call is over. */
void wr_coro_set(struct wr_coro *co, void (*fn)(void *arg), void *arg);

/* Run it until it pauses or returns.  True: it has returned. */
bool wr_coro_resume(struct wr_coro *co);

/* Inside: return to the thread that has resumed it. */
void wr_coro_pause(struct wr_coro *co);

/* The one that the calling thread runs, or NULL. */
struct wr_coro *wr_coro_current(void);

#endif
