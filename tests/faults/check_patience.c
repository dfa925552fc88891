/* SPDX-License-Identifier: MIT */
/*
 * Time, where it is seen only with a look at the library's calls: a lifetime
 * that passes while a slow disk is all that holds a file up, and deadlines
 * that are as far away as they can be.
 */
#include "test.h"

#include "faults.h"

/* ---- a disk that is slower than the peer */

struct endless {
	int fd; /* of a file of holes */
	int verdict;
};

static int says_the_endless(weir_conn *c, void *arg)
{
	const struct endless *endless = arg;
	char line[32];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));
	int rc;

	if (n <= 0)
		return (int)n;
	rc = weir_conn_sendfile(c, endless->fd, 0, UINT64_C(1) << 36);
	return rc < 0 ? rc : endless->verdict;
}

static int slow_disk(enum wr_sys_call call, size_t *len)
{
	if (call == WR_SYS_sendfile) {
		*len = wr_min(*len, (size_t)16384);
		usleep(50);
	}
	return 0;
}

START_TEST(the_lifetime_ends_a_file_that_is_taken_as_fast_as_it_is_read)
{
	const int verdicts[] = { 0, WEIR_AGAIN };
	FILE *file = tmpfile();
	struct endless endless = { .fd = fileno(file) };

	ck_assert_int_eq(ftruncate(endless.fd, (off_t)1 << 36), 0);
	wr_sys_fault = slow_disk;
	for (size_t i = 0; i < wr_array_len(verdicts); i++) {
		struct server *s =
			serve(NULL, WEIR_SERVICE(.readable = says_the_endless,
						 .arg = &endless,
						 .lifetime_ms = 300));
		struct client *c = client_opens(s);
		int64_t began_at = now_ms();
		struct weir_report report;

		endless.verdict = verdicts[i];
		client_sends(c, "go\n");
		client_expects_end(c);
		ck_assert_int_lt(now_ms(), began_at + 10000 * slowness());
		report = server_ends(s);
		ck_assert_uint_eq(report.ledger.timed_out, 1);
	}
	wr_sys_fault = NULL;
	fclose(file);
}
END_TEST

int main(void)
{
	return RUN_TESTS(
		"patience",
		the_lifetime_ends_a_file_that_is_taken_as_fast_as_it_is_read);
}
