/* SPDX-License-Identifier: MIT */
/*
 * TLS of the connections of the load: OpenSSL on a socket that does not block.
 * A context is constant during the run; any thread.  A connection and its slot
 * for a session belong to one thread.  A build without OpenSSL has no context.
 */
#ifndef LOAD_SECURE_H
#define LOAD_SECURE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "../plan.h"

struct secure;
struct ssl_st;	       /* a connection: an SSL of OpenSSL */
struct ssl_session_st; /* what a later handshake can resume */

/* *ret is NULL without TLS.  Returns the exit status. */
int secure_new(struct secure **ret, const struct plan_tls *plan);
void secure_free(struct secure *s);

/*
 * Begin TLS on a connected socket.  If resumes, *session is resumed, unless it
 * is NULL.  Sessions that the server offers replace *session, which outlives
 * the connection.  Returns NULL without memory.
 */
struct ssl_st *secure_open(const struct secure *s, int fd,
			   struct ssl_session_st **session, bool resumes);

/*
 * 1: done; 0: not yet; -1 with errno: 0 is the end of input, EPROTO an error of
 * TLS, see secure_why().
 */
int secure_handshake(struct ssl_st *ssl);

/* As recv(2) and send(2); EPROTO: an error of TLS, see secure_why(). */
ssize_t secure_receive(struct ssl_st *ssl, void *buf, size_t cap);
ssize_t secure_send(struct ssl_st *ssl, const void *data, size_t len);

/* After EAGAIN, also of secure_send(): does OpenSSL wait for input? */
bool secure_wants_input(const struct ssl_st *ssl);

/* Has more input, of which epoll says nothing, been read from the socket? */
bool secure_has_rest(const struct ssl_st *ssl);

bool secure_is_resumed(const struct ssl_st *ssl);

/* Directly after EPROTO: what is wrong. */
const char *secure_why(const struct ssl_st *ssl);

/* "TLSv1.3, TLS_AES_256_GCM_SHA384, h2"; returns buf. */
#define SECURE_TEXT 128
const char *secure_describe(const struct ssl_st *ssl, char buf[SECURE_TEXT]);

/* is_said: tell the peer that this is the end.  The socket stays open. */
void secure_close(struct ssl_st *ssl, bool is_said);

void secure_forget(struct ssl_session_st *session);

#endif
