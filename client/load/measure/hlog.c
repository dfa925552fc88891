/* SPDX-License-Identifier: MIT */
/*
 * Log files.
 *
 *   #[comment]                        with the version, BaseTime, StartTime
 *   "StartTimestamp",...              the legend
 *   Tag=word,start,length,max,text    the tag may be missing
 *
 * Logs are written with a BaseTime, so that stamps are clearly relative.  The
 * C library of HdrHistogram reads comments before the legend only, and at most
 * 126 bytes of each.
 *
 * Logs of other programs may differ.  Without a BaseTime, stamps a year or
 * more before the StartTime are relative to it.  The C library writes the end
 * of an interval instead of its length, and says so in the legend.
 */
#include "hlog.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../../cli/stream.h"
#include "clock.h"

/* ----------------------------------------------------------------- writing */

struct hlog_writer {
	FILE *file;
	bool is_standard; /* not to be closed */
	int error;
};

int hlog_create(struct hlog_writer **ret, const char *path)
{
	struct hlog_writer *w = calloc(1, sizeof(*w));
	int error;

	if (!w)
		return -ENOMEM;
	w->is_standard = strcmp(path, "-") == 0;
	w->file = w->is_standard ? stream_out() : fopen(path, "we");
	if (!w->file) {
		error = errno;
		free(w);
		return -error;
	}
	*ret = w;
	return 0;
}

static void keep_error(struct hlog_writer *w, int printed)
{
	if (printed < 0 && w->error == 0)
		w->error = errno;
}

void hlog_begin(struct hlog_writer *w, int64_t started, const char *note)
{
	time_t seconds = (time_t)(started / SECOND);
	double stamp = (double)started / 1e9;
	char date[32] = "";
	struct tm tm;

	if (gmtime_r(&seconds, &tm))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
	keep_error(
		w,
		fprintf(w->file,
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
	keep_error(w, fprintf(w->file, "Tag=%s,%.3f,%.3f,%.3f,%s\n", tag,
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

/* ----------------------------------------------------------------- reading */

#define YEAR (INT64_C(365) * 24 * 3600 * SECOND)

/* Longest line: many times what a histogram of five digits takes. */
#define LINE_MOST (1 << 24)

/* So that sums of times do not overflow. */
#define SECONDS_MAX 3000000000

struct hlog_source {
	FILE *file;
	char *text;
	size_t room;
	bool has_base;
	bool has_start;
	bool has_ends; /* instead of lengths */
	int64_t base;
	int64_t start;
};

int hlog_open(struct hlog_reader *r, const char *path)
{
	int error = ENOMEM;

	*r = (struct hlog_reader){ 0 };
	r->values = calloc(1, sizeof(*r->values));
	r->source = calloc(1, sizeof(*r->source));
	if (r->values && r->source) {
		r->source->file = fopen(path, "re");
		if (r->source->file)
			return 0;
		error = errno;
	}
	free(r->values);
	free(r->source);
	return -error;
}

void hlog_reader_close(struct hlog_reader *r)
{
	fclose(r->source->file);
	free(r->source->text);
	free(r->source);
	free(r->values);
}

static int line_error(struct hlog_reader *r, const char *what)
{
	r->wrong = what;
	return -1;
}

/* ------------------------------------------------------------------ fields */

/* Seconds with decimals, to ns.  Returns the end, or NULL. */
static const char *get_time(const char *from, int64_t *ret)
{
	int64_t unit = SECOND, time = 0;
	const char *at = from;

	for (; isdigit((unsigned char)*at); at++) {
		time = 10 * time + (*at - '0');
		if (time > SECONDS_MAX)
			return NULL;
	}
	if (at == from)
		return NULL;
	time *= SECOND;
	if (*at == '.')
		for (at++; isdigit((unsigned char)*at); at++) {
			unit /= 10;
			time += unit * (*at - '0');
		}
	*ret = time;
	return at;
}

static bool get_time_and_comma(const char **at, int64_t *ret)
{
	const char *end = get_time(*at, ret);

	if (!end || *end != ',')
		return false;
	*at = end + 1;
	return true;
}

static bool get_tag(const char **at, char tag[HLOG_TAG])
{
	size_t len;

	tag[0] = '\0';
	if (strncmp(*at, "Tag=", 4) != 0)
		return true;
	*at += 4;
	len = strcspn(*at, ",");
	if (len == 0 || len >= HLOG_TAG || (*at)[len] != ',')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isgraph((unsigned char)(*at)[i]))
			return false;
	memcpy(tag, *at, len);
	tag[len] = '\0';
	*at += len + 1;
	return true;
}

/* ------------------------------------------------------------------- lines */

static bool skip_prefix(const char **line, const char *with)
{
	size_t len = strlen(with);

	if (strncmp(*line, with, len) != 0)
		return false;
	*line += len;
	return true;
}

static int read_comment(struct hlog_reader *r, const char *line)
{
	struct hlog_source *s = r->source;

	if (skip_prefix(&line, "#[Histogram log format version ")) {
		if (strncmp(line, "1.", 2) != 0)
			return line_error(r,
					  "the log is of an unknown version; "
					  "known are 1.0 to 1.3");
	} else if (skip_prefix(&line, "#[BaseTime: ")) {
		s->has_base = true;
		if (!get_time(line, &s->base))
			return line_error(r, "the BaseTime is not a time");
	} else if (skip_prefix(&line, "#[StartTime: ")) {
		s->has_start = true;
		if (!get_time(line, &s->start))
			return line_error(r, "the StartTime is not a time");
	}
	return 0;
}

static int64_t find_base(const struct hlog_source *s, int64_t stamp)
{
	return s->has_start && stamp < s->start - YEAR ? s->start : 0;
}

static int read_interval(struct hlog_reader *r, const char *line, size_t len)
{
	struct hlog_source *s = r->source;
	const char *at = line, *wrong;

	if (!get_tag(&at, r->tag))
		return line_error(r, "the tag is not one word of at most 63 "
				     "characters and a comma");
	if (!get_time_and_comma(&at, &r->start) ||
	    !get_time_and_comma(&at, &r->length))
		return line_error(r, "not a line of a histogram log: "
				     "[Tag=word,]start,length,max,histogram");
	at += strspn(at, "0123456789.eE+-");
	if (*at++ != ',')
		return line_error(r, "the greatest value is not a number and a "
				     "comma");
	if (s->has_ends) {
		if (r->length < r->start)
			return line_error(r, "the interval ends before it "
					     "starts");
		r->length -= r->start;
	}
	if (r->length > YEAR)
		return line_error(r, "the interval is longer than a year");
	if (!s->has_base) {
		s->base = find_base(s, r->start);
		s->has_base = true;
	}
	r->start += s->base;
	histogram_clear(r->values);
	wrong = hlog_decode(r->values, at, len - (size_t)(at - line));
	return wrong ? line_error(r, wrong) : 1;
}

/* 1: an interval; 0: another valid line; -1: an error. */
static int read_line(struct hlog_reader *r, size_t len)
{
	char *line = r->source->text;

	while (len > 0 && strchr("\r\n", line[len - 1]))
		line[--len] = '\0';
	if (strlen(line) != len)
		return line_error(r, "there is a zero byte in the line");
	if (line[0] == '#')
		return read_comment(r, line);
	if (line[0] == '"')
		r->source->has_ends = strstr(line, "\"EndTimestamp\"");
	return len == 0 || line[0] == '"' ? 0 : read_interval(r, line, len);
}

/* Like getline(3), but stops at LINE_MOST bytes. */
static ssize_t read_text(struct hlog_source *s)
{
	size_t len = 0;
	int c;

	do {
		if (len + 1 >= s->room) {
			size_t room = s->room ? 2 * s->room : 4096;
			char *text = realloc(s->text, room);

			if (!text)
				return -1;
			s->text = text;
			s->room = room;
		}
		c = getc_unlocked(s->file);
		if (c != EOF)
			s->text[len++] = (char)c;
	} while (c != EOF && c != '\n' && len < LINE_MOST);
	s->text[len] = '\0';
	return len > 0 && !ferror(s->file) ? (ssize_t)len : -1;
}

int hlog_next(struct hlog_reader *r)
{
	struct hlog_source *s = r->source;
	ssize_t len;
	int rc = 0;

	while (rc == 0) {
		errno = 0;
		len = read_text(s);
		if (len < 0)
			break;
		r->line++;
		if (len == LINE_MOST)
			return line_error(r, "the line is too long for a log");
		rc = read_line(r, (size_t)len);
	}
	if (rc == 0 && !feof(s->file))
		return line_error(r, strerror(errno));
	return rc;
}
