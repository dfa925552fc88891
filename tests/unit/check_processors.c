/* SPDX-License-Identifier: MIT */
/*
 * The quota of processors, read from trees of files like those of the kernel.
 */
#include "processors.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <sys/stat.h>

#include "sys.h"
#include "test.h"

#define V2_MOUNT                                                               \
	"24 30 0:22 / /proc rw,nosuid - proc proc rw\n"                        \
	"35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 "    \
	"rw,nsdelegate\n"
#define V1_MOUNTS                                                              \
	"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"           \
	"33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"    \
	"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup "          \
	"rw,cpu,cpuacct\n"

static char root[FOLDER_ROOM];

/* A file of the tree, and the folders on the way to it. */
static void file_is(const char *name, const char *text)
{
	char path[PATH_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "%s%s", root, name);
	for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		ck_assert(mkdir(path, 0700) == 0 || errno == EEXIST);
		*at = '/';
	}
	file = fopen(path, "we");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(text, file), 0);
	ck_assert_int_eq(fclose(file), 0);
}

static void tree_is(const char *groups, const char *mounts)
{
	ck_assert(make_folder(root));
	file_is("/proc/self/cgroup", groups);
	file_is("/proc/self/mountinfo", mounts);
}

static int remove_it(const char *path, const struct stat *st, int type,
		     struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void tree_ends(void)
{
	ck_assert_int_eq(nftw(root, remove_it, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void v1_quota_is(const char *folder, const char *quota)
{
	char name[PATH_MAX];

	snprintf(name, sizeof(name), "%s/cpu.cfs_quota_us", folder);
	file_is(name, quota);
	snprintf(name, sizeof(name), "%s/cpu.cfs_period_us", folder);
	file_is(name, "100000\n");
}

START_TEST(a_quota_is_rounded_up_to_whole_processors)
{
	static const struct {
		const char *text;
		int processors;
	} cases[] = {
		{ "50000 100000\n", 1 },
		{ "100000 100000\n", 1 },
		{ "100001 100000\n", 2 },
		{ "250000 100000\n", 3 },
		{ "1000 1000000\n", 1 },
		{ "max 100000\n", INT_MAX },
		{ "9223372036854775807 1", INT_MAX },
		{ "50000 0\n", INT_MAX },
		{ "50000\n", INT_MAX },
		{ "-1 100000\n", INT_MAX },
		{ "", INT_MAX },
	};

	tree_is("0::/web\n", V2_MOUNT);
	for (size_t i = 0; i < wr_array_len(cases); i++) {
		file_is("/sys/fs/cgroup/web/cpu.max", cases[i].text);
		ck_assert_int_eq(wr_processors_quota(root),
				 cases[i].processors);
	}
	tree_ends();
}
END_TEST

START_TEST(the_least_quota_of_a_group_and_its_parents_counts)
{
	tree_is("0::/a/b/c\n", V2_MOUNT);
	file_is("/sys/fs/cgroup/a/b/c/cpu.max", "700000 100000\n");
	ck_assert_int_eq(wr_processors_quota(root), 7);
	file_is("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
	file_is("/sys/fs/cgroup/a/cpu.max", "200000 100000\n");
	ck_assert_int_eq(wr_processors_quota(root), 2);
	/* In a container the top of the tree is its group. */
	file_is("/sys/fs/cgroup/cpu.max", "50000 100000\n");
	ck_assert_int_eq(wr_processors_quota(root), 1);
	/* Nothing above the mount point belongs to the tree. */
	file_is("/sys/fs/cgroup/cpu.max", "max 100000\n");
	file_is("/sys/fs/cpu.max", "50000 100000\n");
	ck_assert_int_eq(wr_processors_quota(root), 2);
	tree_ends();
}
END_TEST

START_TEST(other_groups_do_not_count)
{
	tree_is("0::/a/b\n", V2_MOUNT);
	file_is("/sys/fs/cgroup/a/b/c/cpu.max", "50000 100000\n");
	file_is("/sys/fs/cgroup/a/other/cpu.max", "50000 100000\n");
	file_is("/sys/fs/cgroup/other/cpu.max", "50000 100000\n");
	ck_assert_int_eq(wr_processors_quota(root), INT_MAX);
	tree_ends();
}
END_TEST

START_TEST(the_first_version_has_a_tree_for_the_controller)
{
	tree_is("9:name=systemd:/s\n3:cpuset:/t\n1:cpu,cpuacct:/u/v\n0::/\n",
		V1_MOUNTS);
	v1_quota_is("/sys/fs/cgroup/cpuset/u", "50000\n");
	v1_quota_is("/sys/fs/cgroup/cpu,cpuacct/s", "50000\n");
	v1_quota_is("/sys/fs/cgroup/cpu,cpuacct/t", "50000\n");
	v1_quota_is("/sys/fs/cgroup/cpu,cpuacct/u/v", "-1\n");
	ck_assert_int_eq(wr_processors_quota(root), INT_MAX);
	v1_quota_is("/sys/fs/cgroup/cpu,cpuacct/u", "350000\n");
	ck_assert_int_eq(wr_processors_quota(root), 4);
	v1_quota_is("/sys/fs/cgroup/cpu,cpuacct/u/v", "150000\n");
	ck_assert_int_eq(wr_processors_quota(root), 2);
	tree_ends();
}
END_TEST

START_TEST(both_versions_may_be_there)
{
	tree_is("1:cpu,cpuacct:/u\n0::/w\n",
		V1_MOUNTS "38 31 0:35 / /sys/fs/cgroup/unified rw - cgroup2 "
			  "cgroup2 rw\n");
	v1_quota_is("/sys/fs/cgroup/cpu,cpuacct/u", "350000\n");
	ck_assert_int_eq(wr_processors_quota(root), 4);
	file_is("/sys/fs/cgroup/unified/w/cpu.max", "300000 100000\n");
	ck_assert_int_eq(wr_processors_quota(root), 3);
	tree_ends();
}
END_TEST

START_TEST(a_mount_may_show_a_part_of_the_tree)
{
	tree_is("0::/docker/12/web\n",
		"35 24 0:30 /docker/12 /groups\\040here rw - cgroup2 none rw\n"
		"36 24 0:30 /docker/1 /other rw - cgroup2 none rw\n"
		"37 24 0:30 /../.. /outer rw - cgroup2 none rw\n");
	file_is("/other/cpu.max", "50000 100000\n");
	file_is("/other/web/cpu.max", "50000 100000\n");
	file_is("/groups here/web/cpu.max", "300000 100000\n");
	ck_assert_int_eq(wr_processors_quota(root), 3);
	file_is("/groups here/cpu.max", "200000 100000\n");
	ck_assert_int_eq(wr_processors_quota(root), 2);
	tree_ends();
}
END_TEST

START_TEST(a_group_outside_of_the_namespace_has_no_quota_that_we_see)
{
	tree_is("0::/../web\n", V2_MOUNT);
	file_is("/sys/fs/cgroup/cpu.max", "50000 100000\n");
	file_is("/sys/fs/web/cpu.max", "50000 100000\n");
	ck_assert_int_eq(wr_processors_quota(root), INT_MAX);
	tree_ends();
}
END_TEST

START_TEST(files_that_are_missing_or_odd_mean_no_quota)
{
	static const char *const odd[] = {
		"", "\n", "::", "0:", "0::", "0::web\n", "cpu", "1:cpu:",
	};
	static const char *const odd_mounts[] = {
		"",
		"\n",
		"35 24 0:30 /",
		"35 24 0:30 / /sys/fs/cgroup rw",
		"35 24 0:30 / /sys/fs/cgroup rw - cgroup2",
		"35 24 0:30 / /sys/fs/cgroup\\04 rw - cgroup2 none rw",
		"35 24 0:30 / /sys/fs/cgroup - cgroup2 none rw",
	};

	ck_assert_int_eq(wr_processors_quota("/no/such/folder"), INT_MAX);
	tree_is("0::/web\n", V2_MOUNT);
	ck_assert_int_eq(wr_processors_quota(root), INT_MAX);
	file_is("/sys/fs/cgroup/web/cpu.max", "50000 100000\n");
	for (size_t i = 0; i < wr_array_len(odd); i++) {
		file_is("/proc/self/cgroup", odd[i]);
		ck_assert_int_eq(wr_processors_quota(root), INT_MAX);
	}
	file_is("/proc/self/cgroup", "0::/web\n");
	for (size_t i = 0; i < wr_array_len(odd_mounts); i++) {
		file_is("/proc/self/mountinfo", odd_mounts[i]);
		ck_assert_int_eq(wr_processors_quota(root), INT_MAX);
	}
	file_is("/proc/self/mountinfo", V2_MOUNT);
	ck_assert_int_eq(wr_processors_quota(root), 1);
	tree_ends();
}
END_TEST

START_TEST(many_mounts_are_read_to_the_last)
{
	static char mounts[64 * 1024];
	size_t len = 0;

	for (int i = 0; i < 1000; i++)
		len += (size_t)snprintf(mounts + len, sizeof(mounts) - len,
					"%d 1 0:%d / /m%d rw - tmpfs m rw\n", i,
					i, i);
	snprintf(mounts + len, sizeof(mounts) - len, "%s", V2_MOUNT);
	tree_is("0::/\n", mounts);
	file_is("/sys/fs/cgroup/cpu.max", "150000 100000\n");
	ck_assert_int_eq(wr_processors_quota(root), 2);
	tree_ends();
}
END_TEST

static enum wr_sys_call target;

static int fail_target(enum wr_sys_call call, size_t *len)
{
	(void)len;
	return call == target ? -EIO : 0;
}

static int one_byte(enum wr_sys_call call, size_t *len)
{
	if (call == WR_SYS_read)
		*len = 1;
	return 0;
}

START_TEST(files_that_cannot_be_read_mean_no_quota)
{
	static const enum wr_sys_call calls[] = { WR_SYS_open, WR_SYS_read,
						  WR_SYS_alloc };

	tree_is("0::/web\n", V2_MOUNT);
	file_is("/sys/fs/cgroup/web/cpu.max", "150000 100000\n");
	wr_sys_fault = fail_target;
	for (size_t i = 0; i < wr_array_len(calls); i++) {
		target = calls[i];
		ck_assert_int_eq(wr_processors_quota(root), INT_MAX);
		ck_assert_int_eq(wr_processors(), wr_sys_processors());
	}
	wr_sys_fault = one_byte;
	ck_assert_int_eq(wr_processors_quota(root), 2);
	wr_sys_fault = NULL;
	tree_ends();
}
END_TEST

START_TEST(there_is_at_least_one_processor)
{
	ck_assert_int_ge(wr_processors(), 1);
	ck_assert_int_le(wr_processors(), wr_sys_processors());
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"processors", a_quota_is_rounded_up_to_whole_processors,
		the_least_quota_of_a_group_and_its_parents_counts,
		other_groups_do_not_count,
		the_first_version_has_a_tree_for_the_controller,
		both_versions_may_be_there, a_mount_may_show_a_part_of_the_tree,
		a_group_outside_of_the_namespace_has_no_quota_that_we_see,
		files_that_are_missing_or_odd_mean_no_quota,
		many_mounts_are_read_to_the_last,
		files_that_cannot_be_read_mean_no_quota,
		there_is_at_least_one_processor);
}
