/* SPDX-License-Identifier: MIT */
/*
 * The certificates of all listeners with +tls.  In a build without TLS there
 * are none: the options and +tls are errors.
 */
#ifndef SERVER_CERTIFICATE_H
#define SERVER_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"

/* Prints an error that begins with what, if this build has no TLS. */
bool certificate_is_built(const char *what);

/* Into o->tls.  Returns false after printing an error. */
bool certificate_load(struct options *o);
void certificate_free(struct options *o);

void certificate_print(const struct options *o);

void certificate_log_warnings(const struct options *o);
void certificate_print_warnings(const struct options *o);

/* Seconds until the first one expires; INT64_MAX: there is none. */
struct certificate_ends {
	int64_t certificate_s, crl_s;
};

struct certificate_ends certificate_ends(const struct options *o);

struct certificate_peer {
	char version[16]; /* "1.3" */
	char client[512]; /* subject or SHA-256 of its verified certificate */
};

/* Owner.  False: the connection has no TLS, or its handshake is not over. */
bool certificate_describe(weir_conn *c, struct certificate_peer *ret);

/* Before the service is listened for. */
void certificate_use(struct weir_service *service, const struct options *o);

/* For handshakes that begin from now on.  False: why says why. */
bool certificate_replace(weir_server *s, const struct listeners *l,
			 const struct options *o, char *why, size_t cap);

#endif
