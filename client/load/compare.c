/* SPDX-License-Identifier: MIT */
/* The command load compare. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "load.h"

#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef HAVE_JANSSON
#include <jansson.h>
#endif

#include "../../cli/cli.h"
#include "../../cli/stream.h"
#include "../../cli/text.h"
#include "../options.h"
#include "judge/compare.h"
#include "measure/units.h"
#include "options.h"
#include "report/json.h"

enum { KEY_FAIL = 256, KEY_MARGIN };

struct compare_options {
	bool is_failing;
	double margin;
};

static const struct cli_option compare_table[] = {
	{ "fail-if-worse", KEY_FAIL, NULL,
	  "exit status 3 if anything is worse" },
	{ "margin", KEY_MARGIN, "PERCENT",
	  "the smallest difference that counts\n"
	  "(default 5)" },
	OPTIONS_HELP,
	OPTIONS_VERSION,
	{ .name = NULL },
};

static const struct options_operand compare_operands[] = {
	{ "OLD.json", "the first file", "old.json" },
	{ "NEW.json", "the second file", "new.json" },
	{ .name = NULL },
};

static bool compare_take_option(void *to, int key)
{
	struct compare_options *o = to;
	char *end;

	if (key == KEY_FAIL) {
		o->is_failing = true;
		return true;
	}
	o->margin = strtod(optarg, &end) / 100;
	if (*optarg >= '0' && *optarg <= '9' && *end == '\0' && o->margin < 10)
		return true;
	cli_error("--margin: '%s' is not a number of percent like 5 or 2.5",
		  optarg);
	return false;
}

static const struct options_syntax compare_syntax = {
	.command = "load compare",
	.about = "Compare two runs by their --json files." JSON_NOTE,
	.operands = compare_operands,
	.table = compare_table,
	.examples = "  weir-client load compare old.json new.json\n",
	.take = compare_take_option,
	.is_local = true,
};

#ifdef HAVE_JANSSON

/* The value at "a.b"; not for names of metrics, which have dots. */
static const json_t *field(const json_t *object, const char *path)
{
	char name[32];

	while (object && *path) {
		size_t len = strcspn(path, ".");

		snprintf(name, sizeof(name), "%.*s", (int)len, path);
		object = json_object_get(object, name);
		path += len + (path[len] == '.');
	}
	return object;
}

static const char *compare_text(const json_t *object, const char *path)
{
	const char *value = json_string_value(field(object, path));

	return value ? value : "";
}

static json_t *load_file(const char *path)
{
	json_error_t error;
	json_t *file = json_load_file(path, 0, &error);

	if (!file && error.line < 0) {
		cli_error("%s", error.text); /* contains the path */
		return NULL;
	}
	if (file && strcmp(compare_text(file, "schema"), JSON_SCHEMA) == 0 &&
	    json_integer_value(field(file, "version")) == JSON_VERSION &&
	    json_is_object(field(file, "plan")) &&
	    json_is_object(field(file, "metrics")) &&
	    json_is_array(field(file, "seconds")))
		return file;
	json_decref(file);
	cli_error("%s: not written by weir-client load --json", path);
	return NULL;
}

/* These may differ between the runs. */
static bool is_free(const char *path)
{
	return strcmp(path, "plan.address") == 0 ||
	       strcmp(path, "plan.seed") == 0;
}

static void complain_difference(const char *path, const json_t *old,
				const json_t *new)
{
	char *a = old ? json_dumps(old, JSON_ENCODE_ANY) : NULL;
	char *b = new ? json_dumps(new, JSON_ENCODE_ANY) : NULL;

	cli_error("the runs cannot be compared: %s is %s in the first and %s "
		  "in the second",
		  path, a ? a : "absent", b ? b : "absent");
	free(a);
	free(b);
}

static bool compare_is_same_plan(const char *path, const json_t *old,
				 const json_t *new)
{
	const char *key;
	json_t *value;
	char name[128];

	if (is_free(path) || json_equal(old, new))
		return true;
	if (!json_is_object(old) || !json_is_object(new)) {
		complain_difference(path, old, new);
		return false;
	}
	json_object_foreach((json_t *)old, key, value)
	{
		snprintf(name, sizeof(name), "%s.%s", path, key);
		if (!compare_is_same_plan(name, value,
					  json_object_get(new, key)))
			return false;
	}
	return true;
}

struct row {
	const char *name;
	const char *second;
	bool is_less_better;
	bool is_per_second;
};

static const struct row messages[] = {
	{ "rate", "answered", false, true },
	{ "p50", "p50_ns", true, false },
	{ "p90", "p90_ns", true, false },
	{ "p99", "p99_ns", true, false },
	{ "p99.9", "p99.9_ns", true, false },
	{ "max", "max_ns", true, false },
	{ .name = NULL },
};
static const struct row upload[] = {
	{ "bytes-out", "bytes_out", false, true },
	{ .name = NULL },
};
static const struct row download[] = {
	{ "bytes-in", "bytes_in", false, true },
	{ .name = NULL },
};

static const struct row *rows_of(const json_t *file)
{
	const char *mode = compare_text(file, "plan.mode");

	if (strcmp(mode, "upload") == 0)
		return upload;
	return strcmp(mode, "download") == 0 ? download : messages;
}

static bool is_at_least(const json_t *second, const char *name)
{
	const json_t *value;
	size_t i;

	json_array_foreach(json_object_get(second, "at_least"), i, value)
	{
		if (json_is_string(value) &&
		    strcmp(json_string_value(value), name) == 0)
			return true;
	}
	return false;
}

/*
 * The drain and a short last second are left out, and so are values that no run
 * can have.
 */
static int get_series(struct series *ret, const json_t *file,
		      const struct row *row)
{
	const json_t *seconds = field(file, "seconds");
	size_t count = json_array_size(seconds);

	*ret = (struct series){
		.values = calloc(count + 1, sizeof(*ret->values)),
		.is_more = calloc(count + 1, sizeof(*ret->is_more)),
	};
	if (!ret->values || !ret->is_more)
		return -1;
	for (size_t i = 0; i < count; i++) {
		const json_t *s = json_array_get(seconds, i);
		const json_t *value = json_object_get(s, row->second);
		double length =
			json_number_value(json_object_get(s, "length_ns"));
		double number = json_number_value(value);

		if (!json_is_number(value) || number < 0 || number > 1e18 ||
		    length < 5e8 || json_is_true(json_object_get(s, "drain")))
			continue;
		ret->is_more[ret->count] = is_at_least(s, row->second);
		ret->values[ret->count++] =
			number * (row->is_per_second ? 1e9 / length : 1);
	}
	return 0;
}

static const char *figure_text(const struct row *row, double number,
			       bool is_more, char buf[UNITS_TEXT + 1])
{
	buf[0] = '>';
	if (isnan(number))
		return "-";
	if (strncmp(row->name, "bytes", 5) == 0)
		return units_bytes_rate(number, buf);
	if (row->is_per_second)
		return units_count((uint64_t)units_whole(number + 0.5), buf);
	units_time(units_whole(number), buf + is_more);
	return buf;
}

static void compare_print_row(const struct row *row, const struct comparison *c)
{
	char a[UNITS_TEXT + 1], b[UNITS_TEXT + 1];
	bool is_judged = c->low != 0 || c->high != 0 || c->p < 1;

	stream_print("  %-8s %10s %10s", row->name,
		     figure_text(row, c->old, c->is_old_more, a),
		     figure_text(row, c->new, c->is_new_more, b));
	if (is_judged)
		stream_print(" %+6.1f%% %+6.1f%% to %+6.1f%%", 100 * c->shift,
			     100 * c->low, 100 * c->high);
	else
		stream_print(" %7s %18s", "-", "-");
	stream_print("  %s\n", compare_words[c->word]);
}

struct findings {
	bool is_worse, is_unknown;
};

static int print_rows(const json_t *old, const json_t *new, double margin,
		      struct findings *found)
{
	for (const struct row *row = rows_of(old); row->name; row++) {
		struct series a = { .values = NULL }, b = { .values = NULL };
		struct comparison c;
		int rc = get_series(&a, old, row);

		if (rc == 0)
			rc = get_series(&b, new, row);
		if (rc == 0)
			rc = compare_series(&c, &a, &b, row->is_less_better,
					    margin);
		free(a.values);
		free(a.is_more);
		free(b.values);
		free(b.is_more);
		if (rc != 0) {
			cli_error("out of memory");
			return CLI_FAILED;
		}
		found->is_worse = found->is_worse || c.word == COMPARE_WORSE;
		found->is_unknown = found->is_unknown ||
				    c.word == COMPARE_SHORT ||
				    c.word == COMPARE_BOUND;
		compare_print_row(row, &c);
	}
	return CLI_DONE;
}

/* A file may have any number. */
static uint64_t count_of(const json_t *file, const char *name)
{
	double value = json_number_value(
		json_object_get(field(file, "metrics"), name));

	return (uint64_t)units_whole(fmax(value, 0));
}

static void print_not_good(const char *when, const json_t *file)
{
	char count[UNITS_TEXT], all[UNITS_TEXT];
	uint64_t bad = count_of(file, "bad") + count_of(file, "wrong");

	stream_print("%s of %s %s", units_count(bad, count),
		     units_count(count_of(file, "answered"), all), when);
}

/* They are counted for the whole run, so no word judges them. */
static void print_bad_replies(const json_t *old, const json_t *new)
{
	if (count_of(old, "bad") == 0 && count_of(old, "wrong") == 0 &&
	    count_of(new, "bad") == 0 && count_of(new, "wrong") == 0)
		return;
	stream_print("\nReplies that were not good: ");
	print_not_good("in the old run, ", old);
	print_not_good("in the new one.\n", new);
}

static bool is_incomplete(const json_t *file)
{
	return json_is_true(field(file, "run.cut")) ||
	       json_is_true(field(file, "run.incomplete"));
}

#define TARGET_TEXT 512

static void print_run(const char *label, const char *path, const json_t *file)
{
	const char *target = compare_text(file, "run.target");
	const char *verdict = compare_text(file, "verdict.verdict");
	char to[TARGET_TEXT], word[64];
	const char *note = "";

	cli_escape(to, sizeof(to), target, strlen(target), CLI_KEEP_UTF8);
	cli_escape(word, sizeof(word), verdict, strlen(verdict), CLI_KEEP_UTF8);
	if (json_is_true(field(file, "run.cut")))
		note = "   CUT SHORT";
	else if (json_is_true(field(file, "run.ended_early")))
		note = "   ENDED EARLY";
	else if (is_incomplete(file))
		note = "   INCOMPLETE";
	stream_print("%-12s %s   %s   %s%s\n", label, path, to, word, note);
}

static int compare_files(const struct compare_options *o, char **paths)
{
	json_t *old = load_file(paths[0]);
	json_t *new = old ? load_file(paths[1]) : NULL;
	char margin[UNITS_TEXT];
	struct findings found = { .is_worse = false };
	int status = CLI_USAGE;

	if (new &&compare_is_same_plan("plan", field(old, "plan"),
				       field(new, "plan"))) {
		print_run("old", paths[0], old);
		print_run("new", paths[1], new);
		stream_print("\n%-10s %10s %10s %7s %18s\n", "", "old", "new",
			     "change", "95% interval");
		status = print_rows(old, new, o->margin, &found);
		print_bad_replies(old, new);
		stream_print(
			"\nThe figures are of the median second.  Changes are "
			"estimated by rank; those\n"
			"below %s do not count.\n",
			units_percent(100 * o->margin, 3, margin));
	}
	if (status == CLI_DONE && o->is_failing) {
		if (found.is_worse)
			status = LOAD_GATE_FAILED;
		else if (found.is_unknown || is_incomplete(old) ||
			 is_incomplete(new))
			status = CLI_FAILED;
	}
	json_decref(old);
	json_decref(new);
	return status;
}

#else

static int compare_files(const struct compare_options *o, char **paths)
{
	(void)o;
	(void)paths;
	cli_error("compare: %s", JSON_UNAVAILABLE);
	return CLI_USAGE;
}

#endif

int load_compare(int argc, char **argv)
{
	struct compare_options o = { .margin = 0.05 };
	int status = options_parse(&compare_syntax, &o, argc, argv), flushed;

	if (status >= 0)
		return status;
	status = compare_files(&o, argv + optind);
	flushed = cli_flush();
	return flushed != CLI_DONE ? flushed : status;
}
