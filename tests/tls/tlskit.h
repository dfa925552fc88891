/* SPDX-License-Identifier: MIT */
/*
 * The kit of the tests of TLS: certificates made for the test, servers that use
 * them, and clients by OpenSSL on a blocking socket.
 */
#ifndef TESTS_TLS_TLSKIT_H
#define TESTS_TLS_TLSKIT_H

#include <openssl/ssl.h>

#include "test.h"
#include "weir-tls.h"

/*
 * The path of a file that this test has made, such as "ca.pem", "a.pem" and
 * "a.key" for the host a.example and 127.0.0.1, signed by the CA.
 */
const char *tls_file(const char *name);

/*
 * Make name.pem and name.key for these names, as in OpenSSL's subjectAltName,
 * or for one host with a bar for a NUL or bytes beyond ASCII; signer: "ca", or
 * "" for itself.
 */
void tls_make_pair(const char *name, const char *names, const char *signer);

/*
 * Make name.crl, the CA's list with the certificate of the pair revoked, or
 * none for "", which is to be replaced after days.
 */
void tls_make_crl(const char *name, const char *revoked, int days);

/* Contexts: a server's with the pair; a client's that trusts the CA. */
weir_tls *tls_server(const char *pair);
weir_tls *tls_client(const char *name);

/* serve() with TLS by "a.pem". */
struct server *tls_serve(const struct weir_config *config,
			 const struct weir_service *service);

struct tls_client {
	int fd;
	SSL *ssl;
};

/* A context of OpenSSL's client that verifies nothing. */
SSL_CTX *client_context(void);

/* Connect and make the handshake; ctx NULL: client_context(). */
struct tls_client tls_open(struct server *s, SSL_CTX *ctx);
/* Connect alone. */
struct tls_client tls_connect(struct server *s, SSL_CTX *ctx);
int tls_shake(struct tls_client *c); /* 1, or the error of SSL_get_error() */
void tls_send(struct tls_client *c, const void *data, size_t len);
void tls_expect(struct tls_client *c, const void *data, size_t len);
void tls_expect_echo(struct tls_client *c, const char *text);
void tls_expect_end(struct tls_client *c); /* close_notify */
void tls_half_close(struct tls_client *c); /* close_notify and FIN */
void tls_close(struct tls_client *c);	   /* close_notify, close */
void tls_abandon(struct tls_client *c);	   /* close without it */

#endif
