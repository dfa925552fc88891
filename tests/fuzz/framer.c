/* SPDX-License-Identifier: MIT */
/*
 * A line with a form of --expect, then replies of any bytes.  Where they end
 * does not depend on how they are cut.
 */
#include "fuzz.h"

#include "../../client/load/engine/framer.h"

const char fuzz_corpus[] = "framer";

/* What a reader has found so far. */
struct reading {
	struct framing framing;
	size_t ends, last_end, at;
	bool is_wrong;
};

static void read_some(struct reading *r, const struct framer *f,
		      const char *data, size_t len)
{
	while (len > 0 && !r->is_wrong) {
		size_t used = 0;
		enum framer_result result =
			framer_take(f, &r->framing, data, len, &used);

		REQUIRE(used > 0 && used <= len);
		REQUIRE(result != FRAMER_MORE || used == len);
		data += used;
		len -= used;
		r->at += used;
		r->is_wrong = result == FRAMER_WRONG;
		if (result != FRAMER_END)
			continue;
		REQUIRE(!framer_ends_with_input(f, &r->framing));
		r->framing = (struct framing){ .used = 0 };
		r->ends++;
		r->last_end = r->at;
	}
}

static void check_cuts(const struct framer *f, const char *data, size_t len)
{
	struct reading whole = { .ends = 0 }, bytes = { .ends = 0 };

	read_some(&whole, f, data, len);
	for (size_t i = 0; i < len; i++)
		read_some(&bytes, f, data + i, 1);
	REQUIRE(whole.ends == bytes.ends && whole.last_end == bytes.last_end);
	REQUIRE(whole.is_wrong == bytes.is_wrong);
	REQUIRE(whole.is_wrong ||
		framer_ends_with_input(f, &whole.framing) ==
			framer_ends_with_input(f, &bytes.framing));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
	char form[300] = "";
	struct framer f;

	if (!newline || (size_t)(newline - data) >= sizeof(form))
		return 0;
	memcpy(form, data, (size_t)(newline - data));
	if (framer_parse(&f, form))
		check_cuts(&f, (const char *)newline + 1,
			   size - (size_t)(newline + 1 - data));
	return 0;
}
