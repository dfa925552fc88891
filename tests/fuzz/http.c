/* SPDX-License-Identifier: MIT */
/*
 * The head of an HTTP request, of any bytes.  What is accepted must be a
 * request by a simpler reading: the request line up to its two spaces, and no
 * line that ends in anything but CR LF.
 */
#include "fuzz.h"

#include "../../server/status/http.h"

const char fuzz_corpus[] = "http";

static bool is_inside(const char *s, const char *from, size_t size)
{
	return *s == '\0' || (s >= from && s < from + size);
}

/* With zero bytes behind it, and nothing more that may be read. */
static char *copy_of(const uint8_t *data, size_t size, size_t zeros)
{
	char *copy = malloc(size + zeros > 0 ? size + zeros : 1);

	REQUIRE(copy);
	if (size > 0)
		memcpy(copy, data, size);
	memset(copy + size, 0, zeros);
	return copy;
}

/* Of a head that was accepted. */
static void check_accepted(const struct http_request *r, const char *text,
			   size_t size)
{
	const char *target = r->is_head ? text + 5 : text + 4;
	char line_end = '\0';

	REQUIRE(memcmp(text, r->is_head ? "HEAD " : "GET ",
		       r->is_head ? 5 : 4) == 0);
	REQUIRE(size >= 18 && memcmp(text + size - 4, "\r\n\r\n", 4) == 0);
	REQUIRE(memmem(text, size, "\r\n\r\n", 4) == text + size - 4);
	for (size_t i = 0; i < size; i++) {
		REQUIRE((text[i] == '\n') == (line_end == '\r'));
		REQUIRE(text[i] != '\0');
		line_end = text[i];
	}
	REQUIRE(r->path[0] == '/' && !strpbrk(r->path, " ?#\r\n"));
	REQUIRE(strstr(target, r->path) && strstr(target, r->query));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = copy_of(data, size, 1), *head = copy_of(data, size, 0);
	struct http_request r;
	int status = http_parse(&r, head, size);

	REQUIRE(strcmp(http_reason(status), "Internal Server Error") != 0);
	REQUIRE(is_inside(r.path, head, size) &&
		is_inside(r.query, head, size));
	REQUIRE(status == 200 || !r.keeps_alive);
	if (status == 200)
		check_accepted(&r, text, size);
	free(head);
	free(text);
	return 0;
}
