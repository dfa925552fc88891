/* SPDX-License-Identifier: MIT */
/* The first record of a TLS client, checked before there is an SSL object. */
#ifndef TLS_HELLO_H
#define TLS_HELLO_H

#include <stddef.h>

#define TLS_HEADER ((size_t)5) /* of a record */

/* Plain bytes of one record, at most. */
#define TLS_RECORD ((size_t)16384)

/* 1: the first record is whole; 0: not yet; -EPROTO: it is no hello. */
int tls_hello_check(const void *data, size_t len);

#endif
