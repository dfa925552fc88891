/* SPDX-License-Identifier: MIT */
/*
 * A session that leaves its stack hits the guard page.  The signal handler, on
 * a stack for signals, writes to stderr which session it is, as it must not
 * call the log sink.  Then the process ends as it would without the handler.
 */
#include "overflow.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "bounds.h"
#include "conn.h"
#include "stacks.h"
#include "sys.h"

static struct {
	struct wr_word_lock lock;
	unsigned count;
} users;

struct text {
	char chars[256];
	size_t len;
};

static void add(struct text *t, const char *what)
{
	size_t len = wr_min(strlen(what), sizeof(t->chars) - t->len);

	memcpy(t->chars + t->len, what, len);
	t->len += len;
}

static void add_number(struct text *t, uint64_t n)
{
	char digits[24], *at = digits + sizeof(digits) - 1;

	*at = '\0';
	do {
		*--at = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	add(t, at);
}

static void tell(const struct weir_conn *c)
{
	struct text t = { .len = 0 };

	add(&t, "weir: the session of connection ");
	add_number(&t, c->id);
	add(&t, c->service->where ? " at " : " of the program");
	add(&t, c->service->where ? c->service->where : "");
	add(&t, " has overflowed its stack of ");
	add_number(&t, c->service->set.stack_size);
	add(&t, " bytes (stack_size)\n");
	if (write(STDERR_FILENO, t.chars, t.len) < 0)
		return;
}

/*
 * After the return the same instruction fails again, and ends the process; a
 * signal that was sent (si_code <= 0) is sent again.
 */
static void on_fault(int sig, siginfo_t *info, void *context)
{
	const struct wr_coro *co = wr_coro_current();

	(void)context;
	(void)signal(sig, SIG_DFL);
	if (info->si_code <= 0)
		(void)raise(sig);
	else if (co && wr_stacks_is_guard(co, info->si_addr))
		tell(co->arg);
}

static void install_locked(void)
{
	struct sigaction now, ours = { .sa_sigaction = on_fault,
				       .sa_flags = SA_SIGINFO | SA_ONSTACK };

	if (sigaction(SIGSEGV, NULL, &now) == 0 &&
	    !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL)
		(void)sigaction(SIGSEGV, &ours, NULL);
}

static void remove_locked(void)
{
	struct sigaction now, none = { .sa_handler = SIG_DFL };

	if (sigaction(SIGSEGV, NULL, &now) == 0 && now.sa_flags & SA_SIGINFO &&
	    now.sa_sigaction == on_fault)
		(void)sigaction(SIGSEGV, &none, NULL);
}

void wr_overflow_handle(struct wr_core *core)
{
	wr_word_lock(&users.lock);
	if (!core->handles_overflow && users.count++ == 0)
		install_locked();
	core->handles_overflow = true;
	wr_word_unlock(&users.lock);
}

void wr_overflow_leave(struct wr_core *core)
{
	wr_word_lock(&users.lock);
	if (core->handles_overflow && --users.count == 0)
		remove_locked();
	core->handles_overflow = false;
	wr_word_unlock(&users.lock);
}

void *wr_overflow_enter_thread(void)
{
	stack_t now,
		ours = { .ss_size = WR_SIGNAL_STACK + wr_sys_signal_frame() };

	if (sigaltstack(NULL, &now) < 0 || !(now.ss_flags & SS_DISABLE))
		return NULL;
	ours.ss_sp = wr_sys_alloc(ours.ss_size);
	if (ours.ss_sp)
		(void)sigaltstack(&ours, NULL);
	return ours.ss_sp;
}

void wr_overflow_leave_thread(void *stack)
{
	stack_t now, none = { .ss_flags = SS_DISABLE };

	if (stack == NULL)
		return;
	/* A hook of the program may have set another one. */
	if (sigaltstack(NULL, &now) == 0 && now.ss_sp == stack)
		(void)sigaltstack(&none, NULL);
	wr_sys_free(stack);
}
