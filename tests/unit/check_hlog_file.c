/* SPDX-License-Identifier: MIT */
/*
 * Log files: what any program has written can be read, and damage is reported
 * with its line.
 */
#include "test.h"

#include <sys/mman.h>

#include "../../client/load/measure/hlog.h"

/* A file in memory. */
static char path[64];

static struct histogram *new_histogram(void)
{
	struct histogram *h = calloc(1, sizeof(*h));

	ck_assert_ptr_nonnull(h);
	return h;
}

static void write_file(const char *text, size_t len)
{
	FILE *file = fopen(path, "we");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(text, 1, len, file), len);
	ck_assert_int_eq(fclose(file), 0);
}

static size_t read_file(char *to, size_t cap)
{
	FILE *file = fopen(path, "re");
	size_t len = fread(to, 1, cap - 1, file);

	ck_assert_int_eq(fclose(file), 0);
	to[len] = '\0';
	return len;
}

#define STARTED (INT64_C(1752300000123) * 1000000)
#define SECOND	INT64_C(1000000000)

/* Three seconds of two tags; returns the length. */
static size_t write_log(char *text, size_t cap)
{
	struct histogram *h = new_histogram();
	struct hlog_writer *w;

	ck_assert_int_eq(hlog_create(&w, path), 0);
	hlog_begin(w, STARTED, "a test");
	for (int i = 0; i < 3; i++) {
		histogram_record(h, 1000 * (i + 1));
		hlog_write(w, "from-plan", i * SECOND, SECOND, h);
		hlog_write(w, "from-send", i * SECOND, SECOND / 2, h);
	}
	ck_assert_int_eq(hlog_close(w), 0);
	free(h);
	return read_file(text, cap);
}

START_TEST(a_log_is_read_as_it_was_written)
{
	char text[4096], *line = text, *next;
	struct hlog_reader r;

	write_log(text, sizeof(text));
	ck_assert_int_eq(hlog_open(&r, path), 0);
	for (int i = 0; i < 6; i++) {
		ck_assert_int_eq(hlog_next(&r), 1);
		ck_assert_str_eq(r.tag, i % 2 ? "from-send" : "from-plan");
		ck_assert_int_eq(r.start, STARTED + i / 2 * SECOND);
		ck_assert_int_eq(r.length, i % 2 ? SECOND / 2 : SECOND);
		ck_assert_uint_eq(r.values->total, (uint64_t)(i / 2 + 1));
		/* Slots are wider than 1 from 2048 on. */
		ck_assert_int_eq(r.values->max,
				 i / 2 < 2 ? 1000 * (i / 2 + 1) : 3001);
		ck_assert_uint_eq(r.line, (size_t)(6 + i));
	}
	ck_assert_int_eq(hlog_next(&r), 0);
	hlog_reader_close(&r);
	/* The C library reads no more of a comment, and no later one. */
	for (int i = 0; (next = strchr(line, '\n')); i++, line = next + 1)
		ck_assert(line[0] == '#' ? i < 4 && next - line < 127 : i > 3);
}
END_TEST

/* Read the log to its end or first error. Returns NULL or the error. */
static const char *read_all(int *intervals, size_t *line)
{
	const char *wrong;
	struct hlog_reader r;
	int rc;

	*intervals = 0;
	ck_assert_int_eq(hlog_open(&r, path), 0);
	while ((rc = hlog_next(&r)) > 0)
		++*intervals;
	wrong = rc < 0 ? r.wrong : NULL;
	*line = r.line;
	hlog_reader_close(&r);
	return wrong;
}

START_TEST(a_log_cut_anywhere_is_read_up_to_there_or_found_wrong)
{
	char text[4096];
	size_t len = write_log(text, sizeof(text)), line, complete = 0;

	for (size_t cut = 0; cut <= len; cut++) {
		int intervals, lines = 0;
		const char *wrong;

		for (size_t i = 0; i < cut; i++)
			lines += text[i] == '\n';
		write_file(text, cut);
		wrong = read_all(&intervals, &line);
		if (!wrong && intervals > 0)
			complete++;
		/* The newline at the end of a line may be missing. */
		if (text[cut] == '\n')
			lines++;
		if (!wrong || lines > 5)
			ck_assert_int_eq(intervals, lines > 5 ? lines - 5 : 0);
	}
	/* At the end of each of six lines, before and after its newline. */
	ck_assert_uint_eq(complete, 12);
}
END_TEST

START_TEST(no_bit_of_a_log_does_harm)
{
	char text[4096];
	size_t len = write_log(text, sizeof(text)), line;
	int intervals;

	for (size_t bit = 0; bit < 8 * len; bit += 3) {
		text[bit / 8] ^= (char)(1 << bit % 8);
		write_file(text, len);
		if (!read_all(&intervals, &line))
			ck_assert_int_ge(intervals, 5);
		text[bit / 8] ^= (char)(1 << bit % 8);
	}
}
END_TEST

#define LEGEND                                                                 \
	"\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\","             \
	"\"Interval_Compressed_Histogram\"\n"
/* 1,000,000 times 1500, 100,000 to 2,000,000 in steps, 45,000,000,000: written
 * by the Java library from 1,000 to 60 s with two digits. */
#define JAVA                                                                   \
	"HISTFAAAAEN42pNpmSzMwMBgxAABTBCK+QWQ4P3hHsFg/"                        \
	"wEq0tBZ9Z+J6S8j02xGpnggt"                                             \
	"GTSZdIHY0UmUTAUh9Ig1mMZJgBryw0U"
#define EMPTY "HISTFAAAACJ42pNpmSzMwMDAyAABTBCK+QWQ4P3hHsFg/wEqAwBhfAUI"

static void expect_interval(const char *text, const char *tag, int64_t start,
			    int64_t length)
{
	struct hlog_reader r;

	write_file(text, strlen(text));
	ck_assert_int_eq(hlog_open(&r, path), 0);
	ck_assert_int_eq(hlog_next(&r), 1);
	ck_assert_str_eq(r.tag, tag);
	ck_assert_int_eq(r.start, start);
	ck_assert_int_eq(r.length, length);
	ck_assert_int_eq(hlog_next(&r), 0);
	hlog_reader_close(&r);
}

START_TEST(logs_of_other_programs_are_read)
{
	expect_interval("#[Histogram log format version 1.3]\n"
			"#[StartTime: 1752300000.000 (seconds since epoch), "
			"Sat Jul 12 06:00:00 UTC 2025]\n" LEGEND
			"Tag=java,2.000,1.000,45097.157," JAVA "\n",
			"java", 1752300002 * SECOND, SECOND);
	/* No tag, CRLF, and a comment further down. */
	expect_interval("#[Histogram log format version 1.2]\r\n"
			"#[BaseTime: 100.5 (seconds since epoch)]\r\n"
			"\r\n" LEGEND "#[a comment]\r\n"
			"2.25,0.5,1e-3," EMPTY "\r\n",
			"", 102 * SECOND + SECOND * 3 / 4, SECOND / 2);
	/* Absolute stamps, and the end instead of the length. */
	expect_interval("#[StartTime: 1752300000.000 (seconds since epoch)]\n"
			"\"StartTimestamp\",\"EndTimestamp\",\"Interval_Max\","
			"\"Interval_Compressed_Histogram\"\n"
			"1752300001.000,1752300003.000,1.0," JAVA,
			"", 1752300001 * SECOND, 2 * SECOND);
	expect_interval("5,1,0," EMPTY, "", 5 * SECOND, SECOND);
}
END_TEST

START_TEST(a_histogram_of_another_library_has_the_percentiles_it_has_there)
{
	struct histogram *h = new_histogram();

	ck_assert_ptr_null(hlog_decode(h, JAVA, strlen(JAVA)));
	ck_assert_uint_eq(h->total, 1000021);
	ck_assert_int_eq(histogram_percentile(h, 99), 1535);
	ck_assert_int_eq(histogram_percentile(h, 99.998), 100351);
	ck_assert_int_eq(histogram_percentile(h, 99.999), 1105919);
	ck_assert_int_eq(histogram_percentile(h, 99.9999), 2007039);
	ck_assert_int_eq(histogram_percentile(h, 100), 45097156607);
	free(h);
}
END_TEST

START_TEST(what_is_no_log_is_named_with_its_line)
{
	static const struct {
		const char *text;
		size_t line;
		const char *says;
	} rows[] = {
		{ "hello\n", 1, "not a line of a histogram log" },
		{ LEGEND "1.0,1.0,1.0," EMPTY "\n\n1.0,1.0\n", 4,
		  "not a line of a histogram log" },
		{ "-1.0,1.0,1.0," EMPTY "\n", 1,
		  "not a line of a histogram log" },
		{ "1.0,99999999999,1.0," EMPTY "\n", 1,
		  "not a line of a histogram log" },
		{ "1.0,40000000,1.0," EMPTY "\n", 1, "longer than a year" },
		{ "1.0,1.0,x," EMPTY "\n", 1, "greatest value" },
		{ "Tag=,1.0,1.0,1.0," EMPTY "\n", 1, "the tag" },
		{ "Tag=a b,1.0,1.0,1.0," EMPTY "\n", 1, "the tag" },
		{ "Tag=x", 1, "the tag" },
		{ "1.0,1.0,1.0,!!!!\n", 1, "not base64" },
		{ "1.0,1.0,1.0,\n", 1, "not base64" },
		{ "1.0,1.0,1.0,aGVsbG8gd29ybGQh\n", 1, "compressed form V2" },
		{ "#[Histogram log format version 2.0]\n", 1,
		  "unknown version" },
		{ "#[BaseTime: soon]\n", 1, "BaseTime" },
		{ "#[StartTime: soon]\n", 1, "StartTime" },
		{ "\"EndTimestamp\"\n2.0,1.0,1.0," EMPTY "\n", 2,
		  "ends before it starts" },
	};

	static const char zero[] = "#[a]\n1.0\0,1.0,1.0," EMPTY "\n";

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *wrong;
		int intervals;
		size_t line;

		write_file(rows[i].text, strlen(rows[i].text));
		wrong = read_all(&intervals, &line);
		ck_assert_msg(wrong && strstr(wrong, rows[i].says),
			      "%s instead of %s", wrong, rows[i].says);
		ck_assert_uint_eq(line, rows[i].line);
	}
	write_file(zero, sizeof(zero) - 1);
	ck_assert_str_eq(read_all(&(int){ 0 }, &(size_t){ 0 }),
			 "there is a zero byte in the line");
}
END_TEST

START_TEST(a_file_that_cannot_be_used_is_an_error)
{
	struct hlog_writer *w;
	struct hlog_reader r;

	ck_assert_int_eq(hlog_open(&r, "/nowhere/log"), -ENOENT);
	ck_assert_int_eq(hlog_create(&w, "/nowhere/log"), -ENOENT);
	ck_assert_int_eq(hlog_open(&r, "/"), 0);
	ck_assert_int_eq(hlog_next(&r), -1);
	hlog_reader_close(&r);
	if (access("/dev/full", W_OK) == 0) {
		ck_assert_int_eq(hlog_create(&w, "/dev/full"), 0);
		hlog_begin(w, STARTED, "a test");
		ck_assert_int_eq(hlog_close(w), -ENOSPC);
	}
}
END_TEST

int main(void)
{
	int fd;

	if (!hlog_is_available()) {
		puts(HLOG_UNAVAILABLE);
		return 77;
	}
	fd = memfd_create("log", 0);
	if (fd < 0)
		return 99;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return RUN_TESTS(
		"hlog_file", a_log_is_read_as_it_was_written,
		a_log_cut_anywhere_is_read_up_to_there_or_found_wrong,
		no_bit_of_a_log_does_harm, logs_of_other_programs_are_read,
		a_histogram_of_another_library_has_the_percentiles_it_has_there,
		what_is_no_log_is_named_with_its_line,
		a_file_that_cannot_be_used_is_an_error);
}
