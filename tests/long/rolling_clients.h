/* SPDX-License-Identifier: MIT */
/*
 * Clients for servers that replace each other at one port.  Each server is
 * "weir-server -g 'N\n' reply@...", N from 1, so that a client knows which
 * server it has and when that is stopped.  Churning clients connect, ask once
 * and close, as fast as they are answered; kept ones ask a hundred times a
 * second and connect again when they are closed.
 */
#ifndef TESTS_LONG_ROLLING_CLIENTS_H
#define TESTS_LONG_ROLLING_CLIENTS_H

#include "test.h"

#define SERVERS_MAX 128

struct rolling_counts {
	struct load_counts counts;
	/* Of the churning ones: how many a second; from connect to answer. */
	int64_t rate, p999_us;
	int64_t late_us; /* p99.9 of a thread that only sleeps */
};

struct rolling_clients;

/* At that port of all IPv4 loopback addresses. */
struct rolling_clients *rolling_clients_start(uint16_t port, int churning,
					      int kept);
uint64_t rolling_clients_connected(struct rolling_clients *g); /* so far */
/* Call it right before the stop of that server. */
void rolling_clients_mark_stop(struct rolling_clients *g, int server);
/* Call it while the last server still serves. */
struct rolling_counts rolling_clients_stop(struct rolling_clients *g);

#endif
