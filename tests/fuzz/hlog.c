/* SPDX-License-Identifier: MIT */
/*
 * Histogram logs.  The first byte says what the rest is: a log; what a
 * histogram has inside, packed and written as a line here, because no
 * checksum and no base64 comes out right by chance; or, parted by a byte
 * 0x1e, two logs to be merged.
 */
#include "fuzz.h"

#include <getopt.h>

#include "../../cli/cli.h"
#include "../../client/load/load.h"
#include "../../client/load/measure/hlog.h"

const char fuzz_corpus[] = "hlog";

static void check_histogram(const struct histogram *h)
{
	uint64_t total = 0;

	for (size_t i = 0; i < HISTOGRAM_SLOTS; i++)
		total += h->counts[i];
	REQUIRE(total == h->total);
	if (total == 0)
		return;
	REQUIRE(h->min >= 0 && h->min <= h->max);
	REQUIRE(h->max <= HISTOGRAM_HIGHEST);
	REQUIRE(histogram_percentile(h, 50) <= histogram_percentile(h, 99.9));
}

/* What was read is written and read again: the same. */
static void check_again(const struct histogram *h)
{
	struct histogram *again = calloc(1, sizeof(*again));
	char *text = hlog_encode(h);

	REQUIRE(again && text);
	REQUIRE(!hlog_decode(again, text, strlen(text)));
	REQUIRE(again->total == h->total);
	REQUIRE(memcmp(again->counts, h->counts, sizeof(h->counts)) == 0);
	free(text);
	free(again);
}

static void read_log(const uint8_t *data, size_t size)
{
	struct fuzz_file file;
	struct hlog_reader r;
	int rc, lines = 0;

	fuzz_file_make(&file, data, size);
	REQUIRE(hlog_open(&r, file.path) == 0);
	while ((rc = hlog_next(&r)) > 0) {
		REQUIRE(strlen(r.tag) < HLOG_TAG && r.length >= 0);
		check_histogram(r.values);
		if (lines++ == 0)
			check_again(r.values);
	}
	REQUIRE(rc == 0 || r.wrong);
	hlog_reader_close(&r);
	fuzz_file_close(&file);
}

static void merge_logs(const uint8_t *data, size_t size)
{
	const uint8_t *cut = size > 0 ? memchr(data, 0x1e, size) : NULL;
	size_t len = cut ? (size_t)(cut - data) : size;
	struct fuzz_file a, b;
	char *argv[] = { (char[]){ "merge" }, a.path, b.path, NULL };
	const char *heard;
	int status;

	fuzz_file_make(&a, data, len);
	fuzz_file_make(&b, cut ? cut + 1 : data, cut ? size - len - 1 : len);
	optind = 0;
	fuzz_listen();
	status = load_merge(3, argv);
	heard = fuzz_heard();
	REQUIRE(status == CLI_DONE || status == CLI_USAGE);
	if (status == CLI_USAGE)
		REQUIRE(fuzz_is_one_line(heard));
	fuzz_file_close(&a);
	fuzz_file_close(&b);
}

static void put32(uint8_t *to, size_t number)
{
	for (int i = 3; i >= 0; i--, number >>= 8)
		to[i] = (uint8_t)number;
}

static size_t put_base64(char *to, const uint8_t *from, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"
				     "ghijklmnopqrstuvwxyz0123456789+/";
	size_t used = 0;

	for (size_t i = 0; i < len; i += 3) {
		unsigned bits = 0;

		for (size_t k = 0; k < 3; k++)
			bits = bits << 8 | (i + k < len ? from[i + k] : 0u);
		for (size_t k = 0; k < 4; k++)
			to[used++] =
				i + k > len ? '='
					    : digits[bits >> (18 - 6 * k) & 63];
	}
	return used;
}

/* The lengths are put right, the rest is as it comes. */
static void read_inner(const uint8_t *data, size_t size)
{
	static const char begin[] = "Tag=a,0.1,1.0,5,";
	uint8_t *inner = malloc(size + 1), *packed, *outer;
	size_t len, at = sizeof(begin) - 1;
	char *line;

	REQUIRE(inner);
	memcpy(inner, data, size);
	if (size >= 40) {
		put32(inner, 0x1c849313);
		put32(inner + 4, size - 40);
	}
	REQUIRE(hlog_zip(&packed, &len, inner, size) == 0);
	outer = malloc(len + 8);
	line = malloc(at + (len + 10) / 3 * 4 + 1);
	REQUIRE(outer && line);
	put32(outer, 0x1c849314);
	put32(outer + 4, len);
	memcpy(outer + 8, packed, len);
	memcpy(line, begin, at);
	at += put_base64(line + at, outer, len + 8);
	line[at++] = '\n';
	read_log((const uint8_t *)line, at);
	free(inner);
	free(packed);
	free(outer);
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || !hlog_is_available())
		return 0;
	switch (data[0] % 3) {
	case 0:
		read_log(data + 1, size - 1);
		break;
	case 1:
		read_inner(data + 1, size - 1);
		break;
	default:
		merge_logs(data + 1, size - 1);
	}
	return 0;
}
