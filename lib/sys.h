/* SPDX-License-Identifier: MIT */
/*
 * Every fallible system call of the library.  Each wrapper returns >= 0 or
 * -errno, and NULL for a pointer.  EINTR is retried where that is right;
 * close() is never retried.
 *
 * A test build (WR_FAULTS) asks wr_sys_fault before each call of WR_SYS_CALLS:
 * it may fail the call, shorten its length, or delay it.
 */
#ifndef WR_SYS_H
#define WR_SYS_H

#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base.h"

/* clang-format off */
#define WR_SYS_CALLS(X)                                                        \
	X(alloc) X(socket) X(socketpair) X(bind) X(listen) X(accept4)          \
	X(connect) X(getsockname) X(getpeername) X(setsockopt) X(getsockopt)   \
	X(shutdown) X(recv) X(sendmsg) X(sendfile) X(poll) X(epoll_create)     \
	X(epoll_ctl) X(epoll_wait) X(eventfd) X(signalfd) X(open) X(dup)       \
	X(fcntl) X(stat) X(unlink) X(rename) X(chmod) X(flock) X(getaddrinfo)            \
	X(thread_create) X(mutex_init) X(cond_init) X(affinity)                \
	X(read) X(pread) X(ioctl) X(getnameinfo) X(mmap) X(pause)

#ifdef WR_FAULTS
enum wr_sys_call {
#define WR_SYS_ENUM(name) WR_SYS_##name,
	WR_SYS_CALLS(WR_SYS_ENUM)
#undef WR_SYS_ENUM
	WR_SYS_CALL_COUNT
};
/* clang-format on */

/*
 * 0: continue (with *len bytes; NULL: the call has no length); < 0: fail with
 * that.  Set it while no server runs.
 */
extern int (*wr_sys_fault)(enum wr_sys_call call, size_t *len);
extern const char *const wr_sys_call_names[];
#endif

/* True: a recv() that returned less than asked has emptied a TCP socket. */
static inline bool wr_sys_short_read_is_empty(void)
{
#ifdef WR_FAULTS
	/* A shortened read shows nothing. */
	return !wr_sys_fault;
#else
	return true;
#endif
}

WR_PRIVATE void *wr_sys_alloc(size_t size); /* zeroed */
void *wr_sys_alloc_lines(size_t size);	    /* zeroed, on a cache line */
void *wr_sys_realloc(void *p, size_t size);
WR_PRIVATE void wr_sys_free(void *p);

/* Zeroed memory for a stack, the lowest `guard` bytes without access.  NULL. */
void *wr_sys_map_stack(size_t size, size_t guard);
void wr_sys_unmap(void *p, size_t size);
/* Bytes of a signal's frame, which has the registers of the processor. */
size_t wr_sys_signal_frame(void);
/* Whole pages: the lowest bit of ret[i] tells that page i is resident. */
int wr_sys_resident(void *p, size_t size, unsigned char *ret);
void wr_sys_discard(void *p, size_t size); /* they become zeros */

int wr_sys_socket(int domain, int type, int protocol);
int wr_sys_socketpair(int domain, int type, int ret[2]);
int wr_sys_bind(int fd, const struct sockaddr *addr, socklen_t len);
int wr_sys_listen(int fd, int backlog);
int wr_sys_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags);
int wr_sys_connect(int fd, const struct sockaddr *addr, socklen_t len);
int wr_sys_disconnect(int fd); /* TCP: with a reset */
int wr_sys_getsockname(int fd, struct sockaddr *addr, socklen_t *len);
int wr_sys_getpeername(int fd, struct sockaddr *addr, socklen_t *len);
int wr_sys_setsockopt(int fd, int level, int name, const void *value,
		      socklen_t len);
/* The interface need not exist. */
int wr_sys_bind_to_interface(int fd, int index);
int wr_sys_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int wr_sys_tune_tcp(int fd); /* options of all TCP sockets */
int wr_sys_shutdown(int fd, int how);
/* Switch SO_LINGER with a time off: close(2) would wait for the peer. */
void wr_sys_forget_linger(int fd);
int64_t wr_sys_round_trip_us(int fd); /* 0: unknown */
int wr_sys_unsent(int fd);	      /* bytes not acknowledged by the peer */
void wr_sys_close(int fd);

/* Never wait, never raise SIGPIPE. */
ssize_t wr_sys_recv(int fd, void *buf, size_t cap, int flags);
ssize_t wr_sys_sendmsg(int fd, const struct iovec *iov, int count);
/* Tell the peer, if there is one, of a user and a group as our own. */
int wr_sys_send_ids(int fd, uid_t uid, gid_t gid);
ssize_t wr_sys_sendfile(int out, int in, off_t *offset, size_t len);

int wr_sys_poll(struct pollfd *fds, nfds_t count, int timeout_ms);

int wr_sys_pause(int timeout_ms);

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
/* Open a lock file, not through a link; created with mode 0600. */
int wr_sys_create(const char *path);
int wr_sys_dup(int fd); /* close-on-exec */
int wr_sys_fcntl(int fd, int cmd, int arg);
int wr_sys_lstat(const char *path, struct stat *st);
int wr_sys_fstat(int fd, struct stat *st);
int wr_sys_unlink(const char *path);
int wr_sys_rename(const char *from, const char *to);
int wr_sys_fchmod(int fd, mode_t mode); /* an unbound socket */
int wr_sys_chmod(int fd, mode_t mode);	/* opened with O_PATH */
int wr_sys_flock(int fd, int op);

/* As getaddrinfo(3); -ENOENT: no such host. */
int wr_sys_getaddrinfo(const char *host, const char *port,
		       const struct addrinfo *hints, struct addrinfo **ret);
int wr_sys_getnameinfo(const struct sockaddr *addr, socklen_t len, char *name,
		       size_t cap, int flags);

/*
 * fn can use stack_size bytes (0: the default, at least WR_STACK_LEAST),
 * besides the thread-local memory that the C library takes from the stack.
 */
int wr_sys_thread_create(pthread_t *ret, size_t stack_size, void *(*fn)(void *),
			 void *arg);

int wr_sys_thread_tryjoin(pthread_t id); /* -EBUSY: it runs */

/* First call of a thread: set its name, and make it uncancellable. */
void wr_sys_thread_begin(const char *name);

/*
 * "No call is a cancellation point": the first line of each public call that
 * may reach one.  A cancelled thread of the program would keep a lock or leak a
 * descriptor.  Server threads are uncancellable: the calls that handlers make
 * often do this for connections of weir_dial() only (WR_NO_CANCEL_IN).
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

/* Sleep while *word is value; wake one sleeper.  A wait may end early. */
void wr_sys_futex_wait(_Atomic uint32_t *word, uint32_t value);
void wr_sys_futex_wake(_Atomic uint32_t *word);

int wr_sys_mutex_init(pthread_mutex_t *m);
int wr_sys_cond_init(pthread_cond_t *c);
int wr_sys_pin_thread(int index); /* the index-th allowed one */
int wr_sys_processors(void);	  /* allowed for the calling thread */

/* Involuntary context switches of the calling thread. */
long wr_sys_preemptions(void);

#endif
