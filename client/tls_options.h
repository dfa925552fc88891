/* SPDX-License-Identifier: MIT */
/*
 * The options of commands that can use TLS.  In a build without TLS they are
 * errors.
 */
#ifndef CLIENT_TLS_OPTIONS_H
#define CLIENT_TLS_OPTIONS_H

#include <stdbool.h>

/* Rows of an option table; tls_options_take() handles them. */
enum {
	TLS_OPTION_TLS = 512,
	TLS_OPTION_CA,
	TLS_OPTION_INSECURE,
	TLS_OPTION_CERTIFICATE,
	TLS_OPTION_KEY
};

#define TLS_OPTION_ROWS                                                        \
	{ "tls", TLS_OPTION_TLS, "[NAME]",                                     \
	  "use TLS; the server must have a certificate for\n"                  \
	  "NAME (default: the host of the address)" },                         \
		{ "ca", TLS_OPTION_CA, "FILE",                                 \
		  "the authorities to trust (default: the system's)" },        \
		{ "insecure", TLS_OPTION_INSECURE, NULL,                       \
		  "take any certificate: anybody can be the server" },         \
		{ "tls-certificate", TLS_OPTION_CERTIFICATE, "FILE",           \
		  "our certificate, then its chain" },                         \
	{                                                                      \
		"tls-key", TLS_OPTION_KEY, "FILE",                             \
			"its key (default: it is in the same file)"            \
	}

struct tls_options {
	bool is_wanted;
	bool is_insecure;
	const char *name; /* of --tls; NULL: the host of the address */
	const char *ca, *certificate, *key; /* files; or NULL */
};

/* Its value is in optarg; false after an error. */
bool tls_options_take(struct tls_options *t, int key);

/* Do they fit each other and the address?  False after an error. */
bool tls_options_check(const struct tls_options *t, const char *address);

/* The name to verify, perhaps in buf; NULL: there is none. */
#define TLS_NAME_ROOM 256
const char *tls_options_name(const struct tls_options *t, const char *address,
			     char buf[TLS_NAME_ROOM]);

#endif
