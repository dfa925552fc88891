/* SPDX-License-Identifier: MIT */
/*
 * Logs of histograms, a line for each interval and kind, as HdrHistogram's
 * tools write and read them: log format 1.3, histograms in its compressed
 * form V2.  Values are nanoseconds.
 *
 * Times are ns.  Stamps are written, and most often read, to a millisecond.
 */
#ifndef LOAD_HLOG_H
#define LOAD_HLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "histogram.h"

/*
 * Has this build zlib?  To be asked while options are read: without it
 * nothing can be written or read.
 */
bool hlog_is_available(void);
#define HLOG_UNAVAILABLE "this build has no zlib, which HdrHistogram logs need"

/* -------------------------------------------------------------- histograms */

/*
 * As text in base64, to be freed; NULL when there is no memory.
 */
char *hlog_encode(const struct histogram *h);

/*
 * Add to h what the text holds, of whatever range and precision it was made
 * with.  Returns NULL, or what is wrong with the text; h has changed then.
 */
const char *hlog_decode(struct histogram *h, const char *text, size_t len);

/* ----------------------------------------------------------------- writing */

struct hlog_writer;

/* "-" is standard output.  Returns 0, or -errno when it cannot be made. */
int hlog_create(struct hlog_writer **ret, const char *path);

/*
 * Once, before the first line: when the time 0 of the lines was, since the
 * epoch, and one line of plain text.
 */
void hlog_begin(struct hlog_writer *w, int64_t started, const char *note);

/* A tag is one word without commas; start counts from started. */
void hlog_write(struct hlog_writer *w, const char *tag, int64_t start,
		int64_t length, const struct histogram *h);

/* Returns 0, or -errno of the first thing that went wrong since hlog_begin. */
int hlog_close(struct hlog_writer *w);

/* ----------------------------------------------------------------- reading */

#define HLOG_TAG 64

struct hlog_reader {
	size_t line;	   /* the last that was read, from 1; 0: none */
	const char *wrong; /* after an error: with that line, or the file */

	/* The interval of that line. */
	char tag[HLOG_TAG]; /* "": it has none */
	int64_t start;	    /* since the epoch, if the log says when it began */
	int64_t length;
	struct histogram *values;

	struct hlog_source *source;
};

/* Returns 0, or -errno; a reader that was opened is to be closed. */
int hlog_open(struct hlog_reader *r, const char *path);

/*
 * Go to the next interval.  Returns 1; 0 at the end; or -1: the line is
 * nothing that a log holds.
 */
int hlog_next(struct hlog_reader *r);

void hlog_reader_close(struct hlog_reader *r);

/* -------------------------------------------------------------------- zlib */

/*
 * Both return 0 with *ret to be freed, or -ENOMEM, -ENOTSUP without zlib, and
 * when unpacking -EBADMSG for what is no whole zlib stream and nothing more,
 * -EFBIG for one of more than max bytes.
 */
int hlog_zip(unsigned char **ret, size_t *ret_len, const unsigned char *from,
	     size_t len);
int hlog_unzip(unsigned char **ret, size_t *ret_len, const unsigned char *from,
	       size_t len, size_t max);

#endif
