/* SPDX-License-Identifier: MIT */
/*
 * Two results that compare is to hold against each other: the file before
 * the first byte 0x1e and the one after it; without one, the same twice.
 */
#include "fuzz.h"

#include <getopt.h>

#include "../../cli/cli.h"
#include "../../client/load/load.h"
#include "../../client/load/options.h"

const char fuzz_corpus[] = "json";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *cut = size > 0 ? memchr(data, 0x1e, size) : NULL;
	size_t len = cut ? (size_t)(cut - data) : size;
	struct fuzz_file old, new;
	char *argv[] = { (char[]){ "compare" }, (char[]){ "--fail-if-worse" },
			 old.path, new.path, NULL };
	const char *heard;
	int status;

	fuzz_file_make(&old, data, len);
	if (cut)
		fuzz_file_make(&new, cut + 1, size - len - 1);
	else
		fuzz_file_make(&new, data, len);
	optind = 0;
	fuzz_listen();
	status = load_compare(4, argv);
	heard = fuzz_heard();
	if (status == CLI_USAGE)
		REQUIRE(fuzz_is_one_line(heard));
	else
		/* Failed: the files do not tell whether it is worse. */
		REQUIRE((status == CLI_DONE || status == CLI_FAILED ||
			 status == LOAD_GATE_FAILED) &&
			*heard == '\0');
	fuzz_file_close(&old);
	fuzz_file_close(&new);
	return 0;
}
