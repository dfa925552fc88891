/* SPDX-License-Identifier: MIT */
/*
 * Writing a log.  Its stamps count from a BaseTime, so that no reader has to
 * guess whether they are absolute.  The C library reads lines that begin with
 * # before the legend only, and no more than 126 bytes of each.
 *
 * The first error is kept and everything after it left out.
 */
#include "hlog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../../../cli/stream.h"
#include "../report/output.h"

struct hlog_writer {
	FILE *file;
	bool is_standard; /* it stays open */
	int error;
};

int hlog_create(struct hlog_writer **ret, const char *path)
{
	struct hlog_writer *w = calloc(1, sizeof(*w));
	int error;

	if (!w)
		return -ENOMEM;
	w->is_standard = output_is_standard(path);
	w->file = w->is_standard ? stream_out() : fopen(path, "we");
	if (!w->file) {
		error = errno;
		free(w);
		return -error;
	}
	*ret = w;
	return 0;
}

/* Keep the error of the output that has just been made, if there was one. */
static void check(struct hlog_writer *w, int printed)
{
	if (printed < 0 && w->error == 0)
		w->error = errno;
}

void hlog_begin(struct hlog_writer *w, int64_t started, const char *note)
{
	time_t seconds = (time_t)(started / 1000000000);
	double stamp = (double)started / 1e9;
	char date[32] = "";
	struct tm tm;

	if (gmtime_r(&seconds, &tm))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
	check(w, fprintf(w->file,
			 "#[%.120s]\n"
			 "#[Histogram log format version 1.3]\n"
			 "#[BaseTime: %.3f (seconds since epoch)]\n"
			 "#[StartTime: %.3f (seconds since epoch), %s]\n"
			 "\"StartTimestamp\",\"Interval_Length\","
			 "\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
			 note, stamp, stamp, date));
}

void hlog_write(struct hlog_writer *w, const char *tag, int64_t start,
		int64_t length, const struct histogram *h)
{
	int64_t max = 0;
	char *text;

	if (w->error != 0)
		return;
	text = hlog_encode(h);
	if (!text) {
		w->error = ENOMEM;
		return;
	}
	if (h->total > 0)
		max = histogram_slot_high(histogram_slot(h->max));
	check(w, fprintf(w->file, "Tag=%s,%.3f,%.3f,%.3f,%s\n", tag,
			 (double)start / 1e9, (double)length / 1e9,
			 (double)max / 1e6, text));
	free(text);
}

int hlog_close(struct hlog_writer *w)
{
	int error;

	if ((w->is_standard ? fflush(w->file) : fclose(w->file)) != 0 &&
	    w->error == 0)
		w->error = errno;
	error = w->error;
	free(w);
	return -error;
}
