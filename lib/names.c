/* SPDX-License-Identifier: MIT */
/* weir_resolve() and weir_reverse(): lookups for the program. */
#include <errno.h>
#include <string.h>

#include "address.h"
#include "bounds.h"
#include "conn.h"
#include "resolve.h"
#include "sys.h"

static int64_t deadline_of(int timeout_ms)
{
	return wr_deadline_at(wr_now_ns(),
			      timeout_ms ? timeout_ms : WR_LOOKUP_MS);
}

static int parse_host(struct wr_address *ret, const char *where)
{
	int rc = wr_address_parse(ret, where);

	return rc == 0 && ret->kind != WR_ADDRESS_TCP ? -EINVAL : rc;
}

static int copy_text(char *buf, size_t cap, const char *text)
{
	size_t len = strlen(text);

	if (len >= cap)
		return -ENOSPC;
	memcpy(buf, text, len + 1);
	return (int)len;
}

/* The text always fits. */
static void set_address(struct weir_address *to, const struct addrinfo *from)
{
	*to = (struct weir_address){ .len = from->ai_addrlen };
	memcpy(&to->addr, from->ai_addr, from->ai_addrlen);
	(void)wr_address_format(from->ai_addr, from->ai_addrlen, to->text,
				sizeof(to->text));
}

/* Wait in a parked session.  -errno: the lookup is left. */
static int await(struct weir_conn *session, struct wr_lookup *l,
		 int64_t deadline_at)
{
	const struct wr_other o = { .at = deadline_at,
				    .quiet_at = WR_NEVER_AT };
	int rc = 0;

	while (rc == 0 && !wr_lookup_is_done(l))
		rc = wr_now_ns() < deadline_at
			     ? wr_conn_wait_other(session, &o, NULL, 0)
			     : -ETIMEDOUT;
	if (rc < 0)
		wr_lookup_leave(l);
	return rc;
}

/* wr_lookup_host(), while the session is parked. */
static int look_up_beside(struct weir_conn *session, struct addrinfo **ret,
			  const struct wr_address *host, int64_t deadline_at)
{
	struct wr_lookup *l;
	int rc = wr_lookup_begin(&l, host->host, host->port,
				 wr_conn_post_answer, session);

	if (rc == 0)
		rc = await(session, l, deadline_at);
	return rc < 0 ? rc : wr_lookup_take(l, ret);
}

static int look_name_up_beside(struct weir_conn *session, char *name,
			       const struct addrinfo *a, int64_t deadline_at)
{
	struct wr_lookup *l;
	int rc = wr_lookup_begin_name(&l, a->ai_addr, a->ai_addrlen,
				      wr_conn_post_answer, session);

	if (rc == 0)
		rc = await(session, l, deadline_at);
	return rc < 0 ? rc : wr_lookup_take_name(l, name);
}

/* NULL: the thread waits. */
static struct weir_conn *session_to_park(void)
{
	struct weir_conn *session = wr_conn_session();

	return session && session->coro ? session : NULL;
}

static int look_host_up(struct addrinfo **ret, const struct wr_address *host,
			int64_t deadline_at)
{
	struct weir_conn *session = session_to_park();
	int rc = -ENOENT;

	if (session == NULL)
		return wr_lookup_host(ret, host->host, host->port, deadline_at,
				      NULL);
	if (host->host[0])
		rc = wr_lookup_number(ret, host->host, host->port);
	return rc == -ENOENT ? look_up_beside(session, ret, host, deadline_at)
			     : rc;
}

static int look_name_up(char *name, const struct addrinfo *a,
			int64_t deadline_at)
{
	struct weir_conn *session = session_to_park();

	return session ? look_name_up_beside(session, name, a, deadline_at)
		       : wr_lookup_name(name, a->ai_addr, a->ai_addrlen,
					deadline_at);
}

int weir_resolve(struct weir_address *ret, int max, const char *where,
		 int timeout_ms)
{
	WR_NO_CANCEL_IF(wr_coro_current() == NULL);
	struct wr_address address;
	struct addrinfo *list = NULL, *a;
	int count = 0, rc;

	if (ret == NULL || max < 1 || timeout_ms < WEIR_NEVER)
		return -EINVAL;
	rc = parse_host(&address, where);
	if (rc == 0)
		rc = look_host_up(&list, &address, deadline_of(timeout_ms));
	if (rc < 0)
		return rc;
	for (a = list; a; a = a->ai_next, count++)
		if (count < max)
			set_address(&ret[count], a);
	freeaddrinfo(list);
	return count;
}

int weir_reverse(char *buf, size_t cap, const char *where, int timeout_ms)
{
	WR_NO_CANCEL_IF(wr_coro_current() == NULL);
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
	rc = look_name_up(name, a, deadline_of(timeout_ms));
	freeaddrinfo(a);
	return rc < 0 ? rc : copy_text(buf, cap, name);
}
