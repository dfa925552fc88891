/* SPDX-License-Identifier: MIT */
/*
 * What the wrappers add to the system calls: errors are results, nothing waits
 * unasked, no descriptor leaks into a child, no signal reaches the program.
 */
#include "test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/wait.h>

#include "sys.h"

static void connected_pair(int fds[2])
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
}

START_TEST(an_error_is_the_result)
{
	char c;

	ck_assert_int_eq(wr_sys_recv(-1, &c, 1, 0), -EBADF);
	ck_assert_int_eq(wr_sys_listen(-1, 1), -EBADF);
	ck_assert_int_eq(wr_sys_poll(NULL, 0, 0), 0);
	ck_assert_int_eq(wr_sys_unlink(""), -ENOENT);
	ck_assert_int_eq(wr_sys_epoll_wait(-1, NULL, 1, 0), -EBADF);
}
END_TEST

START_TEST(memory_comes_zeroed)
{
	static const char zero[1000];
	char *p = wr_sys_alloc(sizeof(zero));

	ck_assert_mem_eq(p, zero, sizeof(zero));
	p[999] = 'x';
	p = wr_sys_realloc(p, 2000);
	ck_assert_int_eq(p[999], 'x');
	wr_sys_free(p);
	wr_sys_free(NULL);
	p = wr_sys_alloc_lines(sizeof(zero));
	ck_assert_uint_eq((uintptr_t)p % WR_CACHE_LINE, 0);
	ck_assert_mem_eq(p, zero, sizeof(zero));
	wr_sys_free(p);
}
END_TEST

static int tcp_listener(struct sockaddr_in *addr)
{
	socklen_t len = sizeof(*addr);
	int fd = wr_sys_socket(AF_INET, SOCK_STREAM, 0);

	*addr = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	ck_assert_int_eq(wr_sys_bind(fd, (struct sockaddr *)addr, len), 0);
	ck_assert_int_eq(wr_sys_listen(fd, 8), 0);
	ck_assert_int_eq(wr_sys_getsockname(fd, (struct sockaddr *)addr, &len),
			 0);
	return fd;
}

static void expect_cloexec(int fd)
{
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

static void expect_nonblocking(int fd)
{
	ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

START_TEST(no_descriptor_reaches_a_child)
{
	struct sockaddr_in addr;
	int listener = tcp_listener(&addr), fd;
	sigset_t set;

	sigemptyset(&set);
	expect_cloexec(listener);
	fd = wr_sys_socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(
		wr_sys_connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	fd = wr_sys_accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	expect_cloexec(fd);
	expect_nonblocking(fd);
	expect_cloexec(wr_sys_epoll_create());
	expect_cloexec(wr_sys_open("/", O_RDONLY));
	expect_cloexec(wr_sys_dup(listener));
	fd = wr_sys_eventfd();
	expect_cloexec(fd);
	expect_nonblocking(fd);
	fd = wr_sys_signalfd(&set);
	expect_cloexec(fd);
	expect_nonblocking(fd);
}
END_TEST

START_TEST(what_the_peer_has_not_taken_is_known)
{
	static char much[1 << 16];
	struct iovec iov = { much, sizeof(much) };
	struct sockaddr_in addr;
	int listener = tcp_listener(&addr), fd;
	int client = wr_sys_socket(AF_INET, SOCK_STREAM, 0);
	ssize_t n, sent = 0;

	ck_assert_int_eq(
		wr_sys_connect(client, (struct sockaddr *)&addr, sizeof(addr)),
		0);
	ck_assert_int_eq(wr_sys_unsent(client), 0);
	while ((n = wr_sys_sendmsg(client, &iov, 1)) > 0)
		sent += n;
	ck_assert_int_gt(wr_sys_unsent(client), 0);
	ck_assert_int_le(wr_sys_unsent(client), sent);
	fd = wr_sys_accept4(listener, NULL, NULL, 0);
	while (sent > 0) {
		n = recv(fd, much, sizeof(much), 0);
		ck_assert_int_gt(n, 0);
		sent -= n;
	}
	UNTIL(wr_sys_unsent(client) == 0);
	ck_assert_int_eq(wr_sys_unsent(-1), -EBADF);
}
END_TEST

START_TEST(input_and_output_never_wait)
{
	static char much[1 << 20];
	struct iovec iov = { much, sizeof(much) };
	ssize_t n;
	int fds[2];

	connected_pair(fds);
	ck_assert_int_eq(wr_sys_recv(fds[0], much, 1, 0), -EAGAIN);
	do {
		n = wr_sys_sendmsg(fds[0], &iov, 1);
	} while (n > 0);
	ck_assert_int_eq(n, -EAGAIN);
}
END_TEST

static bool masks_are_equal(const sigset_t *a, const sigset_t *b)
{
	int sig;

	for (sig = 1; sig < NSIG; sig++)
		if (sigismember(a, sig) != sigismember(b, sig))
			return false;
	return true;
}

static bool sigpipe_is_pending(void)
{
	sigset_t set;

	sigpending(&set);
	return sigismember(&set, SIGPIPE);
}

/* SIGPIPE would end this process: its disposition is the default one. */
START_TEST(a_peer_that_is_gone_raises_no_signal)
{
	char c = 'x';
	struct iovec iov = { &c, 1 };
	sigset_t before, after, all;
	int fds[2], file = make_file(10);
	off_t offset = 0;

	connected_pair(fds);
	close(fds[1]);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	ck_assert_int_eq(wr_sys_sendmsg(fds[0], &iov, 1), -EPIPE);
	ck_assert_int_eq(wr_sys_sendfile(fds[0], file, &offset, 10), -EPIPE);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	ck_assert(masks_are_equal(&before, &after));
	ck_assert(!sigpipe_is_pending());
	/* A thread that blocks it keeps its mask. */
	sigaddset(&all, SIGPIPE);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ck_assert_int_eq(wr_sys_sendfile(fds[0], file, &offset, 10), -EPIPE);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	ck_assert(sigismember(&after, SIGPIPE));
}
END_TEST

START_TEST(an_eventfd_is_signalled_and_cleared)
{
	int fd = wr_sys_eventfd();
	struct pollfd p = { .fd = fd, .events = POLLIN };
	const uint64_t full = UINT64_MAX - 1;
	int i;

	ck_assert_int_eq(wr_sys_poll(&p, 1, 0), 0);
	for (i = 0; i < 3; i++)
		wr_sys_eventfd_signal(fd);
	ck_assert_int_eq(wr_sys_poll(&p, 1, 0), 1);
	wr_sys_eventfd_clear(fd);
	ck_assert_int_eq(wr_sys_poll(&p, 1, 0), 0);
	wr_sys_eventfd_clear(fd);
	/* A signal to a full one neither waits nor changes errno. */
	ck_assert_int_eq(write(fd, &full, sizeof(full)), sizeof(full));
	errno = EXDEV;
	wr_sys_eventfd_signal(fd);
	ck_assert_int_eq(errno, EXDEV);
	ck_assert_int_eq(wr_sys_poll(&p, 1, 0), 1);
}
END_TEST

struct birth {
	sigset_t mask;
	size_t stack_size;
};

static void *thread_looks_at_itself(void *arg)
{
	struct birth *birth = arg;
	pthread_attr_t attr;

	pthread_sigmask(SIG_SETMASK, NULL, &birth->mask);
	pthread_getattr_np(pthread_self(), &attr);
	pthread_attr_getstacksize(&attr, &birth->stack_size);
	pthread_attr_destroy(&attr);
	return NULL;
}

START_TEST(a_thread_takes_no_signals_of_the_process)
{
	static const int blocked[] = { SIGINT,	SIGTERM, SIGHUP,  SIGPIPE,
				       SIGALRM, SIGCHLD, SIGUSR1, SIGPROF };
	static const int open[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	sigset_t before, after;
	struct birth birth;
	pthread_t thread;
	size_t i;
	int rc;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	ck_assert_int_eq(wr_sys_thread_create(&thread, 1 << 20,
					      thread_looks_at_itself, &birth),
			 0);
	pthread_join(thread, NULL);
	for (i = 0; i < wr_array_len(blocked); i++)
		ck_assert(sigismember(&birth.mask, blocked[i]));
	for (i = 0; i < wr_array_len(open); i++)
		ck_assert(!sigismember(&birth.mask, open[i]));
	ck_assert_uint_ge(birth.stack_size, 1 << 20);
	ck_assert_uint_lt(birth.stack_size, 2 << 20);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	ck_assert(masks_are_equal(&before, &after));
	rc = wr_sys_thread_create(&thread, SIZE_MAX / 8 * 7,
				  thread_looks_at_itself, NULL);
	ck_assert_msg(rc == -EAGAIN || rc == -EINVAL, "%d", rc); /* by libc */
}
END_TEST

START_TEST(a_thread_is_pinned_to_a_processor_it_may_use)
{
	int count = wr_sys_processors(), i;
	cpu_set_t all, one;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(all), &all), 0);
	ck_assert_int_eq(count, CPU_COUNT(&all));
	for (i = 0; i < 2 * count; i++) {
		ck_assert_int_eq(wr_sys_pin_thread(i), 0);
		ck_assert_int_eq(sched_getaffinity(0, sizeof(one), &one), 0);
		ck_assert_int_eq(CPU_COUNT(&one), 1);
		CPU_AND(&one, &one, &all);
		ck_assert_int_eq(CPU_COUNT(&one), 1);
		ck_assert_int_eq(wr_sys_processors(), 1);
		ck_assert_int_eq(sched_setaffinity(0, sizeof(all), &all), 0);
	}
	/* The last one allowed, and round again to the first. */
	ck_assert_int_eq(wr_sys_pin_thread(count - 1), 0);
	ck_assert_int_eq(sched_getaffinity(0, sizeof(one), &one), 0);
	for (i = CPU_SETSIZE - 1; !CPU_ISSET((size_t)i, &all); i--)
		;
	ck_assert(CPU_ISSET((size_t)i, &one));
	ck_assert_int_eq(sched_setaffinity(0, sizeof(all), &all), 0);
	ck_assert_int_eq(wr_sys_pin_thread(count), 0);
	ck_assert_int_eq(sched_getaffinity(0, sizeof(one), &one), 0);
	for (i = 0; !CPU_ISSET((size_t)i, &all); i++)
		;
	ck_assert(CPU_ISSET((size_t)i, &one));
}
END_TEST

START_TEST(the_resolver_answers_with_errno)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST,
				  .ai_socktype = SOCK_STREAM };
	struct addrinfo *list;

	ck_assert_int_eq(wr_sys_getaddrinfo("127.0.0.1", "7", &hints, &list),
			 0);
	ck_assert_int_eq(list->ai_family, AF_INET);
	freeaddrinfo(list);
	ck_assert_int_eq(wr_sys_getaddrinfo("nobody", "7", &hints, &list),
			 -ENOENT);
	hints.ai_family = AF_INET6;
	ck_assert_int_eq(wr_sys_getaddrinfo("127.0.0.1", "7", &hints, &list),
			 -ENOENT);
	hints.ai_family = AF_PACKET;
	ck_assert_int_eq(wr_sys_getaddrinfo("127.0.0.1", "7", &hints, &list),
			 -EINVAL);
	hints.ai_flags = 0x40000000;
	ck_assert_int_eq(wr_sys_getaddrinfo("127.0.0.1", "7", &hints, &list),
			 -EINVAL);
}
END_TEST

/* Only in this build, so that a test with one shows it. */
START_TEST(a_descriptor_that_is_closed_twice_ends_the_program)
{
	char said[256];
	ssize_t len;
	int out[2], status;
	pid_t child;

	ck_assert_int_eq(pipe(out), 0);
	child = fork();
	if (child == 0) {
		int fd = dup(out[0]);

		dup2(out[1], STDERR_FILENO);
		wr_sys_close(fd);
		wr_sys_close(fd);
		_exit(0);
	}
	ck_assert_int_gt(child, 0);
	close(out[1]);
	len = read(out[0], said, sizeof(said) - 1);
	ck_assert_int_gt(len, 0);
	said[len] = '\0';
	ck_assert_ptr_nonnull(strstr(said, "EBADF"));
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	close(out[0]);
}
END_TEST

int main(void)
{
	return RUN_TESTS("sys", an_error_is_the_result, memory_comes_zeroed,
			 no_descriptor_reaches_a_child,
			 what_the_peer_has_not_taken_is_known,
			 input_and_output_never_wait,
			 a_peer_that_is_gone_raises_no_signal,
			 an_eventfd_is_signalled_and_cleared,
			 a_thread_takes_no_signals_of_the_process,
			 a_thread_is_pinned_to_a_processor_it_may_use,
			 the_resolver_answers_with_errno,
			 a_descriptor_that_is_closed_twice_ends_the_program);
}
