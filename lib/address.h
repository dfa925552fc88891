/* SPDX-License-Identifier: MIT */
/*
 * Addresses as users write them, and as the kernel has them.
 *
 *   host:port  :port  [v6]:port  unix:/path  unix:@abstract  fd:N
 */
#ifndef WR_ADDRESS_H
#define WR_ADDRESS_H

#include <sys/socket.h>
#include <sys/un.h>

#include "base.h"

enum wr_address_kind { WR_ADDRESS_TCP, WR_ADDRESS_UNIX, WR_ADDRESS_FD };

/* What the text says, before any look-up. */
struct wr_address {
	enum wr_address_kind kind;
	/* TCP; an empty host: all interfaces (listen), loopback (dial) */
	char host[256];
	char port[6];	       /* decimal, 0 to 65535 */
	struct sockaddr_un un; /* UNIX */
	socklen_t un_len;
	int fd;		   /* FD */
	const char *wrong; /* NULL, or what would be right instead */
};

/*
 * Returns 0; -EINVAL (not one of the forms, or a port out of range);
 * -ENAMETOOLONG (path or host).
 */
int wr_address_parse(struct wr_address *ret, const char *where);

/*
 * Text that wr_address_parse() reads back.  v4-mapped IPv6 addresses are
 * written as IPv4, a Unix socket without a name as "unix:", control bytes in
 * a path as \xHH.
 * Returns the length; -ENOSPC; -EAFNOSUPPORT.
 */
int wr_address_format(const struct sockaddr *addr, socklen_t len, char *buf,
		      size_t cap);

#endif
