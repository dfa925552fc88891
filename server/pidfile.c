/* SPDX-License-Identifier: MIT */
/*
 * The file is written under another name and renamed, so that a reader never
 * sees half a number.  It is ours as long as it holds our process id.
 */
#include "pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../cli/cli.h"

#define TEXT_ROOM 24

static size_t pidfile_text(char text[TEXT_ROOM])
{
	return (size_t)snprintf(text, TEXT_ROOM, "%ld\n", (long)getpid());
}

/* Some file systems have no modes. */
static int pidfile_set_mode(int fd)
{
	if (fchmod(fd, 0644) == 0 || cli_is_unsupported(errno))
		return 0;
	return -errno;
}

static int pidfile_fill(int fd)
{
	char text[TEXT_ROOM];
	size_t len = pidfile_text(text);
	ssize_t n = write(fd, text, len);

	if (n < 0)
		return -errno;
	if ((size_t)n < len)
		return -ENOSPC;
	return pidfile_set_mode(fd);
}

int pidfile_write(const char *path)
{
	char draft[PATH_MAX];
	int fd, rc;

	rc = snprintf(draft, sizeof(draft), "%s.XXXXXX", path);
	if ((size_t)rc >= sizeof(draft))
		return -ENAMETOOLONG;
	fd = mkostemp(draft, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = pidfile_fill(fd);
	close(fd);
	if (rc == 0 && rename(draft, path) < 0)
		rc = -errno;
	if (rc < 0)
		unlink(draft);
	return rc;
}

static bool pidfile_is_ours(const char *path)
{
	char ours[TEXT_ROOM], theirs[TEXT_ROOM];
	size_t len = pidfile_text(ours);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, theirs, sizeof(theirs));
	close(fd);
	return n == (ssize_t)len && memcmp(ours, theirs, len) == 0;
}

/* A file that has appeared at path meanwhile stays, if links are possible. */
static void put_back(const char *aside, const char *path)
{
	if (link(aside, path) == 0 || errno == EEXIST)
		unlink(aside);
	else
		(void)rename(aside, path);
}

/* Another process may replace the file after a look at it. */
void pidfile_remove(const char *path)
{
	char aside[PATH_MAX];

	if (!pidfile_is_ours(path) ||
	    (size_t)snprintf(aside, sizeof(aside), "%s.old-%ld", path,
			     (long)getpid()) >= sizeof(aside) ||
	    rename(path, aside) < 0)
		return;
	if (!pidfile_is_ours(aside) || unlink(aside) < 0)
		put_back(aside, path);
}
