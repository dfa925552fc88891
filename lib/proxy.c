/* SPDX-License-Identifier: MIT */
/*
 * A header is short: it is read again from its first byte whenever more bytes
 * have come.  Wrong bytes are refused as early as possible.
 */
#include "proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "network.h"
#include "sys.h"
#include "weir.h"

#define SIGNATURE     "\r\n\r\n\0\r\nQUIT\n"
#define SIGNATURE_LEN 12
#define LINE_BEGIN    "PROXY "

/* Of version 2: the address family in the upper half, SOCK_STREAM below. */
enum { FAMILY_V4 = 0x11, FAMILY_V6 = 0x21, FAMILY_UNIX = 0x31 };

enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21 };

#define UNIX_PATH	108 /* of each address of FAMILY_UNIX */
#define TLV_HEAD	3
#define TLS_HEAD	5 /* in front of the TLVs inside the one about TLS */
#define TLS_TYPES_BEGIN 0x21
#define TLS_TYPES_END	0x2f

static ssize_t proxy_refuse(struct wr_proxy_header *h, const char *wrong)
{
	h->wrong = wrong;
	return -EPROTO;
}

static unsigned get_16(const unsigned char *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

static size_t addresses_len(int family)
{
	switch (family) {
	case FAMILY_V4:
		return (size_t)2 * (4 + 2);
	case FAMILY_V6:
		return (size_t)2 * (16 + 2);
	case FAMILY_UNIX:
		return 2 * (size_t)UNIX_PATH;
	default:
		return 0;
	}
}

static char *next_field(char **rest)
{
	char *field = *rest, *end = field ? strchr(field, ' ') : NULL;

	if (end)
		*end++ = '\0';
	*rest = end;
	return field;
}

static bool read_port(unsigned char *to, const char *text)
{
	unsigned n = 0;

	if (text == NULL || !*text || (text[0] == '0' && text[1]))
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		n = 10 * n + (unsigned)(*text - '0');
		if (n > UINT16_MAX)
			return false;
	}
	to[0] = (unsigned char)(n >> 8);
	to[1] = (unsigned char)n;
	return true;
}

static bool read_addresses(struct wr_proxy_header *h, int family, char *rest)
{
	size_t len = addresses_len(family) / 2 - 2;
	int af = family == FAMILY_V4 ? AF_INET : AF_INET6;
	unsigned char *own = h->own;

	for (size_t i = 0; i < 2; i++) {
		const char *text = next_field(&rest);

		if (text == NULL || inet_pton(af, text, own + i * len) != 1)
			return false;
	}
	own += 2 * len;
	if (!read_port(own, next_field(&rest)) || !read_port(own + 2, rest))
		return false;
	h->family = (uint8_t)family;
	h->addresses = h->own;
	h->addresses_len = addresses_len(family);
	return true;
}

static bool read_words(struct wr_proxy_header *h, char *line)
{
	char *rest = line;
	const char *word = next_field(&rest);

	if (strcmp(word, "UNKNOWN") == 0)
		return true; /* the rest has no meaning */
	if (strcmp(word, "TCP4") == 0)
		return read_addresses(h, FAMILY_V4, rest);
	return strcmp(word, "TCP6") == 0 && read_addresses(h, FAMILY_V6, rest);
}

static ssize_t read_v1(struct wr_proxy_header *h, const unsigned char *data,
		       size_t len)
{
	const size_t begin = sizeof(LINE_BEGIN) - 1;
	size_t there = wr_min(len, WR_PROXY_LINE);
	const unsigned char *cr = memchr(data, '\r', there);
	const unsigned char *lf = memchr(data, '\n', there);
	char line[WR_PROXY_LINE];
	size_t end;

	if (lf && (cr == NULL || lf != cr + 1))
		return proxy_refuse(h, "its line does not end in CR LF");
	if (lf == NULL && there == WR_PROXY_LINE)
		return proxy_refuse(h, "its line is longer than 107 bytes");
	if (lf == NULL && cr && cr + 1 < data + there)
		return proxy_refuse(h, "its line does not end in CR LF");
	if (lf == NULL)
		return 0;
	end = (size_t)(cr - data);
	if (memchr(data, '\0', end))
		return proxy_refuse(h, "its line is malformed");
	memcpy(line, data + begin, end - begin);
	line[end - begin] = '\0';
	return read_words(h, line) ? (ssize_t)end + 2
				   : proxy_refuse(h, "its line is malformed");
}

static uint32_t crc32c(uint32_t crc, const unsigned char *data, size_t len)
{
	while (len-- > 0) {
		crc ^= *data++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
	}
	return crc;
}

/* It was made of the header with zeros at its own place. */
static bool is_checksum_right(const unsigned char *data, size_t len,
			      const unsigned char *at)
{
	static const unsigned char zeros[4];
	uint32_t crc = crc32c(UINT32_MAX, data, (size_t)(at - data));

	crc = crc32c(crc, zeros, sizeof(zeros));
	crc = ~crc32c(crc, at + 4, (size_t)(data + len - (at + 4)));
	return (uint32_t)get_16(at) << 16 == (crc & 0xffff0000) &&
	       get_16(at + 2) == (crc & 0xffff);
}

/* The end of the TLV at this place; NULL: it goes beyond end. */
static const unsigned char *tlv_end(const unsigned char *at,
				    const unsigned char *end)
{
	if (end - at < TLV_HEAD)
		return NULL;
	return end - at - TLV_HEAD < (ptrdiff_t)get_16(at + 1)
		       ? NULL
		       : at + TLV_HEAD + get_16(at + 1);
}

static bool are_tlvs_whole(const unsigned char *at, const unsigned char *end)
{
	while (at && at < end)
		at = tlv_end(at, end);
	return at != NULL;
}

static const char *check_tlv(const unsigned char *at, const unsigned char *next,
			     const unsigned char *data, size_t len)
{
	const unsigned char *value = at + TLV_HEAD;
	size_t value_len = (size_t)(next - value);

	if (at[0] == WEIR_PROXY_CRC32C)
		return value_len == 4 && is_checksum_right(data, len, value)
			       ? NULL
			       : "its checksum differs";
	if (at[0] == WEIR_PROXY_TLS &&
	    (value_len < TLS_HEAD || !are_tlvs_whole(value + TLS_HEAD, next)))
		return "what it tells about TLS is malformed";
	return NULL;
}

static ssize_t read_tlvs(struct wr_proxy_header *h, const unsigned char *data,
			 size_t len)
{
	const unsigned char *at = h->tlvs, *next;

	for (; at < data + len; at = next) {
		const char *wrong = "one of its TLVs is cut off";

		next = tlv_end(at, data + len);
		if (next)
			wrong = check_tlv(at, next, data, len);
		if (wrong)
			return proxy_refuse(h, wrong);
	}
	return (ssize_t)len;
}

/* What is wrong with as much of the first 16 bytes as has come; or NULL. */
static const char *check_head(const unsigned char *data, size_t len,
			      size_t most)
{
	size_t need;

	if (len > 12 && data[12] != COMMAND_LOCAL && data[12] != COMMAND_PROXY)
		return "its version or command is unknown";
	if (len > 13 && data[12] == COMMAND_PROXY &&
	    (data[13] >> 4 > 3 || (data[13] & 0xf) > 2))
		return "its address family is unknown";
	if (len > 13 && data[12] == COMMAND_PROXY && data[13] >> 4 != 0 &&
	    (data[13] & 0xf) == 2)
		return "it tells of datagrams";
	if (len < WR_PROXY_HEAD)
		return NULL;
	if (get_16(data + 14) > most)
		return "it is longer than proxy_max";
	need = addresses_len(data[13]);
	return data[12] == COMMAND_PROXY && get_16(data + 14) < need
		       ? "it is too short for its addresses"
		       : NULL;
}

/* A header that tells no addresses is skipped whole. */
static ssize_t read_binary(struct wr_proxy_header *h, const unsigned char *data,
			   size_t len, size_t most)
{
	const char *wrong = check_head(data, len, most);
	size_t whole;

	if (wrong)
		return proxy_refuse(h, wrong);
	if (len < WR_PROXY_HEAD)
		return 0;
	whole = WR_PROXY_HEAD + get_16(data + 14);
	if (len < whole)
		return 0;
	if (data[12] == COMMAND_LOCAL || addresses_len(data[13]) == 0)
		return (ssize_t)whole;
	h->family = data[13];
	h->addresses = data + WR_PROXY_HEAD;
	h->addresses_len = addresses_len(data[13]);
	h->tlvs = h->addresses + h->addresses_len;
	h->tlvs_len = whole - WR_PROXY_HEAD - h->addresses_len;
	return read_tlvs(h, data, whole);
}

ssize_t wr_proxy_read(struct wr_proxy_header *ret, const unsigned char *data,
		      size_t len, size_t most)
{
	const size_t begin = sizeof(LINE_BEGIN) - 1;

	*ret = (struct wr_proxy_header){ .family = 0 };
	if (len == 0)
		return 0;
	if (memcmp(data, SIGNATURE, wr_min(len, SIGNATURE_LEN)) == 0)
		return read_binary(ret, data, len, most);
	if (memcmp(data, LINE_BEGIN, wr_min(len, begin)) != 0)
		return proxy_refuse(ret, "there is none");
	return len < begin ? 0 : read_v1(ret, data, len);
}

struct wr_proxy *wr_proxy_keep(const struct wr_proxy_header *h)
{
	struct wr_proxy *p =
		wr_sys_alloc(sizeof(*p) + h->addresses_len + h->tlvs_len);

	if (p == NULL)
		return NULL;
	p->family = h->family;
	p->addresses_len = (uint16_t)h->addresses_len;
	p->tlvs_len = (uint16_t)h->tlvs_len;
	memcpy(p->bytes, h->addresses, h->addresses_len);
	if (h->tlvs_len > 0)
		memcpy(p->bytes + h->addresses_len, h->tlvs, h->tlvs_len);
	return p;
}

static socklen_t address_of(const struct wr_proxy *p, size_t which,
			    struct sockaddr_storage *ret)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
	struct sockaddr_un *un = (struct sockaddr_un *)ret;
	const unsigned char *at = p->bytes;

	memset(ret, 0, sizeof(*ret));
	switch (p->family) {
	case FAMILY_V4:
		in->sin_family = AF_INET;
		memcpy(&in->sin_addr, at + 4 * which, 4);
		memcpy(&in->sin_port, at + 8 + 2 * which, 2);
		return sizeof(*in);
	case FAMILY_V6:
		in6->sin6_family = AF_INET6;
		memcpy(&in6->sin6_addr, at + 16 * which, 16);
		memcpy(&in6->sin6_port, at + 32 + 2 * which, 2);
		return sizeof(*in6);
	case FAMILY_UNIX:
	default:
		at += UNIX_PATH * which;
		un->sun_family = AF_UNIX;
		memcpy(un->sun_path, at, UNIX_PATH);
		return (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				   strnlen((const char *)at, UNIX_PATH));
	}
}

socklen_t wr_proxy_source(const struct wr_proxy *p,
			  struct sockaddr_storage *ret)
{
	return address_of(p, 0, ret);
}

socklen_t wr_proxy_target(const struct wr_proxy *p,
			  struct sockaddr_storage *ret)
{
	return address_of(p, 1, ret);
}

static const void *find_tlv(const unsigned char *at, const unsigned char *end,
			    int type, int index, size_t *len)
{
	for (; at && at < end; at = tlv_end(at, end))
		if (at[0] == type && index-- == 0) {
			*len = get_16(at + 1);
			return at + TLV_HEAD;
		}
	return NULL;
}

const void *wr_proxy_tlv(const struct wr_proxy *p, int type, int index,
			 size_t *len)
{
	const unsigned char *at = p->bytes + p->addresses_len;
	const unsigned char *end = at + p->tlvs_len;

	if (type < TLS_TYPES_BEGIN || type > TLS_TYPES_END)
		return find_tlv(at, end, type, index, len);
	at = find_tlv(at, end, WEIR_PROXY_TLS, 0, len);
	return at ? find_tlv(at + TLS_HEAD, at + *len, type, index, len) : NULL;
}

/* Both addresses in the form of version 2.  False: they are not of IP. */
static bool put_addresses(struct wr_proxy_header *h,
			  const struct sockaddr *source,
			  const struct sockaddr *target)
{
	const struct sockaddr *both[] = { source, target };
	struct wr_network at[2];
	bool is_v4;

	if (!wr_network_of(&at[0], source) || !wr_network_of(&at[1], target))
		return false;
	is_v4 = at[0].family == AF_INET && at[1].family == AF_INET;
	h->family = is_v4 ? FAMILY_V4 : FAMILY_V6;
	h->addresses_len = addresses_len(h->family);
	for (size_t i = 0; i < 2; i++) {
		size_t len = is_v4 ? 4 : 16;
		/* The port is at the same place in both. */
		const struct sockaddr_in *in = (const void *)both[i];

		if (!is_v4)
			wr_network_map(&at[i]);
		memcpy(h->own + i * len, at[i].at, len);
		memcpy(h->own + 2 * len + 2 * i, &in->sin_port, 2);
	}
	return true;
}

static int write_line(char *buf, const struct wr_proxy_header *h)
{
	char source[INET6_ADDRSTRLEN], target[INET6_ADDRSTRLEN];
	size_t len = h->family == FAMILY_V4 ? 4 : 16;
	int af = h->family == FAMILY_V4 ? AF_INET : AF_INET6;

	if (h->family == 0)
		return snprintf(buf, WR_PROXY_LINE + 1, "PROXY UNKNOWN\r\n");
	inet_ntop(af, h->own, source, sizeof(source));
	inet_ntop(af, h->own + len, target, sizeof(target));
	return snprintf(buf, WR_PROXY_LINE + 1, "PROXY TCP%d %s %s %u %u\r\n",
			af == AF_INET ? 4 : 6, source, target,
			get_16(h->own + 2 * len), get_16(h->own + 2 * len + 2));
}

static int write_binary(char *buf, const struct wr_proxy_header *h)
{
	memcpy(buf, SIGNATURE, SIGNATURE_LEN);
	buf[12] = h->family ? COMMAND_PROXY : COMMAND_LOCAL;
	buf[13] = (char)h->family;
	buf[14] = 0;
	buf[15] = (char)h->addresses_len;
	memcpy(buf + WR_PROXY_HEAD, h->own, h->addresses_len);
	return WR_PROXY_HEAD + (int)h->addresses_len;
}

int wr_proxy_write(unsigned char *buf, size_t cap, int version,
		   const struct sockaddr *source, const struct sockaddr *target)
{
	struct wr_proxy_header h = { .family = 0 };
	char text[WR_PROXY_WRITTEN + 1];
	int len;

	(void)put_addresses(&h, source, target);
	len = version == 1 ? write_line(text, &h) : write_binary(text, &h);
	if ((size_t)len > cap)
		return -ENOSPC;
	memcpy(buf, text, (size_t)len);
	return len;
}
