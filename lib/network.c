/* SPDX-License-Identifier: MIT */
/* Any thread; no lookups. */
#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

#define MAPPED_BITS (8 * sizeof(mapped))

static void set_v4(struct wr_network *n, const void *at, int bits)
{
	*n = (struct wr_network){ .family = AF_INET, .bits = (uint16_t)bits };
	memcpy(n->at, at, sizeof(struct in_addr));
}

static void set_v6(struct wr_network *n, const void *at, int bits)
{
	const unsigned char *bytes = at;

	if (bits >= (int)MAPPED_BITS &&
	    memcmp(bytes, mapped, sizeof(mapped)) == 0) {
		set_v4(n, bytes + sizeof(mapped), bits - (int)MAPPED_BITS);
		return;
	}
	*n = (struct wr_network){ .family = AF_INET6, .bits = (uint16_t)bits };
	memcpy(n->at, at, sizeof(struct in6_addr));
}

static unsigned char mask_of(const struct wr_network *n, size_t i)
{
	size_t before = 8 * i;

	if (n->bits >= before + 8)
		return 0xff;
	if (n->bits <= before)
		return 0;
	return (unsigned char)(0xff << (before + 8 - n->bits));
}

static bool has_host_bits(const struct wr_network *n)
{
	for (size_t i = 0; i < sizeof(n->at); i++)
		if (n->at[i] & ~mask_of(n, i))
			return true;
	return false;
}

/* -1: not a number from 0 to most without leading zeros. */
static int parse_bits(const char *text, size_t len, int most)
{
	int n = 0;

	if (len == 0 || len > 3 || (len > 1 && text[0] == '0'))
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		n = 10 * n + (text[i] - '0');
	}
	return n <= most ? n : -1;
}

static int network_refuse(const char **wrong, const char *why)
{
	if (wrong)
		*wrong = why;
	return -EINVAL;
}

int wr_network_parse(struct wr_network *ret, const char *text, size_t len,
		     const char **wrong)
{
	const char *slash = memchr(text, '/', len);
	size_t host_len = slash ? (size_t)(slash - text) : len;
	char host[INET6_ADDRSTRLEN];
	unsigned char at[sizeof(struct in6_addr)];
	bool is_v4;
	int bits;

	if (host_len >= sizeof(host) || memchr(text, '\0', len))
		return network_refuse(wrong, "it is no IP address");
	memcpy(host, text, host_len);
	host[host_len] = '\0';
	is_v4 = inet_pton(AF_INET, host, at) == 1;
	if (!is_v4 && inet_pton(AF_INET6, host, at) != 1)
		return network_refuse(wrong, "it is no IP address");
	bits = is_v4 ? 32 : 128;
	if (slash)
		bits = parse_bits(slash + 1, len - host_len - 1, bits);
	if (bits < 0)
		return network_refuse(wrong,
				      is_v4 ? "the prefix is no number from 0 "
					      "to 32"
					    : "the prefix is no number from 0 "
					      "to 128");
	if (is_v4)
		set_v4(ret, at, bits);
	else
		set_v6(ret, at, bits);
	return has_host_bits(ret)
		       ? network_refuse(wrong, "bits are set behind the prefix")
		       : 0;
}

bool wr_network_of(struct wr_network *ret, const struct sockaddr *addr)
{
	const struct sockaddr_in *in = (const void *)addr;
	const struct sockaddr_in6 *in6 = (const void *)addr;

	if (addr->sa_family == AF_INET)
		set_v4(ret, &in->sin_addr, 32);
	else if (addr->sa_family == AF_INET6)
		set_v6(ret, &in6->sin6_addr, 128);
	else
		return false;
	return true;
}

void wr_network_map(struct wr_network *n)
{
	if (n->family == AF_INET6)
		return;
	memcpy(n->at + sizeof(mapped), n->at, sizeof(struct in_addr));
	memcpy(n->at, mapped, sizeof(mapped));
	n->family = AF_INET6;
	n->bits = (uint16_t)(n->bits + MAPPED_BITS);
}

bool wr_network_contains(const struct wr_network *outer,
			 const struct wr_network *inner)
{
	if (outer->family != inner->family || outer->bits > inner->bits)
		return false;
	for (size_t i = 0; 8 * i < outer->bits; i++)
		if ((outer->at[i] ^ inner->at[i]) & mask_of(outer, i))
			return false;
	return true;
}
