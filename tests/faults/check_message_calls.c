/* SPDX-License-Identifier: MIT */
/*
 * How many system calls a worker makes for a message, of a session and of a
 * readable callback.
 */
#include "test.h"

#include "faults.h"

#ifdef WITH_POLL
#define POLLS waits
#else
#define POLLS calls
#endif

static _Thread_local bool is_worker;
static atomic_int calls, waits;

static void begin_worker(int index, void *arg)
{
	(void)arg, (void)index;
	is_worker = true;
}

/* Count those of workers. */
#define COUNTED(counter, type, name, params, args)                             \
	type __real_wr_sys_##name params;                                      \
	type __wrap_wr_sys_##name params;                                      \
	type __wrap_wr_sys_##name params                                       \
	{                                                                      \
		counter += is_worker;                                          \
		return __real_wr_sys_##name args;                              \
	}

COUNTED(calls, ssize_t, recv, (int fd, void *buf, size_t cap, int flags),
	(fd, buf, cap, flags))
COUNTED(calls, ssize_t, sendmsg, (int fd, const struct iovec *iov, int count),
	(fd, iov, count))
COUNTED(POLLS, int, poll, (struct pollfd * fds, nfds_t count, int timeout_ms),
	(fds, count, timeout_ms))
COUNTED(calls, int, epoll_ctl, (int ep, int op, int fd, struct epoll_event *ev),
	(ep, op, fd, ev))
COUNTED(calls, int, getsockopt,
	(int fd, int level, int name, void *value, socklen_t *len),
	(fd, level, name, value, len))
COUNTED(calls, int, unsent, (int fd), (fd))
COUNTED(calls, void *, map_stack, (size_t size, size_t guard), (size, guard))
COUNTED(calls, void, discard, (void *p, size_t size), (p, size))
COUNTED(calls, void, sigmask, (int how, const sigset_t *set, sigset_t *old),
	(how, set, old))
COUNTED(waits, int, epoll_wait,
	(int ep, struct epoll_event *ev, int max, int timeout_ms),
	(ep, ev, max, timeout_ms))

enum { MESSAGES = 500 };

struct counts {
	int calls, waits;
};

static struct counts count_messages(const struct weir_service *service)
{
	struct server *s =
		serve(WEIR_CONFIG(.workers = 1, .worker_start = begin_worker),
		      service);
	struct client *c = client_open_and_echo(s, "hello\n");
	struct counts n;

	UNTIL(stats(s).parked == 1);
	n = (struct counts){ calls, waits };
	for (int i = 0; i < MESSAGES; i++)
		client_expect_echo(c, "hello\n");
	UNTIL(stats(s).parked == 1);
	n = (struct counts){ calls - n.calls, waits - n.waits };
	server_stop_and_check(s);
	return n;
}

START_TEST(a_message_of_a_session_takes_no_call_more_than_one_of_readable)
{
	const struct counts readable = count_messages(
				    WEIR_SERVICE(.readable = echo_lines)),
			    session = count_messages(
				    WEIR_SERVICE(.session = echo_lines));

	ck_assert_int_ge(readable.calls, 2 * MESSAGES);
	ck_assert_int_le(session.calls, readable.calls);
}
END_TEST

/* A worker that gets no processor may be woken once more. */
START_TEST(a_message_of_a_session_is_one_wait)
{
	if (skip_with_poll(__func__, "it may wait more often"))
		return;
	MOSTLY(count_messages(WEIR_SERVICE(.session = echo_lines)).waits <=
	       MESSAGES + 1);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"message_calls",
		a_message_of_a_session_takes_no_call_more_than_one_of_readable,
		a_message_of_a_session_is_one_wait);
}
