/* SPDX-License-Identifier: MIT */
/*
 * What other threads may do to a connection they hold a reference to
 * (weir_conn_send is with the output).
 *
 * A reference keeps the slot from being recycled and the table from being
 * freed.  Everything beyond that is looked at under the connection's lock and
 * only while it is not over: a server outlives its connections, so it is
 * there then.
 */
#include <errno.h>

#include "conn.h"
#include "conn_table.h"
#include "dial.h"
#include "sys.h"

weir_conn *weir_conn_ref(weir_conn *c)
{
	if (c == NULL)
		return NULL;
	/* Relaxed: whoever refs can see the connection already. */
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	if (c->table)
		wr_table_ref(c->table);
	return c;
}

/* The library's own reference has no part in the table's count. */
void wr_conn_release(struct weir_conn *c)
{
	if (atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	if (c->table == NULL) {
		wr_dial_free(c);
		return;
	}
	wr_conn_move(c, NULL, WR_CONN_FREE);
	wr_table_give(c->table, c);
}

/*
 * A server's connection has a reference of the library's until it is settled:
 * the last one before that is not the caller's to give back.
 */
static bool has_only_ours(struct weir_conn *c)
{
	return c->table && atomic_load(&c->refs) == 1 &&
	       !atomic_load(&c->is_counted);
}

void weir_conn_unref(weir_conn *c)
{
	struct wr_table *table;

	if (c == NULL)
		return;
	if (has_only_ours(c)) {
		wr_logf(&c->core->logger, WEIR_LOG_ERROR,
			"weir_conn_unref() of a connection that nobody refers "
			"to: a bug in the program");
		return;
	}
	table = c->table;
	wr_conn_release(c);
	if (table)
		wr_table_unref(table);
}

/* Report for a thread of the program. */
static int tell(weir_conn *c, uint32_t report)
{
	WR_NO_CANCEL();
	int rc = -EPIPE;

	if (c == NULL)
		return -EINVAL;
	wr_lock(&c->lock);
	if (!c->is_over && c->table) {
		wr_conn_post(c, wr_core_foreign_stats(c->core),
			     wr_owner_generation(&c->owner), report);
		rc = 0;
	}
	wr_unlock(&c->lock);
	return rc;
}

int weir_conn_wake(weir_conn *c)
{
	return tell(c, WR_EV_WAKE);
}

int weir_conn_close(weir_conn *c)
{
	return tell(c, WR_EV_CLOSE);
}

int weir_conn_cancel(weir_conn *c)
{
	WR_NO_CANCEL();
	bool is_over;

	if (c == NULL)
		return -EINVAL;
	wr_lock(&c->lock);
	is_over = c->is_over;
	wr_unlock(&c->lock);
	if (is_over)
		return -EPIPE;
	wr_conn_cut(c);
	if (c->table)
		(void)tell(c,
			   WR_EV_CANCEL); /* the cut may have ended it by now */
	return 0;
}
