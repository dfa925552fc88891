/* SPDX-License-Identifier: MIT */
/*
 * TLS of the connection of a command.  In a build without TLS the options are
 * errors.  Main thread only.
 */
#ifndef CLIENT_PEER_TLS_H
#define CLIENT_PEER_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <weir.h>

/* Rows of an option table; peer_tls_take() handles them. */
enum {
	PEER_TLS = 256,
	PEER_TLS_CA,
	PEER_TLS_INSECURE,
	PEER_TLS_CERTIFICATE,
	PEER_TLS_KEY
};

#define PEER_TLS_OPTIONS                                                       \
	{ "tls", PEER_TLS, "[NAME]",                                           \
	  "use TLS; the server must have a certificate for\n"                  \
	  "NAME (default: the host of the address)" },                         \
		{ "ca", PEER_TLS_CA, "FILE",                                   \
		  "the authorities to trust (default: the system's)" },        \
		{ "insecure", PEER_TLS_INSECURE, NULL,                         \
		  "take any certificate: anybody can be the server" },         \
		{ "tls-certificate", PEER_TLS_CERTIFICATE, "FILE",             \
		  "our certificate, then its chain" },                         \
	{                                                                      \
		"tls-key", PEER_TLS_KEY, "FILE",                               \
			"its key (default: it is in the same file)"            \
	}

struct peer_tls {
	bool is_wanted;
	bool is_insecure;
	const char *name; /* of --tls; NULL: the host of the address */
	const char *ca, *certificate, *key; /* files; NULL */
};

/* Handle an option, its value in optarg; false after an error. */
bool peer_tls_take(struct peer_tls *t, int key);

/* Check that they agree, with the address, too.  False after an error. */
bool peer_tls_check(const struct peer_tls *t, const char *address);

/* Opaque here; NULL: TLS is not wanted. */
struct weir_tls;

/* Read the files.  Returns CLI_DONE, or CLI_USAGE after an error. */
int peer_tls_load(const struct peer_tls *t, struct weir_tls **ret);
void peer_tls_free(struct weir_tls *tls);

/* Make the handshake.  Returns 0 or -errno. */
int peer_tls_start(const struct peer_tls *t, struct weir_tls *tls,
		   const char *address, weir_conn *c);

/* Describe how the TLS of a connection has failed; false: it has not. */
bool peer_tls_failure(const struct peer_tls *t, const char *address,
		      const weir_conn *c, char *buf, size_t cap);

#endif
