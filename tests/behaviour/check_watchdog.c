/* SPDX-License-Identifier: MIT */
/*
 * A callback of more than ten seconds is logged once, while the server goes on;
 * one that waits for its peer is not.
 */
#include "test.h"

#define TOO_LONG_MS 10000

static int times_logged(struct server *s, const char *words)
{
	int count = 0;

	pthread_mutex_lock(&s->log_lock);
	for (const char *at = s->log; at && (at = strstr(at, words)); at++)
		count++;
	pthread_mutex_unlock(&s->log_lock);
	return count;
}

/* As a session: "wait" is a callback that takes very long. */
START_TEST(a_callback_that_runs_for_very_long_is_named_once)
{
	struct gate gate = GATE_CLOSED;
	struct server *s = serve(
		WEIR_CONFIG(.workers = 4),
		WEIR_SERVICE(.session = echo_lines_at_gate, .arg = &gate));
	struct client *silent = client_open(s), *stuck[2];
	char name[2][64], where[200];
	int64_t began_at, second_at;

	client_expect_echo(silent, "hello\n");
	began_at = now_ms();
	second_at = began_at + 1000;
	for (int i = 0; i < 2; i++) {
		UNTIL(i == 0 || now_ms() >= second_at);
		stuck[i] = client_open_and_send(s, "wait\n");
		snprintf(name[i], sizeof(name[i]), "from 127.0.0.1:%d ",
			 client_port(stuck[i]));
	}
	UNTIL(gate_waiting(&gate) == 2);
	UNTIL(times_logged(s, name[0]) > 0);
	ck_assert_int_ge(now_ms() - began_at, TOO_LONG_MS - 50);
	ck_assert_int_lt(now_ms() - began_at, 2 * TOO_LONG_MS * slowness());
	/* By the second line the first was checked again. */
	UNTIL(times_logged(s, name[1]) > 0);
	snprintf(where, sizeof(where), "at %s ", s->address);
	ck_assert_int_eq(times_logged(s, where), 2);
	ck_assert_int_eq(times_logged(s, "has been running"), 2);
	client_expect_echo(silent, "hello\n");
	gate_open(&gate);
	server_stop_and_check(s);
}
END_TEST

int main(void)
{
	return RUN_TESTS("watchdog",
			 a_callback_that_runs_for_very_long_is_named_once);
}
