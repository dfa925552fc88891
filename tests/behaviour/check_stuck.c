/* SPDX-License-Identifier: MIT */
/*
 * All workers but one are stuck: in a read of another descriptor, in a sleep,
 * in a loop.  The last one serves all other clients, and a stop ends on time
 * and names the callbacks.
 */
#include "test.h"

#define WORKERS	 4
#define OTHERS	 50
#define GRACE_MS 3000 /* the last worker has time for all the others */

struct trap {
	int pipe[2]; /* not written to before the end */
	_Atomic bool is_open;
	_Atomic int inside;
};

static void stay(struct trap *t, char how)
{
	char byte;

	switch (how) {
	case 'r':
		(void)!read(t->pipe[0], &byte, 1);
		break;
	case 's':
		while (!atomic_load(&t->is_open))
			usleep(100000);
		break;
	default:
		while (!atomic_load(&t->is_open))
			;
	}
}

static int stay_if_told_to(weir_conn *c, void *arg)
{
	struct trap *t = arg;
	char line[64];
	ssize_t n = weir_conn_read_line(c, line, sizeof(line));

	if (n <= 0)
		return (int)n;
	if (strncmp(line, "stay ", 5) == 0) {
		atomic_fetch_add(&t->inside, 1);
		stay(t, line[5]);
		atomic_fetch_sub(&t->inside, 1);
	}
	return weir_conn_write(c, line, (size_t)n) < 0 ? -EIO : WEIR_AGAIN;
}

static size_t hello(const struct client_group *group, int i, char *buf,
		    size_t cap)
{
	return (size_t)snprintf(buf, cap, "hello %d %d\n", group->round, i);
}

/* How long the stop takes, ms. */
static int stop_beside_stuck(void)
{
	static const char *const ways[WORKERS - 1] = { "stay reading\n",
						       "stay sleeping\n",
						       "stay looping\n" };
	struct trap trap = { .is_open = false };
	struct server *s;
	struct client *stuck[WORKERS - 1];
	struct client_group *others;
	struct weir_report report;
	int64_t began_at;
	int took;

	ck_assert_int_eq(pipe(trap.pipe), 0);
	s = serve_workers(WORKERS, WEIR_SERVICE(.readable = stay_if_told_to,
						.arg = &trap));
	for (int i = 0; i < WORKERS - 1; i++) {
		stuck[i] = client_open(s);
		client_send(stuck[i], ways[i]);
	}
	UNTIL(atomic_load(&trap.inside) == WORKERS - 1);
	others = group_open(s, OTHERS);
	for (int i = 0; i < 3; i++, others->round++) {
		group_send(others, hello);
		group_expect(others, hello);
	}
	group_send(others, hello);
	began_at = now_ms();
	weir_server_stop(s->weir, GRACE_MS);
	group_expect(others, hello);
	group_expect_eof(others);
	group_close(others);
	ck_assert_int_eq(weir_server_join(s->weir, &report, sizeof(report)),
			 -EBUSY);
	took = (int)(now_ms() - began_at);
	ck_assert_int_ge(took, GRACE_MS - 50);
	expect_balance(&report.ledger);
	ck_assert_uint_eq(report.stuck, WORKERS - 1);
	ck_assert_uint_eq(report.ledger.cut, WORKERS - 1);
	ck_assert_uint_eq(report.ledger.completed, OTHERS);
	for (int i = 0; i < WORKERS - 1; i++) {
		char name[32];

		snprintf(name, sizeof(name), "127.0.0.1:%d",
			 client_port(stuck[i]));
		ck_assert_msg(log_says(s, name), "%s is not in the log:\n%s",
			      name, s->log);
	}
	atomic_store(&trap.is_open, true);
	ck_assert_int_eq(write(trap.pipe[1], "x", 1), 1);
	UNTIL(atomic_load(&trap.inside) == 0);
	printf("%d of %d workers stuck, grace %d ms: the stop took %d ms\n",
	       WORKERS - 1, WORKERS, GRACE_MS, took);
	weir_server_free(s->weir);
	server_check_freed(s);
	close(trap.pipe[0]);
	close(trap.pipe[1]);
	return took;
}

START_TEST(all_but_one_are_stuck_and_a_stop_ends_on_time)
{
	/* The deadline, and the time that stuck callbacks have. */
	const int most = GRACE_MS + 100 + 150 * slowness();

	MOSTLY(stop_beside_stuck() < most);
}
END_TEST

int main(void)
{
	return RUN_TESTS("stuck",
			 all_but_one_are_stuck_and_a_stop_ends_on_time);
}
