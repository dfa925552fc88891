/* SPDX-License-Identifier: MIT */
/*
 * Access rules.  Any text is refused with a reason or makes rules; these decide
 * about every address, and the same rules written with comments and blanks
 * decide alike.
 */
#include "fuzz.h"

#include <errno.h>

#include "access.h"
#include "weir.h"

const char fuzz_corpus[] = "access";

static const struct wr_network addresses[] = {
	{ .family = AF_INET, .bits = 32 },
	{ .family = AF_INET, .bits = 32, .at = { 10, 0, 0, 1 } },
	{ .family = AF_INET, .bits = 32, .at = { 127, 0, 0, 1 } },
	{ .family = AF_INET, .bits = 32, .at = { 255, 255, 255, 255 } },
	{ .family = AF_INET6, .bits = 128 },
	{ .family = AF_INET6, .bits = 128, .at = { 0x20, 1, 0xd, 0xb8 } },
	{ .family = AF_INET6, .bits = 128, .at = { [15] = 1 } },
	{ .family = AF_INET6, .bits = 128, .at = { 0xff, 0xff, [15] = 0xff } },
};

/* The text with a comment behind each line and a blank in front. */
static char *spaced(const char *text)
{
	char *ret = malloc(strlen(text) * 5 + 8), *to = ret;

	REQUIRE(ret != NULL);
	*to++ = ' ';
	for (; *text; text++) {
		if (*text == '\n')
			to += sprintf(to, " # x");
		*to++ = *text;
	}
	*to = '\0';
	return ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size), *same = spaced(text);
	weir_access *a = NULL, *b = NULL;
	char why[200] = "";
	int rc = weir_access_new(&a, text, why, sizeof(why));

	REQUIRE(rc == 0 || rc == -EINVAL);
	REQUIRE((rc == 0) == (a != NULL) && (rc == 0) == (why[0] == '\0'));
	if (rc == 0 && weir_access_new(&b, same, NULL, 0) == 0) {
		for (size_t i = 0; i < wr_array_len(addresses); i++)
			REQUIRE(wr_access_of_ip(a, &addresses[i]) ==
				wr_access_of_ip(b, &addresses[i]));
		REQUIRE(wr_access_of_unix(a, -1) <= WR_ACCESS_EXEMPT);
	}
	weir_access_unref(a);
	weir_access_unref(b);
	free(same);
	free(text);
	return 0;
}
