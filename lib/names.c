/* SPDX-License-Identifier: MIT */
/*
 * Names and addresses for the program: see weir.h.  Any thread; nothing is
 * kept here.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "address.h"
#include "clock.h"
#include "lookup.h"
#include "sys.h"
#include "weir.h"

static int64_t deadline_of(int timeout_ms)
{
	return wr_deadline_at(wr_now_ns(),
			      timeout_ms ? timeout_ms : WR_LOOKUP_MS);
}

/* 0 if where is a host and a port. */
static int parse_host(struct wr_address *ret, const char *where)
{
	int rc = wr_address_parse(ret, where);

	return rc == 0 && ret->kind != WR_ADDRESS_TCP ? -EINVAL : rc;
}

static int give(char *buf, size_t cap, const char *text)
{
	size_t len = strlen(text);

	if (len >= cap)
		return -ENOSPC;
	memcpy(buf, text, len + 1);
	return (int)len;
}

/* As long as it is a host's, every address has a text and fits. */
static void fill(struct weir_address *to, const struct addrinfo *from)
{
	*to = (struct weir_address){ .len = from->ai_addrlen };
	memcpy(&to->addr, from->ai_addr, from->ai_addrlen);
	(void)wr_address_format(from->ai_addr, from->ai_addrlen, to->text,
				sizeof(to->text));
}

int weir_resolve(struct weir_address *ret, int max, const char *where,
		 int timeout_ms)
{
	WR_NO_CANCEL();
	struct wr_address address;
	struct addrinfo *list = NULL, *a;
	int count = 0, rc;

	if (ret == NULL || max < 1 || timeout_ms < WEIR_NEVER)
		return -EINVAL;
	rc = parse_host(&address, where);
	if (rc == 0)
		rc = wr_lookup_host(&list, address.host, address.port,
				    deadline_of(timeout_ms), NULL);
	if (rc < 0)
		return rc;
	for (a = list; a; a = a->ai_next, count++)
		if (count < max)
			fill(&ret[count], a);
	freeaddrinfo(list);
	return count;
}

int weir_reverse(char *buf, size_t cap, const char *where, int timeout_ms)
{
	WR_NO_CANCEL();
	const struct addrinfo number = { .ai_socktype = SOCK_STREAM,
					 .ai_flags = AI_NUMERICHOST };
	struct wr_address address;
	char name[NI_MAXHOST];
	struct addrinfo *a;
	int rc;

	if (buf == NULL || timeout_ms < WEIR_NEVER)
		return -EINVAL;
	rc = parse_host(&address, where);
	if (rc == 0)
		rc = wr_sys_getaddrinfo(address.host, address.port, &number,
					&a);
	if (rc != 0) /* a name is no address */
		return rc == -ENOENT ? -EINVAL : rc;
	rc = wr_lookup_name(name, a->ai_addr, a->ai_addrlen,
			    deadline_of(timeout_ms));
	freeaddrinfo(a);
	return rc < 0 ? rc : give(buf, cap, name);
}

int weir_host_name(char *buf, size_t cap)
{
	char name[HOST_NAME_MAX + 1];
	int rc = buf ? wr_sys_gethostname(name, sizeof(name)) : -EINVAL;

	return rc < 0 ? rc : give(buf, cap, name);
}
