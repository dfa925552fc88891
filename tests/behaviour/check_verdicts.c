/* SPDX-License-Identifier: MIT */
/*
 * Verdicts that no handler may give: the connection is dropped, never parked
 * for ever, and the log says whose fault it was.
 */
#include "test.h"

static int says_again_without_asking(weir_conn *c, void *arg)
{
	(void)c;
	(void)arg;
	return -EAGAIN;
}

static int says_again_with_its_mouth_full(weir_conn *c, void *arg)
{
	char buf[64];

	(void)arg;
	return weir_conn_read(c, buf, sizeof(buf)) > 0 ? -EAGAIN : 0;
}

START_TEST(a_handler_that_says_EAGAIN_for_nothing_is_dropped)
{
	weir_handler *const liars[] = { says_again_without_asking,
					says_again_with_its_mouth_full };

	for (int i = 0; i < 2; i++) {
		struct server *s =
			serve(NULL, WEIR_SERVICE(.readable = liars[i]));
		struct client *c = client_opens(s);
		struct weir_report report;

		client_sends(c, "anything");
		client_expects_end(c);
		report = server_ends(s);
		ck_assert_uint_eq(report.ledger.failed, 1);
	}
}
END_TEST

START_TEST(a_liar_is_named_in_the_log)
{
	struct server *s = serve(
		NULL, WEIR_SERVICE(.readable = says_again_without_asking));
	struct client *c = client_opens(s);

	client_sends(c, "anything");
	client_expects_end(c);
	UNTIL(log_lines(s) == 1);
	server_ends(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS("verdicts",
			 a_handler_that_says_EAGAIN_for_nothing_is_dropped,
			 a_liar_is_named_in_the_log);
}
