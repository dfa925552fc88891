/* SPDX-License-Identifier: MIT */
/*
 * A library to be loaded before all others into a program (LD_PRELOAD): after
 * the n-th of the calls that are named below, counted over all threads from
 * the first change of a signal mask on, it sends signals to the process.  A
 * number beyond the last call shows how many there are.
 *
 * SHIM_AT is the number, SHIM_SIGNALS the signals as "15" or "15,2", the
 * second after the call that follows, SHIM_FD a descriptor to which the
 * name of the call is written when it comes, and the count at the end.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_int count;
static atomic_bool has_begun;
static int at, first, second, out = -1;

__attribute__((constructor)) static void shim_load(void)
{
	const char *number = getenv("SHIM_AT"), *fd = getenv("SHIM_FD");
	const char *signals = getenv("SHIM_SIGNALS");

	if (!number || !fd || !signals)
		return;
	at = atoi(number);
	out = atoi(fd);
	(void)sscanf(signals, "%d,%d", &first, &second);
}

__attribute__((destructor)) static void shim_unload(void)
{
	if (out >= 0)
		dprintf(out, "calls %d\n", atomic_load(&count));
}

static void after(const char *name)
{
	int saved = errno, n;

	if (out < 0 || !atomic_load(&has_begun))
		return;
	n = atomic_fetch_add(&count, 1) + 1;
	if (n == at) {
		dprintf(out, "at %s\n", name);
		kill(getpid(), first);
	} else if (n == at + 1 && second) {
		kill(getpid(), second);
	}
	errno = saved;
}

#ifdef __GLIBC__
typedef __rlimit_resource_t limit_name;
#else
typedef int limit_name;
#endif

/* The function that this one stands before. */
#define NEXT(name)                                                             \
	static __typeof__(name) *next;                                         \
	if (!next)                                                             \
	*(void **)&next = dlsym(RTLD_NEXT, #name)

#define SHIM(type, name, params, args)                                         \
	type name params                                                       \
	{                                                                      \
		type rc;                                                       \
		NEXT(name);                                                    \
		rc = next args;                                                \
		after(#name);                                                  \
		return rc;                                                     \
	}

/* clang-format off */
SHIM(int, socket, (int domain, int type, int protocol), (domain, type, protocol))
SHIM(int, bind, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))
SHIM(int, listen, (int fd, int backlog), (fd, backlog))
SHIM(int, accept4, (int fd, struct sockaddr *addr, socklen_t *len, int flags), (fd, addr, len, flags))
SHIM(int, connect, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))
SHIM(int, getsockname, (int fd, struct sockaddr *addr, socklen_t *len), (fd, addr, len))
SHIM(int, getpeername, (int fd, struct sockaddr *addr, socklen_t *len), (fd, addr, len))
SHIM(int, setsockopt, (int fd, int level, int name, const void *v, socklen_t len), (fd, level, name, v, len))
SHIM(int, getsockopt, (int fd, int level, int name, void *v, socklen_t *len), (fd, level, name, v, len))
SHIM(int, shutdown, (int fd, int how), (fd, how))
SHIM(ssize_t, recv, (int fd, void *buf, size_t cap, int flags), (fd, buf, cap, flags))
SHIM(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))
SHIM(int, epoll_create1, (int flags), (flags))
SHIM(int, epoll_ctl, (int ep, int op, int fd, struct epoll_event *ev), (ep, op, fd, ev))
SHIM(int, epoll_wait, (int ep, struct epoll_event *ev, int max, int ms), (ep, ev, max, ms))
SHIM(int, eventfd, (unsigned value, int flags), (value, flags))
SHIM(int, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags))
SHIM(int, poll, (struct pollfd *fds, nfds_t n, int ms), (fds, n, ms))
SHIM(ssize_t, read, (int fd, void *buf, size_t cap), (fd, buf, cap))
SHIM(ssize_t, write, (int fd, const void *buf, size_t len), (fd, buf, len))
SHIM(int, close, (int fd), (fd))
SHIM(int, mkostemp, (char *path, int flags), (path, flags))
SHIM(int, fchmod, (int fd, mode_t mode), (fd, mode))
SHIM(int, chmod, (const char *path, mode_t mode), (path, mode))
SHIM(int, rename, (const char *from, const char *to), (from, to))
SHIM(int, unlink, (const char *path), (path))
SHIM(int, flock, (int fd, int op), (fd, op))
SHIM(int, lstat, (const char *path, struct stat *st), (path, st))
SHIM(int, getrlimit, (limit_name what, struct rlimit *limit), (what, limit))
SHIM(int, setrlimit, (limit_name what, const struct rlimit *limit), (what, limit))
SHIM(int, pthread_create, (pthread_t *id, const pthread_attr_t *attr, void *(*fn)(void *), void *arg), (id, attr, fn, arg))
SHIM(int, pthread_join, (pthread_t id, void **ret), (id, ret))
SHIM(int, pthread_setname_np, (pthread_t id, const char *name), (id, name))
SHIM(int, pthread_cond_init, (pthread_cond_t *c, const pthread_condattr_t *attr), (c, attr))
SHIM(int, pthread_cond_broadcast, (pthread_cond_t *c), (c))
SHIM(int, sigaction, (int sig, const struct sigaction *act, struct sigaction *old), (sig, act, old))
SHIM(sighandler_t, signal, (int sig, sighandler_t handler), (sig, handler))
/* clang-format on */

/* From here on SIGTERM, SIGINT and SIGHUP may come: they are blocked. */
int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	int rc;
	NEXT(pthread_sigmask);

	rc = next(how, set, old);
	atomic_store(&has_begun, true);
	after("pthread_sigmask");
	return rc;
}

int open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;
	int rc;
	NEXT(open);

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	rc = next(path, flags, mode);
	after("open");
	return rc;
}

int fcntl(int fd, int cmd, ...)
{
	va_list ap;
	void *arg;
	int rc;
	NEXT(fcntl);

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	rc = next(fd, cmd, arg);
	after("fcntl");
	return rc;
}
