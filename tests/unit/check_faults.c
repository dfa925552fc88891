/* SPDX-License-Identifier: MIT */
/*
 * The faults of the test build: each system call can fail, be short or be
 * interrupted; and what the wrappers return then.
 */
#include "test.h"

#include <fcntl.h>
#include <sys/file.h>

#include "sys.h"

static enum wr_sys_call target; /* the call that the hooks affect */
static size_t allowance;
static int asked;

static int fail_target(enum wr_sys_call call, size_t *len)
{
	(void)len;
	asked += call == target;
	return call == target ? -EXDEV : 0;
}

static int shorten_target(enum wr_sys_call call, size_t *len)
{
	if (call == target && *len > allowance)
		*len = allowance;
	return 0;
}

static int interrupt_target_once(enum wr_sys_call call, size_t *len)
{
	(void)len;
	return call == target && asked++ == 0 ? -EINTR : 0;
}

static void *thread_nothing(void *arg)
{
	return arg;
}

/* Make one call with harmless arguments. */
static ssize_t make(enum wr_sys_call call)
{
	char c = 0;
	struct sockaddr any = { 0 };
	struct epoll_event ev = { 0 };
	struct pollfd nobody = { .fd = -1 };
	struct iovec iov = { &c, 1 };
	pthread_cond_t cond;
	pthread_mutex_t mutex;
	socklen_t len = sizeof(any);
	struct addrinfo *list;
	pthread_t thread;
	struct stat st;
	sigset_t set;
	int fds[2];

	sigemptyset(&set);
	switch (call) {
	case WR_SYS_alloc:
		if (wr_sys_alloc(1) || wr_sys_realloc(NULL, 1) ||
		    wr_sys_alloc_lines(1))
			return 0;
		asked -= 2;
		return -EXDEV;
	case WR_SYS_socket:
		return wr_sys_socket(AF_UNIX, SOCK_STREAM, 0);
	case WR_SYS_socketpair:
		return wr_sys_socketpair(AF_UNIX, SOCK_STREAM, fds);
	case WR_SYS_bind:
		return wr_sys_bind(-1, &any, len);
	case WR_SYS_listen:
		return wr_sys_listen(-1, 1);
	case WR_SYS_accept4:
		return wr_sys_accept4(-1, NULL, NULL, 0);
	case WR_SYS_connect:
		return wr_sys_connect(-1, &any, len);
	case WR_SYS_getsockname:
		return wr_sys_getsockname(-1, &any, &len);
	case WR_SYS_getpeername:
		return wr_sys_getpeername(-1, &any, &len);
	case WR_SYS_setsockopt:
		return wr_sys_setsockopt(-1, 0, 0, &c, 1);
	case WR_SYS_getsockopt:
		return wr_sys_getsockopt(-1, 0, 0, &c, &len);
	case WR_SYS_shutdown:
		return wr_sys_shutdown(-1, SHUT_WR);
	case WR_SYS_recv:
		return wr_sys_recv(-1, &c, 1, 0);
	case WR_SYS_sendmsg:
		return wr_sys_sendmsg(-1, &iov, 1);
	case WR_SYS_sendfile:
		return wr_sys_sendfile(-1, -1, NULL, 1);
	case WR_SYS_poll:
		return wr_sys_poll(&nobody, 1, 0);
	case WR_SYS_pause:
		return wr_sys_pause(0);
	case WR_SYS_epoll_create:
		return wr_sys_epoll_create();
	case WR_SYS_epoll_ctl:
		return wr_sys_epoll_ctl(-1, EPOLL_CTL_ADD, -1, &ev);
	case WR_SYS_epoll_wait:
		return wr_sys_epoll_wait(-1, &ev, 1, 0);
	case WR_SYS_eventfd:
		return wr_sys_eventfd();
	case WR_SYS_signalfd:
		return wr_sys_signalfd(&set);
	case WR_SYS_open:
		return wr_sys_open("/", O_RDONLY);
	case WR_SYS_dup:
		return wr_sys_dup(0);
	case WR_SYS_fcntl:
		return wr_sys_fcntl(-1, F_GETFD, 0);
	case WR_SYS_stat:
		return wr_sys_lstat("/", &st);
	case WR_SYS_unlink:
		return wr_sys_unlink("");
	case WR_SYS_chmod:
		return wr_sys_chmod(-1, 0);
	case WR_SYS_rename:
		return wr_sys_rename("", "");
	case WR_SYS_flock:
		return wr_sys_flock(-1, LOCK_UN);
	case WR_SYS_getaddrinfo:
		return wr_sys_getaddrinfo(NULL, "1", NULL, &list);
	case WR_SYS_mmap:
		return wr_sys_map_stack(8192, 4096) ? 0 : -EXDEV;
	case WR_SYS_getnameinfo:
		return wr_sys_getnameinfo(NULL, 0, &c, 1, 0);
	case WR_SYS_thread_create:
		return wr_sys_thread_create(&thread, 0, thread_nothing, NULL);
	case WR_SYS_mutex_init:
		return wr_sys_mutex_init(&mutex);
	case WR_SYS_cond_init:
		return wr_sys_cond_init(&cond);
	case WR_SYS_affinity:
		return wr_sys_pin_thread(0);
	case WR_SYS_read:
		return wr_sys_read(-1, &c, 1);
	case WR_SYS_pread:
		return wr_sys_pread(-1, &c, 1, 0);
	case WR_SYS_ioctl:
		return wr_sys_unsent(-1);
	case WR_SYS_CALL_COUNT:
		break;
	}
	ck_abort_msg("no such call");
}

static void connected_pair(int fds[2])
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
}

START_TEST(each_call_can_be_made_to_fail)
{
	wr_sys_fault = fail_target;
	for (target = 0; target < WR_SYS_CALL_COUNT; target++) {
		const char *name = wr_sys_call_names[target];
		ssize_t rc;

		asked = 0;
		rc = make(target);
		ck_assert_msg(rc == -EXDEV, "%s: %zd", name, rc);
		ck_assert_msg(asked == 1, "%s: asked %d times", name, asked);
	}
	wr_sys_fault = NULL;
	ck_assert_str_eq(wr_sys_call_names[WR_SYS_alloc], "alloc");
	ck_assert_str_eq(wr_sys_call_names[WR_SYS_flock], "flock");
}
END_TEST

START_TEST(input_can_be_cut_short)
{
	char buf[10];
	int fds[2];

	connected_pair(fds);
	ck_assert_int_eq(send(fds[0], "0123456789", 10, 0), 10);
	wr_sys_fault = shorten_target;
	allowance = 3;
	target = WR_SYS_recv;
	ck_assert_int_eq(wr_sys_recv(fds[1], buf, 10, 0), 3);
	target = WR_SYS_read;
	ck_assert_int_eq(wr_sys_read(fds[1], buf + 3, 7), 3);
	wr_sys_fault = NULL;
	ck_assert_int_eq(wr_sys_recv(fds[1], buf + 6, 4, 0), 4);
	ck_assert_mem_eq(buf, "0123456789", 10);
}
END_TEST

START_TEST(gathered_output_can_be_cut_anywhere)
{
	char text[] = "abcdefg", buf[10];
	struct iovec iov[3] = { { text, 3 }, { text, 0 }, { text + 3, 4 } };
	int fds[2];

	connected_pair(fds);
	wr_sys_fault = shorten_target;
	target = WR_SYS_sendmsg;
	for (allowance = 1; allowance < 10; allowance++) {
		ssize_t want = (ssize_t)(allowance < 7 ? allowance : 7);

		ck_assert_int_eq(wr_sys_sendmsg(fds[0], iov, 3), want);
		ck_assert_int_eq(wr_sys_recv(fds[1], buf, 10, 0), want);
		ck_assert_mem_eq(buf, "abcdefg", (size_t)want);
	}
	wr_sys_fault = NULL;
	ck_assert_int_eq(wr_sys_sendmsg(fds[0], iov, 3), 7);
}
END_TEST

START_TEST(output_of_many_pieces_can_be_cut)
{
	struct iovec iov[100];
	char buf[100] = "";
	int fds[2];
	ssize_t n;
	size_t i;

	connected_pair(fds);
	for (i = 0; i < 100; i++)
		iov[i] = (struct iovec){ buf, 1 };
	wr_sys_fault = shorten_target;
	target = WR_SYS_sendmsg;
	allowance = 99;
	n = wr_sys_sendmsg(fds[0], iov, 100);
	ck_assert_int_ge(n, 1);
	ck_assert_int_le(n, 99);
	ck_assert_int_eq(wr_sys_recv(fds[1], buf, 100, 0), n);
}
END_TEST

START_TEST(a_file_can_be_cut_short)
{
	off_t offset = 2;
	char buf[20];
	int fds[2], file = make_file(1000);

	connected_pair(fds);
	wr_sys_fault = shorten_target;
	target = WR_SYS_sendfile;
	allowance = 5;
	ck_assert_int_eq(wr_sys_sendfile(fds[0], file, &offset, 100), 5);
	ck_assert_int_eq(offset, 7);
	ck_assert_int_eq(wr_sys_recv(fds[1], buf, 20, 0), 5);
	ck_assert(bytes_match(buf, 5, 2));
}
END_TEST

/* Only a build that never shortens may conclude from a short read. */
START_TEST(a_cut_read_is_no_proof_of_emptiness)
{
	ck_assert(wr_sys_short_read_is_empty());
	wr_sys_fault = shorten_target;
	ck_assert(!wr_sys_short_read_is_empty());
}
END_TEST

START_TEST(an_interrupted_call_is_made_again)
{
	static const enum wr_sys_call retried[] = {
		WR_SYS_accept4, WR_SYS_recv,  WR_SYS_sendmsg,  WR_SYS_read,
		WR_SYS_pread,	WR_SYS_flock, WR_SYS_sendfile,
	};
	size_t i;

	wr_sys_fault = interrupt_target_once;
	for (i = 0; i < wr_array_len(retried); i++) {
		asked = 0;
		target = retried[i];
		ck_assert_int_eq(make(target), -EBADF);
		ck_assert_int_eq(asked, 2);
	}
	asked = 0;
	target = WR_SYS_open;
	ck_assert_int_ge(make(target), 0);
	ck_assert_int_eq(asked, 2);
}
END_TEST

START_TEST(an_interrupted_wait_returns_to_the_caller_for_the_deadline)
{
	struct pollfd nobody = { .fd = -1 };

	wr_sys_fault = interrupt_target_once;
	target = WR_SYS_poll;
	ck_assert_int_eq(wr_sys_poll(&nobody, 1, -1), -EINTR);
	asked = 0;
	target = WR_SYS_epoll_wait;
	ck_assert_int_eq(make(target), 0);
	ck_assert_int_eq(asked, 1);
}
END_TEST

START_TEST(without_an_answer_there_is_one_processor)
{
	wr_sys_fault = fail_target;
	target = WR_SYS_affinity;
	ck_assert_int_eq(wr_sys_processors(), 1);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"faults", each_call_can_be_made_to_fail, input_can_be_cut_short,
		gathered_output_can_be_cut_anywhere,
		output_of_many_pieces_can_be_cut, a_file_can_be_cut_short,
		a_cut_read_is_no_proof_of_emptiness,
		an_interrupted_call_is_made_again,
		an_interrupted_wait_returns_to_the_caller_for_the_deadline,
		without_an_answer_there_is_one_processor);
}
