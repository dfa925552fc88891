/* SPDX-License-Identifier: MIT */
/*
 * Our side of test_hlog_reader.py.
 *
 *   hlog_tool write FILE STARTED-MS < "TAG SECOND NS" in order of the seconds
 *   hlog_tool percentiles FILE TAG < percentages, a line of text each
 *
 * The second answers a value for each, over all intervals of the tag.  Exits
 * with 77 in a build that has no zlib.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../client/load/measure/hlog.h"

#define SECOND INT64_C(1000000000)

struct kind {
	char tag[HLOG_TAG];
	struct histogram values;
};

static struct kind *kinds[8];

static struct histogram *find(const char *tag)
{
	size_t i = 0;

	while (i < 7 && kinds[i] && strcmp(kinds[i]->tag, tag) != 0)
		i++;
	if (!kinds[i]) {
		kinds[i] = calloc(1, sizeof(*kinds[i]));
		if (!kinds[i])
			abort();
		snprintf(kinds[i]->tag, HLOG_TAG, "%s", tag);
	}
	return &kinds[i]->values;
}

static void end_second(struct hlog_writer *w, int64_t second)
{
	for (size_t i = 0; i < 8 && kinds[i]; i++) {
		hlog_write(w, kinds[i]->tag, second * SECOND, SECOND,
			   &kinds[i]->values);
		histogram_clear(&kinds[i]->values);
	}
}

static int write_log(const char *path, const char *started)
{
	int64_t second, now = 0, ns;
	struct hlog_writer *w;
	char tag[HLOG_TAG];

	if (hlog_create(&w, path) < 0)
		return 1;
	hlog_begin(w, atoll(started) * 1000000, "a test");
	while (scanf("%63s %" SCNd64 " %" SCNd64, tag, &second, &ns) == 3) {
		for (; now < second; now++)
			end_second(w, now);
		histogram_record(find(tag), ns);
	}
	end_second(w, now);
	return hlog_close(w) < 0;
}

static int print_percentiles(const char *path, const char *tag)
{
	struct histogram *all = find(tag);
	struct hlog_reader r;
	double percent;
	int rc;

	if (hlog_open(&r, path) < 0)
		return 1;
	while ((rc = hlog_next(&r)) > 0)
		if (strcmp(r.tag, tag) == 0)
			histogram_add(all, r.values);
	hlog_reader_close(&r);
	while (scanf("%lf", &percent) == 1)
		printf("%" PRId64 "\n", histogram_percentile(all, percent));
	return rc < 0;
}

int main(int argc, char **argv)
{
	int rc = 2;

	if (!hlog_is_available())
		return 77;
	if (argc == 4 && strcmp(argv[1], "write") == 0)
		rc = write_log(argv[2], argv[3]);
	else if (argc == 4 && strcmp(argv[1], "percentiles") == 0)
		rc = print_percentiles(argv[2], argv[3]);
	for (size_t i = 0; i < 8; i++)
		free(kinds[i]);
	return rc;
}
