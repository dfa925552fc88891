/* SPDX-License-Identifier: MIT */
/*
 * A load of clients for servers that follow each other at one port.  Each
 * server is "weir-server -g 'N\n' reply@...", N from 1: so a guest knows by
 * whom it is served, and whose stop is its own.  Some come, ask once and go,
 * as fast as they are answered; one crowd is kept, asks a hundred times a
 * second and comes again when it is let go.
 */
#ifndef TESTS_LONG_ROLLING_CLIENTS_H
#define TESTS_LONG_ROLLING_CLIENTS_H

#include "test.h"

#define SERVERS_MAX 128

struct rolling_counts {
	struct load_counts books;
	/* Of those who come and go: so many a second, connect to answer. */
	int64_t rate, p999_us;
	int64_t late_us; /* p99.9 of a thread that only sleeps meanwhile */
};

struct rolling_clients;

/* At the port of all addresses of IPv4 loopback. */
struct rolling_clients *rolling_clients_start(uint16_t port, int churning,
					      int kept);
uint64_t rolling_clients_connected(struct rolling_clients *g); /* so far */
/* Call it right before asking for the stop of that server. */
void rolling_clients_mark_stop(struct rolling_clients *g, int server);
/* While the last server still serves. */
struct rolling_counts rolling_clients_stop(struct rolling_clients *g);

#endif
