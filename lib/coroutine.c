/* SPDX-License-Identifier: MIT */
/*
 * makecontext(3) makes the first frame of a stack; after that _setjmp(3) and
 * _longjmp(3) switch, without a system call: swapcontext(3) asks the kernel for
 * the signal mask each time.  Fortified, _longjmp(3) refuses to jump to another
 * stack, so this file is compiled without that.
 *
 * The functions that tell sanitizers of a switch are inlined: a call that
 * begins on one stack must not return on another one.
 */
#undef _FORTIFY_SOURCE
#include "coroutine.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WR_ASAN
#endif
#if __has_feature(thread_sanitizer)
#define WR_TSAN
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(WR_ASAN)
#undef WR_ASAN
#define WR_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__) || defined(WR_TSAN)
#undef WR_TSAN
#define WR_TSAN
#include <sanitizer/tsan_interface.h>
#endif

static _Thread_local struct wr_coro *current;

WR_OUT_OF_LINE struct wr_coro *wr_coro_current(void)
{
	return current;
}

static WR_OUT_OF_LINE void set_current(struct wr_coro *co)
{
	current = co;
}

/* --------------------------------------------------------------- sanitizers */

static WR_INLINE void leave_outer_stack(struct wr_coro *co)
{
#ifdef WR_ASAN
	__sanitizer_start_switch_fiber(&co->outer_fake, co->stack, co->size);
#endif
#ifdef WR_TSAN
	co->outer_fiber = __tsan_get_current_fiber();
	__tsan_switch_to_fiber(co->fiber, 0);
#endif
	(void)co;
}

static WR_INLINE void enter_outer_stack(struct wr_coro *co)
{
#ifdef WR_ASAN
	__sanitizer_finish_switch_fiber(co->outer_fake, NULL, NULL);
#endif
	(void)co;
}

static WR_INLINE void leave_stack(struct wr_coro *co)
{
#ifdef WR_ASAN
	__sanitizer_start_switch_fiber(co->is_over ? NULL : &co->fake,
				       co->outer_stack, co->outer_size);
#endif
#ifdef WR_TSAN
	__tsan_switch_to_fiber(co->outer_fiber, 0);
#endif
	(void)co;
}

static WR_INLINE void enter_stack(struct wr_coro *co)
{
#ifdef WR_ASAN
	__sanitizer_finish_switch_fiber(co->is_over ? NULL : co->fake,
					&co->outer_stack, &co->outer_size);
#endif
	co->is_over = false;
}

/* ---------------------------------------------------------------- switching */

WR_OUT_OF_LINE void wr_coro_pause(struct wr_coro *co)
{
	co->frame = (struct wr_coro_frame){
		__builtin_return_address(0),
		__builtin_dwarf_cfa(),
		*(void **)__builtin_frame_address(0),
	};
	if (_setjmp(co->inside) == 0) {
		leave_stack(co);
		_longjmp(co->outside, 1);
	}
	enter_stack(co);
}

#ifdef __GLIBC__
#include <ucontext.h>

#ifdef __x86_64__
/* The instruction does nothing where there is none. */
static bool has_shadow_stack(void)
{
	uint64_t at = 0;

	__asm__("rdsspq %0" : "+r"(at));
	return at != 0;
}
#else
static bool has_shadow_stack(void)
{
	return false;
}
#endif

bool wr_coro_is_supported(void)
{
	return !has_shadow_stack();
}

/* makecontext(3) passes numbers of type int. */
static void run(unsigned high, unsigned low)
{
	struct wr_coro *co = (void *)(uintptr_t)((uint64_t)high << 32 | low);

	enter_stack(co);
	for (;;) {
		wr_coro_pause(co);
		co->fn(co->arg);
		co->is_over = true;
	}
}

/* Run it up to its first pause. */
static void begin(struct wr_coro *co)
{
	uint64_t self = (uintptr_t)co;
	ucontext_t context;

	(void)getcontext(&context);
	context.uc_stack.ss_sp = co->stack;
	context.uc_stack.ss_size = co->size;
	context.uc_link = NULL;
	makecontext(&context, (void (*)(void))run, 2, (unsigned)(self >> 32),
		    (unsigned)self);
	if (_setjmp(co->outside) == 0) {
		leave_outer_stack(co);
		(void)setcontext(&context);
	}
	enter_outer_stack(co);
}
#else
bool wr_coro_is_supported(void)
{
	return false;
}

static void begin(struct wr_coro *co)
{
	(void)co;
}
#endif

bool wr_coro_resume(struct wr_coro *co)
{
	set_current(co);
	if (_setjmp(co->outside) == 0) {
		leave_outer_stack(co);
		_longjmp(co->inside, 1);
	}
	enter_outer_stack(co);
	set_current(NULL);
	return co->is_over;
}

/* ---------------------------------------------------------------- its life */

void wr_coro_init(struct wr_coro *co, char *stack, size_t size)
{
	*co = (struct wr_coro){ .size = size };
	co->stack = stack;
#ifdef WR_TSAN
	co->fiber = __tsan_create_fiber(0);
#endif
	begin(co);
}

void wr_coro_fini(struct wr_coro *co)
{
#ifdef WR_TSAN
	__tsan_destroy_fiber(co->fiber);
#endif
	(void)co;
}

void wr_coro_set(struct wr_coro *co, void (*fn)(void *arg), void *arg)
{
	co->fn = fn;
	co->arg = arg;
}
