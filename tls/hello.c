/* SPDX-License-Identifier: MIT */
#include "hello.h"

#include <errno.h>

#define HANDSHAKE    22
#define CLIENT_HELLO 1
#define MOST	     (TLS_RECORD + 256)

int tls_hello_check(const void *data, size_t len)
{
	const unsigned char *b = data;
	size_t body;

	if ((len > 0 && b[0] != HANDSHAKE) || (len > 1 && b[1] != 3) ||
	    (len > 2 && b[2] > 4))
		return -EPROTO;
	if (len < TLS_HEADER)
		return 0;
	body = (size_t)b[3] << 8 | b[4];
	if (body == 0 || body > MOST ||
	    (len > TLS_HEADER && b[TLS_HEADER] != CLIENT_HELLO))
		return -EPROTO;
	return len >= TLS_HEADER + body;
}
