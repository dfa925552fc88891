/* SPDX-License-Identifier: MIT */
/*
 * Coroutines: they pause and resume, also in another thread, and their stacks
 * are recycled, measured and given back.
 */
#include "test.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "bounds.h"
#include "stacks.h"
#include "sys.h"

#define SIZE	   ((size_t)64 * 1024)
#define LARGE_PAGE ((size_t)64 * 1024)

static struct wr_stacks *list;

/* ----------------------------------------------- a system of large pages */

static bool has_large_pages;

static size_t whole_pages(size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (len + page - 1) / page * page;
}

/* ThreadSanitizer makes some of these calls before it can watch them. */
#ifndef __SANITIZE_THREAD__
long sysconf(int name)
{
	long (*real)(int);

	if (name == _SC_PAGESIZE)
		return has_large_pages ? (long)LARGE_PAGE
				       : (long)getauxval(AT_PAGESZ);
	*(void **)&real = dlsym(RTLD_NEXT, "sysconf");
	return real(name);
}

/* As the kernel does it. */
int madvise(void *addr, size_t len, int advice)
{
	return (int)syscall(SYS_madvise, addr, whole_pages(len), advice);
}

int mincore(void *addr, size_t len, unsigned char *ret)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned char small[LARGE_PAGE / 4096];
	int rc = 0;

	for (size_t at = 0; rc == 0 && at < len; at += page) {
		memset(small, 0, sizeof(small));
		rc = (int)syscall(SYS_mincore, (char *)addr + at, page, small);
		ret[at / page] = memchr(small, 1, sizeof(small)) != NULL;
	}
	return rc;
}
#endif

struct count {
	struct wr_coro *co;
	int rounds, n;
	double sum;
};

static void count_up(void *arg)
{
	struct count *c = arg;
	double half = 0.5; /* kept over pauses */

	for (int i = 0; i < c->rounds; i++) {
		c->n++;
		c->sum += half;
		wr_coro_pause(c->co);
	}
}

static struct wr_coro *take(struct count *c, int rounds)
{
	struct wr_stacks *s = wr_stacks_of(&list, SIZE);

	ck_assert_ptr_nonnull(s);
	c->co = wr_stacks_take(s);
	ck_assert_ptr_nonnull(c->co);
	c->rounds = rounds;
	wr_coro_set(c->co, count_up, c);
	return c->co;
}

static void give(struct wr_coro *co)
{
	wr_stacks_give(wr_stacks_of(&list, SIZE), co);
}

START_TEST(a_coroutine_pauses_and_goes_on_where_it_was)
{
	struct count c = { 0 };
	struct wr_coro *co = take(&c, 1000);
	int resumed = 0;

	while (!wr_coro_resume(co)) {
		ck_assert_ptr_null(wr_coro_current());
		ck_assert_int_eq(c.n, ++resumed);
	}
	ck_assert_int_eq(c.n, 1000);
	ck_assert(c.sum > 499.9 && c.sum < 500.1);
	/* It can be used again. */
	wr_coro_set(co, count_up, &c);
	c.rounds = 1;
	ck_assert(!wr_coro_resume(co));
	ck_assert(wr_coro_resume(co));
	ck_assert_int_eq(c.n, 1001);
	give(co);
	wr_stacks_fini(&list);
}
END_TEST

/* ------------------------------------------------------------ several threads
 */

#define MANY 8

static struct count counts[MANY];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int next_one, left;

/* Each resume is made by the thread that comes first. */
static void *resume_any(void *arg)
{
	for (;;) {
		struct count *c = NULL;

		pthread_mutex_lock(&lock);
		for (int i = 0; i < MANY && !c && left > 0; i++) {
			struct count *at = &counts[next_one++ % MANY];

			if (at->co) {
				c = at;
				arg = at->co;
				at->co = NULL; /* it is ours */
			}
		}
		if (left == 0) {
			pthread_mutex_unlock(&lock);
			return NULL;
		}
		pthread_mutex_unlock(&lock);
		if (c == NULL)
			continue;
		if (wr_coro_resume(arg)) {
			give(arg);
			arg = NULL;
		}
		pthread_mutex_lock(&lock);
		c->co = arg;
		left -= arg == NULL;
		pthread_mutex_unlock(&lock);
	}
}

static void count_with_current(void *arg)
{
	struct count *c = arg;

	for (int i = 0; i < c->rounds; i++) {
		c->n++;
		wr_coro_pause(wr_coro_current());
	}
}

START_TEST(any_thread_may_resume_it)
{
	pthread_t threads[4];

	left = MANY;
	for (int i = 0; i < MANY; i++) {
		(void)take(&counts[i], 500);
		wr_coro_set(counts[i].co, count_with_current, &counts[i]);
	}
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, resume_any, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < MANY; i++)
		ck_assert_int_eq(counts[i].n, 500);
	ck_assert_uint_eq(wr_stacks_count(list).in_use, 0);
	wr_stacks_fini(&list);
}
END_TEST

/* ------------------------------------------------------------------- the pool
 */

START_TEST(stacks_are_recycled_and_given_back_after_a_peak)
{
	enum { PEAK = 4 * WR_STACKS_KEPT };
	static struct count c[PEAK];
	struct wr_coro *first;

	for (int i = 0; i < PEAK; i++)
		(void)take(&c[i], 0);
	ck_assert_uint_eq(wr_stacks_count(list).in_use, PEAK);
	for (int i = 0; i < PEAK; i++) {
		ck_assert(wr_coro_resume(c[i].co));
		give(c[i].co);
	}
	ck_assert_uint_eq(wr_stacks_count(list).in_use, 0);
	ck_assert_uint_le(wr_stacks_count(list).pooled, WR_STACKS_KEPT);
	ck_assert_uint_gt(wr_stacks_count(list).pooled, 0);
	first = take(&c[0], 0);
	give(first);
	ck_assert_ptr_eq(take(&c[0], 0), first);
	give(first);
	wr_stacks_fini(&list);
	ck_assert_ptr_null(list);
}
END_TEST

static __attribute__((noinline)) void dig(size_t depth)
{
	volatile char page[1024];

	page[0] = 1;
	if (depth > sizeof(page))
		dig(depth - sizeof(page));
	page[sizeof(page) - 1] = page[0]; /* no tail call */
}

static void dig_deep(void *arg)
{
	dig(*(size_t *)arg);
}

/* On the stack that was given back last. */
static struct wr_coro *use(struct wr_stacks *s, size_t depth)
{
	struct wr_coro *co = wr_stacks_take(s);

	wr_coro_set(co, dig_deep, &depth);
	ck_assert(wr_coro_resume(co));
	wr_stacks_give(s, co);
	return co;
}

static size_t deep(void)
{
	return SIZE / (slowness() > 1 ? 4 : 2);
}

static void assert_known_and_given_back(const struct wr_coro *co)
{
	size_t seen = wr_stacks_count(list).deepest;
	size_t page = whole_pages(1);
	unsigned char is_there[SIZE / 4096];

	ck_assert_uint_ge(seen, deep());
	ck_assert_uint_le(seen, SIZE + page);
	ck_assert_int_eq(wr_sys_resident(co->stack, SIZE, is_there), 0);
	for (size_t i = 0; i < (SIZE - whole_pages(WR_STACK_STAYS)) / page; i++)
		ck_assert_int_eq(is_there[i] & 1, 0);
}

START_TEST(the_deepest_use_is_known_and_its_memory_given_back)
{
	assert_known_and_given_back(use(wr_stacks_of(&list, SIZE), deep()));
	wr_stacks_fini(&list);
}
END_TEST

/* Its later uses were not as deep. */
START_TEST(the_depth_of_any_use_is_known_after_the_next_look)
{
	struct wr_stacks *s = wr_stacks_of(&list, SIZE);
	struct wr_coro *co = use(s, 1), *last = use(s, deep());

	for (int i = 1; i < WR_STACK_LOOK_EVERY; i++)
		last = use(s, 1);
	ck_assert_ptr_eq(last, co);
	assert_known_and_given_back(co);
	wr_stacks_fini(&list);
}
END_TEST

START_TEST(a_stack_survives_where_a_page_is_larger_than_what_stays)
{
	size_t size = 4 * LARGE_PAGE;
	struct wr_stacks *s;
	struct wr_coro *co;

	has_large_pages = true;
	s = wr_stacks_of(&list, size);
	co = use(s, 1);
	ck_assert_ptr_eq(use(s, size / 2), co);
	for (int i = 1; i < WR_STACK_LOOK_EVERY; i++)
		ck_assert_ptr_eq(use(s, 1), co);
	ck_assert_uint_ge(wr_stacks_count(list).deepest, size / 2);
	ck_assert_ptr_eq(use(s, 1), co);
	wr_stacks_fini(&list);
	has_large_pages = false;
}
END_TEST

static bool refuses_memory;

static int no_memory(enum wr_sys_call call, size_t *len)
{
	(void)len;
	return refuses_memory && call == WR_SYS_mmap ? -ENOMEM : 0;
}

START_TEST(a_stack_that_cannot_be_had_is_no_stack)
{
	struct wr_stacks *s = wr_stacks_of(&list, SIZE);
	struct wr_coro *co;

	wr_sys_fault = no_memory;
	refuses_memory = true;
	ck_assert_ptr_null(wr_stacks_take(s));
	ck_assert_uint_eq(wr_stacks_count(list).in_use, 0);
	refuses_memory = false;
	co = wr_stacks_take(s);
	ck_assert_ptr_nonnull(co);
	wr_stacks_give(s, co);
	wr_stacks_fini(&list);
}
END_TEST

/* ------------------------------------------------------------------- signals
 */

#define FLAGS (SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER)

struct signals {
	struct sigaction actions[65];
	sigset_t mask, pending;
	stack_t alternate;
};

static void look_at_signals(struct signals *s)
{
	memset(s, 0, sizeof(*s));
	for (int sig = 1; sig < (int)wr_array_len(s->actions); sig++)
		(void)sigaction(sig, NULL, &s->actions[sig]);
	ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &s->mask), 0);
	ck_assert_int_eq(sigpending(&s->pending), 0);
	ck_assert_int_eq(sigaltstack(NULL, &s->alternate), 0);
}

static void note_it(int sig)
{
	(void)sig;
}

static void *make_stacks(void *has_alternate)
{
	static char alternate[64 * 1024];
	stack_t mine = { .ss_sp = alternate, .ss_size = sizeof(alternate) };
	stack_t given; /* a sanitizer's */
	struct signals before, after;
	struct count c[20];
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMAX - 2);
	ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
	ck_assert_int_eq(sigaltstack(has_alternate ? &mine : NULL, &given), 0);
	ck_assert_int_eq(pthread_kill(pthread_self(), SIGRTMAX - 2), 0);
	look_at_signals(&before);
	for (size_t i = 0; i < wr_array_len(c); i++)
		(void)take(&c[i], 0);
	look_at_signals(&after);
	for (int sig = 1; sig < (int)wr_array_len(before.actions); sig++) {
		ck_assert(before.actions[sig].sa_handler ==
			  after.actions[sig].sa_handler);
		/* The C library adds one of its own. */
		ck_assert_int_eq(before.actions[sig].sa_flags & FLAGS,
				 after.actions[sig].sa_flags & FLAGS);
	}
	for (int sig = 1; sig <= SIGRTMAX; sig++) {
		ck_assert_int_eq(sigismember(&before.mask, sig),
				 sigismember(&after.mask, sig));
		ck_assert_int_eq(sigismember(&before.pending, sig),
				 sigismember(&after.pending, sig));
	}
	ck_assert_ptr_eq(before.alternate.ss_sp, after.alternate.ss_sp);
	ck_assert_uint_eq(before.alternate.ss_size, after.alternate.ss_size);
	ck_assert_int_eq(before.alternate.ss_flags, after.alternate.ss_flags);
	for (size_t i = 0; i < wr_array_len(c); i++) {
		ck_assert(wr_coro_resume(c[i].co));
		give(c[i].co);
	}
	ck_assert_int_eq(sigaltstack(&given, NULL), 0);
	return NULL;
}

START_TEST(a_new_stack_leaves_signals_as_they_were)
{
	pthread_t thread;

	ck_assert(signal(SIGRTMAX - 1, note_it) == SIG_DFL);
	for (int has_alternate = 0; has_alternate < 2; has_alternate++) {
		pthread_create(&thread, NULL, make_stacks,
			       has_alternate ? &thread : NULL);
		pthread_join(thread, NULL);
		wr_stacks_fini(&list);
	}
}
END_TEST

#ifdef WITH_SIGALTSTACK
START_TEST(without_a_signal_there_is_no_stack)
{
	struct wr_stacks *s = wr_stacks_of(&list, SIZE);
	struct rlimit limit, none;
	struct wr_coro *co;

	ck_assert_int_eq(getrlimit(RLIMIT_SIGPENDING, &limit), 0);
	none = (struct rlimit){ 0, limit.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_SIGPENDING, &none), 0);
	ck_assert_ptr_null(wr_stacks_take(s));
	ck_assert_uint_eq(wr_stacks_count(list).in_use, 0);
	ck_assert_int_eq(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
	co = wr_stacks_take(s);
	ck_assert_ptr_nonnull(co);
	wr_stacks_give(s, co);
	wr_stacks_fini(&list);
}
END_TEST
#define OF_SIGNALS , without_a_signal_there_is_no_stack
#else
#define OF_SIGNALS
#endif

int main(void)
{
	return RUN_TESTS(
		"coroutine", a_coroutine_pauses_and_goes_on_where_it_was,
		any_thread_may_resume_it,
		stacks_are_recycled_and_given_back_after_a_peak,
		the_deepest_use_is_known_and_its_memory_given_back,
		the_depth_of_any_use_is_known_after_the_next_look,
		a_stack_survives_where_a_page_is_larger_than_what_stays,
		a_stack_that_cannot_be_had_is_no_stack,
		a_new_stack_leaves_signals_as_they_were OF_SIGNALS);
}
