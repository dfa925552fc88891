/* SPDX-License-Identifier: MIT */
/*
 * The SERVICE@ADDRESS operands of the command line.
 */
#ifndef SERVER_LISTENERS_H
#define SERVER_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>

#include "../cli/address.h"

/* What there is if nothing is said. */
#define LISTENERS_DEFAULT "reply@127.0.0.1:1234"

struct service;

struct listener {
	const char *spec;  /* SERVICE@ADDRESS as it was given */
	const char *where; /* the address in it */
	const struct service *service;
	struct cli_address address;
};

struct listeners {
	struct listener *all;
	size_t count;
};

/* Parse count operands; false after a complaint.  Points into them. */
bool listeners_parse(struct listeners *ret, int count, char **specs);

/* Does any of their services use what (SERVICE_...)? */
bool listeners_use(const struct listeners *l, unsigned what);

/* Is one of them for this service? */
bool listeners_have(const struct listeners *l, const struct service *service);

bool listeners_have_unix(const struct listeners *l);

/* A Unix socket in the file system; one that is not. */
bool listeners_have_file(const struct listeners *l);
bool listener_is_abstract(const struct listener *l);

void listeners_fini(struct listeners *l);

#endif
