/* SPDX-License-Identifier: MIT */
/*
 * The version of a PROXY header, as an option has it; and the header that a
 * client sends first, as a proxy would, with the addresses of its own
 * connection.
 */
#ifndef CLI_PROXY_HEADER_H
#define CLI_PROXY_HEADER_H

#include <stdbool.h>

enum proxy_header { PROXY_NONE, PROXY_V1 = 1, PROXY_V2 = 2 };

/* The row of an option table; proxy_header_take() handles it. */
#define PROXY_HEADER_ROW(key)                                                  \
	{                                                                      \
		"proxy", key, "v1|v2", "send a header of the PROXY protocol"   \
	}

/* The value of this option, in optarg; false after an error. */
bool proxy_header_take(const char *option, enum proxy_header *ret);

/*
 * Send it on a connection that has sent nothing: the empty send buffer takes
 * it.  Returns 0 or an errno.
 */
int proxy_header_send(enum proxy_header version, int fd);

#endif
