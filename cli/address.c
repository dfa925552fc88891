/* SPDX-License-Identifier: MIT */
/*
 * Addresses are checked by their form only; no name is looked up.
 */
#include "address.h"

#include <arpa/inet.h>
#include <limits.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "text.h"

#define PATH_ROOM (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)
#define HOST_ROOM 255

static const char *cli_parse_unix(struct cli_address *ret, const char *path)
{
	ret->kind = CLI_UNIX;
	ret->name = path;
	ret->name_len = strlen(path);
	if (ret->name_len == 0 || strcmp(path, "@") == 0)
		return "the path is missing; use unix:/path or unix:@name";
	/* An abstract name needs no NUL. */
	if (ret->name_len > PATH_ROOM + (path[0] == '@'))
		return "the path is too long; at most 107 bytes are possible";
	return NULL;
}

static const char *cli_parse_fd(struct cli_address *ret, const char *number)
{
	ret->kind = CLI_FD;
	if (!cli_parse_number(number, 0, INT_MAX, &ret->number))
		return "'fd:' needs the number of a descriptor, as in fd:3";
	return NULL;
}

/* Strips the brackets of [v6]; a zone may follow the address. */
static const char *parse_bracketed(struct cli_address *ret)
{
	char text[HOST_ROOM + 1];
	struct in6_addr addr;
	char *zone;

	ret->name++;
	ret->name_len -= 2;
	memcpy(text, ret->name, ret->name_len);
	text[ret->name_len] = '\0';
	zone = strchr(text, '%');
	if (zone)
		*zone++ = '\0';
	if ((zone && !*zone) || inet_pton(AF_INET6, text, &addr) != 1)
		return "the text in brackets is not an IPv6 address";
	return NULL;
}

/* Names that pass are left to the resolver. */
static const char *check_host(const struct cli_address *a)
{
	for (size_t i = 0; i < a->name_len; i++) {
		unsigned char c = (unsigned char)a->name[i];

		if (c == ':')
			return "an IPv6 address needs brackets, as in "
			       "[::1]:1234";
		if (c <= ' ' || c == 0x7f || strchr("[]/", c))
			return "this is no host name; use host:port, :port, "
			       "[v6]:port, unix:/path or fd:N";
	}
	return NULL;
}

static const char *cli_parse_tcp(struct cli_address *ret, const char *where,
				 int min_port)
{
	const char *colon = strrchr(where, ':');

	ret->kind = CLI_TCP;
	if (!colon || (where[0] == '[' && colon[-1] != ']'))
		return "the port is missing; use host:port, :port, [v6]:port, "
		       "unix:/path or fd:N";
	ret->name = where;
	ret->name_len = (size_t)(colon - where);
	if (ret->name_len > HOST_ROOM)
		return "the host name is too long; at most 255 bytes are "
		       "possible";
	if (!cli_parse_number(colon + 1, min_port, 65535, &ret->number))
		return min_port > 0 ? "the port must be a number from 1 to "
				      "65535"
				    : "the port must be a number from 0 to "
				      "65535 (0 picks a free one)";
	return where[0] == '[' ? parse_bracketed(ret) : check_host(ret);
}

const char *cli_address_parse(struct cli_address *ret, const char *where,
			      int min_port)
{
	*ret = (struct cli_address){ 0 };
	if (strncmp(where, "unix:", 5) == 0)
		return cli_parse_unix(ret, where + 5);
	if (strncmp(where, "fd:", 3) == 0)
		return cli_parse_fd(ret, where + 3);
	if (strstr(where, "://"))
		return "an address is not a URL; use host:port without "
		       "'scheme://'";
	return cli_parse_tcp(ret, where, min_port);
}

bool cli_address_same(const struct cli_address *a, const struct cli_address *b)
{
	if (a->kind != b->kind || a->number != b->number ||
	    a->name_len != b->name_len)
		return false;
	if (a->kind == CLI_FD)
		return true;
	if (a->kind == CLI_UNIX)
		return memcmp(a->name, b->name, a->name_len) == 0;
	return a->number != 0 &&
	       strncasecmp(a->name, b->name, a->name_len) == 0;
}
