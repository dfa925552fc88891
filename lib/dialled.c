/* SPDX-License-Identifier: MIT */
/*
 * A dialled connection begins on the ready list, in any thread; from then on
 * the workers run it like an accepted one.
 */
#include "dialled.h"

#include <errno.h>

#include "conn_table.h"
#include "connect.h"
#include "sys.h"

static int copy_service(struct wr_service **ret,
			const struct weir_service *service)
{
	struct wr_service *copy = wr_sys_alloc(sizeof(*copy));
	int rc = copy ? wr_service_init(copy, service) : -ENOMEM;

	if (rc < 0)
		wr_sys_free(copy);
	else
		*ret = copy;
	return rc;
}

/* On an error the service is still the caller's. */
static int begin(struct weir_conn **ret, struct wr_core *core, int fd,
		 const struct wr_service *service)
{
	struct wr_stats *stats = wr_core_foreign_stats(core);
	int rc = wr_table_take_dialled(core->table, ret);

	if (rc < 0)
		return rc;
	wr_count(stats, &stats->dialled, 1);
	wr_conn_begin(*ret, service, fd, wr_now_ns());
	(*ret)->is_dialled = true;
	if (service->set.session) /* sessions wait for peers */
		wr_sched_always_hand_off(&core->sched);
	return 0;
}

/* To the workers; afterwards it is not ours. */
static void submit(struct weir_conn *c, weir_ref **ret)
{
	if (ret)
		*ret = weir_conn_ref(c);
	wr_conn_move(c, wr_core_foreign_stats(c->core), WR_CONN_READY);
	wr_conn_notify_acceptor(c, WR_INBOX_RESCHEDULE);
	wr_sched_submit(&c->core->sched, WR_QUEUE_READY, &c->node, 0);
}

static bool is_tcp(int fd)
{
	int protocol = 0;
	socklen_t len = sizeof(protocol);

	return wr_sys_getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol,
				 &len) == 0 &&
	       protocol == IPPROTO_TCP;
}

int wr_dialled_adopt(struct wr_core *core, weir_ref **ret, int fd,
		     const struct weir_service *service)
{
	struct wr_service *copy;
	struct weir_conn *c;
	int rc = copy_service(&copy, service);

	if (rc < 0)
		return rc;
	rc = wr_connect_take_over(fd);
	if (rc == 0)
		rc = begin(&c, core, fd, copy);
	if (rc < 0) {
		wr_sys_free(copy);
		return rc;
	}
	c->is_tcp = is_tcp(fd);
	submit(c, ret);
	return 0;
}
