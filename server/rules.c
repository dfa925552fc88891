/* SPDX-License-Identifier: MIT */
/*
 * Several values are read as one text.  Each is also read alone before, so that
 * an error names the value and a line of it.
 */
#include "rules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../cli/cli.h"
#include "../cli/stream.h"

#define WHY_MOST 256

/* Rules have words, and a path has a slash before the first blank. */
const char *rules_path(const char *value)
{
	bool is_text = value[strcspn(value, " \t\n/")] != '/' &&
		       strpbrk(value, " \t\n");

	return is_text ? NULL : value;
}

static void write_text(FILE *to, const char *value)
{
	for (; *value; value++)
		putc(*value == ';' ? '\n' : *value, to);
}

static int write_file(FILE *to, const char *path)
{
	/* O_NONBLOCK: it was a regular file, but may be a pipe by now. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char buf[16384];
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = stream_read(fd, buf, sizeof(buf))) > 0)
		if (fwrite(buf, 1, (size_t)n, to) != (size_t)n)
			n = -ENOMEM;
	close(fd);
	return (int)n;
}

static int write_value(FILE *to, const char *value)
{
	int rc = 0;

	if (rules_path(value))
		rc = write_file(to, value);
	else
		write_text(to, value);
	putc('\n', to);
	return rc;
}

/* The rules of all values; NULL after an error. */
static char *read_values(const char *const *values, size_t count, int *rc)
{
	struct stream_memory m;
	size_t len;
	char *text;

	*rc = -ENOMEM;
	if (!stream_memory_open(&m))
		return NULL;
	*rc = 0;
	for (size_t i = 0; *rc == 0 && i < count; i++)
		*rc = write_value(m.to, values[i]);
	text = stream_memory_close(&m, &len);
	if (!text && *rc == 0)
		*rc = -ENOMEM;
	if (text && *rc == 0 && strlen(text) != len)
		*rc = -EAGAIN; /* a file has another content by now */
	if (*rc == 0)
		return text;
	free(text);
	return NULL;
}

static int make_rules(weir_access **ret, const char *const *values,
		      size_t count, char why[WHY_MOST])
{
	char *text;
	int rc;

	if (count == 1 && rules_path(values[0]))
		return weir_access_load(ret, values[0], why, WHY_MOST);
	text = read_values(values, count, &rc);
	if (text)
		rc = weir_access_new(ret, text, why, WHY_MOST);
	else
		snprintf(why, WHY_MOST, "%s", weir_strerror(rc));
	free(text);
	return rc;
}

static void report(const char *value, bool is_only, const char *why, int rc)
{
	if (rules_path(value))
		cli_error("--access: %s: %s%s", value, why, cli_reader(rc));
	else if (is_only)
		cli_error("--access: %s", why);
	else
		cli_error("--access: '%s': %s", value, why);
}

static bool is_each_good(const char *const *values, size_t count)
{
	char why[WHY_MOST] = "";

	for (size_t i = 0; i < count; i++) {
		weir_access *rules = NULL;
		int rc = make_rules(&rules, &values[i], 1, why);

		weir_access_unref(rules);
		if (rc < 0) {
			report(values[i], false, why, rc);
			return false;
		}
	}
	return true;
}

static int lines_of(const char *value)
{
	int rc, lines = 0;
	char *text = read_values(&value, 1, &rc);

	for (const char *at = text; at && (at = strchr(at, '\n')); at++)
		lines++;
	free(text);
	return lines;
}

/* Such as a second limit, which is in another value than the first. */
static void report_together(const char *const *values, size_t count,
			    const char *why, int rc)
{
	char text[WHY_MOST];
	int line, at = 0;
	size_t i;

	if (sscanf(why, "line %d: %n", &line, &at) != 1 || at == 0) {
		cli_error("--access: %s", why);
		return;
	}
	for (i = 0; i + 1 < count; i++) {
		int lines = lines_of(values[i]);

		if (line <= lines)
			break;
		line -= lines;
	}
	snprintf(text, sizeof(text), "line %d: %s", line, why + at);
	report(values[i], false, text, rc);
}

bool rules_load(weir_access **ret, const char *const *values, size_t count)
{
	char why[WHY_MOST] = "";
	int rc = 0;

	if (count > 1 && !is_each_good(values, count))
		return false;
	if (count > 0)
		rc = make_rules(ret, values, count, why);
	if (rc < 0 && count == 1)
		report(values[0], true, why, rc);
	else if (rc < 0)
		report_together(values, count, why, rc);
	return rc >= 0;
}
