/* SPDX-License-Identifier: MIT */
/*
 * "A slot that is looked at is not reused meanwhile": the walk pins it.
 *
 * Fields that are constant while the slot is in use were written before the
 * connection left WR_CONN_FREE.
 */
#include "walk.h"

#include <errno.h>

#include "conn_table.h"
#include "sys.h"

/* A caller's structure may be larger than ours: at most this many times. */
#define INFO_ROOM 16

static int64_t state_of(struct weir_conn *c, int where)
{
	switch (where) {
	case WR_CONN_QUEUED:
		return WEIR_STATE_QUEUED;
	case WR_CONN_READY:
		return WEIR_STATE_READY;
	case WR_CONN_RUNNING:
		return atomic_load(&c->waiter_fd) >= 0 ? WEIR_STATE_WAITING
						       : WEIR_STATE_RUNNING;
	case WR_CONN_PARKED:
		return atomic_load(&c->wait_for) ? WEIR_STATE_WAITING
						 : WEIR_STATE_PARKED;
	default:
		return WEIR_STATE_LINGERING;
	}
}

static int64_t listener_of(const struct weir_conn *c)
{
	return c->is_dialled
		       ? -1
		       : wr_container_of(c->service, const struct wr_endpoint,
					 service)
				 ->id;
}

/* Empty: it is not known, or has no address. */
static void format_address(char *buf, size_t cap,
			   const struct sockaddr_storage *addr, int len)
{
	if (len < 0 || wr_address_format((const struct sockaddr *)addr,
					 (socklen_t)len, buf, cap) < 0)
		buf[0] = '\0';
}

static void copy_addresses_locked(struct weir_conn *c,
				  struct weir_conn_info *ret)
{
	struct sockaddr_storage addr;
	int len = wr_conn_client(c, &addr);

	format_address(ret->peer, sizeof(ret->peer), &addr, len);
	if (c->proxy == NULL)
		return;
	len = wr_conn_direct_peer(c, &addr);
	format_address(ret->via, sizeof(ret->via), &addr, len);
}

/* False: it has ended. */
static bool describe(struct weir_conn *c, struct weir_conn_info *ret)
{
	int where = wr_conn_where(c);

	if (where == WR_CONN_FREE || where == WR_CONN_CLOSED)
		return false;
	*ret = (struct weir_conn_info){
		.id = c->id,
		.listener = listener_of(c),
		.state = state_of(c, where),
		.bytes_in = atomic_load(&c->in.received),
	};
	wr_word_lock(&c->lock);
	if (c->is_connecting)
		ret->state = WEIR_STATE_CONNECTING;
	ret->age_ms = (wr_now_ns() - c->born_at) / WR_NS_PER_MS;
	ret->bytes_out = c->out.sent;
	ret->unsent = wr_outbox_unsent(&c->out.box);
	copy_addresses_locked(c, ret);
	wr_word_unlock(&c->lock);
	return true;
}

int wr_walk(struct wr_core *core, weir_each_fn *fn, void *arg, size_t size)
{
	struct weir_conn_info info;
	size_t slots = wr_table_slots(core->table);
	struct weir_conn_info copy[INFO_ROOM];
	int rc = 0;

	if (fn == NULL || size == 0 || size > sizeof(copy))
		return -EINVAL;
	for (size_t i = 0; i < slots && rc == 0; i++) {
		struct weir_conn *c = wr_table_find(core->table, i);
		bool is_there;

		if (!wr_conn_pin(c))
			continue;
		is_there = describe(c, &info);
		wr_conn_unpin(c);
		if (!is_there)
			continue;
		wr_copy_out(copy, size, &info, sizeof(info));
		rc = fn(copy, arg);
	}
	return rc;
}
