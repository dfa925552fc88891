/* SPDX-License-Identifier: MIT */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../../cli/cli.h"
#include "../../../cli/stream.h"

bool output_is_standard(const char *path)
{
	return path && strcmp(path, "-") == 0;
}

static bool can_write(const char *option, const char *path)
{
	int fd;

	if (output_is_standard(path))
		return true;
	fd = open(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0666);
	/* A FIFO without a reader yet. */
	if (fd < 0 && errno == ENXIO)
		return true;
	if (fd < 0)
		cli_error("--%s: cannot write '%s': %s", option, path,
			  strerror(errno));
	else
		close(fd);
	return fd >= 0;
}

static bool find_file(const char *path, struct stat *ret)
{
	return output_is_standard(path) ? fstat(STDOUT_FILENO, ret) == 0
					: stat(path, ret) == 0;
}

/* Sharing a device such as /dev/null is harmless. */
static bool is_same_output(const char *a, const char *b)
{
	struct stat x, y;

	if (output_is_standard(a) && output_is_standard(b))
		return true;
	return find_file(a, &x) && find_file(b, &y) && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino && !S_ISCHR(x.st_mode);
}

bool outputs_check(const struct output *outputs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct output *o = &outputs[i];

		if (!o->path)
			continue;
		if (!can_write(o->option, o->path))
			return false;
		for (const struct output *other = outputs; other < o; other++)
			if (other->path &&
			    is_same_output(other->path, o->path)) {
				cli_error("--%s and --%s: '%s' and '%s' are "
					  "the same file",
					  other->option, o->option, other->path,
					  o->path);
				return false;
			}
	}
	return true;
}

int output_write(const char *path, const char *text, size_t len)
{
	bool is_standard = output_is_standard(path);
	int fd = is_standard
			 ? STDOUT_FILENO
			 : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
				0666);
	int error = fd < 0 ? errno : -stream_write(fd, text, len);

	if (fd >= 0 && !is_standard && close(fd) < 0 && error == 0)
		error = errno;
	if (error == 0)
		return CLI_DONE;
	if (is_standard)
		return cli_output_failed(error);
	cli_error("cannot write to %s: %s", path, strerror(error));
	return CLI_FAILED;
}
