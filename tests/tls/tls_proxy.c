/* SPDX-License-Identifier: MIT */
/*
 * A process between clients that speak plain text and servers that speak TLS,
 * with tls_switch.c, which describes the call.  It passes on what either side
 * does: an end of input as close_notify and FIN, a reset as a reset, and no
 * more bytes than the other side takes.  A server that ends without
 * close_notify is a reset to its client.
 *
 * It prints its port, and ends with its standard input.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls_switch.h"

struct flow {
	char data[16384];
	size_t at, len;
	bool has_ended; /* no more comes */
	bool is_closed; /* and the other side knows */
};

struct pair {
	int plain, server;
	SSL *ssl;
	struct flow up, down; /* to the server, to the client */
	short server_events;
};

static SSL_CTX *ctx;

static void reset(int fd)
{
	const struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static bool would_block(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* False: the connection is over. */
static bool read_plain(struct pair *p)
{
	struct flow *f = &p->up;
	ssize_t n;

	if (f->len > 0 || f->has_ended)
		return true;
	n = recv(p->plain, f->data, sizeof(f->data), MSG_DONTWAIT);
	if (would_block(n))
		return true;
	f->has_ended = n == 0;
	f->at = 0;
	f->len = n > 0 ? (size_t)n : 0;
	return n >= 0;
}

static bool write_plain(struct pair *p)
{
	struct flow *f = &p->down;
	ssize_t n;

	while (f->len > 0) {
		n = send(p->plain, f->data + f->at, f->len,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			return would_block(n);
		f->at += (size_t)n;
		f->len -= (size_t)n;
	}
	if (f->has_ended && !f->is_closed)
		shutdown(p->plain, SHUT_WR);
	f->is_closed = f->has_ended;
	return true;
}

/* What OpenSSL waits for. */
static bool wants(struct pair *p, int rc)
{
	int error = SSL_get_error(p->ssl, rc);

	if (error == SSL_ERROR_WANT_READ)
		p->server_events |= POLLIN;
	else if (error == SSL_ERROR_WANT_WRITE)
		p->server_events |= POLLOUT;
	else
		return false;
	return true;
}

static bool read_server(struct pair *p)
{
	struct flow *f = &p->down;
	int n;

	if (f->len > 0 || f->has_ended)
		return true;
	ERR_clear_error();
	n = SSL_read(p->ssl, f->data, sizeof(f->data));
	if (n > 0) {
		f->at = 0;
		f->len = (size_t)n;
		return true;
	}
	if (wants(p, n))
		return true;
	/* A server that ends before the handshake has refused its client. */
	f->has_ended = SSL_get_error(p->ssl, n) == SSL_ERROR_ZERO_RETURN ||
		       (!SSL_is_init_finished(p->ssl) && errno == 0);
	return f->has_ended;
}

static bool write_server(struct pair *p)
{
	struct flow *f = &p->up;
	int n;

	while (f->len > 0) {
		ERR_clear_error();
		n = SSL_write(p->ssl, f->data + f->at, (int)f->len);
		if (n <= 0)
			return wants(p, n);
		f->at += (size_t)n;
		f->len -= (size_t)n;
	}
	if (!f->has_ended || f->is_closed || !SSL_is_init_finished(p->ssl))
		return true;
	n = SSL_shutdown(p->ssl);
	if (n < 0)
		return wants(p, n);
	shutdown(p->server, SHUT_WR);
	f->is_closed = true;
	return true;
}

/* One step of both flows; false: the connection is over. */
static bool move(struct pair *p)
{
	p->server_events = 0;
	errno = 0;
	return read_server(p) && write_plain(p) && read_plain(p) &&
	       write_server(p) && !(p->up.is_closed && p->down.is_closed);
}

/* A record has more bytes than the last read took. */
static bool has_rest(const struct pair *p)
{
	return p->down.len == 0 && SSL_pending(p->ssl) > 0;
}

static void pass_on(struct pair *p)
{
	while (move(p)) {
		struct pollfd fds[2] = { { .fd = p->plain },
					 { .fd = p->server } };

		if (p->up.len == 0 && !p->up.has_ended)
			fds[0].events |= POLLIN;
		if (p->down.len > 0)
			fds[0].events |= POLLOUT;
		if (p->down.len == 0 && !p->down.has_ended)
			fds[1].events |= POLLIN;
		fds[1].events |= p->server_events;
		/* An end that is known would be told again. */
		if (p->up.has_ended && p->down.is_closed)
			fds[0].fd = -1;
		if (p->down.has_ended && p->up.is_closed)
			fds[1].fd = -1;
		if (poll(fds, 2, has_rest(p) ? 0 : -1) < 0)
			break;
		if ((fds[0].revents | fds[1].revents) & POLLERR)
			break;
	}
	if (p->up.is_closed && p->down.is_closed)
		return;
	reset(p->plain);
	reset(p->server);
}

static int connect_to(int plain, const struct tls_call *call)
{
	struct sockaddr_storage to;
	socklen_t len = sizeof(to);
	const int on = 1;
	int fd;

	/* The host that the client has called, with another port. */
	if (getsockname(plain, (struct sockaddr *)&to, &len) < 0)
		return -errno;
	((struct sockaddr_in *)(void *)&to)->sin_port = htons(call->port);
	fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (call->receive_buffer) {
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &call->receive_buffer,
			   sizeof(call->receive_buffer));
		setsockopt(plain, SOL_SOCKET, SO_SNDBUF, &call->receive_buffer,
			   sizeof(call->receive_buffer));
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(plain, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (struct sockaddr *)&to, len) < 0) {
		int error = errno;

		close(fd);
		return -error;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void *serve(void *arg)
{
	struct pair *p = calloc(1, sizeof(*p));
	struct tls_call call;
	int error;

	if (p == NULL)
		abort();
	p->plain = (int)(intptr_t)arg;
	if (recv(p->plain, &call, sizeof(call), MSG_WAITALL) ==
	    (ssize_t)sizeof(call)) {
		p->server = connect_to(p->plain, &call);
		error = p->server < 0 ? -p->server : 0;
		(void)send(p->plain, &error, sizeof(error), MSG_NOSIGNAL);
		if (error == 0) {
			p->ssl = SSL_new(ctx);
			SSL_set_fd(p->ssl, p->server);
			SSL_set_connect_state(p->ssl);
			pass_on(p);
			SSL_free(p->ssl);
			close(p->server);
		}
	}
	close(p->plain);
	free(p);
	return NULL;
}

static int listen_anywhere(void)
{
	struct sockaddr_in6 at = { .sin6_family = AF_INET6 };
	socklen_t len = sizeof(at);
	const int off = 0;
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (struct sockaddr *)&at, len) < 0 || listen(fd, 4096) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) < 0) {
		perror("tls_proxy");
		exit(1);
	}
	printf("%d\n", ntohs(at.sin6_port));
	fflush(stdout);
	return fd;
}

static void *accept_all(void *arg)
{
	int fd = (int)(intptr_t)arg, client;
	pthread_attr_t attr;
	pthread_t id;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, (size_t)256 * 1024);
	for (;;) {
		client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		if (client >= 0 &&
		    pthread_create(&id, &attr, serve,
				   (void *)(intptr_t)client) != 0)
			close(client);
	}
	return NULL;
}

int main(void)
{
	struct rlimit room;
	pthread_t id;
	char byte;

	if (getrlimit(RLIMIT_NOFILE, &room) == 0) {
		room.rlim_cur = room.rlim_max;
		setrlimit(RLIMIT_NOFILE, &room);
	}
	signal(SIGPIPE, SIG_IGN);
	ctx = SSL_CTX_new(TLS_client_method());
	if (ctx == NULL)
		return 1;
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	if (pthread_create(&id, NULL, accept_all,
			   (void *)(intptr_t)listen_anywhere()) != 0)
		return 1;
	while (read(0, &byte, 1) > 0)
		;
	_exit(0);
}
