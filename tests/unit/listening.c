/* SPDX-License-Identifier: MIT */
/* Shared by the tests of listening sockets; see listening.h. */
#include "listening.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>

#include "test.h"

/* ------------------------------------------------------------------- TCP */

int try_open(struct wr_listener *l, const char *where)
{
	struct wr_address addr;

	ck_assert_int_eq(wr_address_parse(&addr, where), 0);
	return wr_listener_open(l, &addr, 128, 0, NULL);
}

void open_at(struct wr_listener *l, const char *where)
{
	ck_assert_int_eq(try_open(l, where), 0);
}

struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

uint16_t port_of(int fd)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);

	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	return ntohs(addr.ss_family == AF_INET6
			     ? ((struct sockaddr_in6 *)&addr)->sin6_port
			     : ((struct sockaddr_in *)&addr)->sin_port);
}

int client_of_family(int family, uint16_t port, int flags, int *error)
{
	struct sockaddr_in in = loopback(port);
	struct sockaddr_in6 in6 = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(port),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};
	int fd = socket(family, SOCK_STREAM | flags, 0);
	int rc;

	ck_assert_int_ge(fd, 0);
	rc = family == AF_INET
		     ? connect(fd, (struct sockaddr *)&in, sizeof(in))
		     : connect(fd, (struct sockaddr *)&in6, sizeof(in6));
	*error = rc < 0 ? errno : 0;
	return fd;
}

int client_at(uint16_t port)
{
	int error, fd = client_of_family(AF_INET, port, 0, &error);

	ck_assert_int_eq(error, 0);
	return fd;
}

int accept_from(const struct wr_listener *l)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN };

	UNTIL(poll(&p, 1, 0) == 1);
	return wr_sys_accept4(l->fd, NULL, NULL, 0);
}

bool descriptor_has(int fd, int cmd, int flag)
{
	return (fcntl(fd, cmd) & flag) != 0;
}

int flag_of(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	ck_assert_int_eq(getsockopt(fd, level, name, &value, &len), 0);
	return value != 0;
}

bool has_v6(void)
{
	struct wr_listener l;
	bool has = try_open(&l, "[::1]:0") == 0;

	wr_listener_close(&l);
	if (!has)
		skip_test("this machine has no IPv6");
	return has;
}

int bound_socket(int type, uint16_t *port)
{
	struct sockaddr_in in = loopback(0);
	int fd = socket(AF_INET, type, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	*port = port_of(fd);
	return fd;
}

/* -------------------------------------------------------------- failures */

static enum wr_sys_call target;
static int target_error;
int failures_left;

static int fail_a_few(enum wr_sys_call call, size_t *len)
{
	(void)len;
	if (call != target || failures_left == 0)
		return 0;
	failures_left--;
	return target_error;
}

void fail_next_calls(enum wr_sys_call call, int error, int count)
{
	target = call;
	target_error = error;
	failures_left = count;
	wr_sys_fault = fail_a_few;
}

/* ------------------------------------------------------------------ paths */

int try_open_path(struct wr_listener *l, const char *path, mode_t mode)
{
	struct wr_address addr;
	char where[200];

	snprintf(where, sizeof(where), "unix:%s", path);
	ck_assert_int_eq(wr_address_parse(&addr, where), 0);
	return wr_listener_open(l, &addr, 128, mode, NULL);
}

void open_path(struct wr_listener *l, const char *path)
{
	ck_assert_int_eq(try_open_path(l, path, 0600), 0);
}

struct sockaddr_un path_addr(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	memcpy(un.sun_path, path, strlen(path));
	return un;
}

/* 0 or errno of a connect(); *fd stays open. */
int try_connect(int *fd, const char *path)
{
	struct sockaddr_un un = path_addr(path);

	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(*fd, 0);
	if (connect(*fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return 0;
	return errno;
}

bool is_live(const char *path)
{
	int fd, error = try_connect(&fd, path);

	close(fd);
	return error == 0;
}

/* A socket file that is listened at, or not. */
int socket_file(const char *path, int type)
{
	struct sockaddr_un un = path_addr(path);
	int fd = socket(AF_UNIX, type, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

void leave_stale(const char *path)
{
	close(socket_file(path, SOCK_STREAM));
}

ino_t inode(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 ? st.st_ino : 0;
}

/* Remove what the tests left: files, sockets, links and empty folders. */
static void empty_directory(void)
{
	DIR *dir = opendir(".");
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0)
			remove(entry->d_name);
	if (dir)
		closedir(dir);
}

int run_in_own_directory(int (*tests)(void))
{
	char dir[FOLDER_ROOM];
	int rc;

	if (!make_folder(dir) || chdir(dir) < 0) {
		perror(dir);
		return EXIT_FAILURE;
	}
	rc = tests();
	empty_directory();
	rmdir(dir);
	return rc;
}
