/* SPDX-License-Identifier: MIT */
/* What a handler reads and sets: addresses, descriptor, deadlines, data. */
#include <errno.h>
#include <string.h>

#include "address.h"
#include "conn.h"
#include "sys.h"

int weir_conn_why(const weir_conn *c)
{
	return c ? c->call.why : -EINVAL;
}

uint64_t weir_conn_id(const weir_conn *c)
{
	return c ? c->id : 0;
}

uint64_t weir_ref_id(const weir_ref *ref)
{
	return weir_conn_id((const weir_conn *)(const void *)ref);
}

int weir_conn_summary(weir_conn *c, struct weir_summary *ret, size_t size)
{
	struct weir_summary now;

	if (c == NULL || ret == NULL)
		return -EINVAL;
	now = (struct weir_summary){
		.end = c->cause,
		.error = c->cause == WEIR_END_LOST ||
					 c->cause == WEIR_END_ERROR ||
					 c->cause == WEIR_END_CONNECT
				 ? c->error
				 : 0,
		.bytes_in = c->in.received,
		.age_ms = (wr_now_ns() - c->born_at) / WR_NS_PER_MS,
	};
	wr_word_lock(&c->lock);
	now.bytes_out = c->out.sent;
	wr_word_unlock(&c->lock);
	wr_copy_out(ret, size, &now, sizeof(now));
	return 0;
}

int weir_conn_is_draining(const weir_conn *c)
{
	if (c == NULL)
		return -EINVAL;
	return c->core != NULL && atomic_load(&c->core->stop_wanted);
}

int weir_conn_fd(const weir_conn *c)
{
	if (c == NULL)
		return -EINVAL;
	if (c->fd < 0)
		return -ENOTCONN;
	((weir_conn *)(uintptr_t)c)->may_block_close = true;
	return c->fd;
}

int wr_conn_direct_peer(const struct weir_conn *c, struct sockaddr_storage *ret)
{
	socklen_t len = sizeof(*ret);
	int rc;

	/* From accept(2): a socket forgets its peer after a reset. */
	if (c->peer.len > 0) {
		memcpy(ret, &c->peer.addr, c->peer.len);
		return (int)c->peer.len;
	}
	if (c->fd < 0)
		return -ENOTCONN;
	rc = wr_sys_getpeername(c->fd, (struct sockaddr *)ret, &len);
	return rc < 0 ? rc : (int)len;
}

int wr_conn_client(const struct weir_conn *c, struct sockaddr_storage *ret)
{
	return c->proxy ? (int)wr_proxy_source(c->proxy, ret)
			: wr_conn_direct_peer(c, ret);
}

int wr_conn_target(const struct weir_conn *c, struct sockaddr_storage *ret)
{
	socklen_t len = sizeof(*ret);
	int rc;

	if (c->proxy)
		return (int)wr_proxy_target(c->proxy, ret);
	if (c->fd < 0)
		return -ENOTCONN;
	rc = wr_sys_getsockname(c->fd, (struct sockaddr *)ret, &len);
	return rc < 0 ? rc : (int)len;
}

int weir_conn_peer(const weir_conn *c, char *buf, size_t cap)
{
	struct sockaddr_storage addr;
	int len;

	if (c == NULL || buf == NULL)
		return -EINVAL;
	len = wr_conn_client(c, &addr);
	return len < 0 ? len
		       : wr_address_format((struct sockaddr *)&addr,
					   (socklen_t)len, buf, cap);
}

int weir_conn_local(const weir_conn *c, char *buf, size_t cap)
{
	struct sockaddr_storage addr;
	int len;

	if (c == NULL || buf == NULL)
		return -EINVAL;
	len = wr_conn_target(c, &addr);
	return len < 0 ? len
		       : wr_address_format((struct sockaddr *)&addr,
					   (socklen_t)len, buf, cap);
}

int weir_conn_set_timer(weir_conn *c, int ms)
{
	if (c == NULL || ms == 0 || ms < WEIR_NEVER)
		return -EINVAL;
	if (c->end != WR_END_OPEN)
		return -EPIPE;
	c->events &= ~(uint32_t)WR_EV_TIMER; /* of the time set before */
	c->timer_at = wr_deadline_at(wr_now_ns(), ms);
	c->rare |= WR_RARE_TIMER;
	return 0;
}

static int set_data(struct weir_conn *c, void *data, void (*drop)(void *data),
		    bool is_shared)
{
	void (*old_drop)(void *);
	void *old;

	if (c == NULL)
		return -EINVAL;
	if (c->shares_data)
		return -EBUSY;
	old_drop = c->drop;
	old = c->data;
	wr_word_lock(&c->lock); /* weir_ref_data() */
	c->data = data;
	c->drop = drop;
	c->shares_data = is_shared;
	wr_word_unlock(&c->lock);
	if (old_drop && old != data)
		old_drop(old);
	return 0;
}

int weir_conn_set_data(weir_conn *c, void *data, void (*drop)(void *data))
{
	return set_data(c, data, drop, false);
}

int weir_conn_share_data(weir_conn *c, void *data, void (*drop)(void *data))
{
	return set_data(c, data, drop, true);
}

void *weir_conn_data(const weir_conn *c)
{
	return c ? c->data : NULL;
}

static char *put_address(char *buf, const struct sockaddr_storage *addr,
			 int len)
{
	if (len < 0 ||
	    wr_address_format((const struct sockaddr *)addr, (socklen_t)len,
			      buf, WR_PEER_TEXT / 2) < 0)
		memcpy(buf, "?", 2);
	return buf + strlen(buf);
}

static void put_direct_peer(struct weir_conn *c, char *buf)
{
	struct sockaddr_storage addr;
	int len = wr_conn_direct_peer(c, &addr);

	(void)put_address(buf, &addr, len);
}

const char *wr_conn_peer_text(struct weir_conn *c, char *buf)
{
	static const char via[] = " via ";
	struct sockaddr_storage addr;
	char *end;
	int len;

	if (c->is_spawned) {
		memcpy(buf, "(spawned)", sizeof("(spawned)"));
		return buf;
	}
	if (c->proxy == NULL) {
		put_direct_peer(c, buf);
		return buf;
	}
	len = wr_conn_client(c, &addr);
	end = put_address(buf, &addr, len);
	memcpy(end, via, sizeof(via));
	put_direct_peer(c, end + sizeof(via) - 1);
	return buf;
}

const char *wr_conn_direction(const struct weir_conn *c)
{
	return c->is_dialled ? "to" : "from";
}

const char *wr_conn_try_peer_text(struct weir_conn *c, char *buf)
{
	/* The lock keeps the descriptor open, and c->proxy. */
	if (wr_word_trylock(&c->lock)) {
		wr_conn_peer_text(c, buf);
		wr_word_unlock(&c->lock);
	} else if (c->peer.len > 0 && !c->is_dialled) {
		put_direct_peer(c, buf); /* it does not change */
	} else {
		memcpy(buf, "?", 2);
	}
	return buf;
}
