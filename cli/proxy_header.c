/* SPDX-License-Identifier: MIT */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "proxy_header.h"

#include <errno.h>
#include <getopt.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "cli.h"

bool proxy_header_take(const char *option, enum proxy_header *ret)
{
	*ret = strcmp(optarg, "v1") == 0   ? PROXY_V1
	       : strcmp(optarg, "v2") == 0 ? PROXY_V2
					   : PROXY_NONE;
	if (*ret == PROXY_NONE)
		cli_error("--%s: '%s' is neither v1 nor v2", option, optarg);
	return *ret != PROXY_NONE;
}

static size_t proxy_v1(char *to, size_t room,
		       const struct sockaddr_storage *own,
		       const struct sockaddr_storage *peer, socklen_t len)
{
	char host[2][INET6_ADDRSTRLEN + IF_NAMESIZE + 1], port[2][8];
	const int flags = NI_NUMERICHOST | NI_NUMERICSERV;

	if (own->ss_family == AF_UNIX ||
	    getnameinfo((const struct sockaddr *)own, len, host[0],
			sizeof(host[0]), port[0], sizeof(port[0]), flags) ||
	    getnameinfo((const struct sockaddr *)peer, len, host[1],
			sizeof(host[1]), port[1], sizeof(port[1]), flags))
		return (size_t)snprintf(to, room, "PROXY UNKNOWN\r\n");
	/* The header has no zones, as in fe80::1%eth0. */
	host[0][strcspn(host[0], "%")] = host[1][strcspn(host[1], "%")] = '\0';
	return (size_t)snprintf(to, room, "PROXY TCP%d %s %s %s %s\r\n",
				own->ss_family == AF_INET6 ? 6 : 4, host[0],
				host[1], port[0], port[1]);
}

/* The addresses of both, then the ports of both. */
static size_t proxy_v2(char *to, const struct sockaddr_storage *own,
		       const struct sockaddr_storage *peer)
{
	static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";
	const struct sockaddr_in *in[] = { (const void *)own,
					   (const void *)peer };
	const struct sockaddr_in6 *in6[] = { (const void *)own,
					     (const void *)peer };
	bool is_v6 = own->ss_family == AF_INET6;
	size_t size = is_v6 ? 16 : 4, used = 16;

	memcpy(to, signature, 12);
	to[12] = 0x21; /* version 2, a proxied connection */
	to[13] = is_v6 ? 0x21 : 0x11;
	if (own->ss_family == AF_UNIX) {
		to[12] = 0x20; /* local: without addresses */
		to[13] = to[14] = to[15] = 0;
		return 16;
	}
	for (int i = 0; i < 2; i++, used += size)
		memcpy(to + used,
		       is_v6 ? (const void *)&in6[i]->sin6_addr
			     : (const void *)&in[i]->sin_addr,
		       size);
	for (int i = 0; i < 2; i++, used += 2)
		memcpy(to + used, &in[i]->sin_port, 2); /* as in sin6_port */
	to[14] = 0;
	to[15] = (char)(used - 16);
	return used;
}

int proxy_header_send(enum proxy_header version, int fd)
{
	struct sockaddr_storage own = { 0 }, peer = { 0 };
	socklen_t own_len = sizeof(own), peer_len = sizeof(peer);
	char header[128];
	size_t len;
	ssize_t n;

	if (version == PROXY_NONE)
		return 0;
	if (getsockname(fd, (struct sockaddr *)&own, &own_len) < 0 ||
	    getpeername(fd, (struct sockaddr *)&peer, &peer_len) < 0)
		return errno;
	len = version == PROXY_V1
		      ? proxy_v1(header, sizeof(header), &own, &peer, own_len)
		      : proxy_v2(header, &own, &peer);
	n = send(fd, header, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n == (ssize_t)len)
		return 0;
	return n < 0 ? errno : ENOBUFS;
}
