/* SPDX-License-Identifier: MIT */
/*
 * The command load merge.  Results are left to load_merge_runs().
 *
 * All logs are read in parallel, one line ahead, and the earliest lines are
 * added up, so that memory is needed for one interval only.
 *
 * Intervals of two machines do not start at the same instant.  They go into
 * cells as long as the longest first interval of a log, counted from the
 * earliest start: each into the cell that most of it lies in.
 */
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../cli/cli.h"
#include "../../cli/stream.h"
#include "../options.h"
#include "measure/hlog.h"
#include "measure/result.h"
#include "measure/units.h"
#include "options.h"
#include "report/json.h"
#include "report/layout.h"
#include "report/output.h"
#include "report/report.h"

struct input {
	const char *path;
	struct hlog_reader reader;
	bool has_line; /* not added up yet */
};

struct kind {
	char tag[HLOG_TAG];
	struct histogram *all;
	struct histogram *cell;
	int64_t length; /* the longest interval in the cell; -1: empty */
};

struct merge {
	struct hlog_writer *writer;
	struct input *inputs;
	size_t input_count;
	struct kind *kinds;
	size_t kind_count;
	int64_t start; /* of the first cell */
	int64_t width;
	int64_t end; /* of the last cell */
};

enum { OPT_OUTPUT = 'o', KEY_GATE = 256, KEY_STRICT, KEY_JSON, KEY_HTML };

struct merge_options {
	const char *output, *json, *html;
	struct gates gates;
};

static const struct cli_option merge_table[] = {
	{ "output", OPT_OUTPUT, "FILE",
	  "for logs: write the merged log; - is standard\noutput" },
	{ "json", KEY_JSON, "FILE",
	  "for results: write the sum; - is standard output" JSON_NOTE },
	{ "html", KEY_HTML, "FILE",
	  "for results: write a page with charts" JSON_NOTE },
	{ "gate", KEY_GATE, "EXPR",
	  "for results: a condition on the sum, as for\n"
	  "load; may be repeated" },
	{ "strict", KEY_STRICT, NULL,
	  "for results: exit status 3 if the verdict is\nNOT TRUSTWORTHY" },
	OPTIONS_HELP,
	OPTIONS_VERSION,
	{ .name = NULL },
};

static const struct options_operand merge_operands[] = {
	{ "FILE", "the file", "a.json b.json" },
	{ .name = NULL },
};

static bool merge_take_option(void *to, int key)
{
	struct merge_options *o = to;

	switch (key) {
	case KEY_GATE:
		return gates_add(&o->gates, optarg);
	case KEY_STRICT:
		o->gates.needs_trust = true;
		return true;
	case KEY_JSON:
		o->json = optarg;
		return true;
	case KEY_HTML:
		o->html = optarg;
		return true;
	default:
		o->output = optarg;
		return true;
	}
}

static const struct options_syntax merge_syntax = {
	.command = "load merge",
	.about = "Add up the results of --json of several generators, and "
		 "report the sum;\n"
		 "or add up histogram logs, second by second, and print "
		 "percentiles.\n"
		 "Values in the logs must be in nanoseconds.",
	.operands = merge_operands,
	.table = merge_table,
	.examples = "  weir-client load merge one.json two.json\n"
		    "  weir-client load merge one.hlog two.hlog\n",
	.take = merge_take_option,
	.has_list = true,
	.is_local = true,
};

static int complain_memory(void)
{
	cli_error("out of memory");
	return CLI_FAILED;
}

static int merge_next_line(struct input *in)
{
	int rc = hlog_next(&in->reader);

	in->has_line = rc > 0;
	if (rc >= 0)
		return CLI_DONE;
	if (in->reader.line == 0)
		cli_error("cannot read %s: %s", in->path, in->reader.wrong);
	else
		cli_error("%s:%zu: %s", in->path, in->reader.line,
			  in->reader.wrong);
	return CLI_USAGE;
}

static int open_input(struct merge *m, const char *path)
{
	struct input *in = &m->inputs[m->input_count];
	int rc;

	in->path = path;
	rc = hlog_open(&in->reader, path);
	if (rc < 0) {
		cli_error("cannot read %s: %s", path, strerror(-rc));
		return CLI_USAGE;
	}
	m->input_count++;
	rc = merge_next_line(in);
	if (rc == CLI_DONE && !in->has_line) {
		cli_error("%s: contains no histogram", path);
		return CLI_USAGE;
	}
	if (m->input_count == 1 || in->reader.start < m->start)
		m->start = in->reader.start;
	if (in->reader.length > m->width)
		m->width = in->reader.length;
	return rc;
}

/* A cell that is longer than the intervals would have two of them at times. */
static int64_t whole_seconds(int64_t length)
{
	return length > SECOND ? length - length % SECOND : length;
}

static int open_inputs(struct merge *m, int count, char **paths)
{
	int rc = CLI_DONE;

	m->inputs = calloc((size_t)count, sizeof(*m->inputs));
	if (!m->inputs)
		return complain_memory();
	for (int i = 0; i < count && rc == CLI_DONE; i++)
		rc = open_input(m, paths[i]);
	m->width = m->width == 0 ? SECOND : whole_seconds(m->width);
	return rc;
}

static bool is_input(const char *name, const char *output, int count,
		     char **paths)
{
	struct stat to, from;

	if (!output || output_is_standard(output) || stat(output, &to) != 0 ||
	    !S_ISREG(to.st_mode))
		return false;
	for (int i = 0; i < count; i++)
		if (stat(paths[i], &from) == 0 && from.st_dev == to.st_dev &&
		    from.st_ino == to.st_ino) {
			cli_error("--%s: %s is an input", name, paths[i]);
			return true;
		}
	return false;
}

static int open_output(struct merge *m, const char *output)
{
	char note[64];
	int rc;

	rc = hlog_create(&m->writer, output);
	if (rc < 0) {
		cli_error("cannot write %s: %s", output, strerror(-rc));
		return CLI_USAGE;
	}
	snprintf(note, sizeof(note), "weir-client load merge, of %zu logs",
		 m->input_count);
	hlog_begin(m->writer, m->start, note);
	return CLI_DONE;
}

/* Remove an unfinished file, so that it is not taken for a log. */
static int close_output(struct merge *m, const char *output, int status)
{
	struct stat st;
	int rc = hlog_close(m->writer);

	if (rc < 0 && status == CLI_DONE) {
		cli_error("cannot write %s: %s", output, strerror(-rc));
		status = CLI_FAILED;
	}
	if (status != CLI_DONE && !output_is_standard(output) &&
	    stat(output, &st) == 0 && S_ISREG(st.st_mode))
		unlink(output);
	return status;
}

static struct kind *find_kind(struct merge *m, const char *tag)
{
	struct kind *more, *k;

	for (size_t i = 0; i < m->kind_count; i++)
		if (strcmp(m->kinds[i].tag, tag) == 0)
			return &m->kinds[i];
	more = realloc(m->kinds, (m->kind_count + 1) * sizeof(*more));
	if (!more)
		return NULL;
	m->kinds = more;
	k = &more[m->kind_count++];
	*k = (struct kind){ .all = calloc(1, sizeof(*k->all)),
			    .cell = calloc(1, sizeof(*k->cell)),
			    .length = -1 };
	snprintf(k->tag, sizeof(k->tag), "%s", tag);
	return k->all && k->cell ? k : NULL;
}

static int64_t cell_of(const struct merge *m, const struct input *in)
{
	int64_t start = in->reader.start - m->start;

	/* In an unordered log a line may start before the first one. */
	return start > 0 ? (start + m->width / 2) / m->width : 0;
}

static int64_t next_cell(const struct merge *m)
{
	int64_t cell = -1;

	for (size_t i = 0; i < m->input_count; i++) {
		if (!m->inputs[i].has_line)
			continue;
		if (cell < 0 || cell_of(m, &m->inputs[i]) < cell)
			cell = cell_of(m, &m->inputs[i]);
	}
	return cell;
}

static int add_input(struct merge *m, struct input *in, int64_t cell)
{
	int rc = CLI_DONE;

	while (rc == CLI_DONE && in->has_line && cell_of(m, in) == cell) {
		struct kind *k = find_kind(m, in->reader.tag);

		if (!k)
			return complain_memory();
		histogram_add(k->cell, in->reader.values);
		if (in->reader.length > k->length)
			k->length = in->reader.length;
		rc = merge_next_line(in);
	}
	return rc;
}

static void end_cell(struct merge *m, int64_t cell)
{
	int64_t at = cell * m->width;

	for (size_t i = 0; i < m->kind_count; i++) {
		struct kind *k = &m->kinds[i];

		if (k->length < 0)
			continue;
		if (m->writer)
			hlog_write(m->writer, k->tag, at, k->length, k->cell);
		if (at + k->length > m->end)
			m->end = at + k->length;
		histogram_add(k->all, k->cell);
		histogram_clear(k->cell);
		k->length = -1;
	}
}

static int add_up(struct merge *m)
{
	int64_t cell = next_cell(m);
	int rc = CLI_DONE;

	while (rc == CLI_DONE && cell >= 0) {
		for (size_t i = 0; i < m->input_count && rc == CLI_DONE; i++)
			rc = add_input(m, &m->inputs[i], cell);
		if (rc == CLI_DONE)
			end_cell(m, cell);
		cell = next_cell(m);
	}
	return rc;
}

static const struct kind *kind_of(const struct merge *m, const char *tag,
				  const char *more)
{
	char name[2 * HLOG_TAG];

	snprintf(name, sizeof(name), "%s%s", tag, more);
	for (size_t i = 0; i < m->kind_count; i++)
		if (strcmp(m->kinds[i].tag, name) == 0)
			return &m->kinds[i];
	return NULL;
}

static bool merge_is_mark(const struct kind *k)
{
	size_t len = strlen(k->tag), end = strlen(HLOG_UNANSWERED);

	return strcmp(k->tag, HLOG_INCOMPLETE) == 0 ||
	       (len > end && strcmp(k->tag + len - end, HLOG_UNANSWERED) == 0);
}

static void print_value(const struct kind *k, const struct censored *unanswered,
			double percent, FILE *to)
{
	const struct histogram *h = k->all;
	bool is_more = false;
	int64_t value = -1;
	char text[UNITS_TEXT + 1];

	if (h->total > 0 &&
	    (percent >= 100 || histogram_has_percentile(h, percent)))
		value = censored_percentile(h, unanswered, percent, &is_more);
	fprintf(to, "%8s", layout_time(value, is_more, text));
}

static void print_kind(const struct merge *m, const struct kind *k, FILE *to)
{
	static const double percents[] = { 50, 90, 99, 99.9, 99.99, 100 };
	const struct kind *marks = kind_of(m, k->tag, HLOG_UNANSWERED);
	struct censored unanswered = { .min = INT64_MAX };
	char text[UNITS_TEXT];

	if (marks)
		unanswered =
			(struct censored){ marks->all->total, marks->all->min };
	fprintf(to, "  %-12s", k->tag[0] != '\0' ? k->tag : "(no tag)");
	for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++)
		print_value(k, &unanswered, percents[i], to);
	fprintf(to, "  %s samples\n", units_count(k->all->total, text));
}

static uint64_t incomplete_count(const struct merge *m)
{
	const struct kind *k = kind_of(m, HLOG_INCOMPLETE, "");

	return k ? k->all->total : 0;
}

static int print_table(const struct merge *m, const char *output)
{
	FILE *to = output_is_standard(output) ? stream_err() : stream_out();
	time_t seconds = (time_t)(m->start / SECOND);
	char length[UNITS_TEXT], date[64] = "", incomplete[64] = "";
	int rc;
	struct tm tm;

	if (incomplete_count(m) > 0)
		snprintf(incomplete, sizeof(incomplete),
			 "INCOMPLETE: %llu of the runs\n",
			 (unsigned long long)incomplete_count(m));
	if (seconds > 0 && gmtime_r(&seconds, &tm))
		strftime(date, sizeof(date), " from %Y-%m-%d %H:%M:%S UTC",
			 &tm);
	fprintf(to,
		"merged  %zu log%s, %s%s\n%s\n"
		"latency            p50     p90     p99   p99.9  p99.99     "
		"max\n",
		m->input_count, m->input_count > 1 ? "s" : "",
		units_time(m->end, length), date, incomplete);
	for (size_t i = 0; i < m->kind_count; i++)
		if (!merge_is_mark(&m->kinds[i]))
			print_kind(m, &m->kinds[i], to);
	rc = cli_flush();
	return rc == CLI_DONE && incomplete[0] ? CLI_FAILED : rc;
}

static void merge_release(struct merge *m)
{
	for (size_t i = 0; i < m->input_count; i++)
		hlog_reader_close(&m->inputs[i].reader);
	free(m->inputs);
	for (size_t i = 0; i < m->kind_count; i++) {
		free(m->kinds[i].all);
		free(m->kinds[i].cell);
	}
	free(m->kinds);
}

static int merge_logs(const char *output, int count, char **paths)
{
	struct merge m = { .writer = NULL };
	int rc;

	if (!hlog_is_available()) {
		cli_error("merge: %s", HLOG_UNAVAILABLE);
		return CLI_USAGE;
	}
	rc = open_inputs(&m, count, paths);
	if (rc == CLI_DONE && is_input("output", output, count, paths))
		rc = CLI_USAGE;
	if (rc == CLI_DONE && output)
		rc = open_output(&m, output);
	if (rc == CLI_DONE)
		rc = add_up(&m);
	if (output && m.writer)
		rc = close_output(&m, output, rc);
	if (rc == CLI_DONE)
		rc = print_table(&m, output);
	merge_release(&m);
	return rc;
}

static int report_runs(void *arg, const struct result *r)
{
	struct merge_options *o = arg;
	const struct output outputs[] = { { "json", o->json, json_write },
					  { "html", o->html, html_write } };
	int status = gates_status(&o->gates, r);
	struct report report;
	size_t saved = 0;
	bool is_taken =
		output_is_standard(o->json) || output_is_standard(o->html);

	report_init(&report, is_taken ? stream_err() : stream_out());
	report.gates = &o->gates;
	for (size_t i = 0; i < 2; i++) {
		const char *path = outputs[i].path;
		int rc = path ? outputs[i].write(path, r, &o->gates) : CLI_DONE;

		if (path && rc == CLI_DONE && !output_is_standard(path))
			report.saved[saved++] = path;
		status = rc > status ? rc : status;
	}
	report_print(&report, r);
	return cli_flush() == CLI_DONE || status > CLI_FAILED ? status
							      : CLI_FAILED;
}

static int merge_runs(struct merge_options *o, int count, char **paths)
{
	struct output outputs[] = { { "json", o->json, json_write },
				    { "html", o->html, html_write } };

	if (o->output) {
		cli_error("--output is for logs; write the sum of results with "
			  "--json");
		return CLI_USAGE;
	}
	if (is_input("json", o->json, count, paths) ||
	    is_input("html", o->html, count, paths) ||
	    !outputs_check(outputs, 2))
		return CLI_USAGE;
	return load_merge_runs(paths, (size_t)count, report_runs, o);
}

/* A result is an object of JSON, which no line of a log begins like. */
static bool is_result(const char *path)
{
	FILE *f = fopen(path, "re");
	int first = f ? getc(f) : EOF;

	if (f)
		fclose(f);
	return first == '{';
}

static bool has_result_options(const struct merge_options *o)
{
	return o->gates.count > 0 || o->gates.needs_trust || o->json || o->html;
}

/* A pipe cannot be read twice; beside files it has what they have. */
static bool are_results(const struct merge_options *o, int count, char **paths)
{
	struct stat st;

	for (int i = 0; i < count; i++)
		if (stat(paths[i], &st) < 0 || S_ISREG(st.st_mode))
			return is_result(paths[i]);
	return has_result_options(o);
}

int load_merge(int argc, char **argv)
{
	struct merge_options o = { .output = NULL };
	int rc = options_parse(&merge_syntax, &o, argc, argv);

	if (rc >= 0)
		return rc;
	if (are_results(&o, argc - optind, argv + optind))
		return merge_runs(&o, argc - optind, argv + optind);
	if (has_result_options(&o)) {
		cli_error("--gate, --strict, --json and --html are for results "
			  "of --json; a log has only latencies");
		return CLI_USAGE;
	}
	return merge_logs(o.output, argc - optind, argv + optind);
}
