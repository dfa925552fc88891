/* SPDX-License-Identifier: MIT */
/*
 * Clients that misbehave, beside those that are measured, on a thread of
 * their own so that they do not disturb the measuring.
 *
 *   slow-read   asks for ever, and reads a byte now and then
 *   drip        sends a message one byte at a time
 *   half-close  sends one message, shuts sending down, reads to the end; again
 *   reset       sends one message and resets the connection; again
 *   idle        connects, and is silent
 *   flood       sends without an end, and never reads
 *   vanish      sends half a message, and is never heard of again
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
	int error; /* why the thread cannot wait for events; 0 */
};

int bad_clients_count(const struct plan *plan);

/*
 * Start them; they come at from and leave at to.  Returns 0 or -errno; undo
 * with bad_clients_stop() in any case.
 */
int bad_clients_start(struct bad_clients *c, int64_t from, int64_t to);

/*
 * End them all; the counts are there then.  Returns 0, or -errno when they
 * could not go on to the end.
 */
int bad_clients_stop(struct bad_clients *c);

#endif
