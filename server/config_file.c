/* SPDX-License-Identifier: MIT */
/*
 * The options of the file come before all operands.  So getopt_long(3), which
 * permutes the arguments, leaves them in their places, where config_file_free()
 * finds them.
 */
#include "config_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../cli/stream.h"

#define FILE_MOST 65536 /* bytes */
#define LINE_MOST 1024	/* lines with an option */
#define WAIT_S	  10	/* for the writer of a pipe */

static bool is_pipe(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

/*
 * As read(2), but wait for the writer of a pipe.  Before one has opened it, a
 * read returns 0, as at the end, but poll(2) waits.
 */
static ssize_t read_pipe(int fd, char *buf, size_t cap, bool has_begun)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	bool was_there = has_begun;

	for (;;) {
		ssize_t n = read(fd, buf, cap);
		int rc;

		if (n > 0 || (n == 0 && was_there))
			return n;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		rc = poll(&p, 1, WAIT_S * 1000);
		if (rc == 0)
			return -ETIMEDOUT;
		if (rc < 0 && errno != EINTR)
			return -errno;
		was_there |= rc > 0;
	}
}

static int read_all(int fd, char *text, size_t *len)
{
	bool waits = is_pipe(fd);
	ssize_t n = 1;

	while (n > 0 && *len < FILE_MOST) {
		size_t room = FILE_MOST - *len;

		n = waits ? read_pipe(fd, text + *len, room, *len > 0)
			  : stream_read(fd, text + *len, room);
		*len += n > 0 ? (size_t)n : 0;
	}
	return n > 0 ? -EFBIG : (int)n;
}

static void report_unread(const char *path, int rc)
{
	if (rc == -ETIMEDOUT)
		cli_error("--config: cannot read '%s': nothing came within %ds",
			  path, WAIT_S);
	else
		cli_error("--config: cannot read '%s': %s", path,
			  strerror(-rc));
}

static char *read_file(const char *path)
{
	/* O_NONBLOCK: opening a pipe that nobody writes would never end. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text = fd >= 0 ? malloc(FILE_MOST + 1) : NULL;
	size_t len = 0;
	int rc = text ? 0 : -errno;

	if (text)
		rc = read_all(fd, text, &len);
	if (fd >= 0)
		close(fd);
	if (text && rc == 0 && strnlen(text, len) == len) {
		text[len] = '\0';
		return text;
	}
	if (rc < 0 && rc != -EFBIG)
		report_unread(path, rc);
	else
		cli_error("--config: '%s' is not a text of less than %d bytes",
			  path, FILE_MOST);
	free(text);
	return NULL;
}

static char *trim(char *from)
{
	char *end = from + strlen(from);

	while (end > from && isspace((unsigned char)end[-1]))
		*--end = '\0';
	while (isspace((unsigned char)*from))
		from++;
	return from;
}

static bool is_option(const struct cli_option *table, const char *name)
{
	for (; table->name; table++)
		if (strcmp(table->name, name) == 0)
			return table->arg && strcmp(name, "config") != 0;
	return false;
}

static char *make_argument(const char *path, int number, char *line,
			   const struct cli_option *table)
{
	char *value = strchr(line, '='), *name, *text;

	if (!value) {
		cli_error("%s:%d: not of the form name = value", path, number);
		return NULL;
	}
	*value++ = '\0';
	name = trim(line);
	value = trim(value);
	if (!is_option(table, name)) {
		cli_error("%s:%d: there is no option '%s' for this file", path,
			  number, name);
		return NULL;
	}
	if (asprintf(&text, "--%s=%s", name, value) < 0) {
		cli_error("out of memory");
		return NULL;
	}
	return text;
}

static bool add_lines(struct arguments *a, char *text, const char *path,
		      const struct cli_option *table)
{
	int number = 0;
	char *line;

	while ((line = strsep(&text, "\n"))) {
		number++;
		line = trim(line);
		if (line[0] == '\0' || line[0] == '#')
			continue;
		if (a->count > LINE_MOST) {
			cli_error("%s:%d: too many lines", path, number);
			return false;
		}
		a->all[a->count] = make_argument(path, number, line, table);
		if (!a->all[a->count])
			return false;
		a->made = ++a->count;
	}
	return true;
}

bool config_file_read(struct arguments *ret, const char *path,
		      const struct cli_option *table, int argc, char **argv)
{
	char *text = read_file(path);
	bool is_good;

	*ret = (struct arguments){ 0 };
	if (!text)
		return false;
	ret->all = calloc(LINE_MOST + (size_t)argc + 2, sizeof(*ret->all));
	if (!ret->all) {
		cli_error("out of memory");
		free(text);
		return false;
	}
	ret->all[ret->count++] = argv[0];
	is_good = add_lines(ret, text, path, table);
	free(text);
	for (int i = 1; i < argc; i++)
		ret->all[ret->count++] = argv[i];
	if (!is_good)
		config_file_free(ret);
	return is_good;
}

void config_file_free(struct arguments *a)
{
	for (int i = 1; i < a->made; i++)
		free(a->all[i]);
	free(a->all);
	*a = (struct arguments){ 0 };
}
