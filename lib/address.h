/* SPDX-License-Identifier: MIT */
/* Addresses as text and as the kernel has them. */
#ifndef WR_ADDRESS_H
#define WR_ADDRESS_H

#include <sys/socket.h>
#include <sys/un.h>

#include "base.h"

enum wr_address_kind { WR_ADDRESS_TCP, WR_ADDRESS_UNIX, WR_ADDRESS_FD };

struct wr_address {
	enum wr_address_kind kind;
	/* TCP; empty: all interfaces (listen) or loopback (dial) */
	char host[256];
	char port[6];	       /* decimal, 0 to 65535 */
	struct sockaddr_un un; /* UNIX */
	socklen_t un_len;
	int fd;		   /* FD */
	const char *wrong; /* NULL: nothing */
};

int wr_address_parse(struct wr_address *ret, const char *where);

/*
 * Text that wr_address_parse() can read.  A v4-mapped address becomes IPv4, an
 * unnamed Unix socket "unix:", a control character \xHH.  Length; -ENOSPC;
 * -EAFNOSUPPORT.
 */
int wr_address_format(const struct sockaddr *addr, socklen_t len, char *buf,
		      size_t cap);

#endif
