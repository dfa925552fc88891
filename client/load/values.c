/* SPDX-License-Identifier: MIT */
/*
 * The values of the options of load, checked where they are read.
 */
#include "values.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../cli/cli.h"
#include "../../cli/text.h"

#define MS	    INT64_C(1000000)
#define MESSAGE_MAX (1 << 26)
#define FOREVER	    INT64_MAX

/* A number that is not below 0, "20k" "1.5M". */
static bool parse_count(const char *text, double *ret)
{
	char *end;

	if (strspn(text, "0123456789.") == 0)
		return false;
	*ret = strtod(text, &end);
	if (end == text || strspn(text, "0123456789.") < (size_t)(end - text))
		return false;
	if (*end == 'k')
		*ret *= 1e3, end++;
	else if (*end == 'M')
		*ret *= 1e6, end++;
	return *end == '\0';
}

bool value_number(const char *name, int min, int max, int *ret)
{
	if (cli_parse_number(optarg, min, max, ret))
		return true;
	cli_error("--%s: '%s' is not a number from %d to %d", name, optarg, min,
		  max);
	return false;
}

bool value_rate(const char *name, double *ret)
{
	if (parse_count(optarg, ret) && *ret >= 0.001 && *ret <= 1e8)
		return true;
	cli_error("--%s: '%s' is not a number a second like 500, 20k or 1.5M",
		  name, optarg);
	return false;
}

bool value_count(uint64_t *ret)
{
	double value, whole;

	/* 4.35k has no exact form. */
	if (parse_count(optarg, &value) && value >= 1 && value <= 1e15 &&
	    fabs(value - (whole = round(value))) <= 1e-12 * value) {
		*ret = (uint64_t)whole;
		return true;
	}
	cli_error("--count: '%s' is not a whole number like 1000, 20k or 1M",
		  optarg);
	return false;
}

bool value_duration(const char *name, int64_t *ret)
{
	int ms;

	if (cli_parse_duration(optarg, &ms)) {
		*ret = ms < 0 ? FOREVER : ms * MS;
		return true;
	}
	cli_error("--%s: '%s' is not a duration like 500ms, 10s, 2m, 1h "
		  "(up to 596h) or never",
		  name, optarg);
	return false;
}

bool value_seed(uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(optarg, &end, 10);
	/* JSON has no greater ones. */
	if (*optarg >= '0' && *optarg <= '9' && *end == '\0' && errno == 0 &&
	    *ret <= INT64_MAX)
		return true;
	cli_error("--seed: '%s' is not a whole number from 0 to %" PRId64,
		  optarg, INT64_MAX);
	return false;
}

/* N or N-M */
bool value_size(struct plan *p)
{
	char min[16] = "";
	const char *dash = strchr(optarg, '-');
	const char *max = dash ? dash + 1 : optarg;
	size_t len = dash ? (size_t)(dash - optarg) : strlen(optarg);
	int low, high;

	if (len < sizeof(min))
		snprintf(min, sizeof(min), "%.*s", (int)len, optarg);
	if (!cli_parse_number(min, 1, MESSAGE_MAX, &low) ||
	    !cli_parse_number(max, low, MESSAGE_MAX, &high)) {
		cli_error("--size: '%s' is not a size like 64, nor a range "
			  "like 64-1024, up to %d bytes",
			  optarg, MESSAGE_MAX);
		return false;
	}
	p->size_min = (size_t)low;
	p->size_max = (size_t)high;
	return true;
}

bool value_close(struct plan *p)
{
	p->close_by_reset = strcmp(optarg, "rst") == 0;
	if (p->close_by_reset || strcmp(optarg, "fin") == 0)
		return true;
	cli_error("--close: '%s' is neither fin nor rst", optarg);
	return false;
}

bool value_expect(struct plan *p)
{
	static const char *const names[] = { "echo", "reply", "any", NULL,
					     "line" };
	int len;

	for (int i = 0; i <= EXPECT_LINE; i++)
		if (names[i] && strcmp(optarg, names[i]) == 0) {
			p->expect = (enum plan_expect)i;
			return true;
		}
	if (strncmp(optarg, "len:", 4) == 0 &&
	    cli_parse_number(optarg + 4, 1, MESSAGE_MAX, &len)) {
		p->expect = EXPECT_LEN;
		p->expect_len = (size_t)len;
		return true;
	}
	cli_error("--expect: '%s' is none of echo, reply, any, len:N (1 to %d) "
		  "and line",
		  optarg, MESSAGE_MAX);
	return false;
}

bool value_banner(struct plan *p)
{
	static const char *const names[] = { "none", "any", "line" };

	for (int i = 0; i <= BANNER_LINE; i++)
		if (strcmp(optarg, names[i]) == 0) {
			p->banner = (enum plan_banner)i;
			return true;
		}
	if (strncmp(optarg, "text:", 5) == 0 && optarg[5]) {
		p->banner = BANNER_TEXT;
		p->banner_text = optarg + 5;
		return true;
	}
	cli_error("--banner: '%s' is none of none, any, line and text:T",
		  optarg);
	return false;
}

/* KIND:N,KIND:N */
bool value_misfits(struct plan *p)
{
	const char *at = optarg;

	for (;;) {
		size_t len = strcspn(at, ":,");
		char number[12] = "";
		size_t digits = at[len] == ':' ? strcspn(at + len + 1, ",") : 0;
		int kind = 0, count = 0;

		while (kind < MISFIT_KINDS &&
		       (strlen(misfit_names[kind]) != len ||
			memcmp(at, misfit_names[kind], len) != 0))
			kind++;
		if (digits < sizeof(number))
			memcpy(number, at + len + 1, digits);
		if (kind == MISFIT_KINDS ||
		    !cli_parse_number(number, 1,
				      VALUE_LINKS_MAX - p->misfits[kind],
				      &count)) {
			cli_error(
				"--with: '%s' is not like slow-read:50, with "
				"at most %d of a kind; there are slow-read, "
				"drip, half-close, reset, idle, flood, vanish",
				at, VALUE_LINKS_MAX);
			return false;
		}
		p->misfits[kind] += count;
		at += len + 1 + digits;
		if (*at++ == '\0')
			return true;
	}
}

bool value_sources(struct load_options *o)
{
	char *rest, *word;

	free(o->sources_text);
	o->plan.source_count = 0;
	o->sources_text = rest = strdup(optarg);
	while (rest && (word = strsep(&rest, ",")) != NULL) {
		if (o->plan.source_count == SOURCES_MAX || !*word) {
			cli_error("--source: '%s' is not a list of up to %d "
				  "addresses like 127.0.0.2,127.0.0.3",
				  optarg, SOURCES_MAX);
			return false;
		}
		o->sources[o->plan.source_count++] = word;
	}
	o->plan.sources = o->sources;
	return true;
}

static bool set_text(struct load_options *o, char *text, size_t len)
{
	free(o->text);
	o->text = text;
	o->plan.payload = PAYLOAD_TEXT;
	o->plan.text = text;
	o->plan.size_min = o->plan.size_max = len;
	return text;
}

bool value_text(struct load_options *o)
{
	if (*optarg)
		return set_text(o, strdup(optarg), strlen(optarg));
	cli_error("--text: an empty message cannot be sent");
	return false;
}

bool value_file(struct load_options *o)
{
	FILE *f = fopen(optarg, "re");
	char *data = f ? malloc(MESSAGE_MAX) : NULL;
	size_t len = data ? fread(data, 1, MESSAGE_MAX, f) : 0;
	bool is_read = data && !ferror(f) && getc(f) == EOF;

	if (f)
		fclose(f);
	if (is_read && len > 0) {
		char *fit = realloc(data, len);

		if (fit)
			data = fit;
		return set_text(o, data, len);
	}
	free(data);
	cli_error(
		"--payload-file: '%s' is not a file that can be read, of 1 to "
		"%d bytes",
		optarg, MESSAGE_MAX);
	return false;
}

bool value_mode(struct load_options *o, enum plan_mode mode)
{
	if (o->plan.mode == PLAN_EXCHANGE || o->plan.mode == mode) {
		o->plan.mode = mode;
		return true;
	}
	cli_error("--churn, --upload and --download contradict each other; "
		  "leave all but one out");
	return false;
}
