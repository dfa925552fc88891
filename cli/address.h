/* SPDX-License-Identifier: MIT */
/*
 * Says what is wrong with an address, where the library only returns -EINVAL,
 * and checks it without binding, for --check.  No state; any thread.
 */
#ifndef CLI_ADDRESS_H
#define CLI_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

enum cli_address_kind { CLI_TCP, CLI_UNIX, CLI_FD };

struct cli_address {
	enum cli_address_kind kind;
	const char *name; /* host or path, inside the text that was parsed */
	size_t name_len;
	int number; /* port or descriptor */
};

/*
 * host:port  :port  [v6]:port  unix:/path  unix:@abstract  fd:N, with a port
 * of min_port or more.  Returns NULL, or a text that says what is wrong.
 */
const char *cli_address_parse(struct cli_address *ret, const char *where,
			      int min_port);

/* Would both name the same socket?  Port 0 never does. */
bool cli_address_same(const struct cli_address *a, const struct cli_address *b);

#endif
