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
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../../cli/stream.h"
#include "units.h"

/*
 * A histogram in the compressed form V2 of HdrHistogram, in base64.  All
 * numbers are big-endian, except the counts.
 *
 *   outer   cookie, length, a zlib stream of the
 *   inner   cookie, length of the counts, offset, digits, lowest, highest,
 *           ratio (a double), counts
 *
 * A count is a zig-zag number (the sign is the lowest bit) of seven bits a
 * byte, lowest first, with the top bit set for "more"; a ninth byte has eight
 * bits.  A negative count -n stands for n empty slots.
 *
 * A histogram of another range or precision has other slots, so its values are
 * added and not its slots.
 */

#ifdef HAVE_ZLIB

#include <zlib.h>

bool hlog_is_available(void)
{
	return true;
}

int hlog_zip(unsigned char **ret, size_t *ret_len, const unsigned char *from,
	     size_t len)
{
	uLongf room = compressBound(len);
	unsigned char *to = malloc(room);

	if (!to)
		return -ENOMEM;
	if (compress2(to, &room, from, len, Z_DEFAULT_COMPRESSION) != Z_OK) {
		free(to);
		return -ENOMEM;
	}
	*ret = to;
	*ret_len = room;
	return 0;
}

/* Grow the output; one byte beyond max shows that the stream is longer. */
static int unzip_more(z_stream *z, unsigned char **to, size_t max)
{
	size_t used = z->total_out;
	size_t room = used > 0 ? 4 * used : 4096;
	unsigned char *more;

	if (used > max)
		return -EFBIG;
	if (room > max + 1)
		room = max + 1;
	more = realloc(*to, room);
	if (!more)
		return -ENOMEM;
	*to = more;
	z->next_out = more + used;
	z->avail_out = (uInt)(room - used);
	return 0;
}

static int unpack(z_stream *z, unsigned char **to, size_t max)
{
	int rc;

	do {
		if (z->avail_out == 0) {
			rc = unzip_more(z, to, max);
			if (rc < 0)
				return rc;
		}
		rc = inflate(z, Z_NO_FLUSH);
	} while (rc == Z_OK);
	if (rc == Z_MEM_ERROR)
		return -ENOMEM;
	if (rc != Z_STREAM_END || z->avail_in > 0)
		return -EBADMSG;
	return z->total_out > max ? -EFBIG : 0;
}

int hlog_unzip(unsigned char **ret, size_t *ret_len, const unsigned char *from,
	       size_t len, size_t max)
{
	z_stream z = { .next_in = (z_const Bytef *)from,
		       .avail_in = (uInt)len };
	unsigned char *to = NULL;
	int rc;

	if (inflateInit(&z) != Z_OK)
		return -ENOMEM;
	rc = unpack(&z, &to, max);
	inflateEnd(&z);
	if (rc < 0) {
		free(to);
		return rc;
	}
	*ret = to;
	*ret_len = z.total_out;
	return 0;
}

#else

bool hlog_is_available(void)
{
	return false;
}

int hlog_zip(unsigned char **ret, size_t *ret_len, const unsigned char *from,
	     size_t len)
{
	(void)ret, (void)ret_len, (void)from, (void)len;
	return -ENOTSUP;
}

int hlog_unzip(unsigned char **ret, size_t *ret_len, const unsigned char *from,
	       size_t len, size_t max)
{
	(void)ret, (void)ret_len, (void)from, (void)len, (void)max;
	return -ENOTSUP;
}

#endif

#define OUTER	   UINT32_C(0x1c849314)
#define INNER	   UINT32_C(0x1c849313)
#define OUTER_SIZE 8
#define INNER_SIZE 40

/* The precision that is accepted, and the sizes that follow from it. */
#define DIGITS_MAX 5
#define SLOTS_MAX  ((size_t)64 << 17)
#define INNER_MAX  (INNER_SIZE + 9 * SLOTS_MAX)

/* The largest count that a double represents exactly. */
#define SAMPLES_MAX (UINT64_C(1) << 53)

static const char damaged[] = "the histogram is cut short or damaged";

static void put32(unsigned char *to, uint32_t number)
{
	number = htobe32(number);
	memcpy(to, &number, sizeof(number));
}

static void put64(unsigned char *to, uint64_t number)
{
	number = htobe64(number);
	memcpy(to, &number, sizeof(number));
}

static uint32_t get32(const unsigned char *from)
{
	uint32_t number;

	memcpy(&number, from, sizeof(number));
	return be32toh(number);
}

static uint64_t get64(const unsigned char *from)
{
	uint64_t number;

	memcpy(&number, from, sizeof(number));
	return be64toh(number);
}

static unsigned char *put_count(unsigned char *to, int64_t number)
{
	uint64_t left = (uint64_t)number << 1 ^ (number < 0 ? UINT64_MAX : 0);

	for (int i = 0; i < 8 && left >= 0x80; i++) {
		*to++ = (unsigned char)(left | 0x80);
		left >>= 7;
	}
	*to++ = (unsigned char)left;
	return to;
}

static const unsigned char *get_count(const unsigned char *from,
				      const unsigned char *end, int64_t *ret)
{
	uint64_t number = 0;
	unsigned shift = 0;
	bool more = true;

	while (more) {
		if (from == end)
			return NULL;
		more = shift < 56 && *from >= 0x80;
		number |= (uint64_t)(more ? *from & 0x7f : *from) << shift;
		from++;
		shift += 7;
	}
	*ret = (int64_t)(number >> 1 ^ (0 - (number & 1)));
	return from;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			       "abcdefghijklmnopqrstuvwxyz0123456789+/";

static char *to_base64(const unsigned char *from, size_t len)
{
	char *text = malloc((len + 2) / 3 * 4 + 1), *to = text;

	for (size_t i = 0; text && i < len; i += 3) {
		size_t have = len - i < 3 ? len - i : 3;
		uint32_t bits = (uint32_t)from[i] << 16;

		bits |= have > 1 ? (uint32_t)from[i + 1] << 8 : 0;
		bits |= have > 2 ? from[i + 2] : 0;
		*to++ = alphabet[bits >> 18];
		*to++ = alphabet[bits >> 12 & 63];
		*to++ = have > 1 ? alphabet[bits >> 6 & 63] : '=';
		*to++ = have > 2 ? alphabet[bits & 63] : '=';
	}
	if (text)
		*to = '\0';
	return text;
}

static int sextet(char c)
{
	const char *at = c != '\0' ? strchr(alphabet, c) : NULL;

	return at ? (int)(at - alphabet) : -1;
}

/* Returns the length, or 0 if text is not base64. */
static size_t from_base64(unsigned char *to, const char *text, size_t len)
{
	size_t used = 0, padding = 0;
	uint32_t bits = 0;

	if (len == 0 || len % 4 != 0)
		return 0;
	while (padding < 2 && text[len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < len; i++) {
		int value = i < len - padding ? sextet(text[i]) : 0;

		if (value < 0)
			return 0;
		bits = bits << 6 | (uint32_t)value;
		if (i % 4 == 3) {
			to[used++] = (unsigned char)(bits >> 16);
			to[used++] = (unsigned char)(bits >> 8);
			to[used++] = (unsigned char)bits;
		}
	}
	return used - padding;
}

static size_t write_inner(unsigned char *to, const struct histogram *h,
			  size_t end)
{
	unsigned char *at = to + INNER_SIZE;
	double ratio = 1;
	uint64_t bits;

	for (size_t i = 0; i < end;) {
		int64_t empty = 0;

		for (; i < end && h->counts[i] == 0; i++)
			empty++;
		if (empty > 0)
			at = put_count(at, -empty);
		else
			at = put_count(at, (int64_t)h->counts[i++]);
	}
	memcpy(&bits, &ratio, sizeof(bits));
	put32(to, INNER);
	put32(to + 4, (uint32_t)(at - to - INNER_SIZE));
	put32(to + 8, 0);
	put32(to + 12, HISTOGRAM_DIGITS);
	put64(to + 16, 1);
	put64(to + 24, HISTOGRAM_HIGHEST);
	put64(to + 32, bits);
	return (size_t)(at - to);
}

char *hlog_encode(const struct histogram *h)
{
	size_t end = h->total > 0 ? histogram_slot(h->max) + 1 : 1;
	unsigned char *inner = malloc(INNER_SIZE + 9 * end);
	unsigned char *outer = NULL, *packed = NULL;
	size_t len = 0;
	char *text = NULL;

	if (inner &&
	    hlog_zip(&packed, &len, inner, write_inner(inner, h, end)) == 0)
		outer = malloc(OUTER_SIZE + len);
	if (outer) {
		put32(outer, OUTER);
		put32(outer + 4, (uint32_t)len);
		memcpy(outer + OUTER_SIZE, packed, len);
		text = to_base64(outer, OUTER_SIZE + len);
	}
	free(outer);
	free(packed);
	free(inner);
	return text;
}

struct slot_grid {
	unsigned unit;	    /* the finest slots are 2^unit wide */
	unsigned half_bits; /* each doubling has 2^half_bits of them */
	size_t slots;
};

static const char *get_grid(struct slot_grid *ret, const unsigned char *inner)
{
	uint32_t digits = get32(inner + 12);
	uint64_t lowest = get64(inner + 16), highest = get64(inner + 24);
	uint64_t reach, least = 2;
	size_t buckets = 1;

	if (digits > DIGITS_MAX || lowest < 1 || highest > INT64_MAX ||
	    lowest > highest / 2)
		return "the range or precision of the histogram is invalid";
	while (digits-- > 0)
		least *= 10;
	ret->unit = 63 - (unsigned)__builtin_clzll(lowest);
	ret->half_bits = 63 - (unsigned)__builtin_clzll(least - 1);
	if (ret->unit + ret->half_bits > 61)
		return "the range or precision of the histogram is invalid";
	for (reach = UINT64_C(2) << (ret->half_bits + ret->unit);
	     reach <= highest; reach *= 2)
		buckets++;
	ret->slots = (buckets + 1) << ret->half_bits;
	return NULL;
}

static void add_slot(struct histogram *h, const struct slot_grid *l,
		     size_t slot, int64_t count)
{
	size_t half = (size_t)1 << l->half_bits;
	size_t bucket = slot < 2 * half ? 0 : (slot >> l->half_bits) - 1;
	uint64_t step = slot - bucket * half;
	uint64_t low = step << (bucket + l->unit);
	uint64_t width = UINT64_C(1) << (bucket + l->unit);

	histogram_record_range(h, (int64_t)low, (int64_t)(low + width - 1),
			       (uint64_t)count);
}

static const char *hlog_add_counts(struct histogram *h,
				   const struct slot_grid *l,
				   const unsigned char *from,
				   const unsigned char *end)
{
	uint64_t total = h->total;
	size_t slot = 0;
	int64_t count;

	while (from < end) {
		from = get_count(from, end, &count);
		if (!from || slot >= l->slots)
			return damaged;
		if (count < 0) {
			if ((uint64_t) - (count + 1) >= l->slots - slot)
				return damaged;
			slot += (size_t)-count;
			continue;
		}
		total += (uint64_t)count;
		if (total > SAMPLES_MAX)
			return "too many samples";
		add_slot(h, l, slot++, count);
	}
	return NULL;
}

static const char *read_inner(struct histogram *h, const unsigned char *inner,
			      size_t len)
{
	struct slot_grid grid;
	const char *wrong;

	/* The second digit of a cookie is the width of counts. */
	if (len < INNER_SIZE || (get32(inner) | 0xf0) != (INNER | 0xf0) ||
	    get32(inner + 4) != len - INNER_SIZE)
		return damaged;
	if (get32(inner + 8) != 0)
		return "the histogram is shifted, which is not supported";
	wrong = get_grid(&grid, inner);
	return wrong ? wrong
		     : hlog_add_counts(h, &grid, inner + INNER_SIZE,
				       inner + len);
}

static const char *read_outer(struct histogram *h, const unsigned char *outer,
			      size_t len)
{
	unsigned char *inner = NULL;
	size_t inner_len = 0;
	const char *wrong;
	int rc;

	if (len < OUTER_SIZE)
		return damaged;
	if ((get32(outer) | 0xf0) != (OUTER | 0xf0))
		return "the histogram is not in the compressed form V2";
	if (get32(outer + 4) != len - OUTER_SIZE)
		return damaged;
	rc = hlog_unzip(&inner, &inner_len, outer + OUTER_SIZE,
			len - OUTER_SIZE, INNER_MAX);
	if (rc == -ENOTSUP)
		return HLOG_UNAVAILABLE;
	if (rc < 0)
		return rc == -ENOMEM ? "out of memory" : damaged;
	wrong = read_inner(h, inner, inner_len);
	free(inner);
	return wrong;
}

const char *hlog_decode(struct histogram *h, const char *text, size_t len)
{
	unsigned char *outer = malloc(len / 4 * 3 + 1);
	const char *wrong = "the histogram is not base64";

	if (!outer)
		return "out of memory";
	len = from_base64(outer, text, len);
	if (len > 0)
		wrong = read_outer(h, outer, len);
	free(outer);
	return wrong;
}

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
	int rc = 0;

	if (w->is_standard)
		rc = stream_flush();
	else if (fclose(w->file) != 0)
		rc = -errno;
	if (w->error != 0)
		rc = -w->error;
	free(w);
	return rc;
}

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
