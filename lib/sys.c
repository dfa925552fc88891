/* SPDX-License-Identifier: MIT */
/*
 * The calls of sys.h.  Any thread may use any of them; nothing is kept here.
 *
 * Every wrapper has one shape: ask for a fault, then make the call, then turn
 * errno into a result.  Where a signal must not end the call, a loop goes
 * round both, so that an injected EINTR is answered like a real one.
 *
 * Every descriptor is born close-on-exec in the call that makes it: another
 * thread may fork and exec between any two calls.
 */
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#ifdef WR_FAULTS
int (*wr_sys_fault)(enum wr_sys_call call, size_t *len);

const char *const wr_sys_call_names[] = {
#define WR_SYS_NAME(name) #name,
	WR_SYS_CALLS(WR_SYS_NAME)
#undef WR_SYS_NAME
};

#define FAULT(name, len) (wr_sys_fault ? wr_sys_fault(WR_SYS_##name, len) : 0)
#else
#define FAULT(name, len) 0
#endif

static int result(int rc)
{
	return rc < 0 ? -errno : rc;
}

static ssize_t size_result(ssize_t n)
{
	return n < 0 ? -errno : n;
}

bool wr_sys_short_read_is_empty(void)
{
#ifdef WR_FAULTS
	/* A shortened read says nothing about what the socket still holds. */
	return !wr_sys_fault;
#else
	return true;
#endif
}

/* ----------------------------------------------------------------- memory */

void *wr_sys_alloc(size_t size)
{
	return FAULT(alloc, NULL) < 0 ? NULL : calloc(1, size);
}

void *wr_sys_realloc(void *p, size_t size)
{
	return FAULT(alloc, NULL) < 0 ? NULL : realloc(p, size);
}

void *wr_sys_alloc_lines(size_t size)
{
	size_t lines = (size + WR_CACHE_LINE - 1) / WR_CACHE_LINE;
	void *p = FAULT(alloc, NULL) < 0
			  ? NULL
			  : aligned_alloc(WR_CACHE_LINE, lines * WR_CACHE_LINE);

	if (p)
		memset(p, 0, lines * WR_CACHE_LINE);
	return p;
}

void wr_sys_free(void *p)
{
	free(p);
}

/* ---------------------------------------------------------------- sockets */

int wr_sys_socket(int domain, int type, int protocol)
{
	int rc = FAULT(socket, NULL);

	if (rc < 0)
		return rc;
	return result(socket(domain, type | SOCK_CLOEXEC, protocol));
}

int wr_sys_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	int rc = FAULT(bind, NULL);

	return rc < 0 ? rc : result(bind(fd, addr, len));
}

int wr_sys_listen(int fd, int backlog)
{
	int rc = FAULT(listen, NULL);

	return rc < 0 ? rc : result(listen(fd, backlog));
}

int wr_sys_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	int rc;

	do {
		rc = FAULT(accept4, NULL);
		if (rc == 0)
			rc = result(
				accept4(fd, addr, len, flags | SOCK_CLOEXEC));
	} while (rc == -EINTR);
	return rc;
}

int wr_sys_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	int rc = FAULT(connect, NULL);

	return rc < 0 ? rc : result(connect(fd, addr, len));
}

int wr_sys_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
	int rc = FAULT(getsockname, NULL);

	return rc < 0 ? rc : result(getsockname(fd, addr, len));
}

int wr_sys_getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
	int rc = FAULT(getpeername, NULL);

	return rc < 0 ? rc : result(getpeername(fd, addr, len));
}

int wr_sys_setsockopt(int fd, int level, int name, const void *value,
		      socklen_t len)
{
	int rc = FAULT(setsockopt, NULL);

	return rc < 0 ? rc : result(setsockopt(fd, level, name, value, len));
}

int wr_sys_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	int rc = FAULT(getsockopt, NULL);

	return rc < 0 ? rc : result(getsockopt(fd, level, name, value, len));
}

int wr_sys_shutdown(int fd, int how)
{
	int rc = FAULT(shutdown, NULL);

	return rc < 0 ? rc : result(shutdown(fd, how));
}

/*
 * Whatever close() says, the number is free afterwards and may be somebody
 * else's already: a second try could only close theirs.
 */
int wr_sys_unsent(int fd)
{
	int bytes = 0, rc = FAULT(ioctl, NULL);

	if (rc < 0)
		return rc;
	rc = result(ioctl(fd, SIOCOUTQ, &bytes));
	return rc < 0 ? rc : bytes;
}

void wr_sys_close(int fd)
{
	(void)close(fd);
}

/* ------------------------------------------------------ input and output */

ssize_t wr_sys_recv(int fd, void *buf, size_t cap, int flags)
{
	ssize_t n;

	do {
		n = FAULT(recv, &cap);
		if (n == 0)
			n = size_result(
				recv(fd, buf, cap, flags | MSG_DONTWAIT));
	} while (n == -EINTR);
	return n;
}

static ssize_t send_pieces(int fd, const struct iovec *iov, size_t count)
{
	struct msghdr msg = {
		/* sendmsg() does not write there, its type only says so. */
		.msg_iov = (struct iovec *)(uintptr_t)iov,
		.msg_iovlen = count,
	};

	return size_result(sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT));
}

#ifdef WR_FAULTS
static size_t total_len(const struct iovec *iov, size_t count)
{
	size_t total = 0, i;

	for (i = 0; i < count; i++)
		total += iov[i].iov_len;
	return total;
}

/* Send at most len bytes. */
static ssize_t send_first(int fd, const struct iovec *iov, size_t count,
			  size_t len)
{
	struct iovec first[16];
	size_t n;

	for (n = 0; n < count && n < wr_array_len(first) && len > 0; n++) {
		first[n].iov_base = iov[n].iov_base;
		first[n].iov_len = wr_min(iov[n].iov_len, len);
		len -= first[n].iov_len;
	}
	return send_pieces(fd, first, n);
}

static ssize_t send_faulty(int fd, const struct iovec *iov, size_t count)
{
	size_t total = total_len(iov, count), len = total;
	ssize_t rc = FAULT(sendmsg, &len);

	if (rc < 0)
		return rc;
	return len < total ? send_first(fd, iov, count, len)
			   : send_pieces(fd, iov, count);
}
#else
#define send_faulty send_pieces
#endif

ssize_t wr_sys_sendmsg(int fd, const struct iovec *iov, int count)
{
	ssize_t n;

	do {
		n = send_faulty(fd, iov, (size_t)count);
	} while (n == -EINTR);
	return n;
}

/*
 * sendfile(2) has no MSG_NOSIGNAL, and a thread of the user's may run here
 * with SIGPIPE open.  If it was open, none was pending before: the one that
 * comes with EPIPE is ours to take back.
 */
ssize_t wr_sys_sendfile(int out, int in, off_t *offset, size_t len)
{
	const struct timespec now = { 0 };
	sigset_t pipe_only, old;
	ssize_t n;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	(void)pthread_sigmask(SIG_BLOCK, &pipe_only, &old);
	do {
		n = FAULT(sendfile, &len);
		if (n == 0)
			n = size_result(sendfile(out, in, offset, len));
	} while (n == -EINTR);
	if (!sigismember(&old, SIGPIPE)) {
		if (n == -EPIPE)
			(void)sigtimedwait(&pipe_only, NULL, &now);
		(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	return n;
}

ssize_t wr_sys_read(int fd, void *buf, size_t cap)
{
	ssize_t n;

	do {
		n = FAULT(read, &cap);
		if (n == 0)
			n = size_result(read(fd, buf, cap));
	} while (n == -EINTR);
	return n;
}

/* ---------------------------------------------------------------- waiting */

/* -EINTR is the caller's: how long is left to wait, only a deadline knows. */
int wr_sys_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	int rc = FAULT(poll, NULL);

	return rc < 0 ? rc : result(poll(fds, count, timeout_ms));
}

int wr_sys_epoll_create(void)
{
	int rc = FAULT(epoll_create, NULL);

	return rc < 0 ? rc : result(epoll_create1(EPOLL_CLOEXEC));
}

int wr_sys_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{
	int rc = FAULT(epoll_ctl, NULL);

	return rc < 0 ? rc : result(epoll_ctl(ep, op, fd, ev));
}

/* Interrupted is "nothing yet": callers loop and look at the time anyway. */
int wr_sys_epoll_wait(int ep, struct epoll_event *ev, int max, int timeout_ms)
{
	int rc = FAULT(epoll_wait, NULL);

	if (rc == 0)
		rc = result(epoll_wait(ep, ev, max, timeout_ms));
	return rc == -EINTR ? 0 : rc;
}

int wr_sys_eventfd(void)
{
	int rc = FAULT(eventfd, NULL);

	return rc < 0 ? rc : result(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

/* The only refusal is EAGAIN of a full counter, and that one is rung. */
void wr_sys_eventfd_ring(int fd)
{
	const uint64_t one = 1;
	int saved = errno;
	ssize_t n = write(fd, &one, sizeof(one));

	(void)n;
	errno = saved;
}

void wr_sys_eventfd_clear(int fd)
{
	uint64_t count;
	ssize_t n = read(fd, &count, sizeof(count));

	(void)n;
}

int wr_sys_signalfd(const sigset_t *set)
{
	int rc = FAULT(signalfd, NULL);

	if (rc < 0)
		return rc;
	return result(signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK));
}

int wr_sys_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	int rc = FAULT(sigmask, NULL);

	return rc < 0 ? rc : -pthread_sigmask(how, set, old);
}

/* ------------------------------------------------------------------ files */

int wr_sys_open(const char *path, int flags)
{
	int rc;

	do {
		rc = FAULT(open, NULL);
		if (rc == 0)
			rc = result(open(path, flags | O_CLOEXEC));
	} while (rc == -EINTR);
	return rc;
}

int wr_sys_dup(int fd)
{
	int rc = FAULT(dup, NULL);

	return rc < 0 ? rc : result(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

int wr_sys_fcntl(int fd, int cmd, int arg)
{
	int rc = FAULT(fcntl, NULL);

	return rc < 0 ? rc : result(fcntl(fd, cmd, arg));
}

int wr_sys_lstat(const char *path, struct stat *st)
{
	int rc = FAULT(stat, NULL);

	return rc < 0 ? rc : result(lstat(path, st));
}

int wr_sys_unlink(const char *path)
{
	int rc = FAULT(unlink, NULL);

	return rc < 0 ? rc : result(unlink(path));
}

int wr_sys_chmod(const char *path, mode_t mode)
{
	int rc = FAULT(chmod, NULL);

	return rc < 0 ? rc : result(chmod(path, mode));
}

int wr_sys_flock(int fd, int op)
{
	int rc;

	do {
		rc = FAULT(flock, NULL);
		if (rc == 0)
			rc = result(flock(fd, op));
	} while (rc == -EINTR);
	return rc;
}

/* ------------------------------------------------------------------ names */

static int resolver_error(int eai)
{
	switch (eai) {
	case 0:
		return 0;
	case EAI_NONAME:
	case EAI_NODATA:
	case EAI_ADDRFAMILY:
		return -ENOENT;
	case EAI_AGAIN:
		return -EAGAIN;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_SYSTEM:
		return errno ? -errno : -EIO;
	case EAI_FAIL:
		return -EIO;
	default:
		return -EINVAL;
	}
}

int wr_sys_getaddrinfo(const char *host, const char *port,
		       const struct addrinfo *hints, struct addrinfo **ret)
{
	int rc = FAULT(getaddrinfo, NULL);

	if (rc < 0)
		return rc;
	return resolver_error(getaddrinfo(host, port, hints, ret));
}

/* ---------------------------------------------------------------- threads */

/*
 * What a thread of ours is born with: signals sent to the process go to
 * threads of the user's.  A fault of its own must still reach the handler of
 * a crash reporter or sanitizer; blocked, it would end the process mutely.
 */
static void block_for_threads(sigset_t *old)
{
	static const int faults[] = { SIGSEGV, SIGBUS,	SIGFPE,
				      SIGILL,  SIGTRAP, SIGSYS };
	sigset_t blocked;
	size_t i;

	sigfillset(&blocked);
	for (i = 0; i < wr_array_len(faults); i++)
		sigdelset(&blocked, faults[i]);
	(void)pthread_sigmask(SIG_SETMASK, &blocked, old);
}

int wr_sys_thread_create(pthread_t *ret, size_t stack_size, void *(*fn)(void *),
			 void *arg)
{
	pthread_attr_t attr;
	sigset_t old;
	int rc = FAULT(thread_create, NULL);

	if (rc < 0)
		return rc;
	rc = pthread_attr_init(&attr);
	if (rc != 0)
		return -rc;
	if (stack_size > 0)
		rc = pthread_attr_setstacksize(&attr, stack_size);
	if (rc == 0) {
		block_for_threads(&old);
		rc = pthread_create(ret, &attr, fn, arg);
		(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	(void)pthread_attr_destroy(&attr);
	return -rc;
}

int wr_sys_mutex_init(pthread_mutex_t *m)
{
	pthread_mutexattr_t attr;
	int rc = FAULT(mutex_init, NULL);

	if (rc < 0)
		return rc;
	rc = pthread_mutexattr_init(&attr);
	if (rc != 0)
		return -rc;
#ifdef WR_FAULTS
	/* Tests see a lock taken twice as a failure, not as a hang. */
	(void)pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
#endif
	rc = pthread_mutex_init(m, &attr);
	(void)pthread_mutexattr_destroy(&attr);
	return -rc;
}

int wr_sys_cond_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;
	int rc = FAULT(cond_init, NULL);

	if (rc < 0)
		return rc;
	rc = pthread_condattr_init(&attr);
	if (rc != 0)
		return -rc;
	rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (rc == 0)
		rc = pthread_cond_init(c, &attr);
	(void)pthread_condattr_destroy(&attr);
	return -rc;
}

/* As many processors as a kernel can be built for. */
struct processors {
	cpu_set_t set[8];
};

/* What the calling thread may use, which is what its creator might. */
static int allowed(struct processors *ret)
{
	int rc = FAULT(affinity, NULL);

	CPU_ZERO_S(sizeof(ret->set), ret->set);
	if (rc == 0)
		rc = result(sched_getaffinity(0, sizeof(ret->set), ret->set));
	return rc;
}

int wr_sys_pin_thread(int index)
{
	struct processors all, one;
	size_t cpu = 0;
	int rc = allowed(&all);

	if (rc < 0)
		return rc;
	index %= CPU_COUNT_S(sizeof(all.set), all.set);
	while (!CPU_ISSET_S(cpu, sizeof(all.set), all.set) || index-- > 0)
		cpu++;
	CPU_ZERO_S(sizeof(one.set), one.set);
	CPU_SET_S(cpu, sizeof(one.set), one.set);
	return result(sched_setaffinity(0, sizeof(one.set), one.set));
}

int wr_sys_processors(void)
{
	struct processors all;

	if (allowed(&all) < 0)
		return 1;
	return CPU_COUNT_S(sizeof(all.set), all.set);
}
