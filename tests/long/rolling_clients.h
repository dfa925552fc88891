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

struct guest_book {
	struct load_books books;
	/* Of those who come and go: so many a second, connect to answer. */
	int64_t rate, p999_us;
	int64_t late_us; /* p99.9 of a thread that only sleeps meanwhile */
};

struct guests;

/* At the port of all addresses of IPv4 loopback. */
struct guests *guests_come(uint16_t port, int churning, int kept);
uint64_t guests_connected(struct guests *g); /* so far */
/* Call it right before asking for the stop of that server. */
void guests_stop_is_next(struct guests *g, int server);
/* While the last server still serves. */
struct guest_book guests_leave(struct guests *g);

#endif
