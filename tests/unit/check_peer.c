/* SPDX-License-Identifier: MIT */
/* What weir-client says of a connection that has ended. */
#include "test.h"

#include <limits.h>

#include "../../client/peer.h"

#define HOUR_MS INT64_C(3600000)

static const char *reason_after(int64_t silent_ms)
{
	static char reason[PEER_REASON];
	struct peer p = {
		.address = "a:1",
		.active_at = peer_now() - silent_ms,
	};

	return peer_reason(&p, 0, "", reason);
}

START_TEST(a_silence_is_told_however_long_it_was)
{
	ck_assert_str_eq(reason_after(0), "a:1 closed the connection");
	/* A second later it is 3601s. */
	ck_assert_ptr_nonnull(strstr(reason_after(HOUR_MS), "after "));
	ck_assert_ptr_null(strstr(reason_after(HOUR_MS), "more than"));
	ck_assert_str_eq(reason_after(30 * 24 * HOUR_MS),
			 "a:1 closed the connection after more than 596h of "
			 "silence");
	ck_assert_str_eq(reason_after(60 * 24 * HOUR_MS),
			 "a:1 closed the connection after more than 596h of "
			 "silence");
}
END_TEST

int main(void)
{
	return RUN_TESTS("peer", a_silence_is_told_however_long_it_was);
}
