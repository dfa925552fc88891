/* SPDX-License-Identifier: MIT */
/*
 * Any thread; no lookups.  The parser is strict: an IPv6 address needs
 * brackets, a port its digits, and nothing may follow.
 */
#include "address.h"

#include "weir.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define TCP_FORMS "host:port, :port, [v6]:port, unix:/path or fd:N"

static const char wrong_port[] = "the port must be a number from 0 to 65535 "
				 "(0 picks a free one)";
static const char wrong_peer_port[] = "the port must be a number from 1 to "
				      "65535";

/* -1: not a number from 0 to max. */
static int parse_number(const char *text, int max)
{
	int n = 0;

	if (!*text)
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		if (n > (max - (*text - '0')) / 10)
			return -1;
		n = 10 * n + (*text - '0');
	}
	return n;
}

static int address_refuse(struct wr_address *a, int error, const char *wrong)
{
	a->wrong = wrong;
	return error;
}

static int parse_unix(struct wr_address *a, const char *path)
{
	size_t len = strlen(path);
	bool is_abstract = path[0] == '@';

	if (len == 0 || (is_abstract && len == 1))
		return address_refuse(a, -EINVAL,
				      "the path is missing; use unix:/path or "
				      "unix:@name");
	/* Only a path has a NUL. */
	if (len + !is_abstract > sizeof(a->un.sun_path))
		return address_refuse(
			a, -ENAMETOOLONG,
			"the path is too long; at most 107 bytes are "
			"possible");
	a->kind = WR_ADDRESS_UNIX;
	a->un.sun_family = AF_UNIX;
	memcpy(a->un.sun_path, path, len);
	if (is_abstract)
		a->un.sun_path[0] = '\0';
	a->un_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len +
				!is_abstract);
	return 0;
}

static int parse_fd(struct wr_address *a, const char *number)
{
	a->kind = WR_ADDRESS_FD;
	a->fd = parse_number(number, INT_MAX);
	return a->fd >= 0 ? 0
			  : address_refuse(
				    a, -EINVAL,
				    "'fd:' needs the number of a descriptor, "
				    "as in fd:3");
}

static bool is_v6(const char *host)
{
	char digits[INET6_ADDRSTRLEN];
	size_t len = strcspn(host, "%");
	struct in6_addr in6;

	if (len >= sizeof(digits) || (host[len] == '%' && !host[len + 1]))
		return false;
	memcpy(digits, host, len);
	digits[len] = '\0';
	return inet_pton(AF_INET6, digits, &in6) == 1;
}

/* Only typing errors; the resolver knows which hosts there are. */
static int check_host(struct wr_address *a)
{
	for (const char *host = a->host; *host; host++) {
		unsigned char c = (unsigned char)*host;

		if (c == ':')
			return address_refuse(
				a, -EINVAL,
				"an IPv6 address needs brackets, as in "
				"[::1]:1234");
		if (c <= ' ' || c == 0x7f || strchr("[]/", c))
			return address_refuse(
				a, -EINVAL,
				"this is no host name; use " TCP_FORMS);
	}
	return 0;
}

static int parse_tcp(struct wr_address *a, const char *where)
{
	const char *colon = strrchr(where, ':');
	bool has_brackets = where[0] == '[';
	size_t len;
	int port;

	a->kind = WR_ADDRESS_TCP;
	if (strstr(where, "://"))
		return address_refuse(
			a, -EINVAL,
			"an address is not a URL; use host:port without "
			"'scheme://'");
	if (!colon || (has_brackets && (colon == where || colon[-1] != ']')))
		return address_refuse(a, -EINVAL,
				      "the port is missing; use " TCP_FORMS);
	port = parse_number(colon + 1, 65535);
	if (port < 0)
		return address_refuse(a, -EINVAL, wrong_port);
	snprintf(a->port, sizeof(a->port), "%d", (uint16_t)port);
	where += has_brackets;
	len = (size_t)(colon - where) - has_brackets;
	if (len >= sizeof(a->host))
		return address_refuse(
			a, -ENAMETOOLONG,
			"the host name is too long; at most 255 bytes "
			"are possible");
	memcpy(a->host, where, len);
	if (!has_brackets)
		return check_host(a);
	return is_v6(a->host)
		       ? 0
		       : address_refuse(a, -EINVAL,
					"the text in brackets is not an IPv6 "
					"address");
}

static int parse(struct wr_address *a, const char *where)
{
	*a = (struct wr_address){ .fd = -1 };
	if (strncmp(where, "unix:", 5) == 0)
		return parse_unix(a, where + 5);
	if (strncmp(where, "fd:", 3) == 0)
		return parse_fd(a, where + 3);
	return parse_tcp(a, where);
}

int wr_address_parse(struct wr_address *ret, const char *where)
{
	struct wr_address a;
	int rc = where ? parse(&a, where) : -EINVAL;

	if (rc == 0)
		*ret = a;
	return rc;
}

/* NULL: nothing is wrong. */
static const char *unfit(const struct wr_address *a, int use)
{
	if (use == WEIR_TO_DIAL)
		return a->kind == WR_ADDRESS_TCP && strcmp(a->port, "0") == 0
			       ? wrong_peer_port
			       : NULL;
	if (a->kind != WR_ADDRESS_UNIX)
		return NULL;
	for (size_t i = 0; i < sizeof(a->un.sun_path); i++) {
		unsigned char c = (unsigned char)a->un.sun_path[i];

		if (c == 0x7f || (c > 0 && c < ' '))
			return "there are control characters in the name";
	}
	return NULL;
}

int weir_address_check(const char *where, int use, char *why, size_t cap)
{
	static const int kinds[] = {
		[WR_ADDRESS_TCP] = WEIR_ADDRESS_TCP,
		[WR_ADDRESS_UNIX] = WEIR_ADDRESS_UNIX,
		[WR_ADDRESS_FD] = WEIR_ADDRESS_FD,
	};
	struct wr_address a;
	bool is_known = use == WEIR_TO_LISTEN || use == WEIR_TO_DIAL;
	int rc = where && is_known ? parse(&a, where) : -EINVAL;

	if (where == NULL)
		a.wrong = "there is no address";
	else if (!is_known)
		a.wrong = "its use is neither to listen nor to dial";
	else if (rc == 0)
		a.wrong = unfit(&a, use);
	else if (use == WEIR_TO_DIAL && a.wrong == wrong_port)
		a.wrong = wrong_peer_port;
	if (a.wrong == NULL)
		return kinds[a.kind];
	if (why && cap > 0)
		(void)snprintf(why, cap, "%s", a.wrong);
	return rc < 0 ? rc : -EINVAL;
}

/* Room for a Unix path of control characters. */
struct text {
	char buf[sizeof("unix:@") +
		 4 * sizeof(((struct sockaddr_un *)0)->sun_path)];
};

static int format_v4(struct text *t, const struct in_addr *in, in_port_t port)
{
	char host[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, in, host, sizeof(host));
	return snprintf(t->buf, sizeof(t->buf), "%s:%d", host, ntohs(port));
}

static int format_v6(struct text *t, const struct sockaddr_in6 *in6)
{
	char host[INET6_ADDRSTRLEN], zone[12] = "";
	struct in_addr in;

	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		memcpy(&in, &in6->sin6_addr.s6_addr[12], sizeof(in));
		return format_v4(t, &in, in6->sin6_port);
	}
	inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
	if (in6->sin6_scope_id)
		snprintf(zone, sizeof(zone), "%%%u", in6->sin6_scope_id);
	return snprintf(t->buf, sizeof(t->buf), "[%s%s]:%d", host, zone,
			ntohs(in6->sin6_port));
}

static int format_unix(struct text *t, const char *path, size_t len)
{
	char *out = t->buf + snprintf(t->buf, sizeof(t->buf), "unix:");

	if (len > 0 && !path[0]) {
		*out++ = '@';
		path++;
		len--;
	} else {
		/* The kernel's length may or may not count a NUL. */
		len = strnlen(path, len);
	}
	for (; len > 0; len--, path++) {
		unsigned char c = (unsigned char)*path;

		if (c < ' ' || c == 0x7f)
			out += snprintf(out, sizeof("\\xHH"), "\\x%02x", c);
		else
			*out++ = *path;
	}
	*out = '\0';
	return (int)(out - t->buf);
}

int wr_address_format(const struct sockaddr *addr, socklen_t len, char *buf,
		      size_t cap)
{
	const size_t head = offsetof(struct sockaddr_un, sun_path);
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} a = { .any.sa_family = AF_UNSPEC };
	struct text text;
	int n;

	/* addr may be shorter than its type */
	len = (socklen_t)wr_min(len, sizeof(a));
	memcpy(&a, addr, len);
	if (a.any.sa_family == AF_INET && len >= sizeof(a.in))
		n = format_v4(&text, &a.in.sin_addr, a.in.sin_port);
	else if (a.any.sa_family == AF_INET6 && len >= sizeof(a.in6))
		n = format_v6(&text, &a.in6);
	else if (a.any.sa_family == AF_UNIX && len >= head)
		n = format_unix(&text, a.un.sun_path,
				wr_min(len - head, sizeof(a.un.sun_path)));
	else
		return -EAFNOSUPPORT;
	if ((size_t)n >= cap)
		return -ENOSPC;
	memcpy(buf, text.buf, (size_t)n + 1);
	return n;
}
