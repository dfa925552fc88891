/* SPDX-License-Identifier: MIT */
/*
 * Addresses.  Two readers were written apart, the library's and that of the
 * command lines: they must agree on what an address is.  What is written is
 * read back, whatever the kernel says.
 */
#include "fuzz.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

#include "address.h"
#include "weir.h"

const char fuzz_corpus[] = "address";

static bool is_printed(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	return true;
}

/* Any bytes as what the kernel might say an address is. */
static void write_it(const uint8_t *data, size_t size)
{
	struct sockaddr_storage addr;
	char text[1024], tight[1024];
	int len;

	memset(&addr, 0x5a, sizeof(addr));
	memcpy(&addr, data, wr_min(size, sizeof(addr)));
	len = wr_address_format((struct sockaddr *)&addr,
				(socklen_t)wr_min(size, sizeof(addr)), text,
				sizeof(text));
	if (len < 0) {
		REQUIRE(len == -EAFNOSUPPORT);
		return;
	}
	REQUIRE(strlen(text) == (size_t)len && is_printed(text));
	REQUIRE(wr_address_format((struct sockaddr *)&addr,
				  (socklen_t)wr_min(size, sizeof(addr)), tight,
				  (size_t)len) == -ENOSPC);
	REQUIRE(wr_address_format((struct sockaddr *)&addr,
				  (socklen_t)wr_min(size, sizeof(addr)), tight,
				  (size_t)len + 1) == len);
	REQUIRE(strcmp(text, tight) == 0);
}

static void check_unix(const struct wr_address *a, const char *where)
{
	char text[1024];
	int len = wr_address_format((const struct sockaddr *)&a->un, a->un_len,
				    text, sizeof(text));

	REQUIRE(a->un_len <= sizeof(a->un));
	REQUIRE(len > 0);
	if (is_printed(where))
		REQUIRE(strcmp(text, where) == 0);
}

static void check_tcp(const struct wr_address *a)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct wr_address again;
	char text[64];

	REQUIRE(strlen(a->host) < sizeof(a->host));
	REQUIRE(atoi(a->port) >= 0 && atoi(a->port) <= 65535);
	if (inet_pton(AF_INET, a->host, &in.sin_addr) != 1)
		return;
	in.sin_port = htons((uint16_t)atoi(a->port));
	REQUIRE(wr_address_format((struct sockaddr *)&in, sizeof(in), text,
				  sizeof(text)) > 0);
	REQUIRE(wr_address_parse(&again, text) == 0);
	REQUIRE(strcmp(again.host, a->host) == 0);
	REQUIRE(strcmp(again.port, a->port) == 0);
}

static void read_it(const char *where)
{
	static const int kinds[] = {
		[WR_ADDRESS_TCP] = WEIR_ADDRESS_TCP,
		[WR_ADDRESS_UNIX] = WEIR_ADDRESS_UNIX,
		[WR_ADDRESS_FD] = WEIR_ADDRESS_FD,
	};
	struct wr_address a;
	int rc = wr_address_parse(&a, where);

	REQUIRE(rc == 0 || rc == -EINVAL || rc == -ENAMETOOLONG);
	for (int use = WEIR_TO_LISTEN; use <= WEIR_TO_DIAL; use++) {
		char why[128] = "";
		int said = weir_address_check(where, use, why, sizeof(why));

		REQUIRE((said < 0) == (why[0] != '\0'));
		REQUIRE(rc == 0 ? said == -EINVAL || said == kinds[a.kind]
				: said == rc);
	}
	if (rc < 0)
		return;
	if (a.kind == WR_ADDRESS_UNIX)
		check_unix(&a, where);
	else if (a.kind == WR_ADDRESS_TCP)
		check_tcp(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *where = fuzz_text(data, size);

	read_it(where);
	write_it(data, size);
	free(where);
	return 0;
}
