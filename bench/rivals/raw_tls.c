/* SPDX-License-Identifier: MIT */
/*
 * Bare, with TLS: each thread has a listener on the same port, a
 * level-triggered epoll and its own connections, with OpenSSL on each socket,
 * which reads ahead, so that a record is one read.  What it costs over
 * raw_epoll_reuseport is TLS.
 */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rival.h"

/* A connection, found by its descriptor. */
struct peer {
	SSL *ssl;
	char *rest; /* output that OpenSSL has not taken */
	size_t at, len;
};

struct loop {
	int epoll, listener;
};

static struct peer peers[RIVAL_FILES];
static SSL_CTX *context;
static struct loop *next_loop;

static void end(int fd)
{
	SSL_free(peers[fd].ssl);
	free(peers[fd].rest);
	peers[fd] = (struct peer){ 0 };
	close(fd);
}

/* 1: all was sent; 0: the rest is kept; -1: the peer is gone. */
static int deliver(struct peer *p, const char *data, size_t len)
{
	size_t n = 0;

	ERR_clear_error();
	while (SSL_write_ex(p->ssl, data, len, &n) == 1 && n < len) {
		data += n;
		len -= n;
	}
	if (n == len)
		return 1;
	if (SSL_get_error(p->ssl, 0) != SSL_ERROR_WANT_WRITE)
		return -1;
	p->rest = malloc(len);
	if (p->rest == NULL)
		return -1;
	memcpy(p->rest, data, len);
	p->at = 0;
	p->len = len;
	return 0;
}

static int deliver_rest(struct peer *p)
{
	size_t n = 0;

	ERR_clear_error();
	while (SSL_write_ex(p->ssl, p->rest + p->at, p->len - p->at, &n) == 1) {
		p->at += n;
		if (p->at < p->len)
			continue;
		free(p->rest);
		p->rest = NULL;
		return 1;
	}
	return SSL_get_error(p->ssl, 0) == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

/*
 * Until nothing is left in OpenSSL; epoll tells of what is left in the socket.
 * The first reads make the handshake.  1, 0 as for deliver(), or -1.
 */
static int echo(struct peer *p, char *chunk)
{
	size_t n;
	int rc = p->rest ? deliver_rest(p) : 1;

	while (rc > 0) {
		ERR_clear_error();
		if (SSL_read_ex(p->ssl, chunk, RIVAL_CHUNK, &n) != 1)
			return SSL_get_error(p->ssl, 0) == SSL_ERROR_WANT_READ
				       ? 1
				       : -1;
		rival_nap(chunk, n);
		rc = deliver(p, chunk, n);
		if (rc > 0 && !SSL_has_pending(p->ssl))
			break;
	}
	return rc;
}

static void serve(const struct loop *l, int fd, char *chunk)
{
	struct peer *p = &peers[fd];
	bool was_stuck = p->rest != NULL;
	int rc = echo(p, chunk);
	struct epoll_event ev = {
		.events = rc > 0 ? EPOLLIN : EPOLLOUT,
		.data.fd = fd,
	};

	if (rc < 0)
		end(fd);
	else if (was_stuck != (rc == 0))
		epoll_ctl(l->epoll, EPOLL_CTL_MOD, fd, &ev);
}

static void take_all(const struct loop *l)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int fd;

	while ((fd = accept4(l->listener, NULL, NULL,
			     SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (fd >= RIVAL_FILES)
			rival_fail("too many connections");
		peers[fd].ssl = SSL_new(context);
		if (peers[fd].ssl == NULL || !SSL_set_fd(peers[fd].ssl, fd))
			rival_fail("SSL_new");
		SSL_set_accept_state(peers[fd].ssl);
		ev.data.fd = fd;
		if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
			rival_fail("epoll_ctl");
	}
}

/* Each thread takes the next loop; all exist already. */
static void *work(void *unused)
{
	struct loop *l = __atomic_fetch_add(&next_loop, sizeof(struct loop),
					    __ATOMIC_RELAXED);
	struct epoll_event ev[256];
	char *chunk = malloc(RIVAL_CHUNK);

	(void)unused;
	if (chunk == NULL)
		rival_fail("malloc");
	for (;;) {
		int n = epoll_wait(l->epoll, ev, 256, -1);

		for (int i = 0; i < n; i++)
			if (ev[i].data.fd == l->listener)
				take_all(l);
			else
				serve(l, ev[i].data.fd, chunk);
	}
	return NULL;
}

static void make_context(const char *certificate)
{
	context = SSL_CTX_new(TLS_server_method());
	if (context == NULL || certificate == NULL ||
	    !SSL_CTX_use_certificate_chain_file(context, certificate) ||
	    !SSL_CTX_use_PrivateKey_file(context, certificate,
					 SSL_FILETYPE_PEM)) {
		ERR_print_errors_fp(stderr);
		exit(1);
	}
	SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
					  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

int main(int argc, char **argv)
{
	struct rival r;

	rival_begin(&r, argc, argv);
	make_context(r.certificate);
	next_loop = calloc((size_t)r.threads, sizeof(struct loop));
	if (next_loop == NULL)
		rival_fail("calloc");
	for (int i = 0; i < r.threads; i++) {
		struct epoll_event ev = { .events = EPOLLIN };

		next_loop[i].listener = ev.data.fd = rival_listen(&r);
		next_loop[i].epoll = epoll_create1(EPOLL_CLOEXEC);
		if (next_loop[i].epoll < 0 ||
		    epoll_ctl(next_loop[i].epoll, EPOLL_CTL_ADD,
			      next_loop[i].listener, &ev) < 0)
			rival_fail("epoll");
	}
	rival_ready(&r);
	rival_threads(&r, work, NULL);
}
