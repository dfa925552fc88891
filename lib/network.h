/* SPDX-License-Identifier: MIT */
/*
 * IP networks.  A v4-mapped address or network is the IPv4 one.  So "::/0"
 * contains all IPv6 addresses and no IPv4 address.
 */
#ifndef WR_NETWORK_H
#define WR_NETWORK_H

#include <sys/socket.h>

#include "base.h"

/* An address is a network in which all bits count. */
struct wr_network {	      /* no padding: it is compared as bytes */
	unsigned char at[16]; /* in network order; zeros behind the prefix */
	uint16_t family;      /* AF_INET or AF_INET6 */
	uint16_t bits;	      /* of the prefix: to 32 or 128 */
};

/* Without "/bits" all bits count.  wrong may be NULL. */
int wr_network_parse(struct wr_network *ret, const char *text, size_t len,
		     const char **wrong);

bool wr_network_of(struct wr_network *ret, const struct sockaddr *addr);

/* Make an address of IPv4 the v4-mapped one. */
void wr_network_map(struct wr_network *n);

bool wr_network_contains(const struct wr_network *outer,
			 const struct wr_network *inner);

#endif
