/* SPDX-License-Identifier: MIT */
/*
 * The calls of sys.h about sockets: how they are made, and what goes in and
 * out.  Any thread; nothing is kept here.
 */
#include "sys.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <time.h>
#include <unistd.h>

#include "sys_fault.h"

/* ---------------------------------------------------------------- sockets */

int wr_sys_socket(int domain, int type, int protocol)
{
	int rc = WR_FAULT(socket, NULL);

	if (rc < 0)
		return rc;
	return wr_result(socket(domain, type | SOCK_CLOEXEC, protocol));
}

int wr_sys_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	int rc = WR_FAULT(bind, NULL);

	return rc < 0 ? rc : wr_result(bind(fd, addr, len));
}

int wr_sys_listen(int fd, int backlog)
{
	int rc = WR_FAULT(listen, NULL);

	return rc < 0 ? rc : wr_result(listen(fd, backlog));
}

int wr_sys_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	int rc;

	do {
		rc = WR_FAULT(accept4, NULL);
		if (rc == 0)
			rc = wr_result(
				accept4(fd, addr, len, flags | SOCK_CLOEXEC));
	} while (rc == -EINTR);
	return rc;
}

int wr_sys_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	int rc = WR_FAULT(connect, NULL);

	return rc < 0 ? rc : wr_result(connect(fd, addr, len));
}

int wr_sys_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
	int rc = WR_FAULT(getsockname, NULL);

	return rc < 0 ? rc : wr_result(getsockname(fd, addr, len));
}

int wr_sys_getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
	int rc = WR_FAULT(getpeername, NULL);

	return rc < 0 ? rc : wr_result(getpeername(fd, addr, len));
}

int wr_sys_setsockopt(int fd, int level, int name, const void *value,
		      socklen_t len)
{
	int rc = WR_FAULT(setsockopt, NULL);

	return rc < 0 ? rc : wr_result(setsockopt(fd, level, name, value, len));
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
	int rc = WR_FAULT(getsockopt, NULL);

	return rc < 0 ? rc : wr_result(getsockopt(fd, level, name, value, len));
}

/*
 * Output leaves at once, since callers gather it.  And the kernel keeps little
 * that it has not sent: without a bound its buffer grows with what a peer has
 * read so far, to 4 MB for one that reads no more.  A network stack that does
 * not have that bound will do.  Inherited by what a listener accepts.
 */
int wr_sys_tune_tcp(int fd)
{
	const int on = 1, most_unsent = 128 * 1024;
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
	int rc = WR_FAULT(shutdown, NULL);

	return rc < 0 ? rc : wr_result(shutdown(fd, how));
}

/* What leaves a Unix socket is with the peer at once, and outlives us there. */
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
	int bytes = 0, rc = WR_FAULT(ioctl, NULL);

	if (rc < 0)
		return rc;
	rc = wr_result(ioctl(fd, SIOCOUTQ, &bytes));
	if (rc < 0)
		return rc;
	return bytes > 0 && is_unix(fd) ? 0 : bytes;
}

/*
 * Whatever close() says, the number is free afterwards and may be somebody
 * else's already: a second try could only close theirs.
 */
void wr_sys_close(int fd)
{
	int rc = close(fd);

#ifdef WR_FAULTS
	/* Closed before: another time it would be somebody else's by now. */
	wr_assert(rc == 0 || errno != EBADF);
#endif
	(void)rc;
}

/* ------------------------------------------------------ input and output */

ssize_t wr_sys_recv(int fd, void *buf, size_t cap, int flags)
{
	ssize_t n;

	do {
		n = WR_FAULT(recv, &cap);
		if (n == 0)
			n = wr_size_result(
				recv(fd, buf, cap, flags | MSG_DONTWAIT));
	} while (n == -EINTR);
	return n;
}

static ssize_t send_pieces(int fd, const struct iovec *iov, size_t count)
{
	struct msghdr msg = {
		/* sendmsg() does not write there, its type only says so. */
		.msg_iov = (struct iovec *)(uintptr_t)iov,
		/* An int in one C library, a size_t in another. */
		.msg_iovlen = (unsigned short)count,
	};
	const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;

	if (count == 1) /* most are; the kernel has less to look at */
		return wr_size_result(
			send(fd, iov->iov_base, iov->iov_len, flags));
	return wr_size_result(sendmsg(fd, &msg, flags));
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
	ssize_t rc = WR_FAULT(sendmsg, &len);

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
		n = WR_FAULT(sendfile, &len);
		if (n == 0)
			n = wr_size_result(sendfile(out, in, offset, len));
	} while (n == -EINTR);
	if (!sigismember(&old, SIGPIPE)) {
		if (n == -EPIPE)
			(void)sigtimedwait(&pipe_only, NULL, &now);
		(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	return n;
}
