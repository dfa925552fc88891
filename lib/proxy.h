/* SPDX-License-Identifier: MIT */
/* Headers of the PROXY protocol, versions 1 and 2, as bytes. */
#ifndef WR_PROXY_H
#define WR_PROXY_H

#include <sys/socket.h>
#include <sys/types.h>

#include "base.h"

/* The fixed part of version 2, and the longest header of version 1. */
#define WR_PROXY_HEAD 16
#define WR_PROXY_LINE 107

/* Without TLVs: version 2 with two addresses of IPv6, or version 1. */
#define WR_PROXY_WRITTEN WR_PROXY_LINE

/*
 * A header that was read.  The addresses have the form of version 2.  It points
 * into the bytes that were read, or into itself.
 */
struct wr_proxy_header {
	const char *wrong; /* with -EPROTO */
	uint8_t family;	   /* of version 2; 0: it tells no addresses */
	const unsigned char *addresses;
	size_t addresses_len;
	const unsigned char *tlvs;
	size_t tlvs_len;
	unsigned char own[36]; /* addresses of version 1 */
};

/* One that is kept: it tells addresses. */
struct wr_proxy {
	uint8_t family;
	uint16_t addresses_len;
	uint16_t tlvs_len;
	unsigned char bytes[]; /* addresses, TLVs */
};

/*
 * Behind the fixed part a header of version 2 has at most `most` bytes.  The
 * length of the header; 0: more bytes are needed; -EPROTO.
 */
ssize_t wr_proxy_read(struct wr_proxy_header *ret, const unsigned char *data,
		      size_t len, size_t most);

/* NULL: no memory.  It is freed with wr_sys_free(). */
struct wr_proxy *wr_proxy_keep(const struct wr_proxy_header *h);

socklen_t wr_proxy_source(const struct wr_proxy *p,
			  struct sockaddr_storage *ret);
socklen_t wr_proxy_target(const struct wr_proxy *p,
			  struct sockaddr_storage *ret);

/*
 * The value of the index-th TLV of a type.  The types 0x21 to 0x2f are searched
 * inside the TLV about TLS.  NULL: there is none.
 */
const void *wr_proxy_tlv(const struct wr_proxy *p, int type, int index,
			 size_t *len);

/* No addresses are told if these are not of IP.  Length; -ENOSPC. */
int wr_proxy_write(unsigned char *buf, size_t cap, int version,
		   const struct sockaddr *source,
		   const struct sockaddr *target);

#endif
