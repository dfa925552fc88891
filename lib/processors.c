/* SPDX-License-Identifier: MIT */
/*
 * Processors by affinity, or fewer by the quota of a control group.  A
 * container limited to half a processor sees all of the machine, but is stopped
 * for the rest of each period once its time is used up.
 *
 * /proc/self/cgroup names the group, /proc/self/mountinfo the mount points of
 * the trees.  A quota holds for all groups below, so each folder from the group
 * up to the mount point counts.  Version 2 has "QUOTA PERIOD" in cpu.max,
 * version 1 a file for each; both may be mounted.
 */
#include "processors.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "sys.h"

#define NO_QUOTA INT_MAX

/* Paths of the process's groups, or NULL. */
struct groups {
	char *v2;
	char *v1;
};

struct mount {
	char *root;
	char *point;
	char *type;
	char *options;
};

static char *read_all(int fd)
{
	char *text = NULL, *more;
	size_t len = 0, cap = 0;
	ssize_t n;

	do {
		if (cap - len < 2) {
			cap = cap * 2 + 4096;
			more = wr_sys_realloc(text, cap);
			if (more == NULL)
				goto fail;
			text = more;
		}
		n = wr_sys_read(fd, text + len, cap - len - 1);
		if (n < 0)
			goto fail;
		len += (size_t)n;
	} while (n > 0);
	text[len] = '\0';
	return text;

fail:
	wr_sys_free(text);
	return NULL;
}

static char *join(const char *a, const char *b, const char *c)
{
	char *ret = wr_sys_alloc(strlen(a) + strlen(b) + strlen(c) + 1);

	if (ret)
		stpcpy(stpcpy(stpcpy(ret, a), b), c);
	return ret;
}

static char *read_text_file(const char *folder, const char *name)
{
	char *path = join(folder, "/", name), *text = NULL;
	int fd = path ? wr_sys_open(path, O_RDONLY) : -1;

	if (fd >= 0) {
		text = read_all(fd);
		wr_sys_close(fd);
	}
	wr_sys_free(path);
	return text;
}

/* "max" and -1 mean none. */
static int quotient(long long quota, long long period)
{
	long long n;

	if (quota <= 0 || period <= 0)
		return NO_QUOTA;
	n = (quota - 1) / period + 1;
	return n < NO_QUOTA ? (int)n : NO_QUOTA;
}

static bool has_word(char *list, const char *word)
{
	char *item;

	while ((item = strsep(&list, ",")) != NULL)
		if (strcmp(item, word) == 0)
			return true;
	return false;
}

/* Lines of "number:controllers:path"; version 2 names no controllers. */
static struct groups parse_groups(char *text)
{
	struct groups ret = { .v2 = NULL };
	char *line, *controllers;

	while ((line = strsep(&text, "\n")) != NULL) {
		(void)strsep(&line, ":");
		controllers = strsep(&line, ":");
		if (line == NULL)
			continue;
		if (*controllers == '\0')
			ret.v2 = line;
		else if (has_word(controllers, "cpu"))
			ret.v1 = line;
	}
	return ret;
}

static bool is_octal(const char *digits)
{
	return strspn(digits, "01234567") >= 3;
}

/* The kernel writes a space in a path as \040. */
static void unescape(char *text)
{
	char *to = text;

	while (*text) {
		if (*text != '\\' || !is_octal(text + 1)) {
			*to++ = *text++;
			continue;
		}
		*to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 |
			       (text[3] - '0'));
		text += 4;
	}
	*to = '\0';
}

/*
 * "id parent device root point options [field]... - type source options",
 * where the last options are those of the file system.
 */
static bool parse_mount(char *line, struct mount *ret)
{
	char *rest;

	for (int i = 0; i < 3; i++)
		(void)strsep(&line, " ");
	ret->root = strsep(&line, " ");
	ret->point = strsep(&line, " ");
	rest = line ? strstr(line, " - ") : NULL;
	if (rest == NULL)
		return false;
	rest += 3;
	ret->type = strsep(&rest, " ");
	(void)strsep(&rest, " ");
	if (rest == NULL)
		return false;
	ret->options = rest;
	unescape(ret->root);
	unescape(ret->point);
	return true;
}

/* NULL: the mount does not show the group. */
static const char *path_below(const char *group, const char *root)
{
	size_t len = strcmp(root, "/") == 0 ? 0 : strlen(root);

	if (strncmp(group, root, len) != 0)
		return NULL;
	group += len;
	if (*group != '/' && *group != '\0')
		return NULL;
	/* outside of our namespace */
	if (strncmp(group, "/..", 3) == 0)
		return NULL;
	return strcmp(group, "/") == 0 ? "" : group;
}

static int quota_v2(const char *folder)
{
	char *text = read_text_file(folder, "cpu.max"), *end;
	long long quota, period;

	if (text == NULL)
		return NO_QUOTA;
	quota = strtoll(text, &end, 10);
	period = strtoll(end, NULL, 10);
	wr_sys_free(text);
	return quotient(quota, period);
}

static long long read_quota_file(const char *folder, const char *name)
{
	char *text = read_text_file(folder, name);
	long long ret = text ? strtoll(text, NULL, 10) : 0;

	wr_sys_free(text);
	return ret;
}

static int quota_v1(const char *folder)
{
	return quotient(read_quota_file(folder, "cpu.cfs_quota_us"),
			read_quota_file(folder, "cpu.cfs_period_us"));
}

static int least_quota(const char *root, const struct mount *m,
		       const char *group, int (*quota)(const char *folder))
{
	const char *below = path_below(group, m->root);
	char *folder = below ? join(root, m->point, below) : NULL;
	size_t top = strlen(root) + strlen(m->point);
	int n, ret = NO_QUOTA;

	while (folder) {
		n = quota(folder);
		ret = n < ret ? n : ret;
		if (strlen(folder) <= top)
			break;
		*strrchr(folder, '/') = '\0';
	}
	wr_sys_free(folder);
	return ret;
}

static int quota_of_mount(const char *root, const struct mount *m,
			  const struct groups *g)
{
	if (g->v2 && strcmp(m->type, "cgroup2") == 0)
		return least_quota(root, m, g->v2, quota_v2);
	if (g->v1 && strcmp(m->type, "cgroup") == 0 &&
	    has_word(m->options, "cpu"))
		return least_quota(root, m, g->v1, quota_v1);
	return NO_QUOTA;
}

static int least_of_mounts(const char *root, char *mounts, char *groups)
{
	struct groups g = parse_groups(groups);
	int n, ret = NO_QUOTA;
	struct mount m;
	char *line;

	while ((line = strsep(&mounts, "\n")) != NULL) {
		if (!parse_mount(line, &m))
			continue;
		n = quota_of_mount(root, &m, &g);
		ret = n < ret ? n : ret;
	}
	return ret;
}

int wr_processors_quota(const char *root)
{
	char *groups = read_text_file(root, "proc/self/cgroup");
	char *mounts = read_text_file(root, "proc/self/mountinfo");
	int ret = NO_QUOTA;

	if (groups && mounts)
		ret = least_of_mounts(root, mounts, groups);
	wr_sys_free(groups);
	wr_sys_free(mounts);
	return ret;
}

int wr_processors(void)
{
	int allowed = wr_sys_processors(), quota = wr_processors_quota("");

	return allowed < quota ? allowed : quota;
}
