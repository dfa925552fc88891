/* SPDX-License-Identifier: MIT */
/*
 * The acceptor's loop: wait, take mail, see who is due and who is stuck,
 * accept, go on with the stop if there is one.
 */
#include "acceptor.h"

#include <errno.h>

#include "conn_table.h"
#include "poller.h"
#include "processors.h"
#include "sys.h"

#define KEY_CALL UINT64_MAX
#define LATE_NS	 WR_NS_PER_MS /* of a round, for bytes nobody will read */

int wr_acceptor_init(struct wr_acceptor *a, struct wr_core *core,
		     struct wr_pool *p)
{
	int rc;

	*a = (struct wr_acceptor){ .core = core, .pool = p, .reserve = -1 };
	a->ctx.stats = wr_core_acceptor_stats(core);
	a->ctx.wake_fd = -1;
	p->acceptor = &a->thread;
	a->processors = wr_processors();
	rc = a->poller = wr_poller_open();
	if (rc >= 0)
		rc = wr_poller_add(a->poller, core->acceptor_wake_fd,
				   WR_POLL_IN, KEY_CALL);
	if (rc >= 0)
		rc = a->reserve = wr_sys_dup(core->acceptor_wake_fd);
	if (rc < 0) {
		wr_acceptor_fini(a);
		return rc;
	}
	return 0;
}

void wr_acceptor_fini(struct wr_acceptor *a)
{
	for (int i = 0; i < a->endpoint_count; i++) {
		wr_listener_close(&a->endpoints[i]->listener);
		wr_sys_free(a->endpoints[i]);
	}
	wr_sys_free(a->endpoints);
	wr_timers_fini(&a->timers);
	wr_context_fini(&a->ctx);
	if (a->reserve >= 0)
		wr_sys_close(a->reserve);
	if (a->poller >= 0)
		wr_poller_close(a->poller);
}

int wr_acceptor_add_listener(struct wr_acceptor *a,
			     struct wr_endpoint *endpoint)
{
	struct wr_endpoint **endpoints = wr_sys_realloc(
		a->endpoints,
		((size_t)a->endpoint_count + 1) * sizeof(struct wr_endpoint *));

	if (endpoints == NULL)
		return -ENOMEM;
	a->endpoints = endpoints;
	a->endpoints[a->endpoint_count] = endpoint;
	endpoint->id = a->endpoint_count;
	endpoint->service.share = &endpoint->share;
	return a->endpoint_count++;
}

/* ---------------------------------------------------------------- the loop */

void wr_acceptor_take_inbox(struct wr_acceptor *a)
{
	struct weir_conn *c = atomic_exchange(&a->core->inbox, NULL);

	while (c) {
		struct weir_conn *next = c->inbox_next;
		unsigned mail = atomic_exchange(&c->inbox_bits, 0);

		if (mail & WR_INBOX_LINGER)
			wr_linger_begin(a, c);
		else if (mail & WR_INBOX_RESCHEDULE)
			wr_deadlines_expect(a, c);
		c = next;
	}
}

static int64_t next_at(const struct wr_acceptor *a)
{
	int64_t at = wr_min_at(wr_timers_next_at(&a->timers), a->watch_at);

	at = wr_min_at(at, a->starved_at);
	if (a->resume_at)
		at = wr_min_at(at, a->resume_at);
	if (a->tick_at)
		at = wr_min_at(at, a->tick_at);
	for (int i = 0; i < a->endpoint_count; i++)
		if (a->endpoints[i]->is_due)
			return 0;
	return wr_min_at(at, wr_drain_next_at(a));
}

/* False: it is about a connection that lingers. */
static bool handle_own(struct wr_acceptor *a, const struct wr_event *ev)
{
	if (ev->key == KEY_CALL)
		wr_sys_eventfd_clear(a->core->acceptor_wake_fd);
	else if (ev->key & WR_KEY_LISTENER)
		a->endpoints[ev->key & ~WR_KEY_LISTENER]->may_have_more = true;
	else
		return false;
	return true;
}

static void handle_late(struct wr_acceptor *a, const struct wr_event *ev)
{
	struct weir_conn *c = wr_table_find(a->core->table, ev->key);

	if (c->lingers && wr_conn_key(c) == ev->key)
		wr_linger_input(a, c);
}

/*
 * Who waits at a listener may be told of only after all that linger: if these
 * take up the round, each listener is asked.
 */
static void expect_clients(struct wr_acceptor *a)
{
	for (int i = 0; i < a->endpoint_count; i++)
		a->endpoints[i]->may_have_more |= a->endpoints[i]->is_armed;
}

/* Late bytes have a budget; the poller tells again of those that are left. */
static void handle_all_late(struct wr_acceptor *a, const struct wr_event *ev,
			    int n)
{
	int64_t end_at = a->ctx.now + LATE_NS;
	int i;

	for (i = 0; i < n && wr_now_ns() < end_at; i++)
		handle_late(a, &ev[i]);
	if (i < n || n == WR_POLL_BATCH)
		expect_clients(a);
}

static void wait_and_handle(struct wr_acceptor *a)
{
	struct wr_event ev[WR_POLL_BATCH];
	int n = wr_poller_wait(a->poller, ev, WR_POLL_BATCH,
			       wr_ms_until(next_at(a), wr_now_ns()));

	int late = 0;

	a->ctx.now = wr_now_ns();
	if (n < 0)
		wr_core_fail(a->core, n);
	for (int i = 0; i < n; i++)
		if (!handle_own(a, &ev[i]))
			ev[late++] = ev[i];
	if (late > 0)
		handle_all_late(a, ev, late);
}

static void *acceptor_main(void *arg)
{
	struct wr_acceptor *a = arg;

	wr_pool_enter(a->pool);
	wr_sys_thread_begin("weir-acceptor");
	a->ctx.now = wr_now_ns();
	do {
		wr_acceptor_take_inbox(a);
		wr_deadlines_run(a);
		wr_watchdog_run(a);
		wr_starvation_run(a);
		wr_overseer_run(a);
		wr_accept_adjust(a);
		wr_accept_run(a);
		wait_and_handle(a);
	} while (!wr_drain_run(a));
	wr_pool_leave(a->pool, &a->thread);
	return NULL;
}

int wr_acceptor_start(struct wr_acceptor *a)
{
	int rc = wr_sys_thread_create(&a->thread.id, WR_SYS_STACK,
				      acceptor_main, a);

	a->thread.was_started = rc == 0;
	return rc;
}
