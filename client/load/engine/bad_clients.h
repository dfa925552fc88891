/* SPDX-License-Identifier: MIT */
/*
 * Clients that misbehave, on a thread of their own so that they do not disturb
 * the measured ones.
 *
 *   slow-read   sends messages without end, reads a byte now and then
 *   drip        sends a message one byte at a time
 *   half-close  sends a message, shuts down, reads to the end; repeats
 *   reset       sends a message and resets the connection; repeats
 *   idle        connects and sends nothing
 *   flood       sends without end and never reads
 *   vanish      sends half a message, then nothing
 */
#ifndef LOAD_BAD_CLIENTS_H
#define LOAD_BAD_CLIENTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "../measure/result.h"
#include "../plan.h"
#include "payload.h"
#include "target.h"

struct bad_client;

struct bad_clients {
	const struct plan *plan;
	const struct target *target;
	const struct payload *payload;
	int64_t from, to; /* CLOCK_MONOTONIC, ns */
	struct bad_client_counts counts[BAD_CLIENT_KINDS];
	struct bad_client *all;
	size_t count;
	int epoll, wakeup;
	pthread_t thread;
	bool is_running;
	int error; /* why waiting for events failed, positive; 0 */
};

int bad_clients_count(const struct plan *plan);

/* They connect at from and leave at to; bad_clients_stop() in any case. */
int bad_clients_start(struct bad_clients *c, int64_t from, int64_t to);

/* c->counts is complete then.  -errno: they could not run to the end. */
int bad_clients_stop(struct bad_clients *c);

#endif
