/* SPDX-License-Identifier: MIT */
/* IP networks as text, and which addresses they contain. */
#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "network.h"

static struct wr_network parse(const char *text)
{
	struct wr_network n;

	ck_assert_msg(wr_network_parse(&n, text, strlen(text), NULL) == 0,
		      "refused: %s", text);
	return n;
}

static struct wr_network address(const char *text)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct wr_network n;

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
		ck_assert(wr_network_of(&n, (struct sockaddr *)&in));
		return n;
	}
	ck_assert_int_eq(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
	ck_assert(wr_network_of(&n, (struct sockaddr *)&in6));
	return n;
}

START_TEST(a_network_contains_the_addresses_behind_its_prefix)
{
	static const struct {
		const char *network, *inside, *outside;
	} pairs[] = {
		{ "10.0.0.0/8", "10.255.255.255", "11.0.0.0" },
		{ "10.0.0.0/8", "10.0.0.0", "9.255.255.255" },
		{ "192.168.4.0/22", "192.168.7.255", "192.168.8.0" },
		{ "1.2.3.4", "1.2.3.4", "1.2.3.5" },
		{ "1.2.3.4/32", "1.2.3.4", "1.2.3.5" },
		{ "1.2.3.4/31", "1.2.3.5", "1.2.3.6" },
		{ "0.0.0.0/0", "255.255.255.255", "::1" },
		{ "128.0.0.0/1", "200.1.1.1", "127.255.255.255" },
		{ "2001:db8::/32", "2001:db8:ffff::1", "2001:db9::" },
		{ "2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::" },
		{ "::1", "::1", "::2" },
		{ "fe80::/10", "febf::1", "fec0::1" },
		{ "::/0", "ffff::", "1.2.3.4" },
		{ "::/1", "7fff::", "8000::" },
		/* v4-mapped is IPv4 */
		{ "10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.0.0.1" },
		{ "::ffff:10.0.0.0/104", "10.1.2.3", "11.0.0.1" },
		{ "::ffff:0:0/96", "1.2.3.4", "::1" },
		{ "::/95", "::1", "::ffff:1.2.3.4" },
	};

	for (size_t i = 0; i < wr_array_len(pairs); i++) {
		struct wr_network n = parse(pairs[i].network);
		struct wr_network in = address(pairs[i].inside);
		struct wr_network out = address(pairs[i].outside);

		ck_assert_msg(wr_network_contains(&n, &in), "%s in %s",
			      pairs[i].inside, pairs[i].network);
		ck_assert_msg(!wr_network_contains(&n, &out), "%s in %s",
			      pairs[i].outside, pairs[i].network);
	}
}
END_TEST

START_TEST(a_smaller_network_contains_no_larger_one)
{
	struct wr_network large = parse("10.0.0.0/8");
	struct wr_network small = parse("10.1.0.0/16");

	ck_assert(wr_network_contains(&large, &small));
	ck_assert(wr_network_contains(&large, &large));
	ck_assert(!wr_network_contains(&small, &large));
}
END_TEST

START_TEST(every_prefix_length_has_its_bits)
{
	const struct wr_network ones = address("255.255.255.255");

	for (int bits = 0; bits <= 32; bits++) {
		uint32_t mask = bits ? htonl(UINT32_MAX << (32 - bits)) : 0;
		char text[64], at[INET_ADDRSTRLEN];
		struct wr_network n;

		inet_ntop(AF_INET, &mask, at, sizeof(at));
		snprintf(text, sizeof(text), "%s/%d", at, bits);
		n = parse(text);
		ck_assert_int_eq(n.bits, bits);
		ck_assert(wr_network_contains(&n, &ones));
		if (bits == 0)
			continue;
		/* the same address with a shorter prefix has a host bit */
		snprintf(text, sizeof(text), "%s/%d", at, bits - 1);
		ck_assert_int_eq(wr_network_parse(&n, text, strlen(text), NULL),
				 -EINVAL);
	}
}
END_TEST

START_TEST(what_is_no_network_is_refused_with_the_reason)
{
	static const struct {
		const char *text, *wrong;
	} bad[] = {
		{ "", "it is no IP address" },
		{ "/", "it is no IP address" },
		{ "/8", "it is no IP address" },
		{ "10/8", "it is no IP address" },
		{ "10.0.0/8", "it is no IP address" },
		{ "010.0.0.0/8", "it is no IP address" },
		{ "localhost", "it is no IP address" },
		{ "[::1]", "it is no IP address" },
		{ "fe80::1%eth0", "it is no IP address" },
		{ "1.2.3.4:5", "it is no IP address" },
		{ " 1.2.3.4", "it is no IP address" },
		{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb",
		  "it is no IP address" },
		{ "10.0.0.0/", "the prefix is no number from 0 to 32" },
		{ "10.0.0.0/33", "the prefix is no number from 0 to 32" },
		{ "10.0.0.0/-1", "the prefix is no number from 0 to 32" },
		{ "10.0.0.0/08", "the prefix is no number from 0 to 32" },
		{ "10.0.0.0/8 ", "the prefix is no number from 0 to 32" },
		{ "10.0.0.0/8/8", "the prefix is no number from 0 to 32" },
		{ "10.0.0.0/4294967304",
		  "the prefix is no number from 0 to 32" },
		{ "10.0.0.0/255.0.0.0",
		  "the prefix is no number from 0 to 32" },
		{ "::/129", "the prefix is no number from 0 to 128" },
		{ "10.0.0.1/8", "bits are set behind the prefix" },
		{ "10.128.0.0/8", "bits are set behind the prefix" },
		{ "2001:db8::1/32", "bits are set behind the prefix" },
		{ "::1/0", "bits are set behind the prefix" },
		{ "::ffff:10.0.0.1/104", "bits are set behind the prefix" },
	};

	for (size_t i = 0; i < wr_array_len(bad); i++) {
		const char *wrong = NULL;
		struct wr_network n;

		ck_assert_msg(wr_network_parse(&n, bad[i].text,
					       strlen(bad[i].text),
					       &wrong) == -EINVAL,
			      "taken: %s", bad[i].text);
		ck_assert_str_eq(wrong, bad[i].wrong);
	}
}
END_TEST

START_TEST(only_the_given_bytes_are_read)
{
	struct wr_network n;

	ck_assert_int_eq(wr_network_parse(&n, "10.0.0.0/8,x", 10, NULL), 0);
	ck_assert_int_eq(n.bits, 8);
	ck_assert_int_eq(wr_network_parse(&n, "0.0.0.0/16", 9, NULL), 0);
	ck_assert_int_eq(n.bits, 1);
}
END_TEST

START_TEST(an_address_of_another_kind_is_none)
{
	struct sockaddr un = { .sa_family = AF_UNIX };
	struct wr_network n;

	ck_assert(!wr_network_of(&n, &un));
}
END_TEST

int main(void)
{
	return RUN_TESTS("network",
			 a_network_contains_the_addresses_behind_its_prefix,
			 a_smaller_network_contains_no_larger_one,
			 every_prefix_length_has_its_bits,
			 what_is_no_network_is_refused_with_the_reason,
			 only_the_given_bytes_are_read,
			 an_address_of_another_kind_is_none);
}
