/* SPDX-License-Identifier: MIT */
/*
 * TLS for connections of weir, by OpenSSL: link with libweir-tls.
 *
 *	weir_tls *tls;
 *	char why[256];
 *	int rc = weir_tls_new(&tls, WEIR_TLS(.certificate = "server.pem",
 *					     .key = "server.key"),
 *			      why, sizeof(why));
 *
 *	weir_tls_use(&service, tls);
 *	rc = weir_server_listen(server, ":7", &service);
 *	weir_tls_unref(tls);
 *
 * Handlers need no change: input and output are the plain bytes, and the
 * handler is called when the handshake is over.  docs/TLS.md has the
 * differences.  The rules of weir.h apply to these calls, too.
 */
#ifndef WEIR_TLS_H
#define WEIR_TLS_H

#include <weir.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A context: certificates with their keys, trusted authorities and settings of
 * handshakes.  It has a reference count and does not change: a listener gets
 * new files with another context, by weir_tls_replace().
 */
typedef struct weir_tls weir_tls;

/* weir_tls_config.client */
enum {
	WEIR_TLS_NO_CLIENT = 0,	     /* ask for no certificate */
	WEIR_TLS_ASK_CLIENT = 1,     /* one that is sent must be good */
	WEIR_TLS_REQUIRE_CLIENT = 2, /* and one must be sent */
};

/* weir_tls_config.min_version */
enum { WEIR_TLS_1_2 = 0, WEIR_TLS_1_3 = 1 };

/* weir_tls_config.flags */
enum {
	/* A client: verify nothing.  Anybody can be the peer. */
	WEIR_TLS_INSECURE = 1 << 0,
	/* An end of TCP without close_notify is an end of input, if it */
	/* comes between two records. */
	WEIR_TLS_EOF_IS_END = 1 << 1
};

/* Fields that are NULL or 0 have their defaults.  Files are in PEM. */
struct weir_tls_config {
	size_t size; /* sizeof(struct weir_tls_config) */

	const char *certificate; /* file: certificate, then its chain */
	const char *key;	 /* file; NULL: it is in the same file */
	const char *ca;	  /* file: authorities of peers; NULL: for a client, */
			  /* the system's; for a server, none */
	const char *crl;  /* file: revoked certificates of peers; NULL */
	const char *name; /* client: host or address that the certificate */
			  /* of the peer must have */
	const char *alpn; /* protocols, best first: "h2,http/1.1"; NULL */
	int client;	  /* server: WEIR_TLS_NO_CLIENT ... */
	int min_version;  /* WEIR_TLS_1_2 or _1_3 */
	unsigned int flags;
	const char *client_names; /* server: hosts; the certificate of a */
				  /* client must have one: "a.example,b" */
	const char *ticket_keys;  /* server: file with 1 to 3 keys of tickets */
				  /* of 80 bytes; NULL: random, renewed */
	int ticket_lifetime_s;	  /* server: seconds; 0: 7,200 */
	const char *groups;  /* of the key exchange, best first, of X25519, */
			     /* P-256, P-384, P-521 and X448.  In TLS 1.2 an */
			     /* ECDSA certificate of the peer must be of one */
			     /* of them.  NULL: "X25519:P-256"; a client: */
			     /* "X25519:P-256:P-384:P-521" */
	const char *ciphers; /* of TLS 1.2, as OpenSSL names them; NULL: */
			     /* "ECDHE+AESGCM:ECDHE+CHACHA20"; without '@' */
	const char *ciphersuites; /* of TLS 1.3, as in OpenSSL; NULL: its own */
};

/* For C and C++20, as WEIR_CONFIG(); C++17 has weir_tls_config_init(). */
#if !defined(__cplusplus)
#define WEIR_TLS(...)                                                          \
	(&(struct weir_tls_config){ .size = sizeof(struct weir_tls_config),    \
				    __VA_ARGS__ })
#elif __cplusplus >= 202002L
#define WEIR_TLS(...) WEIR_MAKE(weir_tls_config, __VA_ARGS__)
#endif

/*
 * Make a context for listeners, or with weir_tls_new_client() one for
 * connections that the program makes.  All files are read and checked now.  If
 * why is not NULL, a failure writes one line to it: at most cap bytes with the
 * NUL.
 *
 * Returns 0; -EINVAL (a file, or a field, is not good); -ENOENT, -EACCES ... (a
 * file cannot be read); -ENOMEM; -ENOSYS (libweir is of another release).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_tls_new(weir_tls **ret, const struct weir_tls_config *config,
			  char *why, size_t cap);
WEIR_API int weir_tls_new_client(weir_tls **ret,
				 const struct weir_tls_config *config,
				 char *why, size_t cap);

/*
 * Fill *c with the defaults; size is its sizeof.
 *
 * Thread: any.  Since: 0.1.
 */
WEIR_API void weir_tls_config_init(struct weir_tls_config *c, size_t size);

/*
 * Add another certificate to a context of a server, before the context is used.
 * A client that asks for one of its names gets it.  The files of the
 * configuration are read again.
 *
 * Returns as weir_tls_new(); -EBUSY (it is used); -EINVAL (also: tls is of
 * weir_tls_new_client()).
 * Thread: any, one at a time.  Since: 0.1.
 */
WEIR_API int weir_tls_add(weir_tls *tls, const char *certificate,
			  const char *key, char *why, size_t cap);

/*
 * Count one more reference to tls, or give one up; NULL is allowed.  Listeners
 * and connections have references of their own.
 *
 * Returns tls.
 * Thread: any.  Since: 0.1.
 */
WEIR_API weir_tls *weir_tls_dup(weir_tls *tls);
WEIR_API void weir_tls_unref(weir_tls *tls);

/*
 * Get the time until a certificate of tls expires: of several, the first one.
 *
 * Returns seconds, below 0 if it has expired; INT64_MAX (no certificate).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int64_t weir_tls_expires(const weir_tls *tls);

/*
 * Get the time until the next update of a list of crl is due, after which peers
 * are refused: of several, the first one.
 *
 * Returns seconds, below 0 if it has passed; INT64_MAX (no list, or no time).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int64_t weir_tls_crl_expires(const weir_tls *tls);

/*
 * Write the hosts and addresses that the certificates of tls are for, with
 * spaces between them.  What is not printable in a name is written as '?'.
 *
 * Returns the length of the text; -EINVAL; -ENOSPC (*buf has the first ones).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_tls_names(const weir_tls *tls, char *buf, size_t cap);

/*
 * Write one of the warnings about the files to buf; the first has index 0.  It
 * is a line of text: the file, what is wrong, and what is expected.  There is a
 * warning for a certificate that ends within 14 days, for one behind the first
 * that has expired, for a chain that is out of order or lacks an issuer, for a
 * key that others may read, for a list of revoked certificates that has
 * expired, and for an authority of ca that has issued none of the lists of crl.
 * The warnings are made when the files are read.
 *
 * Returns the length of the text; -ENOENT (there are no more); -ENOSPC;
 * -EINVAL.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_tls_warning(const weir_tls *tls, int index, char *buf,
			      size_t cap);

/*
 * Have all connections of the service use TLS: with a context of a server for
 * weir_server_listen() and weir_server_adopt(), with one of a client, which
 * needs its name, for weir_server_dial().
 *
 * Returns 0; -EINVAL.
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_tls_use(struct weir_service *service, weir_tls *tls);

/*
 * Have a listener that uses TLS take another context.  Handshakes that begin
 * from now on use it; open connections keep theirs.
 *
 * Returns 0; -EINVAL (no such listener, it does not use TLS, or tls is of
 * weir_tls_new_client()).
 * Thread: any.  Since: 0.1.
 */
WEIR_API int weir_tls_replace(weir_server *s, int listener, weir_tls *tls);

/*
 * Begin TLS on a connection that is in clear, as STARTTLS does.  All output has
 * to leave before that: in a callback that does not wait, -EAGAIN says that
 * some is left.  Bytes that have come already belong to the handshake.  With a
 * tls of weir_tls_new_client() this side is the client, and name, unless it is
 * NULL, replaces the name of tls.
 *
 * A session, and the owner of a connection of weir_dial(), wait until the
 * handshake is over.  Another callback returns to the library, which makes the
 * handshake: output that is written before its end follows it, and the handler
 * is called for input after it.  An error ends the connection.
 *
 * For a connection of weir_dial() OpenSSL runs on the caller's stack, of which
 * it takes about 20 KiB: a session needs a stack_size of 64 KiB.
 *
 * Returns 0; -EAGAIN; -EALREADY (it uses TLS); -EPIPE; -EPROTO (the handshake
 * has failed, see weir_conn_tls()); -ECONNRESET; -ETIMEDOUT (handshake_ms);
 * another error of input; -ENOMEM; -EINVAL (also: a client without a name).
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_start_tls(weir_conn *c, weir_tls *tls, const char *name);

/* weir_conn_tls(); a byte that is not printable is written as '?'. */
struct weir_tls_info {
	char version[16]; /* "TLSv1.3"; "": the handshake is not over */
	char cipher[64];  /* "TLS_AES_256_GCM_SHA384" */
	char group[32];	  /* of the key exchange: "X25519" */
	char alpn[64];	  /* the protocol agreed on; "": none */
	char sni[256];	  /* the name that the client asked for; "": none */
	char why[128];	  /* why it has failed or was cut short; "" */
	int64_t resumed;  /* 1: by a ticket of an earlier connection */
	int64_t verified; /* 1: the peer has shown a certificate that is good */
	char names[256];  /* hosts and addresses of the peer's certificate, */
			  /* also of one that was refused; "": none shown */
};

/*
 * Describe the TLS of a connection; size is sizeof *ret.
 *
 * Returns 0; -ENOTCONN (it does not use TLS, or has not begun); -EINVAL.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API int weir_conn_tls(const weir_conn *c, struct weir_tls_info *ret,
			   size_t size);

/* weir_conn_tls_name() */
enum {
	WEIR_TLS_NAME_SUBJECT = 0, /* "CN=a,O=b", escaped as in RFC 2253 */
	WEIR_TLS_NAME_CN = 1,	   /* the common name, in UTF-8 */
	WEIR_TLS_NAME_DNS = 2,	   /* subjectAltName: this and the next 3 */
	WEIR_TLS_NAME_URI = 3,
	WEIR_TLS_NAME_EMAIL = 4,
	WEIR_TLS_NAME_IP = 5,
	WEIR_TLS_NAME_SERIAL = 6, /* the serial number, in hexadecimal */
	WEIR_TLS_NAME_SHA256 = 7  /* of the certificate, in hexadecimal */
};

/*
 * Get a name of the peer's certificate: of the names of this kind the one with
 * this index, from 0.  There are names only if the certificate was verified.
 *
 * Returns the length of the text; -ENOENT (no such name, or no certificate that
 * is good); -EBADMSG (the name has a control character, such as a NUL, or is
 * not in the letters of its kind); -ENOSPC; -ENOTCONN (no TLS); -EINVAL;
 * -ENOMEM.
 * Thread: handler.  Since: 0.1.
 */
WEIR_API ssize_t weir_conn_tls_name(const weir_conn *c, int kind, int index,
				    char *buf, size_t cap);

#ifdef __cplusplus
}
#endif

#endif
