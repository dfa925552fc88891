/* SPDX-License-Identifier: MIT */
/* Inside of libweir-tls. */
#ifndef TLS_H
#define TLS_H

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "hello.h"
#include "layer.h"
#include "weir-tls.h"

/* A certificate and its key, with all else that a handshake needs. */
struct tls_site {
	SSL_CTX *ssl;
	X509 *leaf; /* its certificate, which the SSL_CTX owns; NULL */
	struct tls_site *next;
};

/* The keys of resumption tickets, the one that encrypts first. */
struct tls_tickets {
	pthread_mutex_t lock;
	struct tls_key {
		unsigned char name[16], cipher[32], mac[32];
	} keys[3];	    /* l */
	size_t count;	    /* l */
	int64_t made_at;    /* l, in ms */
	int64_t lifetime_s; /* c */
	bool is_from_file;  /* c: they are never renewed */
};

#define SESSION_CONTEXT 32 /* a SHA-256 */

struct weir_tls {
	struct weir_layer layer; /* first: what weir_service.layer points to */
	atomic_uint refs;
	atomic_bool is_used;
	struct tls_site first;	       /* the list of all */
	struct weir_tls_config config; /* its strings are copies */
	unsigned char *alpn;	       /* as in the handshake */
	size_t alpn_len;
	unsigned char session_context[SESSION_CONTEXT]; /* of all files */
	struct tls_tickets tickets;
	struct tls_warning *warnings; /* in the order of the files */
};

void tls_ref(struct weir_tls *tls);
void tls_unref(struct weir_tls *tls);

int tls_add_names(char *buf, size_t cap, const X509 *x);

/* As weir_conn_tls_name(), of this certificate. */
ssize_t tls_give_name(const X509 *x, int kind, int index, char *buf,
		      size_t cap);

struct tls_why {
	char *text;
	size_t cap;
};

__attribute__((format(printf, 3, 4))) int
tls_refuse(const struct tls_why *why, int rc, const char *format, ...);

int tls_load_pair(struct tls_site *site, const char *certificate,
		  const char *key, const struct tls_why *why);
int tls_load_trust(SSL_CTX *ssl, const struct weir_tls_config *config,
		   bool is_client, const struct tls_why *why);

/* INT64_MAX: never.  Of several lists the first one. */
int64_t tls_seconds_until(const ASN1_TIME *end);
int64_t tls_lists_expire(SSL_CTX *ssl);

/*
 * A client: demand a certificate of that name, which the hello asks for, too;
 * without verify any certificate is taken.  Returns 1; 0: no memory.
 */
int tls_set_peer(SSL *ssl, const char *name, SSL_verify_cb verify);

/* Why the last call has failed, by the first error that OpenSSL has noted. */
const char *tls_reason(const SSL *ssl);

/* The same as WEIR_HANDSHAKE_... */
uint8_t tls_failure(const SSL *ssl);

/* 0 or -errno; path NULL: random keys. */
int tls_tickets_init(struct tls_tickets *t, const char *path, int lifetime_s,
		     const struct tls_why *why);
void tls_tickets_fini(struct tls_tickets *t);

/* Have an SSL_CTX use them.  1: done. */
int tls_tickets_use(SSL_CTX *ssl, struct tls_tickets *t);

int tls_warn_of_certificates(struct weir_tls *tls, const struct tls_site *site,
			     const char *path);
int tls_warn_of_secret(struct weir_tls *tls, const char *path);
int tls_warn_of_lists(struct weir_tls *tls, const char *path);

void tls_free_warnings(struct weir_tls *tls);

struct wr_layer *tls_make(struct weir_layer *from, const char *name);

/* What a thread lends to the connection that it runs. */
struct tls_lent {
	unsigned char in[64 * 1024];
	size_t at, len; /* of it: received and not taken */
	unsigned char out[96 * 1024];
	size_t out_len;
	unsigned char record[TLS_RECORD];
};

/* That of the calling thread; NULL: no memory. */
struct tls_lent *tls_lent(void);

/* Before the first tls_lent(), perhaps again.  0 or -errno. */
int tls_lent_init(void);

#endif
