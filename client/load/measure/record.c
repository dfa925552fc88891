/* SPDX-License-Identifier: MIT */
#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../../cli/cli.h"
#include "clock.h"
#include "hlog.h"

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

/* Readers add such lines up as they do others. */
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
