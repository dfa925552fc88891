/* SPDX-License-Identifier: MIT */
/*
 * "ready" ends a drain in HAProxy, also one that an operator has asked for.  So
 * it is sent only for READY_SECONDS after the start, and in READY_ANSWERS
 * answers at least, so that a few balancers receive it.  A successor never
 * sends it: its predecessor was up.
 */
#include "agent.h"

#include <stdatomic.h>
#include <time.h>

#include "journal.h"
#include "listeners.h"
#include "out.h"
#include "upgrade.h"

#define READY_SECONDS 10
#define READY_ANSWERS 3

#define CLIENTS_MOST 32
#define END_MS	     500

static struct {
	weir_server *own, *server;
	int balancers; /* 0: their share is not sent */
	int answers;
	bool is_successor;
	struct timespec began_at;
} agent;

static bool says_ready(void)
{
	struct timespec now;

	if (agent.is_successor)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (agent.answers == READY_ANSWERS)
		return now.tv_sec - agent.began_at.tv_sec < READY_SECONDS;
	agent.answers++;
	return true;
}

/* A reload may change max_connections. */
static int print_share(weir_conn *c)
{
	struct weir_stats now;
	int rc = weir_server_stats(agent.server, &now, sizeof(now));

	if (rc < 0)
		return rc;
	return weir_conn_printf(c, " maxconn:%d",
				(int)now.max_connections / agent.balancers);
}

static int agent_answer(weir_conn *c, void *arg)
{
	int rc;

	(void)arg;
	if (weir_server_is_draining(agent.server) == 1 &&
	    !upgrade_has_successor())
		return weir_conn_printf(c, "drain\n");
	rc = weir_conn_printf(c, says_ready() ? "up ready 100%%" : "up 100%%");
	if (rc >= 0 && agent.balancers > 0)
		rc = print_share(c);
	return rc < 0 ? rc : weir_conn_printf(c, "\n");
}

static int agent_opened(weir_conn *c, void *arg)
{
	int rc = agent_answer(c, arg);

	return rc < 0 ? rc : WEIR_CLOSE;
}

static int agent_listen(const struct listener *l)
{
	int id = weir_server_listen(agent.own, l->where,
				    WEIR_SERVICE(.opened = agent_opened,
						 .readable = agent_opened,
						 .write_ms = 5000));

	if (id >= 0)
		upgrade_offer(agent.own, id, l, false);
	return id;
}

int agent_open(weir_server *s, const struct options *o,
	       const struct listener *l)
{
	int rc;

	agent.server = s;
	agent.is_successor = upgrade_has_predecessor();
	agent.balancers = o->agent_balancers;
	rc = weir_server_new(&agent.own,
			     WEIR_CONFIG(.workers = 1,
					 .max_connections = CLIENTS_MOST,
					 .max_per_source = CLIENTS_MOST,
					 .log_level = WEIR_LOG_WARNING,
					 .log = journal_sink));
	if (rc == 0)
		rc = agent_listen(l);
	if (rc < 0)
		agent_end();
	return rc;
}

int agent_start(void)
{
	clock_gettime(CLOCK_MONOTONIC, &agent.began_at);
	return agent.own ? weir_server_start(agent.own) : 0;
}

void agent_announce(void)
{
	char where[512];

	if (agent.own &&
	    weir_server_address(agent.own, 0, where, sizeof(where)) > 0)
		out_announce("agent %s", where);
}

void agent_end(void)
{
	if (agent.own) {
		(void)weir_server_stop(agent.own, END_MS);
		(void)weir_server_join(agent.own, NULL, 0);
	}
	weir_server_free(agent.own);
	agent.own = NULL;
}
