/* SPDX-License-Identifier: MIT */
/*
 * Writing a file as a whole.
 */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../../cli/cli.h"
#include "../../cli/stream.h"

bool output_check(const char *option, const char *path)
{
	int fd;

	if (strcmp(path, "-") == 0)
		return true;
	fd = open(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0666);
	/* A pipe that nobody reads yet. */
	if (fd < 0 && errno == ENXIO)
		return true;
	if (fd < 0)
		cli_error("--%s: cannot write '%s': %s", option, path,
			  strerror(errno));
	else
		close(fd);
	return fd >= 0;
}

int output_write(const char *path, const char *text, size_t len)
{
	bool is_standard = strcmp(path, "-") == 0;
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
		return cli_say_unwritten(error);
	cli_error("cannot write to %s: %s", path, strerror(error));
	return CLI_FAILED;
}
