/* SPDX-License-Identifier: MIT */
/*
 * PROXY headers as bytes.  The long ones were recorded from HAProxy and hitch.
 */
#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "address.h"
#include "proxy.h"
#include "sys.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define MOST	  4096

/* A literal with zero bytes. */
#define BYTES(literal) (literal), sizeof(literal) - 1

/* From HAProxy, with all its options. */
static const char recorded[] =
	"0d0a0d0a000d0a515549540a2111009f7f0000017f0000018c321c23030004b550b0"
	"cc0100046563686f020009612e6578616d706c6505002433653231313135322d6437"
	"33642d343738632d613834312d31376663383938303833313420004f070000000021"
	"0007544c5376312e33220008636c69656e742d312500054543323536240011656364"
	"73612d776974682d534841323536230016544c535f4145535f3235365f47434d5f53"
	"4841333834";

static size_t from_hex(unsigned char *to, const char *hex)
{
	size_t len = strlen(hex) / 2;

	for (size_t i = 0; i < len; i++) {
		unsigned byte;

		ck_assert_int_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
		to[i] = (unsigned char)byte;
	}
	return len;
}

static ssize_t read_header(struct wr_proxy_header *h, const void *data,
			   size_t len)
{
	/* Its own memory, so that a read behind the bytes is noticed. */
	unsigned char *copy = malloc(len ? len : 1);
	ssize_t rc;

	memcpy(copy, data, len);
	rc = wr_proxy_read(h, copy, len, MOST);
	free(copy);
	return rc;
}

/* Each beginning of it needs more; the whole is read, whatever follows. */
static void expect_header(const void *data, size_t len)
{
	struct wr_proxy_header h;
	unsigned char more[MOST];

	for (size_t n = 0; n < len; n++)
		ck_assert_msg(read_header(&h, data, n) == 0, "%zu bytes: %s", n,
			      h.wrong ? h.wrong : "taken");
	ck_assert_msg(read_header(&h, data, len) == (ssize_t)len, "%s",
		      h.wrong ? h.wrong : "not taken");
	memcpy(more, data, len);
	for (int follows = 0; follows < 256; follows++) {
		more[len] = (unsigned char)follows;
		ck_assert_int_eq(read_header(&h, more, len + 1), (ssize_t)len);
	}
}

/* Wrong from this many bytes on: one less needs more. */
static void expect_wrong(const void *data, size_t len, const char *why)
{
	struct wr_proxy_header h;

	ck_assert_msg(read_header(&h, data, len) == -EPROTO, "%s",
		      printable(data, len));
	ck_assert_str_eq(h.wrong, why);
	ck_assert_int_eq(read_header(&h, data, len - 1), 0);
}

static void expect_addresses(const void *data, size_t len, const char *source,
			     const char *target)
{
	struct wr_proxy_header h;
	struct sockaddr_storage addr;
	struct wr_proxy *p;
	char text[160];
	socklen_t addr_len;

	ck_assert_int_eq(wr_proxy_read(&h, data, len, MOST), (ssize_t)len);
	p = wr_proxy_keep(&h);
	addr_len = wr_proxy_source(p, &addr);
	wr_address_format((struct sockaddr *)&addr, addr_len, text,
			  sizeof(text));
	ck_assert_str_eq(text, source);
	addr_len = wr_proxy_target(p, &addr);
	wr_address_format((struct sockaddr *)&addr, addr_len, text,
			  sizeof(text));
	ck_assert_str_eq(text, target);
	wr_sys_free(p);
}

START_TEST(a_line_is_read_wherever_it_is_cut)
{
	static const char *const lines[] = {
		"PROXY TCP4 127.0.0.1 127.0.0.1 60786 7301\r\n",
		"PROXY TCP4 255.255.255.255 0.0.0.0 0 65535\r\n",
		"PROXY TCP6 ::1 ::1 59446 7205\r\n",
		"PROXY UNKNOWN\r\n",
		"PROXY UNKNOWN whatever comes here 1 2\r\n",
	};

	for (size_t i = 0; i < wr_array_len(lines); i++)
		expect_header(lines[i], strlen(lines[i]));
	expect_header(BYTES(
		"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"));
}
END_TEST

START_TEST(a_line_tells_both_addresses)
{
	expect_addresses(BYTES("PROXY TCP4 203.0.113.9 10.0.0.2 4711 80\r\n"),
			 "203.0.113.9:4711", "10.0.0.2:80");
	expect_addresses(BYTES("PROXY TCP6 2001:db8::9 ::ffff:1.2.3.4 1 2\r\n"),
			 "[2001:db8::9]:1", "1.2.3.4:2");
}
END_TEST

START_TEST(a_wrong_line_is_refused_at_the_byte_that_tells)
{
	static const char *const malformed[] = {
		"PROXY \r\n",
		"PROXY TCP\r\n",
		"PROXY TCP4\r\n",
		"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY UNKNOWNX\r\n",
		"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 4294967298\r\n",
		"PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
		"PROXY TCP4 ::1 ::1 1 2\r\n",
		"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP6 [::1] ::1 1 2\r\n",
		"PROXY TCP6 fe80::1%lo ::1 1 2\r\n",
		"PROXY TCP6 :::1 ::1 1 2\r\n",
	};
	char line[108];

	for (size_t i = 0; i < wr_array_len(malformed); i++)
		expect_wrong(malformed[i], strlen(malformed[i]),
			     "its line is malformed");
	expect_wrong(BYTES("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n"),
		     "its line is malformed");
	expect_wrong(BYTES("PROXY UNKNOWN\n"),
		     "its line does not end in CR LF");
	expect_wrong(BYTES("PROXY UNKNOWN\rX"),
		     "its line does not end in CR LF");
	memset(line, 'x', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	expect_wrong(line, 107, "its line is longer than 107 bytes");
	line[106] = '\r';
	line[107] = '\n';
	expect_wrong(line, 107, "its line is longer than 107 bytes");
	line[105] = '\r';
	line[106] = '\n';
	expect_header(line, 107);
}
END_TEST

START_TEST(other_bytes_are_no_header)
{
	expect_wrong(BYTES("G"), "there is none");
	expect_wrong(BYTES("PROXX"), "there is none");
	expect_wrong(BYTES("PROXY\t"), "there is none");
	expect_wrong(BYTES("\r\n\r\n\0\r\nQUIT\r"), "there is none");
	expect_wrong(BYTES("\r\n\r\n\r"), "there is none");
	expect_wrong(BYTES("\x16"), "there is none");
}
END_TEST

#define V4                                                                     \
	SIGNATURE "\x21\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x00\x09"   \
		  "\x00\x0a"
#define ADDRESSES_V4 "\x01\x02\x03\x04\x05\x06\x07\x08\x00\x09\x00\x0a"

START_TEST(a_binary_header_is_read_wherever_it_is_cut)
{
	unsigned char all[512];
	size_t len = from_hex(all, recorded);

	expect_header(BYTES(V4));
	expect_header(BYTES(SIGNATURE "\x20\x00\x00\x00"));
	/* of LOCAL and of an unspecified family the rest is skipped */
	expect_header(BYTES(SIGNATURE "\x20\x11\x00\x03xyz"));
	expect_header(BYTES(SIGNATURE "\x20\xff\x00\x03xyz"));
	expect_header(BYTES(SIGNATURE "\x21\x00\x00\x03xyz"));
	expect_header(BYTES(SIGNATURE "\x21\x01\x00\x00"));
	expect_header(BYTES(SIGNATURE "\x21\x10\x00\x01x"));
	expect_header(all, len);
}
END_TEST

START_TEST(a_binary_header_tells_both_addresses)
{
	unsigned char un[16 + 216] = SIGNATURE "\x21\x31\x00\xd8/client";

	expect_addresses(BYTES(V4), "1.2.3.4:9", "5.6.7.8:10");
	expect_addresses(BYTES(SIGNATURE "\x21\x21\x00\x24"
					 " \x01\r\xb8\0\0\0\0\0\0\0\0\0\0\0\x09"
					 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
					 "\x12\x34\xff\xff"),
			 "[2001:db8::9]:4660", "[::1]:65535");
	memcpy(un + 16 + 108, "/server", 7);
	expect_addresses(un, sizeof(un), "unix:/client", "unix:/server");
}
END_TEST

START_TEST(a_wrong_binary_header_is_refused_at_the_byte_that_tells)
{
	expect_wrong(BYTES(SIGNATURE "\x11"),
		     "its version or command is unknown");
	expect_wrong(BYTES(SIGNATURE "\x31"),
		     "its version or command is unknown");
	expect_wrong(BYTES(SIGNATURE "\x22"),
		     "its version or command is unknown");
	expect_wrong(BYTES(SIGNATURE "\x21\x41"),
		     "its address family is unknown");
	expect_wrong(BYTES(SIGNATURE "\x21\x13"),
		     "its address family is unknown");
	expect_wrong(BYTES(SIGNATURE "\x21\x12"), "it tells of datagrams");
	expect_wrong(BYTES(SIGNATURE "\x21\x32"), "it tells of datagrams");
	expect_wrong(BYTES(SIGNATURE "\x21\x11\x10\x01"),
		     "it is longer than proxy_max");
	expect_wrong(BYTES(SIGNATURE "\x20\x00\xff\xff"),
		     "it is longer than proxy_max");
	expect_wrong(BYTES(SIGNATURE "\x21\x11\x00\x0b"),
		     "it is too short for its addresses");
	expect_wrong(BYTES(SIGNATURE "\x21\x21\x00\x23"),
		     "it is too short for its addresses");
	expect_wrong(BYTES(SIGNATURE "\x21\x31\x00\xd7"),
		     "it is too short for its addresses");
	expect_wrong(BYTES(SIGNATURE "\x21\x11\x00\x0d" ADDRESSES_V4 "\x01"),
		     "one of its TLVs is cut off");
	expect_wrong(BYTES(SIGNATURE "\x21\x11\x00\x10" ADDRESSES_V4
				     "\x01\x00\x02x"),
		     "one of its TLVs is cut off");
	expect_wrong(BYTES(SIGNATURE "\x21\x11\x00\x13" ADDRESSES_V4
				     "\x20\x00\x04\x07\0\0\0"),
		     "what it tells about TLS is malformed");
	expect_wrong(BYTES(SIGNATURE "\x21\x11\x00\x17" ADDRESSES_V4
				     "\x20\x00\x08\x07\0\0\0\0\x21\x00\x01"),
		     "what it tells about TLS is malformed");
	expect_wrong(BYTES(SIGNATURE "\x21\x11\x00\x12" ADDRESSES_V4
				     "\x03\x00\x03xyz"),
		     "its checksum differs");
}
END_TEST

START_TEST(a_checksum_covers_every_byte)
{
	unsigned char all[512];
	size_t len = from_hex(all, recorded);
	struct wr_proxy_header h;

	for (size_t i = 16; i < len; i++) {
		if (i == 28) /* the type that makes it a checksum */
			continue;
		all[i] ^= 0x40;
		ck_assert_msg(wr_proxy_read(&h, all, len, MOST) == -EPROTO,
			      "byte %zu may change", i);
		all[i] ^= 0x40;
	}
	ck_assert_int_eq(wr_proxy_read(&h, all, len, MOST), (ssize_t)len);
}
END_TEST

static void expect_tlv(const struct wr_proxy *p, int type, int index,
		       const char *text)
{
	size_t len = 0;
	const void *value = wr_proxy_tlv(p, type, index, &len);

	if (text == NULL) {
		ck_assert_ptr_null(value);
		return;
	}
	ck_assert_ptr_nonnull(value);
	ck_assert_uint_eq(len, strlen(text));
	ck_assert_mem_eq(value, text, len);
}

START_TEST(what_a_header_tells_besides_can_be_asked_for)
{
	unsigned char all[512];
	size_t len = from_hex(all, recorded);
	struct wr_proxy_header h;
	struct wr_proxy *p;

	ck_assert_int_eq(wr_proxy_read(&h, all, len, MOST), (ssize_t)len);
	p = wr_proxy_keep(&h);
	memset(all, 0, sizeof(all));
	expect_tlv(p, WEIR_PROXY_ALPN, 0, "echo");
	expect_tlv(p, WEIR_PROXY_ALPN, 1, NULL);
	expect_tlv(p, WEIR_PROXY_AUTHORITY, 0, "a.example");
	expect_tlv(p, WEIR_PROXY_UNIQUE_ID, 0,
		   "3e211152-d73d-478c-a841-17fc89808314");
	expect_tlv(p, WEIR_PROXY_TLS_VERSION, 0, "TLSv1.3");
	expect_tlv(p, WEIR_PROXY_TLS_CN, 0, "client-1");
	expect_tlv(p, WEIR_PROXY_TLS_CIPHER, 0, "TLS_AES_256_GCM_SHA384");
	expect_tlv(p, WEIR_PROXY_TLS_SIGNATURE, 0, "ecdsa-with-SHA256");
	expect_tlv(p, WEIR_PROXY_TLS_KEY, 0, "EC256");
	expect_tlv(p, WEIR_PROXY_NETNS, 0, NULL);
	wr_sys_free(p);
}
END_TEST

static struct sockaddr_storage address(const char *host, int port)
{
	struct sockaddr_storage ret = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ret;

	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		return ret;
	}
	ck_assert_int_eq(inet_pton(AF_INET6, host, &in6->sin6_addr), 1);
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons((uint16_t)port);
	return ret;
}

START_TEST(what_is_written_is_read_back)
{
	static const struct {
		const char *source, *target, *source_text, *target_text;
	} pairs[] = {
		{ "1.2.3.4", "5.6.7.8", "1.2.3.4:65535", "5.6.7.8:7" },
		{ "::1", "2001:db8::9", "[::1]:65535", "[2001:db8::9]:7" },
		{ "::ffff:1.2.3.4", "::ffff:5.6.7.8", "1.2.3.4:65535",
		  "5.6.7.8:7" },
		{ "1.2.3.4", "::1", "1.2.3.4:65535", "[::1]:7" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe",
		  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:7" },
	};

	for (size_t i = 0; i < wr_array_len(pairs); i++)
		for (int version = 1; version <= 2; version++) {
			struct sockaddr_storage source =
				address(pairs[i].source, 65535);
			struct sockaddr_storage target =
				address(pairs[i].target, 7);
			unsigned char buf[WR_PROXY_WRITTEN];
			int len = wr_proxy_write(buf, sizeof(buf), version,
						 (struct sockaddr *)&source,
						 (struct sockaddr *)&target);

			ck_assert_int_gt(len, 0);
			expect_header(buf, (size_t)len);
			expect_addresses(buf, (size_t)len, pairs[i].source_text,
					 pairs[i].target_text);
			ck_assert_int_eq(
				wr_proxy_write(buf, (size_t)len - 1, version,
					       (struct sockaddr *)&source,
					       (struct sockaddr *)&target),
				-ENOSPC);
		}
}
END_TEST

START_TEST(without_addresses_a_header_tells_none)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	unsigned char buf[WR_PROXY_WRITTEN];
	int len = wr_proxy_write(buf, sizeof(buf), 1, (struct sockaddr *)&un,
				 (struct sockaddr *)&un);

	ck_assert_int_eq(len, 15);
	ck_assert_mem_eq(buf, "PROXY UNKNOWN\r\n", 15);
	len = wr_proxy_write(buf, sizeof(buf), 2, (struct sockaddr *)&un,
			     (struct sockaddr *)&un);
	ck_assert_int_eq(len, 16);
	ck_assert_mem_eq(buf, SIGNATURE "\x20\0\0\0", 16);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"proxy_header", a_line_is_read_wherever_it_is_cut,
		a_line_tells_both_addresses,
		a_wrong_line_is_refused_at_the_byte_that_tells,
		other_bytes_are_no_header,
		a_binary_header_is_read_wherever_it_is_cut,
		a_binary_header_tells_both_addresses,
		a_wrong_binary_header_is_refused_at_the_byte_that_tells,
		a_checksum_covers_every_byte,
		what_a_header_tells_besides_can_be_asked_for,
		what_is_written_is_read_back,
		without_addresses_a_header_tells_none);
}
