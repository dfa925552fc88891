/* SPDX-License-Identifier: MIT */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../../cli/cli.h"
#include "../../../cli/stream.h"
#include "../measure/hlog.h"
#include "../measure/units.h"

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

bool record_open(struct record *r, const struct plan *plan, const char *path)
{
	int rc;

	*r = (struct record){ .plan = plan, .path = path };
	if (!path)
		return true;
	rc = hlog_create(&r->writer, path);
	if (rc < 0)
		cli_error("--hlog: cannot write '%s': %s", path, strerror(-rc));
	return rc == 0;
}

/* Times in the log start at the measured part. */
static void record_begin(struct record *r, const struct progress *p)
{
	char note[100];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(note, sizeof(note), "weir-client load, %s",
		 plan_mode_text(r->plan));
	hlog_begin(r->writer, now.tv_sec * SECOND + now.tv_nsec - p->elapsed,
		   note);
	r->has_begun = true;
}

void record_watch(struct record *r, const struct progress *p)
{
	if (!r->writer || !p->last)
		return;
	if (!r->has_begun)
		record_begin(r, p);
	r->last_at = p->last->at;
	r->last_length = p->last->length;
	for (int k = 0; k < CLOCK_KINDS; k++)
		if (p->clocks[k] && p->clocks[k]->total > 0)
			hlog_write(r->writer, clock_names[k], p->last->at,
				   p->last->length, p->clocks[k]);
}

/* A mark is a histogram, so that readers add marks up as other lines. */
static void write_mark(struct record *r, const char *tag, int64_t value,
		       uint64_t count)
{
	struct histogram *h = calloc(1, sizeof(*h));

	if (!h)
		return;
	histogram_record_many(h, value, count);
	hlog_write(r->writer, tag, r->last_at, r->last_length, h);
	free(h);
}

static void write_marks(struct record *r, const struct result *result)
{
	char tag[HLOG_TAG];

	for (int k = 0; k < CENSORED_CLOCKS; k++) {
		const struct censored *c = &result->censored[k];

		snprintf(tag, sizeof(tag), "%s" HLOG_UNANSWERED,
			 clock_names[k]);
		if (c->count > 0 && result->clocks[k])
			write_mark(r, tag, c->min, c->count);
	}
	if (result->is_incomplete)
		write_mark(r, HLOG_INCOMPLETE, result->elapsed, 1);
}

int record_close(struct record *r, const struct result *result)
{
	int rc;

	if (!r->writer)
		return CLI_DONE;
	if (!r->has_begun)
		record_begin(r, &(struct progress){ .elapsed = 0 });
	if (result)
		write_marks(r, result);
	rc = hlog_close(r->writer);
	r->writer = NULL;
	if (rc == 0)
		return CLI_DONE;
	cli_error("--hlog: cannot write '%s': %s", r->path, strerror(-rc));
	return CLI_FAILED;
}
