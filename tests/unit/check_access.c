/* SPDX-License-Identifier: MIT */
/*
 * Access rules: which rule decides, and what is reported about a wrong line.
 */
#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "access.h"
#include "clock.h"
#include "faults.h"
#include "user_ids.h"

static weir_access *rules(const char *text)
{
	char why[256] = "";
	weir_access *a = NULL;

	ck_assert_msg(weir_access_new(&a, text, why, sizeof(why)) == 0,
		      "%s: %s", text, why);
	return a;
}

static enum wr_access access_of(const weir_access *a, const char *address)
{
	struct wr_network n;

	ck_assert_int_eq(wr_network_parse(&n, address, strlen(address), NULL),
			 0);
	return wr_access_of_ip(a, &n);
}

static void expect_access(const weir_access *a, const char *address,
			  enum wr_access wanted)
{
	ck_assert_msg(access_of(a, address) == wanted, "%s: %d, not %d",
		      address, access_of(a, address), wanted);
}

START_TEST(the_first_matching_rule_decides)
{
	weir_access *a = rules("deny 10.1.2.3\n"
			       "allow 10.1.0.0/16 # the office\n"
			       "\n"
			       "  exempt\t192.0.2.7\r\n"
			       "deny 10.0.0.0/8\n"
			       "allow 10.1.2.3\n"
			       "allow 2001:db8::/32\n"
			       "deny 2001:db8:1::/48\n");

	expect_access(a, "10.1.2.3", WR_ACCESS_DENY);
	expect_access(a, "10.1.2.2", WR_ACCESS_ALLOW);
	expect_access(a, "10.1.2.4", WR_ACCESS_ALLOW);
	expect_access(a, "10.1.255.255", WR_ACCESS_ALLOW);
	expect_access(a, "10.2.0.0", WR_ACCESS_DENY);
	expect_access(a, "10.0.255.255", WR_ACCESS_DENY);
	expect_access(a, "192.0.2.7", WR_ACCESS_EXEMPT);
	expect_access(a, "192.0.2.8", WR_ACCESS_DENY);
	expect_access(a, "2001:db8:1::1", WR_ACCESS_ALLOW);
	expect_access(a, "2001:db9::1", WR_ACCESS_DENY);
	weir_access_unref(a);
}
END_TEST

START_TEST(a_client_that_no_rule_matches_is_denied_if_there_is_an_allow)
{
	weir_access *denies = rules("deny 10.0.0.0/8\n");
	weir_access *exempts = rules("exempt 10.0.0.0/8\n");
	weir_access *allows = rules("allow ::1\n");

	expect_access(denies, "11.0.0.0", WR_ACCESS_ALLOW);
	expect_access(exempts, "11.0.0.0", WR_ACCESS_ALLOW);
	expect_access(allows, "127.0.0.1", WR_ACCESS_DENY);
	expect_access(NULL, "11.0.0.0", WR_ACCESS_ALLOW);
	expect_access(NULL, "127.0.0.2", WR_ACCESS_EXEMPT);
	expect_access(NULL, "::1", WR_ACCESS_EXEMPT);
	weir_access_unref(denies);
	weir_access_unref(exempts);
	weir_access_unref(allows);
}
END_TEST

START_TEST(the_two_families_are_apart_and_mapped_addresses_are_of_the_first)
{
	weir_access *a = rules("allow ::/0\n"
			       "deny ::ffff:10.0.0.0/104\n"
			       "allow 0.0.0.0/0\n");

	expect_access(a, "10.0.0.1", WR_ACCESS_DENY);
	expect_access(a, "::ffff:10.0.0.1", WR_ACCESS_DENY);
	expect_access(a, "11.0.0.1", WR_ACCESS_ALLOW);
	expect_access(a, "::", WR_ACCESS_ALLOW);
	expect_access(a, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		      WR_ACCESS_ALLOW);
	expect_access(a, "255.255.255.255", WR_ACCESS_ALLOW);
	weir_access_unref(a);
}
END_TEST

/* ------------------------------------------------------- against a scan */

static uint64_t test_random(void)
{
	static uint64_t state = 88172645463325252;

	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

#define RANDOM_RULES 40

struct rule {
	uint32_t addr;
	int bits;
	bool is_deny;
};

static uint32_t mask_of(int bits)
{
	return bits == 0 ? 0 : UINT32_MAX << (32 - bits);
}

/* As somebody would judge who reads from the top. */
static enum wr_access scan(const struct rule *all, int count, uint32_t addr)
{
	bool has_allow = false;

	for (int i = 0; i < count; i++) {
		if ((addr & mask_of(all[i].bits)) == all[i].addr)
			return all[i].is_deny ? WR_ACCESS_DENY
					      : WR_ACCESS_ALLOW;
		has_allow |= !all[i].is_deny;
	}
	return has_allow ? WR_ACCESS_DENY : WR_ACCESS_ALLOW;
}

static int make_rules(struct rule *all, char *text)
{
	int count = 1 + (int)(test_random() % RANDOM_RULES);

	for (int i = 0; i < count; i++) {
		/* few bits vary, so that prefixes nest and repeat */
		int bits = (int)(test_random() % 33);
		uint32_t addr = (uint32_t)test_random() & 0xc0000003;

		all[i].bits = bits;
		all[i].addr = addr & mask_of(bits);
		all[i].is_deny = test_random() % 2;
		addr = htonl(all[i].addr);
		text += sprintf(text, "%s %s/%d\n",
				all[i].is_deny ? "deny" : "allow",
				inet_ntoa(*(struct in_addr *)&addr), bits);
	}
	return count;
}

START_TEST(random_rules_decide_as_a_scan_from_the_top_does)
{
	char text[RANDOM_RULES * 32], address[16];
	struct rule all[RANDOM_RULES];

	for (int round = 0; round < fewer(2000); round++) {
		int count = make_rules(all, text);
		weir_access *a = rules(text);

		for (int i = 0; i < 64; i++) {
			uint32_t addr = all[i % count].addr +
					(uint32_t)(test_random() % 3) - 1;
			uint32_t net = htonl(addr);

			inet_ntop(AF_INET, &net, address, sizeof(address));
			ck_assert_msg(access_of(a, address) ==
					      scan(all, count, addr),
				      "%s with\n%s", address, text);
		}
		weir_access_unref(a);
	}
}
END_TEST

/* -------------------------------------------------------- users and groups */

/* What a peer with the credentials of this process gets. */
static enum wr_access access_of_us(const weir_access *a)
{
	enum wr_access ret;
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	ret = wr_access_of_unix(a, ends[0]);
	close(ends[0]);
	close(ends[1]);
	return ret;
}

static enum wr_access access_by(const char *text)
{
	weir_access *a = rules(text);
	enum wr_access ret = access_of_us(a);

	weir_access_unref(a);
	return ret;
}

START_TEST(rules_for_users_and_groups_decide_about_unix_sockets)
{
	const unsigned uid = getuid(), gid = getgid();
	char text[256];

	snprintf(text, sizeof(text), "allow uid:%u", uid);
	ck_assert_int_eq(access_by(text), WR_ACCESS_ALLOW);
	snprintf(text, sizeof(text), "deny uid:%u\nallow gid:%u", uid, gid);
	ck_assert_int_eq(access_by(text), WR_ACCESS_DENY);
	snprintf(text, sizeof(text), "allow gid:%u\ndeny uid:%u", gid, uid);
	ck_assert_int_eq(access_by(text), WR_ACCESS_ALLOW);
	if (wr_ids_are_mapped(uid + 1, gid) == 1) {
		snprintf(text, sizeof(text), "allow uid:%u", uid + 1);
		ck_assert_int_eq(access_by(text), WR_ACCESS_DENY);
		snprintf(text, sizeof(text), "deny uid:%u", uid + 1);
		ck_assert_int_eq(access_by(text), WR_ACCESS_ALLOW);
	}
	ck_assert_int_eq(access_by("allow 10.0.0.0/8"), WR_ACCESS_ALLOW);
	ck_assert_int_eq(access_of_us(NULL), WR_ACCESS_ALLOW);
}
END_TEST

/* False: it is more than this namespace has. */
static bool write_map(pid_t pid, const char *name, const char *map)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(map, file), 0);
	if (fclose(file) == 0)
		return true;
	ck_assert_int_eq(errno, EPERM);
	return false;
}

/* In a child: 0, or an exit status. */
static int read_rules_in_namespace(int parent, const char *text,
				   const char *expected)
{
	weir_access *a = NULL;
	char why[256] = "", byte = 0;
	int rc;

	if (unshare(CLONE_NEWUSER) < 0)
		return 1;
	if (write(parent, &byte, 1) != 1 || read(parent, &byte, 1) != 1)
		return 1;
	rc = weir_access_new(&a, text, why, sizeof(why));
	weir_access_unref(a);
	if (strcmp(why, expected) == 0 && rc == (expected[0] ? -EINVAL : 0))
		return 0;
	fprintf(stderr, "%s: %d, %s\n", text, rc, why);
	return 1;
}

/* Only root may map more than its own id, or a group.  False: it must not. */
static bool expect_in_namespace(const char *uid_map, const char *gid_map,
				const char *text, const char *expected)
{
	bool is_mapped = false;
	int ends[2], status;
	pid_t child;
	char byte;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		close(ends[0]);
		_exit(read_rules_in_namespace(ends[1], text, expected));
	}
	close(ends[1]);
	if (read(ends[0], &byte, 1) == 1)
		is_mapped = write_map(child, "uid_map", uid_map) &&
			    (!gid_map || write_map(child, "gid_map", gid_map));
	if (is_mapped)
		ck_assert_int_eq(write(ends[0], &byte, 1), 1);
	close(ends[0]);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(!is_mapped || status == 0);
	return is_mapped;
}

#define NOT_MAPPED                                                             \
	": this user namespace does not map that id, so clients with it "      \
	"have 65534"
#define SHARED                                                                 \
	": all clients with an id that this user namespace does not map have " \
	"that one"

START_TEST(a_rule_for_an_id_that_is_not_mapped_is_refused)
{
	static const struct {
		const char *map, *text, *why;
	} all[] = {
		{ "0 0 1\n", "deny uid:0\nallow gid:0", "" },
		{ "0 0 1\n", "deny uid:1001", "line 1: 'uid:1001'" NOT_MAPPED },
		{ "0 0 1\n", "deny uid:0\nallow gid:1",
		  "line 2: 'gid:1'" NOT_MAPPED },
		{ "0 0 65536\n", "exempt uid:1001\ndeny gid:65533", "" },
		{ "0 0 65536\n", "allow uid:65534",
		  "line 1: 'uid:65534'" SHARED },
		{ "0 0 1\n", "allow uid:65534", "line 1: 'uid:65534'" SHARED },
		{ "0 0 65536\n", "allow gid:65536",
		  "line 1: 'gid:65536'" NOT_MAPPED },
		{ "0 0 4294967295\n", "allow uid:65534\ndeny gid:4294967294",
		  "" },
	};

	if (geteuid() != 0)
		return;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!expect_in_namespace(all[i].map, all[i].map, all[i].text,
					 all[i].why))
			return;
}
END_TEST

/* The kernel is asked about a user and a group at once. */
START_TEST(a_namespace_without_our_group_is_the_reason)
{
	char map[64], text[16], why[256];

	snprintf(map, sizeof(map), "1 %u 1\n", geteuid());
	for (int i = 0; i < 2; i++) {
		snprintf(text, sizeof(text), "deny %cid:1", "ug"[i]);
		snprintf(why, sizeof(why),
			 "line 1: '%cid:1': such a rule needs a user namespace "
			 "that maps the user and the group of this process",
			 "ug"[i]);
		if (!expect_in_namespace(map, NULL, text, why))
			return;
	}
}
END_TEST

START_TEST(a_rule_for_a_user_needs_no_new_unix_socket)
{
	weir_access *a = NULL;

	faults_install();
	fail_calls_from(WR_SYS_socket, 1, -EAFNOSUPPORT);
	ck_assert_int_eq(weir_access_new(&a, "deny uid:1", NULL, 0), 0);
	weir_access_unref(a);
	faults_clear();
}
END_TEST

#define NOT_ASKED                                                              \
	"line 2: 'uid:1': cannot ask whether this user namespace maps that "   \
	"id: "

START_TEST(an_id_that_cannot_be_looked_up_is_told)
{
	static const struct {
		enum wr_sys_call call;
		int error;
	} all[] = {
		{ WR_SYS_socketpair, -EMFILE },
		{ WR_SYS_sendmsg, -ENOMEM },
	};
	char why[128] = "", expected[128];
	weir_access *a = NULL;

	faults_install();
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		snprintf(expected, sizeof(expected), NOT_ASKED "%s",
			 weir_strerror(all[i].error));
		fail_nth_call(all[i].call, 1, all[i].error);
		ck_assert_int_eq(
			weir_access_new(&a, "\ndeny uid:1", why, sizeof(why)),
			all[i].error);
		ck_assert_str_eq(why, expected);
	}
	faults_clear();
	ck_assert_ptr_null(a);
}
END_TEST

/* -------------------------------------------------------------- wrong lines */

START_TEST(a_wrong_line_is_told_with_its_number)
{
	static const struct {
		const char *text, *why;
	} wrong[] = {
		{ "permit 1.2.3.4", "line 1: 'permit' is not allow, deny, "
				    "exempt, limit or rate" },
		{ "\n# x\nallow", "line 3: 'allow' needs an operand" },
		{ "allow 10.0.0.1/8", "line 1: '10.0.0.1/8': bits are set "
				      "behind the prefix" },
		{ "allow 10.0.0.0/33", "line 1: '10.0.0.0/33': the prefix is "
				       "no number from 0 to 32" },
		{ "deny ten", "line 1: 'ten': it is no IP address" },
		{ "allow uid:ann", "line 1: 'uid:ann' has no number behind "
				   "the colon" },
		{ "allow gid:4294967295", "line 1: 'gid:4294967295' has no "
					  "number behind the colon" },
		{ "limit 0", "line 1: 'limit 0' needs a number from 1 to "
			     "10000000" },
		{ "limit 5 per 33/64", "line 1: 'limit 5 per 33/64' is not "
				       "like 20 per 32/64" },
		{ "limit 5 x", "line 1: 'limit 5 x' is not like 20 per "
			       "32/64" },
		{ "limit 5\nlimit 6", "line 2: a second 'limit'" },
		{ "rate 5", "line 1: 'rate 5' is not like 50/10s, with ms, s, "
			    "m or h" },
		{ "rate 5/10", "line 1: 'rate 5/10' is not like 50/10s, with "
			       "ms, s, m or h" },
		{ "rate 1/1s\nrate 1/1s", "line 2: a second 'rate'" },
		{ "allow \x01", "line 1: an odd character, code 1" },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		weir_access *a = NULL;
		char why[256] = "";

		ck_assert_int_eq(
			weir_access_new(&a, wrong[i].text, why, sizeof(why)),
			-EINVAL);
		ck_assert_str_eq(why, wrong[i].why);
		ck_assert_ptr_null(a);
		ck_assert_int_eq(weir_access_new(&a, wrong[i].text, why, 1),
				 -EINVAL);
		ck_assert_str_eq(why, "");
		ck_assert_int_eq(weir_access_new(&a, wrong[i].text, NULL, 0),
				 -EINVAL);
	}
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_told)
{
	char folder[FOLDER_ROOM], path[80], why[256] = "";
	weir_access *a = NULL;

	if (!make_folder(folder))
		return;
	snprintf(path, sizeof(path), "%s/rules", folder);
	ck_assert_int_eq(weir_access_load(&a, path, why, sizeof(why)), -ENOENT);
	ck_assert_str_eq(why, weir_strerror(-ENOENT));
	ck_assert_int_eq(weir_access_load(&a, folder, why, sizeof(why)),
			 -EISDIR);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(weir_access_load(&a, path, why, sizeof(why)), -ESPIPE);
	ck_assert_str_eq(why, "no regular file");
	ck_assert_ptr_null(a);
}
END_TEST

/* ------------------------------------------------------------------ faults */

static int make_with_fault(enum wr_sys_call call, int nth, int error,
			   const char *path)
{
	weir_access *a = NULL;
	int rc;

	fail_nth_call(call, nth, error);
	rc = path ? weir_access_load(&a, path, NULL, 0)
		  : weir_access_new(&a,
				    "allow 10.0.0.0/8\ndeny ::/0\n"
				    "allow uid:1\ndeny gid:1\n",
				    NULL, 0);
	if (faults_made() > 0) {
		ck_assert_int_eq(rc, error);
		ck_assert_ptr_null(a);
	}
	weir_access_unref(a);
	return rc;
}

START_TEST(a_name_that_the_file_system_does_not_allow_is_told)
{
	weir_access *a;
	char why[64] = "";

	faults_install();
	fail_nth_call(WR_SYS_open, 1, -EINVAL);
	ck_assert_int_eq(weir_access_load(&a, "/a:b", why, sizeof(why)),
			 -EINVAL);
	faults_clear();
	ck_assert_str_eq(why, weir_strerror(-EINVAL));
}
END_TEST

START_TEST(any_call_may_fail)
{
	static const enum wr_sys_call calls[] = { WR_SYS_open, WR_SYS_stat,
						  WR_SYS_read };
	char folder[FOLDER_ROOM], path[80];
	FILE *file;
	int nth = 1;

	faults_install();
	while (make_with_fault(WR_SYS_alloc, nth, -ENOMEM, NULL) != 0)
		nth++;
	ck_assert_int_gt(nth, 8);
	if (!make_folder(folder))
		return;
	snprintf(path, sizeof(path), "%s/rules", folder);
	file = fopen(path, "we");
	ck_assert_ptr_nonnull(file);
	fputs("allow 10.0.0.0/8\n", file);
	fclose(file);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		ck_assert_int_eq(make_with_fault(calls[i], 1, -EIO, path),
				 -EIO);
		ck_assert_int_eq(make_with_fault(calls[i], 9, -EIO, path), 0);
	}
	faults_clear();
}
END_TEST

/* -------------------------------------------------------------- many rules */

START_TEST(each_of_a_hundred_thousand_rules_decides)
{
	const uint32_t count = 100000, first = 0x01000000;
	char *text = malloc((size_t)count * 32), *at = text;
	int wrong = 0;
	weir_access *a;

	for (uint32_t i = 0; i < count; i++)
		at += sprintf(at, "%s %u.%u.%u.0/24\n",
			      i % 3 ? "deny" : "allow", 1 + i / 65536,
			      i / 256 % 256, i % 256);
	a = rules(text);
	for (uint32_t i = 0; i < 2 * count; i++) {
		struct wr_network n = { .family = AF_INET, .bits = 32 };
		uint32_t addr = htonl(first + (i / 2 << 8) + i % 2 * 255);

		memcpy(n.at, &addr, sizeof(addr));
		wrong += wr_access_of_ip(a, &n) !=
			 (i / 2 % 3 ? WR_ACCESS_DENY : WR_ACCESS_ALLOW);
	}
	ck_assert_int_eq(wrong, 0);
	expect_access(a, "0.255.255.255", WR_ACCESS_DENY);
	expect_access(a, "2.134.160.0", WR_ACCESS_DENY);
	weir_access_unref(a);
	free(text);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"access", the_first_matching_rule_decides,
		a_client_that_no_rule_matches_is_denied_if_there_is_an_allow,
		the_two_families_are_apart_and_mapped_addresses_are_of_the_first,
		random_rules_decide_as_a_scan_from_the_top_does,
		rules_for_users_and_groups_decide_about_unix_sockets,
		a_rule_for_an_id_that_is_not_mapped_is_refused,
		a_namespace_without_our_group_is_the_reason,
		a_rule_for_a_user_needs_no_new_unix_socket,
		an_id_that_cannot_be_looked_up_is_told,
		a_wrong_line_is_told_with_its_number,
		a_file_that_cannot_be_read_is_told,
		a_name_that_the_file_system_does_not_allow_is_told,
		any_call_may_fail, each_of_a_hundred_thousand_rules_decides);
}
