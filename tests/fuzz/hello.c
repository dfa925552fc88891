/* SPDX-License-Identifier: MIT */
/*
 * The gate in front of TLS, with any bytes: what it says of a beginning holds
 * for all that follows, a record is whole at its last byte and not before, and
 * what is refused cannot become a hello.
 */
#include "hello.h"

#include <errno.h>

#include "fuzz.h"

const char fuzz_corpus[] = "hello";

/* The bytes are in memory of exactly their length. */
static int check_copy(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	int rc;

	REQUIRE(copy);
	memcpy(copy, data, len);
	rc = tls_hello_check(copy, len);
	free(copy);
	REQUIRE(rc == 0 || rc == 1 || rc == -EPROTO);
	return rc;
}

/* As RFC 8446 5.1 says, of a record whose header and first byte are there. */
static bool may_be_hello(const uint8_t *data)
{
	size_t body = (size_t)data[3] * 256 + data[4];

	return data[0] == 0x16 && data[1] == 3 && data[2] <= 4 && body >= 1 &&
	       body <= 16640 && data[5] == 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int told = 0;

	for (size_t len = 0; len <= size; len++) {
		int rc = check_copy(data, len);

		REQUIRE(told == 0 || rc == told);
		if (rc == 1 && told == 0)
			REQUIRE(len == 5 + (size_t)data[3] * 256 + data[4]);
		if (len > 5)
			REQUIRE((rc == -EPROTO) != may_be_hello(data));
		told = rc;
	}
	return 0;
}
