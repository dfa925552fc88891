/* SPDX-License-Identifier: MIT */
/*
 * Invariant: the path names a socket file that we made and have not unlinked.
 * While the socket is open the kernel keeps the inode, so (dev, ino) names no
 * other file, and a server that probes the path does not replace a socket that
 * listens.  Hence the path is removed before the descriptor is closed.
 */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "resolve.h"
#include "sys.h"

#define ALL_BITS  07777
#define NAME_ROOM 160 /* a path and a suffix */

static int set_flag(int fd, int level, int name, int on)
{
	return wr_sys_setsockopt(fd, level, name, &on, sizeof(on));
}

static int get_int(int fd, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);
	int rc = wr_sys_getsockopt(fd, SOL_SOCKET, name, &value, &len);

	return rc < 0 ? rc : value;
}

static bool is_mapped(const struct sockaddr *addr)
{
	struct sockaddr_in6 in6;

	memcpy(&in6, addr, sizeof(in6));
	return IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr);
}

static int listen_tcp(const struct addrinfo *ai, bool is_dual, int backlog)
{
	int fd = wr_sys_socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK,
			       IPPROTO_TCP);
	int rc;

	if (fd < 0)
		return fd;
	rc = set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (rc == 0)
		rc = wr_sys_tune_tcp(fd);
	if (rc == 0 && ai->ai_family == AF_INET6)
		rc = set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY,
			      !is_dual && !is_mapped(ai->ai_addr));
	if (rc == 0)
		rc = wr_sys_bind(fd, ai->ai_addr, ai->ai_addrlen);
	if (rc == 0)
		rc = wr_sys_listen(fd, backlog);
	if (rc == 0)
		return fd;
	wr_sys_close(fd);
	return rc;
}

static bool is_not_here(int rc)
{
	return rc == -EADDRNOTAVAIL || rc == -EAFNOSUPPORT;
}

/*
 * Failures of the first address of this machine are final: the second address
 * of localhost would hide that two servers were started.
 */
static int listen_first(struct addrinfo *list, bool is_any, int backlog)
{
	int rc = -EADDRNOTAVAIL;

	for (struct addrinfo *ai = list; ai && is_not_here(rc);
	     ai = ai->ai_next)
		rc = listen_tcp(ai, is_any, backlog);
	freeaddrinfo(list);
	return rc;
}

static int listen_any(const char *port, int family, int backlog)
{
	const struct addrinfo hints = {
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
		.ai_family = family,
		.ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *list;
	int rc = wr_sys_getaddrinfo(NULL, port, &hints, &list);

	return rc < 0 ? rc : listen_first(list, true, backlog);
}

static int listen_host(const struct wr_address *addr, int backlog,
		       const atomic_bool *stop)
{
	struct addrinfo *list;
	int rc =
		wr_lookup_host(&list, addr->host, addr->port,
			       wr_deadline_at(wr_now_ns(), WR_LOOKUP_MS), stop);

	return rc < 0 ? rc : listen_first(list, false, backlog);
}

static int open_tcp(struct wr_listener *l, const struct wr_address *addr,
		    int backlog, const atomic_bool *stop)
{
	int rc;

	if (addr->host[0]) {
		rc = listen_host(addr, backlog, stop);
	} else {
		rc = listen_any(addr->port, AF_INET6, backlog);
		if (is_not_here(rc))
			rc = listen_any(addr->port, AF_INET, backlog);
	}
	if (rc < 0)
		return rc;
	l->fd = rc;
	l->is_tcp = true;
	return 0;
}

static const struct sockaddr *un_addr(const struct wr_address *addr)
{
	return (const struct sockaddr *)(const void *)&addr->un;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool is_at(const char *path, const struct stat *file)
{
	struct stat st;

	return wr_sys_lstat(path, &st) == 0 && is_same_file(&st, file);
}

/* Rename, check, unlink: a file that has just replaced it survives. */
static int remove_file(const char *path, const struct stat *file)
{
	char aside[NAME_ROOM];
	int rc;

	snprintf(aside, sizeof(aside), "%s.old-%d", path, (int)getpid());
	rc = wr_sys_rename(path, aside);
	if (rc < 0)
		return rc;
	rc = is_at(aside, file) ? wr_sys_unlink(aside) : -EADDRINUSE;
	if (rc < 0)
		(void)wr_sys_rename(aside, path);
	return rc;
}

/*
 * A lock on a file beside the path, which only the file's owner can open.
 * Without it, servers that start at the same moment would all find a stale
 * socket before one of them listens.  A server that does not get it in time
 * goes on.
 */
struct path_lock {
	char name[NAME_ROOM];
	struct stat file;
	int fd; /* -1: not locked */
};

static int wait_for_lock(int fd)
{
	int rc = wr_sys_flock(fd, LOCK_EX | LOCK_NB), round;

	for (round = 0; rc == -EWOULDBLOCK && round < WR_PATH_LOCK_ROUNDS;
	     round++) {
		(void)wr_sys_pause(WR_PATH_LOCK_ROUND_MS);
		rc = wr_sys_flock(fd, LOCK_EX | LOCK_NB);
	}
	return rc;
}

/* Repeats if the last holder has removed the file. */
static void lock_path(struct path_lock *k, const char *path)
{
	int rc = 0, tries;

	k->fd = -1;
	snprintf(k->name, sizeof(k->name), "%s.lock", path);
	for (tries = 0; k->fd < 0 && rc == 0 && tries < WR_PATH_LOCK_ROUNDS;
	     tries++) {
		int fd = wr_sys_create(k->name);

		if (fd < 0)
			return;
		rc = wait_for_lock(fd);
		if (rc == 0)
			rc = wr_sys_fstat(fd, &k->file);
		if (rc == 0 && is_at(k->name, &k->file))
			k->fd = fd;
		else
			wr_sys_close(fd);
	}
}

static void unlock_path(struct path_lock *k)
{
	if (k->fd < 0)
		return;
	(void)wr_sys_unlink(k->name);
	wr_sys_close(k->fd);
}

/* 0: in use; -ECONNREFUSED: stale; or -errno. */
static int probe(const struct wr_address *addr)
{
	int fd = wr_sys_socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return fd;
	rc = wr_sys_connect(fd, un_addr(addr), addr->un_len);
	wr_sys_close(fd);
	/* full backlog; socket of another type */
	return rc == -EAGAIN || rc == -EPROTOTYPE ? 0 : rc;
}

static int remove_stale(const struct wr_address *addr)
{
	const char *path = addr->un.sun_path;
	struct stat st;
	int rc = wr_sys_lstat(path, &st);

	if (rc == 0 && !S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	if (rc == 0)
		rc = probe(addr);
	if (rc == -ECONNREFUSED)
		rc = remove_file(path, &st);
	else if (rc == 0)
		rc = -EADDRINUSE;
	return rc == -ENOENT ? 0 : rc;
}

static void unlink_path(struct wr_listener *l)
{
	if (l->path[0] && !l->is_shared && is_at(l->path, &l->file))
		(void)remove_file(l->path, &l->file);
	l->path[0] = '\0';
}

/*
 * After bind().  By descriptor and without following links: the name may be
 * another file's by now.
 */
static int adopt_path(struct wr_listener *l, const char *path, mode_t mode)
{
	int fd = wr_sys_open(path, O_PATH | O_NOFOLLOW);
	int rc = fd < 0 ? fd : wr_sys_fstat(fd, &l->file);

	if (rc < 0)
		(void)wr_sys_unlink(path);
	else if (!S_ISSOCK(l->file.st_mode))
		rc = -EADDRINUSE; /* replaced by another process */
	else
		snprintf(l->path, sizeof(l->path), "%s", path);
	if (rc == 0 && (l->file.st_mode & ALL_BITS) != mode)
		rc = wr_sys_chmod(fd, mode);
	if (fd >= 0)
		wr_sys_close(fd);
	return rc;
}

static int listen_unix(struct wr_listener *l, const struct wr_address *addr,
		       int backlog, mode_t mode)
{
	const char *path = addr->un.sun_path;
	int rc = wr_sys_socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (rc < 0)
		return rc;
	l->fd = rc;
	/* The file gets this mode, less the umask. */
	if (path[0])
		(void)wr_sys_fchmod(l->fd, mode);
	rc = wr_sys_bind(l->fd, un_addr(addr), addr->un_len);
	if (rc == 0 && path[0])
		rc = adopt_path(l, path, mode);
	if (rc == 0)
		rc = wr_sys_listen(l->fd, backlog);
	if (rc < 0)
		wr_listener_close(l);
	return rc;
}

static bool is_printable(const struct wr_address *addr)
{
	size_t len = addr->un_len - offsetof(struct sockaddr_un, sun_path);
	bool is_abstract = addr->un.sun_path[0] == '\0';

	for (size_t i = is_abstract; i < len - !is_abstract; i++) {
		unsigned char c = (unsigned char)addr->un.sun_path[i];

		if (c < ' ' || c == 0x7f)
			return false;
	}
	return true;
}

static int open_unix(struct wr_listener *l, const struct wr_address *addr,
		     int backlog, mode_t mode)
{
	const char *path = addr->un.sun_path;
	struct path_lock lock;
	int rc;

	if (!is_printable(addr))
		return -EINVAL;
	if (!path[0]) /* no file, so no mode */
		return mode == 0 || mode == 0666
			       ? listen_unix(l, addr, backlog, 0)
			       : -EINVAL;
	lock_path(&lock, path);
	rc = remove_stale(addr);
	if (rc == 0)
		rc = listen_unix(l, addr, backlog, mode ? mode : 0600);
	unlock_path(&lock);
	return rc;
}

static int add_flag(int fd, int get, int set, int flag)
{
	int flags = wr_sys_fcntl(fd, get, 0);

	return flags < 0 ? flags : wr_sys_fcntl(fd, set, flags | flag);
}

static int take_inherited(struct wr_listener *l, int fd)
{
	int is_listening = get_int(fd, SO_ACCEPTCONN);
	int type = get_int(fd, SO_TYPE);
	int domain = get_int(fd, SO_DOMAIN);
	bool is_tcp = domain == AF_INET || domain == AF_INET6;
	int rc;

	if (is_listening < 0)
		return is_listening;
	if (type < 0 || domain < 0)
		return type < 0 ? type : domain;
	if (!is_listening || type != SOCK_STREAM)
		return -ENOTSOCK;
	rc = add_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC);
	if (rc == 0 && is_tcp)
		rc = wr_sys_tune_tcp(fd);
	if (rc == 0 && is_tcp)
		wr_sys_forget_linger(fd);
	if (rc == 0)
		rc = add_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK);
	if (rc < 0)
		return rc;
	l->fd = fd;
	l->is_shared = l->was_shared = true;
	l->is_tcp = is_tcp;
	return 0;
}

int wr_listener_open(struct wr_listener *l, const struct wr_address *addr,
		     int backlog, mode_t mode, const atomic_bool *stop)
{
	*l = (struct wr_listener){ .fd = -1 };
	switch (addr->kind) {
	case WR_ADDRESS_TCP:
		return open_tcp(l, addr, backlog, stop);
	case WR_ADDRESS_UNIX:
		return open_unix(l, addr, backlog, mode);
	case WR_ADDRESS_FD:
		return take_inherited(l, addr->fd);
	}
	return -EINVAL;
}

/*
 * "The fence": closing a listener resets connections in its backlog, so first
 * no new handshake may begin.
 *
 * A listener that is bound to an interface gets only SYNs of that interface,
 * and no SYN if there is no such interface: the kernel refuses the client.  A
 * handshake under way has a request socket of its own and completes, and
 * connections are not affected.  Linux asks for no privilege (5.7) unless the
 * listener is bound to an interface already.
 */
#define NO_INTERFACE INT_MAX

/*
 * For older kernels: a filter, which sees segments from the TCP header on,
 * drops those with SYN and without ACK.  The client retries after a second and
 * is refused then.  (Newer kernels ask for privilege here.)
 */
static int drop_syns(int fd)
{
	enum { FLAGS_AT = 13, SYN = 0x02, ACK = 0x10 };
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS_AT),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SYN | ACK),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYN, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	const struct sock_fprog program = {
		.len = wr_array_len(code),
		.filter = code,
	};

	return wr_sys_setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
				 sizeof(program));
}

static int fence_tcp(struct wr_listener *l)
{
	int rc = wr_sys_bind_to_interface(l->fd, NO_INTERFACE);

	l->is_ending = true;
	return rc < 0 ? drop_syns(l->fd) : rc;
}

/*
 * shutdown(2) leaves the backlog of a Unix listener alone, and later connects
 * are refused.  On TCP it would reset the backlog.
 */
static int fence_unix(struct wr_listener *l)
{
	int rc;

	unlink_path(l);
	rc = wr_sys_shutdown(l->fd, SHUT_RD);
	l->is_shut = rc == 0;
	return rc;
}

int wr_listener_fence(struct wr_listener *l)
{
	if (l->fd < 0 || l->is_shared)
		return 0;
	return l->is_tcp ? fence_tcp(l) : fence_unix(l);
}

void wr_listener_own(struct wr_listener *l)
{
	struct sockaddr_un addr = { .sun_family = AF_UNSPEC };
	socklen_t len = sizeof(addr);

	if (!l->is_tcp && !l->path[0] &&
	    wr_sys_getsockname(l->fd, (struct sockaddr *)&addr, &len) == 0 &&
	    len <= sizeof(addr) && /* else: without a NUL */
	    addr.sun_family == AF_UNIX && addr.sun_path[0] &&
	    wr_sys_lstat(addr.sun_path, &l->file) == 0 &&
	    S_ISSOCK(l->file.st_mode))
		snprintf(l->path, sizeof(l->path), "%s", addr.sun_path);
	l->is_shared = false;
}

size_t wr_listener_waiting(const struct wr_listener *l)
{
	struct tcp_info info = { .tcpi_unacked = 0 };
	socklen_t len = sizeof(info);
	int rc = -ENOPROTOOPT;

	if (l->is_tcp)
		rc = wr_sys_getsockopt(l->fd, IPPROTO_TCP, TCP_INFO, &info,
				       &len);
	/* Kernels that do not count them say 0. */
	if (rc < 0 || info.tcpi_unacked == 0)
		return SIZE_MAX;
	return info.tcpi_unacked;
}

void wr_listener_close(struct wr_listener *l)
{
	int fd = l->fd;

	if (fd < 0)
		return;
	unlink_path(l);
	/*
	 * A copy in a child would keep the port and never accept.  The backlog
	 * is as lost as by the close.
	 */
	if (l->is_ending)
		(void)wr_sys_shutdown(fd, SHUT_RDWR);
	/* The number may be another file's after the close. */
	l->fd = WR_LISTENER_CLOSING;
	wr_sys_close(fd);
	l->fd = -1;
}

int wr_listener_address(const struct wr_listener *l, char *buf, size_t cap)
{
	union {
		struct sockaddr any;
		struct sockaddr_storage room;
	} addr;
	socklen_t len = sizeof(addr);
	int rc = wr_sys_getsockname(l->fd, &addr.any, &len);

	return rc < 0 ? rc : wr_address_format(&addr.any, len, buf, cap);
}
