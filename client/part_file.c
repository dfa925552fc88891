/* SPDX-License-Identifier: MIT */
/*
 * The part is locked while it is written, so that two transfers to one path
 * cannot mix.  One that an earlier transfer has left is overwritten.
 */
#include "part_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../cli/cli.h"

static bool is_output(const struct part_file *t)
{
	return strcmp(t->path, "-") == 0;
}

/* Not one that leads to a device or to our output, as /dev/stdout does. */
static bool may_replace_link(const char *path)
{
	struct stat there, out;

	if (stat(path, &there) < 0)
		return true;
	if (fstat(STDOUT_FILENO, &out) == 0 && out.st_dev == there.st_dev &&
	    out.st_ino == there.st_ino)
		return false;
	return S_ISREG(there.st_mode);
}

int part_file_check(const struct part_file *t)
{
	struct stat st;
	bool is_file;

	if (t->path[0] == '\0') {
		cli_error("--output needs the name of a file, or -");
		return CLI_USAGE;
	}
	if (is_output(t) || lstat(t->path, &st) < 0)
		return CLI_DONE;
	is_file = S_ISLNK(st.st_mode) ? may_replace_link(t->path)
				      : S_ISREG(st.st_mode);
	if (!is_file) {
		cli_error("%s is not a plain file; use -o - for standard "
			  "output",
			  t->path);
		return CLI_USAGE;
	}
	if (!t->may_replace)
		cli_error("%s exists already; --force replaces it", t->path);
	return t->may_replace ? CLI_DONE : CLI_USAGE;
}

static int say_unwritable(const char *path, int error)
{
	cli_error("cannot write %s: %s", path, strerror(error));
	return CLI_FAILED;
}

/*
 * Lock and truncate the part.  Returns 0 or an errno.  Another transfer may
 * have renamed it since we opened it: that file must not be touched.
 */
static int lock_part(int fd, const char *part)
{
	struct stat ours, there;

	if (fstat(fd, &ours) < 0)
		return errno;
	if (!S_ISREG(ours.st_mode))
		return EINVAL;
	/* Some file systems have no locks; transfers may mix there. */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno != ENOLCK &&
	    !cli_is_unsupported(errno))
		return errno == EWOULDBLOCK ? EBUSY : errno;
	if (lstat(part, &there) < 0 || there.st_dev != ours.st_dev ||
	    there.st_ino != ours.st_ino)
		return EBUSY;
	return ftruncate(fd, 0) < 0 ? errno : 0;
}

int part_file_open(struct part_file *t)
{
	int flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int error;

	t->len = 0;
	if (is_output(t)) {
		screen_init(&t->screen);
		return CLI_DONE;
	}
	if (asprintf(&t->part, "%s.part", t->path) < 0) {
		t->part = NULL;
		return say_unwritable(t->path, ENOMEM);
	}
	t->fd = open(t->part, flags, 0666);
	error = t->fd < 0 ? errno : lock_part(t->fd, t->part);
	if (error == 0)
		return CLI_DONE;
	if (error == EBUSY)
		cli_error("cannot write %s: another transfer is writing it",
			  t->part);
	else
		say_unwritable(t->part, error);
	if (t->fd >= 0)
		close(t->fd);
	free(t->part);
	t->part = NULL;
	return CLI_FAILED;
}

int part_file_write(struct part_file *t, const char *data, size_t len)
{
	if (!t->part) {
		screen_put(&t->screen, data, len);
		t->len += (int64_t)len;
		return screen_check(&t->screen, CLI_DONE);
	}
	while (len > 0) {
		ssize_t n = write(t->fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return say_unwritable(t->part, errno);
		data += n;
		len -= (size_t)n;
		t->len += n;
	}
	return CLI_DONE;
}

/* Where RENAME_NOREPLACE is not supported, check for the file first. */
static int rename_to(const struct part_file *t)
{
	int rc;

	if (t->may_replace)
		return rename(t->part, t->path);
	/* Not every C library has renameat2(). */
	rc = (int)syscall(SYS_renameat2, AT_FDCWD, t->part, AT_FDCWD, t->path,
			  RENAME_NOREPLACE);
	if (rc == 0 || (errno != EINVAL && !cli_is_unsupported(errno)))
		return rc;
	if (faccessat(AT_FDCWD, t->path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		errno = EEXIST;
		return -1;
	}
	return rename(t->part, t->path);
}

int part_file_finish(struct part_file *t)
{
	if (!t->part) {
		if (t->screen.is_terminal)
			screen_end_line(&t->screen);
		return screen_check(&t->screen, CLI_DONE);
	}
	if (fsync(t->fd) < 0 && !cli_is_unsupported(errno))
		return say_unwritable(t->part, errno);
	if (rename_to(t) < 0) {
		cli_error("cannot rename %s to %s: %s", t->part, t->path,
			  strerror(errno));
		return CLI_FAILED;
	}
	close(t->fd);
	free(t->part);
	t->part = NULL;
	return CLI_DONE;
}

void part_file_close(struct part_file *t)
{
	if (!t->part)
		return;
	if (t->len == 0)
		unlink(t->part);
	close(t->fd);
	free(t->part);
	t->part = NULL;
}
