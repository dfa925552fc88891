/* SPDX-License-Identifier: MIT */
/* Access rules.  An object never changes, so any thread may read it. */
#ifndef WR_ACCESS_H
#define WR_ACCESS_H

#include "network.h"
#include "weir.h"

/* The bytes of an address as a number; IPv4 takes the first 32 bits. */
struct wr_key {
	uint64_t hi, lo;
};

/* Its first bits. */
struct wr_key wr_key_of(const struct wr_network *addr, int bits);

struct wr_source_limits {
	int v4_bits, v6_bits; /* of an address, make a source */
	int open_max;	      /* connections of a source; 0: not given */
	int64_t rate_ns;      /* a new one in each; 0: not given */
	int64_t span_ns;      /* those of this time may come at once */
};

enum wr_access {
	WR_ACCESS_ALLOW,
	WR_ACCESS_DENY,
	WR_ACCESS_EXEMPT, /* allowed, and no limit applies */
};

/* Without rules (NULL): loopback is exempt, all others are allowed. */
enum wr_access wr_access_of_ip(const weir_access *a,
			       const struct wr_network *addr);

enum wr_access wr_access_of_unix(const weir_access *a, int fd);

struct wr_source_limits wr_access_limits(const weir_access *a);

#endif
