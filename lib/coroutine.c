/* SPDX-License-Identifier: MIT */
/*
 * makecontext(3), or a signal handler where that is missing, makes the first
 * frame of a stack; after that _setjmp(3) and _longjmp(3) switch, without a
 * system call: swapcontext(3) asks the kernel for the signal mask each time.
 * Fortified, _longjmp(3) refuses to jump to another stack, so this file is
 * compiled without that.
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

/*
 * A handler of signals reads it.  In a library that was loaded with dlopen(),
 * glibc would allocate other variables of a thread when they are first used.
 */
#ifdef __GLIBC__
__attribute__((tls_model("initial-exec")))
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

/* NULL in a program without C++. */
struct wr_exceptions *exceptions_of_thread(void) __asm__("__cxa_get_globals")
	__attribute__((weak));

static WR_INLINE void exchange_exceptions(struct wr_coro *co)
{
	struct wr_exceptions *of_thread, of_coro = co->exceptions;

	if (exceptions_of_thread == NULL)
		return;
	of_thread = exceptions_of_thread();
	co->exceptions = *of_thread;
	*of_thread = of_coro;
}

/* Valid until the function that has set it returns. */
static WR_INLINE void set_outside(struct wr_coro *co, jmp_buf *outside)
{
	co->outside = outside;
}

WR_OUT_OF_LINE void wr_coro_pause(struct wr_coro *co)
{
	co->frame = (struct wr_coro_frame){
		__builtin_return_address(0),
		__builtin_dwarf_cfa(),
		*(void **)__builtin_frame_address(0),
	};
	if (_setjmp(co->inside) == 0) {
		leave_stack(co);
		_longjmp(*co->outside, 1);
	}
	enter_stack(co);
}

#ifdef __x86_64__
/* The instruction does nothing where there is none. */
static bool has_shadow_stack(void)
{
	uint64_t at = 0;

	__asm__("rdsspq %0" : "+r"(at));
	return at != 0;
}
#elif defined(__aarch64__)
/* CHKFEAT, which clears the bit; it does nothing where there is none. */
static bool has_shadow_stack(void)
{
	register uint64_t is_off __asm__("x16") = 1;

	__asm__ volatile("hint #40" : "+r"(is_off));
	return is_off == 0;
}
#else
static bool has_shadow_stack(void)
{
	return false;
}
#endif

#ifdef WITH_SIGALTSTACK
#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

#include "bounds.h"
#include "lock.h"
#include "sys.h"

/* An unwinder stops here: above is the frame of the signal. */
#if defined(__GCC_HAVE_DWARF2_CFI_ASM) && defined(__x86_64__)
#define NO_CALLER() __asm__ volatile(".cfi_undefined rip")
#elif defined(__GCC_HAVE_DWARF2_CFI_ASM) && defined(__aarch64__)
#define NO_CALLER() __asm__ volatile(".cfi_undefined x30")
#else
#define NO_CALLER() ((void)0)
#endif

/* The signal's frame must be in what stays of a stack in the pool. */
bool wr_coro_is_supported(void)
{
	return !has_shadow_stack() &&
	       wr_coro_overhead() <= WR_STACK_STAYS - (size_t)4 * 1024;
}

size_t wr_coro_overhead(void)
{
	return wr_sys_signal_frame();
}

static struct wr_word_lock signal_lock; /* its disposition is the process's */

struct making {
	struct wr_coro *co;
	stack_t alternate; /* of the thread before */
	volatile bool is_done;
};

static _Thread_local struct making *making;

static _Noreturn WR_OUT_OF_LINE void coro_main(struct wr_coro *co)
{
	NO_CALLER();
	enter_stack(co);
	for (;;) {
		wr_coro_pause(co);
		co->fn(co->arg);
		co->is_over = true;
	}
}

/*
 * It runs on the new stack, and returns like any handler.  A jump then goes on
 * in its frame, which nothing has used since.  In a thread that makes no stack
 * the signal is not ours: it ends the process, as its default does.
 */
static void on_new_stack(int sig, siginfo_t *info, void *context)
{
	struct making *m = making;
	struct wr_coro *co;

	(void)info;
	if (m == NULL) {
		(void)signal(sig, SIG_DFL);
		(void)raise(sig);
		return;
	}
	co = m->co;
	if (_setjmp(co->inside) != 0)
		coro_main(co);
	/* No later signal may be handled on top of this frame. */
	((ucontext_t *)context)->uc_stack = m->alternate;
	m->is_done = true;
}

/* One that the program leaves alone; 0: there is none. */
static int find_signal_locked(void)
{
	struct sigaction now;
	sigset_t pending;

	if (sigpending(&pending) < 0)
		return 0;
	/* The highest one belongs to valgrind. */
	for (int sig = SIGRTMAX - 1; sig >= SIGRTMIN; sig--)
		if (!sigismember(&pending, sig) &&
		    sigaction(sig, NULL, &now) == 0 &&
		    !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL)
			return sig;
	return 0;
}

/* All signals are blocked, except in the wait for the one that is sent here. */
static void send_signal_locked(struct making *m, int sig)
{
	struct sigaction before, ours = { .sa_sigaction = on_new_stack,
					  .sa_flags = SA_SIGINFO | SA_ONSTACK };
	sigset_t others;

	(void)sigfillset(&ours.sa_mask);
	(void)sigfillset(&others);
	(void)sigdelset(&others, sig);
	if (sigaction(sig, &ours, &before) < 0)
		return;
	if (pthread_kill(pthread_self(), sig) == 0)
		while (!m->is_done)
			(void)sigsuspend(&others);
	(void)sigaction(sig, &before, NULL);
}

static bool make_frame(struct wr_coro *co)
{
	struct making m = { .co = co };
	stack_t ours = { .ss_sp = co->stack, .ss_size = co->size };
	sigset_t all, before;
	int sig;

	(void)sigfillset(&all);
	wr_sys_sigmask(SIG_SETMASK, &all, &before);
	wr_word_lock(&signal_lock);
	sig = find_signal_locked();
	if (sig != 0 && sigaltstack(&ours, &m.alternate) == 0) {
		making = &m;
		send_signal_locked(&m, sig);
		making = NULL;
		(void)sigaltstack(&m.alternate, NULL);
	}
	wr_word_unlock(&signal_lock);
	wr_sys_sigmask(SIG_SETMASK, &before, NULL);
	return m.is_done;
}

static bool run_to_first_pause(struct wr_coro *co)
{
	jmp_buf outside;

	if (!make_frame(co))
		return false;
	set_outside(co, &outside);
	if (_setjmp(outside) == 0) {
		leave_outer_stack(co);
		_longjmp(co->inside, 1);
	}
	enter_outer_stack(co);
	return true;
}
#elif defined(__GLIBC__)
#include <ucontext.h>

bool wr_coro_is_supported(void)
{
	return !has_shadow_stack();
}

/* makecontext(3) passes numbers of type int. */
static void coro_main(unsigned high, unsigned low)
{
	struct wr_coro *co = (void *)(uintptr_t)((uint64_t)high << 32 | low);

	enter_stack(co);
	for (;;) {
		wr_coro_pause(co);
		co->fn(co->arg);
		co->is_over = true;
	}
}

static bool run_to_first_pause(struct wr_coro *co)
{
	uint64_t self = (uintptr_t)co;
	ucontext_t context;
	jmp_buf outside;

	(void)getcontext(&context);
	context.uc_stack.ss_sp = co->stack;
	context.uc_stack.ss_size = co->size;
	context.uc_link = NULL;
	makecontext(&context, (void (*)(void))coro_main, 2,
		    (unsigned)(self >> 32), (unsigned)self);
	set_outside(co, &outside);
	if (_setjmp(outside) == 0) {
		leave_outer_stack(co);
		(void)setcontext(&context);
	}
	enter_outer_stack(co);
	return true;
}
#else
bool wr_coro_is_supported(void)
{
	return false;
}

static bool run_to_first_pause(struct wr_coro *co)
{
	(void)co;
	(void)has_shadow_stack;
	return false;
}
#endif

bool wr_coro_resume(struct wr_coro *co)
{
	jmp_buf outside;

	set_current(co);
	exchange_exceptions(co);
	set_outside(co, &outside);
	if (_setjmp(outside) == 0) {
		leave_outer_stack(co);
		_longjmp(co->inside, 1);
	}
	enter_outer_stack(co);
	exchange_exceptions(co);
	set_current(NULL);
	return co->is_over;
}

bool wr_coro_init(struct wr_coro *co, char *stack, size_t size)
{
	*co = (struct wr_coro){ .size = size };
	co->stack = stack;
#ifdef WR_TSAN
	co->fiber = __tsan_create_fiber(0);
#endif
	return run_to_first_pause(co);
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
