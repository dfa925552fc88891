/* SPDX-License-Identifier: MIT */
/*
 * The operands of the command line: SERVICE[+proxy][+tls]@ADDRESS.
 */
#ifndef SERVER_LISTENERS_H
#define SERVER_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>

#define LISTENERS_DEFAULT "reply@127.0.0.1:1234"

/* What service managers permit. */
#define FD_NAME_ROOM 256

struct service;

struct listener {
	const char *spec; /* SERVICE@ADDRESS as given, or an option */
	const char *where;
	const struct service *service;
	int kind; /* of the address: WEIR_ADDRESS_... */
	bool has_proxy;
	bool has_tls;
	bool is_named;	   /* fd:NAME, not yet resolved (activation.h) */
	char name[300];	   /* for a successor (upgrade.h) */
	bool is_inherited; /* from a service manager */
};

struct listeners {
	struct listener *all;
	size_t count;
};

/* *ret points into specs.  Returns false after printing an error. */
bool listeners_parse(struct listeners *ret, int count, char **specs);

/*
 * The address of an option, such as "--status", which has no service.  Returns
 * false after printing an error.
 */
bool listeners_parse_option(struct listener *ret, const char *option,
			    const char *where);

/* Returns false after an error: no memory, or the address of another one. */
bool listeners_append(struct listeners *l, const struct listener *new);

/* what: SERVICE_... */
bool listeners_use(const struct listeners *l, unsigned what);

bool listeners_have(const struct listeners *l, const struct service *service);

bool listeners_have_unix(const struct listeners *l);

bool listeners_have_proxy(const struct listeners *l);

/* The first one with TLS; NULL: there is none. */
const struct listener *listeners_tls(const struct listeners *l);

/*
 * The path of the Unix socket of an address; NULL: it has none, or there is no
 * address.
 */
const char *address_path(const char *where);

/* Unix sockets in the file system, and in the abstract namespace. */
bool listeners_have_file(const struct listeners *l);
bool listener_is_abstract(const struct listener *l);

void listeners_fini(struct listeners *l);

#endif
