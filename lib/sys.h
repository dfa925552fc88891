/* SPDX-License-Identifier: MIT */
/*
 * Every call that can fail, as the one place where the library meets the
 * system.  Each returns >= 0 or -errno, and NULL where a pointer is returned.
 * EINTR is answered here where a retry is right; close() is never retried.
 *
 * A test build (WR_FAULTS) asks wr_sys_fault before each call: it may fail
 * the call with a -errno, shorten its length, or delay it.  The library that
 * is installed has no such hook.
 */
#ifndef WR_SYS_H
#define WR_SYS_H

#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base.h"

/* clang-format off */
#define WR_SYS_CALLS(X)                                                        \
	X(alloc) X(socket) X(bind) X(listen) X(accept4) X(connect)             \
	X(getsockname) X(getpeername) X(setsockopt) X(getsockopt)              \
	X(shutdown) X(recv) X(sendmsg) X(sendfile) X(poll) X(epoll_create)     \
	X(epoll_ctl) X(epoll_wait) X(eventfd) X(signalfd) X(open) X(dup)       \
	X(fcntl) X(stat) X(unlink) X(rename) X(chmod) X(flock) X(getaddrinfo)            \
	X(thread_create) X(mutex_init) X(cond_init) X(affinity)                \
	X(read) X(pread) X(ioctl) X(getnameinfo)

#ifdef WR_FAULTS
enum wr_sys_call {
#define WR_SYS_ENUM(name) WR_SYS_##name,
	WR_SYS_CALLS(WR_SYS_ENUM)
#undef WR_SYS_ENUM
	WR_SYS_CALL_COUNT
};
/* clang-format on */

/*
 * 0: go on (with *len bytes, where the call has a length; else len is NULL);
 * < 0: fail with that.  NULL: no faults.  Set it while no server runs.
 */
extern int (*wr_sys_fault)(enum wr_sys_call call, size_t *len);
extern const char *const wr_sys_call_names[];
#endif

/*
 * True if a recv() that brought less than asked from a TCP socket shows that
 * the socket was empty then.
 */
static inline bool wr_sys_short_read_is_empty(void)
{
#ifdef WR_FAULTS
	/* A shortened read says nothing about what the socket still holds. */
	return !wr_sys_fault;
#else
	return true;
#endif
}

void *wr_sys_alloc(size_t size);       /* zeroed */
void *wr_sys_alloc_lines(size_t size); /* zeroed, on a cache line */
void *wr_sys_realloc(void *p, size_t size);
void wr_sys_free(void *p);

int wr_sys_socket(int domain, int type, int protocol);
int wr_sys_bind(int fd, const struct sockaddr *addr, socklen_t len);
int wr_sys_listen(int fd, int backlog);
int wr_sys_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags);
int wr_sys_connect(int fd, const struct sockaddr *addr, socklen_t len);
int wr_sys_getsockname(int fd, struct sockaddr *addr, socklen_t *len);
int wr_sys_getpeername(int fd, struct sockaddr *addr, socklen_t *len);
int wr_sys_setsockopt(int fd, int level, int name, const void *value,
		      socklen_t len);
/* Only packets of that interface are for it; its number need not exist. */
int wr_sys_bind_to_interface(int fd, int index);
int wr_sys_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int wr_sys_tune_tcp(int fd); /* what each TCP socket of ours has */
int wr_sys_shutdown(int fd, int how);
/* Switch SO_LINGER off if it has a time: close(2) would wait for the peer. */
void wr_sys_forget_linger(int fd);
int64_t
wr_sys_round_trip_us(int fd); /* TCP, to the peer and back; 0: unknown */
int wr_sys_unsent(int fd);    /* bytes the peer's kernel has not taken */
void wr_sys_close(int fd);

/* Never wait, never raise SIGPIPE. */
ssize_t wr_sys_recv(int fd, void *buf, size_t cap, int flags);
ssize_t wr_sys_sendmsg(int fd, const struct iovec *iov, int count);
ssize_t wr_sys_sendfile(int out, int in, off_t *offset, size_t len);

int wr_sys_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int wr_sys_epoll_create(void);
int wr_sys_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev);
int wr_sys_epoll_wait(int ep, struct epoll_event *ev, int max, int timeout_ms);

int wr_sys_eventfd(void);
void wr_sys_eventfd_signal(int fd); /* async-signal-safe, cannot fail */
void wr_sys_eventfd_clear(int fd);
int wr_sys_signalfd(const sigset_t *set);
ssize_t wr_sys_read(int fd, void *buf, size_t cap);
ssize_t wr_sys_pread(int fd, void *buf, size_t cap, off_t offset);
void wr_sys_sigmask(int how, const sigset_t *set, sigset_t *old);

int wr_sys_open(const char *path, int flags);
/* Open for a lock, not by a link; made with mode 0600 if it is not there. */
int wr_sys_create(const char *path);
int wr_sys_dup(int fd); /* close-on-exec */
int wr_sys_fcntl(int fd, int cmd, int arg);
int wr_sys_lstat(const char *path, struct stat *st);
int wr_sys_fstat(int fd, struct stat *st);
int wr_sys_unlink(const char *path);
int wr_sys_rename(const char *from, const char *to);
int wr_sys_fchmod(int fd, mode_t mode); /* of a socket that is not bound */
int wr_sys_chmod(int fd, mode_t mode);	/* fd is of O_PATH */
int wr_sys_flock(int fd, int op);

/* As getaddrinfo(3), but -errno: -ENOENT for no such host. */
int wr_sys_getaddrinfo(const char *host, const char *port,
		       const struct addrinfo *hints, struct addrinfo **ret);
/* As getnameinfo(3) without the service. */
int wr_sys_getnameinfo(const struct sockaddr *addr, socklen_t len, char *name,
		       size_t cap, int flags);

/*
 * fn can use stack_size bytes of stack (0: the system's default, but at least
 * WR_STACK_LEAST), however much is thread-local in this program: the C library
 * takes that out of the stack it is asked for.
 */
int wr_sys_thread_create(pthread_t *ret, size_t stack_size, void *(*fn)(void *),
			 void *arg);

int wr_sys_thread_tryjoin(pthread_t id); /* 0, or -EBUSY: it still runs */

/* The first act of such a thread: its name, and that nobody can cancel it. */
void wr_sys_thread_begin(const char *name);

/*
 * "No call is a cancellation point": the first line of each public call that
 * could reach one.  A thread of the program that is cancelled in the middle
 * would keep a lock or lose a descriptor; with this it finishes the call and
 * acts on the cancellation later.  Threads of the library cannot be cancelled
 * anyway: a call that workers make often tests for a dialled connection first.
 */
#define WR_NO_CANCEL() WR_NO_CANCEL_IF(true)
#define WR_NO_CANCEL_IF(cond)                                                  \
	int wr_cancel_state                                                    \
		__attribute__((cleanup(wr_sys_cancel_restore), unused)) =      \
			(cond) ? wr_sys_cancel_disable() : -1

static inline int wr_sys_cancel_disable(void)
{
	int state = -1;

	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	return state;
}

static inline void wr_sys_cancel_restore(const int *state)
{
	if (*state >= 0)
		(void)pthread_setcancelstate(*state, NULL);
}

int wr_sys_mutex_init(pthread_mutex_t *m);
int wr_sys_cond_init(pthread_cond_t *c);
int wr_sys_pin_thread(int index); /* to the index-th processor allowed */
int wr_sys_processors(void);	  /* that the calling thread may use */

/* How often the calling thread had to leave its processor to others. */
long wr_sys_preemptions(void);

#endif
