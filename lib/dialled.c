/* SPDX-License-Identifier: MIT */
/*
 * A dialled connection begins on the ready list, in any thread; from then on
 * the workers run it like an accepted one.
 */
#include "dialled.h"

#include <errno.h>
#include <string.h>

#include "address.h"
#include "bounds.h"
#include "conn_table.h"
#include "connect.h"
#include "overflow.h"
#include "poller.h"
#include "sys.h"

static void free_dialled(struct wr_dialled *d)
{
	wr_service_fini(&d->service);
	wr_sys_free(d);
}

static int new_dialled(struct wr_dialled **ret, struct wr_core *core,
		       const struct weir_service *service)
{
	struct wr_dialled *d = wr_sys_alloc(sizeof(*d));
	int rc = d ? wr_service_init(&d->service, service) : -ENOMEM;

	if (rc == 0 && d->service.set.proxy != WEIR_PROXY_NEVER) {
		wr_service_fini(&d->service);
		rc = -EINVAL;
	}
	if (rc == 0)
		rc = wr_core_set_stacks(core, &d->service);
	if (rc < 0) {
		if (d)
			free_dialled(d);
		return rc;
	}
	if (d->service.stacks)
		wr_overflow_handle(core);
	else if (service->session) /* these sessions wait for peers */
		wr_sched_always_hand_off(&core->sched);
	*ret = d;
	return 0;
}

/* To the workers; afterwards it is not ours. */
static void submit(struct weir_conn *c)
{
	wr_conn_move(c, wr_core_foreign_stats(c->core), WR_CONN_READY);
	wr_conn_notify_acceptor(c, WR_INBOX_RESCHEDULE);
	wr_sched_submit(&c->core->sched, WR_QUEUE_READY, &c->node, 0);
}

static void set_connecting(struct weir_conn *c, struct wr_connect *r)
{
	r->poller = &c->core->poller;
	r->key = wr_conn_key(c) | WR_KEY_OTHER;
	r->notify = wr_conn_post_answer;
	r->arg = c; /* the lookup is given up before c ends */
	c->is_connecting = true;
	atomic_store(&c->due_at, wr_connect_next_at(r));
}

static int take_slot_locked(struct wr_core *core, struct weir_conn **ret,
			    int fd, struct wr_dialled *d)
{
	int rc = wr_table_take_dialled_locked(core->table, ret);

	if (rc < 0)
		return rc;
	wr_conn_begin(*ret, &d->service, fd, wr_now_ns());
	(*ret)->is_dialled = true;
	return 0;
}

/*
 * "A stop finds each dialled connection": a stop shuts the gate before it walks
 * the table, and the lock is held from the look at the gate until the workers
 * have the connection.  On an error d is still the caller's.
 */
static int begin_dialled(struct wr_core *core, weir_ref **ret, int fd,
			 bool is_tcp, struct wr_dialled *d)
{
	struct wr_table *table = core->table;
	struct wr_stats *stats = wr_core_foreign_stats(core);
	struct weir_conn *c;
	int rc;

	wr_word_lock(&table->lock);
	rc = table->gate == WR_GATE_NEW ? -EINVAL
					: take_slot_locked(core, &c, fd, d);
	if (rc == 0) {
		wr_count(stats, &stats->dialled, 1);
		c->is_tcp = is_tcp;
		/* The program may have set SO_LINGER on an adopted socket. */
		c->may_block_close = !d->connect;
		if (d->connect)
			set_connecting(c, d->connect);
		if (ret)
			*ret = weir_conn_ref(c);
		submit(c);
	}
	wr_word_unlock(&table->lock);
	return rc;
}

int wr_dialled_adopt(struct wr_core *core, weir_ref **ret, int fd,
		     const struct weir_service *service)
{
	struct wr_dialled *d;
	int rc = new_dialled(&d, core, service);

	if (rc < 0)
		return rc;
	rc = wr_connect_take_over(fd);
	if (rc >= 0)
		rc = begin_dialled(core, ret, fd, rc > 0, d);
	if (rc < 0)
		free_dialled(d);
	return rc;
}

static void free_connect(struct wr_connect *r)
{
	wr_connect_end(r);
	wr_sys_free(r);
}

static int new_connect(struct wr_connect **ret, const struct wr_address *where,
		       int timeout_ms)
{
	struct wr_connect *r = wr_sys_alloc(sizeof(*r));
	int64_t deadline_at = wr_deadline_at(
		wr_now_ns(), timeout_ms ? timeout_ms : WR_DIAL_MS);
	int rc = r ? wr_connect_prepare(r, where, deadline_at) : -ENOMEM;

	if (rc < 0)
		wr_sys_free(r);
	else
		*ret = r;
	return rc;
}

int wr_dialled_dial(struct wr_core *core, weir_ref **ret, const char *where,
		    int timeout_ms, const struct weir_service *service)
{
	struct wr_address addr;
	struct wr_dialled *d;
	int rc;

	if (where == NULL || timeout_ms < WEIR_NEVER)
		return -EINVAL;
	rc = wr_address_parse(&addr, where);
	if (rc < 0)
		return rc;
	if (addr.kind == WR_ADDRESS_FD)
		return wr_dialled_adopt(core, ret, addr.fd, service);
	rc = new_dialled(&d, core, service);
	if (rc < 0)
		return rc;
	rc = d->service.is_layered && !d->service.layer_speaks_first
		     ? -EINVAL
		     : new_connect(&d->connect, &addr, timeout_ms);
	if (rc < 0)
		goto fail;
	rc = begin_dialled(core, ret, -1, addr.kind == WR_ADDRESS_TCP, d);
	if (rc == 0)
		return 0;
	free_connect(d->connect);
fail:
	free_dialled(d);
	return rc;
}

static void keep_until_start_locked(struct wr_table *t, struct weir_conn *c)
{
	struct wr_node **last = &t->early;

	while (*last)
		last = &(*last)->next;
	c->node.next = NULL;
	*last = &c->node;
}

static struct weir_conn *take_early_locked(struct wr_table *t)
{
	struct wr_node *n = t->early;

	if (n == NULL)
		return NULL;
	t->early = n->next;
	return wr_container_of(n, struct weir_conn, node);
}

int wr_dialled_spawn(struct wr_core *core, weir_ref **ret, weir_handler_fn *fn,
		     void *arg, void (*drop)(void *arg))
{
	const struct weir_service service = { .size = sizeof(service),
					      .session = fn,
					      .arg = arg,
					      .speaks_first = 1,
					      .first_byte_ms = WEIR_NEVER };
	struct wr_table *table = core->table;
	struct wr_stats *stats = wr_core_foreign_stats(core);
	struct wr_dialled *d;
	struct weir_conn *c;
	int rc = new_dialled(&d, core, &service);

	if (rc < 0)
		return rc;
	d->drop = drop;
	wr_word_lock(&table->lock);
	rc = take_slot_locked(core, &c, -1, d);
	if (rc == 0) {
		wr_count(stats, &stats->spawned, 1);
		c->is_spawned = true;
		c->in.end = WR_IN_EOF;
		c->out.end = WR_OUT_SHUT;
		if (ret)
			*ret = weir_conn_ref(c);
		if (table->gate == WR_GATE_NEW)
			keep_until_start_locked(table, c);
		else
			submit(c);
	}
	wr_word_unlock(&table->lock);
	if (rc < 0)
		free_dialled(d);
	return rc;
}

void wr_dialled_start(struct wr_core *core)
{
	struct wr_table *table = core->table;
	struct weir_conn *c;

	wr_word_lock(&table->lock);
	if (table->gate == WR_GATE_NEW)
		table->gate = WR_GATE_OPEN;
	while (table->gate == WR_GATE_OPEN && (c = take_early_locked(table)))
		submit(c);
	wr_word_unlock(&table->lock);
}

static struct weir_conn *take_early(struct wr_table *t)
{
	struct weir_conn *c;

	wr_word_lock(&t->lock);
	t->gate = WR_GATE_SHUT;
	c = take_early_locked(t);
	wr_word_unlock(&t->lock);
	return c;
}

/* A reference to it may remain. */
void wr_dialled_end_early(struct wr_core *core)
{
	struct wr_stats *stats = wr_core_foreign_stats(core);
	struct weir_conn *c;

	while ((c = take_early(core->table))) {
		wr_conn_move(c, stats, WR_CONN_READY);
		wr_conn_move(c, stats, WR_CONN_RUNNING);
		wr_conn_begin_close(c);
		c->cause = WEIR_END_CUT;
		wr_conn_run_close_callbacks(c);
		wr_conn_close_and_count(c, stats, WR_OUTCOME_CUT);
	}
}

static void set_connected(struct weir_conn *c, int fd,
			  const struct addrinfo *to)
{
	wr_word_lock(&c->lock);
	c->fd = fd;
	c->is_connecting = false;
	c->born_at = c->wait_at = c->in.last_at = c->ctx->now;
	wr_conn_set_active(c, c->ctx->now);
	if (c->is_tcp)
		c->interest = WR_POLL_OUT | WR_POLL_EDGE;
	if (c->is_tcp && to->ai_addrlen <= sizeof(c->peer.addr)) {
		memcpy(&c->peer.addr, to->ai_addr, to->ai_addrlen);
		c->peer.len = (uint8_t)to->ai_addrlen;
	}
	wr_word_unlock(&c->lock);
}

int wr_dialled_connect(struct weir_conn *c)
{
	struct wr_dialled *d = wr_conn_dialled(c);
	int rc = wr_connect_step(d->connect, c->ctx->now);

	if (rc < 0)
		return rc;
	set_connected(c, rc, d->connect->winner);
	free_connect(d->connect);
	d->connect = NULL;
	return 0;
}

void wr_dialled_give_up(struct weir_conn *c)
{
	struct wr_dialled *d = wr_conn_dialled(c);

	wr_word_lock(&c->lock);
	c->is_connecting = false;
	wr_word_unlock(&c->lock);
	free_connect(d->connect);
	d->connect = NULL;
}
