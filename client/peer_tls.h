/* SPDX-License-Identifier: MIT */
/* TLS of the connection of a command.  Main thread only. */
#ifndef CLIENT_PEER_TLS_H
#define CLIENT_PEER_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <weir.h>

#include "tls_options.h"

/* Opaque here; NULL: TLS is not wanted. */
struct weir_tls;

/* Read the files.  Returns CLI_DONE, or CLI_USAGE after an error. */
int peer_tls_load(const struct tls_options *t, struct weir_tls **ret);
void peer_tls_free(struct weir_tls *tls);

int peer_tls_start(const struct tls_options *t, struct weir_tls *tls,
		   const char *address, weir_conn *c);

/* Describe how the TLS of a connection has failed; false: it has not. */
bool peer_tls_failure(const struct tls_options *t, const char *address,
		      const weir_conn *c, char *buf, size_t cap);

#endif
