/* SPDX-License-Identifier: MIT */
/* The slots of connections, and the acceptor that waits for one. */
#include "test.h"

#include <poll.h>

#include "conn_table.h"
#include "sys.h"

#define SLOTS_MOST 16384

static struct weir_conn *slot[SLOTS_MOST];

static int take_all(struct wr_table *t)
{
	int count = 0, rc;

	while ((rc = wr_table_prepare(t, 1)) == 0) {
		ck_assert_int_lt(count, SLOTS_MOST);
		slot[count++] = wr_table_take(t);
	}
	ck_assert_int_eq(rc, -EUSERS);
	return count;
}

static bool is_woken(struct wr_core *core)
{
	struct pollfd wake = { .fd = core->acceptor_wake_fd, .events = POLLIN };
	bool is_readable = poll(&wake, 1, 0) == 1;

	if (is_readable)
		wr_sys_eventfd_clear(core->acceptor_wake_fd);
	ck_assert(is_readable != atomic_load(&core->accept_blocked));
	return is_readable;
}

START_TEST(a_slot_that_is_freed_in_a_shortage_wakes_the_acceptor)
{
	static struct wr_core core;
	struct wr_timers timers = { 0 };
	int count;

	ck_assert_int_eq(wr_core_init(&core, WEIR_CONFIG(.max_connections = 1,
							 .max_dialled = 1)),
			 0);
	ck_assert_int_eq(wr_table_new(&core.table, &core), 0);
	core.table->timers = &timers;
	count = take_all(core.table);
	ck_assert(!is_woken(&core));
	wr_table_give(core.table, slot[--count]);
	ck_assert(is_woken(&core));
	wr_table_give(core.table, slot[--count]);
	ck_assert_int_eq(wr_table_prepare(core.table, 2), 0);
	ck_assert_int_eq(wr_table_prepare(core.table, 3), -EUSERS);
	wr_table_give(core.table, slot[--count]);
	ck_assert(is_woken(&core));
	ck_assert_int_eq(wr_table_prepare(core.table, 4), -EUSERS);
	wr_table_shut_gate(core.table);
	wr_table_give(core.table, slot[--count]); /* the server may be gone */
	ck_assert(!is_woken(&core));
	wr_table_unref(core.table);
	wr_timers_fini(&timers);
	wr_core_fini(&core);
}
END_TEST

int main(void)
{
	return RUN_TESTS("conn_table",
			 a_slot_that_is_freed_in_a_shortage_wakes_the_acceptor);
}
