/* SPDX-License-Identifier: MIT */
/*
 * Addresses as text: which forms are read, which are refused, and that the text
 * of an address is read back.
 */
#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "address.h"

#define A10  "aaaaaaaaaa"
#define A100 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10

static struct wr_address parse(const char *where)
{
	struct wr_address a;

	ck_assert_msg(wr_address_parse(&a, where) == 0, "refused: %s", where);
	return a;
}

/* Refused with rc; nothing is written. */
static void expect_refusal(const char *where, int rc)
{
	struct wr_address a, before;
	int got;

	memset(&a, 0x5a, sizeof(a));
	before = a;
	got = wr_address_parse(&a, where);
	ck_assert_msg(got == rc, "%s: %d, not %d", where ? where : "NULL", got,
		      rc);
	ck_assert_mem_eq(&a, &before, sizeof(a));
}

START_TEST(a_host_and_a_port_are_told_apart)
{
	static const struct {
		const char *where, *host, *port;
	} good[] = {
		{ "127.0.0.1:1234", "127.0.0.1", "1234" },
		{ "localhost:0", "localhost", "0" },
		{ ":0", "", "0" },
		{ ":65535", "", "65535" },
		{ "a-b.example.org:80", "a-b.example.org", "80" },
		{ "h\xc3\xb6st:80", "h\xc3\xb6st", "80" },
		{ "host:0080", "host", "80" },
		{ "[::1]:80", "::1", "80" },
		{ "[::]:0", "::", "0" },
		{ "[fe80::1%eth0]:7", "fe80::1%eth0", "7" },
		{ "[::ffff:1.2.3.4]:7", "::ffff:1.2.3.4", "7" },
		{ "unix.example.org:7", "unix.example.org", "7" },
	};
	size_t i;

	for (i = 0; i < wr_array_len(good); i++) {
		struct wr_address a = parse(good[i].where);

		ck_assert_int_eq(a.kind, WR_ADDRESS_TCP);
		ck_assert_str_eq(a.host, good[i].host);
		ck_assert_str_eq(a.port, good[i].port);
	}
}
END_TEST

START_TEST(what_could_mean_two_things_is_refused)
{
	static const char *const bad[] = {
		NULL,
		"",
		":",
		"host",
		"host:",
		"1234",
		"127.0.0.1",
		/* ports */
		"host:65536",
		"host:99999999999999999999",
		"host:-1",
		"host:+1",
		"host: 1",
		"host:1 ",
		"host:1x",
		"host:0x10",
		"host:http",
		"host:1\n",
		":-0",
		/* IPv6 without brackets, brackets without IPv6 */
		"::1:80",
		"::",
		"::1",
		"fe80::1:80",
		"1:2:80",
		"[::1]",
		"[::1]:",
		"[::1]80",
		"[::1]:80:90",
		"[]:80",
		"[",
		"[:80",
		"[::1:80",
		"::1]:80",
		"[host]:80",
		"[127.0.0.1]:80",
		"[::1%]:80",
		"[::1 ]:80",
		"[[::1]]:80",
		"[::1]x:80",
		"x[::1]:80",
		"[:::1]:80",
		/* hosts */
		" host:80",
		"ho st:80",
		"host\t:80",
		"host/x:80",
		"a]:80",
		"h\x7fst:80",
		/* the other forms */
		"unix:",
		"unix:@",
		"fd:",
		"fd:-1",
		"fd:+1",
		"fd:3 ",
		"fd: 3",
		"fd:3x",
		"fd:0x3",
		"fd:2147483648",
		"fd:99999999999999999999",
		"fd:3:80",
	};
	size_t i;

	for (i = 0; i < wr_array_len(bad); i++)
		expect_refusal(bad[i], -EINVAL);
}
END_TEST

START_TEST(a_host_is_as_long_as_it_may_be)
{
	struct wr_address a = parse(A100 A100 A10 A10 A10 A10 A10 "aaaaa:1");

	ck_assert_uint_eq(strlen(a.host), 255);
	expect_refusal(A100 A100 A10 A10 A10 A10 A10 "aaaaaa:1", -ENAMETOOLONG);
	expect_refusal("[" A100 A100 A100 "]:1", -ENAMETOOLONG);
	expect_refusal("[" A100 "]:1", -EINVAL);
}
END_TEST

START_TEST(a_unix_path_is_taken_as_it_stands)
{
	const socklen_t head = offsetof(struct sockaddr_un, sun_path);
	struct wr_address a = parse("unix:/run/x y:1@[");

	ck_assert_int_eq(a.kind, WR_ADDRESS_UNIX);
	ck_assert_int_eq(a.un.sun_family, AF_UNIX);
	ck_assert_str_eq(a.un.sun_path, "/run/x y:1@[");
	ck_assert_uint_eq(a.un_len, head + 13);
	a = parse("unix:x");
	ck_assert_str_eq(a.un.sun_path, "x");
	a = parse("unix:" A100 "aaaaaaa");
	ck_assert_uint_eq(strlen(a.un.sun_path), 107);
	ck_assert_uint_eq(a.un_len, head + 108);
	expect_refusal("unix:" A100 "aaaaaaaa", -ENAMETOOLONG);
	expect_refusal("unix:" A100 A100, -ENAMETOOLONG);
}
END_TEST

START_TEST(an_abstract_name_has_its_exact_length)
{
	const socklen_t head = offsetof(struct sockaddr_un, sun_path);
	struct wr_address a = parse("unix:@ab");

	ck_assert_int_eq(a.kind, WR_ADDRESS_UNIX);
	ck_assert_mem_eq(a.un.sun_path, "\0ab", 3);
	ck_assert_uint_eq(a.un_len, head + 3);
	a = parse("unix:@" A100 "aaaaaaa");
	ck_assert_uint_eq(a.un_len, head + 108);
	expect_refusal("unix:@" A100 "aaaaaaaa", -ENAMETOOLONG);
}
END_TEST

START_TEST(a_descriptor_is_a_plain_number)
{
	struct wr_address a = parse("fd:0");

	ck_assert_int_eq(a.kind, WR_ADDRESS_FD);
	ck_assert_int_eq(a.fd, 0);
	ck_assert_int_eq(parse("fd:3").fd, 3);
	ck_assert_int_eq(parse("fd:2147483647").fd, INT32_MAX);
}
END_TEST

/* Also with every buffer that is too small. */
static void expect_text(const void *addr, size_t len, const char *text)
{
	char buf[600];
	size_t cap;
	int rc;

	rc = wr_address_format(addr, (socklen_t)len, buf, sizeof(buf));
	ck_assert_msg(rc >= 0, "%s: %d", text, rc);
	ck_assert_str_eq(buf, text);
	ck_assert_uint_eq((size_t)rc, strlen(text));
	for (cap = 0; cap <= strlen(text); cap++) {
		memset(buf, 0x5a, sizeof(buf));
		rc = wr_address_format(addr, (socklen_t)len, buf, cap);
		ck_assert_int_eq(rc, -ENOSPC);
		ck_assert_int_eq(buf[cap], 0x5a);
	}
	rc = wr_address_format(addr, (socklen_t)len, buf, cap);
	ck_assert_uint_eq((size_t)rc, strlen(text));
}

static void expect_v6(const char *host, uint32_t zone, const char *text)
{
	struct sockaddr_in6 in6 = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(5),
		.sin6_scope_id = zone,
	};

	ck_assert_int_eq(inet_pton(AF_INET6, host, &in6.sin6_addr), 1);
	expect_text(&in6, sizeof(in6), text);
}

START_TEST(network_addresses_are_written_as_they_are_read)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = htons(65535),
		.sin_addr.s_addr = htonl(0x01020304),
	};

	expect_text(&in, sizeof(in), "1.2.3.4:65535");
	expect_v6("::1", 0, "[::1]:5");
	expect_v6("fe80::1", 2, "[fe80::1%2]:5");
	expect_v6("fe80::1", UINT32_MAX, "[fe80::1%4294967295]:5");
	expect_v6("::ffff:1.2.3.4", 0, "1.2.3.4:5");
	expect_v6("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", 0,
		  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:5");
	ck_assert_str_eq(parse("[fe80::1%2]:5").host, "fe80::1%2");
}
END_TEST

static void expect_unix(const char *path, size_t path_len, const char *text)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	memcpy(un.sun_path, path, path_len);
	expect_text(&un, offsetof(struct sockaddr_un, sun_path) + path_len,
		    text);
}

START_TEST(unix_addresses_are_written_as_they_are_read)
{
	struct wr_address a = parse("unix:/run/x");

	expect_text(&a.un, a.un_len, "unix:/run/x");
	a = parse("unix:@name");
	expect_text(&a.un, a.un_len, "unix:@name");
	a = parse("unix:@" A100 "aaaaaaa");
	expect_text(&a.un, a.un_len, "unix:@" A100 "aaaaaaa");
	expect_unix("", 0, "unix:");
	/* With a NUL, without one, and with one before the end. */
	expect_unix("/a", 3, "unix:/a");
	expect_unix("/a", 2, "unix:/a");
	expect_unix("/a\0zz", 5, "unix:/a");
	expect_unix(A100 "aaaaaaaa", 108, "unix:" A100 "aaaaaaaa");
	expect_unix("\0a\0b", 4, "unix:@a\\x00b");
}
END_TEST

START_TEST(control_bytes_of_a_path_are_written_out)
{
	char path[108], text[6 + 4 * 108] = "unix:@";
	int i;

	expect_unix("/a\n\x1b[1m\x7f\xc3\xb6", 11,
		    "unix:/a\\x0a\\x1b[1m\\x7f\xc3\xb6");
	memset(path, '\n', sizeof(path));
	path[0] = '\0';
	for (i = 1; i < 108; i++)
		strcat(text, "\\x0a");
	expect_unix(path, sizeof(path), text);
}
END_TEST

START_TEST(other_families_have_no_text)
{
	struct sockaddr_storage any = { .ss_family = AF_PACKET };
	char buf[600];

#define FORMAT(len)                                                            \
	wr_address_format((struct sockaddr *)&any, len, buf, sizeof(buf))

	ck_assert_int_eq(FORMAT(sizeof(any)), -EAFNOSUPPORT);
	ck_assert_int_eq(FORMAT(0), -EAFNOSUPPORT);
	any.ss_family = AF_INET;
	ck_assert_int_eq(FORMAT(sizeof(struct sockaddr_in) - 1), -EAFNOSUPPORT);
	ck_assert_int_eq(FORMAT(sizeof(struct sockaddr_in)), 9);
	any.ss_family = AF_INET6;
	ck_assert_int_eq(FORMAT(sizeof(struct sockaddr_in)), -EAFNOSUPPORT);
	any.ss_family = AF_UNIX;
	ck_assert_int_eq(FORMAT(1), -EAFNOSUPPORT);
	ck_assert_int_eq(FORMAT(sizeof(any)), 5 + 1 + 4 * 107);
}
END_TEST

static void expect_checked(const char *where, int use, int rc, const char *text)
{
	char why[128] = "";
	int got = weir_address_check(where, use, why, sizeof(why));

	ck_assert_msg(got == rc, "%s: %d", where, got);
	ck_assert_msg(strstr(why, text) != NULL, "%s: %s", where, why);
}

START_TEST(a_check_says_what_would_be_right)
{
	expect_checked("[::1]:0", WEIR_TO_LISTEN, WEIR_ADDRESS_TCP, "");
	expect_checked(":80", WEIR_TO_DIAL, WEIR_ADDRESS_TCP, "");
	expect_checked("unix:@x", WEIR_TO_DIAL, WEIR_ADDRESS_UNIX, "");
	expect_checked("fd:3", WEIR_TO_LISTEN, WEIR_ADDRESS_FD, "");
	expect_checked("host:0", WEIR_TO_DIAL, -EINVAL, "from 1 to 65535");
	expect_checked("host:x", WEIR_TO_DIAL, -EINVAL, "from 1 to 65535");
	expect_checked("host:x", WEIR_TO_LISTEN, -EINVAL, "from 0 to 65535");
	expect_checked("host", WEIR_TO_DIAL, -EINVAL, "the port is missing");
	expect_checked("http://host:80", WEIR_TO_DIAL, -EINVAL, "not a URL");
	expect_checked("::1:80", WEIR_TO_DIAL, -EINVAL, "needs brackets");
	expect_checked("[x]:80", WEIR_TO_DIAL, -EINVAL, "in brackets");
	expect_checked("a/b:80", WEIR_TO_DIAL, -EINVAL, "no host name");
	expect_checked("unix:", WEIR_TO_LISTEN, -EINVAL, "path is missing");
	expect_checked("unix:a\nb", WEIR_TO_LISTEN, -EINVAL, "control");
	expect_checked("fd:x", WEIR_TO_LISTEN, -EINVAL, "as in fd:3");
	ck_assert_int_eq(weir_address_check("x", WEIR_TO_DIAL, NULL, 0),
			 -EINVAL);
	ck_assert_int_eq(weir_address_check(NULL, WEIR_TO_DIAL, NULL, 0),
			 -EINVAL);
	ck_assert_int_eq(weir_address_check(":80", 3, NULL, 0), -EINVAL);
}
END_TEST

int main(void)
{
	return RUN_TESTS("address", a_check_says_what_would_be_right,
			 a_host_and_a_port_are_told_apart,
			 what_could_mean_two_things_is_refused,
			 a_host_is_as_long_as_it_may_be,
			 a_unix_path_is_taken_as_it_stands,
			 an_abstract_name_has_its_exact_length,
			 a_descriptor_is_a_plain_number,
			 network_addresses_are_written_as_they_are_read,
			 unix_addresses_are_written_as_they_are_read,
			 control_bytes_of_a_path_are_written_out,
			 other_families_have_no_text);
}
