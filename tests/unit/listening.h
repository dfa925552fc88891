/* SPDX-License-Identifier: MIT */
/* Listening sockets, for tests that are linked with the private archive. */
#ifndef TESTS_UNIT_LISTENING_H
#define TESTS_UNIT_LISTENING_H

#include <netinet/in.h>

#include "listener.h"
#include "sys.h"

/* 0 or -errno; the second must work. */
int try_open(struct wr_listener *l, const char *where);
void open_at(struct wr_listener *l, const char *where);

struct sockaddr_in loopback(uint16_t port);
uint16_t port_of(int fd);
/* A socket after its connect(); *error is 0 or errno. */
int client_of_family(int family, uint16_t port, int flags, int *error);
int client_at(uint16_t port); /* connected */
int accept_from(const struct wr_listener *l);
bool descriptor_has(int fd, int cmd, int flag);
int flag_of(int fd, int level, int name);
bool has_v6(void); /* prints why not */
int bound_socket(int type, uint16_t *port);

/* The next count calls of this kind fail. */
void fail_next_calls(enum wr_sys_call call, int error, int count);
extern int failures_left;

/* The same for the path of a Unix socket. */
int try_open_path(struct wr_listener *l, const char *path, mode_t mode);
void open_path(struct wr_listener *l, const char *path);
struct sockaddr_un path_addr(const char *path);
int try_connect(int *fd, const char *path); /* 0 or errno; *fd stays open */
bool is_live(const char *path);
/* A socket file that is listened at, or not. */
int socket_file(const char *path, int type);
void leave_stale(const char *path);
ino_t inode(const char *path);

/* Run the tests in a directory that is removed afterwards; their status. */
int run_in_own_directory(int (*tests)(void));

#endif
