/* SPDX-License-Identifier: MIT */
/*
 * load merge: logs of several machines become one, and errors are reported in
 * one line.
 */
#include "test.h"

#include <dirent.h>
#include <getopt.h>

#include "../../cli/cli.h"
#include "../../client/load/load.h"
#include "../../client/load/measure/hlog.h"

#define SECOND INT64_C(1000000000)
#define BEGAN  (1752300000 * SECOND)

static char folder[FOLDER_ROOM];
static char out[4096], err[4096];

static void slurp(int fd, char *to, size_t cap)
{
	ssize_t len = pread(fd, to, cap - 1, 0);

	ck_assert_int_ge(len, 0);
	to[len] = '\0';
	close(fd);
}

/* Redirect a descriptor to a file; returns the file's. */
static int divert(int fd, int *old)
{
	char name[] = "/tmp/weir-merge-out-XXXXXX";
	int file = mkstemp(name);

	ck_assert_int_ge(file, 0);
	unlink(name);
	*old = dup(fd);
	dup2(file, fd);
	return file;
}

#define MERGE(...) merge((char *[]){ (char[]){ "merge" }, __VA_ARGS__, NULL })

/* Returns the exit status; out and err hold the output. */
static int merge(char **argv)
{
	int argc = 0, status, old_out, old_err;
	int out_file = divert(STDOUT_FILENO, &old_out);
	int err_file = divert(STDERR_FILENO, &old_err);

	while (argv[argc])
		argc++;
	optind = 0;
	cli_start("weir-client");
	status = load_merge(argc, argv);
	dup2(old_out, STDOUT_FILENO);
	dup2(old_err, STDERR_FILENO);
	close(old_out);
	close(old_err);
	slurp(out_file, out, sizeof(out));
	slurp(err_file, err, sizeof(err));
	return status;
}

/* The path of that file; the last few stay valid. */
static char *at(const char *name)
{
	static char paths[4][300];
	static int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

/* count samples of ns in each second, with that tag. */
static void add_seconds(struct hlog_writer *w, const char *tag, int seconds,
			int64_t ns, uint64_t count)
{
	struct histogram *h = calloc(1, sizeof(*h));

	ck_assert_ptr_nonnull(h);
	histogram_record_range(h, ns, ns, count);
	for (int i = 0; i < seconds; i++)
		hlog_write(w, tag, i * SECOND, SECOND, h);
	free(h);
}

static void write_log(const char *name, int64_t began, int seconds, int64_t ns,
		      uint64_t count)
{
	struct hlog_writer *w;

	ck_assert_int_eq(hlog_create(&w, at(name)), 0);
	hlog_begin(w, began, "a test");
	add_seconds(w, "from-plan", seconds, ns, count);
	ck_assert_int_eq(hlog_close(w), 0);
}

static void write_text(const char *name, const char *text)
{
	FILE *file = fopen(at(name), "we");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(text, file), 0);
	ck_assert_int_eq(fclose(file), 0);
}

static void expect_line(struct hlog_reader *r, const char *tag, int64_t start,
			int64_t length, uint64_t total)
{
	ck_assert_int_eq(hlog_next(r), 1);
	ck_assert_str_eq(r->tag, tag);
	ck_assert_int_eq(r->start, start);
	ck_assert_int_eq(r->length, length);
	ck_assert_uint_eq(r->values->total, total);
}

START_TEST(what_happened_in_the_same_second_is_added_up)
{
	struct hlog_reader r;

	/* b starts 0.3 s after a, c 2 s after and 0.1 s early. */
	write_log("a", BEGAN, 3, 1000, 10);
	write_log("b", BEGAN + SECOND * 3 / 10, 3, 2000, 100);
	write_log("c", BEGAN + SECOND * 19 / 10, 2, 2000, 1000);
	ck_assert_int_eq(MERGE(at("b"), at("a"), at("c"),
			       (char[]){ "--output" }, at("all")),
			 CLI_DONE);
	ck_assert_str_eq(err, "");
	ck_assert_int_eq(hlog_open(&r, at("all")), 0);
	expect_line(&r, "from-plan", BEGAN, SECOND, 110);
	expect_line(&r, "from-plan", BEGAN + SECOND, SECOND, 110);
	expect_line(&r, "from-plan", BEGAN + 2 * SECOND, SECOND, 1110);
	expect_line(&r, "from-plan", BEGAN + 3 * SECOND, SECOND, 1000);
	ck_assert_int_eq(hlog_next(&r), 0);
	hlog_reader_close(&r);
}
END_TEST

START_TEST(kinds_are_kept_apart)
{
	struct hlog_writer *w;
	struct hlog_reader r;

	ck_assert_int_eq(hlog_create(&w, at("a")), 0);
	hlog_begin(w, BEGAN, "a test");
	add_seconds(w, "from-plan", 1, 1000, 1);
	add_seconds(w, "from-send", 1, 1000, 2);
	ck_assert_int_eq(hlog_close(w), 0);
	ck_assert_int_eq(hlog_create(&w, at("b")), 0);
	hlog_begin(w, BEGAN, "a test");
	add_seconds(w, "connect", 1, 1000, 4);
	add_seconds(w, "from-send", 2, 1000, 8);
	ck_assert_int_eq(hlog_close(w), 0);
	ck_assert_int_eq(MERGE(at("a"), at("b"), (char[]){ "-o" }, at("all")),
			 CLI_DONE);
	ck_assert_int_eq(hlog_open(&r, at("all")), 0);
	expect_line(&r, "from-plan", BEGAN, SECOND, 1);
	expect_line(&r, "from-send", BEGAN, SECOND, 10);
	expect_line(&r, "connect", BEGAN, SECOND, 4);
	expect_line(&r, "from-send", BEGAN + SECOND, SECOND, 8);
	ck_assert_int_eq(hlog_next(&r), 0);
	hlog_reader_close(&r);
}
END_TEST

START_TEST(the_table_shows_percentiles_of_everything)
{
	write_log("a", BEGAN, 10, 200000, 99);
	write_log("b", BEGAN, 10, 15000000, 1);
	ck_assert_int_eq(MERGE(at("a"), at("b")), CLI_DONE);
	ck_assert_str_eq(
		out,
		"merged  2 logs, 10.0s from 2025-07-12 06:00:00 UTC\n\n"
		"latency            p50     p90     p99   p99.9  p99.99     "
		"max\n"
		"  from-plan      200us   200us   200us       -       -  15.0ms"
		"  1,000 samples\n");
	ck_assert_str_eq(err, "");
}
END_TEST

START_TEST(a_log_merged_with_nothing_stays_as_it_is)
{
	static char before[8192], after[8192];
	char *texts[] = { before, after };
	const char *names[] = { "a", "all" };

	write_log("a", BEGAN, 5, 123456, 1000);
	ck_assert_int_eq(MERGE(at("a"), (char[]){ "-o" }, at("all")), CLI_DONE);
	for (int i = 0; i < 2; i++) {
		FILE *file = fopen(at(names[i]), "re");

		ck_assert_ptr_nonnull(fgets(texts[i], 8192, file));
		ck_assert_uint_gt(fread(texts[i], 1, 8191, file), 0);
		fclose(file);
	}
	/* Except for the note in the first line. */
	ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(lines_in_no_order_are_all_counted)
{
	struct histogram *h = calloc(1, sizeof(*h));
	struct hlog_writer *w;
	struct hlog_reader r;

	ck_assert_ptr_nonnull(h);
	histogram_record(h, 1000);
	ck_assert_int_eq(hlog_create(&w, at("a")), 0);
	hlog_begin(w, BEGAN, "a test");
	for (int i = 9; i >= 0; i--)
		hlog_write(w, "back", i * SECOND, SECOND, h);
	ck_assert_int_eq(hlog_close(w), 0);
	free(h);
	write_log("b", BEGAN + 9 * SECOND, 5, 1000, 1);
	ck_assert_int_eq(MERGE(at("a"), at("b"), (char[]){ "-o" }, at("all")),
			 CLI_DONE);
	ck_assert_ptr_nonnull(strstr(out, " 10 samples"));
	ck_assert_ptr_nonnull(strstr(out, " 5 samples"));
	/* Earlier lines go into the first cell. */
	ck_assert_int_eq(hlog_open(&r, at("all")), 0);
	expect_line(&r, "back", BEGAN + 9 * SECOND, SECOND, 10);
	for (int i = 0; i < 5; i++)
		expect_line(&r, "from-plan", BEGAN + (9 + i) * SECOND, SECOND,
			    1);
	ck_assert_int_eq(hlog_next(&r), 0);
	hlog_reader_close(&r);
}
END_TEST

/* Refused with exactly this line, and without an output. */
static void expect_refusal(int status, const char *form, const char *name)
{
	char line[256];

	ck_assert_int_eq(status, CLI_USAGE);
	snprintf(line, sizeof(line), form, name);
	ck_assert_str_eq(err, line);
	ck_assert_str_eq(out, "");
	ck_assert_int_ne(access(at("all"), F_OK), 0);
}

START_TEST(bad_input_is_named_in_one_line)
{
	unlink(at("all"));
	write_log("a", BEGAN, 3, 1000, 10);
	write_text("empty", "");
	write_text("bad", "#[BaseTime: 5.0]\nhello\n");
	expect_refusal(MERGE(at("a"), at("none")),
		       "weir-client: cannot read %s: No such file or "
		       "directory\n",
		       at("none"));
	expect_refusal(MERGE(at("a"), at("empty"), (char[]){ "-o" }, at("all")),
		       "weir-client: %s: contains no histogram\n", at("empty"));
	expect_refusal(MERGE(at("bad"), at("a")),
		       "weir-client: %s:2: not a line of a histogram log: "
		       "[Tag=word,]start,length,max,histogram\n",
		       at("bad"));
	expect_refusal(MERGE((char[]){ "-o" }, at("all")),
		       "weir-client: the file is missing, as in weir-client "
		       "load merge a.json b.json%s\n",
		       "");
	expect_refusal(MERGE(at("a"), (char[]){ "-o" }, folder),
		       "weir-client: cannot write %s: Is a directory\n",
		       folder);
}
END_TEST

START_TEST(a_log_that_goes_bad_leaves_no_half_output)
{
	FILE *file;

	unlink(at("all"));
	write_log("a", BEGAN, 3, 1000, 10);
	file = fopen(at("a"), "ae");
	ck_assert_ptr_nonnull(file);
	fputs("Tag=from-plan,3.0,1.0,1.0,HISTFAAA\n", file);
	fclose(file);
	expect_refusal(MERGE(at("a"), (char[]){ "-o" }, at("all")),
		       "weir-client: %s:9: the histogram is cut short or "
		       "damaged\n",
		       at("a"));
}
END_TEST

START_TEST(a_log_is_never_written_over_while_it_is_read)
{
	struct hlog_reader r;
	char same[80];

	unlink(at("all"));
	write_log("a", BEGAN, 3, 1000, 10);
	snprintf(same, sizeof(same), "%s/./a", folder);
	expect_refusal(MERGE(at("a"), (char[]){ "-o" }, same),
		       "weir-client: --output: %s is an input\n", at("a"));
	ck_assert_int_eq(hlog_open(&r, at("a")), 0);
	expect_line(&r, "from-plan", BEGAN, SECOND, 10);
	hlog_reader_close(&r);
}
END_TEST

START_TEST(a_full_disk_is_a_failure)
{
	if (access("/dev/full", W_OK) != 0)
		return;
	write_log("a", BEGAN, 3, 1000, 10);
	ck_assert_int_eq(MERGE(at("a"), (char[]){ "-o/dev/full" }), CLI_FAILED);
	ck_assert_str_eq(err, "weir-client: cannot write /dev/full: No space "
			      "left on device\n");
	ck_assert_str_eq(out, "");
	ck_assert_int_eq(access("/dev/full", W_OK), 0);
}
END_TEST

START_TEST(without_zlib_there_is_no_merging)
{
	ck_assert_int_eq(MERGE((char[]){ "a" }), CLI_USAGE);
	ck_assert_str_eq(err, "weir-client: merge: " HLOG_UNAVAILABLE "\n");
}
END_TEST

static void clean_up(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		unlink(at(entry->d_name));
	if (dir)
		closedir(dir);
	rmdir(folder);
}

int main(void)
{
	int rc;

	if (!hlog_is_available())
		return RUN_TESTS("merge", without_zlib_there_is_no_merging);
	if (!make_folder(folder))
		return 99;
	rc = RUN_TESTS("merge", what_happened_in_the_same_second_is_added_up,
		       kinds_are_kept_apart,
		       the_table_shows_percentiles_of_everything,
		       a_log_merged_with_nothing_stays_as_it_is,
		       lines_in_no_order_are_all_counted,
		       bad_input_is_named_in_one_line,
		       a_log_that_goes_bad_leaves_no_half_output,
		       a_log_is_never_written_over_while_it_is_read,
		       a_full_disk_is_a_failure);
	clean_up();
	return rc;
}
