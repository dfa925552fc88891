/* SPDX-License-Identifier: MIT */
/*
 * Answers agent checks of HAProxy, so that it sends no new client to a server
 * that stops.  A client gets a line and the end of the connection; what it
 * sends is ignored:
 *
 *   drain          once a stop has been requested, unless a successor serves
 *   up ready 100%  after the start: a server that said drain before is back
 *   up 100%        later: an operator's "drain" in HAProxy stays
 *
 * With --agent-balancers each "up" is followed by maxconn:N, the share of one
 * balancer in --max-connections.  Main thread.
 */
#ifndef SERVER_AGENT_H
#define SERVER_AGENT_H

#include "options.h"

struct listener;

#define AGENT_DESCRIPTORS 64

/* Open l, the listener of o->agent, for the state of s.  0 or -errno. */
int agent_open(weir_server *s, const struct options *o,
	       const struct listener *l);

/* Answer, if it is open.  0 or -errno. */
int agent_start(void);

void agent_announce(void);

/* The server has ended, or did not start. */
void agent_end(void);

#endif
