/* SPDX-License-Identifier: MIT */
/*
 * PROXY headers of any bytes.  The first byte is the limit of version 2, in
 * steps of 16 bytes.  A header is read the same wherever it is cut; one that is
 * taken has the length that a simpler reading says, and what it tells can be
 * written and read again.
 */
#include "fuzz.h"

#include <errno.h>
#include <netinet/in.h>

#include "proxy.h"
#include "sys.h"
#include "weir.h"

const char fuzz_corpus[] = "proxy";

static ssize_t read_copy(struct wr_proxy_header *h, const uint8_t *data,
			 size_t len, size_t most)
{
	unsigned char *copy = malloc(len ? len : 1);
	ssize_t rc;

	REQUIRE(copy);
	memcpy(copy, data, len);
	rc = wr_proxy_read(h, copy, len, most);
	free(copy);
	REQUIRE(rc >= 0 || rc == -EPROTO);
	REQUIRE((rc < 0) == (h->wrong != NULL));
	return rc;
}

/* Once it is taken or wrong, more bytes change nothing; before, all need more.
 */
static void check_cuts(const uint8_t *data, size_t size, size_t most)
{
	struct wr_proxy_header h;
	ssize_t told = 0;

	for (size_t len = 0; len <= size; len++) {
		ssize_t rc = read_copy(&h, data, len, most);

		REQUIRE(told == 0 || rc == told);
		REQUIRE(rc <= (ssize_t)len);
		REQUIRE(rc == 0 || told != 0 || rc < 0 || rc == (ssize_t)len);
		told = rc;
	}
}

static void check_line(const uint8_t *data, size_t len)
{
	REQUIRE(len >= 15 && len <= 107);
	REQUIRE(memcmp(data, "PROXY ", 6) == 0);
	REQUIRE(memcmp(data + len - 2, "\r\n", 2) == 0);
	REQUIRE(!memchr(data, '\r', len - 2) && !memchr(data, '\n', len - 2));
	REQUIRE(!memchr(data, '\0', len));
}

static void check_binary(const uint8_t *data, size_t len, size_t most)
{
	REQUIRE(len == 16 + (size_t)data[14] * 256 + data[15]);
	REQUIRE(len <= 16 + most);
	REQUIRE(data[12] == 0x20 || data[12] == 0x21);
}

static void check_tlvs(const struct wr_proxy *p)
{
	const unsigned char *end = p->bytes + p->addresses_len + p->tlvs_len;

	for (int type = 0; type < 256; type++) {
		const unsigned char *value;
		size_t len;
		int i = 0;

		for (; (value = wr_proxy_tlv(p, type, i, &len)); i++)
			REQUIRE(value + len <= end);
		REQUIRE(i <= p->tlvs_len / 3);
	}
}

static void check_written(const struct sockaddr_storage *source,
			  const struct sockaddr_storage *target)
{
	for (int version = 1; version <= 2; version++) {
		unsigned char buf[WR_PROXY_WRITTEN], again[WR_PROXY_WRITTEN];
		struct sockaddr_storage from, to;
		struct wr_proxy_header h;
		struct wr_proxy *p;
		int len = wr_proxy_write(buf, sizeof(buf), version,
					 (const struct sockaddr *)source,
					 (const struct sockaddr *)target);

		REQUIRE(len > 0);
		REQUIRE(wr_proxy_read(&h, buf, (size_t)len, 4096) == len);
		if (source->ss_family == AF_UNIX) {
			REQUIRE(h.family == 0);
			continue;
		}
		p = wr_proxy_keep(&h);
		REQUIRE(p);
		(void)wr_proxy_source(p, &from);
		(void)wr_proxy_target(p, &to);
		wr_sys_free(p);
		REQUIRE(wr_proxy_write(again, sizeof(again), version,
				       (struct sockaddr *)&from,
				       (struct sockaddr *)&to) == len);
		REQUIRE(memcmp(buf, again, (size_t)len) == 0);
	}
}

static void check_kept(const struct wr_proxy_header *h)
{
	struct wr_proxy *p = wr_proxy_keep(h);
	struct sockaddr_storage source, target;

	REQUIRE(p);
	REQUIRE(wr_proxy_source(p, &source) <= sizeof(struct sockaddr_storage));
	REQUIRE(wr_proxy_target(p, &target) <= sizeof(struct sockaddr_storage));
	check_tlvs(p);
	check_written(&source, &target);
	wr_sys_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wr_proxy_header h;
	size_t most;
	ssize_t len;

	if (size == 0)
		return 0;
	most = 216 + 16 * (size_t)data[0];
	data++;
	size = wr_min(size - 1, 600); /* all cuts take the square of it */
	check_cuts(data, size, most);
	len = wr_proxy_read(&h, data, size, most);
	if (len <= 0)
		return 0;
	if (data[0] == 'P')
		check_line(data, (size_t)len);
	else
		check_binary(data, (size_t)len, most);
	if (h.family != 0)
		check_kept(&h);
	return 0;
}
