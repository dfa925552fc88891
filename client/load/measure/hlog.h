/* SPDX-License-Identifier: MIT */
/*
 * Histogram logs as HdrHistogram's tools write and read them: log format 1.3,
 * a line for each interval and tag, histograms in the compressed form V2.
 * Values and times are in ns; stamps in a log have a resolution of 1 ms.
 */
#ifndef LOAD_HLOG_H
#define LOAD_HLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "histogram.h"

/* Does this build have zlib?  Without it nothing can be written or read. */
bool hlog_is_available(void);
#define HLOG_UNAVAILABLE "this build has no zlib, which HdrHistogram logs need"

/* Returns base64 text, to be freed; NULL without memory. */
char *hlog_encode(const struct histogram *h);

/*
 * Add the histogram in text, of any range and precision, to h.  Returns NULL,
 * or what is wrong with the text; h may have changed then.
 */
const char *hlog_decode(struct histogram *h, const char *text, size_t len);

struct hlog_writer;

/* "-" is standard output.  Returns 0 or -errno. */
int hlog_create(struct hlog_writer **ret, const char *path);

/* Lines count from started, a time since the epoch; note is one line. */
void hlog_begin(struct hlog_writer *w, int64_t started, const char *note);

/* A tag is a word without commas; start is relative to started. */
void hlog_write(struct hlog_writer *w, const char *tag, int64_t start,
		int64_t length, const struct histogram *h);

/* Returns 0, or -errno of the first error since hlog_begin(). */
int hlog_close(struct hlog_writer *w);

/*
 * Tags of lines that hold no latencies.  CLOCK.unanswered has the unanswered
 * messages of a clock, each with the least of their ages; incomplete has a run
 * that was incomplete, with its length.
 */
#define HLOG_UNANSWERED ".unanswered"
#define HLOG_INCOMPLETE "incomplete"

#define HLOG_TAG 64

struct hlog_reader {
	size_t line;	   /* the last line read, from 1; 0: none */
	const char *wrong; /* after an error: what is wrong with line */

	char tag[HLOG_TAG]; /* "": none */
	int64_t start; /* since the epoch, if the log says when it started */
	int64_t length;
	struct histogram *values;

	struct hlog_source *source;
};

int hlog_open(struct hlog_reader *r, const char *path);

/* Read the next interval.  Returns 1, 0 at the end, or -1 with r->wrong. */
int hlog_next(struct hlog_reader *r);

void hlog_reader_close(struct hlog_reader *r);

/*
 * Both return 0 with *ret to be freed; -ENOMEM; -ENOTSUP without zlib.
 * hlog_unzip() also returns -EBADMSG if the input is not exactly one zlib
 * stream, and -EFBIG if it holds more than max bytes.
 */
int hlog_zip(unsigned char **ret, size_t *ret_len, const unsigned char *from,
	     size_t len);
int hlog_unzip(unsigned char **ret, size_t *ret_len, const unsigned char *from,
	       size_t len, size_t max);

#endif
