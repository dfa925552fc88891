/* SPDX-License-Identifier: MIT */
/*
 * Any thread; no state.  A retry loop covers the fault and the call, so an
 * injected EINTR is handled like a real one.
 *
 * Every descriptor is created close-on-exec: another thread may fork and exec
 * between any two calls.
 */
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/futex.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bounds.h"

/* The number on all architectures but one, for older headers. */
#ifdef SYS_fchmodat2
#define WR_FCHMODAT2 SYS_fchmodat2
#else
#define WR_FCHMODAT2 452
#endif

_Static_assert(sizeof(off_t) == 8, "all of a file beyond 4 GiB can be sent");

/* -errno to fail with, or 0; *len may be reduced. */
#ifdef WR_FAULTS
#define FAULT(name, len) (wr_sys_fault ? wr_sys_fault(WR_SYS_##name, len) : 0)

int (*wr_sys_fault)(enum wr_sys_call call, size_t *len);
void (*wr_point_hook)(const char *function);

const char *const wr_sys_call_names[] = {
#define WR_SYS_NAME(name) #name,
	WR_SYS_CALLS(WR_SYS_NAME)
#undef WR_SYS_NAME
};
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

void *wr_sys_map_stack(size_t size, size_t guard)
{
	void *p =
		FAULT(mmap, NULL) < 0
			? MAP_FAILED
			: mmap(NULL, size, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	/* Splits the mapping, of which a process has a limited number. */
	if (mprotect(p, guard, PROT_NONE) == 0)
		return p;
	wr_sys_unmap(p, size);
	return NULL;
}

size_t wr_sys_signal_frame(void)
{
#ifdef _SC_MINSIGSTKSZ
	long size = sysconf(_SC_MINSIGSTKSZ);

	if (size > 0)
		return (size_t)size;
#endif
	return (size_t)12 * 1024;
}

void wr_sys_unmap(void *p, size_t size)
{
	(void)munmap(p, size);
}

int wr_sys_resident(void *p, size_t size, unsigned char *ret)
{
	return result(mincore(p, size, ret));
}

void wr_sys_discard(void *p, size_t size)
{
	(void)madvise(p, size, MADV_DONTNEED);
}

/* Returns -EINTR: only the caller knows the time that is left. */
int wr_sys_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	int rc = FAULT(poll, NULL);

	return rc < 0 ? rc : result(poll(fds, count, timeout_ms));
}

int wr_sys_pause(int timeout_ms)
{
	int rc = FAULT(pause, NULL);

	return rc < 0 ? rc : result(poll(NULL, 0, timeout_ms));
}

int wr_sys_epoll_create(void)
{
	int rc = FAULT(epoll_create, NULL);

	return rc < 0 ? rc : result(epoll_create1(EPOLL_CLOEXEC));
}

/* No fault in EPOLL_CTL_DEL, which allocates nothing. */
int wr_sys_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{
	int rc = 0;

	if (op != EPOLL_CTL_DEL)
		rc = FAULT(epoll_ctl, NULL);
	return rc < 0 ? rc : result(epoll_ctl(ep, op, fd, ev));
}

/* EINTR counts as a time-out: callers read the clock anyway. */
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

/* The only error is EAGAIN: the counter is full, so readable. */
void wr_sys_eventfd_signal(int fd)
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

void wr_sys_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	(void)pthread_sigmask(how, set, old);
}

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

int wr_sys_create(const char *path)
{
	const int flags =
		O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int rc;

	do {
		rc = FAULT(open, NULL);
		if (rc == 0)
			rc = result(open(path, flags, 0600));
	} while (rc == -EINTR);
	return rc;
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

ssize_t wr_sys_pread(int fd, void *buf, size_t cap, off_t offset)
{
	ssize_t n;

	do {
		n = FAULT(pread, &cap);
		if (n == 0)
			n = size_result(pread(fd, buf, cap, offset));
	} while (n == -EINTR);
	return n;
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

int wr_sys_fstat(int fd, struct stat *st)
{
	int rc = FAULT(stat, NULL);

	return rc < 0 ? rc : result(fstat(fd, st));
}

int wr_sys_unlink(const char *path)
{
	int rc = FAULT(unlink, NULL);

	return rc < 0 ? rc : result(unlink(path));
}

int wr_sys_rename(const char *from, const char *to)
{
	int rc = FAULT(rename, NULL);

	return rc < 0 ? rc : result(rename(from, to));
}

int wr_sys_fchmod(int fd, mode_t mode)
{
	int rc = FAULT(chmod, NULL);

	return rc < 0 ? rc : result(fchmod(fd, mode));
}

/* Before Linux 6.6 this goes through /proc. */
int wr_sys_chmod(int fd, mode_t mode)
{
	char path[sizeof("/proc/self/fd/") + 3 * sizeof(fd)];
	int rc = FAULT(chmod, NULL);

	if (rc < 0)
		return rc;
	if (syscall(WR_FCHMODAT2, fd, "", mode, AT_EMPTY_PATH) == 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return result(chmod(path, mode));
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

int wr_sys_socket(int domain, int type, int protocol)
{
	int rc = FAULT(socket, NULL);

	if (rc < 0)
		return rc;
	return result(socket(domain, type | SOCK_CLOEXEC, protocol));
}

int wr_sys_socketpair(int domain, int type, int ret[2])
{
	int rc = FAULT(socketpair, NULL);

	return rc < 0 ? rc
		      : result(socketpair(domain, type | SOCK_CLOEXEC, 0, ret));
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

/*
 * By its number: ThreadSanitizer takes connect(3) for the making of the
 * descriptor, and reports each thread that uses it at the same time.
 */
int wr_sys_disconnect(int fd)
{
	const struct sockaddr nothing = { .sa_family = AF_UNSPEC };
	int rc = FAULT(connect, NULL);

	return rc < 0 ? rc
		      : result((int)syscall(SYS_connect, fd, &nothing,
					    sizeof(nothing)));
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

int wr_sys_bind_to_interface(int fd, int index)
{
#ifdef SO_BINDTOIFINDEX
	return wr_sys_setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &index,
				 sizeof(index));
#else
	(void)fd;
	(void)index;
	return -ENOPROTOOPT;
#endif
}

int wr_sys_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	int rc = FAULT(getsockopt, NULL);

	return rc < 0 ? rc : result(getsockopt(fd, level, name, value, len));
}

/*
 * TCP_NODELAY, as callers gather output, and a limit of unsent output, which a
 * kernel may lack.  Without the limit the kernel's buffer grows with what the
 * peer has read so far, and a peer that then stops reading keeps up to 4 MB.
 * Accepted sockets inherit both.
 */
int wr_sys_tune_tcp(int fd)
{
	const int on = 1, most_unsent = WR_UNSENT_BYTES;
	int rc = wr_sys_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
				   sizeof(on));

	(void)wr_sys_setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT,
				&most_unsent, sizeof(most_unsent));
	return rc;
}

void wr_sys_forget_linger(int fd)
{
	const struct linger off = { .l_onoff = 0 };
	struct linger is;
	socklen_t len = sizeof(is);

	if (wr_sys_getsockopt(fd, SOL_SOCKET, SO_LINGER, &is, &len) == 0 &&
	    is.l_onoff && is.l_linger > 0)
		(void)wr_sys_setsockopt(fd, SOL_SOCKET, SO_LINGER, &off,
					sizeof(off));
}

int wr_sys_shutdown(int fd, int how)
{
	int rc = FAULT(shutdown, NULL);

	return rc < 0 ? rc : result(shutdown(fd, how));
}

/* Output of a Unix socket is in the peer's queue and survives a close. */
static bool is_unix(int fd)
{
	int domain = AF_UNSPEC;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	       domain == AF_UNIX;
}

int64_t wr_sys_round_trip_us(int fd)
{
	struct tcp_info info = { .tcpi_rtt = 0 };
	socklen_t len = sizeof(info);
	int rc = wr_sys_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);

	return rc < 0 ? 0 : (int64_t)info.tcpi_rtt;
}

int wr_sys_unsent(int fd)
{
	int bytes = 0, rc = FAULT(ioctl, NULL);

	if (rc < 0)
		return rc;
	rc = result(ioctl(fd, SIOCOUTQ, &bytes));
	if (rc < 0)
		return rc;
	return bytes > 0 && is_unix(fd) ? 0 : bytes;
}

/* Whatever close() returns, the number is free and may be in use again. */
void wr_sys_close(int fd)
{
	int rc = close(fd);

#ifdef WR_FAULTS
	wr_assert(rc == 0 || errno != EBADF);
#endif
	(void)rc;
}

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

#define SEND_FLAGS (MSG_NOSIGNAL | MSG_DONTWAIT)

static WR_OUT_OF_LINE ssize_t send_many(int fd, const struct iovec *iov,
					size_t count)
{
	struct msghdr msg = {
		/* not written by sendmsg() */
		.msg_iov = (struct iovec *)(uintptr_t)iov,
		/* int or size_t, by C library */
		.msg_iovlen = (unsigned short)count,
	};

	return size_result(sendmsg(fd, &msg, SEND_FLAGS));
}

/* One piece is cheaper in the kernel, too. */
static ssize_t send_iov(int fd, const struct iovec *iov, size_t count)
{
	return count == 1 ? size_result(send(fd, iov->iov_base, iov->iov_len,
					     SEND_FLAGS))
			  : send_many(fd, iov, count);
}

#ifdef WR_FAULTS
static size_t total_len(const struct iovec *iov, size_t count)
{
	size_t total = 0, i;

	for (i = 0; i < count; i++)
		total += iov[i].iov_len;
	return total;
}

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
	return send_iov(fd, first, n);
}

static ssize_t send_faulty(int fd, const struct iovec *iov, size_t count)
{
	size_t total = total_len(iov, count), len = total;
	ssize_t rc = FAULT(sendmsg, &len);

	if (rc < 0)
		return rc;
	return len < total ? send_first(fd, iov, count, len)
			   : send_iov(fd, iov, count);
}
#else
#define send_faulty send_iov
#endif

ssize_t wr_sys_sendmsg(int fd, const struct iovec *iov, int count)
{
	ssize_t n;

	do {
		n = send_faulty(fd, iov, (size_t)count);
	} while (n == -EINTR);
	return n;
}

int wr_sys_send_ids(int fd, uid_t uid, gid_t gid)
{
	const struct ucred ids = { getpid(), uid, gid };
	union {
		char room[CMSG_SPACE(sizeof(ids))];
		struct cmsghdr align;
	} control = { .room = { 0 } };
	struct iovec empty = { .iov_base = NULL };
	struct msghdr msg = { .msg_iov = &empty,
			      .msg_iovlen = 1,
			      .msg_control = control.room,
			      .msg_controllen = sizeof(control.room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int rc;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_CREDENTIALS;
	c->cmsg_len = CMSG_LEN(sizeof(ids));
	memcpy(CMSG_DATA(c), &ids, sizeof(ids));
	do {
		rc = FAULT(sendmsg, NULL);
		if (rc == 0)
			rc = (int)size_result(sendmsg(fd, &msg, SEND_FLAGS));
	} while (rc == -EINTR);
	return rc;
}

/*
 * sendfile(2) has no MSG_NOSIGNAL, and the caller may have SIGPIPE unblocked.
 * None was pending then, so the one that comes with EPIPE is consumed.
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
		/* EINPROGRESS would mean a lookup that still runs. */
		return errno && errno != EINPROGRESS ? -errno : -EIO;
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

int wr_sys_getnameinfo(const struct sockaddr *addr, socklen_t len, char *name,
		       size_t cap, int flags)
{
	int rc = FAULT(getnameinfo, NULL);

	if (rc < 0)
		return rc;
	return resolver_error(
		getnameinfo(addr, len, name, (socklen_t)cap, NULL, 0, flags));
}

/*
 * Signals of the process go to threads of the program.  Faults stay unblocked,
 * for crash reporters and sanitizers; blocked, they would end the process
 * silently.
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

/* The C library takes thread-local memory from the stack. */
static int add_thread_local(struct dl_phdr_info *info, size_t size, void *sum)
{
	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_TLS)
			*(size_t *)sum += info->dlpi_phdr[i].p_memsz +
					  info->dlpi_phdr[i].p_align;
	return 0;
}

static size_t whole_stack(const pthread_attr_t *attr, size_t stack_size)
{
	size_t size = 0;

	if (stack_size == 0) {
		(void)pthread_attr_getstacksize(attr, &stack_size);
		if (stack_size < WR_STACK_LEAST)
			stack_size = WR_STACK_LEAST; /* small "ulimit -s" */
	}
	(void)dl_iterate_phdr(add_thread_local, &size);
	return size + stack_size + WR_STACK_OF_OURS;
}

static int create_thread(pthread_t *ret, const pthread_attr_t *attr,
			 void *(*fn)(void *), void *arg)
{
	sigset_t old;
	int rc;

	block_for_threads(&old);
	rc = pthread_create(ret, attr, fn, arg);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

int wr_sys_thread_create(pthread_t *ret, size_t stack_size, void *(*fn)(void *),
			 void *arg)
{
	pthread_attr_t attr;
	size_t size;
	int rc = FAULT(thread_create, NULL);

	if (rc < 0)
		return rc;
	rc = pthread_attr_init(&attr);
	if (rc != 0)
		return -rc;
	size = whole_stack(&attr, stack_size);
	rc = pthread_attr_setstacksize(&attr, size);
	if (rc == 0)
		rc = create_thread(ret, &attr, fn, arg);
	(void)pthread_attr_destroy(&attr);
	return -rc;
}

int wr_sys_thread_tryjoin(pthread_t id)
{
	return -pthread_tryjoin_np(id, NULL);
}

/* A callback that cancels its thread must not end a worker. */
void wr_sys_thread_begin(const char *name)
{
	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	(void)pthread_setname_np(pthread_self(), name);
}

void wr_sys_futex_wait(_Atomic uint32_t *word, uint32_t value)
{
	(void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL);
}

void wr_sys_futex_wake(_Atomic uint32_t *word)
{
	(void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1);
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
	/* a lock taken twice fails, not hangs */
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

long wr_sys_preemptions(void)
{
	struct rusage usage = { .ru_nivcsw = 0 };

	(void)getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nivcsw;
}
