/* SPDX-License-Identifier: MIT */
/*
 * The stack of a callback.  The C library takes thread-local variables out of a
 * thread's stack; this program has large ones.
 */
#include "test.h"

#define THREAD_LOCAL ((size_t)230 * 1024)

static _Thread_local volatile char state[THREAD_LOCAL];

/* Write to that much of the stack, from the near end. */
__attribute__((noinline)) static void use_stack(size_t size)
{
	volatile char page[1024];

	page[0] = 1;
	if (size > sizeof(page))
		use_stack(size - sizeof(page));
	page[sizeof(page) - 1] = page[0]; /* no tail call */
}

static int use_much(weir_conn *c, void *arg)
{
	use_stack(*(size_t *)arg);
	state[0] = 1;
	return weir_conn_write(c, "done\n", 5);
}

static int refuse_to_read(weir_conn *c, void *arg)
{
	(void)c;
	(void)arg;
	return 0;
}

static void callbacks_have(size_t stack_size, size_t used)
{
	struct server *s;
	struct client *c;

	/* A sanitizer's frames are larger. */
	used /= slowness() > 1 ? 2 : 1;
	s = serve(WEIR_CONFIG(.workers = 2, .stack_size = stack_size),
		  WEIR_SERVICE(.opened = use_much, .readable = echo,
			       .arg = &used));
	c = client_open(s);
	client_expect_last(c, "done\n");
	server_stop_and_check(s);
}

START_TEST(the_default_stack_is_all_for_the_callback)
{
	callbacks_have(0, (size_t)240 * 1024);
}
END_TEST

START_TEST(thread_local_variables_take_nothing_from_a_small_stack)
{
	callbacks_have((size_t)64 * 1024, (size_t)56 * 1024);
}
END_TEST

#define SMALLEST ((size_t)16 * 1024)
#define HELD	 ((size_t)12 * 1024)

/* arg: where to dial.  Its own bytes are there before and after each call. */
static int hold_and_dial(weir_conn *c, void *arg)
{
	volatile char held[HELD];
	char line[16];
	weir_conn *up;

	for (size_t i = 0; i < HELD; i++)
		held[i] = (char)i;
	while (weir_conn_read_line(c, line, sizeof(line)) > 0) {
		if (weir_dial(&up, arg, 1000 * slowness()) < 0 ||
		    weir_conn_printf(up, "hello\n") < 0 ||
		    weir_conn_read_line(up, line, sizeof(line)) != 6)
			return -ECONNABORTED;
		weir_conn_free(up);
		for (size_t i = 0; i < HELD; i++)
			ck_assert_int_eq(held[i], (char)i);
		weir_conn_printf(c, "done\n");
	}
	return 0;
}

START_TEST(the_smallest_stack_is_all_for_the_session)
{
	enum { CLIENTS = 8 };
	struct server *up = serve(NULL, WEIR_SERVICE(.readable = echo_lines));
	struct client *c[CLIENTS];
	struct server *s;

	if (slowness() > 1) {
		skip_test("a sanitizer needs a larger stack");
		server_stop_and_check(up);
		return;
	}
	s = serve_workers(2, WEIR_SERVICE(.session = hold_and_dial,
					  .stack_size = SMALLEST,
					  .arg = up->address));
	for (int i = 0; i < CLIENTS; i++)
		c[i] = client_open(s);
	for (int i = 0; i < CLIENTS; i++)
		client_expect_reply(c[i], "go\n", "done\n");
	server_stop_and_check(s);
	server_stop_and_check(up);
}
END_TEST

/* As "ulimit -s" sets it for a new program. */
START_TEST(threads_of_the_library_do_not_need_the_systems_default)
{
	struct weir_address a;
	struct server *s = server_new(NULL);
	pthread_attr_t small, before;

	server_listen(s, "127.0.0.1:0",
		      WEIR_SERVICE(.opened = connect_banner,
				   .readable = refuse_to_read));
	ck_assert_int_eq(pthread_getattr_default_np(&before), 0);
	ck_assert_int_eq(pthread_attr_init(&small), 0);
	ck_assert_int_eq(pthread_attr_setstacksize(&small, 16384), 0);
	ck_assert_int_eq(pthread_setattr_default_np(&small), 0);
	server_start(s);
	ck_assert_int_gt(weir_resolve(&a, 1, "localhost:80", 0), 0);
	ck_assert_int_eq(pthread_setattr_default_np(&before), 0);
	for (int i = 0; i < 20; i++) {
		struct client *c = client_open(s);

		/* The acceptor, which waits for its end, reads the rest. */
		client_try_send(c, (const void *)(uintptr_t)state,
				THREAD_LOCAL);
		client_half_close(c);
		client_expect_end(c);
		client_close(c);
	}
	server_stop_and_check(s);
	pthread_attr_destroy(&small);
	pthread_attr_destroy(&before);
}
END_TEST

int main(void)
{
	state[0] = 0;
	return RUN_TESTS(
		"stacks", the_default_stack_is_all_for_the_callback,
		the_smallest_stack_is_all_for_the_session,
		thread_local_variables_take_nothing_from_a_small_stack,
		threads_of_the_library_do_not_need_the_systems_default);
}
