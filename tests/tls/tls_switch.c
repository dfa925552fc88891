/* SPDX-License-Identifier: MIT */
/*
 * A library to be loaded before all others into a test (LD_PRELOAD): servers
 * use TLS, and the test does not know.  weir_server_listen() gets a context,
 * and a connect() to such a listener goes to tls_proxy, which is the other end
 * of the TLS.  The test keeps its plain socket.
 *
 * TLS_SWITCH_PORT is the port of tls_proxy, TLS_SWITCH_PAIR a file with a
 * certificate and its key, TLS_SWITCH_MAP a file of 64 KiB of zeros.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls_switch.h"
#include "weir-tls.h"

static uint16_t proxy_port;
static const char *pair;

/* By port; all processes of the test share it. */
static atomic_bool *is_switched;

__attribute__((constructor)) static void load(void)
{
	const char *port = getenv("TLS_SWITCH_PORT");
	const char *map = getenv("TLS_SWITCH_MAP");
	int fd = map ? open(map, O_RDWR | O_CLOEXEC) : -1;

	pair = getenv("TLS_SWITCH_PAIR");
	is_switched = mmap(NULL, UINT16_MAX + 1, PROT_READ | PROT_WRITE,
			   MAP_SHARED, fd, 0);
	if (port == NULL || pair == NULL || is_switched == MAP_FAILED)
		abort();
	close(fd);
	proxy_port = (uint16_t)atoi(port);
}

/* 0: it is not TCP. */
static uint16_t port_of(const struct sockaddr *at)
{
	const struct sockaddr_in *in = (const void *)at;

	return at->sa_family == AF_INET || at->sa_family == AF_INET6
		       ? ntohs(in->sin_port)
		       : 0;
}

/* The port may have been another listener's. */
int listen(int fd, int backlog)
{
	static int (*next)(int, int);
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);

	if (next == NULL)
		next = (int (*)(int, int))dlsym(RTLD_NEXT, "listen");
	if (next(fd, backlog) < 0)
		return -1;
	if (getsockname(fd, (struct sockaddr *)&at, &len) == 0)
		is_switched[port_of((struct sockaddr *)&at)] = false;
	return 0;
}

static weir_tls *use_tls(struct weir_service *service)
{
	char why[256] = "";
	weir_tls *tls;

	if (weir_tls_new(&tls, WEIR_TLS(.certificate = pair), why,
			 sizeof(why)) < 0 ||
	    weir_tls_use(service, tls) < 0) {
		fprintf(stderr, "no TLS: %s\n", why);
		abort();
	}
	return tls;
}

int weir_server_listen(weir_server *s, const char *where,
		       const struct weir_service *service)
{
	static int (*next)(weir_server *, const char *,
			   const struct weir_service *);
	struct weir_service mine;
	char address[256];
	weir_tls *tls;
	int id;

	if (next == NULL)
		next = (int (*)(weir_server *, const char *,
				const struct weir_service *))
			dlsym(RTLD_NEXT, "weir_server_listen");
	if (where == NULL || strncmp(where, "unix:", 5) == 0 ||
	    service == NULL || service->size != sizeof(mine) || service->layer)
		return next(s, where, service);
	mine = *service;
	mine.handshake_ms = WEIR_NEVER; /* tls_proxy makes one at a time */
	tls = use_tls(&mine);
	id = next(s, where, &mine);
	weir_tls_unref(tls);
	if (id >= 0 &&
	    weir_server_address(s, id, address, sizeof(address)) > 0 &&
	    strncmp(address, "unix:", 5) != 0)
		is_switched[atoi(strrchr(address, ':') + 1)] = true;
	return id;
}

static int call_proxy(int fd, uint16_t port)
{
	struct tls_call call = { .port = port };
	socklen_t len = sizeof(call.receive_buffer);
	int error = ECONNRESET;

	getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &call.receive_buffer, &len);
	if (call.receive_buffer > 65536)
		call.receive_buffer = 0;
	if (send(fd, &call, sizeof(call), MSG_NOSIGNAL) < 0 ||
	    recv(fd, &error, sizeof(error), MSG_WAITALL) < 0)
		return errno;
	return error;
}

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
	static int (*next)(int, const struct sockaddr *, socklen_t);
	struct sockaddr_storage at;
	uint16_t port = port_of(to);
	int error, flags;

	if (next == NULL)
		next = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(
			RTLD_NEXT, "connect");
	if (!is_switched[port])
		return next(fd, to, len);
	memcpy(&at, to, len);
	((struct sockaddr_in *)(void *)&at)->sin_port = htons(proxy_port);
	flags = fcntl(fd, F_GETFL);
	fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
	error = next(fd, (struct sockaddr *)&at, len) < 0
			? errno
			: call_proxy(fd, port);
	fcntl(fd, F_SETFL, flags);
	errno = error;
	return error ? -1 : 0;
}
